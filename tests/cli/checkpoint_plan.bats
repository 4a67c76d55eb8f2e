#!/usr/bin/env bats
# What is planned for a checkpoint: from headers alone, so that the tensors here are holes in files.

# shellcheck disable=SC2154 # run sets output, stderr and their lines

load helper
load files

# Makes a .safetensors file of "NAME DTYPE SHAPE" lines on standard input, all zeros. $2: its __metadata__, or nothing.
shard() {
    local header length
    header=$(awk -v metadata="${2-}" '
        BEGIN {
            split("BOOL 8 F4 4 U8 8 I8 8 F8_E4M3 8 F8_E8M0 8 F16 16 BF16 16 I32 32 F32 32 I64 64", w, " ")
            for (i = 1; i in w; i += 2) bits[w[i]] = w[i + 1]
            printf "{"
            if (metadata != "") printf "\"__metadata__\":%s,", metadata
        }
        NF == 3 {
            n = split($3, size, "x"); count = 1; list = ""
            for (i = 1; i <= n; i++) { count *= size[i]; list = list (i > 1 ? "," : "") size[i] }
            printf "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%d,%d]}", comma, $1, $2, list, end, \
                end + count * bits[$2] / 8
            end += count * bits[$2] / 8; comma = ","
        }
        END { printf "}|%d", end }')
    length=$((${#header} - $(printf %s "${header##*|}" | wc -c) - 1))
    {
        printf '%b' "$(printf '\\x%02x' $((length % 256)) $((length / 256)))" '\0\0\0\0\0\0'
        printf %s "${header%|*}"
    } >"$1"
    truncate -s "+${header##*|}" "$1"
}

# A model of one layer in the folder m. $1: more of config.json.
model() {
    mkdir -p m
    printf '{\n  "hidden_size": 512,\n  "rms_norm_eps": 1e-05%s\n}\n' "${1-}" >m/config.json
    shard m/model.safetensors '{"format":"pt"}'
}

# What the table says of a tensor: action and reason.
fate_of() {
    awk -v name="$1" '$2 == name { for (i = 7; i <= NF; i++) printf "%s%s", $i, i < NF ? " " : "\n" }' plan
}

plan() {
    "$MXFP4Q" quantize m --dry-run -q "$@" >plan
}

# Lines of "NAME: fate" on standard input must be what the plan says.
has_fates() {
    local name fate
    while IFS='|' read -r name fate; do
        is "$name|$(fate_of "$name")" "$name|$fate"
    done
}

@test "matrices called weight are quantized, but not norms, embeddings, heads, routers, gates and convolutions" {
    model <<-END
	model.embed_tokens.weight BF16 64x512
	model.norm.weight BF16 512
	model.layers.0.input_layernorm.weight BF16 512
	model.layers.0.ln_1.weight BF16 512x512
	model.layers.0.self_attn.q_proj.weight BF16 512x512
	model.layers.0.self_attn.q_proj.bias BF16 512
	model.layers.0.self_attn.q_norm.weight BF16 512
	model.layers.0.self_attn.rotary_emb.inv_freq F32 64
	model.layers.0.mlp.gate.weight BF16 64x512
	model.layers.0.mlp.gate_proj.weight F16 512x512
	model.layers.0.mlp.shared_expert_gate.weight BF16 32x512
	model.layers.0.mlp.router.layer.weight BF16 64x512
	model.layers.0.mlp.experts.3.w1.weight F32 512x512
	model.layers.0.mlp.experts.down_proj BF16 4x512x512
	model.layers.0.mlp.experts.down_proj_bias BF16 4x512
	model.layers.0.block_sparse.weight BF16 4x512x512
	model.layers.0.conv1d.weight BF16 512x4x32
	model.layers.0.tail.weight BF16 512x31
	model.layers.0.empty.weight BF16 0x512
	model.layers.0.steps I64 512x512
	model.patch_embed.proj.weight BF16 64x64
	model.table.wte.weight BF16 64x64
	vision.patch.weight BF16 64x3x16x16
	lm_head.weight BF16 64x512
	output.weight BF16 64x512
	END
    plan
    has_fates <<-END
	model.embed_tokens.weight|copy: embedding
	model.norm.weight|copy: norm
	model.layers.*.input_layernorm.weight|copy: norm
	model.layers.*.ln_1.weight|copy: norm
	model.layers.*.self_attn.q_proj.weight|quantize
	model.layers.*.self_attn.q_proj.bias|copy: not a matrix
	model.layers.*.self_attn.q_norm.weight|copy: norm
	model.layers.*.self_attn.rotary_emb.inv_freq|copy: not a matrix
	model.layers.*.mlp.gate.weight|copy: gate
	model.layers.*.mlp.gate_proj.weight|quantize
	model.layers.*.mlp.shared_expert_gate.weight|copy: gate
	model.layers.*.mlp.router.layer.weight|copy: router
	model.layers.*.mlp.experts.*.w1.weight|quantize
	model.layers.*.mlp.experts.down_proj|quantize
	model.layers.*.mlp.experts.down_proj_bias|copy: not a weight
	model.layers.*.block_sparse.weight|quantize
	model.layers.*.conv1d.weight|copy: convolution
	model.layers.*.tail.weight|copy: rows of no whole blocks
	model.layers.*.empty.weight|copy: empty
	model.layers.*.steps|copy: not floating point
	model.patch_embed.proj.weight|copy: embedding
	model.table.wte.weight|copy: embedding
	vision.patch.weight|copy: not a matrix
	lm_head.weight|copy: output layer
	output.weight|copy: output layer
	END
    grep -qx '5 quantized, 20 copied, 0 widened, 0 dropped' plan
}

@test "patterns replace the default, add to it, and take away" {
    model <<-END
	a.q.weight BF16 256x256
	a.k.weight BF16 256x256
	b.q.weight BF16 256x256
	b.norm.weight BF16 256x256
	lm_head.weight BF16 256x256
	table BF16 256x256
	END
    quantized() {
        plan "$@"
        awk '$NF == "quantize" { printf "%s%s", separator, $2; separator = " " }' plan
    }
    is "$(quantized)" "a.k.weight a.q.weight b.q.weight"
    is "$(quantized --exclude 'a.*')" "b.q.weight"
    is "$(quantized --include '*.q.weight')" "a.q.weight b.q.weight"
    is "$(quantized --include lm_head --include table)" "lm_head.weight table"
    is "$(quantized --include default --include lm_head.weight --exclude b.q)" "a.k.weight a.q.weight lm_head.weight"
    is "$(quantized --include 're:^[ab]\.[qn]')" "a.q.weight b.norm.weight b.q.weight"
    is "$(quantized --include '*' --exclude 're:(q|k)$')" "b.norm.weight lm_head.weight table"
    is "$(quantized --exclude default)" ""
    run -0 --separate-stderr "$MXFP4Q" quantize m --dry-run --include 'a.*' --include 'c.*' --exclude 're:^d'
    is "$stderr" 'mxfp4q: warning: --include "c.*" matches no tensor
mxfp4q: warning: --exclude "re:^d" matches no tensor'
}

@test "a pattern that is none is refused" {
    model <<<"a.weight BF16 256x256"
    refuses '"re:(" is not an extended regular expression: Unmatched ( or \(' quantize m --dry-run --include 're:('
    refuses '"re:a\.\d": POSIX extended regular expressions have no such escape: write [0-9] for \d' \
        quantize m --dry-run --exclude 're:a\.\d'
    refuses 'an empty pattern matches no tensor' quantize m --dry-run --exclude ''
}

# The shapes that come out of the tensor in $1.
shapes_of() {
    "$MXFP4Q" quantize m --dry-run -q --json "${@:2}" | $PYTHON -c '
import json, sys
for t in json.load(sys.stdin)["tensors"]:
    if t["name"] == sys.argv[1]:
        print(*("%s:%s:%s" % (o["name"], o["dtype"], "x".join(map(str, o["shape"]))) for o in t["outputs"]))' "$1"
}

@test "the inputs of fused experts are where hidden_size says, else as in the model or the format" {
    fused() {
        model "$2" <<-END
	l.mlp.experts.gate_up_proj BF16 $1
	l.mlp.experts.down_proj BF16 4x384x512
	END
    }
    fused 4x512x768
    is "$(shapes_of l.mlp.experts.gate_up_proj)" \
        "l.mlp.experts.gate_up_proj:U8:4x768x256 l.mlp.experts.gate_up_proj_scale:U8:4x768x16"
    is "$(shapes_of l.mlp.experts.down_proj)" \
        "l.mlp.experts.down_proj:U8:4x512x192 l.mlp.experts.down_proj_scale:U8:4x512x12"
    is "$(shapes_of l.mlp.experts.gate_up_proj --format gpt-oss)" \
        "l.mlp.experts.gate_up_proj_blocks:U8:4x768x16x16 l.mlp.experts.gate_up_proj_scales:U8:4x768x16"
    fused 4x768x512
    is "$(shapes_of l.mlp.experts.gate_up_proj)" \
        "l.mlp.experts.gate_up_proj:U8:4x768x256 l.mlp.experts.gate_up_proj_scale:U8:4x768x16"
    is "$(shapes_of l.mlp.experts.gate_up_proj --format gpt-oss)" \
        "l.mlp.experts.gate_up_proj_blocks:U8:4x768x16x16 l.mlp.experts.gate_up_proj_scales:U8:4x768x16"
    # hidden_size does not tell.
    fused 4x96x64
    is "$(shapes_of l.mlp.experts.gate_up_proj)" \
        "l.mlp.experts.gate_up_proj:U8:4x96x32 l.mlp.experts.gate_up_proj_scale:U8:4x96x2"
    is "$(shapes_of l.mlp.experts.gate_up_proj --format gpt-oss)" \
        "l.mlp.experts.gate_up_proj_blocks:U8:4x64x3x16 l.mlp.experts.gate_up_proj_scales:U8:4x64x3"
    fused 4x96x64 ', "model_type": "gpt_oss"'
    is "$(shapes_of l.mlp.experts.gate_up_proj)" \
        "l.mlp.experts.gate_up_proj:U8:4x64x48 l.mlp.experts.gate_up_proj_scale:U8:4x64x3"
}

@test "each format has its names, types and shapes" {
    model <<<"a.weight BF16 96x512"
    is "$(shapes_of a.weight)" "a.weight:U8:96x256 a.weight_scale:U8:96x16"
    is "$(shapes_of a.weight --format compressed-tensors)" "a.weight_packed:U8:96x256 a.weight_scale:U8:96x16"
    is "$(shapes_of a.weight --format native)" "a.weight:F4:96x512 a.weight_scale:F8_E8M0:96x16"
    is "$(shapes_of a.weight --format gpt-oss)" "a.weight:BF16:96x512"
    is "$(shapes_of a.weight --format buffers)" "a.weight.rowwise_data:U8:96x256 a.weight.rowwise_scale:U8:256x16 \
a.weight.columnwise_data:U8:512x48 a.weight.columnwise_scale:U8:512x8"
    model <<<"a.weight BF16 96x31"
    is "$(shapes_of a.weight)" "a.weight:BF16:96x31"
    [[ $(shapes_of a.weight --format buffers) == a.weight.rowwise_data:* ]]
}

@test "there are warnings of shapes that kernels do not take, in each tensor-parallel part" {
    model <<-END
	a.q_proj.weight BF16 96x512
	a.odd.weight BF16 80x256
	a.flat.weight BF16 64x320
	a.down_proj.weight BF16 64x512
	END
    run -0 --separate-stderr "$MXFP4Q" quantize m --dry-run
    is "$stderr" "mxfp4q: warning: \"a.odd.weight\": N is no multiple of 32, as AITER's layouts need it
mxfp4q: warning: \"a.flat.weight\": K is no multiple of 256, as AITER's layouts need it"
    run -0 --separate-stderr "$MXFP4Q" quantize m --dry-run --tp 4
    is "$stderr" "mxfp4q: warning: 3 tensors, \"a.q_proj.weight\" the first: N is no multiple of 32 in each of the --tp parts, as AITER's layouts need it
mxfp4q: warning: 2 tensors, \"a.flat.weight\" the first: K is no multiple of 256 in each of the --tp parts, as AITER's layouts need it"
    run -0 --separate-stderr "$MXFP4Q" quantize m --dry-run --format buffers
    is "$stderr" ""
}

@test "there are warnings of tails, ties between tensors, rules without a name, and nothing to do" {
    model ', "tie_word_embeddings": true' <<-END
	a.q_proj.weight BF16 256x100
	lm_head.weight BF16 256x256
	END
    run -0 --separate-stderr "$MXFP4Q" quantize m --dry-run --include '*' --profile aiter --ties away
    is "$stderr" 'mxfp4q: warning: Quark has no name for scale rule rceil: scale_calculation_mode is null, quantization_config.mxfp4q says it
mxfp4q: warning: Quark has no name for ties going to away: round_method is null, quantization_config.mxfp4q says it
mxfp4q: warning: "a.q_proj.weight": copied, because its rows do not end with a block of 32 values
mxfp4q: warning: "lm_head.weight": quantized, and config.json ties it to another: loaders may want both as they were'
    run -0 --separate-stderr "$MXFP4Q" quantize m --dry-run
    is "$stderr" 'mxfp4q: warning: no tensor is quantized
mxfp4q: warning: "a.q_proj.weight": copied, because its rows do not end with a block of 32 values'
    rm m/config.json
    run -0 --separate-stderr "$MXFP4Q" quantize m --dry-run --include lm_head
    is "$stderr" 'mxfp4q: warning: no config.json: nothing will tell loaders that the checkpoint is quantized'
}

@test "there is a warning when loaders could not join matrices" {
    model <<-END
	a.q_proj.weight BF16 256x256
	a.k_proj.weight BF16 256x256
	a.v_proj.weight BF16 256x256
	a.gate_proj.weight BF16 256x256
	a.up_proj.weight BF16 256x256
	b.q_proj.weight BF16 256x256
	END
    run -0 --separate-stderr "$MXFP4Q" quantize m --dry-run
    is "$stderr" ""
    run -0 --separate-stderr "$MXFP4Q" quantize m --dry-run --exclude '*.k_proj'
    is "$stderr" 'mxfp4q: warning: 2 tensors, "a.q_proj.weight" the first: quantized, and not all that loaders join with it: q, k and v, or gate and up'
    run -0 --separate-stderr "$MXFP4Q" quantize m --dry-run --exclude '*gate_proj' --format compressed-tensors
    is "$stderr" 'mxfp4q: warning: "a.up_proj.weight": quantized, and not all that loaders join with it: q, k and v, or gate and up'
    run -0 --separate-stderr "$MXFP4Q" quantize m --dry-run --exclude '*gate_proj' --format native
    is "$stderr" ""
}

@test "FP8 needs scales of its blocks, which need not be 128 x 128" {
    model ', "quantization_config": {"quant_method": "fp8", "weight_block_size": [64, 32]}' <<-END
	a.weight F8_E4M3 100x64
	a.weight_scale_inv F32 2x2
	b.weight F8_E4M3 64x64
	b.weight_scale_inv BF16 1x2
	END
    plan --exclude b
    has_fates <<-END
	a.weight|quantize
	a.weight_scale_inv|drop: scales of FP8 blocks
	b.weight|widen: excluded
	b.weight_scale_inv|drop: scales of FP8 blocks
	END
    is "$(shapes_of b.weight --exclude b)" "b.weight:BF16:64x64"
    model <<<"a.weight F8_E4M3 256x256
a.weight_scale_inv F32 2x3"
    refuses '"model.safetensors": tensor "a.weight_scale_inv" is not F32 or BF16 scales of blocks of 128 x 128 of "a.weight"' \
        quantize m --dry-run
    model ', "quantization_config": {"quant_method": "fp8"}' <<<"a.weight F8_E4M3 256x256
a.weight_scale F32 1
b.weight BF16 256x256"
    refuses '"model.safetensors": tensor "a.weight" is FP8 without "_scale_inv", the scales of its blocks, so it cannot be read' \
        quantize m --dry-run
}

@test "what is MXFP4 already passes through, and its config.json is not touched where nothing else is done" {
    model ', "quantization_config": {"quant_method": "mxfp4"}' <<-END
	e.experts.gate_up_proj_blocks U8 4x64x8x16
	e.experts.gate_up_proj_scales U8 4x64x8
	a.weight U8 64x128
	a.weight_scale U8 64x8
	b.weight_packed U8 64x128
	b.weight_scale F8_E8M0 64x8
	c.weight U8 64x128
	END
    plan
    has_fates <<-END
	e.experts.gate_up_proj_blocks|copy: already MXFP4
	e.experts.gate_up_proj_scales|copy: already MXFP4
	a.weight|copy: already MXFP4
	a.weight_scale|copy: already MXFP4
	b.weight_packed|copy: already MXFP4
	b.weight_scale|copy: already MXFP4
	c.weight|copy: not floating point
	END
    run -0 "$MXFP4Q" quantize -q m -o out --no-fsync
    cmp m/config.json out/config.json
    diff <("$MXFP4Q" info m | sed -n 's/ at .*//p' | sort) <("$MXFP4Q" info out | sed -n 's/ at .*//p' | sort)
    model ', "quantization_config": {"quant_method": "mxfp4"}' <<<"a.weight BF16 256x256"
    refuses '"config.json": the checkpoint is quantized already, by "mxfp4": only FP8 with block scales can be quantized again' \
        quantize m --dry-run
}

@test "config.json is changed in one key, and says the rule that was used" {
    model ',
  "time_step_limit": [0.0, Infinity],
  "quantization_config": {"quant_method": "fp8"},
  "text_config": {"a": 1, "quantization_config": {"quant_method": "fp8"}}' <<<"a.weight F8_E4M3 256x256
a.weight_scale_inv F32 2x2"
    run -0 "$MXFP4Q" quantize -q m -o out --no-fsync --scale floor
    sed -n '/quantization_config/,/^  },$/d; p' out/config.json >rest
    printf '{\n  "hidden_size": 512,\n  "rms_norm_eps": 1e-05,\n  "time_step_limit": [0.0, Infinity],\n  "text_config": {"a": 1}\n}\n' |
        diff - rest
    grep -A 20 '"weight": {' out/config.json | grep -q '"scale_calculation_mode": "floor"'
    run -0 "$MXFP4Q" quantize -q m -o native --no-fsync --format native
    printf '{\n  "hidden_size": 512,\n  "rms_norm_eps": 1e-05,\n  "time_step_limit": [0.0, Infinity],\n  "text_config": {"a": 1}\n}\n' |
        diff - native/config.json
}

@test "a shard says how its tensors were made, and keeps its metadata" {
    model <<<"a.weight BF16 256x256"
    run -0 "$MXFP4Q" quantize -q m -o out --no-fsync --format buffers --hadamard-signs f0 --pad-fill 7
    run -0 "$MXFP4Q" info out/model.safetensors
    is "${lines[1]}" '  format = pt'
    is "${lines[2]}" '  mxfp4q = {"version":"0.1.0","format":"buffers","profile":"te-hip","scale":"even","ties":"even","sign":"keep","block":"1x32","zero_byte":127,"hadamard":16,"layout":"aiter","hadamard_signs":"000000f0","pad_fill":7}'
}

@test "a transform that reaches over blocks leaves out the rows that it does not fit" {
    model <<-END
	a.weight BF16 256x256
	b.weight BF16 256x160
	END
    run -0 --separate-stderr "$MXFP4Q" quantize m --dry-run --format native --hadamard=64
    is "$stderr" 'mxfp4q: warning: "b.weight": copied, because its rows are no multiple of the Hadamard transform'
    grep -q ', Hadamard 64 with signs 00000000$' <<<"$output"
}

@test "the same headers and options make the same plan, and others another" {
    local first
    identity() {
        "$MXFP4Q" quantize "$1" --dry-run -q --json "${@:2}" | sed -n 's/.*"identity": "\(.*\)".*/\1/p'
    }
    model <<<"a.weight BF16 256x256"
    first=$(identity m)
    [ "${#first}" -eq 8 ]
    cp -r m n
    printf x | dd of=n/model.safetensors bs=1 seek=1000 conv=notrunc status=none
    is "$(identity n)" "$first"
    is "$(identity m --tp 8)" "$first"
    is "$(identity m -j 1 --memory 64M)" "$first"
    [ "$(identity m --ties away)" != "$first" ]
    [ "$(identity m --ties stochastic)" != "$(identity m --ties stochastic --seed 1)" ]
    [ "$(identity m --block 32x32)" != "$first" ]
    [ "$(identity m --format native)" != "$first" ]
    [ "$(identity m --exclude x)" != "$first" ]
    [ "$(identity m --nonfinite profile)" != "$first" ]
    echo >>n/config.json
    [ "$(identity n)" != "$first" ]
    shard m/model.safetensors <<<"a.weight BF16 256x256"
    [ "$(identity m)" != "$first" ]
}

@test "options of matrices and of checkpoints do not mix" {
    model <<<"a.weight BF16 256x256"
    some_bytes 64 >w.raw
    refuses 'quantize: --layout is for matrices, not for checkpoints' quantize m -o out --layout linear
    refuses 'quantize: --flatten is for matrices, not for checkpoints' quantize m -o out --flatten 1
    refuses 'quantize: --only is for matrices, not for checkpoints' quantize m -o out --only rowwise_data
    refuses 'quantize: --tp is for checkpoints: folders, .safetensors files and their index, and GGUF files' quantize w.raw -o out --tp 2
    refuses 'quantize: a checkpoint must be the only input' quantize m w.raw -o out
    refuses 'quantize: no output: give a folder with -o' quantize m
    refuses 'quantize: a checkpoint goes to a folder, not to standard output' quantize m -o -
    refuses 'quantize: "m" is in the checkpoint'"'"'s own folder; give another with -o' quantize m -o m
    refuses 'quantize: "m/new/out" is in the checkpoint'"'"'s own folder; give another with -o' quantize m -o m/new/out
    refuses 'quantize: --pad-fill: format quark has no padding' quantize m -o out --pad-fill 1
    refuses 'quantize: --hadamard: what loads format gpt-oss could not undo it; native and buffers take it' \
        quantize m -o out --format gpt-oss --hadamard
    refuses 'quantize: checkpoints are quantized on CPUs, not on GPUs' quantize m -o out --device gpu
    refuses '--format: "npy" is not one of: quark, compressed-tensors, gpt-oss, native, buffers' quantize m -o out --format npy
    refuses '--format: "native" is not one of: npy, raw, npz' quantize w.raw -o out --format native
    refuses '--memory: "1.5G" is not a number of bytes like 1000, 64M or 1GiB, of at most 1125899906842624' \
        quantize m -o out --memory 1.5G
    refuses '"none.safetensors": cannot open: No such file or directory' quantize none.safetensors -o out
    mkdir empty
    refuses '"empty": no .safetensors file in this folder' quantize empty -o out
    is "$(names_in .)" "empty m w.raw"
    [ ! -e m/new ]
}

@test "one file may be quantized into a folder beside it, but not into its own" {
    shard one.safetensors <<<"a.weight BF16 32x64"
    cp one.safetensors kept
    refuses 'quantize: "." is in the checkpoint'"'"'s own folder; give another with -o' quantize one.safetensors -o . -f
    cmp one.safetensors kept
    run -0 "$MXFP4Q" quantize -q --no-fsync one.safetensors -o out
    is "$(names_in out)" "mxfp4q-report.json one.safetensors"
}

@test "with a shape, a file is raw, whatever it is called" {
    some_bytes 64 >w.safetensors
    works quantize -q w.safetensors --shape 1x32 --dtype bf16 -o out --no-fsync
    [ -e out.json ]
}

@test "a download cache of symbolic links is a checkpoint; links to folders and hidden files are left out" {
    model <<<"a.weight BF16 256x256"
    mkdir blobs snapshot other
    mv m/config.json blobs/1
    mv m/model.safetensors blobs/2
    ln -s ../blobs/1 snapshot/config.json
    ln -s ../blobs/2 snapshot/model.safetensors
    ln -s ../other snapshot/folder
    echo >snapshot/.hidden
    run -0 --separate-stderr "$MXFP4Q" quantize snapshot -o out --no-fsync
    is "$stderr" 'mxfp4q: warning: "folder": left out: neither a file nor a folder of this checkpoint'
    is "$(find out -mindepth 1 -printf '%f\n' | sort | tr '\n' ' ')" "config.json model.safetensors mxfp4q-report.json "
    [ ! -L out/config.json ]
}

@test "a shard that the index does not name is left out" {
    mkdir m
    shard m/a.safetensors <<<"a.weight BF16 256x256"
    shard m/b.safetensors <<<"a.weight BF16 256x256"
    echo '{"metadata": {"total_size": 1, "more": "x"}, "weight_map": {"a.weight": "a.safetensors"}}' >m/model.safetensors.index.json
    run -0 --separate-stderr "$MXFP4Q" quantize m -o out --no-fsync
    is "$stderr" 'mxfp4q: warning: "b.safetensors" is left out: model.safetensors.index.json does not name it
mxfp4q: warning: no config.json: nothing will tell loaders that the checkpoint is quantized'
    is "$(tr -d ' \n' <out/model.safetensors.index.json)" \
        '{"metadata":{"total_size":34816,"more":"x"},"weight_map":{"a.weight":"a.safetensors","a.weight_scale":"a.safetensors"}}'
    [ ! -e out/b.safetensors ]
}

@test "an output that would be called like another tensor is refused" {
    model <<<"a.weight BF16 256x256
a.weight_scale F32 1"
    refuses '"model.safetensors": two tensors would be called "a.weight_scale"' quantize m --dry-run
    mkdir n
    shard n/a.safetensors <<<"a.weight BF16 256x256"
    shard n/b.safetensors <<<"a.weight_scale F32 1"
    refuses '"n": two tensors of the result would have one name: a source tensor is called like an output' quantize n --dry-run
}

@test "info lists the tensors of a checkpoint" {
    model <<<"b.weight BF16 2x3
a F4 4"
    shard m/scalar.safetensors <<<"s F32 1"
    run -0 "$MXFP4Q" info m
    is "$output" "m/model.safetensors: safetensors, 2 tensors, $(stat -c %s m/model.safetensors) bytes
  format = pt
  b.weight: BF16 2x3, 12 bytes at $(($(stat -c %s m/model.safetensors) - 14))
  a: F4 4, 2 bytes at $(($(stat -c %s m/model.safetensors) - 2))
m/scalar.safetensors: safetensors, 1 tensors, $(stat -c %s m/scalar.safetensors) bytes
  s: F32 1, 4 bytes at $(($(stat -c %s m/scalar.safetensors) - 4))"
    run -0 "$MXFP4Q" info --json m/model.safetensors
    $PYTHON -c '
import json, sys
t = json.load(sys.stdin)[0]["tensors"]
assert [(x["name"], x["dtype"], x["shape"], x["nbytes"]) for x in t] == [("b.weight", "BF16", [2, 3], 12), ("a", "F4", [4], 2)]' <<<"$output"
}
