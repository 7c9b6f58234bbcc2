/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings flags, environment, file and defaults together, and checks what holds between settings.
 * The order of reading does not matter: each value keeps its origin, and the stronger one wins.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "service/config/config.h"
#include "service/server/check.h"

enum { NAME_MAX_BYTES = 64 /* of a setting, with NUL */ };

static const char environment_prefix[] = "POLARYSD_";

/* A flag's or variable's name as the table spells it; false when it is too long to be one. */
static bool name_normalise(struct polarys_slice from, char *name)
{
    if (from.size >= NAME_MAX_BYTES) {
        return false;
    }
    for (size_t i = 0; i < from.size; i++) {
        uint8_t byte = from.data[i];
        name[i] = (char)(byte == '-'                  ? '_'
                         : byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A')
                                                      : byte);
    }
    name[from.size] = '\0';
    return true;
}

static enum polarys_code variable_apply(struct config *config, const char *variable,
                                        struct polarys_error *err)
{
    const char *equals = strchr(variable, '=');
    if (equals == NULL) {
        return POLARYS_OK;
    }
    const char *short_name = variable + strlen(environment_prefix);
    char name[NAME_MAX_BYTES];
    char where[128];
    int shown = equals - variable > 80 ? 80 : (int)(equals - variable);
    (void)snprintf(where, sizeof(where), "environment variable %.*s", shown, variable);
    if (strncmp(short_name, "CONFIG=", 7) == 0) {
        int size =
            config->config_file[0] == '\0'
                ? snprintf(config->config_file, sizeof(config->config_file), "%s", equals + 1)
                : 0;
        return size < CONFIG_TEXT_MAX
                   ? POLARYS_OK
                   : polarys_fail(err, POLARYS_BAD_ARGUMENT, "%s: the path is too long", where);
    }
    const struct config_setting *setting = NULL;
    if (name_normalise(slice_make(short_name, (size_t)(equals - short_name)), name)) {
        setting = config_setting_find(name, strlen(name));
    }
    if (setting == NULL) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "%s: there is no such setting", where);
    }
    return config_set(config, setting, slice_from_text(equals + 1), CONFIG_FROM_ENVIRONMENT, where,
                      err);
}

enum polarys_code config_environment_read(struct config *config, const char *const *environment,
                                          struct polarys_error *err)
{
    for (size_t i = 0; environment[i] != NULL; i++) {
        if (strncmp(environment[i], environment_prefix, strlen(environment_prefix)) == 0) {
            enum polarys_code code = variable_apply(config, environment[i], err);
            if (code != POLARYS_OK) {
                return code;
            }
        }
    }
    return POLARYS_OK;
}

static bool command_find(const char *flag, enum config_command *command)
{
    static const struct {
        const char *flag;
        enum config_command command;
    } commands[] = {
        {"--check-config", CONFIG_CHECK},
        {"--help", CONFIG_HELP},
        {"-h", CONFIG_HELP},
        {"--version", CONFIG_VERSION},
        {"--print-configuration-docs", CONFIG_DOCUMENT},
    };
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(flag, commands[i].flag) == 0) {
            *command = commands[i].command;
            return true;
        }
    }
    return false;
}

/* One flag, `--name value` or `--name=value`; a switch needs no value. *used is the number of
 * words. */
static enum polarys_code flag_apply(struct config *config, const char *const *words, int *used,
                                    struct polarys_error *err)
{
    const char *flag = words[0];
    if (strncmp(flag, "--", 2) != 0) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "%.100s: not a flag; see polarysd --help",
                            flag);
    }
    const char *equals = strchr(flag, '=');
    size_t name_size = (equals == NULL ? strlen(flag) : (size_t)(equals - flag)) - 2;
    char name[NAME_MAX_BYTES];
    const struct config_setting *setting = NULL;
    bool is_file = name_size == 6 && memcmp(flag + 2, "config", 6) == 0;
    if (!is_file && name_normalise(slice_make(flag + 2, name_size), name)) {
        setting = config_setting_find(name, strlen(name));
    }
    if (setting == NULL && !is_file) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "%.100s: unknown flag; see polarysd --help",
                            flag);
    }
    *used = 1;
    const char *value = equals == NULL ? NULL : equals + 1;
    if (value == NULL && setting != NULL && setting->type == CONFIG_SWITCH) {
        value = "true";
    } else if (value == NULL) {
        value = words[1];
        *used = 2;
    }
    if (value == NULL) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "%.100s: a value must follow", flag);
    }
    if (is_file) {
        int size = snprintf(config->config_file, sizeof(config->config_file), "%s", value);
        return size < CONFIG_TEXT_MAX
                   ? POLARYS_OK
                   : polarys_fail(err, POLARYS_BAD_ARGUMENT, "--config: the path is too long");
    }
    return config_set(config, setting, slice_from_text(value), CONFIG_FROM_FLAG, flag, err);
}

enum polarys_code config_flags_read(struct config *config, int argc, const char *const *argv,
                                    enum config_command *command, struct polarys_error *err)
{
    *command = CONFIG_RUN;
    for (int i = 1; i < argc;) {
        if (command_find(argv[i], command)) {
            i++;
            continue;
        }
        int used = 0;
        enum polarys_code code = flag_apply(config, argv + i, &used, err);
        if (code != POLARYS_OK) {
            return code;
        }
        SERVICE_ASSERT(used > 0);
        i += used;
    }
    return POLARYS_OK;
}

/* --dev changes some defaults, which any origin but the default itself overrides. */
static void dev_defaults_apply(struct config *config)
{
    size_t count;
    const struct config_setting *settings = config_settings(&count);
    for (size_t i = 0; i < count; i++) {
        if (settings[i].dev_text == NULL) {
            continue;
        }
        struct polarys_error err = POLARYS_ERROR_INIT;
        enum polarys_code code =
            config_set(config, &settings[i], slice_from_text(settings[i].dev_text), CONFIG_FROM_DEV,
                       "--dev", &err);
        SERVICE_ASSERT(code == POLARYS_OK);
    }
}

static void names_complete(struct config *config)
{
    if (config->is_debug) {
        config->log_level = CONFIG_LOG_DEBUG;
    }
    if (config->node_name[0] == '\0' &&
        gethostname(config->node_name, POLARYS_NAME_BYTES_MAX) != 0) {
        (void)snprintf(config->node_name, sizeof(config->node_name), "polarysd");
    }
    config->node_name[POLARYS_NAME_BYTES_MAX - 1] = '\0';
    if (config->is_dev && config->master_key_file[0] == '\0' &&
        config->master_passphrase_file[0] == '\0') {
        (void)snprintf(config->master_key_file, sizeof(config->master_key_file), "%.*s/master.key",
                       CONFIG_TEXT_MAX - 16, config->data_dir);
    }
}

enum polarys_code config_load(struct config *config, int argc, const char *const *argv,
                              const char *const *environment, enum config_command *command,
                              struct polarys_error *err)
{
    config_init(config);
    enum polarys_code code = config_flags_read(config, argc, argv, command, err);
    if (code != POLARYS_OK || (*command != CONFIG_RUN && *command != CONFIG_CHECK)) {
        return code;
    }
    code = config_environment_read(config, environment, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (config->config_file[0] != '\0') {
        code = config_file_read(config, config->config_file, err);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    if (config->is_dev) {
        dev_defaults_apply(config);
    }
    names_complete(config);
    return config_check(config, err);
}
