/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store inside a program: open, write, read, scan, close.
 *
 *     embedded DIRECTORY
 *
 * Makes DIRECTORY/store and DIRECTORY/master.key when they are not there. Each run adds one to a counter
 * document, so running it twice shows that what was written is still there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

enum { PATH_BYTES_MAX = 1024, TEXT_BYTES_MAX = 64 };

static int fail(const char *what, const struct polarys_error *err)
{
    (void)fprintf(stderr, "%s: %s: %s\n", what, polarys_code_name(err->code), err->message);
    return EXIT_FAILURE;
}

/* The number in the document {"runs":N}; 0 when there is none yet. */
static enum polarys_code read_runs(struct polarys_db *db, unsigned long *runs,
                                   struct polarys_error *err)
{
    struct polarys_document document = {0};
    char text[TEXT_BYTES_MAX];
    size_t size;
    *runs = 0;
    enum polarys_code code =
        polarys_db_get(db, NULL, "example", slice_from_text("counter"), NULL, &document, err);
    if (code == POLARYS_KEY_NOT_FOUND) {
        return POLARYS_OK;
    }
    if (code != POLARYS_OK) {
        return code;
    }
    code = polarys_json_member_text(document.value.bytes, "runs", text, sizeof(text), &size, err);
    polarys_document_release(&document);
    if (code == POLARYS_OK) {
        *runs = strtoul(text, NULL, 10);
    }
    return code;
}

static enum polarys_code write_runs(struct polarys_db *db, unsigned long runs,
                                    struct polarys_error *err)
{
    char text[TEXT_BYTES_MAX];
    int size = snprintf(text, sizeof(text), "{\"runs\":%lu}", runs);
    struct polarys_value value = {.kind = POLARYS_VALUE_JSON,
                                  .bytes = slice_make(text, (size_t)size)};
    struct polarys_write_result result;
    enum polarys_code code =
        polarys_db_put(db, NULL, "example", slice_from_text("counter"), &value, NULL, &result, err);
    if (code == POLARYS_OK) {
        printf("run %lu is durable\n", runs);
    }
    return code;
}

static enum polarys_code print_all(struct polarys_db *db, struct polarys_error *err)
{
    struct polarys_scan_options options = {.table = "example"};
    struct polarys_scan *scan;
    enum polarys_code code = polarys_scan_open(db, &options, &scan, err);
    bool has_document = true;
    while (code == POLARYS_OK && has_document) {
        struct polarys_document document;
        code = polarys_scan_next(scan, &has_document, &document, err);
        if (code == POLARYS_OK && has_document) {
            printf("%.*s = %.*s\n", (int)document.key.size, (const char *)document.key.data,
                   (int)document.value.bytes.size, (const char *)document.value.bytes.data);
        }
    }
    if (scan != NULL) {
        polarys_scan_close(scan);
    }
    return code;
}

static enum polarys_code use(struct polarys_db *db, struct polarys_error *err)
{
    unsigned long runs;
    enum polarys_code code = polarys_table_create(db, NULL, "example", NULL, NULL, err);
    if (code == POLARYS_TABLE_EXISTS) {
        code = POLARYS_OK;
    }
    if (code == POLARYS_OK) {
        code = read_runs(db, &runs, err);
    }
    if (code == POLARYS_OK) {
        code = write_runs(db, runs + 1, err);
    }
    return code == POLARYS_OK ? print_all(db, err) : code;
}

int main(int argc, char **argv)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    char key_path[PATH_BYTES_MAX];
    char store_path[PATH_BYTES_MAX];
    if (argc != 2 || strlen(argv[1]) > PATH_BYTES_MAX - TEXT_BYTES_MAX) {
        (void)fprintf(stderr, "usage: embedded DIRECTORY\n");
        return EXIT_FAILURE;
    }
    (void)snprintf(key_path, sizeof(key_path), "%s/master.key", argv[1]);
    (void)snprintf(store_path, sizeof(store_path), "%s/store", argv[1]);
    FILE *key_file = fopen(key_path, "r");
    if (key_file != NULL) {
        (void)fclose(key_file);
    } else if (polarys_master_key_generate(key_path, &err) != POLARYS_OK) {
        return fail("master key", &err);
    }
    struct polarys_db_options options;
    struct polarys_db *db;
    polarys_db_options_init(&options);
    options.master_key_file = key_path;
    if (polarys_db_open(store_path, &options, &db, &err) != POLARYS_OK) {
        return fail("open", &err);
    }
    enum polarys_code code = use(db, &err);
    if (code != POLARYS_OK) {
        (void)polarys_db_close(db, 0, NULL);
        return fail("use", &err);
    }
    return polarys_db_close(db, 0, &err) == POLARYS_OK ? EXIT_SUCCESS : fail("close", &err);
}
