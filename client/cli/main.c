/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `polarys` program. Everything is in cli.c, so that tests can run it in their own process.
 */
#include "client/cli/cli.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
