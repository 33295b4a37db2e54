# Ringcast. `make run` builds and starts the server; `make help` lists the rest.
# One screen per purpose: what to build, how, the library and programs, the
# tests, quality, installation, the machine's packages.

VERSION := 0.1.0
# Until 1.0 every minor version may change the binary interface.
SOVERSION := 0.1

MODE  ?= release
BUILD ?= build
PREFIX ?= /usr/local

# Without -j from the caller, use every core. A make started by another make
# shares its parent's job slots instead.
ifeq ($(MAKELEVEL),0)
  ifeq ($(filter -j% --jobs%,$(MAKEFLAGS)),)
    MAKEFLAGS += -j$(shell nproc)
  endif
endif
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

# ── What to build ────────────────────────────────────────────────────────────
# Every source is found by its place: the library is src/ without main.cc and
# app/, the server is those two on top of the library.
lib_sources  := $(filter-out src/main.cc,$(wildcard src/*.cc)) $(filter-out src/app/%,$(wildcard src/*/*.cc))
app_sources  := $(wildcard src/app/*.cc)
main_source  := $(wildcard src/main.cc)
load_sources := $(wildcard tools/load/*.cc)
page_files   := $(sort $(wildcard src/app/pages/*.* src/app/pages/*/*.*))

# Unit tests mirror src/: tests/<layer>/*_test.cc become one program per layer,
# with the layer's other .cc files as its helpers; tests/*_test.cc belong to the
# layer `server`. What several layers share lies in tests/support and tests/sim.
shared_test_sources := $(wildcard tests/support/*.cc tests/sim/*.cc)
shared_test_sources := $(filter-out %_test.cc,$(shared_test_sources))
test_layers := $(sort $(patsubst tests/%/,%,$(dir $(wildcard tests/*/*_test.cc))) $(if $(wildcard tests/*_test.cc),server))
unit_layers := $(filter-out blackbox,$(test_layers))
sources_of = $(filter-out $(shared_test_sources),$(wildcard tests/$(1)/*.cc)) $(if $(filter server,$(1)),$(wildcard tests/*.cc))
fuzz_sources  := $(wildcard tests/fuzz/*_fuzz.cc)
bench_sources := $(wildcard bench/*.cc)

# ── How ──────────────────────────────────────────────────────────────────────
# MODE=asan prefers clang++, because the fuzz targets link the same objects.
ifeq ($(origin CXX),default)
  CXX := $(if $(and $(filter asan,$(MODE)),$(shell command -v clang++)),clang++,g++)
endif
is_clang := $(findstring clang,$(CXX))

flags_release := -O2 -g
flags_debug   := -O0 -g -D_GLIBCXX_ASSERTIONS
flags_asan    := -O1 -g1 -D_GLIBCXX_ASSERTIONS -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
flags_tsan    := -O1 -g1 -fsanitize=thread
# GCC warns that ThreadSanitizer does not model fences; each fence of ours says what it pairs with.
flags_tsan    += $(if $(is_clang),,-Wno-tsan)
ifndef flags_$(MODE)
  $(error MODE is release, debug, asan or tsan, not '$(MODE)')
endif
# Edge counters cost little and let MODE=asan objects serve libFuzzer as well.
coverage := $(if $(and $(is_clang),$(filter asan,$(MODE))),-fsanitize=fuzzer-no-link)

CXXFLAGS ?=
LDFLAGS  ?=
compile := $(CXX) -std=c++20 -Wall -Wextra -Werror $(flags_$(MODE)) $(coverage) -fPIC -fno-plt \
           -fno-semantic-interposition -pthread -Isrc -Iinclude -DRINGCAST_VERSION='"$(VERSION)"' $(CXXFLAGS)
link    := $(CXX) $(flags_$(MODE)) -pthread -Wl,--as-needed $(LDFLAGS)
libs    := -luring -lcrypto -lxxhash -lsimdjson

# Objects of each mode stay apart; what the README names stays at the top.
obj := $(BUILD)/$(MODE)
out := $(if $(filter release,$(MODE)),$(BUILD),$(obj))
objects = $(patsubst %.cc,$(obj)/%.o,$(1))

# The exact command line is a dependency: another compiler or flag rebuilds.
command_file := $(obj)/command
ifneq ($(file <$(command_file)),$(compile))
  $(shell mkdir -p $(obj))
  $(file >$(command_file),$(compile))
endif

$(obj)/%.o: %.cc $(command_file)
	@mkdir -p $(@D)
	$(compile) $(extra_flags) -MMD -MP -c $< -o $@

-include $(shell find $(obj) -name '*.d' 2>/dev/null)

# ── The library and the programs ─────────────────────────────────────────────
all: $(out)/libringcast.a $(out)/libringcast.so \
     $(if $(main_source),$(out)/ringcast) $(if $(load_sources),$(out)/ringcast-load)

$(out)/libringcast.a: $(call objects,$(lib_sources))
	rm -f $@ && ar rcs $@ $^

$(out)/libringcast.so: $(call objects,$(lib_sources))
	$(link) -shared -Wl,-soname,libringcast.so.$(SOVERSION) $^ $(libs) -o $@
	ln -sf libringcast.so $@.$(SOVERSION)

pages_object := $(obj)/gen/pages.o
$(out)/ringcast: $(call objects,$(main_source) $(app_sources)) $(pages_object) $(out)/libringcast.a
	$(link) $^ $(libs) -o $@

$(out)/ringcast-load: $(call objects,$(load_sources)) $(out)/libringcast.a
	$(link) $^ $(libs) -o $@

# The pages the server shows, compiled in: one generated source that the
# assembler fills from the files themselves.
$(BUILD)/gen/pages.cc: tools/embed $(page_files) src/app/pages
	@mkdir -p $(@D)
	tools/embed src/app/pages $(page_files) > $@

$(pages_object): $(BUILD)/gen/pages.cc src/app/pages.h $(command_file)
	@mkdir -p $(@D)
	$(compile) -c $< -o $@

# ── Tests ────────────────────────────────────────────────────────────────────
test_flags := -Itests -I.
test_program = $(obj)/tests/$(1)_tests
$(obj)/tests/%.o $(obj)/bench/%.o: extra_flags = $(test_flags)

# Members are linked only where a test needs them.
support_archive := $(obj)/tests/libsupport.a
$(support_archive): $(call objects,$(shared_test_sources))
	@mkdir -p $(@D)
	rm -f $@ && ar rcs $@ $^

define layer_program
$(call test_program,$(1)): $(call objects,$(call sources_of,$(1))) $(if $(filter app,$(1)),$(call objects,$(app_sources)) $(pages_object)) \
    $(support_archive) $(out)/libringcast.a
	$$(link) $$^ -lgtest_main -lgtest $$(libs) -o $$@
endef
$(foreach layer,$(test_layers),$(eval $(call layer_program,$(layer))))

unit-tests: $(foreach layer,$(unit_layers),$(call test_program,$(layer)))
blackbox-tests: $(if $(filter blackbox,$(test_layers)),$(call test_program,blackbox))

clean:
	rm -rf $(BUILD)

.PHONY: all unit-tests blackbox-tests clean
