/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cursors: where a query was, in bytes that mean nothing to anybody else.
 *
 * The place is the key of the document given last: the order is total, and what else is needed (its sort key,
 * its index entry) is read off that document again, at the same version. So a cursor is small whatever the
 * query sorts by, and goes on with any plan that gives the same order.
 */
#include "engine/base/checksum.h"
#include "engine/base/coding.h"
#include "engine/query_internal.h"

enum {
    CURSOR_FORMAT = 1,
    CURSOR_PAST_ANY = 1 << 0,
    CURSOR_IN_OVERLAY = 1 << 1,
    /* format, class, flags, zero, index id, query's hash, version, moment, hash of all else. */
    CURSOR_HEADER_SIZE = 4 + 4 + 8 + 8 + 8 + 8,
};

_Static_assert(CURSOR_HEADER_SIZE + POLARYS_KEY_BYTES_MAX <= POLARYS_CURSOR_BYTES_MAX,
               "every cursor fits");

static uint64_t hash_of(const uint8_t *header, struct polarys_slice key)
{
    uint8_t bytes[CURSOR_HEADER_SIZE];
    memcpy(bytes, header, CURSOR_HEADER_SIZE - 8);
    put_u64_le(bytes + CURSOR_HEADER_SIZE - 8, checksum_hash64(key));
    return checksum_hash64(slice_make(bytes, sizeof(bytes)));
}

enum polarys_code query_cursor_encode(struct polarys_query *query)
{
    const struct query_position *last = &query->last;
    uint8_t header[CURSOR_HEADER_SIZE] = {CURSOR_FORMAT, (uint8_t)query->class};
    header[2] = (uint8_t)((last->is_past_any ? CURSOR_PAST_ANY : 0) |
                          (last->is_in_overlay ? CURSOR_IN_OVERLAY : 0));
    put_u32_le(header + 4, query->index_id);
    put_u64_le(header + 8, query->hash);
    put_u64_le(header + 16, query->snapshot);
    put_u64_le(header + 24, query->judged_ms);
    put_u64_le(header + 32, hash_of(header, buffer_slice(&last->key)));
    buffer_clear(&query->cursor);
    enum polarys_code code = buffer_append(&query->cursor, header, sizeof(header));
    return code == POLARYS_OK ? buffer_append_slice(&query->cursor, buffer_slice(&last->key))
                              : code;
}

enum polarys_code query_cursor_decode(struct polarys_query *query, struct polarys_slice cursor,
                                      struct polarys_error *err)
{
    struct query_position *from = &query->from;
    if (cursor.size < CURSOR_HEADER_SIZE ||
        cursor.size > CURSOR_HEADER_SIZE + POLARYS_KEY_BYTES_MAX ||
        cursor.data[0] != CURSOR_FORMAT) {
        return polarys_fail(err, POLARYS_BAD_PAGE_TOKEN, "these bytes are no cursor");
    }
    struct polarys_slice key =
        slice_make(cursor.data + CURSOR_HEADER_SIZE, cursor.size - CURSOR_HEADER_SIZE);
    if (get_u64_le(cursor.data + 32) != hash_of(cursor.data, key)) {
        return polarys_fail(err, POLARYS_BAD_PAGE_TOKEN, "the cursor was changed");
    }
    if (get_u64_le(cursor.data + 8) != query->hash) {
        return polarys_fail(err, POLARYS_BAD_PAGE_TOKEN,
                            "the cursor is of another table, filter or order");
    }
    from->is_given = true;
    from->class = (enum query_class)cursor.data[1];
    from->is_past_any = (cursor.data[2] & CURSOR_PAST_ANY) != 0;
    from->is_in_overlay = (cursor.data[2] & CURSOR_IN_OVERLAY) != 0;
    from->index_id = get_u32_le(cursor.data + 4);
    query->snapshot = get_u64_le(cursor.data + 16);
    query->judged_ms = get_u64_le(cursor.data + 24);
    bool is_sound = from->class >= QUERY_BY_KEY && from->class <= QUERY_BY_ORDER &&
                    from->is_past_any == (key.size > 0) && query->snapshot != 0 &&
                    (from->class == QUERY_BY_ORDER) == (query->order.count > 0);
    if (!is_sound) {
        return polarys_fail(err, POLARYS_BAD_PAGE_TOKEN, "these bytes are no cursor");
    }
    if (buffer_append_slice(&from->key, key) != POLARYS_OK) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a query");
    }
    return POLARYS_OK;
}
