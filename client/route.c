/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes, and the choice among them.
 */
#include "client/route.h"

#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/client_internal.h"

_Static_assert(POLARYS_CLIENT_NODES_MAX <= 32, "client_way.failed has a bit for each node");

/* ---- the nodes ---- */

static uint32_t node_find_locked(const struct client_route *route, const char *address)
{
    POLARYS_ASSERT(route->node_count <= POLARYS_CLIENT_NODES_MAX);
    for (uint32_t i = 0; i < route->node_count; i++) {
        if (strcmp(route->nodes[i].address, address) == 0) {
            return i;
        }
    }
    return CLIENT_NODE_NONE;
}

/* CLIENT_NODE_NONE: no room, or no memory. */
static uint32_t node_add_locked(struct client_route *route, const char *address, bool is_listed)
{
    uint32_t found = node_find_locked(route, address);

    if (found != CLIENT_NODE_NONE || route->node_count == POLARYS_CLIENT_NODES_MAX) {
        return found;
    }
    char *copy = strdup(address);
    if (copy == NULL) {
        return CLIENT_NODE_NONE;
    }
    struct client_node *node = &route->nodes[route->node_count];
    memset(node, 0, sizeof(*node));
    node->address = copy;
    node->is_listed = is_listed;
    return route->node_count++;
}

bool client_route_init(struct polarys_client *client)
{
    struct client_route *route = &client->route;
    const char *list = client->options.endpoint;
    char endpoint[CLIENT_ENDPOINT_BYTES_MAX];

    POLARYS_ASSERT(client_endpoint_list_is_valid(list));
    POLARYS_ASSERT(route->node_count == 0);
    route->primary = CLIENT_NODE_NONE;
    pthread_mutex_lock(&client->mutex);
    bool is_ok = true;
    while (is_ok && list != NULL) {
        is_ok = client_endpoint_next(&list, endpoint) &&
                node_add_locked(route, endpoint, true) != CLIENT_NODE_NONE;
    }
    pthread_mutex_unlock(&client->mutex);
    return is_ok;
}

void client_route_deinit(struct polarys_client *client)
{
    struct client_route *route = &client->route;

    POLARYS_ASSERT(!route->is_searching);
    for (uint32_t i = 0; i < route->node_count; i++) {
        transport_close(route->nodes[i].transport);
        free(route->nodes[i].address);
    }
    route->node_count = 0;
}

bool client_route_is_group(struct polarys_client *client)
{
    pthread_mutex_lock(&client->mutex);
    bool is_group = client->route.node_count > 1;
    pthread_mutex_unlock(&client->mutex);
    POLARYS_ASSERT(!is_group || !client->options.is_pinned);
    return is_group;
}

uint32_t client_node_told(struct polarys_client *client, const char *address)
{
    POLARYS_ASSERT(address != NULL);
    POLARYS_ASSERT(!client->options.is_pinned);
    pthread_mutex_lock(&client->mutex);
    uint32_t node = node_find_locked(&client->route, address);
    pthread_mutex_unlock(&client->mutex);
    /* What a server says is judged like what a user says. */
    if (node != CLIENT_NODE_NONE || strlen(address) >= CLIENT_ENDPOINT_BYTES_MAX ||
        !client_endpoint_is_valid(address) ||
        (client->options.accepts_endpoint != NULL && !client->options.accepts_endpoint(address))) {
        return node;
    }
    pthread_mutex_lock(&client->mutex);
    node = node_add_locked(&client->route, address, false);
    pthread_mutex_unlock(&client->mutex);
    return node;
}

struct transport *client_node_transport(struct polarys_client *client, uint32_t node,
                                        struct polarys_client_error *err)
{
    struct client_node *at = &client->route.nodes[node];
    struct polarys_client_options options = client->options;
    struct transport *opened = NULL;

    pthread_mutex_lock(&client->mutex);
    POLARYS_ASSERT(node < client->route.node_count);
    struct transport *transport = at->transport;
    options.endpoint = at->address;
    pthread_mutex_unlock(&client->mutex);
    if (transport != NULL || !transport_open(&options, &opened, err)) {
        return transport;
    }
    pthread_mutex_lock(&client->mutex);
    if (at->transport == NULL) {
        at->transport = opened;
        opened = NULL;
    }
    transport = at->transport;
    pthread_mutex_unlock(&client->mutex);
    transport_close(opened); /* another thread was faster */
    return transport;
}

void client_node_avoid_locked(struct client_node *node, uint64_t now_ms)
{
    uint32_t twice = node->avoid_ms * 2;

    POLARYS_ASSERT(node->avoid_ms <= CLIENT_AVOID_MS_MAX);
    if (now_ms < node->avoid_until_ms) {
        return; /* calls that failed together are one failure */
    }
    node->avoid_ms = node->avoid_ms == 0           ? CLIENT_AVOID_MS_MIN
                     : twice > CLIENT_AVOID_MS_MAX ? CLIENT_AVOID_MS_MAX
                                                   : twice;
    node->avoid_until_ms = now_ms + node->avoid_ms;
}

/* ---- the choice ---- */

static bool reads_anywhere(const struct polarys_client *client, enum client_place place)
{
    return place == CLIENT_PLACE_READ && client->options.read_policy != POLARYS_CLIENT_READ_PRIMARY;
}

/* True for a node that a read may try first. */
static bool is_reader_locked(const struct polarys_client *client, uint32_t node, uint32_t failed,
                             uint64_t now_ms)
{
    const struct client_node *at = &client->route.nodes[node];
    if ((failed >> node & 1) != 0 || now_ms < at->avoid_until_ms) {
        return false;
    }
    bool is_near = client->options.read_policy == POLARYS_CLIENT_READ_NEAREST;
    return (at->is_replica && at->is_ready) || (is_near && node == client->route.primary);
}

/* One of the nodes that a read may try first: by turns, of the nearest where the policy says so. */
static uint32_t reader_choose_locked(struct polarys_client *client, uint32_t failed,
                                     uint64_t now_ms)
{
    struct client_route *route = &client->route;
    uint32_t near_ms = UINT32_MAX;
    uint32_t candidates[POLARYS_CLIENT_NODES_MAX] = {0};
    uint32_t count = 0;

    if (client->options.read_policy == POLARYS_CLIENT_READ_NEAREST) {
        for (uint32_t i = 0; i < route->node_count; i++) {
            bool is_nearer = route->nodes[i].answer_ms < near_ms;
            if (is_nearer && is_reader_locked(client, i, failed, now_ms)) {
                near_ms = route->nodes[i].answer_ms;
            }
        }
        near_ms = near_ms < UINT32_MAX - CLIENT_NEAR_MS ? near_ms + CLIENT_NEAR_MS : near_ms;
    }
    for (uint32_t i = 0; i < route->node_count; i++) {
        if (route->nodes[i].answer_ms <= near_ms && is_reader_locked(client, i, failed, now_ms)) {
            candidates[count++] = i;
        }
    }
    return count == 0 ? CLIENT_NODE_NONE : candidates[route->turn++ % count];
}

/* A replica that nothing speaks for, when nobody else is left. */
static uint32_t reader_last_locked(const struct client_route *route, uint32_t failed)
{
    for (uint32_t i = 0; i < route->node_count; i++) {
        if ((failed >> i & 1) == 0 && route->nodes[i].is_replica) {
            return i;
        }
    }
    return CLIENT_NODE_NONE;
}

/* `is_thorough`: takes a replica that nothing speaks for rather than none. */
static uint32_t choose_locked(struct polarys_client *client, const struct client_way *way,
                              bool is_thorough)
{
    struct client_route *route = &client->route;
    uint64_t now_ms = transport_now_ms();

    POLARYS_ASSERT(route->node_count > 0);
    if (route->node_count == 1) {
        return 0;
    }
    if (!reads_anywhere(client, way->place)) {
        return route->primary;
    }
    uint32_t node = reader_choose_locked(client, way->failed, now_ms);
    if (node != CLIENT_NODE_NONE) {
        return node;
    }
    bool has_failed =
        route->primary != CLIENT_NODE_NONE && (way->failed >> route->primary & 1) != 0;
    if (route->primary != CLIENT_NODE_NONE && !has_failed) {
        return route->primary;
    }
    return has_failed || is_thorough ? reader_last_locked(route, way->failed) : CLIENT_NODE_NONE;
}

/* What reads go by is looked up again now and then, by one thread. */
static bool is_refresh_due(struct polarys_client *client, const struct client_way *way)
{
    const struct client_route *route = &client->route;
    uint64_t now_ms = transport_now_ms();

    pthread_mutex_lock(&client->mutex);
    bool is_due = reads_anywhere(client, way->place) && route->node_count > 1 &&
                  !route->is_searching && now_ms >= route->searched_at_ms + CLIENT_REFRESH_MS;
    pthread_mutex_unlock(&client->mutex);
    return is_due;
}

/* Chooses, and asks the nodes where nothing is known to choose by. */
static uint32_t choose(struct polarys_client *client, const struct client_way *way)
{
    bool may_search = true;

    if (is_refresh_due(client, way)) {
        client_route_search(client, way->deadline_ms);
        may_search = false;
    }
    for (;;) {
        pthread_mutex_lock(&client->mutex);
        uint32_t node = choose_locked(client, way, !may_search);
        bool is_lost = client->route.primary == CLIENT_NODE_NONE;
        pthread_mutex_unlock(&client->mutex);
        if (node != CLIENT_NODE_NONE || !is_lost || !may_search) {
            return node;
        }
        client_route_search(client, way->deadline_ms);
        may_search = false;
    }
}

/* A read at a replica leaves half of the time to whoever is asked when the replica cannot serve it. */
static uint64_t attempt_deadline(struct polarys_client *client, const struct client_way *way)
{
    uint64_t now_ms = transport_now_ms();

    pthread_mutex_lock(&client->mutex);
    bool is_last = way->node == client->route.primary || client->route.node_count == 1;
    pthread_mutex_unlock(&client->mutex);
    if (is_last || way->deadline_ms <= now_ms) {
        return way->deadline_ms;
    }
    return now_ms + (way->deadline_ms - now_ms) / 2;
}

static void nowhere(struct polarys_client *client, struct polarys_client_error *err)
{
    char trouble[sizeof(client->route.trouble)];

    pthread_mutex_lock(&client->mutex);
    memcpy(trouble, client->route.trouble, sizeof(trouble));
    pthread_mutex_unlock(&client->mutex);
    client_error_set(err, POLARYS_CLIENT_UNAVAILABLE, "none of %s serves the call: %s",
                     client->options.endpoint, trouble[0] == '\0' ? "each was tried" : trouble);
    client_error_reason_set(err, "NO_PRIMARY");
}

void client_way_init(struct client_way *way, enum client_place place, uint64_t deadline_ms,
                     uint32_t reconnect_ms)
{
    POLARYS_ASSERT(way != NULL);
    memset(way, 0, sizeof(*way));
    way->place = place;
    way->deadline_ms = deadline_ms;
    way->reconnect_ms = reconnect_ms;
    way->node = CLIENT_NODE_NONE;
}

bool client_way_next(struct polarys_client *client, struct client_way *way,
                     struct client_target *target, struct polarys_client_error *err)
{
    POLARYS_ASSERT(client != NULL);
    POLARYS_ASSERT(way != NULL && target != NULL);
    way->attempts++;
    way->node = choose(client, way);
    if (way->node == CLIENT_NODE_NONE) {
        nowhere(client, err);
        return false;
    }
    target->transport = client_node_transport(client, way->node, err);
    target->address = client->route.nodes[way->node].address;
    target->deadline_ms = attempt_deadline(client, way);
    return target->transport != NULL;
}

void client_way_progress(struct client_way *way)
{
    POLARYS_ASSERT(way->node != CLIENT_NODE_NONE);
    way->attempts = 1; /* the one that goes on */
    way->trouble_ms = 0;
    way->pauses = 0;
    way->moves = 0;
    way->failed = 0;
}

bool client_route_guess(struct polarys_client *client, enum client_place place, uint32_t *node,
                        struct client_target *target)
{
    struct client_way way;

    POLARYS_ASSERT(node != NULL);
    POLARYS_ASSERT(target != NULL);
    client_way_init(&way, place, 0, 0);
    pthread_mutex_lock(&client->mutex);
    *node = choose_locked(client, &way, true);
    if (*node == CLIENT_NODE_NONE) {
        *node = 0;
    }
    pthread_mutex_unlock(&client->mutex);
    target->transport = client_node_transport(client, *node, NULL);
    target->address = client->route.nodes[*node].address;
    target->deadline_ms = 0;
    return target->transport != NULL;
}
