/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling members that do not follow which term it is. It works both ways: an old primary that comes back hears from the
 * new one that it is none any more, or hears it from a member that it calls itself, whichever comes first.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "polarys/v1/replication.pb-c.h"
#include "service/replication/members_internal.h"
#include "service/server/timing.h"

static ProtobufCBinaryData bytes_of(const void *data, size_t size)
{
    ProtobufCBinaryData bytes = {size, (uint8_t *)(uintptr_t)data};
    return bytes;
}

/* The place where the turn of a member is kept; one that is no longer used where there is none. */
static struct members_told *told_get(struct members *members, const struct polarys_members *list,
                                     const char *name)
{
    struct members_told *place = NULL;
    for (size_t i = 0; i < POLARYS_MEMBERS_MAX; i++) {
        struct members_told *told = &members->told[i];
        bool is_there = false;
        if (strcmp(told->name, name) == 0) {
            return told;
        }
        (void)polarys_members_find(list, told->name, &is_there);
        if (!is_there) {
            place = told;
        }
    }
    if (place != NULL) {
        *place = (struct members_told){.next_ns = 0};
        memcpy(place->name, name, strlen(name) + 1);
    }
    return place;
}

static bool peer_publish(struct members *members, struct peer *peer)
{
    (void)pthread_mutex_lock(&members->mutex);
    bool is_wanted = !members->is_stopping;
    members->peer = is_wanted ? peer : NULL;
    (void)pthread_mutex_unlock(&members->mutex);
    return is_wanted;
}

/* What the member knows better. */
static void refusal_take(struct members *members, const struct polarys_error *err)
{
    const char *term_text = polarys_error_detail_find(err, "term");
    const char *primary = polarys_error_detail_find(err, "primary");
    uint64_t term = term_text == NULL ? 0 : strtoull(term_text, NULL, 10);
    if (err->code == POLARYS_NOT_PRIMARY && term > polarys_db_term(members->db)) {
        members->saw_term(members->context, term, primary == NULL ? "" : primary);
    }
}

static bool member_tell(struct members *members, const struct polarys_member *member)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct peer *peer = NULL;
    struct proto_arena arena;
    Polarys__V1__SealTermRequest request = POLARYS__V1__SEAL_TERM_REQUEST__INIT;
    void *response;
    const struct peer_call call = {.method = "/polarys.v1.ReplicationService/SealTerm",
                                   .request = &request.base,
                                   .response = &polarys__v1__seal_term_response__descriptor,
                                   .timeout_ms = MEMBERS_TELL_TIMEOUT_MS};
    request.node = bytes_of(members->config->node_name, strlen(members->config->node_name));
    request.store_id = bytes_of(polarys_db_store_id(members->db), POLARYS_ID_SIZE);
    request.term = polarys_db_term(members->db);
    request.primary_address = bytes_of(members->address, strlen(members->address));
    enum polarys_code code = members->open(member->address, &peer, &err);
    if (code != POLARYS_OK) {
        return false;
    }
    proto_arena_init(&arena, &members->memory);
    if (peer_publish(members, peer)) {
        code = peer_unary(peer, &call, &arena, &response, &err);
    } else {
        code = POLARYS_CANCELLED;
    }
    (void)peer_publish(members, NULL);
    peer_close(peer);
    proto_arena_deinit(&arena);
    if (code != POLARYS_OK) {
        refusal_take(members, &err);
    }
    return code == POLARYS_OK;
}

void members_tell(struct members *members, const struct polarys_members *list)
{
    uint64_t now_ns = timing_now_ns();
    bool is_member = false;
    /* A copy of a store that was opened under another name is of no group, and tells nobody anything. */
    (void)polarys_members_find(list, members->config->node_name, &is_member);
    if (!is_member) {
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct polarys_member *member = &list->list[i];
        struct group_node node;
        bool is_active = group_node_get(members->group, member->name, &node) && node.is_active;
        if (is_active || member->address[0] == '\0' ||
            strcmp(member->name, members->config->node_name) == 0) {
            continue;
        }
        struct members_told *told = told_get(members, list, member->name);
        if (told != NULL && now_ns >= told->next_ns) {
            bool is_told = member_tell(members, member);
            uint64_t pause_ms = is_told ? MEMBERS_TELL_AGAIN_MS : MEMBERS_TELL_MS;
            told->next_ns = timing_now_ns() + pause_ms * TIMING_NS_PER_MS;
            return; /* one in a round: joins wait for no more than that */
        }
    }
}
