/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every command, once.
 */
#include <string.h>

#include "client/cli/command.h"

#define BIT(id) ((unsigned __int128)1 << (id))
#define OPTIONS_WRITE                                                                              \
    (BIT(OPTION_DURABILITY) | BIT(OPTION_IF_VERSION) | BIT(OPTION_IF_ABSENT) |                     \
     BIT(OPTION_IF_PRESENT) | BIT(OPTION_REQUEST_ID))
#define OPTIONS_RANGE (BIT(OPTION_PREFIX) | BIT(OPTION_FROM) | BIT(OPTION_TO))
#define OPTIONS_BENCH                                                                              \
    (BIT(OPTION_CLIENTS) | BIT(OPTION_IN_FLIGHT) | BIT(OPTION_SECONDS) | BIT(OPTION_VALUE_SIZE) |  \
     BIT(OPTION_KEY_COUNT) | BIT(OPTION_RATE) | BIT(OPTION_TABLE) | BIT(OPTION_KEEP) |             \
     BIT(OPTION_DURABILITY))

#define OPTIONS_TXN                                                                                \
    (BIT(OPTION_ISOLATION) | BIT(OPTION_MODE) | BIT(OPTION_READ_ONLY) | BIT(OPTION_IDLE_TIMEOUT) | \
     BIT(OPTION_TXN_TIMEOUT) | BIT(OPTION_DURABILITY))
#define OPTIONS_SCHEDULE                                                                           \
    (BIT(OPTION_EVERY) | BIT(OPTION_FULL_EVERY) | BIT(OPTION_KEEP_LAST) |                          \
     BIT(OPTION_KEEP_HOURLY) | BIT(OPTION_KEEP_DAILY) | BIT(OPTION_KEEP_WEEKLY) |                  \
     BIT(OPTION_KEEP_MONTHLY) | BIT(OPTION_ONCE) | BIT(OPTION_PLACE_NAME) | BIT(OPTION_RETRY_FOR))

_Static_assert(OPTION_COUNT <= 128, "a set of options is 128 bits");

/* Each: name, operands, summary, example, options, operands at least and at most, is the first a table. */
const struct command command_table[] = {
    {"put", "TABLE KEY [VALUE|-]",
     "write a whole document; the value is read from standard input "
     "if it is - or left out",
     "polarys put users ann '{\"name\":\"Ann\",\"age\":30}'",
     OPTIONS_WRITE | BIT(OPTION_RAW) | BIT(OPTION_EXPIRES_IN), 2, 3, true, command_put},
    {"update", "TABLE KEY PATCH", "change a JSON document by a merge patch (RFC 7386)",
     "polarys update users ann '{\"age\":31}'", OPTIONS_WRITE | BIT(OPTION_EXPIRES_IN), 3, 3, true,
     command_update},
    {"get", "TABLE KEY", "read one document", "polarys get users ann -o raw",
     BIT(OPTION_FOR_UPDATE), 2, 2, true, command_get},
    {"delete", "TABLE KEY", "delete one document, whether it is there or not",
     "polarys delete users ann --if-present", OPTIONS_WRITE, 2, 2, true, command_delete},
    {"scan", "TABLE", "read documents in key order, all at one version",
     "polarys scan users --prefix a --limit 10",
     OPTIONS_RANGE | BIT(OPTION_REVERSE) | BIT(OPTION_LIMIT) | BIT(OPTION_KEYS_ONLY), 1, 1, true,
     command_scan},
    {"query", "TABLE [FILTER]", "read the documents that a filter matches, all at one version",
     "polarys query packages 'Section = \"editors\" AND `Installed-Size` < 1000' --order-by Package",
     BIT(OPTION_ORDER_BY) | BIT(OPTION_LIMIT) | BIT(OPTION_FIELDS) | BIT(OPTION_CURSOR) |
         BIT(OPTION_EXPLAIN) | BIT(OPTION_ANALYZE),
     1, 2, true, command_query},
    {"search", "TABLE FIELD TEXT", "find documents by their words, best first; needs a text index",
     "polarys search packages Description 'text editor' --limit 10 --highlights",
     BIT(OPTION_FILTER) | BIT(OPTION_LIMIT) | BIT(OPTION_OFFSET) | BIT(OPTION_HIGHLIGHTS) |
         BIT(OPTION_FIELDS),
     3, 3, true, command_search},
    {"watch", "TABLE", "show every change as it is committed, a line each, until it is interrupted",
     "polarys watch users --snapshot",
     BIT(OPTION_FROM_VERSION) | BIT(OPTION_PREFIX) | BIT(OPTION_FILTER) | BIT(OPTION_SNAPSHOT), 1,
     1, true, command_watch},
    {"count", "TABLE [FILTER]",
     "count the documents of a table, or those that a filter matches; prints only the number",
     "polarys count packages 'Section = \"editors\"'", 0, 1, 2, true, command_count_documents},
    {"delete-range", "TABLE", "delete every document of a range in one commit",
     "polarys delete-range users --prefix tmp-",
     OPTIONS_RANGE | BIT(OPTION_ALL) | BIT(OPTION_DURABILITY) | BIT(OPTION_REQUEST_ID), 1, 1, true,
     command_delete_range},
    {"table create", "TABLE", "make an empty table", "polarys table create users", 0, 1, 1, false,
     command_table_create},
    {"table list", "", "list the tables of the database", "polarys table list", 0, 0, 0, false,
     command_table_list},
    {"table describe", "TABLE", "tell about one table", "polarys table describe users", 0, 1, 1,
     true, command_table_describe},
    {"table drop", "TABLE", "drop a table with its documents", "polarys table drop users", 0, 1, 1,
     true, command_table_drop},
    {"table truncate", "TABLE", "delete every document; the table stays",
     "polarys table truncate users", 0, 1, 1, true, command_table_truncate},
    {"table analyze", "TABLE", "gather the statistics that queries are planned by, and show them",
     "polarys table analyze packages", 0, 1, 1, true, command_table_analyze},
    {"index create", "TABLE FIELD[,FIELD]...",
     "make an index; queries use it once it is ready, which --wait waits for",
     "polarys index create packages Section,Installed-Size --wait",
     BIT(OPTION_KIND) | BIT(OPTION_UNIQUE) | BIT(OPTION_NAME) | BIT(OPTION_LANGUAGE) |
         BIT(OPTION_WAIT),
     2, 2, true, command_index_create},
    {"index list", "TABLE", "list the indexes of a table", "polarys index list packages", 0, 1, 1,
     true, command_index_list},
    {"index check", "TABLE [NAME]", "compare an index, or all of the table, with the documents",
     "polarys index check packages", 0, 1, 2, true, command_index_check},
    {"index drop", "TABLE NAME", "drop an index", "polarys index drop packages by_section", 0, 2, 2,
     true, command_index_drop},
    {"txn", "", "run statements from standard input, one a line, as one transaction",
     "polarys txn --isolation serializable", OPTIONS_TXN, 0, 0, false, command_txn},
    {"transact", "FILE|-", "compare, then do one list of operations or another, in one call",
     "polarys transact move.json", BIT(OPTION_DURABILITY), 1, 1, false, command_transact},
    {"database create", "NAME", "make a database without tables", "polarys database create shop", 0,
     1, 1, false, command_database_create},
    {"database list", "", "list the databases", "polarys database list", 0, 0, 0, false,
     command_database_list},
    {"database drop", "NAME", "drop a database with its tables", "polarys database drop shop", 0, 1,
     1, false, command_database_drop},
    {"import", "TABLE FILE|-",
     "write the documents of a file of JSON lines; existing keys are "
     "replaced, a missing table is made",
     "polarys import packages packages.jsonl --key-field Package",
     BIT(OPTION_KEY_FIELD) | BIT(OPTION_RETRY_FOR) | BIT(OPTION_DURABILITY), 2, 2, true,
     command_import},
    {"import-polarysdb", "DIR|FILE",
     "write what the files of the Go program PolarysDB hold: a store's directory, or one snapshot, "
     "log, backup or export; missing tables are made",
     "polarys import-polarysdb data --key-hex 6d79...0000",
     BIT(OPTION_KEY_HEX) | BIT(OPTION_REPLAY_ALL) | BIT(OPTION_REPLACE) | BIT(OPTION_RENAME_TABLE) |
         BIT(OPTION_DRY_RUN) | BIT(OPTION_RETRY_FOR) | BIT(OPTION_DURABILITY),
     1, 1, false, command_import_polarysdb},
    {"export", "TABLE [FILE|-]", "write all documents as JSON lines, all at one version",
     "polarys export packages packages.jsonl", BIT(OPTION_RETRY_FOR), 1, 2, true, command_export},
    {"backup create", "DIR",
     "take a backup of the whole store into a new directory while it is written to; goes on with "
     "one that was interrupted",
     "polarys backup create backups/tuesday --incremental-from backups/monday",
     BIT(OPTION_INCREMENTAL_FROM) | BIT(OPTION_RETRY_FOR), 1, 1, false, command_backup_create},
    {"backup schedule", "DIR",
     "take a backup into a directory every so often, each incremental from the one before, and "
     "remove those that are not to be kept, until it is interrupted",
     "polarys backup schedule backups --every 1h --keep-last 24 --keep-daily 7 --keep-weekly 4",
     OPTIONS_SCHEDULE, 1, 1, false, command_backup_schedule},
    {"backup list", "DIR", "list the backups in a directory", "polarys backup list backups", 0, 1,
     1, false, command_backup_list},
    {"backup verify", "DIR",
     "restore a backup into a directory that is then removed, and read all of it",
     "polarys backup verify backups/monday --master-key-file master.key",
     BIT(OPTION_MASTER_KEY_FILE), 1, 1, false, command_backup_verify},
    {"restore", "BACKUP",
     "make a data directory of a backup, and of an archive as far as it is wanted; the store begins "
     "a history of its own",
     "polarys restore backups/monday --archive archive --to-time 2026-01-02T03:04:05Z "
     "--data-dir data --master-key-file master.key",
     BIT(OPTION_DATA_DIR) | BIT(OPTION_MASTER_KEY_FILE) | BIT(OPTION_TO_VERSION) |
         BIT(OPTION_TO_TIME) | BIT(OPTION_ARCHIVE) | BIT(OPTION_S3_ENDPOINT),
     1, 1, false, command_restore},
    {"archive", "PLACE",
     "store the log as it is written, in a directory or s3://BUCKET/PREFIX, until it is "
     "interrupted",
     "polarys archive archive --name archive-a --endpoint 10.0.0.1:7480",
     BIT(OPTION_NODE_NAME) | BIT(OPTION_PIECE_INTERVAL) | BIT(OPTION_UNTIL_CAUGHT_UP) |
         BIT(OPTION_RETRY_FOR) | BIT(OPTION_S3_ENDPOINT),
     1, 1, false, command_archive},
    {"archive list", "PLACE", "list what an archive holds: versions, times, gaps",
     "polarys archive list archive", BIT(OPTION_S3_ENDPOINT), 1, 1, false, command_archive_list},
    {"archive verify", "PLACE", "read all of an archive and check it, without a key",
     "polarys archive verify s3://backups/log", BIT(OPTION_S3_ENDPOINT), 1, 1, false,
     command_archive_verify},
    {"salvage", "DIR",
     "make a new store of what can be read of a damaged one, and tell what cannot",
     "polarys salvage damaged --data-dir saved --master-key-file master.key",
     BIT(OPTION_DATA_DIR) | BIT(OPTION_MASTER_KEY_FILE), 1, 1, false, command_salvage},
    {"digest", "", "a digest of all that the store holds, to compare it with a restored one",
     "polarys digest --at-version 4711", BIT(OPTION_AT_VERSION), 0, 0, false, command_digest},
    {"status", "", "how the server does", "polarys status -o json", 0, 0, 0, false, command_status},
    {"server-info", "", "what the server is: version, formats, limits", "polarys server-info", 0, 0,
     0, false, command_server_info},
    {"metrics", "", "the server's metrics, from its admin port",
     "polarys metrics --admin-endpoint 127.0.0.1:7481", 0, 0, 0, false, command_metrics},
    {"admin flush", "", "write what is in memory into table files", "polarys admin flush", 0, 0, 0,
     false, command_admin_flush},
    {"admin compact", "[TABLE]", "compact the database, a table or a range of it",
     "polarys admin compact users", OPTIONS_RANGE, 0, 1, true, command_admin_compact},
    {"admin checkpoint", "DIR", "make a consistent copy of the store on the server's machine",
     "polarys admin checkpoint checkpoints/monday", 0, 1, 1, false, command_admin_checkpoint},
    {"admin drain", "", "take the server out of use, until it is started again",
     "polarys admin drain --grace 5s", BIT(OPTION_GRACE), 0, 0, false, command_admin_drain},
    {"admin log-level", "LEVEL", "log debug, info, warn or error and what is above it",
     "polarys admin log-level debug", 0, 1, 1, false, command_admin_log_level},
    {"replica list", "",
     "list the replicas that the node has slots for, and how far behind they are",
     "polarys replica list", 0, 0, 0, false, command_replica_list},
    {"replica promote", "[TERM]", "make the replica at --endpoint the primary",
     "polarys replica promote --endpoint 10.0.0.2:7480", BIT(OPTION_ALLOW_DATA_LOSS), 0, 1, false,
     command_replica_promote},
    {"replica members", "", "list the nodes whose copies count for a quorum",
     "polarys replica members", 0, 0, 0, false, command_replica_members},
    {"replica remove", "NAME", "take a node that is stopped out of the group, and drop its slot",
     "polarys replica remove node-c", BIT(OPTION_ALLOW_DATA_LOSS), 1, 1, false,
     command_replica_remove},
    {"replica switchover", "NAME", "hand the primary's place over to a member that follows it",
     "polarys replica switchover node-b", 0, 1, 1, false, command_replica_switchover},
    {"replica demote", "HOST:PORT",
     "make the old primary at --endpoint a replica of the new one at HOST:PORT",
     "polarys replica demote 10.0.0.2:7480 --endpoint 10.0.0.1:7480", 0, 1, 1, false,
     command_replica_demote},
    {"slot list", "", "list the slots: positions from which on the log is kept",
     "polarys slot list", 0, 0, 0, false, command_slot_list},
    {"slot drop", "NAME", "forget a slot; the log that only it kept may go",
     "polarys slot drop node-c", 0, 1, 1, false, command_slot_drop},
    {"bench", "put|get|mixed|bulk|scan", "put load on the server and measure it",
     "polarys bench mixed --clients 8 --seconds 30", OPTIONS_BENCH, 1, 1, false, command_bench},
    {"log inspect", "FILE", "show the frames of a file of the log, without a server",
     "polarys log inspect data/wal/000001.log --master-key-file master.key",
     BIT(OPTION_MASTER_KEY_FILE) | BIT(OPTION_WITH_KEYS), 1, 1, false, command_log_inspect},
    {"keys generate", "FILE", "make a master key in a new file", "polarys keys generate master.key",
     0, 1, 1, false, command_keys_generate},
    {"shell", "", "read statements, with history and completion; also without any command",
     "polarys shell", 0, 0, 0, false, command_shell},
    {"completion", "bash|zsh", "print a completion file for a shell",
     "polarys completion bash > /etc/bash_completion.d/polarys", 0, 1, 1, false,
     command_completion},
    {"help", "[COMMAND]", "tell what there is, or how a command is used", "polarys help put", 0, 0,
     2, false, command_help},
};
const size_t command_count = sizeof(command_table) / sizeof(command_table[0]);

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(command_table[i].name, name) == 0) {
            return &command_table[i];
        }
    }
    return NULL;
}

bool command_is_group(const char *word)
{
    size_t size = strlen(word);
    for (size_t i = 0; i < command_count; i++) {
        if (strncmp(command_table[i].name, word, size) == 0 && command_table[i].name[size] == ' ') {
            return true;
        }
    }
    return false;
}
