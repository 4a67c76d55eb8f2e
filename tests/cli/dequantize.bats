#!/usr/bin/env bats
# From results back to values: against an independent model, and against numbers worked out by hand.
# shellcheck disable=SC2154 # run sets output, stderr and their lines

load helper
load files

MODEL=$ROOT/scripts/model/dequantize_model.py

needs_numpy() {
    "$PYTHON" -c 'import numpy' 2>/dev/null || skip "NumPy is not installed"
}

# An FP32 array of many binades, with zeros of both signs: make_array FILE SHAPE [ORDER], SHAPE as Python writes it.
make_array() {
    "$PYTHON" -c '
import sys, numpy as np
shape, order = eval(sys.argv[2]), sys.argv[3]
rng = np.random.default_rng(7)
x = rng.standard_normal(shape) * 2.0 ** rng.integers(-20, 20, shape) * (rng.random(shape) > 0.1)
np.save(sys.argv[1], np.array(x, dtype="<f4", order=order))' "$1" "$2" "${3:-C}"
}

# The program and the model must make the same file of the result w: agree OPTIONS...
agree() {
    works dequantize w -o ours.npy -f --no-fsync -q "$@"
    "$PYTHON" "$MODEL" w.json -o model.npy "$@"
    cmp ours.npy model.npy || { echo "differs: $*" && false; }
}

# Quantizes with these options, and compares every direction and type: agrees FILE OPTIONS...
agrees() {
    rm -f w.*
    works quantize -q --no-fsync -o w "$@"
    agree
    agree --direction columnwise
    agree --dtype bf16
}

# A row of the codes 0 to 15, 0 to 15 under a scale byte: codes_under BYTE makes d.npy and s.npy.
codes_under() {
    { npy_header '|u1' '(1, 16)' && printf '\x10\x32\x54\x76\x98\xba\xdc\xfe\x10\x32\x54\x76\x98\xba\xdc\xfe'; } >d.npy
    { npy_header '|u1' '(1, 1)' && printf '%b' "\\x$(printf %02x "$1")"; } >s.npy
}

# The first 16 values of a raw file, as words of hexadecimal digits.
words() {
    od -An -v -tx4 -w64 -N 64 "$1" | sed 's/^ //'
}

# ---- values

@test "every code has its value" {
    codes_under 127
    works dequantize d.npy --scale-file s.npy -o x --format raw
    is "$(od -An -v -tf4 -w64 -N 64 x | tr -s ' ')" " 0 0.5 1 1.5 2 3 4 6 -0 -0.5 -1 -1.5 -2 -3 -4 -6"
    codes_under 129
    works dequantize d.npy --scale-file s.npy -o x --format raw -f
    is "$(od -An -v -tf4 -w64 -N 64 x | tr -s ' ')" " 0 2 4 6 8 12 16 24 -0 -2 -4 -6 -8 -12 -16 -24"
}

@test "the smallest scale gives subnormal values, exactly" {
    codes_under 0
    works dequantize d.npy --scale-file s.npy -o x --format raw
    is "$(words x)" "00000000 00200000 00400000 00600000 00800000 00c00000 01000000 01400000 80000000 80200000 80400000 80600000 80800000 80c00000 81000000 81400000"
}

@test "from 2^128 on, values are infinite, in FP32 and in BF16" {
    codes_under 254
    works dequantize d.npy --scale-file s.npy -o x --format raw
    is "$(words x)" "00000000 7e800000 7f000000 7f400000 7f800000 7f800000 7f800000 7f800000 80000000 fe800000 ff000000 ff400000 ff800000 ff800000 ff800000 ff800000"
    works dequantize d.npy --scale-file s.npy -o x --format raw --dtype bf16 -f
    is "$(od -An -v -tx2 -w32 -N 32 x)" " 0000 7e80 7f00 7f40 7f80 7f80 7f80 7f80 8000 fe80 ff00 ff40 ff80 ff80 ff80 ff80"
}

@test "under scale byte 255, everything is NaN" {
    codes_under 255
    works dequantize d.npy --scale-file s.npy -o x --format raw
    is "$(words x | tr ' ' '\n' | sort -u)" 7fc00000
    works dequantize d.npy --scale-file s.npy -o x --format raw --dtype bf16 -f
    is "$(od -An -v -tx2 -w2 x | sort -u)" " 7fc0"
}

@test "the model's values come out for every layout, format and direction of ragged shapes" {
    needs_numpy
    local shape
    for shape in '(37, 101)' '(31, 64)' '(1, 1)' '(1, 3)' '(300, 33)'; do
        make_array in.npy "$shape"
        agrees in.npy
        agrees in.npy --layout linear
        agrees in.npy --shuffle rowwise_data,columnwise_scale --format raw
        agrees in.npy --format npz --profile aiter
        agrees in.npy --format npz --gzip --layout linear
        agrees in.npy --gzip --profile ggml
        agrees in.npy --format raw --gzip --profile modelopt
    done
}

@test "values come back in the shape of the input, however it was flattened" {
    needs_numpy
    local shape
    for shape in '()' '(7,)' '(0, 5)' '(3, 0)' '(2, 3, 5, 7)' '(1, 2, 1, 3, 1, 33)'; do
        make_array in.npy "$shape"
        agrees in.npy
        agrees in.npy --flatten 0
        make_array in.npy "$shape" F
        agrees in.npy --layout linear
    done
    make_array in.npy '(2, 3, 5, 7)'
    agrees in.npy --flatten 1
    agrees in.npy --flatten 2
    works dequantize w -o x.npy
    is "$("$PYTHON" -c 'import numpy as np; print(np.load("x.npy").shape)')" "(2, 3, 5, 7)"
}

@test "a shape of 32 axes fits the header" {
    needs_numpy
    make_array in.npy '(1,) * 30 + (2, 33)'
    agrees in.npy
}

@test "a matrix of several panels decodes as the model does" {
    needs_numpy
    make_array in.npy '(1500, 2100)'
    agrees in.npy --layout linear --shuffle columnwise_data
    # Wider than whole rows are read.
    make_array in.npy '(3, 1400000)'
    agrees in.npy
}

@test "infinities and NaNs of the input decode as the model says" {
    needs_numpy
    "$PYTHON" -c '
import numpy as np
x = np.linspace(-6, 6, 4 * 64, dtype="<f4").reshape(4, 64)
x[0, 3], x[1, 40], x[2, 5], x[3, 6] = np.nan, np.inf, -np.inf, 3.4e38
np.save("in.npy", x)'
    agrees in.npy --nonfinite profile --profile torchao-even
    agrees in.npy --nonfinite profile --profile te-triton
    agrees in.npy --nonfinite profile --profile quark
}

@test "goldens that were saved in Fortran order decode as in C order" {
    needs_numpy
    make_array in.npy '(600, 70)'
    works quantize -q in.npy -o w --no-fsync
    works dequantize w -o c.npy
    works dequantize w -o t.npy --direction columnwise
    "$PYTHON" -c '
import glob, numpy as np
for name in glob.glob("w.*.npy"):
    np.save(name, np.asfortranarray(np.load(name)))'
    works dequantize w -o x.npy
    cmp x.npy c.npy
    works dequantize w -o x.npy -f --direction columnwise
    cmp x.npy t.npy
}

@test "a decoded result quantizes to itself" {
    make_npy in.npy 64 128
    works quantize -q in.npy -o w --no-fsync
    works dequantize w -o x.npy
    works quantize -q x.npy -o v --direction rowwise --no-fsync
    cmp v.rowwise_data.npy w.rowwise_data.npy
    cmp v.rowwise_scale.npy w.rowwise_scale.npy
}

# ---- the Hadamard transform

@test "the transform is undone as the model does it" {
    needs_numpy
    make_array in.npy '(37, 101)'
    works quantize -q in.npy -o w --hadamard-signs 9b2f41c6 --no-fsync
    agree --inverse-hadamard
    agree --inverse-hadamard --direction columnwise --dtype bf16
    agree
    make_array in.npy '(15, 47)'
    works quantize -q in.npy -o w -f --hadamard --layout linear -q --no-fsync
    agree --inverse-hadamard
    agree --inverse-hadamard --direction columnwise
}

@test "larger transforms are undone as the model does it" {
    local size options
    needs_numpy
    make_array in.npy '(128, 256)'
    for size in 32 64 128; do
        for options in "--layout linear" "--block 32x32 --ties stochastic --seed 4"; do
            # shellcheck disable=SC2086 # options are words
            works quantize -q in.npy -o w -f --hadamard=$size --hadamard-seed $size --no-fsync $options
            agree --inverse-hadamard
            agree --inverse-hadamard --direction columnwise --dtype bf16
        done
    done
    make_array in.npy '(37, 101)'
    works quantize -q in.npy -o w -f --hadamard=32 --hadamard-signs 0123456789abcdef0123456789abcdef --no-fsync
    agree --inverse-hadamard
    agree --inverse-hadamard --direction columnwise
    works quantize -q in.npy -o w -f --hadamard=32 --layout linear --no-fsync
    refuses '"w": the transform cannot be undone: of the last 5 values of a row, a linear row has not all 32 codes' \
        dequantize w -o x.npy --inverse-hadamard
    make_array in.npy '(31, 63)'
    works quantize -q in.npy -o w -f --hadamard=32 --layout linear --no-fsync
    agree --inverse-hadamard
}

@test "without undoing it, a warning says that the values are transformed" {
    make_npy in.npy 32 64
    works quantize -q in.npy -o w --hadamard --no-fsync
    run -0 --separate-stderr "$MXFP4Q" dequantize w -o x.npy
    is "$stderr" 'mxfp4q: warning: "w": made with a Hadamard transform: these are the transformed values (--inverse-hadamard undoes it)'
    works dequantize w -o y.npy --inverse-hadamard
    run -1 cmp -s x.npy y.npy
}

@test "a transform cannot be undone where there is none, or where codes are missing" {
    make_npy in.npy 32 20
    works quantize -q in.npy -o w --no-fsync
    refuses '"w": was not made with a Hadamard transform' dequantize w -o x.npy --inverse-hadamard
    works quantize -q in.npy -o w --hadamard --layout linear --no-fsync -f -q
    refuses '"w": the transform cannot be undone: of the last 4 values of a row, a linear row has not all 16 codes' \
        dequantize w -o x.npy --inverse-hadamard
    works dequantize w -o x.npy --inverse-hadamard --direction columnwise
    codes_under 127
    refuses '"d.npy": no manifest says how it was transformed' dequantize d.npy --scale-file s.npy -o y.npy --inverse-hadamard
    [ ! -e y.npy ]
}

# ---- which result, which direction

@test "rowwise is decoded when it is there, otherwise columnwise" {
    make_npy in.npy 40 70
    works quantize -q in.npy -o w --no-fsync
    works dequantize w -o x.npy
    works dequantize w -o r.npy --direction rowwise
    works dequantize w.json -o c.npy --direction columnwise
    cmp x.npy r.npy
    works quantize -q in.npy -o w --no-fsync -f --direction columnwise
    rm w.rowwise_*
    works dequantize w -o x.npy -f
    cmp x.npy c.npy
    refuses '"w": has no rowwise buffers, and they cannot be made from the others: their blocks run along the other axis, so the matrix must be quantized again' \
        dequantize w -o y.npy --direction rowwise
}

@test "a result is found by its folder" {
    make_npy in.npy 4 32
    mkdir folder
    works quantize -q in.npy -o folder/w --no-fsync
    works dequantize folder -o x.npy
    works dequantize folder/w -o y.npy
    cmp x.npy y.npy
}

@test "buffers without a manifest decode with what is said about them" {
    make_npy in.npy 37 101
    works quantize -q in.npy -o w --no-fsync
    works dequantize w -o x.npy
    works dequantize w -o t.npy --direction columnwise
    works dequantize w.rowwise_data.npy --scale-file w.rowwise_scale.npy --from-layout aiter --shape 37x101 -o y.npy
    cmp x.npy y.npy
    works dequantize w.columnwise_data.npy --scale-file w.columnwise_scale.npy --from-layout aiter --shape 37x101 \
        --direction columnwise -o y.npy -f
    cmp t.npy y.npy
    works quantize -q in.npy -o v --no-fsync --shuffle rowwise_scale --format raw
    works dequantize v.rowwise_data.raw --scale-file v.rowwise_scale.raw --from-layout linear,aiter --raw --shape 37x101 -o y.npy -f
    cmp x.npy y.npy
    gzip -c w.rowwise_data.npy | "$MXFP4Q" dequantize - --scale-file w.rowwise_scale.npy --from-layout aiter --shape 37x101 -o - |
        cmp - x.npy
}

@test "what is said about a result with a manifest is refused" {
    make_npy in.npy 4 32
    works quantize -q in.npy -o w --no-fsync
    refuses '"w": has a manifest: --scale-file, --from-layout, --from-nibbles, --shape and --raw are for files without' \
        dequantize w -o x.npy --from-layout linear
    codes_under 127
    refuses '"d.npy": has rowwise_data, but no rowwise_scale (see --scale-file)' dequantize d.npy -o x.npy
    refuses '"d.npy": a raw file needs the rows and columns of its matrix (--shape)' dequantize d.npy --raw -o x.npy
    refuses '--shape: "4x5x6" is not the rows and columns of a matrix, as in 128x512' dequantize d.npy --shape 4x5x6 -o x.npy
    refuses '--from-layout: "shuffled" is not one of: linear, aiter' dequantize d.npy --from-layout aiter,shuffled -o x.npy
    refuses '"d.npy": its shape is 1 x 16; rowwise_data of a matrix of 2 x 32 in layout linear is 2 x 16' \
        dequantize d.npy --scale-file s.npy --shape 2x32 -o x.npy
    refuses '"s.npy": its shape is 1 x 1; rowwise_scale of a matrix of 1 x 32 in layout aiter is 256 x 8' \
        dequantize d.npy --scale-file s.npy --from-layout linear,aiter -o x.npy
}

# ---- output

@test "standard output gets what a file gets" {
    make_npy in.npy 70 90
    works quantize -q in.npy -o w --no-fsync
    works dequantize w -o x.npy --dtype bf16
    "$MXFP4Q" dequantize w -o - --dtype bf16 | cmp - x.npy
    works dequantize w -o x.raw --format raw
    "$MXFP4Q" dequantize w -o - --format raw | cmp - x.raw
    is "$(wc -c <x.raw)" $((70 * 90 * 4))
}

@test "an existing file is replaced with -f only, and the result never" {
    make_npy in.npy 4 32
    works quantize -q in.npy -o w --no-fsync
    echo mine >x.npy
    run -2 --separate-stderr "$MXFP4Q" dequantize w -o x.npy
    [[ $stderr == 'mxfp4q: "x.npy": '*exists* ]]
    is "${#stderr_lines[@]}" 1
    is "$(cat x.npy)" mine
    works dequantize w -o x.npy -f
    refuses '"w.json": is a part of the result itself' dequantize w -o w.json -f
    refuses '"w.rowwise_data.npy": is a part of the result itself' dequantize w -o w.rowwise_data.npy -f
    "$MXFP4Q" info w
}

@test "a full standard output is an error" {
    [ -e /dev/full ] || skip "there is no /dev/full"
    make_npy in.npy 4 32
    works quantize -q in.npy -o w --no-fsync
    run -2 --separate-stderr bash -c "'$MXFP4Q' dequantize w -o - >/dev/full"
    is "$stderr" 'mxfp4q: "standard output": cannot write: No space left on device'
}

# ---- broken results

@test "a result of which something is missing, short or changed is refused, and nothing is left" {
    make_npy in.npy 40 70
    works quantize -q in.npy -o w --no-fsync
    cp w.rowwise_data.npy keep
    printf 'x' | dd of=w.rowwise_data.npy bs=1 seek=200 conv=notrunc status=none
    run -2 --separate-stderr "$MXFP4Q" dequantize w -o x.npy
    [[ $stderr =~ ^'mxfp4q: "w.rowwise_data.npy": its checksum is '[0-9a-f]{8}', its manifest says '[0-9a-f]{8}': it is not what was written'$ ]]
    works dequantize w -o x.npy --no-verify
    rm x.npy
    truncate -s -1 w.rowwise_data.npy
    run -2 --separate-stderr "$MXFP4Q" dequantize w -o x.npy
    [[ $stderr == 'mxfp4q: "w.rowwise_data.npy": too short: '* ]]
    rm w.rowwise_data.npy
    refuses '"w.rowwise_data.npy": cannot open: No such file or directory' dequantize w -o x.npy
    make_npy other.npy 41 70
    works quantize -q other.npy -o v --no-fsync
    cp v.rowwise_scale.npy w.rowwise_data.npy
    refuses '"w.rowwise_data.npy": its shape is 256 x 8, its manifest says 48 x 48' dequantize w -o x.npy
    cp keep w.rowwise_data.npy
    sed -i 's/"rows": 40/"rows": 41/' w.json
    refuses '"w.json": not a usable manifest: "rowwise_data" has sizes that do not follow from the matrix and the layout' dequantize w -o x.npy
    refuses '"none": cannot open: No such file or directory' dequantize none -o x.npy
    [ ! -e x.npy ]
}

@test "trailing bytes of a buffer are told" {
    make_npy in.npy 4 32
    works quantize -q in.npy -o w --no-fsync
    echo >>w.rowwise_data.npy
    run -0 --separate-stderr "$MXFP4Q" dequantize w -o x.npy
    is "$stderr" 'mxfp4q: warning: "w.rowwise_data.npy": ignored bytes after the tensor'
}

@test "wrong usage is one line" {
    make_npy in.npy 4 32
    works quantize -q in.npy -o w --no-fsync
    refuses 'dequantize: no result (see mxfp4q dequantize --help)' dequantize -o x.npy
    refuses 'dequantize: more than one result (see mxfp4q dequantize --help)' dequantize w w -o x.npy
    refuses 'dequantize: no output: give a file with -o' dequantize w
    refuses '--dtype: "f16" is not one of: f32, bf16' dequantize w --dtype f16 -o x.npy
    refuses '--direction: "both" is not one of: rowwise, columnwise' dequantize w --direction both -o x.npy
    refuses '--from-nibbles: "middle" is not one of: low, high' dequantize w --from-nibbles middle -o x.npy
    refuses '--format: "npz" is not one of: npy, raw' dequantize w --format npz -o x.npy
    [ ! -e x.npy ]
}
