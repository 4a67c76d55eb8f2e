#!/bin/sh
# bench-files.sh BUILD - measures whole commands, from file to file: rows NAME, UNIT, VALUE, WANTED, reached|short|skipped
#
# The columns are separated by tabs. Commands that are compared take turns, so that a busy moment hits both, and the
# median of their ratios counts. Outputs are removed after each turn, so that both find the memory that the other has
# left: writing to memory that the system must fetch first takes several times as long. FILES_FOLDER says where the files
# are (BUILD/bench-files); 8 GiB of input need 14 GB there and as much memory as the page cache can have.
set -eu
build=$(cd "${1:?usage: bench-files.sh BUILD}" && pwd)
mxfp4q=$build/mxfp4q
work=${FILES_FOLDER:-$build/bench-files}
rounds=9
rm -rf "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
cd "$work"

# Microseconds that a command takes.
time_of() {
    start=$(date +%s%N)
    "$@"
    echo $((($(date +%s%N) - start) / 1000))
}

# Of the numbers in a file.
median() {
    sort -n "$1" | awk '{ n[NR] = $1 } END { print NR % 2 ? n[(NR + 1) / 2] : (n[NR / 2] + n[NR / 2 + 1]) / 2 }'
}

# row NAME UNIT VALUE WANTED: at most so much is wanted.
row() {
    awk -v name="$1" -v unit="$2" -v value="$3" -v wanted="$4" 'BEGIN {
        printf "%s\t%s\t%.2f\t%.2f\t%s\n", name, unit, value, wanted, value <= wanted ? "reached" : "short" }'
}

skipped() {
    printf '%s\t%s\t%s\t%.2f\tskipped\n' "$1" "$2" "$4" "$3"
}

# compare NAME COMMAND OTHER: COMMAND is to take no longer than OTHER. Both leave no files but out.*
compare() {
    : >ratios
    for _ in $(seq $rounds); do
        other=$(time_of "$3")
        rm -f out.*
        one=$(time_of "$2")
        rm -f out.*
        awk -v a="$one" -v b="$other" 'BEGIN { print a / b }' >>ratios
    done
    row "$1" ratio "$(median ratios)" 1
}

# ---- 10,000 matrices of 37 x 101 from one archive to one archive

# What the standard library of Python makes is what numpy.savez() makes.
make_archive() {
    python3 - <<'END'
import zipfile
header = "{'descr': '<u2', 'fortran_order': False, 'shape': (37, 101), }".ljust(117) + "\n"
head = b"\x93NUMPY\x01\x00\x76\x00" + header.encode()
values = open("some.npy", "rb").read()[128:]
with zipfile.ZipFile("in.npz", "w") as archive:
    for i in range(10000):
        at = i * 518 % (len(values) - 7474)
        archive.writestr(zipfile.ZipInfo("layer.%d.npy" % i), head + values[at:at + 7474])
END
}

quantize_archive() {
    "$mxfp4q" quantize -q --no-fsync --dtype bf16 in.npz -o out.npz
}

measure_archive() {
    "$mxfp4q" gen -q --no-fsync --shape 1024x1024 --pattern normal -o some
    if ! make_archive 2>/dev/null; then
        skipped "10,000 matrices of 37x101, .npz to .npz" "us/matrix" 100 "no python3"
        return
    fi
    : >durations
    for _ in $(seq 5); do
        time_of quantize_archive >>durations
        rm -f out.*
    done
    row "10,000 matrices of 37x101, .npz to .npz" "us/matrix" "$(awk -v t="$(median durations)" 'BEGIN { print t / 10000 }')" 100
    rm -f in.npz some.npy
}

# ---- 512 MiB against cp

quantize_file() {
    "$mxfp4q" quantize -q in.npy -o out
}

quantize_file_without_fsync() {
    "$mxfp4q" quantize -q --no-fsync in.npy -o out
}

copy_file() {
    cp in.npy out.npy
}

copy_file_and_sync() {
    cp in.npy out.npy
    sync out.npy
}

measure_file() {
    "$mxfp4q" gen -q --shape 16384x16384 --pattern normal -o in
    cat in.npy >/dev/null
    compare "quantize, 512 MiB, against cp and sync" quantize_file copy_file_and_sync
    compare "quantize --no-fsync, 512 MiB, against cp" quantize_file_without_fsync copy_file
    rm -f in.npy
}

# ---- 64 MiB and 8 GiB

# A sparse file: what is on no disk is in the page cache all the same, once it has been read.
quantize_rows() {
    "$mxfp4q" quantize -q --no-fsync in.raw --shape "$1x8192" --dtype bf16 -o out
}

# Microseconds for 64 MiB of the input of that many rows, the median of $2 runs.
time_per_part() {
    truncate -s $(($1 * 16384)) in.raw
    cat in.raw >/dev/null
    : >durations
    for _ in $(seq "$2"); do
        time_of quantize_rows "$1" >>durations
        rm -f out.*
    done
    awk -v t="$(median durations)" -v rows="$1" 'BEGIN { print t / (rows / 4096) }'
}

measure_sizes() {
    name="time per element, 8 GiB against 64 MiB"
    if [ "$(df --output=avail -k . | tail -n 1)" -lt 14000000 ]; then
        skipped "$name" ratio 1.15 "less than 14 GB are free"
        return
    fi
    small=$(time_per_part 4096 9)
    large=$(time_per_part 524288 3)
    row "$name" ratio "$(awk -v a="$large" -v b="$small" 'BEGIN { print a / b }')" 1.15
}

measure_archive
measure_file
measure_sizes
