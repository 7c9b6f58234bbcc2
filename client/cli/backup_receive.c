/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream of a backup: what is asked for, and what is done with each message. The list of the files is kept
 * beside them from the beginning, so that a later run knows what it has; only at the end does it get the name
 * of a whole backup's.
 *
 * Invariant: a file that the server is told of as being there was checked against the digest of the list that
 * names it.
 */
#include "client/cli/backup_receive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client/assert.h"
#include "client/cli/backup_internal.h"
#include "client/cli/files.h"
#include "client/feed.h"
#include "polarys/v1/backup.pb-c.h"

enum {
    MESSAGE_TIMEOUT_MS = 600000, /* the server reads all that is new before its first message */
    RESTARTS_MAX = 3,            /* of copies that the server has given up */
    FILES_NAMED_MAX = 40000,     /* that are said to be here: a request has its limit */
};

/* One backup on its way. */
struct receiver {
    const struct backup_order *order;
    struct backup_store store;
    struct client_feed feed;
    bool has_end;
    int restarts;
};

/* ---- the request ---- */

/* The files to be named, with room for them. */
struct named_files {
    Polarys__V1__CopyFile *files;
    Polarys__V1__CopyFile **pointers;
    size_t count;
};

static void file_name(struct named_files *named, const struct backup_file *file)
{
    if (named->count == FILES_NAMED_MAX) {
        return;
    }
    Polarys__V1__CopyFile *message = &named->files[named->count];
    polarys__v1__copy_file__init(message);
    message->path = client_text(file->path);
    message->size = file->size;
    message->sha256 = client_bytes(file->sha256, DIGEST_SIZE);
    named->pointers[named->count++] = message;
}

/* A file of the earlier backup can be taken over when it is still there. */
static bool base_has(const struct backup_store *store, const struct backup_file *file)
{
    char path[PATH_MAX];
    struct stat status;
    return files_path_join(path, store->base_data_dir, file->path, "") &&
           lstat(path, &status) == 0 && S_ISREG(status.st_mode) &&
           (uint64_t)status.st_size == file->size;
}

static bool files_name(const struct backup_store *store, struct named_files *named)
{
    named->files = calloc(FILES_NAMED_MAX, sizeof(*named->files));
    named->pointers = calloc(FILES_NAMED_MAX, sizeof(*named->pointers));
    if (named->files == NULL || named->pointers == NULL) {
        return false;
    }
    for (size_t i = 0; i < store->list.file_count; i++) {
        if (store->is_present[i]) {
            file_name(named, &store->list.files[i]);
        }
    }
    for (size_t i = 0; i < store->base.file_count; i++) {
        if (base_has(store, &store->base.files[i])) {
            file_name(named, &store->base.files[i]);
        }
    }
    return true;
}

static bool is_zero_id(const uint8_t id[BACKUP_ID_SIZE])
{
    static const uint8_t zero[BACKUP_ID_SIZE];
    return memcmp(id, zero, sizeof(zero)) == 0;
}

/* Where the stream goes on, within the copy that the list is of. */
static enum cli_status place_fill(struct receiver *receiver,
                                  Polarys__V1__StreamBackupRequest *request)
{
    struct backup_store *store = &receiver->store;
    size_t missing;
    if (!store->has_list || is_zero_id(store->list.copy_id)) {
        return CLI_DONE;
    }
    request->copy_id = client_bytes(store->list.copy_id, BACKUP_ID_SIZE);
    if (!backup_store_missing_find(store, &missing)) {
        return CLI_DONE;
    }
    enum cli_status status = backup_store_file_open(store, missing);
    if (status == CLI_DONE) {
        request->file = client_text(store->list.files[missing].path);
        request->offset = store->offset;
    }
    return status;
}

static enum cli_status stream_open(struct receiver *receiver)
{
    struct backup_store *store = &receiver->store;
    Polarys__V1__StreamBackupRequest request = POLARYS__V1__STREAM_BACKUP_REQUEST__INIT;
    struct polarys_client_error err;
    struct named_files named = {0};
    enum cli_status status = place_fill(receiver, &request);
    if (status == CLI_DONE && !files_name(store, &named)) {
        status = cli_fail(store->cli, "NO_MEMORY", "no memory for a request");
    }
    if (status == CLI_DONE) {
        request.base_files = named.pointers;
        request.n_base_files = named.count;
        if (named.count > 0) {
            const struct backup_list *of = store->has_list ? &store->list : &store->base;
            request.base_store_id = client_bytes(of->store_id, BACKUP_ID_SIZE);
        }
        if (!client_feed_open(&receiver->feed, &request.base, &err)) {
            status = cli_fail_call(store->cli, &err);
        }
    }
    free(named.files);
    free(named.pointers);
    return status;
}

/* ---- the answer ---- */

static bool id_take(uint8_t to[BACKUP_ID_SIZE], const ProtobufCBinaryData *from)
{
    if (from->len != BACKUP_ID_SIZE) {
        return false;
    }
    memcpy(to, from->data, BACKUP_ID_SIZE);
    return true;
}

static uint64_t wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static enum cli_status answer_bad(struct receiver *receiver, const char *why)
{
    return cli_fail(receiver->store.cli, "INTERNAL", "the server's answer makes no sense: %s", why);
}

static enum cli_status list_make(struct receiver *receiver,
                                 const Polarys__V1__StreamBackupResponse *message,
                                 struct backup_list *list)
{
    const Polarys__V1__CopyManifest *manifest = message->manifest;
    if (message->header == NULL || !id_take(list->store_id, &message->header->store_id) ||
        !id_take(list->history_id, &message->header->history_id) ||
        !id_take(list->copy_id, &manifest->copy_id)) {
        return answer_bad(receiver, "an id is missing");
    }
    if (receiver->order->store_id != NULL &&
        memcmp(receiver->order->store_id, list->store_id, BACKUP_ID_SIZE) != 0) {
        return cli_fail(receiver->store.cli, "FAILED_PRECONDITION/WRONG_STORE",
                        "the server holds another store than the one that is backed up here");
    }
    list->version = manifest->version;
    list->increments = receiver->order->base_dir == NULL ? 0 : receiver->store.base.increments + 1;
    list->created_unix_ms = wall_ms();
    for (size_t i = 0; i < manifest->n_files; i++) {
        const Polarys__V1__CopyFile *file = manifest->files[i];
        if (!backup_path_is_valid((const char *)file->path.data, file->path.len) ||
            file->sha256.len != DIGEST_SIZE) {
            return answer_bad(receiver, "a file has no proper path or digest");
        }
        if (!backup_list_add(list, (const char *)file->path.data, file->path.len, file->size,
                             file->sha256.data)) {
            return cli_fail(receiver->store.cli, "NO_MEMORY", "no memory for %zu files",
                            manifest->n_files);
        }
    }
    return CLI_DONE;
}

static uint64_t missing_bytes(const struct backup_store *store)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < store->list.file_count; i++) {
        bytes += store->is_present[i] ? 0 : store->list.files[i].size;
    }
    return bytes;
}

static enum cli_status list_take(struct receiver *receiver,
                                 const Polarys__V1__StreamBackupResponse *message)
{
    struct backup_store *store = &receiver->store;
    struct backup_list list = {0};
    enum cli_status status = list_make(receiver, message, &list);
    bool is_known = status == CLI_DONE && store->has_list &&
                    memcmp(store->list.copy_id, list.copy_id, BACKUP_ID_SIZE) == 0;
    bool is_first = !store->has_list;
    if (status == CLI_DONE && is_first) {
        /* Before anything is linked from the earlier backup: files without a list could not be gone on with. */
        status = backup_list_write(store->cli, receiver->order->dir, BACKUP_STATE_NAME, &list);
    }
    if (status == CLI_DONE && !is_known) {
        backup_store_file_leave(store);
        status = backup_store_list_replace(store, &list);
        if (status == CLI_DONE && !is_first) {
            status = backup_list_write(store->cli, receiver->order->dir, BACKUP_STATE_NAME,
                                       &store->list);
        }
    }
    backup_list_deinit(&list);
    store->progress.state.total = store->outcome.received_bytes + missing_bytes(store);
    return status;
}

static enum cli_status pieces_take(struct receiver *receiver,
                                   const Polarys__V1__StreamBackupResponse *message)
{
    struct backup_store *store = &receiver->store;
    enum cli_status status = CLI_DONE;
    for (size_t i = 0; i < message->n_pieces && status == CLI_DONE; i++) {
        const Polarys__V1__FilePiece *piece = message->pieces[i];
        long file = store->has_list && store->list.file_count > 0
                        ? backup_list_find(&store->list, (const char *)piece->path.data,
                                           piece->path.len, store->file)
                        : -1;
        if (file < 0) {
            return answer_bad(receiver, "bytes of a file that is not in the list");
        }
        status = backup_store_bytes_put(store, (size_t)file, piece->offset, piece->data.data,
                                        piece->data.len);
    }
    progress_update(&store->progress, store->outcome.received_bytes, store->outcome.received_files,
                    store->outcome.received_bytes);
    return status;
}

static enum cli_status end_take(struct receiver *receiver, const Polarys__V1__LogPosition *end)
{
    struct backup_store *store = &receiver->store;
    size_t missing;
    enum cli_status status = store->is_open ? backup_store_file_finish(store) : CLI_DONE;
    if (status != CLI_DONE) {
        return status;
    }
    if (!store->has_list || !id_take(store->list.log_tag, &end->tag)) {
        return answer_bad(receiver, "it ends without a list, or without a position");
    }
    if (backup_store_missing_find(store, &missing)) {
        return cli_fail(store->cli, "INTERNAL", "the server left out %s",
                        store->list.files[missing].path);
    }
    store->list.log_segment = end->segment_id;
    store->list.log_offset = end->offset;
    receiver->has_end = true;
    return CLI_DONE;
}

static enum cli_status message_take(struct receiver *receiver, struct transport_message *bytes)
{
    Polarys__V1__StreamBackupResponse *message =
        polarys__v1__stream_backup_response__unpack(NULL, bytes->size, bytes->bytes);
    enum cli_status status = CLI_DONE;
    free(bytes->bytes);
    if (message == NULL) {
        return answer_bad(receiver, "a message cannot be decoded");
    }
    if (message->manifest != NULL) {
        status = list_take(receiver, message);
    }
    if (status == CLI_DONE && message->n_pieces > 0) {
        status = pieces_take(receiver, message);
    }
    if (status == CLI_DONE && message->end != NULL) {
        status = end_take(receiver, message->end);
    }
    polarys__v1__stream_backup_response__free_unpacked(message, NULL);
    client_feed_progress(&receiver->feed);
    return status;
}

/* The server does not keep the copy any more: a new one, of which as much as possible is here already. */
static enum cli_status failure_take(struct receiver *receiver,
                                    const struct polarys_client_error *err)
{
    struct backup_store *store = &receiver->store;
    bool may_restart = store->has_list && !is_zero_id(store->list.copy_id) &&
                       strcmp(err->reason, "CURSOR_EXPIRED") == 0 &&
                       receiver->restarts < RESTARTS_MAX;
    if (!may_restart) {
        progress_end(&store->progress);
        return cli_fail_call(store->cli, err);
    }
    receiver->restarts++;
    backup_store_file_leave(store);
    memset(store->list.copy_id, 0, BACKUP_ID_SIZE);
    return stream_open(receiver);
}

static enum cli_status stream_receive(struct receiver *receiver)
{
    struct transport_message bytes;
    struct polarys_client_error err;
    enum cli_status status = stream_open(receiver);
    while (status == CLI_DONE) {
        enum client_feed_event event = client_feed_next(&receiver->feed, &bytes, &err);
        if (event == CLIENT_FEED_ENDED && receiver->has_end) {
            break;
        }
        if (event == CLIENT_FEED_ENDED) {
            event = client_feed_cut(&receiver->feed, &err);
        }
        if (event == CLIENT_FEED_MESSAGE) {
            status = message_take(receiver, &bytes);
        } else if (event == CLIENT_FEED_BROKEN) {
            backup_store_file_leave(&receiver->store);
            status = stream_open(receiver);
        } else {
            status = failure_take(receiver, &err);
        }
    }
    client_feed_close(&receiver->feed);
    return status;
}

/* ---- before and after ---- */

static enum cli_status base_open(struct receiver *receiver)
{
    struct backup_store *store = &receiver->store;
    const char *dir = receiver->order->base_dir;
    if (dir == NULL) {
        return CLI_DONE;
    }
    if (!files_path_join(store->base_data_dir, dir, BACKUP_DATA_NAME, "")) {
        return cli_fail(store->cli, "INVALID_ARGUMENT", "the path of %s is too long", dir);
    }
    return backup_list_read(store->cli, dir, BACKUP_LIST_NAME, &store->base);
}

/* The directory: new, or with what an earlier run left. */
static enum cli_status dir_open(struct receiver *receiver)
{
    struct backup_store *store = &receiver->store;
    const char *dir = receiver->order->dir;
    char path[PATH_MAX];
    if (!files_path_join(path, dir, BACKUP_LIST_NAME, "") ||
        !files_path_join(store->data_dir, dir, BACKUP_DATA_NAME, "")) {
        return cli_fail(store->cli, "INVALID_ARGUMENT", "the path of %s is too long", dir);
    }
    if (access(path, F_OK) == 0) {
        return cli_fail(store->cli, "ALREADY_EXISTS", "%s holds a backup already", dir);
    }
    if (!files_path_join(path, dir, BACKUP_STATE_NAME, "")) {
        return cli_fail(store->cli, "INVALID_ARGUMENT", "the path of %s is too long", dir);
    }
    bool is_unfinished = access(path, F_OK) == 0;
    if (!is_unfinished && !files_dir_is_empty(dir)) {
        /* A run that was ended before the list came has left the directory for the files, and no more. */
        if (!files_dir_is_empty(store->data_dir) || access(store->data_dir, F_OK) != 0) {
            return cli_fail(store->cli, "ALREADY_EXISTS",
                            "%s is not empty and holds no unfinished backup", dir);
        }
    }
    enum cli_status status = files_make_dir(store->cli, dir);
    if (status == CLI_DONE) {
        status = files_make_dir(store->cli, store->data_dir);
    }
    if (status == CLI_DONE && is_unfinished) {
        status = backup_list_read(store->cli, dir, BACKUP_STATE_NAME, &store->list);
        if (status == CLI_DONE) {
            store->has_list = true;
            store->outcome.was_resumed = true;
            status = backup_store_look(store);
        }
    }
    return status;
}

static enum cli_status finish(struct receiver *receiver)
{
    struct backup_store *store = &receiver->store;
    const char *dir = receiver->order->dir;
    char path[PATH_MAX];
    enum cli_status status = files_sync_tree(store->cli, store->data_dir);
    if (status == CLI_DONE) {
        status = backup_list_write(store->cli, dir, BACKUP_LIST_NAME, &store->list);
    }
    if (status == CLI_DONE && files_path_join(path, dir, BACKUP_STATE_NAME, "") &&
        unlink(path) != 0 && errno != ENOENT) {
        status = cli_fail_errno(store->cli, path);
    }
    return status == CLI_DONE ? files_sync_dir(store->cli, dir) : status;
}

enum cli_status backup_receive(struct cli *cli, const struct backup_order *order,
                               struct backup_outcome *outcome)
{
    struct receiver *receiver = calloc(1, sizeof(*receiver));
    POLARYS_ASSERT(order->dir != NULL);
    if (receiver == NULL) {
        return cli_fail(cli, "NO_MEMORY", "no memory for a backup");
    }
    receiver->order = order;
    receiver->store.cli = cli;
    enum cli_status status = base_open(receiver);
    if (status == CLI_DONE) {
        status = dir_open(receiver);
    }
    if (status == CLI_DONE) {
        struct polarys_client *client = cli_connect(cli, MESSAGE_TIMEOUT_MS);
        status = client == NULL ? CLI_FAILED : CLI_DONE;
        if (client != NULL) {
            client_feed_init(&receiver->feed, client, "/polarys.v1.BackupService/StreamBackup",
                             CLIENT_PLACE_PRIMARY, order->retry_ms);
            receiver->feed.stop = order->stop;
        }
    }
    if (status == CLI_DONE) {
        progress_begin(&receiver->store.progress, cli, "received", 0);
        receiver->store.progress.noun = "files";
        status = stream_receive(receiver);
        progress_end(&receiver->store.progress);
    }
    if (status == CLI_DONE) {
        status = finish(receiver);
    }
    receiver->store.outcome.version = receiver->store.list.version;
    receiver->store.outcome.file_count = receiver->store.list.file_count;
    receiver->store.outcome.bytes = backup_list_bytes(&receiver->store.list);
    *outcome = receiver->store.outcome;
    backup_store_deinit(&receiver->store);
    free(receiver);
    return status;
}
