/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of methods: for each its path, how it runs, which action it is for authorization, and
 * where the fields lie that all requests share. The dispatcher does with these what every method
 * would have to do: names, consistency, durability, request ids, authorization. So no handler can
 * forget it.
 */
#ifndef SERVICE_RPC_METHOD_H
#define SERVICE_RPC_METHOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "service/auth/authorize.h"

#ifdef __cplusplus
extern "C" {
#endif

struct call;

enum method_kind {
    METHOD_UNARY,    /* handled on the worker: must not block */
    METHOD_BLOCKING, /* unary, handled on the executor */
    METHOD_STREAM,   /* one request, many answers; handled on the worker */
    METHOD_BIDI,     /* many requests; handled on the worker, authorizes by itself */
};

enum method_flag {
    METHOD_TABLE_OPTIONAL = 1 << 0,    /* an empty table is no error */
    METHOD_DATABASE_REQUIRED = 1 << 1, /* an empty database is BAD_NAME */
    METHOD_WHILE_DRAINING = 1 << 2,    /* served when others are refused */
    METHOD_WATCH_CLOSE = 1 << 3,       /* unary, but learns of the client giving up */
    METHOD_HOT = 1 << 4,               /* many calls are kept requested */
    METHOD_TXN_ITSELF = 1 << 5,        /* ends or describes the transaction rather than uses it */
    METHOD_CLOSE_LATER = 1 << 6,       /* a stream that asks for the client's giving up by itself */
};

/* Offsets in the request; 0: it has no such field (the base stands there). */
struct method_fields {
    uint16_t database;
    uint16_t table;
    uint16_t key;
    uint16_t consistency;
    uint16_t transaction;
    uint16_t durability;
    uint16_t request_id;
};

struct method {
    const char *path; /* "/polarys.v1.KvService/Get" */
    enum method_kind kind;
    enum authorize_action action;
    unsigned flags;
    const ProtobufCMessageDescriptor *request; /* NULL on METHOD_BIDI */
    void (*handle)(struct call *call);
    struct method_fields fields;
};

enum { METHOD_COUNT_MAX = 96 };

/* Static storage. */
const struct method *method_table(size_t *count);

#ifdef __cplusplus
}
#endif

#endif
