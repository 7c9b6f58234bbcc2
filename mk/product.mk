# SPDX-License-Identifier: Apache-2.0
# Libraries and programs. Sources are found, never listed; a module is a folder of engine/.

object = $(patsubst %.c,$(BUILD)/obj/%.o,$(filter %.c,$(1))) $(patsubst %.cc,$(BUILD)/obj/%.cc.o,$(filter %.cc,$(1)))
# engine/*.c belongs to the module `engine`; any other module is a folder.
module_sources = $(sort $(if $(filter engine,$(1)),$(wildcard engine/*.c),$(wildcard engine/$(1)/*.c)))

MODULES := $(foreach module,$(LAYERS),$(if $(call module_sources,$(module)),$(module)))
MODULES_UNKNOWN := $(filter-out $(LAYERS),$(patsubst engine/%/,%,$(sort $(dir $(wildcard engine/*/*.c)))))
$(if $(MODULES_UNKNOWN),$(error engine/$(MODULES_UNKNOWN) is in no layer: give it its place in mk/layers.mk))

module_archive = $(BUILD)/obj/engine_$(1).a

ENGINE_C := $(foreach module,$(MODULES),$(call module_sources,$(module)))
CLIENT_C := $(sort $(wildcard client/*.c))
CLI_C := $(sort $(wildcard client/cli/*.c))
SERVICE_C := $(sort $(wildcard service/*.c service/*/*.c))
# These modules know nothing of the log's messages, so a broken proto does not stop them.
PROTO_FREE_C := $(foreach module,base vfs crypto memtable,$(call module_sources,$(module)))

$(call object,$(filter-out $(PROTO_FREE_C),$(ENGINE_C))): | $(GEN_LOG_H)
$(call object,$(CLIENT_C) $(CLI_C) $(SERVICE_C)): | $(GEN_API_H) $(if $(PROTO_PUBLIC),$(DESCRIPTORS_H))

$(BUILD)/obj/%.o: %.c $(STAMP_FLAGS)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CCACHE) $(CC) $(CPPFLAGS_ALL) $(WARNINGS_C) $(CFLAGS_ALL) $(DEPFLAGS) -c $< -o $@

# $(call archive,path,objects): the list beside it makes a removed source leave the archive.
define archive
$(call remember,$(1:.a=.list),$(2))
$(1): $(2) $(1:.a=.list)
	$$(call say,AR,$$(@:$(BUILD)/%=%))
	$$(Q)rm -f $$@
	$$(Q)$(AR) rcs $$@ $(2)
endef

$(foreach module,$(MODULES),$(eval $(call archive,$(call module_archive,$(module)),$(call object,$(call \
	module_sources,$(module))))))

PROTO_LOG_A := $(if $(GEN_LOG_O),$(BUILD)/obj/proto_log.a)
PROTO_API_A := $(if $(GEN_API_O),$(BUILD)/obj/proto_api.a)
LIBPOLARYSDB_A := $(if $(ENGINE_C),$(BUILD)/libpolarysdb.a)
LIBPOLARYSDB_SO := $(if $(ENGINE_C),$(BUILD)/libpolarysdb.so)
LIBPOLARYS_A := $(if $(CLIENT_C),$(BUILD)/libpolarys.a)
LIBPOLARYS_SO := $(if $(CLIENT_C),$(BUILD)/libpolarys.so)
SERVICE_A := $(if $(filter-out service/main.c,$(SERVICE_C)),$(BUILD)/obj/service.a)
CLI_A := $(if $(filter-out client/cli/main.c,$(CLI_C)),$(BUILD)/obj/cli.a)
POLARYSD := $(if $(filter service/main.c,$(SERVICE_C)),$(BUILD)/polarysd)
POLARYS := $(if $(filter client/cli/main.c,$(CLI_C)),$(BUILD)/polarys)

ENGINE_O := $(call object,$(ENGINE_C)) $(GEN_LOG_O)
CLIENT_O := $(call object,$(CLIENT_C)) $(GEN_LOG_O) $(GEN_API_O)

$(if $(PROTO_LOG_A),$(eval $(call archive,$(PROTO_LOG_A),$(GEN_LOG_O))))
$(if $(PROTO_API_A),$(eval $(call archive,$(PROTO_API_A),$(GEN_API_O))))
$(if $(LIBPOLARYSDB_A),$(eval $(call archive,$(LIBPOLARYSDB_A),$(ENGINE_O))))
$(if $(LIBPOLARYS_A),$(eval $(call archive,$(LIBPOLARYS_A),$(CLIENT_O))))
$(if $(SERVICE_A),$(eval $(call archive,$(SERVICE_A),$(call object,$(filter-out service/main.c,$(SERVICE_C))) \
	$(if $(PROTO_PUBLIC),$(DESCRIPTORS_O)))))
$(if $(CLI_A),$(eval $(call archive,$(CLI_A),$(call object,$(filter-out client/cli/main.c,$(CLI_C))))))

LINK = $(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL)
# A sanitizer's run-time library belongs to the program, so a shared library may leave its names open.
SHARED := -shared $(if $(INSTRUMENT),,-Wl,-z,defs)

# $(call shared,name,objects,libraries)
define shared
$(BUILD)/$(1).so.0: $(2) $(BUILD)/$(1).list mk/$(1).map
	$$(call say,LD,$$(@:$(BUILD)/%=%))
	$$(LINK) $(SHARED) -Wl,-soname,$(1).so.0 -Wl,--version-script=mk/$(1).map $(2) $(3) -o $$@

$(BUILD)/$(1).so: $(BUILD)/$(1).so.0
	$$(Q)ln -sf $(1).so.0 $$@
endef

$(if $(ENGINE_C),$(eval $(call shared,libpolarysdb,$(ENGINE_O),$(ENGINE_LIBS))))
$(if $(CLIENT_C),$(eval $(call shared,libpolarys,$(CLIENT_O),$(CLIENT_LIBS))))

$(BUILD)/polarysd: $(BUILD)/obj/service/main.o $(SERVICE_A) $(LIBPOLARYSDB_A) $(PROTO_API_A) $(PROTO_LOG_A)
	$(call say,LD,$(@:$(BUILD)/%=%))
	$(LINK) -pie $^ $(SERVICE_LIBS) $(ENGINE_LIBS) -o $@

$(BUILD)/polarys: $(BUILD)/obj/client/cli/main.o $(CLI_A) $(LIBPOLARYS_A) $(LIBPOLARYSDB_A) $(PROTO_API_A) $(PROTO_LOG_A)
	$(call say,LD,$(@:$(BUILD)/%=%))
	$(LINK) -pie $^ $(CLIENT_LIBS) $(CLI_LIBS) $(ENGINE_LIBS) -o $@

PRODUCTS := $(LIBPOLARYSDB_A) $(LIBPOLARYSDB_SO) $(LIBPOLARYS_A) $(LIBPOLARYS_SO) $(POLARYSD) $(POLARYS)
