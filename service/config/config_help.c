/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints the table of settings: for the terminal, and as docs/configuration.md. It has no list of
 * its own.
 */
#include <stdio.h>

#include "service/config/config.h"

static const char *value_word(const struct config_setting *setting)
{
    switch (setting->type) {
    case CONFIG_TEXT:
        return "TEXT";
    case CONFIG_SWITCH:
        return "";
    case CONFIG_COUNT:
        return "N";
    case CONFIG_BYTES:
        return "BYTES";
    case CONFIG_MS:
        return "TIME";
    case CONFIG_CHOICE:
        return "WORD";
    }
    return "";
}

static void choices_print(const struct config_setting *setting)
{
    for (size_t i = 0; setting->choices != NULL && setting->choices[i] != NULL; i++) {
        printf("%s%s", i == 0 ? " (" : ", ", setting->choices[i]);
    }
    if (setting->choices != NULL) {
        printf(")");
    }
}

static void flag_name(const struct config_setting *setting, char *name, size_t size)
{
    (void)snprintf(name, size, "--%s", setting->name);
    for (char *at = name; *at != '\0'; at++) {
        *at = *at == '_' ? '-' : *at;
    }
}

void config_help_print(void)
{
    printf("polarysd: the PolarysDB server\n\n"
           "usage: polarysd [--config FILE] [FLAG...]\n\n"
           "  --config FILE      read settings from a YAML file\n"
           "  --check-config     say what is wrong with the settings, and end\n"
           "  --version, --help\n"
           "  --print-configuration-docs\n\n"
           "Settings. Each is also NAME: VALUE in the file and POLARYSD_NAME in the environment;\n"
           "a flag wins over the environment, the environment over the file.\n\n");
    size_t count;
    const struct config_setting *settings = config_settings(&count);
    for (size_t i = 0; i < count; i++) {
        char name[80];
        flag_name(&settings[i], name, sizeof(name));
        printf("  %s %s", name, value_word(&settings[i]));
        choices_print(&settings[i]);
        printf("\n        %s", settings[i].help);
        printf(" [%s]\n", settings[i].default_text[0] == '\0' ? "empty" : settings[i].default_text);
    }
}

static void document_row(const struct config_setting *setting)
{
    char flag[80];
    flag_name(setting, flag, sizeof(flag));
    printf("| `%s` | `%s` | %s%s%s", setting->name, flag,
           setting->default_text[0] == '\0' ? "" : "`",
           setting->default_text[0] == '\0' ? "empty" : setting->default_text,
           setting->default_text[0] == '\0' ? "" : "`");
    if (setting->dev_text != NULL) {
        printf(" (`%s` with `--dev`)", setting->dev_text);
    }
    printf(" | ");
    if (setting->type == CONFIG_COUNT || setting->type == CONFIG_BYTES ||
        setting->type == CONFIG_MS) {
        printf("%llu to %llu %s", (unsigned long long)setting->min,
               (unsigned long long)setting->max, config_unit(setting));
    } else if (setting->type == CONFIG_SWITCH) {
        printf("true, false");
    } else {
        for (size_t i = 0; setting->choices != NULL && setting->choices[i] != NULL; i++) {
            printf("%s`%s`", i == 0 ? "" : ", ", setting->choices[i]);
        }
    }
    printf(" | %s |\n", setting->help);
}

void config_document_print(void)
{
    printf(
        "# Configuration of polarysd\n\n"
        "Printed by `polarysd --print-configuration-docs`; edit the table in "
        "`service/config/config_table.c`, not this file.\n\n"
        "A setting `memory_limit` is `memory_limit: 1GiB` in the YAML file that `--config` names, "
        "`--memory-limit 1GiB` as a flag\nand `POLARYSD_MEMORY_LIMIT=1GiB` in the environment. A flag "
        "wins over the environment, the environment over the file, the\nfile over the default. "
        "Unknown keys, flags and `POLARYSD_` variables are errors that name file, line and key.\n"
        "`polarysd --check-config` says what is wrong and starts nothing. Sizes take `k`, `M`, `G`, `T` "
        "(also `KiB` …), powers of 1,024; times\ntake `ms`, `s`, `m`, `h`, `d`.\n\n"
        "SIGHUP reads the file again and takes over `log_level` and `debug`; changes of other settings "
        "are named in the log and wait\nfor a restart.\n\n"
        "| setting | flag | default | values | meaning |\n|---|---|---|---|---|\n");
    size_t count;
    const struct config_setting *settings = config_settings(&count);
    for (size_t i = 0; i < count; i++) {
        document_row(&settings[i]);
    }
    printf("\n## Options of the original PolarysDB\n\n"
           "| option there | setting here |\n|---|---|\n"
           "| DirPath | `data_dir` |\n"
           "| BackupDir | `backup_dir` |\n"
           "| EncryptionKey | `master_key_file`, `master_passphrase_file` |\n"
           "| EnableWAL | `enable_wal`: false makes ASYNC the default durability |\n"
           "| EnableCompression | `enable_compression` |\n"
           "| SaveInterval | `save_interval` |\n"
           "| WALSyncInterval | `wal_sync_interval` |\n"
           "| BufferSize | `buffer_size` |\n"
           "| MaxConnections | `max_connections` |\n"
           "| Debug | `debug` |\n"
           "| MetricsEnabled | `metrics_enabled` |\n"
           "| MaxRetries, RetryDelay | of the client library and of `polarys` |\n");
}
