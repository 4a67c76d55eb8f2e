#!/usr/bin/env bats
# shellcheck disable=SC2154 # run sets output, stderr and their lines
# What mxfp4q diff says when much differs: everything that people get wrong, made by a producer that gets it wrong.

load helper

NPY_HEADER=128

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    cp "$TESTDATA/minilm_l6_attn_query.bf16.npy" w.npy
    "$MXFP4Q" quantize -q w.npy -o golden --layout linear
    "$MXFP4Q" quantize -q w.npy -o test --layout linear
}

# rewrite FILE CODE: changes the bytes of a buffer; CODE sees them as b, a list, and leaves them there.
rewrite() {
    python3 - "$1" "$2" <<'END'
import sys
data = open(sys.argv[1], "rb").read()
scope = {"b": list(data[128:])}
exec(sys.argv[2], scope)
assert len(scope["b"]) == len(data) - 128
open(sys.argv[1], "wb").write(data[:128] + bytes(scope["b"]))
END
}

# The first guess.
guess() {
    run -1 "$MXFP4Q" diff test golden --limit 0 "$@"
    sed -n 's/^guess: //p' <<<"$output"
}

@test "data that are shuffled although nobody said so" {
    "$MXFP4Q" quantize -q w.npy -o shuffled
    cp shuffled.rowwise_data.npy test.rowwise_data.npy
    cp shuffled.columnwise_data.npy test.columnwise_data.npy
    [ "$(guess)" = "matches exactly after unshuffling TEST's data" ]
}

@test "data that are not shuffled although the manifest says so" {
    "$MXFP4Q" quantize -q w.npy -o test -f
    cp golden.rowwise_data.npy test.rowwise_data.npy
    cp golden.columnwise_data.npy test.columnwise_data.npy
    [[ $(guess) == "matches exactly "*"TEST's data"* ]]
}

@test "a golden whose data are shuffled although nobody said so" {
    "$MXFP4Q" quantize -q w.npy -o shuffled
    cp shuffled.rowwise_data.npy golden.rowwise_data.npy
    cp shuffled.columnwise_data.npy golden.columnwise_data.npy
    [[ $(guess) == "matches exactly "*"'s data" ]]
}

@test "scales that are shuffled although nobody said so" {
    "$MXFP4Q" quantize -q w.npy -o test -f
    "$MXFP4Q" quantize -q w.npy -o other --shuffle rowwise_data,columnwise_data
    # padded as shuffled scales are, but in linear order
    python3 - <<'END'
for name in "rowwise_scale", "columnwise_scale":
    linear = open("other.%s.npy" % name, "rb").read()[128:]
    shuffled = open("test.%s.npy" % name, "rb").read()
    rows = [linear[12 * r:12 * r + 12] + b"\x7f" * 4 for r in range(384)] + [b"\x7f" * 16] * 128
    open("test.%s.npy" % name, "wb").write(shuffled[:128] + b"".join(rows))
END
    [[ $(guess) == "matches exactly "*"TEST's scales"* ]]
}

@test "nibbles that are swapped" {
    rewrite test.rowwise_data.npy 'b = [x >> 4 | (x & 15) << 4 for x in b]'
    rewrite test.columnwise_data.npy 'b = [x >> 4 | (x & 15) << 4 for x in b]'
    [ "$(guess)" = "matches exactly after swapping the nibbles of TEST's data" ]
}

@test "blocks in the order of ggml" {
    code='
out = []
for i in range(0, len(b), 16):
    codes = [c for x in b[i:i + 16] for c in (x & 15, x >> 4)]
    out += [codes[j] | codes[j + 16] << 4 for j in range(16)]
b = out'
    rewrite test.rowwise_data.npy "$code"
    rewrite test.columnwise_data.npy "$code"
    [[ $(guess) == "matches exactly "*ggml*"TEST's data" ]]
}

@test "rowwise and columnwise results that changed places" {
    for kind in data scale; do
        cp golden.rowwise_$kind.npy test.columnwise_$kind.npy
        cp golden.columnwise_$kind.npy test.rowwise_$kind.npy
    done
    [[ $(guess) == "matches exactly "*TEST* ]]
    [[ $(guess) == *transpos* || $(guess) == *"columnwise"* ]]
}

@test "scales in the 128x4 order of cuBLAS" {
    head -c 524288 /dev/urandom | LC_ALL=C tr '\170-\377' '\000-\167' >x.raw
    "$MXFP4Q" quantize -q x.raw --shape 512x512 --dtype bf16 --layout linear -o golden -f
    "$MXFP4Q" quantize -q x.raw --shape 512x512 --dtype bf16 --layout linear -o test -f
    code='
out = [0] * len(b)
for m in range(512):
    for k in range(16):
        out[((m // 128) * 4 + k // 4) * 512 + (m % 32) * 16 + (m % 128) // 32 * 4 + k % 4] = b[m * 16 + k]
b = out'
    rewrite test.rowwise_scale.npy "$code"
    rewrite test.columnwise_scale.npy "$code"
    [ "$(guess)" = "matches exactly after taking TEST's scales as in 128x4 order" ]
}

@test "another tie rule, supposed without the source and told with it" {
    "$MXFP4Q" quantize -q w.npy -o test -f --layout linear --ties away
    [[ $(guess) == *"neighbours: a tie rule"*"--source"* ]]
    [[ $(guess --source w.npy) == *"TEST is what ties away from zero gives"* ]]
    "$MXFP4Q" quantize -q w.npy -o test -f --layout linear --ties zero
    [[ $(guess --source w.npy) == *"TEST is what ties toward zero gives"* ]]
}

@test "another scale rule, told with the source" {
    for rule in floor rceil ceil; do
        "$MXFP4Q" quantize -q w.npy -o test -f --layout linear --scale "$rule"
        [[ $(guess --source w.npy) == *"TEST is what scale rule $rule gives"* ]]
    done
}

@test "another profile, told with the source" {
    "$MXFP4Q" quantize -q w.npy -o test -f --layout linear --profile ggml
    [[ $(guess --source w.npy) == *"TEST "*ggml* ]]
}

@test "a Hadamard transform on one side, told with the source" {
    "$MXFP4Q" quantize -q w.npy -o test -f --layout linear --hadamard
    [[ $(guess --source w.npy) == *"TEST "*Hadamard* ]]
}

@test "a larger transform, and a scale for each block, told with the source" {
    "$MXFP4Q" quantize -q w.npy -o test -f --layout linear --hadamard=64
    [[ $(guess --source w.npy) == *"TEST "*"a Hadamard transform of 64 points"* ]]
    "$MXFP4Q" quantize -q w.npy -o golden -f --layout linear --block 32x32 --ties stochastic --seed 3
    "$MXFP4Q" quantize -q w.npy -o test -f --layout linear --ties stochastic --seed 3
    [[ $(guess --source w.npy) == *"TEST is what a scale for each block of 32 gives"* ]]
    "$MXFP4Q" quantize -q w.npy -o test -f --layout linear --block 32x32
    [[ $(guess --source w.npy) == *"TEST is what ties to even gives"* ]]
    "$MXFP4Q" quantize -q w.npy -o golden -f --layout linear --hadamard=128 --hadamard-seed 9 --ties stochastic
    "$MXFP4Q" quantize -q w.npy -o test -f --layout linear --hadamard=128 --hadamard-seed 9 --ties stochastic --scale floor
    [[ $(guess --source w.npy) == *"TEST is what scale rule floor gives"* ]]
}

@test "a bad tile and random bytes are not explained away" {
    rewrite test.rowwise_data.npy 'b[:6000] = [(x * 77 + i * 13 + 5) % 256 for i, x in enumerate(b[:6000])]'
    [[ $(guess) != "matches exactly"* ]]
    head -c 73728 /dev/urandom >noise
    (head -c "$NPY_HEADER" golden.rowwise_data.npy && cat noise) >test.rowwise_data.npy
    [[ $(guess) != *"matches exactly"* ]]
}

@test "nothing is guessed when nobody wants it, or when nothing differs" {
    run -0 "$MXFP4Q" diff test golden
    [[ $output != *guess* ]]
    rewrite test.rowwise_data.npy 'b = [x >> 4 | (x & 15) << 4 for x in b]'
    run -1 "$MXFP4Q" diff test golden --no-guess
    [[ $output != *guess* ]]
}

@test "the picture of a permutation is a PNG, and an existing one is kept unless -f is given" {
    rewrite test.rowwise_data.npy 'b = [x >> 4 | (x & 15) << 4 for x in b]'
    run -1 "$MXFP4Q" diff test golden --heatmap map.png
    [ "$(head -c 8 map.png | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a ]
    before=$(cksum <map.png)
    run -2 "$MXFP4Q" diff test golden --heatmap map.png
    [ "$(cksum <map.png)" = "$before" ]
    run -1 "$MXFP4Q" diff test golden --heatmap map.png -f
    run -2 "$MXFP4Q" diff . . --heatmap map.png -f
}
