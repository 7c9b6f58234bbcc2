/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of the API for C++: two members of the generated service structs have names that are words of
 * the language.
 */
#ifndef TESTS_UNIT_SERVICE_API_MESSAGES_H
#define TESTS_UNIT_SERVICE_API_MESSAGES_H

#include <protobuf-c/protobuf-c.h>

#define delete rpc_delete
#define export rpc_export
#include "polarys/v1/bulk.pb-c.h"
#include "polarys/v1/kv.pb-c.h"
#undef delete
#undef export

#endif
