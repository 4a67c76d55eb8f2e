#!/usr/bin/env bats
# mxfp4q devices.

load helper
load files

@test "devices tells CPU features, kernels and which one would run" {
    works devices
    [[ ${lines[0]} =~ ^'cpu: '[1-9][0-9]*' threads'$ ]]
    [[ ${lines[1]} == "features: "* ]]
    is "${lines[2]}" kernels:
    is "$(grep -c '^ \* ' <<<"$output")" 1
    grep -qE '^ [ *] scalar +[a-z]' <<<"$output"
    [[ ${lines[-1]} == "gpu: "* ]]
}

@test "a feature is told as present only where the system tells it too" {
    local feature
    [ -r /proc/cpuinfo ] && grep -q '^flags' /proc/cpuinfo || skip "/proc/cpuinfo tells no flags"
    works devices
    for feature in ssse3 avx2 f16c avx512f avx512bw avx512dq avx512vl avx512vbmi; do
        if grep -m 1 '^flags' /proc/cpuinfo | grep -qw "$feature"; then
            grep -qE "^features:.* $feature( |$)" <<<"$output"
        else
            grep -qE "^features:.* no-$feature( |$)" <<<"$output"
        fi
    done
}

@test "devices --json says the same" {
    works devices --json
    echo "$output" >out.json
    is "$(json_value out.json "['kernels'][0]['name']")" scalar
    is "$(json_value out.json "['kernels'][0]['runs_here']")" True
    is "$(json_value out.json "['cpu']['threads'] > 0")" True
    is "$("$PYTHON" -c 'import json; print(sum(k["chosen"] for k in json.load(open("out.json"))["kernels"]))')" 1
}

@test "MXFP4Q_KERNEL changes what would run" {
    MXFP4Q_KERNEL=scalar works devices
    grep -qE '^ \* scalar ' <<<"$output"
}

# ---- hidden features

# The features of this architecture, one a line.
list_features() {
    "$MXFP4Q" devices | sed -n 's/^features://p' | tr -s ' ' '\n' | sed -n 's/^\(no-\)\{0,1\}\(.\)/\2/p'
}

quantizes_like() {
    local golden=$1 hidden=$2 file
    MXFP4Q_CPU_FEATURES_OFF=$hidden works quantize w.npy -o hidden --layout linear --force
    for file in "$golden".*.npy; do
        cmp "$file" "hidden${file#"$golden"}" || { echo "without $hidden" && false; }
    done
}

@test "without any one CPU feature, or all of them, the result is the same" {
    local feature
    make_npy w.npy 70 101
    works quantize w.npy -o golden --layout linear --kernel scalar
    for feature in $(list_features) "$(list_features | paste -s -d ,)"; do
        quantizes_like golden "$feature"
    done
}

@test "a hidden feature is told as absent, and the others as before" {
    local feature before
    works devices
    before=$(grep '^features:' <<<"$output")
    for feature in $(list_features); do
        MXFP4Q_CPU_FEATURES_OFF=$feature works devices
        is "$(grep '^features:' <<<"$output")" "$(sed -E "s/ (no-)?$feature( |\$)/ no-$feature\\2/" <<<"$before")"
    done
}

@test "without all CPU features scalar runs" {
    MXFP4Q_CPU_FEATURES_OFF=$(list_features | paste -s -d ,) works devices
    grep -qE '^ \* scalar ' <<<"$output"
}

# What the makefile lets a compiler use in the file of a kernel, one feature a line.
list_compiled_features() {
    sed -e ':more' -e '/\\$/{N; s/\\\n//; b more' -e '}' "$ROOT/Makefile" |
        grep "kernels/$1.o: EXTRA" | grep -oE -- '-m[a-z0-9.]+( |$)' | sed 's/^-m//; s/ $//'
}

# A compiler uses what it is allowed to anywhere in a file, not only where the source says so.
@test "a kernel is refused in one line when a feature is hidden that it was compiled for" {
    local kernel feature
    make_npy w.npy 8 8
    for kernel in avx2 avx512; do
        list_compiled_features "$kernel" >features
        [ -s features ]
        while read -r feature; do
            MXFP4Q_CPU_FEATURES_OFF=$feature refuses \
                "--kernel: \"$kernel\" is no kernel that this machine can run (see mxfp4q devices)" \
                quantize w.npy -o out --kernel "$kernel" </dev/null
            MXFP4Q_KERNEL=$kernel MXFP4Q_CPU_FEATURES_OFF=$feature refuses \
                "MXFP4Q_KERNEL: \"$kernel\" is no kernel that this machine can run (see mxfp4q devices)" \
                quantize w.npy -o out </dev/null
        done <features
    done
}
