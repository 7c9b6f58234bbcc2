# SPDX-License-Identifier: Apache-2.0
# Measurements. bench/*.c are programs; bench/bench.mk names those that need more than the engine:
#   BENCH_OF_CLIENT := name ...      linked with the client library too
#   BENCH_OF_STORES := name ...      linked with the adapters of bench/stores/ and the rivals behind them
#   BENCH_LIBS_name := -l...
# Sources that every program shares live in bench/support/. bench/run.py runs and reports.

BENCH_OF_CLIENT :=
BENCH_OF_STORES :=
-include $(wildcard bench/bench.mk)

BENCH_C := $(sort $(wildcard bench/*.c))
BENCH_SUPPORT_C := $(sort $(wildcard bench/support/*.c))
BENCH_STORES_C := $(sort $(wildcard bench/stores/*.c))
BENCH_STORES_LIBS := -lrocksdb -lleveldb -llmdb -lsqlite3
BENCH_NAMES := $(patsubst bench/%.c,%,$(BENCH_C))
BENCH_ARGS ?=

$(call object,$(BENCH_C) $(BENCH_SUPPORT_C) $(BENCH_STORES_C)): | $(GEN_API_H)
define bench_program
$(BUILD)/bench/$(1): $(call object,bench/$(1).c $(BENCH_SUPPORT_C)) $(2) $(LIBPOLARYSDB_A)
	$$(call say,LD,bench/$(1))
	$$(Q)mkdir -p $$(@D)
	$$(LINK) -pie $$^ $(3) $(BENCH_LIBS_$(1)) $(ENGINE_LIBS) -o $$@
endef
$(foreach each,$(BENCH_NAMES),$(eval $(call bench_program,$(each),$(strip \
	$(if $(filter $(each),$(BENCH_OF_CLIENT)),$(LIBPOLARYS_A)) \
	$(if $(filter $(each),$(BENCH_OF_STORES)),$(call object,$(BENCH_STORES_C)))),$(strip \
	$(if $(filter $(each),$(BENCH_OF_CLIENT)),$(CLIENT_LIBS)) \
	$(if $(filter $(each),$(BENCH_OF_STORES)),$(BENCH_STORES_LIBS))))))
TEST_OBJECTS += $(call object,$(BENCH_C) $(BENCH_SUPPORT_C) $(BENCH_STORES_C))

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
