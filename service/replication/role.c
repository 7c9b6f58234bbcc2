/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and writes the file of a node's role: a line for each member, and a checksum in the last one, so
 * that a file that was cut or edited by mistake is not believed.
 */
#include "service/replication/role.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/server/check.h"

#define ROLE_FIRST_LINE "polarysdb-role 1\n"
#define SUM_START UINT64_C(0xcbf29ce484222325)
#define SUM_FACTOR UINT64_C(0x100000001b3)

static const char *const kind_names[] = {"none", "follower", "primary", "fenced"};
static const char *const step_names[] = {"following", "set-aside", "fetching", "installing"};

/* FNV-1a of 64 bits. */
static uint64_t text_sum(const char *text, size_t size)
{
    uint64_t sum = SUM_START;
    for (size_t i = 0; i < size; i++) {
        sum = (sum ^ (uint8_t)text[i]) * SUM_FACTOR;
    }
    return sum;
}

/* The rest of the line that begins with `name` and a blank, copied to `value`; false if there is none or
 * it is too long. */
static bool line_find(const char *text, const char *name, char *value, size_t value_size)
{
    size_t name_size = strlen(name);
    const char *line = text;
    while (line != NULL && (strncmp(line, name, name_size) != 0 || line[name_size] != ' ')) {
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    if (line == NULL) {
        return false;
    }
    line += name_size + 1;
    size_t size = strcspn(line, "\n");
    if (size >= value_size) {
        return false;
    }
    memcpy(value, line, size);
    value[size] = '\0';
    return true;
}

static int name_find(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool sum_matches(const char *text, size_t size)
{
    static const char line[] = "\nsum ";
    const char *at = strstr(text, line);
    char expected[32];
    if (at == NULL) {
        return false;
    }
    size_t covered = (size_t)(at - text) + 1;
    (void)snprintf(expected, sizeof(expected), "sum %016" PRIx64 "\n", text_sum(text, covered));
    return size == covered + strlen(expected) && strcmp(text + covered, expected) == 0;
}

static bool role_parse(const char *text, size_t size, struct role *role)
{
    char kind[16];
    char step[16];
    char term[24];
    if (strlen(text) != size || strncmp(text, ROLE_FIRST_LINE, strlen(ROLE_FIRST_LINE)) != 0 ||
        !sum_matches(text, size) || !line_find(text, "role", kind, sizeof(kind)) ||
        !line_find(text, "step", step, sizeof(step)) ||
        !line_find(text, "term", term, sizeof(term)) ||
        !line_find(text, "follows", role->follows, sizeof(role->follows)) ||
        !line_find(text, "aside", role->aside, sizeof(role->aside))) {
        return false;
    }
    int kind_at = name_find(kind_names, sizeof(kind_names) / sizeof(kind_names[0]), kind);
    int step_at = name_find(step_names, sizeof(step_names) / sizeof(step_names[0]), step);
    role->term = strtoull(term, NULL, 10);
    if (kind_at <= (int)ROLE_NONE || step_at < 0 || strchr(role->aside, '/') != NULL) {
        return false;
    }
    if (step_at == (int)ROLE_SET_ASIDE &&
        strncmp(role->aside, ROLE_ASIDE_PREFIX, strlen(ROLE_ASIDE_PREFIX)) != 0) {
        return false;
    }
    /* A line that is there only when it has been told. */
    role->is_told = line_find(text, "configured", role->configured, sizeof(role->configured));
    role->kind = (enum role_kind)kind_at;
    role->step = (enum role_step)step_at;
    return true;
}

enum polarys_code role_read(const char *dir, struct role *role, struct polarys_error *err)
{
    char path[FILES_PATH_MAX];
    char *text = NULL;
    size_t size = 0;
    *role = (struct role){.kind = ROLE_NONE};
    enum polarys_code code = files_join(path, dir, ROLE_FILE, err);
    if (code == POLARYS_OK) {
        code = files_read(path, &text, &size, err);
    }
    if (code == POLARYS_FILE_NOT_FOUND) {
        polarys_error_clear(err);
        return POLARYS_OK;
    }
    if (code == POLARYS_OK && !role_parse(text, size, role)) {
        *role = (struct role){.kind = ROLE_NONE};
        code = polarys_fail(err, POLARYS_CORRUPT,
                            "%s is damaged: it says whether this node follows another, so look at "
                            "docs/formats/role.md before you write it anew",
                            path);
    }
    free(text);
    return code;
}

const char *role_follows(const struct role *role, const char *setting)
{
    bool is_told = role->kind == ROLE_FOLLOWER && role->is_told;
    return is_told && strcmp(role->configured, setting) == 0 ? role->follows : setting;
}

enum polarys_code role_write(const char *dir, const struct role *role, struct polarys_error *err)
{
    char text[ROLE_BYTES_MAX];
    SERVICE_ASSERT(role->kind != ROLE_NONE);
    int size = snprintf(
        text, sizeof(text),
        ROLE_FIRST_LINE "role %s\nstep %s\nfollows %s\nterm %" PRIu64 "\naside %s\n",
        kind_names[role->kind], step_names[role->step], role->follows, role->term, role->aside);
    SERVICE_ASSERT(size > 0 && (size_t)size + CONFIG_TEXT_MAX + 64 < sizeof(text));
    if (role->kind == ROLE_FOLLOWER && role->is_told) {
        size +=
            snprintf(text + size, sizeof(text) - (size_t)size, "configured %s\n", role->configured);
    }
    size += snprintf(text + size, sizeof(text) - (size_t)size, "sum %016" PRIx64 "\n",
                     text_sum(text, (size_t)size));
    enum polarys_code code = files_replace(dir, ROLE_FILE, slice_make(text, (size_t)size), err);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "write the role of this node");
}
