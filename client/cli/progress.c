/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bar and the summary. What is shown is computed from numbers alone; the clock is read in one place.
 */
#include "client/cli/progress.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/assert.h"
#include "client/cli/text.h"

enum { DRAW_INTERVAL_MS = 100, BAR_COLUMNS = 24, LINE_MAX = 160 };

uint64_t progress_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void progress_begin(struct progress *progress, struct cli *cli, const char *verb, uint64_t total)
{
    POLARYS_ASSERT(verb != NULL);
    memset(progress, 0, sizeof(*progress));
    progress->to = cli->err;
    progress->verb = verb;
    progress->noun = "documents";
    progress->is_shown = isatty(fileno(cli->err)) != 0;
    progress->started_ms = progress_now_ms();
    progress->drawn_ms = progress->started_ms;
    progress->state.total = total;
}

static void bar_format(char bar[BAR_COLUMNS + 1], double share)
{
    int full = (int)(share * BAR_COLUMNS);

    POLARYS_ASSERT(share >= 0 && share <= 1);
    for (int i = 0; i < BAR_COLUMNS; i++) {
        bar[i] = i < full ? '#' : '.';
    }
    bar[BAR_COLUMNS] = '\0';
}

void progress_line_format(char *to, size_t to_size, const struct progress_state *state,
                          const char *noun)
{
    char bar[BAR_COLUMNS + 1];
    char rate_text[32];

    POLARYS_ASSERT(to_size > 0);
    double seconds = (double)state->elapsed_ms / 1000;
    double rate = seconds > 0 ? (double)state->documents / seconds : 0;

    text_size_format(rate_text, sizeof(rate_text),
                     seconds > 0 ? (double)state->bytes / seconds : 0);
    if (state->total == 0) {
        (void)snprintf(to, to_size, "%llu %s, %.0f/s, %s/s", (unsigned long long)state->documents,
                       noun, rate, rate_text);
        return;
    }
    double share = (double)state->done / (double)state->total;
    share = share > 1 ? 1 : share;
    double left = share > 0 ? seconds * (1 - share) / share : 0;
    uint64_t left_s = (uint64_t)(left + 0.5);
    bar_format(bar, share);
    (void)snprintf(to, to_size, "[%s] %3.0f%%  %llu %s, %.0f/s, %s/s, %llu:%02llu left", bar,
                   share * 100, (unsigned long long)state->documents, noun, rate, rate_text,
                   (unsigned long long)(left_s / 60), (unsigned long long)(left_s % 60));
}

void progress_update(struct progress *progress, uint64_t done, uint64_t documents, uint64_t bytes)
{
    char line[LINE_MAX];
    uint64_t now_ms = progress_now_ms();

    POLARYS_ASSERT(documents >= progress->state.documents);
    progress->state.done = done;
    progress->state.documents = documents;
    progress->state.bytes = bytes;
    progress->state.elapsed_ms = now_ms - progress->started_ms;
    if (!progress->is_shown || now_ms - progress->drawn_ms < DRAW_INTERVAL_MS) {
        return;
    }
    progress->drawn_ms = now_ms;
    progress_line_format(line, sizeof(line), &progress->state, progress->noun);
    (void)fprintf(progress->to, "\r%s\033[K", line);
    (void)fflush(progress->to);
}

void progress_end(struct progress *progress)
{
    if (progress->is_shown) {
        (void)fputs("\r\033[K", progress->to);
        (void)fflush(progress->to);
    }
    progress->state.elapsed_ms = progress_now_ms() - progress->started_ms;
}

void progress_summary_write(struct progress *progress, FILE *to, bool is_json)
{
    const struct progress_state *state = &progress->state;
    char size[32];
    double seconds = (double)state->elapsed_ms / 1000;
    double rate = seconds > 0 ? (double)state->documents / seconds : (double)state->documents;

    if (is_json) {
        (void)fprintf(to, "{\"documents\":%llu,\"bytes\":%llu,\"seconds\":%.3f}\n",
                      (unsigned long long)state->documents, (unsigned long long)state->bytes,
                      seconds);
        return;
    }
    text_size_format(size, sizeof(size), (double)state->bytes);
    (void)fprintf(to, "%s %llu documents, %s, in %.1f s (%.0f documents/s)\n", progress->verb,
                  (unsigned long long)state->documents, size, seconds, rate);
}
