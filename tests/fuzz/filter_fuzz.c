/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters and orders from any bytes, judged on a document from any bytes: the input is a filter, a zero byte,
 * an order, a zero byte, a document.
 *
 * What parses prints to a text that parses and prints to itself; its normal form means the same; what does not
 * parse names a position within the text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/document/document.h"
#include "engine/query/evaluate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes the bytes up to the next zero off the input. */
static struct polarys_slice part_take(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *zero = *at < end ? memchr(*at, 0, (size_t)(end - *at)) : NULL;
    const uint8_t *stop = zero == NULL ? end : zero;
    struct polarys_slice part = slice_make(*at, (size_t)(stop - *at));
    *at = zero == NULL ? end : zero + 1;
    return part;
}

static void print(const struct filter_node *node, struct buffer *to)
{
    enum polarys_code code = filter_print(node, to);
    POLARYS_ASSERT(code == POLARYS_OK);
}

static bool judge(const struct filter *filter, const struct order *order,
                  struct polarys_slice document)
{
    struct evaluator *evaluator;
    struct evaluation *evaluation;
    struct buffer key = {0};
    bool is_match = false;
    enum polarys_code code = evaluator_create(filter, order, &evaluator, NULL);
    if (code == POLARYS_BAD_ARGUMENT) {
        return false; /* a path with bytes that are no UTF-8 */
    }
    POLARYS_ASSERT(code == POLARYS_OK);
    code = evaluation_create(evaluator, &evaluation);
    POLARYS_ASSERT(code == POLARYS_OK);
    code = evaluation_run(evaluation, true, document, &is_match);
    POLARYS_ASSERT(code == POLARYS_OK);
    code = evaluation_sort_key(evaluation, &key);
    POLARYS_ASSERT(code == POLARYS_OK);
    buffer_deinit(&key);
    evaluation_destroy(evaluation);
    evaluator_destroy(evaluator);
    return is_match;
}

static void use(struct filter *filter, const struct order *order, struct polarys_slice document)
{
    struct buffer first = {0};
    struct buffer second = {0};
    struct filter *again = NULL;
    struct filter_node *normal = NULL;
    print(filter->root, &first);
    if (filter->root != NULL && first.size <= FILTER_BYTES_MAX &&
        filter_parse(buffer_slice(&first), &again, NULL) == POLARYS_OK) {
        print(again->root, &second);
        POLARYS_ASSERT(slice_equal(buffer_slice(&first), buffer_slice(&second)));
    }
    enum polarys_code code = filter_normalise(filter, &normal);
    POLARYS_ASSERT(code == POLARYS_OK);
    bool is_match = judge(filter, order, document);
    filter->root = normal;
    POLARYS_ASSERT(judge(filter, order, document) == is_match);
    filter_destroy(again);
    buffer_deinit(&first);
    buffer_deinit(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *at = data;
    const uint8_t *end = data + size;
    struct polarys_slice text = part_take(&at, end);
    struct polarys_slice order_text = part_take(&at, end);
    struct polarys_slice document = part_take(&at, end);
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct filter *filter;
    struct order order;
    if (order_parse(order_text, &order, NULL) != POLARYS_OK) {
        order.count = 0;
    }
    if (json_check(document, NULL) != POLARYS_OK) {
        document = slice_from_text("{}");
    }
    enum polarys_code code = filter_parse(text, &filter, &err);
    if (code == POLARYS_OK) {
        use(filter, &order, document);
        filter_destroy(filter);
        return 0;
    }
    POLARYS_ASSERT(code == POLARYS_BAD_FILTER);
    const char *position = polarys_error_detail_find(&err, "position");
    POLARYS_ASSERT(position != NULL && strtoull(position, NULL, 10) <= text.size);
    POLARYS_ASSERT(polarys_error_detail_find(&err, "expected") != NULL);
    return 0;
}
