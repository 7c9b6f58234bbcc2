/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader that is stricter than protocol buffers ask for. It needs no generated code, and unlike that it keeps
 * the length of strings.
 */
#include "client/cli/polarysdb_message.h"

#include <string.h>

#include "client/assert.h"
#include "client/cli/text.h"

enum { WIRE_VARINT = 0, WIRE_BYTES = 2, FIELD_COUNT = 7, VARINT_BYTES_MAX = 10 };

enum message_field {
    FIELD_OPERATION = 1,
    FIELD_TABLE = 2,
    FIELD_KEY = 3,
    FIELD_VALUE = 4,
    FIELD_TRANSACTION = 5,
    FIELD_TIME = 6,
    FIELD_MAP = 7,
};

/* What is left to read. */
struct wire {
    const uint8_t *at;
    const uint8_t *end;
};

static bool varint_read(struct wire *wire, uint64_t *number)
{
    POLARYS_ASSERT(wire->at <= wire->end);
    *number = 0;
    for (int i = 0; i < VARINT_BYTES_MAX && wire->at < wire->end; i++) {
        uint8_t byte = *wire->at++;
        if (i == VARINT_BYTES_MAX - 1 && byte > 1) {
            return false;
        }
        *number |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            return true;
        }
    }
    return false;
}

static bool bytes_read(struct wire *wire, const uint8_t **bytes, size_t *size)
{
    uint64_t length;

    if (!varint_read(wire, &length) || length > (uint64_t)(wire->end - wire->at)) {
        return false;
    }
    *bytes = wire->at;
    *size = (size_t)length;
    wire->at += length;
    return true;
}

static bool fail(const char **why, const char *text)
{
    *why = text;
    return false;
}

/* Takes a field whose content is bytes. */
static bool bytes_take(struct wire *wire, enum message_field field,
                       struct polarysdb_message *message, const char **why)
{
    const uint8_t *bytes;
    size_t size;

    if (!bytes_read(wire, &bytes, &size)) {
        return fail(why, "a field of its message goes on behind the end");
    }
    bool is_text = field == FIELD_TABLE || field == FIELD_KEY;
    if (is_text && !text_is_utf8(bytes, size)) {
        return fail(why, "its table or key is no UTF-8");
    }
    if (field == FIELD_TABLE) {
        message->table = bytes;
        message->table_size = size;
    } else if (field == FIELD_KEY) {
        message->key = bytes;
        message->key_size = size;
    } else if (field == FIELD_VALUE) {
        message->value = bytes;
        message->value_size = size;
    } else if (field == FIELD_MAP || size > 0) {
        return fail(why, "it belongs to a transaction or has metadata, which no version up to 2.1 "
                         "writes");
    }
    return true;
}

static bool number_take(struct wire *wire, enum message_field field,
                        struct polarysdb_message *message, const char **why)
{
    uint64_t number;

    if (!varint_read(wire, &number)) {
        return fail(why, "a number of its message does not end");
    }
    if (field == FIELD_TIME) {
        message->time_ns = (int64_t)number;
        return true;
    }
    if (number < POLARYSDB_CREATE_TABLE || number > POLARYSDB_DELETE) {
        return fail(why, "its operation is none of create, write and delete");
    }
    message->operation = (enum polarysdb_operation)number;
    return true;
}

/* Takes one field. `seen` has a bit for each that there was. */
static bool field_take(struct wire *wire, struct polarysdb_message *message, unsigned *seen,
                       const char **why)
{
    uint64_t header;

    if (!varint_read(wire, &header)) {
        return fail(why, "its message is none of a log entry");
    }
    uint64_t number = header >> 3;
    bool is_number = number == FIELD_OPERATION || number == FIELD_TIME;
    if (number < 1 || number > FIELD_COUNT ||
        (header & 7) != (is_number ? (uint64_t)WIRE_VARINT : (uint64_t)WIRE_BYTES)) {
        return fail(why, "its message has a field that no version up to 2.1 writes");
    }
    if ((*seen >> number & 1) != 0) {
        return fail(why, "its message has a field twice");
    }
    *seen |= 1U << number;
    enum message_field field = (enum message_field)number;
    return is_number ? number_take(wire, field, message, why)
                     : bytes_take(wire, field, message, why);
}

bool polarysdb_message_read(const uint8_t *bytes, size_t size, struct polarysdb_message *message,
                            const char **why)
{
    POLARYS_ASSERT(bytes != NULL && why != NULL);
    struct wire wire = {bytes, bytes + size};
    unsigned seen = 0;

    memset(message, 0, sizeof(*message));
    while (wire.at < wire.end) {
        if (!field_take(&wire, message, &seen, why)) {
            return false;
        }
    }
    if ((seen >> FIELD_OPERATION & 1) == 0) {
        return fail(why, "its message has no operation");
    }
    if (message->table == NULL) {
        /* An empty name is left out of the message; so is an empty key. */
        message->table = bytes;
    }
    if (message->key == NULL) {
        message->key = bytes;
    }
    if (message->operation != POLARYSDB_WRITE && message->value_size > 0) {
        return fail(why, "it has a value, which only a write has");
    }
    return true;
}
