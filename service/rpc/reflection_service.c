/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server reflection, v1 and v1alpha: the two differ in their package's name only, so one handler
 * speaks both. Requests are answered one by one, in order; a client that does not read is not read
 * from.
 */
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "service/rpc/handlers.h"
#include "service/rpc/reflection.h"
#include "service/rpc/response.h"
#include "service/server/check.h"
#include "service/server/server.h"

enum { SERVICES_MAX = 32, STATUS_NOT_FOUND = 5, STATUS_INVALID_ARGUMENT = 3 };

static void request_receive(struct call *call);

static ProtobufCBinaryData binary_borrow(const void *data, size_t size)
{
    ProtobufCBinaryData binary = {size, (uint8_t *)(uintptr_t)data};
    return binary;
}

/* All that an answer may point to. */
struct reflection_answer {
    Grpc__Reflection__V1__ServerReflectionResponse response;
    Grpc__Reflection__V1__ErrorResponse error;
    Grpc__Reflection__V1__FileDescriptorResponse files;
    ProtobufCBinaryData file_bytes[REFLECTION_FILES_MAX];
    Grpc__Reflection__V1__ListServiceResponse list;
    Grpc__Reflection__V1__ServiceResponse services[SERVICES_MAX];
    Grpc__Reflection__V1__ServiceResponse *service_pointers[SERVICES_MAX];
    uint8_t names[SERVICES_MAX][REFLECTION_SYMBOL_MAX];
    Grpc__Reflection__V1__ExtensionNumberResponse extensions;
};

static void answer_error(struct reflection_answer *answer, int status, const char *text)
{
    grpc__reflection__v1__error_response__init(&answer->error);
    answer->error.error_code = status;
    answer->error.error_message = binary_borrow(text, strlen(text));
    answer->response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
    answer->response.error_response = &answer->error;
}

static void answer_files(struct reflection_answer *answer, const struct reflection_index *index,
                         int file)
{
    if (file < 0) {
        answer_error(answer, STATUS_NOT_FOUND, "this server has no such file or symbol");
        return;
    }
    struct polarys_slice files[REFLECTION_FILES_MAX];
    size_t count = reflection_files_get(index, file, files);
    grpc__reflection__v1__file_descriptor_response__init(&answer->files);
    for (size_t i = 0; i < count; i++) {
        answer->file_bytes[i] = binary_borrow(files[i].data, files[i].size);
    }
    answer->files.n_file_descriptor_proto = count;
    answer->files.file_descriptor_proto = answer->file_bytes;
    answer->response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
    answer->response.file_descriptor_response = &answer->files;
}

static void service_add(void *context, struct polarys_slice name)
{
    struct reflection_answer *answer = context;
    size_t i = answer->list.n_service;
    SERVICE_ASSERT(i < SERVICES_MAX && name.size <= REFLECTION_SYMBOL_MAX);
    memcpy(answer->names[i], name.data, name.size);
    grpc__reflection__v1__service_response__init(&answer->services[i]);
    answer->services[i].name = binary_borrow(answer->names[i], name.size);
    answer->service_pointers[i] = &answer->services[i];
    answer->list.n_service++;
}

static void answer_services(struct reflection_answer *answer, const struct reflection_index *index)
{
    grpc__reflection__v1__list_service_response__init(&answer->list);
    reflection_services_list(index, service_add, answer);
    answer->list.service = answer->service_pointers;
    answer->response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
    answer->response.list_services_response = &answer->list;
}

/* No message of ours is extended; a known one has an empty list. */
static void answer_extensions(struct reflection_answer *answer,
                              const struct reflection_index *index, ProtobufCBinaryData type)
{
    if (!reflection_message_exists(index, slice_make(type.data, type.len))) {
        answer_error(answer, STATUS_NOT_FOUND, "this server has no such message");
        return;
    }
    grpc__reflection__v1__extension_number_response__init(&answer->extensions);
    answer->extensions.base_type_name = type;
    answer->response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE;
    answer->response.all_extension_numbers_response = &answer->extensions;
}

static void answer_make(struct reflection_answer *answer, const struct reflection_index *index,
                        Grpc__Reflection__V1__ServerReflectionRequest *request)
{
    grpc__reflection__v1__server_reflection_response__init(&answer->response);
    answer->response.valid_host = request->host;
    answer->response.original_request = request;
    switch (request->message_request_case) {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        answer_files(answer, index,
                     reflection_file_find(index, slice_make(request->file_by_filename.data,
                                                            request->file_by_filename.len)));
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        answer_files(
            answer, index,
            reflection_symbol_find(index, slice_make(request->file_containing_symbol.data,
                                                     request->file_containing_symbol.len)));
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
        answer_error(answer, STATUS_NOT_FOUND, "this server has no extensions");
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
        answer_extensions(answer, index, request->all_extension_numbers_of_type);
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        answer_services(answer, index);
        break;
    default:
        answer_error(answer, STATUS_INVALID_ARGUMENT, "the request asks for nothing");
        break;
    }
}

static void answer_sent(struct call *call, bool is_ok)
{
    if (!is_ok || call_is_cancelled(call)) {
        call_fail_status(call, GRPC_STATUS_CANCELLED, "given up by the client");
        return;
    }
    request_receive(call);
}

static void request_received(struct call *call, bool is_ok)
{
    if (!is_ok || call->received == NULL) {
        call_end(call);
        return;
    }
    proto_arena_reset(&call->arena);
    struct polarys_slice bytes;
    enum polarys_code code = call_bytes_get(call, call->received, &bytes, &call->error);
    Grpc__Reflection__V1__ServerReflectionRequest *request = NULL;
    if (code == POLARYS_OK) {
        request = proto_arena_unpack(&call->arena,
                                     &grpc__reflection__v1__server_reflection_request__descriptor,
                                     bytes, &call->error);
    }
    struct reflection_answer *answer =
        request == NULL ? NULL : proto_arena_alloc(&call->arena, sizeof(*answer));
    if (request != NULL && answer == NULL) {
        polarys_fail(&call->error, POLARYS_MEMORY_LIMIT, "no memory for an answer");
    }
    if (answer == NULL) {
        call_fail(call, &call->error);
        return;
    }
    answer_make(answer, call->server->reflection, request);
    call_send(call, response_pack(&answer->response.base), false, answer_sent);
}

static void request_receive(struct call *call)
{
    call_receive(call, request_received);
}

/* A client may keep its stream open for as long as it likes; the server's end ends it. */
static void stream_tick(struct call *call, uint64_t now_ns)
{
    (void)now_ns;
    if (!call->is_finishing && server_phase_get(call->server) >= SERVER_STOPPING) {
        (void)grpc_call_cancel_with_status(call->handle, GRPC_STATUS_UNAVAILABLE,
                                           "the server stops", NULL);
    }
}

void reflection_info(struct call *call)
{
    struct authorize_resource resource = {NULL, NULL};
    enum polarys_code code = authorize(call, call->method->action, &resource, &call->error);
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    call->tick = stream_tick;
    worker_stream_add(call->worker, call);
    call_watch_close(call, NULL);
    request_receive(call);
}
