/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adds up file sizes for stores that do not say how large their tables are. It looks at names only, and
 * passes by a file that is removed meanwhile, as a compaction does.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/stores/store.h"

uint64_t bench_dir_bytes(const char *dir, const char *suffix)
{
    uint64_t bytes = 0;
    DIR *entries = opendir(dir);
    if (entries == NULL) {
        bench_die("cannot list %s", dir);
    }
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        char path[8192];
        struct stat info;
        size_t size = strlen(entry->d_name);
        if (size < strlen(suffix) || strcmp(entry->d_name + size - strlen(suffix), suffix) != 0) {
            continue;
        }
        (void)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        if (stat(path, &info) == 0) {
            bytes += (uint64_t)info.st_size;
        }
    }
    closedir(entries);
    return bytes;
}
