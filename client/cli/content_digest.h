/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A digest of what a store holds, by which two stores can be compared: databases and tables in the order of
 * their names, documents in the order of their keys with kind, expiry and value. Not versions: a restored store
 * has the same content, whatever it was numbered.
 *
 * The bytes that are digested are told in docs/formats/backup.md.
 */
#ifndef CLIENT_CLI_CONTENT_DIGEST_H
#define CLIENT_CLI_CONTENT_DIGEST_H

#include "client/cli/cli.h"
#include "client/cli/digest.h"

#ifdef __cplusplus
extern "C" {
#endif

struct content_digest {
    uint8_t sha256[DIGEST_SIZE];
    uint64_t version; /* that was read */
    uint64_t tables;
    uint64_t documents;
    uint64_t bytes; /* of keys and values */
};

/* Of an open store, at its newest version. */
enum cli_status content_digest_store(struct cli *cli, struct polarys_db *db,
                                     struct content_digest *content);
/* Of the server, at `version`. A table that was dropped since is not there to be read: then the digests differ. */
enum cli_status content_digest_server(struct cli *cli, uint64_t version,
                                      struct content_digest *content);

#ifdef __cplusplus
}
#endif

#endif
