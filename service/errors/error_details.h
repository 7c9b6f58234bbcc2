/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A failed call's particulars: google.rpc.Status as it travels in `grpc-status-details-bin`.
 */
#ifndef SERVICE_ERRORS_ERROR_DETAILS_H
#define SERVICE_ERRORS_ERROR_DETAILS_H

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    ERROR_DETAILS_BYTES_MAX = 4096, /* more was measured to break the status itself */
    ERROR_SUBJECT_BYTES_MAX = 300,  /* of a name or key in them; longer ones are shortened */
    ERROR_SUBJECT_SHOWN = 64,       /* bytes of a key that are shown */
};

#define ERROR_DOMAIN "polarysdb.io"

/* What the call was about; parts that it does not have are NULL or empty. Borrowed. */
struct error_subject {
    const char *database;
    const char *table;
    struct polarys_slice key;
    const char *part; /* of an error about an index or a transaction: its name */
};

/*
 * Encodes the status of `err` into `bytes`, ERROR_DETAILS_BYTES_MAX of them. Returns the size,
 * which never exceeds that. Always has ErrorInfo{reason, domain, metadata}; the others as the
 * error's rule says.
 */
size_t error_details_encode(const struct polarys_error *err, const struct error_subject *subject,
                            uint8_t *bytes);

/*
 * A key for people, NUL-terminated in `text` of ERROR_SUBJECT_BYTES_MAX bytes: printable ASCII as
 * it is, other bytes as \xNN, and the end of a long one replaced by "...". The text is UTF-8
 * whatever the key is.
 */
void error_key_show(struct polarys_slice key, char *text);

#ifdef __cplusplus
}
#endif

#endif
