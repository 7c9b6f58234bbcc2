/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's settings: one table gives each its name, type, range, default and text, and drives
 * the YAML file, the flags, the environment, --help, docs/configuration.md and what GetServerInfo
 * publishes.
 *
 * A setting `memory_limit` is `memory_limit:` in the file, `--memory-limit` as a flag and
 * `POLARYSD_MEMORY_LIMIT` in the environment. Flag > environment > file > default.
 */
#ifndef SERVICE_CONFIG_CONFIG_H
#define SERVICE_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    CONFIG_TEXT_MAX = 1024, /* bytes of a text setting, with NUL */
    CONFIG_FILE_BYTES_MAX = 1 << 20,
    CONFIG_SETTINGS_MAX = 96,
};

enum config_type {
    CONFIG_TEXT,   /* char[CONFIG_TEXT_MAX] */
    CONFIG_SWITCH, /* bool: true, false, yes, no, on, off */
    CONFIG_COUNT,  /* uint64_t */
    CONFIG_BYTES,  /* uint64_t; 64MiB, 4k, 1000 */
    CONFIG_MS,     /* uint64_t of milliseconds; 10ms, 5s, 2m, 1h */
    CONFIG_CHOICE, /* uint64_t: the place in config_setting.choices */
};

/* Who set a value; a later one wins over an earlier one. */
enum config_origin {
    CONFIG_FROM_DEFAULT,
    CONFIG_FROM_DEV, /* a default that --dev changes */
    CONFIG_FROM_FILE,
    CONFIG_FROM_ENVIRONMENT,
    CONFIG_FROM_FLAG,
};

enum config_log_level_choice {
    CONFIG_LOG_DEBUG,
    CONFIG_LOG_INFO,
    CONFIG_LOG_WARN,
    CONFIG_LOG_ERROR,
};

struct config {
    char data_dir[CONFIG_TEXT_MAX];
    char backup_dir[CONFIG_TEXT_MAX];
    char listen[CONFIG_TEXT_MAX];
    char admin_listen[CONFIG_TEXT_MAX];
    char advertise[CONFIG_TEXT_MAX]; /* "": as listen says */
    char node_name[CONFIG_TEXT_MAX];
    char master_key_file[CONFIG_TEXT_MAX];
    char master_passphrase_file[CONFIG_TEXT_MAX];
    bool is_dev;
    bool is_insecure;
    uint64_t min_version;
    char follow[CONFIG_TEXT_MAX]; /* "": a primary */
    bool is_observer;

    bool is_debug;
    uint64_t log_level;
    bool is_metrics_on;

    uint64_t workers; /* 0: chosen by the number of processors */
    uint64_t max_connections;
    uint64_t calls_max;
    uint64_t streams_per_connection_max;
    uint64_t header_bytes_max;
    uint64_t batch_keys_max;
    uint64_t page_size_max;
    uint64_t bulk_window_bytes;
    uint64_t bulk_session_keep_ms;
    uint64_t drain_grace_ms;
    uint64_t drain_timeout_ms;
    uint64_t close_timeout_ms;
    uint64_t buffer_size;

    uint64_t memory_limit;
    uint64_t memtable_bytes;
    uint64_t wal_segment_bytes;
    uint64_t wal_keep_bytes;
    bool is_wal_on;
    uint64_t wal_sync_interval_ms;
    uint64_t wal_sync;
    uint64_t log_role;
    uint64_t executor_threads;
    uint64_t block_bytes;
    bool is_compression_on;
    uint64_t history_keep_ms;
    uint64_t history_keep_bytes;
    uint64_t save_interval_ms;
    uint64_t value_bytes_max;
    uint64_t request_ids_max;
    uint64_t request_id_keep_ms;
    uint64_t range_delete_max;
    uint64_t disk_reserve_bytes;
    uint64_t slot_bytes_max;
    uint64_t slot_idle_timeout_ms;

    /* Beside the settings. */
    char config_file[CONFIG_TEXT_MAX];
    unsigned char origins[CONFIG_SETTINGS_MAX]; /* enum config_origin, by place in the table */
};

struct config_setting {
    const char *name; /* lower case, words joined by '_' */
    enum config_type type;
    size_t offset; /* in struct config */
    const char *default_text;
    const char *dev_text; /* the default under --dev; NULL: the same */
    uint64_t min;
    uint64_t max;
    const char *const *choices; /* CONFIG_CHOICE: NULL-terminated */
    bool is_reloadable;
    bool is_published; /* GetServerInfo shows it; numbers and switches only */
    const char *help;
};

/* The table; *count is its length. Static storage. */
const struct config_setting *config_settings(size_t *count);
/* By name; NULL if there is none. */
const struct config_setting *config_setting_find(const char *name, size_t size);
/* The unit as GetServerInfo says it: "bytes", "ms" or "count". */
const char *config_unit(const struct config_setting *setting);
/* A number, switch (0 or 1) or choice. REQUIRES: not CONFIG_TEXT. */
uint64_t config_number_get(const struct config *config, const struct config_setting *setting);

/* All defaults. */
void config_init(struct config *config);
/*
 * Sets one value from text unless a stronger origin has set it. `where` names the place for
 * messages, such as "polarysd.yaml:3". Errors: BAD_ARGUMENT.
 */
NODISCARD enum polarys_code config_set(struct config *config, const struct config_setting *setting,
                                       struct polarys_slice text, enum config_origin origin,
                                       const char *where, struct polarys_error *err);
/* Every setting of a YAML file. Errors: BAD_ARGUMENT naming file, line and key; IO,
 * FILE_NOT_FOUND. */
NODISCARD enum polarys_code config_file_read(struct config *config, const char *path,
                                             struct polarys_error *err);
/* The same from text that is at hand; `path` is for messages. */
NODISCARD enum polarys_code config_yaml_read(struct config *config, const char *path,
                                             struct polarys_slice text, struct polarys_error *err);
/* Every POLARYSD_* variable of `environment` (as `environ`). Errors: BAD_ARGUMENT. */
NODISCARD enum polarys_code config_environment_read(struct config *config,
                                                    const char *const *environment,
                                                    struct polarys_error *err);

/* What the command line asks for beside settings. */
enum config_command {
    CONFIG_RUN,
    CONFIG_CHECK, /* --check-config */
    CONFIG_HELP,
    CONFIG_VERSION,
    CONFIG_DOCUMENT, /* --print-configuration-docs: docs/configuration.md */
};

/* Errors: BAD_ARGUMENT. */
NODISCARD enum polarys_code config_flags_read(struct config *config, int argc,
                                              const char *const *argv, enum config_command *command,
                                              struct polarys_error *err);
/* Flags, then the file they name, the environment, and the defaults of --dev. The whole of it,
 * checked as config_check does unless the command is another than to run or check. */
NODISCARD enum polarys_code config_load(struct config *config, int argc, const char *const *argv,
                                        const char *const *environment,
                                        enum config_command *command, struct polarys_error *err);
/* Rules between settings: a master key, no plain text off loopback. Errors: BAD_ARGUMENT. */
NODISCARD enum polarys_code config_check(const struct config *config, struct polarys_error *err);

/* "host:port", "[::1]:port" or ":port" apart; `host` has CONFIG_TEXT_MAX bytes. Errors:
 * BAD_ARGUMENT. */
NODISCARD enum polarys_code config_address_split(const char *address, char *host, uint16_t *port,
                                                 struct polarys_error *err);
/* True for 127.0.0.0/8, ::1 and localhost. */
bool config_host_is_loopback(const char *host);

/* --help, and docs/configuration.md. */
void config_help_print(void);
void config_document_print(void);

/* The engine's options as the settings say. Strings are borrowed from `config`. */
void config_engine_options(const struct config *config, struct polarys_db_options *options);

#ifdef __cplusplus
}
#endif

#endif
