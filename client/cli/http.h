/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One GET over plain HTTP, for the server's admin port.
 */
#ifndef CLIENT_CLI_HTTP_H
#define CLIENT_CLI_HTTP_H

#include "client/cli/cli.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { HTTP_RESPONSE_BYTES_MAX = 64 << 20 };

/* An answer; free with free(bytes). */
struct http_response {
    char *bytes; /* headers and body */
    size_t size;
    int status;       /* 200 */
    const char *body; /* within bytes */
    size_t body_size;
};

/* GET http://ENDPOINT/path. CLI_FAILED and CLI_USAGE were reported. */
enum cli_status http_get(struct cli *cli, const char *endpoint, const char *path,
                         struct http_response *response);

/* Finds status and body in bytes[0..size). False for what is no HTTP answer. */
bool http_response_parse(struct http_response *response);

#ifdef __cplusplus
}
#endif

#endif
