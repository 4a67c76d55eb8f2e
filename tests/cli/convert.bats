#!/usr/bin/env bats
# Other layouts of the same codes and scales: as if quantized into them, there and back.
# shellcheck disable=SC2154 # run sets output, stderr and their lines

load helper
load files

MODEL=$ROOT/scripts/model/dequantize_model.py
BUFFERS="rowwise_data rowwise_scale columnwise_data columnwise_scale"

needs_numpy() {
    "$PYTHON" -c 'import numpy' 2>/dev/null || skip "NumPy is not installed"
}

# Results A and B have the same buffers: same_buffers A B [SUFFIX]
same_buffers() {
    local buffer
    for buffer in $BUFFERS; do
        cmp "$1.$buffer${3:-.npy}" "$2.$buffer${3:-.npy}"
    done
}

# The buffer in a .npy, as digits.
hex() {
    tail -c +129 "$1" | od -An -v -tx1 | tr -d ' \n'
}

quantize() {
    works quantize -q --no-fsync -f "$@"
}

convert() {
    works convert --no-fsync -f "$@"
}

# As make_npy, of any size.
make_large_npy() {
    {
        npy_header '<V2' "($2, $3)"
        while some_bytes 290000; do :; done 2>/dev/null | head -c $((2 * $2 * $3))
    } >"$1"
}

# What is quantized as FROM and converted to TO is what is quantized as TO; and back again.
converts() {
    quantize in.npy -o from --"${1%%=*}" "${1#*=}"
    quantize in.npy -o to --"${2%%=*}" "${2#*=}"
    convert from -o converted --"${2%%=*}" "${2#*=}"
    same_buffers converted to
    convert converted -o back --"${1%%=*}" "${1#*=}"
    same_buffers back from
    # Nothing else in the manifest has changed.
    sed 's/"file": "converted\./"file": "to./' converted.json | diff - to.json
}

# ---- layouts

@test "every layout becomes every other, there and back, at ragged shapes" {
    local rows cols from to
    local layouts="layout=linear layout=aiter shuffle=rowwise_data,columnwise_scale shuffle=rowwise_scale,columnwise_data"
    while read -r rows cols; do
        make_npy in.npy "$rows" "$cols"
        for from in $layouts; do
            for to in $layouts; do
                converts "$from" "$to"
            done
        done
    done <<<$'37 101\n31 64\n1 1\n1 3\n300 33'
}

@test "a matrix of several panels converts" {
    make_large_npy in.npy 2500 1100
    converts layout=linear layout=aiter
    # Wider than whole rows are read.
    make_large_npy in.npy 2 2200000
    converts layout=linear layout=aiter
}

@test "N-D, empty and Fortran-order inputs convert like any other" {
    { npy_header '<V2' '(2, 3, 5, 7)' && some_bytes 420; } >in.npy
    converts layout=aiter layout=linear
    { npy_header '<V2' '(6, 70)' True && some_bytes 840; } >in.npy
    converts layout=aiter layout=linear
    npy_header '<V2' '(0, 5)' >in.npy
    converts layout=aiter layout=linear
    npy_header '<V2' '(5, 0)' >in.npy
    converts layout=linear layout=aiter
}

@test "every format converts to every other" {
    local from to
    make_npy in.npy 37 101
    quantize in.npy -o golden --layout linear --format raw
    for from in "npy" "npy --gzip" "raw" "raw --gzip" "npz" "npz --gzip"; do
        # shellcheck disable=SC2086 # options are words
        quantize in.npy -o from --format $from
        for to in "npy" "npy --gzip" "raw" "raw --gzip" "npz" "npz --gzip"; do
            # shellcheck disable=SC2086
            convert from -o to --layout linear --format $to
            convert to -o back --format raw
            same_buffers back golden .raw
            rm to.* back.*
        done
        rm from.*
    done
}

@test "padding is kept or made anew, as asked" {
    local fill
    make_npy in.npy 37 101
    quantize in.npy -o w --pad-fill 9
    convert w -o v
    same_buffers v w
    for fill in 0 127 255; do
        quantize in.npy -o golden --pad-fill "$fill"
        convert w -o v --pad-fill "$fill"
        same_buffers v golden
        is "$(json_value v.json "['pad_fill']")" "$fill"
    done
    convert w -o lin --layout linear
    convert lin -o v --layout aiter
    same_buffers v w
}

@test "the manifest says how the codes were made, and where they are now" {
    make_npy in.npy 37 101
    quantize in.npy -o w --profile quark --ties away
    convert w -o v --shuffle rowwise_data --format npz --gzip
    diff <(sed '/"buffers"/,$d; /"format": "np/d; /"gzip"/d' w.json) <(sed '/"buffers"/,$d; /"format": "np/d; /"gzip"/d' v.json)
    is "$(json_value v.json "['buffers']['rowwise_data']['layout']")" aiter
    is "$(json_value v.json "['buffers']['rowwise_scale']['layout']")" linear
    is "$(json_value v.json "['buffers']['rowwise_scale']['file']")" v.npz
    works info v
    works dequantize v -o x.npy
    works dequantize w -o y.npy
    cmp x.npy y.npy
}

@test "one direction, or one buffer, converts alone" {
    make_npy in.npy 37 101
    quantize in.npy -o w
    quantize in.npy -o golden --layout linear
    convert w -o r --layout linear --direction rowwise
    is "$(echo r.*)" "r.json r.rowwise_data.npy r.rowwise_scale.npy"
    cmp r.rowwise_data.npy golden.rowwise_data.npy
    rm w.*
    quantize in.npy -o w --only columnwise_scale
    convert w -o c --layout linear
    is "$(echo c.*)" "c.columnwise_scale.npy c.json"
    cmp c.columnwise_scale.npy golden.columnwise_scale.npy
}

@test "the other direction is refused, with the reason" {
    make_npy in.npy 64 64
    quantize in.npy -o w --direction rowwise
    local reason='has no columnwise buffers, and they cannot be made from the others: their blocks run along the other axis, so the matrix must be quantized again'
    refuses "\"w\": $reason" convert w -o v --direction columnwise
    refuses "\"w\": $reason" convert w -o v --direction both
    refuses "\"w\": $reason" convert w -o v --to ggml --direction columnwise
    is "$(echo v*)" "v*"
}

@test "codes that a transform made past the ends of rows are not thrown away" {
    make_npy in.npy 64 20
    quantize in.npy -o w --hadamard
    refuses '"w": there are codes past the ends of rows, as of a Hadamard transform, for which linear rows have no room' \
        convert w -o v --layout linear
    convert w -o v --layout linear --direction columnwise
    convert v -o back --layout aiter
    cmp back.columnwise_data.npy w.columnwise_data.npy
}

# ---- nibbles

@test "the high nibble first and the low one first again is what it was" {
    local layout
    make_npy in.npy 37 101
    for layout in aiter linear; do
        quantize in.npy -o w --layout "$layout"
        convert w -o h --nibbles high
        is "$(json_value h.json "['buffers']['rowwise_data']['layout']")" "$layout-high"
        is "$(json_value h.json "['buffers']['rowwise_scale']['layout']")" "$layout"
        cmp h.rowwise_scale.npy w.rowwise_scale.npy
        is "$(hex h.rowwise_data.npy)" "$(hex w.rowwise_data.npy | sed 's/\(.\)\(.\)/\2\1/g')"
        convert h -o back
        same_buffers back w
        works dequantize h -o x.npy -f
        works dequantize w -o y.npy -f
        cmp x.npy y.npy
        [[ $("$MXFP4Q" info h) == *" $layout-high, "* ]]
    done
}

@test "the model decodes the high nibble first" {
    needs_numpy
    make_npy in.npy 37 101
    quantize in.npy -o w
    convert w -o h --nibbles high
    works dequantize h -o x.npy
    "$PYTHON" "$MODEL" h.json -o y.npy
    cmp x.npy y.npy
}

@test "a manifest with an order that nobody knows is refused" {
    make_npy in.npy 4 64
    quantize in.npy -o w
    sed -i 's/"layout": "aiter"/"layout": "aiter-high"/' w.json
    refuses '"w.json": not a usable manifest: "layout" is a word that this version does not know' info w
}

# ---- without a manifest

@test "buffers without a manifest convert, and none is written" {
    make_npy in.npy 37 101
    quantize in.npy -o w
    quantize in.npy -o golden --layout linear
    run -0 --separate-stderr "$MXFP4Q" convert w.columnwise_data.npy --scale-file w.columnwise_scale.npy --from-layout aiter \
        --direction columnwise --shape 37x101 --layout linear -o v
    is "$stderr" 'mxfp4q: warning: "w.columnwise_data.npy": no manifest is written, because nothing says how the codes were made'
    is "$(echo v.*)" "v.columnwise_data.npy v.columnwise_scale.npy"
    cmp v.columnwise_data.npy golden.columnwise_data.npy
    cmp v.columnwise_scale.npy golden.columnwise_scale.npy
    works convert -q w.rowwise_scale.npy --from-layout aiter --shape 37x101 --layout linear -o v
    cmp v.rowwise_scale.npy golden.rowwise_scale.npy
    works convert -q golden.rowwise_scale.npy --shape 37x101 --layout aiter -o u
    cmp u.rowwise_scale.npy w.rowwise_scale.npy
    works convert -q golden.rowwise_data.npy --shape 37x101 --nibbles high -o h
    works convert -q h.rowwise_data.npy --shape 37x101 --from-nibbles high -o l
    cmp l.rowwise_data.npy golden.rowwise_data.npy
}

# ---- ggml

@test "ggml's blocks are those of the model, and come back" {
    needs_numpy
    local rows cols
    while read -r rows cols; do
        make_large_npy in.npy "$rows" "$cols"
        quantize in.npy -o w --profile ggml
        convert w -o r --to ggml
        "$PYTHON" "$MODEL" w.json -o model --ggml
        cmp r.ggml model
        is "$(wc -c <r.ggml)" $((rows * cols * 17 / 32))
        works convert -q r.ggml --from ggml --shape "${rows}x$cols" -o back -f --layout aiter
        cmp back.rowwise_data.npy w.rowwise_data.npy
        cmp back.rowwise_scale.npy w.rowwise_scale.npy
    done <<<$'37 96\n1 32\n3 2048\n700 4096'
    make_npy in.npy 64 37
    quantize in.npy -o w
    convert w -o c --to ggml --direction columnwise
    "$PYTHON" "$MODEL" w.json -o model --ggml --direction columnwise
    cmp c.ggml model
    works convert -q c.ggml --from ggml --shape 64x37 --direction columnwise -o back -f --layout aiter --pad-fill 127
    cmp back.columnwise_data.npy w.columnwise_data.npy
    cmp back.columnwise_scale.npy w.columnwise_scale.npy
}

@test "a block of ggml, byte by byte" {
    # Codes 0 to 15, then 8 (-0) and 7 in turn.
    { npy_header '|u1' '(1, 16)' && printf '\x10\x32\x54\x76\x98\xba\xdc\xfe\x78\x78\x78\x78\x78\x78\x78\x78'; } >d.npy
    { npy_header '|u1' '(1, 1)' && printf '\x82'; } >s.npy
    works convert d.npy --scale-file s.npy --to ggml -o g
    is "$(od -An -v -tx1 g.ggml | tr -d ' \n')" 82807182738475867788798a7b8c7d8e7f
    works convert -q - --from ggml --shape 1x32 -o back <g.ggml
    cmp back.rowwise_data.npy d.npy
    cmp back.rowwise_scale.npy s.npy
}

@test "what a ggml file cannot say is told" {
    make_npy in.npy 4 32
    quantize in.npy -o w --hadamard
    run -0 --separate-stderr "$MXFP4Q" convert w --to ggml -o g
    is "$stderr" 'mxfp4q: warning: "w": made with a Hadamard transform, which a ggml file cannot say'
    { npy_header '|u1' '(1, 16)' && head -c 16 /dev/zero; } >d.npy
    { npy_header '|u1' '(1, 1)' && printf '\xff'; } >s.npy
    run -0 --separate-stderr "$MXFP4Q" convert d.npy --scale-file s.npy --to ggml -o h
    is "$stderr" "mxfp4q: warning: \"d.npy\": 1 scale bytes are 255, NaN, which ggml's checks refuse"
}

@test "what is no stream of ggml's blocks is refused" {
    make_npy in.npy 4 40
    quantize in.npy -o w
    refuses "\"w\": ggml's rows are whole blocks, and 40 is not a multiple of 32" convert w --to ggml -o g
    head -c 34 /dev/zero >blocks
    refuses "\"blocks\": ggml's rows are whole blocks, and 33 is not a multiple of 32" convert blocks --from ggml --shape 1x33 -o g
    refuses '"blocks": too long: the shape takes 17 bytes, but there are 34 (see --partial)' convert blocks --from ggml --shape 1x32 -o g
    run -2 --separate-stderr "$MXFP4Q" convert blocks --from ggml --shape 4x32 -o g
    [[ $stderr == 'mxfp4q: "blocks": too short: '* ]]
    refuses 'convert: --from ggml needs --shape' convert blocks --from ggml -o g
    refuses 'convert: --from ggml has a layout and a format of its own' convert blocks --from ggml --shape 1x64 --from-layout aiter -o g
    refuses 'convert: --to ggml has a layout and a format of its own' convert w --to ggml --layout linear -o g
    refuses 'convert: --to ggml takes one direction' convert w --to ggml --direction both -o g
    make_npy in.npy 4 64
    quantize in.npy -o v --only rowwise_data
    refuses '"v": has rowwise_data, but no rowwise_scale' convert v --to ggml -o g
    is "$(echo g*)" "g*"
}

# ---- whole or not at all

@test "an existing output is replaced with -f only, and the result itself never" {
    make_npy in.npy 37 101
    quantize in.npy -o w
    echo mine >v.columnwise_scale.npy
    run -2 --separate-stderr "$MXFP4Q" convert w -o v --layout linear
    [[ $stderr == 'mxfp4q: "v.columnwise_scale.npy": '*exists* ]]
    is "$(echo v.*)" v.columnwise_scale.npy
    convert w -o v --layout linear
    refuses '"w.rowwise_data.npy": is what is converted' convert w -o w -f --layout linear
    echo mine >g.ggml
    quantize in.npy -o w
    run -2 --separate-stderr "$MXFP4Q" convert w -o g --to ggml --direction rowwise
    [ -n "$stderr" ]
    is "$(cat g.ggml)" mine
}

@test "a damaged result, or wrong usage, gives nothing" {
    make_npy in.npy 37 101
    quantize in.npy -o w
    refuses '--shuffle: "data" is not one of: rowwise_data, rowwise_scale, columnwise_data, columnwise_scale' convert w -o v --shuffle data
    printf 'x' | dd of=w.columnwise_data.npy bs=1 seek=200 conv=notrunc status=none
    run -2 --separate-stderr "$MXFP4Q" convert w -o v
    [[ $stderr == 'mxfp4q: "w.columnwise_data.npy": its checksum is '* ]]
    is "$(echo v*)" "v*"
    convert w -o v --no-verify
    rm v.* w.columnwise_scale.npy
    refuses '"w.columnwise_scale.npy": cannot open: No such file or directory' convert w -o v
    refuses 'convert: "v/" is no prefix of files' convert w -o v/
    refuses 'convert: "-" is no prefix of files' convert w -o -
    refuses 'convert: no output: give a prefix with -o' convert w
    refuses 'convert: no result (see mxfp4q convert --help)' convert -o v
    is "$(echo v*)" "v*"
}
