/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the group that is gathered for one frame: which bytes it will hold, in version order, and whose
 * commits they are.
 *
 * Invariant: the pieces are the encoded commits of versions first_version .. first_version +
 * commit_count - 1, in order, behind one piece with the time. ASYNC commits are copied, since their owners
 * are told at once and take their bytes away; all others stay where they are until the frame is written.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/commit/commit_internal.h"

bool commit_group_init(struct commit_group *group)
{
    group->pieces = malloc((COMMIT_GROUP_COMMITS_MAX + 1) * sizeof(*group->pieces));
    group->buffer = malloc(COMMIT_ASYNC_BUFFER_BYTES);
    commit_group_reset(group);
    return group->pieces != NULL && group->buffer != NULL;
}

void commit_group_deinit(struct commit_group *group)
{
    free(group->pieces);
    free(group->buffer);
    group->pieces = NULL;
    group->buffer = NULL;
}

void commit_group_reset(struct commit_group *group)
{
    POLARYS_ASSERT(group->requests.first == NULL);
    group->first_version = 0;
    group->commit_count = 0;
    group->time_unix_ms = 0;
    group->first_ns = 0;
    group->payload_bytes = LOG_BATCH_TIME_SIZE;
    group->room_bytes = 0;
    group->sync_count = 0;
    group->piece_count = 0;
    group->buffer_size = 0;
    group->is_full = false;
}

bool commit_group_fits(const struct commit_group *group, const struct commit_request *request)
{
    if (group->commit_count == 0) {
        return true;
    }
    return group->commit_count < COMMIT_GROUP_COMMITS_MAX &&
           group->payload_bytes + request->encoded.size <= COMMIT_GROUP_BYTES_MAX;
}

/* Copies into the buffer; neighbours there become one piece. */
static void group_append_copy(struct commit_group *group, struct polarys_slice encoded)
{
    POLARYS_ASSERT(group->buffer_size + encoded.size <= COMMIT_ASYNC_BUFFER_BYTES);
    uint8_t *to = group->buffer + group->buffer_size;
    memcpy(to, encoded.data, encoded.size);
    group->buffer_size += encoded.size;
    struct polarys_slice *last = &group->pieces[group->piece_count - 1];
    if (last->data + last->size == to) {
        last->size += encoded.size;
    } else {
        group->pieces[group->piece_count++] = slice_make(to, encoded.size);
    }
}

void commit_group_append(struct commit_group *group, struct commit_request *request)
{
    POLARYS_ASSERT(commit_group_fits(group, request));
    if (group->commit_count == 0) {
        group->first_version = request->version;
        group->time_unix_ms = request->time_unix_ms;
        log_batch_put_time(group->time_piece, request->time_unix_ms);
        group->pieces[0] = slice_make(group->time_piece, LOG_BATCH_TIME_SIZE);
        group->piece_count = 1;
    }
    POLARYS_ASSERT(request->version == group->first_version + group->commit_count);
    if (request->waits_for_frame) {
        group->pieces[group->piece_count++] = request->encoded;
        group->sync_count++;
    } else {
        group_append_copy(group, request->encoded);
    }
    group->payload_bytes += request->encoded.size;
    group->commit_count++;
    commit_list_append(&group->requests, request);
}
