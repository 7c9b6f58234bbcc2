/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Full-text search of package descriptions, through the embedded API and by SQLite's FTS5, in turn, in one
 * process: searches of two words, the ten best by BM25, median microseconds each. Both hold the same texts,
 * stemmed; only ours is encrypted, and gives documents with the hits.
 *
 * Usage: search PACKAGES.jsonl DIRECTORY [rounds]. The directory must not exist; it is left behind.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "bench/support/bench.h"
#include "engine/base/buffer.h"
#include "engine/document/document.h"
#include "engine/engine_index.h"
#include "engine/engine_query.h"

enum {
    ROUNDS_DEFAULT = 31,
    ROUNDS_MAX = 10001,
    BATCH_DOCUMENTS = 500,
    HITS = 10,
    GATHER_WAIT_MAX = 100, /* times 50 ms */
    PATH_BYTES_MAX = 512,
};

static const char *const searches[] = {
    "library development", "python module",      "graphical interface", "network protocol",
    "data analysis",       "web server",         "kernel module",       "audio player",
    "encryption library",  "mail client",        "video editor",        "font latin",
    "command line",        "documentation perl", "git repository",      "sudoku puzzle",
};

enum { SEARCH_COUNT = sizeof(searches) / sizeof(searches[0]) };

struct bench {
    struct polarys_db *db;
    sqlite3 *sqlite;
    sqlite3_stmt *select;
    size_t document_count;
};

static void must(enum polarys_code code, const struct polarys_error *err)
{
    if (code != POLARYS_OK) {
        bench_die("%s", err->message);
    }
}

static void must_sqlite(int result, struct bench *bench)
{
    if (result != SQLITE_OK && result != SQLITE_DONE && result != SQLITE_ROW) {
        bench_die("sqlite: %s", sqlite3_errmsg(bench->sqlite));
    }
}

/* ---- loading ---- */

static void open_both(struct bench *bench, const char *directory)
{
    char path[PATH_BYTES_MAX];
    char key_path[PATH_BYTES_MAX];
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (mkdir(directory, 0700) != 0) {
        bench_die("cannot make %s", directory);
    }
    snprintf(path, sizeof(path), "%s/polarys", directory);
    snprintf(key_path, sizeof(key_path), "%s/master.key", directory);
    must(polarys_master_key_generate(key_path, &err), &err);
    struct polarys_db_options options;
    polarys_db_options_init(&options);
    options.master_key_file = key_path;
    must(polarys_db_open(path, &options, &bench->db, &err), &err);
    must(polarys_table_create(bench->db, NULL, "packages", NULL, NULL, &err), &err);
    snprintf(path, sizeof(path), "%s/sqlite", directory);
    must_sqlite(sqlite3_open(path, &bench->sqlite), bench);
    must_sqlite(sqlite3_exec(bench->sqlite,
                             "pragma journal_mode=wal; pragma cache_size=-262144;"
                             "create virtual table t using fts5(name unindexed, description,"
                             " tokenize='porter unicode61'); begin",
                             NULL, NULL, NULL),
                bench);
}

/* The text of a member, in place of what `text` held. */
static void member(struct polarys_slice line, const char *name, struct buffer *text)
{
    bool is_found;
    buffer_clear(text);
    if (json_member_text(line, slice_from_text(name), text, &is_found, NULL) != POLARYS_OK) {
        bench_die("a line of the packages is no JSON");
    }
}

static void insert_sqlite(struct bench *bench, sqlite3_stmt *insert, const struct buffer *name,
                          const struct buffer *description)
{
    sqlite3_bind_text(insert, 1, (const char *)name->data, (int)name->size, SQLITE_STATIC);
    sqlite3_bind_text(insert, 2, (const char *)description->data, (int)description->size,
                      SQLITE_STATIC);
    must_sqlite(sqlite3_step(insert), bench);
    must_sqlite(sqlite3_reset(insert), bench);
}

static void insert_ours(struct bench *bench, struct polarys_batch *batch, const struct buffer *name,
                        struct polarys_slice line)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_value value = {.kind = POLARYS_VALUE_JSON, .bytes = line};
    must(polarys_batch_put(batch, "packages", buffer_slice(name), &value, &err), &err);
    bench->document_count++;
    if (bench->document_count % BATCH_DOCUMENTS == 0) {
        must(polarys_batch_commit(batch, NULL, NULL, &err), &err);
        must(polarys_batch_reset(batch, NULL, &err), &err);
    }
}

static void load(struct bench *bench, const char *packages)
{
    char *line = NULL;
    size_t capacity = 0;
    struct buffer name = {0};
    struct buffer description = {0};
    struct polarys_batch *batch;
    struct polarys_error err = POLARYS_ERROR_INIT;
    sqlite3_stmt *insert;
    FILE *file = fopen(packages, "r");
    if (file == NULL) {
        bench_die("cannot read %s: make demo-data makes build/demo/packages.jsonl", packages);
    }
    must(polarys_batch_create(bench->db, NULL, &batch, &err), &err);
    must_sqlite(sqlite3_prepare_v2(bench->sqlite, "insert into t values (?, ?)", -1, &insert, NULL),
                bench);
    for (ssize_t size = getline(&line, &capacity, file); size > 0;
         size = getline(&line, &capacity, file)) {
        struct polarys_slice text = slice_make(line, (size_t)size - (line[size - 1] == '\n'));
        member(text, "Package", &name);
        member(text, "Description", &description);
        insert_ours(bench, batch, &name, text);
        insert_sqlite(bench, insert, &name, &description);
    }
    must(polarys_batch_commit(batch, NULL, NULL, &err), &err);
    polarys_batch_destroy(batch);
    sqlite3_finalize(insert);
    buffer_deinit(&name);
    buffer_deinit(&description);
    free(line);
    fclose(file);
}

static bool ignore_hit(void *context, const struct polarys_search_hit *hit)
{
    *(double *)context += hit->score;
    return true;
}

static uint64_t search_ours(struct bench *bench, const char *text)
{
    uint64_t total;
    double sum = 0;
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_search_options options = {
        .table = "packages", .text = slice_from_text(text), .limit = HITS};
    must(polarys_search(bench->db, &options, NULL, ignore_hit, &sum, NULL, &total, &err), &err);
    return total;
}

/* Makes the index, then waits until a search has had its statistics gathered. */
static void finish(struct bench *bench)
{
    static const char *const fields[] = {"Description"};
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_index_options index = {
        .name = "text", .fields = fields, .field_count = 1, .kind = POLARYS_INDEX_TEXT};
    uint64_t begin = bench_now_ns();
    must(polarys_index_create(bench->db, NULL, "packages", &index, NULL, NULL, NULL, &err), &err);
    must(polarys_index_wait(bench->db, NULL, "packages", "text", 0, &err), &err);
    printf("index built in %.2f s\n", (double)(bench_now_ns() - begin) / 1e9);
    must(polarys_db_compact(bench->db, NULL, NULL, &err), &err);
    must_sqlite(sqlite3_exec(bench->sqlite, "commit; insert into t(t) values ('optimize')", NULL,
                             NULL, NULL),
                bench);
    must_sqlite(
        sqlite3_prepare_v2(bench->sqlite,
                           "select name, rank from t where t match ? order by rank limit 10", -1,
                           &bench->select, NULL),
        bench);
    uint64_t version = polarys_db_version(bench->db);
    search_ours(bench, searches[0]);
    const struct timespec pause = {.tv_nsec = 50000000};
    for (unsigned i = 0; i < GATHER_WAIT_MAX && polarys_db_version(bench->db) == version; i++) {
        nanosleep(&pause, NULL);
    }
}

/* ---- measuring ---- */

static void search_sqlite(struct bench *bench, const char *text)
{
    int result;
    sqlite3_bind_text(bench->select, 1, text, -1, SQLITE_STATIC);
    do {
        result = sqlite3_step(bench->select);
        must_sqlite(result, bench);
    } while (result == SQLITE_ROW);
    must_sqlite(sqlite3_reset(bench->select), bench);
}

static int compare_times(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static double median_us(uint64_t *times, size_t count)
{
    qsort(times, count, sizeof(*times), compare_times);
    return (double)times[count / 2] / 1e3;
}

static int compare_ratios(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static void measure(struct bench *bench, size_t rounds)
{
    double ratios[SEARCH_COUNT];
    uint64_t *ours = calloc(rounds, sizeof(*ours));
    uint64_t *theirs = calloc(rounds, sizeof(*theirs));
    if (ours == NULL || theirs == NULL) {
        bench_die("no memory");
    }
    printf("%-24s %8s %12s %12s %8s\n", "search", "found", "polarys us", "fts5 us", "ratio");
    for (size_t i = 0; i < SEARCH_COUNT; i++) {
        uint64_t total = 0;
        for (size_t round = 0; round < rounds; round++) {
            uint64_t begin = bench_now_ns();
            total = search_ours(bench, searches[i]);
            uint64_t between = bench_now_ns();
            search_sqlite(bench, searches[i]);
            ours[round] = between - begin;
            theirs[round] = bench_now_ns() - between;
        }
        double our_us = median_us(ours, rounds);
        double their_us = median_us(theirs, rounds);
        ratios[i] = their_us / our_us;
        printf("%-24s %8llu %12.1f %12.1f %8.2f\n", searches[i], (unsigned long long)total, our_us,
               their_us, ratios[i]);
    }
    qsort(ratios, SEARCH_COUNT, sizeof(ratios[0]), compare_ratios);
    printf("ratio: median %.2f, lowest %.2f, of %d searches over %zu documents\n",
           ratios[SEARCH_COUNT / 2], ratios[0], SEARCH_COUNT, bench->document_count);
    free(ours);
    free(theirs);
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (argc < 3 || argc > 4) {
        bench_die("usage: search PACKAGES.jsonl DIRECTORY [rounds]");
    }
    size_t rounds = argc > 3 ? bench_number_parse("rounds", argv[3]) : ROUNDS_DEFAULT;
    if (rounds == 0 || rounds > ROUNDS_MAX) {
        bench_die("rounds are 1 to %d", ROUNDS_MAX);
    }
    open_both(&bench, argv[2]);
    load(&bench, argv[1]);
    finish(&bench);
    measure(&bench, rounds);
    sqlite3_finalize(bench.select);
    sqlite3_close(bench.sqlite);
    must(polarys_db_close(bench.db, 0, &err), &err);
    return 0;
}
