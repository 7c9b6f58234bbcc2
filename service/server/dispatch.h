/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a call that has arrived to its handler: limits, unpacking, names, consistency, durability,
 * request id, authorization, and the wait for a version. On the worker's thread.
 */
#ifndef SERVICE_SERVER_DISPATCH_H
#define SERVICE_SERVER_DISPATCH_H

#include "service/server/call.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A call arrived. It is answered, handed over, or waits. */
void dispatch_begin(struct call *call);
/* A call that waited: its version is there, its time is over, or it waits on. */
void dispatch_resume(struct call *call);

/* ---- for handlers whose requests name more than the common fields ---- */

/*
 * Checks a name and copies it, NUL-terminated, to `name` (POLARYS_NAME_BYTES_MAX + 1 bytes).
 * `field` is for the message. Errors: BAD_NAME (also for names that the server keeps for itself).
 */
NODISCARD enum polarys_code dispatch_name_take(ProtobufCBinaryData from, const char *field,
                                               char *name, struct polarys_error *err);
/* Sets the call's durability. Errors: BAD_ARGUMENT. */
NODISCARD enum polarys_code dispatch_durability_take(struct call *call, int durability,
                                                     struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
