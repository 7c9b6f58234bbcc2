/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The beginning of a session: where the archive goes on, in a log that may have been cut off, may have gone on elsewhere,
 * or may not be kept any more.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/archive_internal.h"
#include "client/cli/parse.h"

#define REPLICATION "/polarys.v1.ReplicationService/"

enum { REWINDS_MAX = 64 };

void archive_position_fill(const struct polarys_log_position *at,
                           Polarys__V1__LogPosition *position)
{
    polarys__v1__log_position__init(position);
    position->segment_id = at->segment_id;
    position->offset = at->offset;
    /* The beginning of the store has no tag. */
    position->tag = client_bytes(at->tag, at->segment_id == 0 ? 0 : POLARYS_LOG_TAG_SIZE);
    position->version = at->version;
}

bool archive_position_take(const Polarys__V1__LogPosition *from,
                           struct polarys_log_position *position)
{
    if (from == NULL || (from->tag.len != POLARYS_LOG_TAG_SIZE && from->segment_id != 0)) {
        return false;
    }
    *position = (struct polarys_log_position){
        .segment_id = from->segment_id, .offset = from->offset, .version = from->version};
    if (from->segment_id != 0) {
        memcpy(position->tag, from->tag.data, POLARYS_LOG_TAG_SIZE);
    }
    return true;
}

void archive_node_fill(const struct archiver *archiver, struct archive_node *node)
{
    const struct archive_writer *writer = archiver->writer;
    Polarys__V1__HandshakeRequest *request = &node->request;
    polarys__v1__handshake_request__init(request);
    request->node = client_text(archiver->order->name);
    request->kind = POLARYS__V1__FOLLOWER_KIND__FOLLOWER_KIND_ARCHIVE;
    request->highest_term = writer->highest_term;
    if (writer->has_run) {
        archive_writer_durable(writer, &node->at);
        archive_position_fill(&node->at, &node->position);
        request->position = &node->position;
        request->store_id = client_bytes(writer->next.store_id, ARCHIVE_ID_SIZE);
        request->history_id = client_bytes(writer->next.history_id, ARCHIVE_ID_SIZE);
    }
}

/* One call; NULL with the result. The response is freed with protobuf_c_message_free_unpacked. */
static ProtobufCMessage *call(struct archiver *archiver, const struct client_call *what,
                              struct polarys_client_error *err)
{
    client_error_clear(err);
    return client_invoke(archiver->client, what, err);
}

static Polarys__V1__HandshakeResponse *handshake(struct archiver *archiver,
                                                 struct polarys_client_error *err)
{
    struct archive_node node = {.at = {.segment_id = 0}};
    archive_node_fill(archiver, &node);
    const struct client_call what = {.method = REPLICATION "Handshake",
                                     .request = &node.request.base,
                                     .response_type = &polarys__v1__handshake_response__descriptor,
                                     .repeat = CLIENT_REPEAT_ALWAYS};
    return (Polarys__V1__HandshakeResponse *)call(archiver, &what, err);
}

static Polarys__V1__CreateSlotResponse *slot_create(struct archiver *archiver,
                                                    const struct polarys_log_position *at,
                                                    struct polarys_client_error *err)
{
    Polarys__V1__LogPosition position;
    Polarys__V1__CreateSlotRequest request = POLARYS__V1__CREATE_SLOT_REQUEST__INIT;
    const struct client_call what = {.method = REPLICATION "CreateSlot",
                                     .request = &request.base,
                                     .response_type =
                                         &polarys__v1__create_slot_response__descriptor,
                                     .repeat = CLIENT_REPEAT_ALWAYS};
    request.slot = client_text(archiver->order->name);
    request.kind = POLARYS__V1__FOLLOWER_KIND__FOLLOWER_KIND_ARCHIVE;
    if (at != NULL) {
        archive_position_fill(at, &position);
        request.position = &position;
    }
    return (Polarys__V1__CreateSlotResponse *)call(archiver, &what, err);
}

/* The log that comes next was cut off, or goes on otherwise: back to the last place that both have. */
static enum archive_result rewind_to(struct archiver *archiver,
                                     const struct polarys_client_error *why)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_log_position at;
    uint64_t segment_id = 0;
    uint64_t offset = 0;
    const char *segment_text = polarys_client_error_metadata(why, "segment");
    const char *offset_text = polarys_client_error_metadata(why, "offset");
    archive_writer_durable(archiver->writer, &at);
    if (segment_text == NULL || !parse_number(segment_text, &segment_id) || offset_text == NULL ||
        !parse_number(offset_text, &offset)) {
        segment_id = at.segment_id;
        offset = 0;
    }
    /* It has to be before what was refused, or nothing would change. */
    if (segment_id > at.segment_id || (segment_id == at.segment_id && offset >= at.offset)) {
        segment_id = at.segment_id;
        offset = at.offset - 1;
    }
    (void)fprintf(archiver->cli->err,
                  "polarys: the log of %s goes on before where the archive ends (version %" PRIu64
                  "): going back to segment %" PRIu64 ", offset %" PRIu64 "\n",
                  archiver->cli->settings.endpoint, at.version, segment_id, offset);
    if (archive_writer_rewind(archiver->writer, segment_id, offset, &err) != POLARYS_OK) {
        return archiver_fail_engine(archiver, &err);
    }
    return ARCHIVE_GOES_ON;
}

/* A run of its own, that begins where the slot is. */
static enum archive_result run_begin(struct archiver *archiver,
                                     const Polarys__V1__CreateSlotResponse *slot)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct archive_run run = {.term = 0};
    const Polarys__V1__ResponseHeader *header = slot->header;
    if (header == NULL || header->store_id.len != ARCHIVE_ID_SIZE ||
        header->history_id.len != ARCHIVE_ID_SIZE || slot->slot == NULL ||
        !archive_position_take(slot->slot->position, &run.at)) {
        (void)cli_fail(archiver->cli, "INTERNAL", "the server's answer makes no sense: no slot");
        return ARCHIVE_FAILED;
    }
    memcpy(run.store_id, header->store_id.data, ARCHIVE_ID_SIZE);
    memcpy(run.history_id, header->history_id.data, ARCHIVE_ID_SIZE);
    run.term = header->term;
    return archive_writer_run_begin(archiver->writer, &run, &err) == POLARYS_OK
               ? ARCHIVE_GOES_ON
               : archiver_fail_engine(archiver, &err);
}

/* Begins at the oldest log if all of it is kept, else at the newest. */
static enum archive_result run_new(struct archiver *archiver, bool has_all)
{
    static const struct polarys_log_position beginning;
    struct polarys_client_error err;
    Polarys__V1__CreateSlotResponse *slot =
        slot_create(archiver, has_all ? &beginning : NULL, &err);
    if (slot == NULL && has_all && strcmp(err.reason, "LOG_PRUNED") == 0) {
        slot = slot_create(archiver, NULL, &err);
    }
    if (slot == NULL) {
        return archiver_judge(archiver, &err);
    }
    enum archive_result result = run_begin(archiver, slot);
    polarys__v1__create_slot_response__free_unpacked(slot, NULL);
    return result;
}

/* The log that comes next is not kept any more: a run of its own, and a gap before it. */
static enum archive_result gap_leave(struct archiver *archiver)
{
    struct polarys_log_position at;
    archive_writer_durable(archiver->writer, &at);
    (void)cli_fail(archiver->cli, "LOG_PRUNED",
                   "%s no longer keeps the log after version %" PRIu64
                   ": the archive has a gap there, and backups from before it end at it. Take a "
                   "new backup",
                   archiver->cli->settings.endpoint, at.version);
    return run_new(archiver, false);
}

static enum archive_result answer_check(struct archiver *archiver,
                                        const Polarys__V1__HandshakeResponse *response)
{
    const Polarys__V1__ResponseHeader *header = response->header;
    if (header == NULL || header->store_id.len != ARCHIVE_ID_SIZE || response->end == NULL) {
        (void)cli_fail(archiver->cli, "INTERNAL", "a handshake without a header");
        return ARCHIVE_FAILED;
    }
    if (archiver->writer->has_store &&
        memcmp(header->store_id.data, archiver->writer->next.store_id, ARCHIVE_ID_SIZE) != 0) {
        (void)cli_fail(archiver->cli, "FAILED_PRECONDITION/WRONG_STORE",
                       "%s has another store than the archive", archiver->cli->settings.endpoint);
        return ARCHIVE_FAILED;
    }
    if (header->term < archiver->writer->highest_term) {
        (void)cli_fail(archiver->cli, "FAILED_PRECONDITION/NOT_PRIMARY",
                       "%s is at term %" PRIu64 " and the archive has seen %" PRIu64
                       ": another primary has taken over",
                       archiver->cli->settings.endpoint, header->term,
                       archiver->writer->highest_term);
        return ARCHIVE_FAILED;
    }
    return ARCHIVE_GOES_ON;
}

/* Stores the keyring of an answer. */
static enum archive_result keyring_store(struct archiver *archiver,
                                         const Polarys__V1__HandshakeResponse *response)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (response->keyring.len == 0 || response->keyring.data == NULL) {
        (void)cli_fail(archiver->cli, "INTERNAL", "a handshake without a keyring");
        return ARCHIVE_FAILED;
    }
    enum polarys_code code = archive_writer_keyring(
        archiver->writer, slice_make(response->keyring.data, response->keyring.len), &err);
    if (code == POLARYS_IO || code == POLARYS_DISK_LOW || code == POLARYS_PERMISSION_DENIED) {
        (void)snprintf(archiver->why, sizeof(archiver->why), "%s", err.message);
        return ARCHIVE_AGAIN;
    }
    return code == POLARYS_OK ? ARCHIVE_GOES_ON : archiver_fail_engine(archiver, &err);
}

enum archive_result archiver_keyring_renew(struct archiver *archiver)
{
    struct polarys_client_error err;
    Polarys__V1__HandshakeResponse *response = handshake(archiver, &err);
    if (response == NULL) {
        return archiver_judge(archiver, &err);
    }
    enum archive_result result = answer_check(archiver, response);
    if (result == ARCHIVE_GOES_ON) {
        result = keyring_store(archiver, response);
    }
    polarys__v1__handshake_response__free_unpacked(response, NULL);
    return result;
}

/* After the handshake: the slot, at the place where the archive goes on. */
static enum archive_result slot_ready(struct archiver *archiver, bool has_all)
{
    struct polarys_log_position at;
    struct polarys_client_error err;
    if (!archiver->writer->has_run) {
        return run_new(archiver, has_all);
    }
    archive_writer_durable(archiver->writer, &at);
    Polarys__V1__CreateSlotResponse *slot = slot_create(archiver, &at, &err);
    if (slot == NULL) {
        return archiver_judge(archiver, &err);
    }
    polarys__v1__create_slot_response__free_unpacked(slot, NULL);
    return ARCHIVE_GOES_ON;
}

enum archive_result archiver_introduce(struct archiver *archiver)
{
    struct polarys_client_error err;
    enum archive_result result = ARCHIVE_GOES_ON;
    Polarys__V1__HandshakeResponse *response = handshake(archiver, &err);
    for (int i = 0; response == NULL && i < REWINDS_MAX && result == ARCHIVE_GOES_ON; i++) {
        if (strcmp(err.reason, "HISTORY_DIVERGED") == 0 && archiver->writer->has_run) {
            result = rewind_to(archiver, &err);
        } else if (strcmp(err.reason, "LOG_PRUNED") == 0 && archiver->writer->has_run) {
            result = gap_leave(archiver);
        } else {
            return archiver_judge(archiver, &err);
        }
        response = result == ARCHIVE_GOES_ON ? handshake(archiver, &err) : NULL;
    }
    if (response == NULL) {
        return result == ARCHIVE_GOES_ON ? archiver_judge(archiver, &err) : result;
    }
    result = answer_check(archiver, response);
    if (result == ARCHIVE_GOES_ON) {
        result = keyring_store(archiver, response);
    }
    if (result == ARCHIVE_GOES_ON) {
        result = slot_ready(archiver, response->earliest_segment <= 1);
    }
    if (result == ARCHIVE_GOES_ON && !archiver->has_target) {
        archiver->has_target = archive_position_take(response->end, &archiver->target);
    }
    polarys__v1__handshake_response__free_unpacked(response, NULL);
    return result;
}
