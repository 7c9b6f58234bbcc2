/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends the process on a broken assertion of the service. The one promise is that the condition's
 * text reaches the log first.
 */
#include "service/server/check.h"

#include "engine/engine.h"

void service_assert_failed(const char *condition, const char *file, int line)
{
    polarys_log(POLARYS_LOG_ERROR, "service", "assertion failed: %s at %s:%d", condition, file,
                line);
    __builtin_trap();
}
