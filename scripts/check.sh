#!/bin/sh
# check.sh - installs what is missing and runs every test under gcc, clang and sanitizers, the linters, and coverage
#
# The last line is "N passed, N failed, N skipped". MXFP4Q_BUILDS="gcc" runs fewer builds.
set -u
cd "$(dirname "$0")/.." || exit 2
. scripts/install-deps.sh

# shellcheck disable=SC2086
install_packages $BUILD_PACKAGES clang clang-format cppcheck bats shellcheck groff man-db zsh libclang-rt-14-dev pkg-config \
    python3-numpy procps || exit 2

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

run_build() {
    case $1 in
    gcc) build_and_test gcc CC=gcc ;;
    clang) build_and_test clang CC=clang ;;
    sanitize) build_and_test sanitize CC=clang SANITIZE=address,undefined CFLAGS='-O1 -g' ;;
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
builds=${MXFP4Q_BUILDS-gcc clang sanitize coverage}
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
