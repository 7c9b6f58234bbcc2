# SPDX-License-Identifier: Apache-2.0
# Measurements. bench/*.c are programs; a program's further sources are in bench/<name>/. bench/bench.mk says:
#   BENCH_OF_CLIENT := name ...      linked with the client library too
#   BENCH_OF_STORES := name ...      linked with the adapters of bench/stores/ and the rivals behind them
#   BENCH_OF_GRPC := name ...        linked with gRPC alone, without the engine
#   BENCH_VARIANTS := name ...       the program BENCH_VARIANT_OF_name with bench/<name>/*.c before the engine
#   BENCH_FOLDER_name := folder      its folder when that is not its name
# Sources that every program shares live in bench/support/. bench/run.py runs and reports.

BENCH_OF_CLIENT :=
BENCH_OF_STORES :=
BENCH_OF_GRPC :=
BENCH_VARIANTS :=
-include $(wildcard bench/bench.mk)

BENCH_C := $(sort $(wildcard bench/*.c))
BENCH_SUPPORT_C := $(sort $(wildcard bench/support/*.c))
BENCH_STORES_C := $(sort $(wildcard bench/stores/*.c))
BENCH_STORES_LIBS := -lrocksdb -lleveldb -llmdb -lsqlite3
BENCH_GRPC_LIBS := -lgrpc -lgpr
BENCH_NAMES := $(patsubst bench/%.c,%,$(BENCH_C)) $(BENCH_VARIANTS)
BENCH_ARGS ?=

bench_folder_c = $(sort $(wildcard bench/$(or $(BENCH_FOLDER_$(1)),$(1))/*.c))
bench_own = bench/$(1).c $(call bench_folder_c,$(1))
bench_sources = $(if $(BENCH_VARIANT_OF_$(1)),$(call bench_own,$(BENCH_VARIANT_OF_$(1))) $(call \
	bench_folder_c,$(1)),$(call bench_own,$(1))) $(BENCH_SUPPORT_C)
bench_is = $(filter $(1),$(2))
BENCH_ALL_C := $(sort $(foreach each,$(BENCH_NAMES),$(call bench_sources,$(each))) $(BENCH_STORES_C))

$(call object,$(BENCH_ALL_C)): | $(GEN_API_H)
# $(call bench_program,name,further objects,libraries): what stands before the engine's archive wins over it.
define bench_program
$(BUILD)/bench/$(1): $(call object,$(call bench_sources,$(1))) $(2) $(if $(call bench_is,$(1),$(BENCH_OF_GRPC)),,$(LIBPOLARYSDB_A))
	$$(call say,LD,bench/$(1))
	$$(Q)mkdir -p $$(@D)
	$$(LINK) -pie $$^ $(3) -o $$@
endef
$(foreach each,$(BENCH_NAMES),$(eval $(call bench_program,$(each),$(strip \
	$(if $(call bench_is,$(each),$(BENCH_OF_CLIENT)),$(LIBPOLARYS_A)) \
	$(if $(call bench_is,$(each),$(BENCH_OF_STORES)),$(call object,$(BENCH_STORES_C)))),$(strip \
	$(if $(call bench_is,$(each),$(BENCH_OF_CLIENT)),$(CLIENT_LIBS)) \
	$(if $(call bench_is,$(each),$(BENCH_OF_STORES)),$(BENCH_STORES_LIBS)) \
	$(if $(call bench_is,$(each),$(BENCH_OF_GRPC)),$(BENCH_GRPC_LIBS),$(ENGINE_LIBS))))))
TEST_OBJECTS += $(call object,$(BENCH_ALL_C))

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
