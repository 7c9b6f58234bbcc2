/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs command lines within the test's process and keeps what they print. Nothing listens on the endpoint.
 */
#ifndef TESTS_UNIT_CLI_CLI_RUN_H
#define TESTS_UNIT_CLI_CLI_RUN_H

#include <stdlib.h>

#include <string>
#include <vector>

#include "client/cli/cli.h"

struct CliOutcome {
    enum cli_status status;
    std::string out;
    std::string err;
};

inline CliOutcome RunCli(const std::vector<std::string> &words, const std::string &input = "",
                         bool is_shell = false)
{
    char *out = nullptr;
    char *err = nullptr;
    size_t out_size = 0;
    size_t err_size = 0;
    struct cli cli;
    std::vector<const char *> pointers;
    std::string fed = input;
    FILE *in = fed.empty() ? fopen("/dev/null", "r") : fmemopen(fed.data(), fed.size(), "r");

    for (const std::string &word : words) {
        pointers.push_back(word.c_str());
    }
    cli_init(&cli, in, open_memstream(&out, &out_size), open_memstream(&err, &err_size));
    cli.settings.endpoint = "127.0.0.1:1";
    cli.settings.admin_endpoint = "127.0.0.1:1";
    cli.is_shell = is_shell;
    enum cli_status status = cli_run(&cli, (int)pointers.size(), pointers.data());
    cli_deinit(&cli);
    fclose(cli.out);
    fclose(cli.err);
    fclose(in);
    CliOutcome outcome = {status, std::string(out, out_size), std::string(err, err_size)};
    free(out);
    free(err);
    return outcome;
}

/* What a writer of text writes. */
template <typename Write> std::string Written(Write write)
{
    char *bytes = nullptr;
    size_t size = 0;
    FILE *memory = open_memstream(&bytes, &size);
    write(memory);
    fclose(memory);
    std::string text(bytes, size);
    free(bytes);
    return text;
}

#endif
