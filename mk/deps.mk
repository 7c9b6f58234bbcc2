# SPDX-License-Identifier: Apache-2.0
# What each purpose needs from Debian 12. `command=package` is satisfied by a command from anywhere.
#
# The rules below make small include files. When one is missing or older than this list, make installs what is not there,
# writes the file and starts itself anew, so that what it finds out at the start (a compiler's version) is right.
# DEPS=no leaves the machine alone.

DEPS ?= yes

DEPS_BUILD := gcc libc6-dev make pkg-config python3 libgrpc-dev libprotobuf-c-dev protobuf-c-compiler protobuf-compiler \
	libprotobuf-dev libssl-dev libev-dev libzstd-dev libxxhash-dev libisal-dev libyajl-dev libyaml-dev \
	libmicrohttpd-dev libedit-dev libcurl4-openssl-dev libicu-dev libstemmer-dev
DEPS_TEST := g++ libgtest-dev libgmock-dev clang-14 libclang-rt-14-dev python3-grpcio python3-protobuf \
	protobuf-compiler-grpc node=nodejs npm=npm curl jq openssl procps
DEPS_LINT := clang-format-14 clang-tidy-14 cppcheck universal-ctags node=nodejs npm=npm git
DEPS_BENCH := librocksdb-dev libleveldb-dev liblmdb-dev libsqlite3-dev redis-server etcd-server etcd-client nghttp2-client
DEPS_COVERAGE := gcovr
BUF_VERSION := 1.75.0

GOALS := $(or $(MAKECMDGOALS),all)
GOALS_BARE := help clean deps-% demo-data
GOALS_TEST := test test-long unit unit-% check-% test-programs $(BUILD)/test/% asan ubsan tsan fuzz fuzz-programs \
	integration coverage
GOALS_LINT := lint lint-% fmt
GOALS_BENCH := bench bench-full bench-report bench-programs
DEPS_WANTED := $(if $(filter-out $(GOALS_BARE),$(GOALS)),build)
DEPS_WANTED += $(if $(filter $(GOALS_TEST),$(GOALS)),test)
DEPS_WANTED += $(if $(filter $(GOALS_LINT),$(GOALS)),lint)
DEPS_WANTED += $(if $(filter $(GOALS_BENCH),$(GOALS)),bench)
DEPS_WANTED += $(if $(filter coverage,$(GOALS)),coverage)

deps_packages = $(DEPS_$(shell echo $(1) | tr a-z A-Z))

$(BUILD)/deps/%.mk: mk/deps.mk mk/deps.sh
	@mkdir -p $(@D)
	@bash mk/deps.sh $* $(call deps_packages,$*)
	@echo '# The packages to $* are here.' >$@

ifeq ($(DEPS),yes)
include $(addprefix $(BUILD)/deps/,$(addsuffix .mk,$(strip $(DEPS_WANTED))))
endif

.PHONY: deps-list
deps-list: ## name the Debian packages that each purpose needs
	@$(foreach purpose,build test lint bench coverage,echo '$(purpose): $(call deps_packages,$(purpose))';)
