#!/usr/bin/env bats
# Making checkpoints: whatever the threads, the memory and the moment it is killed, the bytes are those of one tensor at a time.
# shellcheck disable=SC2154 # run sets output, stderr and their lines

load helper
load files

setup_file() {
    export BUILD=${BUILD:-$ROOT/build} MODELS=$BATS_FILE_TMPDIR
    "$PYTHON" -c 'import numpy' 2>/dev/null || return 0
    # Six shards alike, but for those with embeddings; experts of more rows than a tile; FP8 with blocks that end early.
    make_model dense "$MODELS/dense" --shards 6 --hidden 256 --inter 512 --layers 12 --vocab 64
    make_model moe "$MODELS/moe" --shards 2 --hidden 544 --inter 320 --layers 1 --experts 3
    make_model fp8 "$MODELS/fp8" --shards 2 --hidden 288 --inter 320 --layers 1
}

make_model() {
    "$PYTHON" -B "$ROOT/scripts/checkpoints/make_model.py" "$@" >/dev/null
}

setup() {
    [ -d "$MODELS/dense" ] || skip "NumPy is not installed"
    enter_empty_folder
    FAIL_CALLS=$BUILD/tests/fail_calls.so
}

# The report is called mxfp4q-report.json: what must not stay has a dot before it.
nothing_is_left() {
    local left
    left=$(find "$BATS_TEST_TMPDIR" -name '.mxfp4q-*' && ls -A "$TMPDIR") || return
    [ -z "$left" ] || { echo "left behind: $left" && false; }
}

# Quantizes the model of this name, in silence: quantizes MODEL OUT [OPTION]...
quantizes() {
    run -0 --separate-stderr "$MXFP4Q" quantize --no-fsync -q "$MODELS/$1" -o "$2" "${@:3}"
    is "$stderr" ""
}

needs_fail_calls() {
    case $(cat "$BUILD/.config") in
    *-fsanitize=*) skip "sanitizers replace the functions that are made to fail" ;;
    *--coverage*) skip "a killed program says nothing to gcov" ;;
    esac
    [ -e "$FAIL_CALLS" ]
}

# Runs the program with a call failing as told, and sets status.
run_failing() {
    status=0
    LD_PRELOAD=$FAIL_CALLS MXFP4Q_FAIL=$1 MXFP4Q_FAIL_COUNT=$PWD/count "$MXFP4Q" quantize "${@:2}" >stdout 2>stderr </dev/null ||
        status=$?
}

# The shards that a journal has recorded.
recorded() {
    grep -c '^[0-9a-f]* shard ' "$1/.mxfp4q-journal" || true
}

# With Python, what is called s (tensors of MODEL) and o (of OUT) by name: (dtype, shape, bytes); report is the report's JSON.
checkpoint_python() {
    "$PYTHON" -B -c '
import json, os, struct, sys, zlib
def tensors(folder):
    found = {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".safetensors"): continue
        data = open(os.path.join(folder, name), "rb").read()
        size = struct.unpack("<Q", data[:8])[0]
        for key, t in json.loads(data[8:8 + size]).items():
            if key != "__metadata__":
                a, b = t["data_offsets"]
                found[key] = (t["dtype"], t["shape"], data[8 + size + a:8 + size + b])
    return found
s, o = tensors(sys.argv[1]), tensors(sys.argv[2])
report = json.load(open(os.path.join(sys.argv[2], "mxfp4q-report.json")))
exec(sys.argv[3])' "$@"
}

# Every quantized tensor of these kinds as raw files in the folder raw, with a list of them: name, dtype, shape.
cut_tensors() {
    mkdir raw
    checkpoint_python "$1" "$2" '
with open("list", "w") as f:
    for i, t in enumerate(x for x in report["tensors"] if x["action"] == "quantize"):
        dtype, shape, data = s[t["name"]]
        open("raw/%d" % i, "wb").write(data)
        outputs = [o[x["name"]][2] for x in t["outputs"]]
        for j, data in enumerate(outputs): open("raw/%d.%d" % (i, j), "wb").write(data)
        f.write("%d %s %s\n" % (i, dtype.lower(), "x".join(map(str, shape))))'
}

@test "a checkpoint's bytes are those that quantize makes of each tensor" {
    local i dtype shape
    quantizes dense o
    cut_tensors "$MODELS/dense" o
    [ "$(wc -l <list)" -eq 84 ]
    while read -r i dtype shape; do
        "$MXFP4Q" quantize -q -f --no-fsync "raw/$i" --dtype "$dtype" --shape "$shape" -o q --format raw --layout linear \
            --direction rowwise --profile quark
        cmp q.rowwise_data.raw "raw/$i.0"
        cmp q.rowwise_scale.raw "raw/$i.1"
    done <list
}

@test "buffers are those that quantize makes of each tensor" {
    local i dtype shape b
    quantizes dense o --format buffers --include '*.0.*.weight'
    cut_tensors "$MODELS/dense" o
    [ "$(wc -l <list)" -gt 5 ]
    while read -r i dtype shape; do
        "$MXFP4Q" quantize -q -f --no-fsync "raw/$i" --dtype "$dtype" --shape "$shape" -o q --format raw
        b=0
        for buffer in rowwise_data rowwise_scale columnwise_data columnwise_scale; do
            cmp "q.$buffer.raw" "raw/$i.$b"
            b=$((b + 1))
        done
    done <list
}

@test "fused experts are quantized slice by slice, along the rows of the stored matrix" {
    local i dtype shape e
    quantizes moe o --format gpt-oss
    cut_tensors "$MODELS/moe" o
    [ "$(wc -l <list)" -eq 2 ]
    while read -r i dtype shape; do
        : >data && : >scale
        for e in 0 1 2; do
            "$MXFP4Q" quantize -q -f --no-fsync "raw/$i" --dtype "$dtype" --shape "${shape#*x}" --partial -o q --format raw \
                --offset $((e * $(wc -c <"raw/$i") / 3)) --layout linear --direction columnwise --profile triton-kernels
            cat q.columnwise_data.raw >>data
            cat q.columnwise_scale.raw >>scale
        done
        cmp data "raw/$i.0"
        cmp scale "raw/$i.1"
    done <list
}

@test "what is not quantized is copied, and the files beside the shards too" {
    quantizes dense o
    checkpoint_python "$MODELS/dense" o '
copied = [t["name"] for t in report["tensors"] if t["action"] == "copy"]
assert len(copied) > 20 and all(s[name] == o[name] for name in copied)'
    cmp "$MODELS/dense/tokenizer.json" o/tokenizer.json
    diff -r "$MODELS/dense/original" o/original
    cmp "$MODELS/dense/modeling_synthetic.py" o/modeling_synthetic.py
}

@test "neither threads nor variants nor memory change a byte" {
    local model options
    for model in dense moe fp8; do
        for options in "--format quark" "--format gpt-oss" "--format buffers"; do
            # shellcheck disable=SC2086 # options are words
            {
                quantizes "$model" one -j 1 $options
                quantizes "$model" many -j 7 $options
                diff -r one many
                MXFP4Q_KERNEL=scalar quantizes "$model" many -f -j 2 $options
                diff -r one many
                # Stripes are short runs then, written and checksummed apart.
                quantizes "$model" many -f -j 3 $options --memory 1
                diff -r one many
            }
            rm -r one many
        done
    done
}

@test "the report has the checksums of all files and tensors, and the worst tensors" {
    quantizes fp8 o
    checkpoint_python "$MODELS/fp8" o '
crc = lambda data: "%08x" % zlib.crc32(data)
for folder, part in ((sys.argv[1], "source"), (sys.argv[2], "shards")):
    for shard in report[part]:
        data = open(os.path.join(folder, shard["file"]), "rb").read()
        assert (crc(data), len(data)) == (shard["crc32"], shard["nbytes"])
assert len(report["source"]) == len(report["shards"]) == 2
assert sorted(t["name"] for t in report["tensors"]) == sorted(s)
for t in report["tensors"]:
    assert t["source_crc32"] == crc(s[t["name"]][2])
    for out in t["outputs"]: assert out["crc32"] == crc(o[out["name"]][2])
snr = sorted(t["rowwise"]["snr_db"] for t in report["tensors"] if t["action"] == "quantize")
assert [w["snr_db"] for w in report["worst"]] == snr[:10]'
}

@test "FP8 blocks are products in FP32, and BF16 to the nearest where they are not quantized" {
    quantizes fp8 o
    quantizes fp8 w --format gpt-oss
    checkpoint_python "$MODELS/fp8" o '
import numpy as np
e4m3 = np.array([(-1.0 if c & 128 else 1.0) * (float("nan") if c & 127 == 127 else (c & 7) * 2.0 ** -9 if c >> 3 & 15 == 0
                 else (8 + (c & 7)) * 2.0 ** ((c >> 3 & 15) - 10)) for c in range(256)], dtype=np.float32)
w = tensors("w")
n = 0
os.mkdir("raw")
for name, (dtype, shape, data) in s.items():
    if dtype != "F8_E4M3": continue
    scale = s[name + "_scale_inv"]
    scale = np.frombuffer(scale[2], np.float32).reshape(scale[1])
    scale = np.kron(scale, np.ones((128, 128), np.float32))[:shape[0], :shape[1]]
    x = e4m3[np.frombuffer(data, np.uint8).reshape(shape)] * scale
    bits = x.view(np.uint32).astype(np.uint64)
    assert w[name][2] == (bits + 0x7fff + (bits >> 16 & 1) >> 16).astype(np.uint16).tobytes()
    open("raw/%d" % n, "wb").write(x.tobytes())
    open("raw/%d.0" % n, "wb").write(o[name][2])
    open("raw/%d.1" % n, "wb").write(o[name + "_scale"][2])
    with open("list", "a") as f: f.write("%d %dx%d\n" % (n, *shape))
    n += 1
assert n > 5'
    while read -r i shape; do
        "$MXFP4Q" quantize -q -f --no-fsync "raw/$i" --dtype f32 --shape "$shape" -o q --format raw --layout linear \
            --direction rowwise --profile quark
        cmp q.rowwise_data.raw "raw/$i.0"
        cmp q.rowwise_scale.raw "raw/$i.1"
    done <list
}

@test "the measured sums are those of NumPy" {
    quantizes dense o --include '*.3.mlp.down_proj.weight'
    checkpoint_python "$MODELS/dense" o '
import numpy as np
t = [t for t in report["tensors"] if t["action"] == "quantize"][0]
x = (np.frombuffer(s[t["name"]][2], np.uint16).astype(np.uint32) << 16).view(np.float32).astype(np.float64).reshape(s[t["name"]][1])
data = np.frombuffer(o[t["outputs"][0]["name"]][2], np.uint8).reshape(x.shape[0], -1)
scale = np.frombuffer(o[t["outputs"][1]["name"]][2], np.uint8).reshape(x.shape[0], -1)
values = np.array([0, .5, 1, 1.5, 2, 3, 4, 6])
codes = np.stack((data & 15, data >> 4), -1).reshape(x.shape)
e = np.repeat(2.0 ** (scale.astype(float) - 127), 32, 1)
y = np.where(codes & 8, -1, 1) * values[codes & 7] * e
amax = np.abs(x).reshape(x.shape[0], -1, 32).max(2)
want = {"snr_db": 10 * np.log10((x * x).sum() / ((x - y) ** 2).sum()), "mse": ((x - y) ** 2).mean(),
        "largest_error": np.abs(x - y).max(), "saturated": (np.abs(x) > 6 * e).mean(), "amax": amax.max(),
        "least_block_amax": amax[amax > 0].min()}
for key, value in want.items():
    assert abs(t["rowwise"][key] - value) <= 1e-6 * abs(value), (key, t["rowwise"][key], value)'
}

# ---- stops

@test "a run that is killed at random is resumed to the same result, and redoes one shard at most" {
    local seed=${SEED:-$RANDOM} i whole at kept
    echo "SEED=$seed"
    RANDOM=$seed
    quantizes dense want
    whole=$(date +%s%N)
    "$MXFP4Q" quantize -q -j 1 "$MODELS/dense" -o o
    whole=$((($(date +%s%N) - whole) / 1000))
    for i in {1..20}; do
        rm -rf o
        at=$((RANDOM * 32768 + RANDOM))
        "$MXFP4Q" quantize -q -j 1 "$MODELS/dense" -o o &
        sleep "$(printf '%d.%06d' $((at % whole / 1000000)) $((at % whole % 1000000)))"
        { kill -9 $! && wait $!; } 2>/dev/null || true
        if [ ! -e o/.mxfp4q-journal ]; then # before the first byte or after the last
            rm -rf o
            quantizes dense o --resume
        else
            kept=$(recorded o)
            run -0 --separate-stderr "$MXFP4Q" quantize --no-fsync "$MODELS/dense" -o o --resume
            [ "$kept" -eq 0 ] || is "$stderr" "mxfp4q: \"o\": $kept of 6 shards were complete and are kept"
        fi
        diff -r want o
        [ -z "$(find o -name '.mxfp4q-*')" ]
    done
}

@test "killed before any write, rename or removal, it redoes the shard that it was at and no other" {
    local call npwrites kept
    needs_fail_calls
    quantizes dense want -j 1
    run_failing pwrite:100000:SIGKILL --no-fsync -q -j 1 "$MODELS/dense" -o o
    npwrites=$(sed -n 's/^pwrite //p' count)
    [ "$npwrites" -gt 100 ]
    for call in pwrite:1 "pwrite:$((npwrites / 3))" "pwrite:$((npwrites / 2))" "pwrite:$npwrites" write:1 write:2 write:3 write:7 \
        write:9 fallocate:1 fallocate:6 rename:1 rename:2 rename:6 rename:9 unlink:1 fsync:1 fsync:3; do
        rm -rf o
        run_failing "$call:SIGKILL" -q -j 1 "$MODELS/dense" -o o
        is "$call $status" "$call 137"
        # The first line of the journal is the first write, and each shard is one more.
        kept=$(recorded o)
        case $call in write:*) [ "$kept" -eq $((${call#write:} < 2 ? 0 : ${call#write:} > 8 ? 6 : ${call#write:} - 2)) ] ;; esac
        case $call in rename:* | unlink:*) [ "$kept" -eq 6 ] ;; esac
        run -0 --separate-stderr "$MXFP4Q" quantize --no-fsync "$MODELS/dense" -o o --resume
        [ "$kept" -eq 0 ] || is "$stderr" "mxfp4q: \"o\": $kept of 6 shards were complete and are kept"
        diff -r want o
    done
}

@test "a signal leaves what can be resumed, or nothing, and ends the program as it would have" {
    needs_fail_calls
    quantizes dense want
    run_failing write:4:SIGTERM --no-fsync -q -j 1 "$MODELS/dense" -o o
    is "$status $(<stderr)" "143 mxfp4q: interrupted (3 of 6 shards are complete; --resume continues)"
    quantizes dense o --resume
    diff -r want o
    rm -r o
    # Not SIGINT, which a shell has what it runs in the background ignore, and so may whatever runs this.
    run_failing pwrite:5:SIGTERM --no-fsync -q -j 1 "$MODELS/dense" -o o
    is "$status $(<stderr)" "143 mxfp4q: interrupted"
    [ ! -e o ]
}

@test "a recorded shard whose bytes have changed is made again" {
    needs_fail_calls
    quantizes dense want
    run_failing write:4:SIGKILL --no-fsync -q -j 1 "$MODELS/dense" -o o
    is "$(recorded o)" 2
    printf x | dd of=o/.mxfp4q-model-00001-of-00006.safetensors.partial bs=1 seek=5000 conv=notrunc status=none
    run -0 --separate-stderr "$MXFP4Q" quantize --no-fsync "$MODELS/dense" -o o --resume
    is "$stderr" 'mxfp4q: "o": 1 of 6 shards were complete and are kept'
    diff -r want o
}

@test "a torn journal counts as far as it is whole" {
    needs_fail_calls
    quantizes dense want
    run_failing write:5:SIGKILL --no-fsync -q -j 1 "$MODELS/dense" -o o
    is "$(recorded o)" 3
    truncate -s -3 o/.mxfp4q-journal
    run -0 --separate-stderr "$MXFP4Q" quantize --no-fsync "$MODELS/dense" -o o --resume
    is "$stderr" 'mxfp4q: "o": 2 of 6 shards were complete and are kept'
    diff -r want o
}

@test "a source that has changed since its shard was made is refused; one that was only touched is not" {
    local name=model-00001-of-00006.safetensors
    needs_fail_calls
    quantizes dense want
    cp -r "$MODELS/dense" model
    run_failing write:4:SIGKILL --no-fsync -q -j 1 model -o o
    is "$(recorded o)" 2
    printf x | dd of=model/$name bs=1 seek=$(($(wc -c <model/$name) - 1000)) conv=notrunc status=none
    run -2 --separate-stderr "$MXFP4Q" quantize --no-fsync -q model -o o --resume
    is "$stderr" "mxfp4q: \"$name\": the source has changed since an earlier run read it (--force begins anew) (2 of 6 shards are complete; --resume continues)"
    cp "$MODELS/dense/$name" model/$name
    run -0 --separate-stderr "$MXFP4Q" quantize --no-fsync model -o o --resume
    is "$stderr" 'mxfp4q: "o": 2 of 6 shards were complete and are kept'
    diff -r want o
}

@test "an unfinished checkpoint is refused, continued with --resume, begun anew with --force" {
    needs_fail_calls
    quantizes dense want
    run_failing write:4:SIGKILL --no-fsync -q -j 1 "$MODELS/dense" -o o
    refuses '"o/.mxfp4q-journal": an unfinished checkpoint: --resume continues it, --force begins anew' \
        quantize -q "$MODELS/dense" -o o
    refuses '"o/.mxfp4q-journal": is of another job: the model, the options or the program have changed (--force begins anew)' \
        quantize -q "$MODELS/dense" -o o --resume --format native
    quantizes dense o --force
    diff -r want o
}

@test "what is there is not replaced without --force, and stays whole until the new one is" {
    needs_fail_calls
    quantizes dense want
    quantizes dense o --format native
    cp -r o old
    refuses '"o/model-00001-of-00006.safetensors": already exists; --force replaces it' quantize -q "$MODELS/dense" -o o
    refuses '"o/model-00001-of-00006.safetensors": already exists; --force replaces it' quantize -q "$MODELS/dense" -o o --resume
    run_failing write:6:EIO --no-fsync -q -j 1 "$MODELS/dense" -o o --force
    is "$status" 2
    diff -r -x '.mxfp4q-*' old o
    quantizes dense o --resume
    diff -r want o
}

@test "a checkpoint is not made between the shards of another one, nor over its own source" {
    quantizes dense o
    make_model dense one --shards 1 --hidden 64 --inter 64 --layers 1 --vocab 64
    cp -r o old
    run -2 --separate-stderr "$MXFP4Q" quantize -q --no-fsync one -o o --force
    [[ $stderr == 'mxfp4q: "o": has "model'*'" of another checkpoint, which loaders would take for part of this one' ]]
    diff -r old o
    rm o/model*
    run -0 "$MXFP4Q" quantize -q --no-fsync one -o o --force
    mkdir links && ln -s ../one/model.safetensors links
    cp one/model.safetensors kept
    refuses '"one/model.safetensors": is a shard of the model itself' quantize -q --no-fsync links -o one --force
    cmp one/model.safetensors kept
}

@test "what is begun anew with --force from another model leaves nothing of the first" {
    needs_fail_calls
    run_failing write:4:SIGKILL --no-fsync -q -j 1 "$MODELS/dense" -o o
    [ -e o/.mxfp4q-model-00006-of-00006.safetensors.partial ]
    quantizes moe o --force
    quantizes moe want
    diff -r want o
}

# ---- faults

@test "a full disk leaves what can be resumed, or nothing" {
    local npwrites
    needs_fail_calls
    quantizes dense want
    run_failing fallocate:3:ENOSPC --no-fsync -q "$MODELS/dense" -o o
    is "$status $(cut -d: -f2 stderr)" '2  "model-00003-of-00006.safetensors"'
    [ ! -e o ]
    run_failing pwrite:3:ENOSPC --no-fsync -q -j 1 "$MODELS/dense" -o o
    is "$status $(<stderr)" '2 mxfp4q: "model-00001-of-00006.safetensors": cannot write: No space left on device'
    [ ! -e o ]
    run_failing pwrite:1000:ENOSPC --no-fsync -q -j 1 "$MODELS/dense" -o o
    npwrites=$(sed -n 's/^pwrite //p' count)
    rm -r o
    run_failing "pwrite:$npwrites:ENOSPC" --no-fsync -q -j 1 "$MODELS/dense" -o o
    is "$status $(<stderr)" '2 mxfp4q: "model-00006-of-00006.safetensors": cannot write: No space left on device (5 of 6 shards are complete; --resume continues)'
    quantizes dense o --resume
    diff -r want o
}

@test "a disk that is too small is told before anything is written" {
    [ "$(id -u)" -eq 0 ] || skip "only root may mount"
    mkdir small
    mount -t tmpfs -o size=512k none small 2>/dev/null || skip "nothing can be mounted"
    run -2 --separate-stderr "$MXFP4Q" quantize -q "$MODELS/dense" -o small/o
    umount small
    [[ $stderr == 'mxfp4q: "small/o": '*' bytes are needed, and there is room for '*': No space left on device' ]]
}

@test "a folder that cannot be written to is told, and nothing is left" {
    no_root
    mkdir sealed && chmod a-w sealed
    refuses '"sealed/o": cannot make the folder: Permission denied' quantize -q "$MODELS/dense" -o sealed/o
}

@test "a source that ends early or cannot be read is told, and nothing is left" {
    needs_fail_calls
    run_failing pread:20:EIO --no-fsync -q -j 1 "$MODELS/dense" -o o
    is "$status $(<stderr)" '2 mxfp4q: "model-00001-of-00006.safetensors": cannot read: Input/output error'
    [ ! -e o ]
    cp -r "$MODELS/dense" model
    truncate -s -1 model/model-00004-of-00006.safetensors
    run -2 --separate-stderr "$MXFP4Q" quantize -q model -o o
    [[ ${stderr_lines[0]} == 'mxfp4q: "model/model-00004-of-00006.safetensors": '* ]]
    [ ! -e o ]
}

@test "a source that is written to while it is read is told, and nothing is left" {
    local pid
    needs_fail_calls
    cp -r "$MODELS/dense" model
    LD_PRELOAD=$FAIL_CALLS MXFP4Q_FAIL=pread:20:SIGSTOP "$MXFP4Q" quantize --no-fsync -q -j 1 model -o o 2>stderr 3>&- &
    pid=$!
    until grep -q '^State:.*T' "/proc/$pid/status"; do sleep 0.01; done
    touch model/model-00001-of-00006.safetensors
    kill -CONT $pid
    status=0
    wait $pid || status=$?
    is "$status $(<stderr)" '2 mxfp4q: "model-00001-of-00006.safetensors": was changed while it was read'
    [ ! -e o ]
}

@test "a shard that did not get to the disk is made again" {
    local n
    needs_fail_calls
    quantizes dense want
    for n in 1 2 4; do
        run_failing "fsync:$n:EIO" -q -j 1 "$MODELS/dense" -o o
        is "$n $status" "$n 2"
        run -0 --separate-stderr "$MXFP4Q" quantize --no-fsync -q "$MODELS/dense" -o o --resume
        diff -r want o
        rm -r o
    done
}

@test "a value that is not finite is an error with the tensor and the position" {
    cp -r "$MODELS/moe" model
    "$PYTHON" -B -c '
import glob, json, struct
for path in sorted(glob.glob("model/*.safetensors")):
    with open(path, "r+b") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        for name, t in json.loads(f.read(size)).items():
            if name.endswith("experts.down_proj"):
                e, rows, cols = t["shape"]
                for at in ((2, 300, 5), (2, 1, 7)):
                    f.seek(8 + size + t["data_offsets"][0] + 2 * ((at[0] * rows + at[1]) * cols + at[2]))
                    f.write(b"\x80\x7f")'
    run -2 --separate-stderr "$MXFP4Q" quantize -q model -o o
    [[ $stderr == 'mxfp4q: "model-0000'?'-of-00002.safetensors": tensor "model.layers.0.mlp.experts.down_proj": 2 values are infinite or NaN, the first at [2, 1, 7] (--nonfinite profile quantizes them)'* ]]
    run -0 "$MXFP4Q" quantize -q model -o o --nonfinite profile -f
}

@test "sources are deleted once their outputs are verified, and other files stay" {
    local call
    quantizes dense want
    cp -r "$MODELS/dense" model
    run -0 --separate-stderr "$MXFP4Q" quantize -q model -o o --delete-source
    is "$stderr" ""
    diff -r want o
    is "$(cd model && echo *.safetensors)" '*.safetensors'
    cmp "$MODELS/dense/config.json" model/config.json
    cmp "$MODELS/dense/model.safetensors.index.json" model/model.safetensors.index.json
    needs_fail_calls
    for call in unlink:1 unlink:2 unlink:5 pread:60 fsync:4 rename:3; do
        rm -rf model o
        cp -r "$MODELS/dense" model
        run_failing "$call:SIGKILL" -q -j 1 model -o o --delete-source
        is "$call $status" "$call 137"
        run -0 --separate-stderr "$MXFP4Q" quantize -q model -o o --delete-source --resume
        diff -r want o
        is "$(cd model && echo *.safetensors)" '*.safetensors'
    done
}

# The output of a shard, before it has its name, with another byte in it.
spoil() {
    printf x | dd of="o/.mxfp4q-model-0000$1-of-00006.safetensors.partial" bs=1 seek=5000 conv=notrunc status=none
}

@test "no source is deleted for an output that was verified by an earlier run and has changed since" {
    needs_fail_calls
    quantizes dense want
    cp -r "$MODELS/dense" model
    run_failing unlink:3:SIGKILL -q -j 1 model -o o --delete-source
    spoil 3
    run_failing pwrite:1:EIO -q -j 1 model -o o --delete-source --resume
    is "$status" 2
    cmp model/model-00003-of-00006.safetensors "$MODELS/dense/model-00003-of-00006.safetensors"
    run -0 --separate-stderr "$MXFP4Q" quantize -q model -o o --delete-source --resume
    diff -r want o
}

@test "an output whose source was deleted is kept, whatever happens" {
    local first=o/.mxfp4q-model-00001-of-00006.safetensors.partial
    needs_fail_calls
    cp -r "$MODELS/dense" model
    run_failing unlink:2:SIGKILL -q -j 1 model -o o --delete-source
    [ ! -e model/model-00001-of-00006.safetensors ]
    cp $first first
    run_failing fsync:1:EIO -q -j 1 model -o o --delete-source --resume
    is "$status $(cut -d'(' -f1 stderr)" '2 mxfp4q: "model-00001-of-00006.safetensors": cannot write to the disk: Input/output error '
    cmp $first first
    run_failing open:12+:EMFILE -q -j 1 model -o o --delete-source --resume
    is "$status" 2
    cmp $first first
    spoil 1
    cp $first first
    run -2 --separate-stderr "$MXFP4Q" quantize -q model -o o --delete-source --resume
    [[ $stderr == 'mxfp4q: "model-00001-of-00006.safetensors": is not what the journal says, and an earlier run deleted its source'* ]]
    cmp $first first
    rm -r o # on purpose unfinished
}

@test "--no-fsync does not delete a source whose output is not on the disk" {
    needs_fail_calls
    cp -r "$MODELS/dense" model
    # The journal is waited for twice before the first output.
    run_failing fsync:3+:EIO --no-fsync -q -j 1 model -o o --delete-source
    is "$status" 2
    diff -r "$MODELS/dense" model
    [ ! -e o ]
}

@test "one file whose source was deleted is completed, too" {
    needs_fail_calls
    cp "$MODELS/dense/model-00001-of-00006.safetensors" one.safetensors
    run -0 "$MXFP4Q" quantize --no-fsync -q one.safetensors -o want
    run_failing rename:2:SIGKILL -q -j 1 one.safetensors -o o --delete-source
    [ ! -e one.safetensors ]
    run -0 --separate-stderr "$MXFP4Q" quantize -q one.safetensors -o o --delete-source --resume
    diff -r want o
}

@test "--force does not begin anew where an earlier run deleted sources" {
    needs_fail_calls
    quantizes dense want
    cp -r "$MODELS/dense" model
    rm model/*.index.json # which would miss the shard
    run_failing unlink:2:SIGKILL -q -j 1 model -o o --delete-source
    cp -r o old
    for model in model "$MODELS/moe"; do
        refuses '"o": an earlier run deleted the source "model-00001-of-00006.safetensors": --resume completes it, and to begin anew takes another folder' \
            quantize -q "$model" -o o --force
        diff -r old o
    done
    rm -r old
    run -0 --separate-stderr "$MXFP4Q" quantize -q model -o o --delete-source --resume
    diff -r -x '*.index.json' want o
}

@test "peak memory is within what --memory says, and 64 MiB" {
    [ -x /usr/bin/time ] || skip "GNU time is not installed"
    case $(cat "$BUILD/.config") in *-fsanitize=*) skip "a sanitizer has memory of its own" ;; esac
    for memory in 16M 64M; do
        /usr/bin/time -f %M -o peak "$MXFP4Q" quantize -q --no-fsync -j 16 "$MODELS/moe" -o "o$memory" --memory "$memory" --format buffers
        [ "$(<peak)" -le $(((${memory%M} + 64) * 1024)) ]
    done
}
