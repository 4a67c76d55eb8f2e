#!/usr/bin/env bats
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output, stderr and their lines, in each test its own
# GGUF files against a writer, a reader and a quantizer that share nothing with the program.

load helper
load checkpoint

model() {
    python "$ROOT/scripts/checkpoints/gguf_model.py" "$@"
}

setup_file() {
    export MODELS=$BATS_FILE_TMPDIR
    python -c 'import numpy' 2>/dev/null || return 0
    mkdir "$MODELS/bad"
    model make "$MODELS/m.gguf"
    model bad "$MODELS/bad"
}

setup() {
    need_numpy
    enter_empty_folder
}

@test "a GGUF file becomes what the independent model makes of it, byte for byte" {
    local threads
    for threads in 1 3; do
        makes -j $threads "$MODELS/m.gguf" -o out$threads.gguf
        run -0 model check "$MODELS/m.gguf" out$threads.gguf
        is "$output" "as expected"
    done
    is "$(names_in .)" "out1.gguf out3.gguf"
}

@test "alignment, version 2, keys to replace, missing padding and one part of one are heeded" {
    local kind
    for kind in aligned no-padding one-part; do
        model make $kind.gguf $kind
        makes $kind.gguf -o out.gguf -f
        run -0 model check $kind.gguf out.gguf
        is "$output" "as expected"
    done
}

@test "a GGUF file is known by its first bytes, and little memory is enough" {
    cp "$MODELS/m.gguf" model.bin
    makes model.bin -o out --memory 1M --format gguf
    run -0 model check model.bin out
    is "$output" "as expected"
}

@test "patterns choose tensors, and profiles bytes" {
    makes "$MODELS/m.gguf" -o out.gguf --include default --exclude 'blk.0.*' --profile quark
    run -0 model check "$MODELS/m.gguf" out.gguf --profile quark --chosen blk.1.ffn_gate_exps.weight,blk.1.ffn_down_exps.weight
    is "$output" "as expected"
    makes "$MODELS/m.gguf" -o other.gguf --include 're:^token_embd|gate_inp'
    run -0 model check "$MODELS/m.gguf" other.gguf --chosen token_embd.weight,blk.1.ffn_gate_inp.weight
    is "$output" "as expected"
}

@test "where nothing is quantized, the file is the same" {
    run -0 --separate-stderr "$MXFP4Q" quantize --no-fsync "$MODELS/m.gguf" -o out.gguf --include nothing
    is "$stderr" $'mxfp4q: warning: --include "nothing" matches no tensor\nmxfp4q: warning: no tensor is quantized'
    cmp "$MODELS/m.gguf" out.gguf
}

@test "a folder gets a file of the same name, and nothing is replaced without being told" {
    makes "$MODELS/m.gguf" -o new/
    mkdir old
    makes "$MODELS/m.gguf" -o old
    cmp new/m.gguf old/m.gguf
    echo mine >old/m.gguf
    run -2 "$MXFP4Q" quantize -q --no-fsync "$MODELS/m.gguf" -o old
    is "$output" 'mxfp4q: "old/m.gguf": already exists; --force replaces it'
    is "$(cat old/m.gguf)" mine
    makes "$MODELS/m.gguf" -o old -f
    cmp new/m.gguf old/m.gguf
    run -2 "$MXFP4Q" quantize -q -f new/m.gguf -o new/m.gguf
    is "$output" 'mxfp4q: "new/m.gguf": it is the input; give another output with -o'
    cmp new/m.gguf old/m.gguf
}

@test "--dry-run prints the plan and does nothing" {
    run -0 --separate-stderr "$MXFP4Q" quantize "$MODELS/m.gguf" --dry-run
    [[ $output == *'blk.1.ffn_gate_exps.weight'*' BF16 '*'4x33x64 '*' 16896 '*' 4488  quantize'$'\n'* ]]
    [[ $output == *'copy: router'$'\n'* ]]
    is "${lines[-1]}" "6 quantized, 11 copied"
    is "$(names_in .)" ""
}

@test "mxfp4q info lists the tensors" {
    run -0 "$MXFP4Q" info "$MODELS/m.gguf"
    [[ ${lines[0]} == *'m.gguf: GGUF version 3, 8 keys, 17 tensors, '*' bytes' ]]
    [[ ${lines[3]} == '  blk.0.attn_q.weight: BF16 64x64, 8192 bytes at '* ]]
    "$MXFP4Q" info --json "$MODELS/m.gguf" >info.json
    run -0 python -c 'import json; j = json.load(open("info.json"))[0]; print(j["kind"], len(j["tensors"]), j["tensors"][11]["shape"])'
    is "$output" "mxfp4q gguf 17 [4, 33, 64]"
}

# refused KIND MESSAGE
refused() {
    run -2 --separate-stderr "$MXFP4Q" quantize -q --no-fsync "$MODELS/bad/$1.gguf" -o out.gguf
    is "$stderr" "mxfp4q: \"$MODELS/bad/$1.gguf\": $2"
    is "$output" ""
    is "$(names_in .)" ""
    nrefused=$((nrefused + 1))
}

@test "a file that is wrong in one way is refused in one line, and nothing is left" {
    local nrefused=0 q='tensor "blk.0.attn_q.weight"' kind
    refused magic 'not a GGUF file: wrong magic'
    refused empty 'not a GGUF file: too short'
    refused short 'not a GGUF file: too short'
    refused v1 'version 1 of GGUF is not supported, 2 and 3 are'
    refused v4 'version 4 of GGUF is not supported, 2 and 3 are'
    refused big-endian 'big-endian GGUF is not supported'
    for kind in tensors-huge keys-huge; do
        refused $kind 'it has more tensors or keys than bytes for them: not a GGUF file, or cut short'
    done
    refused keys-more 'a name of a tensor has 11258999068426240 bytes, not 1 to 65535'
    for kind in cut-keys array-huge strings-huge string-huge; do
        refused $kind 'its header goes past its end: not a GGUF file, or cut short'
    done
    refused cut-tensor 'tensor "blk.1.ssm_conv1d.weight": it ends after the file: the file has been cut short'
    refused long '3 bytes after the last tensor belong to none'
    refused rank "$q: it has more than 4 axes"
    refused shape-huge "$q: its shape is too large, or its rows do not fill whole blocks of its type"
    refused shape-grown "$q: it ends after the file: the file has been cut short"
    refused type "$q: type 99 is not known"
    refused type-removed "$q: type 4 is not known"
    refused type-block 'tensor "blk.0.attn_k.weight": its shape is too large, or its rows do not fill whole blocks of its type'
    refused offset "$q: it does not begin where the one before it ends"
    refused offset-huge "$q: it does not begin where the one before it ends"
    refused split 'one part of a split model: join the parts first (llama-gguf-split --merge)'
    refused file-type-twice 'key "general.file_type": its metadata has it twice'
    for kind in alignment-odd alignment-zero alignment-type; do
        refused $kind 'key "general.alignment": not a power of two of type UINT32'
    done
    refused value-type 'key "a.b": its value is of no type that is known'
    refused array-array 'an array of its metadata has elements of no type that is known'
    refused key-huge 'a name of a key has 1099511627776 bytes, not 1 to 65535'
    refused key-nul 'a name of a key has a byte 0'
    refused name-twice "$q: its header has this name twice"
    for kind in nan inf; do
        refused $kind 'tensor "blk.0.attn_output.weight": a value is infinite or NaN, in row 3 at 5 (--nonfinite profile quantizes it)'
    done
    is "$nrefused" "$(names_in "$MODELS/bad" | wc -w)"
}

@test "infinities and NaNs are quantized when asked for, but not into the scale byte 255" {
    makes "$MODELS/bad/nan.gguf" -o out.gguf --nonfinite profile
    run -0 model check "$MODELS/bad/nan.gguf" out.gguf
    is "$output" "as expected"
    run -2 "$MXFP4Q" quantize -q "$MODELS/bad/nan.gguf" -o other.gguf --nonfinite profile --profile quark
    [[ $output == *': tensor "blk.0.attn_output.weight": a block gets the scale byte 255 (NaN), which llama.cpp refuses' ]]
    is "$(names_in .)" "out.gguf"
}

@test "options that mean nothing for a GGUF file are refused" {
    local option
    for option in --resume --delete-source --no-measure --tp=2 --pad-fill=1 --hadamard --report --json --gzip --layout=linear; do
        run -2 "$MXFP4Q" quantize -q $option "$MODELS/m.gguf" -o out
        is "$output" "mxfp4q: quantize: ${option%%=*} is not for GGUF files"
    done
    run -2 "$MXFP4Q" quantize -q --ties stochastic "$MODELS/m.gguf" -o out
    is "$output" "mxfp4q: quantize: --ties stochastic is not for GGUF files"
    run -2 "$MXFP4Q" quantize -q --block 32x32 "$MODELS/m.gguf" -o out
    is "$output" "mxfp4q: quantize: --block: GGUF files have a scale for 1x32 values"
    run -2 "$MXFP4Q" quantize -q --format quark "$MODELS/m.gguf" -o out
    is "$output" "mxfp4q: quantize: --format quark: of a GGUF file another one is made"
    run -2 "$MXFP4Q" quantize -q "$MODELS/m.gguf" -o -
    is "$output" "mxfp4q: quantize: a GGUF file goes to a file, not to standard output"
    run -2 "$MXFP4Q" quantize -q "$MODELS/m.gguf"
    is "$output" "mxfp4q: quantize: no output: give a file or a folder with -o"
    run -2 "$MXFP4Q" quantize -q "$MODELS/m.gguf" "$MODELS/m.gguf" -o out
    is "$output" "mxfp4q: quantize: a checkpoint must be the only input"
    mkdir empty
    run -2 "$MXFP4Q" quantize -q --format gguf empty -o out
    is "$output" "mxfp4q: quantize: --format gguf: a GGUF file is made of another one only"
    run -2 "$MXFP4Q" quantize -q missing.gguf -o out
    is "$output" 'mxfp4q: "missing.gguf": cannot open: No such file or directory'
    is "$(names_in .)" "empty"
}
