#!/usr/bin/env bats
# shellcheck disable=SC2154 # run sets output, stderr and their lines
# Whole checkpoints in every format, read back by Python and compared with an independent model byte for byte.

load helper
load checkpoint

setup_file() {
    export MODELS=$BATS_FILE_TMPDIR
    python -c 'import numpy' 2>/dev/null || return 0
    make_model dense "$MODELS/dense"
    make_model dense "$MODELS/f16" --dtype F16 --layers 1 --shards 1
    make_model dense "$MODELS/f32" --dtype F32 --layers 1 --shards 2 --tied
    make_model moe "$MODELS/moe" --layers 1
    make_model fp8 "$MODELS/fp8" --layers 1 --experts 2
}

setup() {
    need_numpy
    enter_empty_folder
}

Q=model.layers.0.self_attn.q_proj.weight

@test "a dense model in every format is what the independent model makes" {
    local format
    for format in quark compressed-tensors native buffers; do
        makes "$MODELS/dense" -o "$format" --format "$format"
        as_expected "$MODELS/dense" "$format" --format "$format"
    done
}

@test "quark is the format without --format" {
    makes "$MODELS/dense" -o out
    as_expected "$MODELS/dense" out --format quark
}

@test "weights of FP16 and FP32 are quantized, in one file and with a tied head" {
    makes "$MODELS/f16" -o f16
    as_expected "$MODELS/f16" f16
    [ ! -e f16/model.safetensors.index.json ]
    makes "$MODELS/f32" -o f32 --format compressed-tensors
    as_expected "$MODELS/f32" f32 --format compressed-tensors
}

@test "fused experts as gpt-oss stores them are quantized down their inputs, in every format" {
    local format
    for format in gpt-oss quark native buffers; do
        makes "$MODELS/moe" -o "$format" --format "$format"
        as_expected "$MODELS/moe" "$format" --format "$format"
    done
}

@test "FP8 blocks are quantized from FP32 products, with ragged blocks at the ends" {
    makes "$MODELS/fp8" -o out
    as_expected "$MODELS/fp8" out
    [ "$(json_value out/config.json "['quantization_config']['quant_method']")" = quark ]
}

@test "FP8 blocks that are not quantized become BF16, and their scales go" {
    makes "$MODELS/fp8" -o out --exclude '*self_attn*' --format compressed-tensors
    as_expected "$MODELS/fp8" out --exclude '*self_attn*' --format compressed-tensors
}

@test "other profiles and switches decide the bytes, and config.json tells the truth about them" {
    makes "$MODELS/dense" -o out --profile torchao-floor
    as_expected "$MODELS/dense" out --profile torchao-floor
    [ "$(json_value out/config.json "['quantization_config']['global_quant_config']['weight']['scale_calculation_mode']")" = floor ]
    makes "$MODELS/dense" -o switched --scale floor
    works verify switched --source "$MODELS/dense" --full
    [ "$(json_value switched/config.json "['quantization_config']['global_quant_config']['weight']['scale_calculation_mode']")" = floor ]
}

@test "patterns choose the tensors: globs, expressions, includes and excludes" {
    makes "$MODELS/dense" -o out --exclude '*.layers.0.*' --exclude 're:mlp\.(up|down)_proj'
    as_expected "$MODELS/dense" out --exclude '*.layers.0.*' --exclude 're:mlp\.(up|down)_proj'
    makes "$MODELS/dense" -o head --include 'lm_head.weight' --include '*mlp*' --exclude '*gate*'
    as_expected "$MODELS/dense" head --include 'lm_head.weight' --include '*mlp*' --exclude '*gate*'
}

@test "an index or a single file is as good as a folder" {
    makes "$MODELS/dense/model.safetensors.index.json" -o index
    as_expected "$MODELS/dense" index
    makes "$MODELS/f16/model.safetensors" -o file
    as_expected "$MODELS/f16" file
    [ "$(names_in file)" = "model.safetensors mxfp4q-report.json" ]
}

@test "files beside the shards are copied as they are, folders too" {
    local name
    makes "$MODELS/dense" -o out
    for name in generation_config.json tokenizer.json tokenizer_config.json modeling_synthetic.py original/params.json; do
        cmp "$MODELS/dense/$name" "out/$name"
    done
    [ "$(names_in out)" = "config.json generation_config.json model-00001-of-00003.safetensors model-00002-of-00003.safetensors model-00003-of-00003.safetensors model.safetensors.index.json modeling_synthetic.py mxfp4q-report.json original tokenizer.json tokenizer_config.json" ]
}

@test "config.json keeps what it said, and has what loaders of each format ask for" {
    local format
    for format in quark compressed-tensors; do
        makes "$MODELS/dense" -o "$format" --format "$format"
    done
    makes "$MODELS/moe" -o gpt-oss --format gpt-oss
    python - "$MODELS" <<'END'
import json, sys
def load(path):
    with open(path) as f:
        return json.load(f)
for made, source in (("quark", "dense"), ("compressed-tensors", "dense"), ("gpt-oss", "moe")):
    config, before = load(made + "/config.json"), load("%s/%s/config.json" % (sys.argv[1], source))
    q = config.pop("quantization_config")
    assert config == before, made
    if made == "quark":
        weight = q["global_quant_config"]["weight"]
        assert q["quant_method"] == "quark" and q["export"]["pack_method"] == "reorder" and q["export"]["kv_cache_group"] == []
        assert (weight["dtype"], weight["qscheme"], weight["group_size"], weight["ch_axis"]) == ("fp4", "per_group", 32, -1)
        assert (weight["scale_format"], weight["scale_calculation_mode"], weight["round_method"]) == ("e8m0", "even", "half_even")
        assert q["exclude"] == ["lm_head"], q["exclude"]
    elif made == "compressed-tensors":
        weights = q["config_groups"]["group_0"]["weights"]
        assert (q["quant_method"], q["format"], q["ignore"]) == ("compressed-tensors", "mxfp4-pack-quantized", ["lm_head"])
        assert (weights["num_bits"], weights["type"], weights["strategy"], weights["group_size"]) == (4, "float", "group", 32)
    else:
        assert q["quant_method"] == "mxfp4" and "lm_head" in q["modules_to_not_convert"]
END
}

@test "what was MXFP4 before passes through" {
    makes "$MODELS/moe" -o first --format gpt-oss
    makes first -o second --format gpt-oss
    run -0 "$MXFP4Q" diff first second
    [ "${lines[0]}" = "first, golden second: identical" ]
}

@test "the number of threads and the memory do not change a byte" {
    local file
    makes "$MODELS/moe" -o one -j 1 --format buffers
    makes "$MODELS/moe" -o many -j 5 --format buffers --memory 64M
    for file in one/*.safetensors one/*.json; do
        cmp "$file" "many/${file#one/}"
    done
}

@test "--dry-run makes nothing, and knows the sizes of the files that come" {
    run -0 --separate-stderr "$MXFP4Q" quantize "$MODELS/dense" -o out --dry-run --json
    [ ! -e out ]
    echo "$output" >plan.json
    makes "$MODELS/dense" -o out
    python - <<'END'
import json, os
def numbers(value):
    if isinstance(value, dict):
        return set().union(*map(numbers, value.values()))
    if isinstance(value, list):
        return set().union(*map(numbers, value)) if value else set()
    return {value} if isinstance(value, int) else set()
with open("plan.json") as f:
    known = numbers(json.load(f))
total = sum(os.path.getsize("out/" + n) for n in os.listdir("out") if n.endswith(".safetensors"))
assert total in known, (total, sorted(known))
END
}

@test "the report has the SNR that the decoded values have" {
    makes "$MODELS/dense" -o out
    python - "$ROOT/scripts/checkpoints" "$MODELS/dense" $Q <<'END'
import json, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
import expected, st
name = sys.argv[3]
x = expected.values(st.read_checkpoint(sys.argv[2]), name).astype(np.float64)
made = st.read_checkpoint("out")
packed = np.frombuffer(made[name][2], np.uint8).reshape(made[name][1])
scale = np.frombuffer(made[name + "_scale"][2], np.uint8).reshape(made[name + "_scale"][1]).astype(int)
codes = np.stack((packed & 15, packed >> 4), axis=-1).reshape(x.shape)
grid = np.array([0, .5, 1, 1.5, 2, 3, 4, 6])
y = grid[codes & 7] * np.where(codes & 8, -1, 1) * np.exp2((scale - 127).repeat(32, axis=1))
snr = 10 * np.log10((x ** 2).sum() / ((x - y) ** 2).sum())
with open("out/mxfp4q-report.json") as f:
    told, = (t for t in json.load(f)["tensors"] if t["name"] == name)
assert abs(told["rowwise"]["snr_db"] - snr) < 1e-6, (told["rowwise"]["snr_db"], snr)
assert told["rowwise"]["amax"] == np.abs(x).max()
assert abs(told["rowwise"]["mse"] / ((x - y) ** 2).mean() - 1) < 1e-6
END
}
