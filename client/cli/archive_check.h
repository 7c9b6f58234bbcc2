/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an archive covers, and whether all of it is as it was stored. No key is needed.
 */
#ifndef CLIENT_CLI_ARCHIVE_CHECK_H
#define CLIENT_CLI_ARCHIVE_CHECK_H

#include "client/cli/archive_read.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Log without a gap. */
struct archive_span {
    uint64_t from_version; /* of its first commit; 0: it has none */
    uint64_t to_version;
    uint64_t from_unix_ms; /* when its first piece was sent, by the primary's clock */
    uint64_t to_unix_ms;
    uint64_t from_segment;
    uint64_t to_segment;
    uint64_t term; /* the highest in it */
    size_t piece_count;
    bool has_gap_before; /* there is older log, and it does not reach here */
};

/* Reads the first and the last head of each segment. Errors: those of archive_reader_head. */
NODISCARD enum polarys_code archive_spans_visit(struct archive_reader *reader,
                                                const struct archive_index *index,
                                                void (*visit)(void *context,
                                                              const struct archive_span *span),
                                                void *context, struct polarys_error *err);

struct archive_complaints {
    void (*tell)(void *context, const struct polarys_error *err);
    void *context;
};

struct archive_verdict {
    uint64_t piece_count;
    uint64_t keyring_count;
    uint64_t frame_count;
    uint64_t log_bytes;
    uint64_t run_count;     /* 1: no gap was left when the log was stored */
    uint64_t trouble_count; /* each was told */
    uint64_t to_version;
    uint64_t complete_unix_ms;
};

/*
 * Reads every piece and every keyring. What is missing or altered is told, and the rest is still read. Errors: those of
 * objects_get, NO_MEMORY; trouble is none.
 */
NODISCARD enum polarys_code archive_verify(struct archive_reader *reader,
                                           const struct archive_index *index,
                                           const struct archive_complaints *complaints,
                                           struct archive_verdict *verdict,
                                           struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
