# SPDX-License-Identifier: Apache-2.0
# House rules as checks. A finding names the file, the line and what to write instead.

LINT_CHECKS := format layers sizes words headers scripts buf cppcheck tidy
BUF := $(BUILD)/npm/node_modules/.bin/buf

$(BUF): mk/deps.mk
	$(call say,NPM,buf $(BUF_VERSION))
	$(Q)npm install --prefix $(BUILD)/npm --no-save --no-audit --no-fund --loglevel=error \
		@bufbuild/buf@$(BUF_VERSION) >/dev/null
	$(Q)touch $@

LINT_GENERATED := $(GEN_API_H) $(if $(PROTO_PUBLIC),$(DESCRIPTORS_H))

.PHONY: lint fmt $(LINT_CHECKS:%=lint-%)
lint: $(LINT_GENERATED) ## check format, tidy, cppcheck, layers, sizes, headers, words, protos (also: lint-<check>)
	$(Q)$(MAKE) $(BUF) || true
	$(Q)BUILD=$(BUILD) bash mk/lint/run.sh $(LINT_CHECKS)

$(LINT_CHECKS:%=lint-%): lint-%: $(LINT_GENERATED)
	$(Q)BUILD=$(BUILD) bash mk/lint/run.sh $*
lint-buf: $(BUF)

FILES ?=
fmt: ## lay out every C and C++ file, or FILES=, by .clang-format
	$(Q)$(if $(FILES),printf '%s\n' $(FILES),git -c safe.directory='*' ls-files --cached --others --exclude-standard -- \
		'*.c' '*.h' '*.cc') | xargs -r clang-format-14 -i
