# SPDX-License-Identifier: Apache-2.0
# Installing, and running from the tree.

BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
PROTODIR ?= $(PREFIX)/share/polarys/proto
PUBLIC_HEADERS := $(filter-out %_internal.h,$(wildcard engine/engine.h engine/engine_*.h client/polarys.h client/polarys_*.h))
PKGCONFIG := $(if $(LIBPOLARYS_A),polarys) $(if $(LIBPOLARYSDB_A),polarysdb)

# $(call install_library,name): archive, library with its soname, and the name that a linker looks for.
define install_library
	$(Q)install -m 644 $(BUILD)/$(1).a $(DESTDIR)$(LIBDIR)/$(1).a
	$(Q)install -m 755 $(BUILD)/$(1).so.0 $(DESTDIR)$(LIBDIR)/$(1).so.0
	$(Q)ln -sf $(1).so.0 $(DESTDIR)$(LIBDIR)/$(1).so

endef

.PHONY: install run demo-data
install: all ## install programs, libraries, headers, protos and pkg-config files (PREFIX=, DESTDIR=)
	$(Q)install -d $(addprefix $(DESTDIR),$(BINDIR) $(LIBDIR)/pkgconfig $(INCLUDEDIR)/polarys $(PROTODIR))
	$(if $(POLARYSD)$(POLARYS),$(Q)install -m 755 $(POLARYSD) $(POLARYS) $(DESTDIR)$(BINDIR))
	$(if $(LIBPOLARYSDB_A),$(call install_library,libpolarysdb))
	$(if $(LIBPOLARYS_A),$(call install_library,libpolarys))
	$(Q)$(PYTHON) mk/install_headers.py $(DESTDIR)$(INCLUDEDIR)/polarys $(PUBLIC_HEADERS)
	$(Q)cd proto && find . -name '*.proto' ! -path './polarys/log/*' -exec install -D -m 644 {} $(abspath \
		$(DESTDIR)$(PROTODIR))/{} \;
	$(Q)for name in $(PKGCONFIG); do \
		sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|; s|@VERSION@|$(VERSION)|' \
			-e 's|@PROTODIR@|$(PROTODIR)|; s|@ENGINE_LIBS@|$(ENGINE_LIBS)|; s|@CLIENT_LIBS@|$(CLIENT_LIBS)|' \
			mk/pkgconfig/$$name.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/$$name.pc; done
	@echo "installed to $(DESTDIR)$(PREFIX)"

RUN_ARGS ?=
run: all ## install what is missing, build, start a server on $(BUILD)/dev-data that says what to try first
	$(if $(POLARYSD),,$(error there is no service/main.c to run))
	$(Q)mkdir -p $(BUILD)/dev-data
	$(Q)exec $(BUILD)/polarysd --dev --data-dir $(BUILD)/dev-data $(RUN_ARGS)

demo-data: ## turn the package index of this machine into a file of 60,000 JSON documents
	$(Q)command -v python3 >/dev/null || bash mk/deps.sh 'make the demo data' python3
	$(Q)$(PYTHON) mk/demo_data.py $(BUILD)/demo/packages.jsonl
