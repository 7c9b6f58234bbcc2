/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A published list of queries on real documents, each by every plan that can answer it: what the planner
 * chose, what it took, and what the quickest would have taken.
 *
 *     queries DIR DOCUMENTS.jsonl
 *
 * Loads the documents (`make demo-data` makes a file of them) into a new store in DIR, makes the indexes, and
 * prints a table. Every plan's answer is compared with that of looking at
 * each document; a difference ends the program with status 1.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/support/bench.h"
#include "engine/engine_index.h"
#include "engine/engine_query.h"

enum {
    BATCH_DOCUMENTS = 500,
    TURNS = 5,
};

struct index_wanted {
    const char *name;
    const char *fields[2];
    size_t field_count;
    enum polarys_index_kind kind;
    bool is_unique;
};

static const struct index_wanted indexes[] = {
    {"by_md5", {"MD5sum"}, 1, POLARYS_INDEX_HASH, true},
    {"by_section", {"Section"}, 1, POLARYS_INDEX_HASH, false},
    {"by_size", {"`Installed-Size`"}, 1, POLARYS_INDEX_ORDERED, false},
    {"by_section_size", {"Section", "`Installed-Size`"}, 2, POLARYS_INDEX_ORDERED, false},
    {"by_name", {"Package"}, 1, POLARYS_INDEX_ORDERED, true},
    {"by_priority", {"Priority"}, 1, POLARYS_INDEX_ORDERED, false},
};

struct question {
    const char *what;
    const char *filter;
    const char *order_by;
    uint64_t limit;
};

static const struct question questions[] = {
    {"equality, one document", "MD5sum = \"7bbbb566d68cfc65945005c281aa0d6f\"", "", 0},
    {"equality, no document", "MD5sum = \"none\"", "", 0},
    {"equality, hundreds", "Section = \"editors\"", "", 0},
    {"equality, thousands", "Section = \"libdevel\"", "", 0},
    {"equality, nearly all", "Priority = \"optional\"", "", 0},
    {"range, few", "`Installed-Size` > 1000000", "", 0},
    {"range, half", "`Installed-Size` > 200", "", 0},
    {"range of two bounds", "`Installed-Size` >= 1000 AND `Installed-Size` < 1010", "", 0},
    {"compound", "Section = \"editors\" AND `Installed-Size` < 100", "", 0},
    {"two single indexes", "Section = \"games\" AND Priority = \"extra\"", "", 0},
    {"prefix", "Package = \"libboost*\"", "", 0},
    {"either of two", "Section = \"editors\" OR Section = \"science\"", "", 0},
    {"either, one without an index", "Section = \"editors\" OR Architecture = \"none\"", "", 0},
    {"not", "NOT Section = \"libdevel\"", "", 0},
    {"presence", "`Pre-Depends`:*", "", 0},
    {"sort, ten largest", "", "`Installed-Size` desc", 10},
    {"sort within an equality", "Section = \"editors\"", "`Installed-Size` desc", 10},
    {"sort of everything", "", "`Installed-Size`", 0},
    {"first ten of many", "Priority = \"optional\"", "", 10},
    {"sort by another field", "Section = \"editors\"", "Maintainer", 10},
};

static void check(enum polarys_code code, const struct polarys_error *err, const char *what)
{
    if (code != POLARYS_OK) {
        bench_die("%s: %s: %s", what, polarys_code_name(code), err->message);
    }
}

static void documents_load(struct polarys_db *db, const char *path)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_batch *batch;
    char key[POLARYS_KEY_BYTES_MAX];
    size_t key_size;
    char *line = NULL;
    size_t room = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        bench_die("%s: %s", path, strerror(errno));
    }
    check(polarys_table_create(db, NULL, "packages", NULL, NULL, &err), &err, "create the table");
    check(polarys_batch_create(db, NULL, &batch, &err), &err, "make a batch");
    for (ssize_t size = getline(&line, &room, file); size > 0; size = getline(&line, &room, file)) {
        struct polarys_slice text = slice_make((const uint8_t *)line, (size_t)size - 1);
        check(polarys_json_member_text(text, "Package", key, sizeof(key), &key_size, &err), &err,
              "a line");
        struct polarys_value value = {.kind = POLARYS_VALUE_JSON, .bytes = text};
        check(polarys_batch_put(batch, "packages", slice_make((const uint8_t *)key, key_size),
                                &value, &err),
              &err, "put");
        if (polarys_batch_operation_count(batch) == BATCH_DOCUMENTS) {
            check(polarys_batch_commit(batch, NULL, NULL, &err), &err, "commit");
            check(polarys_batch_reset(batch, NULL, &err), &err, "reset");
        }
    }
    if (polarys_batch_operation_count(batch) > 0) {
        check(polarys_batch_commit(batch, NULL, NULL, &err), &err, "commit");
    }
    polarys_batch_destroy(batch);
    free(line);
    fclose(file);
}

static void indexes_make(struct polarys_db *db)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    for (size_t i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++) {
        struct polarys_index_options options = {.name = indexes[i].name,
                                                .fields = indexes[i].fields,
                                                .field_count = indexes[i].field_count,
                                                .kind = indexes[i].kind,
                                                .is_unique = indexes[i].is_unique};
        uint64_t begin_ns = bench_now_ns();
        check(polarys_index_create(db, NULL, "packages", &options, NULL, NULL, NULL, &err), &err,
              options.name);
        check(polarys_index_wait(db, NULL, "packages", options.name, 0, &err), &err, options.name);
        fprintf(stderr, "%s built in %.2f s\n", options.name,
                (double)(bench_now_ns() - begin_ns) / 1e9);
    }
    check(polarys_table_analyze(db, NULL, "packages", &err), &err, "analyze");
}

/* What a plan answered: rows, and a sum over their keys; in order where an order was asked for. */
struct answer {
    uint64_t rows;
    uint64_t sum;
    double best_ms;
    bool is_possible;
};

static uint64_t key_hash(struct polarys_slice key)
{
    uint64_t hash = UINT64_C(1469598103934665603);
    for (size_t i = 0; i < key.size; i++) {
        hash = (hash ^ key.data[i]) * UINT64_C(1099511628211);
    }
    return hash;
}

/* A limit without an order lets every plan choose other documents: only their number is compared. */
static bool answer_is_free(const struct question *question)
{
    return question->limit > 0 && question->order_by[0] == '\0';
}

static void query_run(struct polarys_db *db, const struct question *question, const char *use_index,
                      struct answer *answer)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_query_options options = {.table = "packages",
                                            .filter = slice_from_text(question->filter),
                                            .order_by = slice_from_text(question->order_by),
                                            .limit = question->limit,
                                            .use_index = use_index};
    struct polarys_query *query;
    struct polarys_document document;
    bool has_document = true;
    uint64_t begin_ns = bench_now_ns();
    enum polarys_code code = polarys_query_open(db, &options, &query, &err);
    answer->is_possible = code == POLARYS_OK;
    if (code == POLARYS_BAD_ARGUMENT && use_index != NULL) {
        return; /* this index can't serve this query */
    }
    check(code, &err, question->filter);
    answer->rows = 0;
    answer->sum = 0;
    for (;;) {
        check(polarys_query_next(query, NULL, NULL, &has_document, &document, &err), &err,
              question->filter);
        if (!has_document) {
            break;
        }
        answer->rows++;
        answer->sum += key_hash(document.key);
    }
    polarys_query_close(query);
    double ms = (double)(bench_now_ns() - begin_ns) / 1e6;
    if (answer->best_ms == 0 || ms < answer->best_ms) {
        answer->best_ms = ms;
    }
}

static void plan_keep(void *context, const struct polarys_plan *plan)
{
    char(*name)[256] = context;
    size_t size = 0;
    (*name)[0] = '\0';
    for (size_t i = 0; i < plan->step_count && size < sizeof(*name); i++) {
        const struct polarys_plan_step *step = &plan->steps[i];
        int added = snprintf(*name + size, sizeof(*name) - size, "%s%s%s%s", i == 0 ? "" : " < ",
                             step->operation, step->index[0] != '\0' ? " " : "", step->index);
        size += added > 0 ? (size_t)added : 0;
    }
}

struct outcome {
    char plan[256];
    struct answer chosen;
    struct answer scan;
    double best_ms;
    const char *best;
};

static bool question_run(struct polarys_db *db, const struct question *question,
                         struct outcome *outcome)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_query_options options = {.table = "packages",
                                            .filter = slice_from_text(question->filter),
                                            .order_by = slice_from_text(question->order_by),
                                            .limit = question->limit};
    memset(outcome, 0, sizeof(*outcome));
    check(polarys_query_explain(db, &options, false, NULL, outcome->plan, plan_keep, &err), &err,
          "explain");
    for (int turn = 0; turn < TURNS; turn++) {
        query_run(db, question, NULL, &outcome->chosen);
        query_run(db, question, "", &outcome->scan);
    }
    bool is_right = outcome->chosen.rows == outcome->scan.rows &&
                    (answer_is_free(question) || outcome->chosen.sum == outcome->scan.sum);
    outcome->best_ms = outcome->scan.best_ms;
    outcome->best = "table scan";
    for (size_t i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++) {
        struct answer answer = {0};
        for (int turn = 0; turn < TURNS; turn++) {
            query_run(db, question, indexes[i].name, &answer);
            if (!answer.is_possible) {
                break;
            }
        }
        if (!answer.is_possible) {
            continue;
        }
        is_right = is_right && answer.rows == outcome->scan.rows &&
                   (answer_is_free(question) || answer.sum == outcome->scan.sum);
        if (answer.best_ms < outcome->best_ms) {
            outcome->best_ms = answer.best_ms;
            outcome->best = indexes[i].name;
        }
    }
    return is_right;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: queries DIR DOCUMENTS.jsonl\n");
        return 2;
    }
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_db_options options;
    struct polarys_db *db;
    char key_file[4096];
    int wrong = 0;
    int slow = 0;
    snprintf(key_file, sizeof(key_file), "%s.key", argv[1]);
    check(polarys_master_key_generate(key_file, &err), &err, "make a key");
    polarys_db_options_init(&options);
    options.master_key_file = key_file;
    check(polarys_db_open(argv[1], &options, &db, &err), &err, "open");
    documents_load(db, argv[2]);
    indexes_make(db);
    check(polarys_db_compact(db, NULL, NULL, &err), &err, "compact");
    printf(
        "| query | filter, order, limit | rows | plan | ms | table scan, ms | quickest, ms |\n|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
        const struct question *question = &questions[i];
        struct outcome outcome;
        bool is_right = question_run(db, question, &outcome);
        /* Half again, or a tenth of a millisecond, is noise. */
        bool is_best = outcome.chosen.best_ms <= outcome.best_ms * 1.5 + 0.1;
        wrong += is_right ? 0 : 1;
        slow += is_best ? 0 : 1;
        printf("| %s | `%s`%s%s%s | %llu | %s | %.2f | %.2f | %.2f %s%s%s |\n", question->what,
               question->filter, question->order_by[0] != '\0' ? " by " : "", question->order_by,
               question->limit > 0 ? ", limit" : "", (unsigned long long)outcome.chosen.rows,
               outcome.plan, outcome.chosen.best_ms, outcome.scan.best_ms, outcome.best_ms,
               outcome.best, is_best ? "" : ", NOT CHOSEN", is_right ? "" : ", WRONG ANSWER");
        fflush(stdout);
    }
    printf("\n%zu queries, %d answered wrongly, %d by a plan that was not the quickest\n",
           sizeof(questions) / sizeof(questions[0]), wrong, slow);
    check(polarys_db_close(db, 0, &err), &err, "close");
    return wrong > 0 ? 1 : 0;
}
