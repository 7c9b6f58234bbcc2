/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Databases and tables as messages, with the memory that they point to.
 */
#ifndef SERVICE_RPC_TABLE_MESSAGE_H
#define SERVICE_RPC_TABLE_MESSAGE_H

#include "engine/engine.h"
#include "polarys/v1/table.pb-c.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Not to be copied or moved once made: `message` points into it. */
struct table_database {
    Polarys__V1__Database message;
    Google__Protobuf__Timestamp time;
    char name[POLARYS_NAME_BYTES_MAX + 1];
};

struct table_table {
    Polarys__V1__Table message;
    Google__Protobuf__Timestamp time;
    struct polarys_table_info info;
};

void table_database_make(const struct polarys_database_info *info, struct table_database *made);
void table_table_make(const struct polarys_table_info *info, struct table_table *made);

/* True for names that the server keeps for itself and shows to nobody. */
bool table_name_is_hidden(const char *name);

#ifdef __cplusplus
}
#endif

#endif
