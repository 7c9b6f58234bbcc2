/* SPDX-License-Identifier: Apache-2.0 */
/* The address that a node tells of itself: from the settings alone, so it is the same in every message. */
#include "service/replication/address.h"

#include <stdio.h>
#include <string.h>

void address_make(const struct config *config, uint16_t port, char *address)
{
    char host[CONFIG_TEXT_MAX];
    uint16_t configured;
    struct polarys_error err = POLARYS_ERROR_INIT;
    address[0] = '\0';
    if (config->advertise[0] != '\0') {
        memcpy(address, config->advertise, CONFIG_TEXT_MAX);
        return;
    }
    if (config_address_split(config->listen, host, &configured, &err) != POLARYS_OK ||
        host[0] == '\0' || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0) {
        return;
    }
    const char *form = strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u";
    /* NOLINTNEXTLINE(clang-diagnostic-format-nonliteral): one of the two above */
    int size = snprintf(address, CONFIG_TEXT_MAX, form, host, port);
    if (size < 0 || size >= CONFIG_TEXT_MAX) {
        address[0] = '\0';
    }
}
