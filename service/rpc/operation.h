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

/* What has to hold. *has_condition is false where `from` is NULL or has nothing set. Errors:
 * BAD_ARGUMENT. */
NODISCARD enum polarys_code operation_condition_take(const Polarys__V1__Precondition *from,
                                                     struct polarys_precondition *condition,
                                                     bool *has_condition,
                                                     struct polarys_error *err);

/* A time of a millisecond up to ms_max; 0 where it is not set. Errors: BAD_ARGUMENT of `field`. */
NODISCARD enum polarys_code operation_duration_take(const Google__Protobuf__Duration *from,
                                                    const char *field, uint32_t ms_max,
                                                    uint32_t *ms, struct polarys_error *err);

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

/*
 * Operations without their tables, borrowed from the message, and from `range` where they are of a
 * range; `to` is zeroed before. Errors: BAD_ARGUMENT, BAD_KEY (a bound that is too long).
 */
NODISCARD enum polarys_code operation_put_take(const Polarys__V1__PutOperation *from,
                                               struct polarys_transact_operation *to,
                                               struct polarys_error *err);
NODISCARD enum polarys_code operation_update_take(const Polarys__V1__UpdateOperation *from,
                                                  struct polarys_transact_operation *to,
                                                  struct polarys_error *err);
NODISCARD enum polarys_code operation_delete_range_take(
    const Polarys__V1__DeleteRangeOperation *from, struct operation_range *range,
    struct polarys_transact_operation *to, struct polarys_error *err);
/* Zeroes `to` itself; range->is_empty is set for every kind. */
NODISCARD enum polarys_code operation_write_take(const Polarys__V1__WriteOperation *from,
                                                 struct operation_range *range,
                                                 struct polarys_transact_operation *to,
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
