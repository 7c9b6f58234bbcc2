/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's outline: settings, connection, messages, and one command from its words to its status.
 */
#include "client/cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/command.h"
#include "client/cli/parse.h"
#include "client/cli/text.h"
#include "client/cli/txn.h"
#include "client/endpoint.h"

static const char *environment(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : otherwise;
}

void cli_init(struct cli *cli, FILE *in, FILE *out, FILE *err)
{
    POLARYS_ASSERT(in != NULL && out != NULL && err != NULL);
    memset(cli, 0, sizeof(*cli));
    cli->in = in;
    cli->out = out;
    cli->err = err;
    cli->settings.endpoint = environment("POLARYS_ENDPOINT", "127.0.0.1:7480");
    cli->settings.admin_endpoint = environment("POLARYS_ADMIN_ENDPOINT", "127.0.0.1:7481");
    cli->settings.database = environment("POLARYS_DATABASE", "");
}

static void connection_drop(struct cli *cli)
{
    POLARYS_ASSERT(cli->txn == NULL);
    polarys_client_close(cli->client);
    free(cli->client_endpoint);
    cli->client = NULL;
    cli->client_endpoint = NULL;
}

void cli_deinit(struct cli *cli)
{
    POLARYS_ASSERT(cli->txn == NULL);
    connection_drop(cli);
}

/* Prints "polarys: REASON: message", the message in a form that no terminal obeys. */
static void message_print(struct cli *cli, const char *reason, const char *format, va_list args)
{
    char message[POLARYS_CLIENT_MESSAGE_MAX + 512];

    POLARYS_ASSERT(reason[0] != '\0');
    (void)vsnprintf(message, sizeof(message), format, args);
    (void)fflush(cli->out);
    (void)fprintf(cli->err, "polarys: %s: ", reason);
    text_printable_write(cli->err, message, strlen(message));
    (void)putc('\n', cli->err);
    (void)fflush(cli->err);
}

enum cli_status cli_fail(struct cli *cli, const char *reason, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    message_print(cli, reason, format, args);
    va_end(args);
    return CLI_FAILED;
}

enum cli_status cli_usage(struct cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    message_print(cli, "BAD_USAGE", format, args);
    va_end(args);
    return CLI_USAGE;
}

enum cli_status cli_fail_call(struct cli *cli, const struct polarys_client_error *err)
{
    char reason[POLARYS_CLIENT_REASON_MAX + 32];

    POLARYS_ASSERT(err->status != POLARYS_CLIENT_OK);
    (void)snprintf(reason, sizeof(reason), "%s%s%s", polarys_client_status_name(err->status),
                   err->reason[0] == '\0' ? "" : "/", err->reason);
    (void)cli_fail(cli, reason, "%s", err->message);
    bool has_lost_txn = strcmp(err->reason, "TXN_NOT_FOUND") == 0;
    cli->has_lost_txn |= has_lost_txn || strcmp(err->reason, "DEADLOCK") == 0;
    return err->status == POLARYS_CLIENT_NOT_FOUND && !has_lost_txn ? CLI_NOT_FOUND : CLI_FAILED;
}

enum cli_status cli_fail_engine(struct cli *cli, const struct polarys_error *err)
{
    return cli_fail(cli, polarys_code_name(err->code), "%s", err->message);
}

enum cli_status cli_fail_errno(struct cli *cli, const char *what)
{
    int number = errno;
    char text[128];
    return cli_fail(cli, number == ENOENT ? "FILE_NOT_FOUND" : "IO", "%s: %s", what,
                    strerror_r(number, text, sizeof(text)));
}

bool cli_client_options(const struct cli_settings *settings, struct polarys_client_options *options)
{
    const char *list = settings->endpoint;
    char endpoint[CLIENT_ENDPOINT_BYTES_MAX];

    POLARYS_ASSERT(list != NULL);
    polarys_client_options_init(options);
    options->endpoint = list;
    options->read_policy = settings->read_policy;
    options->is_pinned = client_endpoint_count(list) == 1 && !settings->is_routed &&
                         settings->read_policy == POLARYS_CLIENT_READ_PRIMARY;
    /* What is no endpoint at all is told of as that, by opening it. */
    if (settings->is_plaintext || !client_endpoint_list_is_valid(list)) {
        return true;
    }
    options->accepts_endpoint = parse_endpoint_is_loopback; /* of those that a server names, too */
    while (list != NULL) {
        if (!client_endpoint_next(&list, endpoint) || !parse_endpoint_is_loopback(endpoint)) {
            return false;
        }
    }
    return true;
}

/* True when the connection that is there was opened in the same way. */
static bool connection_fits(const struct cli *cli, const struct polarys_client_options *options)
{
    const struct polarys_client_options *has = &cli->client_options;
    return cli->client != NULL && has->timeout_ms == options->timeout_ms &&
           has->is_pinned == options->is_pinned && has->read_policy == options->read_policy &&
           has->accepts_endpoint == options->accepts_endpoint &&
           strcmp(cli->client_endpoint, options->endpoint) == 0;
}

struct polarys_client *cli_connect(struct cli *cli, uint32_t timeout_ms)
{
    struct polarys_client_options options;
    struct polarys_client_error err;

    POLARYS_ASSERT(cli->txn == NULL || cli->client != NULL);
    if (cli->txn != NULL) {
        return cli->client;
    }
    bool is_allowed = cli_client_options(&cli->settings, &options);
    options.timeout_ms = cli->settings.has_timeout ? cli->settings.timeout_ms : timeout_ms;
    options.message_bytes_max = 64 << 20;
    if (connection_fits(cli, &options)) {
        return cli->client;
    }
    if (!is_allowed) {
        (void)cli_fail(cli, "TLS_REQUIRED",
                       "%s is not on loopback, and this program speaks no TLS yet: --plaintext "
                       "sends everything unencrypted",
                       options.endpoint);
        return NULL;
    }
    connection_drop(cli);
    cli->client_endpoint = strdup(options.endpoint);
    cli->client_options = options;
    if (cli->client_endpoint == NULL) {
        (void)cli_fail(cli, "NO_MEMORY", "no memory for a connection");
        return NULL;
    }
    if (!polarys_client_open(&options, &cli->client, &err)) {
        (void)cli_fail_call(cli, &err);
        return NULL;
    }
    return cli->client;
}

/* Results that could not be written are a failure, whatever the command said. */
static enum cli_status output_check(struct cli *cli, enum cli_status status)
{
    if (fflush(cli->out) != 0 || ferror(cli->out) != 0) {
        int number = errno;
        clearerr(cli->out);
        if (number == EPIPE) {
            return CLI_FAILED; /* whoever read the results had enough: no news to anybody */
        }
        errno = number;
        if (status == CLI_DONE) {
            return cli_fail_errno(cli, "cannot write the results");
        }
    }
    return status;
}

static enum cli_status run_parsed(struct cli *cli, const struct arguments *arguments)
{
    const struct command *command = arguments->command;

    if (arguments_has(arguments, OPTION_VERSION)) {
        (void)fprintf(cli->out, "polarys %s\n", polarys_client_version_text());
        return CLI_DONE;
    }
    if (arguments_has(arguments, OPTION_HELP)) {
        if (command != NULL) {
            help_print_command(cli->out, command);
        } else {
            help_print(cli->out);
        }
        return CLI_DONE;
    }
    enum cli_status status = arguments_settings(cli, arguments);
    if (status == CLI_DONE) {
        status = txn_arguments_check(cli, arguments);
    }
    if (status != CLI_DONE) {
        return status;
    }
    if (command == NULL) {
        return cli->is_shell ? CLI_DONE : command_shell(cli, arguments);
    }
    return command->run(cli, arguments);
}

enum cli_status cli_run(struct cli *cli, int word_count, const char *const *words)
{
    struct arguments arguments;
    struct cli_settings settings = cli->settings;

    enum cli_status status = arguments_parse(cli, word_count, words, &arguments);
    if (status == CLI_DONE) {
        status = run_parsed(cli, &arguments);
    }
    cli->settings = settings;
    /* The token lies within the settings and moved with them. */
    if (settings.read.token != NULL) {
        cli->settings.read.token = cli->settings.token;
    }
    return output_check(cli, status);
}

int cli_main(int argc, char **argv)
{
    struct cli cli;

    /* A reader that went away is an error of writing, not the end of the program. */
    (void)signal(SIGPIPE, SIG_IGN);
    /* gRPC's own messages would stand between ours. */
    (void)setenv("GRPC_VERBOSITY", "NONE", 0);
    cli_init(&cli, stdin, stdout, stderr);
    enum cli_status status = cli_run(&cli, argc - 1, (const char *const *)argv + 1);
    cli_deinit(&cli);
    return (int)status;
}
