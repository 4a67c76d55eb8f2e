#!/usr/bin/env bats
# What is written, under which names, and that it appears whole or not at all.

# shellcheck disable=SC2016,SC2154 # run sets stderr and its lines; inner shells expand

load helper
load files

FIVE="w.columnwise_data.npy w.columnwise_scale.npy w.json w.rowwise_data.npy w.rowwise_scale.npy"

teardown() {
    [ -z "$job" ] || kill "$job" 2>/dev/null || true
    [ ! -d disk ] || umount disk 2>/dev/null || true
    nothing_is_left
}

# Starts the program in the background with these arguments and waits until it has temporary files in this folder.
start_job() {
    env --default-signal=INT,HUP "$MXFP4Q" "$@" >/dev/null 2>stderr 3>&- &
    job=$!
    local tries=0
    until compgen -G '.mxfp4q-*' >/dev/null || compgen -G '*/.mxfp4q-*' >/dev/null; do
        kill -0 "$job" && [ "$((tries += 1))" -lt 1000 ] && sleep 0.01
    done
}

# ---- names

@test "a prefix gets four buffers and a manifest, with .npy headers that say their shapes" {
    make_npy in.npy 64 128
    works quantize in.npy -o w
    is "$(names_in .)" "in.npy $FIVE"
    is "$(head -c 128 w.rowwise_data.npy | tr -d '\0' | tail -c +9 | sed 's/ *$//')" \
        "{'descr': '|u1', 'fortran_order': False, 'shape': (64, 64), }"
    is "$(stat -c %s w.rowwise_data.npy w.rowwise_scale.npy w.columnwise_data.npy w.columnwise_scale.npy | tr '\n' ' ')" \
        "4224 2176 4224 2176 "
}

@test "--format raw has the bytes of .npy without its header" {
    local buffer
    make_npy in.npy 64 128
    works quantize in.npy -o w
    works quantize in.npy -o w --format raw -f
    for buffer in rowwise_data rowwise_scale columnwise_data columnwise_scale; do
        tail -c +129 "w.$buffer.npy" | cmp - "w.$buffer.raw"
    done
}

@test "--format npz is one archive that others can read, and --gzip deflates it" {
    local buffer option
    [ -x "$PYTHON" ] || skip "$PYTHON is not installed"
    make_npy in.npy 64 128
    works quantize in.npy -o w
    for option in -q --gzip; do
        rm -f z.*
        works quantize in.npy -o z --format npz "$option"
        is "$(names_in . | grep -o 'z[.].*')" "z.json z.npz"
        rm -rf unpacked
        "$PYTHON" -m zipfile -t z.npz | grep -q 'Done testing'
        "$PYTHON" -m zipfile -e z.npz unpacked
        for buffer in rowwise_data rowwise_scale columnwise_data columnwise_scale; do
            cmp "w.$buffer.npy" "unpacked/$buffer.npy"
        done
        is "$(names_in unpacked)" "columnwise_data.npy columnwise_scale.npy rowwise_data.npy rowwise_scale.npy"
    done
    [ "$(stat -c %s z.npz)" -lt 12000 ]
}

@test "--gzip makes files that zcat reads" {
    local buffer
    make_npy in.npy 64 128
    works quantize in.npy -o w
    works quantize in.npy -o w --gzip -f
    works quantize in.npy -o r --format raw --gzip
    for buffer in rowwise_data rowwise_scale columnwise_data columnwise_scale; do
        zcat "w.$buffer.npy.gz" | cmp - "w.$buffer.npy"
        zcat "r.$buffer.raw.gz" | cmp - <(tail -c +129 "w.$buffer.npy")
    done
}

@test "a prefix that ends in a slash is a folder, made when it is missing" {
    make_npy w.npy 64 128
    works quantize w.npy -o out/
    is "$(names_in out)" "$FIVE"
    rm out/*
    works quantize w.npy -o out/
    is "$(names_in out)" "$FIVE"
}

@test "several inputs go into a folder under their own names" {
    make_npy w.npy 64 128
    mkdir in
    cp w.npy in/a.bf16.npy
    gzip <w.npy >in/b.npy.gz
    tail -c +129 w.npy >in/c.raw
    works quantize w.npy in/a.bf16.npy in/b.npy.gz -o out --only rowwise_data --format raw
    is "$(names_in out)" "a.bf16.json a.bf16.rowwise_data.raw b.json b.rowwise_data.raw w.json w.rowwise_data.raw"
    cmp out/w.rowwise_data.raw out/b.rowwise_data.raw
    # shellcheck disable=SC2094 # it is only read
    works quantize in/c.raw - -o raw --shape 64x128 --dtype bf16 --only rowwise_data --format raw <in/c.raw
    is "$(names_in raw)" "c.json c.rowwise_data.raw stdin.json stdin.rowwise_data.raw"
    cmp raw/c.rowwise_data.raw out/w.rowwise_data.raw
    cmp raw/c.rowwise_data.raw raw/stdin.rowwise_data.raw
}

@test "a folder that was made is removed again when the job fails, one that was there stays" {
    make_npy w.npy 64 128
    echo text >bad.npy
    refuses '"bad.npy": neither .npy, .npz nor gzip (give --shape and --dtype for a raw file)' quantize w.npy bad.npy -o out/
    refuses '"missing": cannot open: No such file or directory' quantize w.npy missing -o out
    is "$(names_in .)" "bad.npy w.npy"
    mkdir out
    refuses '"missing": cannot open: No such file or directory' quantize w.npy missing -o out
    is "$(names_in out)" ""
    touch out/other
    refuses '"missing": cannot open: No such file or directory' quantize w.npy missing -o out
    is "$(names_in out)" other
}

@test "two inputs of one name are refused" {
    make_npy w.npy 64 128
    mkdir sub
    cp w.npy sub
    refuses '"out/w.rowwise_data.npy": would be written twice' quantize w.npy sub/w.npy -o out
    refuses '"out/w.rowwise_data.npy": would be written twice' quantize w.npy w.npy -f -o out/
    is "$(names_in .)" "sub w.npy"
}

@test "a folder that cannot be made is refused" {
    make_npy w.npy 64 128
    refuses '"no/out": cannot make the folder: No such file or directory' quantize w.npy w.npy -o no/out
    refuses '"w.npy/out/": cannot make the folder: Not a directory' quantize w.npy -o w.npy/out/
    refuses '"w.npy": cannot make the folder: Not a directory' quantize w.npy w.npy -o w.npy
    refuses '"no/x.rowwise_data.npy": cannot create: No such file or directory' quantize w.npy -o no/x
    refuses '"w.npy/x.rowwise_data.npy": cannot create: Not a directory' quantize w.npy -o w.npy/x
    is "$(names_in .)" w.npy
}

@test "a name that is too long is refused" {
    local long
    make_npy w.npy 64 128
    printf -v long 'x%.0s' {1..250}
    refuses "\"$long.rowwise_data.npy\": cannot create: File name too long" quantize w.npy -o "$long"
    printf -v long '%s/' x{1..2000}
    run -2 --separate-stderr "$MXFP4Q" quantize w.npy -o "$long"
    is "${#stderr_lines[@]}" 1
    run -2 --separate-stderr "$MXFP4Q" quantize w.npy -o "${long}x"
    is "$stderr" "mxfp4q: cannot write the manifest: File name too long"
}

@test "a folder that may not be written to is refused" {
    no_root
    make_npy w.npy 64 128
    mkdir out
    chmod a-w out
    refuses '"out/x.rowwise_data.npy": cannot create: Permission denied' quantize w.npy -o out/x
    refuses '"out/sub": cannot make the folder: Permission denied' quantize w.npy w.npy -o out/sub
}

# ---- what is there already

@test "an existing output is refused and stays as it was, whichever of the five it is" {
    local name
    make_npy in.npy 64 128
    for name in $FIVE; do
        echo old >"$name"
        refuses "\"$name\": already exists; --force replaces it" quantize in.npy -o w
        is "$(names_in .) $(cat "$name")" "in.npy $name old"
        rm "$name"
    done
    echo old >w.npz
    refuses '"w.npz": already exists; --force replaces it' quantize in.npy -o w --format npz
    is "$(cat w.npz)" old
    echo old >w.rowwise_scale.npy.gz
    refuses '"w.rowwise_scale.npy.gz": already exists; --force replaces it' quantize in.npy -o w --gzip
    ln -s nowhere x.json
    refuses '"x.json": already exists; --force replaces it' quantize in.npy -o x
}

@test "-f replaces what is there, and leaves the rest" {
    make_npy in.npy 64 128
    make_npy in2.npy 96 192
    works quantize in.npy -o w
    works quantize -q in2.npy -o fresh
    works quantize -q -f in2.npy -o w
    cmp w.rowwise_data.npy fresh.rowwise_data.npy
    cmp w.columnwise_scale.npy fresh.columnwise_scale.npy
    works quantize --force -q in2.npy -o w --only rowwise_data
    is "$(names_in . | tr ' ' '\n' | grep -c '^w[.]')" 5
}

@test "-f replaces a link itself, not what it points to" {
    make_npy in.npy 64 128
    echo precious >target
    ln -s target w.rowwise_data.npy
    works quantize -f in.npy -o w
    is "$(cat target)" precious
    [ ! -L w.rowwise_data.npy ]
}

@test "-f does not replace folders and devices" {
    make_npy in.npy 64 128
    mkdir w.json
    refuses '"w.json": is a folder' quantize -f in.npy -o w
    mkfifo x.rowwise_scale.npy
    refuses '"x.rowwise_scale.npy": is not a regular file' quantize -f in.npy -o x
    is "$(names_in .)" "in.npy w.json x.rowwise_scale.npy"
}

@test "the input is not replaced, under no name and not with -f" {
    make_npy in.npy 64 128
    cp in.npy w.rowwise_data.npy
    refuses '"w.rowwise_data.npy": already exists; --force replaces it' quantize w.rowwise_data.npy -o w
    refuses '"w.rowwise_data.npy": is the input itself' quantize -f w.rowwise_data.npy -o w
    refuses '"w.rowwise_data.npy": is the input itself' quantize -f - -o w <w.rowwise_data.npy
    ln -s w.rowwise_data.npy symbolic
    refuses '"w.rowwise_data.npy": is the input itself' quantize -f symbolic -o w
    ln w.rowwise_data.npy hard
    refuses '"./w.rowwise_data.npy": is the input itself' quantize -f hard -o ./w
    ln -s in.npy x.json
    refuses '"x.json": is the input itself' quantize -f in.npy -o x
    cp in.npy y.npz
    refuses '"y.npz": is the input itself' quantize -f y.npz -o y --format npz
    cmp in.npy w.rowwise_data.npy
    cmp in.npy y.npz
    is "$(names_in .)" "hard in.npy symbolic w.rowwise_data.npy x.json y.npz"
}

@test "no input among several is replaced by the output of another" {
    make_npy w.npy 64 128
    mkdir out
    cp w.npy out/w.columnwise_scale.npy
    refuses '"out/w.columnwise_scale.npy": is an input too' quantize -f w.npy out/w.columnwise_scale.npy -o out
    refuses '"out/w.columnwise_scale.npy": is an input too' quantize -f out/w.columnwise_scale.npy w.npy -o out
    cmp w.npy out/w.columnwise_scale.npy
    is "$(names_in out)" w.columnwise_scale.npy
}

@test "permissions are those of any new file" {
    make_npy in.npy 64 128
    (umask 027 && works quantize in.npy -o w)
    (umask 077 && works quantize in.npy -o x --format npz --gzip)
    (umask 0 && works quantize in.npy -o y/)
    is "$(stat -c %a w.json w.rowwise_data.npy x.npz x.json y y/in.rowwise_scale.npy | tr '\n' ' ')" \
        "640 640 600 600 777 666 "
}

# ---- one buffer

@test "--only writes one buffer, and its manifest" {
    local buffer
    make_npy in.npy 64 128
    works quantize in.npy -o w
    for buffer in rowwise_data rowwise_scale columnwise_data columnwise_scale; do
        works quantize in.npy -o one --only "$buffer"
        is "$(echo one.*)" "$(printf '%s\n' one.json "one.$buffer.npy" | sort | tr '\n' ' ' | sed 's/ $//')"
        cmp "w.$buffer.npy" "one.$buffer.npy"
        rm one.*
    done
}

@test "-o - writes one buffer to standard output, and no file" {
    make_npy in.npy 64 128
    works quantize in.npy -o w
    "$MXFP4Q" quantize in.npy --only rowwise_scale -o - >scale.npy
    cmp scale.npy w.rowwise_scale.npy
    "$MXFP4Q" quantize in.npy --only columnwise_data --format raw --gzip -o - | zcat >data.raw
    cmp data.raw <(tail -c +129 w.columnwise_data.npy)
    "$MXFP4Q" quantize - --only rowwise_data -o - <in.npy | cmp - w.rowwise_data.npy
    rm scale.npy data.raw w.*
    is "$(names_in .)" in.npy
}

@test "standard output takes one buffer of one tensor and nothing else" {
    make_npy in.npy 64 128
    refuses 'quantize: -o - takes one buffer: say which with --only' quantize in.npy -o -
    refuses '"in.npy": standard output takes one tensor (see --member)' quantize in.npy in.npy -o - --only rowwise_data
    refuses '"standard output": cannot take an .npz archive' quantize in.npy -o - --only rowwise_data --format npz
    refuses 'quantize: standard output carries the buffer, so there is no room for --json or --report' \
        quantize in.npy -o - --only rowwise_data --json
    refuses 'quantize: standard output carries the buffer, so there is no room for --json or --report' \
        quantize in.npy -o - --only rowwise_data --report
    make_zip in.npz stored a.npy=in.npy b.npy=in.npy
    refuses '"in.npz": standard output takes one tensor (see --member)' quantize in.npz -o - --only rowwise_data
}

@test "bytes are not written to a terminal unless -f is given" {
    script -qec true /dev/null </dev/null >/dev/null 2>&1 || skip "no pseudo-terminal can be had here"
    make_npy in.npy 64 128
    run script -qec "'$MXFP4Q' quantize in.npy -o - --only rowwise_scale" /dev/null </dev/null
    is "$status ${lines[0]%$'\r'}" "2 mxfp4q: quantize: standard output is a terminal; -f writes to it all the same"
    run script -qec "'$MXFP4Q' quantize -f in.npy -o - --only rowwise_scale | wc -c; '$MXFP4Q' quantize -f in.npy -o - --only rowwise_scale >/dev/tty" /dev/null </dev/null
    is "$status ${lines[0]%$'\r'}" "0 2176"
}

# ---- disks and pipes that take no more

@test "a full device is reported as that" {
    make_npy in.npy 64 128
    run -2 --separate-stderr bash -c '"$MXFP4Q" quantize in.npy -o - --only rowwise_data >/dev/full'
    is "$stderr" 'mxfp4q: "standard output": cannot write: No space left on device'
    run -2 --separate-stderr bash -c '"$MXFP4Q" quantize in.npy -o w --json >/dev/full'
    is "$stderr" 'mxfp4q: standard output: No space left on device'
}

@test "a full disk is reported as that, and the old result stays" {
    local option
    mkdir disk
    mount -t tmpfs -o size=256k none disk 2>/dev/null || skip "mount is not permitted"
    make_npy small.npy 64 128
    make_npy big.npy 384 384
    for option in --format=npy --format=npz --gzip; do
        "$MXFP4Q" quantize -q small.npy -o disk/w "$option"
        (cd disk && sha256sum -- *) >before
        head -c 200k /dev/zero >disk/filler
        run -2 --separate-stderr "$MXFP4Q" quantize -f big.npy -o disk/w "$option"
        rm disk/filler
        (cd disk && sha256sum -- *) >after
        is "${#stderr_lines[@]} ${stderr##*: }" "1 No space left on device"
        cmp before after
        is "$(find disk -name '.*')" ""
        rm disk/*
    done
    head -c 200k /dev/zero >disk/filler
    run -2 --separate-stderr env TMPDIR=disk "$MXFP4Q" quantize big.npy -o w --gzip
    is "$stderr" 'mxfp4q: "disk": cannot set aside 73728 bytes: No space left on device'
    is "$(names_in disk)" filler
    is "$(names_in .)" "after before big.npy disk small.npy"
}

@test "a limit of the file size is reported like a full disk" {
    make_npy big.npy 384 384
    run -2 --separate-stderr bash -c 'ulimit -f 32 && "$MXFP4Q" quantize big.npy -o w'
    is "${#stderr_lines[@]} ${stderr##*: }" "1 File too large"
    is "$(names_in .)" big.npy
}

@test "a reader that goes away is an error" {
    truncate -s 8M big.raw
    run -0 bash -c '"$MXFP4Q" quantize big.raw --shape 2048x2048 --dtype bf16 --only rowwise_data -o - 2>stderr | head -c 1 >/dev/null; echo "${PIPESTATUS[0]}"'
    is "$output" 2
    is "$(cat stderr)" 'mxfp4q: "standard output": cannot write: Broken pipe'
}

@test "a folder for temporary files that is missing is named" {
    make_npy in.npy 64 128
    run -2 --separate-stderr env TMPDIR=/nonexistent "$MXFP4Q" quantize in.npy -o w --gzip
    is "$stderr" 'mxfp4q: "/nonexistent": cannot create a temporary file in this folder: No such file or directory'
    is "$(names_in .)" in.npy
    works quantize in.npy -o w
    run -0 env TMPDIR= "$MXFP4Q" quantize in.npy -o x --gzip
}

# ---- signals

@test "a signal during a long run leaves nothing and ends the program as a signal does" {
    local pair
    truncate -s 1G big.raw
    for pair in INT=130 TERM=143 HUP=129; do
        start_job quantize big.raw --shape 16384x32768 --dtype bf16 --direction rowwise -o out/ --no-fsync
        kill -s "${pair%=*}" "$job"
        status=0
        wait "$job" || status=$?
        is "$status" "${pair#*=}"
        is "$(ls -A)" $'big.raw\nstderr'
        is "$(cat stderr)" ""
    done
}

@test "a signal while standard input is awaited leaves nothing, and the old result" {
    local option
    make_npy w.npy 64 128
    works quantize w.npy -o w
    sha256sum w.* >before
    mkfifo fifo
    exec 9<>fifo
    for option in --format=npy --format=npz --gzip; do
        head -c 1000 /dev/zero >&9
        start_job quantize -f fifo --shape 4096x4096 --dtype bf16 -o w "$option"
        kill -s TERM "$job"
        status=0
        wait "$job" || status=$?
        is "$status" 143
        is "$(find . -name '.*' ! -name .)" ""
        sha256sum -c --quiet before
    done
    exec 9>&-
}

@test "a signal that the caller ignores is ignored" {
    mkfifo fifo
    make_npy in.npy 64 128
    exec 9<>fifo
    (trap '' HUP && exec "$MXFP4Q" quantize fifo -o w >/dev/null 2>&1 3>&- 9>&-) &
    job=$!
    sleep 0.1
    kill -s HUP "$job"
    cat in.npy >fifo
    exec 9>&-
    wait "$job"
    [ -e w.json ]
}

# ---- the same bytes

@test "the same job gives the same bytes again, with any number of threads and from any container" {
    local args
    truncate -s 3M zeros
    { npy_header '<V2' '(1536, 3072)' && some_bytes 291840 && cat zeros && some_bytes 100000 && head -c 5899616 /dev/zero; } |
        head -c $((128 + 2 * 1536 * 3072)) >w.npy
    gzip -1 <w.npy >w2.npy
    mkdir a b
    works quantize w.npy -o a/w --no-fsync -j 1 --gzip --format npz
    works quantize w.npy -o b/w --no-fsync -j 7 --gzip --format npz
    diff -r a b
    rm a/* b/*
    works quantize w.npy -o a/w --no-fsync -j 1 --gzip
    works quantize w.npy -o b/w --no-fsync -j 7 --gzip
    diff -r a b
    rm a/* b/*
    works quantize w.npy -o a/w --no-fsync -j 1
    for args in "w2.npy -j 7" "w2.npy -j 1" "- -j 3"; do
        # shellcheck disable=SC2086 # words
        works quantize $args -o b/w --no-fsync -f <w.npy
        rm b/w.json
        diff -r -x w.json a b
    done
}

@test "there may be more inputs than files that can be open" {
    local i
    make_npy w.npy 2 32
    for i in $(seq 40); do cp w.npy "w$i.npy"; done
    ulimit -n 64
    works quantize w?*.npy -o out --no-fsync -q
    is "$(find out -type f | wc -l)" 200
}
