/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a page of ListObjectsV2, which is XML: the few elements that matter, found by their tags.
 *
 * Invariant: nothing beyond the text is read, and what does not fit its room is refused, never cut.
 */
#include <stdio.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/objects_internal.h"
#include "client/cli/parse.h"

enum { NUMBER_TEXT_MAX = 24 };

/* A part of the text. */
struct span {
    const char *begin;
    const char *end;
};

static const char *text_find(const struct span *in, const char *what)
{
    size_t size = strlen(what);
    if (in->begin == NULL || (size_t)(in->end - in->begin) < size) {
        return NULL;
    }
    return memmem(in->begin, (size_t)(in->end - in->begin), what, size);
}

/* What stands between the first <name> and the </name> behind it. */
static bool element_find(const struct span *in, const char *name, struct span *inside)
{
    char tag[48];
    (void)snprintf(tag, sizeof(tag), "<%s>", name);
    const char *begin = text_find(in, tag);
    if (begin == NULL) {
        return false;
    }
    inside->begin = begin + strlen(tag);
    inside->end = in->end;
    (void)snprintf(tag, sizeof(tag), "</%s>", name);
    inside->end = text_find(inside, tag);
    return inside->end != NULL;
}

/* The character that a reference stands for; *size is how long that is. 0: one that is not known. */
static char reference_take(const struct span *at, size_t *size)
{
    static const struct {
        const char *text;
        char means;
    } references[] = {{"&amp;", '&'},   {"&lt;", '<'},  {"&gt;", '>'},   {"&quot;", '"'},
                      {"&apos;", '\''}, {"&#34;", '"'}, {"&#39;", '\''}, {"&#x27;", '\''}};
    for (size_t i = 0; i < sizeof(references) / sizeof(references[0]); i++) {
        *size = strlen(references[i].text);
        if ((size_t)(at->end - at->begin) >= *size &&
            memcmp(at->begin, references[i].text, *size) == 0) {
            return references[i].means;
        }
    }
    return 0;
}

/* Copies text with its references resolved. False: it does not fit, or makes no sense. */
static bool text_copy(const struct span *from, char *to, size_t room)
{
    size_t used = 0;
    for (struct span at = *from; at.begin < at.end;) {
        size_t size = 1;
        char byte = *at.begin == '&' ? reference_take(&at, &size) : *at.begin;
        if (byte == '\0' || used + 1 >= room) {
            return false;
        }
        to[used++] = byte;
        at.begin += size;
    }
    to[used] = '\0';
    return true;
}

enum polarys_code s3_page_begin(struct s3_page *page, const char *text, size_t size,
                                struct polarys_error *err)
{
    const struct span all = {text, text + size};
    struct span inside;
    char truncated[NUMBER_TEXT_MAX] = "";
    page->empty_count = page->is_truncated && !page->has_objects ? page->empty_count + 1 : 0;
    page->at = text;
    page->end = text + size;
    page->is_truncated = false;
    page->has_objects = false;
    page->token[0] = '\0';
    if (text_find(&all, "<ListBucketResult") == NULL ||
        text_find(&all, "</ListBucketResult>") == NULL ||
        !element_find(&all, "IsTruncated", &inside) ||
        !text_copy(&inside, truncated, sizeof(truncated))) {
        return polarys_fail(err, POLARYS_CORRUPT, "the answer is no list of objects");
    }
    page->is_truncated = strcmp(truncated, "true") == 0;
    if (!page->is_truncated && strcmp(truncated, "false") != 0) {
        return polarys_fail(err, POLARYS_CORRUPT,
                            "a list of objects that does not say whether it goes on");
    }
    if (page->is_truncated && page->empty_count >= S3_EMPTY_PAGES_MAX) {
        return polarys_fail(err, POLARYS_CORRUPT, "a list of objects that does not end");
    }
    if (page->is_truncated &&
        (!element_find(&all, "NextContinuationToken", &inside) ||
         !text_copy(&inside, page->token, sizeof(page->token)) || page->token[0] == '\0')) {
        return polarys_fail(err, POLARYS_CORRUPT,
                            "a list of objects that goes on, and does not say where");
    }
    return POLARYS_OK;
}

enum polarys_code s3_page_next(struct s3_page *page, char *key, size_t key_room, uint64_t *size,
                               bool *has_object, struct polarys_error *err)
{
    const struct span left = {page->at, page->end};
    struct span object;
    struct span inside;
    char number[NUMBER_TEXT_MAX] = "";
    POLARYS_ASSERT(key_room <= sizeof(page->last));
    *has_object = element_find(&left, "Contents", &object);
    if (!*has_object) {
        return text_find(&left, "<Contents>") == NULL
                   ? POLARYS_OK
                   : polarys_fail(err, POLARYS_CORRUPT, "a list of objects is cut off");
    }
    page->at = object.end;
    if (!element_find(&object, "Key", &inside) || !text_copy(&inside, key, key_room)) {
        return polarys_fail(err, POLARYS_CORRUPT, "an object without a name, or with one too long");
    }
    if (page->last[0] != '\0' && strcmp(key, page->last) <= 0) {
        return polarys_fail(err, POLARYS_CORRUPT,
                            "a list of objects that is not in their order: %.150s behind %.150s",
                            key, page->last);
    }
    (void)snprintf(page->last, sizeof(page->last), "%s", key);
    page->has_objects = true;
    if (!element_find(&object, "Size", &inside) || !text_copy(&inside, number, sizeof(number)) ||
        !parse_number(number, size)) {
        return polarys_fail(err, POLARYS_CORRUPT, "object %.200s has no size", key);
    }
    return POLARYS_OK;
}
