/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of the messages, by hand: proto/polarys/v1/{kv,bulk,table}.proto, and the two of etcd's rpc.proto
 * that are measured beside them. Field numbers stand at their use.
 */
#include <stdio.h>
#include <string.h>

#include "bench/load/load.h"

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

enum { VARINT_SIZE_MAX = 10, RECORD_OVERHEAD_MAX = 48 };

static const char HOT_KEY[] = "hot";

static uint8_t *varint_put(uint8_t *to, uint64_t value)
{
    while (value >= 0x80) {
        *to++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t)value;
    return to;
}

static size_t varint_size(uint64_t value)
{
    size_t size = 1;
    for (; value >= 0x80; value >>= 7) {
        size++;
    }
    return size;
}

static uint8_t *number_put(uint8_t *to, uint32_t field, uint64_t value)
{
    return varint_put(varint_put(to, field << 3 | WIRE_VARINT), value);
}

static uint8_t *length_put(uint8_t *to, uint32_t field, size_t size)
{
    return varint_put(varint_put(to, field << 3 | WIRE_BYTES), size);
}

static uint8_t *bytes_put(uint8_t *to, uint32_t field, const void *bytes, size_t size)
{
    to = length_put(to, field, size);
    memcpy(to, bytes, size);
    return to + size;
}

static uint8_t *key_put(uint8_t *to, uint32_t field, uint64_t key)
{
    to = length_put(to, field, BENCH_KEY_SIZE);
    bench_key_write(to, key);
    return to + BENCH_KEY_SIZE;
}

static size_t field_size(size_t size)
{
    return 1 + varint_size(size) + size;
}

/* `size` bytes of JSON. */
static uint8_t *document_put(uint8_t *to, uint32_t size, uint64_t key)
{
    char head[LOAD_JSON_SIZE_MIN];
    int head_size =
        snprintf(head, sizeof(head), "{\"id\":%llu,\"pad\":\"", (unsigned long long)key);
    memcpy(to, head, (size_t)head_size);
    memset(to + head_size, 'x', size - (size_t)head_size);
    memcpy(to + size - 2, "\"}", 2);
    return to + size;
}

/* Value{json = 1} or Value{raw = 2} as `field`. */
static uint8_t *value_put(uint8_t *to, uint32_t field, const struct load_settings *settings,
                          uint64_t key, uint64_t *random)
{
    uint32_t size = settings->value_size;
    to = length_put(to, field, field_size(size));
    if (settings->is_json) {
        return document_put(length_put(to, 1, size), size, key);
    }
    return bytes_put(to, 2, bench_value_pick(random, size), size);
}

static uint8_t *durability_put(uint8_t *to, const struct load_settings *settings)
{
    return settings->durability == 0 ? to : number_put(to, 12, settings->durability);
}

/* A merge patch that sets one member to the number. */
static uint8_t *patch_put(uint8_t *to, uint32_t field, uint64_t number)
{
    char patch[40];
    int size = snprintf(patch, sizeof(patch), "{\"n\":%llu}", (unsigned long long)number);
    return bytes_put(to, field, patch, (size_t)size);
}

static uint8_t *filter_put(uint8_t *to, uint32_t field, uint64_t key)
{
    char filter[40];
    int size = snprintf(filter, sizeof(filter), "id = %llu", (unsigned long long)key);
    return bytes_put(to, field, filter, (size_t)size);
}

/* TransactOperation as then_operations = 4: get = 2 or put = 3 of a key. */
static uint8_t *transact_operations_put(uint8_t *to, const struct load_settings *settings,
                                        uint64_t key, uint64_t *random)
{
    uint64_t other = bench_random_next(random) % settings->keys;
    uint64_t keys[2] = {key, other == key ? (key + 1) % settings->keys : other};
    size_t get = field_size(BENCH_KEY_SIZE);
    size_t put = get + field_size(field_size(settings->value_size));
    for (int i = 0; i < 2; i++) {
        to = length_put(length_put(to, 4, field_size(get)), 2, get);
        to = key_put(to, 1, keys[i]);
    }
    for (int i = 0; i < 2; i++) {
        to = length_put(length_put(to, 4, field_size(put)), 3, put);
        to = value_put(key_put(to, 1, keys[i]), 2, settings, keys[i], random);
    }
    return to;
}

const char *load_message_method(enum load_kind kind)
{
    switch (kind) {
    case LOAD_GET:
        return "/polarys.v1.KvService/Get";
    case LOAD_PUT:
        return "/polarys.v1.KvService/Put";
    case LOAD_TRANSACT:
        return "/polarys.v1.TransactionService/Transact";
    case LOAD_QUERY:
        return "/polarys.v1.QueryService/Query";
    case LOAD_UPDATE:
        return "/polarys.v1.KvService/Update";
    case LOAD_ETCD_RANGE:
    case LOAD_ETCD_RANGE_LOCAL:
        return "/etcdserverpb.KV/Range";
    case LOAD_ETCD_PUT:
        return "/etcdserverpb.KV/Put";
    }
    bench_die("there is no such kind of call");
}

size_t load_message_write(enum load_kind kind, const struct load_settings *settings, uint64_t key,
                          uint64_t *random, uint8_t *to)
{
    uint8_t *begin = to;
    switch (kind) {
    case LOAD_GET:
    case LOAD_PUT:
        to = bytes_put(to, 2, settings->table, strlen(settings->table));
        to = key_put(to, 3, key);
        if (kind == LOAD_PUT) {
            to = durability_put(value_put(to, 4, settings, key, random), settings);
        }
        break;
    case LOAD_TRANSACT:
        to = bytes_put(to, 2, settings->table, strlen(settings->table));
        to = durability_put(transact_operations_put(to, settings, key, random), settings);
        break;
    case LOAD_QUERY:
        to = bytes_put(to, 2, settings->table, strlen(settings->table));
        to = filter_put(to, 3, key);
        break;
    case LOAD_UPDATE:
        to = bytes_put(to, 2, settings->table, strlen(settings->table));
        to = bytes_put(to, 3, HOT_KEY, strlen(HOT_KEY));
        to = durability_put(patch_put(to, 4, key), settings);
        break;
    case LOAD_ETCD_RANGE:
    case LOAD_ETCD_RANGE_LOCAL:
        to = key_put(to, 1, key);
        if (kind == LOAD_ETCD_RANGE_LOCAL) {
            to = number_put(to, 7, 1); /* serializable */
        }
        break;
    case LOAD_ETCD_PUT:
        to = key_put(to, 1, key);
        to = bytes_put(to, 2, bench_value_pick(random, settings->value_size), settings->value_size);
        break;
    }
    return (size_t)(to - begin);
}

size_t load_message_create_table(const struct load_settings *settings, uint8_t *to)
{
    return (size_t)(bytes_put(to, 2, settings->table, strlen(settings->table)) - to);
}

size_t load_message_create_index(const struct load_settings *settings, uint8_t *to)
{
    uint8_t *end = bytes_put(to, 2, settings->table, strlen(settings->table));
    end = bytes_put(end, 4, "id", 2);
    end = number_put(end, 5, 1); /* INDEX_KIND_HASH */
    return (size_t)(number_put(end, 8, 1) - to);
}

size_t load_message_hot(const struct load_settings *settings, uint8_t *to)
{
    static const char document[] = "{\"n\":0}";
    uint8_t value[16];
    uint8_t *value_end = bytes_put(value, 1, document, strlen(document)); /* Value.json */
    uint8_t *end = bytes_put(to, 2, settings->table, strlen(settings->table));
    end = bytes_put(end, 3, HOT_KEY, strlen(HOT_KEY));
    return (size_t)(bytes_put(end, 4, value, (size_t)(value_end - value)) - to);
}

size_t load_message_scan(const struct load_settings *settings, uint8_t *to)
{
    return (size_t)(bytes_put(to, 2, settings->table, strlen(settings->table)) - to);
}

size_t load_message_write_open(const struct load_settings *settings, uint8_t *to)
{
    uint8_t open[256];
    uint8_t *end = bytes_put(open, 2, settings->table, strlen(settings->table));
    end = durability_put(end, settings);
    return (size_t)(bytes_put(to, 1, open, (size_t)(end - open)) - to);
}

size_t load_message_write_close(uint8_t *to)
{
    return (size_t)(length_put(to, 3, 0) - to);
}

size_t load_message_write_batch_max(const struct load_settings *settings, uint32_t count)
{
    return (size_t)count * (RECORD_OVERHEAD_MAX + BENCH_KEY_SIZE + settings->value_size) +
           4 * VARINT_SIZE_MAX;
}

size_t load_message_write_batch(const struct load_settings *settings, uint64_t number,
                                uint32_t count, uint64_t first, bool random_keys, uint64_t *random,
                                uint8_t *to)
{
    uint8_t *begin = to;
    size_t value = field_size(field_size(settings->value_size));
    size_t record = field_size(BENCH_KEY_SIZE) + value;
    size_t batch = 1 + varint_size(number) + count * field_size(record);

    to = length_put(to, 2, batch);
    to = number_put(to, 1, number);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t key = random_keys ? bench_random_next(random) % settings->keys : first + i;
        to = length_put(to, 2, record);
        to = key_put(to, 1, key);
        to = value_put(to, 2, settings, key, random);
    }
    return (size_t)(to - begin);
}

/* One field; moves *at behind it. `bytes` is set for fields of bytes, `value` for the others. */
struct field {
    uint32_t number;
    uint64_t value; /* or the size */
    const uint8_t *bytes;
};

static uint64_t varint_take(const uint8_t **at, const uint8_t *end)
{
    uint64_t value = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return value;
        }
    }
    bench_die("an answer ends within a number");
}

static bool field_take(const uint8_t **at, const uint8_t *end, struct field *field)
{
    if (*at == end) {
        return false;
    }
    uint64_t tag = varint_take(at, end);
    memset(field, 0, sizeof(*field));
    field->number = (uint32_t)(tag >> 3);
    uint64_t skipped = 0;
    switch (tag & 7) {
    case WIRE_VARINT:
        field->value = varint_take(at, end);
        break;
    case WIRE_BYTES:
        field->value = varint_take(at, end);
        field->bytes = *at;
        skipped = field->value;
        break;
    case WIRE_64:
        skipped = 8;
        break;
    case WIRE_32:
        skipped = 4;
        break;
    default:
        bench_die("an answer has a field of an unknown type");
    }
    if (skipped > (uint64_t)(end - *at)) {
        bench_die("an answer ends within a field");
    }
    *at += skipped;
    return true;
}

void load_message_read_answer(const uint8_t *bytes, size_t size, struct load_write_answer *answer)
{
    const uint8_t *at = bytes;
    struct field outer;
    struct field field;
    memset(answer, 0, sizeof(*answer));
    if (!field_take(&at, bytes + size, &outer) || outer.bytes == NULL || outer.number < 1 ||
        outer.number > 3) {
        bench_die("a write stream gave an answer that is none");
    }
    answer->kind = (enum load_answer)(outer.number - 1);
    at = outer.bytes;
    while (field_take(&at, outer.bytes + outer.value, &field)) {
        if (answer->kind != LOAD_ANSWER_CLOSED && field.number == 4) {
            answer->window_bytes = field.value;
        } else if (answer->kind == LOAD_ANSWER_ACK && field.number == 1) {
            answer->number = field.value;
        } else if (answer->kind == LOAD_ANSWER_ACK && field.number == 3) {
            answer->is_refused = true;
        }
    }
}

uint64_t load_message_count_documents(const uint8_t *bytes, size_t size)
{
    const uint8_t *at = bytes;
    struct field field;
    uint64_t count = 0;
    while (field_take(&at, bytes + size, &field)) {
        count += field.number == 3;
    }
    return count;
}
