/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checker of JSON against yajl: what the checker accepts, yajl accepts; what yajl refuses, the checker
 * refuses. It may refuse more: duplicate names, depth, UTF-8 that yajl lets pass, white space that is
 * none, and an unfinished token behind the value, which yajl takes for the end. What was accepted must then survive every use of it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "engine/base/assert.h"
#include "engine/document/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take_number(void *context, const char *text, size_t size)
{
    (void)context;
    (void)text;
    (void)size;
    return 1;
}

static bool yajl_accepts(const uint8_t *data, size_t size)
{
    /* With a callback numbers are handed over as text, whatever their size. */
    const yajl_callbacks callbacks = {.yajl_number = take_number};
    yajl_handle handle = yajl_alloc(&callbacks, NULL, NULL);
    yajl_status status = yajl_parse(handle, data, size);
    if (status == yajl_status_ok) {
        status = yajl_complete_parse(handle);
    }
    yajl_free(handle);
    return status == yajl_status_ok;
}

static void use(struct polarys_slice text)
{
    struct buffer merged = {0};
    bool is_equal;
    bool is_found;
    enum polarys_code code = json_merge_patch(text, text, &merged, NULL);
    POLARYS_ASSERT(code == POLARYS_OK);
    POLARYS_ASSERT(json_check(buffer_slice(&merged), NULL) == POLARYS_OK);
    buffer_clear(&merged);
    /* A document is equal to itself, and to itself inside another. */
    static const char head[] = "{\"a\":";
    code = buffer_append(&merged, head, sizeof(head) - 1);
    POLARYS_ASSERT(code == POLARYS_OK);
    code = buffer_append_slice(&merged, text);
    POLARYS_ASSERT(code == POLARYS_OK);
    code = buffer_append_byte(&merged, '}');
    POLARYS_ASSERT(code == POLARYS_OK);
    code = json_field_equals(buffer_slice(&merged), slice_from_text("a"), text, &is_equal, NULL);
    /* One level more may be too deep. */
    POLARYS_ASSERT(code == POLARYS_BAD_JSON || (code == POLARYS_OK && is_equal));
    buffer_clear(&merged);
    code = json_member_text(text, slice_from_text("a"), &merged, &is_found, NULL);
    POLARYS_ASSERT(code == POLARYS_OK);
    buffer_deinit(&merged);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct polarys_slice text = slice_make(data, size);
    struct polarys_error err = POLARYS_ERROR_INIT;
    enum polarys_code code = json_check(text, &err);
    POLARYS_ASSERT(code == POLARYS_OK || code == POLARYS_BAD_JSON);
    if (code == POLARYS_OK) {
        POLARYS_ASSERT(yajl_accepts(data, size));
        use(text);
        return 0;
    }
    const char *offset = polarys_error_detail_find(&err, "offset");
    POLARYS_ASSERT(offset != NULL);
    POLARYS_ASSERT(strtoull(offset, NULL, 10) <= size);
    bool is_stricter =
        strstr(err.message, "duplicate") != NULL || strstr(err.message, "deeply") != NULL ||
        strstr(err.message, "bytes follow") != NULL || strstr(err.message, "UTF-8") != NULL ||
        memchr(data, '\v', size) != NULL || memchr(data, '\f', size) != NULL;
    POLARYS_ASSERT(is_stricter || !yajl_accepts(data, size));
    return 0;
}
