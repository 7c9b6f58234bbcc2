/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter of one watch: parsed once, evaluated by the thread that takes the events.
 */
#include <stdlib.h>

#include "engine/query/evaluate.h"
#include "engine/watch_internal.h"

struct watch_filter {
    struct filter *parsed;
    struct evaluator *evaluator;
    struct evaluation *evaluation;
};

enum polarys_code watch_filter_make(struct polarys_slice text, struct watch_filter **out,
                                    struct polarys_error *err)
{
    *out = NULL;
    struct watch_filter *filter = calloc(1, sizeof(*filter));
    if (filter == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the filter of a watch");
    }
    enum polarys_code code = filter_parse(text, &filter->parsed, err);
    if (code == POLARYS_OK) {
        code = evaluator_create(filter->parsed, NULL, &filter->evaluator, err);
    }
    if (code == POLARYS_OK) {
        code = evaluation_create(filter->evaluator, &filter->evaluation);
        if (code != POLARYS_OK) {
            code = polarys_fail(err, code, "no memory for the filter of a watch");
        }
    }
    if (code != POLARYS_OK) {
        watch_filter_destroy(filter);
        return code;
    }
    *out = filter;
    return POLARYS_OK;
}

void watch_filter_destroy(struct watch_filter *filter)
{
    if (filter == NULL) {
        return;
    }
    evaluation_destroy(filter->evaluation);
    evaluator_destroy(filter->evaluator);
    filter_destroy(filter->parsed);
    free(filter);
}

enum polarys_code watch_filter_matches(struct watch_filter *filter, bool is_json,
                                       struct polarys_slice document, bool *matches,
                                       struct polarys_error *err)
{
    enum polarys_code code = evaluation_run(filter->evaluation, is_json, document, matches);
    return code == POLARYS_OK
               ? code
               : polarys_fail(err, code, "look at a document of %zu bytes", document.size);
}
