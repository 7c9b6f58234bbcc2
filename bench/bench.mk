# SPDX-License-Identifier: Apache-2.0
# What each benchmark program is made of beyond bench/<name>.c, bench/<name>/*.c and the engine.

# Programs that are another one with something added in front of the engine.
BENCH_VARIANTS := engine_null
BENCH_VARIANT_OF_engine_null := engine
BENCH_OF_STORES := engine engine_null search

# Programs that know only gRPC.
BENCH_OF_GRPC := load echo_server
BENCH_FOLDER_echo_server := echo

# Programs that are clients of a server.
BENCH_OF_CLIENT := lag
