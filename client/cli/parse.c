/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small parsers, strict: leading blanks, signs and trailing text are refused.
 */
#include "client/cli/parse.h"

#include <string.h>
#include <time.h>

#include "client/assert.h"

bool parse_number(const char *text, uint64_t *number)
{
    uint64_t value = 0;

    POLARYS_ASSERT(text != NULL && number != NULL);
    if (*text == '\0') {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') {
            return false;
        }
        unsigned digit = (unsigned)(*text - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

bool parse_number_between(const char *text, uint64_t min, uint64_t max, uint64_t *number)
{
    POLARYS_ASSERT(min <= max);
    return parse_number(text, number) && *number >= min && *number <= max;
}

bool parse_duration_ms(const char *text, uint64_t *duration_ms)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    static const uint64_t duration_ms_max = UINT64_C(100) * 366 * 86400000;
    char digits[24];
    size_t length = strspn(text, "0123456789");
    uint64_t count;

    POLARYS_ASSERT(duration_ms != NULL);
    if (length == 0 || length >= sizeof(digits)) {
        return false;
    }
    memcpy(digits, text, length);
    digits[length] = '\0';
    if (!parse_number(digits, &count)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text + length, units[i].name) == 0) {
            *duration_ms = count * units[i].ms;
            return count <= duration_ms_max / units[i].ms;
        }
    }
    return false;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool parse_hex(const char *text, uint8_t *bytes, size_t *size)
{
    size_t length = strlen(text);

    POLARYS_ASSERT(bytes != NULL && size != NULL);
    if (length == 0 || length % 2 != 0 || length / 2 > *size) {
        return false;
    }
    for (size_t i = 0; i < length; i += 2) {
        int high = hex_digit(text[i]);
        int low = hex_digit(text[i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        bytes[i / 2] = (uint8_t)(high << 4 | low);
    }
    *size = length / 2;
    return true;
}

bool parse_durability(const char *text, enum polarys_client_durability *durability)
{
    static const struct {
        const char *name;
        enum polarys_client_durability durability;
    } levels[] = {
        {"async", POLARYS_CLIENT_ASYNC},
        {"local-sync", POLARYS_CLIENT_LOCAL_SYNC},
        {"quorum", POLARYS_CLIENT_QUORUM},
        {"quorum-applied", POLARYS_CLIENT_QUORUM_APPLIED},
    };
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (strcmp(text, levels[i].name) == 0) {
            *durability = levels[i].durability;
            return true;
        }
    }
    return false;
}

bool parse_format(const char *text, enum output_format *format)
{
    static const char *const names[] = {"table", "json", "raw"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            *format = (enum output_format)i;
            return true;
        }
    }
    return false;
}

/* The text behind `name` and "="; NULL when it begins otherwise. */
static const char *after_name(const char *text, const char *name)
{
    size_t size = strlen(name);

    POLARYS_ASSERT(name[0] != '\0');
    return strncmp(text, name, size) == 0 && text[size] == '=' ? text + size + 1 : NULL;
}

bool parse_read_policy(const char *text, enum polarys_client_read_policy *policy)
{
    static const char *const names[] = {
        [POLARYS_CLIENT_READ_PRIMARY] = "primary",
        [POLARYS_CLIENT_READ_REPLICA_PREFERRED] = "replica",
        [POLARYS_CLIENT_READ_NEAREST] = "nearest",
    };

    POLARYS_ASSERT(text != NULL && policy != NULL);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            *policy = (enum polarys_client_read_policy)i;
            return true;
        }
    }
    return false;
}

bool parse_consistency(const char *text, struct cli_settings *settings)
{
    struct polarys_client_read *read = &settings->read;
    const char *rest;

    memset(read, 0, sizeof(*read));
    if (strcmp(text, "strong") == 0) {
        read->consistency = POLARYS_CLIENT_STRONG;
        return true;
    }
    if (strcmp(text, "stable") == 0) {
        read->consistency = POLARYS_CLIENT_STABLE;
        return true;
    }
    if (strcmp(text, "local") == 0) {
        read->consistency = POLARYS_CLIENT_LOCAL;
        return true;
    }
    if (strcmp(text, "session") == 0) {
        read->consistency = POLARYS_CLIENT_SESSION;
        return true;
    }
    if ((rest = after_name(text, "at-least")) != NULL) {
        read->consistency = POLARYS_CLIENT_AT_LEAST;
        read->token = settings->token;
        read->token_size = sizeof(settings->token);
        return parse_hex(rest, settings->token, &read->token_size);
    }
    if ((rest = after_name(text, "version")) != NULL) {
        read->consistency = POLARYS_CLIENT_SNAPSHOT;
        return parse_number(rest, &read->version);
    }
    if ((rest = after_name(text, "max-staleness")) != NULL) {
        read->consistency = POLARYS_CLIENT_MAX_STALENESS;
        return parse_duration_ms(rest, &read->staleness_ms);
    }
    return false;
}

/* Milliseconds of ".123456Z" or "Z". */
static bool fraction_read(const char *text, unsigned *ms)
{
    unsigned scale = 100;
    *ms = 0;
    if (*text == '.') {
        text++;
        if (*text < '0' || *text > '9') {
            return false;
        }
        for (; *text >= '0' && *text <= '9'; text++) {
            *ms += (unsigned)(*text - '0') * scale;
            scale /= 10;
        }
    }
    return strcmp(text, "Z") == 0;
}

bool parse_time_ms(const char *text, uint64_t *unix_ms)
{
    struct tm time = {0};
    struct tm again;
    unsigned ms;
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &time);

    if (rest == NULL || strlen(text) < 20 || text[4] != '-' || !fraction_read(rest, &ms)) {
        return false;
    }
    struct tm given = time;
    time_t seconds = timegm(&time);
    /* The 31st of February would have been taken for a day in March. */
    if (seconds < 0 || gmtime_r(&seconds, &again) == NULL || again.tm_mday != given.tm_mday ||
        again.tm_mon != given.tm_mon || again.tm_hour != given.tm_hour) {
        return false;
    }
    *unix_ms = (uint64_t)seconds * 1000 + ms;
    return true;
}

bool parse_endpoint_is_loopback(const char *endpoint)
{
    static const char *const starts[] = {"127.", "localhost:", "[::1]:", "unix:"};

    POLARYS_ASSERT(endpoint != NULL);
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        if (strncmp(endpoint, starts[i], strlen(starts[i])) == 0) {
            /* 127.example.org is a name like any other. */
            return i != 0 || endpoint[strspn(endpoint, "0123456789.")] == ':';
        }
    }
    return strcmp(endpoint, "localhost") == 0;
}
