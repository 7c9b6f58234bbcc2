/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations of requests, put into an engine batch: shared by the calls that write.
 */
#ifndef SERVICE_RPC_OPERATION_H
#define SERVICE_RPC_OPERATION_H

#include "polarys/v1/bulk.pb-c.h"
#include "polarys/v1/kv.pb-c.h"
#include "service/server/call.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Borrowed from the request. Errors: BAD_ARGUMENT when nothing is set. */
NODISCARD enum polarys_code operation_value_take(const Polarys__V1__Value *from,
                                                 const Google__Protobuf__Timestamp *expire_time,
                                                 struct polarys_value *value,
                                                 struct polarys_error *err);

/* Adds a precondition to `batch` unless `from` is NULL or has nothing set. Errors: BAD_ARGUMENT,
 * those of polarys_batch_require. */
NODISCARD enum polarys_code operation_require(struct polarys_batch *batch, const char *table,
                                              struct polarys_slice key,
                                              const Polarys__V1__Precondition *from,
                                              struct polarys_error *err);

/* A range as the engine takes it, half open. */
struct operation_range {
    struct polarys_slice start;
    struct polarys_slice end;                  /* empty: to the last key */
    bool is_empty;                             /* no key can be in it */
    uint8_t prefix_end[POLARYS_KEY_BYTES_MAX]; /* what `end` may point to */
    uint8_t end_bytes[POLARYS_KEY_BYTES_MAX];  /* the same */
};

/*
 * The first key after all that begin with `prefix`, in `bytes` of POLARYS_KEY_BYTES_MAX; empty when
 * there is none. For a key of the greatest length it is the next key.
 */
struct polarys_slice operation_key_after(struct polarys_slice prefix, uint8_t *bytes);

/* All bounds of `from` together; NULL is every key. Errors: BAD_KEY for bounds that are too
 * long. */
NODISCARD enum polarys_code operation_range_take(const Polarys__V1__KeyRange *from,
                                                 struct operation_range *range,
                                                 struct polarys_error *err);

/* Adds one operation of a BatchWrite, on `table`, to the call's batch. Errors: as the engine's
 * batch functions, BAD_ARGUMENT. */
NODISCARD enum polarys_code operation_apply(struct call *call, const char *table,
                                            const Polarys__V1__WriteOperation *operation,
                                            struct polarys_error *err);

/* One record of a bulk write. */
NODISCARD enum polarys_code operation_record_apply(struct polarys_batch *batch, const char *table,
                                                   const Polarys__V1__BulkRecord *record,
                                                   struct polarys_error *err);

/* BAD_ARGUMENT of `field`. */
enum polarys_code operation_bad(struct polarys_error *err, const char *field, const char *why);

#ifdef __cplusplus
}
#endif

#endif
