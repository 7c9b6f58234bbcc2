/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking events: from packets to what the caller is given.
 *
 * Invariant: the resume version rises only behind the last event of a commit, or over commits that have nothing
 * for this watch; so opening again from it neither misses nor doubles anything.
 */
#include "engine/watch_internal.h"

static bool is_change(const struct watch_item *item)
{
    return item->kind != POLARYS_WATCH_SNAPSHOT_PUT && item->kind != POLARYS_WATCH_SNAPSHOT_END;
}

static bool is_wanted(const struct polarys_watch *watch, const struct watch_item *item)
{
    return (!is_change(item) || item->version > watch->resume_version) &&
           watch_item_matches(watch, watch->packet, item);
}

/* The next item of the packet in hand that is this watch's, from item_index on; NULL at its end. */
static const struct watch_item *item_find(struct polarys_watch *watch)
{
    const struct watch_packet *packet = watch->packet;
    for (; watch->item_index < packet->item_count; watch->item_index++) {
        if (is_wanted(watch, &packet->items[watch->item_index])) {
            return &packet->items[watch->item_index];
        }
    }
    return NULL;
}

/* Whether a later item of the same commit is this watch's. */
static bool has_more_of_commit(const struct polarys_watch *watch, const struct watch_item *item)
{
    const struct watch_packet *packet = watch->packet;
    for (size_t i = watch->item_index + 1; i < packet->item_count; i++) {
        if (packet->items[i].version != item->version) {
            return false;
        }
        if (watch_item_matches(watch, packet, &packet->items[i])) {
            return true;
        }
    }
    return false;
}

/* Cuts a range to the prefix. */
static void range_fill(const struct polarys_watch *watch, const struct watch_item *item,
                       struct polarys_watch_event *event)
{
    struct polarys_slice prefix = buffer_slice(&watch->prefix);
    struct polarys_slice prefix_end = buffer_slice(&watch->prefix_end);
    struct polarys_slice end = watch_item_value(watch->packet, item);
    if (slice_compare(event->key, prefix) < 0) {
        event->key = prefix;
    }
    bool is_beyond = end.size == 0 || (prefix_end.size > 0 && slice_compare(end, prefix_end) > 0);
    event->end_key = is_beyond ? prefix_end : end;
}

static void event_fill(const struct polarys_watch *watch, const struct watch_item *item,
                       struct polarys_watch_event *event)
{
    *event = (struct polarys_watch_event){.kind = item->kind,
                                          .version = item->version,
                                          .time_unix_ms = item->time_unix_ms,
                                          .is_last_of_commit = true,
                                          .key = watch_item_key(watch->packet, item)};
    if (item->kind == POLARYS_WATCH_PUT || item->kind == POLARYS_WATCH_SNAPSHOT_PUT) {
        event->value.kind = item->is_json ? POLARYS_VALUE_JSON : POLARYS_VALUE_RAW;
        event->value.expires_at_ms = item->expires_at_ms;
        event->value.bytes = watch_item_value(watch->packet, item);
    } else if (item->kind == POLARYS_WATCH_DELETE_RANGE) {
        range_fill(watch, item, event);
    }
}

/* Looks at the document of the event; *is_given false: it is none of the watch's. */
static enum polarys_code event_filter(struct polarys_watch *watch,
                                      struct polarys_watch_event *event, bool *is_given,
                                      struct polarys_error *err)
{
    bool matches = true;
    *is_given = true;
    bool has_document =
        event->kind == POLARYS_WATCH_PUT || event->kind == POLARYS_WATCH_SNAPSHOT_PUT;
    if (watch->filter == NULL || !has_document) {
        return POLARYS_OK;
    }
    enum polarys_code code = watch_filter_matches(
        watch->filter, event->value.kind == POLARYS_VALUE_JSON, event->value.bytes, &matches, err);
    if (code != POLARYS_OK || matches) {
        return code;
    }
    *is_given = event->kind == POLARYS_WATCH_PUT;
    event->kind = POLARYS_WATCH_DELETE;
    event->value = (struct polarys_value){.kind = POLARYS_VALUE_JSON};
    return POLARYS_OK;
}

/* Gives the item in hand and moves behind it. */
static enum polarys_code item_give(struct polarys_watch *watch, const struct watch_item *item,
                                   bool *has_event, struct polarys_watch_event *event,
                                   struct polarys_error *err)
{
    POLARYS_ASSERT(!watch->is_over);
    event_fill(watch, item, event);
    enum polarys_code code = event_filter(watch, event, has_event, err);
    if (code != POLARYS_OK) {
        *has_event = false;
        return code;
    }
    if (is_change(item)) {
        event->is_last_of_commit = !has_more_of_commit(watch, item);
    }
    if (item->kind == POLARYS_WATCH_SNAPSHOT_END || (is_change(item) && event->is_last_of_commit)) {
        watch->resume_version = item->version;
    }
    watch->is_over = item->kind == POLARYS_WATCH_TABLE_DROPPED;
    watch->item_index++;
    watch->has_given = watch->has_given || *has_event;
    return POLARYS_OK;
}

/* The packet in hand is done: nothing up to its last version is left for this watch. */
static void packet_finish(struct polarys_watch *watch)
{
    POLARYS_ASSERT(watch->item_index == watch->packet->item_count);
    if (watch->packet->last_version > watch->resume_version) {
        watch->resume_version = watch->packet->last_version;
    }
    watch_packet_unref(watch->packet);
    watch->packet = NULL;
    watch->item_index = 0;
}

/* What is to be done when no packet is in hand. */
enum drained {
    DRAINED_NOT,      /* one came in between */
    DRAINED_PROGRESS, /* is due */
    DRAINED_ENDED,
    DRAINED_ARMED, /* `ready` will be called */
};

/* Everything that was put into the queue was given: so was what the queue had nothing of. */
static void resume_raise_locked(struct polarys_watch *watch)
{
    uint64_t version = watch->delivered_version;
    uint64_t hub_version = watch->is_joined ? atomic_load(&watch->hub->delivered_version) : 0;
    version = hub_version > version ? hub_version : version;
    if (version > watch->resume_version && !watch->is_snapshot) {
        watch->resume_version = version;
    }
}

static enum drained queue_drained(struct polarys_watch *watch, struct polarys_error *err)
{
    uint64_t now_ns = clock_monotonic_ns(watch->hub->db->clock);
    enum drained drained = DRAINED_NOT;
    mutex_lock(&watch->mutex);
    if (watch->queue_count == 0 && watch->end_code != POLARYS_OK) {
        *err = watch->end_error;
        drained = DRAINED_ENDED;
    } else if (watch->queue_count == 0) {
        resume_raise_locked(watch);
        if (watch->has_given) {
            watch->idle_since_ns = now_ns;
            watch->has_given = false;
        }
        bool is_due =
            watch->resume_version > 0 && now_ns - watch->idle_since_ns >= watch->progress_ns;
        drained = is_due ? DRAINED_PROGRESS : DRAINED_ARMED;
        watch->is_armed = !is_due;
    }
    mutex_unlock(&watch->mutex);
    return drained;
}

static void progress_give(struct polarys_watch *watch, struct polarys_watch_event *event)
{
    *event = (struct polarys_watch_event){.kind = POLARYS_WATCH_PROGRESS,
                                          .version = watch->resume_version,
                                          .is_last_of_commit = true};
    watch->has_given = true;
}

/* The next packet; false when there is none. */
static bool packet_take(struct polarys_watch *watch)
{
    bool wants_work;
    bool is_taken = watch_queue_take(watch, &watch->packet, &wants_work);
    if (wants_work) {
        watch_work_want(watch);
    }
    return is_taken;
}

/* Gives from the packets that are there. *has_event false: none is left. */
static enum polarys_code packets_give(struct polarys_watch *watch, bool *has_event,
                                      struct polarys_watch_event *event, struct polarys_error *err)
{
    while (watch->packet != NULL || packet_take(watch)) {
        const struct watch_item *item = item_find(watch);
        if (item == NULL) {
            packet_finish(watch);
            continue;
        }
        enum polarys_code code = item_give(watch, item, has_event, event, err);
        if (code != POLARYS_OK || *has_event) {
            return code;
        }
    }
    return POLARYS_OK;
}

/* The error with which the watch ended. */
static enum polarys_code fail_ended(const struct polarys_watch *watch,
                                    struct polarys_error *end_error, struct polarys_error *err)
{
    if (end_error->code == POLARYS_WATCH_TOO_SLOW) {
        polarys_error_detail_set(end_error, "resume_version", "%llu",
                                 (unsigned long long)watch->resume_version);
    }
    if (err != NULL) {
        *err = *end_error;
    }
    return end_error->code;
}

enum polarys_code polarys_watch_next(struct polarys_watch *watch, bool *has_event,
                                     struct polarys_watch_event *event, struct polarys_error *err)
{
    struct polarys_error end_error = POLARYS_ERROR_INIT;
    *has_event = false;
    if (watch->is_over) {
        return POLARYS_OK;
    }
    for (;;) {
        enum polarys_code code = packets_give(watch, has_event, event, err);
        if (code != POLARYS_OK || *has_event) {
            return code;
        }
        switch (queue_drained(watch, &end_error)) {
        case DRAINED_NOT:
            break;
        case DRAINED_PROGRESS:
            progress_give(watch, event);
            *has_event = true;
            return POLARYS_OK;
        case DRAINED_ENDED:
            return fail_ended(watch, &end_error, err);
        case DRAINED_ARMED:
            return POLARYS_OK;
        }
    }
}
