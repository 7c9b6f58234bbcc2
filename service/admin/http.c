/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmicrohttpd without a thread of its own: it works when its epoll descriptor is ready, or its
 * timeout has come, both watched by the control loop. It answers GET and HEAD of four paths and
 * nothing else.
 */
#include "service/admin/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "service/admin/metrics.h"
#include "service/replication/follower.h"
#include "service/server/check.h"

enum { BACKLOG = 128, MEMORY_PER_CONNECTION = 16 << 10 };

struct http {
    struct ev_loop *loop;
    const struct config *config;
    struct server *server; /* NULL until it has started */
    struct MHD_Daemon *daemon;
    struct ev_io readable;
    struct ev_timer timeout;
    uint16_t port;
};

struct http_answer {
    unsigned status;
    const char *text; /* static, or NULL where `owned` is the body */
    char *owned;      /* freed after it was sent */
    size_t size;
};

static struct http_answer answer_of(unsigned status, const char *text)
{
    struct http_answer answer = {.status = status, .text = text, .size = strlen(text)};
    return answer;
}

static struct http_answer livez(struct http *http)
{
    const struct server *server = http->server;
    if (server == NULL || server_phase_get(server) >= SERVER_STOPPING) {
        return answer_of(MHD_HTTP_OK, "alive\n");
    }
    char host[CONFIG_TEXT_MAX];
    uint16_t port;
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (config_address_split(http->config->listen, host, &port, &err) == POLARYS_OK &&
        http_listener_probe(host, server->port)) {
        return answer_of(MHD_HTTP_OK, "alive\n");
    }
    polarys_log(POLARYS_LOG_ERROR, "admin", "the gRPC listener on %s does not answer",
                http->config->listen);
    return answer_of(MHD_HTTP_SERVICE_UNAVAILABLE, "the gRPC listener does not answer\n");
}

static struct http_answer readyz(const struct http *http)
{
    if (http->server == NULL) {
        return answer_of(MHD_HTTP_SERVICE_UNAVAILABLE, "starting\n");
    }
    if (server_phase_get(http->server) != SERVER_SERVING) {
        return answer_of(MHD_HTTP_SERVICE_UNAVAILABLE, "draining\n");
    }
    if (!follower_is_ready(http->server->follower)) {
        return answer_of(MHD_HTTP_SERVICE_UNAVAILABLE, "following, and not caught up yet\n");
    }
    return answer_of(MHD_HTTP_OK, "ready\n");
}

static struct http_answer metrics(const struct http *http)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct http_answer answer = {.status = MHD_HTTP_OK};
    if (!http->config->is_metrics_on) {
        return answer_of(MHD_HTTP_NOT_FOUND, "metrics_enabled is false\n");
    }
    if (http->server == NULL) {
        return answer_of(MHD_HTTP_SERVICE_UNAVAILABLE, "starting\n");
    }
    if (metrics_render(http->server, &answer.owned, &answer.size, &err) != POLARYS_OK) {
        polarys_log(POLARYS_LOG_ERROR, "admin", "metrics: %s", err.message);
        return answer_of(MHD_HTTP_INTERNAL_SERVER_ERROR, "see the server's log\n");
    }
    return answer;
}

static struct http_answer path_answer(struct http *http, const char *path)
{
    if (strcmp(path, "/livez") == 0) {
        return livez(http);
    }
    if (strcmp(path, "/readyz") == 0) {
        return readyz(http);
    }
    if (strcmp(path, "/startupz") == 0) {
        return http->server == NULL ? answer_of(MHD_HTTP_SERVICE_UNAVAILABLE, "starting\n")
                                    : answer_of(MHD_HTTP_OK, "started\n");
    }
    if (strcmp(path, "/metrics") == 0) {
        return metrics(http);
    }
    return answer_of(MHD_HTTP_NOT_FOUND, "there are /livez, /readyz, /startupz and /metrics\n");
}

/* NOLINTNEXTLINE(readability-function-size): libmicrohttpd's callback */
static enum MHD_Result request_handle(void *context, struct MHD_Connection *connection,
                                      const char *url, const char *method, const char *version,
                                      const char *upload, size_t *upload_size, void **request)
{
    static int seen;
    (void)version;
    (void)upload;
    if (*request == NULL) {
        *request = &seen; /* the headers are there; the answer comes with the next call */
        return MHD_YES;
    }
    if (*upload_size > 0) {
        *upload_size = 0; /* a body is not wanted */
        return MHD_YES;
    }
    struct http_answer answer;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        answer = answer_of(MHD_HTTP_METHOD_NOT_ALLOWED, "GET and HEAD only\n");
    } else {
        answer = path_answer(context, url);
    }
    struct MHD_Response *response =
        answer.owned != NULL
            ? MHD_create_response_from_buffer(answer.size, answer.owned, MHD_RESPMEM_MUST_FREE)
            : MHD_create_response_from_buffer(answer.size, (void *)(uintptr_t)answer.text,
                                              MHD_RESPMEM_PERSISTENT);
    if (response == NULL) {
        free(answer.owned);
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                  "text/plain; version=0.0.4; charset=utf-8");
    enum MHD_Result result = MHD_queue_response(connection, answer.status, response);
    MHD_destroy_response(response);
    return result;
}

static void http_run(struct http *http)
{
    (void)MHD_run(http->daemon);
    ev_timer_stop(http->loop, &http->timeout);
    MHD_UNSIGNED_LONG_LONG ms;
    if (MHD_get_timeout(http->daemon, &ms) == MHD_YES) {
        ev_timer_set(&http->timeout, (double)ms / 1000, 0.0);
        ev_timer_start(http->loop, &http->timeout);
    }
}

static void readable_fired(struct ev_loop *loop, struct ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    http_run(watcher->data);
}

static void timeout_fired(struct ev_loop *loop, struct ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    http_run(watcher->data);
}

static enum polarys_code address_listen(const struct addrinfo *address, int *out,
                                        struct polarys_error *err)
{
    int one = 1;
    int socket_fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (socket_fd < 0) {
        return polarys_fail_errno(err, errno, "make a socket");
    }
    (void)setsockopt(socket_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(socket_fd, address->ai_addr, address->ai_addrlen) != 0 ||
        listen(socket_fd, BACKLOG) != 0) {
        enum polarys_code code = polarys_fail_errno(err, errno, "listen");
        (void)close(socket_fd);
        return code;
    }
    *out = socket_fd;
    return POLARYS_OK;
}

static enum polarys_code socket_listen(const char *address_text, int *out, uint16_t *port,
                                       struct polarys_error *err)
{
    char host[CONFIG_TEXT_MAX];
    char service[8];
    enum polarys_code code = config_address_split(address_text, host, port, err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    (void)snprintf(service, sizeof(service), "%u", *port);
    int error = getaddrinfo(host[0] == '\0' ? NULL : host, service, &hints, &list);
    if (error != 0) {
        return polarys_fail(err, POLARYS_IO, "find the address: %s", gai_strerror(error));
    }
    code = address_listen(list, out, err);
    freeaddrinfo(list);
    if (code == POLARYS_OK) {
        union {
            struct sockaddr any;
            struct sockaddr_in v4;
            struct sockaddr_in6 v6;
        } bound;
        socklen_t size = sizeof(bound);
        memset(&bound, 0, sizeof(bound));
        if (getsockname(*out, &bound.any, &size) == 0) {
            *port = ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
        }
    }
    return code;
}

static enum polarys_code daemon_start(struct http *http, int socket_fd, struct polarys_error *err)
{
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, request_handle, http, MHD_OPTION_LISTEN_SOCKET, socket_fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)HTTP_IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)MEMORY_PER_CONNECTION, MHD_OPTION_END);
    if (http->daemon == NULL) {
        (void)close(socket_fd);
        return polarys_fail(err, POLARYS_IO, "the HTTP library refused to start");
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    SERVICE_ASSERT(info != NULL);
    ev_io_init(&http->readable, readable_fired, info->epoll_fd, EV_READ);
    http->readable.data = http;
    ev_init(&http->timeout, timeout_fired);
    http->timeout.data = http;
    ev_io_start(http->loop, &http->readable);
    return POLARYS_OK;
}

enum polarys_code http_open(struct ev_loop *loop, const char *address, const struct config *config,
                            struct http **out, struct polarys_error *err)
{
    *out = NULL;
    struct http *http = calloc(1, sizeof(*http));
    if (http == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the admin port");
    }
    http->loop = loop;
    http->config = config;
    int socket_fd;
    enum polarys_code code = socket_listen(address, &socket_fd, &http->port, err);
    if (code == POLARYS_OK) {
        code = daemon_start(http, socket_fd, err);
    }
    if (code != POLARYS_OK) {
        http_close(http);
        return polarys_wrap(err, code, "open the admin port %s", address);
    }
    *out = http;
    return POLARYS_OK;
}

void http_server_set(struct http *http, struct server *server)
{
    http->server = server;
}

uint16_t http_port(const struct http *http)
{
    return http->port;
}

void http_close(struct http *http)
{
    if (http == NULL) {
        return;
    }
    if (http->daemon != NULL) {
        ev_io_stop(http->loop, &http->readable);
        ev_timer_stop(http->loop, &http->timeout);
        MHD_stop_daemon(http->daemon);
    }
    free(http);
}
