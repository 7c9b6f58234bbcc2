/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Equality of JSON numbers by value: 1.0 == 1 == 10e-1, exactly, however long digits or exponent are.
 *
 * A number is brought to  ± 0.d1d2…dn × 10^e  with d1 and dn not zero; that form is unique. e is the sum
 * of the written exponent, of any length, and a count of digits, which is small.
 */
#include "engine/document/json_internal.h"

#include <stdlib.h>

struct decimal {
    bool is_negative;
    /* Digits with a point somewhere inside, which is skipped when reading; none for zero. */
    const uint8_t *digits;
    const uint8_t *digits_end;
    int64_t shift; /* to be added to the written exponent */
    bool is_exponent_negative;
    struct polarys_slice exponent; /* digits without leading zeros */
};

static const uint8_t *skip_zeros_and_point(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (*at == '0' || *at == '.')) {
        at++;
    }
    return at;
}

static struct decimal decimal_parse(struct polarys_slice text)
{
    struct decimal decimal = {0};
    const uint8_t *at = text.data;
    const uint8_t *end = text.data + text.size;
    if (*at == '-') {
        decimal.is_negative = true;
        at++;
    }
    const uint8_t *mantissa = at;
    const uint8_t *point = NULL;
    while (at < end && *at != 'e' && *at != 'E') {
        if (*at == '.') {
            point = at;
        }
        at++;
    }
    const uint8_t *mantissa_end = at;
    point = point == NULL ? mantissa_end : point;
    decimal.digits = skip_zeros_and_point(mantissa, mantissa_end);
    decimal.digits_end = mantissa_end;
    while (decimal.digits_end > decimal.digits &&
           (decimal.digits_end[-1] == '0' || decimal.digits_end[-1] == '.')) {
        decimal.digits_end--;
    }
    /* Digits before the point count up; zeros behind it, before the first digit, count down. */
    decimal.shift =
        decimal.digits <= point ? point - decimal.digits : -(decimal.digits - point - 1);
    if (at < end) {
        at++;
        decimal.is_exponent_negative = *at == '-';
        if (*at == '-' || *at == '+') {
            at++;
        }
        while (at < end && *at == '0') {
            at++;
        }
        decimal.exponent = slice_make(at, (size_t)(end - at));
    }
    return decimal;
}

static bool digits_equal(const struct decimal *a, const struct decimal *b)
{
    const uint8_t *left = a->digits;
    const uint8_t *right = b->digits;
    for (;;) {
        left += left < a->digits_end && *left == '.' ? 1 : 0;
        right += right < b->digits_end && *right == '.' ? 1 : 0;
        if (left == a->digits_end || right == b->digits_end) {
            return left == a->digits_end && right == b->digits_end;
        }
        if (*left++ != *right++) {
            return false;
        }
    }
}

/* An exponent as a signed number of one more digit than written, nines' complement not needed: magnitude
 * and sign, least digit first, so that a small number can be added. */
struct big {
    bool is_negative;
    size_t count;
    uint8_t *digits; /* owned */
};

enum { SHIFT_DIGITS_MAX = 20 };

static bool big_init(struct big *big, const struct decimal *decimal)
{
    size_t capacity = decimal->exponent.size + SHIFT_DIGITS_MAX + 1;
    big->digits = calloc(capacity, 1);
    if (big->digits == NULL) {
        return false;
    }
    big->is_negative = decimal->is_exponent_negative;
    big->count = capacity;
    for (size_t i = 0; i < decimal->exponent.size; i++) {
        big->digits[i] = (uint8_t)(decimal->exponent.data[decimal->exponent.size - 1 - i] - '0');
    }
    return true;
}

/* magnitude += value */
static void big_increase(struct big *big, uint64_t value)
{
    unsigned carry = 0;
    for (size_t i = 0; i < big->count && (value > 0 || carry > 0); i++) {
        unsigned digit = big->digits[i] + (unsigned)(value % 10) + carry;
        big->digits[i] = (uint8_t)(digit % 10);
        carry = digit / 10;
        value /= 10;
    }
    POLARYS_ASSERT(carry == 0);
}

/* magnitude -= value; turns the sign when it would fall below zero. */
static void big_decrease(struct big *big, uint64_t value)
{
    int borrow = 0;
    for (size_t i = 0; i < big->count; i++) {
        int digit = big->digits[i] - (int)(value % 10) - borrow;
        value /= 10;
        borrow = digit < 0 ? 1 : 0;
        big->digits[i] = (uint8_t)(digit + 10 * borrow);
    }
    if (borrow == 0) {
        return;
    }
    big->is_negative = !big->is_negative;
    int carry = 1;
    for (size_t i = 0; i < big->count; i++) {
        int digit = 9 - big->digits[i] + carry;
        big->digits[i] = (uint8_t)(digit % 10);
        carry = digit / 10;
    }
}

static void big_add(struct big *big, int64_t value)
{
    uint64_t magnitude = value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value;
    if ((value < 0) == big->is_negative) {
        big_increase(big, magnitude);
    } else {
        big_decrease(big, magnitude);
    }
}

static bool big_equal(const struct big *a, const struct big *b)
{
    size_t count = a->count > b->count ? a->count : b->count;
    bool is_zero = true;
    for (size_t i = 0; i < count; i++) {
        uint8_t left = i < a->count ? a->digits[i] : 0;
        uint8_t right = i < b->count ? b->digits[i] : 0;
        if (left != right) {
            return false;
        }
        is_zero = is_zero && left == 0;
    }
    return is_zero || a->is_negative == b->is_negative;
}

enum { EXPONENT_DIGITS_SIMPLE = 17 };

static int64_t exponent_simple(const struct decimal *decimal)
{
    int64_t value = 0;
    for (size_t i = 0; i < decimal->exponent.size; i++) {
        value = value * 10 + (decimal->exponent.data[i] - '0');
    }
    return (decimal->is_exponent_negative ? -value : value) + decimal->shift;
}

static enum polarys_code exponents_equal(const struct decimal *a, const struct decimal *b,
                                         bool *is_equal)
{
    if (a->exponent.size <= EXPONENT_DIGITS_SIMPLE && b->exponent.size <= EXPONENT_DIGITS_SIMPLE) {
        *is_equal = exponent_simple(a) == exponent_simple(b);
        return POLARYS_OK;
    }
    struct big left = {0};
    struct big right = {0};
    enum polarys_code code = POLARYS_NO_MEMORY;
    if (big_init(&left, a) && big_init(&right, b)) {
        big_add(&left, a->shift);
        big_add(&right, b->shift);
        *is_equal = big_equal(&left, &right);
        code = POLARYS_OK;
    }
    free(left.digits);
    free(right.digits);
    return code;
}

enum polarys_code json_number_equals(struct polarys_slice a, struct polarys_slice b, bool *is_equal)
{
    struct decimal left = decimal_parse(a);
    struct decimal right = decimal_parse(b);
    bool is_left_zero = left.digits == left.digits_end;
    bool is_right_zero = right.digits == right.digits_end;
    if (is_left_zero || is_right_zero) {
        *is_equal = is_left_zero && is_right_zero;
        return POLARYS_OK;
    }
    if (left.is_negative != right.is_negative || !digits_equal(&left, &right)) {
        *is_equal = false;
        return POLARYS_OK;
    }
    return exponents_equal(&left, &right, is_equal);
}
