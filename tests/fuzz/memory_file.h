/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file system of one read-only file in memory, whatever its path: lets a fuzz target hand its input to
 * code that reads files.
 */
#ifndef TESTS_FUZZ_MEMORY_FILE_H
#define TESTS_FUZZ_MEMORY_FILE_H

#include "engine/vfs/vfs.h"

/* Embedded by its owner. */
struct memory_file_vfs {
    struct vfs base;
    struct polarys_slice contents; /* borrowed */
};

/* Only open, read_at, size and close work. */
void memory_file_init(struct memory_file_vfs *vfs, struct polarys_slice contents);

#endif
