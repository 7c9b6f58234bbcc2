/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the nodes what they are, and settles which of them is the primary.
 *
 * Invariant: a node is taken for the primary only while no node that answers is of a higher term: an old primary that
 * was replaced goes on saying that it is one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/assert.h"
#include "client/client_internal.h"
#include "client/route.h"
#include "polarys/v1/admin.pb-c.h"

/* What one round of questions has found. */
struct search {
    uint64_t deadline_ms; /* of the round; 0: none */
    uint32_t asked;       /* a bit each */
    uint32_t primary;     /* the one of the highest term; CLIENT_NODE_NONE: none yet */
    uint64_t primary_term;
    uint64_t highest_term; /* of whoever answered */
    uint32_t mute;         /* answers, but does not say what it is */
    char trouble[256];
};

static void trouble_add(struct search *search, const char *address, const char *what,
                        const char *whom)
{
    size_t used = strlen(search->trouble);
    POLARYS_ASSERT(used < sizeof(search->trouble));
    (void)snprintf(search->trouble + used, sizeof(search->trouble) - used, "%s%s %s%s",
                   used == 0 ? "" : ", ", address, what, whom);
}

static void node_note(struct polarys_client *client, uint32_t node, uint64_t begun_ms,
                      const Polarys__V1__GetStatusResponse *status)
{
    struct client_node *at = &client->route.nodes[node];
    uint64_t now_ms = transport_now_ms();

    pthread_mutex_lock(&client->mutex);
    POLARYS_ASSERT(node < client->route.node_count);
    if (status == NULL) {
        client_node_avoid_locked(at, now_ms);
    } else {
        at->is_replica = status->role == POLARYS__V1__NODE_ROLE__NODE_ROLE_REPLICA;
        at->is_ready = !status->draining && status->replica != NULL && status->replica->connected &&
                       status->replica->caught_up;
        at->answer_ms = (uint32_t)(now_ms - begun_ms);
        at->avoid_ms = 0;
        at->avoid_until_ms = 0;
    }
    pthread_mutex_unlock(&client->mutex);
}

/* What a replica says of its primary: whoever it names is asked too. */
static void replica_note(struct polarys_client *client, struct search *search, uint32_t node,
                         const Polarys__V1__GetStatusResponse *status)
{
    char primary[CLIENT_ENDPOINT_BYTES_MAX] = "";
    const ProtobufCBinaryData *named = status->replica == NULL ? NULL : &status->replica->primary;

    if (named != NULL && named->len > 0 && named->len < sizeof(primary) &&
        memchr(named->data, '\0', named->len) == NULL) {
        memcpy(primary, named->data, named->len);
        primary[named->len] = '\0';
        (void)client_node_told(client, primary);
    }
    trouble_add(search, client->route.nodes[node].address, "is a replica of ",
                primary[0] == '\0' ? "somebody" : primary);
}

static void status_note(struct polarys_client *client, struct search *search, uint32_t node,
                        const Polarys__V1__GetStatusResponse *status)
{
    uint64_t term = status->header == NULL ? 0 : status->header->term;

    search->highest_term = term > search->highest_term ? term : search->highest_term;
    if (status->role == POLARYS__V1__NODE_ROLE__NODE_ROLE_PRIMARY) {
        if (search->primary == CLIENT_NODE_NONE || term > search->primary_term) {
            search->primary = node;
            search->primary_term = term;
        }
        trouble_add(search, client->route.nodes[node].address, "is of an older term", "");
    } else if (status->role == POLARYS__V1__NODE_ROLE__NODE_ROLE_FENCED) {
        trouble_add(search, client->route.nodes[node].address, "was the primary", "");
    } else {
        replica_note(client, search, node, status);
    }
}

/* One question. NULL fills `err`. */
static Polarys__V1__GetStatusResponse *status_ask(struct polarys_client *client,
                                                  struct search *search, uint32_t node,
                                                  struct polarys_client_error *err)
{
    struct transport *transport = client_node_transport(client, node, err);
    uint64_t end_ms = transport_now_ms() + CLIENT_ASK_MS;
    struct transport_message bytes;

    if (transport == NULL) {
        return NULL;
    }
    if (search->deadline_ms != 0 && search->deadline_ms < end_ms) {
        end_ms = search->deadline_ms;
    }
    const struct transport_request request = {"/polarys.v1.AdminService/GetStatus", "", 0, end_ms};
    if (!transport_unary(transport, &request, &bytes, err)) {
        return NULL;
    }
    Polarys__V1__GetStatusResponse *status =
        polarys__v1__get_status_response__unpack(NULL, bytes.size, bytes.bytes);
    free(bytes.bytes);
    if (status == NULL) {
        client_error_set(err, POLARYS_CLIENT_INTERNAL, "GetStatus: the answer cannot be decoded");
    }
    return status;
}

static void node_ask(struct polarys_client *client, struct search *search, uint32_t node)
{
    struct polarys_client_error err;
    uint64_t begun_ms = transport_now_ms();

    client_error_clear(&err);
    Polarys__V1__GetStatusResponse *status = status_ask(client, search, node, &err);
    if (status == NULL) {
        bool is_silent = err.status == POLARYS_CLIENT_UNAVAILABLE ||
                         err.status == POLARYS_CLIENT_DEADLINE_EXCEEDED;
        node_note(client, node, begun_ms, NULL);
        trouble_add(search, client->route.nodes[node].address,
                    is_silent ? "does not answer" : "does not say what it is: ",
                    is_silent ? "" : polarys_client_status_name(err.status));
        search->mute = is_silent || search->mute != CLIENT_NODE_NONE ? search->mute : node;
        return;
    }
    node_note(client, node, begun_ms, status);
    status_note(client, search, node, status);
    polarys__v1__get_status_response__free_unpacked(status, NULL);
}

/* The next node to ask; those that failed of late only with `is_thorough`. */
static uint32_t node_next(struct polarys_client *client, const struct search *search,
                          bool is_thorough)
{
    const struct client_route *route = &client->route;
    uint64_t now_ms = transport_now_ms();
    uint32_t node = 0;

    pthread_mutex_lock(&client->mutex);
    while (node < route->node_count &&
           ((search->asked >> node & 1) != 0 ||
            (!is_thorough && now_ms < route->nodes[node].avoid_until_ms))) {
        node++;
    }
    node = node < route->node_count ? node : CLIENT_NODE_NONE;
    pthread_mutex_unlock(&client->mutex);
    return node;
}

static bool is_settled(const struct search *search)
{
    return search->primary != CLIENT_NODE_NONE && search->primary_term >= search->highest_term;
}

static void all_ask(struct polarys_client *client, struct search *search)
{
    for (uint32_t i = 0; i < POLARYS_CLIENT_NODES_MAX; i++) {
        /* Those that failed of late come last, and only while nobody else will do. */
        uint32_t node = node_next(client, search, false);
        if (node == CLIENT_NODE_NONE && !is_settled(search)) {
            node = node_next(client, search, true);
        }
        if (node == CLIENT_NODE_NONE ||
            (search->deadline_ms != 0 && transport_now_ms() >= search->deadline_ms)) {
            return;
        }
        search->asked |= UINT32_C(1) << node;
        node_ask(client, search, node);
    }
}

/* Waits for the thread that searches. REQUIRES: the mutex. */
static void search_wait_locked(struct polarys_client *client, uint64_t deadline_ms)
{
    struct timespec until = {(time_t)(deadline_ms / 1000), (long)(deadline_ms % 1000) * 1000000};
    int failure = 0;

    while (client->route.is_searching && failure == 0) {
        failure = deadline_ms == 0
                      ? pthread_cond_wait(&client->searched, &client->mutex)
                      : pthread_cond_timedwait(&client->searched, &client->mutex, &until);
    }
}

static void search_settle_locked(struct client_route *route, const struct search *search)
{
    route->primary = is_settled(search) ? search->primary : search->mute;
    route->term = search->highest_term;
    route->searched_at_ms = transport_now_ms();
    route->is_searching = false;
    memcpy(route->trouble, search->trouble, sizeof(route->trouble));
}

void client_route_search(struct polarys_client *client, uint64_t deadline_ms)
{
    struct search search = {
        .deadline_ms = deadline_ms, .primary = CLIENT_NODE_NONE, .mute = CLIENT_NODE_NONE};

    pthread_mutex_lock(&client->mutex);
    POLARYS_ASSERT(client->route.node_count > 1);
    bool is_mine = !client->route.is_searching;
    if (is_mine) {
        client->route.is_searching = true;
    } else {
        search_wait_locked(client, deadline_ms);
    }
    pthread_mutex_unlock(&client->mutex);
    if (!is_mine) {
        return;
    }
    all_ask(client, &search);
    pthread_mutex_lock(&client->mutex);
    search_settle_locked(&client->route, &search);
    pthread_cond_broadcast(&client->searched);
    pthread_mutex_unlock(&client->mutex);
}
