/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encodings of bytes as text. Nothing here allocates.
 */
#include "client/cli/text.h"

#include <string.h>
#include <time.h>

#include "client/assert.h"

size_t text_utf8_length(const uint8_t *at, size_t size)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    POLARYS_ASSERT(at != NULL && size > 0);
    size_t length = 0;
    uint32_t value = at[0];

    if (value < 0x80) {
        return 1;
    }
    if (value >= 0xc2 && value < 0xe0) {
        length = 2;
        value &= 0x1f;
    } else if (value >= 0xe0 && value < 0xf0) {
        length = 3;
        value &= 0x0f;
    } else if (value >= 0xf0 && value < 0xf5) {
        length = 4;
        value &= 0x07;
    }
    if (length == 0 || length > size) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
        value = value << 6 | (at[i] & 0x3f);
    }
    bool is_surrogate = value >= 0xd800 && value < 0xe000;
    return value < smallest[length] || value > 0x10ffff || is_surrogate ? 0 : length;
}

bool text_is_utf8(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < size;) {
        size_t length = text_utf8_length(at + i, size - i);
        if (length == 0) {
            return false;
        }
        i += length;
    }
    return true;
}

static void json_character_write(FILE *to, const uint8_t *at, size_t length)
{
    POLARYS_ASSERT(length > 0);
    switch (at[0]) {
    case '"':
        (void)fputs("\\\"", to);
        break;
    case '\\':
        (void)fputs("\\\\", to);
        break;
    case '\n':
        (void)fputs("\\n", to);
        break;
    case '\r':
        (void)fputs("\\r", to);
        break;
    case '\t':
        (void)fputs("\\t", to);
        break;
    default:
        if (at[0] < 0x20 || at[0] == 0x7f) {
            (void)fprintf(to, "\\u%04x", at[0]);
        } else {
            (void)fwrite(at, 1, length, to);
        }
    }
}

void text_json_string_write(FILE *to, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    (void)putc('"', to);
    for (size_t i = 0; i < size;) {
        size_t length = text_utf8_length(at + i, size - i);
        if (length == 0) {
            (void)fputs("\xef\xbf\xbd", to);
            i++;
        } else {
            json_character_write(to, at + i, length);
            i += length;
        }
    }
    (void)putc('"', to);
}

void text_json_line_write(FILE *to, const void *json, size_t size)
{
    const char *at = json;
    bool is_in_string = false;

    if (size == 0 || (memchr(at, '\n', size) == NULL && memchr(at, '\r', size) == NULL)) {
        (void)fwrite(at, 1, size, to);
        return;
    }
    for (size_t i = 0; i < size; i++) {
        char c = at[i];
        if (is_in_string && c == '\\' && i + 1 < size) {
            (void)putc(c, to);
            c = at[++i];
        } else if (c == '"') {
            is_in_string = !is_in_string;
        } else if (!is_in_string && (c == ' ' || c == '\t' || c == '\n' || c == '\r')) {
            continue;
        }
        (void)putc(c, to);
    }
}

void text_printable_write(FILE *to, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < size;) {
        size_t length = text_utf8_length(at + i, size - i);
        /* U+0080 to U+009F steer a terminal just as the first 32 do. */
        bool is_control = length == 2 && at[i] == 0xc2 && at[i + 1] < 0xa0;
        if (at[i] == '\n') {
            (void)fputs("\\n", to);
        } else if (at[i] == '\t') {
            (void)fputs("\\t", to);
        } else if (length == 0 || at[i] < 0x20 || at[i] == 0x7f || is_control) {
            (void)fprintf(to, "\\x%02x", at[i]);
            length = 1;
        } else {
            (void)fwrite(at + i, 1, length, to);
        }
        i += length;
    }
}

void text_marked_write(FILE *to, const char *text, bool is_coloured)
{
    while (*text != '\0') {
        size_t size = strcspn(text, "\x01\x02\n\r\t");
        text_printable_write(to, text, size);
        text += size;
        if (*text == '\x01') {
            (void)fputs(is_coloured ? "\033[1;31m" : "*", to);
        } else if (*text == '\x02') {
            (void)fputs(is_coloured ? "\033[0m" : "*", to);
        } else if (*text != '\0') {
            (void)putc(' ', to);
        }
        text += *text != '\0';
    }
}

size_t text_columns(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++) {
        count += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return count;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void text_base64_write(FILE *to, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    POLARYS_ASSERT(bytes != NULL || size == 0);
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t group = (uint32_t)at[i] << 16;
        group |= left > 1 ? (uint32_t)at[i + 1] << 8 : 0;
        group |= left > 2 ? at[i + 2] : 0;
        (void)putc(base64_digits[group >> 18], to);
        (void)putc(base64_digits[group >> 12 & 63], to);
        (void)putc(left > 1 ? base64_digits[group >> 6 & 63] : '=', to);
        (void)putc(left > 2 ? base64_digits[group & 63] : '=', to);
    }
}

size_t text_base64_room(size_t size)
{
    return size / 4 * 3 + 3;
}

static int base64_digit(char c)
{
    const char *at = c == '\0' ? NULL : strchr(base64_digits, c);
    return at == NULL ? -1 : (int)(at - base64_digits);
}

bool text_base64_decode(const char *text, size_t size, uint8_t *bytes, size_t *bytes_size)
{
    POLARYS_ASSERT(bytes_size != NULL);
    *bytes_size = 0;
    if (size % 4 != 0) {
        return false;
    }
    for (size_t i = 0; i < size; i += 4) {
        bool is_last = i + 4 == size;
        size_t padding = is_last ? (size_t)(text[i + 3] == '=') + (text[i + 2] == '=') : 0;
        uint32_t group = 0;
        if (padding > 0 && text[i + 3] != '=') {
            return false;
        }
        for (size_t j = 0; j < 4 - padding; j++) {
            int digit = base64_digit(text[i + j]);
            if (digit < 0) {
                return false;
            }
            group |= (uint32_t)digit << (18 - 6 * j);
        }
        for (size_t j = 0; j < 3 - padding; j++) {
            bytes[(*bytes_size)++] = (uint8_t)(group >> (16 - 8 * j));
        }
    }
    return true;
}

void text_hex_write(FILE *to, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    POLARYS_ASSERT(bytes != NULL || size == 0);
    for (size_t i = 0; i < size; i++) {
        (void)fprintf(to, "%02x", at[i]);
    }
}

void text_time_write(FILE *to, uint64_t unix_ms)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm time;
    char text[40];

    if (gmtime_r(&seconds, &time) == NULL ||
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &time) == 0) {
        (void)fprintf(to, "%llu ms", (unsigned long long)unix_ms);
        return;
    }
    (void)fprintf(to, "%s.%03uZ", text, (unsigned)(unix_ms % 1000));
}

void text_size_format(char *to, size_t to_size, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t unit = 0;

    POLARYS_ASSERT(to_size > 0);
    while (bytes >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        bytes /= 1024;
        unit++;
    }
    (void)snprintf(to, to_size, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}
