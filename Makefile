# mxfp4q - GNU make
#
#   make                    build/mxfp4q, build/libmxfp4q.a and the shared library
#   make help               all targets
#
# Settings (also as make VAR=...):
#   CC, CFLAGS, CPPFLAGS, LDFLAGS   as usual; CFLAGS come last, so that they win
#   SANITIZE=address,undefined      build with these sanitizers
#   COVERAGE=1                      build for gcov
#   WERROR=1                        warnings are errors (scripts/check.sh sets it)
#   HIP=none                        GPU support; none is all there is in this version
#   V=1                             show the commands
#   prefix, DESTDIR                 where make install puts things [/usr/local]

CC ?= cc
CFLAGS ?= -O2 -g
AR ?= ar
INSTALL ?= install
SANITIZE ?=
COVERAGE ?=
WERROR ?=
HIP ?= none
BUILD ?= build

prefix ?= /usr/local
exec_prefix ?= $(prefix)
bindir ?= $(exec_prefix)/bin
libdir ?= $(exec_prefix)/lib
includedir ?= $(prefix)/include
datarootdir ?= $(prefix)/share
mandir ?= $(datarootdir)/man
bashcompdir ?= $(datarootdir)/bash-completion/completions
zshcompdir ?= $(datarootdir)/zsh/site-functions

ifneq ($(HIP),none)
$(error HIP=$(HIP): this version has no GPU support; only HIP=none can be built)
endif

VERSION := $(shell sed -n 's/^\#define MXQ_VERSION "\(.*\)"/\1/p' src/kernels/mxq.h)
SONAME := libmxfp4q.so.$(firstword $(subst ., ,$(VERSION)))

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
# No contraction: a fused multiply-add rounds once where the definition rounds twice.
BASE_CFLAGS := -std=c11 -ffp-contract=off -fvisibility=hidden -pthread $(WARNINGS) $(if $(WERROR),-Werror)
BASE_CPPFLAGS := -Isrc -D_DEFAULT_SOURCE -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64
SANITIZE_FLAGS := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)
COVERAGE_FLAGS := $(if $(COVERAGE),--coverage -O0)

ALL_CFLAGS = $(BASE_CPPFLAGS) $(CPPFLAGS) $(BASE_CFLAGS) $(CFLAGS) $(SANITIZE_FLAGS) $(COVERAGE_FLAGS)
ALL_LDFLAGS = -pthread $(LDFLAGS) $(SANITIZE_FLAGS) $(COVERAGE_FLAGS)
LIBS := -lzip -lz -lpng -ljansson -lm

KERNEL_SRC := $(sort $(wildcard src/kernels/*.c))
IO_SRC := $(sort $(wildcard src/io/*.c))
CLI_SRC := $(sort $(wildcard src/cli/*.c))
UNIT_SRC := tests/unit/check_kernels.c tests/unit/check_io.c tests/unit/check_outfile.c tests/unit/check_heatmap.c tests/unit/check_stored.c
UNIT := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/%)

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
OBJ := $(call obj,$(KERNEL_SRC) $(IO_SRC) $(CLI_SRC) $(UNIT_SRC))
STATIC := $(BUILD)/libmxfp4q.a
SHARED := $(BUILD)/libmxfp4q.so.$(VERSION)
IO_LIB := $(BUILD)/libio.a

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

.PHONY: all
all: $(BUILD)/mxfp4q $(STATIC) $(SHARED) ## build the program and the library
	@printf '%s\n' 'GPU: none (HIP=none); the program computes on CPUs'

# Everything is rebuilt when the compiler or a flag changes.
CONFIG := $(shell $(CC) --version 2>/dev/null | head -n 1) $(ALL_CFLAGS) $(ALL_LDFLAGS)
$(BUILD)/.config: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(CONFIG))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(CONFIG))' > $@
FORCE:

# Objects that only one program needs are kept, or every run would compile them again.
.SECONDARY:

$(BUILD)/obj/src/kernels/%.o: EXTRA := -fPIC
# A variant may use what its own file says, and no other file may. -O3 unrolls what is written as loops over registers.
ifneq ($(filter x86_64-%,$(shell $(CC) -dumpmachine 2>/dev/null)),)
$(BUILD)/obj/src/kernels/avx2.o: EXTRA := -fPIC -mavx2 -mf16c $(if $(COVERAGE)$(SANITIZE),,-O3)
endif
$(BUILD)/obj/tests/%.o: EXTRA := -Itests

$(BUILD)/obj/%.o: %.c $(BUILD)/.config
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) -MT $@ -MMD -MP -MF $(@:.o=.d) $(ALL_CFLAGS) $(EXTRA) -c $< -o $@

$(STATIC): $(call obj,$(KERNEL_SRC))
$(IO_LIB): $(call obj,$(IO_SRC))
$(STATIC) $(IO_LIB):
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(SHARED): $(call obj,$(KERNEL_SRC))
	$(say) LD $@
	$(Q)$(CC) -shared -Wl,-soname,$(SONAME) $(ALL_LDFLAGS) $^ -lm -o $@
	$(Q)ln -sf $(@F) $(BUILD)/$(SONAME)
	$(Q)ln -sf $(@F) $(BUILD)/libmxfp4q.so

$(BUILD)/mxfp4q: $(call obj,$(CLI_SRC)) $(IO_LIB) $(STATIC)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

$(BUILD)/tests/check_heatmap: $(call obj,src/cli/heatmap.c)
$(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(IO_LIB) $(STATIC)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) $(filter %.o,$^) $(filter %.a,$^) $(LIBS) -o $@

# Loaded into programs under test, so it is built without sanitizers.
$(BUILD)/tests/fail_calls.so: tests/unit/fail_calls.c
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) -std=c11 $(WARNINGS) $(if $(WERROR),-Werror) -O1 -fPIC -shared $< -ldl -o $@

.PHONY: tests
tests: all $(UNIT) $(BUILD)/tests/fail_calls.so ## build the tests

.PHONY: check
check: tests ## run all tests
	$(Q)sh scripts/run-tests.sh $(BUILD)

.PHONY: bench
bench: $(BUILD)/mxfp4q $(BUILD)/tests/check_kernels ## measure kernels against memcpy, and commands against cmp and cp
	$(Q)sh scripts/bench.sh $(BUILD)

# -------------------------------------------------------------------------------------------------- install

$(BUILD)/mxfp4q.pc: src/kernels/mxq.h Makefile FORCE
	@mkdir -p $(@D)
	$(Q)printf '%s\n' 'prefix=$(prefix)' 'libdir=$(libdir)' 'includedir=$(includedir)' '' \
		'Name: mxfp4q' 'Description: MXFP4 quantization' 'Version: $(VERSION)' \
		'Libs: -L$${libdir} -lmxfp4q' 'Libs.private: -lm' 'Cflags: -I$${includedir}' > $@

INSTALLED = $(bindir)/mxfp4q $(libdir)/libmxfp4q.a $(libdir)/$(notdir $(SHARED)) $(libdir)/$(SONAME) \
	$(libdir)/libmxfp4q.so $(includedir)/mxq.h $(libdir)/pkgconfig/mxfp4q.pc \
	$(mandir)/man1/mxfp4q.1 $(mandir)/man5/mxfp4q.5 $(bashcompdir)/mxfp4q $(zshcompdir)/_mxfp4q

.PHONY: install
install: all $(BUILD)/mxfp4q.pc ## install program, library, header, man pages and completion
	$(INSTALL) -d $(addprefix $(DESTDIR),$(bindir) $(libdir)/pkgconfig $(includedir) $(mandir)/man1 $(mandir)/man5 \
		$(bashcompdir) $(zshcompdir))
	$(INSTALL) -m 755 $(BUILD)/mxfp4q $(DESTDIR)$(bindir)/mxfp4q
	$(INSTALL) -m 644 $(STATIC) $(DESTDIR)$(libdir)/libmxfp4q.a
	$(INSTALL) -m 644 $(SHARED) $(DESTDIR)$(libdir)/$(notdir $(SHARED))
	ln -sf $(notdir $(SHARED)) $(DESTDIR)$(libdir)/$(SONAME)
	ln -sf $(notdir $(SHARED)) $(DESTDIR)$(libdir)/libmxfp4q.so
	$(INSTALL) -m 644 src/kernels/mxq.h $(DESTDIR)$(includedir)/mxq.h
	$(INSTALL) -m 644 $(BUILD)/mxfp4q.pc $(DESTDIR)$(libdir)/pkgconfig/mxfp4q.pc
	$(INSTALL) -m 644 man/mxfp4q.1 $(DESTDIR)$(mandir)/man1/mxfp4q.1
	$(INSTALL) -m 644 man/mxfp4q.5 $(DESTDIR)$(mandir)/man5/mxfp4q.5
	$(INSTALL) -m 644 scripts/completion/mxfp4q.bash $(DESTDIR)$(bashcompdir)/mxfp4q
	$(INSTALL) -m 644 scripts/completion/_mxfp4q $(DESTDIR)$(zshcompdir)/_mxfp4q

.PHONY: uninstall
uninstall: ## remove what install put there
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BUILD)

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

-include $(OBJ:.o=.d)
