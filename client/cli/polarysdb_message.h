/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The message of a log entry, in the wire format of protocol buffers: 1 operation, 2 table, 3 key, 4 value,
 * 5 transaction, 6 time, 7 a map.
 *
 * Invariant: what no version writes is refused: other fields, a field twice, a transaction, a map, an operation
 * that is none. Guessing what they mean would be worse than stopping.
 */
#ifndef CLIENT_CLI_POLARYSDB_MESSAGE_H
#define CLIENT_CLI_POLARYSDB_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum polarysdb_operation {
    POLARYSDB_CREATE_TABLE = 1,
    POLARYSDB_WRITE = 2,
    POLARYSDB_DELETE = 3,
};

/* Borrows from the bytes it was read from. */
struct polarysdb_message {
    enum polarysdb_operation operation;
    const uint8_t *table; /* UTF-8, and so is the key */
    size_t table_size;
    const uint8_t *key;
    size_t key_size;
    const uint8_t *value;
    size_t value_size;
    int64_t time_ns; /* Unix time */
};

/* False: the bytes are no such message; *why is static text. */
bool polarysdb_message_read(const uint8_t *bytes, size_t size, struct polarysdb_message *message,
                            const char **why);

#ifdef __cplusplus
}
#endif

#endif
