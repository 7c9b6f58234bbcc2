/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks that bytes are one JSON text (RFC 8259) in UTF-8 with no duplicate names, in one pass.
 *
 * Invariant: nothing is allocated for a document of up to NAMES_INLINE member names that are open at
 * once and have no escapes; the work is O(n log n) whatever the text, so nobody can make it slow. It
 * keeps no tree and hands nothing out: what uses the members walks the checked text again.
 */
#include "engine/document/json_internal.h"

#include <stdlib.h>

enum {
    NAMES_INLINE = 64,
    /* Names of one object up to this number are compared one by one as they come; larger objects are
     * sorted when they end. */
    NAMES_COMPARED_MAX = 64,
};

/* A member name of an object that is still open. */
struct open_name {
    uint64_t head;        /* its first eight characters, zero-padded, big-endian */
    const uint8_t *chars; /* in the text; NULL when unescaped into scratch at `scratch_at` */
    size_t scratch_at;
    size_t size;
    size_t position; /* of the opening quote in the text */
};

enum expected { EXPECT_VALUE, EXPECT_NAME, EXPECT_FIRST_NAME, EXPECT_FIRST_ELEMENT, EXPECT_NEXT };

struct checker {
    const uint8_t *begin;
    const uint8_t *at;
    const uint8_t *end;
    struct polarys_error *err;
    size_t depth;
    bool is_object[JSON_DEPTH_MAX];
    size_t names_from[JSON_DEPTH_MAX]; /* index of the first name of that object */
    struct open_name *names;
    size_t name_count;
    size_t name_capacity;
    struct buffer scratch;
    struct open_name names_inline[NAMES_INLINE];
};

static enum polarys_code fail_at(struct checker *checker, const uint8_t *at, const char *why)
{
    size_t offset = (size_t)(at - checker->begin);
    enum polarys_code code =
        polarys_fail(checker->err, POLARYS_BAD_JSON, "not JSON at byte %zu: %s", offset, why);
    polarys_error_detail_set(checker->err, "offset", "%zu", offset);
    return code;
}

static enum polarys_code fail_fault(struct checker *checker, const struct json_fault *fault)
{
    return fail_at(checker, fault->at, fault->why);
}

static enum polarys_code fail_memory(struct checker *checker)
{
    return polarys_fail(checker->err, POLARYS_NO_MEMORY, "no memory to check a document");
}

static uint64_t name_head(const uint8_t *chars, size_t size)
{
    uint64_t head = 0;
    size_t used = size < 8 ? size : 8;
    for (size_t i = 0; i < used; i++) {
        head |= (uint64_t)chars[i] << (56 - 8 * i);
    }
    return head;
}

static const uint8_t *name_chars(const struct checker *checker, const struct open_name *name)
{
    return name->chars != NULL ? name->chars : checker->scratch.data + name->scratch_at;
}

static int name_compare(const struct checker *checker, const struct open_name *a,
                        const struct open_name *b)
{
    if (a->head != b->head) {
        return a->head < b->head ? -1 : 1;
    }
    return slice_compare(slice_make(name_chars(checker, a), a->size),
                         slice_make(name_chars(checker, b), b->size));
}

static enum polarys_code names_grow(struct checker *checker)
{
    size_t capacity = checker->name_capacity * 2;
    struct open_name *names = malloc(capacity * sizeof(*names));
    if (names == NULL) {
        return fail_memory(checker);
    }
    memcpy(names, checker->names, checker->name_count * sizeof(*names));
    if (checker->names != checker->names_inline) {
        free(checker->names);
    }
    checker->names = names;
    checker->name_capacity = capacity;
    return POLARYS_OK;
}

/* The name between the quotes [open + 1, close) joins those of the innermost object. */
static enum polarys_code name_add(struct checker *checker, const uint8_t *open,
                                  const uint8_t *close, bool has_escape)
{
    if (checker->name_count == checker->name_capacity) {
        enum polarys_code code = names_grow(checker);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    struct open_name *name = &checker->names[checker->name_count];
    name->position = (size_t)(open - checker->begin);
    name->chars = open + 1;
    name->size = (size_t)(close - name->chars);
    name->scratch_at = checker->scratch.size;
    if (has_escape) {
        if (json_unescape(slice_make(name->chars, name->size), &checker->scratch) != POLARYS_OK) {
            return fail_memory(checker);
        }
        name->chars = NULL;
        name->size = checker->scratch.size - name->scratch_at;
    }
    name->head = name_head(name_chars(checker, name), name->size);
    size_t from = checker->names_from[checker->depth - 1];
    if (checker->name_count - from < NAMES_COMPARED_MAX) {
        for (size_t i = from; i < checker->name_count; i++) {
            if (checker->names[i].head == name->head &&
                name_compare(checker, &checker->names[i], name) == 0) {
                return fail_at(checker, open, "duplicate name in an object");
            }
        }
    }
    checker->name_count++;
    return POLARYS_OK;
}

static int name_order(const void *a, const void *b, void *context)
{
    const struct open_name *left = a;
    const struct open_name *right = b;
    int order = name_compare(context, left, right);
    return order != 0 ? order
                      : (left->position > right->position) - (left->position < right->position);
}

/* Finds the first duplicate of a large object by sorting its names. */
static enum polarys_code names_check_sorted(struct checker *checker, size_t from)
{
    size_t count = checker->name_count - from;
    struct open_name *names = checker->names + from;
    qsort_r(names, count, sizeof(*names), name_order, checker);
    size_t first = SIZE_MAX;
    for (size_t i = 1; i < count; i++) {
        if (names[i].position < first && name_compare(checker, &names[i - 1], &names[i]) == 0) {
            first = names[i].position;
        }
    }
    return first == SIZE_MAX
               ? POLARYS_OK
               : fail_at(checker, checker->begin + first, "duplicate name in an object");
}

static enum polarys_code container_open(struct checker *checker, bool is_object)
{
    if (checker->depth == JSON_DEPTH_MAX) {
        return fail_at(checker, checker->at, "nested too deeply");
    }
    checker->is_object[checker->depth] = is_object;
    checker->names_from[checker->depth] = checker->name_count;
    checker->depth++;
    checker->at++;
    return POLARYS_OK;
}

static enum polarys_code container_close(struct checker *checker)
{
    POLARYS_ASSERT(checker->depth > 0);
    size_t from = checker->names_from[checker->depth - 1];
    enum polarys_code code = POLARYS_OK;
    if (checker->name_count - from > NAMES_COMPARED_MAX) {
        code = names_check_sorted(checker, from);
    }
    /* Names are a stack, and so are the unescaped ones in scratch; a sorted object may hold them in any
     * order, so scratch is given back only by the outermost. */
    checker->name_count = from;
    checker->depth--;
    if (checker->name_count == 0) {
        buffer_clear(&checker->scratch);
    }
    checker->at++;
    return code;
}

static enum polarys_code check_string(struct checker *checker)
{
    bool has_escape;
    struct json_fault fault;
    const uint8_t *close = json_scan_string(checker->at + 1, checker->end, &has_escape, &fault);
    if (close == NULL) {
        return fail_fault(checker, &fault);
    }
    checker->at = close + 1;
    return POLARYS_OK;
}

static enum polarys_code check_value(struct checker *checker, enum expected *expected)
{
    struct json_fault fault;
    const uint8_t *next;
    *expected = EXPECT_NEXT;
    switch (*checker->at) {
    case '{':
        *expected = EXPECT_FIRST_NAME;
        return container_open(checker, true);
    case '[':
        *expected = EXPECT_FIRST_ELEMENT;
        return container_open(checker, false);
    case '"':
        return check_string(checker);
    case 't':
    case 'f':
    case 'n':
        next = json_scan_word(checker->at, checker->end, &fault);
        break;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        next = json_scan_number(checker->at, checker->end, &fault);
        break;
    default:
        return fail_at(checker, checker->at, "a value is expected");
    }
    if (next == NULL) {
        return fail_fault(checker, &fault);
    }
    checker->at = next;
    return POLARYS_OK;
}

static enum polarys_code check_name(struct checker *checker)
{
    const uint8_t *open = checker->at;
    if (*open != '"') {
        return fail_at(checker, open, "a name in quotes is expected");
    }
    bool has_escape;
    struct json_fault fault;
    const uint8_t *close = json_scan_string(open + 1, checker->end, &has_escape, &fault);
    if (close == NULL) {
        return fail_fault(checker, &fault);
    }
    enum polarys_code code = name_add(checker, open, close, has_escape);
    if (code != POLARYS_OK) {
        return code;
    }
    checker->at = json_skip_space(close + 1, checker->end);
    if (checker->at == checker->end || *checker->at != ':') {
        return fail_at(checker, checker->at, "':' is expected");
    }
    checker->at++;
    return POLARYS_OK;
}

/* A comma or the end of the container. */
static enum polarys_code check_next(struct checker *checker, enum expected *expected)
{
    bool is_object = checker->is_object[checker->depth - 1];
    if (*checker->at == ',') {
        checker->at++;
        *expected = is_object ? EXPECT_NAME : EXPECT_VALUE;
        return POLARYS_OK;
    }
    if (*checker->at == (is_object ? '}' : ']')) {
        return container_close(checker);
    }
    return fail_at(checker, checker->at,
                   is_object ? "',' or '}' is expected" : "',' or ']' is expected");
}

static enum polarys_code check_step(struct checker *checker, enum expected *expected)
{
    uint8_t byte = *checker->at;
    bool is_first = *expected == EXPECT_FIRST_NAME || *expected == EXPECT_FIRST_ELEMENT;
    if (*expected == EXPECT_NEXT || (*expected == EXPECT_FIRST_NAME && byte == '}') ||
        (*expected == EXPECT_FIRST_ELEMENT && byte == ']')) {
        if (is_first) {
            *expected = EXPECT_NEXT;
        }
        return check_next(checker, expected);
    }
    if (*expected == EXPECT_NAME || *expected == EXPECT_FIRST_NAME) {
        *expected = EXPECT_VALUE;
        return check_name(checker);
    }
    return check_value(checker, expected);
}

static enum polarys_code check_text(struct checker *checker)
{
    enum expected expected = EXPECT_VALUE;
    for (;;) {
        checker->at = json_skip_space(checker->at, checker->end);
        if (expected == EXPECT_NEXT && checker->depth == 0) {
            break;
        }
        if (checker->at == checker->end) {
            return fail_at(checker, checker->at, "the text ends too early");
        }
        enum polarys_code code = check_step(checker, &expected);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    if (checker->at != checker->end) {
        return fail_at(checker, checker->at, "bytes follow the value");
    }
    return POLARYS_OK;
}

enum polarys_code json_check(struct polarys_slice text, struct polarys_error *err)
{
    /* Field by field: the inline names are large and need no zeroing. */
    struct checker checker;
    checker.begin = text.data;
    checker.at = text.data;
    checker.end = text.size == 0 ? text.data : text.data + text.size;
    checker.err = err;
    checker.depth = 0;
    checker.names = checker.names_inline;
    checker.name_count = 0;
    checker.name_capacity = NAMES_INLINE;
    checker.scratch = (struct buffer){0};
    enum polarys_code code = check_text(&checker);
    if (checker.names != checker.names_inline) {
        free(checker.names);
    }
    buffer_deinit(&checker.scratch);
    return code;
}
