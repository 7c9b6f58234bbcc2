/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the published descriptors by file and by symbol, for server reflection.
 */
#ifndef SERVICE_RPC_REFLECTION_H
#define SERVICE_RPC_REFLECTION_H

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    REFLECTION_FILES_MAX = 64,
    REFLECTION_SYMBOL_MAX = 512, /* bytes of a name asked for */
};

struct reflection_index;

/* Over the descriptor set that is part of the program. Errors: NO_MEMORY, BUG (it can't be
 * read). */
NODISCARD enum polarys_code reflection_index_create(struct reflection_index **out,
                                                    struct polarys_error *err);
void reflection_index_destroy(struct reflection_index *index);

/* The place of the file called `name`, or of the one that declares the symbol; -1 when there is
 * none. */
int reflection_file_find(const struct reflection_index *index, struct polarys_slice name);
int reflection_symbol_find(const struct reflection_index *index, struct polarys_slice symbol);
/*
 * The encoded FileDescriptorProto of the file and then of all that it imports, each once, into
 * `files` (REFLECTION_FILES_MAX of them). Static storage. Returns how many.
 */
size_t reflection_files_get(const struct reflection_index *index, int file,
                            struct polarys_slice *files);
/* Calls `each` with the full name of every service that the server has. */
void reflection_services_list(const struct reflection_index *index,
                              void (*each)(void *context, struct polarys_slice name),
                              void *context);
/* True when there is a message of this name. */
bool reflection_message_exists(const struct reflection_index *index, struct polarys_slice name);

#ifdef __cplusplus
}
#endif

#endif
