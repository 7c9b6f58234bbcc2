/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which formats this build writes and reads, for those who ask before they upgrade. The bytes are each
 * module's own; docs/formats/ describes them.
 */
#include "engine/crypto/keyring.h"
#include "engine/engine.h"
#include "engine/manifest/manifest.h"
#include "engine/slots_internal.h"
#include "engine/sst/table.h"
#include "engine/wal/wal.h"

size_t polarys_format_list(const struct polarys_format **formats)
{
    static const struct polarys_format list[] = {
        {"keyring", KEYRING_FORMAT_VERSION, KEYRING_FORMAT_VERSION},
        {"manifest", MANIFEST_FORMAT_VERSION, MANIFEST_FORMAT_VERSION},
        {"slots", SLOTS_FORMAT_VERSION, SLOTS_FORMAT_VERSION},
        {"sst", TABLE_FORMAT_VERSION, TABLE_FORMAT_VERSION},
        {"wal", WAL_FORMAT_VERSION, WAL_FORMAT_VERSION},
    };
    *formats = list;
    return sizeof(list) / sizeof(list[0]);
}
