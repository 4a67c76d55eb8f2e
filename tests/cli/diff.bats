#!/usr/bin/env bats
# shellcheck disable=SC2154 # run sets output, stderr and their lines
# mxfp4q diff: every class of difference from a producer that is broken in just that way, the rules, and all kinds of sides.

load helper

# Where the buffer begins in a .npy that mxfp4q wrote.
NPY_HEADER=128

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    cp "$TESTDATA/minilm_l6_attn_query.bf16.npy" w.npy
}

quantize() {
    "$MXFP4Q" quantize -q "$@"
}

# A raw FP32 input from numbers.
floats() {
    python3 -c 'import struct, sys; sys.stdout.buffer.write(struct.pack("<%df" % (len(sys.argv) - 1), *map(float, sys.argv[1:])))' "$@"
}

# patch FILE OFFSET HEX...: overwrites bytes of a buffer.
patch() {
    local file=$1 offset=$2 hex
    shift 2
    for hex in "$@"; do
        printf '%b' "\\x$hex" | dd of="$file" bs=1 seek=$((NPY_HEADER + offset)) conv=notrunc status=none
        offset=$((offset + 1))
    done
}

# Bytes, or nibbles, that differ in the rowwise buffers of two linear results, by cmp.
different_bytes() {
    cmp -l "$1" "$2" | wc -l
}

different_nibbles() {
    python3 -c '
import sys
a, b = (open(name, "rb").read()[128:] for name in sys.argv[1:])
print(sum((x & 15 != y & 15) + (x >> 4 != y >> 4) for x, y in zip(a, b)))' "$1" "$2"
}

# count CLASS: the scales and codes of a class in the first direction of the text report.
count() {
    awk -v class="$1" '$1 == class { print $2, $3; exit }' <<<"$output"
}

@test "the same job twice is identical, and the status is 0" {
    quantize w.npy -o a
    quantize w.npy -o b
    run -0 "$MXFP4Q" diff a b
    [ "$output" = "a, golden b: identical" ]
}

@test "layouts do not matter: a linear result is identical to a shuffled one" {
    quantize w.npy -o a
    quantize w.npy -o b --layout linear --format npz --gzip
    quantize w.npy -o c --shuffle rowwise_data,columnwise_scale --format raw
    run -0 "$MXFP4Q" diff a b
    run -0 "$MXFP4Q" diff b c
    run -0 "$MXFP4Q" diff c a
    [ "$output" = "c, golden a: identical" ]
}

@test "ragged matrices are compared in their valid region only" {
    quantize "$TESTDATA/vectors/inputs/shape_37x101_bf16.npy" -o a --pad-fill 0 || skip "no such vector"
    quantize "$TESTDATA/vectors/inputs/shape_37x101_bf16.npy" -o b --pad-fill 99
    quantize "$TESTDATA/vectors/inputs/shape_37x101_bf16.npy" -o c --layout linear
    run -0 "$MXFP4Q" diff a b
    run -0 "$MXFP4Q" diff a c
}

@test "padding is compared when asked for" {
    floats $(seq 64) >x.raw
    quantize x.raw --shape 2x32 --dtype f32 -o a --pad-fill 0
    quantize x.raw --shape 2x32 --dtype f32 -o b --pad-fill 9
    run -0 "$MXFP4Q" diff a b
    run -1 "$MXFP4Q" diff a b --padding --no-guess
    # 256 x 8 scale bytes rowwise, of which 2 hold values
    [[ $output == *"padding                2046 of "* ]]
}

@test "a sign of zero is told as that, counts as bytes, and is no difference of values" {
    floats 0 0 0 0 >x.raw
    quantize x.raw --shape 1x4 --dtype f32 -o a --layout linear --direction rowwise
    quantize x.raw --shape 1x4 --dtype f32 -o b --layout linear --direction rowwise
    patch a.rowwise_data.npy 0 08
    run -1 "$MXFP4Q" diff a b
    [ "$(count signed-zero)" = "0 1" ]
    run -0 "$MXFP4Q" diff a b --rules mxfp8
    [[ ${lines[0]} == "a, golden b: within the rules" ]]
}

@test "another scale byte of a block of zeros is told as that" {
    floats 0 0 0 0 >x.raw
    quantize x.raw --shape 1x4 --dtype f32 -o a --layout linear --direction rowwise
    quantize x.raw --shape 1x4 --dtype f32 -o b --layout linear --direction rowwise --zero-byte 0
    run -1 "$MXFP4Q" diff a b
    [ "$(count zero-block)" = "1 0" ]
}

@test "another tie rule is told as ties, and with the source proved to be ties" {
    quantize w.npy -o a --layout linear
    quantize w.npy -o b --layout linear --ties away
    ties=$(different_nibbles a.rowwise_data.npy b.rowwise_data.npy)
    [ "$ties" -gt 0 ]
    run -1 "$MXFP4Q" diff b a --no-guess
    [ "$(count tie)" = "0 $ties" ]
    [ -z "$(count real)" ]
    run -1 "$MXFP4Q" diff b a --no-guess --source w.npy
    [ "$(count tie)" = "0 $ties" ]
    run -0 "$MXFP4Q" diff b a --rules mxfp8 --source w.npy
}

@test "a neighbour that is no tie is taken for one without the source, and for an error with it" {
    # 2.1 is nearest to 2 (code 4) at scale 1; 6 makes the scale 1
    floats 6 2.1 0 0 >x.raw
    quantize x.raw --shape 1x4 --dtype f32 -o a --layout linear --direction rowwise
    quantize x.raw --shape 1x4 --dtype f32 -o b --layout linear --direction rowwise
    patch a.rowwise_data.npy 0 57
    run -0 "$MXFP4Q" diff a b --rules mxfp8
    [ "$(count tie)" = "0 1" ]
    run -1 "$MXFP4Q" diff a b --rules mxfp8 --source x.raw --shape 1x4 --dtype f32
    [ "$(count real)" = "0 1" ]
}

@test "scales that are one off, with codes that follow, are told as one step" {
    quantize w.npy -o a --layout linear
    quantize w.npy -o b --layout linear --scale rceil
    steps=$(different_bytes a.rowwise_scale.npy b.rowwise_scale.npy)
    [ "$steps" -gt 0 ]
    run -1 "$MXFP4Q" diff b a --no-guess --source w.npy --rules mxfp8
    [[ $(count scale-step) == "$steps "* ]]
    [ -z "$(count tie)" ]
    [ -z "$(count real)" ]
    # at most one scale in ten thousand may be off, and each allows for 32 codes
    [[ $output == *"  0   by rules mxfp8; allowed 0 and $((32 * steps)): too many"* ]]
    run -0 "$MXFP4Q" diff b a --no-guess --source w.npy --rules mxfp8 --scale-limit 9999 --scale-share 1
}

@test "a scale that is one off under codes that do not follow is worse" {
    quantize w.npy -o a --layout linear
    quantize w.npy -o b --layout linear
    # the first scale byte is 122 or so
    byte=$(od -An -tu1 -j "$NPY_HEADER" -N 1 a.rowwise_scale.npy)
    patch a.rowwise_scale.npy 0 "$(printf %x $((byte + 1)))"
    run -1 "$MXFP4Q" diff a b --no-guess
    [ "$(count scale-worse)" = "1 0" ]
}

@test "a scale that is three off is worse" {
    quantize w.npy -o a --layout linear
    quantize w.npy -o b --layout linear
    byte=$(od -An -tu1 -j "$NPY_HEADER" -N 1 a.rowwise_scale.npy)
    patch a.rowwise_scale.npy 0 "$(printf %x $((byte + 3)))"
    run -1 "$MXFP4Q" diff a b --no-guess --rules te-mxfp4
    [ "$(count scale-worse)" = "1 0" ]
}

@test "codes at 6 under a scale that is too small are told as saturation" {
    floats 6 6 -6 6 >x.raw
    quantize x.raw --shape 1x4 --dtype f32 -o a --layout linear --direction rowwise
    quantize x.raw --shape 1x4 --dtype f32 -o b --layout linear --direction rowwise
    patch a.rowwise_scale.npy 0 7e # 2^-1
    run -1 "$MXFP4Q" diff a b --no-guess
    [ "$(count saturation)" = "0 4" ]
    [ "$(count scale-step)" = "1 0" ]
}

@test "a code that nothing explains is real" {
    quantize w.npy -o a --layout linear
    quantize w.npy -o b --layout linear
    byte=$(od -An -tu1 -j "$((NPY_HEADER + 1000))" -N 1 a.rowwise_data.npy)
    patch a.rowwise_data.npy 1000 "$(printf %x $((byte ^ 8)))"
    run -1 "$MXFP4Q" diff a b --no-guess --rules mxfp8
    [ "$(count real)" = "0 1" ]
    # byte 1000 of 192 to a row: row 5, column 2 * 40, block 2
    [[ $output == *"rowwise    [5, 80] row 5 block 2: code "*": real"* ]]
}

@test "a real difference is found wherever it is, with its place in the original tensor" {
    head -c 6144 /dev/zero >x.raw
    quantize x.raw --shape 4x12x32 --dtype f32 -o a --direction columnwise --layout linear
    quantize x.raw --shape 4x12x32 --dtype f32 -o b --direction columnwise --layout linear
    # columnwise: 32 rows of 48 values; row 3, value 45 is input row 45 = [3, 9], column 3
    patch a.columnwise_data.npy $((3 * 24 + 22)) 70
    run -1 "$MXFP4Q" diff a b --no-guess
    [[ $output == *"columnwise [3, 9, 3] row 3 block 1: code 7 "* ]]
}

@test "five codes in a hundred may differ by te-mxfp4, and no more" {
    head -c 12800 /dev/zero >x.raw
    quantize x.raw --shape 1x3200 --dtype f32 -o a --direction rowwise --layout linear
    quantize x.raw --shape 1x3200 --dtype f32 -o b --direction rowwise --layout linear
    for i in $(seq 0 79); do patch a.rowwise_data.npy "$i" 77; done
    run -0 "$MXFP4Q" diff a b --no-guess --rules te-mxfp4
    patch a.rowwise_data.npy 80 07
    run -1 "$MXFP4Q" diff a b --no-guess --rules te-mxfp4
    run -0 "$MXFP4Q" diff a b --no-guess --rules te-mxfp4 --code-share 0.06
}

@test "each number of a rule set can be set, in any order" {
    quantize w.npy -o a
    quantize w.npy -o b --scale rceil
    run -0 "$MXFP4Q" diff b a --no-guess --scale-atol 1 --code-share 1 --rules mxfp8
    run -0 "$MXFP4Q" diff b a --no-guess --rules mxfp8 --scale-limit 100000 --scale-share 1 --atol 10
    run -1 "$MXFP4Q" diff b a --no-guess --rules mxfp8 --scale-limit 100000 --scale-share 1 --accept-ties no --codes-per-scale 0
}

@test "single buffers, pairs, members and raw files are sides too" {
    quantize w.npy -o a
    quantize w.npy -o b --layout linear
    quantize w.npy -o z --format npz
    quantize w.npy -o r --format raw
    run -0 "$MXFP4Q" diff a.rowwise_data.npy b.rowwise_data.npy --test-layout aiter
    run -0 "$MXFP4Q" diff a.rowwise_data.npy b.rowwise_data.npy --test-layout aiter --golden-scale b.rowwise_scale.npy --test-scale a.rowwise_scale.npy --matrix 384x384
    run -0 "$MXFP4Q" diff a.columnwise_scale.npy b --test-layout aiter
    run -0 "$MXFP4Q" diff z.npz b --test-member columnwise_data --test-layout aiter
    run -0 "$MXFP4Q" diff r.rowwise_scale.raw b --test-layout aiter
    run -1 "$MXFP4Q" diff a.rowwise_data.npy b.rowwise_data.npy --no-guess
}

@test "a golden in Fortran order is read in its logical order" {
    /usr/bin/python3 -c 'import numpy' 2>/dev/null || skip "NumPy is not installed"
    quantize w.npy -o a --layout linear
    /usr/bin/python3 -c '
import numpy as np
np.save("f.rowwise_scale.npy", np.asfortranarray(np.load("a.rowwise_scale.npy")))'
    run -0 "$MXFP4Q" diff f.rowwise_scale.npy a
    [[ $output == *identical ]]
}

@test "SNR, MSE, cosine and the largest error are those of NumPy" {
    /usr/bin/python3 -c 'import numpy' 2>/dev/null || skip "NumPy is not installed"
    quantize w.npy -o a --layout linear --direction rowwise
    quantize w.npy -o b --layout linear --direction rowwise --profile aiter
    run -1 "$MXFP4Q" diff b a --json --no-guess
    printf '%s' "$output" >report.json
    /usr/bin/python3 - <<'END'
import json, numpy as np
grid = np.array([0, .5, 1, 1.5, 2, 3, 4, 6]); grid = np.concatenate((grid, -grid))
def load(name):
    codes, scales = np.load(name + ".rowwise_data.npy"), np.load(name + ".rowwise_scale.npy").astype(float)
    return (grid[np.stack((codes & 15, codes >> 4), -1)].reshape(384, 12, 32) * 2.0 ** (scales[..., None] - 127)).ravel()
y, x = load("b"), load("a")
report = json.load(open("report.json"))[0]["rowwise"]
want = {"snr_db": 10 * np.log10((x @ x) / ((x - y) @ (x - y))), "mse": ((x - y) ** 2).mean(),
        "cosine": (x @ y) / np.sqrt((x @ x) * (y @ y)), "largest_error": abs(x - y).max()}
for key, value in want.items():
    assert abs(report[key] - value) <= 1e-9 * abs(value), (key, report[key], value)
END
}

@test "with the source, stochastic codes under another scale are quantized again with their own random bits" {
    local options
    for options in "" "--hadamard=64 --hadamard-seed 3" "--block 32x32"; do
        # shellcheck disable=SC2086 # options are words
        quantize w.npy -o a -f --ties stochastic --seed 8 --direction both $options
        # shellcheck disable=SC2086 # options are words
        quantize w.npy -o b -f --ties stochastic --seed 8 --direction both --scale rceil $options
        run -1 "$MXFP4Q" diff b a --source w.npy --json --no-guess
        python3 -c '
import json, sys
report = json.load(sys.stdin)[0]
for direction in ("rowwise", "columnwise"):
    codes = report[direction]["codes"]
    assert codes["real"] == codes["tie"] == 0 < codes["scale-step"], codes' <<<"$output"
    done
}

@test "two folders are compared case by case, with a line for each and one status" {
    mkdir golden
    quantize w.npy -o golden/plain
    quantize w.npy -o golden/rotated --hadamard
    cp -r golden test
    run -0 "$MXFP4Q" diff test golden
    [ "${lines[0]}" = "plain: identical" ]
    [ "${lines[1]}" = "rotated: identical" ]
    quantize w.npy -o test/plain -f --ties away
    run -1 "$MXFP4Q" diff test golden --no-guess
    [[ ${lines[0]} == "plain: different, "*" codes tie" ]]
    [ "${lines[1]}" = "rotated: identical" ]
    rm test/rotated.json
    run -1 "$MXFP4Q" diff test golden --no-guess
    [ "${lines[1]}" = "rotated: missing in test" ]
}

@test "JSON says the same as text, and is JSON" {
    quantize w.npy -o a
    quantize w.npy -o b --ties away
    run -1 "$MXFP4Q" diff b a --json --limit 2
    python3 -c '
import json, sys
report = json.load(sys.stdin)[0]
assert report["verdict"] == "different"
assert report["rowwise"]["codes"]["tie"] > 0 == report["rowwise"]["codes"]["real"]
assert len(report["first"]) == 2 and report["first"][0]["class"] == "tie"' <<<"$output"
}

@test "quiet says nothing, and the status tells" {
    quantize w.npy -o a
    quantize w.npy -o b --ties away
    run -0 --separate-stderr "$MXFP4Q" diff -q a a
    [ -z "$output$stderr" ]
    run -1 --separate-stderr "$MXFP4Q" diff -q b a
    [ -z "$output$stderr" ]
}

@test "the report does not depend on the number of threads" {
    head -c 8388608 /dev/urandom >x.raw
    quantize x.raw --shape 1024x4096 --dtype bf16 --nonfinite profile -o a
    quantize x.raw --shape 1024x4096 --dtype bf16 --nonfinite profile --ties zero -o b
    run -1 "$MXFP4Q" diff b a --no-guess -j 1
    printf '%s' "$output" >one
    run -1 "$MXFP4Q" diff b a --no-guess -j 5
    printf '%s' "$output" >five
    cmp one five
}

@test "results of other matrices, missing files and broken manifests are trouble, in one line" {
    quantize w.npy -o a
    quantize w.npy -o t --flatten 0
    run -2 --separate-stderr "$MXFP4Q" diff a t
    [ "${#stderr_lines[@]}" -eq 1 ]
    [[ $stderr == 'mxfp4q: "a": of a matrix of 384 x 384; t is of one of 1 x 147456' ]]
    run -2 --separate-stderr "$MXFP4Q" diff a nowhere
    [ "${#stderr_lines[@]}" -eq 1 ]
    rm a.rowwise_scale.npy
    run -2 --separate-stderr "$MXFP4Q" diff a a
    [ "${#stderr_lines[@]}" -eq 1 ]
    echo '{}' >a.json
    run -2 --separate-stderr "$MXFP4Q" diff a t
    [ "${#stderr_lines[@]}" -eq 1 ]
}

@test "a source of another shape is refused" {
    quantize w.npy -o a
    head -c 64 /dev/zero >x.raw
    run -2 --separate-stderr "$MXFP4Q" diff a a --source x.raw --shape 4x4 --dtype f32
    [[ $stderr == *'a source of 4 x 4; the results are of 384 x 384'* ]]
}

@test "the recipe for continuous integration: goldens once, and a pull request that breaks a kernel fails with a reason" {
    cat >cases <<'END'
square  --shape 64x96   --pattern lognormal --seed 1
ragged  --shape 37x101  --pattern ties      --seed 2 --dtype f32
deep    --shape 8x32x64 --pattern normal    --seed 3
END
    "$MXFP4Q" gen --suite cases --golden --profile te-hip -o golden
    mkdir test
    for name in square ragged deep; do
        quantize "golden/$name.npy" -o "test/$name"
    done
    run -0 "$MXFP4Q" diff test golden --source golden
    [ "$(grep -c ': identical$' <<<"$output")" -eq 3 ]
    # the pull request rounds ties away from zero
    quantize golden/ragged.npy -o test/ragged -f --ties away
    run -1 "$MXFP4Q" diff test golden --source golden
    [[ $output == *"ragged: different, "*" codes tie; TEST is what ties away from zero gives"* ]]
    [ "$(grep -c ': identical$' <<<"$output")" -eq 2 ]
    run -1 "$MXFP4Q" diff test/ragged golden/ragged --source golden/ragged.npy --heatmap where.png --json
    [ -s where.png ]
}
