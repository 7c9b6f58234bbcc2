/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes /metrics: calls, engine, process. Names follow the conventions that `promtool check
 * metrics` looks for: base units, `_total` on counters, help on each family.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "service/admin/backup_reports.h"
#include "service/admin/exposition.h"
#include "service/admin/metrics.h"
#include "service/admin/metrics_replica.h"
#include "service/errors/error_table.h"
#include "service/server/server.h"
#include "service/server/timing.h"
#include "service/server/transactions.h"

enum { LABELS_MAX = 256, LOG2_BUCKETS_SYNC = 24, LOG2_BUCKETS_GROUP = 16 };

static const char *method_name(size_t method)
{
    size_t count;
    const struct method *methods = method_table(&count);
    return method < count ? methods[method].path + 1 : "unknown";
}

static void cell_render(struct exposition *out, size_t method, unsigned status,
                        const struct metrics_cell *cell)
{
    static const char name[] = "polarysdb_rpc_duration_seconds";
    char bucket_name[64];
    char labels[LABELS_MAX];
    uint64_t sum = 0;
    (void)snprintf(bucket_name, sizeof(bucket_name), "%s_bucket", name);
    for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
        sum += cell->buckets[i];
        uint64_t bound_ns = metrics_bucket_bound_ns(i);
        char bound[32];
        if (bound_ns == UINT64_MAX) {
            (void)snprintf(bound, sizeof(bound), "+Inf");
        } else {
            (void)snprintf(bound, sizeof(bound), "%g", (double)bound_ns / TIMING_NS_PER_S);
        }
        (void)snprintf(labels, sizeof(labels), "method=\"%s\",code=\"%s\",le=\"%s\"",
                       method_name(method), error_status_name((grpc_status_code)status), bound);
        exposition_number(out, bucket_name, labels, sum);
    }
    (void)snprintf(labels, sizeof(labels), "method=\"%s\",code=\"%s\"", method_name(method),
                   error_status_name((grpc_status_code)status));
    exposition_seconds(out, "polarysdb_rpc_duration_seconds_sum", labels, cell->sum_ns);
    exposition_number(out, "polarysdb_rpc_duration_seconds_count", labels, sum);
}

static void calls_render(struct exposition *out, const struct server *server)
{
    size_t count;
    (void)method_table(&count);
    exposition_family(
        out, "polarysdb_rpc_duration_seconds", "histogram",
        "Time from the arrival of a call to its status on the way, by method and status.");
    for (size_t method = 0; method < METRICS_METHODS; method++) {
        if (method >= count && method != METRICS_METHOD_UNKNOWN) {
            continue;
        }
        for (unsigned status = 0; status < METRICS_STATUS_COUNT; status++) {
            struct metrics_cell cell;
            metrics_cell_sum(server, method, status, &cell);
            if (cell.count > 0) {
                cell_render(out, method, status, &cell);
            }
        }
    }
    exposition_gauge(out, "polarysdb_rpc_active", "Calls under way.",
                     server_calls_under_way(server));
    exposition_gauge(out, "polarysdb_rpc_request_memory_bytes",
                     "Memory that requests under way hold.", proto_memory_used(&server->memory));
    exposition_gauge(out, "polarysdb_writes_waiting", "Writes handed to the log and not answered.",
                     __atomic_load_n(&server->writes_waiting, __ATOMIC_RELAXED));
    exposition_gauge(out, "polarysdb_connections", "Connections of clients.",
                     __atomic_load_n(&server->connection_count, __ATOMIC_RELAXED));
    exposition_gauge(out, "polarysdb_ready",
                     "1 while calls are taken, 0 when the server is taken out of use.",
                     server_phase_get(server) == SERVER_SERVING ? 1 : 0);
}

/* A histogram over powers of two. `scale_ns`: of one unit, for seconds; 0: plain numbers. */
/* NOLINTNEXTLINE(readability-function-size): one series with its names and its unit */
static void log2_render(struct exposition *out, const char *name, const char *help,
                        const uint64_t *buckets, unsigned count, bool is_seconds, uint64_t sum_ns)
{
    char series[96];
    char labels[LABELS_MAX];
    uint64_t total = 0;
    uint64_t weight = 0;
    exposition_family(out, name, "histogram", help);
    (void)snprintf(series, sizeof(series), "%s_bucket", name);
    for (unsigned i = 0; i < count; i++) {
        uint64_t bound = UINT64_C(2) << i;
        total += buckets[i];
        weight += buckets[i] * (bound / 2 + bound / 4);
        if (is_seconds) {
            (void)snprintf(labels, sizeof(labels), "le=\"%g\"", (double)bound / 1000000);
        } else {
            (void)snprintf(labels, sizeof(labels), "le=\"%llu\"", (unsigned long long)bound - 1);
        }
        exposition_number(out, series, labels, total);
    }
    exposition_number(out, series, "le=\"+Inf\"", total);
    (void)snprintf(series, sizeof(series), "%s_sum", name);
    if (is_seconds) {
        exposition_seconds(out, series, NULL, sum_ns);
    } else {
        exposition_number(out, series, NULL, weight);
    }
    (void)snprintf(series, sizeof(series), "%s_count", name);
    exposition_number(out, series, NULL, total);
}

static void log_render(struct exposition *out, const struct polarys_db_status *db)
{
    log2_render(out, "polarysdb_log_sync_seconds", "Time of one sync of the log.",
                db->log_sync_us_log2, LOG2_BUCKETS_SYNC, true, db->log_sync_ns_total);
    log2_render(out, "polarysdb_log_group_commits",
                "Commits of one group in the log; the sum is estimated from the buckets.",
                db->group_size_log2, LOG2_BUCKETS_GROUP, false, 0);
    exposition_counter(out, "polarysdb_log_appends_total", "Frames written to the log.",
                       db->log_appends);
    exposition_counter(out, "polarysdb_log_written_bytes_total", "Bytes written to the log.",
                       db->log_written_bytes);
    exposition_gauge(out, "polarysdb_log_bytes", "Bytes of the segments of the log.",
                     db->log_bytes);
    exposition_gauge(out, "polarysdb_log_segments", "Segments of the log.", db->log_segments);
    exposition_counter(out, "polarysdb_commits_total", "Commits.", db->commit_count);
    exposition_counter(out, "polarysdb_commit_conflicts_total", "Commits that were prepared again.",
                       db->conflict_count);
    exposition_gauge(out, "polarysdb_commit_queue", "Commits that wait for the log.",
                     db->queue_commits);
    exposition_family(out, "polarysdb_write_stall_seconds_total", "counter",
                      "Time during which writes were held back.");
    exposition_seconds(out, "polarysdb_write_stall_seconds_total", NULL, db->stall_ns_total);
}

static void levels_render(struct exposition *out, const struct polarys_db_status *db)
{
    char labels[32];
    exposition_family(out, "polarysdb_level_files", "gauge", "Table files, by level.");
    for (unsigned i = 0; i < POLARYS_LEVELS; i++) {
        (void)snprintf(labels, sizeof(labels), "level=\"%u\"", i);
        exposition_number(out, "polarysdb_level_files", labels, db->levels[i].file_count);
    }
    exposition_family(out, "polarysdb_level_bytes", "gauge", "Bytes of table files, by level.");
    for (unsigned i = 0; i < POLARYS_LEVELS; i++) {
        (void)snprintf(labels, sizeof(labels), "level=\"%u\"", i);
        exposition_number(out, "polarysdb_level_bytes", labels, db->levels[i].bytes);
    }
    exposition_counter(out, "polarysdb_flushes_total", "Memtables written to table files.",
                       db->flush_count);
    exposition_counter(out, "polarysdb_flush_written_bytes_total", "Bytes written by flushes.",
                       db->flush_bytes_written);
    exposition_counter(out, "polarysdb_compactions_total", "Compactions.", db->compaction_count);
    exposition_counter(out, "polarysdb_compaction_read_bytes_total", "Bytes read by compactions.",
                       db->compaction_bytes_read);
    exposition_counter(out, "polarysdb_compaction_written_bytes_total",
                       "Bytes written by compactions.", db->compaction_bytes_written);
    exposition_gauge(out, "polarysdb_compaction_debt_bytes", "Bytes that compaction is behind.",
                     db->compaction_debt_bytes);
}

static void store_render(struct exposition *out, const struct polarys_db_status *db)
{
    exposition_gauge(out, "polarysdb_version", "Newest version that reads see.", db->version);
    exposition_gauge(out, "polarysdb_durable_version", "Newest version on stable storage.",
                     db->durable_version);
    exposition_gauge(out, "polarysdb_flushed_version", "Newest version in table files.",
                     db->flushed_version);
    exposition_gauge(out, "polarysdb_term", "Term of the node.", db->term);
    exposition_gauge(out, "polarysdb_databases", "Databases.", db->database_count);
    exposition_gauge(out, "polarysdb_tables", "Tables.", db->table_count);
    exposition_gauge(out, "polarysdb_memory_limit_bytes", "The setting memory_limit.",
                     db->memory_limit);
    exposition_gauge(out, "polarysdb_memory_used_bytes", "Memory charged to memory_limit.",
                     db->memory_used);
    exposition_gauge(out, "polarysdb_memtable_bytes", "Bytes in memtables.", db->memtable_bytes);
    exposition_gauge(out, "polarysdb_memtables", "Memtables.", db->memtable_count);
    exposition_gauge(out, "polarysdb_cache_limit_bytes", "Size of the block cache.",
                     db->cache_capacity);
    exposition_gauge(out, "polarysdb_cache_used_bytes", "Bytes in the block cache.",
                     db->cache_used);
    exposition_counter(out, "polarysdb_cache_hits_total", "Lookups that found their block.",
                       db->cache_hits);
    exposition_counter(out, "polarysdb_cache_misses_total", "Lookups that did not.",
                       db->cache_misses);
    exposition_gauge(out, "polarysdb_snapshots", "Open snapshots.", db->snapshot_count);
    exposition_family(out, "polarysdb_snapshot_oldest_age_seconds", "gauge",
                      "Age of the oldest snapshot.");
    exposition_seconds(out, "polarysdb_snapshot_oldest_age_seconds", NULL,
                       db->snapshot_oldest_age_ms * TIMING_NS_PER_MS);
    exposition_gauge(out, "polarysdb_request_ids", "Request ids remembered.", db->request_id_count);
    exposition_counter(out, "polarysdb_expired_documents_total",
                       "Documents deleted when they expired.", db->expired_count);
    exposition_gauge(out, "polarysdb_disk_free_bytes", "Free space of the file system.",
                     db->disk_free_bytes);
    exposition_gauge(out, "polarysdb_disk_reserve_bytes",
                     "Free space below which writes are refused.", db->disk_reserve_bytes);
    exposition_gauge(out, "polarysdb_disk_low", "1 while writes are refused for lack of space.",
                     db->is_disk_low ? 1 : 0);
    exposition_gauge(out, "polarysdb_store_failed", "1 when the log broke.", db->is_failed ? 1 : 0);
}

static void transactions_render(struct exposition *out, const struct transactions_totals *totals)
{
    exposition_gauge(out, "polarysdb_transactions", "Open transactions.", totals->open);
    exposition_gauge(out, "polarysdb_transactions_waiting",
                     "Open transactions that wait for a lock.", totals->waiting);
    exposition_gauge(out, "polarysdb_transaction_locks", "Locks that transactions hold.",
                     totals->locks);
    exposition_gauge(out, "polarysdb_transaction_bytes", "Memory that open transactions take.",
                     totals->bytes);
}

static uint64_t descriptors_count(void)
{
    uint64_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL) {
        return 0;
    }
    while (readdir(directory) != NULL) {
        count++;
    }
    (void)closedir(directory);
    return count < 3 ? 0 : count - 3; /* ".", ".." and the directory's own */
}

static uint64_t resident_bytes(uint64_t *virtual_bytes)
{
    unsigned long long total = 0;
    unsigned long long resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file != NULL) {
        if (fscanf(file, "%llu %llu", &total, &resident) != 2) {
            total = 0;
            resident = 0;
        }
        (void)fclose(file);
    }
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    *virtual_bytes = total * page;
    return resident * page;
}

static uint64_t timeval_ns(struct timeval time)
{
    return (uint64_t)time.tv_sec * TIMING_NS_PER_S + (uint64_t)time.tv_usec * TIMING_NS_PER_US;
}

static void process_render(struct exposition *out, const struct server *server)
{
    struct rusage usage = {0};
    struct rlimit limit = {0};
    uint64_t virtual_bytes;
    uint64_t resident = resident_bytes(&virtual_bytes);
    (void)getrusage(RUSAGE_SELF, &usage);
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    exposition_family(out, "process_cpu_seconds_total", "counter",
                      "Processor time, user and system.");
    exposition_seconds(out, "process_cpu_seconds_total", NULL,
                       timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime));
    exposition_gauge(out, "process_resident_memory_bytes", "Resident memory.", resident);
    exposition_gauge(out, "process_virtual_memory_bytes", "Virtual memory.", virtual_bytes);
    exposition_gauge(out, "process_open_fds", "Open file descriptors.", descriptors_count());
    exposition_gauge(out, "process_max_fds", "Limit of open file descriptors.", limit.rlim_cur);
    exposition_family(out, "process_start_time_seconds", "gauge",
                      "Start, in seconds of Unix time.");
    exposition_seconds(out, "process_start_time_seconds", NULL,
                       server->start_wall_ms * TIMING_NS_PER_MS);
}

enum polarys_code metrics_render(const struct server *server, char **text, size_t *size,
                                 struct polarys_error *err)
{
    *text = NULL;
    struct polarys_db_status *db = malloc(sizeof(*db));
    if (db == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for metrics");
    }
    struct transactions_totals totals;
    enum polarys_code code = polarys_db_status_get(server->db, db, err);
    if (code == POLARYS_OK) {
        code = transactions_totals_get(server->db, &totals, err);
    }
    if (code != POLARYS_OK) {
        free(db);
        return code;
    }
    struct exposition out = {0};
    char labels[64];
    exposition_family(&out, "polarysdb_build_info", "gauge", "Always 1; the version is a label.");
    (void)snprintf(labels, sizeof(labels), "version=\"%.40s\"", polarys_version_text());
    exposition_number(&out, "polarysdb_build_info", labels, 1);
    calls_render(&out, server);
    log_render(&out, db);
    levels_render(&out, db);
    store_render(&out, db);
    transactions_render(&out, &totals);
    metrics_replica_render(&out, server);
    backup_reports_render(&out, server->backup_reports);
    process_render(&out, server);
    free(db);
    if (out.is_failed) {
        exposition_deinit(&out);
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the text of the metrics");
    }
    *text = out.text;
    *size = out.size;
    return POLARYS_OK;
}
