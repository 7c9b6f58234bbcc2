/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every option of every command, once.
 */
#include "client/cli/command.h"

const struct option_spec option_specs[OPTION_COUNT] = {
    [OPTION_ENDPOINT] = {"endpoint", "HOST:PORT",
                         "the server; 127.0.0.1:7480, or POLARYS_ENDPOINT of the environment",
                         NULL},
    [OPTION_ADMIN_ENDPOINT] = {"admin-endpoint", "HOST:PORT",
                               "the server's admin port; 127.0.0.1:7481, or POLARYS_ADMIN_ENDPOINT",
                               NULL},
    [OPTION_PLAINTEXT] = {"plaintext", NULL, "talk without TLS to a server that is not on loopback",
                          NULL},
    [OPTION_DATABASE] = {"database", "NAME", "the database; default, or POLARYS_DATABASE", NULL},
    [OPTION_OUTPUT] = {"output", "table|json|raw",
                       "also -o: columns, one JSON object a line, or stored bytes unchanged",
                       "table json raw"},
    [OPTION_TIMEOUT] = {"timeout", "DURATION", "of each call, such as 500ms, 10s, 5m", NULL},
    [OPTION_CONSISTENCY] = {"consistency", "LEVEL",
                            "of reads: strong, stable, local, at-least=TOKEN, version=N or "
                            "max-staleness=DURATION",
                            "strong stable local at-least= version= max-staleness="},
    [OPTION_HELP] = {"help", NULL, "also -h: tell what there is, or how a command is used", NULL},
    [OPTION_VERSION] = {"version", NULL, "print the version of this program", NULL},

    [OPTION_RAW] = {"raw", NULL, "the value is bytes; it is JSON otherwise", NULL},
    [OPTION_EXPIRES_IN] = {"expires-in", "DURATION", "when the document expires, from now", NULL},
    [OPTION_DURABILITY] = {"durability", "LEVEL",
                           "async, local-sync (default), quorum or quorum-applied",
                           "async local-sync quorum quorum-applied"},
    [OPTION_IF_VERSION] = {"if-version", "N", "only if the document has this version", NULL},
    [OPTION_IF_ABSENT] = {"if-absent", NULL, "only if there is no such document", NULL},
    [OPTION_IF_PRESENT] = {"if-present", NULL, "only if there is such a document", NULL},
    [OPTION_REQUEST_ID] = {"request-id", "HEX",
                           "32 digits; the same id again gets the first answer again", NULL},

    [OPTION_PREFIX] = {"prefix", "TEXT", "keys that begin so", NULL},
    [OPTION_FROM] = {"from", "KEY", "this key and those after it", NULL},
    [OPTION_TO] = {"to", "KEY", "keys before this one", NULL},
    [OPTION_REVERSE] = {"reverse", NULL, "from the last key to the first", NULL},
    [OPTION_LIMIT] = {"limit", "N", "at most so many documents", NULL},
    [OPTION_KEYS_ONLY] = {"keys-only", NULL, "leave the values out", NULL},
    [OPTION_ALL] = {"all", NULL, "every document of the table", NULL},

    [OPTION_KEY_FIELD] = {"key-field", "NAME",
                          "each line is the document, and this member of it is the key", NULL},
    [OPTION_RETRY_FOR] = {"retry-for", "DURATION",
                          "how long to try again when the server goes away: 10s", NULL},
    [OPTION_GRACE] = {"grace", "DURATION", "how long calls are still taken", NULL},

    [OPTION_CLIENTS] = {"clients", "N", "connections: 4", NULL},
    [OPTION_IN_FLIGHT] = {"in-flight", "N", "calls under way on each connection: 16", NULL},
    [OPTION_SECONDS] = {"seconds", "N", "how long to measure: 10", NULL},
    [OPTION_VALUE_SIZE] = {"value-size", "BYTES", "of a document: 256", NULL},
    [OPTION_KEY_COUNT] = {"keys", "N", "different keys: 100000", NULL},
    [OPTION_RATE] =
        {"rate", "N",
         "start so many calls a second, however slow the answers; times count from when "
         "a call should have started",
         NULL},
    [OPTION_TABLE] = {"table", "NAME", "the table to work on: bench", NULL},
    [OPTION_KEEP] = {"keep", NULL, "leave a table that was made for this", NULL},

    [OPTION_MASTER_KEY_FILE] = {"master-key-file", "FILE",
                                "the store's master key; without, only what is not encrypted",
                                NULL},
    [OPTION_WITH_KEYS] = {"keys", NULL, "show the keys of the operations", NULL},

    [OPTION_ORDER_BY] = {"order-by", "FIELD[,FIELD]...",
                         "in this order; 'age desc,name' begins with the highest age", NULL},
    [OPTION_FIELDS] = {"fields", "FIELD[,FIELD]...", "only these members of each document", NULL},
    [OPTION_CURSOR] = {"cursor", "HEX",
                       "go on where a query with --limit ended, within a minute; '' begins. The "
                       "next one is told on standard error",
                       NULL},
    [OPTION_EXPLAIN] = {"explain", NULL, "tell how the query would be done", NULL},
    [OPTION_ANALYZE] = {"analyze", NULL, "do the query and tell how it went", NULL},
    [OPTION_FROM_VERSION] = {"from-version", "VERSION",
                             "changes after this version, not from now on only", NULL},
    [OPTION_SNAPSHOT] = {"snapshot", NULL, "first every document that there is", NULL},
    [OPTION_FILTER] = {"filter", "FILTER", "only documents that are like this besides", NULL},
    [OPTION_OFFSET] = {"offset", "N", "leave out so many of the best", NULL},
    [OPTION_HIGHLIGHTS] = {"highlights", NULL, "show the text around what was found", NULL},

    [OPTION_KIND] = {"kind", "KIND", "ordered (default), hash or text", "ordered hash text"},
    [OPTION_UNIQUE] = {"unique", NULL, "refuse two documents with the same in these fields", NULL},
    [OPTION_NAME] = {"name", "NAME", "its name; made from the fields and the kind otherwise", NULL},
    [OPTION_LANGUAGE] = {"language", "NAME", "of a text index: english (default), none, ...",
                         "english german french spanish italian portuguese dutch swedish none"},
    [OPTION_WAIT] = {"wait", NULL, "until the index is ready; at most --timeout, or an hour", NULL},

    [OPTION_ISOLATION] = {"isolation", "LEVEL", "snapshot (default), read-committed, serializable",
                          "snapshot read-committed serializable"},
    [OPTION_MODE] = {"mode", "MODE", "optimistic (default), or pessimistic: locks first",
                     "optimistic pessimistic"},
    [OPTION_READ_ONLY] = {"read-only", NULL, "refuse writes", NULL},
    [OPTION_IDLE_TIMEOUT] = {"idle-timeout", "DURATION",
                             "between two statements: 60s; in the shell 5m", NULL},
    [OPTION_TXN_TIMEOUT] = {"txn-timeout", "DURATION",
                            "of the whole transaction: 5m; in the shell 30m", NULL},
    [OPTION_FOR_UPDATE] = {"for-update", NULL, "within a transaction: it will be written", NULL},
};
