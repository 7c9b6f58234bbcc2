/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a generated message to the wire and back.
 */
#include "client/cli/rpc.h"

#include <stdlib.h>

#include "client/assert.h"

ProtobufCMessage *rpc_invoke(struct cli *cli, const struct rpc *rpc, enum cli_status *status)
{
    struct polarys_client_error err;
    struct polarys_client *client = cli_connect(cli, rpc->timeout_ms);
    size_t size = protobuf_c_message_get_packed_size(rpc->request);
    uint8_t *request = malloc(size + 1);
    uint8_t *bytes;
    size_t bytes_size;

    POLARYS_ASSERT(rpc->method[0] == '/');
    *status = CLI_FAILED;
    if (client == NULL || request == NULL) {
        if (request == NULL) {
            (void)cli_fail(cli, "NO_MEMORY", "no memory for a request");
        }
        free(request);
        return NULL;
    }
    (void)protobuf_c_message_pack(rpc->request, request);
    const struct polarys_client_rpc call = {rpc->method, request, size, rpc->is_repeatable};
    bool is_ok = polarys_client_call(client, &call, &bytes, &bytes_size, &err);
    free(request);
    if (!is_ok) {
        *status = cli_fail_call(cli, &err);
        return NULL;
    }
    ProtobufCMessage *response =
        protobuf_c_message_unpack(rpc->response_type, NULL, bytes_size, bytes);
    free(bytes);
    if (response == NULL) {
        *status = cli_fail(cli, "INTERNAL", "%s: the answer cannot be decoded", rpc->method);
        return NULL;
    }
    *status = CLI_DONE;
    return response;
}
