/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The form of an endpoint. A text that is none would be taken for a name to be looked up, and the mistake
 * would come to light as a deadline that has passed.
 */
#ifndef CLIENT_ENDPOINT_H
#define CLIENT_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CLIENT_ENDPOINT_FORM "HOST:PORT, [IPV6]:PORT or unix:/path"

/* True for CLIENT_ENDPOINT_FORM, the port from 1 to 65535. Asks no name server whether the host exists. */
bool client_endpoint_is_valid(const char *endpoint);

enum { CLIENT_ENDPOINT_BYTES_MAX = 512 }; /* of one endpoint, with its NUL */
#define CLIENT_ENDPOINT_LIST_FORM CLIENT_ENDPOINT_FORM ", or several with commas between"

/* Cuts the first endpoint off a list: copies it out and moves *list behind its comma, or to NULL at the end. False:
 * it is longer than CLIENT_ENDPOINT_BYTES_MAX; what stands there need not be valid. REQUIRES: *list is not NULL. */
bool client_endpoint_next(const char **list, char endpoint[CLIENT_ENDPOINT_BYTES_MAX]);
/* True for 1 to POLARYS_CLIENT_ENDPOINTS_MAX valid endpoints with commas between and nothing else. */
bool client_endpoint_list_is_valid(const char *list);
/* How many endpoints a list has. */
size_t client_endpoint_count(const char *list);

#ifdef __cplusplus
}
#endif

#endif
