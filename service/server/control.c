/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the loop and the way up. Everything here runs on the main thread but starter_run; what that
 * leaves is looked at only after it was joined.
 */
#include "service/server/control.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <grpc/support/alloc.h>

#include "service/rpc/copy_store.h"
#include "service/server/check.h"
#include "service/server/control_internal.h"
#include "service/server/timing.h"

/* ---- what calls ask of the loop; from workers ---- */

static void drain_ask(void *context, uint64_t grace_ms)
{
    struct control *control = context;
    /* Before the answer: who asked finds the server unhealthy from then on. */
    server_phase_set(control->server, SERVER_LEAVING);
    __atomic_store_n(&control->drain_asked_ms, grace_ms, __ATOMIC_RELAXED);
    ev_async_send(control->loop, &control->on_drain_asked);
}

static bool over_limit_ask(void *context, grpc_call *handle)
{
    struct control *control = context;
    char *peer = grpc_call_get_peer(handle);
    bool is_admitted = peer == NULL || connections_is_admitted(control->connections, peer);
    gpr_free(peer);
    return !is_admitted;
}

/* ---- up ---- */

/* The master key of --dev, made when it is missing. A file that the operator named is never made: a
 * mistyped name has to show. */
static enum polarys_code dev_key_make(const struct config *config, struct polarys_error *err)
{
    size_t size = strlen(config->data_dir);
    if (config->is_dev && config->follow[0] != '\0' && access(config->master_key_file, F_OK) != 0) {
        return polarys_fail(err, POLARYS_FILE_NOT_FOUND,
                            "%s is missing, and --dev makes no master key for a node that follows: "
                            "give it that of its primary with --master-key-file",
                            config->master_key_file);
    }
    if (!config->is_dev || strncmp(config->master_key_file, config->data_dir, size) != 0 ||
        strcmp(config->master_key_file + size, "/master.key") != 0 ||
        access(config->master_key_file, F_OK) == 0) {
        return POLARYS_OK;
    }
    if (mkdir(config->data_dir, 0700) != 0 && errno != EEXIST) {
        return polarys_fail_errno(err, errno, "make directory %s", config->data_dir);
    }
    enum polarys_code code = polarys_master_key_generate(config->master_key_file, err);
    if (code == POLARYS_OK) {
        polarys_log(
            POLARYS_LOG_WARN, "server",
            "--dev: made a master key in %s, beside the data that it protects: never do so in "
            "production",
            config->master_key_file);
    }
    return code;
}

static enum polarys_code all_start(struct control *control, struct polarys_error *err)
{
    const struct config *config = control->config;
    enum polarys_code code = dev_key_make(config, err);
    if (code == POLARYS_OK) {
        code = control_store_open(control, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    struct server_control asks = {control, drain_ask, over_limit_ask};
    code = server_create(config, control->db, &asks, &control->server, err);
    if (code != POLARYS_OK) {
        return code;
    }
    control->server->follower = control->follower;
    code = control_members_open(control, err);
    if (code == POLARYS_OK) {
        code = server_start(control->server, err);
    }
    return code == POLARYS_OK ? control_follow_start(control, err) : code;
}

static void *starter_run(void *context)
{
    struct control *control = context;
    control->start_code = all_start(control, &control->start_error);
    ev_async_send(control->loop, &control->on_started);
    return NULL;
}

/* How to call the command line from here: the `polarys` beside this program, as built, or by its name. */
static void command_find(char *command, size_t size)
{
    char path[CONFIG_TEXT_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[length < 0 ? 0 : length] = '\0';
    char *slash = strrchr(path, '/');
    if (slash != NULL) {
        *slash = '\0';
        int written = snprintf(command, size, "%s/polarys", path);
        if (written > 0 && (size_t)written < size && access(command, X_OK) == 0) {
            return;
        }
    }
    (void)snprintf(command, size, "polarys");
}

static void welcome_print(const struct control *control)
{
    char command[CONFIG_TEXT_MAX];
    char endpoint[40] = "";
    command_find(command, sizeof(command));
    if (control->server->port != 7480) {
        (void)snprintf(endpoint, sizeof(endpoint), " --endpoint 127.0.0.1:%u",
                       control->server->port);
    }
    printf("\nPolarysDB %s for development: plain text, loopback only, master key in %s\n"
           "Try:\n"
           "  %s%s table create demo\n"
           "  %s%s put demo hello '{\"hello\": \"world\"}'\n"
           "  %s%s get demo hello\n\n",
           polarys_version_text(), control->config->master_key_file, command, endpoint, command,
           endpoint, command, endpoint);
    (void)fflush(stdout);
}

static void started_fired(struct ev_loop *loop, struct ev_async *watcher, int events)
{
    struct control *control = watcher->data;
    (void)events;
    (void)pthread_join(control->starter, NULL);
    control->has_starter = false;
    if (control->start_code == POLARYS_CANCELLED && control->is_leaving) {
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    if (control->start_code != POLARYS_OK) {
        polarys_log(POLARYS_LOG_ERROR, "server", "%s: %s", polarys_code_name(control->start_code),
                    control->start_error.message);
        control->has_failed = true;
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    if (control->http != NULL) {
        http_server_set(control->http, control->server);
    }
    ev_timer_start(loop, &control->watch);
    polarys_log(POLARYS_LOG_INFO, "server",
                "serving gRPC on port %u, admin on port %u, store version %llu",
                control->server->port, control->http == NULL ? 0 : http_port(control->http),
                (unsigned long long)polarys_db_version(control->db));
    if (control->state == CONTROL_STARTING) {
        control->state = CONTROL_RUNNING;
    }
    if (control->config->is_dev && control->follower == NULL) {
        welcome_print(control);
    }
    if (control->is_leaving) {
        control->state = CONTROL_RUNNING;
        control_drain_begin(control, 0, true); /* asked to end while starting */
    }
}

/* ---- the watchers ---- */

static void end_fired(struct ev_loop *loop, struct ev_signal *watcher, int events)
{
    struct control *control = watcher->data;
    (void)loop;
    (void)events;
    polarys_log(POLARYS_LOG_INFO, "server", "signal %d: %s", watcher->signum,
                control->is_leaving ? "hastening" : "draining, then stopping");
    control->is_restarting = false;
    boot_cancel(control->boot);
    control_drain_begin(control, control->config->drain_grace_ms, true);
}

static void hup_fired(struct ev_loop *loop, struct ev_signal *watcher, int events)
{
    (void)loop;
    (void)events;
    control_reload(watcher->data);
}

static void drain_asked_fired(struct ev_loop *loop, struct ev_async *watcher, int events)
{
    struct control *control = watcher->data;
    (void)loop;
    (void)events;
    if (control->state == CONTROL_RUNNING) {
        control_drain_begin(control, __atomic_load_n(&control->drain_asked_ms, __ATOMIC_RELAXED),
                            false);
    }
}

static void step_fired(struct ev_loop *loop, struct ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    control_drain_step(watcher->data);
}

static void connections_watch(struct control *control)
{
    struct server *server = control->server;
    uint64_t count = __atomic_load_n(&server->connection_count, __ATOMIC_RELAXED);
    bool is_over = connections_count(control->connections, server->port, &count);
    bool was_over = __atomic_load_n(&server->has_connection_limit, __ATOMIC_RELAXED) != 0;
    if (is_over && !was_over) {
        polarys_log(
            POLARYS_LOG_WARN, "server",
            "%llu connections are open, more than max_connections allows (%llu): calls on the "
            "newest are refused",
            (unsigned long long)count, (unsigned long long)control->config->max_connections);
    }
    __atomic_store_n(&server->connection_count, count, __ATOMIC_RELAXED);
    __atomic_store_n(&server->has_connection_limit, is_over ? 1 : 0, __ATOMIC_RELAXED);
}

static void watch_fired(struct ev_loop *loop, struct ev_timer *watcher, int events)
{
    struct control *control = watcher->data;
    (void)loop;
    (void)events;
    struct polarys_db_status *status = malloc(sizeof(*status));
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (status != NULL && polarys_db_status_get(control->db, status, &err) == POLARYS_OK &&
        status->is_failed) {
        /* After a failed sync nobody knows what is on disk: only recovery does. */
        polarys_log(POLARYS_LOG_ERROR, "server",
                    "the log failed: stopping, so that a restart can recover what is on disk");
        (void)fflush(NULL);
        _exit(1);
    }
    free(status);
    connections_watch(control);
    copy_store_sweep(control->server->copies, timing_now_ns());
}

static void watchers_start(struct control *control)
{
    ev_signal_init(&control->on_term, end_fired, SIGTERM);
    ev_signal_init(&control->on_int, end_fired, SIGINT);
    ev_signal_init(&control->on_hup, hup_fired, SIGHUP);
    ev_async_init(&control->on_started, started_fired);
    ev_async_init(&control->on_drain_asked, drain_asked_fired);
    ev_async_init(&control->on_follow_ended, control_follow_ended_fired);
    ev_timer_init(&control->step, step_fired, 0.0, CONTROL_STEP_MS / 1000.0);
    ev_timer_init(&control->watch, watch_fired, CONTROL_WATCH_MS / 1000.0,
                  CONTROL_WATCH_MS / 1000.0);
    control->on_term.data = control;
    control->on_int.data = control;
    control->on_hup.data = control;
    control->on_started.data = control;
    control->on_drain_asked.data = control;
    control->on_follow_ended.data = control;
    control->step.data = control;
    control->watch.data = control;
    ev_signal_start(control->loop, &control->on_term);
    ev_signal_start(control->loop, &control->on_int);
    ev_signal_start(control->loop, &control->on_hup);
    ev_async_start(control->loop, &control->on_started);
    ev_async_start(control->loop, &control->on_drain_asked);
    ev_async_start(control->loop, &control->on_follow_ended);
}

static enum polarys_code loop_prepare(struct control *control, struct polarys_error *err)
{
    /* Signals stay blocked in every thread and are read from a descriptor. */
    control->loop = ev_default_loop(EVFLAG_SIGNALFD);
    if (control->loop == NULL) {
        return polarys_fail(err, POLARYS_IO, "make the control loop: no event system works here");
    }
    enum polarys_code code =
        connections_create(control->config->max_connections, &control->connections, err);
    if (code == POLARYS_OK) {
        code = boot_create(control->config, peer_open, &control->boot, err);
    }
    if (code == POLARYS_OK && control->config->admin_listen[0] != '\0') {
        code = http_open(control->loop, control->config->admin_listen, control->config,
                         &control->http, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    watchers_start(control);
    int error = pthread_create(&control->starter, NULL, starter_run, control);
    if (error != 0) {
        return polarys_fail_errno(err, error, "start a thread");
    }
    control->has_starter = true;
    return POLARYS_OK;
}

/* After the loop: what is left is closed, in the order that the parts were made in, backwards. */
static void all_close(struct control *control)
{
    http_close(control->http);
    if (control->server != NULL && !server_is_idle(control->server)) {
        server_phase_set(control->server, SERVER_STOPPING);
        polarys_log(POLARYS_LOG_ERROR, "server",
                    "calls did not end: leaving without a clean close");
        (void)fflush(NULL);
        _exit(1);
    }
    members_stop(control->members);
    follower_stop(control->follower);
    /* Pooled calls hold batches of the engine, so the server goes first. */
    server_destroy(control->server);
    handover_destroy(control->handover);
    members_destroy(control->members);
    follower_destroy(control->follower);
    standing_destroy(control->standing);
    uint32_t close_ms = control->is_hastened ? 1 : (uint32_t)control->config->close_timeout_ms;
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (polarys_db_close(control->db, close_ms, &err) != POLARYS_OK) {
        polarys_log(POLARYS_LOG_WARN, "server", "close: %s", err.message);
        control->has_failed = true;
    }
    boot_destroy(control->boot);
    connections_destroy(control->connections);
}

/* libev keeps the watchers of signals beside its loops, and unblocks what it no longer watches. */
static void signals_release(struct control *control)
{
    struct ev_signal *watchers[] = {&control->on_term, &control->on_int, &control->on_hup};
    sigset_t released;
    (void)sigemptyset(&released);
    for (size_t i = 0; i < sizeof(watchers) / sizeof(watchers[0]); i++) {
        (void)sigaddset(&released, watchers[i]->signum);
        ev_signal_stop(control->loop, watchers[i]);
    }
    (void)pthread_sigmask(SIG_BLOCK, &released, NULL);
}

/* Once up and down; *is_restarting: and up again. */
static int control_run_once(const struct config *config, int argc, const char *const *argv,
                            bool *is_restarting)
{
    *is_restarting = false;
    struct control control = {.config = config, .argc = argc, .argv = argv};
    struct polarys_error err = POLARYS_ERROR_INIT;
    enum polarys_code code = loop_prepare(&control, &err);
    if (code != POLARYS_OK) {
        polarys_log(POLARYS_LOG_ERROR, "server", "%s: %s", polarys_code_name(code), err.message);
        http_close(control.http);
        boot_destroy(control.boot);
        connections_destroy(control.connections);
        return 1;
    }
    (void)ev_run(control.loop, 0);
    SERVICE_ASSERT(!control.has_starter);
    if (control.server != NULL && control.has_failed) {
        server_phase_set(control.server, SERVER_STOPPING);
    }
    all_close(&control);
    signals_release(&control);
    ev_loop_destroy(control.loop);
    *is_restarting = control.is_restarting && !control.has_failed;
    polarys_log(POLARYS_LOG_INFO, "server", *is_restarting ? "starting anew" : "stopped");
    return control.has_failed ? 1 : 0;
}

int control_run(const struct config *config, int argc, const char *const *argv)
{
    bool is_restarting;
    int status;
    do {
        status = control_run_once(config, argc, argv, &is_restarting);
    } while (is_restarting);
    return status;
}
