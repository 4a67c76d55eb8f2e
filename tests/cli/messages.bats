#!/usr/bin/env bats
# What the program says: help, errors of one line, warnings, progress and JSON.

# shellcheck disable=SC2016,SC2154 # run sets stderr and its lines; inner shells expand

load helper
load files

# ---- help

@test "--help and --version go to standard output" {
    local command
    for command in --help -h help; do
        works "$command"
        is "${lines[0]}" "usage: mxfp4q COMMAND [OPTION]... [ARGUMENT]..."
    done
    for command in quantize info devices; do
        works --help
        [[ $output == *"  $command "* ]]
        works "$command" --help
        [[ ${lines[0]} == "usage: mxfp4q $command "* ]]
        [[ $output == *"--help "*"print this help"* ]]
    done
    works --version
    is "$output" "mxfp4q $(sed -n 's/^#define MXQ_VERSION "\(.*\)"/\1/p' "$ROOT/src/kernels/mxq.h")"
}

@test "help fits on a screen of 120 columns" {
    local command
    for command in '' quantize info devices; do
        # shellcheck disable=SC2086 # nothing or a word
        works $command --help
        run ! grep -E '.{121}' <<<"$output"
    done
}

@test "output that cannot be written is an error" {
    local command
    for command in --help --version 'quantize --help' devices 'devices --json' 'selftest --case 1'; do
        run -2 --separate-stderr bash -c '"$MXFP4Q" $1 >/dev/full' - "$command"
        is "$stderr" "mxfp4q: standard output: No space left on device"
        run -2 --separate-stderr bash -c '"$MXFP4Q" $1 >&-' - "$command"
        is "$stderr" "mxfp4q: standard output: Bad file descriptor"
    done
}

@test "messages never go into files, whichever descriptors are closed" {
    make_npy w.npy 64 64
    works quantize w.npy -o expected
    printf junk >>w.npy
    run -0 bash -c 'exec "$MXFP4Q" quantize w.npy -o a 2>&-'
    run -0 bash -c 'exec "$MXFP4Q" quantize w.npy -o b >&- 2>&-'
    run -0 bash -c 'exec "$MXFP4Q" quantize w.npy -o c <&- >&- 2>&-'
    run -2 bash -c 'exec "$MXFP4Q" quantize w.npy -o d --json <&- >&- 2>&-'
    for name in a b c d; do
        cmp expected.rowwise_data.npy "$name.rowwise_data.npy"
        cmp expected.columnwise_scale.npy "$name.columnwise_scale.npy"
    done
}

# ---- usage

@test "no command, an unknown command and unknown options are refused" {
    refuses 'no command (see mxfp4q --help)'
    refuses 'unknown command "quantise" (see mxfp4q --help)' quantise
    refuses 'unknown command "" (see mxfp4q --help)' ''
    refuses 'unknown command "--verison" (see mxfp4q --help)' --verison
    refuses 'quantize: unknown option -x (see mxfp4q quantize --help)' quantize -x
    refuses 'quantize: unknown option -x (see mxfp4q quantize --help)' quantize -fx in
    refuses 'quantize: unknown, ambiguous or misused option --frobnicate (see mxfp4q quantize --help)' \
        quantize --frobnicate
    refuses 'quantize: unknown, ambiguous or misused option --no=1 (see mxfp4q quantize --help)' quantize --no=1
    refuses 'info: unknown option -o (see mxfp4q info --help)' info -o x
    refuses 'devices: unexpected argument "cpu"' devices cpu
}

@test "what is missing is named" {
    refuses 'quantize: option -o needs a value' quantize in -o
    refuses 'quantize: option --profile needs a value' quantize in --profile
    refuses 'quantize: no input (see mxfp4q quantize --help)' quantize
    refuses 'quantize: no input (see mxfp4q quantize --help)' quantize -o x --
    refuses 'quantize: no output: give a prefix with -o' quantize in
    refuses 'quantize: no output: give a prefix with -o' quantize in -o ''
    refuses 'info: no file (see mxfp4q info --help)' info
}

@test "a wrong word is answered with the right ones" {
    local option words
    while IFS='#' read -r option words; do
        refuses "$option: \"nonsense\" is not one of: $words" quantize in -o out "$option" nonsense
        refuses "$option: \"\" is not one of: $words" quantize in -o out "$option" ''
    done <<'TABLE'
--direction#rowwise, columnwise, both
--profile#te-hip, te-triton, aiter, aiter-even, quark, torchao-floor, torchao-even, torchao-rceil, torchao-ceil, triton-kernels, ggml, compressed-tensors, modelopt, flashinfer, microxcaling, fbgemm-even, primus-hip, primus-triton, aiter-hip-floor, mlx-cpu, mlx-gpu, mlx-cpu-nearlog, mlx-gpu-nearlog
--scale#even, floor, ceil, rceil, even-above, nearlog
--ties#even, away, zero, stochastic
--block#1x32, 32x32
--sign#keep, value, drop, nonpositive
--nonfinite#error, profile
--layout#linear, aiter
--tail#pad, error
--format#npy, raw, npz, quark, compressed-tensors, gpt-oss, native, buffers, gguf
--only#rowwise_data, rowwise_scale, columnwise_data, columnwise_scale
--dtype#bf16, f16, f32
--device#auto, cpu, gpu, gpu:N, gpu:all
TABLE
    refuses '--hadamard: "8" is not one of: 16, 32, 64, 128' quantize in -o out --hadamard=8
}

@test "a number out of range is answered with the range" {
    local value
    for value in -1 255 x '' 1x ' 1' 0x10 99999999999999999999 1.0; do
        refuses "--zero-byte: \"$value\" is not a number from 0 to 254" quantize in -o out --zero-byte "$value"
    done
    refuses '--pad-fill: "256" is not a number from 0 to 255' quantize in -o out --pad-fill 256
    refuses '-j: "0" is not a number from 1 to 4096' quantize in -o out -j 0
    refuses '-j: "4097" is not a number from 1 to 4096' quantize in -o out -j 4097
    refuses '-j: "-" is not a number from 1 to 4096' quantize in -o out -j -
    refuses '--offset: "-1" is not a number from 0 to 9223372036854775807' quantize in -o out --offset -1
    for value in '' 0x 123456789 xyz 0x0x1 '-1' 0123456789abcdef0123456789abcde 0123456789abcdef0123456789abcdef0; do
        refuses "--hadamard-signs: \"$value\" is not a hexadecimal number of up to 8 digits or of 32" \
            quantize in -o out --hadamard-signs "$value"
    done
}

@test "a word with control characters or without end still makes one line" {
    local long
    refuses 'unknown command "a?b?[31m" (see mxfp4q --help)' $'a\nb\e[31m'
    refuses '--scale: "a?b" is not one of: even, floor, ceil, rceil, even-above, nearlog' quantize in -o out --scale $'a\nb'
    refuses '"a?b": cannot open: No such file or directory' quantize $'a\nb' -o out
    printf -v long '%5000s' x
    run -2 --separate-stderr "$MXFP4Q" "$long"
    is "${#stderr_lines[@]}" 1
    run -2 --separate-stderr "$MXFP4Q" quantize "$long" -o out
    is "${stderr_lines[0]: -36}" 'x": cannot open: File name too long' || is "${stderr##*: }" "File name too long"
}

# ---- kernels

@test "--kernel and MXFP4Q_KERNEL choose the variant, and unknown ones are refused" {
    make_npy w.npy 64 64
    works quantize w.npy -o a --kernel scalar
    is "$(json_value a.json "['backend']['kernel']")" scalar
    MXFP4Q_KERNEL=scalar works quantize w.npy -o b
    MXFP4Q_KERNEL='' works quantize w.npy -o c
    MXFP4Q_KERNEL=nonsense works quantize w.npy -o d --kernel scalar
    cmp a.rowwise_data.npy d.rowwise_data.npy
    refuses '--kernel: "avx1024" is no kernel that this machine can run (see mxfp4q devices)' \
        quantize w.npy -o e --kernel avx1024
    MXFP4Q_KERNEL=avx1024 refuses \
        'MXFP4Q_KERNEL: "avx1024" is no kernel that this machine can run (see mxfp4q devices)' quantize w.npy -o e
    MXFP4Q_KERNEL=avx1024 refuses 'MXFP4Q_KERNEL names no kernel that this machine can run' devices
    works quantize w.npy -o f --device auto
    works quantize w.npy -o g --device cpu
}

# ---- warnings, verbosity, progress

@test "-q silences warnings, and -v says what is done" {
    make_npy w.npy 64 96
    run -0 --separate-stderr "$MXFP4Q" quantize w.npy -o a
    is "$stderr" "mxfp4q: warning: \"w.npy\": rowwise_data: an odd number of blocks along 96 values; AITER's shuffle_weight wants a multiple of 64"
    works quantize w.npy -o b -q
    works quantize w.npy -o c --layout linear
    run -0 --separate-stderr "$MXFP4Q" quantize w.npy -o d -v --layout linear -j 3 --kernel scalar
    is "$stderr" 'mxfp4q: "w.npy": 64 x 96 bf16, profile te-hip, kernel scalar, up to 3 threads'
}

# Gives a matrix of 8 MiB in two halves with a pause.
slow_input() {
    npy_header '<V2' '(2048, 2048)'
    head -c 6M /dev/zero
    sleep 1.2
    head -c 2M /dev/zero
}

@test "progress is shown on demand when a job takes longer than a second" {
    run -0 --separate-stderr "$MXFP4Q" quantize - -o a --progress --no-fsync < <(slow_input)
    local line=$'^\r\e\\[K-: [ 0-9]+ % of 8.4 MB, [0-9.]+ MB/s, [0-9]+ s left(\r\e\\[K|$)'
    [[ $stderr =~ $line ]]
    is "${stderr: -4}" $'\r\e[K'
}

@test "progress is not shown when standard error is no terminal, nor for short jobs, nor with -q" {
    make_npy w.npy 64 64
    works quantize w.npy -o a --progress
    works quantize - -o b --no-fsync < <(slow_input)
    works quantize - -o c --no-fsync --progress -q < <(slow_input)
}

@test "progress is shown on a terminal" {
    script -qec true /dev/null </dev/null >/dev/null 2>&1 || skip "no pseudo-terminal can be had here"
    mkfifo fifo
    slow_input >fifo 3>&- &
    job=$!
    run script -qec "'$MXFP4Q' quantize fifo -o a --no-fsync" /dev/null </dev/null
    wait "$job"
    [[ $output == *"fifo: "*" % of 8.4 MB"* ]]
}

# ---- JSON and reports

@test "--json prints the manifests of all tensors" {
    make_npy w.npy 64 64
    make_npy x.npy 64 64
    works quantize w.npy x.npy -o out --json
    echo "$output" >out.json
    is "$(json_value out.json "[1]['manifest']")" out/x.json
    is "$(json_value out.json "[0]['buffers']['rowwise_data']['file']")" w.rowwise_data.npy
    works quantize w.npy -o one --json --report
    echo "$output" >out.json
    is "$(json_value out.json "[0]['report']['rowwise']['elements']")" 4096
    is "$(json_value out.json "[0]['report']['columnwise']['saturated'] >= 0")" True
}

@test "--report prints a line for each direction" {
    make_npy w.npy 64 64
    works quantize w.npy -o w --report
    is "${lines[0]}" w.json
    is "${lines[1]}" "direction          SNR dB          MSE       cosine  largest err    saturated"
    [[ ${lines[2]} =~ ^'rowwise      '\ +[0-9.]+\ +[0-9.e+-]+\ +0.9[0-9]+\ +[0-9.e+-]+\ +0.[0-9]+$ ]]
    [[ ${lines[3]} =~ ^'columnwise   '\ +[0-9.]+ ]]
    works quantize w.npy -o x --report --direction columnwise
    [[ ${lines[2]} == columnwise* ]]
    npy_header '<f4' '(0, 4)' >x.npy
    works quantize x.npy -o y --report
    head -c 8192 /dev/zero >zeros
    works quantize zeros --shape 64x64 --dtype bf16 -o z --report
    is "${lines[2]}" "rowwise                 -   0.0000e+00            -   0.0000e+00     0.000000"
}

@test "names that are not UTF-8 do not break JSON or reports" {
    make_npy $'\xff.npy' 64 64
    works quantize $'\xff.npy' -o $'\xfe' --report
    is "${lines[0]}" '?.json'
    works quantize $'\xff.npy' -o $'\xfd' --json
    echo "$output" >out.json
    is "$(json_value out.json "[0]['manifest'] + json.load(open('out.json'))[0]['input']['file']")" '?.json?.npy'
    works info --json $'\xff.npy'
    echo "$output" >out.json
    is "$(json_value out.json "[0]['file']")" '?.npy'
}
