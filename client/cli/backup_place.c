/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies in a schedule's directory, and how a backup leaves it. See backup_place.h.
 */
#include "client/cli/backup_place.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client/assert.h"
#include "client/cli/files.h"
#include "client/cli/parse.h"

#define REMOVING_PREFIX ".removing-" /* begins with a dot: nobody lists it */

enum { TIME_SIZE = 16, SUFFIX_MAX = 999, SUFFIX_SIZE_MAX = 4, PLACE_STEP = 64 };

/* ---- names ---- */

/* "20260102T030405Z", every 0 a digit. */
static bool has_time(const char *name)
{
    static const char form[] = "00000000T000000Z";
    _Static_assert(sizeof(form) == TIME_SIZE + 1, "TIME_SIZE is that of the form");
    for (size_t i = 0; i < TIME_SIZE; i++) {
        bool is_fit = form[i] == '0' ? name[i] >= '0' && name[i] <= '9'
                                     : name[i] == form[i]; /* a NUL ends it */
        if (!is_fit) {
            return false;
        }
    }
    return true;
}

bool place_name_is_own(const char *name)
{
    uint64_t number;
    if (!has_time(name)) {
        return false;
    }
    const char *rest = name + TIME_SIZE;
    return *rest == '\0' || (*rest == '-' && rest[1] != '0' && strlen(rest) <= SUFFIX_SIZE_MAX &&
                             parse_number_between(rest + 1, 1, SUFFIX_MAX, &number));
}

/* The number behind the time, 0 without one. REQUIRES: a name of our own. */
static uint64_t suffix_of(const char *name)
{
    uint64_t number = 0;
    POLARYS_ASSERT(place_name_is_own(name));
    if (name[TIME_SIZE] == '-') {
        bool is_number = parse_number(name + TIME_SIZE + 1, &number);
        POLARYS_ASSERT(is_number);
    }
    return number;
}

bool place_name_make(const struct backup_place *place, uint64_t unix_ms, char name[PLACE_NAME_SIZE])
{
    struct tm parts;
    time_t seconds = (time_t)(unix_ms / 1000);
    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(name, PLACE_NAME_SIZE, "%Y%m%dT%H%M%SZ", &parts) != TIME_SIZE) {
        return false;
    }
    /* Behind all of the same second, also where rotation took the first: names are in the order of the backups. */
    uint64_t suffix = 0;
    for (size_t i = 0; i < place->count; i++) {
        const char *other = place->backups[i].name;
        if (strncmp(other, name, TIME_SIZE) == 0 && suffix_of(other) >= suffix) {
            suffix = suffix_of(other) + 1;
        }
    }
    if (suffix > SUFFIX_MAX) {
        return false;
    }
    if (suffix > 0) {
        (void)snprintf(name + TIME_SIZE, PLACE_NAME_SIZE - TIME_SIZE, "-%u", (unsigned)suffix);
    }
    POLARYS_ASSERT(place_name_is_own(name));
    return true;
}

/* ---- reading ---- */

static enum cli_status place_damaged(struct cli *cli, const char *dir, const char *why)
{
    return cli_fail(cli, "DATA_LOSS/CORRUPT", "%s: %s; it is left as it is", dir, why);
}

/* Every file of the list is there with its size. */
static enum cli_status files_look(struct cli *cli, const char *dir, const struct backup_list *list)
{
    char path[PATH_MAX];
    char data[PATH_MAX];
    struct stat info;
    if (!files_path_join(data, dir, BACKUP_DATA_NAME, "")) {
        return place_damaged(cli, dir, "its path is too long");
    }
    for (size_t i = 0; i < list->file_count; i++) {
        if (!files_path_join(path, data, list->files[i].path, "") || lstat(path, &info) != 0 ||
            !S_ISREG(info.st_mode) || (uint64_t)info.st_size != list->files[i].size) {
            (void)cli_fail(cli, "DATA_LOSS/CORRUPT", "%s is missing or of another size",
                           list->files[i].path);
            return place_damaged(cli, dir, "it is not whole");
        }
    }
    return CLI_DONE;
}

static bool is_there(const char *dir, const char *name)
{
    char path[PATH_MAX];
    return files_path_join(path, dir, name, "") && access(path, F_OK) == 0;
}

static void whole_look(struct cli *cli, const char *dir, struct place_backup *backup)
{
    struct backup_list list = {0};
    backup->state = PLACE_DAMAGED;
    if (backup_list_read(cli, dir, BACKUP_LIST_NAME, &list) != CLI_DONE) {
        (void)place_damaged(cli, dir, "its list cannot be read");
        return;
    }
    if (files_look(cli, dir, &list) == CLI_DONE) {
        backup->state = PLACE_WHOLE;
        memcpy(backup->store_id, list.store_id, BACKUP_ID_SIZE);
        backup->version = list.version;
        backup->created_unix_ms = list.created_unix_ms;
        backup->increments = list.increments;
        backup->bytes = backup_list_bytes(&list);
    }
    backup_list_deinit(&list);
}

/* One that has no list yet can be gone on with if it has the beginning of one, or nothing at all. */
static void unfinished_look(struct cli *cli, const char *dir, struct place_backup *backup)
{
    struct backup_list list = {0};
    char data[PATH_MAX];
    backup->state = PLACE_UNFINISHED;
    if (is_there(dir, BACKUP_STATE_NAME)) {
        if (backup_list_read(cli, dir, BACKUP_STATE_NAME, &list) != CLI_DONE) {
            (void)place_damaged(cli, dir, "its list cannot be read");
            backup->state = PLACE_DAMAGED;
        }
        backup_list_deinit(&list);
    } else if (!files_path_join(data, dir, BACKUP_DATA_NAME, "") || !files_dir_is_empty(data)) {
        (void)place_damaged(cli, dir, "it has files and no list");
        backup->state = PLACE_DAMAGED;
    }
}

static enum cli_status backup_look(struct cli *cli, const char *dir, struct place_backup *backup)
{
    char path[PATH_MAX];
    if (!files_path_join(path, dir, backup->name, "")) {
        return cli_fail(cli, "INVALID_ARGUMENT", "the path of %s is too long", dir);
    }
    if (is_there(path, BACKUP_LIST_NAME)) {
        whole_look(cli, path, backup);
    } else {
        unfinished_look(cli, path, backup);
    }
    return CLI_DONE;
}

/* Only directories: a link may lead anywhere. */
static bool is_backup(const char *dir, const char *name)
{
    char path[PATH_MAX];
    struct stat info;
    return place_name_is_own(name) && files_path_join(path, dir, name, "") &&
           lstat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct place_backup *)a)->name, ((const struct place_backup *)b)->name);
}

static enum cli_status name_add(struct cli *cli, const char *dir, const char *name,
                                struct backup_place *place)
{
    if (place->count == PLACE_BACKUPS_MAX) {
        return cli_fail(cli, "RESOURCE_EXHAUSTED", "%s holds more than %d backups", dir,
                        PLACE_BACKUPS_MAX);
    }
    if (place->count == place->room) {
        void *backups =
            realloc(place->backups, (place->room + PLACE_STEP) * sizeof(*place->backups));
        if (backups == NULL) {
            return cli_fail(cli, "NO_MEMORY", "no memory for the backups of %s", dir);
        }
        place->backups = backups;
        place->room += PLACE_STEP;
    }
    struct place_backup *backup = &place->backups[place->count++];
    memset(backup, 0, sizeof(*backup));
    (void)snprintf(backup->name, sizeof(backup->name), "%s", name);
    return CLI_DONE;
}

enum cli_status place_read(struct cli *cli, const char *dir, struct backup_place *place)
{
    const struct dirent *entry;
    enum cli_status status = CLI_DONE;
    place_deinit(place);
    DIR *opened = opendir(dir);
    if (opened == NULL) {
        return cli_fail_errno(cli, dir);
    }
    errno = 0;
    while (status == CLI_DONE && (entry = readdir(opened)) != NULL) {
        if (is_backup(dir, entry->d_name)) {
            status = name_add(cli, dir, entry->d_name, place);
        }
        errno = 0;
    }
    if (status == CLI_DONE && errno != 0) {
        status = cli_fail_errno(cli, dir);
    }
    (void)closedir(opened);
    for (size_t i = 0; i < place->count && status == CLI_DONE; i++) {
        status = backup_look(cli, dir, &place->backups[i]);
    }
    if (place->count > 0) {
        qsort(place->backups, place->count, sizeof(*place->backups), by_name);
    }
    return status;
}

enum cli_status place_look(struct cli *cli, const char *dir, const char *name,
                           struct backup_place *place)
{
    size_t at = 0;
    while (at < place->count && strcmp(place->backups[at].name, name) != 0) {
        at++;
    }
    enum cli_status status = at < place->count ? CLI_DONE : name_add(cli, dir, name, place);
    if (status == CLI_DONE) {
        status = backup_look(cli, dir, &place->backups[at]);
        qsort(place->backups, place->count, sizeof(*place->backups), by_name);
    }
    return status;
}

void place_deinit(struct backup_place *place)
{
    free(place->backups);
    *place = (struct backup_place){0};
}

static struct rotation_backup rotation_view(const struct place_backup *backup, size_t index)
{
    struct rotation_backup view = {backup->created_unix_ms, backup->version, index, false};
    return view;
}

const struct place_backup *place_newest(const struct backup_place *place)
{
    const struct place_backup *newest = NULL;
    for (size_t i = 0; i < place->count; i++) {
        const struct place_backup *backup = &place->backups[i];
        if (backup->state != PLACE_WHOLE) {
            continue;
        }
        struct rotation_backup view = rotation_view(backup, i);
        struct rotation_backup best = newest == NULL ? view : rotation_view(newest, i);
        if (newest == NULL || rotation_compare(&view, &best) >= 0) {
            newest = backup;
        }
    }
    return newest;
}

const struct place_backup *place_unfinished(const struct backup_place *place)
{
    for (size_t i = place->count; i-- > 0;) {
        if (place->backups[i].state == PLACE_UNFINISHED) {
            return &place->backups[i];
        }
    }
    return NULL;
}

/* ---- removing ---- */

enum cli_status place_remove(struct cli *cli, const char *dir, const char *name)
{
    char from[PATH_MAX];
    char to[PATH_MAX];
    char hidden[sizeof(REMOVING_PREFIX) + PLACE_NAME_SIZE];
    POLARYS_ASSERT(place_name_is_own(name));
    (void)snprintf(hidden, sizeof(hidden), REMOVING_PREFIX "%s", name);
    if (!files_path_join(from, dir, name, "") || !files_path_join(to, dir, hidden, "")) {
        return cli_fail(cli, "INVALID_ARGUMENT", "a path below %s is too long", dir);
    }
    enum cli_status status = files_rename(cli, from, to, dir);
    return status == CLI_DONE ? files_remove_tree(cli, to) : status;
}

static bool is_removing(const char *name)
{
    size_t size = strlen(REMOVING_PREFIX);
    return strncmp(name, REMOVING_PREFIX, size) == 0 && place_name_is_own(name + size);
}

enum cli_status place_sweep(struct cli *cli, const char *dir)
{
    char path[PATH_MAX];
    const struct dirent *entry;
    enum cli_status status = CLI_DONE;
    DIR *opened = opendir(dir);
    if (opened == NULL) {
        return cli_fail_errno(cli, dir);
    }
    while (status == CLI_DONE && (entry = readdir(opened)) != NULL) {
        if (is_removing(entry->d_name) && files_path_join(path, dir, entry->d_name, "")) {
            status = files_remove_tree(cli, path);
        }
    }
    (void)closedir(opened);
    return status;
}

/* The whole backups of the store that the newest one is of: how many. */
static size_t same_store(const struct backup_place *place, struct rotation_backup *list)
{
    const struct place_backup *newest = place_newest(place);
    size_t count = 0;
    for (size_t i = 0; i < place->count && newest != NULL; i++) {
        const struct place_backup *backup = &place->backups[i];
        if (backup->state == PLACE_WHOLE &&
            memcmp(backup->store_id, newest->store_id, BACKUP_ID_SIZE) == 0) {
            list[count++] = rotation_view(backup, i);
        }
    }
    return count;
}

/* Takes those without a name out of the list. */
static void place_close_up(struct backup_place *place)
{
    size_t count = 0;
    for (size_t i = 0; i < place->count; i++) {
        if (place->backups[i].name[0] != '\0') {
            place->backups[count++] = place->backups[i];
        }
    }
    place->count = count;
}

enum cli_status place_rotate(struct cli *cli, const char *dir, struct backup_place *place,
                             const struct rotation_policy *policy, size_t *removed)
{
    enum cli_status status = CLI_DONE;
    *removed = 0;
    if (place->count == 0 || rotation_keeps_all(policy)) {
        return CLI_DONE;
    }
    struct rotation_backup *list = calloc(place->count, sizeof(*list));
    if (list == NULL) {
        return cli_fail(cli, "NO_MEMORY", "no memory for the backups of %s", dir);
    }
    size_t count = same_store(place, list);
    rotation_mark(list, count, policy);
    for (size_t i = 0; i < count && status == CLI_DONE; i++) {
        struct place_backup *backup = &place->backups[list[i].index];
        if (!list[i].is_kept) {
            status = place_remove(cli, dir, backup->name);
            backup->name[0] = '\0'; /* also where only a part of it could be removed */
            *removed += status == CLI_DONE;
        }
    }
    free(list);
    place_close_up(place);
    return status;
}
