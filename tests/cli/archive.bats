#!/usr/bin/env bats
# One .npz that takes all tensors: as a folder would, in a file.

# shellcheck disable=SC2154 # run sets stderr and its lines

load helper
load files

BUFFERS="rowwise_data rowwise_scale columnwise_data columnwise_scale"

# Three tensors in two inputs: in.npz with a and deep/b, and c.npy
make_inputs() {
    make_npy a.npy 64 128
    make_npy b.npy 37 101
    make_npy c.npy 320 96
    make_zip in.npz "${1:-stored}" a.npy=a.npy deep/b.npy=b.npy
    rm a.npy b.npy
}

# Unpacks with Python, which also compares checksums: unpack ARCHIVE FOLDER
unpack() {
    "$PYTHON" -m zipfile -t "$1" | grep -q 'Done testing' && "$PYTHON" -m zipfile -e "$1" "$2"
}

members() {
    "$PYTHON" -c 'import sys, zipfile; print("\n".join(zipfile.ZipFile(sys.argv[1]).namelist()))' "$1"
}

@test "an archive has what a folder has, byte for byte, in the order of the tensors" {
    local option name buffer
    make_inputs
    works quantize -q in.npz c.npy -o folder
    for option in -v --gzip --format=npz --format=npy; do
        rm -rf out.npz unpacked
        run -0 "$MXFP4Q" quantize -q in.npz c.npy -o out.npz "$option"
        is "$(names_in .)" "c.npy folder in.npz out.npz"
        unpack out.npz unpacked
        diff -r folder unpacked
        for name in a deep_b c; do
            for buffer in $BUFFERS; do echo "$name.$buffer.npy"; done
            echo "$name.json"
        done | diff - <(members out.npz)
    done
}

@test "one tensor makes an archive of results too" {
    make_npy w.npy 64 128
    works quantize w.npy -o out.npz
    works quantize w.npy -o out/
    unpack out.npz unpacked
    diff -r out unpacked
    works quantize w.npy -o one.npz --only columnwise_scale
    is "$(members one.npz | tr '\n' ' ')" "w.columnwise_scale.npy w.json "
    works quantize - -o std.npz --direction rowwise <w.npy
    is "$(members std.npz | tr '\n' ' ')" "stdin.rowwise_data.npy stdin.rowwise_scale.npy stdin.json "
}

@test "large members are what small ones are" {
    local option
    truncate -s 6M zeros
    { npy_header '<V2' '(1024, 3072)' && some_bytes 291840 && cat zeros; } | head -c $((128 + 2 * 1024 * 3072)) >w.npy
    make_npy s.npy 5 33
    works quantize -q s.npy w.npy -o folder --no-fsync
    for option in "-j 1" "-j 5" "--gzip -j 3"; do
        # shellcheck disable=SC2086 # words
        works quantize -qf s.npy w.npy -o out.npz --no-fsync $option
        rm -rf unpacked
        unpack out.npz unpacked
        diff -r folder unpacked
        sha256sum out.npz | cut -d ' ' -f 1 >>"sums${option:0:3}"
    done
    is "$(sort -u 'sums-j ' | wc -l)" 1
}

@test "results in an archive are read by name" {
    local option
    for option in -q --gzip; do
        rm -rf in.npz out.npz folder v*.npy l.* r.*
        make_inputs deflated
        works quantize -q in.npz c.npy -o folder
        works quantize -q in.npz c.npy -o out.npz "$option"
        works dequantize folder/deep_b -o v1.npy
        works dequantize out.npz/deep_b -o v2.npy
        works dequantize ./out.npz/deep_b.json -o v3.npy
        cmp v1.npy v2.npy
        cmp v1.npy v3.npy
        works convert -q folder/c -o l --layout linear
        works convert -q out.npz/c -o r --layout linear
        cmp l.columnwise_data.npy r.columnwise_data.npy
        run -0 "$MXFP4Q" diff out.npz/a folder/a
        diff <("$MXFP4Q" info folder/a | tail -n +2) <("$MXFP4Q" info out.npz/a | tail -n +2)
    done
}

@test "an archive of one result is that result" {
    make_npy w.npy 64 128
    works quantize w.npy -o out.npz
    works dequantize out.npz -o v1.npy
    works dequantize out.npz/w -o v2.npy
    cmp v1.npy v2.npy
    run -0 "$MXFP4Q" diff out.npz out.npz/w
}

@test "what is not in an archive is said" {
    make_inputs
    works quantize -q in.npz c.npy -o out.npz
    refuses '"out.npz": no member "x.json" in this archive' dequantize out.npz/x -o v.npy
    refuses '"out.npz": an archive with several manifests: name one result in it, as in ARCHIVE/NAME' dequantize out.npz -o v.npy
    refuses '"c.npy/x": cannot open: Not a directory' dequantize c.npy/x -o v.npy
    head -c 5000 out.npz >cut.npz
    run -2 --separate-stderr "$MXFP4Q" dequantize cut.npz/a -o v.npy
    is "${#stderr_lines[@]}" 1
    [[ $stderr == 'mxfp4q: "cut.npz": bad .npz archive: '* ]]
    is "$(names_in .)" "c.npy cut.npz in.npz out.npz"
}

@test "a manifest that is damaged inside an archive is refused" {
    local at
    make_npy w.npy 64 128
    works quantize w.npy -o out.npz
    at=$(grep -abo 'mxfp4q manifest' out.npz | cut -d : -f 1)
    printf x | dd of=out.npz bs=1 seek="$at" conv=notrunc status=none
    refuses '"out.npz": its member "w.json" cannot be read, or is damaged' dequantize out.npz/w -o v.npy
}

@test "two tensors of one name are refused, and nothing is left" {
    make_npy w.npy 64 128
    mkdir sub
    cp w.npy sub
    refuses '"out.npz": its member "w.rowwise_data.npy" would be written twice' quantize w.npy sub/w.npy -o out.npz
    make_zip in.npz stored a/b.npy=w.npy a_b.npy=w.npy
    refuses '"out.npz": its member "a_b.rowwise_data.npy" would be written twice' quantize in.npz -o out.npz
    refuses '"missing": cannot open: No such file or directory' quantize w.npy missing -o out.npz
    refuses 'quantize: an .npz holds .npy files, so there is no --format raw for it' quantize w.npy -o out.npz --format raw
    is "$(names_in .)" "in.npz sub w.npy"
}

@test "an archive is replaced with -f only, and no input ever" {
    make_npy w.npy 64 128
    echo old >out.npz
    refuses '"out.npz": already exists; --force replaces it' quantize w.npy -o out.npz
    is "$(cat out.npz)" old
    works quantize -f w.npy -o out.npz
    unpack out.npz unpacked
    make_zip in.npz stored a.npy=w.npy
    refuses '"in.npz": is the input itself' quantize -f in.npz -o in.npz
    refuses '"in.npz": is an input too' quantize -f w.npy in.npz -o in.npz
    mkdir dir.npz
    refuses '"dir.npz": is a folder' quantize -f w.npy -o dir.npz
    works quantize w.npy -o dir.npz/
    [ -e dir.npz/w.json ]
    works quantize w.npy -o .npz
    [ -e .npz.json ]
}

@test "--json names the manifests in the archive" {
    make_inputs
    run -0 --separate-stderr "$MXFP4Q" quantize -q in.npz c.npy -o out.npz --json
    echo "$output" >report
    is "$(json_value report "[2]['manifest']") $(json_value report "[1]['buffers']['rowwise_data']['file']")" \
        "out.npz/c.json deep_b.rowwise_data.npy"
}

@test "names that are not UTF-8 are found again" {
    local name=$'w\xff.npy'
    make_npy "$name" 64 128
    works quantize "$name" -o out.npz
    is "$(members out.npz | tail -n 1)" "w?.json"
    works dequantize 'out.npz/w?' -o v.npy
}

@test "more members than 16 bits count, in time that grows with their number" {
    [ -x "$PYTHON" ] || skip "$PYTHON is not installed"
    make_npy w.npy 1 32
    "$PYTHON" -c '
import sys, zipfile
w = open("w.npy", "rb").read()
with zipfile.ZipFile("in.npz", "w") as z:
    for i in range(14000):
        z.writestr(zipfile.ZipInfo("layer.%d.npy" % i), w)'
    works quantize -q in.npz -o out.npz --no-fsync --layout linear
    is "$(members out.npz | wc -l)" 70000
    is "$(members out.npz | tail -n 1)" layer.13999.json
    works quantize -q w.npy -o w --layout linear
    works dequantize w -o v1.npy
    works dequantize out.npz/layer.13999 -o v2.npy
    cmp v1.npy v2.npy
}

@test "a full disk is reported as that" {
    mkdir disk
    mount -t tmpfs -o size=64k none disk 2>/dev/null || skip "mount is not permitted"
    make_npy big.npy 384 384
    run -2 --separate-stderr "$MXFP4Q" quantize big.npy -o disk/out.npz
    umount disk
    is "${#stderr_lines[@]} ${stderr##*: }" "1 No space left on device"
}
