#!/usr/bin/env bats
# How much was lost, and which codes and scales there are: of a quantization, and of a result against its source.
# shellcheck disable=SC2154 # run sets output, stderr and their lines

load helper
load files

needs_numpy() {
    "$PYTHON" -c 'import numpy' 2>/dev/null || skip "NumPy is not installed"
}

# The report of info about the result w against its source: the lines after the description.
info_report() {
    "$MXFP4Q" info w --source "$@" | sed -n '/^direction/,$p'
}

@test "info prints the same report as quantize did" {
    local options
    make_npy in.npy 300 101
    for options in "" "--layout linear --profile aiter" "--format npz --gzip" "--hadamard" "--direction columnwise" "--flatten 0"; do
        # shellcheck disable=SC2086 # options are words
        works quantize in.npy -q -o w --no-fsync -f $options --report
        is "$(info_report in.npy)" "$(sed 1d <<<"$output")"
        rm w.*
    done
}

@test "the report of a result in JSON is that of its quantization" {
    make_npy in.npy 37 101
    works quantize in.npy -q -o w --no-fsync --report --json
    echo "$output" >quantize.json
    works info w --source in.npy --json
    echo "$output" >info.json
    is "$(json_value info.json "[0]['report']['rowwise']['codes']")" "$(json_value quantize.json "[0]['report']['rowwise']['codes']")"
    is "$(json_value info.json "[0]['report']['columnwise']")" "$(json_value quantize.json "[0]['report']['columnwise']")"
    is "$(json_value info.json "[0]['recipe']")" "$(json_value w.json "['recipe']")"
}

@test "each code and each scale byte is counted once" {
    needs_numpy
    make_npy in.npy 37 101
    works quantize in.npy -q -o w --no-fsync --report --json
    echo "$output" >report.json
    works quantize in.npy -q -o l --no-fsync --layout linear
    "$PYTHON" -c '
import json, numpy as np
report = json.load(open("report.json"))[0]["report"]
for direction, length in (("rowwise", 101), ("columnwise", 37)):
    data, scale = np.load("l.%s_data.npy" % direction), np.load("l.%s_scale.npy" % direction)
    codes = np.stack((data & 15, data >> 4), -1).reshape(len(data), -1)[:, :length]
    assert report[direction]["codes"] == np.bincount(codes.ravel(), minlength=16).tolist()
    counts = np.bincount(scale.ravel())
    assert report[direction]["scale_bytes"] == {str(i): n for i, n in enumerate(counts.tolist()) if n}'
}

@test "the histograms of chosen values" {
    # 30 times 1.0 and 2 times -6.0, and a block of zeros.
    { npy_header '<V2' '(1, 64)' && for _ in {1..30}; do printf '\x80\x3f'; done && printf '\xc0\xc0\xc0\xc0' && head -c 64 /dev/zero; } >in.npy
    works quantize in.npy -o w --no-fsync --direction rowwise --report --profile aiter
    is "$(sed -n '/^ code/,$p' <<<"$output")" " code   value  rowwise
    0       0    50.0000 % ##################
    1     0.5     0.0000 %
    2       1    46.8750 % #################
    3     1.5     0.0000 %
    4       2     0.0000 %
    5       3     0.0000 %
    6       4     0.0000 %
    7       6     0.0000 %
    8      -0     0.0000 %
    9    -0.5     0.0000 %
   10      -1     0.0000 %
   11    -1.5     0.0000 %
   12      -2     0.0000 %
   13      -3     0.0000 %
   14      -4     0.0000 %
   15      -6     3.1250 % ##
 byte   scale  rowwise
    0  2^-127    50.0000 % ##################
  ...
  127     2^0    50.0000 % ##################"
}

@test "the number of threads changes no report" {
    { npy_header '<f4' '(1000, 3000)' && while some_bytes 290000; do :; done 2>/dev/null | head -c 12000000; } >in.npy
    works quantize in.npy -q -o w --no-fsync --report -j 1
    local one=$output
    works quantize in.npy -q -o w --no-fsync --report -j 7 -f
    is "$output" "$one"
}

@test "another shape than the source's is refused" {
    make_npy in.npy 64 128
    make_npy other.npy 128 64
    { npy_header '<V2' '(2, 32, 128)' && some_bytes 16384; } >cube.npy
    works quantize in.npy -o w --no-fsync
    refuses '"other.npy": its shape is not that of the input of "w.json"' info w --source other.npy
    refuses '"cube.npy": its shape is not that of the input of "w.json"' info w --source cube.npy
    refuses '"in.npy": --flatten does not give the 64 x 128 that "w.json" was made of' info w --source in.npy --flatten 0
    refuses '"none.npy": cannot open: No such file or directory' info w --source none.npy
    refuses '"in.npy": not a result with a manifest, which --source is compared with' info in.npy --source in.npy
}

@test "another tensor, or a changed result, is told" {
    make_npy in.npy 64 128
    { npy_header '<f4' '(64, 128)' && some_bytes 32768; } >other.npy
    works quantize in.npy -o w --no-fsync
    run -0 --separate-stderr "$MXFP4Q" info w --source other.npy
    [[ $stderr =~ ^'mxfp4q: warning: "other.npy": not the input of "w.json": its checksum is '[0-9a-f]{8}', the manifest says '[0-9a-f]{8}$ ]]
    works info w --source other.npy -q
    printf 'x' | dd of=w.rowwise_data.npy bs=1 seek=200 conv=notrunc status=none
    run -0 --separate-stderr "$MXFP4Q" info w --source in.npy
    [[ $stderr == 'mxfp4q: warning: "w.rowwise_data.npy": its checksum is '* ]]
}

@test "a source is read as the input options say" {
    make_npy in.npy 64 128
    tail -c 16384 in.npy >in.raw
    make_npy other.npy 2 3
    make_zip in.npz deflated w.npy=in.npy other.npy=other.npy
    works quantize in.npy -o w --no-fsync
    local expected
    expected=$(info_report in.npy)
    is "$(info_report in.raw --shape 64x128 --dtype bf16)" "$expected"
    is "$(info_report in.npz --member w)" "$expected"
    is "$(gzip -c in.npy | info_report -)" "$expected"
    refuses '"in.npz": several arrays: say which with --member' info w --source in.npz
    # The manifest names the array.
    works quantize in.npz -q -o folder/ --no-fsync
    works info folder/w --source in.npz
    is "$(sed -n '/^direction/,$p' <<<"$output")" "$expected"
}

@test "a Fortran-order source of several panels is measured as it was quantized" {
    needs_numpy
    "$PYTHON" -c '
import numpy as np
np.save("in.npy", np.asfortranarray(np.sin(np.arange(1100 * 1300)).reshape(1100, 1300).astype("f4")))'
    works quantize in.npy -q -o w --no-fsync --report --json
    echo "$output" >quantize.json
    works info w --source in.npy --json
    echo "$output" >info.json
    # Sums are formed by panels, and these differ.
    "$PYTHON" -c '
import json
a, b = (json.load(open(name))[0]["report"] for name in ("quantize.json", "info.json"))
for direction in a:
    for key, value in a[direction].items():
        assert abs(value - b[direction][key]) <= 1e-12 * abs(value) if isinstance(value, float) else value == b[direction][key]'
}
