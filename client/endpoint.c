/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judges endpoints by their form only: whether somebody answers there is found out by the first call.
 */
#include "client/endpoint.h"

#include <string.h>

#include "client/assert.h"
#include "client/polarys.h"

enum { PORT_DIGITS_MAX = 5, PORT_MAX = 65535 };

static const char digits[] = "0123456789";
/* Of names and IPv4 addresses; an underscore is no letter of host names, but containers have it. */
static const char host_characters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";

static bool is_port(const char *text)
{
    size_t size = strlen(text);
    unsigned port = 0;

    POLARYS_ASSERT(text != NULL);
    if (size == 0 || size > PORT_DIGITS_MAX || strspn(text, digits) != size) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    return port >= 1 && port <= PORT_MAX;
}

bool client_endpoint_is_valid(const char *endpoint)
{
    static const char unix_prefix[] = "unix:";

    POLARYS_ASSERT(endpoint != NULL);
    if (strncmp(endpoint, unix_prefix, sizeof(unix_prefix) - 1) == 0) {
        return endpoint[sizeof(unix_prefix) - 1] != '\0';
    }
    if (endpoint[0] == '[') {
        /* An address has a colon, and may name its interface behind a percent sign. */
        size_t size = strcspn(endpoint + 1, "]");
        return size > 0 && memchr(endpoint + 1, ':', size) != NULL &&
               strncmp(endpoint + 1 + size, "]:", 2) == 0 && is_port(endpoint + size + 3);
    }
    size_t host_size = strspn(endpoint, host_characters);
    return host_size > 0 && endpoint[host_size] == ':' && is_port(endpoint + host_size + 1);
}

bool client_endpoint_next(const char **list, char endpoint[CLIENT_ENDPOINT_BYTES_MAX])
{
    POLARYS_ASSERT(list != NULL && *list != NULL);
    POLARYS_ASSERT(endpoint != NULL);
    size_t size = strcspn(*list, ",");
    if (size >= CLIENT_ENDPOINT_BYTES_MAX) {
        return false;
    }
    memcpy(endpoint, *list, size);
    endpoint[size] = '\0';
    *list = (*list)[size] == ',' ? *list + size + 1 : NULL;
    return true;
}

size_t client_endpoint_count(const char *list)
{
    size_t count = 1;

    POLARYS_ASSERT(list != NULL);
    for (const char *comma = strchr(list, ','); comma != NULL; comma = strchr(comma + 1, ',')) {
        count++;
    }
    return count;
}

bool client_endpoint_list_is_valid(const char *list)
{
    char endpoint[CLIENT_ENDPOINT_BYTES_MAX];

    POLARYS_ASSERT(list != NULL);
    if (client_endpoint_count(list) > POLARYS_CLIENT_ENDPOINTS_MAX) {
        return false;
    }
    while (list != NULL) {
        if (!client_endpoint_next(&list, endpoint) || !client_endpoint_is_valid(endpoint)) {
            return false;
        }
    }
    return true;
}
