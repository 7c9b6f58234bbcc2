/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGHUP: the configuration is read as at the start. What differs and can change at run time is
 * taken over; the rest is named, and stays as it is until a restart.
 */
#include <stdlib.h>
#include <unistd.h>

#include "service/server/control_internal.h"

static bool setting_differs(const struct config_setting *setting, const struct config *a,
                            const struct config *b)
{
    if (setting->type == CONFIG_TEXT) {
        return strcmp((const char *)a + setting->offset, (const char *)b + setting->offset) != 0;
    }
    return config_number_get(a, setting) != config_number_get(b, setting);
}

static void differences_tell(const struct config *running, const struct config *read)
{
    size_t count;
    const struct config_setting *settings = config_settings(&count);
    for (size_t i = 0; i < count; i++) {
        if (setting_differs(&settings[i], running, read)) {
            polarys_log(settings[i].is_reloadable ? POLARYS_LOG_INFO : POLARYS_LOG_WARN, "server",
                        "reload: %s %s", settings[i].name,
                        settings[i].is_reloadable ? "is taken over"
                                                  : "has changed, but needs a restart");
        }
    }
}

void control_reload(struct control *control)
{
    struct config *read = malloc(sizeof(*read));
    struct polarys_error err = POLARYS_ERROR_INIT;
    enum config_command command;
    if (read == NULL) {
        polarys_log(POLARYS_LOG_ERROR, "server", "reload: no memory");
        return;
    }
    enum polarys_code code = config_load(read, control->argc, control->argv,
                                         (const char *const *)environ, &command, &err);
    if (code != POLARYS_OK) {
        polarys_log(POLARYS_LOG_ERROR, "server", "reload: %s; all stays as it was", err.message);
    } else {
        differences_tell(control->config, read);
        polarys_log_level_set((enum polarys_log_level)read->log_level);
        polarys_log(POLARYS_LOG_INFO, "server",
                    "reload: log level and debug are settings that can change "
                    "while running; read again");
    }
    free(read);
}
