# SPDX-License-Identifier: Apache-2.0
# Measurements. bench/*.c are programs; bench/bench.mk names those that need more than the engine:
#   BENCH_OF_CLIENT := name ...      linked with the client library too
#   BENCH_OF_RIVALS := name ...      linked with BENCH_LIBS_name
#   BENCH_LIBS_name := -l...
# Sources that other programs share live in bench/support/. bench/run.py runs and reports.

BENCH_OF_CLIENT :=
BENCH_OF_RIVALS :=
-include $(wildcard bench/bench.mk)

BENCH_C := $(sort $(wildcard bench/*.c))
BENCH_SUPPORT_C := $(sort $(wildcard bench/support/*.c))
BENCH_NAMES := $(patsubst bench/%.c,%,$(BENCH_C))
BENCH_ARGS ?=

$(call object,$(BENCH_C) $(BENCH_SUPPORT_C)): | $(GEN_API_H)
define bench_program
$(BUILD)/bench/$(1): $(call object,bench/$(1).c $(BENCH_SUPPORT_C)) $(2) $(LIBPOLARYSDB_A)
	$$(call say,LD,bench/$(1))
	$$(Q)mkdir -p $$(@D)
	$$(LINK) -pie $$^ $(3) $(BENCH_LIBS_$(1)) $(ENGINE_LIBS) -o $$@
endef
$(foreach each,$(BENCH_NAMES),$(if $(filter $(each),$(BENCH_OF_CLIENT)),$(eval $(call \
	bench_program,$(each),$(LIBPOLARYS_A),$(CLIENT_LIBS))),$(eval $(call bench_program,$(each)))))
TEST_OBJECTS += $(call object,$(BENCH_C) $(BENCH_SUPPORT_C))

.PHONY: bench bench-full bench-report bench-programs
bench-programs: $(BENCH_NAMES:%=$(BUILD)/bench/%) $(POLARYSD) $(POLARYS)
bench_run = $(if $(wildcard bench/run.py),$(Q)POLARYS_BUILD=$(BUILD) $(PYTHON) bench/run.py $(1) --build $(BUILD) \
	$(BENCH_ARGS),@echo 'there is no bench/run.py' >&2; exit 1)

bench: bench-programs ## measure the main figures in a few minutes
	$(call bench_run,quick)

bench-full: bench-programs ## measure everything, rivals included
	$(call bench_run,full)

bench-report: ## write the report of the last measurements
	$(call bench_run,report)
