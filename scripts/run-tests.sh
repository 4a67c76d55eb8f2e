#!/bin/sh
# run-tests.sh BUILD [BATS-FILE...] - runs the unit checks and the bats files against one build and counts the results
#
# Prints every failure, and at the end "N passed, N failed, N skipped". The complete TAP is in BUILD/tests/results.tap.
set -u
build=$(cd "${1:?usage: run-tests.sh BUILD}" && pwd)
shift
cd "$(dirname "$0")/.." || exit 2
results=$build/tests/results.tap
: >"$results"
trouble=0

# Runs a producer of TAP; an exit status without a failed line (a crash, say) is a failure too.
run_tap() {
    name=$1
    shift
    printf '# %s\n' "$name" >>"$results"
    "$@" >"$build/tests/current.tap" 2>"$build/tests/current.err" </dev/null
    status=$?
    cat "$build/tests/current.tap" >>"$results"
    grep -A 20 '^not ok' "$build/tests/current.tap"
    if [ "$status" -ne 0 ] && ! grep -q '^not ok' "$build/tests/current.tap"; then
        printf 'not ok - %s ended with status %s\n' "$name" "$status" | tee -a "$results"
        tail -n 30 "$build/tests/current.err"
    fi
    [ "$status" -eq 0 ] || trouble=1
}

scratch=$build/tests/scratch
run_tap check_kernels "$build/tests/check_kernels"
run_tap check_random "$build/tests/check_random"
run_tap check_cpu "$build/tests/check_cpu"
run_tap check_measure "$build/tests/check_measure"
run_tap check_gpu "$build/tests/check_gpu"
for width in 32 64; do
    if [ -x "$build/tests/check_gpu_source-$width" ]; then
        run_tap "check_gpu_source-$width" "$build/tests/check_gpu_source-$width"
    else
        printf 'ok - the source of the GPU kernels # skip there was no C++ compiler\n' >>"$results"
    fi
done
for check in check_io check_outfile check_stored check_safetensors check_heatmap check_gcnrun; do
    rm -rf "$scratch" && mkdir "$scratch"
    run_tap "$check" "$build/tests/$check" "$scratch"
    rm -rf "$scratch"
done

if command -v bats >/dev/null 2>&1; then
    if [ $# -eq 0 ]; then
        set -- tests/cli/*.bats
        case $(cat "$build/.config") in
        *" HIP=amd"*) set -- "$@" tests/gpu/amd.bats ;;
        *" HIP=nvidia"*) set -- "$@" tests/gpu/nvidia.bats ;;
        esac
    fi
    MXFP4Q=$build/mxfp4q BUILD=$build
    export MXFP4Q BUILD
    # A test that hangs is a failure, not the end of the run; bats needs ps or pkill to see to that.
    if command -v pkill >/dev/null 2>&1 || command -v ps >/dev/null 2>&1; then
        export BATS_TEST_TIMEOUT=300
    fi
    run_tap "bats" bats --tap "$@"
else
    printf 'ok - the command line # skip bats is not installed\n' >>"$results"
fi

skipped=$(grep -ciE '^ok.*# skip' "$results")
passed=$(($(grep -c '^ok' "$results") - skipped))
failed=$(grep -c '^not ok' "$results")
grep -iE '^ok.*# skip' "$results"
printf '%s passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ] && [ "$trouble" -eq 0 ]
