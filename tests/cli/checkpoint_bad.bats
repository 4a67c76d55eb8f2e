#!/usr/bin/env bats
# shellcheck disable=SC2154 # run sets output, stderr and their lines
# Checkpoints that are wrong in one way each must be refused in one line, and nothing may be left.

load helper
load checkpoint

setup_file() {
    export MODELS=$BATS_FILE_TMPDIR
    python -c 'import numpy' 2>/dev/null || return 0
    make_model bad "$MODELS" --kind all --hidden 64 --inter 64 --vocab 64
}

setup() {
    need_numpy
    enter_empty_folder
}

# refused KIND FILE MESSAGE: by quantize and by its --dry-run, as they open it.
refused() {
    local model=$MODELS/$1/model action
    for action in --no-fsync --dry-run; do
        run -2 --separate-stderr "$MXFP4Q" quantize -q "$action" "$model" -o out
        is "$stderr" "mxfp4q: \"$model${2:+/$2}\": $3"
        is "$output" ""
        is "$(names_in .)" ""
    done
}

INDEX=model.safetensors.index.json
LAST="model-00003-of-00003.safetensors"

@test "an index that leads out of the folder is refused, though the file is there" {
    local text='its shard "%s" is not the plain name of a .safetensors file' kind
    for kind in 'path-up ../outside.safetensors' 'path-absolute /etc/passwd' 'path-slash sub/inside.safetensors' 'path-dots ..' 'path-empty '; do
        # shellcheck disable=SC2059 # the text is a format
        refused "${kind%% *}" $INDEX "tensor \"model.embed_tokens.weight\": $(printf "$text" "${kind#* }")"
    done
}

@test "an index that does not agree with the shards is refused" {
    refused shard-missing model-00001-of-00003.safetensors 'cannot open a shard that the index names: No such file or directory'
    refused tensor-moved $INDEX "it says that tensor \"model.embed_tokens.weight\" is in \"$LAST\", and it is not"
    refused tensor-unindexed $INDEX "it does not name tensor \"lm_head.weight\", which is in \"$LAST\""
    refused tensor-in-two '' "tensor \"model.embed_tokens.weight\" is in \"model-00001-of-00003.safetensors\" and in \"$LAST\""
}

@test "JSON that is none, or not what it must be, is refused" {
    refused index-text $INDEX "not a JSON object: string or '}' expected near end of file"
    refused index-array $INDEX 'not a JSON object'
    refused index-empty $INDEX 'an index without a weight_map'
    refused config-array config.json 'not a JSON object'
}

@test "a shard that is cut short or too long is refused" {
    refused shard-truncated $LAST 'tensor "model.norm.weight": it ends after the file: the file has been cut short'
    refused shard-long $LAST '3 bytes after the last tensor belong to none'
    refused shard-empty $LAST 'not a .safetensors file: too short'
    refused header-cut $LAST 'not a .safetensors file, or cut short: its header is longer than the file'
    refused header-huge $LAST 'not a .safetensors file: its header would be longer than 100000000 bytes'
    refused header-text $LAST 'not a .safetensors file: its header does not begin with {'
    refused header-array $LAST 'not a .safetensors file: its header does not begin with {'
}

@test "tensors that overlap, leave holes or have one name are refused" {
    refused overlap $LAST 'tensor "model.layers.1.mlp.down_proj.weight": it overlaps another tensor'
    refused hole $LAST 'tensor "lm_head.weight": bytes before it belong to no tensor'
    refused offsets-reversed $LAST 'tensor "lm_head.weight": its data_offsets are not in order'
    refused name-twice $LAST 'tensor "lm_head.weight": its header has this name twice'
}

@test "dtypes, shapes and metadata that cannot be are refused" {
    refused dtype-unknown $LAST 'tensor "lm_head.weight": no dtype that is known'
    refused dtype-size $LAST 'tensor "lm_head.weight": its shape and dtype do not give the bytes that its data_offsets do'
    refused shape-huge $LAST 'tensor "lm_head.weight": its shape is too large, or its elements do not fill whole bytes'
    refused shape-negative $LAST 'tensor "lm_head.weight": a size in its shape is not a whole number from 0 on'
    refused shape-fraction $LAST 'tensor "lm_head.weight": a size in its shape is not a whole number from 0 on'
    refused metadata-number $LAST 'its __metadata__ is not a JSON object of strings'
}

@test "a NaN is named with its place, and quantized when asked for" {
    run -2 --separate-stderr "$MXFP4Q" quantize -q --no-fsync "$MODELS/nan/model" -o out
    [[ $stderr == "mxfp4q: \"$LAST\": tensor \"model.layers.1.mlp.up_proj.weight\": 1 value is infinite or NaN, the first at [1, 5] (--nonfinite profile quantizes them)"* ]]
    [ ! -e "out/$LAST" ]
    rm -r out # what is complete stays there for --resume
    makes "$MODELS/nan/model" -o out2 --nonfinite profile
    as_expected "$MODELS/nan/model" out2
}

@test "every kind of bad model has its test" {
    local kind
    for kind in $(make_model bad x --kind list); do
        echo "$kind"
        grep -qE "refused $kind |'$kind |MODELS/$kind/model" "$BATS_TEST_FILENAME"
    done
}
