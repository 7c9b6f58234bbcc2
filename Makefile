# SPDX-License-Identifier: Apache-2.0
# PolarysDB. `make help` names the targets; the rules live in mk/.

MAKEFLAGS += --no-builtin-rules --no-print-directory
ifeq ($(MAKELEVEL),0)
# As many jobs as there are processors, unless the command line says another number.
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 1)
endif
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

include mk/config.mk mk/deps.mk

# Objects depend on the flags they were compiled with.
STAMP_FLAGS := $(BUILD)/obj/flags
$(call remember,$(STAMP_FLAGS),$(CC) $(CXX) $(shell $(CC) -dumpfullversion 2>/dev/null) $(CPPFLAGS_ALL) $(WARNINGS_C) \
	$(CFLAGS_ALL) $(CXXFLAGS_ALL) $(LDFLAGS_ALL))

include mk/layers.mk mk/proto.mk mk/product.mk mk/tests.mk mk/suites.mk mk/lint.mk mk/bench.mk mk/install.mk

.PHONY: all help clean

all: $(PRODUCTS) ## build the server, the command line and both libraries

help: ## print this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile mk/*.mk | sort | column -t -s '|'

clean: ## remove everything that was built
	$(Q)rm -rf $(BUILD)

DEPENDENCIES := $(patsubst %.o,%.d,$(call object,$(ENGINE_C) $(CLIENT_C) $(CLI_C) $(SERVICE_C)) $(GEN_LOG_O) $(GEN_API_O) \
	$(DESCRIPTORS_O) $(TEST_OBJECTS))
-include $(wildcard $(DEPENDENCIES))
