/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin port: plain HTTP for probes and metrics, run by the control loop. /livez, /readyz,
 * /startupz, /metrics.
 */
#ifndef SERVICE_ADMIN_HTTP_H
#define SERVICE_ADMIN_HTTP_H

#include <ev.h>

#include "service/server/server.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { HTTP_CONNECTIONS_MAX = 64, HTTP_IDLE_SECONDS = 15, HTTP_PROBE_MS = 1000 };

struct http;

/* Listens on `address` and watches on `loop`. Errors: BAD_ARGUMENT, IO. */
NODISCARD enum polarys_code http_open(struct ev_loop *loop, const char *address,
                                      const struct config *config, struct http **out,
                                      struct polarys_error *err);
/* The server has started; before, /startupz and /readyz say no. On the loop's thread. */
void http_server_set(struct http *http, struct server *server);
uint16_t http_port(const struct http *http);
/* Accepts NULL. */
void http_close(struct http *http);

/*
 * Connects to a listener of gRPC on this machine and waits for the first byte that it says, at most
 * HTTP_PROBE_MS. False when nobody accepts: the listener of the C core can die while the process
 * lives.
 */
bool http_listener_probe(const char *host, uint16_t port);

#ifdef __cplusplus
}
#endif

#endif
