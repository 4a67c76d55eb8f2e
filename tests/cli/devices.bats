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
    for feature in ssse3 avx2 f16c avx512f avx512bw avx512vl; do
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
