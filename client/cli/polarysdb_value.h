/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of log entries. Since 2.0 a first byte tells the type; before, a value is JSON if it parses and text
 * otherwise.
 *
 * Invariant: numbers keep their text. Bytes that are no UTF-8 stay bytes, as raw documents.
 */
#ifndef CLIENT_CLI_POLARYSDB_VALUE_H
#define CLIENT_CLI_POLARYSDB_VALUE_H

#include "client/cli/polarysdb_store.h"

#ifdef __cplusplus
extern "C" {
#endif

enum polarysdb_value_result {
    POLARYSDB_VALUE_TAKEN,
    POLARYSDB_VALUE_BAD, /* no value of this form: *why tells */
    POLARYSDB_VALUE_NO_MEMORY,
};

/* Sets kind, value and value_size of `change`: they borrow from `bytes` or lie in the store. *why is static
 * text. */
enum polarysdb_value_result polarysdb_value_read_tagged(struct polarysdb_store *store,
                                                        const uint8_t *bytes, size_t size,
                                                        struct polarysdb_change *change,
                                                        const char **why);
/* The same for values from before 2.0, which are never bad. */
enum polarysdb_value_result polarysdb_value_read_untagged(struct polarysdb_store *store,
                                                          const uint8_t *bytes, size_t size,
                                                          struct polarysdb_change *change);

#ifdef __cplusplus
}
#endif

#endif
