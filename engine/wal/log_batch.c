/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoding of commits: polarys.log.v1.LogBatch, field by field in the order that protobuf-c writes them,
 * zero and empty fields left out.
 *
 * Sizes are worked out first, so that every length stands before its bytes and the buffer grows once.
 */
#include "engine/wal/log_batch.h"

#include <pthread.h>
#include <zstd.h>

#include "engine/wal/log_batch_internal.h"

enum {
    COMPRESSION_LEVEL = 1,
    COMPRESSION_SAVING_DIVISOR = 8, /* compressed only when this part of the bytes is saved */
};

/* What is written of an operation. */
struct operation_fields {
    uint32_t kind;
    uint32_t database_id;
    uint32_t table_id;
    struct polarys_slice key;
    struct polarys_slice value;
};

/* A thread's own compressor, which is costly to make. */
static pthread_once_t compressor_once = PTHREAD_ONCE_INIT;
static pthread_key_t compressor_cleanup;
static _Thread_local ZSTD_CCtx *compressor;

static void compressor_destroy(void *context)
{
    ZSTD_freeCCtx(context);
    compressor = NULL;
}

static void compressor_init(void)
{
    POLARYS_ASSERT(pthread_key_create(&compressor_cleanup, compressor_destroy) == 0);
}

static ZSTD_CCtx *compressor_get(void)
{
    if (compressor == NULL) {
        pthread_once(&compressor_once, compressor_init);
        ZSTD_CCtx *context = ZSTD_createCCtx();
        if (context == NULL || pthread_setspecific(compressor_cleanup, context) != 0) {
            ZSTD_freeCCtx(context);
            return NULL;
        }
        compressor = context;
    }
    return compressor;
}

void log_batch_put_time(uint8_t to[LOG_BATCH_TIME_SIZE], uint64_t time_unix_ms)
{
    to[0] = TAG_BATCH_TIME;
    put_u64_le(to + 1, time_unix_ms);
}

/* The end of a range as the log has it: a user key, or nothing for the end of the table. */
static bool range_end_take(const struct entry *operation, struct operation_fields *fields)
{
    uint8_t next_table[TREE_KEY_PREFIX_SIZE];
    struct polarys_slice end = operation->value;
    if (end.size > TREE_KEY_PREFIX_SIZE && end.size <= TREE_KEY_SIZE_MAX &&
        memcmp(end.data, operation->key.data, TREE_KEY_PREFIX_SIZE) == 0) {
        fields->value =
            slice_make(end.data + TREE_KEY_PREFIX_SIZE, end.size - TREE_KEY_PREFIX_SIZE);
        return true;
    }
    fields->value = slice_make(NULL, 0);
    return end.size == TREE_KEY_PREFIX_SIZE &&
           tree_key_next_table(next_table, fields->database_id, fields->table_id) &&
           memcmp(end.data, next_table, TREE_KEY_PREFIX_SIZE) == 0;
}

static bool operation_take(const struct entry *operation, struct operation_fields *fields)
{
    struct polarys_slice key = operation->key;
    if (key.size < TREE_KEY_PREFIX_SIZE || key.size > TREE_KEY_SIZE_MAX ||
        operation->value.size > LOG_COMMIT_BYTES_MAX) {
        return false;
    }
    fields->kind = (uint32_t)operation->kind;
    fields->database_id = get_u32_be(key.data);
    fields->table_id = get_u32_be(key.data + 4);
    fields->key = slice_make(key.data + TREE_KEY_PREFIX_SIZE, key.size - TREE_KEY_PREFIX_SIZE);
    fields->value = operation->value;
    switch (operation->kind) {
    case ENTRY_PUT:
        return true;
    case ENTRY_DELETE:
        return operation->value.size == 0;
    case ENTRY_RANGE_DELETE:
        return range_end_take(operation, fields);
    }
    return false;
}

static size_t varint_field_size(uint32_t value)
{
    return value == 0 ? 0 : 1 + varint_size(value);
}

static size_t bytes_field_size(struct polarys_slice bytes)
{
    return bytes.size == 0 ? 0 : 1 + varint_size(bytes.size) + bytes.size;
}

/* Of the operation's own bytes, without the tag and length before them. */
static size_t operation_size(const struct operation_fields *fields)
{
    return varint_field_size(fields->kind) + varint_field_size(fields->database_id) +
           varint_field_size(fields->table_id) + bytes_field_size(fields->key) +
           bytes_field_size(fields->value);
}

static uint8_t *varint_field_put(uint8_t *to, uint8_t tag, uint32_t value)
{
    if (value != 0) {
        *to++ = tag;
        to += put_varint(to, value);
    }
    return to;
}

static uint8_t *bytes_field_put(uint8_t *to, uint8_t tag, struct polarys_slice bytes)
{
    if (bytes.size != 0) {
        *to++ = tag;
        to += put_varint(to, bytes.size);
        memcpy(to, bytes.data, bytes.size);
        to += bytes.size;
    }
    return to;
}

static uint8_t *operation_put(uint8_t *to, const struct operation_fields *fields)
{
    *to++ = TAG_COMMIT_OPERATION;
    to += put_varint(to, operation_size(fields));
    to = varint_field_put(to, TAG_OPERATION_KIND, fields->kind);
    to = varint_field_put(to, TAG_OPERATION_DATABASE_ID, fields->database_id);
    to = varint_field_put(to, TAG_OPERATION_TABLE_ID, fields->table_id);
    to = bytes_field_put(to, TAG_OPERATION_KEY, fields->key);
    return bytes_field_put(to, TAG_OPERATION_VALUE, fields->value);
}

/* The size of all operations, with the tag and length before each. */
static enum polarys_code operations_measure(const struct entry *operations, size_t operation_count,
                                            size_t *size, struct polarys_error *err)
{
    *size = 0;
    for (size_t i = 0; i < operation_count; i++) {
        struct operation_fields fields;
        if (!operation_take(&operations[i], &fields)) {
            return polarys_fail(err, POLARYS_BUG, "operation %zu of a commit makes no sense", i);
        }
        size_t own_size = operation_size(&fields);
        *size += 1 + varint_size(own_size) + own_size;
        if (*size > LOG_COMMIT_BYTES_MAX) {
            (void)polarys_fail(err, POLARYS_TOO_LARGE, "a commit holds more than %d bytes",
                               LOG_COMMIT_BYTES_MAX);
            polarys_error_detail_set(err, "limit", "%d", LOG_COMMIT_BYTES_MAX);
            return POLARYS_TOO_LARGE;
        }
    }
    return POLARYS_OK;
}

static uint8_t *operations_put(uint8_t *to, const struct entry *operations, size_t operation_count)
{
    for (size_t i = 0; i < operation_count; i++) {
        struct operation_fields fields;
        bool is_good = operation_take(&operations[i], &fields);
        POLARYS_ASSERT(is_good); /* measured before */
        to = operation_put(to, &fields);
    }
    return to;
}

/*
 * Replaces the plain Commit at to->data + start, whose operations are the `plain_size` bytes at
 * plain_start, by its compressed form; leaves it where that saves little. Sets to->size on success.
 */
static enum polarys_code commit_compress(struct buffer *to, size_t start, size_t plain_start,
                                         size_t plain_size, struct polarys_error *err)
{
    struct buffer packed = {0};
    ZSTD_CCtx *context = compressor_get();
    if (context == NULL || buffer_reserve(&packed, ZSTD_compressBound(plain_size)) != POLARYS_OK) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to compress a commit");
    }
    size_t packed_size = ZSTD_compressCCtx(context, packed.data, packed.capacity,
                                           to->data + plain_start, plain_size, COMPRESSION_LEVEL);
    to->size = plain_start + plain_size;
    if (!ZSTD_isError(packed_size) &&
        packed_size <= plain_size - plain_size / COMPRESSION_SAVING_DIVISOR) {
        struct polarys_slice bytes = slice_make(packed.data, packed_size);
        uint8_t *at = to->data + start;
        *at++ = TAG_BATCH_COMMIT;
        at += put_varint(at, bytes_field_size(bytes) + varint_field_size((uint32_t)plain_size));
        at = bytes_field_put(at, TAG_COMMIT_COMPRESSED, bytes);
        at = varint_field_put(at, TAG_COMMIT_UNCOMPRESSED_SIZE, (uint32_t)plain_size);
        POLARYS_ASSERT((size_t)(at - to->data) <= to->size);
        to->size = (size_t)(at - to->data);
    }
    buffer_deinit(&packed);
    return POLARYS_OK;
}

enum polarys_code log_commit_encode(struct buffer *to, const struct entry *operations,
                                    size_t operation_count, struct polarys_error *err)
{
    size_t plain_size;
    size_t start = to->size;
    enum polarys_code code = operations_measure(operations, operation_count, &plain_size, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = buffer_reserve(to, 1 + VARINT64_SIZE_MAX + plain_size);
    if (code != POLARYS_OK) {
        return polarys_fail(err, code, "no memory for a commit of %zu bytes", plain_size);
    }
    uint8_t *at = to->data + start;
    *at++ = TAG_BATCH_COMMIT;
    at += put_varint(at, plain_size);
    size_t plain_start = (size_t)(at - to->data);
    at = operations_put(at, operations, operation_count);
    POLARYS_ASSERT((size_t)(at - to->data) == plain_start + plain_size);
    if (plain_size > LOG_COMMIT_COMPRESS_BYTES_MIN) {
        return commit_compress(to, start, plain_start, plain_size, err);
    }
    to->size = plain_start + plain_size;
    return POLARYS_OK;
}
