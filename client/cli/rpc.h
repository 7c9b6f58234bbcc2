/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RPCs that libpolarys has no function for, with generated messages.
 */
#ifndef CLIENT_CLI_RPC_H
#define CLIENT_CLI_RPC_H

#include <protobuf-c/protobuf-c.h>

#include "client/cli/cli.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rpc {
    const char *method; /* "/polarys.v1.AdminService/Flush" */
    const ProtobufCMessage *request;
    const ProtobufCMessageDescriptor *response_type;
    uint32_t timeout_ms; /* unless --timeout is given */
    bool is_repeatable;
};

/* The response, freed with protobuf_c_message_free_unpacked(response, NULL); NULL with *status after an
 * error that was reported. */
ProtobufCMessage *rpc_invoke(struct cli *cli, const struct rpc *rpc, enum cli_status *status);

#ifdef __cplusplus
}
#endif

#endif
