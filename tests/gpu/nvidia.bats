#!/usr/bin/env bats
# What NVIDIA's compiler made of the kernels: read from its report and from the code itself, without a GPU. For a build with
# HIP=nvidia.

# shellcheck disable=SC2154 # run sets variables

load ../cli/helper

setup() {
    BUILD=${BUILD:-$ROOT/build}
    MODULE=$BUILD/gpu_module.bin
    [ -s "$MODULE" ] || skip "this build has no device code"
    cd "$BATS_TEST_TMPDIR" || return
}

# The symbols that gpu_launch.c may ask for.
wanted_symbols() {
    grep -oE '"mxq_gpu_[a-z0-9_]+"' "$ROOT/src/kernels/gpu_launch.c" | tr -d '"' | sort
}

# Lines "KERNEL ARCH STACK STORES LOADS" from what ptxas says.
list_ptxas() {
    awk '/Compiling entry function/ { gsub(/\x27/, ""); kernel = $(NF - 2); arch = $NF }
        /bytes stack frame/ && kernel != "" { print kernel, arch, $1, $5, $9; kernel = "" }' "$MODULE.log" | sort
}

# Lines "elf 80" or "ptx 90", one for each part of the fat binary: its kind, sizes of its header and of the rest, its chip.
list_parts() {
    local at=16 end kind header size chip
    end=$(wc -c <"$MODULE")
    while [ "$at" -lt "$end" ]; do
        read -r kind < <(od -An -tu2 -j "$at" -N 2 "$MODULE")
        read -r header < <(od -An -tu4 -j $((at + 4)) -N 4 "$MODULE")
        read -r size < <(od -An -tu8 -j $((at + 8)) -N 8 "$MODULE")
        read -r chip < <(od -An -tu4 -j $((at + 28)) -N 4 "$MODULE")
        echo "$([ "$kind" -eq 1 ] && echo ptx || echo elf) $chip"
        at=$((at + header + size))
    done
}

@test "there is code for sm_80 and sm_90, and PTX for GPUs that are newer than this program" {
    list_parts >parts
    cat parts
    grep -qx 'elf 80' parts
    grep -qx 'elf 90' parts
    grep -qx 'ptx 90' parts
}

@test "every kernel that the host asks for is in the code" {
    local arch
    for arch in sm_80 sm_90; do
        echo "$arch"
        diff <(wanted_symbols) <(list_ptxas | sed -n "s/ $arch .*//p")
    done
}

@test "no kernel spills, or has a stack" {
    list_ptxas >usage
    [ "$(wc -l <usage)" -ge 12 ]
    run ! grep -v ' 0 0 0$' usage
}
