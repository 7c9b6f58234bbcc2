/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members of a group: the nodes whose copies of this store count for a quorum, the primary among them, by name. They
 * are a record of the log, so every node that has the log knows them.
 *
 * A change of the list is one node at a time: it is JOINING or LEAVING until a quorum of the list as it was has the
 * change, and then settled by another write. The store keeps what it is told; who counts is the caller's business
 * (docs/replication.md).
 */
#ifndef ENGINE_ENGINE_MEMBERS_H
#define ENGINE_ENGINE_MEMBERS_H

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    POLARYS_MEMBERS_MAX = 32,
    POLARYS_MEMBER_ADDRESS_MAX = 512, /* bytes of an address, with NUL */
};

enum polarys_member_state {
    POLARYS_MEMBER_SETTLED = 0,
    POLARYS_MEMBER_JOINING = 1, /* not of the list as it was */
    POLARYS_MEMBER_LEAVING = 2, /* not of the list as it will be */
};

struct polarys_member {
    char name[POLARYS_NAME_BYTES_MAX + 1];
    char address[POLARYS_MEMBER_ADDRESS_MAX]; /* HOST:PORT; "" when it was not told */
    enum polarys_member_state state;
};

/* In the order of their names. Empty: no node ever joined, the primary is alone. */
struct polarys_members {
    size_t count;
    struct polarys_member list[POLARYS_MEMBERS_MAX];
    uint64_t version; /* of the record; 0: there is none */
};

/* As of the newest version that can be read here. May read a file. Errors: CORRUPT, those of reads. */
POLARYS_API NODISCARD enum polarys_code polarys_members_get(struct polarys_db *db,
                                                            struct polarys_members *members,
                                                            struct polarys_error *err);
/* Writes the list durably if the record is still that of members->version, and sets that to the new one. May block.
 * Errors: TXN_CONFLICT (it is not), BAD_NAME, BAD_ARGUMENT (names out of order, or an address that is none), NOT_PRIMARY,
 * NO_MEMORY, those of commits. */
POLARYS_API NODISCARD enum polarys_code polarys_members_put(struct polarys_db *db,
                                                            struct polarys_members *members,
                                                            struct polarys_error *err);

/* Forgets them all: for a restored store, which is of no group. Writes nothing where there are none. Errors: those of the two
 * above. */
POLARYS_API NODISCARD enum polarys_code polarys_members_clear(struct polarys_db *db,
                                                              struct polarys_error *err);

/* The place of the node, or where it would be inserted; *is_there says which. */
POLARYS_API size_t polarys_members_find(const struct polarys_members *members, const char *name,
                                        bool *is_there);

#ifdef __cplusplus
}
#endif

#endif
