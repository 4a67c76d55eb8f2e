#!/usr/bin/env bats
# mxfp4q gen: the bytes that mxfp4q(5), GENERATOR, specifies, golden vectors in one command, and suites of them.

load helper

PATTERNS="uniform normal lognormal ties edges edges-finite zeros ramp outlier"
MODEL=$ROOT/scripts/model/gen_model.py

setup() {
    mkdir "$BATS_TEST_TMPDIR/work" # bats has files of its own in the folder above
    cd "$BATS_TEST_TMPDIR/work" || return
}

gen() {
    "$MXFP4Q" gen --no-fsync "$@"
}

# The arguments make one line "mxfp4q: MESSAGE" and the status 2, and leave no file.
check_refused() {
    local message=$1 before after
    shift
    before=$(ls -A)
    run -2 --separate-stderr "$MXFP4Q" gen --no-fsync "$@"
    after=$(ls -A)
    echo "gen $*: ${stderr:?}"
    [ "$stderr" = "mxfp4q: $message" ]
    [ -z "$output" ]
    [ "$before" = "$after" ]
}

# A suite of all patterns and types in each of the shapes "SHAPE SEED".
write_suite() {
    local pattern dtype shape seed
    while read -r shape seed; do
        for pattern in $PATTERNS; do
            for dtype in bf16 f16 f32; do
                echo "${pattern}_${dtype}_${shape}_$seed --pattern $pattern --dtype $dtype --shape $shape --seed $seed"
            done
        done
    done
}

# Of standard input.
crc32_of_stdin() {
    gzip -c | tail -c 8 | od -An -tx4 -N4 --endian=little | tr -d ' '
}

# The numbers of the bytes of standard input, as ranges.
byte_ranges() {
    od -An -v -tu1 -w1 | sort -nu | awk '
        NR == 1 { first = last = $1; next }
        $1 == last + 1 { last = $1; next }
        { printf "%d-%d ", first, last; first = last = $1 }
        END { printf "%d-%d\n", first, last }'
}

@test "the bytes are those of the model for every pattern and type, in many shapes and with many seeds" {
    write_suite >suite <<'END'
scalar 1
1 0
33 18446744073709551615
3x5x70 7
0x32 1
2x0x3 1
97x1 2
1x9700 3
40x100 12345678901234567890
END
    gen --suite suite --format raw -o program
    mkdir model
    python3 "$MODEL" --suite suite model
    diff -r model program
    [ "$(find program -type f | wc -l)" -eq $((9 * 9 * 3)) ]
}

@test "the bytes are those of the model for more than 2^16 elements" {
    write_suite <<<'300x230 99' | grep -e _f32_ -e edges >suite
    gen --suite suite --format raw -o program
    mkdir model
    python3 "$MODEL" --suite suite model
    diff -r model program
}

@test "the test values in mxfp4q.5 are those of the program" {
    local pattern dtype first second third fourth crc bytes=2 nrows=0
    while IFS='|' read -r pattern dtype first second third fourth crc; do
        nrows=$((nrows + 1))
        gen --shape 40x1000 --pattern "${pattern//\\/}" --dtype "$dtype" --seed 1 --format raw -f -o x
        echo "$pattern $dtype $first $second $third $fourth $crc"
        bytes=2
        [ "$dtype" != f32 ] || bytes=4
        [ "$(od -An -tx$bytes -N$((4 * bytes)) --endian=little x.raw)" = " $first $second $third $fourth" ]
        [ "$(crc32_of_stdin <x.raw)" = "$crc" ]
    done < <(sed -n '/^pattern|type|elements/,/^\.TE/p' "$ROOT/man/mxfp4q.5" | grep -E '\|(bf16|f16|f32)\|')
    [ "$nrows" -eq 27 ]
}

@test "seed 0 of uniform draws from SplitMix64, whose first words are known" {
    # 0xe220a839, 0x6e789e6a and 0x06c45d18 are the upper halves; the elements of FP32 follow by hand.
    local word expected=
    for word in 0xe220a839 0x6e789e6a 0x06c45d18; do
        expected+=" $(python3 -c 'import struct, sys
u = int(sys.argv[1], 16)
print(struct.pack(">f", (3 * (2 * u + 1) - 2**34) / 2**33).hex())' "$word")"
    done
    gen --shape 3 --pattern uniform --dtype f32 --format raw -o x
    [ "$(od -An -tx4 --endian=little x.raw)" = "$expected" ]
}

@test "the number of threads does not matter" {
    local pattern jobs
    for pattern in $PATTERNS; do
        gen --shape 1500x1001 --pattern "$pattern" --seed 5 -j 1 --golden --nonfinite profile -o one -f -q
        for jobs in 2 7; do
            gen --shape 1500x1001 --pattern "$pattern" --seed 5 -j "$jobs" --golden --nonfinite profile -o many -f -q
            cmp one.npy many.npy
            cmp one.columnwise_data.npy many.columnwise_data.npy
        done
        gen --shape 1500x1001 --pattern "$pattern" --seed 5 -o - | cmp - one.npy
    done
}

@test "another seed makes other values where a pattern has random ones" {
    local pattern
    for pattern in $PATTERNS; do
        echo "$pattern"
        gen --shape 32x64 --pattern "$pattern" --seed 1 -o one -f
        gen --shape 32x64 --pattern "$pattern" --seed 2 -o two -f
        case $pattern in
        edges* | zeros | ramp) cmp one.npy two.npy ;;
        *) run -1 cmp -s one.npy two.npy ;;
        esac
    done
}

@test "no pattern but edges makes infinities or NaNs" {
    local pattern dtype
    for pattern in $PATTERNS; do
        for dtype in bf16 f16 f32; do
            echo "$pattern $dtype"
            if [ "$pattern" = edges ]; then
                run -2 gen --shape 512x700 --pattern edges --dtype "$dtype" --golden -o x
            else
                gen --shape 512x700 --pattern "$pattern" --dtype "$dtype" --golden -o x -f -q
            fi
        done
    done
}

@test "uniform is between -2 and 1, and reaches both ends of it" {
    gen --shape 1024x1024 --pattern uniform --format raw -o x
    # BF16: positive numbers below 3f80, negative ones below c000 without the sign.
    od -An -v -tu2 -w2 --endian=little x.raw | awk '
        $1 < 32768 && $1 >= 16256 || $1 >= 49152 { exit 1 }
        $1 < 32768 { n++; if ($1 > largest) largest = $1 }
        $1 > 32768 && $1 > lowest { lowest = $1 }
        END { if (largest != 16255 || lowest != 49151 || n < NR * 0.33 || n > NR * 0.337) exit 1 }'
}

@test "normal has mean 0 and deviation 1" {
    gen --shape 100000 --dtype f32 --pattern normal --format raw -o x
    od -An -v -tf4 -w4 --endian=little x.raw | awk '
        { sum += $1; squares += $1 * $1; if ($1 > 6 || $1 < -6) exit 1 }
        $1 > -1 && $1 < 1 { within++ }
        END { m = sum / NR; d = squares / NR; if (m * m > 1e-4 || d < 0.98 || d > 1.02 || within < 0.67 * NR || within > 0.7 * NR) exit 1 }'
}

@test "lognormal has one large column in 64" {
    gen --shape 256x256 --dtype f32 --pattern lognormal --format raw -o x
    od -An -v -tf4 -w1024 --endian=little x.raw | awk '
        { for (c = 1; c <= NF; c++) sum[c] += $c < 0 ? -$c : $c; n = NF }
        END {
            for (c = 1; c <= n; c++) all += sum[c]
            for (c = 1; c <= n; c++) if (sum[c] > 2 * all / n) { large++; group[int((c - 1) / 64)] = 1 }
            if (large != 4 || length(group) != 4) exit 1
        }'
}

@test "outlier has one large value in each block of either direction" {
    gen --shape 96x128 --dtype f32 --pattern outlier --format raw -o x
    od -An -v -tf4 -w512 --endian=little x.raw | awk '
        { for (c = 1; c <= NF; c++) if ($c >= 32 || $c <= -32) { row[NR, int((c - 1) / 32)]++; col[int((NR - 1) / 32), c]++ } }
        END {
            for (k in row) if (row[k] != 1) exit 1
            for (k in col) if (col[k] != 1) exit 1
            if (length(row) != 96 * 4 || length(col) != 3 * 128) exit 1
        }'
}

@test "ties tell the three tie rules apart in both directions" {
    local buffer rule
    for buffer in rowwise columnwise; do
        for rule in even away zero; do
            gen --shape 64x64 --pattern ties --format raw -o x -f --golden --ties "$rule" --only "${buffer}_data"
            mv "x.${buffer}_data.raw" "$rule"
        done
        # The scales are the same, so that half of the values could differ; a byte has two.
        [ "$(cmp -l even away | wc -l)" -gt 400 ]
        [ "$(cmp -l even zero | wc -l)" -gt 400 ]
        [ "$(cmp -l zero away | wc -l)" -gt 1000 ]
    done
}

@test "one block of edges has every code" {
    local pattern
    for pattern in edges edges-finite; do
        gen --shape 1x32 --pattern "$pattern" --golden --only rowwise_data --format raw --layout linear -o x -f
        [ "$(od -An -v -tx1 x.rowwise_data.raw | tr -d ' \n' | fold -w 1 | sort -u | tr -d '\n')" = 0123456789abcdef ]
    done
}

@test "edges has every scale byte that a recipe can give, from the sizes on that mxfp4q.5 says" {
    local dtype cols profile bytes direction
    while read -r dtype cols profile bytes; do
        for direction in rowwise columnwise; do
            echo "$dtype 32x$cols $profile $direction: $bytes"
            gen --shape "32x$cols" --dtype "$dtype" --pattern edges --golden --nonfinite profile --profile "$profile" \
                --layout linear --only "${direction}_scale" --format raw -o x -f
            [ "$(byte_ranges <"x.${direction}_scale.raw")" = "$bytes" ]
        done
    done <<'END'
bf16 9120 te-hip 0-253
bf16 9120 aiter 0-253 255-255
bf16 9120 torchao-floor 0-253 255-255
bf16 9120 torchao-ceil 0-253 255-255
bf16 9120 ggml 0-255
f16 2048 te-hip 101-141 253-253
f16 2048 aiter 0-0 101-141 255-255
f16 2048 torchao-floor 0-0 101-140 253-253 255-255
f16 2048 torchao-ceil 0-0 101-141 253-253 255-255
f32 9632 te-hip 0-253
f32 9632 aiter 0-253 255-255
f32 9632 torchao-floor 0-253 255-255
f32 9632 torchao-ceil 0-253 255-255
f32 9632 ggml 0-255
END
    while read -r dtype cols bytes; do
        gen --shape "1x$cols" --dtype "$dtype" --pattern edges-finite --golden --layout linear --only rowwise_scale \
            --format raw -o x -f
        [ "$(byte_ranges <x.rowwise_scale.raw)" = "$bytes" ]
    done <<'END'
bf16 8704 0-253
f16 1632 101-141
f32 9216 0-253
END
}

@test "edges has all special values from 1x832 on" {
    local bits
    gen --shape 1x832 --pattern edges --format raw -o x
    od -An -v -tx2 -w2 --endian=little x.raw | tr -d ' ' | sort -u >bits
    for bits in 0000 0001 0002 007f 0080 7f7f 40e0 40df 40c1 4080 4081 407f 7f80 7fc0 7f81 7fff; do
        echo "$bits"
        grep -qx "$bits" bits
        grep -qx "$(printf %04x $((0x$bits + 0x8000)))" bits
    done
}

@test "--golden makes what gen and then quantize make" {
    local options
    while read -r options; do
        echo "$options"
        rm -rf a b
        mkdir a b
        # shellcheck disable=SC2086 # options are words
        (cd a && gen --shape 3x40x72 --pattern normal --dtype f16 --seed 3 --golden -o x $options)
        (
            cd b
            gen --shape 3x40x72 --pattern normal --dtype f16 --seed 3 -o x
            # shellcheck disable=SC2086
            "$MXFP4Q" quantize x.npy -o x --no-fsync $options
        )
        diff -r a b
    done <<'END'
-q
-q --profile aiter --ties away --sign drop --zero-byte 3 --scale ceil --pad-fill 9
-q --direction columnwise --layout linear --flatten 1
-q --hadamard-signs 0xf0f0 --shuffle rowwise_data
-q --format npz --gzip
-q --gzip --only rowwise_scale
END
}

@test "a raw golden is the same bytes, and its manifest is that of the raw file" {
    gen --shape 64x96 --pattern uniform --golden --format raw -o x
    gen --shape 64x96 --pattern uniform --golden -o y
    tail -c $((64 * 96 * 2)) y.npy | cmp - x.raw
    "$MXFP4Q" quantize x.raw --shape 64x96 --dtype bf16 --format raw -o z --no-fsync
    sed 's/"z\./"x./' z.json | cmp - x.json
    tail -c +129 y.rowwise_data.npy | cmp - x.rowwise_data.raw
}

@test "a golden does not tell the folder it was made in" {
    mkdir there
    gen --shape 32x64 --pattern normal --golden -o there/x
    gen --shape 32x64 --pattern normal --golden -o x
    cmp there/x.json x.json
}

@test "a golden that cannot be quantized leaves nothing" {
    check_refused '"x.npy": 4416 values are infinite or NaN, the first at [0, 416] (--nonfinite profile quantizes them)' \
        --shape 32x832 --pattern edges --golden -q -o x
}

@test "headers are those of NumPy, for every rank" {
    /usr/bin/python3 -c 'import numpy' 2>/dev/null || skip "NumPy is not installed"
    gen --shape scalar --dtype f32 --pattern ramp -o r0
    gen --shape 7 --dtype f16 --pattern ramp -o r1
    gen --shape 2x3x4 --dtype bf16 --pattern ramp -o r3
    gen --shape 0x5 --dtype f32 --pattern ramp -o empty
    gen --shape 1000001x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1 --dtype f32 --pattern zeros -o r32
    /usr/bin/python3 -c '
import numpy, os
for name, shape, descr in (("r0", (), "<f4"), ("r1", (7,), "<f2"), ("r3", (2, 3, 4), "|V2"), ("empty", (0, 5), "<f4"),
                           ("r32", (1000001,) + 31 * (1,), "<f4")):
    a = numpy.load(name + ".npy")
    assert a.shape == shape and a.dtype == numpy.dtype(descr), (name, a.shape, a.dtype)
    assert (os.path.getsize(name + ".npy") - a.nbytes) % 64 == 0
assert numpy.load("r1.npy")[1] == numpy.float16(-4094 / 1024)
'
    run -0 "$MXFP4Q" info r0.npy r1.npy r3.npy empty.npy r32.npy
}

@test "the ending of the tensor's file may be given" {
    gen --shape 4 --pattern ramp -o x.npy
    gen --shape 4 --pattern ramp --format raw -o x.raw
    [ "$(ls)" = $'x.npy\nx.raw' ]
}

@test "existing files are refused without --force, and replaced with it" {
    echo old >x.npy
    check_refused '"x.npy": already exists; --force replaces it' --shape 4 --pattern ramp -o x
    [ "$(cat x.npy)" = old ]
    gen --shape 4 --pattern ramp -o x -f
    [ "$(head -c 6 x.npy | tail -c 5)" = NUMPY ]
}

@test "an existing buffer keeps a golden from appearing" {
    echo old >x.columnwise_scale.npy
    check_refused '"x.columnwise_scale.npy": already exists; --force replaces it' --shape 64 --pattern ramp --golden -q -o x
    [ "$(ls -A)" = x.columnwise_scale.npy ]
}

@test "a suite makes each case as a command would" {
    cat >suite <<'END'
# a comment

first  --shape 32x64 --pattern normal --seed 1    # the first
	second	--shape 5x70 --dtype f32 --pattern outlier --golden --profile aiter
third --shape scalar --pattern ramp --golden --format npz
END
    gen --suite suite --seed 9 -o made -q
    mkdir single
    gen --shape 32x64 --pattern normal --seed 1 -o single/first
    gen --shape 5x70 --dtype f32 --pattern outlier --seed 9 --golden --profile aiter -o single/second -q
    gen --shape scalar --pattern ramp --golden --format npz -o single/third -q
    diff -r single made
}

@test "a suite comes from standard input, too, and into a folder that is there" {
    mkdir made
    echo "x --shape 4 --pattern ramp" | gen --suite - -o made/
    [ "$(ls made)" = x.npy ]
}

@test "options on the command line hold for every case of a suite" {
    printf '%s\n' 'a --shape 4' 'b --shape 8 --profile quark' >suite
    gen --suite suite --pattern ramp --golden --profile aiter --json -q -o made >reports.json
    grep -q '"profile": "aiter"' made/a.json
    grep -q '"profile": "quark"' made/b.json
    [ "$(grep -c '"manifest"' reports.json)" -eq 2 ]
}

@test "a suite appears as a whole or not at all" {
    printf '%s\n' 'a --shape 64 --pattern ramp' 'b --shape 1x832 --pattern edges' >suite
    check_refused 'suite:2: "made/b.npy": 138 values are infinite or NaN, the first at [0, 416] (--nonfinite profile quantizes them)' \
        --suite suite --golden -q -o made
    mkdir made
    echo old >made/b.npy
    check_refused 'suite:2: "made/b.npy": already exists; --force replaces it' --suite suite --golden -q -o made
    [ "$(ls -A made)" = b.npy ]
}

@test "a suite may have more files than can be open" {
    local n
    for n in $(seq 100); do echo "case$n --shape 32 --pattern normal --seed $n --golden"; done >suite
    (
        ulimit -n 40
        gen --suite suite -o made -q
    )
    [ "$(find made -type f | wc -l)" -eq 600 ]
}

@test "what is wrong with a suite is told with its name and line" {
    check_suite() {
        printf '%b' "$2" >suite
        check_refused "$1" --suite suite -o made
    }
    check_suite 'suite:2: --pattern: "nrmal" is not one of: uniform, normal, lognormal, ties, edges, edges-finite, zeros, ramp, outlier' \
        '\na --shape 4 --pattern nrmal\n'
    check_suite 'suite:1: gen: no shape: give --shape' 'a --pattern ramp'
    check_suite 'suite:1: gen: no pattern: give --pattern' 'a --shape 4'
    check_suite 'suite:1: gen: --profile needs --golden' 'a --shape 4 --pattern ramp --profile aiter'
    check_suite 'suite:1: --output cannot be said of one case' 'a --shape 4 --pattern ramp -o x'
    check_suite 'suite:1: --suite cannot be said of one case' 'a --suite x'
    check_suite 'suite:1: "b" is no option' 'a b --shape 4 --pattern ramp'
    check_suite 'suite:3: "a" is the name of suite:1, too' 'a --shape 4 --pattern ramp\n\na --shape 5 --pattern ramp\n'
    check_suite 'suite:1: "../a" is no name: at most 200 characters, no slash, no dot or dash in front' '../a --shape 4'
    check_suite 'suite:1: "--shape" is no name: at most 200 characters, no slash, no dot or dash in front' '--shape 4'
    check_suite 'suite:1: gen: option --shape needs a value' 'a --shape'
    check_suite 'suite:1: not text: a NUL byte' 'a --shape 4\0 --pattern ramp'
    check_suite 'suite:2: "made/a.npy": would be written twice' 'a --shape 4 --pattern ramp\na.npy --shape 4 --pattern ramp'
    check_suite '"suite": no case in it' '# nothing\n'
    check_refused '"none": cannot open: No such file or directory' --suite none -o made
    check_refused '".": cannot read: Is a directory' --suite . -o made
    check_refused 'gen: a suite takes a folder, not standard output' --suite suite -o -
}

@test "what is wrong with a command is one line, and the status 2" {
    check_refused 'gen: no shape: give --shape' --pattern ramp -o x
    check_refused 'gen: no pattern: give --pattern' --shape 4 -o x
    check_refused 'gen: no output: give a prefix with -o' --shape 4 --pattern ramp
    check_refused 'gen: no output: give a folder with -o' --suite suite
    check_refused 'gen: "y.npy": there are no inputs; the output is given with -o' --shape 4 --pattern ramp y.npy
    check_refused 'gen: --profile needs --golden' --shape 4 --pattern ramp --profile aiter -o x
    check_refused 'gen: --json needs --golden' --shape 4 --pattern ramp --json -o x
    check_refused 'gen: --gzip needs --golden' --shape 4 --pattern ramp --gzip -o x
    check_refused 'gen: --format npz needs --golden' --shape 4 --pattern ramp --format npz -o x
    check_refused 'gen: standard output takes the tensor alone, without --golden' --shape 4 --pattern ramp --golden -o -
    check_refused 'gen: "there/" names a folder: give a prefix with -o' --shape 4 --pattern ramp -o there/
    check_refused '--seed: "-1" is not a number from 0 to 18446744073709551615' --shape 4 --pattern ramp --seed -1 -o x
    check_refused '--dtype: "f64" is not one of: bf16, f16, f32' --shape 4 --pattern ramp --dtype f64 -o x
    check_refused 'gen: the shape is too large: its bytes cannot be counted in 63 bits' \
        --shape 4294967296x4294967296 --pattern ramp -o x
    check_refused '"there/x.npy": cannot create: No such file or directory' --shape 4 --pattern ramp -o there/x
}

@test "a reader that goes away is an error" {

    { gen --shape 4096x4096 --pattern zeros -o - 2>message || echo $? >status; } | head -c 10 >/dev/null
    [ "$(cat status)" -eq 2 ]
    [ "$(cat message)" = 'mxfp4q: "standard output": cannot write: Broken pipe' ]
}

@test "memory is bounded by the threads and not by the tensor" {
    ! grep -q __asan_init "$MXFP4Q" || skip "AddressSanitizer takes memory of its own"
    (
        ulimit -v 120000
        gen --shape 16384x4096 --dtype f32 --pattern zeros -j 2 -o - | wc -c
    ) >size
    [ "$(cat size)" -eq $((128 + 16384 * 4096 * 4)) ]
}
