/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the sealed reader share. */
#ifndef ENGINE_WAL_WAL_SEALED_INTERNAL_H
#define ENGINE_WAL_WAL_SEALED_INTERNAL_H

#include "engine/base/checksum.h"
#include "engine/wal/wal_internal.h"
#include "engine/wal/wal_sealed.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Opens and pins the segment, and reads its header. On failure nothing is held. Errors: as wal_sealed_next. */
NODISCARD enum polarys_code wal_sealed_segment_open(struct wal_sealed *sealed, uint64_t segment_id,
                                                    struct polarys_error *err);
/* How far the open segment may be read, and whether the log goes on in the next one. */
NODISCARD enum polarys_code wal_sealed_limit(struct wal_sealed *sealed,
                                             const struct wal_position *until,
                                             struct wal_position *limit, bool *goes_on,
                                             struct polarys_error *err);
/* LOG_PRUNED with its detail. */
enum polarys_code wal_sealed_fail_pruned(struct wal_sealed *sealed, uint64_t segment_id,
                                         struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
