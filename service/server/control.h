/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control loop: the main thread, in libev. It takes signals, serves the admin port, watches the
 * store and the connections, and leads the server up and down.
 *
 * Up: the admin port first, so that a long recovery can be watched; then engine and gRPC on a
 * thread of their own. Down: not ready, grace, refuse, shut the listener, wait, cancel, wait,
 * close.
 */
#ifndef SERVICE_SERVER_CONTROL_H
#define SERVICE_SERVER_CONTROL_H

#include "service/config/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Runs until the server has stopped. `argc`, `argv`: read again on SIGHUP. Returns the exit status
 * of the process: 0 after a clean end, 1 when it could not start or the store failed. REQUIRES:
 * signals blocked, no other thread.
 */
int control_run(const struct config *config, int argc, const char *const *argv);

#ifdef __cplusplus
}
#endif

#endif
