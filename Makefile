# Ringcast. `make run` builds and starts the server; `make help` names the rest.
# One screen, one purpose: what is built · how · the library and the programs ·
# tests · quality · installation · the machine's packages.

VERSION := 0.1.0
# Until 1.0 every minor version may change the binary interface.
SOVERSION := 0.1

MODE   ?= release
BUILD  ?= build
PREFIX ?= /usr/local

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
# Every core, unless the caller says -j; a make started by a make shares its parent's job slots.
ifeq ($(MAKELEVEL),0)
  ifeq ($(filter -j% --jobs%,$(MAKEFLAGS)),)
    MAKEFLAGS += -j$(shell nproc)
  endif
endif

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo '  MODE=release|debug|asan|tsan  CXX=clang++  BUILD=build  PREFIX=/usr/local  DESTDIR=  V=1'

# ── What is built ────────────────────────────────────────────────────────────
# A source's place says what it belongs to: the server is src/main.cc and
# src/app, the library is everything else below src.
main_source   := $(wildcard src/main.cc)
app_sources   := $(wildcard src/app/*.cc)
lib_sources   := $(filter-out $(main_source) $(app_sources),$(wildcard src/*.cc src/*/*.cc))
# Engines can be left out, with the libraries that they need: a file that says so takes their place.
WITH_REDIS    ?= 1
WITH_POSTGRES ?= 1
redis_sources    := $(filter-out %/redis_url.cc,$(wildcard src/adapter/redis_*.cc))
postgres_sources := $(wildcard src/adapter/postgres_*.cc)
lib_sources   := $(filter-out $(if $(filter 0,$(WITH_REDIS)),$(redis_sources),src/adapter/without_redis.cc) \
                   $(if $(filter 0,$(WITH_POSTGRES)),$(postgres_sources),src/adapter/without_postgres.cc),$(lib_sources))
load_sources  := $(wildcard tools/load/*.cc)
bench_sources := $(wildcard bench/*.cc)
fuzz_sources  := $(wildcard tests/fuzz/*_fuzz.cc)
page_files    := $(sort $(wildcard src/app/pages/*.* src/app/pages/*/*.*))

# Tests mirror src: tests/<layer> becomes one program per layer, its files that
# are not *_test.cc help it. tests/*_test.cc are the layer `server`. What several
# layers need lies in tests/support and tests/sim.
simulator_main  := tests/sim/main.cc
support_sources := $(filter-out %_test.cc $(simulator_main),$(wildcard tests/support/*.cc tests/sim/*.cc))
test_sources    := $(filter-out $(support_sources) $(simulator_main) tests/fuzz/%,$(wildcard tests/*/*.cc tests/*_test.cc))
test_sources    := $(filter-out $(if $(filter 0,$(WITH_REDIS)),tests/adapter/redis_adapter_test.cc) \
                     $(if $(filter 0,$(WITH_POSTGRES)),tests/adapter/postgres_adapter_test.cc) \
                     $(if $(filter 0,$(WITH_REDIS) $(WITH_POSTGRES)),tests/adapter/every_server_test.cc),$(test_sources))
ifeq ($(MODE),tsan)
  # Only code that runs on several threads of ours can race; the rest would just be slow.
  starts_threads := std::j?thread|std::async|pthread_create|Server [a-z_]+[;(]
  several_layers := $(wildcard tests/base/*_test.cc tests/shard/*_test.cc tests/adapter/*_test.cc tests/*_test.cc tests/server/*_test.cc)
  threaded     := $(if $(several_layers),$(shell grep -lE '$(starts_threads)' $(several_layers)))
  test_sources := $(filter-out %_test.cc,$(test_sources)) $(filter %_test.cc,$(threaded))
endif
layer_of    = $(if $(filter tests,$(patsubst %/,%,$(dir $(1)))),server,$(notdir $(patsubst %/,%,$(dir $(1)))))
test_layers := $(sort $(foreach source,$(filter %_test.cc,$(test_sources)),$(call layer_of,$(source))))
unit_layers := $(filter-out blackbox,$(test_layers))
blackbox    := $(filter blackbox,$(test_layers))
tests_of     = $(foreach source,$(test_sources),$(if $(filter $(1),$(call layer_of,$(source))),$(source)))

# ── How ──────────────────────────────────────────────────────────────────────
# MODE=asan prefers clang++, since the fuzz targets link the same objects.
ifeq ($(origin CXX),default)
  CXX := $(if $(and $(filter asan,$(MODE)),$(shell command -v clang++)),clang++,g++)
endif
is_clang := $(findstring clang,$(CXX))

flags_release := -O2 -g1
flags_debug   := -O0 -g -D_GLIBCXX_ASSERTIONS
# Without vptr: that check looks at memory through a pipe, and a test takes the last descriptor.
flags_asan    := -O1 -g1 -D_GLIBCXX_ASSERTIONS -fno-omit-frame-pointer -fsanitize=address,undefined \
                 -fno-sanitize=vptr -fno-sanitize-recover=all
flags_tsan    := -O1 -g1 -fsanitize=thread
ifdef is_clang
  # Edge counters: cheap, and libFuzzer needs them. Those of libraries are not ours to reach.
  flags_asan += -fsanitize=fuzzer-no-link -fsanitize-coverage-ignorelist=tests/fuzz/libraries.ignore
else
  # GCC warns at every fence that it does not model them, and sees uninitialized values
  # in what its own instrumentation does to std::optional.
  flags_tsan += -Wno-tsan -Wno-maybe-uninitialized
endif
# Tests are compiled more often than they run: -O1 halves what -O2 takes.
tests_flags   = -I. -Itests $(if $(filter release,$(MODE)),-O1 -g1)
# Most tests wait more than they compute, and an optimizer's work on GoogleTest's macros is
# two thirds of their compilation under sanitizers. The others try every length and split.
waiting_flags = $(tests_flags) -O0
waiting       := $(addprefix tests/,adapter app auth protocol rpc server)
$(if $(flags_$(MODE)),,$(error MODE is release, debug, asan or tsan, not '$(MODE)'))

compile := $(strip $(CXX) -std=c++20 -Wall -Wextra -Werror $(flags_$(MODE)) -fPIC -fno-plt -fno-semantic-interposition \
           -pthread -Isrc -Iinclude -DRINGCAST_VERSION='"$(VERSION)"' $(CPPFLAGS) $(CXXFLAGS))
link    := $(strip $(CXX) $(flags_$(MODE)) -pthread -Wl,--as-needed $(LDFLAGS))
libs    := -luring -lxxhash -lsimdjson -lssl -lcrypto -lz -lyaml \
           $(if $(filter 0,$(WITH_REDIS)),,-lhiredis) $(if $(filter 0,$(WITH_POSTGRES)),,-lpq)

# Objects of each mode stay apart; what a user starts lies at the top.
obj := $(BUILD)/$(MODE)
out := $(if $(filter release,$(MODE)),$(BUILD),$(obj))
objects = $(patsubst %.cc,$(obj)/%.o,$(1))
inputs  = $(filter %.o %.a,$^)

# V=1 shows commands instead of names.
V ?= 0
say = $(if $(filter 0,$(V)),@printf '  %-5s %s\n' '$(1)' '$@';,)

# Two dependencies that no file shows: another command compiles again, and a
# source that came or went links again. Each is a file written when it changes.
equal    = $(and $(findstring x$(strip $(1))x,x$(strip $(2))x),$(findstring x$(strip $(2))x,x$(strip $(1))x))
remember = $(if $(call equal,$(file <$(1)),$(2)),,$(file >$(1),$(2)))
command_file := $(obj)/command
sources_file := $(obj)/sources
ifneq ($(filter-out clean help setup setup-test run,$(or $(MAKECMDGOALS),all)),)
  $(shell mkdir -p $(obj))
  $(call remember,$(command_file),$(compile) · $(tests_flags) · $(waiting_flags))
  $(call remember,$(sources_file),$(lib_sources) $(app_sources) $(load_sources) $(support_sources) $(test_sources))
endif

$(obj)/%.o: %.cc $(command_file)
	@mkdir -p $(@D)
	$(call say,CXX)$(compile) $(extra_flags) -MMD -MP -c $< -o $@

# A third of a compiler's work here is to read the standard library's headers: it does so
# once for each set of flags. They stand in front of every file, so `make lint` and
# `make tidy`, which compile without them, see that each file includes what it uses.
PCH ?= 1
pch_suffix := $(if $(is_clang),pch,gch)
# A file of six is included, so GCC takes its unnamed namespace for a header's.
unity_flags = $(if $(is_clang),,-Wno-subobject-linkage)
# 1: the header's place, 2: its place below $(obj), 3: flags; then for 1: the sources' folder.
define precompiled_header
$(obj)/$(2)/standard.h.$(pch_suffix): $(1)/standard.h $(command_file)
	@mkdir -p $$(@D) && cp $$< $(obj)/$(2)/standard.h
	$$(call say,PCH)$$(compile) $(3) -x c++-header $$< -o $$@
endef
define precompiled_objects
$(obj)/$(1)/%.o: $(1)/%.cc $(command_file) $(obj)/$(2)/standard.h.$(pch_suffix)
	@mkdir -p $$(@D)
	$$(call say,CXX)$$(compile) $(3) -Winvalid-pch -include $(obj)/$(2)/standard.h -MMD -MP -c $$< -o $$@
$(obj)/gen/$(1)/%.o: $(obj)/gen/$(1)/%.cc $(command_file) $(obj)/$(2)/standard.h.$(pch_suffix)
	$$(call say,CXX)$$(compile) $(3) -I. $(unity_flags) -Winvalid-pch -include $(obj)/$(2)/standard.h -MMD -MP -c $$< -o $$@
endef
ifeq ($(PCH),1)
  $(eval $(call precompiled_header,src,src,))
  $(eval $(call precompiled_objects,src,src,))
  $(eval $(call precompiled_header,tests,tests,$(tests_flags)))
  $(eval $(call precompiled_objects,tests,tests,$(tests_flags)))
  $(eval $(call precompiled_header,tests,tests/waiting,$(waiting_flags)))
  $(foreach folder,$(waiting),$(eval $(call precompiled_objects,$(folder),tests/waiting,$(waiting_flags))))
endif

# UNITY="src tests" compiles the files below src and tests by sixes: what their headers'
# templates expand to is compiled once for six, which halves a compiler's work. For builds
# from nothing, as in `make test`: a changed file costs six, and names in anonymous namespaces
# must differ within a folder. Not without precompiled headers.
UNITY ?=
ifneq ($(PCH),1)
  override UNITY :=
endif
hash := \#
define newline


endef
files_in     = $(foreach source,$(2),$(if $(filter $(1),$(dir $(source))),$(source)))
by_sixes     = $(if $(1),$(call one_of_six,$(basename $(firstword $(1))),$(wordlist 1,6,$(1)))\
                 $(call by_sixes,$(wordlist 7,$(words $(1)),$(1))))
one_of_six   = $(call remember,$(obj)/gen/$(1).cc,$(foreach source,$(2),$(hash)include "$(source)"$(newline)))$(obj)/gen/$(1).o
unity        = $(foreach folder,$(sort $(dir $(1))),$(call by_sixes,$(call files_in,$(folder),$(1))))
together     = $(call unity,$(filter $(UNITY:%=%/%),$(1))) $(call objects,$(filter-out $(UNITY:%=%/%),$(1)))
ifneq ($(UNITY),)
  $(shell mkdir -p $(addprefix $(obj)/gen/,$(sort $(dir $(lib_sources) $(app_sources) $(support_sources) $(test_sources)))))
endif

-include $(shell find $(obj) -name '*.d' 2>/dev/null)

# ── The library and the programs ─────────────────────────────────────────────
all: ## the server, the load generator and the library (the default)
all: $(out)/libringcast.a $(out)/libringcast.so \
     $(if $(main_source),$(out)/ringcast) $(if $(load_sources),$(out)/ringcast-load)

# From nothing to a page in the browser: by sixes, which takes half the time. The build is a
# make of its own, because this one looked for a compiler before setup could install it.
run: ## install what is missing, build, serve the demo page; ARGS="--shards 2" passes flags
	@tools/setup
	@$(MAKE) --no-print-directory UNITY=src $(out)/ringcast
	@exec $(out)/ringcast $(ARGS)

$(out)/libringcast.a: $(call together,$(lib_sources)) $(sources_file)
	$(call say,AR)rm -f $@ && ar rcs $@ $(inputs)

$(out)/libringcast.so: $(call together,$(lib_sources)) $(sources_file)
	$(call say,LINK)$(link) -shared -Wl,-soname,libringcast.so.$(SOVERSION) $(inputs) $(libs) -o $@
	@ln -sf libringcast.so $@.$(SOVERSION)

pages_object := $(obj)/gen/pages.o
$(out)/ringcast: $(call objects,$(main_source)) $(call together,$(app_sources)) $(pages_object) $(out)/libringcast.a $(sources_file)
	$(call say,LINK)$(link) $(inputs) $(libs) -o $@

$(out)/ringcast-load: $(call objects,$(load_sources)) $(out)/libringcast.a $(sources_file)
	$(call say,LINK)$(link) $(inputs) $(libs) -o $@

# The pages are part of the program: one generated source names the files and the
# assembler takes their bytes. The folder counts too: a page may be taken away.
$(BUILD)/gen/pages.cc: tools/embed $(page_files) $(wildcard src/app/pages)
	@mkdir -p $(@D)
	$(call say,EMBED)tools/embed src/app/pages $(page_files) > $@

$(pages_object): $(BUILD)/gen/pages.cc src/app/pages.h $(command_file)
	@mkdir -p $(@D)
	$(call say,CXX)$(compile) -c $< -o $@

# ── Tests ────────────────────────────────────────────────────────────────────
# tools/run_tests knows which suites there are, runs and counts them; the targets
# below only build.
check: ## the inner loop: unit tests and black-box tests of a release build
	@$(suite_environment) tools/run_tests check

test: ## install what tests need, then lint, all suites, sanitizers, fuzzing, browser
	@tools/setup test
	@$(suite_environment) tools/run_tests test

test-all: ## the same with both compilers, clang-tidy, longer fuzzing and more rounds
	@tools/setup test
	@$(suite_environment) tools/run_tests test-all

sim: ## simulated servers, SIM_SEEDS (7500) of them, then bugs that they must find; MUTANTS=NAME for one
	@$(suite_environment) tools/run_tests sim

fuzz: ## every fuzz target for FUZZ_SECONDS (5) each; FUZZ=url for one alone; FUZZ_UNTIL_QUIET=1: up to 120, until it finds no more
	@$(suite_environment) tools/run_tests fuzz

suite_environment = env BUILD='$(BUILD)' FUZZ_TARGETS='$(or $(FUZZ),$(patsubst tests/fuzz/%_fuzz.cc,%,$(fuzz_sources)))'

# For tools/run_tests: the value of a variable, as in `make -s MODE=tsan print-unit_layers`.
print-%:
	@echo '$($*)'

$(obj)/bench/%.o: extra_flags = -I. -Itests
$(obj)/tests/%.o: extra_flags = $(tests_flags)
$(foreach folder,$(waiting),$(eval $(obj)/$(folder)/%.o: extra_flags = $(waiting_flags)))
test_program = $(obj)/tests/$(1)_tests

# An archive, so that each program takes only the members it uses.
support_archive := $(obj)/tests/support.a
$(support_archive): $(call together,$(support_sources)) $(sources_file)
	@mkdir -p $(@D)
	$(call say,AR)rm -f $@ && ar rcs $@ $(inputs)

define layer_rule
$(call test_program,$(1)): $(call together,$(call tests_of,$(1)) $(if $(filter app,$(1)),$(app_sources))) \
    $(if $(filter app,$(1)),$(pages_object)) $(support_archive) $(out)/libringcast.a $(sources_file)
	$$(call say,LINK)$$(link) $$(inputs) -lgtest_main -lgtest $(libs) -o $$@
endef
$(foreach layer,$(test_layers),$(eval $(call layer_rule,$(layer))))

# Not below -O1 either: it runs millions of turns.
$(obj)/sim: $(call objects,$(simulator_main)) $(support_archive) $(out)/libringcast.a $(sources_file)
	$(call say,LINK)$(link) $(inputs) -lgtest $(libs) -o $@
simulator: $(obj)/sim

server: $(out)/ringcast
unit-tests: $(foreach layer,$(unit_layers),$(call test_program,$(layer)))
blackbox-tests: $(foreach layer,$(blackbox),$(call test_program,$(layer)))

# MODE=asan with clang++ only: a target is linked with libFuzzer's main.
fuzz-programs: $(patsubst tests/fuzz/%.cc,$(obj)/fuzz/%,$(fuzz_sources))
$(obj)/fuzz/%: $(obj)/tests/fuzz/%.o $(support_archive) $(out)/libringcast.a
	@mkdir -p $(@D)
	$(call say,LINK)$(link) -fsanitize=fuzzer $(inputs) $(libs) -o $@

# The one that looks into the program, not the library.
$(obj)/fuzz/declared_fuzz: $(obj)/tests/fuzz/declared_fuzz.o $(call together,$(app_sources)) $(pages_object) \
    $(support_archive) $(out)/libringcast.a
	@mkdir -p $(@D)
	$(call say,LINK)$(link) -fsanitize=fuzzer $(inputs) $(libs) -o $@

bench: ## the micro-benchmarks; BENCH_ARGS="--benchmark_filter=mask"
bench: $(if $(bench_sources),$(obj)/benchmarks)
	@$(if $(bench_sources),$(obj)/benchmarks $(BENCH_ARGS),echo 'no benchmarks')

$(obj)/benchmarks: $(call objects,$(bench_sources)) $(support_archive) $(out)/libringcast.a
	$(call say,LINK)$(link) $(inputs) -lbenchmark_main -lbenchmark $(libs) -o $@

# The same loads against Ringcast, other servers and the bare limit; needs two quiet cores.
peers := $(if $(wildcard bench/peers),bare $(if $(wildcard /usr/include/boost/beast.hpp),beast))
bench-peers: ## compare with other servers: bench/results; PEERS_ARGS="--quick", "--rows echo", "--help"
bench-peers: $(out)/ringcast $(out)/ringcast-load
	-@tools/setup bench
	@$(MAKE) --no-print-directory bench-peer-programs
	@bench/peers/run --build $(out) $(PEERS_ARGS)

bench-peer-programs: $(addprefix $(out)/bench-peers/,$(peers))
.SECONDARY: $(peers:%=$(obj)/bench/peers/%.o)
$(out)/bench-peers/%: $(obj)/bench/peers/%.o
	@mkdir -p $(@D)
	$(call say,LINK)$(link) $(inputs) -o $@

bench-stuck: ## readers that never read beside readers that do: memory, and what the others notice
bench-stuck: $(out)/ringcast $(out)/ringcast-load
	@bench/stuck_readers --build $(out) $(STUCK_ARGS)

bench-nodes: ## two servers on a Redis of their own, 10,000,000 deliveries: all of them, in one order
bench-nodes: $(out)/ringcast $(out)/ringcast-load
	@bench/nodes --build $(out) $(NODES_ARGS)

# ── Quality ──────────────────────────────────────────────────────────────────
cxx_files := $(sort $(wildcard $(foreach root,src include tests bench tools, \
               $(foreach depth,* */* */*/*,$(root)/$(depth).h $(root)/$(depth).cc))))
headers   := $(filter src/%.h include/%.h,$(cxx_files))

lint: ## layers, formatting, README's tables, and that each header compiles alone
lint: lint-layers lint-format lint-readme lint-headers

lint-layers:
	$(call say,LAYER)tools/check_layers

lint-format:
	$(call say,STYLE)clang-format --dry-run --Werror $(cxx_files)

lint-readme: $(out)/ringcast
	$(call say,TEXT)tools/check_readme $<

readme: ## rewrite README's tables from the program
readme: $(out)/ringcast
	tools/check_readme $< --update

format: ## rewrite the sources in the project's format
	clang-format -i $(cxx_files)

# A header that includes all it needs compiles as a translation unit of one line, or
# as the first thing a source includes; only those nobody includes first cost a compilation.
proven_alone := $(shell awk 'FNR == 1 { first = 1 } /^\#include/ && first { first = 0; if (gsub(/"/, "", $$2)) print $$2 }' \
                  $(lib_sources) $(app_sources))
lint-headers: $(call objects,$(lib_sources) $(app_sources)) \
    $(patsubst %,$(obj)/headers/%.ok,$(filter-out $(foreach header,$(proven_alone),src/$(header) include/$(header)),$(headers)))
$(obj)/headers/%.ok: % $(command_file)
	@mkdir -p $(@D)
	$(call say,ALONE)echo '#include "$(patsubst src/%,%,$(patsubst include/%,%,$<))"' | \
	  $(compile) -fsyntax-only -MMD -MP -MF $(@:.ok=.d) -MT $@ -x c++ - && touch $@

# Slow, so it is part of test-all only.
tidy: ## clang-tidy on every source of the library and the programs
tidy: $(patsubst %.cc,$(obj)/tidy/%.ok,$(lib_sources) $(app_sources) $(main_source) $(load_sources))
$(obj)/tidy/%.ok: %.cc .clang-tidy $(headers) $(command_file)
	@mkdir -p $(@D)
	$(call say,TIDY)clang-tidy --quiet $< -- -std=c++20 -Isrc -Iinclude -DRINGCAST_VERSION='"$(VERSION)"' && touch $@

# ── Installation ─────────────────────────────────────────────────────────────
root := $(DESTDIR)$(PREFIX)
install: ## library, headers, pkg-config file, programs and systemd unit below $(DESTDIR)$(PREFIX)
install: all
	install -d $(root)/bin $(root)/include/ringcast $(root)/lib/pkgconfig
	$(if $(main_source),install -m 755 $(out)/ringcast $(root)/bin)
	$(if $(load_sources),install -m 755 $(out)/ringcast-load $(root)/bin)
	install -m 644 include/ringcast/*.h $(root)/include/ringcast
	install -m 644 $(out)/libringcast.a $(root)/lib
	install -m 755 $(out)/libringcast.so $(root)/lib/libringcast.so.$(VERSION)
	ln -sf libringcast.so.$(VERSION) $(root)/lib/libringcast.so.$(SOVERSION)
	ln -sf libringcast.so.$(SOVERSION) $(root)/lib/libringcast.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS@|$(libs) -pthread|' \
	  tools/ringcast.pc.in > $(root)/lib/pkgconfig/ringcast.pc
	$(if $(main_source),install -d $(root)/lib/systemd/system)
	$(if $(main_source),sed -e 's|@PREFIX@|$(PREFIX)|' tools/ringcast.service > $(root)/lib/systemd/system/ringcast.service)

# ── The machine's packages ───────────────────────────────────────────────────
setup: ## install the compiler and libraries that are missing
	@tools/setup

setup-test: ## install what the tests need: clang, GoogleTest, a browser, Node.js
	@tools/setup test

clean: ## remove everything that was built
	rm -rf $(BUILD)

.PHONY: help all run check test test-all sim simulator server fuzz unit-tests blackbox-tests \
        fuzz-programs bench bench-peers bench-peer-programs bench-stuck bench-nodes lint lint-layers lint-format \
        lint-readme lint-headers readme format tidy install setup setup-test clean
