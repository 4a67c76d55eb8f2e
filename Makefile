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
#   HIP=none                        GPU support: none, amd (hipcc), amd-clang (clang++-22, without ROCm) or nvidia (nvcc)
#   HIPCC, CLANGXX, NVCC            the device compilers
#   GPU_ARCHS="gfx950 ..."          compile device code for these architectures alone
#   GPU_MODULE=FILE                 device code that was compiled elsewhere, by scripts/gpu-module.sh
#   BATS="FILE ..."                 make check: of the bats files, run these
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
HIPCC ?= hipcc
CLANGXX ?= clang++-22
NVCC ?= nvcc
GPU_ARCHS ?=
GPU_MODULE ?=
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

# The compiler of the device code, and the runtime that it is for.
GPU_COMPILER_amd := $(HIPCC)
GPU_COMPILER_amd-clang := $(CLANGXX)
GPU_COMPILER_nvidia := $(NVCC)
GPU_RUNTIME_amd := hip
GPU_RUNTIME_amd-clang := hip
GPU_RUNTIME_nvidia := cuda
ifneq ($(HIP),none)
ifeq ($(GPU_RUNTIME_$(HIP)),)
$(error HIP=$(HIP): it is none, amd, amd-clang or nvidia)
endif
ifeq ($(GPU_MODULE)$(shell command -v $(GPU_COMPILER_$(HIP)) 2>/dev/null),)
$(error HIP=$(HIP) needs $(GPU_COMPILER_$(HIP)), which is not there)
endif
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
LIBS := -lzip -lz -ldeflate -lpng -ljansson -lm

# The host side of the GPU, or what stands in for it.
COMMON_SRC := $(filter-out src/kernels/gpu_%.c src/kernels/hip_%.c,$(sort $(wildcard src/kernels/*.c)))
GPU_SRC := $(addprefix src/kernels/,gpu_launch.c gpu_runtime.c hip_host.c hip_kernel.c hip_timing.c)
ifeq ($(HIP),none)
KERNEL_SRC := $(COMMON_SRC) src/kernels/hip_none.c
else
KERNEL_SRC := $(COMMON_SRC) $(GPU_SRC) src/kernels/gpu_runtime_$(GPU_RUNTIME_$(HIP)).c
LIBS += -ldl
endif
IO_SRC := $(sort $(wildcard src/io/*.c))
CLI_SRC := $(sort $(wildcard src/cli/*.c))
UNIT_SRC := tests/unit/check_kernels.c tests/unit/check_random.c tests/unit/check_cpu.c tests/unit/check_measure.c tests/unit/check_gpu.c tests/unit/check_io.c tests/unit/check_outfile.c tests/unit/check_heatmap.c tests/unit/check_stored.c tests/unit/check_safetensors.c
UNIT := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/%)
# The source of the GPU kernels, compiled for the host, as two kinds of chips compute; C++ is needed for this alone.
GPU_SOURCE := $(if $(shell command -v $(CXX) 2>/dev/null),$(BUILD)/tests/check_gpu_source-32 $(BUILD)/tests/check_gpu_source-64)

# The executor of AMD code objects, and what is built on it.
GCN_PROGRAMS := check_gcnrun check_amd_kernels amd_report
GCN_SRC := $(filter-out $(GCN_PROGRAMS:%=tests/gcnrun/%.c),$(sort $(wildcard tests/gcnrun/*.c))) src/kernels/gpu_launch.c
GCN := $(GCN_PROGRAMS:%=$(BUILD)/tests/%)

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
OBJ := $(call obj,$(GCN_SRC) $(GCN_PROGRAMS:%=tests/gcnrun/%.c) $(KERNEL_SRC) $(GPU_SRC) $(wildcard src/kernels/gpu_runtime_*.c) $(IO_SRC) $(CLI_SRC) $(UNIT_SRC) tests/unit/kernel_mutants.c)
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
	@printf '%s\n' '$(if $(filter none,$(HIP)),GPU: none (HIP=none); the program computes on CPUs,GPU: HIP=$(HIP))'

# Everything is rebuilt when the compiler or a flag changes.
CONFIG := $(shell $(CC) --version 2>/dev/null | head -n 1) $(ALL_CFLAGS) $(ALL_LDFLAGS) HIP=$(HIP) $(GPU_ARCHS) $(GPU_MODULE) \
	$(if $(filter none,$(HIP))$(GPU_MODULE),,$(shell $(GPU_COMPILER_$(HIP)) --version 2>/dev/null | tr -d '\n'))
$(BUILD)/.config: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(CONFIG))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(CONFIG))' > $@
FORCE:

# Objects that only one program needs are kept, or every run would compile them again.
.SECONDARY:

$(BUILD)/obj/src/kernels/%.o: EXTRA := -fPIC
# What is written as loops over lines is to be vectorized, too.
$(BUILD)/obj/src/kernels/transform.o: EXTRA := -fPIC $(if $(COVERAGE)$(SANITIZE),,-O3)
# A variant may use what its own file says, and no other file may. -O3 unrolls what is written as loops over registers.
ifneq ($(filter x86_64-%,$(shell $(CC) -dumpmachine 2>/dev/null)),)
$(BUILD)/obj/src/kernels/avx2.o: EXTRA := -fPIC -mavx2 -mf16c $(if $(COVERAGE)$(SANITIZE),,-O3)
$(BUILD)/obj/src/kernels/avx512.o: EXTRA := -fPIC -mavx2 -mf16c -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vbmi \
	$(if $(COVERAGE)$(SANITIZE),,-O3)
$(BUILD)/obj/src/kernels/measure_avx512.o: EXTRA := -fPIC -mavx2 -mf16c -mavx512f -mavx512bw -mavx512vl -mavx512dq
endif
ifneq ($(filter aarch64-%,$(shell $(CC) -dumpmachine 2>/dev/null)),)
$(BUILD)/obj/src/kernels/neon.o: EXTRA := -fPIC $(if $(COVERAGE)$(SANITIZE),,-O3)
endif
$(BUILD)/obj/tests/%.o: EXTRA := -Itests
$(BUILD)/obj/tests/gcnrun/%.o: EXTRA := -Itests $(if $(COVERAGE)$(SANITIZE),,-O3)

$(BUILD)/obj/%.o: %.c $(BUILD)/.config
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) -MT $@ -MMD -MP -MF $(@:.o=.d) $(ALL_CFLAGS) $(EXTRA) -c $< -o $@

# The device code becomes an object of the library.
ifneq ($(HIP),none)
GPU_OBJ := $(BUILD)/obj/src/kernels/gpu_module.o
GPU_CODE := $(if $(GPU_MODULE),$(GPU_MODULE),$(BUILD)/gpu_module.bin)
endif
GPU_HEADERS := $(filter-out %/mxq_gpu.h %/gpu_host.h %/gpu_runtime.h %/compare.h %/square.h,$(wildcard src/kernels/*.h))
$(BUILD)/gpu_module.bin: src/kernels/hip_kernels.hip $(GPU_HEADERS) scripts/gpu-module.sh $(BUILD)/.config
	$(say) GPU $@
	$(Q)HIPCC='$(HIPCC)' CLANGXX='$(CLANGXX)' NVCC='$(NVCC)' GPU_ARCHS='$(GPU_ARCHS)' WERROR='$(WERROR)' V='$(V)' \
		sh scripts/gpu-module.sh $(HIP) $(abspath $@)

$(BUILD)/obj/src/kernels/gpu_module.o: $(GPU_CODE)
$(BUILD)/obj/tests/fake_module.o: GPU_CODE := tests/unit/fixtures/fake_module
$(BUILD)/obj/tests/fake_module.o: tests/unit/fixtures/fake_module
$(BUILD)/obj/src/kernels/gpu_module.o $(BUILD)/obj/tests/fake_module.o: src/kernels/gpu_module.S $(BUILD)/.config
	@mkdir -p $(@D)
	$(say) AS $@
	$(Q)$(CC) '-DMXQ_GPU_MODULE="$(abspath $(GPU_CODE))"' -c $< -o $@

$(STATIC): $(call obj,$(KERNEL_SRC)) $(GPU_OBJ)
$(IO_LIB): $(call obj,$(IO_SRC))
$(STATIC) $(IO_LIB):
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(SHARED): $(call obj,$(KERNEL_SRC)) $(GPU_OBJ)
	$(say) LD $@
	$(Q)$(CC) -shared -Wl,-soname,$(SONAME) $(ALL_LDFLAGS) $^ -lm $(if $(GPU_OBJ),-ldl) -o $@
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

# Kernels need libm alone, so their checks can be built for another machine without the other libraries.
$(BUILD)/tests/check_kernels: $(BUILD)/obj/tests/unit/kernel_mutants.o
$(BUILD)/tests/check_kernels $(BUILD)/tests/check_random $(BUILD)/tests/check_cpu $(BUILD)/tests/check_measure $(BUILD)/tests/check_gpu: $(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(STATIC)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) $(filter %.o,$^) $(filter %.a,$^) -lm $(if $(GPU_OBJ),-ldl) -o $@

$(GCN): $(BUILD)/tests/%: $(BUILD)/obj/tests/gcnrun/%.o $(call obj,$(GCN_SRC)) $(STATIC)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) $(filter %.o,$^) $(filter %.a,$^) -lm -o $@

$(BUILD)/tests/check_gpu_source-%: tests/unit/check_gpu_source.cpp src/kernels/hip_kernels.hip \
		$(wildcard src/kernels/*.h) $(BUILD)/obj/src/kernels/gpu_launch.o $(STATIC)
	@mkdir -p $(@D)
	$(say) CXX $@
	$(Q)$(CXX) -std=c++17 -O1 -g -ffp-contract=off -Wall -Wextra -Wshadow -Wno-unknown-pragmas $(if $(WERROR),-Werror) \
		$(SANITIZE_FLAGS) $(COVERAGE_FLAGS) -DGPU_ON_HOST=$* -Isrc -Itests $(LDFLAGS) $(filter %.cpp %.o %.a,$^) -lm -o $@

# Loaded into programs under test, so it is built without sanitizers.
$(BUILD)/tests/fail_calls.so: tests/unit/fail_calls.c
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) -std=c11 $(WARNINGS) $(if $(WERROR),-Werror) -O1 -fPIC -shared $< -ldl -o $@

# The host side of both GPU runtimes, whatever HIP is, for runtimes that are none (tests/unit/fake_gpu.c).
FAKE_GPU := $(foreach kind,hip cuda,$(BUILD)/tests/mxfp4q-$(kind) $(BUILD)/tests/check_kernels-$(kind) $(BUILD)/tests/check_gpu-$(kind)) \
	$(addprefix $(BUILD)/tests/fake/,cuda/libcuda.so.1 hip/libamdhip64.so.7 rocm5/libamdhip64.so.5)
FAKE_HOST := $(call obj,$(COMMON_SRC) $(GPU_SRC)) $(BUILD)/obj/tests/fake_module.o

$(BUILD)/tests/mxfp4q-%: $(call obj,$(CLI_SRC)) $(BUILD)/obj/src/kernels/gpu_runtime_%.o $(FAKE_HOST) $(IO_LIB)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -ldl -o $@
$(BUILD)/tests/check_kernels-%: $(call obj,tests/unit/check_kernels.c tests/unit/kernel_mutants.c) \
		$(BUILD)/obj/src/kernels/gpu_runtime_%.o $(FAKE_HOST)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) $^ -lm -ldl -o $@
$(BUILD)/tests/check_gpu-%: $(call obj,tests/unit/check_gpu.c) $(BUILD)/obj/src/kernels/gpu_runtime_%.o $(FAKE_HOST)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) $^ -lm -ldl -o $@

$(BUILD)/tests/fake/cuda/%: FAKE := -DFAKE_CUDA
$(BUILD)/tests/fake/rocm5/%: FAKE := -DFAKE_ROCM5
$(BUILD)/tests/fake/%: tests/unit/fake_gpu.c src/kernels/scalar.c $(wildcard src/kernels/*.h)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(BASE_CPPFLAGS) $(BASE_CFLAGS) -O2 -fPIC -shared -Wl,-z,defs $(FAKE) $(filter %.c,$^) -o $@

.PHONY: tests
tests: all $(UNIT) $(GPU_SOURCE) $(GCN) $(FAKE_GPU) $(BUILD)/tests/fail_calls.so ## build the tests

.PHONY: check
check: tests ## run all tests
	$(Q)sh scripts/run-tests.sh $(BUILD) $(BATS)

.PHONY: amd-check
amd-check: $(BUILD)/tests/check_amd_kernels ## run the GPU kernels, as clang-22 compiles them for AMD, on the CPU (minutes)
	@mkdir -p $(BUILD)/tests/amd
	$(Q)$(BUILD)/tests/check_amd_kernels $(BUILD)/tests/amd

.PHONY: amd-report
amd-report: $(BUILD)/tests/amd_report ## what the GPU kernels cost on AMD's chips, counted without one; KERNEL=...: its opcodes
	@mkdir -p $(BUILD)/tests/amd
	$(Q)$(BUILD)/tests/amd_report $(BUILD)/tests/amd $(KERNEL)

.PHONY: bench bench-json
bench: $(BUILD)/mxfp4q ## measure, and say which rows reach what is wanted; fails when one falls short
	$(Q)sh scripts/bench.sh $(BUILD)

bench-json: $(BUILD)/mxfp4q ## the same as JSON
	$(Q)sh scripts/bench.sh $(BUILD) --json

# -------------------------------------------------------------------------------------------------- install

$(BUILD)/mxfp4q.pc: src/kernels/mxq.h Makefile FORCE
	@mkdir -p $(@D)
	$(Q)printf '%s\n' 'prefix=$(prefix)' 'libdir=$(libdir)' 'includedir=$(includedir)' '' \
		'Name: mxfp4q' 'Description: MXFP4 quantization' 'Version: $(VERSION)' \
		'Libs: -L$${libdir} -lmxfp4q' 'Libs.private: -lm$(if $(GPU_OBJ), -ldl -pthread)' 'Cflags: -I$${includedir}' > $@

INSTALLED = $(bindir)/mxfp4q $(libdir)/libmxfp4q.a $(libdir)/$(notdir $(SHARED)) $(libdir)/$(SONAME) \
	$(libdir)/libmxfp4q.so $(includedir)/mxq.h $(includedir)/mxq_gpu.h $(libdir)/pkgconfig/mxfp4q.pc \
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
	$(INSTALL) -m 644 src/kernels/mxq_gpu.h $(DESTDIR)$(includedir)/mxq_gpu.h
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
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

-include $(OBJ:.o=.d)
