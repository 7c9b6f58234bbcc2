/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults of the files that are imported. A message that is too long is cut, never lost.
 */
#include "client/cli/polarysdb_fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/assert.h"

bool polarysdb_fault_set(struct polarysdb_fault *fault, const char *reason, const char *format, ...)
{
    va_list args;

    POLARYS_ASSERT(fault != NULL);
    POLARYS_ASSERT(reason[0] != '\0');
    (void)snprintf(fault->reason, sizeof(fault->reason), "%s", reason);
    va_start(args, format);
    (void)vsnprintf(fault->message, sizeof(fault->message), format, args);
    va_end(args);
    return false;
}

bool polarysdb_fault_memory(struct polarysdb_fault *fault, const char *what)
{
    return polarysdb_fault_set(fault, POLARYSDB_NO_MEMORY, "no memory for %s", what);
}

bool polarysdb_fault_errno(struct polarysdb_fault *fault, const char *path)
{
    int number = errno;
    char text[128];

    return polarysdb_fault_set(fault, number == ENOENT ? POLARYSDB_NOT_FOUND : POLARYSDB_IO,
                               "%s: %s", path, strerror_r(number, text, sizeof(text)));
}
