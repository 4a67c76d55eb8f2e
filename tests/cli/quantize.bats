#!/usr/bin/env bats
# The options that say what is computed and how it is laid out.

# shellcheck disable=SC2154 # run sets stderr and its lines

load helper
load files

@test "--direction makes the buffers of one direction or both" {
    make_npy w.npy 64 128
    works quantize w.npy -o both
    works quantize w.npy -o both2 --direction both
    works quantize w.npy -o row --direction rowwise
    works quantize w.npy -o col --direction columnwise
    is "$(echo row.*)" "row.json row.rowwise_data.npy row.rowwise_scale.npy"
    is "$(echo col.*)" "col.columnwise_data.npy col.columnwise_scale.npy col.json"
    cmp row.rowwise_data.npy both.rowwise_data.npy
    cmp col.columnwise_scale.npy both2.columnwise_scale.npy
}

@test "--layout and --shuffle say which buffers are shuffled" {
    local buffer list
    make_npy w.npy 64 128
    works quantize w.npy -o aiter
    works quantize w.npy -o linear --layout linear
    for list in none rowwise_data rowwise_scale,columnwise_data columnwise_scale,columnwise_scale all \
        "$(printf 'rowwise_scale,%.0s' {1..50})columnwise_data"; do
        works quantize -f w.npy -o mixed --shuffle "$list" --layout linear
        for buffer in rowwise_data rowwise_scale columnwise_data columnwise_scale; do
            if [[ $list == all || $list == *"$buffer"* ]]; then
                cmp "mixed.$buffer.npy" "aiter.$buffer.npy"
                run ! cmp -s "mixed.$buffer.npy" "linear.$buffer.npy"
            else
                cmp "mixed.$buffer.npy" "linear.$buffer.npy"
            fi
        done
    done
    for list in nonsense rowwise_data,nonsense none,nonsense; do
        refuses "--shuffle: \"nonsense\" is not one of: rowwise_data, rowwise_scale, columnwise_data, columnwise_scale" \
            quantize w.npy -o x --shuffle "${list#none,}"
    done
}

@test "--pad-fill is the byte in the padding of scales" {
    make_npy w.npy 64 128
    works quantize w.npy -o a --only rowwise_scale --format raw --pad-fill 0
    works quantize w.npy -o b --only rowwise_scale --format raw --pad-fill 255
    works quantize w.npy -o c --only rowwise_scale --format raw --layout linear
    is "$(od -An -v -tx1 -w1 b.rowwise_scale.raw | grep -c ff)" $((256 * 8 - 64 * 4))
    is "$(cmp -l a.rowwise_scale.raw b.rowwise_scale.raw | wc -l)" $((256 * 8 - 64 * 4))
    is "$(od -An -v -tx1 -w1 b.rowwise_scale.raw | grep -v ff | sort)" "$(od -An -v -tx1 -w1 c.rowwise_scale.raw | sort)"
}

@test "--tail error refuses rows that end within a block, in a wanted direction" {
    make_npy w.npy 64 100
    refuses '"w.npy": rowwise blocks run along 100 values, not a multiple of 32' quantize w.npy -o x --tail error
    works quantize -q w.npy -o x --tail pad
    works quantize -q w.npy -o y --tail error --direction columnwise
    works quantize -q w.npy -o z --tail error --only columnwise_scale
    make_npy v.npy 100 64
    refuses '"v.npy": columnwise blocks run along 100 values, not a multiple of 32' quantize v.npy -o x --tail error
    works quantize -q v.npy -o v --tail error --flatten 0 --direction rowwise
}

@test "--hadamard has three forms" {
    make_npy w.npy 64 128
    quantized plain w.npy
    quantized a w.npy --hadamard
    quantized b w.npy --hadamard=16
    quantized c w.npy --hadamard-signs 0
    quantized d w.npy --hadamard-signs 0x00000000 --hadamard
    quantized e w.npy --hadamard-signs FFFFFFFF
    quantized f w.npy --hadamard-signs 1
    cmp a b
    cmp a c
    cmp a d
    run ! cmp -s a plain
    run ! cmp -s a e
    run ! cmp -s a f
}

@test "larger transforms need rows that they divide, in the directions that are made" {
    make_npy w.npy 96 128
    refuses '"w.npy": columnwise rows have 96 values, not a multiple of the 64 of a Hadamard transform' \
        quantize w.npy -o x --hadamard=64
    works quantize w.npy -o x --hadamard=64 --direction rowwise
    works quantize w.npy -o x -f --hadamard=128 --direction rowwise
    works quantize -q w.npy -o x -f --hadamard=32
    make_npy v.npy 0 100
    refuses '"v.npy": rowwise rows have 100 values, not a multiple of the 128 of a Hadamard transform' \
        quantize v.npy -o y --hadamard=128
    works quantize v.npy -o y --hadamard=128 --direction columnwise
}

@test "the signs of a transform are repeated, written out or drawn from a seed" {
    make_npy w.npy 128 128
    quantized a w.npy --hadamard=128 --hadamard-signs 89abcdef
    quantized b w.npy --hadamard=128 --hadamard-signs 0x89abcdef89abcdef89abcdef89ABCDEF
    quantized c w.npy --hadamard=128 --hadamard-signs 89abcdef89abcdef89abcdef89abcdee
    cmp a b
    run ! cmp -s a c
    works quantize w.npy -o x --hadamard-seed 1
    is "$(json_value x.json "['recipe']['hadamard']") $(json_value x.json "['recipe']['hadamard_seed']")" '16 1'
    # the words of mxfp4q(5), RANDOM BITS, the last one first
    is "$(json_value x.json "['recipe']['hadamard_signs']")" 6da2bda23909104b428264b607071c12
    quantized d w.npy --hadamard-seed 1
    quantized e w.npy --hadamard-signs 6da2bda23909104b428264b607071c12
    cmp d e
}

@test "stochastic rounding depends on the seed, and on nothing that only says how it is computed" {
    local options n=0
    works gen --shape 300x600 --pattern normal -o w
    quantized a w.npy --ties stochastic --seed 5 -j 1
    quantized b w.npy --ties stochastic --seed 6
    quantized c w.npy --ties stochastic
    quantized d w.npy --ties stochastic --seed 0
    run ! cmp -s a b
    cmp c d
    for options in "-j 2" "-j 2 --kernel scalar" "--device auto" "--report"; do
        n=$((n + 1))
        # shellcheck disable=SC2086 # options are words
        quantized "e$n" w.npy --ties stochastic --seed 5 $options
        cmp a "e$n"
    done
    works quantize -q w.npy -o x --ties stochastic --seed 5
    for options in "--direction rowwise" "--layout linear" "--format raw --gzip" "--only rowwise_data"; do
        # shellcheck disable=SC2086 # options are words
        works quantize -q w.npy -o y -f --ties stochastic --seed 5 $options
        run -0 "$MXFP4Q" diff -q y x
    done
}

@test "tiles of 32x32 have the same codes in both directions" {
    [ -x "$PYTHON" ] || skip "$PYTHON is not installed"
    make_npy w.npy 70 100
    works quantize -q w.npy -o x --block 32x32 --ties stochastic --seed 3
    works dequantize x -o r.npy --direction rowwise
    works dequantize x -o c.npy --direction columnwise
    cmp r.npy c.npy
    works quantize -q w.npy -o y --ties stochastic --seed 3
    works dequantize y -o r.npy -f --direction rowwise
    works dequantize y -o c.npy -f --direction columnwise
    run -1 cmp -s r.npy c.npy
}

@test "what makes no sense together is refused in one line" {
    make_npy w.npy 64 64
    refuses '--seed: only --ties stochastic takes random bits' quantize w.npy -o x --seed 1
    refuses '--seed: only --ties stochastic takes random bits' quantize w.npy -o x --seed 1 --ties even
    refuses '--ties-seed: only --ties stochastic takes random bits' gen --shape 32x32 --pattern normal --golden -o x --ties-seed 1
    refuses '--hadamard-seed: the signs are given by --hadamard-signs already' \
        quantize w.npy -o x --hadamard-seed 1 --hadamard-signs 1
    refuses '--zero-byte: with a floor under amax no block has an amax of 0' \
        quantize w.npy -o x --zero-byte 1 --amax-floor 1e-10
    refuses '--amax-floor: "1e39" is not a number from 0 to 3.40282e+38' quantize w.npy -o x --amax-floor 1e39
    refuses '--amax-floor: "-1" is not a number from 0 to 3.40282e+38' quantize w.npy -o x --amax-floor -1
    refuses '--amax-floor: "nan" is not a number from 0 to 3.40282e+38' quantize w.npy -o x --amax-floor nan
    refuses '--seed: "18446744073709551616" is not a number from 0 to 18446744073709551615' \
        quantize w.npy -o x --ties stochastic --seed 18446744073709551616
    refuses '--device gpu: GPUs do not compute this recipe, CPUs do' quantize w.npy -o x --ties stochastic --device gpu
    works quantize w.npy -o x --amax-floor 0 --zero-byte 1
}

@test "the manifest of a recipe with everything says everything" {
    make_npy w.npy 64 128
    works quantize w.npy -o x --profile aiter --ties stochastic --seed 18446744073709551615 --block 32x32 \
        --amax-floor 1e-10 --hadamard=64 --hadamard-seed 2
    is "$(json_value x.json "['recipe']['overrides']")" "['ties', 'amax_floor', 'block']"
    is "$(json_value x.json "['recipe']['seed']") $(json_value x.json "['recipe']['block']")" '18446744073709551615 32x32'
    is "$(json_value x.json "['recipe']['amax_floor']") $(json_value x.json "['recipe']['hadamard']")" '2edbe6ff 64'
    works info x
    [[ ${lines[2]} == "  recipe    aiter: scale rceil, ties stochastic, sign keep, zero byte 0, seed 18446744073709551615, blocks 32x32, amax floor 2edbe6ff, Hadamard 64 with signs "*" (seed 2)" ]]
    works quantize w.npy -o y
    is "$(json_value y.json "['recipe']['seed']") $(json_value y.json "['recipe']['hadamard_seed']")" 'None None'
}

@test "the Hadamard transform of a short tail is warned of where it does not fit" {
    make_npy w.npy 32 40
    run -0 --separate-stderr "$MXFP4Q" quantize w.npy -o x --hadamard --layout linear
    is "$stderr" 'mxfp4q: warning: "w.npy": rowwise_data: the Hadamard transform of the last 8 values of a row has more results than a linear row has room for'
    works quantize -q w.npy -o y --hadamard --layout linear
}

@test "a profile's switches can be changed one by one, and the manifest tells which were" {
    make_npy w.npy 64 128
    quantized a w.npy --profile torchao-floor
    quantized b w.npy --profile torchao-floor --scale floor --ties even --sign keep --zero-byte 0
    cmp a b
    works quantize w.npy -o x --profile ggml --ties even --zero-byte 254 --scale floor
    is "$(json_value x.json "['recipe']['overrides']")" "['ties', 'zero_byte']"
    is "$(json_value x.json "['recipe']['zero_byte']") $(json_value x.json "['recipe']['profile']")" "254 ggml"
}

@test "--zero-byte is the scale of a block of zeros" {
    local byte
    head -c 2048 /dev/zero >zeros
    for byte in 0 1 127 254; do
        works quantize zeros --shape 32x32 --dtype bf16 -o z -f --format raw --layout linear --zero-byte "$byte"
        is "$(od -An -v -tu1 -w1 z.rowwise_scale.raw | sort -u | tr -d ' ')" "$byte"
        is "$(tr -d '\0' <z.rowwise_data.raw | wc -c)" 0
    done
}

# A 3 x 4 x 40 tensor of FP32 zeros, with the given 4 bytes at the given elements: odd_values BYTES ELEMENT...
odd_values() {
    head -c 1920 /dev/zero >odd.raw
    local element
    for element in "${@:2}"; do
        # shellcheck disable=SC2059 # bytes
        printf "$1" | dd of=odd.raw bs=4 seek="$element" conv=notrunc status=none
    done
}

@test "infinities and NaNs are refused, with their number and the place of the first" {
    local args='quantize odd.raw --shape 3x4x40 --dtype f32 -q -o x'
    odd_values '\0\0\200\177' 257
    # shellcheck disable=SC2086
    refuses '"odd.raw": 1 value is infinite or NaN, the first at [1, 2, 17] (--nonfinite profile quantizes them)' $args
    odd_values '\1\0\300\377' 479 210 211 402
    # shellcheck disable=SC2086
    refuses '"odd.raw": 4 values are infinite or NaN, the first at [1, 1, 10] (--nonfinite profile quantizes them)' \
        $args --flatten 1
    # shellcheck disable=SC2086
    refuses '"odd.raw": 4 values are infinite or NaN, the first at [1, 1, 10] (--nonfinite profile quantizes them)' \
        $args -j 1 --direction columnwise --gzip
    is "$(names_in .)" odd.raw
    # shellcheck disable=SC2086
    works $args --nonfinite profile
    is "$(json_value x.json "['nonfinite']")" "{'policy': 'profile', 'found': True}"
}

@test "all infinities and NaNs of a large matrix are counted, with any number of threads" {
    local n
    truncate -s 24M big.raw
    for n in 0 1 3000000 6291455 12582911; do
        printf '\200\177' | dd of=big.raw bs=2 seek="$n" conv=notrunc status=none
    done
    for n in 1 2 5; do
        refuses '"big.raw": 5 values are infinite or NaN, the first at [0, 0] (--nonfinite profile quantizes them)' \
            quantize big.raw --shape 3072x4096 --dtype bf16 -o x --no-fsync -j "$n"
    done
    refuses '"big.raw": 5 values are infinite or NaN, the first at [0] (--nonfinite profile quantizes them)' \
        quantize big.raw --shape 12582912 --dtype bf16 -o x --no-fsync --direction rowwise -q
}

@test "the array with infinities is named" {
    odd_values '\0\0\200\377' 0
    { npy_header '<f4' '(3, 4, 40)' && cat odd.raw; } >odd.npy
    make_npy fine.npy 64 64
    make_zip w.npz deflated fine.npy=fine.npy odd.npy=odd.npy
    refuses '"w.npz": array "odd": 1 value is infinite or NaN, the first at [0, 0, 0] (--nonfinite profile quantizes them)' \
        quantize w.npz -q -o out
    [ ! -e out ]
}

@test "finite values are finite whatever the policy" {
    make_npy w.npy 64 128
    works quantize w.npy -o a --nonfinite error
    works quantize w.npy -o b --nonfinite profile
    cmp a.rowwise_data.npy b.rowwise_data.npy
    is "$(json_value b.json "['nonfinite']['found']")" False
}

@test "very long rows are quantized in parts, from a file and from a pipe" {
    some_bytes 200000 >part
    truncate -s 70M long.raw
    dd if=part of=long.raw conv=notrunc bs=1000 seek=33333 status=none
    works quantize long.raw --shape 35x1048576 --dtype bf16 -o a --direction rowwise --no-fsync -q
    works quantize - --shape 35x1048576 --dtype bf16 -o b --direction rowwise --no-fsync -q < <(cat long.raw)
    cmp a.rowwise_data.npy b.rowwise_data.npy
    cmp a.rowwise_scale.npy b.rowwise_scale.npy
    is "$(json_value a.json "['input']['crc32']")" "$(json_value b.json "['input']['crc32']")"
}
