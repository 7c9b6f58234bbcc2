/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known about a table file from outside: its name, and the summary that the manifest keeps.
 */
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/sst/table.h"

enum { FILE_ID_DIGITS = 12 };

static const char file_suffix[] = ".sst";

void table_meta_deinit(struct table_meta *meta)
{
    buffer_deinit(&meta->smallest_key);
    buffer_deinit(&meta->largest_key);
}

enum polarys_code table_meta_copy(struct table_meta *to, const struct table_meta *from)
{
    *to = *from;
    to->smallest_key = (struct buffer){0};
    to->largest_key = (struct buffer){0};
    if (buffer_append_slice(&to->smallest_key, buffer_slice(&from->smallest_key)) != POLARYS_OK ||
        buffer_append_slice(&to->largest_key, buffer_slice(&from->largest_key)) != POLARYS_OK) {
        table_meta_deinit(to);
        return POLARYS_NO_MEMORY;
    }
    return POLARYS_OK;
}

void table_file_name(char *name, uint64_t file_id)
{
    int size = snprintf(name, VFS_NAME_MAX, "%0*llx%s", FILE_ID_DIGITS, (unsigned long long)file_id,
                        file_suffix);
    POLARYS_ASSERT(size > 0 && size < VFS_NAME_MAX);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool table_file_name_parse(const char *name, uint64_t *file_id)
{
    uint64_t id = 0;
    size_t digits = 0;
    for (; digits < 16 && hex_digit(name[digits]) >= 0; digits++) {
        id = id << 4 | (uint64_t)hex_digit(name[digits]);
    }
    /* Ids past 12 digits are written longer, without leading zeros: one name an id. */
    bool is_canonical = digits == FILE_ID_DIGITS || (digits > FILE_ID_DIGITS && name[0] != '0');
    if (!is_canonical || strcmp(name + digits, file_suffix) != 0) {
        return false;
    }
    *file_id = id;
    return true;
}
