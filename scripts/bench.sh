#!/bin/sh
# bench.sh BUILD [--json] - measures kernels and whole commands, and says which rows reach what is wanted of them
#
# Everything is measured beside something of the system's in the same run: quantizing in memory against memcpy(), diff
# against cmp, quantizing files against cp. Exits with 1 when a row falls short. Nothing here is a test: the machine may be
# busy, and a number is worth only what the machine and the moment are.
set -eu
build=$(cd "${1:?usage: bench.sh BUILD [--json]}" && pwd)
json=${2:-}
cd "$(dirname "$0")/.."
mxfp4q=$build/mxfp4q
work=$build/bench
rounds=9
rm -rf "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

# Rows: NAME, UNIT, VALUE, WANTED, reached|short|skipped, separated by tabs. Of fractions more is better, of all else less.
rows=$work/rows

# What a case of mxfp4q bench is to reach, by its name without the shape.
kernel_rows() {
    "$mxfp4q" bench | awk '
        BEGIN {
            wanted["bf16 both aiter"] = 0.80; wanted["bf16 both linear"] = 0.80
            wanted["bf16 rowwise aiter"] = 0.85; wanted["bf16 columnwise aiter"] = 0.75
            wanted["f32 both aiter"] = 0.85; wanted["bf16 both aiter hadamard"] = 0.60
            wanted["bf16 both aiter 1 thread"] = 0.60
        }
        {
            name = $0; sub(/ +[0-9.]+ ms .*/, "", name)
            key = name; sub(/ [0-9]+x[0-9]+$/, "", key)
            printf "%s\tfraction of memcpy\t%s\t%.2f\t%s\n", name, $NF, wanted[key],
                $NF >= wanted[key] ? "reached" : "short"
        }'
}

# Hundredths of milliseconds that a command takes.
time_of() {
    start=$(date +%s%N)
    "$@"
    echo $((($(date +%s%N) - start) / 10000))
}

compare_with_diff() {
    "$mxfp4q" diff -q "$work/a" "$work/b"
}

compare_with_cmp() {
    for buffer in rowwise_data rowwise_scale columnwise_data columnwise_scale; do
        cmp "$work/a.$buffer.npy" "$work/b.$buffer.npy"
    done
}

# The median of the ratios of commands that take turns, so that a busy moment hits both.
diff_row() {
    "$mxfp4q" gen -q --no-fsync --shape 8192x8192 --pattern normal -o "$work/w"
    "$mxfp4q" quantize -q --no-fsync "$work/w.npy" -o "$work/a"
    "$mxfp4q" quantize -q --no-fsync "$work/w.npy" -o "$work/b"
    i=0
    while [ $i -lt $rounds ]; do
        echo "$(time_of compare_with_diff) $(time_of compare_with_cmp)"
        i=$((i + 1))
    done | awk '{ print $1 / $2 }' | sort -n | sed -n "$(((rounds + 1) / 2))p" | awk '{
        printf "diff of equal results of 8192x8192, against cmp\tratio\t%.2f\t2.00\t%s\n", $1, $1 <= 2 ? "reached" : "short" }'
    rm -f "$work"/[abw].*
}

machine() {
    echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1), $(nproc) CPUs, load" \
        "$(cut -d ' ' -f 1 /proc/loadavg 2>/dev/null || echo unknown)"
}

show() {
    if [ "$json" != --json ]; then
        awk -F '\t' '{ printf "%-50s %8s %-18s wanted %6s  %s\n", $1, $3, $2, $4, $5; fflush() }'
        return
    fi
    awk -F '\t' -v machine="$(machine)" '
        function quote(text) { gsub(/[\\"]/, "\\\\&", text); return "\"" text "\"" }
        BEGIN { printf "{\"machine\": %s, \"rows\": [", quote(machine) }
        {
            printf "%s\n  {\"name\": %s, \"unit\": %s, \"value\": %s, \"wanted\": %s, \"state\": %s}", NR > 1 ? "," : "",
                quote($1), quote($2), $3 ~ /^[0-9.]+$/ ? $3 : "null", $4, quote($5)
        }
        END { print "\n]}" }'
}

[ "$json" = --json ] || machine
{
    kernel_rows
    diff_row
    sh scripts/bench-files.sh "$build"
} | tee "$rows" | show
! grep -q 'short$' "$rows"
