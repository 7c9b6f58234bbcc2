/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes in which a document is stored as a value of the tree (docs/formats/value.md): one byte of
 * flags, eight bytes of expiry when there is one, then the document.
 *
 * Invariant: flags that this version does not know make the value unreadable rather than misread.
 */
#include "engine/base/coding.h"
#include "engine/document/document.h"

enum {
    FLAG_JSON = 1 << 0,
    FLAG_EXPIRY = 1 << 1,
    FLAGS_KNOWN = FLAG_JSON | FLAG_EXPIRY,
};

enum polarys_code stored_value_encode(struct buffer *to, const struct stored_value *value)
{
    enum polarys_code code = buffer_reserve(to, STORED_VALUE_HEADER_MAX + value->bytes.size);
    if (code != POLARYS_OK) {
        return code;
    }
    uint8_t header[STORED_VALUE_HEADER_MAX];
    size_t size = 1;
    header[0] = value->is_json ? FLAG_JSON : 0;
    if (value->expires_at_ms != 0) {
        header[0] |= FLAG_EXPIRY;
        put_u64_le(header + 1, value->expires_at_ms);
        size += 8;
    }
    code = buffer_append(to, header, size);
    return code == POLARYS_OK ? buffer_append_slice(to, value->bytes) : code;
}

bool stored_value_decode(struct polarys_slice stored, struct stored_value *value)
{
    if (stored.size == 0 || (stored.data[0] & ~FLAGS_KNOWN) != 0) {
        return false;
    }
    size_t size = 1;
    value->is_json = (stored.data[0] & FLAG_JSON) != 0;
    value->expires_at_ms = 0;
    if ((stored.data[0] & FLAG_EXPIRY) != 0) {
        if (stored.size < STORED_VALUE_HEADER_MAX) {
            return false;
        }
        value->expires_at_ms = get_u64_le(stored.data + 1);
        size += 8;
        /* An expiry of zero has no flag: one way only to store a value. */
        if (value->expires_at_ms == 0) {
            return false;
        }
    }
    value->bytes = slice_make(stored.data + size, stored.size - size);
    return true;
}
