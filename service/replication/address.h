/* SPDX-License-Identifier: Apache-2.0 */
/* The address that a node tells of itself. */
#ifndef SERVICE_REPLICATION_ADDRESS_H
#define SERVICE_REPLICATION_ADDRESS_H

#include "service/config/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* HOST:PORT at which others reach this node, which serves at `port`: the setting `advertise`, or else `listen`. Empty where
 * that is a wildcard, which says nothing to others. `address` has CONFIG_TEXT_MAX bytes. */
void address_make(const struct config *config, uint16_t port, char *address);

#ifdef __cplusplus
}
#endif

#endif
