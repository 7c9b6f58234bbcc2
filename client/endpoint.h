/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The form of an endpoint. A text that is none would be taken for a name to be looked up, and the mistake
 * would come to light as a deadline that has passed.
 */
#ifndef CLIENT_ENDPOINT_H
#define CLIENT_ENDPOINT_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CLIENT_ENDPOINT_FORM "HOST:PORT, [IPV6]:PORT or unix:/path"

/* True for CLIENT_ENDPOINT_FORM, the port from 1 to 65535. Asks no name server whether the host exists. */
bool client_endpoint_is_valid(const char *endpoint);

#ifdef __cplusplus
}
#endif

#endif
