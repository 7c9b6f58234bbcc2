# SPDX-License-Identifier: Apache-2.0
# What each benchmark program is linked with beyond the engine.

BENCH_OF_STORES := engine
