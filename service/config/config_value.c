/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns the text of one setting into its value, and keeps who set it. Text that does not parse, or
 * lies out of range, changes nothing.
 */
#include <limits.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "service/config/config.h"
#include "service/server/check.h"

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit byte_units[] = {
    {"", 1},
    {"B", 1},
    {"k", 1 << 10},
    {"K", 1 << 10},
    {"KiB", 1 << 10},
    {"M", 1 << 20},
    {"MiB", 1 << 20},
    {"G", 1 << 30},
    {"GiB", 1 << 30},
    {"T", UINT64_C(1) << 40},
    {"TiB", UINT64_C(1) << 40},
    {NULL, 0},
};

static const struct unit time_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};

static const struct unit count_units[] = {{"", 1}, {NULL, 0}};

static bool slice_is_text(struct polarys_slice slice, const char *text)
{
    return slice.size == strlen(text) && memcmp(slice.data, text, slice.size) == 0;
}

/* Digits and then one of `units`; false when it is neither or does not fit. */
static bool number_parse(struct polarys_slice text, const struct unit *units, uint64_t *number)
{
    size_t digits = 0;
    uint64_t value = 0;
    while (digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9') {
        uint64_t digit = (uint64_t)(text.data[digits] - '0');
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return false;
        }
        digits++;
    }
    struct polarys_slice unit = slice_make(text.data + digits, text.size - digits);
    for (; digits > 0 && units->name != NULL; units++) {
        if (slice_is_text(unit, units->name)) {
            return !__builtin_mul_overflow(value, units->factor, number);
        }
    }
    /* A bare 0 needs no unit. */
    *number = 0;
    return digits > 0 && unit.size == 0 && value == 0;
}

static bool switch_parse(struct polarys_slice text, bool *value)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (text.size == strlen(words[i]) &&
            strncasecmp((const char *)text.data, words[i], text.size) == 0) {
            *value = i % 2 == 1;
            return true;
        }
    }
    return false;
}

static bool choice_parse(struct polarys_slice text, const char *const *choices, uint64_t *value)
{
    for (uint64_t i = 0; choices[i] != NULL; i++) {
        if (slice_is_text(text, choices[i])) {
            *value = i;
            return true;
        }
    }
    return false;
}

static const char *type_hint(const struct config_setting *setting)
{
    switch (setting->type) {
    case CONFIG_SWITCH:
        return "true or false";
    case CONFIG_COUNT:
        return "a whole number";
    case CONFIG_BYTES:
        return "a number of bytes such as 64MiB, 512k or 4096";
    case CONFIG_MS:
        return "a time such as 10ms, 5s, 10m or 1h";
    case CONFIG_CHOICE:
        return "one of its words, see --help";
    case CONFIG_TEXT:
        break;
    }
    return "text";
}

static enum polarys_code value_bad(struct polarys_error *err, const char *where,
                                   const struct config_setting *setting, struct polarys_slice text)
{
    int shown = text.size > 60 ? 60 : (int)text.size;
    return polarys_fail(err, POLARYS_BAD_ARGUMENT, "%s: %s: \"%.*s\" is not %s", where,
                        setting->name, shown, (const char *)text.data, type_hint(setting));
}

static enum polarys_code number_store(struct config *config, const struct config_setting *setting,
                                      struct polarys_slice text, const char *where,
                                      struct polarys_error *err)
{
    const struct unit *units = setting->type == CONFIG_BYTES ? byte_units
                               : setting->type == CONFIG_MS  ? time_units
                                                             : count_units;
    uint64_t number;
    if (setting->type == CONFIG_CHOICE) {
        if (!choice_parse(text, setting->choices, &number)) {
            return value_bad(err, where, setting, text);
        }
    } else if (!number_parse(text, units, &number)) {
        return value_bad(err, where, setting, text);
    } else if (number < setting->min || number > setting->max) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "%s: %s: %llu is not within %llu to %llu (%s)", where, setting->name,
                            (unsigned long long)number, (unsigned long long)setting->min,
                            (unsigned long long)setting->max, config_unit(setting));
    }
    memcpy((char *)config + setting->offset, &number, sizeof(number));
    return POLARYS_OK;
}

static enum polarys_code value_store(struct config *config, const struct config_setting *setting,
                                     struct polarys_slice text, const char *where,
                                     struct polarys_error *err)
{
    char *field = (char *)config + setting->offset;
    if (setting->type == CONFIG_TEXT) {
        if (text.size >= CONFIG_TEXT_MAX || memchr(text.data, '\0', text.size) != NULL) {
            return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                                "%s: %s: longer than %d bytes, or with a NUL", where, setting->name,
                                CONFIG_TEXT_MAX - 1);
        }
        memcpy(field, text.data, text.size);
        field[text.size] = '\0';
        return POLARYS_OK;
    }
    if (setting->type == CONFIG_SWITCH) {
        bool value;
        if (!switch_parse(text, &value)) {
            return value_bad(err, where, setting, text);
        }
        *(bool *)field = value;
        return POLARYS_OK;
    }
    return number_store(config, setting, text, where, err);
}

enum polarys_code config_set(struct config *config, const struct config_setting *setting,
                             struct polarys_slice text, enum config_origin origin,
                             const char *where, struct polarys_error *err)
{
    size_t count;
    size_t place = (size_t)(setting - config_settings(&count));
    SERVICE_ASSERT(place < count);
    if (text.data == NULL) {
        text = slice_make("", 0);
    }
    if (config->origins[place] > (unsigned char)origin) {
        /* A stronger origin won already; a value that is wrong is still told. */
        static _Thread_local struct config scratch;
        return value_store(&scratch, setting, text, where, err);
    }
    enum polarys_code code = value_store(config, setting, text, where, err);
    if (code == POLARYS_OK) {
        config->origins[place] = (unsigned char)origin;
    }
    return code;
}

void config_init(struct config *config)
{
    memset(config, 0, sizeof(*config));
    size_t count;
    const struct config_setting *settings = config_settings(&count);
    for (size_t i = 0; i < count; i++) {
        struct polarys_error err = POLARYS_ERROR_INIT;
        enum polarys_code code =
            config_set(config, &settings[i], slice_from_text(settings[i].default_text),
                       CONFIG_FROM_DEFAULT, "default", &err);
        SERVICE_ASSERT(code == POLARYS_OK);
    }
}
