/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record of the group's members: one entry of system table 5 (docs/formats/catalog.md), always written whole.
 *
 * What is read was authenticated with the log or table that it came from; a record that makes no sense is CORRUPT all the
 * same, since the number of members decides what is called safe.
 */
#include "engine/engine_members.h"

#include <stdlib.h>
#include <string.h>

#include "engine/batch_internal.h"
#include "engine/engine_internal.h"

enum { MEMBERS_FORMAT = 1, MEMBERS_KEY_SIZE = TREE_KEY_PREFIX_SIZE + 1, MEMBERS_KEY = 'm' };

static struct polarys_slice members_key(uint8_t key[MEMBERS_KEY_SIZE])
{
    tree_key_put_prefix(key, SYSTEM_DATABASE_ID, SYSTEM_TABLE_GROUP);
    key[TREE_KEY_PREFIX_SIZE] = MEMBERS_KEY;
    return slice_make(key, MEMBERS_KEY_SIZE);
}

/* ---- the record ---- */

static enum polarys_code members_encode(const struct polarys_members *members, struct buffer *to)
{
    enum polarys_code code = buffer_append_byte(to, MEMBERS_FORMAT);
    if (code == POLARYS_OK) {
        code = buffer_append_varint(to, members->count);
    }
    for (size_t i = 0; i < members->count && code == POLARYS_OK; i++) {
        const struct polarys_member *member = &members->list[i];
        code = buffer_append_byte(to, (uint8_t)member->state);
        if (code == POLARYS_OK) {
            code = buffer_append_sized(to, slice_make(member->name, strlen(member->name)));
        }
        if (code == POLARYS_OK) {
            code = buffer_append_sized(to, slice_make(member->address, strlen(member->address)));
        }
    }
    return code;
}

/* False when it is too long for `to`, or has a NUL in it. */
static bool text_take(struct cursor *from, char *to, size_t room)
{
    struct polarys_slice text;
    if (!cursor_take_sized(from, &text) || text.size >= room ||
        (text.size > 0 && memchr(text.data, '\0', text.size) != NULL)) {
        return false;
    }
    if (text.size > 0) {
        memcpy(to, text.data, text.size);
    }
    to[text.size] = '\0';
    return true;
}

static bool member_take(struct cursor *from, struct polarys_member *member)
{
    *member = (struct polarys_member){.state = POLARYS_MEMBER_SETTLED};
    if (cursor_left(from) == 0 || *from->at > POLARYS_MEMBER_LEAVING) {
        return false;
    }
    member->state = (enum polarys_member_state) * from->at++;
    return text_take(from, member->name, sizeof(member->name)) &&
           text_take(from, member->address, sizeof(member->address)) &&
           polarys_name_is_valid(member->name, strlen(member->name));
}

static bool members_decode(struct polarys_slice value, struct polarys_members *members)
{
    struct cursor from = cursor_make(value);
    uint64_t count;
    if (cursor_left(&from) == 0 || *from.at++ != MEMBERS_FORMAT ||
        !cursor_take_varint(&from, &count) || count > POLARYS_MEMBERS_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!member_take(&from, &members->list[i]) ||
            (i > 0 && strcmp(members->list[i - 1].name, members->list[i].name) >= 0)) {
            return false;
        }
    }
    members->count = (size_t)count;
    return cursor_left(&from) == 0;
}

/* ---- reading and writing ---- */

enum polarys_code polarys_members_get(struct polarys_db *db, struct polarys_members *members,
                                      struct polarys_error *err)
{
    uint8_t key[MEMBERS_KEY_SIZE];
    struct tree_value value = {0};
    *members = (struct polarys_members){.count = 0};
    enum polarys_code code =
        tree_get(db->tree, members_key(key), commit_published_version(db->commit), 0, &value, err);
    if (code == POLARYS_KEY_NOT_FOUND) {
        polarys_error_clear(err);
        return POLARYS_OK;
    }
    if (code == POLARYS_OK && !members_decode(value.bytes, members)) {
        *members = (struct polarys_members){.count = 0};
        code = polarys_fail(err, POLARYS_CORRUPT, "the record of the group's members");
    }
    if (code == POLARYS_OK) {
        members->version = value.version;
    }
    tree_value_release(&value);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "read the members of the group");
}

size_t polarys_members_find(const struct polarys_members *members, const char *name, bool *is_there)
{
    size_t at = 0;
    while (at < members->count && strcmp(members->list[at].name, name) < 0) {
        at++;
    }
    *is_there = at < members->count && strcmp(members->list[at].name, name) == 0;
    return at;
}

static enum polarys_code members_check(const struct polarys_members *members,
                                       struct polarys_error *err)
{
    POLARYS_ASSERT(members->count <= POLARYS_MEMBERS_MAX);
    for (size_t i = 0; i < members->count; i++) {
        const char *name = members->list[i].name;
        if (!polarys_name_is_valid(name, strlen(name))) {
            return polarys_fail(err, POLARYS_BAD_NAME, "`%.100s` is no name of a member", name);
        }
        if (i > 0 && strcmp(members->list[i - 1].name, name) >= 0) {
            return polarys_fail(err, POLARYS_BAD_ARGUMENT, "members are not in order");
        }
    }
    return POLARYS_OK;
}

/* What the record was read as, to be validated by the commit. */
static enum polarys_code members_commit(struct polarys_db *db, struct polarys_members *members,
                                        struct polarys_slice value, struct polarys_error *err)
{
    uint8_t key[MEMBERS_KEY_SIZE];
    struct polarys_slice key_slice = members_key(key);
    struct polarys_members now;
    struct polarys_batch *batch = NULL;
    uint64_t read_version = commit_published_version(db->commit);
    enum polarys_code code = polarys_members_get(db, &now, err);
    if (code == POLARYS_OK && now.version != members->version) {
        code = polarys_fail(err, POLARYS_TXN_CONFLICT, "the members have changed meanwhile");
    }
    if (code == POLARYS_OK) {
        code = polarys_batch_create(db, NULL, &batch, err);
    }
    if (code == POLARYS_OK) {
        code = batch_add_system(batch, ENTRY_PUT, key_slice, value, err);
    }
    if (code == POLARYS_OK) {
        code = batch_add_read_key(batch, key_slice, err);
    }
    if (code == POLARYS_OK) {
        code = batch_commit_system(batch, read_version, err);
        if (code == POLARYS_TXN_CONFLICT) {
            (void)polarys_fail(err, code, "the members have changed meanwhile");
        }
    }
    if (code == POLARYS_OK) {
        members->version = batch->request.version;
    }
    polarys_batch_destroy(batch);
    return code;
}

enum polarys_code polarys_members_put(struct polarys_db *db, struct polarys_members *members,
                                      struct polarys_error *err)
{
    struct buffer value = {0};
    enum polarys_code code = members_check(members, err);
    if (code == POLARYS_OK) {
        code = members_encode(members, &value);
        if (code != POLARYS_OK) {
            (void)polarys_fail(err, code, "no memory for a record");
        }
    }
    if (code == POLARYS_OK) {
        code = members_commit(db, members, buffer_slice(&value), err);
    }
    buffer_deinit(&value);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "write the members of the group");
}

enum polarys_code polarys_members_clear(struct polarys_db *db, struct polarys_error *err)
{
    struct polarys_members *members = malloc(sizeof(*members));
    if (members == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the members of the group");
    }
    enum polarys_code code = polarys_members_get(db, members, err);
    if (code == POLARYS_OK && members->count > 0) {
        members->count = 0;
        code = polarys_members_put(db, members, err);
    }
    free(members);
    return code;
}
