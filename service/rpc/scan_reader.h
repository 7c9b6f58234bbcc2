/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a range into messages: what Scan, Export and ListDocuments have in common. Field numbers
 * are theirs all three: header 1, version 2, documents 3.
 *
 * A message is filled in one slice that then goes out as it is. Belongs to one thread at a time,
 * like its call.
 */
#ifndef SERVICE_RPC_SCAN_READER_H
#define SERVICE_RPC_SCAN_READER_H

#include "service/rpc/operation.h"
#include "service/server/call.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SCAN_MESSAGE_FIRST_BYTES = 16 << 10, /* the first message is small, so that it comes soon */
    SCAN_MESSAGE_BYTES = 256 << 10,      /* later ones grow up to this */
    SCAN_MESSAGE_BYTES_MAX = 1 << 20,    /* of documents, but for one larger */
    SCAN_YIELD_ROWS = 2048,              /* on a worker, before other calls have their turn */
    SCAN_LOOK_ROWS = 256,                /* between two looks at clock and client */
    SCAN_TAIL_BYTES = 16 + (POLARYS_KEY_BYTES_MAX + 64) * 2, /* room for what closes a message */
};

enum scan_result {
    SCAN_MESSAGE_FULL,
    SCAN_END_OF_RANGE,
    SCAN_LIMIT, /* `limit` documents */
    SCAN_BYTES, /* the next one would go beyond `bytes_max` */
    SCAN_TIME,  /* time is over, or the server stops */
    SCAN_CANCELLED,
    SCAN_BLOCKED, /* goes on only where files may be read */
    SCAN_YIELD,
    SCAN_FAILED, /* call->error says why */
};

struct scan_reader {
    /* Set by the caller. */
    uint64_t limit;           /* 0: none */
    uint64_t bytes_max;       /* 0: none */
    uint64_t end_ns;          /* 0: none */
    size_t message_bytes_max; /* 0: SCAN_MESSAGE_BYTES */
    bool has_values;
    bool is_page; /* one message: the limit looks one document ahead */

    /* The reader's own. */
    struct polarys_scan *scan; /* NULL: the range is empty */
    uint64_t version;
    struct polarys_document pending;
    bool has_pending;
    bool has_sent_head;
    bool is_at_end;
    uint64_t rows;
    uint64_t bytes;
    unsigned flags;       /* wanted from the next document on */
    unsigned scan_flags;  /* that the scan has */
    size_t message_bytes; /* target of the next message */
    grpc_slice message;
    uint8_t *at; /* end of what is in it; NULL: no message begun */
    size_t documents_in_message;
    enum scan_result file_result; /* of the executor's fill, until the worker takes it */
    bool has_file_result;
    size_t last_key_size;
    uint8_t last_key[POLARYS_KEY_BYTES_MAX];
};

/* In the call's arena, for `call`; released with it. Errors: MEMORY_LIMIT. */
NODISCARD enum polarys_code scan_reader_create(struct call *call, struct scan_reader **out,
                                               struct polarys_error *err);
/*
 * Locks the range for the call's transaction, if it takes such locks, then calls `next`. On the
 * worker. An ill range is left to scan_reader_open to tell.
 */
void scan_reader_lock(struct call *call, const Polarys__V1__KeyRange *range,
                      void (*next)(struct call *call));
/*
 * Opens the range, at the call's read_version, after `after_key` in the direction of reading
 * (empty: from its beginning), or as the call's transaction sees it. Errors: as polarys_scan_open;
 * BAD_KEY; WOULD_BLOCK where another call of the transaction is under way: open it again.
 */
NODISCARD enum polarys_code scan_reader_open(struct call *call, struct scan_reader *reader,
                                             const Polarys__V1__KeyRange *range, bool is_reverse,
                                             struct polarys_slice after_key,
                                             struct polarys_error *err);
/* Files may be read from now on (true: on an executor thread), or not. */
void scan_reader_files_allow(struct scan_reader *reader, bool is_allowed);
/* Fills the message. */
enum scan_result scan_reader_fill(struct call *call, struct scan_reader *reader);
/* Begins a message if there is none; afterwards SCAN_TAIL_BYTES may be written at reader->at. */
void scan_reader_message_begin(const struct call *call, struct scan_reader *reader);
/* The message, taken out of the reader. REQUIRES: one is begun. */
grpc_slice scan_reader_message_take(struct scan_reader *reader);
void scan_reader_release(struct call *call);

#ifdef __cplusplus
}
#endif

#endif
