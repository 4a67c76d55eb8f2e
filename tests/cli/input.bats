#!/usr/bin/env bats
# What can be read: types, containers and kinds of files, and what is refused.

# shellcheck disable=SC2016,SC2154 # inner shells expand; run sets stderr and its lines

load helper
load files

# ---- types

@test "BF16 is <V2, |V2 and bfloat16, and 16-bit integers with --dtype bf16" {
    local descr
    make_npy w.npy 6 40
    quantized expected w.npy
    for descr in '|V2' bfloat16; do
        { npy_header "$descr" '(6, 40)' && some_bytes 480; } >x.npy
        quantized got x.npy
        cmp expected got
        quantized got x.npy --dtype bf16
        cmp expected got
    done
    for descr in '<u2' '|u2' '=u2' '<i2' '|i2' '=i2'; do
        { npy_header "$descr" '(6, 40)' && some_bytes 480; } >x.npy
        quantized got x.npy --dtype bf16
        cmp expected got
    done
    for descr in '>u2' '>i2'; do
        { npy_header "$descr" '(6, 40)' && some_bytes 480 | swapped_16; } >x.npy
        quantized got x.npy --dtype bf16
        cmp expected got
    done
}

@test "FP16 is <f2, =f2 and >f2, and what has 16 bits without a meaning with --dtype f16" {
    local descr
    { npy_header '<f2' '(6, 40)' && some_bytes 480; } >w.npy
    quantized expected w.npy
    for descr in '=f2' '<u2' '<i2' '|V2' '<V2'; do
        { npy_header "$descr" '(6, 40)' && some_bytes 480; } >x.npy
        quantized got x.npy --dtype f16
        cmp expected got
    done
    { npy_header '>f2' '(6, 40)' && some_bytes 480 | swapped_16; } >x.npy
    quantized got x.npy
    cmp expected got
    make_npy bf16.npy 6 40
    quantized got bf16.npy
    run ! cmp expected got
}

@test "FP32 is <f4, =f4 and >f4" {
    { npy_header '<f4' '(6, 40)' && some_bytes 960; } >w.npy
    quantized expected w.npy
    { npy_header '=f4' '(6, 40)' && some_bytes 960; } >x.npy
    quantized got x.npy
    cmp expected got
    { npy_header '>f4' '(6, 40)' && some_bytes 960 | swapped_32; } >x.npy
    quantized got x.npy --dtype f32
    cmp expected got
}

@test "16-bit integers without --dtype are refused" {
    local descr
    for descr in '<u2' '>u2' '=u2' '|u2' '<i2' '>i2' '=i2' '|i2'; do
        { npy_header "$descr" '(2, 3)' && some_bytes 12; } >x.npy
        refuses "\"x.npy\": its type is '$descr': say what these 16 bits are (--dtype bf16|f16)" quantize x.npy -o y
    done
}

@test "a --dtype that contradicts the file is refused" {
    { npy_header '<f4' '(2, 3)' && some_bytes 24; } >x.npy
    refuses "\"x.npy\": its type is '<f4', which cannot be read as bf16" quantize x.npy -o y --dtype bf16
    { npy_header '<f2' '(2, 3)' && some_bytes 12; } >x.npy
    refuses "\"x.npy\": its type is '<f2', which cannot be read as bf16" quantize x.npy -o y --dtype bf16
    { npy_header '<u2' '(2, 3)' && some_bytes 12; } >x.npy
    refuses "\"x.npy\": its type is '<u2', which cannot be read as f32" quantize x.npy -o y --dtype f32
    is "$(names_in .)" x.npy
}

@test "any other type is refused with the list of those that are accepted" {
    local descr accepted='<V2 |V2 bfloat16 <f4 >f4 =f4 <f2 >f2 =f2 <u2 >u2 =u2 |u2 <i2 >i2 =i2 |i2'
    for descr in '<f8' '<i4' '|u1' '|b1' '<c8' '|O' '>V2' '|S2' '<U1' '|V1' '<V4' '' f4; do
        { npy_header "$descr" '(2, 3)' && some_bytes 48; } >x.npy
        refuses "\"x.npy\": cannot read elements of type '$descr' (accepted are $accepted)" quantize x.npy -o y
    done
}

# ---- shapes

@test "versions 1.0, 2.0 and 3.0 of .npy are read alike" {
    make_npy w.npy 6 40
    quantized expected w.npy
    { printf '\x93NUMPY\x02\x00\x76\x00\x00\x00' && tail -c +11 w.npy; } >x.npy
    quantized got x.npy
    cmp expected got
    { printf '\x93NUMPY\x03\x00\x76\x00\x00\x00' && tail -c +11 w.npy; } >x.npy
    quantized got x.npy
    cmp expected got
}

@test "a header may be written as people and old programs write it" {
    local text
    make_npy w.npy 6 40
    quantized expected w.npy
    while read -r text; do
        { npy_header_with "$text" && some_bytes 480; } >x.npy
        quantized got x.npy
        cmp expected got
    done <<'TEXTS'
{"shape":(6,40),"fortran_order":False,"descr":"<V2"}
  { 'fortran_order' : False , 'descr' : "|V2" , 'shape' : ( 6 , 40 , ) , }
{'descr': '<V2', 'fortran_order': False, 'shape': (6L, 40L), }
TEXTS
}

@test "a scalar is a matrix of one row and one column" {
    { npy_header '<f4' '()' && some_bytes 4; } >x.npy
    quantized got x.npy
    some_bytes 4 >w.raw
    quantized expected w.raw --shape 1x1 --dtype f32
    cmp expected got
    quantized got w.raw --shape scalar --dtype f32
    cmp expected got
    quantized got w.raw --shape '' --dtype f32
    cmp expected got
    quantized got x.npy --flatten 0
    cmp expected got
}

@test "a vector is one row" {
    { npy_header '<V2' '(70,)' && some_bytes 140; } >x.npy
    make_npy w.npy 1 70
    quantized expected w.npy
    quantized got x.npy
    cmp expected got
    make_npy w.npy 70 1
    quantized expected w.npy
    quantized got x.npy --flatten 1
    cmp expected got
}

@test "32 axes are read, 33 are refused" {
    local ones='1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1'
    { npy_header '<V2' "($ones, 3, 40)" && some_bytes 240; } >x.npy
    quantized got x.npy
    make_npy w.npy 3 40
    quantized expected w.npy
    cmp expected got
    some_bytes 240 >x.raw
    quantized got x.raw --dtype bf16 --shape "${ones//, /x}x3x40"
    cmp expected got
    { npy_header '<V2' "($ones, 1, 3, 40)" && some_bytes 240; } >x.npy
    refuses '"x.npy": bad .npy header: more than 32 dimensions (at byte 147)' quantize x.npy -o y
    refuses "--shape: \"${ones//, /x}x1x3x40\" is not a shape like 8x32x1024 of at most 32 sizes" \
        quantize x.raw -o y --dtype bf16 --shape "${ones//, /x}x1x3x40"
}

@test "--flatten takes the axes before it as rows, and counts from the end when negative" {
    local pair
    some_bytes 1680 >x.raw
    for pair in 0=1x840 1=4x210 2=20x42 3=120x7 4=840x1 -1=120x7 -2=20x42 -4=1x840; do
        quantized expected x.raw --dtype bf16 --shape "${pair#*=}"
        quantized got x.raw --dtype bf16 --shape 4x5x6x7 --flatten "${pair%=*}"
        cmp expected got
    done
    quantized got x.raw --dtype bf16 --shape 4x5x6x7
    quantized expected x.raw --dtype bf16 --shape 120x7
    cmp expected got
}

@test "an axis that the tensor does not have is refused" {
    some_bytes 1680 >x.raw
    refuses '"x.raw": no axis 5 to flatten at: the tensor has rank 4' \
        quantize x.raw --dtype bf16 --shape 4x5x6x7 --flatten 5 -o y
    refuses '"x.raw": no axis -5 to flatten at: the tensor has rank 4' \
        quantize x.raw --dtype bf16 --shape 4x5x6x7 --flatten -5 -o y
    refuses '--flatten: "33" is not a number from -32 to 32' quantize x.raw --flatten 33 -o y
    refuses '--flatten: "last" is not a number from -32 to 32' quantize x.raw --flatten last -o y
    is "$(names_in .)" x.raw
}

@test "a tensor without elements gives buffers without bytes" {
    local shape
    for shape in '(0,)' '(0, 64)' '(64, 0)' '(3, 0, 5)' '(0, 1000000000000)'; do
        npy_header '<V2' "$shape" >x.npy
        works quantize -q x.npy -o y/ --format raw --layout linear
        is "$(names_in y)" "x.columnwise_data.raw x.columnwise_scale.raw x.json x.rowwise_data.raw x.rowwise_scale.raw"
        [ ! -s y/x.rowwise_data.raw ]
        [ ! -s y/x.rowwise_scale.raw ]
        [ ! -s y/x.columnwise_data.raw ]
        [ ! -s y/x.columnwise_scale.raw ]
        rm -r y
    done
    works quantize x.npy -o y --gzip
    works quantize x.npy -o v --format npz
    works quantize /dev/null --shape 0x8 --dtype f32 -o z
    works quantize - --shape 8x0 --dtype f32 -o stdin </dev/null
    works info x.npy y v z stdin
}

@test "Fortran order is read right from a file, gzip, an archive and a pipe" {
    { npy_header '<V2' '(40, 6)' True && some_bytes 480; } >f.npy
    make_npy w.npy 6 40
    works quantize f.npy -o f --layout linear --format raw --no-fsync
    works quantize w.npy -o w --layout linear --format raw --no-fsync
    cmp f.rowwise_data.raw w.columnwise_data.raw
    cmp f.rowwise_scale.raw w.columnwise_scale.raw
    cmp f.columnwise_data.raw w.rowwise_data.raw
    cmp f.columnwise_scale.raw w.rowwise_scale.raw

    quantized expected f.npy
    gzip f.npy
    quantized got f.npy.gz
    cmp expected got
    gunzip f.npy.gz
    quantized got - < <(cat f.npy)
    cmp expected got
    make_zip f.npz deflated a.npy=f.npy
    quantized got f.npz
    cmp expected got
}

@test "Fortran order means nothing where one axis is as long as the tensor" {
    { npy_header '<V2' '(1, 70, 1)' True && some_bytes 140; } >f.npy
    { npy_header '<V2' '(1, 70, 1)' && some_bytes 140; } >c.npy
    quantized expected c.npy
    quantized got f.npy
    cmp expected got
}

# ---- raw files

@test "a raw file is what --shape and --dtype say" {
    make_npy w.npy 6 40
    quantized expected w.npy
    some_bytes 480 >w.raw
    quantized got w.raw --shape 6x40 --dtype bf16
    cmp expected got
    quantized got w.raw --dtype bf16 --shape 2x3x40
    cmp expected got
    gzip <w.raw >w.other
    quantized got w.other --shape 6x40 --dtype bf16
    cmp expected got
    quantized got - --shape 6x40 --dtype bf16 <w.raw
    cmp expected got
    quantized got - --shape 6x40 --dtype bf16 < <(cat w.raw)
    cmp expected got
    quantized got - --shape 6x40 --dtype bf16 < <(cat w.other)
    cmp expected got
}

@test "a raw file must have exactly the size of its shape" {
    some_bytes 480 >w.raw
    refuses '"w.raw": too short: the tensor takes 492 bytes, but there are only 480' \
        quantize w.raw --shape 6x41 --dtype bf16 -o y
    refuses '"w.raw": too long: the shape takes 468 bytes, but there are 480 (see --partial)' \
        quantize w.raw --shape 6x39 --dtype bf16 -o y
    refuses '"w.raw": too short: the tensor takes 960 bytes, but there are only 480' \
        quantize w.raw --shape 6x40 --dtype f32 -o y
    refuses '"w.raw": too long: the shape takes 0 bytes, but there are 480 (see --partial)' \
        quantize w.raw --shape 0x40 --dtype f32 -o y
    is "$(names_in .)" w.raw
}

@test "a raw pipe or gzip must have exactly the size of its shape" {
    some_bytes 480 >w.raw
    gzip -k w.raw
    refuses '"w.raw.gz": too short: the tensor takes 492 bytes, but there are only 480' \
        quantize -q w.raw.gz --shape 6x41 --dtype bf16 -o y
    refuses '"w.raw.gz": too long: the shape takes 468 bytes, but there are more (see --partial)' \
        quantize -q w.raw.gz --shape 6x39 --dtype bf16 -o y
    refuses '"standard input": too short: the tensor takes 492 bytes, but there are only 480' \
        quantize -q - --shape 6x41 --dtype bf16 -o y < <(cat w.raw)
    refuses '"standard input": too long: the shape takes 468 bytes, but there are more (see --partial)' \
        quantize -q - --shape 6x39 --dtype bf16 -o y < <(cat w.raw)
    is "$(names_in .)" "w.raw w.raw.gz"
}

@test "--partial takes the start of a longer raw file" {
    some_bytes 480 >w.raw
    quantized expected w.raw --shape 6x40 --dtype bf16
    some_bytes 600 >x.raw
    quantized got x.raw --shape 6x40 --dtype bf16 --partial
    cmp expected got
    quantized got - --shape 6x40 --dtype bf16 --partial < <(cat x.raw)
    cmp expected got
    gzip x.raw
    quantized got x.raw.gz --shape 6x40 --dtype bf16 --partial
    cmp expected got
    refuses '"w.raw": too short: the tensor takes 492 bytes, but there are only 480' \
        quantize w.raw --shape 6x41 --dtype bf16 --partial -o y
}

@test "--offset skips bytes of a raw file, and anything may follow the tensor" {
    some_bytes 480 >w.raw
    quantized expected w.raw --shape 6x40 --dtype bf16
    { printf 'header' && cat w.raw && printf 'trailer'; } >x.raw
    quantized got x.raw --shape 6x40 --dtype bf16 --offset 6
    cmp expected got
    quantized got - --shape 6x40 --dtype bf16 --offset 6 < <(cat x.raw)
    cmp expected got
    gzip -k x.raw
    quantized got x.raw.gz --shape 6x40 --dtype bf16 --offset 6
    cmp expected got
    make_npy w.npy 6 40
    quantized got w.npy --shape 6x40 --dtype bf16 --offset 128
    cmp expected got
    quantized got w.raw --shape 6x40 --dtype bf16 --offset 0
    cmp expected got
    refuses '"x.raw": too short: the tensor takes 480 bytes, but there are only 479' \
        quantize x.raw --shape 6x40 --dtype bf16 --offset 14 -o y
    refuses '"x.raw": the offset 494 is beyond its end at 493' \
        quantize x.raw --shape 6x40 --dtype bf16 --offset 494 -o y
    refuses '"x.raw.gz": the offset 494 is beyond its end at 493' \
        quantize x.raw.gz --shape 6x40 --dtype bf16 --offset 494 -o y
    refuses '"x.raw": the offset 9223372036854775807 is beyond its end at 493' \
        quantize x.raw --shape 6x40 --dtype bf16 --offset 9223372036854775807 -o y
}

@test "options of raw files need each other" {
    some_bytes 480 >w.raw
    refuses 'quantize: --shape needs --dtype' quantize w.raw --shape 6x40 -o y
    refuses 'quantize: --offset and --partial need --shape' quantize w.raw --dtype bf16 --offset 1 -o y
    refuses 'quantize: --offset and --partial need --shape' quantize w.raw --dtype bf16 --partial -o y
    refuses 'quantize: a raw input (--shape) has no --member' quantize w.raw --dtype bf16 --shape 6x40 --member a -o y
    refuses 'info: --shape needs --dtype' info w.raw --shape 6x40
}

@test "a --shape that is none is refused" {
    local shape
    some_bytes 480 >w.raw
    for shape in x 6x 6xx40 x40 6,40 -6x40 6x-40 '6 x 40' 6.0x40 18446744073709551616x1 6X40 '(6, 40)'; do
        refuses "--shape: \"$shape\" is not a shape like 8x32x1024 of at most 32 sizes" \
            quantize w.raw --dtype bf16 --shape "$shape" -o y
    done
    for shape in 9223372036854775807x2 4294967296x4294967296 18446744073709551615; do
        refuses '"w.raw": the shape is too large: its bytes cannot be counted in 63 bits' \
            quantize w.raw --dtype bf16 --shape "$shape" -o y
    done
}

# ---- gzip

@test "gzip is known by its first bytes, not by its name" {
    make_npy w.npy 6 40
    quantized expected w.npy
    gzip <w.npy >looks_plain.npy
    quantized got looks_plain.npy
    cmp expected got
    cp w.npy looks_compressed.npy.gz
    quantized got looks_compressed.npy.gz
    cmp expected got
    { head -c 100 w.npy | gzip && tail -c +101 w.npy | gzip; } >two_members
    quantized got two_members
    cmp expected got
}

@test "damaged gzip is refused" {
    make_npy w.npy 60 40
    gzip w.npy
    head -c 2000 w.npy.gz >short.gz
    refuses '"short.gz": truncated gzip data' quantize short.gz -o y
    { head -c -8 w.npy.gz && printf '\1\2\3\4' && tail -c 4 w.npy.gz; } >crc.gz
    refuses '"crc.gz": corrupt gzip data: incorrect data check' quantize crc.gz -o y
    { head -c -4 w.npy.gz && printf '\1\2\3\4'; } >length.gz
    refuses '"length.gz": corrupt gzip data: incorrect length check' quantize length.gz -o y
    printf '\x1f\x8b' >magic.gz
    refuses '"magic.gz": truncated gzip data' quantize magic.gz -o y
    printf '\x1f\x8bjunkjunkjunk' >junk.gz
    refuses '"junk.gz": corrupt gzip data: unknown compression method' quantize junk.gz -o y
    printf '' | gzip >empty.gz
    refuses '"empty.gz": empty inside the gzip' quantize empty.gz -o y
    printf 'text' | gzip >text.gz
    refuses '"text.gz": no .npy inside the gzip (give --shape and --dtype for a raw file)' quantize text.gz -o y
    printf 'PK\3\4' | gzip >zip.gz
    refuses '"zip.gz": an .npz inside a gzip: decompress it first' quantize zip.gz -o y
    is "$(names_in .)" "crc.gz empty.gz junk.gz length.gz magic.gz short.gz text.gz w.npy.gz zip.gz"
}

@test "bytes after the gzip data are warned of, zeros are not" {
    make_npy w.npy 64 64
    gzip w.npy
    { cat w.npy.gz && head -c 1000 /dev/zero; } >zeros.gz
    works quantize zeros.gz -o zeros
    { cat w.npy.gz && printf 'junk'; } >junk.gz
    run -0 --separate-stderr "$MXFP4Q" quantize junk.gz -o junk
    is "$stderr" 'mxfp4q: warning: "junk.gz": ignored bytes after the gzip data'
    cmp zeros.rowwise_data.npy junk.rowwise_data.npy
}

# ---- archives

@test "the arrays of an .npz go into a folder, or one of them where --member says" {
    local kind
    make_npy a.npy 6 40
    make_npy b.npy 3 70
    quantized a a.npy
    quantized b b.npy
    for kind in stored deflated; do
        make_zip w.npz "$kind" a.npy=a.npy sub/b.npy=b.npy
        works quantize -q w.npz -o y --format raw
        is "$(names_in y)" "$(echo {a,sub_b}.{columnwise_data.raw,columnwise_scale.raw,json,rowwise_data.raw,rowwise_scale.raw})"
        cat y/a.*.raw | cmp - a
        cat y/sub_b.*.raw | cmp - b
        is "$(json_value y/sub_b.json "['input']['member']")" sub/b
        rm -r y
        quantized got w.npz --member a
        cmp a got
        quantized got w.npz --member sub/b.npy
        cmp b got
        quantized got - --member sub/b < <(cat w.npz)
        cmp b got
        quantized got - --member sub/b <w.npz
        cmp b got
    done
}

@test "an .npz of one array is like the array" {
    make_npy w.npy 6 40
    quantized expected w.npy
    make_zip w.npz deflated arr_0.npy=w.npy
    quantized got w.npz
    cmp expected got
    mv w.npz no_suffix
    quantized got no_suffix
    cmp expected got
}

@test "an archive with something else in it is refused, but --member reads its arrays" {
    make_npy w.npy 6 40
    echo text >readme.txt
    make_zip w.npz stored a.npy=w.npy readme.txt=readme.txt
    refuses '"w.npz": its member "readme.txt" is not a .npy file (--member reads a single one)' quantize w.npz -q -o y
    [ ! -e y ]
    refuses '"w.npz": no member "b" in this archive' quantize w.npz --member b -o y
    refuses '"w.npz:readme.txt": truncated .npy header' quantize w.npz --member readme.txt -o y
    works quantize -q w.npz --member a -o y
    refuses '"w.npy": not an archive (--member is for .npz)' quantize w.npy --member a -o y
}

@test "archives that cannot be trusted are refused" {
    make_npy w.npy 6 40
    make_zip double.npz stored a.npy=w.npy a.npy=w.npy
    refuses '"double.npz": bad .npz archive: two members have the name "a.npy"' quantize -q double.npz -o y
    make_zip same.npz stored a/b.npy=w.npy a_b.npy=w.npy
    refuses '"y/a_b.rowwise_data.npy": would be written twice' quantize -q same.npz -o y
    make_zip empty.npz stored
    refuses '"empty.npz": an archive without members' quantize empty.npz -o y
    make_zip good.npz stored a.npy=w.npy
    head -c 200 good.npz >short.npz
    refuses '"short.npz": bad .npz archive: Not a zip archive' quantize short.npz -o y
    head -c 300 w.npy >short.npy
    make_zip array.npz stored a.npy=short.npy
    refuses '"array.npz:a.npy": too short: the tensor takes 480 bytes, but there are only 172' quantize array.npz -o y
    sed 's/shape/shapf/' w.npy >bad.npy
    make_zip header.npz deflated a.npy=bad.npy
    refuses "\"header.npz:a.npy\": bad .npy header: unknown key 'shapf'" quantize header.npz -o y
    is "$(names_in . | tr ' ' '\n' | grep -c '^y')" 0
}

@test "damage inside an archive is found" {
    make_npy w.npy 60 40
    make_zip w.npz stored a.npy=w.npy
    { head -c 3000 w.npz && printf 'damage' && tail -c +3007 w.npz; } >x.npz
    refuses '"x.npz:a.npy": cannot read from the archive: CRC error' quantize -q x.npz -o y --nonfinite profile
    is "$(names_in .)" "w.npy w.npz x.npz"
}

@test "names of arrays stay inside the folder" {
    make_npy w.npy 64 64
    make_zip w.npz stored ../../up.npy=w.npy a/b/c.npy=w.npy .hidden.npy=w.npy ..npy=w.npy
    works quantize w.npz -o y --only rowwise_data
    is "$(find . -name '*.json' | LC_ALL=C sort | tr '\n' ' ')" "./y/_._.._up.json ./y/_.json ./y/_hidden.json ./y/a_b_c.json "
}

# ---- kinds of files

@test "standard input is read as a pipe and as a file, from where it stands" {
    make_npy w.npy 6 40
    quantized expected w.npy
    quantized got - <w.npy
    cmp expected got
    quantized got - < <(cat w.npy)
    cmp expected got
    quantized got - < <(gzip <w.npy)
    cmp expected got
    { head -c 77 w.npy && cat w.npy; } >later
    {
        head -c 77 >/dev/null
        quantized got -
    } <later
    cmp expected got
}

@test "links and FIFOs are read like files" {
    make_npy w.npy 6 40
    quantized expected w.npy
    ln -s w.npy symbolic
    ln w.npy hard
    quantized got symbolic
    cmp expected got
    quantized got hard
    cmp expected got
    mkfifo fifo
    cat w.npy >fifo 3>&- &
    job=$!
    quantized got fifo
    cmp expected got
    wait "$job"
}

@test "a name may begin with a dash or hold spaces" {
    make_npy ./-w.npy 64 64
    works quantize -o y -- -w.npy
    make_npy "a b.npy" 64 64
    works quantize -o "c d/" "a b.npy"
    [ -e "c d/a b.json" ]
}

@test "what is no file is refused" {
    refuses '"missing.npy": cannot open: No such file or directory' quantize missing.npy -o y
    refuses '"": cannot open: No such file or directory' quantize '' -o y
    mkdir folder
    refuses '"folder": no .safetensors file in this folder' quantize folder -o y
    refuses '"folder": cannot read: Is a directory' quantize folder --shape 1 --dtype f32 -o y
    ln -s missing dangling
    refuses '"dangling": cannot open: No such file or directory' quantize dangling -o y
    ln -s loop loop
    refuses '"loop": cannot open: Too many levels of symbolic links' quantize loop -o y
    : >empty
    refuses '"empty": empty' quantize empty -o y
    refuses '"empty/w.npy": cannot open: Not a directory' quantize empty/w.npy -o y
    refuses '"/dev/null": empty' quantize /dev/null -o y
    refuses '"standard input": empty' quantize - -o y </dev/null
    echo text >text.npy
    refuses '"text.npy": neither .npy, .npz nor gzip (give --shape and --dtype for a raw file)' quantize text.npy -o y
}

@test "a closed standard input is refused" {
    run -2 --separate-stderr bash -c 'exec "$MXFP4Q" quantize - -o y <&-'
    is "$stderr" 'mxfp4q: "standard input": cannot read: Bad file descriptor'
    is "$(names_in .)" ""
}

@test "a file that may not be read is refused" {
    no_root
    make_npy w.npy 6 64
    chmod 0 w.npy
    refuses '"w.npy": cannot open: Permission denied' quantize w.npy -o y
}

@test "a .npy that is too short is refused, bytes after it are warned of" {
    make_npy w.npy 64 64
    head -c 8319 w.npy >short.npy
    refuses '"short.npy": too short: the tensor takes 8192 bytes, but there are only 8191' quantize short.npy -o y
    refuses '"standard input": too short: the tensor takes 8192 bytes, but there are only 8191' \
        quantize - -o y < <(cat short.npy)
    gzip short.npy
    refuses '"short.npy.gz": too short: the tensor takes 8192 bytes, but there are only 8191' quantize short.npy.gz -o y
    { cat w.npy && printf x; } >long.npy
    works quantize w.npy -o w
    run -0 --separate-stderr "$MXFP4Q" quantize long.npy -o long
    is "$stderr" 'mxfp4q: warning: "long.npy": ignored bytes after the tensor'
    run -0 --separate-stderr "$MXFP4Q" quantize - -f -o long < <(cat long.npy)
    is "$stderr" 'mxfp4q: warning: "standard input": ignored bytes after the tensor'
    cmp w.rowwise_data.npy long.rowwise_data.npy
    works quantize -q -f long.npy -o long
}

# ---- hostile headers

@test "a header that is no .npy header gets one line, and nothing is made" {
    local text message
    while IFS='#' read -r text message; do
        { npy_header_with "$text" && some_bytes 64; } >w.npy
        refuses "\"w.npy\": $message" quantize w.npy -o y
    done <<'TABLE'
{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4), }#bad .npy header: negative size in the shape (at byte 51)
{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }#the shape is too large: its bytes cannot be counted in 63 bits
{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4294967296, 4294967296), }#the shape is too large: its bytes cannot be counted in 63 bits
{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 1), }#bad .npy header: size beyond 64 bits in the shape (at byte 70)
{'descr': '<f4', 'fortran_order': False, 'shape': (1073741824, 1073741824), }#too short: the tensor takes 4611686018427387904 bytes, but there are only 64
{'descr': '<f4', 'fortran_order': False, 'shape': 16, }#bad .npy header: shape is not a tuple (at byte 50)
{'descr': '<f4', 'fortran_order': False, 'shape': (16), }#bad .npy header: shape is not a tuple (at byte 54)
{'descr': '<f4', 'fortran_order': False, 'shape': [4, 4], }#bad .npy header: shape is not a tuple (at byte 50)
{'descr': '<f4', 'fortran_order': False, 'shape': (4 4), }#bad .npy header: expected ',' or ')' in the shape (at byte 53)
{'descr': '<f4', 'fortran_order': False, 'shape': (4.0, 4), }#bad .npy header: expected ',' or ')' in the shape (at byte 52)
{'descr': '<f4', 'fortran_order': False, 'shape': (True, 4), }#bad .npy header: expected a size in the shape (at byte 51)
{'descr': '<f4', 'fortran_order': False, 'shape': (04, 4), }#bad .npy header: size with a leading zero in the shape (at byte 53)
{'descr': '<f4', 'fortran_order': False, 'shape': ((4, 4), 4), }#bad .npy header: expected a size in the shape (at byte 51)
{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4#bad .npy header: expected ',' or ')' in the shape (at byte 118)
{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (4, 4), }#bad .npy header: descr of a structured dtype, which is no matrix (at byte 10)
{'descr': 4, 'fortran_order': False, 'shape': (4, 4), }#bad .npy header: expected a string (at byte 10)
{'descr': '\x3cf4', 'fortran_order': False, 'shape': (4, 4), }#bad .npy header: escape in a string (at byte 10)
{'descr': '<f4, }#bad .npy header: unterminated string (at byte 10)
{'descr': '<f4', 'fortran_order': 0, 'shape': (4, 4), }#bad .npy header: fortran_order is neither True nor False (at byte 34)
{'descr': '<f4', 'fortran_order': Falsehood, 'shape': (4, 4), }#bad .npy header: fortran_order is neither True nor False (at byte 34)
{'descr': '<f4', 'fortran_order': False, }#bad .npy header: no key 'shape'
{'descr': '<f4', 'shape': (4, 4), }#bad .npy header: no key 'fortran_order'
{'fortran_order': False, 'shape': (4, 4), }#bad .npy header: no key 'descr'
{}#bad .npy header: no key 'descr'
{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4), 'extra': 1}#bad .npy header: unknown key 'extra'
{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (4, 4)}#bad .npy header: duplicate key 'descr'
{'descr' '<f4', 'fortran_order': False, 'shape': (4, 4)}#bad .npy header: expected ':' after a key (at byte 9)
{'descr': '<f4' 'fortran_order': False, 'shape': (4, 4)}#bad .npy header: expected ',' or '}' after a value (at byte 16)
{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4)} junk#bad .npy header: something after the dictionary (at byte 58)
{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4)#bad .npy header: expected ',' or '}' after a value (at byte 118)
['descr', '<f4']#bad .npy header: not a dictionary (at byte 0)
__import__('os').system('touch y')#bad .npy header: not a dictionary (at byte 0)
#bad .npy header: not a dictionary (at byte 54)
{'descr': '<f4', 'fortran_order': False, 'shape': (4L, 4l), }#bad .npy header: expected ',' or ')' in the shape (at byte 56)
TABLE
    is "$(names_in .)" w.npy
}

@test "a start of a file that is no .npy gets one line, and nothing is made" {
    printf '\x93NUMPY' >w.npy
    refuses '"w.npy": truncated .npy header' quantize w.npy -o y
    printf '\x93NUMPY\x01\x00\x76' >w.npy
    refuses '"w.npy": truncated .npy header' quantize w.npy -o y
    { printf '\x93NUMPY\x01\x00\x76\x00' && printf '{'; } >w.npy
    refuses '"w.npy": truncated .npy header' quantize w.npy -o y
    { printf '\x93NUMPY\x02\x00\xff\xff\xff\xff' && head -c 1000 /dev/zero; } >w.npy
    refuses "\"w.npy\": bad .npy header: 4294967295 bytes long, and NumPy's limit is 10000" quantize w.npy -o y
    { printf '\x93NUMPY\x01\x00\x11\x27' && head -c 20000 /dev/zero; } >w.npy
    refuses "\"w.npy\": bad .npy header: 10001 bytes long, and NumPy's limit is 10000" quantize w.npy -o y
    printf '\x93NUMPY\x04\x00\x76\x00' >w.npy
    refuses '"w.npy": unknown .npy version 4.0' quantize w.npy -o y
    printf '\x93NUMPY\x01\x01\x76\x00' >w.npy
    refuses '"w.npy": unknown .npy version 1.1' quantize w.npy -o y
    printf '\x93NUMPY\x00\x00\x76\x00' >w.npy
    refuses '"w.npy": unknown .npy version 0.0' quantize w.npy -o y
    printf '\x93numpy\x01\x00\x76\x00' >w.npy
    refuses '"w.npy": neither .npy, .npz nor gzip (give --shape and --dtype for a raw file)' quantize w.npy -o y
    { printf '\x93NUMPY\x01\x00\x76\x00' && head -c 118 /dev/zero; } >w.npy
    refuses '"w.npy": bad .npy header: not a dictionary (at byte 0)' quantize w.npy -o y
    is "$(names_in .)" w.npy
}

@test "a hostile header cannot write control characters to the terminal" {
    { npy_header_with "{'descr': '"$'\e[31m\a\x7f'"', 'fortran_order': False, 'shape': (4, 4), }" && some_bytes 64; } >w.npy
    refuses "\"w.npy\": cannot read elements of type '?[31m??' (accepted are <V2 |V2 bfloat16 <f4 >f4 =f4 <f2 >f2 =f2 <u2 >u2 =u2 |u2 <i2 >i2 =i2 |i2)" \
        quantize w.npy -o y
    { npy_header_with "{'descr': '$(printf 'long%.0s' {1..50})', 'fortran_order': False, 'shape': (4, 4), }" && some_bytes 64; } >w.npy
    refuses "\"w.npy\": cannot read elements of type 'longlonglonglonglonglonglonglonglonglong...' (accepted are <V2 |V2 bfloat16 <f4 >f4 =f4 <f2 >f2 =f2 <u2 >u2 =u2 |u2 <i2 >i2 =i2 |i2)" \
        quantize w.npy -o y
}
