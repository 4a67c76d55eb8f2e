#!/usr/bin/env bats
# More than 2^31 elements and 2^32 bytes: where things are, and how much memory it takes.

load helper
load files

setup() {
    case $(cat "${BUILD:-$ROOT/build}/.config") in
    *-fsanitize=* | *--coverage*) skip "this takes long under sanitizers and gcov" ;;
    esac
    [ -x "$PYTHON" ] || skip "$PYTHON is not installed"
    enter_empty_folder
}

# Peak resident memory of the program, in MiB, is in $peak: measured ARGS...
measured() {
    peak=$("$PYTHON" -c '
import os, resource, subprocess, sys
status = subprocess.run(sys.argv[1:], stderr=sys.stderr).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
sys.exit(status)' "$MXFP4Q" "$@")
}

# A sparse raw file of 2^33 bytes, BF16, 65536 x 65536. It is zero but for 32 values of row 65001, from column 64992 on,
# which are more than 2^32 bytes and 2^31 elements away from the start: 6, and 31 times -0.5.
make_large() {
    truncate -s 8G large.raw
    { printf '\300\100' && printf '\0\277%.0s' {1..31}; } |
        dd of=large.raw bs=2 seek=$((65001 * 65536 + 64992)) conv=notrunc status=none
}

# The bytes of standard input that are not USUAL, as lines OFFSET VALUE, and at last the number of all: others USUAL
others() {
    "$PYTHON" -c '
import sys
usual, at = int(sys.argv[1]), 0
plain = bytes([usual]) * (1 << 20)
while chunk := sys.stdin.buffer.read(1 << 20):
    if chunk != plain:
        for i, byte in enumerate(chunk):
            if byte != usual:
                print(at + i, byte)
    at += len(chunk)
print("end", at)' "$1"
}

# One buffer of it, in a linear layout, where zeros have scale byte 1: its bytes that are not USUAL.
# large_buffer BUFFER USUAL [INPUT]
large_buffer() {
    measured quantize -q "${3:-large.raw}" --shape 65536x65536 --dtype bf16 --layout linear --only "$1" --zero-byte 1 \
        --format raw --no-fsync -fo large
    echo "$1: peak $peak MiB"
    [ "$peak" -le 256 ]
    others "$2" <"large.$1.raw" >found
    rm "large.$1.raw"
}

# Along the row, the largest is 6: scale 2^0, and the codes are 7 (6) and 9 (-0.5). Down the columns each is alone: 6 has
# scale 2^0, and -0.5 has 2^-3 and so is code 14 (-4).

@test "8 GiB: scales beyond 2^31 elements are in their place" {
    make_large
    large_buffer rowwise_scale 1
    is "$(tr '\n' ' ' <found)" "$((65001 * 2048 + 2031)) 127 end $((65536 * 2048)) "
    large_buffer columnwise_scale 1
    {
        echo "$((64992 * 2048 + 2031)) 127"
        for column in {64993..65023}; do echo "$((column * 2048 + 2031)) 124"; done
        echo "end $((65536 * 2048))"
    } | diff - found
}

@test "8 GiB: codes beyond 2^31 elements are in their place" {
    [ "$(df --output=avail -k . | tail -n 1)" -gt 4000000 ] || skip "less than 4 GB are free"
    make_large
    large_buffer rowwise_data 0
    {
        echo "$((65001 * 32768 + 32496)) $((0x97))"
        for byte in {32497..32511}; do echo "$((65001 * 32768 + byte)) $((0x99))"; done
        echo "end $((65536 * 32768))"
    } | diff - found
}

@test "8 GiB out of a gzip take no more memory" {
    make_large
    # Members that follow each other are one stream; all but the last are 64 MiB of zeros.
    head -c 64M /dev/zero | gzip -1 >zeros.gz
    for _ in {1..126}; do cat zeros.gz; done >large.gz
    tail -c 128M large.raw | gzip -1 >>large.gz
    large_buffer columnwise_scale 1 large.gz
    is "$(wc -l <found)" 33
    is "$(head -n 1 found)" "$((64992 * 2048 + 2031)) 127"
}
