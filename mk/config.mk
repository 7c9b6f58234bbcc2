# SPDX-License-Identifier: Apache-2.0
# Toolchain, flags and the place where everything is built.
#
# One build directory belongs to one set of flags. SANITIZE and COVERAGE choose other flags and, unless BUILD is given,
# another directory, so that a sanitizer build never disturbs the plain one.

SANITIZE ?=
COVERAGE ?=

ifneq ($(COVERAGE),)
BUILD ?= build/coverage
else ifeq ($(SANITIZE),)
BUILD ?= build
else ifeq ($(SANITIZE),address,undefined)
BUILD ?= build/asan
else ifeq ($(SANITIZE),undefined)
BUILD ?= build/ubsan
else ifeq ($(SANITIZE),thread)
BUILD ?= build/tsan
else ifeq ($(SANITIZE),fuzzer)
BUILD ?= build/fuzz
else
$(error SANITIZE is "$(SANITIZE)"; say address,undefined or undefined or thread or fuzzer)
endif

PREFIX ?= /usr/local
DESTDIR ?=
VERSION ?= 0.1.0

ifeq ($(origin CC),default)
CC := $(if $(filter fuzzer,$(SANITIZE)),clang-14,gcc)
endif
ifeq ($(origin CXX),default)
CXX := $(if $(filter fuzzer,$(SANITIZE)),clang++-14,g++)
endif
ifeq ($(origin AR),default)
AR := gcc-ar
endif
PYTHON := /usr/bin/python3

# ccache is used when it is there. The sloppiness is what a precompiled header asks for.
CCACHE ?= $(shell command -v ccache 2>/dev/null)
export CCACHE_SLOPPINESS := pch_defines,time_macros

# V=1 shows whole commands; otherwise one short line a step.
V ?=
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' '$(1)' '$(2)')

WARNINGS := -Wall -Wextra -Wshadow -Wvla -Werror
# The initialisers that protoc-c generates leave out braces and fields, and are expanded in our files.
WARNINGS_C := $(WARNINGS) -Wstrict-prototypes -Wmissing-prototypes \
	-Wno-missing-braces -Wno-missing-field-initializers
# GCC 12 takes the inside of a std::function for uninitialised.
WARNINGS_CXX := $(WARNINGS) -Wno-maybe-uninitialized

ifneq ($(filter clang%,$(notdir $(CC))),)
# Shipped warnings are those of gcc; another compiler may warn, but does not stop a build.
WARNINGS_C += -Wno-error
WARNINGS_CXX += -Wno-error
else
INTERPOSITION := -fno-semantic-interposition
endif

comma := ,
OPT ?= -O2
HARDENING := -fstack-protector-strong
LINK_HARDENING := -Wl,-z,relro,-z,now -Wl,--as-needed
INSTRUMENT :=

ifneq ($(COVERAGE),)
OPT := -O0
INSTRUMENT := --coverage -fprofile-update=atomic -DPOLARYS_COVERAGE=1
else ifeq ($(SANITIZE),)
HARDENING += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
else ifeq ($(SANITIZE),fuzzer)
OPT := -O1
INSTRUMENT := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
else
OPT := -O1
INSTRUMENT := -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
endif

# Sanitizer builds also check the ranks of mutexes.
CPPFLAGS_ALL = -D_GNU_SOURCE $(if $(SANITIZE),-DPOLARYS_DEBUG) -I. -I$(BUILD)/gen/c -DPOLARYS_VERSION='"$(VERSION)"' $(CPPFLAGS)
COMMON_FLAGS = $(OPT) -g -pthread $(HARDENING) $(INSTRUMENT)
# Engine, client and generated objects go into shared libraries as well as programs: one object for both.
PIC_FLAGS := -fPIC $(INTERPOSITION)
CFLAGS_ALL = -std=c17 $(COMMON_FLAGS) $(PIC_FLAGS) $(CFLAGS)
CXXFLAGS_ALL = -std=c++17 $(COMMON_FLAGS) -fPIE $(CXXFLAGS)
LDFLAGS_ALL = -pthread $(INSTRUMENT) $(LINK_HARDENING) $(LDFLAGS)
DEPFLAGS = -MMD -MP -MF $(@:.o=.d)

ENGINE_LIBS := -lprotobuf-c -lcrypto -lzstd -lxxhash -lisal -lyajl -licuuc -lstemmer -lm
CLIENT_LIBS := -lgrpc -lgpr -lprotobuf-c
CLI_LIBS := -lgrpc -lgpr -lssl -lcrypto -ledit -lyajl -lcurl
SERVICE_LIBS := -lgrpc -lgpr -lprotobuf-c -lssl -lcrypto -lev -lmicrohttpd -lyaml -lyajl
GTEST_LIBS := -lgmock -lgtest -lgtest_main

# $(call remember,file,text): the file holds the text; its time changes only when the text does. Objects and archives
# depend on such files, so a changed flag or a removed source rebuilds what it must. No process is started for it.
remember = $(if $(call same,$(strip $(file <$(1))),$(strip $(2))),,$(shell mkdir -p $(dir $(1)))$(file >$(1),$(strip $(2))))
same = $(if $(subst x$(1)x,,x$(2)x)$(subst x$(2)x,,x$(1)x),,same)
