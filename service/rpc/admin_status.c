/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AdminService.GetStatus: the engine's status and the server's counters as one message.
 */
#include "polarys/v1/admin.pb-c.h"
#include "service/replication/standing.h"
#include "service/rpc/admin_replica.h"
#include "service/rpc/handlers.h"
#include "service/rpc/response.h"
#include "service/server/server.h"
#include "service/server/timing.h"
#include "service/server/transactions.h"

/* All that the response points to. */
struct status_parts {
    struct polarys_db_status db;
    Polarys__V1__GetStatusResponse response;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    Google__Protobuf__Duration uptime;
    Polarys__V1__LevelStatus levels[POLARYS_LEVELS];
    Polarys__V1__LevelStatus *level_pointers[POLARYS_LEVELS];
    Polarys__V1__CacheStatus cache;
    Polarys__V1__MemoryStatus memory;
    Polarys__V1__DiskStatus disk;
    Polarys__V1__LogStatus log;
    Polarys__V1__WriteStallStatus stall;
    Polarys__V1__SnapshotStatus snapshots;
    Google__Protobuf__Duration oldest_age;
    Polarys__V1__KeyStatus key;
    Polarys__V1__KeyStatus *key_pointers[1];
    Polarys__V1__TransactionsStatus transactions;
    struct admin_replica replica;
    Polarys__V1__CallCount calls[METHOD_COUNT_MAX];
    Polarys__V1__CallCount *call_pointers[METHOD_COUNT_MAX];
};

static void duration_fill(uint64_t ms, Google__Protobuf__Duration *duration)
{
    google__protobuf__duration__init(duration);
    duration->seconds = (int64_t)(ms / 1000);
    duration->nanos = (int32_t)(ms % 1000 * 1000000);
}

/* Returns the bytes of all levels. */
static uint64_t levels_fill(struct status_parts *parts)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < POLARYS_LEVELS; i++) {
        polarys__v1__level_status__init(&parts->levels[i]);
        parts->levels[i].level = i;
        parts->levels[i].files = parts->db.levels[i].file_count;
        parts->levels[i].bytes = parts->db.levels[i].bytes;
        parts->level_pointers[i] = &parts->levels[i];
        bytes += parts->db.levels[i].bytes;
    }
    parts->response.n_levels = POLARYS_LEVELS;
    parts->response.levels = parts->level_pointers;
    return bytes;
}

static void resources_fill(struct status_parts *parts, uint64_t memory_of_calls)
{
    const struct polarys_db_status *db = &parts->db;
    uint64_t file_bytes = levels_fill(parts);
    polarys__v1__cache_status__init(&parts->cache);
    parts->cache.used_bytes = db->cache_used;
    parts->cache.limit_bytes = db->cache_capacity;
    parts->cache.hits = db->cache_hits;
    parts->cache.misses = db->cache_misses;
    parts->response.cache = &parts->cache;
    polarys__v1__memory_status__init(&parts->memory);
    parts->memory.used_bytes = db->memory_used + memory_of_calls;
    parts->memory.limit_bytes = db->memory_limit;
    parts->response.memory = &parts->memory;
    polarys__v1__disk_status__init(&parts->disk);
    parts->disk.used_bytes = file_bytes + db->log_bytes;
    parts->disk.free_bytes = db->disk_free_bytes;
    parts->response.disk = &parts->disk;
    polarys__v1__log_status__init(&parts->log);
    parts->log.bytes = db->log_bytes;
    parts->log.segments = db->log_segments;
    parts->response.log = &parts->log;
}

static void store_fill(struct status_parts *parts)
{
    const struct polarys_db_status *db = &parts->db;
    polarys__v1__write_stall_status__init(&parts->stall);
    parts->stall.state = db->is_disk_low || db->is_failed || db->write_rate == 0
                             ? POLARYS__V1__WRITE_STALL_STATE__WRITE_STALL_STATE_STOPPED
                         : db->write_rate == UINT64_MAX
                             ? POLARYS__V1__WRITE_STALL_STATE__WRITE_STALL_STATE_NONE
                             : POLARYS__V1__WRITE_STALL_STATE__WRITE_STALL_STATE_DELAYED;
    parts->response.write_stall = &parts->stall;
    polarys__v1__snapshot_status__init(&parts->snapshots);
    parts->snapshots.open = db->snapshot_count;
    parts->snapshots.oldest_version = db->snapshot_oldest_version;
    if (db->snapshot_count > 0) {
        duration_fill(db->snapshot_oldest_age_ms, &parts->oldest_age);
        parts->snapshots.oldest_age = &parts->oldest_age;
    }
    parts->response.snapshots = &parts->snapshots;
    polarys__v1__key_status__init(&parts->key);
    parts->key.key_id = db->active_key_id;
    parts->key.current = true;
    parts->key_pointers[0] = &parts->key;
    parts->response.n_keys = 1;
    parts->response.keys = parts->key_pointers;
}

static void transactions_fill(struct status_parts *parts, const struct transactions_totals *totals)
{
    polarys__v1__transactions_status__init(&parts->transactions);
    parts->transactions.open = totals->open;
    parts->transactions.waiting = totals->waiting;
    parts->transactions.locks = totals->locks;
    parts->transactions.used_bytes = totals->bytes;
    parts->transactions.conflicts = parts->db.conflict_count;
    parts->response.transactions = &parts->transactions;
}

static void calls_fill(const struct server *server, struct status_parts *parts)
{
    size_t count;
    const struct method *methods = method_table(&count);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        struct metrics_total total;
        metrics_total_get(server, i, &total);
        if (total.succeeded + total.failed + total.active == 0) {
            continue;
        }
        Polarys__V1__CallCount *entry = &parts->calls[used];
        polarys__v1__call_count__init(entry);
        const char *name = methods[i].path + 1;
        entry->method.data = (uint8_t *)(uintptr_t)name;
        entry->method.len = strlen(name);
        entry->succeeded = total.succeeded;
        entry->failed = total.failed;
        entry->active = total.active;
        parts->call_pointers[used++] = entry;
    }
    parts->response.n_calls = used;
    parts->response.calls = parts->call_pointers;
}

void admin_get_status(struct call *call)
{
    struct server *server = call->server;
    call->arena.budget += sizeof(struct status_parts) + PROTO_ARENA_FIRST_BYTES;
    struct status_parts *parts = proto_arena_alloc(&call->arena, sizeof(*parts));
    if (parts == NULL) {
        call_fail_own(call, POLARYS_MEMORY_LIMIT);
        return;
    }
    struct transactions_totals totals;
    enum polarys_code code = polarys_db_status_get(server->db, &parts->db, &call->error);
    if (code == POLARYS_OK) {
        code = transactions_totals_get(server->db, &totals, &call->error);
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__GetStatusResponse *response = &parts->response;
    polarys__v1__get_status_response__init(response);
    response_header_fill(server, parts->db.version, parts->token, &parts->header);
    response->header = &parts->header;
    response->version = parts->db.version;
    response->durable_version = parts->db.durable_version;
    response->flushed_version = parts->db.flushed_version;
    response->replica = admin_replica_fill(server, &parts->replica);
    response->role = response->replica != NULL ? POLARYS__V1__NODE_ROLE__NODE_ROLE_REPLICA
                     : standing_is_fenced(server->standing)
                         ? POLARYS__V1__NODE_ROLE__NODE_ROLE_FENCED
                         : POLARYS__V1__NODE_ROLE__NODE_ROLE_PRIMARY;
    duration_fill((timing_now_ns() - server->start_ns) / TIMING_NS_PER_MS, &parts->uptime);
    response->uptime = &parts->uptime;
    response->draining = server_phase_get(server) > SERVER_SERVING;
    response->memtable_bytes = parts->db.memtable_bytes;
    resources_fill(parts, proto_memory_used(&server->memory));
    store_fill(parts);
    transactions_fill(parts, &totals);
    calls_fill(server, parts);
    call_reply(call, response_pack(&response->base));
}
