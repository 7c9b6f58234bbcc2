# SPDX-License-Identifier: Apache-2.0
# What `make test` runs, and under which build: the plain one, two sanitizers, and the fuzzer.
#
# A suite is built with -k and run whatever could be built, so one broken program does not hide the others; what could not
# be built counts as failed.

JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 10
TEST_SECONDS_MAX ?= 300

# The build directories that belong to this one. The default ones are those that SANITIZE=... would choose.
BUILD_ASAN := $(BUILD)/asan
BUILD_UBSAN := $(BUILD)/ubsan
BUILD_TSAN := $(BUILD)/tsan
BUILD_FUZZ := $(BUILD)/fuzz
BUILD_COVERAGE := $(BUILD)/coverage

run_tests = $(PYTHON) mk/run_tests.py --build $(BUILD) --jobs $(JOBS) --limit $(TEST_SECONDS_MAX) \
	--fuzz-seconds $(FUZZ_SECONDS)
# $(call named,prefix,directory,programs): NAME=PROGRAM for the runner.
named = $(foreach each,$(3),$(1)$(each)=$(2)/test/$(each))

UNIT_PROGRAMS := $(UNITS:%=unit-%)
KIND_PROGRAMS := $(KINDS_FOUND:%=check-%)
ASAN_KINDS := model crash
ASAN_PROGRAMS := $(UNIT_PROGRAMS) $(filter $(ASAN_KINDS:%=check-%),$(KIND_PROGRAMS))
# The server for the scripts in tests/integration, which run against it too.
ASAN_SERVER = $(if $(INTEGRATION_SCRIPTS),$(patsubst $(BUILD)/%,$(BUILD_ASAN)/%,$(POLARYSD) $(POLARYS)))
TSAN_PROGRAMS := $(filter $(CONCURRENT:%=unit-%),$(UNIT_PROGRAMS))
SHORT_PROGRAMS := $(UNIT_PROGRAMS) $(KIND_PROGRAMS)

# Scripts against the real server, and those that judge what its clients saw.
INTEGRATION_SCRIPTS := $(sort $(wildcard tests/integration/*_test.py tests/integration/*_test.sh \
	tests/integration/*/*_test.mjs tests/integration/*/*_test.js tests/integration/*/*_test.py tests/history/*_test.py \
	tests/chaos/*_test.py))
INTEGRATION_NODE := tests/integration/node
NODE_MODULES := $(if $(wildcard $(INTEGRATION_NODE)/package.json),$(BUILD)/node.stamp)
# $(call scripts_named,prefix): against the server of the plain build, or of the build that the prefix names.
scripts_named = $(foreach each,$(INTEGRATION_SCRIPTS),$(1)integration/$(notdir $(each))=$(each))

# npm writes no registry's name into the lock file, so the tree names none.
$(BUILD)/node.stamp: $(wildcard $(INTEGRATION_NODE)/package.json $(INTEGRATION_NODE)/package-lock.json)
	$(call say,NPM,$(INTEGRATION_NODE))
	$(Q)mkdir -p $(@D)
	$(Q)cd $(INTEGRATION_NODE) && npm $(if $(wildcard $(INTEGRATION_NODE)/package-lock.json),ci,install) --omit=dev \
		--omit-lockfile-registry-resolved --no-audit --no-fund --loglevel=error >/dev/null
	$(Q)touch $@

# The public protos for Python.
PROTO_PYTHON := $(if $(PROTO_API),$(BUILD)/gen/python.stamp)
$(BUILD)/gen/python.stamp: $(PROTO_SOURCES)
	$(call say,PROTO,python)
	$(Q)mkdir -p $(BUILD)/gen/python
	$(Q)protoc --proto_path=proto --proto_path=$(PROTO_SYSTEM) --python_out=$(BUILD)/gen/python \
		--plugin=protoc-gen-grpc_python=$$(command -v grpc_python_plugin) --grpc_python_out=$(BUILD)/gen/python $^
	$(Q)touch $@

# Fuzz targets are built by clang in a directory of their own, with SANITIZE=fuzzer.
FUZZ_C := $(sort $(wildcard tests/fuzz/*_fuzz.c))
FUZZ_NAMES := $(patsubst tests/fuzz/%_fuzz.c,%,$(FUZZ_C))
FUZZ_OF_SERVICE := $(if $(FUZZ_C),$(shell grep -l '^\#include "service/' $(FUZZ_C) 2>/dev/null))
FUZZ_OF_CLI := $(if $(FUZZ_C),$(shell grep -l '^\#include "client/cli/' $(FUZZ_C) 2>/dev/null))
FUZZ_COMMON := $(filter-out %_fuzz.c,$(sort $(wildcard tests/fuzz/*.c)))
fuzz_named = $(foreach each,$(FUZZ_NAMES),fuzz/$(each)=$(BUILD_FUZZ)/fuzz/$(each))

$(call object,$(FUZZ_C) $(FUZZ_COMMON)): | $(GEN_API_H)
define fuzz_target
$(BUILD)/fuzz/$(1): $(call object,tests/fuzz/$(1)_fuzz.c $(FUZZ_COMMON)) $(2) $(LIBPOLARYSDB_A)
	$$(call say,LD,fuzz/$(1))
	$$(Q)mkdir -p $$(@D)
	$$(Q)$(CC) -fsanitize=fuzzer,address,undefined $$(LDFLAGS_ALL) $$^ $(3) $(ENGINE_LIBS) -o $$@
endef
FUZZ_SUPPORT := $(filter %.c,$(call sources_in,tests/support))
FUZZ_SUPPORT_A := $(if $(FUZZ_SUPPORT),$(BUILD)/obj/fuzz_support.a)
$(if $(FUZZ_SUPPORT_A),$(eval $(call archive,$(FUZZ_SUPPORT_A),$(call object,$(FUZZ_SUPPORT)))))
# What a target is linked with besides the engine: the archives and libraries of the part that it includes.
fuzz_archives = $(FUZZ_SUPPORT_A) $(if $(filter $(1),$(FUZZ_OF_SERVICE)),$(SERVICE_A))$(if \
	$(filter $(1),$(FUZZ_OF_CLI)),$(CLI_A) $(LIBPOLARYS_A)) $(PROTO_API_A)
fuzz_libs = $(if $(filter $(1),$(FUZZ_OF_SERVICE)),$(SERVICE_LIBS))$(if $(filter $(1),$(FUZZ_OF_CLI)),$(CLIENT_LIBS) $(CLI_LIBS))
$(foreach each,$(FUZZ_NAMES),$(eval $(call fuzz_target,$(each),$(call \
	fuzz_archives,tests/fuzz/$(each)_fuzz.c),$(call fuzz_libs,tests/fuzz/$(each)_fuzz.c))))
TEST_OBJECTS += $(call object,$(FUZZ_C) $(FUZZ_COMMON))

.PHONY: fuzz-programs asan-programs tsan-programs short-programs integration-needs
fuzz-programs: $(FUZZ_NAMES:%=$(BUILD)/fuzz/%)
asan-programs: $(ASAN_PROGRAMS:%=$(BUILD)/test/%)
tsan-programs: $(TSAN_PROGRAMS:%=$(BUILD)/test/%)
short-programs: $(SHORT_PROGRAMS:%=$(BUILD)/test/%)
integration-needs: $(POLARYSD) $(POLARYS) $(if $(INTEGRATION_SCRIPTS),$(PROTO_PYTHON) $(NODE_MODULES))

# $(call build_suite,text,make arguments): a build that may fail in parts; what failed is told to the runner.
MAKE_SUITE = $(MAKE) -k
build_suite = $(MAKE_SUITE) $(2) || failed+=(--failed "build of $(1)")
asan_arguments = SANITIZE=address,undefined BUILD=$(BUILD_ASAN)
ubsan_arguments = SANITIZE=undefined BUILD=$(BUILD_UBSAN)
tsan_arguments = SANITIZE=thread BUILD=$(BUILD_TSAN)
fuzz_arguments = SANITIZE=fuzzer BUILD=$(BUILD_FUZZ)

.PHONY: test test-long asan ubsan tsan fuzz coverage integration

test: FUZZ_SECONDS := $(if $(filter file,$(origin FUZZ_SECONDS)),3,$(FUZZ_SECONDS))
test: ## install what tests need, run everything that fits ten minutes, end with `N passed, N failed`
	+@failed=(); \
	$(call build_suite,the products,all short-programs integration-needs); \
	$(if $(ASAN_PROGRAMS),$(call build_suite,the asan tests,$(asan_arguments) asan-programs $(ASAN_SERVER));) \
	$(if $(TSAN_PROGRAMS),$(call build_suite,the tsan tests,$(tsan_arguments) tsan-programs);) \
	$(if $(FUZZ_NAMES),$(call build_suite,the fuzz targets,$(fuzz_arguments) fuzz-programs);) \
	$(run_tests) "$${failed[@]}" $(call named,,$(BUILD),$(SHORT_PROGRAMS)) $(call scripts_named,) \
		$(call named,asan/,$(BUILD_ASAN),$(ASAN_PROGRAMS)) $(call scripts_named,asan/) $(call named,tsan/,$(BUILD_TSAN),$(TSAN_PROGRAMS)) \
		$(fuzz_named)

test-long: FUZZ_SECONDS := $(if $(filter file,$(origin FUZZ_SECONDS)),300,$(FUZZ_SECONDS))
test-long: TEST_SECONDS_MAX := 7200
test-long: export POLARYS_TEST_LONG := 1
test-long: ## every kind of test with its long settings, all programs under both sanitizers, fuzzing for minutes
	+@failed=(); \
	$(call build_suite,the products,all test-programs integration-needs); \
	$(call build_suite,the asan tests,$(asan_arguments) all test-programs); \
	$(call build_suite,the tsan tests,$(tsan_arguments) test-programs); \
	$(if $(FUZZ_NAMES),$(call build_suite,the fuzz targets,$(fuzz_arguments) fuzz-programs);) \
	$(run_tests) "$${failed[@]}" $(call named,,$(BUILD),$(UNIT_PROGRAMS) $(KIND_PROGRAMS)) $(call scripts_named,) \
		$(call named,asan/,$(BUILD_ASAN),$(UNIT_PROGRAMS) $(KIND_PROGRAMS)) \
		$(call named,tsan/,$(BUILD_TSAN),$(UNIT_PROGRAMS) $(KIND_PROGRAMS)) $(fuzz_named)

asan: ## unit, model and crash tests under the address and undefined behaviour sanitizers
	+@failed=(); $(call build_suite,the asan tests,$(asan_arguments) asan-programs); \
	$(run_tests) "$${failed[@]}" $(call named,asan/,$(BUILD_ASAN),$(ASAN_PROGRAMS))

ubsan: ## the same under the undefined behaviour sanitizer alone
	+@failed=(); $(call build_suite,the ubsan tests,$(ubsan_arguments) asan-programs); \
	$(run_tests) "$${failed[@]}" $(call named,ubsan/,$(BUILD_UBSAN),$(ASAN_PROGRAMS))

tsan: ## the concurrent tests under the thread sanitizer
	+@failed=(); $(call build_suite,the tsan tests,$(tsan_arguments) tsan-programs); \
	$(run_tests) "$${failed[@]}" $(call named,tsan/,$(BUILD_TSAN),$(TSAN_PROGRAMS))

fuzz: ## run every fuzz target for FUZZ_SECONDS (10)
	+@failed=(); $(call build_suite,the fuzz targets,$(fuzz_arguments) fuzz-programs); \
	$(run_tests) "$${failed[@]}" $(fuzz_named)

integration: ## the tests in tests/integration, against the real server
	+@failed=(); $(call build_suite,the products,integration-needs $(filter %/check-integration,$(TEST_PROGRAMS))); \
	$(run_tests) "$${failed[@]}" $(call named,,$(BUILD),$(filter check-integration,$(KIND_PROGRAMS))) $(call scripts_named,)

coverage: ## lines and branches that the tests reach, in BUILD/coverage/report
	+@failed=(); $(call build_suite,the tests,COVERAGE=1 BUILD=$(BUILD_COVERAGE) short-programs); \
	find $(BUILD_COVERAGE) -name '*.gcda' -delete; \
	$(run_tests) "$${failed[@]}" $(call named,coverage/,$(BUILD_COVERAGE),$(SHORT_PROGRAMS)) || echo 'some tests failed'; \
	mkdir -p $(BUILD_COVERAGE)/report; \
	gcovr --root . --filter engine/ --filter service/ --filter client/ --exclude-throw-branches -j $(JOBS) \
		--print-summary --html-details $(BUILD_COVERAGE)/report/index.html $(BUILD_COVERAGE)/obj | \
		grep -E '^(lines|branches|functions)'; \
	echo "report: $(BUILD_COVERAGE)/report/index.html"
