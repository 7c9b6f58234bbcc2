# SPDX-License-Identifier: Apache-2.0
# From proto/ to C.
#
# protobuf-c reads a `string` as a C string: cut at a NUL byte and with no length. A copy of each proto is made in which
# every string field is kept as bytes with a length; only this copy is compiled, so users of the protos see nothing of it.

PROTO_SOURCES := $(sort $(wildcard proto/*/*.proto proto/*/*/*.proto proto/*/*/*/*.proto))
PROTO_LOG := $(filter proto/polarys/log/%,$(PROTO_SOURCES))
PROTO_API := $(filter-out $(PROTO_LOG),$(PROTO_SOURCES))
PROTO_SYSTEM := /usr/include
# The well-known types that are used, by name: timestamp.proto and so on.
PROTO_KNOWN := $(if $(PROTO_SOURCES),$(shell sed -n 's|^import "google/protobuf/\([a-z_]*\.proto\)";.*|\1|p' \
	$(PROTO_SOURCES) | sort -u))

proto_copy = $(patsubst proto/%,$(BUILD)/gen/proto/%,$(1))
proto_c = $(patsubst proto/%.proto,$(BUILD)/gen/c/%.pb-c.c,$(1))
proto_o = $(patsubst proto/%.proto,$(BUILD)/obj/gen/%.pb-c.o,$(1))

PROTO_KNOWN_COPIES := $(PROTO_KNOWN:%=$(BUILD)/gen/proto/google/protobuf/%)
PROTO_KNOWN_C := $(PROTO_KNOWN:%.proto=$(BUILD)/gen/c/google/protobuf/%.pb-c.c)
PROTO_KNOWN_O := $(PROTO_KNOWN:%.proto=$(BUILD)/obj/gen/google/protobuf/%.pb-c.o)
PROTO_COPIES := $(call proto_copy,$(PROTO_SOURCES)) $(PROTO_KNOWN_COPIES)

GEN_LOG_C := $(call proto_c,$(PROTO_LOG)) $(PROTO_KNOWN_C)
GEN_LOG_H := $(GEN_LOG_C:.c=.h)
GEN_LOG_O := $(call proto_o,$(PROTO_LOG)) $(PROTO_KNOWN_O)
GEN_API_C := $(call proto_c,$(PROTO_API))
GEN_API_H := $(GEN_API_C:.c=.h) $(GEN_LOG_H)
GEN_API_O := $(call proto_o,$(PROTO_API))

# A proto that was removed or renamed must not live on in its generated header: then all is generated anew.
PROTO_LIST := $(BUILD)/gen.list
$(if $(wildcard $(PROTO_LIST)),$(if $(call same,$(strip $(file <$(PROTO_LIST))),$(PROTO_SOURCES)),,$(shell \
	rm -rf $(BUILD)/gen)))
$(call remember,$(PROTO_LIST),$(PROTO_SOURCES))

$(BUILD)/gen/proto/%.proto: proto/%.proto mk/proto_bytes.py
	$(Q)mkdir -p $(@D)
	$(Q)$(PYTHON) mk/proto_bytes.py $< $@

$(PROTO_KNOWN_COPIES): $(BUILD)/gen/proto/%: $(PROTO_SYSTEM)/% mk/proto_bytes.py
	$(Q)mkdir -p $(@D)
	$(Q)$(PYTHON) mk/proto_bytes.py $< $@

$(BUILD)/gen/c/%.pb-c.c $(BUILD)/gen/c/%.pb-c.h: $(BUILD)/gen/proto/%.proto | $(PROTO_COPIES)
	$(call say,PROTO,$*.proto)
	$(Q)mkdir -p $(@D)
	$(Q)protoc-c --proto_path=$(BUILD)/gen/proto --proto_path=$(PROTO_SYSTEM) --c_out=$(BUILD)/gen/c $<
	$(Q)touch $(BUILD)/gen/c/$*.pb-c.c $(BUILD)/gen/c/$*.pb-c.h

# An enum or a message that moves changes its importers' code too: regenerate on any change among the imports.
define proto_imports
$(call proto_c,$(1)) $(patsubst %.c,%.h,$(call proto_c,$(1))): $(filter $(PROTO_COPIES),$(addprefix \
	$(BUILD)/gen/proto/,$(shell sed -n 's|^import \(public \)\?"\([^"]*\)";.*|\2|p' $(1))))
endef
$(foreach proto,$(PROTO_SOURCES),$(eval $(call proto_imports,$(proto))))

# What the reflection service shows: the public protos as written, with everything they import.
PROTO_PUBLIC := $(PROTO_API)
DESCRIPTORS := $(BUILD)/gen/descriptors.binpb
DESCRIPTORS_C := $(BUILD)/gen/c/polarys_descriptors.c
DESCRIPTORS_H := $(BUILD)/gen/c/polarys_descriptors.h
DESCRIPTORS_O := $(BUILD)/obj/gen/polarys_descriptors.o

$(DESCRIPTORS): $(PROTO_SOURCES)
	$(call say,PROTO,$(notdir $@))
	$(Q)mkdir -p $(@D)
	$(Q)protoc --proto_path=proto --proto_path=$(PROTO_SYSTEM) --include_imports --descriptor_set_out=$@ $(PROTO_PUBLIC)

$(DESCRIPTORS_C) $(DESCRIPTORS_H) &: $(DESCRIPTORS) mk/embed.py
	$(Q)mkdir -p $(@D)
	$(Q)$(PYTHON) mk/embed.py polarys_descriptor_set $(DESCRIPTORS) $(DESCRIPTORS_C) $(DESCRIPTORS_H)

# Generated files include each other, so all headers come before any object.
$(BUILD)/obj/gen/%.o: $(BUILD)/gen/c/%.c $(STAMP_FLAGS) | $(GEN_API_H)
	$(call say,CC,$(<:$(BUILD)/%=%))
	$(Q)mkdir -p $(@D)
	$(Q)$(CCACHE) $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -w $(DEPFLAGS) -c $< -o $@

# Named here, generated files are no intermediate ones that make would forget.
.PHONY: generated
generated: $(PROTO_COPIES) $(GEN_LOG_C) $(GEN_API_C) $(GEN_API_H) $(if $(PROTO_PUBLIC),$(DESCRIPTORS_H))
