#!/usr/bin/env bats
# shellcheck disable=SC2154 # run sets output, stderr and their lines
# mxfp4q diff of checkpoints: across formats, and every kind of difference between two of them.

load helper
load checkpoint

setup_file() {
    export MODELS=$BATS_FILE_TMPDIR
    python -c 'import numpy' 2>/dev/null || return 0
    cd "$MODELS" || return
    make_model dense dense --layers 1
    make_model moe moe --layers 1
    expect dense quark --profile aiter-even
    expect dense compressed-tensors --format compressed-tensors --profile aiter-even
    expect dense native --format native --profile aiter-even
    expect dense buffers --format buffers --profile aiter-even
    expect dense aiter --profile aiter
    expect moe gpt-oss --format gpt-oss
    expect moe moe-native --format native --profile triton-kernels --include '*_proj'
}

setup() {
    need_numpy
    enter_empty_folder
    cp -r "$MODELS/quark" out
}

Q=model.layers.0.self_attn.q_proj.weight

# Compares out with quark, which must differ: lines follow.
differ() {
    run -1 --separate-stderr "$MXFP4Q" diff out "$MODELS/quark" "$@"
    is "$stderr" ""
    is "${lines[0]}" "out, golden $MODELS/quark: different"
}

@test "formats do not matter: what has the same codes and scales is identical" {
    local format
    cd "$MODELS"
    for format in compressed-tensors native buffers; do
        works diff quark $format
        is "${lines[0]}" "quark, golden $format: identical"
        is "${lines[1]}" "7 tensors of MXFP4 and 5 others compared: 12 identical, 0 different; 0 missing, 0 extra"
        works diff $format quark
        [ "${#lines[@]}" -eq 2 ]
    done
    works diff gpt-oss moe-native
    is "${lines[0]}" "gpt-oss, golden moe-native: identical"
    is "${lines[1]}" "2 tensors of MXFP4 and 18 others compared: 20 identical, 0 different; 0 missing, 0 extra"
}

@test "what the program makes is identical to what the independent model makes" {
    makes "$MODELS/dense" -o made --profile aiter-even
    works diff made "$MODELS/native"
    is "${lines[0]}" "made, golden $MODELS/native: identical"
}

@test "rules of scales and codes are told apart" {
    run -1 --separate-stderr "$MXFP4Q" diff "$MODELS/aiter" "$MODELS/quark"
    [[ $output == *$'\n  model.layers.0.mlp.down_proj.weight: different, '*' codes tie, '*' scales scale-step, '*' codes scale-step'* ]]
    [[ $output == *$'\nall MXFP4 '* ]]
    [[ $output == *$'\n  SNR '* ]]
}

@test "a code that differs has its tensor, row, block and values" {
    poke out $Q 640 "$(python -c '
import sys
sys.path.insert(0, sys.argv[1])
import st
print("%02x" % (st.read_checkpoint("out")[sys.argv[2]][2][640] ^ 8))' "$ROOT/scripts/checkpoints" $Q)"
    differ
    is "${lines[1]}" "7 tensors of MXFP4 and 5 others compared: 11 identical, 1 different; 0 missing, 0 extra"
    is "${lines[2]}" "  $Q: different, 1 codes real"
    [[ ${lines[-1]} == "  $Q row 5 block 0: element 0, code "*": real" ]]
}

@test "a scale that differs is a class of its own" {
    poke out ${Q}_scale 0 05
    differ
    is "${lines[2]}" "  $Q: different, 1 scales zero-block"
    is "${lines[-1]}" "  $Q row 0 block 0: scale 5, golden 0: zero-block"
}

@test "rules hold for every tensor by itself" {
    poke out ${Q}_scale 0 01
    differ --rules mxfp8
    run -0 "$MXFP4Q" diff out "$MODELS/quark" --rules te-mxfp4
    is "${lines[0]}" "out, golden $MODELS/quark: within the rules"
    is "${lines[2]}" "  $Q: within the rules, 1 scales zero-block"
}

@test "a copied tensor is compared by its bytes" {
    poke out model.norm.weight 7 aa
    differ
    is "${lines[2]}" "  model.norm.weight: different, 1 of 512 bytes"
    [ "${#lines[@]}" -eq 3 ]
}

@test "tensors that are missing, extra, or of another kind are differences" {
    cd "$MODELS"
    run -1 "$MXFP4Q" diff dense quark
    is "${lines[1]}" "0 tensors of MXFP4 and 5 others compared: 5 identical, 7 different; 0 missing, 0 extra"
    is "${lines[2]}" "  model.layers.0.mlp.down_proj.weight: different, BF16 [256, 320], golden MXFP4 of 256 x 320"
    run -1 "$MXFP4Q" diff quark dense
    is "${lines[1]}" "0 tensors of MXFP4 and 5 others compared: 5 identical, 7 different; 0 missing, 0 extra"
    run -1 "$MXFP4Q" diff moe-native quark
    is "${lines[1]}" "0 tensors of MXFP4 and 5 others compared: 5 identical, 4 different; 3 missing, 11 extra"
    [[ $output == *$'\n  model.layers.0.mlp.down_proj.weight: missing'* ]]
    make_model dense "$BATS_TEST_TMPDIR/wide" --layers 1 --inter 64
    expect "$BATS_TEST_TMPDIR/wide" "$BATS_TEST_TMPDIR/other"
    run -1 "$MXFP4Q" diff "$BATS_TEST_TMPDIR/other" quark
    is "${lines[2]}" "  model.layers.0.mlp.down_proj.weight: different, MXFP4 of 256 x 64, golden MXFP4 of 256 x 320"
}

@test "--limit shows fewer, and says so" {
    run -1 "$MXFP4Q" diff "$MODELS/aiter" "$MODELS/quark" --limit 2
    is "${lines[4]}" "  and 5 more (see --limit)"
    [ "$(grep -c ' row ' <<<"$output")" -eq 2 ]
}

@test "--json has every tensor" {
    run -1 --separate-stderr "$MXFP4Q" diff "$MODELS/aiter" "$MODELS/compressed-tensors" --json
    echo "$output" >report.json
    [ "$(json_value report.json "[0]['verdict']")" = different ]
    [ "$(json_value report.json "[0]['tensors'].__len__()")" -eq 12 ]
    [ "$(json_value report.json "[0]['tensors'][0]['mxfp4']['scales_compared']")" -eq $((256 * 10)) ]
    [ "$(json_value report.json "[0]['identical']")" -eq 5 ]
}

@test "the number of threads does not change the report" {
    run -1 "$MXFP4Q" diff "$MODELS/aiter" "$MODELS/quark" -j 1
    echo "$output" >one
    run -1 "$MXFP4Q" diff "$MODELS/aiter" "$MODELS/quark" -j 7
    diff one - <<<"$output"
}

@test "-q prints nothing" {
    works diff -q out "$MODELS/native"
    [ -z "$output" ]
    poke out model.norm.weight 7 aa
    run -1 "$MXFP4Q" diff -q out "$MODELS/native"
    [ -z "$output" ]
}

@test "a checkpoint is compared with nothing else, and by no option for buffers" {
    make_npy w.npy 32 32
    refuses "diff: \"out\" is a checkpoint, and \"w.npy\" is none" diff out w.npy
    refuses "diff: of two checkpoints, only the rules, -j, --limit, --json and -q can be chosen" diff out "$MODELS/native" --padding
    refuses "diff: of two checkpoints, only the rules, -j, --limit, --json and -q can be chosen" diff out "$MODELS/native" --source w.npy
}

@test "a checkpoint that is damaged is trouble" {
    rm out/model-00002-of-00003.safetensors
    refuses '"out/model-00002-of-00003.safetensors": cannot open a shard that the index names: No such file or directory' diff out "$MODELS/native"
}
