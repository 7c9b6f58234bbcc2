/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the established connections of one local port from the kernel's socket diagnosis (netlink),
 * and keeps which of them were there before the limit was passed. The invariant: at most
 * `allowed_max` are admitted, and one that is stays so until it closes.
 */
#include "service/admin/connections.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/server/check.h"

enum { NETLINK_BYTES = 32 << 10, STATE_ESTABLISHED = 1 };

struct peer_list {
    uint64_t *digests; /* sorted */
    size_t count;
    size_t room;
};

struct connections {
    uint64_t allowed_max;
    struct peer_list now; /* of the control loop */
    pthread_mutex_t mutex;
    struct peer_list admitted; /* guarded by mutex */
};

enum polarys_code connections_create(uint64_t allowed_max, struct connections **out,
                                     struct polarys_error *err)
{
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to count connections");
    }
    (*out)->allowed_max = allowed_max;
    (void)pthread_mutex_init(&(*out)->mutex, NULL);
    return POLARYS_OK;
}

void connections_destroy(struct connections *connections)
{
    if (connections == NULL) {
        return;
    }
    free(connections->now.digests);
    free(connections->admitted.digests);
    (void)pthread_mutex_destroy(&connections->mutex);
    free(connections);
}

uint64_t connections_peer_digest(const uint8_t *address, uint16_t port)
{
    const uint64_t prime = UINT64_C(0x100000001b3);
    uint64_t digest = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < 16; i++) {
        digest = (digest ^ address[i]) * prime;
    }
    digest = (digest ^ (port & 0xff)) * prime;
    digest = (digest ^ (port >> 8)) * prime;
    return digest;
}

static bool list_add(struct peer_list *list, uint64_t digest)
{
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 256 : list->room * 2;
        uint64_t *digests =
            room > CONNECTIONS_COUNTED_MAX ? NULL : realloc(list->digests, room * sizeof(*digests));
        if (digests == NULL) {
            return false;
        }
        list->digests = digests;
        list->room = room;
    }
    list->digests[list->count++] = digest;
    return true;
}

static int digest_compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static bool list_has(const struct peer_list *list, uint64_t digest)
{
    return list->count > 0 &&
           bsearch(&digest, list->digests, list->count, sizeof(digest), digest_compare) != NULL;
}

/* Of `now`: those admitted before, then others while there is room. REQUIRES: `now` is sorted. */
static void admitted_renew(struct connections *connections)
{
    struct peer_list renewed = {0};
    const struct peer_list *now = &connections->now;
    for (int is_new = 0; is_new < 2; is_new++) {
        for (size_t i = 0; i < now->count && renewed.count < connections->allowed_max; i++) {
            if (list_has(&connections->admitted, now->digests[i]) == (is_new == 0) &&
                !list_add(&renewed, now->digests[i])) {
                break;
            }
        }
    }
    if (renewed.count > 1) {
        qsort(renewed.digests, renewed.count, sizeof(*renewed.digests), digest_compare);
    }
    (void)pthread_mutex_lock(&connections->mutex);
    struct peer_list old = connections->admitted;
    connections->admitted = renewed;
    (void)pthread_mutex_unlock(&connections->mutex);
    free(old.digests);
}

static bool now_take(struct connections *connections)
{
    struct peer_list *now = &connections->now;
    if (now->count > 1) {
        qsort(now->digests, now->count, sizeof(*now->digests), digest_compare);
    }
    admitted_renew(connections);
    return now->count > connections->allowed_max;
}

bool connections_list_take(struct connections *connections, const uint64_t *peers, size_t count)
{
    connections->now.count = 0;
    for (size_t i = 0; i < count; i++) {
        bool is_added = list_add(&connections->now, peers[i]);
        SERVICE_ASSERT(is_added);
    }
    return now_take(connections);
}

static void address_map(const struct inet_diag_msg *message, uint8_t *address)
{
    memset(address, 0, 16);
    if (message->idiag_family == AF_INET) {
        memset(address + 10, 0xff, 2);
        memcpy(address + 12, message->id.idiag_dst, 4);
    } else {
        memcpy(address, message->id.idiag_dst, 16);
    }
}

static bool dump_request(int netlink, int family)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 body;
    } request = {
        .head = {.nlmsg_len = sizeof(request),
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .body = {.sdiag_family = (uint8_t)family,
                 .sdiag_protocol = IPPROTO_TCP,
                 .idiag_states = 1U << STATE_ESTABLISHED},
    };
    return send(netlink, &request, sizeof(request), 0) == (ssize_t)sizeof(request);
}

/* One datagram of the answer. False when it was the last, or not understood (then *is_whole is
 * false). */
static bool dump_part_take(struct peer_list *list, const struct nlmsghdr *head, unsigned size,
                           uint16_t port, bool *is_whole)
{
    for (; NLMSG_OK(head, size); head = NLMSG_NEXT(head, size)) {
        if (head->nlmsg_type == NLMSG_DONE) {
            return false;
        }
        if (head->nlmsg_type == NLMSG_ERROR) {
            *is_whole = false;
            return false;
        }
        const struct inet_diag_msg *message = NLMSG_DATA(head);
        if (ntohs(message->id.idiag_sport) == port) {
            uint8_t address[16];
            address_map(message, address);
            if (!list_add(list, connections_peer_digest(address, ntohs(message->id.idiag_dport)))) {
                *is_whole = false;
                return false;
            }
        }
    }
    return true;
}

static bool dump_read(int netlink, struct peer_list *list, uint16_t port)
{
    static _Thread_local union {
        char bytes[NETLINK_BYTES];
        struct nlmsghdr aligned;
    } buffer;
    bool is_whole = true;
    for (;;) {
        ssize_t size = recv(netlink, buffer.bytes, sizeof(buffer.bytes), 0);
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size <= 0) {
            return false;
        }
        if (!dump_part_take(list, &buffer.aligned, (unsigned)size, port, &is_whole)) {
            return is_whole;
        }
    }
}

bool connections_count(struct connections *connections, uint16_t port, uint64_t *count)
{
    int netlink = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (netlink < 0) {
        return false;
    }
    connections->now.count = 0;
    bool is_whole = dump_request(netlink, AF_INET) && dump_read(netlink, &connections->now, port) &&
                    dump_request(netlink, AF_INET6) && dump_read(netlink, &connections->now, port);
    (void)close(netlink);
    if (!is_whole) {
        return false;
    }
    *count = connections->now.count;
    return now_take(connections);
}

/* "ipv4:1.2.3.4:5" or "ipv6:%5B::1%5D:5" (the brackets may be escaped), as the C core spells
 * peers. */
static bool peer_parse(const char *peer, uint8_t *address, uint16_t *port)
{
    char host[INET6_ADDRSTRLEN + 16];
    const char *colon = strrchr(peer, ':');
    bool is_six = strncmp(peer, "ipv6:", 5) == 0;
    if (colon == NULL || (!is_six && strncmp(peer, "ipv4:", 5) != 0) || colon <= peer + 5) {
        return false;
    }
    const char *start = peer + 5;
    size_t size = (size_t)(colon - start);
    if (is_six && size > 6 && strncasecmp(start, "%5B", 3) == 0) {
        start += 3;
        size -= 6;
    } else if (is_six && size > 2 && start[0] == '[') {
        start += 1;
        size -= 2;
    }
    if (size >= sizeof(host)) {
        return false;
    }
    memcpy(host, start, size);
    host[size] = '\0';
    memset(address, 0, 16);
    memset(address + 10, is_six ? 0 : 0xff, 2);
    *port = (uint16_t)strtoul(colon + 1, NULL, 10);
    return inet_pton(is_six ? AF_INET6 : AF_INET, host, is_six ? address : address + 12) == 1;
}

bool connections_is_admitted(struct connections *connections, const char *peer)
{
    uint8_t address[16];
    uint16_t port;
    if (!peer_parse(peer, address, &port)) {
        return true; /* not TCP: not counted either */
    }
    uint64_t digest = connections_peer_digest(address, port);
    (void)pthread_mutex_lock(&connections->mutex);
    bool is_admitted = list_has(&connections->admitted, digest);
    (void)pthread_mutex_unlock(&connections->mutex);
    return is_admitted;
}
