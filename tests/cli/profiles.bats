#!/usr/bin/env bats
# mxfp4q profiles: what profiles do, where two differ, and what that means for a matrix.

# shellcheck disable=SC2154 # run sets output, stderr and their lines

load helper
load files

MODEL=$ROOT/scripts/model/profiles_model.py
WEIGHT=$TESTDATA/minilm_l6_attn_query.bf16.npy

needs_numpy() {
    "$PYTHON" -c 'import numpy' 2>/dev/null || skip "NumPy is not installed"
}

# The program must find a difference, and say nothing on standard error.
differs() {
    run -1 --separate-stderr "$MXFP4Q" profiles "$@"
    is "$stderr" ""
}

# One line of the output, by how it begins, with single spaces.
line_of() {
    grep -F -- "$1" <<<"$output" | head -n 1 | tr -s ' '
}

# ---- the list

@test "profiles lists every profile once, with its switches and what proves it" {
    local name
    works profiles
    is "$(line_of 'te-triton ')" "te-triton even away value 127 254 254 127: 0 0 127"
    is "$(line_of 'microxcaling ')" "microxcaling floor away keep 0 252 255 255: 7 15 0"
    is "$(line_of 'modelopt ')" "modelopt rceil zero nonpositive 0 253 255 255: 8 8 0"
    for name in $("$MXFP4Q" profiles --json | sed -n 's/^    "profile": "\(.*\)",$/\1/p'); do
        is "$(grep -c "^$name " <<<"$output")" 2
    done
    # The first table is 80 columns wide at most.
    is "$(sed '/^$/q' <<<"$output" | grep -cE '.{81}')" 0
}

@test "profiles NAME explains each field of the recipe in words, and JSON has the same fields" {
    local key name value
    works profiles ggml te-hip
    is "${lines[0]}" "ggml: llama.cpp quantize_row_mxfp4_ref"
    is "$(line_of '  sign ')" " sign drop negative codes that are not zero: code 8 never occurs"
    [[ $output == *$'\n'"te-hip: "* ]]
    for name in $("$MXFP4Q" profiles --json | sed -n 's/^    "profile": "\(.*\)",$/\1/p'); do
        works profiles "$name"
        # A value without words would have nothing behind it.
        is "$(sed 1d <<<"$output" | grep -cE '^  [a-z_]+ +[^ ]+$')" 0
        "$MXFP4Q" profiles --json "$name" | sed -n '/"recipe"/,/}/s/^      "\(.*\)": \(.*\)$/\1 \2/p' | tr -d '",' |
            sed -e 's/true$/yes/' -e 's/false$/no/' -e 's/null$/none/' >fields
        [ "$(wc -l <fields)" -ge 14 ]
        while read -r key value; do
            echo "$name $key $value"
            grep -qE "^  $key +$value( |\$)" <<<"$output"
        done <fields
    done
}

@test "the list says what the model makes of zeros, huge values, infinities and NaNs" {
    needs_numpy
    "$PYTHON" "$MODEL" "$MXFP4Q" list
}

# The rows of the table in mxfp4q.5 whose first line begins so.
table_of_manual() {
    sed 's/\\-/-/g' "$ROOT/man/mxfp4q.5" | sed -n "/^$1/,/^\.TE/p" | sed -e 1,2d -e '$d'
}

@test "the tables of mxfp4q.5 are what profiles --json says" {
    [ -x "$PYTHON" ] || skip "$PYTHON is not installed"
    "$MXFP4Q" profiles --json >list.json
    "$PYTHON" -c '
import json
def word(value):
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
def write(name, rows):
    open(name, "w").write("".join("|".join(map(word, row)) + "\n" for row in rows))
told = json.load(open("list.json"))
for e in told:
    e["recipe"]["pad_fill"] = e["pad_fill"]
write("switches", [[e["profile"]] + [e["recipe"][k] for k in "scale ties sign zero_byte pad_fill".split()] for e in told])
write("edges", [[e["profile"]] + [e["recipe"][k] for k in "underflow sixth huge_byte infinity_byte nan_poisons nan_fills \
nan_code nan_keeps_sign".split()] for e in told])'
    [ "$(wc -l <switches)" -ge 15 ]
    diff switches <(table_of_manual 'profile|scale')
    diff edges <(table_of_manual 'profile|underfl')
}

@test "what proves the profiles is what the vectors of peers say" {
    [ -x "$PYTHON" ] || skip "$PYTHON is not installed"
    "$MXFP4Q" profiles --json >list.json
    "$PYTHON" -c '
import json
for e in json.load(open("list.json")):
    print(e["profile"], *(e["evidence"][key] for key in ("peer", "version", "how")), sep="\t")' |
        LC_ALL=C sort | diff - <(LC_ALL=C sort "$TESTDATA/peers/EVIDENCE")
}

# ---- bad words

@test "an unknown profile is refused with the names that are near" {
    refuses 'profiles: no profile "te-hp"; did you mean te-hip? (see mxfp4q profiles)' profiles te-hp
    refuses 'profiles: no profile "te"; did you mean te-hip or te-triton? (see mxfp4q profiles)' profiles --diff te-hip te
    refuses 'profiles: no profile "torchao"; did you mean torchao-floor, torchao-even or torchao-rceil? (see mxfp4q profiles)' \
        profiles --measure missing torchao
    refuses 'profiles: no profile "int8" (see mxfp4q profiles)' profiles int8
    refuses 'profiles: no profile "" (see mxfp4q profiles)' profiles ""
    refuses "profiles: no profile \"$(printf '%0200d' 0)\" (see mxfp4q profiles)" profiles "$(printf '%0200d' 0)"
}

@test "wrong usage is refused" {
    refuses 'profiles: --diff needs the names of two profiles' profiles --diff
    refuses 'profiles: --diff needs the names of two profiles' profiles --diff te-hip
    refuses 'profiles: --diff needs the names of two profiles' profiles --diff te-hip ggml quark
    refuses 'profiles: --direction, -j and options of the input need --measure' profiles --direction columnwise
    refuses 'profiles: --direction, -j and options of the input need --measure' profiles --diff te-hip ggml --dtype f32
    refuses '--direction: "both" is not one of: rowwise, columnwise' profiles --measure w.npy --direction both
    refuses 'profiles: --shape needs --dtype' profiles --measure w.npy --shape 2x2
    refuses 'profiles: unknown, ambiguous or misused option --wrong (see mxfp4q profiles --help)' profiles --wrong
    run -2 "$MXFP4Q" profiles --diff te-hip te-hp
    run -0 "$MXFP4Q" profiles --help
}

# ---- where two differ

@test "a profile does not differ from itself: status 0" {
    local name
    for name in te-hip ggml modelopt; do
        works profiles --diff "$name" "$name"
        is "$output" "$name and $name make the same bytes of everything that was tried"
        works profiles --diff "$name" "$name" --json
        [[ $output == *'"equal": true'* ]]
    done
}

@test "te-hip and te-triton differ in ties, -0, NaNs, infinities and huge values" {
    differs --diff te-hip te-triton
    is "${#lines[@]}" 14
    is "$(line_of 'amax 1.75 * 2^127')" "amax 1.75 * 2^127 and more 0.098 % 2.9774707e+38 253: 6 254: 4"
    is "$(line_of 'amax infinite')" "amax infinite - inf -inf 1.7014118e+38 -1.7014118e+38 253: 7 15 4 12 254: 7 15 2 10"
    is "$(line_of 'tie: 0.25')" "tie: 0.25 * scale, + and - - 4 0.25 127: 6 0 127: 6 1"
    is "$(line_of 'tie: 1.25')" "tie: 1.25 * scale, + and - - 4 1.25 127: 6 2 127: 6 3"
    is "$(line_of 'tie: 2.5')" "tie: 2.5 * scale, + and - - 4 2.5 127: 6 4 127: 6 5"
    is "$(line_of 'tie: 5 ')" "tie: 5 * scale, + and - - 5 5 127: 6 6 127: 7 7"
    is "$(line_of '-0 ')" "-0 - 4 -0 127: 6 8 127: 6 0"
    is "$(line_of 'a NaN')" "a NaN beside finite values - 4 -4 nan 127: 6 14 7 127: 6 14 0"
    is "${lines[13]}" "scales differ for 32 of the 32640 finite amax of BF16 (0.098 %)"
}

@test "aiter and aiter-even differ in scales above 1.5 * 2^k, and where amax is tiny" {
    differs --diff aiter aiter-even
    is "$(line_of 'amax between 1.5')" "amax between 1.5 * 2^k and 1.75 * 2^k 23.839 % 6.03125 128: 5 127: 7"
    is "$(line_of 'amax below 2^-126')" "amax below 2^-126 0.389 % 9.1835e-41 1: 0 0: 0"
    is "$(grep -c '^tie' <<<"$output")" 0
    is "$(line_of 'amax 1.75 * 2^k ')" ""
    # The other way round, the columns are exchanged.
    differs --diff aiter-even aiter
    is "$(line_of 'amax between 1.5')" "amax between 1.5 * 2^k and 1.75 * 2^k 23.839 % 6.03125 127: 7 128: 5"
}

@test "torchao-rceil and flashinfer differ in NaNs only, torchao-even and aiter-even also under tiny scales" {
    differs --diff torchao-rceil flashinfer
    is "${#lines[@]}" 6
    is "$(sed '1d;$d' <<<"$output" | grep -cv 'NaN')" 0
    is "${lines[5]}" "scales differ for 0 of the 32640 finite amax of BF16 (0.000 %)"
    differs --diff torchao-even aiter-even
    is "$(line_of 'under scale bytes')" "under scale bytes 0 and 1, + and - - 1.561203e-39 1.561203e-39 0: 0 0 0: 1 1"
    is "$(grep -cE '^(tie|-0|below|no tie)' <<<"$output")" 0
}

@test "a class that differs in part says in which: aiter and aiter-hip-floor, mlx-cpu before and after" {
    "$MXFP4Q" profiles aiter-hip-floor mlx-cpu mlx-cpu-nearlog >/dev/null 2>&1 || skip "there are no such profiles"
    differs --diff aiter aiter-hip-floor
    is "$(line_of 'amax 2^k')" "amax 2^k, k -123 to -34 0.276 % 9.403955e-38 2: 6 92: 0"
    is "$(line_of 'amax between 1.75')" \
        "amax between 1.75 * 2^k and 2 * 2^k, k -123 to -35 8.453 % 1.6530389e-37 3: 6 92: 0"
    differs --diff mlx-cpu mlx-cpu-nearlog
    is "$(line_of 'amax between 2^k')" "amax between 2^k and 1.5 * 2^k, 1.00781 to 1.05469 5.383 % 4.03125 127: 6 126: 7"
}

@test "each profile differs from the next one as it does in the model" {
    needs_numpy
    "$PYTHON" "$MODEL" "$MXFP4Q" diff
}

@test "every kernel finds the same differences" {
    local kernel
    run -1 env MXFP4Q_KERNEL=scalar "$MXFP4Q" profiles --diff ggml modelopt --json
    is "$(grep -c '"class"' <<<"$output")" 16
    echo "$output" >scalar.json
    for kernel in $("$MXFP4Q" devices | grep -v 'not on this machine' | sed -n 's/^ [* ] \([a-z0-9]*\) .*/\1/p'); do
        MXFP4Q_KERNEL=$kernel "$MXFP4Q" profiles --diff ggml modelopt --json >"$kernel.json" || [ $? -eq 1 ]
        cmp "$kernel.json" scalar.json
    done
    MXFP4Q_KERNEL=none run -2 "$MXFP4Q" profiles --measure "$WEIGHT"
    is "$output" "mxfp4q: MXFP4Q_KERNEL names no kernel that this machine can run"
}

# ---- a matrix

# The counts that --measure prints for profile $2 against $1, computed from what quantize makes; more arguments are its.
counts_of() {
    local a=$1 b=$2
    shift 2
    "$MXFP4Q" quantize -q --no-fsync --layout linear --format raw --profile "$a" -o a "$@"
    "$MXFP4Q" quantize -q --no-fsync --layout linear --format raw --profile "$b" -o b "$@"
    # cmp prints both bytes in octal, of which the low nibble may differ, the high one, or both.
    cmp -l a.rowwise_data.raw b.rowwise_data.raw | awk '
        function octal(s) { return int(s / 100) * 64 + int(s / 10) % 10 * 8 + s % 10 }
        { a = octal($2); b = octal($3); n += (a % 16 != b % 16) + (int(a / 16) != int(b / 16)) }
        END { printf "%d ", n }'
    cmp -l a.rowwise_scale.raw b.rowwise_scale.raw | wc -l
    rm -f a.* b.*
}

@test "--measure counts the codes and scales that cmp finds different between two results" {
    local name
    works profiles --measure "$WEIGHT"
    is "${lines[0]}" "$WEIGHT: 384 rows x 384 cols, rowwise; codes and scales that differ from te-hip"
    for name in te-triton aiter torchao-ceil ggml quark; do
        is "$(line_of "$name " | cut -d ' ' -f 5,8)" "$(counts_of te-hip "$name" "$WEIGHT")"
    done
    works profiles --measure "$WEIGHT" ggml aiter
    is "${#lines[@]}" 4
    is "${lines[0]}" "$WEIGHT: 384 rows x 384 cols, rowwise; codes and scales that differ from ggml"
    is "$(line_of 'aiter ' | cut -d ' ' -f 5,8)" "$(counts_of ggml aiter "$WEIGHT")"
    works profiles --measure "$WEIGHT" aiter
    is "${#lines[@]}" 3
    is "$(line_of 'aiter ' | cut -d ' ' -f 5,8)" "$(counts_of te-hip aiter "$WEIGHT")"
}

@test "--measure has the SNR and the saturated share of quantize --report" {
    works quantize "$WEIGHT" -o w --profile torchao-floor --no-fsync --direction columnwise --report --json
    echo "$output" >report.json
    works profiles --measure "$WEIGHT" torchao-floor --direction columnwise --json
    echo "$output" >measure.json
    is "$(json_value measure.json "[0]['profiles'][0]['snr_db']")" \
        "$(json_value report.json "[0]['report']['columnwise']['snr_db']")"
    is "$(json_value measure.json "[0]['profiles'][0]['saturated']")" \
        "$(json_value report.json "[0]['report']['columnwise']['saturated']")"
}

@test "--measure agrees with the model: a weight, ragged rows, several panels, both directions" {
    needs_numpy
    "$PYTHON" "$MODEL" "$MXFP4Q" measure "$WEIGHT"
    works gen --shape 37x101 --pattern lognormal --dtype f16 -o ragged
    "$PYTHON" "$MODEL" "$MXFP4Q" measure ragged.npy
    works gen --shape 1031x1057 --pattern ties -o panels
    "$PYTHON" "$MODEL" "$MXFP4Q" measure panels.npy
}

@test "--measure does not depend on the number of threads" {
    local n
    works gen --shape 3000x2100 --pattern lognormal -o big
    works profiles --measure big.npy te-hip te-triton -j 1
    echo "$output" >one
    for n in 2 5; do
        works profiles --measure big.npy te-hip te-triton -j "$n"
        echo "$output" | diff - one
    done
}

@test "--measure reads what quantize reads: raw, gzip, pipes, archives, Fortran order" {
    local wanted
    make_npy w.npy 40 70
    works profiles --measure w.npy te-triton
    wanted=${lines[2]}
    tail -c +129 w.npy >w.raw
    works profiles --measure w.raw --shape 40x70 --dtype bf16 te-triton
    is "${lines[2]}" "$wanted"
    gzip -k w.npy
    works profiles --measure w.npy.gz te-triton
    is "${lines[2]}" "$wanted"
    run -0 "$MXFP4Q" profiles --measure - te-triton <w.npy
    is "${lines[2]}" "$wanted"
    make_zip w.npz deflated a.npy=w.npy b.npy=w.npy
    works profiles --measure w.npz te-triton
    is "${lines[0]%%,*}" "w.npz:a: 40 rows x 70 cols"
    is "${#lines[@]}" 6
    works profiles --measure w.npz --member b te-triton
    is "${lines[2]}" "$wanted"
    works profiles --measure w.npy --flatten 0 te-triton
    is "${lines[0]%%,*}" "w.npy: 1 rows x 2800 cols"
    refuses '"w.npy": no axis 3 to flatten at: the tensor has rank 2' profiles --measure w.npy --flatten 3
}

@test "--measure of nothing, zeros, infinities and NaNs has no SNR" {
    npy_header '<V2' '(0, 32)' >empty.npy
    works profiles --measure empty.npy te-hip te-triton
    is "$(line_of 'te-triton ')" "te-triton - 0.000 % 0 0.000 % 0 0.000 %"
    works gen --shape 2x32 --pattern zeros -o zeros
    works profiles --measure zeros.npy te-hip aiter
    is "$(line_of 'aiter ')" "aiter - 0.000 % 0 0.000 % 2 100.000 %"
    works gen --shape 32x9152 --pattern edges -o edges
    works profiles --measure edges.npy te-hip te-triton --json
    echo "$output" >edges.json
    is "$(json_value edges.json "[0]['profiles'][1]['snr_db']")" None
}

@test "--measure of a file that cannot be read is refused" {
    refuses '"missing.npy": cannot open: No such file or directory' profiles --measure missing.npy
    make_npy w.npy 40 70
    truncate -s 1000 w.npy
    run -2 --separate-stderr "$MXFP4Q" profiles --measure w.npy
    is "$output" ""
    is "${#stderr_lines[@]}" 1
    run -2 --separate-stderr "$MXFP4Q" profiles --measure w.npy --json
    is "$output" ""
}

@test "--diff and --measure together: the table, then the counts; the status of --diff" {
    differs --diff te-hip te-triton --measure "$WEIGHT"
    is "${#lines[@]}" 18
    is "${lines[14]}" "$WEIGHT: 384 rows x 384 cols, rowwise; codes and scales that differ from te-hip"
    differs --diff te-hip te-triton --measure "$WEIGHT" --json
    echo "$output" >both.json
    is "$(json_value both.json "['diff']['b'], len(json.load(open('both.json'))['measure'][0]['profiles'])")" "('te-triton', 2)"
}

# ---- the README

# What the README shows under a command, and the command itself.
in_readme() {
    sed -n "/^    \\\$ $1/,/^\$/s/^    //p" "$ROOT/README.md" | sed '/^$/d'
}

@test "the tables of the README are what its commands print" {
    local command part
    mkdir bin
    ln -s "$(realpath "$MXFP4Q")" bin/mxfp4q
    PATH=$PWD/bin:$PATH
    cd "$ROOT"
    for part in 'mxfp4q profiles --measure' 'mxfp4q profiles --diff'; do
        command=$(in_readme "$part" | sed -n '1s/^\$ //p')
        [[ $command == "$part"* ]]
        echo "$command"
        run bash -c "$command"
        diff <(in_readme "$part" | sed 1d) <(echo "$output")
        [ "${#lines[@]}" -ge 10 ]
    done
}
