/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns temporary directories: making and removing them. Symbolic links in them are removed, not
 * followed.
 */
#include "tests/support/temp_dir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "engine/base/assert.h"

enum { TEMP_DIR_DESCRIPTORS_MAX = 16 };

void temp_dir_init(struct temp_dir *dir)
{
    const char *parent = getenv("TMPDIR");
    int size = snprintf(dir->path, sizeof(dir->path), "%s/polarys-test-XXXXXX",
                        parent == NULL || *parent == '\0' ? "/tmp" : parent);
    POLARYS_ASSERT(size > 0 && size < (int)sizeof(dir->path));
    char *made = mkdtemp(dir->path);
    POLARYS_ASSERT(made != NULL);
}

static int entry_remove(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    if (remove(path) != 0) {
        perror(path);
    }
    return 0;
}

void temp_dir_deinit(struct temp_dir *dir)
{
    if (nftw(dir->path, entry_remove, TEMP_DIR_DESCRIPTORS_MAX, FTW_DEPTH | FTW_PHYS) != 0) {
        perror(dir->path);
    }
    dir->path[0] = '\0';
}
