/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command table: what there is, what each command takes, what it says about itself. Dispatch, help,
 * completion and the shell all read it, so that none of them can tell another story.
 */
#ifndef CLIENT_CLI_COMMAND_H
#define CLIENT_CLI_COMMAND_H

#include "client/cli/cli.h"

#ifdef __cplusplus
extern "C" {
#endif

enum option_id {
    /* For every command, before or after its name. */
    OPTION_ENDPOINT,
    OPTION_ADMIN_ENDPOINT,
    OPTION_PLAINTEXT,
    OPTION_DATABASE,
    OPTION_OUTPUT,
    OPTION_TIMEOUT,
    OPTION_CONSISTENCY,
    OPTION_ROUTE,
    OPTION_READ_FROM,
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_GLOBAL_COUNT,

    /* Writes. */
    OPTION_RAW = OPTION_GLOBAL_COUNT,
    OPTION_EXPIRES_IN,
    OPTION_DURABILITY,
    OPTION_IF_VERSION,
    OPTION_IF_ABSENT,
    OPTION_IF_PRESENT,
    OPTION_REQUEST_ID,

    /* Ranges. */
    OPTION_PREFIX,
    OPTION_FROM,
    OPTION_TO,
    OPTION_REVERSE,
    OPTION_LIMIT,
    OPTION_KEYS_ONLY,
    OPTION_ALL,

    OPTION_KEY_FIELD,
    OPTION_RETRY_FOR,
    OPTION_GRACE,

    /* bench */
    OPTION_CLIENTS,
    OPTION_IN_FLIGHT,
    OPTION_SECONDS,
    OPTION_VALUE_SIZE,
    OPTION_KEY_COUNT,
    OPTION_RATE,
    OPTION_TABLE,
    OPTION_KEEP,

    /* log inspect */
    OPTION_MASTER_KEY_FILE,
    OPTION_WITH_KEYS,

    /* query, search */
    OPTION_ORDER_BY,
    OPTION_FIELDS,
    OPTION_CURSOR,
    OPTION_EXPLAIN,
    OPTION_ANALYZE,
    OPTION_FILTER,
    OPTION_OFFSET,
    OPTION_HIGHLIGHTS,

    /* index create */
    OPTION_KIND,
    OPTION_UNIQUE,
    OPTION_NAME,
    OPTION_LANGUAGE,
    OPTION_WAIT,

    /* txn, and what stands within one */
    OPTION_ISOLATION,
    OPTION_MODE,
    OPTION_READ_ONLY,
    OPTION_IDLE_TIMEOUT,
    OPTION_TXN_TIMEOUT,
    OPTION_FOR_UPDATE,

    /* watch */
    OPTION_FROM_VERSION,
    OPTION_SNAPSHOT,

    /* backup, restore, digest */
    OPTION_INCREMENTAL_FROM,
    OPTION_DATA_DIR,
    OPTION_TO_VERSION,
    OPTION_AT_VERSION,
    OPTION_TO_TIME,
    OPTION_ARCHIVE,
    OPTION_S3_ENDPOINT,

    /* backup schedule */
    OPTION_EVERY,
    OPTION_FULL_EVERY,
    OPTION_KEEP_LAST,
    OPTION_KEEP_HOURLY,
    OPTION_KEEP_DAILY,
    OPTION_KEEP_WEEKLY,
    OPTION_KEEP_MONTHLY,
    OPTION_ONCE,
    OPTION_PLACE_NAME,

    /* archive */
    OPTION_NODE_NAME,
    OPTION_PIECE_INTERVAL,
    OPTION_UNTIL_CAUGHT_UP,

    /* replica promote */
    OPTION_ALLOW_DATA_LOSS,

    /* import-polarysdb */
    OPTION_KEY_HEX,
    OPTION_REPLAY_ALL,
    OPTION_REPLACE,
    OPTION_RENAME_TABLE,
    OPTION_DRY_RUN,

    OPTION_COUNT,
};

/* One option. Two may share a name where no command has both. */
struct option_spec {
    const char *name;       /* without its dashes */
    const char *value_name; /* NULL: it takes none */
    const char *summary;
    const char *choices; /* values that completion offers, blanks between; NULL: none */
    bool is_repeatable;  /* may be given more than once */
};
extern const struct option_spec option_specs[OPTION_COUNT];

enum {
    COMMAND_WORDS_MAX = 2,
    COMMAND_POSITIONALS_MAX = 4,
    ARGUMENTS_REPEATED_MAX = 80, /* of all options that may be repeated */
    RETRY_FOR_DEFAULT_MS = 10000,
};

/* A parsed command line. Everything is borrowed from the words. */
struct arguments {
    const struct command *command;
    const char *values[OPTION_COUNT]; /* NULL: not given; "" for an option without a value */
    struct {
        enum option_id id;
        const char *value;
    } repeated[ARGUMENTS_REPEATED_MAX]; /* each value of the options that may be repeated */
    size_t repeated_count;
    const char *positionals[COMMAND_POSITIONALS_MAX];
    int positional_count;
};

struct command {
    const char *name;     /* "put", "table create" */
    const char *operands; /* "TABLE KEY [VALUE|-]" */
    const char *summary;
    const char *example;
    unsigned __int128 options; /* bits by option_id, global ones left out */
    int positionals_min;
    int positionals_max;
    bool first_is_table; /* the shell completes a table's name in the first place */
    enum cli_status (*run)(struct cli *cli, const struct arguments *arguments);
};

extern const struct command command_table[];
extern const size_t command_count;

/* The command of this name; NULL when there is none. */
const struct command *command_find(const char *name);
/* True when several commands begin with this word ("table"). */
bool command_is_group(const char *word);
static inline bool command_has_option(const struct command *command, enum option_id id)
{
    return id < OPTION_GLOBAL_COUNT || (command != NULL && (command->options >> id & 1) != 0);
}

/* Parses words into `arguments`; reports what is wrong and returns CLI_USAGE. Without a command
 * arguments->command is NULL. */
enum cli_status arguments_parse(struct cli *cli, int word_count, const char *const *words,
                                struct arguments *arguments);
static inline bool arguments_has(const struct arguments *arguments, enum option_id id)
{
    return arguments->values[id] != NULL;
}
/* Every value of an option that may be repeated, in their order: how many. */
size_t arguments_repeated(const struct arguments *arguments, enum option_id id,
                          const char *values[ARGUMENTS_REPEATED_MAX]);
/* The value of a number option, or `number` as it was when it is not given. Reports; false then. */
bool arguments_number(struct cli *cli, const struct arguments *arguments, enum option_id id,
                      uint64_t min, uint64_t max, uint64_t *number);
/* Sets settings from the global options that are given. CLI_USAGE was reported. */
enum cli_status arguments_settings(struct cli *cli, const struct arguments *arguments);
/* Reads the options of a write into a zeroed or partly filled `write`. CLI_USAGE was reported. */
/* --retry-for of import and export. */
enum cli_status arguments_retry_for(struct cli *cli, const struct arguments *arguments,
                                    uint32_t *retry_ms);
enum cli_status arguments_write(struct cli *cli, const struct arguments *arguments,
                                struct polarys_client_write *write);
/* How reads are done: by --consistency, or within the open transaction, where --for-update may be. */
struct polarys_client_read arguments_read(const struct cli *cli, const struct arguments *arguments);
/* Reads --prefix, --from and --to; borrows. */
void arguments_range(const struct arguments *arguments, struct polarys_client_range *range);

/* Help on everything, on a group or on one command. */
void help_print(FILE *to);
void help_print_group(FILE *to, const char *word);
void help_print_command(FILE *to, const struct command *command);

/* The commands, by file. */
enum cli_status command_put(struct cli *cli, const struct arguments *arguments);
enum cli_status command_update(struct cli *cli, const struct arguments *arguments);
enum cli_status command_get(struct cli *cli, const struct arguments *arguments);
enum cli_status command_delete(struct cli *cli, const struct arguments *arguments);
enum cli_status command_scan(struct cli *cli, const struct arguments *arguments);
enum cli_status command_count_documents(struct cli *cli, const struct arguments *arguments);
enum cli_status command_delete_range(struct cli *cli, const struct arguments *arguments);
enum cli_status command_query(struct cli *cli, const struct arguments *arguments);
enum cli_status command_search(struct cli *cli, const struct arguments *arguments);
enum cli_status command_watch(struct cli *cli, const struct arguments *arguments);
enum cli_status command_index_create(struct cli *cli, const struct arguments *arguments);
enum cli_status command_index_list(struct cli *cli, const struct arguments *arguments);
enum cli_status command_index_check(struct cli *cli, const struct arguments *arguments);
enum cli_status command_index_drop(struct cli *cli, const struct arguments *arguments);
enum cli_status command_table_analyze(struct cli *cli, const struct arguments *arguments);
enum cli_status command_txn(struct cli *cli, const struct arguments *arguments);
enum cli_status command_transact(struct cli *cli, const struct arguments *arguments);
enum cli_status command_table_create(struct cli *cli, const struct arguments *arguments);
enum cli_status command_table_list(struct cli *cli, const struct arguments *arguments);
enum cli_status command_table_describe(struct cli *cli, const struct arguments *arguments);
enum cli_status command_table_drop(struct cli *cli, const struct arguments *arguments);
enum cli_status command_table_truncate(struct cli *cli, const struct arguments *arguments);
enum cli_status command_database_create(struct cli *cli, const struct arguments *arguments);
enum cli_status command_database_list(struct cli *cli, const struct arguments *arguments);
enum cli_status command_database_drop(struct cli *cli, const struct arguments *arguments);
enum cli_status command_import(struct cli *cli, const struct arguments *arguments);
enum cli_status command_import_polarysdb(struct cli *cli, const struct arguments *arguments);
enum cli_status command_export(struct cli *cli, const struct arguments *arguments);
enum cli_status command_backup_create(struct cli *cli, const struct arguments *arguments);
enum cli_status command_backup_schedule(struct cli *cli, const struct arguments *arguments);
enum cli_status command_backup_list(struct cli *cli, const struct arguments *arguments);
enum cli_status command_backup_verify(struct cli *cli, const struct arguments *arguments);
enum cli_status command_restore(struct cli *cli, const struct arguments *arguments);
enum cli_status command_archive(struct cli *cli, const struct arguments *arguments);
enum cli_status command_archive_list(struct cli *cli, const struct arguments *arguments);
enum cli_status command_archive_verify(struct cli *cli, const struct arguments *arguments);
enum cli_status command_salvage(struct cli *cli, const struct arguments *arguments);
enum cli_status command_digest(struct cli *cli, const struct arguments *arguments);
enum cli_status command_status(struct cli *cli, const struct arguments *arguments);
enum cli_status command_server_info(struct cli *cli, const struct arguments *arguments);
enum cli_status command_metrics(struct cli *cli, const struct arguments *arguments);
enum cli_status command_admin_flush(struct cli *cli, const struct arguments *arguments);
enum cli_status command_admin_compact(struct cli *cli, const struct arguments *arguments);
enum cli_status command_admin_checkpoint(struct cli *cli, const struct arguments *arguments);
enum cli_status command_admin_drain(struct cli *cli, const struct arguments *arguments);
enum cli_status command_admin_log_level(struct cli *cli, const struct arguments *arguments);
enum cli_status command_replica_list(struct cli *cli, const struct arguments *arguments);
enum cli_status command_replica_promote(struct cli *cli, const struct arguments *arguments);
enum cli_status command_replica_members(struct cli *cli, const struct arguments *arguments);
enum cli_status command_replica_remove(struct cli *cli, const struct arguments *arguments);
enum cli_status command_replica_switchover(struct cli *cli, const struct arguments *arguments);
enum cli_status command_replica_demote(struct cli *cli, const struct arguments *arguments);
enum cli_status command_slot_list(struct cli *cli, const struct arguments *arguments);
enum cli_status command_slot_drop(struct cli *cli, const struct arguments *arguments);
enum cli_status command_bench(struct cli *cli, const struct arguments *arguments);
enum cli_status command_log_inspect(struct cli *cli, const struct arguments *arguments);
enum cli_status command_keys_generate(struct cli *cli, const struct arguments *arguments);
enum cli_status command_shell(struct cli *cli, const struct arguments *arguments);
enum cli_status command_completion(struct cli *cli, const struct arguments *arguments);
enum cli_status command_help(struct cli *cli, const struct arguments *arguments);

#ifdef __cplusplus
}
#endif

#endif
