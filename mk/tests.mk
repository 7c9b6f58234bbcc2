# SPDX-License-Identifier: Apache-2.0
# Test programs: one a module for unit tests, one a kind for the rest.
#
# A unit test is linked with its module and the modules below it only, so it can be built while those above cannot.

PCH := $(BUILD)/obj/pch/test_pch.h
TEST_CPP = $(CPPFLAGS_ALL) -I$(BUILD)/obj/pch

$(PCH).gch: mk/test_pch.h $(STAMP_FLAGS)
	$(call say,PCH,$<)
	$(Q)mkdir -p $(@D)
	$(Q)cp $< $(PCH)
	$(Q)$(CXX) $(CPPFLAGS_ALL) $(WARNINGS_CXX) $(CXXFLAGS_ALL) -x c++-header $< -o $@

$(BUILD)/obj/%.cc.o: %.cc $(STAMP_FLAGS) $(PCH).gch
	$(call say,CXX,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CCACHE) $(CXX) -include $(PCH) $(TEST_CPP) $(WARNINGS_CXX) $(CXXFLAGS_ALL) $(DEPFLAGS) -c $< -o $@

sources_in = $(sort $(wildcard $(addsuffix /*.c,$(1)) $(addsuffix /*.cc,$(1))))

# Support for tests: tests/support for all, tests/support/<module> for that module and those above it.
support_sources = $(call sources_in,tests/support$(1))
define support
TEST_SUPPORT_$(1) := $(if $(call support_sources,$(2)),$(BUILD)/obj/support_$(1).a)
$(if $(call support_sources,$(2)),$(call archive,$(BUILD)/obj/support_$(1).a,$(call object,$(call support_sources,$(2)))))
endef
SUPPORT_FOLDERS := $(LAYERS) service client cli
$(eval $(call support,common,))
$(foreach folder,$(SUPPORT_FOLDERS),$(eval $(call support,$(folder),/$(folder))))

# $(call up_to,module,list): the words of the list up to and with the module.
up_to = $(firstword $(2)) $(if $(filter $(1),$(firstword $(2))),,$(if $(2),$(call up_to,$(1),$(wordlist 2,99,$(2)))))
reverse = $(if $(1),$(call reverse,$(wordlist 2,99,$(1))) $(firstword $(1)))
engine_archives = $(foreach module,$(call reverse,$(1)),$(if $(filter $(module),$(MODULES)),$(call \
	module_archive,$(module))))
supports = $(foreach folder,$(call reverse,$(1)) common,$(TEST_SUPPORT_$(folder)))

# tests/support/fault_alloc.c makes the nth allocation fail: it stands in for these functions.
FAULT_ALLOC := $(foreach each,malloc calloc realloc aligned_alloc strdup strndup,-Wl$(comma)--wrap=$(each))
LINK_TEST = $(CXX) $(CXXFLAGS_ALL) $(LDFLAGS_ALL) $(FAULT_ALLOC) -pie
# $(call test_program,name,sources,archives,libraries)
define test_program
TEST_PROGRAMS += $(BUILD)/test/$(1)
$(call remember,$(BUILD)/test/$(1).list,$(call object,$(2)))
$(BUILD)/test/$(1): $(call object,$(2)) $(3) $(BUILD)/test/$(1).list
	$$(call say,LD,test/$(1))
	$$(Q)$$(LINK_TEST) $(call object,$(2)) -Wl,--start-group $(3) -Wl,--end-group $(GTEST_LIBS) $(4) -o $$@
TEST_OBJECTS += $(call object,$(2))
endef

TEST_PROGRAMS :=
TEST_OBJECTS := $(call object,$(call sources_in,tests/support $(SUPPORT_FOLDERS:%=tests/support/%)))
tests_in = $(if $(wildcard $(1)/*_test.cc),$(call sources_in,$(1)))

unit_layers = $(call up_to,$(1),$(LAYERS))
unit_archives = $(call supports,$(unit_layers)) $(call engine_archives,$(unit_layers)) $(PROTO_LOG_A)
define unit_engine
UNITS += $(1)
$(call test_program,unit-$(1),$(call sources_in,tests/unit/$(1)),$(call unit_archives,$(1)),$(ENGINE_LIBS))
endef
UNITS :=
$(foreach module,$(MODULES),$(if $(call tests_in,tests/unit/$(module)),$(eval $(call unit_engine,$(module)))))

ifneq ($(and $(call tests_in,tests/unit/service),$(SERVICE_A)),)
UNITS += service
$(eval $(call test_program,unit-service,$(call sources_in,tests/unit/service),$(call supports,$(LAYERS) service) \
	$(SERVICE_A) $(LIBPOLARYSDB_A) $(PROTO_API_A),$(SERVICE_LIBS) $(ENGINE_LIBS)))
endif
ifneq ($(and $(call tests_in,tests/unit/client),$(LIBPOLARYS_A)),)
UNITS += client
$(eval $(call test_program,unit-client,$(call sources_in,tests/unit/client),$(call supports,base vfs crypto client) \
	$(LIBPOLARYS_A) $(call engine_archives,base vfs crypto),$(CLIENT_LIBS) $(ENGINE_LIBS)))
endif
ifneq ($(and $(call tests_in,tests/unit/cli),$(CLI_A)),)
UNITS += cli
$(eval $(call test_program,unit-cli,$(call sources_in,tests/unit/cli),$(call supports,$(LAYERS) client cli) \
	$(CLI_A) $(LIBPOLARYS_A) $(LIBPOLARYSDB_A),$(CLIENT_LIBS) $(CLI_LIBS) $(ENGINE_LIBS)))
endif

# The other kinds: the whole engine, and the client as well for those that talk to a server.
KINDS := model crash fault tamper sim regress compat history integration
KINDS_OF_CLIENT := history integration
kind_client = $(if $(filter $(1),$(KINDS_OF_CLIENT)),$(2))
# The simulated group uses the parts of the server that count acknowledgements.
KINDS_OF_SERVICE := sim
kind_service = $(if $(filter $(1),$(KINDS_OF_SERVICE)),$(2))
kind_supports = $(call supports,$(LAYERS) $(call kind_client,$(1),client))
kind_archives = $(call kind_supports,$(1)) $(call kind_client,$(1),$(LIBPOLARYS_A)) $(call \
	kind_service,$(1),$(SERVICE_A)) $(LIBPOLARYSDB_A) $(call kind_service,$(1),$(PROTO_API_A))
kind_libraries = $(call kind_client,$(1),$(CLIENT_LIBS)) $(call kind_service,$(1),$(SERVICE_LIBS)) $(ENGINE_LIBS)
define kind
KINDS_FOUND += $(1)
$(call test_program,check-$(1),$(call sources_in,tests/$(1)),$(call kind_archives,$(1)),$(call kind_libraries,$(1)))
endef
KINDS_FOUND :=
$(foreach each,$(KINDS),$(if $(call tests_in,tests/$(each)),$(eval $(call kind,$(each)))))

# Lower modules' tests need no generated header; see PROTO_FREE_C.
TEST_PROTO_FREE := $(foreach folder,unit/base unit/vfs unit/crypto unit/memtable support,$(BUILD)/obj/tests/$(folder))
$(foreach each,$(TEST_OBJECTS),$(if $(filter $(patsubst %/,%,$(dir $(each))),$(TEST_PROTO_FREE)),,$(eval \
	$(each): | $(if $(filter $(MODULES:%=$(BUILD)/obj/tests/unit/%/),$(dir $(each))),$(GEN_LOG_H),$(GEN_API_H) \
	$(if $(PROTO_PUBLIC),$(DESCRIPTORS_H))))))

TEST_ARGS ?=
TEST_ENV = POLARYS_BUILD=$(BUILD) POLARYS_SEED=$(SEED)
SEED ?=

.PHONY: $(UNITS:%=unit-%) $(KINDS_FOUND:%=check-%) unit test-programs
$(UNITS:%=unit-%) $(KINDS_FOUND:%=check-%): %: $(BUILD)/test/%
	$(Q)$(TEST_ENV) timeout 900 $< $(TEST_ARGS)

unit: $(UNITS:%=unit-%) ## build and run the unit tests of every module (also: unit-<module>)

# A module without tests is named, not silently passed.
unit-%:
	$(Q)echo "no tests in tests/unit/$*, or nothing to link them with" >&2; exit 1
check-%:
	$(Q)echo "no *_test.cc in tests/$*" >&2; exit 1

test-programs: $(TEST_PROGRAMS)
