/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the own gRPC listener whether it still accepts. HTTP/2 servers speak first (SETTINGS), so
 * one byte is proof that the connection did not just lie in the backlog.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/admin/http.h"

static bool wait_for(int socket_fd, short events)
{
    struct pollfd wanted = {.fd = socket_fd, .events = events};
    return poll(&wanted, 1, HTTP_PROBE_MS) == 1 && (wanted.revents & events) != 0;
}

static bool address_probe(const struct addrinfo *address)
{
    int socket_fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (socket_fd < 0) {
        return false;
    }
    bool is_alive = connect(socket_fd, address->ai_addr, address->ai_addrlen) == 0;
    if (!is_alive && errno == EINPROGRESS && wait_for(socket_fd, POLLOUT)) {
        int error = 0;
        socklen_t size = sizeof(error);
        is_alive = getsockopt(socket_fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
    }
    if (is_alive) {
        char byte;
        is_alive = wait_for(socket_fd, POLLIN) && recv(socket_fd, &byte, 1, 0) == 1;
    }
    (void)close(socket_fd);
    return is_alive;
}

/* Where to reach a listener of its own: a wildcard is reached on loopback. */
static const char *reachable(const char *host)
{
    if (host[0] == '\0' || strcmp(host, "0.0.0.0") == 0) {
        return "127.0.0.1";
    }
    return strcmp(host, "::") == 0 ? "::1" : host;
}

bool http_listener_probe(const char *host, uint16_t port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char service[8];
    (void)snprintf(service, sizeof(service), "%u", port);
    if (getaddrinfo(reachable(host), service, &hints, &list) != 0) {
        return false;
    }
    bool is_alive = false;
    for (const struct addrinfo *address = list; address != NULL && !is_alive;
         address = address->ai_next) {
        is_alive = address_probe(address);
    }
    freeaddrinfo(list);
    return is_alive;
}
