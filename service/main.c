/* SPDX-License-Identifier: Apache-2.0 */
/*
 * polarysd: reads the configuration, prepares the process (signals, limits, memory), and runs the
 * control loop.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <grpc/grpc.h>

#include "service/config/config.h"
#include "service/server/control.h"

enum { ALLOCATOR_ARENAS_MAX = 2, EXIT_USAGE = 2 };

/* Before any thread is made: the C core starts some at init, and none may take a signal. */
static void signals_block(void)
{
    sigset_t blocked;
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGTERM);
    (void)sigaddset(&blocked, SIGINT);
    (void)sigaddset(&blocked, SIGHUP);
    (void)sigaddset(&blocked, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &blocked, NULL);
}

/* A listener that runs out of descriptors is lost for good, so all there are are taken. */
static void descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) {
        return;
    }
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        polarys_log(POLARYS_LOG_WARN, "server", "the limit of open files stays at its soft value");
    }
}

static int serve(const struct config *config, int argc, char **argv)
{
    polarys_log_level_set((enum polarys_log_level)config->log_level);
    signals_block();
    descriptors_raise();
    (void)mallopt(M_ARENA_MAX, ALLOCATOR_ARENAS_MAX);
    grpc_init();
    int status = control_run(config, argc, (const char *const *)argv);
    grpc_shutdown_blocking();
    return status;
}

int main(int argc, char **argv)
{
    static struct config config;
    struct polarys_error err = POLARYS_ERROR_INIT;
    enum config_command command = CONFIG_RUN;
    enum polarys_code code = config_load(&config, argc, (const char *const *)argv,
                                         (const char *const *)environ, &command, &err);
    if (code != POLARYS_OK) {
        (void)fprintf(stderr, "polarysd: %s\n", err.message);
        return EXIT_USAGE;
    }
    switch (command) {
    case CONFIG_HELP:
        config_help_print();
        return 0;
    case CONFIG_DOCUMENT:
        config_document_print();
        return 0;
    case CONFIG_VERSION:
        printf("polarysd %s\n", polarys_version_text());
        return 0;
    case CONFIG_CHECK:
        printf("the configuration is fine\n");
        return 0;
    case CONFIG_RUN:
        break;
    }
    return serve(&config, argc, argv);
}
