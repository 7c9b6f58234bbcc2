/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.0: the server answers and closes, so the body ends with the connection and is never chunked.
 */
#include "client/cli/http.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "client/assert.h"

enum { HOST_MAX = 256 };

/* Splits HOST:PORT or [HOST]:PORT. */
static bool endpoint_split(const char *endpoint, char host[HOST_MAX], const char **port)
{
    POLARYS_ASSERT(endpoint != NULL && port != NULL);
    const char *colon = strrchr(endpoint, ':');
    if (colon == NULL || colon == endpoint || colon[1] == '\0') {
        return false;
    }
    size_t size = (size_t)(colon - endpoint);
    if (endpoint[0] == '[' && size > 2 && endpoint[size - 1] == ']') {
        endpoint++;
        size -= 2;
    }
    if (size >= HOST_MAX) {
        return false;
    }
    memcpy(host, endpoint, size);
    host[size] = '\0';
    *port = colon + 1;
    return true;
}

/* The first address that takes the connection; -1 with errno. */
static int addresses_connect(const struct addrinfo *addresses, uint32_t timeout_ms)
{
    struct timeval limit = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000};
    int number = ECONNREFUSED;

    POLARYS_ASSERT(timeout_ms > 0);
    for (; addresses != NULL; addresses = addresses->ai_next) {
        int fd = socket(addresses->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            number = errno;
            continue;
        }
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        if (connect(fd, addresses->ai_addr, addresses->ai_addrlen) == 0) {
            return fd;
        }
        number = errno;
        (void)close(fd);
    }
    errno = number;
    return -1;
}

static bool request_send(int fd, const char *text, size_t size)
{
    POLARYS_ASSERT(fd >= 0);
    while (size > 0) {
        ssize_t sent = send(fd, text, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            return false;
        }
        text += sent;
        size -= (size_t)sent;
    }
    return true;
}

/* Reads to the end of the connection. False with errno. */
static bool response_read(int fd, struct http_response *response)
{
    size_t capacity = 0;

    POLARYS_ASSERT(fd >= 0);
    for (;;) {
        if (response->size + 1 >= capacity) {
            capacity = capacity == 0 ? 64 << 10 : capacity * 2;
            char *grown =
                capacity > HTTP_RESPONSE_BYTES_MAX ? NULL : realloc(response->bytes, capacity);
            if (grown == NULL) {
                errno = ENOMEM;
                return false;
            }
            response->bytes = grown;
        }
        ssize_t got = recv(fd, response->bytes + response->size, capacity - response->size - 1, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            response->bytes[response->size] = '\0';
            return got == 0;
        }
        response->size += (size_t)got;
    }
}

bool http_response_parse(struct http_response *response)
{
    const char *bytes = response->bytes;
    const char *end = memmem(bytes, response->size, "\r\n\r\n", 4);

    if (end == NULL || response->size < 12 || memcmp(bytes, "HTTP/1.", 7) != 0 || bytes[8] != ' ') {
        return false;
    }
    response->status = 0;
    for (int i = 9; i < 12; i++) {
        if (bytes[i] < '0' || bytes[i] > '9') {
            return false;
        }
        response->status = response->status * 10 + (bytes[i] - '0');
    }
    response->body = end + 4;
    response->body_size = response->size - (size_t)(response->body - bytes);
    return true;
}

static enum cli_status exchange(struct cli *cli, int fd, const char *request,
                                struct http_response *response)
{
    if (!request_send(fd, request, strlen(request)) || !response_read(fd, response)) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return cli_fail(cli, "DEADLINE_EXCEEDED", "the admin port did not answer in time");
        }
        return cli_fail_errno(cli, "admin port");
    }
    if (!http_response_parse(response)) {
        return cli_fail(cli, "INTERNAL", "the admin port's answer is not HTTP");
    }
    return CLI_DONE;
}

enum cli_status http_get(struct cli *cli, const char *endpoint, const char *path,
                         struct http_response *response)
{
    char host[HOST_MAX];
    char request[HOST_MAX * 2];
    const char *port;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses = NULL;
    uint32_t timeout_ms =
        cli->settings.has_timeout ? cli->settings.timeout_ms : CLI_TIMEOUT_DEFAULT_MS;

    memset(response, 0, sizeof(*response));
    if (!endpoint_split(endpoint, host, &port)) {
        return cli_usage(cli, "the admin endpoint is '%s', not HOST:PORT", endpoint);
    }
    int failure = getaddrinfo(host, port, &hints, &addresses);
    if (failure != 0) {
        return cli_fail(cli, "UNAVAILABLE", "%s: %s", endpoint, gai_strerror(failure));
    }
    int fd = addresses_connect(addresses, timeout_ms);
    freeaddrinfo(addresses);
    if (fd < 0) {
        return cli_fail(cli, "UNAVAILABLE", "%s: %s", endpoint,
                        strerror_r(errno, request, sizeof(request)));
    }
    (void)snprintf(request, sizeof(request),
                   "GET %.100s HTTP/1.0\r\nHost: %s\r\nAccept: text/plain\r\n\r\n", path, host);
    enum cli_status status = exchange(cli, fd, request, response);
    (void)close(fd);
    if (status != CLI_DONE) {
        free(response->bytes);
        response->bytes = NULL;
    }
    return status;
}
