#!/usr/bin/env bats
# shellcheck disable=SC2154 # run sets output, stderr and their lines
# mxfp4q verify: good checkpoints, and ones that are damaged in one way each.

load helper
load checkpoint

setup_file() {
    export MODELS=$BATS_FILE_TMPDIR
    python -c 'import numpy' 2>/dev/null || return 0
    cd "$MODELS" || return
    make_model dense dense --layers 1
    make_model fp8 fp8 --layers 1 --experts 2
    make_model moe moe --layers 1
    "$MXFP4Q" quantize -q --no-fsync dense -o out
    "$MXFP4Q" quantize -q --no-fsync fp8 -o out-fp8 --format compressed-tensors --exclude '*self_attn*'
    "$MXFP4Q" quantize -q --no-fsync moe -o out-moe --format gpt-oss
    "$MXFP4Q" quantize -q --no-fsync dense -o out-buffers --format buffers --profile aiter
}

setup() {
    need_numpy
    enter_empty_folder
    cp -r "$MODELS/out" out
}

Q=model.layers.0.self_attn.q_proj.weight
Q_SHARD=model-00001-of-00003.safetensors

# Verifies, and must find just this: finds PROBLEM [ARGUMENT]...
finds() {
    run -1 --separate-stderr "$MXFP4Q" verify out "${@:2}"
    is "$stderr" ""
    is "${lines[0]}" "out: bad"
    is "$(grep '^  ' <<<"$output")" "  $1"
}

@test "a checkpoint as it was made is good, with and without its source" {
    works verify out
    [ "${lines[0]}" = "out: good" ]
    [ "${lines[1]}" = "3 shards, 7 tensors of MXFP4 with 12800 scales, 5 others; 3 checksums" ]
    [ "${#lines[@]}" -eq 2 ]
    works verify out --source "$MODELS/dense" --full -j 3
    [ "${lines[2]}" = "made again: 100 % of 409600 values; compared: 100 % of 329216 other bytes" ]
    works verify out/model.safetensors.index.json --source "$MODELS/dense/model.safetensors.index.json"
}

@test "every format is good, of FP8 and widened tensors too" {
    works verify "$MODELS/out-fp8" --source "$MODELS/fp8" --full
    works verify "$MODELS/out-moe" --source "$MODELS/moe" --full
    works verify "$MODELS/out-buffers" --source "$MODELS/dense" --full
}

@test "recipes with random bits, transforms and tiles are made again" {
    local options
    for options in '--ties stochastic --seed 7' '--hadamard --hadamard-signs 0000beef' '--block 32x32 --scale rceil'; do
        rm -rf made
        # shellcheck disable=SC2086 # a list of options
        run -0 "$MXFP4Q" quantize -q --no-fsync "$MODELS/dense" -o made --format native $options
        works verify made --source "$MODELS/dense" --full
    done
}

@test "checkpoints that others made are made again, too" {
    expect "$MODELS/dense" other
    works verify other --source "$MODELS/dense" --full
    [[ $output == *"not checked: no mxfp4q-report.json: checksums are not known"* ]]
    [[ $output == *"not checked: the shards do not tell how they were made: compared with profile quark"* ]]
    expect "$MODELS/dense" other-rule --profile aiter
    run -1 "$MXFP4Q" verify other-rule --source "$MODELS/dense"
    works verify other-rule --source "$MODELS/dense" --profile aiter
}

@test "--json tells the same" {
    works verify out --source "$MODELS/dense" --json
    echo "$output" >report.json
    [ "$(json_value report.json "['verdict']") $(json_value report.json "['values_made_again']")" = "good 409600" ]
    [ "$(json_value report.json "['checksums']") $(json_value report.json "['problems']")" = "3 []" ]
    poke out $Q 100 ff
    run -1 --separate-stderr "$MXFP4Q" verify out --json
    echo "$output" >report.json
    [ "$(json_value report.json "['problems_found']")" = 1 ]
}

@test "-q prints nothing" {
    works verify -q out
    [ -z "$output" ]
    poke out $Q 100 ff
    run -1 "$MXFP4Q" verify -q out
    [ -z "$output" ]
}

@test "a byte that changed is found by its shard's checksum" {
    poke out $Q 100 ff
    run -1 --separate-stderr "$MXFP4Q" verify out
    [[ ${lines[2]} == "  \"$Q_SHARD\": its bytes have CRC-32 "*"; mxfp4q-report.json says "* ]]
}

@test "a byte that changed is found by its source, without a report" {
    rm out/mxfp4q-report.json
    poke out $Q 640 ff
    works verify out
    finds "\"$Q_SHARD\": tensor \"$Q\": of 32768 bytes that were made again, 1 differ; the first (slice 0, row 5, byte 0) is ff, and must be $(python -c '
import sys
sys.path.insert(0, sys.argv[1])
import st
print("%02x" % st.read_checkpoint(sys.argv[2])[sys.argv[3]][2][640])' "$ROOT/scripts/checkpoints" "$MODELS/out" $Q)" --source "$MODELS/dense"
}

@test "a copied byte that changed is found by its source" {
    rm out/mxfp4q-report.json
    poke out model.norm.weight 7 aa
    run -1 "$MXFP4Q" verify out --source "$MODELS/dense"
    [[ $output == *'tensor "model.norm.weight": of 512 bytes that were compared with the source, 1 differ; the first (byte 7) is aa'* ]]
}

@test "widened FP8 that changed is found by its source" {
    cp -r "$MODELS/out-fp8" fp8
    rm fp8/mxfp4q-report.json
    poke fp8 model.layers.0.self_attn.o_proj.weight 1001 55
    run -1 "$MXFP4Q" verify fp8 --source "$MODELS/fp8"
    [[ $output == *'tensor "model.layers.0.self_attn.o_proj.weight": of 131072 bytes that were made again, 1 differ; the first (byte 1001) is 55'* ]]
}

@test "buffers that changed are found, padding too" {
    cp -r "$MODELS/out-buffers" buffers
    rm buffers/mxfp4q-report.json
    poke buffers model.layers.0.mlp.gate_proj.weight.columnwise_scale 4000 7b
    run -1 "$MXFP4Q" verify buffers --source "$MODELS/dense"
    [[ $output == *'gate_proj.weight.columnwise_scale": of '*' bytes that were made again, 1 differ; '* ]]
}

@test "another source is not the one that it was made of" {
    make_model dense other --layers 1 --seed 2
    run -1 "$MXFP4Q" verify out --source other
    [[ $output == *"made again"* ]]
    make_model dense shorter --layers 1 --tied
    run -1 "$MXFP4Q" verify out --source shorter
    [[ $output == *'tensor "lm_head.weight" does not come from the source'* ]]
    make_model dense longer --layers 2
    run -1 "$MXFP4Q" verify out --source longer
    [[ $output == *'tensor "model.layers.1.mlp.up_proj.weight" is missing in what was made of it'* ]]
}

@test "scales of 255 are not sane, unless NaNs were allowed" {
    rm out/mxfp4q-report.json
    poke out ${Q}_scale 9 ff
    finds "\"$Q_SHARD\": tensor \"${Q}_scale\" has 1 of 2048 scales that are NaN (255)"
    make_model bad nan --kind nan
    run -0 "$MXFP4Q" quantize -q --no-fsync nan -o poisoned --nonfinite profile
    works verify poisoned --source nan --full
}

@test "scales that are all 0 are not sane where the codes are not, or the source was not" {
    python - "$ROOT/scripts/checkpoints" <<'END'
import sys
sys.path.insert(0, sys.argv[1])
import st
path = "out/model-00001-of-00003.safetensors"
tensors, metadata = st.read(path)
name = "model.layers.0.self_attn.q_proj.weight_scale"
tensors[name] = tensors[name][:2] + (bytes(len(tensors[name][2])),)
st.write(path, tensors, metadata)
END
    run -1 "$MXFP4Q" verify out
    [[ $output == *"\"$Q_SHARD\": tensor \"${Q}_scale\": all scales are 0, though its codes are not"* ]]
    python - "$ROOT/scripts/checkpoints" <<'END'
import sys
sys.path.insert(0, sys.argv[1])
import st
path = "out/model-00001-of-00003.safetensors"
tensors, metadata = st.read(path)
name = "model.layers.0.self_attn.q_proj.weight"
tensors[name] = tensors[name][:2] + (bytes(len(tensors[name][2])),)
st.write(path, tensors, metadata)
END
    run -1 "$MXFP4Q" verify out
    [[ $output == *"\"$Q_SHARD\": tensor \"${Q}_scale\": all scales are 0, though its source was not"* ]]
}

@test "a shard that is missing, cut short, or of another run is a problem" {
    mv out/$Q_SHARD kept
    finds "\"out/$Q_SHARD\": cannot open a shard that the index names: No such file or directory"
    head -c -1 kept >out/$Q_SHARD
    run -1 "$MXFP4Q" verify out
    [[ ${lines[1]} == "  \"out/$Q_SHARD\": "*"the file has been cut short" ]]
    run -0 "$MXFP4Q" quantize -q --no-fsync "$MODELS/dense" -o other --scale floor
    cp other/$Q_SHARD out/$Q_SHARD
    run -1 "$MXFP4Q" verify out
    [[ $output == *"made otherwise than the shards before it"* ]]
}

@test "a stray shard, a journal and a wrong total_size are problems" {
    cp out/$Q_SHARD out/more.safetensors
    run -1 "$MXFP4Q" verify out
    [[ ${lines[2]} == '  "'*'more.safetensors"'* ]]
    rm out/more.safetensors
    : >out/.mxfp4q-journal
    finds '"out": not complete: quantize --resume goes on with it'
    rm out/.mxfp4q-journal
    edit_json out/model.safetensors.index.json "j['metadata']['total_size'] -= 1"
    run -1 "$MXFP4Q" verify out
    [[ ${lines[2]} == '  "model.safetensors.index.json": total_size is '*'; the tensors have '*' bytes' ]]
}

@test "codes without scales, and scales of another shape, are problems" {
    python - "$ROOT/scripts/checkpoints" <<'END'
import json, sys
sys.path.insert(0, sys.argv[1])
import st
path = "out/model-00001-of-00003.safetensors"
tensors, metadata = st.read(path)
name = "model.layers.0.self_attn.q_proj.weight_scale"
dtype, shape, data = tensors[name]
tensors[name] = (dtype, (shape[1], shape[0]), data)
st.write(path, tensors, metadata)
END
    rm out/mxfp4q-report.json
    run -1 "$MXFP4Q" verify out
    [[ $output == *"\"$Q_SHARD\": tensor \"${Q}_scale\" does not have the shape of scales for the codes beside it"* ]]
}

@test "config.json must say of the tensors what they are" {
    edit_json out/config.json "j['quantization_config']['exclude'] = []"
    finds '"config.json": does not leave out "lm_head", which is not MXFP4'
    edit_json out/config.json "j['quantization_config']['exclude'] = ['lm_head', '*.mlp.up_proj', 're:.*k_proj']"
    run -1 "$MXFP4Q" verify out
    [[ $output == *'"config.json": leaves out "model.layers.0.mlp.up_proj", which is MXFP4'* ]]
    [[ $output == *'"config.json": leaves out "model.layers.0.self_attn.k_proj", which is MXFP4'* ]]
    edit_json out/config.json "j['quantization_config']['exclude'] = ['lm_head']; del j['quantization_config']['export']"
    run -1 "$MXFP4Q" verify out
    [[ $output == *'quantization_config.export.pack_method is missing, and must be "reorder" for what the shards hold'* ]]
    edit_json out/config.json "j['quantization_config']['quant_method'] = 'fp8'"
    run -1 "$MXFP4Q" verify out
    [[ $output == *'quantization_config.quant_method is "fp8", and must be "quark" for what the shards hold'* ]]
}

@test "config.json must tell the rule that was used" {
    edit_json out/config.json "j['quantization_config']['global_quant_config']['weight']['scale_calculation_mode'] = 'floor'"
    finds '"config.json": quantization_config.global_quant_config.weight.scale_calculation_mode is "floor", and must be "even" for what the shards hold'
}

@test "--limit shows fewer problems" {
    edit_json out/config.json "j['quantization_config']['exclude'] = ['model']"
    run -1 "$MXFP4Q" verify out --limit 2
    [ "$(grep -c '^  "' <<<"$output")" -eq 2 ]
    [ "${lines[-1]}" = "  and 6 more (see --limit)" ]
}

@test "what cannot be verified is trouble" {
    mkdir empty
    refuses '"empty": no checkpoint: it has neither safetensors files nor an index' verify empty
    refuses '"none": cannot open: No such file or directory' verify none
    refuses 'verify: one checkpoint is verified (see mxfp4q verify --help)' verify
    refuses 'verify: --full makes the tensors again, and needs --source' verify out --full
    run -2 --separate-stderr "$MXFP4Q" verify out --source none
    [ "${#stderr_lines[@]}" -eq 1 ]
}

@test "a file that may not be read is trouble, not a problem" {
    no_root
    chmod 0 out/$Q_SHARD
    refuses "\"out/$Q_SHARD\": cannot open: Permission denied" verify out
}

@test "scales that two tensors of codes could have belong to one of them" {
    mkdir shared
    python -c '
import json, struct
header, at = {}, 0
for i in range(4000):
    for name, width in (("a%d", 16), ("a%d_packed", 16), ("a%d_scale", 1)):
        header[name % i] = {"dtype": "U8", "shape": [1, width], "data_offsets": [at, at + width]}
        at += width
text = json.dumps(header).encode()
open("shared/model.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + bytes(at))'
    run -1 --separate-stderr "$MXFP4Q" verify shared
    is "${lines[1]}" "1 shards, 4000 tensors of MXFP4 with 4000 scales, 4000 others; 0 checksums"
    [[ $output == *'tensor "a0_packed" looks like codes, and has no MXFP4 scales'* ]]
}
