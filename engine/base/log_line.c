/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the form of a log line. The invariant is that a line has exactly one newline, its last
 * byte, and that the JSON form is valid whatever bytes the message has.
 */
#include "engine/base/log_line.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/base/assert.h"

enum {
    LINE_TAIL_SIZE = 4, /* kept free for what closes the line */
    LINE_STEP_MAX = 6,  /* bytes that one character takes at most: \u0000 */
    LINE_TIME_MAX = 32,
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* A line as it grows; text that would pass `end` is left out. */
struct line {
    char *at;
    const char *end;
};

static void line_put(struct line *line, const char *text, size_t size)
{
    if ((size_t)(line->end - line->at) >= size) {
        memcpy(line->at, text, size);
        line->at += size;
    }
}

static void line_put_text(struct line *line, const char *text)
{
    line_put(line, text, strlen(text));
}

/* RFC 3339 in UTC with milliseconds. */
static void line_put_time(struct line *line, uint64_t now_ms)
{
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm parts;
    char text[LINE_TIME_MAX];
    char whole[LINE_TIME_MAX * 2];
    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts) == 0) {
        text[0] = '\0';
    }
    int size = snprintf(whole, sizeof(whole), "%s.%03uZ", text, (unsigned)(now_ms % 1000));
    POLARYS_ASSERT(size > 0 && (size_t)size < sizeof(whole));
    line_put(line, whole, (size_t)size);
}

/* The smallest character that a UTF-8 sequence of this many bytes may stand for. */
static const uint32_t utf8_least[] = {0, 0, 0x80, 0x800, 0x10000};

/* Bytes of the well-formed UTF-8 character that `text` starts with, or 0. A NUL ends every
 * sequence. */
static size_t utf8_size(const char *text)
{
    const uint8_t *bytes = (const uint8_t *)text;
    if (bytes[0] < 0x80) {
        return 1;
    }
    size_t size = bytes[0] >= 0xf0 ? 4 : bytes[0] >= 0xe0 ? 3 : 2;
    if (bytes[0] < 0xc2 || bytes[0] > 0xf4) {
        return 0;
    }
    uint32_t character = bytes[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            return 0;
        }
        character = character << 6 | (bytes[i] & 0x3f);
    }
    bool is_surrogate = character >= 0xd800 && character <= 0xdfff;
    return character < utf8_least[size] || character > 0x10ffff || is_surrogate ? 0 : size;
}

/* One ASCII character inside a JSON string. */
static void line_put_escaped(struct line *line, char character)
{
    char text[LINE_STEP_MAX + 1] = {character, '\0'};
    if (character == '"' || character == '\\') {
        text[0] = '\\';
        text[1] = character;
        text[2] = '\0';
    } else if ((uint8_t)character < 0x20 || character == 0x7f) {
        (void)snprintf(text, sizeof(text), "\\u%04x", (unsigned)(uint8_t)character);
    }
    line_put_text(line, text);
}

static void line_put_json(struct line *line, const char *text)
{
    /* Stop before the first character that may not fit, not after: no later, shorter one may
     * slip in. */
    while (*text != '\0' && line->end - line->at >= LINE_STEP_MAX) {
        size_t size = utf8_size(text);
        if (size == 0) {
            line_put_text(line, "\xef\xbf\xbd");
            text++;
        } else if (size == 1) {
            line_put_escaped(line, *text);
            text++;
        } else {
            line_put(line, text, size);
            text += size;
        }
    }
}

static struct line line_begin(char *text)
{
    struct line line;
    line.at = text;
    line.end = text + LOG_LINE_MAX - LINE_TAIL_SIZE;
    return line;
}

static size_t line_finish(struct line *line, const char *start, const char *tail)
{
    line->end += LINE_TAIL_SIZE;
    line_put_text(line, tail);
    POLARYS_ASSERT(line->at[-1] == '\n');
    return (size_t)(line->at - start);
}

size_t log_line_json(char *line, uint64_t now_ms, enum polarys_log_level level,
                     const char *component, const char *message)
{
    POLARYS_ASSERT(level < POLARYS_LOG_OFF);
    struct line out = line_begin(line);
    line_put_text(&out, "{\"time\":\"");
    line_put_time(&out, now_ms);
    line_put_text(&out, "\",\"level\":\"");
    line_put_text(&out, level_names[level]);
    line_put_text(&out, "\",\"component\":\"");
    /* A component is a module's name; a long one must not eat the room for the message. */
    struct line name = {out.at, out.at + 64};
    line_put_json(&name, component);
    out.at = name.at;
    line_put_text(&out, "\",\"message\":\"");
    line_put_json(&out, message);
    return line_finish(&out, line, "\"}\n");
}

size_t log_line_text(char *line, uint64_t now_ms, enum polarys_log_level level,
                     const char *component, const char *message)
{
    POLARYS_ASSERT(level < POLARYS_LOG_OFF);
    struct line out = line_begin(line);
    line_put_time(&out, now_ms);
    line_put_text(&out, " ");
    line_put_text(&out, level_names[level]);
    line_put_text(&out, " ");
    line_put_text(&out, component);
    line_put_text(&out, ": ");
    for (; *message != '\0'; message++) {
        bool is_control = (uint8_t)*message < 0x20 || *message == 0x7f;
        line_put(&out, is_control ? "?" : message, 1);
    }
    return line_finish(&out, line, "\n");
}
