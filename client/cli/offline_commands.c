/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work on files without a server: log inspect, keys generate.
 */
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/output.h"

/* The engine's lines are JSON objects: they are rows as they stand, in every format. */
static bool frame_print(void *context, const char *line)
{
    struct cli *cli = context;
    (void)fputs(line, cli->out);
    (void)putc('\n', cli->out);
    return ferror(cli->out) == 0;
}

enum cli_status command_log_inspect(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    const char *key_file = arguments->values[OPTION_MASTER_KEY_FILE];
    bool with_keys = arguments_has(arguments, OPTION_WITH_KEYS);

    if (with_keys && key_file == NULL) {
        return cli_usage(cli, "--keys needs --master-key-file: keys are encrypted");
    }
    polarys_log_level_set(POLARYS_LOG_ERROR);
    if (polarys_log_inspect(arguments->positionals[0], key_file, with_keys, frame_print, cli,
                            &err) != POLARYS_OK) {
        return cli_fail_engine(cli, &err);
    }
    return CLI_DONE;
}

enum cli_status command_keys_generate(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    const char *path = arguments->positionals[0];

    if (polarys_master_key_generate(path, &err) != POLARYS_OK) {
        return cli_fail_engine(cli, &err);
    }
    struct output *output = output_create(cli);
    if (output == NULL) {
        return CLI_FAILED;
    }
    const struct output_field fields[] = {field_text("file", path, strlen(path))};
    output_row(output, fields, 1);
    return output_finish(output, cli, CLI_DONE);
}
