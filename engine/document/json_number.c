/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Equality and order of JSON numbers by value: 1.0 == 1 == 10e-1, exactly, however long digits or exponent
 * are.
 *
 * A number is brought to  ± 0.d1d2…dn × 10^e  with d1 and dn not zero; that form is unique. e is the sum
 * of the written exponent, of any length, and a count of digits, which is small.
 */
#include "engine/document/json_internal.h"

#include <stdlib.h>

static const uint8_t *skip_zeros_and_point(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (*at == '0' || *at == '.')) {
        at++;
    }
    return at;
}

struct json_decimal json_decimal_parse(struct polarys_slice text)
{
    struct json_decimal decimal = {0};
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

static int digits_compare(const struct json_decimal *a, const struct json_decimal *b)
{
    const uint8_t *left = a->digits;
    const uint8_t *right = b->digits;
    for (;;) {
        left += left < a->digits_end && *left == '.' ? 1 : 0;
        right += right < b->digits_end && *right == '.' ? 1 : 0;
        if (left == a->digits_end || right == b->digits_end) {
            return (left != a->digits_end) - (right != b->digits_end);
        }
        if (*left != *right) {
            return *left < *right ? -1 : 1;
        }
        left++;
        right++;
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

static bool big_init(struct big *big, const struct json_decimal *decimal)
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

static int big_compare_magnitude(const struct big *a, const struct big *b)
{
    size_t count = a->count > b->count ? a->count : b->count;
    for (size_t i = count; i > 0; i--) {
        uint8_t left = i <= a->count ? a->digits[i - 1] : 0;
        uint8_t right = i <= b->count ? b->digits[i - 1] : 0;
        if (left != right) {
            return left < right ? -1 : 1;
        }
    }
    return 0;
}

static bool big_is_zero(const struct big *big)
{
    for (size_t i = 0; i < big->count; i++) {
        if (big->digits[i] != 0) {
            return false;
        }
    }
    return true;
}

static int big_compare(const struct big *a, const struct big *b)
{
    bool is_a_negative = a->is_negative && !big_is_zero(a);
    bool is_b_negative = b->is_negative && !big_is_zero(b);
    if (is_a_negative != is_b_negative) {
        return is_a_negative ? -1 : 1;
    }
    int order = big_compare_magnitude(a, b);
    return is_a_negative ? -order : order;
}

enum { EXPONENT_DIGITS_SIMPLE = 17 };

static int64_t exponent_simple(const struct json_decimal *decimal)
{
    int64_t value = 0;
    for (size_t i = 0; i < decimal->exponent.size; i++) {
        value = value * 10 + (decimal->exponent.data[i] - '0');
    }
    return (decimal->is_exponent_negative ? -value : value) + decimal->shift;
}

static bool exponent_is_simple(const struct json_decimal *decimal)
{
    return decimal->exponent.size <= EXPONENT_DIGITS_SIMPLE;
}

static enum polarys_code exponents_compare(const struct json_decimal *a,
                                           const struct json_decimal *b, int *order)
{
    if (exponent_is_simple(a) && exponent_is_simple(b)) {
        int64_t left = exponent_simple(a);
        int64_t right = exponent_simple(b);
        *order = (left > right) - (left < right);
        return POLARYS_OK;
    }
    struct big left = {0};
    struct big right = {0};
    enum polarys_code code = POLARYS_NO_MEMORY;
    if (big_init(&left, a) && big_init(&right, b)) {
        big_add(&left, a->shift);
        big_add(&right, b->shift);
        *order = big_compare(&left, &right);
        code = POLARYS_OK;
    }
    free(left.digits);
    free(right.digits);
    return code;
}

static enum polarys_code exponent_text_simple(int64_t value, struct buffer *to, bool *is_negative)
{
    uint8_t text[SHIFT_DIGITS_MAX + 1];
    size_t at = sizeof(text);
    *is_negative = value < 0;
    uint64_t magnitude = value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value;
    while (magnitude > 0) {
        text[--at] = (uint8_t)('0' + magnitude % 10);
        magnitude /= 10;
    }
    return buffer_append(to, text + at, sizeof(text) - at);
}

enum polarys_code json_decimal_exponent(const struct json_decimal *decimal, struct buffer *to,
                                        bool *is_negative)
{
    if (exponent_is_simple(decimal)) {
        return exponent_text_simple(exponent_simple(decimal), to, is_negative);
    }
    struct big big = {0};
    if (!big_init(&big, decimal)) {
        return POLARYS_NO_MEMORY;
    }
    big_add(&big, decimal->shift);
    size_t count = big.count;
    while (count > 0 && big.digits[count - 1] == 0) {
        count--;
    }
    *is_negative = big.is_negative && count > 0;
    enum polarys_code code = buffer_reserve(to, count);
    for (; count > 0 && code == POLARYS_OK; count--) {
        to->data[to->size++] = (uint8_t)('0' + big.digits[count - 1]);
    }
    free(big.digits);
    return code;
}

enum polarys_code json_number_equals(struct polarys_slice a, struct polarys_slice b, bool *is_equal)
{
    int order = 1;
    enum polarys_code code = json_number_compare(a, b, &order);
    *is_equal = order == 0;
    return code;
}

/* Up to 18 digits and a sign, nothing else. */
static bool integer_take(struct polarys_slice text, int64_t *value)
{
    const uint8_t *at = text.data;
    const uint8_t *end = text.data + text.size;
    bool is_negative = *at == '-';
    at += is_negative ? 1 : 0;
    if (end - at > EXPONENT_DIGITS_SIMPLE) {
        return false;
    }
    int64_t sum = 0;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9') {
            return false;
        }
        sum = sum * 10 + (*at - '0');
    }
    *value = is_negative ? -sum : sum;
    return true;
}

static enum polarys_code decimals_compare(const struct json_decimal *a,
                                          const struct json_decimal *b, int *order)
{
    int a_sign = a->digits == a->digits_end ? 0 : a->is_negative ? -1 : 1;
    int b_sign = b->digits == b->digits_end ? 0 : b->is_negative ? -1 : 1;
    if (a_sign != b_sign || a_sign == 0) {
        *order = a_sign - b_sign;
        return POLARYS_OK;
    }
    enum polarys_code code = exponents_compare(a, b, order);
    if (code == POLARYS_OK && *order == 0) {
        *order = digits_compare(a, b);
    }
    *order *= a_sign;
    return code;
}

enum polarys_code json_number_compare(struct polarys_slice a, struct polarys_slice b, int *order)
{
    int64_t left_integer;
    int64_t right_integer;
    if (integer_take(a, &left_integer) && integer_take(b, &right_integer)) {
        *order = (left_integer > right_integer) - (left_integer < right_integer);
        return POLARYS_OK;
    }
    struct json_decimal left = json_decimal_parse(a);
    struct json_decimal right = json_decimal_parse(b);
    return decimals_compare(&left, &right, order);
}
