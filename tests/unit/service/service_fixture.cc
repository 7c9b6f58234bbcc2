// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/service/service_fixture.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <sched.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "service/auth/authorize.h"

namespace service_test {

std::string ReasonOf(const Answer &answer)
{
    std::string reason;
    Google__Rpc__Status *status = google__rpc__status__unpack(
        nullptr, answer.details.size(), reinterpret_cast<const uint8_t *>(answer.details.data()));
    if (status != nullptr && status->n_details > 0) {
        Google__Rpc__ErrorInfo *info = google__rpc__error_info__unpack(
            nullptr, status->details[0]->value.len, status->details[0]->value.data);
        if (info != nullptr) {
            reason.assign(reinterpret_cast<char *>(info->reason.data), info->reason.len);
            google__rpc__error_info__free_unpacked(info, nullptr);
        }
    }
    if (status != nullptr) {
        google__rpc__status__free_unpacked(status, nullptr);
    }
    return reason;
}

ServiceTest::ServiceTest() : config_(new config)
{
    std::string pattern = ::testing::TempDir() + "polarys-service-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    config_init(config_.get());
    snprintf(config_->data_dir, sizeof(config_->data_dir), "%s/data", directory_.c_str());
    snprintf(config_->master_key_file, sizeof(config_->master_key_file), "%s/key",
             directory_.c_str());
    snprintf(config_->node_name, sizeof(config_->node_name), "test-node");
    snprintf(config_->listen, sizeof(config_->listen), "127.0.0.1:0");
    config_->memory_limit = 64 << 20;
    config_->wal_segment_bytes = 1 << 20;
    config_->disk_reserve_bytes = 1 << 20;
    grpc_init();
}

ServiceTest::~ServiceTest()
{
    Stop();
    authorize_observe(nullptr, nullptr);
    grpc_shutdown_blocking();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
}

void ServiceTest::Start()
{
    polarys_error err = {};
    polarys_db_options options;
    config_engine_options(config_.get(), &options);
    ASSERT_EQ(polarys_master_key_generate(config_->master_key_file, &err), POLARYS_OK)
        << err.message;
    ASSERT_EQ(polarys_db_open(config_->data_dir, &options, &db_, &err), POLARYS_OK) << err.message;
    server_control control = {
        this,
        [](void *context, uint64_t ms) {
            static_cast<ServiceTest *>(context)->drain_asked_ms_ = ms;
        },
        [](void *context, grpc_call *) {
            return static_cast<ServiceTest *>(context)->is_over_limit_.load();
        },
    };
    ASSERT_EQ(server_create(config_.get(), db_, &control, &server_, &err), POLARYS_OK)
        << err.message;
    ASSERT_EQ(server_start(server_, &err), POLARYS_OK) << err.message;
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    std::string target = "127.0.0.1:" + std::to_string(server_->port);
    grpc_arg args[2];
    args[0].type = args[1].type = GRPC_ARG_INTEGER;
    args[0].key = const_cast<char *>(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL);
    args[0].value.integer = 1;
    args[1].key = const_cast<char *>(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH);
    args[1].value.integer = -1;
    grpc_channel_args list = {2, args};
    channel_ = grpc_channel_create(target.c_str(), credentials, &list);
    grpc_channel_credentials_release(credentials);
}

void ServiceTest::ShutDown()
{
    server_phase_set(server_, SERVER_STOPPING);
    server_cancel(server_);
    gpr_timespec end =
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(20, GPR_TIMESPAN));
    while (!server_is_idle(server_) && gpr_time_cmp(gpr_now(GPR_CLOCK_MONOTONIC), end) < 0) {
        sched_yield();
    }
    ASSERT_TRUE(server_is_idle(server_)) << "calls did not end";
    server_destroy(server_);
    server_ = nullptr;
}

void ServiceTest::Stop()
{
    if (channel_ != nullptr) {
        grpc_channel_destroy(channel_);
        channel_ = nullptr;
    }
    if (server_ != nullptr) {
        ShutDown();
    }
    polarys_error err = {};
    EXPECT_EQ(polarys_db_close(db_, 0, &err), POLARYS_OK) << err.message;
    db_ = nullptr;
}

void ServiceTest::MakeTable(const char *table)
{
    polarys_error err = {};
    ASSERT_EQ(polarys_table_create(db_, nullptr, table, nullptr, nullptr, &err), POLARYS_OK)
        << err.message;
}

namespace {

// One client call; every operation is waited for.
class ClientCall {
  public:
    ClientCall(grpc_channel *channel, const std::string &path, int64_t timeout_ms)
        : queue_(grpc_completion_queue_create_for_next(nullptr))
    {
        gpr_timespec deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                             gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
        grpc_slice method = grpc_slice_from_copied_string(path.c_str());
        call_ = grpc_channel_create_call(channel, nullptr, 0, queue_, method, nullptr, deadline,
                                         nullptr);
        grpc_slice_unref(method);
    }
    ~ClientCall()
    {
        grpc_call_unref(call_);
        grpc_completion_queue_shutdown(queue_);
        while (
            grpc_completion_queue_next(queue_, gpr_inf_future(GPR_CLOCK_MONOTONIC), nullptr).type !=
            GRPC_QUEUE_SHUTDOWN) {
        }
        grpc_completion_queue_destroy(queue_);
    }

    bool Do(grpc_op op)
    {
        EXPECT_EQ(grpc_call_start_batch(call_, &op, 1, this, nullptr), GRPC_CALL_OK);
        grpc_event event =
            grpc_completion_queue_next(queue_, gpr_inf_future(GPR_CLOCK_MONOTONIC), nullptr);
        return event.success != 0;
    }

    grpc_call *call_;
    grpc_completion_queue *queue_;
};

grpc_op OpOf(grpc_op_type type)
{
    grpc_op op = {};
    op.op = type;
    return op;
}

bool SendMessage(ClientCall *call, const std::string &bytes)
{
    grpc_slice slice = grpc_slice_from_copied_buffer(bytes.data(), bytes.size());
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_op op = OpOf(GRPC_OP_SEND_MESSAGE);
    op.data.send_message.send_message = buffer;
    bool is_sent = call->Do(op);
    grpc_byte_buffer_destroy(buffer);
    grpc_slice_unref(slice);
    return is_sent;
}

bool ReceiveMessage(ClientCall *call, std::string *bytes)
{
    grpc_byte_buffer *buffer = nullptr;
    grpc_op op = OpOf(GRPC_OP_RECV_MESSAGE);
    op.data.recv_message.recv_message = &buffer;
    if (!call->Do(op) || buffer == nullptr) {
        return false;
    }
    grpc_byte_buffer_reader reader;
    grpc_byte_buffer_reader_init(&reader, buffer);
    grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
    bytes->assign(reinterpret_cast<char *>(GRPC_SLICE_START_PTR(all)), GRPC_SLICE_LENGTH(all));
    grpc_slice_unref(all);
    grpc_byte_buffer_reader_destroy(&reader);
    grpc_byte_buffer_destroy(buffer);
    return true;
}

void ReceiveStatus(ClientCall *call, Answer *answer)
{
    grpc_metadata_array trailing;
    grpc_metadata_array_init(&trailing);
    grpc_slice text = grpc_empty_slice();
    grpc_op op = OpOf(GRPC_OP_RECV_STATUS_ON_CLIENT);
    op.data.recv_status_on_client.trailing_metadata = &trailing;
    op.data.recv_status_on_client.status = &answer->status;
    op.data.recv_status_on_client.status_details = &text;
    call->Do(op);
    answer->text.assign(reinterpret_cast<char *>(GRPC_SLICE_START_PTR(text)),
                        GRPC_SLICE_LENGTH(text));
    for (size_t i = 0; i < trailing.count; i++) {
        if (grpc_slice_str_cmp(trailing.metadata[i].key, "grpc-status-details-bin") == 0) {
            grpc_slice value = trailing.metadata[i].value;
            answer->details.assign(reinterpret_cast<char *>(GRPC_SLICE_START_PTR(value)),
                                   GRPC_SLICE_LENGTH(value));
        }
    }
    grpc_slice_unref(text);
    grpc_metadata_array_destroy(&trailing);
}

} // namespace

Answer ServiceTest::Call(const std::string &path, const std::vector<std::string> &requests,
                         int64_t timeout_ms)
{
    Answer answer;
    ClientCall call(channel_, path, timeout_ms);
    call.Do(OpOf(GRPC_OP_SEND_INITIAL_METADATA));
    bool is_open = true;
    for (const std::string &request : requests) {
        is_open = is_open && SendMessage(&call, request);
    }
    call.Do(OpOf(GRPC_OP_SEND_CLOSE_FROM_CLIENT));
    grpc_metadata_array headers;
    grpc_metadata_array_init(&headers);
    grpc_op op = OpOf(GRPC_OP_RECV_INITIAL_METADATA);
    op.data.recv_initial_metadata.recv_initial_metadata = &headers;
    call.Do(op);
    std::string message;
    while (ReceiveMessage(&call, &message)) {
        answer.messages.push_back(message);
    }
    ReceiveStatus(&call, &answer);
    grpc_metadata_array_destroy(&headers);
    return answer;
}

} // namespace service_test
