/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list is text: a line for the backup, a line for each file, a line with the SHA-256 of all before it. So a
 * list that was cut off or altered by accident is told from a whole one. Whoever alters it on purpose can make
 * the sum anew; what is in the files is sealed by the store's keys, which no list can help with.
 */
#include "client/cli/backup_list.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/files.h"
#include "client/cli/parse.h"

enum { FILES_FIRST = 64, HEX_TEXT_MAX = DIGEST_TEXT_SIZE };

void backup_list_deinit(struct backup_list *list)
{
    free(list->files);
    *list = (struct backup_list){0};
}

static bool is_path_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

bool backup_path_is_valid(const char *path, size_t size)
{
    size_t part = 0;
    if (size == 0 || size >= BACKUP_PATH_MAX) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (path[i] == '/') {
            if (part == 0) {
                return false;
            }
            part = 0;
        } else if (!is_path_character(path[i]) || (part == 0 && path[i] == '.')) {
            return false;
        } else {
            part++;
        }
    }
    return part > 0;
}

bool backup_list_add(struct backup_list *list, const char *path, size_t path_size, uint64_t size,
                     const uint8_t sha256[DIGEST_SIZE])
{
    POLARYS_ASSERT(backup_path_is_valid(path, path_size));
    if (list->file_count == list->file_room) {
        size_t room = list->file_room == 0 ? FILES_FIRST : 2 * list->file_room;
        void *files =
            room > BACKUP_FILES_MAX ? NULL : realloc(list->files, room * sizeof(*list->files));
        if (files == NULL) {
            return false;
        }
        list->files = files;
        list->file_room = room;
    }
    struct backup_file *file = &list->files[list->file_count++];
    memset(file, 0, sizeof(*file));
    memcpy(file->path, path, path_size);
    file->size = size;
    memcpy(file->sha256, sha256, DIGEST_SIZE);
    return true;
}

long backup_list_find(const struct backup_list *list, const char *path, size_t path_size,
                      size_t hint)
{
    for (size_t i = 0; i < list->file_count; i++) {
        size_t at = (hint + i) % list->file_count;
        const char *name = list->files[at].path;
        if (strncmp(name, path, path_size) == 0 && name[path_size] == '\0') {
            return (long)at;
        }
    }
    return -1;
}

uint64_t backup_list_bytes(const struct backup_list *list)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < list->file_count; i++) {
        bytes += list->files[i].size;
    }
    return bytes;
}

/* ---- writing ---- */

static void line_put(FILE *to, struct digest *digest, const char *line)
{
    digest_add(digest, line, strlen(line));
    (void)fputs(line, to);
}

static void lines_write(FILE *to, struct digest *digest, const struct backup_list *list)
{
    char line[BACKUP_LINE_MAX];
    char store_id[2 * BACKUP_ID_SIZE + 1];
    char history_id[2 * BACKUP_ID_SIZE + 1];
    char copy_id[2 * BACKUP_ID_SIZE + 1];
    char tag[2 * BACKUP_ID_SIZE + 1];
    char sum[DIGEST_TEXT_SIZE];

    digest_text(store_id, list->store_id, BACKUP_ID_SIZE);
    digest_text(history_id, list->history_id, BACKUP_ID_SIZE);
    digest_text(copy_id, list->copy_id, BACKUP_ID_SIZE);
    digest_text(tag, list->log_tag, BACKUP_ID_SIZE);
    (void)snprintf(line, sizeof(line),
                   "{\"polarys_backup\":%d,\"store_id\":\"%s\",\"history_id\":\"%s\","
                   "\"version\":%" PRIu64 ",\"created_unix_ms\":%" PRIu64 ",\"increments\":%" PRIu64
                   ",\"copy_id\":\"%s\","
                   "\"log_segment\":%" PRIu64 ",\"log_offset\":%" PRIu64
                   ",\"log_tag\":\"%s\",\"files\":%zu}\n",
                   BACKUP_FORMAT, store_id, history_id, list->version, list->created_unix_ms,
                   list->increments, copy_id, list->log_segment, list->log_offset, tag,
                   list->file_count);
    line_put(to, digest, line);
    for (size_t i = 0; i < list->file_count; i++) {
        digest_text(sum, list->files[i].sha256, DIGEST_SIZE);
        (void)snprintf(line, sizeof(line),
                       "{\"path\":\"%s\",\"size\":%" PRIu64 ",\"sha256\":\"%s\"}\n",
                       list->files[i].path, list->files[i].size, sum);
        line_put(to, digest, line);
    }
}

enum cli_status backup_list_write(struct cli *cli, const char *dir, const char *name,
                                  const struct backup_list *list)
{
    struct digest digest = {0};
    uint8_t sum[DIGEST_SIZE];
    char text[DIGEST_TEXT_SIZE];
    char partial[PATH_MAX];
    char path[PATH_MAX];
    if (!files_path_join(partial, dir, name, ".new") || !files_path_join(path, dir, name, "")) {
        return cli_fail(cli, "INVALID_ARGUMENT", "the path of %s is too long", dir);
    }
    FILE *to = fopen(partial, "we");
    if (to == NULL) {
        return cli_fail_errno(cli, partial);
    }
    digest_begin(&digest);
    lines_write(to, &digest, list);
    bool has_sum = digest_end(&digest, sum);
    digest_deinit(&digest);
    digest_text(text, sum, has_sum ? DIGEST_SIZE : 0);
    (void)fprintf(to, "{\"sha256\":\"%s\"}\n", text);
    if (!has_sum) {
        (void)fclose(to);
        return cli_fail(cli, "INTERNAL", "SHA-256 failed");
    }
    return files_keep(cli, to, partial, dir, path);
}

/* ---- reading ---- */

/* A list while it is read. */
struct list_reader {
    struct cli *cli;
    const char *path;
    FILE *from;
    struct digest digest;
    char line[BACKUP_LINE_MAX];
    size_t line_size;
    unsigned long long line_number;
};

static enum cli_status list_bad(const struct list_reader *reader, const char *why)
{
    return cli_fail(reader->cli, "DATA_LOSS/CORRUPT", "%s: line %llu: %s", reader->path,
                    reader->line_number, why);
}

static bool line_read(struct list_reader *reader)
{
    reader->line_number++;
    if (fgets(reader->line, sizeof(reader->line), reader->from) == NULL) {
        return false;
    }
    reader->line_size = strlen(reader->line);
    return reader->line_size > 0 && reader->line[reader->line_size - 1] == '\n';
}

static bool text_member(const struct list_reader *reader, const char *name, char *to, size_t size)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    size_t text_size;
    struct polarys_slice line = slice_make((const uint8_t *)reader->line, reader->line_size);
    return polarys_json_member_text(line, name, to, size, &text_size, &err) == POLARYS_OK &&
           strlen(to) == text_size;
}

static bool number_member(const struct list_reader *reader, const char *name, uint64_t *number)
{
    char text[32];
    return text_member(reader, name, text, sizeof(text)) && parse_number(text, number);
}

static bool hex_member(const struct list_reader *reader, const char *name, uint8_t *to, size_t size)
{
    char text[HEX_TEXT_MAX];
    size_t got = size;
    return text_member(reader, name, text, sizeof(text)) && parse_hex(text, to, &got) &&
           got == size;
}

/* Lists that were written before there were schedules have no such member. */
static bool increments_take(const struct list_reader *reader, struct backup_list *list)
{
    list->increments = 0;
    return strstr(reader->line, "\"increments\":") == NULL ||
           number_member(reader, "increments", &list->increments);
}

static enum cli_status head_read(struct list_reader *reader, struct backup_list *list,
                                 uint64_t *file_count)
{
    uint64_t format = 0;
    if (!line_read(reader) || !number_member(reader, "polarys_backup", &format)) {
        return list_bad(reader, "this is no list of a backup");
    }
    if (format != BACKUP_FORMAT) {
        return cli_fail(reader->cli, "UNSUPPORTED_FORMAT",
                        "%s has format %" PRIu64 "; this program reads %d", reader->path, format,
                        BACKUP_FORMAT);
    }
    bool is_whole = hex_member(reader, "store_id", list->store_id, BACKUP_ID_SIZE) &&
                    hex_member(reader, "history_id", list->history_id, BACKUP_ID_SIZE) &&
                    hex_member(reader, "copy_id", list->copy_id, BACKUP_ID_SIZE) &&
                    hex_member(reader, "log_tag", list->log_tag, BACKUP_ID_SIZE) &&
                    number_member(reader, "version", &list->version) &&
                    number_member(reader, "created_unix_ms", &list->created_unix_ms) &&
                    increments_take(reader, list) &&
                    number_member(reader, "log_segment", &list->log_segment) &&
                    number_member(reader, "log_offset", &list->log_offset) &&
                    number_member(reader, "files", file_count);
    digest_add(&reader->digest, reader->line, reader->line_size);
    return is_whole ? CLI_DONE : list_bad(reader, "a member is missing or ill");
}

static enum cli_status file_read(struct list_reader *reader, struct backup_list *list)
{
    char path[BACKUP_PATH_MAX];
    uint8_t sha256[DIGEST_SIZE];
    uint64_t size;
    if (!line_read(reader)) {
        return list_bad(reader, "the list is cut off");
    }
    if (!text_member(reader, "path", path, sizeof(path)) ||
        !backup_path_is_valid(path, strlen(path)) || !number_member(reader, "size", &size) ||
        !hex_member(reader, "sha256", sha256, sizeof(sha256))) {
        return list_bad(reader, "a file without path, size or digest");
    }
    digest_add(&reader->digest, reader->line, reader->line_size);
    return backup_list_add(list, path, strlen(path), size, sha256)
               ? CLI_DONE
               : cli_fail(reader->cli, "NO_MEMORY", "no memory for the files of a backup");
}

static enum cli_status sum_check(struct list_reader *reader)
{
    uint8_t told[DIGEST_SIZE];
    uint8_t sum[DIGEST_SIZE];
    if (!line_read(reader) || !hex_member(reader, "sha256", told, sizeof(told))) {
        return list_bad(reader, "the list is cut off");
    }
    if (!digest_end(&reader->digest, sum)) {
        return cli_fail(reader->cli, "INTERNAL", "SHA-256 failed");
    }
    if (memcmp(sum, told, sizeof(sum)) != 0) {
        return list_bad(reader, "the list was altered: its digest is another");
    }
    return fgetc(reader->from) == EOF ? CLI_DONE : list_bad(reader, "something follows the list");
}

enum cli_status backup_list_read(struct cli *cli, const char *dir, const char *name,
                                 struct backup_list *list)
{
    char path[PATH_MAX];
    uint64_t count = 0;
    struct list_reader reader = {.cli = cli, .path = path};
    if (!files_path_join(path, dir, name, "")) {
        return cli_fail(cli, "INVALID_ARGUMENT", "the path of %s is too long", dir);
    }
    reader.from = fopen(path, "re");
    if (reader.from == NULL) {
        return errno == ENOENT ? cli_fail(cli, "NOT_FOUND/FILE_NOT_FOUND",
                                          "%s is no backup: it holds no %s", dir, name)
                               : cli_fail_errno(cli, path);
    }
    digest_begin(&reader.digest);
    enum cli_status status = head_read(&reader, list, &count);
    for (uint64_t i = 0; i < count && status == CLI_DONE; i++) {
        status = file_read(&reader, list);
    }
    if (status == CLI_DONE) {
        status = sum_check(&reader);
    }
    digest_deinit(&reader.digest);
    (void)fclose(reader.from);
    if (status != CLI_DONE) {
        backup_list_deinit(list);
    }
    return status;
}
