/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One segment file on its own, for people and for salvage: it says how far the file is good and stops
 * there, without judging why it stops.
 */
#include <inttypes.h>

#include "engine/wal/wal_reader.h"

enum polarys_code wal_inspect_file(struct vfs *vfs, const char *path, struct keyring *keyring,
                                   const struct wal_visitor *visitor, struct wal_segment_info *info,
                                   struct polarys_error *err)
{
    struct wal_reader reader = {.file = NULL};
    bool has_frame = true;
    memset(info, 0, sizeof(*info));
    enum polarys_code code = wal_reader_open(&reader, vfs, path, keyring, err);
    if (code != POLARYS_OK) {
        return code;
    }
    while (has_frame && code == POLARYS_OK) {
        struct wal_frame frame;
        code = wal_reader_next(&reader, &frame, &has_frame, err);
        if (code == POLARYS_OK && has_frame) {
            code = visitor->frame(visitor->context, &frame, err);
        }
    }
    *info = reader.info;
    wal_reader_close(&reader);
    return code;
}
