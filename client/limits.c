/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's limits, asked for once. Above its receive limit the server's transport answers
 * RESOURCE_EXHAUSTED without details, so a large request is judged here, before it is sent.
 */
#include <stdio.h>
#include <string.h>

#include "client/assert.h"
#include "client/client_internal.h"
#include "polarys/v1/admin.pb-c.h"

enum { REQUEST_BYTES_BESIDE_VALUE = 64 << 10 };

static bool name_is(const ProtobufCBinaryData *name, const char *text)
{
    return name->len == strlen(text) && memcmp(name->data, text, name->len) == 0;
}

/* False when the answer names no limit of a value. */
static bool limits_read(const Polarys__V1__GetServerInfoResponse *info,
                        struct polarys_client_limits *limits)
{
    POLARYS_ASSERT(limits != NULL);
    limits->value_bytes_max = 0;
    limits->request_bytes_max = 0;
    for (size_t i = 0; i < info->n_limits; i++) {
        const Polarys__V1__Limit *limit = info->limits[i];
        if (name_is(&limit->name, "value_bytes_max")) {
            limits->value_bytes_max = limit->value;
        } else if (name_is(&limit->name, "request_bytes_max")) {
            limits->request_bytes_max = limit->value;
        }
    }
    if (limits->request_bytes_max == 0) {
        uint64_t needed = limits->value_bytes_max + REQUEST_BYTES_BESIDE_VALUE;
        limits->request_bytes_max =
            needed > CLIENT_REQUEST_BYTES_SURE ? needed : CLIENT_REQUEST_BYTES_SURE;
    }
    return limits->value_bytes_max != 0;
}

static bool limits_ask(struct polarys_client *client, struct polarys_client_limits *limits,
                       struct polarys_client_error *err)
{
    Polarys__V1__GetServerInfoRequest request = POLARYS__V1__GET_SERVER_INFO_REQUEST__INIT;
    struct client_call call = {"/polarys.v1.AdminService/GetServerInfo", &request.base,
                               &polarys__v1__get_server_info_response__descriptor,
                               CLIENT_REPEAT_ALWAYS};
    Polarys__V1__GetServerInfoResponse *info =
        (Polarys__V1__GetServerInfoResponse *)client_invoke(client, &call, err);
    if (info == NULL) {
        return false;
    }
    bool is_ok = limits_read(info, limits);
    polarys__v1__get_server_info_response__free_unpacked(info, NULL);
    if (!is_ok) {
        client_error_set(err, POLARYS_CLIENT_INTERNAL, "GetServerInfo: no limit value_bytes_max");
    }
    return is_ok;
}

bool polarys_client_limits_get(struct polarys_client *client, struct polarys_client_limits *limits,
                               struct polarys_client_error *err)
{
    POLARYS_ASSERT(client != NULL);
    POLARYS_ASSERT(limits != NULL);
    pthread_mutex_lock(&client->mutex);
    bool is_known = client->has_limits;
    *limits = client->limits;
    pthread_mutex_unlock(&client->mutex);
    if (is_known) {
        return true;
    }
    if (!limits_ask(client, limits, err)) {
        return false;
    }
    pthread_mutex_lock(&client->mutex);
    client->limits = *limits;
    client->has_limits = true;
    pthread_mutex_unlock(&client->mutex);
    return true;
}

bool client_request_check(struct polarys_client *client, size_t request_size,
                          struct polarys_client_error *err)
{
    struct polarys_client_limits limits;
    char number[24];

    if (request_size <= CLIENT_REQUEST_BYTES_SURE) {
        return true;
    }
    if (!polarys_client_limits_get(client, &limits, err)) {
        return false;
    }
    if (request_size <= limits.request_bytes_max) {
        return true;
    }
    client_error_set(err, POLARYS_CLIENT_INVALID_ARGUMENT,
                     "a request of %zu bytes, where the server takes %llu; a value may have %llu",
                     request_size, (unsigned long long)limits.request_bytes_max,
                     (unsigned long long)limits.value_bytes_max);
    client_error_reason_set(err, "TOO_LARGE");
    (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)limits.request_bytes_max);
    client_error_metadata_add(err, "limit", 5, number, strlen(number));
    (void)snprintf(number, sizeof(number), "%zu", request_size);
    client_error_metadata_add(err, "size", 4, number, strlen(number));
    return false;
}
