/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts the connections to the gRPC port, which the C core does not, by asking the kernel. When
 * there are more than allowed, the first ones stay admitted and calls on others are refused.
 */
#ifndef SERVICE_ADMIN_CONNECTIONS_H
#define SERVICE_ADMIN_CONNECTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CONNECTIONS_COUNTED_MAX = 1 << 20 };

struct connections;

/* Errors: NO_MEMORY. */
NODISCARD enum polarys_code connections_create(uint64_t allowed_max, struct connections **out,
                                               struct polarys_error *err);
void connections_destroy(struct connections *connections);
/*
 * Counts anew, on the control loop. True when more are open than allowed. Errors show as the old
 * count: the limit is a protection, and must not be what fails.
 */
bool connections_count(struct connections *connections, uint16_t port, uint64_t *count);
/* Whether the peer, as gRPC spells it ("ipv4:127.0.0.1:4711"), is among the admitted. Any
 * thread. */
bool connections_is_admitted(struct connections *connections, const char *peer);

/* For tests: the same with a list of peers instead of the kernel's. */
bool connections_list_take(struct connections *connections, const uint64_t *peers, size_t count);
/* A digest of a peer, as connections_list_take wants it: 16 bytes of IPv6 (or mapped IPv4) and a
 * port. */
uint64_t connections_peer_digest(const uint8_t *address, uint16_t port);

#ifdef __cplusplus
}
#endif

#endif
