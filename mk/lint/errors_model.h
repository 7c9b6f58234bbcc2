/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For clang-tidy only: lets the analyzer see that polarys_fail and polarys_wrap return the code that they are
 * given. Without it every `*out` after a failed call looks as if it could be NULL with POLARYS_OK.
 */
#ifndef MK_LINT_ERRORS_MODEL_H
#define MK_LINT_ERRORS_MODEL_H

#include "engine/base/error.h"

#define polarys_fail(err, code, ...) ((void)polarys_fail(err, code, __VA_ARGS__), (code))
#define polarys_wrap(err, code, ...) ((void)polarys_wrap(err, code, __VA_ARGS__), (code))
#define polarys_fail_errno(err, number, ...)                                                       \
    ((void)polarys_fail_errno(err, number, __VA_ARGS__), POLARYS_IO)

#endif
