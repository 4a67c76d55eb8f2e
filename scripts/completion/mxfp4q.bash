# mxfp4q.bash - completion for bash; to be sourced, or installed as share/bash-completion/completions/mxfp4q
# shellcheck shell=bash

# Offers those of the given words that begin with $cur.
_mxfp4q_words() {
    mapfile -t COMPREPLY < <(compgen -W "$*" -- "$cur")
}

# Offers files and folders.
_mxfp4q_files() {
    mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    compopt -o filenames 2>/dev/null || :
}

# Offers what may follow the last comma of a list, but not what is in the list already.
_mxfp4q_list() {
    local done=${cur%"${cur##*,}"} word words=()
    for word in "$@"; do
        [[ ,$done == *",$word,"* ]] || words+=("$done$word")
    done
    mapfile -t COMPREPLY < <(compgen -W "${words[*]}" -- "$cur")
    compopt -o nospace 2>/dev/null || :
}

# Offers values of an option; fails when it takes none.
_mxfp4q_value() {
    local buffers="rowwise_data rowwise_scale columnwise_data columnwise_scale"
    case $1 in
    -o | --output | --source | --test-scale | --golden-scale | --heatmap | --scale-file | --measure) _mxfp4q_files ;;
    --nibbles | --from-nibbles) _mxfp4q_words low high ;;
    --to | --from) _mxfp4q_words ggml ;;
    --rules) _mxfp4q_words exact mxfp8 te-mxfp4 ;;
    --adjust | --accept-ties) _mxfp4q_words yes no ;;
    --from-layout | --test-layout | --golden-layout) _mxfp4q_words linear aiter linear,aiter aiter,linear ;;
    --buffer) _mxfp4q_words "$buffers" ;;
    --format)
        _mxfp4q_words npy raw npz
        [ "${COMP_WORDS[1]}" != quantize ] || _mxfp4q_words npy raw npz quark compressed-tensors gpt-oss native buffers gguf
        ;;
    --only) _mxfp4q_words "$buffers" ;;
    --direction) _mxfp4q_words rowwise columnwise both ;;
    --profile)
        _mxfp4q_words te-hip te-triton aiter aiter-even quark torchao-floor torchao-even torchao-rceil torchao-ceil \
            triton-kernels ggml compressed-tensors modelopt flashinfer microxcaling \
            fbgemm-even primus-hip primus-triton aiter-hip-floor mlx-cpu mlx-gpu mlx-cpu-nearlog mlx-gpu-nearlog
        ;;
    --scale) _mxfp4q_words even floor ceil rceil even-above nearlog ;;
    --ties) _mxfp4q_words even away zero stochastic ;;
    --sign) _mxfp4q_words keep value drop nonpositive ;;
    --hadamard) _mxfp4q_words 16 32 64 128 ;;
    --block) _mxfp4q_words 1x32 32x32 ;;
    --nonfinite) _mxfp4q_words error profile ;;
    --layout) _mxfp4q_words aiter linear ;;
    --shuffle)
        # shellcheck disable=SC2086 # a list of words
        if [[ $cur == *,* ]]; then _mxfp4q_list $buffers; else _mxfp4q_list all none $buffers; fi
        ;;
    --tail) _mxfp4q_words pad error ;;
    --dtype) _mxfp4q_words bf16 f16 f32 ;;
    --pattern) _mxfp4q_words uniform normal lognormal ties edges edges-finite zeros ramp outlier ;;
    --suite) _mxfp4q_files ;;
    --kernel) _mxfp4q_words "$(mxfp4q devices 2>/dev/null | sed -n 's/^ [* ] \([^ ]*\) .*/\1/p')" ;;
    --device) _mxfp4q_words auto cpu gpu gpu:all ;;
    --scale-atol | --scale-limit | --scale-share | --atol | --rtol | --codes-per-scale | --code-share) COMPREPLY=() ;;
    --test-member | --golden-member | --matrix | --limit) COMPREPLY=() ;;
    --include | --exclude | --tp | --memory) COMPREPLY=() ;;
    --zero-byte | --amax-floor | --hadamard-signs | --hadamard-seed | --ties-seed | --pad-fill | --shape | --rounds | --offset | --member | --flatten | --seed | --case | -j | --jobs) COMPREPLY=() ;;
    *) return 1 ;;
    esac
}

_mxfp4q() {
    local cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local input="--dtype --shape --offset --partial --member --flatten"
    local stored="--scale-file --from-layout --from-nibbles --shape --raw --no-verify"
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        _mxfp4q_words quantize dequantize convert diff verify info gen bench selftest profiles devices help --help --version
        return
    fi
    # --option=value arrives as three words.
    if [ "$cur" = = ]; then
        cur=
        _mxfp4q_value "$previous"
        return
    fi
    if [ "$previous" = = ]; then
        _mxfp4q_value "${COMP_WORDS[COMP_CWORD - 2]}"
        return
    fi
    # The value of --hadamard comes after = only.
    if [ "$previous" != --hadamard ] && _mxfp4q_value "$previous"; then
        return
    fi
    case ${COMP_WORDS[1]}:$cur in
    quantize:-*)
        _mxfp4q_words -o --output -f --force --format --gzip --only --no-fsync --include --exclude --tp --dry-run --memory \
            --resume --delete-source --no-measure --direction --profile --scale --ties --sign \
            --seed --zero-byte --amax-floor --block --hadamard --hadamard-signs --hadamard-seed --nonfinite --layout \
            --shuffle --pad-fill --tail "$input" -j --jobs \
            --kernel --device --report --json -q --quiet -v --verbose --progress -h --help
        ;;
    diff:-*)
        _mxfp4q_words --rules --scale-atol --scale-limit --scale-share --adjust --atol --rtol --accept-ties \
            --codes-per-scale --code-share --padding --source --profile --test-scale --golden-scale --test-layout \
            --golden-layout --test-member --golden-member --buffer --matrix "$input" -j --jobs --limit --no-guess --heatmap \
            -f --force --json -q --quiet -h --help
        ;;
    verify:-*) _mxfp4q_words --source --full --profile --kernel -j --jobs --limit --json -q --quiet -h --help ;;
    dequantize:-*)
        _mxfp4q_words -o --output -f --force --format --dtype --no-fsync --direction --inverse-hadamard "$stored" -q --quiet \
            -h --help
        ;;
    convert:-*)
        _mxfp4q_words -o --output -f --force --format --gzip --no-fsync --to --direction --layout --shuffle --pad-fill --nibbles \
            --from "$stored" -q --quiet -h --help
        ;;
    info:-*) _mxfp4q_words --json --source "$input" -q --quiet -h --help ;;
    gen:*)
        _mxfp4q_words --shape --dtype --pattern --seed --golden --suite -o --output -f --force --format --gzip --only \
            --no-fsync --direction --profile --scale --ties --ties-seed --sign --zero-byte --amax-floor --block \
            --hadamard --hadamard-signs --hadamard-seed --nonfinite \
            --flatten --layout --shuffle --pad-fill --tail -j --jobs --kernel --device --report --json -q --quiet \
            -v --verbose --progress -h --help
        ;;
    bench:*) _mxfp4q_words --device --kernel -j --jobs --shape --rounds --json -h --help ;;
    profiles:-*)
        _mxfp4q_words --diff --measure --json --direction "$input" -j --jobs -q --quiet -h --help
        ;;
    profiles:*) _mxfp4q_value --profile ;;
    selftest:*) _mxfp4q_words --device --kernel --seed --rounds --case --json -h --help ;;
    devices:*) _mxfp4q_words --json -h --help ;;
    *) _mxfp4q_files ;;
    esac
}

complete -F _mxfp4q mxfp4q
