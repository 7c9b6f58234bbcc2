/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A progress bar on standard error, where that is a terminal, and the summary at the end.
 */
#ifndef CLIENT_CLI_PROGRESS_H
#define CLIENT_CLI_PROGRESS_H

#include "client/cli/cli.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How far it is; `documents` counts whatever it is. `total` is in the unit of `done`; 0: not known. */
struct progress_state {
    uint64_t done;
    uint64_t total;
    uint64_t documents;
    uint64_t bytes;
    uint64_t elapsed_ms;
};

struct progress {
    FILE *to;
    const char *noun; /* what is counted */
    const char *verb; /* "imported" */
    bool is_shown;
    uint64_t started_ms;
    uint64_t drawn_ms;
    struct progress_state state;
};

void progress_begin(struct progress *progress, struct cli *cli, const char *verb, uint64_t total);
/* Draws, but not more often than people can read. */
void progress_update(struct progress *progress, uint64_t done, uint64_t documents, uint64_t bytes);
/* Wipes the bar away. */
void progress_end(struct progress *progress);
/* Writes how it went, `{"documents":…}` or "imported 10 documents, …", to `to`. */
void progress_summary_write(struct progress *progress, FILE *to, bool is_json);

/* The bar as a line of text, without its line break. */
void progress_line_format(char *to, size_t to_size, const struct progress_state *state,
                          const char *noun);
uint64_t progress_now_ms(void);

#ifdef __cplusplus
}
#endif

#endif
