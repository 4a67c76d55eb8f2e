#!/usr/bin/env bats
# GPUs: the host side on runtimes that are none (tests/unit/fake_gpu.c), what is said where there is no GPU, and a real one
# where there is one. What comes out is held against --device cpu, byte for byte.

# shellcheck disable=SC2030,SC2031,SC2154 # each test has its own environment; run sets variables

load helper
load files

setup() {
    BUILD=${BUILD:-$ROOT/build}
    enter_empty_folder
    unset MXFP4Q_GPU_NBYTES FAKE_GPU_COUNT FAKE_GPU_MEMORY FAKE_GPU_FAIL FAKE_GPU_LOG
}

# The program with a fake runtime: cuda, hip, or rocm5, which is hip with older structs.
on_fake() {
    local kind=$1
    shift
    LD_LIBRARY_PATH=$BUILD/tests/fake/$kind FAKE_GPU_LOG=$PWD/log "$BUILD/tests/mxfp4q-${kind/rocm5/hip}" "$@" 2>stderr
}

# The number of a line of the log.
logged() {
    sed -n "s/^$1 //p" log
}

# on_gpu KIND ARGS... - runs quietly, on a GPU, and leaves nothing on it.
on_gpu() {
    on_fake "$@" || { cat stderr && false; }
    is "$(cat stderr)" ""
    is "left $(logged left)" "left 0"
    is "signals $(logged signals)" "signals 0"
}

# All buffers of OUT; a manifest without names and backend.
same_buffers() {
    local file
    for file in "$1".*.npy; do
        cmp "$file" "$2${file#"$1"}" || return
    done
    diff <(sed -e '/"file":/d' -e '/"device":/d' -e '/"kernel":/d' "$1.json") \
        <(sed -e '/"file":/d' -e '/"device":/d' -e '/"kernel":/d' "$2.json")
}

made_on() {
    is "$(json_value "$1.json" "['backend']['device']") $(json_value "$1.json" "['backend']['kernel']")" "$2"
}

# same_on_gpus ARGS... - GPUs of both kinds make what the definition says.
same_on_gpus() {
    local kind
    rm -rf cpu.* gpu.*
    "$MXFP4Q" quantize -q --no-fsync -o cpu --kernel scalar "$@"
    for kind in cuda hip; do
        on_gpu "$kind" quantize -q --no-fsync -f -o gpu --device gpu "$@" || return
        [ "$(logged 'launches 0')" -gt 0 ]
        same_buffers cpu gpu || { echo "$kind: $*" && return 1; }
    done
    made_on gpu "gpu gfx950"
}

# A BF16 matrix of ordinary values: make_matrix FILE ROWS COLS
make_matrix() {
    "$MXFP4Q" gen --shape "$2x$3" --pattern normal --seed 3 --no-fsync -q -o "${1%.npy}"
}

# Any bits at all, the same each time.
make_bits() {
    "$MXFP4Q" gen --shape "$2x$3" --dtype "${4:-bf16}" --pattern edges --seed 5 --no-fsync -q -o "$1"
}

# ---- what comes out

@test "a GPU makes the bytes of the CPU: shapes, types, directions, layouts, recipes" {
    local args
    make_bits m 257 1043
    make_bits h 1043 300 f16
    make_bits s 513 515 f32
    make_bits one 1 1
    while read -r args; do
        # shellcheck disable=SC2086 # a list of words
        same_on_gpus --nonfinite profile $args
    done <<'TABLE'
m.npy
m.npy --layout linear
m.npy --direction rowwise --pad-fill 3
m.npy --direction columnwise --shuffle columnwise_scale
m.npy --profile ggml --hadamard
m.npy --only columnwise_data
h.npy --profile quark
h.npy --layout linear --ties away --sign drop
s.npy --profile flashinfer
s.npy --hadamard-signs 1234abcd --layout linear
one.npy
TABLE
}

@test "streams, gzip, archives, other orders of bytes and axes come out the same" {
    make_matrix w.npy 600 700
    gzip -k w.npy
    same_on_gpus w.npy.gz
    on_gpu cuda quantize - -q --no-fsync -f -o gpu --device gpu <w.npy
    "$MXFP4Q" quantize - -q --no-fsync -f -o cpu --device cpu <w.npy
    same_buffers cpu gpu
    { npy_header '<f4' '(210, 300)' True && some_bytes $((4 * 210 * 300)); } >fortran.npy
    same_on_gpus fortran.npy
    { npy_header '>f2' '(210, 300)' && some_bytes $((2 * 210 * 300)); } >big.npy
    same_on_gpus big.npy
    make_zip w.npz deflated w.npy=w.npy
    same_on_gpus w.npz --member w
}

@test "a report of a GPU's result is that of the CPU's" {
    make_matrix w.npy 700 500
    "$MXFP4Q" quantize w.npy --no-fsync -o w --report --device cpu >cpu.txt
    on_gpu cuda quantize w.npy --no-fsync -f -o w --report --device gpu >gpu.txt
    diff cpu.txt gpu.txt
}

@test "infinities and NaNs are refused with the words of the CPU" {
    local message
    make_bits m 700 960
    run -2 --separate-stderr "$MXFP4Q" quantize m.npy -o a --device cpu
    message=$stderr
    [[ $message == *" values are infinite or NaN, the first at ["* ]]
    run -2 on_fake cuda quantize m.npy -o a --device gpu
    is "$(cat stderr)" "$message"
    is "$(names_in .)" "log m.npy stderr"
    is "$(logged left)" 0
}

@test "several tensors share what is opened once" {
    local i
    for i in 1 2 3 4; do make_matrix "w$i.npy" $((320 * i)) 576; done
    "$MXFP4Q" quantize w?.npy --no-fsync -o cpu/ --device cpu
    on_gpu cuda quantize w?.npy --no-fsync -o gpu/ --device gpu
    for i in 1 2 3 4; do same_buffers "cpu/w$i" "gpu/w$i"; done
    is "$(logged init) $(logged retain) $(logged load_module)" "1 1 1"
    [ "$(logged allocate)" -lt "$(logged launch)" ] || [ "$(logged launch)" -eq 4 ]
}

@test "a suite is quantized on a GPU, with its own devices in its lines" {
    printf '%s\n' 'a --shape 300x300' 'b --shape 64x9152 --device cpu' 'c --shape 300x301 --device gpu:1' >cases
    FAKE_GPU_COUNT=2 on_gpu hip gen --suite cases --pattern normal --golden --no-fsync -o gpu --device gpu
    sed -i 's/ --device.*//' cases
    "$MXFP4Q" gen --suite cases --pattern normal --golden --no-fsync -o cpu --device cpu
    for i in a b c; do same_buffers "cpu/$i" "gpu/$i"; done
    made_on gpu/a "gpu gfx950"
    made_on gpu/b "cpu $(json_value cpu/b.json "['backend']['kernel']")"
    made_on gpu/c "gpu gfx950"
    is "$(logged 'launches 0') $(logged 'launches 1')" "1 1"
}

# ---- memory and several GPUs

@test "a matrix larger than the memory of the GPU goes through it in panels" {
    local memory
    make_bits m 3001 2050
    "$MXFP4Q" quantize m.npy -q --nonfinite profile --no-fsync -o cpu
    for memory in 40000000 9000000 3000000 1000000 260000; do
        FAKE_GPU_MEMORY=$memory on_gpu cuda quantize m.npy -q --nonfinite profile --no-fsync -f -o gpu --device gpu
        same_buffers cpu gpu
        [ "$(logged 'peak 0')" -le "$memory" ]
        [ "$memory" -gt 10000000 ] || [ "$(logged 'launches 0')" -gt 5 ]
    done
    gzip m.npy
    FAKE_GPU_MEMORY=1000000 on_gpu hip quantize m.npy.gz -q --nonfinite profile --no-fsync -f -o gpu --device gpu
    cmp cpu.columnwise_data.npy gpu.columnwise_data.npy
}

@test "memory that is too small for one panel is a fault, and with auto the CPU's business" {
    make_matrix w.npy 300 300
    FAKE_GPU_MEMORY=100000 run -2 on_fake cuda quantize w.npy -o out --device gpu
    is "$(cat stderr)" "mxfp4q: too little free memory on the GPU"
    is "$(names_in .)" "log stderr w.npy"
    FAKE_GPU_MEMORY=100000 MXFP4Q_GPU_NBYTES=1 run -0 on_fake cuda quantize w.npy -o out
    is "$(cat stderr)" "mxfp4q: warning: too little free memory on the GPU; the CPU does it instead"
    "$MXFP4Q" quantize w.npy -o cpu
    same_buffers cpu out
}

@test "several GPUs share one matrix, and gpu:N takes that one" {
    local kind
    make_bits m 3001 2050
    "$MXFP4Q" quantize m.npy -q --nonfinite profile --no-fsync -o cpu
    for kind in cuda hip; do
        FAKE_GPU_COUNT=3 FAKE_GPU_MEMORY=4000000 \
            on_gpu "$kind" quantize m.npy -q --nonfinite profile --no-fsync -f -o gpu --device gpu:all -j 12
        same_buffers cpu gpu
        is "$(($(logged 'launches 0') > 0)) $(($(logged 'launches 1') > 0)) $(($(logged 'launches 2') > 0))" "1 1 1"
        FAKE_GPU_COUNT=3 on_gpu "$kind" quantize m.npy -q --nonfinite profile --no-fsync -f -o gpu --device gpu:2
        same_buffers cpu gpu
        is "$(logged 'launches 0') $(logged 'launches 1') $(($(logged 'launches 2') > 0))" "0 0 1"
    done
}

@test "-j 1 and -j 40 make the same, and panels are in flight together even with one thread" {
    make_matrix w.npy 4992 1536
    "$MXFP4Q" quantize w.npy --no-fsync -o cpu
    for j in 1 40; do
        FAKE_GPU_MEMORY=20000000 on_gpu cuda quantize w.npy --no-fsync -f -o gpu --device gpu -j $j
        same_buffers cpu gpu
        [ "$(logged create_stream)" -ge 3 ]
    done
}

# ---- failures

# What a program cannot do without: of these, one that fails is told.
NEEDED="init get_count get_device get_memory load_module get_function launch allocate allocate_host copy_in copy_out
    fill create_stream work"
# These only describe, or clean up.
SPARE="get_name get_attribute get_version get_total unload_module free free_host destroy_stream"

# try_each KIND CALLS ARGS... - with each call failing once, each time it is made: check_outcome CALL:N judges.
try_each() {
    local kind=$1 calls=$2 call n nruns=0
    shift 2
    for call in $calls; do
        for ((n = 1; n < 60; n++)); do
            rm -f out.*
            status=0
            FAKE_GPU_FAIL=$call:$n on_fake "$kind" quantize w.npy --no-fsync -o out "$@" || status=$?
            [ "$(logged failed)" -gt 0 ] || break
            check_outcome || { echo "$kind $call:$n $*: status $status: $(cat stderr)" && return 1; }
            nruns=$((nruns + 1))
        done
        [ "$n" -gt 1 ] || [[ $call == retain && $kind == hip ]] || { echo "$call was never made" && return 1; }
    done
    echo "$nruns runs"
    [ "$nruns" -gt 0 ]
}

is_refused() {
    is "$status" 2 && is "$(wc -l <stderr)" 1 && grep -q '^mxfp4q: .' stderr && is "$(names_in . | grep -c out)" 0
}

@test "each call that fails is one line, status 2, and nothing is left behind" {
    check_outcome() {
        is_refused && [[ $(<stderr) != *warning* ]] && is "$(logged left)" 0
    }
    make_matrix w.npy 576 320
    try_each cuda "$NEEDED retain" --device gpu
    try_each hip "$NEEDED" --device gpu
}

@test "calls that only describe or clean up may fail" {
    local kind
    make_matrix w.npy 576 320
    "$MXFP4Q" quantize w.npy --no-fsync -o cpu
    check_outcome() {
        is "$status" 0 && is "$(cat stderr)" "" && same_buffers cpu out
    }
    for kind in cuda hip; do
        try_each "$kind" "$SPARE" --device gpu
    done
}

@test "a GPU that cannot be used or waited for any more is told, unless all is done" {
    local kind
    make_matrix w.npy 576 320
    "$MXFP4Q" quantize w.npy --no-fsync -o cpu
    check_outcome() {
        if [ "$status" -eq 0 ]; then
            is "$(cat stderr)" "" && same_buffers cpu out
        else
            is_refused
        fi
    }
    for kind in cuda hip; do
        try_each "$kind" "use wait_stream" --device gpu
    done
}

@test "with auto a GPU that fails at the start costs a warning, and the CPU makes the result" {
    make_matrix w.npy 576 320
    "$MXFP4Q" quantize w.npy --no-fsync -o cpu
    check_outcome() {
        is "$status" 0 && same_buffers cpu out && made_on out "cpu $(json_value cpu.json "['backend']['kernel']")" || return
        case $(wc -l <stderr) in
        0) [ "$(logged load_module)" -eq 0 ] ;;
        1) [[ $(<stderr) == "mxfp4q: warning: "*"; the CPU does it instead" ]] ;;
        *) false ;;
        esac
    }
    export MXFP4Q_GPU_NBYTES=1
    try_each cuda "init get_count get_device get_memory load_module get_function launch allocate allocate_host copy_in
        copy_out fill create_stream work retain"
    try_each hip "get_function launch work"
}

@test "with auto a GPU that fails when results were handed out is a fault, and leaves nothing" {
    local call
    make_matrix w.npy 3000 1000
    export MXFP4Q_GPU_NBYTES=1 FAKE_GPU_MEMORY=3000000
    for call in launch:9 copy_in:9 copy_out:9 work:90; do
        FAKE_GPU_FAIL=$call run -2 on_fake cuda quantize w.npy --no-fsync -o out
        is "$(wc -l <stderr)" 1
        [[ $(<stderr) == "mxfp4q: GPU 0: cannot "* ]]
        is "$(names_in .)" "log stderr w.npy"
    done
}

@test "with auto nothing that a failing GPU made is used, whichever panel fails" {
    local n nfell=0 nrefused=0
    make_matrix w.npy 3000 1000
    "$MXFP4Q" quantize w.npy --no-fsync -o cpu
    export MXFP4Q_GPU_NBYTES=1 FAKE_GPU_MEMORY=3000000
    for n in 1 2 3 4 5 6 7 8; do
        status=0
        rm -f out.*
        FAKE_GPU_FAIL=launch:$n+ on_fake cuda quantize w.npy --no-fsync -o out || status=$?
        if [ "$status" -eq 0 ]; then
            same_buffers cpu out
            made_on out "cpu $(json_value cpu.json "['backend']['kernel']")"
            is "$(grep -c '; the CPU does it instead$' stderr) $(wc -l <stderr)" "1 1"
            nfell=$((nfell + 1))
        else
            is_refused
            nrefused=$((nrefused + 1))
        fi
    done
    [ "$nfell" -gt 0 ] && [ "$nrefused" -gt 0 ]
}

@test "a stream whose panel a GPU could not do is done by the CPU" {
    make_matrix w.npy 576 320
    "$MXFP4Q" quantize w.npy --no-fsync -o cpu
    MXFP4Q_GPU_NBYTES=1 FAKE_GPU_FAIL=work:3 run -0 on_fake hip quantize - --no-fsync -o out <w.npy
    cmp cpu.rowwise_data.npy out.rowwise_data.npy
    cmp cpu.columnwise_scale.npy out.columnwise_scale.npy
}

# ---- auto

@test "auto leaves small tensors to the CPU, and then loads no runtime" {
    make_npy w.npy 64 64
    on_fake cuda quantize w.npy --no-fsync -o out
    made_on out "cpu $("$MXFP4Q" devices | sed -n 's/^ \* \([a-z0-9]*\) .*/\1/p')"
    [ ! -e log ]
    MXFP4Q_GPU_NBYTES=8193 on_fake cuda quantize w.npy --no-fsync -f -o out
    [ ! -e log ]
    MXFP4Q_GPU_NBYTES=8192 on_gpu cuda quantize w.npy --no-fsync -f -o out
    made_on out "gpu sm_90"
}

# Whether auto begins on a GPU, which fails at once, so that the rest is the CPU's: chooses_gpu MIB THREADS
chooses_gpu() {
    truncate -s "$1M" zeros
    FAKE_GPU_FAIL=launch:1+ on_fake cuda quantize zeros --dtype bf16 --shape "$1x524288" --only rowwise_scale \
        --direction rowwise -j "$2" -o - >scales || { cat stderr && false; }
    is "$(wc -c <scales)" $(($1 * 16384 + 128))
    [ -s stderr ]
}

@test "auto takes a GPU from 1 GiB on with one thread, later with two, and never with more" {
    chooses_gpu 1024 1
    run -1 chooses_gpu 1023 1
    run -1 chooses_gpu 1024 2
}

@test "auto says nothing where there is no GPU or no runtime" {
    make_npy w.npy 64 64
    export MXFP4Q_GPU_NBYTES=1
    FAKE_GPU_COUNT=0 on_fake cuda quantize w.npy --no-fsync -o out
    is "$(cat stderr)" ""
    run -0 --separate-stderr "$BUILD/tests/mxfp4q-hip" quantize w.npy --no-fsync -f -o out
    is "$stderr" ""
    made_on out "cpu $("$MXFP4Q" devices | sed -n 's/^ \* \([a-z0-9]*\) .*/\1/p')"
}

@test "a kernel that is asked for says where to compute" {
    make_npy w.npy 64 64
    export MXFP4Q_GPU_NBYTES=1
    on_fake cuda quantize w.npy --no-fsync -o out --kernel scalar
    made_on out "cpu scalar"
    MXFP4Q_KERNEL=scalar on_fake cuda quantize w.npy --no-fsync -f -o out
    made_on out "cpu scalar"
    MXFP4Q_KERNEL=scalar on_gpu cuda quantize w.npy --no-fsync -f -o out --device gpu
    made_on out "gpu sm_90"
    on_gpu cuda quantize w.npy --no-fsync -f -o out --kernel gpu
    made_on out "gpu sm_90"
    refuses '--kernel: "gpu" does not run on the device that --device names' quantize w.npy -o x --kernel gpu --device cpu
    refuses '--kernel: "scalar" does not run on the device that --device names' \
        quantize w.npy -o x --kernel scalar --device gpu
    MXFP4Q_KERNEL=gpu refuses 'MXFP4Q_KERNEL: "gpu" does not run on the device that --device names' \
        quantize w.npy -o x --device cpu
}

@test "MXFP4Q_GPU_NBYTES is a number" {
    make_npy w.npy 64 64
    MXFP4Q_GPU_NBYTES=1G refuses 'MXFP4Q_GPU_NBYTES: "1G" is not a number from 0 to 9223372036854775807' \
        quantize w.npy -o out
    MXFP4Q_GPU_NBYTES='' works quantize w.npy --no-fsync -o out
    MXFP4Q_GPU_NBYTES=1G works quantize w.npy --no-fsync -f -o out --device cpu
}

# ---- what there is

@test "devices lists GPUs with architecture and memory" {
    FAKE_GPU_COUNT=2 FAKE_GPU_MEMORY=3221225472 run -0 on_fake cuda devices
    is "${lines[-2]}" "gpu:0: Fake GPU A, sm_90, 3.0 GiB, 3.0 GiB free, CUDA 12.4"
    is "${lines[-1]}" "gpu:1: Fake GPU B, sm_90, 3.0 GiB, 3.0 GiB free, CUDA 12.4"
    grep -qE '^   gpu +' <<<"$output"
    run -0 on_fake hip devices
    is "${lines[-1]}" "gpu:0: Fake GPU A, gfx950, 1.0 GiB, 1.0 GiB free, HIP 6.2.41133"
    run -0 on_fake rocm5 devices
    is "${lines[-1]}" "gpu:0: Fake GPU A, gfx90a, 1.0 GiB, 1.0 GiB free, HIP 6.2.41133"
    is "$(logged left)" 1 # a kernel that was asked about keeps its module
}

@test "devices --json has the same" {
    FAKE_GPU_COUNT=2 on_fake hip devices --json >out.json
    is "$(json_value out.json "['gpus'][1]['name']")" "Fake GPU B"
    is "$(json_value out.json "['gpus'][0]['arch']")" gfx950
    is "$(json_value out.json "['gpus'][0]['memory']")" 1073741824
    is "$(json_value out.json "['gpus'][0]['free_memory']")" 1073741824
    is "$(json_value out.json "['gpus'][0]['trouble']")" None
    is "$(json_value out.json "['no_gpu']")" None
    FAKE_GPU_COUNT=0 on_fake hip devices --json >out.json
    is "$(json_value out.json "['gpus']") $(json_value out.json "['no_gpu']")" "[] no GPU: no device"
}

@test "a GPU that cannot be used is listed with the reason" {
    FAKE_GPU_FAIL=load_module:1+ run -0 on_fake cuda devices
    is "${lines[-1]}" \
        "gpu:0: Fake GPU A, sm_90, 1.0 GiB, 1.0 GiB free, GPU 0: cannot load the kernels for sm_90: injected failure"
    grep -qE '^   gpu .*\(not on this machine\)$' <<<"$output"
}

# ---- no GPU

# says_no_gpu REASON ENV... - what each command says then
says_no_gpu() {
    local reason=$1 program=$2
    run -0 --separate-stderr "$program" devices
    is "${lines[-1]}" "gpu: none ($reason)"
    is "$stderr" ""
    run -2 --separate-stderr "$program" quantize w.npy -o out --device gpu
    is "$stderr" "mxfp4q: $reason"
    run -2 --separate-stderr "$program" quantize w.npy -o out --device gpu:all
    is "$stderr" "mxfp4q: $reason"
    run -2 --separate-stderr "$program" quantize w.npy -o out --kernel gpu
    is "$stderr" "mxfp4q: $reason"
    run -2 --separate-stderr "$program" gen --shape 64x64 --pattern zeros --golden -o out --device gpu
    is "$stderr" "mxfp4q: $reason"
    is "$(names_in .)" w.npy
    run -0 --separate-stderr "$program" quantize w.npy -o auto
    is "$stderr" ""
    rm auto.*
}

@test "without a runtime, each command says so in one line" {
    make_npy w.npy 64 64
    says_no_gpu "no GPU runtime: libcuda.so.1 is not there" "$BUILD/tests/mxfp4q-cuda"
    says_no_gpu "no GPU runtime: libamdhip64.so is not there" "$BUILD/tests/mxfp4q-hip"
}

@test "with a runtime but no GPU, too" {
    make_npy w.npy 64 64
    export FAKE_GPU_COUNT=0
    LD_LIBRARY_PATH=$BUILD/tests/fake/cuda says_no_gpu "no GPU: no device" "$BUILD/tests/mxfp4q-cuda"
    LD_LIBRARY_PATH=$BUILD/tests/fake/hip says_no_gpu "no GPU: no device" "$BUILD/tests/mxfp4q-hip"
}

@test "a runtime that is damaged or too old is told" {
    make_npy w.npy 64 64
    mkdir lib
    echo nonsense >lib/libcuda.so.1
    LD_LIBRARY_PATH=$PWD/lib run -2 --separate-stderr "$BUILD/tests/mxfp4q-cuda" quantize w.npy -o out --device gpu
    is "${#stderr_lines[@]}" 1
    [[ $stderr == "mxfp4q: no GPU runtime: "*"libcuda.so.1: "* ]]
    cp "$BUILD/tests/fake/hip/libamdhip64.so.7" lib/libcuda.so.1
    LD_LIBRARY_PATH=$PWD/lib run -2 --separate-stderr "$BUILD/tests/mxfp4q-cuda" quantize w.npy -o out --device gpu
    is "$stderr" "mxfp4q: the GPU runtime has no function cuInit"
}

@test "a GPU that is not there is refused by its number" {
    make_npy w.npy 64 64
    run -2 on_fake cuda quantize w.npy -o out --device gpu:1
    is "$(cat stderr)" "mxfp4q: no GPU 1: there is 1"
    FAKE_GPU_COUNT=2 run -2 on_fake cuda quantize w.npy -o out --device gpu:7
    is "$(cat stderr)" "mxfp4q: no GPU 7: there are 2"
}

# ---- this program on this machine

@test "the program under test uses the GPU of this machine, or says why it cannot" {
    local trouble
    make_matrix w.npy 704 896
    "$MXFP4Q" devices --json >devices.json
    trouble=$(json_value devices.json "['no_gpu']")
    rm devices.json
    if [ "$trouble" != None ]; then
        says_no_gpu "$trouble" "$MXFP4Q"
        skip "$trouble"
    fi
    works quantize w.npy --no-fsync -o cpu --device cpu
    works quantize w.npy --no-fsync -o gpu --device gpu
    same_buffers cpu gpu
    [[ $(json_value gpu.json "['backend']['device']") == gpu ]]
    make_bits m 5000 7001
    works quantize m.npy -q --nonfinite profile --no-fsync -f -o cpu --device cpu
    works quantize m.npy -q --nonfinite profile --no-fsync -f -o gpu --device gpu:all
    same_buffers cpu gpu
}

# ---- the library

@test "the GPU as a variant equals the scalar one, through both runtimes" {
    local kind
    for kind in cuda hip; do
        LD_LIBRARY_PATH=$BUILD/tests/fake/$kind FAKE_GPU_LOG=$PWD/log "$BUILD/tests/check_kernels-$kind" \
            --kernel gpu --rounds 150 >tap
        is "$(grep -c '^ok .* gpu equals scalar' tap) $(grep -c '^not ok' tap)" "7 0"
        [ "$(logged launch)" -gt 500 ]
        [ "$(logged left)" -le 2 ] # its context and its module stay
    done
}

@test "a GPU that fails is told by the variant, too" {
    LD_LIBRARY_PATH=$BUILD/tests/fake/cuda FAKE_GPU_FAIL=launch:40 run -1 "$BUILD/tests/check_kernels-cuda" --kernel gpu
    grep -q '^# no GPU, or one that failed' <<<"$output"
}

@test "slots, panels in flight, and timing do what the header says" {
    local kind
    for kind in cuda hip; do
        LD_LIBRARY_PATH=$BUILD/tests/fake/$kind FAKE_GPU_LOG=$PWD/log "$BUILD/tests/check_gpu-$kind" >tap
        is "$(grep -c '^ok ' tap) $(grep -ci 'not ok\|skip' tap)" "7 0"
        is "$(logged left)" 0
    done
}

# ---- make

@test "make refuses a HIP that it does not know, and one whose compiler is not there, in one line" {
    run -2 make -s -C "$ROOT" BUILD="$PWD/none" HIP=nonsense GPU_MODULE=
    is "$(grep -c 'HIP=nonsense: it is none, amd, amd-clang or nvidia' <<<"$output") ${#lines[@]}" "1 1"
    run -2 make -s -C "$ROOT" BUILD="$PWD/none" HIP=nvidia NVCC=/no/nvcc GPU_MODULE=
    is "$(grep -c 'HIP=nvidia needs /no/nvcc, which is not there' <<<"$output") ${#lines[@]}" "1 1"
    [ ! -e none ]
}

@test "device code from elsewhere makes a program for GPUs without their compiler" {
    case $(cat "$BUILD/.config") in *-fsanitize=* | *--coverage* | *" HIP=amd"* | *" HIP=nvidia"*) skip "built elsewhere" ;; esac
    make -s -C "$ROOT" BUILD="$PWD/other" HIP=amd HIPCC=/no/hipcc CFLAGS=-O0 GPU_MODULE="$ROOT/tests/unit/fixtures/fake_module" \
        "$PWD/other/mxfp4q" >/dev/null
    run -0 --separate-stderr other/mxfp4q devices
    is "${lines[-1]}" "gpu: none (no GPU runtime: libamdhip64.so is not there)"
    run -0 readelf -d other/mxfp4q
    [[ $output != *libamdhip* ]]
}
