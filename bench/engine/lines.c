/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real documents: a file of JSON, one document a line, such as `make demo-data` makes of a package index. A
 * document's key is the first string value in it, the name of the package; 100 documents a batch.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/run.h"

enum { LINES_A_BATCH = 100, KEY_BYTES_MAX = 256 };

static struct bench_slice key_of_line(const char *line)
{
    const char *begin = strstr(line, "\": \"");
    size_t skipped = 4;
    if (begin == NULL) {
        begin = strstr(line, "\":\"");
        skipped = 3;
    }
    const char *end = begin == NULL ? NULL : strchr(begin + skipped, '"');
    if (end == NULL || end - begin - (long)skipped < 1 || end - begin > KEY_BYTES_MAX) {
        bench_die("a line without a string to name it by: %.60s", line);
    }
    struct bench_slice key = {begin + skipped, (size_t)(end - begin) - skipped};
    return key;
}

uint64_t step_lines(struct lane *lane, void *worker, uint64_t i)
{
    static FILE *file; /* one lane only: the workload is single */
    char *lines[LINES_A_BATCH];
    struct bench_slice keys[LINES_A_BATCH];
    struct bench_slice values[LINES_A_BATCH];
    size_t count = 0;
    if (i == 0) {
        file = lane->settings->lines_path == NULL ? NULL : fopen(lane->settings->lines_path, "r");
        if (file == NULL) {
            bench_die("--lines FILE is needed, and can't be read: %s", strerror(errno));
        }
    }
    while (count < LINES_A_BATCH) {
        size_t room = 0;
        lines[count] = NULL;
        ssize_t size = getline(&lines[count], &room, file);
        if (size <= 0) {
            free(lines[count]);
            lane->is_at_end = true;
            fclose(file);
            break;
        }
        keys[count] = key_of_line(lines[count]);
        values[count] = (struct bench_slice){lines[count], (size_t)size - 1};
        count++;
    }
    if (count > 0) {
        lane->kind->write(worker, keys, values, count, false);
    }
    for (size_t k = 0; k < count; k++) {
        free(lines[k]);
    }
    return count;
}
