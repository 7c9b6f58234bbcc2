/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the thread sanitizer that a tag orders two threads: what was written before a batch was
 * started is seen by whoever takes its tag out of the queue. The C core does so with code that the
 * sanitizer cannot see into. In other builds these are nothing.
 */
#ifndef SERVICE_SERVER_HANDOFF_H
#define SERVICE_SERVER_HANDOFF_H

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#endif

/* Before `tag` is given to the C core. */
static inline void handoff_release(void *tag)
{
#ifdef __SANITIZE_THREAD__
    __tsan_release(tag);
#else
    (void)tag;
#endif
}

/* After `tag` came back. */
static inline void handoff_acquire(void *tag)
{
#ifdef __SANITIZE_THREAD__
    __tsan_acquire(tag);
#else
    (void)tag;
#endif
}

#ifdef __cplusplus
}
#endif

#endif
