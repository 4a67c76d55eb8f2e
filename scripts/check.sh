#!/bin/sh
# check.sh - installs what is missing and runs every test under gcc, clang and sanitizers, those of the kernels for AArch64
#            under an emulator, those of programs for GPUs without one, the linters, and coverage
#
# The last line is "N passed, N failed, N skipped". MXFP4Q_BUILDS="gcc" runs fewer builds.
set -u
cd "$(dirname "$0")/.." || exit 2
. scripts/install-deps.sh

# shellcheck disable=SC2086
install_packages $BUILD_PACKAGES clang clang-format cppcheck bats shellcheck groff man-db zsh libclang-rt-14-dev pkg-config \
    python3-numpy procps || exit 2
# Without these, the checks that need them say so and are skipped.
[ "$(uname -m)" = aarch64 ] || install_packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static ||
    echo "going on without a compiler and an emulator for AArch64"
install_packages clang-22 clang-tools-22 lld-22 llvm-22 || echo "going on without a compiler for AMD's GPUs"

passed=0
failed=0
skipped=0

note() {
    printf '\n== %s\n' "$1"
}

pass() {
    passed=$((passed + 1))
    printf 'ok - %s\n' "$1"
}

fail() {
    failed=$((failed + 1))
    printf 'not ok - %s\n' "$1"
}

# A command that is a test by itself.
check() {
    name=$1
    shift
    if "$@"; then
        pass "$name"
    else
        fail "$name"
    fi
}

# Builds with the given settings of make, warnings being errors, and runs all tests.
build_and_test() {
    name=$1
    shift
    if make -s -j "$(nproc)" BUILD="build-$name" WERROR=1 "$@" tests; then
        echo "ok - $name builds without warnings"
        make -s BUILD="build-$name" WERROR=1 "$@" check
    else
        echo "not ok - $name builds without warnings"
        echo "0 passed, 0 failed, 0 skipped"
    fi
}

# Prints why AArch64 cannot be emulated; nothing when it can.
why_no_aarch64() {
    if [ "$(uname -m)" = aarch64 ]; then
        echo "the other builds are for it"
    elif ! command -v aarch64-linux-gnu-gcc >/dev/null 2>&1; then
        echo "no aarch64-linux-gnu-gcc"
    elif ! command -v qemu-aarch64-static >/dev/null 2>&1; then
        echo "no qemu-aarch64-static"
    fi
}

# One TAP line: variants make the same bytes on this machine and on the emulated one.
compare_digests() {
    make -s -j "$(nproc)" BUILD=build-native HIP=none build-native/tests/check_kernels &&
        here=$(build-native/tests/check_kernels --digest --kernel scalar) &&
        there=$(qemu-aarch64-static build-aarch64/tests/check_kernels --digest --kernel neon) &&
        [ -n "$here" ] && [ "$here" = "$there" ] || printf 'not '
    echo "ok - neon under the emulator makes what scalar makes here"
}

# The kernels' checks, built by one cross compiler and run by the emulator.
emulate() {
    for unit in check_kernels check_cpu check_measure; do
        qemu-aarch64-static "build-aarch64/tests/$unit" >"build-aarch64/$unit.tap" 2>&1 ||
            grep -q '^not ok' "build-aarch64/$unit.tap" || echo "not ok - $unit came to its end" >>"build-aarch64/$unit.tap"
        cat "build-aarch64/$unit.tap"
    done
}

# Kernels for AArch64. Compilers share the folder, because make builds again when the compiler changes.
test_aarch64() {
    reason=$(why_no_aarch64)
    if [ -n "$reason" ]; then
        echo "ok - kernels for AArch64 # skip $reason"
        echo "0 passed, 0 failed, 1 skipped"
        return
    fi
    mkdir -p build-aarch64 && : >build-aarch64/results.tap
    for compiler in aarch64-linux-gnu-gcc "clang --target=aarch64-linux-gnu"; do
        if make -s -j "$(nproc)" BUILD=build-aarch64 WERROR=1 HIP=none CC="$compiler" LDFLAGS=-static \
            build-aarch64/tests/check_kernels build-aarch64/tests/check_cpu build-aarch64/tests/check_measure; then
            echo "ok - $compiler builds without warnings"
            emulate >>build-aarch64/results.tap
            compare_digests >>build-aarch64/results.tap
        else
            echo "not ok - $compiler builds without warnings"
        fi
    done
    grep -A 20 '^not ok' build-aarch64/results.tap
    skips=$(grep -ciE '^ok.*# skip' build-aarch64/results.tap)
    echo "$(($(grep -c '^ok' build-aarch64/results.tap) - skips)) passed," \
        "$(grep -c '^not ok' build-aarch64/results.tap) failed, $skips skipped"
}

# test_gpu HIP COMPILER BATS-FILE: the program for GPUs that are not here, and what the compiler made of the kernels.
test_gpu() {
    if ! command -v "$2" >/dev/null 2>&1; then
        echo "ok - HIP=$1 # skip $2 is not installed"
        echo "0 passed, 0 failed, 1 skipped"
    elif make -s -j "$(nproc)" BUILD="build-$1" WERROR=1 HIP="$1" CC=gcc tests; then
        echo "ok - HIP=$1 builds without warnings"
        make -s BUILD="build-$1" WERROR=1 HIP="$1" CC=gcc \
            BATS="tests/cli/devices.bats tests/cli/gpu.bats tests/cli/library.bats $3" check
    else
        echo "not ok - HIP=$1 builds without warnings"
        echo "0 passed, 0 failed, 0 skipped"
    fi
}

# Lines of the sources that the tests reach, file by file.
measure_coverage() {
    make -s -j "$(nproc)" BUILD=build-coverage COVERAGE=1 CC=gcc tests >/dev/null &&
        make -s BUILD=build-coverage COVERAGE=1 CC=gcc check >/dev/null
    (
        cd build-coverage || exit
        find obj/src -name '*.gcno' -exec gcov -n {} + 2>/dev/null
    ) | awk '
        /^File .*src\// { file = $2; gsub(/\x27/, "", file); sub(/.*src\//, "src/", file) }
        /^Lines executed:/ && file != "" {
            split($0, part, /[:% ]/); share = part[3]; lines = $NF
            if (file !~ /\.h$/) printf "%6.1f %% of %4d lines  %s\n", share, lines, file
            done += share * lines / 100; all += lines; file = ""
        }
        END { if (all) printf "%6.1f %% of %4d lines  all of src/\n", 100 * done / all, all }' | sort -k 6
}

# The kernels as clang-22 compiles them for AMD's architectures, executed on the CPU.
test_amd_code() {
    mkdir -p build-amd-code && : >build-amd-code/results.tap
    if make -s -j "$(nproc)" BUILD=build-amd-code WERROR=1 HIP=none CC=gcc build-amd-code/tests/check_amd_kernels; then
        echo "ok - check_amd_kernels builds without warnings"
        make -s BUILD=build-amd-code WERROR=1 HIP=none CC=gcc amd-check >build-amd-code/results.tap ||
            grep -q '^not ok' build-amd-code/results.tap || echo "not ok - it came to its end" >>build-amd-code/results.tap
        cat build-amd-code/results.tap
    else
        echo "not ok - check_amd_kernels builds without warnings"
    fi
    skips=$(grep -ciE '^ok.*# skip' build-amd-code/results.tap)
    echo "$(($(grep -c '^ok' build-amd-code/results.tap) - skips)) passed," \
        "$(grep -c '^not ok' build-amd-code/results.tap) failed, $skips skipped"
}

run_build() {
    case $1 in
    gcc) build_and_test gcc CC=gcc ;;
    clang) build_and_test clang CC=clang ;;
    sanitize) build_and_test sanitize CC=clang SANITIZE=address,undefined CFLAGS='-O1 -g' ;;
    aarch64) test_aarch64 ;;
    amd-clang) test_gpu amd-clang clang++-22 tests/gpu/amd.bats ;;
    amd-code) test_amd_code ;;
    nvidia) test_gpu nvidia nvcc tests/gpu/nvidia.bats ;;
    coverage) measure_coverage ;;
    *) echo "not ok - MXFP4Q_BUILDS: no build called $1" ;;
    esac
}

# Builds one after the other; each leaves its output in build-NAME.log.
run_lane() {
    for build in "$@"; do
        run_build "$build" >"build-$build.log" 2>&1 </dev/null
    done
}

# Shows the output of a build, and adds up its tests.
show_build() {
    note "$1"
    cat "build-$1.log"
    [ "$1" != coverage ] || return
    passed=$((passed + $(grep -c '^ok - .* builds without warnings' "build-$1.log")))
    failed=$((failed + $(grep -c '^not ok - .* builds without warnings' "build-$1.log")))
    summary=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "build-$1.log" | tail -n 1)
    if [ -z "$summary" ]; then
        fail "$1: the tests came to their end"
        return
    fi
    # shellcheck disable=SC2086
    set -- $summary
    passed=$((passed + $1))
    failed=$((failed + $3))
    skipped=$((skipped + $5))
}

sources() {
    git ls-files -co --exclude-standard "$@" 2>/dev/null || find src tests -name "$1"
}

lint() {
    note "linters"
    # shellcheck disable=SC2046
    check "sources are formatted" clang-format --dry-run -Werror $(sources '*.c' '*.h')
    check "cppcheck finds nothing" cppcheck -q --std=c11 --enable=warning,style,performance,portability --inline-suppr \
        --suppressions-list=scripts/cppcheck-suppressions.txt --error-exitcode=1 -D__x86_64__ -Isrc src
    # shellcheck disable=SC2046
    check "shell scripts are clean" shellcheck -x $(sources 'scripts/*.sh' '.ci/run')
    # shellcheck disable=SC2046
    check "bats files are clean" shellcheck -x -s bash $(sources '*.bats' 'tests/cli/*.bash')
}

# Two builds at a time: most tests use one CPU.
builds=${MXFP4Q_BUILDS-gcc clang sanitize aarch64 amd-clang amd-code nvidia coverage}
first=
second=
for build in $builds; do
    case $build in
    gcc | sanitize) first="$first $build" ;;
    *) second="$second $build" ;;
    esac
done
note "building and testing: $builds (a quarter of an hour; what they say comes at the end)"
# shellcheck disable=SC2086
run_lane $first &
# shellcheck disable=SC2086
run_lane $second &
wait
for build in $builds; do
    [ "$build" = coverage ] || show_build "$build"
done
lint
case " $builds " in
*" coverage "*) show_build coverage ;;
esac

printf '\n%s passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
