#!/bin/sh
# check.sh - installs what is missing and runs every test under gcc, clang and sanitizers, the linters, and coverage
#
# The last line is "N passed, N failed, N skipped". MXFP4Q_BUILDS="gcc" runs fewer builds.
set -u
cd "$(dirname "$0")/.." || exit 2
. scripts/install-deps.sh

# shellcheck disable=SC2086
install_packages $BUILD_PACKAGES clang clang-format cppcheck bats shellcheck groff man-db zsh libclang-rt-14-dev pkg-config \
    python3-numpy || exit 2

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

skip() {
    skipped=$((skipped + 1))
    printf 'ok - %s # skip %s\n' "$1" "$2"
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

# Adds up the last line of run-tests.sh.
count() {
    summary=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$1" | tail -n 1)
    if [ -z "$summary" ]; then
        fail "$2: the tests did not end"
        return
    fi
    # shellcheck disable=SC2086
    set -- $summary
    passed=$((passed + $1))
    failed=$((failed + $3))
    skipped=$((skipped + $5))
}

# Builds with the given settings of make, warnings being errors, and runs all tests.
run_build() {
    name=$1
    shift
    note "$name"
    log=build-$name.log
    if make -s -j "$(nproc)" BUILD="build-$name" WERROR=1 "$@" tests >"$log" 2>&1; then
        pass "$name builds without warnings"
    else
        cat "$log"
        fail "$name builds without warnings"
        return
    fi
    make -s BUILD="build-$name" WERROR=1 "$@" check 2>&1 | tee "$log"
    count "$log" "$name"
    rm -f "$log"
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

coverage() {
    note "coverage of src/ by the tests"
    make -s -j "$(nproc)" BUILD=build-coverage COVERAGE=1 CC=gcc tests >/dev/null 2>&1 &&
        make -s BUILD=build-coverage COVERAGE=1 CC=gcc check >/dev/null 2>&1
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

builds=${MXFP4Q_BUILDS-gcc clang sanitize}
for build in $builds; do
    case $build in
    gcc) run_build gcc CC=gcc ;;
    clang) run_build clang CC=clang ;;
    sanitize) run_build sanitize CC=clang SANITIZE=address,undefined CFLAGS='-O1 -g' ;;
    *) fail "MXFP4Q_BUILDS: no build called $build" ;;
    esac
done
lint
coverage

printf '\n%s passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
