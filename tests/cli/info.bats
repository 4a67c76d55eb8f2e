#!/usr/bin/env bats
# mxfp4q info: inputs, results, and manifests that are broken.

# shellcheck disable=SC2154 # run sets stderr and its lines

load helper
load files

@test "info describes an input: type, shape, matrix and the sizes of the buffers" {
    { npy_header '<V2' '(2, 3, 40)' && some_bytes 480; } >w.npy
    works info w.npy
    is "${lines[0]}" "w.npy: npy, bf16 2x3x40"
    is "${lines[1]}" "  matrix    6 rows x 40 cols, 480 bytes"
    is "${lines[2]}" "  linear    rowwise_data 6x20, rowwise_scale 6x2, columnwise_data 40x3, columnwise_scale 40x1"
    is "${lines[3]}" "  aiter     rowwise_data 16x32, rowwise_scale 256x8, columnwise_data 48x16, columnwise_scale 256x8"
    works info --flatten 1 w.npy
    is "${lines[1]}" "  matrix    2 rows x 120 cols, 480 bytes"
    refuses '"w.npy": no axis 4 to flatten at: the tensor has rank 3' info --flatten 4 w.npy
}

@test "info describes every container and several files" {
    make_npy w.npy 6 40
    { npy_header '>f4' '(2, 3)' True && some_bytes 24; } >f.npy
    npy_header '<f2' '()' >s.npy
    printf '\1\2' >>s.npy
    gzip -k w.npy
    make_zip w.npz deflated a.npy=w.npy b.npy=f.npy
    works info w.npy.gz f.npy s.npy w.npz
    is "${lines[0]}" "w.npy.gz: npy.gz, bf16 6x40"
    is "${lines[4]}" "f.npy: npy, f32 2x3, Fortran order, big-endian"
    is "${lines[8]}" "s.npy: npy, f16 scalar"
    is "${lines[12]}" "w.npz:a: npz, bf16 6x40"
    is "${lines[16]}" "w.npz:b: npz, f32 2x3, Fortran order, big-endian"
    works info --member b w.npz
    is "${#lines[@]}" 4
    works info --shape 4x2 --dtype f16 - < <(some_bytes 16)
    is "${lines[0]}" "-: raw, f16 4x2"
}

@test "info --json says the same" {
    make_npy w.npy 6 40
    make_zip w.npz deflated a.npy=w.npy
    works quantize -q w.npy -o r
    works info --json w.npy w.npz r
    echo "$output" >out.json
    is "$(json_value out.json "[0]['shape']") $(json_value out.json "[0]['aiter']['columnwise_data']")" "[6, 40] [48, 16]"
    is "$(json_value out.json "[0]['member']") $(json_value out.json "[1]['member']")" "None a"
    is "$(json_value out.json "[2]['kind']") $(json_value out.json "[0]['kind']")" "mxfp4q manifest mxfp4q input"
    "$PYTHON" -c 'import json; assert json.load(open("out.json"))[2] == json.load(open("r.json"))'
}

@test "info describes a result by its manifest or its prefix" {
    local name option
    make_npy w.npy 64 128
    works quantize w.npy -o r --profile aiter --zero-byte 5 --hadamard-signs 1234 --only rowwise_scale --gzip
    for name in r r.json; do
        works info "$name"
        is "${lines[0]%crc32*}" "r.json: result, npy compressed, of w.npy (bf16 64x128, "
        is "${lines[1]}" "  matrix    64 rows x 128 cols"
        is "${lines[2]}" "  recipe    aiter: scale rceil, ties even, sign keep, zero byte 5, Hadamard 16 with signs 00001234"
        [[ ${lines[4]} == "  rowwise_scale     aiter, 256x8 (valid 64x4), 2048 bytes, crc32 "* ]]
        is "${#lines[@]}" 5
    done
    for option in --format=npz --format=raw --layout=linear; do
        works quantize -f w.npy -o r "$option"
        works info r
        is "${#lines[@]}" 8
    done
}

@test "the checksums in a manifest are those of the bytes" {
    local buffer
    [ -x "$PYTHON" ] || skip "$PYTHON is not installed"
    make_npy w.npy 64 128
    works quantize w.npy -o r --format raw
    for buffer in rowwise_data rowwise_scale columnwise_data columnwise_scale; do
        is "$(json_value r.json "['buffers']['$buffer']['crc32']")" \
            "$("$PYTHON" -c 'import sys, zlib; print("%08x" % zlib.crc32(open(sys.argv[1], "rb").read()))' "r.$buffer.raw")"
    done
    is "$(json_value r.json "['input']['crc32']")" \
        "$("$PYTHON" -c 'import zlib; print("%08x" % zlib.crc32(open("w.npy", "rb").read()[128:]))')"
}

@test "what is neither an input nor a result is refused" {
    refuses '"missing": cannot open: No such file or directory' info missing
    refuses '"missing.json": cannot open: No such file or directory' info missing.json
    : >empty.json
    refuses '"empty.json": not a manifest: line 1: '"'[' or '{' expected near end of file" info empty.json
    echo '{"kind": 1}' >other.json
    refuses '"other.json": JSON, but not a manifest of mxfp4q' info other.json
    echo '[1, 2]' >list.json
    refuses '"list.json": JSON, but not a manifest of mxfp4q' info list.json
    echo '{"kind": "mxfp4q manifest", "kind": "x"}' >twice.json
    refuses '"twice.json": not a manifest: line 1: duplicate object key near '"'\"kind\"'" info twice.json
    mkdir folder.json
    run -2 --separate-stderr "$MXFP4Q" info folder.json
    is "${#stderr_lines[@]}" 1
}

@test "a manifest that is broken in any way gets one line" {
    local change message
    make_npy w.npy 64 128
    works quantize w.npy -o r
    while IFS='#' read -r change message; do
        json_value r.json "" >/dev/null
        "$PYTHON" -c 'import json, sys
m = json.load(open("r.json"))
exec(sys.argv[1])
json.dump(m, open("x.json", "w"))' "$change"
        refuses "\"x.json\": $message" info x.json
        refuses "\"x.json\": $message" info x
        refuses "\"x.json\": $message" info --json x
    done <<'TABLE'
m["version"] = 2#a manifest of version 2; this program reads version 1
m["version"] = "1"#a manifest of version 0; this program reads version 1
m["kind"] = "mxfp4q"#JSON, but not a manifest of mxfp4q
del m["tool_version"]#not a usable manifest: "tool_version" is missing
del m["matrix"]#not a usable manifest: "matrix" is missing
del m["buffers"]#not a usable manifest: "buffers" is missing
del m["recipe"]["nan_code"]#not a usable manifest: "nan_code" is missing
del m["backend"]["kernel"]#not a usable manifest: "kernel" is missing
m["matrix"] = [64, 128]#not a usable manifest: "matrix" has the wrong type
m["gzip"] = 0#not a usable manifest: "gzip" has the wrong type
m["pad_fill"] = 1.5#not a usable manifest: "pad_fill" has the wrong type
m["pad_fill"] = 256#not a usable manifest: "pad_fill" is out of range
m["matrix"]["rows"] = -1#not a usable manifest: "rows" is out of range
m["matrix"]["rows"] = 63#not a usable manifest: "rowwise_data" has sizes that do not follow from the matrix and the layout
m["matrix"]["rows"] = 2**62#not a usable manifest: "matrix" is too large
m["buffers"]["rowwise_scale"]["shape"] = [64, 8]#not a usable manifest: "rowwise_scale" has sizes that do not follow from the matrix and the layout
m["buffers"]["rowwise_scale"]["nbytes"] += 1#not a usable manifest: "rowwise_scale" has sizes that do not follow from the matrix and the layout
m["buffers"]["rowwise_scale"]["shape"] = [64]#not a usable manifest: "shape" does not have two sizes
m["buffers"]["rowwise_scale"]["shape"] = [6, 4, 8]#not a usable manifest: "shape" has too many sizes
m["buffers"]["rowwise_scale"]["valid"] = [64, "4"]#not a usable manifest: "valid" has something that is no size
m["buffers"]["rowwise_scale"]["layout"] = "zigzag"#not a usable manifest: "layout" is a word that this version does not know
m["buffers"]["rowwise_scale"] = None#not a usable manifest: "rowwise_scale" has the wrong type
m["buffers"]["columnwise_data"]["crc32"] = "12345"#not a usable manifest: "crc32" is not eight hexadecimal digits
m["recipe"]["seed"] = "5"#not a usable manifest: "seed" is given without stochastic ties
m["recipe"]["ties"] = "stochastic"#not a usable manifest: "seed" is missing
m["recipe"].update(ties="stochastic", seed=5)#not a usable manifest: "seed" has the wrong type
m["recipe"].update(ties="stochastic", seed="")#not a usable manifest: "seed" is not a decimal number of 64 bits
m["recipe"].update(ties="stochastic", seed="-5")#not a usable manifest: "seed" is not a decimal number of 64 bits
m["recipe"].update(ties="stochastic", seed="18446744073709551616")#not a usable manifest: "seed" is not a decimal number of 64 bits
m["recipe"]["block"] = "16x16"#not a usable manifest: "block" is a word that this version does not know
m["recipe"]["amax_floor"] = "7f800000"#not a usable manifest: "amax_floor" is out of range
m["recipe"]["amax_floor"] = 1e-10#not a usable manifest: "amax_floor" has the wrong type
m["recipe"]["hadamard"] = 48#not a usable manifest: "hadamard" is out of range
m["recipe"]["hadamard"] = 8#not a usable manifest: "hadamard" is out of range
m["recipe"]["hadamard"] = 256#not a usable manifest: "hadamard" is out of range
m["recipe"]["hadamard_signs"] = "1234"#not a usable manifest: "hadamard_signs" is not 8 or 32 hexadecimal digits
m["recipe"]["hadamard_seed"] = "x"#not a usable manifest: "hadamard_seed" is not a decimal number of 64 bits
m["recipe"]["scale"] = "round"#not a usable manifest: "scale" is a word that this version does not know
m["input"]["shape"] = [1] * 33#not a usable manifest: "shape" has too many sizes
m["format"] = "zip"#not a usable manifest: "format" is a word that this version does not know
TABLE
}

@test "manifests from before there were seeds, tiles and floors are read" {
    make_npy w.npy 64 128
    works quantize w.npy -o r --hadamard
    works info r
    printf '%s' "$output" >want
    "$PYTHON" -c 'import json
m = json.load(open("r.json"))
for key in ("seed", "block", "amax_floor", "hadamard_seed"):
    del m["recipe"][key]
json.dump(m, open("r.json", "w"))'
    works info r
    is "$output" "$(cat want)"
    works dequantize r -o y.npy --inverse-hadamard
}

@test "names in files cannot write control characters to the terminal" {
    make_npy w.npy 64 64
    make_zip w.npz stored $'a\xc2\x9b31m.npy=w.npy'
    works info w.npz
    is "${lines[0]}" 'w.npz:a??31m: npz, bf16 64x64'
    works quantize w.npz -o r
    works info r
    is "${lines[0]%(*}" 'r.json: result, npy, of w.npz:a??31m '
}
