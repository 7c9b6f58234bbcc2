/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Defines the functions of client/transport.h, so that the linker leaves the real ones in their archive.
 */
#include "tests/unit/client/fake_transport.h"

#include <stdlib.h>
#include <string.h>

#include "client/error.h"

FakeNetwork *fake_network;

struct transport {
    std::string endpoint;
};

struct transport_stream {
    std::shared_ptr<FakeStream> server;
};

static void error_fill(struct polarys_client_error *err, const FakeAnswer &answer)
{
    client_error_set(err, answer.status, "%s", answer.text.c_str());
    if (err != nullptr) {
        client_error_reason_set(err, answer.reason.c_str());
        err->retry_after_ms = answer.retry_after_ms;
        if (!answer.primary.empty()) {
            client_error_metadata_add(err, "primary", 7, answer.primary.data(),
                                      answer.primary.size());
        }
    }
}

static void message_fill(struct transport_message *message, const std::string &bytes)
{
    message->size = bytes.size();
    message->bytes = (uint8_t *)malloc(bytes.size() + 1);
    memcpy(message->bytes, bytes.data(), bytes.size());
}

bool transport_open(const struct polarys_client_options *options, struct transport **out,
                    struct polarys_client_error *)
{
    std::lock_guard<std::recursive_mutex> lock(fake_network->mutex);
    *out = new struct transport();
    (*out)->endpoint = options->endpoint;
    fake_network->transport_count++;
    return true;
}

void transport_close(struct transport *transport)
{
    std::lock_guard<std::recursive_mutex> lock(fake_network->mutex);
    if (transport != nullptr) {
        fake_network->transport_count--;
    }
    delete transport;
}

bool transport_is_connected(const struct transport *)
{
    return fake_network->is_connected;
}

uint64_t transport_now_ms(void)
{
    std::lock_guard<std::recursive_mutex> lock(fake_network->mutex);
    return fake_network->now_ms;
}

void transport_sleep_ms(uint32_t duration_ms)
{
    std::lock_guard<std::recursive_mutex> lock(fake_network->mutex);
    fake_network->sleeps_ms.push_back(duration_ms);
    fake_network->now_ms += duration_ms;
    if (fake_network->on_sleep) {
        fake_network->on_sleep(duration_ms);
    }
}

bool transport_unary(struct transport *transport, const struct transport_request *request,
                     struct transport_message *response, struct polarys_client_error *err)
{
    std::lock_guard<std::recursive_mutex> lock(fake_network->mutex);
    std::string bytes((const char *)request->bytes, request->size);
    fake_network->methods.push_back(request->method);
    fake_network->requests.push_back(bytes);
    fake_network->deadlines_ms.push_back(request->deadline_ms);
    fake_network->endpoints.push_back(transport->endpoint);
    FakeAnswer answer = fake_network->on_unary_at
                            ? fake_network->on_unary_at(transport->endpoint, request->method, bytes)
                            : fake_network->on_unary(request->method, bytes);
    fake_network->now_ms += answer.took_ms;
    if (answer.status != POLARYS_CLIENT_OK) {
        error_fill(err, answer);
        return false;
    }
    message_fill(response, answer.message);
    return true;
}

bool transport_stream_open(struct transport *transport, const char *method, uint64_t,
                           struct transport_stream **out, struct polarys_client_error *)
{
    fake_network->stream_count++;
    *out = new struct transport_stream();
    fake_network->stream_endpoints.push_back(transport->endpoint);
    (*out)->server = fake_network->on_stream_at
                         ? fake_network->on_stream_at(transport->endpoint, method)
                         : fake_network->on_stream(method);
    return true;
}

bool transport_stream_send(struct transport_stream *stream, const void *message, size_t size)
{
    if (stream->server->has_ended) {
        return false;
    }
    stream->server->OnMessage(std::string((const char *)message, size));
    return true;
}

bool transport_stream_half_close(struct transport_stream *stream)
{
    if (stream->server->has_ended) {
        return false;
    }
    stream->server->OnHalfClose();
    return true;
}

enum transport_event transport_stream_receive(struct transport_stream *stream, uint32_t timeout_ms,
                                              struct transport_message *message)
{
    FakeStream *server = stream->server.get();
    if (!server->answers.empty()) {
        message_fill(message, server->answers.front());
        server->answers.pop_front();
        return TRANSPORT_MESSAGE;
    }
    if (server->has_ended) {
        return TRANSPORT_ENDED;
    }
    fake_network->now_ms += timeout_ms == UINT32_MAX ? 0 : timeout_ms;
    return TRANSPORT_IDLE;
}

bool transport_stream_finish(struct transport_stream *stream, struct polarys_client_error *err)
{
    if (stream->server->end.status == POLARYS_CLIENT_OK) {
        return true;
    }
    error_fill(err, stream->server->end);
    return false;
}

void transport_stream_cancel(struct transport_stream *stream)
{
    if (!stream->server->has_ended) {
        stream->server->has_ended = true;
        stream->server->end.status = POLARYS_CLIENT_CANCELLED;
    }
}

void transport_stream_destroy(struct transport_stream *stream)
{
    delete stream;
}
