# files.bash - inputs made on the spot, and what must hold of every run
# shellcheck shell=bash
# shellcheck disable=SC2154 # run sets output, stderr and their lines

PYTHON=/usr/bin/python3

# Each test has an empty folder to itself, and one for temporary files that must be empty again at its end.
setup() {
    enter_empty_folder
}

enter_empty_folder() {
    unset MXFP4Q_KERNEL MXFP4Q_CPU_FEATURES_OFF
    export TMPDIR=$BATS_TEST_TMPDIR/spool
    mkdir "$TMPDIR" "$BATS_TEST_TMPDIR/work" && cd "$BATS_TEST_TMPDIR/work" || return
}

# A test that was skipped before it had a folder has left nothing.
teardown() {
    [ ! -d "$BATS_TEST_TMPDIR/spool" ] || nothing_is_left
}

nothing_is_left() {
    local left
    left=$(find "$BATS_TEST_TMPDIR" -name '*mxfp4q-*' ! -name mxfp4q-report.json && ls -A "$TMPDIR") || return
    [ -z "$left" ] || { echo "left behind: $left" && false; }
}

# ---- runs

# The program must do its work in silence.
works() {
    run -0 --separate-stderr "$MXFP4Q" "$@"
    is "$stderr" ""
}

# The program must fail with this one line, less "mxfp4q: ", and say nothing else.
refuses() {
    local message=$1
    shift
    run -2 --separate-stderr "$MXFP4Q" "$@"
    is "$stderr" "mxfp4q: $message"
    is "$output" ""
}

is() {
    [ "$1" = "$2" ] || { printf 'this: %s\nnot:  %s\n' "$1" "$2" && false; }
}

# The names in a folder, in one line.
names_in() {
    (cd "$1" && LC_ALL=C && echo * | sed 's/^[*]$//')
}

# ---- bytes

# N bytes of a real weight, made smaller than 0x78, so that they are finite numbers of any type in any byte order.
some_bytes() {
    tail -c +129 "$TESTDATA/minilm_l6_attn_query.bf16.npy" | head -c "$1" | LC_ALL=C tr '\170-\377' '\000-\167'
}

# The bytes of 16-bit or 32-bit numbers in the other order.
swapped_16() {
    dd conv=swab status=none
}

swapped_32() {
    perl -0777 -pe 's/(.)(.)(.)(.)/$4$3$2$1/gs'
}

# A .npy header of version 1.0 with this text.
npy_header_with() {
    local length=$(((${#1} + 11 + 63) / 64 * 64 - 10)) low high
    printf -v low '\\x%02x' $((length & 255))
    printf -v high '\\x%02x' $((length >> 8))
    printf "\x93NUMPY\x01\x00$low$high%-$((length - 1))s\n" "$1"
}

# npy_header DESCR SHAPE [ORDER]
npy_header() {
    npy_header_with "{'descr': '$1', 'fortran_order': ${3:-False}, 'shape': $2, }"
}

# A BF16 matrix: make_npy FILE ROWS COLS
make_npy() {
    { npy_header '<V2' "($2, $3)" && some_bytes $((2 * $2 * $3)); } >"$1"
}

# An archive: make_zip FILE stored|deflated NAME=FILE...
make_zip() {
    [ -x "$PYTHON" ] || skip "$PYTHON is not installed"
    "$PYTHON" -W ignore -c '
import sys, zipfile
kind = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}[sys.argv[2]]
with zipfile.ZipFile(sys.argv[1], "w", kind) as archive:
    for member in sys.argv[3:]:
        name, path = member.split("=")
        archive.write(path, name)' "$@"
}

# All bytes of all buffers that these arguments make, for comparisons: quantized FILE ARGS...
quantized() {
    local file=$1
    shift
    works quantize -q --no-fsync --format raw -o "$BATS_TEST_TMPDIR/quantized" "$@"
    cat "$BATS_TEST_TMPDIR/quantized".*.raw >"$file"
    rm "$BATS_TEST_TMPDIR/quantized".*
}

# The values at a path of a JSON file, as Python prints them: json_value FILE "['input']['dtype']"
json_value() {
    [ -x "$PYTHON" ] || skip "$PYTHON is not installed"
    "$PYTHON" -c 'import json, sys; print(eval("json.load(open(sys.argv[1]))" + sys.argv[2]))' "$@"
}

# ---- what a test may need

no_root() {
    [ "$(id -u)" -ne 0 ] || skip "root may read and write everything"
}
