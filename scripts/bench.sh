#!/bin/sh
# bench.sh BUILD - measures: kernels against memcpy, and whole commands against the system's own, in one run
#
# Whole commands are timed in turn, so that a busy moment hits both, and their medians are compared. Nothing here is a
# test: the machine may be busy, and a number is worth only what the machine and the moment are.
set -eu
build=$(cd "${1:?usage: bench.sh BUILD}" && pwd)
cd "$(dirname "$0")/.."
mxfp4q=$build/mxfp4q
work=$build/bench
rounds=9

grep -m 1 'model name' /proc/cpuinfo 2>/dev/null || true
echo "$(nproc) CPUs; load $(cut -d ' ' -f 1 /proc/loadavg 2>/dev/null || echo unknown)"
"$build/tests/check_kernels" --bench

rm -rf "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT
# Random bits without infinities and NaNs: 8192 x 8192 BF16.
head -c 134217728 /dev/urandom | LC_ALL=C tr '\170-\377' '\000-\167' >"$work/w.raw"

quantize() {
    "$mxfp4q" quantize -q -f --no-fsync "$work/w.raw" --shape 8192x8192 --dtype bf16 -o "$1"
}

compare_with_diff() {
    "$mxfp4q" diff -q "$work/a" "$work/b"
}

compare_with_cmp() {
    for buffer in rowwise_data rowwise_scale columnwise_data columnwise_scale; do
        cmp "$work/a.$buffer.npy" "$work/b.$buffer.npy"
    done
}

copy_input() {
    cp "$work/w.raw" "$work/copy"
}

quantize_input() {
    quantize "$work/a"
}

# Hundredths of milliseconds that a command takes.
time_of() {
    start=$(date +%s%N)
    "$@"
    echo $((($(date +%s%N) - start) / 10000))
}

# pair NAME COMMAND OTHER: medians in hundredths of milliseconds, and their ratio.
pair() {
    : >"$work/one"
    : >"$work/two"
    i=0
    while [ $i -lt $rounds ]; do
        time_of "$2" >>"$work/one"
        time_of "$3" >>"$work/two"
        i=$((i + 1))
    done
    one=$(sort -n "$work/one" | sed -n "$(((rounds + 1) / 2))p")
    two=$(sort -n "$work/two" | sed -n "$(((rounds + 1) / 2))p")
    awk -v name="$1" -v a="$one" -v b="$two" 'BEGIN {
        printf "%-58s %8.2f ms against %8.2f ms, ratio %.2f\n", name, a / 100, b / 100, a / b }'
}

quantize "$work/a"
quantize "$work/b"
pair "diff against cmp, 8192x8192 both directions, aiter" compare_with_diff compare_with_cmp
pair "quantize --no-fsync against cp of the input, 8192x8192 bf16" quantize_input copy_input
