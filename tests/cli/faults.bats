#!/usr/bin/env bats
# Every call that can fail is made to fail: then the result is right, or there is none and the old one stays.

load helper
load files

setup() {
    local build=${BUILD:-$ROOT/build}
    case $(cat "$build/.config") in
    *-fsanitize=*) skip "sanitizers replace the functions that are made to fail" ;;
    esac
    FAIL_CALLS=$build/tests/fail_calls.so
    [ -e "$FAIL_CALLS" ]
    enter_empty_folder
}

# Runs the program with a call failing as told, and sets status. What gcov says is not the program's.
run_failing() {
    status=0
    LD_PRELOAD=$FAIL_CALLS MXFP4Q_FAIL=$1 MXFP4Q_FAIL_COUNT=$PWD/count "$MXFP4Q" "${@:2}" >stdout 2>stderr </dev/null ||
        status=$?
    if grep -q '^profiling:' stderr; then sed -i '/^profiling:/d' stderr; fi
    mapfile -t messages <stderr
}

# Whether the run before had no call left to fail.
has_ended() {
    [[ $(<count) == *"failed 0" ]]
}

# All files of a folder with their bytes; after an unlink() that fails, temporary ones may remain.
bytes_in() {
    (
        cd "$1" && shopt -s dotglob nullglob && GLOBIGNORE=$tolerated && files=(*)
        [ "${#files[@]}" -eq 0 ] || md5sum "${files[@]}"
    )
}

# Makes a small input, the result of a job in $new, and in the folder old what it may have to replace.
prepare() {
    tolerated=
    waits=--no-fsync
    out=${out:-w}
    make_npy w.npy 64 64
    rm -rf out old
    mkdir out old
    "$MXFP4Q" quantize -j 1 w.npy -o "out/$out" "$@"
    "$MXFP4Q" quantize -j 1 w.npy -o "old/$out" "$@" --profile ggml --pad-fill 9
    new=$(bytes_in out)
    before=$(bytes_in old)
}

# run_at CALL:N:EFFECT none|old ARGS... - one run, for a new result or for one that replaces an old one. With status 0 the
# result is new and all is silent, else what was there before is there, and one line was said.
run_at() {
    local fault=$1 what=$2
    shift 2
    rm -rf out
    if [ "$what" = none ]; then
        mkdir out
        run_failing "$fault" quantize -j 1 w.npy -o "out/$out" "$waits" "$@"
    else
        cp -r old out
        run_failing "$fault" quantize -f -j 1 w.npy -o "out/$out" "$waits" "$@"
    fi
    check_outcome "$what" || { echo "$fault $what $*: status $status, ${messages[*]}" && false; }
}

check_outcome() {
    local there=
    [ "$1" = none ] || there=$before
    case $status in
    0) is "${messages[*]}" "" && is "$(bytes_in out)" "$new" ;;
    2) is "${#messages[@]} ${messages[0]:0:8}" "1 mxfp4q: " && [ "${#messages[0]}" -gt 15 ] && is "$(bytes_in out)" "$there" ;;
    *) false ;;
    esac
}

# try_each CALL EFFECT STEP ARGS... - with call 1, 1 + STEP, 1 + 2 * STEP ... failing, until it is not made any more
try_each() {
    local call=$1 effect=$2 step=$3 what n nfailed=0 nruns=0
    shift 3
    for what in none old; do
        for ((n = 1; ; n += step)); do
            run_at "$call:$n:$effect" "$what" "$@" || return
            if has_ended; then break; fi
            nruns=$((nruns + 1))
            [ "$status" -eq 0 ] || nfailed=$((nfailed + 1))
        done
    done
    echo "$call $effect $*: $nruns runs, $nfailed failed"
    [ "$nruns" -gt 0 ]
}

# The same for each format.
try_formats() {
    local format
    for format in --format=npy --format=npz --gzip; do
        prepare "$format"
        try_each "$@" "$format" || return
    done
}

# What cannot be written, read or made is told, and what can be repeated is.

@test "a write that fails leaves no new result and the old one" {
    try_formats write ENOSPC 1
    try_formats pwrite EIO 1
}

@test "a file that cannot be synced, closed, opened or examined leaves no new result and the old one" {
    try_formats close EIO 1
    prepare
    try_each fstat EIO 1
    try_each stat EACCES 1
    waits=-q
    try_each fsync EIO 1
    try_each open EMFILE 1
}

@test "permissions that cannot be set leave no new result and the old one" {
    prepare --format=npz
    try_each fchmod EPERM 1 --format=npz
}

@test "a name that cannot be given leaves no new result and the old one" {
    prepare
    try_each rename EIO 1
    try_each rename EINVAL 1
    try_each rename EXDEV 1
    try_each lstat EIO 1
    prepare --format=npz
    try_each rename EIO 1 --format=npz
}

@test "space that cannot be set aside leaves no new result and the old one" {
    try_formats fallocate ENOSPC 1
    prepare --format=npz
    try_each fallocate EOPNOTSUPP 1 --format=npz
    try_each ftruncate EIO 1 --format=npz
    prepare --gzip
    try_each mmap ENOMEM 1 --gzip
    try_each mkstemp EACCES 1 --gzip
}

@test "an input that cannot be read leaves no new result and the old one" {
    try_formats pread EIO 1
    prepare
    try_each read EIO 1
}

@test "an archive of results that cannot be written leaves no new one and the old one" {
    local call option
    out=all.npz
    for option in -q --gzip; do
        prepare "$option"
        for call in pwrite:ENOSPC ftruncate:EIO fchmod:EPERM close:EIO rename:EIO calloc:ENOMEM realloc:ENOMEM; do
            try_each "${call%:*}" "${call#*:}" 1 "$option"
        done
        try_each malloc ENOMEM 11 "$option"
        run_at pwrite:1+:short old "$option"
        is "$status" 0
    done
}

@test "a file system without links or renames that do not replace is good enough" {
    local format
    for format in --format=npy --gzip; do
        prepare "$format"
        run_at link:1+:EPERM old "$format"
        is "$status" 0
        run_at link:1+:EPERM none "$format"
        is "$status" 0
        run_at rename:1:EINVAL none "$format"
        is "$status" 0
    done
    prepare
    try_each link EPERM 1
    try_each link EEXIST 1
    try_each link EIO 1
}

@test "a file that cannot be removed costs no result" {
    prepare --format=npy
    tolerated='.mxfp4q-*'
    try_each unlink EIO 1 --format=npy
    prepare --gzip
    tolerated='.mxfp4q-*'
    try_each unlink EIO 1 --gzip
    rm -rf "${TMPDIR:?}"/* out
}

@test "calls that are interrupted or move few bytes are repeated" {
    local call format n
    for format in --format=npy --format=npz --gzip; do
        prepare "$format"
        for call in write pwrite pread; do
            run_at "$call:1+:short" old "$format"
            is "$status" 0
        done
    done
    prepare
    waits=-q
    for call in open write pwrite pread fsync fallocate close; do
        for n in 1 2 3 4 5 6 7; do
            run_at "$call:$n:EINTR" old
            is "$call:$n $status" "$call:$n 0"
        done
    done
}

@test "the end of memory leaves no new result and the old one" {
    prepare
    run_at malloc:1:ENOMEM none
    try_each malloc ENOMEM 11
    try_formats calloc ENOMEM 1
    prepare
    try_each realloc ENOMEM 1
}

@test "the end of memory while archives and gzip are written leaves no new result and the old one" {
    prepare --format=npz --gzip
    try_each malloc ENOMEM 17 --format=npz --gzip
    prepare --gzip
    try_each malloc ENOMEM 23 --gzip
}

@test "when everything fails from some call on, the bytes of the old result are still there" {
    local call n sum
    prepare
    for call in write pwrite close open malloc calloc; do
        for n in 1 2 5; do
            run_at "$call:$n+:EIO" old
            run_at "$call:$n+:EIO" none
        done
    done
    for n in 1 2 3 4 5; do
        rm -rf out
        cp -r old out
        run_failing "rename:$n+:EIO" quantize -f -j 1 w.npy -o out/w
        is "$status ${#messages[@]}" "2 1"
        for sum in $(bytes_in old | cut -d ' ' -f 1); do
            bytes_in out | grep -q "^$sum"
        done
        # what cannot be restored is told
        [ "$n" -eq 1 ] || [[ ${messages[0]} == *"what it was is kept as out/.mxfp4q-"* ]]
    done
    rm -r out
}

@test "threads that cannot be started are done without" {
    truncate -s 24M big.raw
    "$MXFP4Q" quantize -j 1 big.raw --shape 3072x4096 --dtype bf16 --no-fsync -o one
    for n in 1 2 3; do
        run_failing "pthread_create:$n:EAGAIN" quantize -f -j 4 big.raw --shape 3072x4096 --dtype bf16 --no-fsync -o four
        is "$status ${messages[*]}" "0 "
        cmp one.rowwise_data.npy four.rowwise_data.npy
        grep -qx 'failed 1' count
    done
    run_failing "calloc:8+:ENOMEM" quantize -f -j 4 big.raw --shape 3072x4096 --dtype bf16 --no-fsync -o four
    is "${#messages[@]}" "$((status / 2))"
}

@test "a folder that was made is removed when a call fails" {
    local call
    prepare
    for call in write pwrite fsync fchmod rename calloc mkdir; do
        rm -rf out
        run_failing "$call:1:EROFS" quantize w.npy -o out/ --profile aiter
        if [ "$call" = rename ]; then
            is "$status" 0
        else
            is "$call $status ${#messages[@]}" "$call 2 1"
            [ ! -e out ]
        fi
    done
}

# A signal comes before a call, which then goes on.
@test "a signal at any moment leaves the old result or the new one, and no temporary file" {
    local call n left step
    prepare
    for call in open write pwrite fchmod fstat lstat link rename close unlink malloc; do
        step=1
        if [ "$call" = malloc ]; then step=29; fi
        for ((n = 1; ; n += step)); do
            rm -rf out
            cp -r old out
            run_failing "$call:$n:SIGTERM" quantize --no-fsync -f -j 1 w.npy -o out/w
            if [ "$status" -eq 0 ]; then break; fi
            is "$call:$n $status ${messages[*]}" "$call:$n 143 "
            left=$(bytes_in out)
            [ "$left" = "$before" ] || is "$left" "$new"
        done
    done
}

@test "a signal at any moment removes the folder that was made, or leaves the whole result in it" {
    local call n
    prepare
    for call in mkdir open write pwrite fsync fchmod close rename; do
        for ((n = 1; ; n++)); do
            rm -rf out
            run_failing "$call:$n:SIGINT" quantize -j 1 w.npy -o out/
            if [ "$status" -eq 0 ]; then break; fi
            is "$call:$n $status ${messages[*]}" "$call:$n 130 "
            [ ! -e out ] || is "$(bytes_in out)" "$new"
        done
    done
}

@test "info, devices and selftest survive the end of memory" {
    local n command
    make_npy w.npy 64 64
    "$MXFP4Q" quantize w.npy -o w
    for command in "info w.npy w" "info --json w w.npy" "devices --json" "quantize -f w.npy -o w --json --report" \
        "selftest --case 5" "selftest --case 5 --json"; do
        # shellcheck disable=SC2086 # words
        "$MXFP4Q" $command >expected
        for ((n = 1; ; n += 17)); do
            # shellcheck disable=SC2086
            run_failing "malloc:$n:ENOMEM" $command
            if has_ended; then break; fi
            if [ "$status" -eq 0 ]; then
                cmp stdout expected || { echo "malloc:$n $command" && false; }
            else
                is "malloc:$n $command $status ${#messages[@]}" "malloc:$n $command 2 1"
            fi
        done
    done
}
