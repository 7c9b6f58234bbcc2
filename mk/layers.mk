# SPDX-License-Identifier: Apache-2.0
# The engine's modules, lowest first. A module may include its own headers and those of the modules before it; `make lint`
# fails on any other direction, and `make unit-<module>` links that module with those before it only.

LAYERS := base vfs crypto wal memtable sst manifest compaction commit txn document search index query feed backup engine

# Modules that lie side by side: neither may include the other although one is listed first.
LAYER_SIBLINGS := wal:memtable wal:sst memtable:sst query:feed query:backup

# Modules with threads of their own: their tests also run under the thread sanitizer.
CONCURRENT := base commit compaction feed engine client
