/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory of a test's own on the real file system, removed with all that is in it.
 */
#ifndef TESTS_SUPPORT_TEMP_DIR_H
#define TESTS_SUPPORT_TEMP_DIR_H

#ifdef __cplusplus
extern "C" {
#endif

enum { TEMP_DIR_PATH_MAX = 512 };

struct temp_dir {
    char path[TEMP_DIR_PATH_MAX];
};

/* Below the environment's TMPDIR, or /tmp. Ends the process when it cannot be made. */
void temp_dir_init(struct temp_dir *dir);

/* Removes it; what cannot be removed is named on standard error. */
void temp_dir_deinit(struct temp_dir *dir);

#ifdef __cplusplus
}

/* For tests in C++: lives as long as the scope. */
struct scoped_temp_dir {
    struct temp_dir dir;
    scoped_temp_dir()
    {
        temp_dir_init(&dir);
    }
    ~scoped_temp_dir()
    {
        temp_dir_deinit(&dir);
    }
    scoped_temp_dir(const scoped_temp_dir &) = delete;
    scoped_temp_dir &operator=(const scoped_temp_dir &) = delete;
    const char *path() const
    {
        return dir.path;
    }
};
#endif

#endif
