#!/usr/bin/env bats
# mxfp4q selftest: kernels of this machine, GPUs that are none (tests/unit/fake_gpu.c), and faults that it must find.

# Each test has its own environment; run sets variables; inner shells expand.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helper
load files

setup() {
    BUILD=${BUILD:-$ROOT/build}
    enter_empty_folder
    unset FAKE_GPU_COUNT FAKE_GPU_MEMORY FAKE_GPU_FAIL FAKE_GPU_LOG FAKE_GPU_WRONG
}

# The program with a fake runtime.
on_fake() {
    local kind=$1
    shift
    LD_LIBRARY_PATH=$BUILD/tests/fake/$kind FAKE_GPU_LOG=$PWD/log "$BUILD/tests/mxfp4q-$kind" "$@" 2>stderr
}

# The number of a line of the log.
logged() {
    sed -n "s/^$1 //p" log
}

# What a run leaves on a GPU, and whether signals could go astray.
nothing_is_left_on_gpus() {
    is "$(cat stderr)" ""
    is "left $(logged left), signals $(logged signals)" "left 0, signals 0"
}

# Kernels that run here, but for the GPU, one a line.
kernels() {
    "$MXFP4Q" devices | grep -v '(not on this machine)' | sed -n 's/^ [ *] \([a-z0-9]*\) .*/\1/p' | grep -vx gpu
}

# The number that is behind a word of a report: counted WORD FILE
counted() {
    sed -n "s/.*[ ,] *$1 \([0-9]*\).*/\1/p" "$2" | head -n 1
}

# ---- what is tested

@test "every kernel that runs here makes the bytes of the scalar one" {
    local kernel
    kernels | grep -qx scalar
    for kernel in $(kernels); do
        works selftest --kernel "$kernel" --rounds 100
        is "${lines[3]}" "tested: kernel $kernel, against kernel scalar"
        is "${lines[-1]}" "all equal"
    done
}

@test "the report tells version, machine and what was tested" {
    local word name
    works selftest
    echo "$output" >report
    is "${lines[0]}" "$("$MXFP4Q" --version) selftest, seed 1"
    [[ ${lines[1]} =~ ^'cpu: '.+', '[1-9][0-9]*' threads'$ ]]
    ! grep -q '^model name' /proc/cpuinfo ||
        [[ ${lines[1]} == "cpu: $(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1), "* ]]
    is "${lines[2]}" "$("$MXFP4Q" devices | grep '^features:')"
    name=$("$MXFP4Q" devices | sed -n 's/^ \* \([a-z0-9]*\) .*/\1/p')
    is "${lines[3]}" "tested: kernel $name, against kernel scalar"
    [[ ${lines[4]} =~ ^([0-9]+)' matrices, '([0-9]+)' values, '([0-9]+)' blocks, ' ]]
    [ "${BASH_REMATCH[2]}" -gt $((4096 * 4160 + 65536 * 60)) ]
    is "$(($(counted bf16 report) + $(counted f16 report) + $(counted f32 report)))" "${BASH_REMATCH[1]}"
    for word in bf16 f16 f32 rowwise columnwise linear aiter hadamard stride panels 'infinities or NaNs' \
        'random switches' ties edges zeros vanishing all-ascending all-scattered; do
        echo "$word"
        [ "$(counted "$word" report)" -gt 10 ]
    done
    for name in $("$MXFP4Q" quantize x -o y --profile no-such 2>&1 | sed 's/.*is not one of: //; s/,//g'); do
        echo "$name"
        case $name in
        *-nearlog | fbgemm-even | primus-triton | aiter-hip-floor) [ -z "$(counted "$name" report)" ] ;;
        *) [ "$(counted "$name" report)" -gt 50 ] ;;
        esac
    done
}

@test "what is tested follows from the seed" {
    works selftest --kernel scalar --rounds 3
    echo "$output" >first
    works selftest --kernel scalar --rounds 3 --seed 1
    diff first - <<<"$output"
    works selftest --kernel scalar --rounds 3 --seed 2
    [ "$(counted ties first)" -ne "$(counted ties /dev/stdin <<<"$output")" ]
}

@test "--rounds adds random matrices, and --case takes one alone" {
    local chosen
    works selftest --kernel scalar --rounds 0 --json
    echo "$output" >none
    works selftest --kernel scalar --rounds 7 --json
    echo "$output" >some
    chosen=$(json_value none "['tested']['matrices']")
    is "$(json_value some "['tested']['matrices']")" $((chosen + 7))
    works selftest --kernel scalar --case $((chosen + 7)) --json
    echo "$output" >one
    is "$(json_value one "['tested']['matrices']")" 1
    is "$(json_value one "['equal']")" True
}

@test "--json says the same" {
    works selftest --rounds 0
    echo "$output" >report
    works selftest --rounds 0 --json
    echo "$output" >out.json
    is "$(json_value out.json "['version']")" "$("$MXFP4Q" --version | cut -d ' ' -f 2)"
    is "$(json_value out.json "['equal']")" True
    is "$(json_value out.json "['differences']")" "[]"
    is "$(json_value out.json "['tested']['dtypes']['bf16']")" "$(counted bf16 report)"
    is "$(json_value out.json "['tested']['layouts']['aiter']")" "$(counted aiter report)"
    is "$(json_value out.json "['subject']['device']")" cpu
}

# ---- GPUs

@test "a GPU that makes the right bytes passes, with its name and runtime" {
    local kind arch
    for kind in cuda hip; do
        FAKE_GPU_COUNT=3 run -0 on_fake "$kind" selftest --device gpu:2 --rounds 20
        [[ ${lines[3]} == "tested: gpu:2, "*", against kernel scalar" ]]
        is "${lines[-1]}" "all equal"
        nothing_is_left_on_gpus
        is "$(logged 'launches 0') $(logged 'launches 1')" "0 0"
        [ "$(logged 'launches 2')" -ge "$(sed -n 's/ matrices, .*//p' <<<"$output")" ]
    done
    run -0 on_fake cuda selftest --device gpu --json --rounds 0
    echo "$output" >out.json
    is "$(json_value out.json "['subject']['index']")" 0
    arch=$(on_fake cuda devices | sed -n 's/^gpu:0: [^,]*, \([^,]*\),.*/\1/p')
    is "$(json_value out.json "['subject']['arch']")" "$arch"
}

@test "a GPU as a kernel passes, too" {
    run -0 on_fake cuda selftest --kernel gpu --rounds 5
    is "${lines[3]}" "tested: kernel gpu, against kernel scalar"
    is "signals $(logged signals)" "signals 0"
    is "${lines[-1]}" "all equal"
}

# found FILE - what a report in JSON found: case, and of each buffer its name, row, block, bytes that differ
found() {
    "$PYTHON" -c '
import json, sys
for case in json.load(open(sys.argv[1]))["differences"]:
    rows, cols = case["rows"], case["cols"]
    for buffer in case["buffers"]:
        high, wide = (rows, cols) if buffer["buffer"].startswith("rowwise") else (cols, rows)
        assert (buffer["row"], buffer["block"]) == (37 % high, 9 % ((wide + 31) // 32)), (case, buffer)
        assert buffer["wanted"] ^ buffer["got"] == 1 and buffer["different_bytes"] == 1, (case, buffer)
        assert buffer["bytes_beside"] == 0, (case, buffer)
        print(buffer["buffer"], buffer["layout"])' "$1"
}

@test "a wrong byte is found in every buffer and layout, and its row and block are named" {
    local number
    [ -x "$PYTHON" ] || skip "$PYTHON is not installed"
    # Random ones; none is done in panels, so the first launch makes all of it.
    for number in {5001..5060}; do
        FAKE_GPU_WRONG=1:37:9 run -1 on_fake hip selftest --device gpu --case "$number" --json
        echo "$output" >out.json
        is "$(json_value out.json "['different_matrices']")" 1
        found out.json >>all
    done
    is "$(sort -u all | wc -l)" 8
}

@test "a difference is told with its case and the command that repeats it" {
    local command
    FAKE_GPU_COUNT=2 FAKE_GPU_WRONG=900:3:0 run -1 on_fake cuda selftest --device gpu:1 --seed 7 --rounds 0
    nothing_is_left_on_gpus
    echo "$output" >report
    grep -qE '^DIFFERENT: 1 of [0-9]+ matrices, [1-4] of [0-9]+ bytes$' report
    grep -qE '^case 900 \(tails\), seed 7: [a-z -]+, b?f(16|32), [0-9]+x[0-9]+, stride [0-9]+, values [a-z-]+' report
    grep -qE '^  (rowwise|columnwise)_scale, byte [0-9]+ of [0-9]+ \(row [0-9]+, block 0\): ' report
    is "$(grep -cE ': wanted 0x[0-9a-f]{2}, got 0x[0-9a-f]{2}; 1 byte differs$' report)" \
        "$(sed -n 's/^DIFFERENT: .*, \([1-4]\) of [0-9]* bytes$/\1/p' report)"
    command=$(sed -n 's/^  again: mxfp4q //p' report)
    is "$command" "selftest --device gpu:1 --seed 7 --case 900"
    # shellcheck disable=SC2086 # words
    FAKE_GPU_COUNT=2 FAKE_GPU_WRONG=1:3:0 run -1 on_fake cuda $command
    diff <(sed -n '/^case/,$p' report) <(sed -n '/^case/,$p' <<<"$output")
    # shellcheck disable=SC2086
    FAKE_GPU_COUNT=2 run -0 on_fake cuda $command
    is "${lines[-1]}" "all equal"
}

@test "a wrong byte of the kernel gpu is found" {
    FAKE_GPU_WRONG=2:0:0 run -1 on_fake hip selftest --kernel gpu --rounds 0
    grep -qx '  again: mxfp4q selftest --kernel gpu --seed 1 --case 2' <<<"$output"
}

# ---- trouble

@test "without a GPU it says so in one line" {
    run -2 --separate-stderr "$BUILD/tests/mxfp4q-cuda" selftest --device gpu
    is "$stderr" "mxfp4q: no GPU runtime: libcuda.so.1 is not there"
    run -2 --separate-stderr "$BUILD/tests/mxfp4q-hip" selftest --kernel gpu
    is "$stderr" "mxfp4q: no GPU runtime: libamdhip64.so is not there"
    FAKE_GPU_COUNT=0 run -2 on_fake cuda selftest --device gpu
    is "$(cat stderr)" "mxfp4q: no GPU: no device"
    run -2 on_fake cuda selftest --device gpu:1
    is "$(cat stderr)" "mxfp4q: no GPU 1: there is 1"
}

@test "a GPU that fails is trouble, and nothing is left on it" {
    FAKE_GPU_FAIL=launch:30 run -2 on_fake cuda selftest --device gpu
    is "$output" ""
    is "$(wc -l <stderr)" 1
    [[ $(<stderr) == "mxfp4q: selftest: case 30: GPU 0: cannot start "* ]]
    is "left $(logged left), signals $(logged signals)" "left 0, signals 0"
    FAKE_GPU_FAIL=launch:30 run -2 on_fake cuda selftest --kernel gpu
    is "$(wc -l <stderr)" 1
}

@test "what cannot be tested is refused in one line" {
    refuses '--device: selftest tests one device: cpu, gpu or gpu:N' selftest --device gpu:all
    refuses '--device: selftest tests one device: cpu, gpu or gpu:N' selftest --device auto
    refuses '--kernel: "avx1024" is no kernel that this machine can run (see mxfp4q devices)' selftest --kernel avx1024
    MXFP4Q_KERNEL=avx1024 refuses \
        'MXFP4Q_KERNEL: "avx1024" is no kernel that this machine can run (see mxfp4q devices)' selftest
    refuses '--kernel is for CPUs, not for --device gpu' selftest --device gpu --kernel scalar
    refuses '--case: cases are numbered from 1 on' selftest --case 0
    refuses 'selftest: unexpected argument "gpu"' selftest gpu
    run -2 --separate-stderr bash -c '"$MXFP4Q" selftest --case 1 >/dev/full'
    is "$stderr" "mxfp4q: standard output: No space left on device"
}
