/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a failed attempt means: whether the call fails, goes on elsewhere or waits, and what is known of the node from
 * then on.
 *
 * Invariant: an attempt that may have been carried out is followed by another only where repeating it is harmless;
 * NOT_PRIMARY and READ_ONLY say that nothing was done.
 */
#include <string.h>

#include "client/assert.h"
#include "client/client_internal.h"
#include "client/route.h"

enum trouble {
    TROUBLE_OTHER,     /* of the call itself, or it passes by waiting */
    TROUBLE_MOVED,     /* the node is not the primary */
    TROUBLE_GONE,      /* nobody answers there, or only to say so */
    TROUBLE_HUNG,      /* the time passed without an answer */
    TROUBLE_ELSEWHERE, /* this node cannot serve what another may */
};

static bool reason_is(const struct polarys_client_error *err, const char *reason)
{
    return strcmp(err->reason, reason) == 0;
}

/* True when another node may have what this one has not. */
static bool is_node_own(const struct polarys_client_error *err)
{
    return err->status == POLARYS_CLIENT_DATA_LOSS ||
           err->status == POLARYS_CLIENT_RESOURCE_EXHAUSTED || reason_is(err, "FUTURE_VERSION") ||
           reason_is(err, "HISTORY_PRUNED") || reason_is(err, "HISTORY_DIVERGED") ||
           reason_is(err, "WAIT_TIMEOUT");
}

static enum trouble trouble_of(const struct polarys_client_error *err, bool is_primary)
{
    POLARYS_ASSERT(err->status != POLARYS_CLIENT_OK);
    if (reason_is(err, "NOT_PRIMARY")) {
        return TROUBLE_MOVED;
    }
    if (err->status == POLARYS_CLIENT_UNAVAILABLE || reason_is(err, "READ_ONLY")) {
        return TROUBLE_GONE;
    }
    if (err->status == POLARYS_CLIENT_DEADLINE_EXCEEDED && err->reason[0] == '\0') {
        return TROUBLE_HUNG;
    }
    return !is_primary && is_node_own(err) ? TROUBLE_ELSEWHERE : TROUBLE_OTHER;
}

/* Takes what the trouble says about the node. `told`: the primary that it named. */
static void trouble_note_locked(struct client_route *route, uint32_t node, enum trouble trouble,
                                uint32_t told)
{
    struct client_node *at = &route->nodes[node];
    uint64_t now_ms = transport_now_ms();

    POLARYS_ASSERT(node < route->node_count);
    if (trouble == TROUBLE_MOVED) {
        at->is_replica = true;
    } else if (trouble != TROUBLE_OTHER) {
        client_node_avoid_locked(at, now_ms);
    }
    /* Another thread may know better by now: only what was believed of this node is taken back. */
    if (trouble != TROUBLE_OTHER && trouble != TROUBLE_ELSEWHERE && route->primary == node) {
        route->primary = CLIENT_NODE_NONE;
    }
    if (told != CLIENT_NODE_NONE && told != node && route->primary == CLIENT_NODE_NONE) {
        route->primary = told;
    }
}

/* The node that a NOT_PRIMARY names. */
static uint32_t told_take(struct polarys_client *client, const struct polarys_client_error *err)
{
    const char *primary = polarys_client_error_metadata(err, "primary");
    size_t size_max = sizeof(err->metadata[0].value) - 1;
    /* One that fills its place was perhaps cut. */
    if (client->options.is_pinned || !reason_is(err, "NOT_PRIMARY") || primary == NULL ||
        primary[0] == '\0' || strlen(primary) >= size_max) {
        return CLIENT_NODE_NONE;
    }
    return client_node_told(client, primary);
}

/* The trouble, noted. `*is_led`: an answer led to another node, which may be tried at once. */
static enum trouble trouble_take(struct polarys_client *client, uint32_t node,
                                 const struct polarys_client_error *err, bool *is_led)
{
    uint32_t told = told_take(client, err);

    pthread_mutex_lock(&client->mutex);
    struct client_route *route = &client->route;
    bool is_group = route->node_count > 1;
    enum trouble trouble = trouble_of(err, !is_group || node == route->primary);
    if (is_group) {
        trouble_note_locked(route, node, trouble, told);
    }
    *is_led = route->primary != CLIENT_NODE_NONE && route->primary != node;
    pthread_mutex_unlock(&client->mutex);
    return trouble;
}

/* When a stream or call that is in trouble gives up. */
static uint64_t patience_end(const struct polarys_client *client, const struct client_way *way)
{
    uint32_t patience_ms =
        client->options.timeout_ms == 0 ? CLIENT_SEARCH_MS_MAX : client->options.timeout_ms;

    POLARYS_ASSERT(way->trouble_ms != 0);
    if (way->deadline_ms != 0) {
        return way->deadline_ms;
    }
    return way->trouble_ms + (way->reconnect_ms > patience_ms ? way->reconnect_ms : patience_ms);
}

/* A pause of the search for a primary; fails where the call may not or need not be repeated. */
static enum client_step step_pause(const struct polarys_client *client, struct client_way *way,
                                   uint32_t *delay_ms)
{
    uint64_t delay = (uint64_t)client->options.retry_delay_ms
                     << (way->pauses < 6 ? way->pauses : 6);

    POLARYS_ASSERT(delay_ms != NULL);
    delay = delay < CLIENT_SEARCH_PAUSE_MS_MAX ? delay : CLIENT_SEARCH_PAUSE_MS_MAX;
    *delay_ms = client_jitter((uint32_t)delay);
    if (client->options.retries_max == 0 ||
        transport_now_ms() + *delay_ms >= patience_end(client, way)) {
        return CLIENT_STEP_FAIL;
    }
    way->pauses++;
    way->moves = 0;
    way->failed = 0;
    return CLIENT_STEP_PAUSE;
}

/* As it is where there is one server: so many attempts, with growing pauses. */
static enum client_step step_alone(const struct polarys_client *client,
                                   const struct client_way *way, enum client_repeat repeat,
                                   const struct polarys_client_error *err, uint32_t *delay_ms)
{
    uint64_t now_ms = transport_now_ms();

    POLARYS_ASSERT(way->attempts > 0);
    POLARYS_ASSERT(way->trouble_ms != 0);
    if (!client_may_retry(client, err, repeat, way->attempts - 1, delay_ms) &&
        (err->status != POLARYS_CLIENT_UNAVAILABLE ||
         now_ms + *delay_ms >= way->trouble_ms + way->reconnect_ms)) {
        return CLIENT_STEP_FAIL;
    }
    bool is_late = way->deadline_ms != 0 && now_ms + *delay_ms >= way->deadline_ms;
    return is_late ? CLIENT_STEP_FAIL : CLIENT_STEP_PAUSE;
}

/* At once to another node, but not for ever around. */
static enum client_step step_again(const struct polarys_client *client, struct client_way *way,
                                   uint32_t *delay_ms)
{
    if (way->deadline_ms != 0 && transport_now_ms() >= way->deadline_ms) {
        return CLIENT_STEP_FAIL;
    }
    if (way->moves++ < CLIENT_MOVES_MAX) {
        return CLIENT_STEP_AGAIN;
    }
    return step_pause(client, way, delay_ms);
}

/* A read that any node may serve: those that failed are left out until the next pause. */
static enum client_step step_read(struct polarys_client *client, struct client_way *way,
                                  uint32_t *delay_ms)
{
    POLARYS_ASSERT(way->node < POLARYS_CLIENT_NODES_MAX);
    way->failed |= UINT32_C(1) << way->node;
    if (way->deadline_ms != 0 && transport_now_ms() >= way->deadline_ms) {
        return CLIENT_STEP_FAIL;
    }
    pthread_mutex_lock(&client->mutex);
    uint32_t all = UINT32_MAX >> (32 - client->route.node_count);
    pthread_mutex_unlock(&client->mutex);
    return (way->failed & all) == all ? step_pause(client, way, delay_ms) : CLIENT_STEP_AGAIN;
}

enum client_step client_way_judge(struct polarys_client *client, struct client_way *way,
                                  enum client_repeat repeat, const struct polarys_client_error *err,
                                  uint32_t *delay_ms)
{
    bool is_led = false;
    bool was_refused = err->reason[0] != '\0';

    POLARYS_ASSERT(delay_ms != NULL);
    *delay_ms = 0;
    way->trouble_ms = way->trouble_ms == 0 ? transport_now_ms() : way->trouble_ms;
    if (way->node == CLIENT_NODE_NONE) {
        return repeat == CLIENT_REPEAT_NEVER ? CLIENT_STEP_FAIL : step_pause(client, way, delay_ms);
    }
    enum trouble trouble = trouble_take(client, way->node, err, &is_led);
    if (!client_route_is_group(client) || trouble == TROUBLE_OTHER) {
        return step_alone(client, way, repeat, err, delay_ms);
    }
    bool is_read = way->place == CLIENT_PLACE_READ &&
                   client->options.read_policy != POLARYS_CLIENT_READ_PRIMARY;
    if (repeat == CLIENT_REPEAT_NEVER || (repeat != CLIENT_REPEAT_ALWAYS && !was_refused)) {
        return CLIENT_STEP_FAIL;
    }
    if (is_read) {
        return step_read(client, way, delay_ms);
    }
    if (trouble == TROUBLE_HUNG || trouble == TROUBLE_ELSEWHERE) {
        return CLIENT_STEP_FAIL;
    }
    /* Whoever was named is tried at once, and where nobody was, all are asked at once; then it is waited. */
    bool is_first = way->moves == 0 && way->pauses == 0;
    return is_led || is_first ? step_again(client, way, delay_ms)
                              : step_pause(client, way, delay_ms);
}

void client_route_told(struct polarys_client *client, uint32_t node,
                       const struct polarys_client_error *err)
{
    bool is_led;

    POLARYS_ASSERT(node < POLARYS_CLIENT_NODES_MAX);
    POLARYS_ASSERT(err->status != POLARYS_CLIENT_OK);
    (void)trouble_take(client, node, err, &is_led);
    pthread_mutex_lock(&client->mutex);
    const struct client_route *route = &client->route;
    bool is_lost = route->node_count > 1 && route->primary == CLIENT_NODE_NONE &&
                   transport_now_ms() >= route->searched_at_ms + CLIENT_ASK_PAUSE_MS;
    pthread_mutex_unlock(&client->mutex);
    if (is_lost) {
        client_route_search(client, 0);
    }
}

void client_route_heard(struct polarys_client *client, uint32_t node, uint64_t term)
{
    pthread_mutex_lock(&client->mutex);
    struct client_route *route = &client->route;
    POLARYS_ASSERT(node < route->node_count);
    route->nodes[node].avoid_ms = 0;
    route->nodes[node].avoid_until_ms = 0;
    if (route->node_count > 1 && term > route->term) {
        route->term = term;
        route->primary = node == route->primary ? node : CLIENT_NODE_NONE;
    }
    pthread_mutex_unlock(&client->mutex);
}
