/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8: protobuf-c accepts any bytes in a string, so they are checked here.
 */
#ifndef SERVICE_PROTO_UTF8_H
#define SERVICE_PROTO_UTF8_H

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* True when `text` is well-formed UTF-8 (shortest forms, no surrogates, up to U+10FFFF) without
 * NUL. */
bool utf8_is_text(struct polarys_slice text);
/* Replaces every byte that is not part of well-formed UTF-8 by '?'; `text` is NUL-terminated. */
void utf8_scrub(char *text);

#ifdef __cplusplus
}
#endif

#endif
