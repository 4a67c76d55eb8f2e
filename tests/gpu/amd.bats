#!/usr/bin/env bats
# What AMD's compiler made of the kernels: read from its report and from the code itself, without a GPU. For a build with
# HIP=amd or HIP=amd-clang.

# shellcheck disable=SC2154 # run sets variables

load ../cli/helper

setup() {
    BUILD=${BUILD:-$ROOT/build}
    MODULE=$BUILD/gpu_module.bin
    [ -s "$MODULE" ] || skip "this build has no device code"
    cd "$BATS_TEST_TMPDIR" || return
}

needs() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || skip "$tool is not installed"
    done
}

# The symbols that gpu_launch.c may ask for.
wanted_symbols() {
    grep -oE '"mxq_gpu_[a-z0-9_]+"' "$ROOT/src/kernels/gpu_launch.c" | tr -d '"' | sort
}

amd_archs() {
    clang-offload-bundler-22 -list -type=o -input="$MODULE" | sed -n 's/.*amdhsa--\(gfx[0-9a-z]*\).*/\1/p' | sort
}

# The code object for one architecture, in $object.
extract() {
    object=$BATS_TEST_TMPDIR/$1.co
    clang-offload-bundler-22 -unbundle -type=o -targets="hipv4-amdgcn-amd-amdhsa--$1" -input="$MODULE" -output="$object"
}

# Lines "KERNEL KEY VALUE" from a code object's notes.
list_notes() {
    llvm-readelf-22 --notes "$1" | awk '
        $1 == "-" && $2 ~ /^\.agpr_count|^\.args/ { n++ }
        $1 ~ /^\.(private_segment_fixed_size|vgpr_count|vgpr_spill_count|uses_dynamic_stack):/ {
            keys[n] = keys[n] " " $1 $2 }
        $1 == ".name:" && $2 ~ /^mxq_gpu_/ { name[n] = $2 }
        END { for (i in name) print name[i] keys[i] }' | sort
}

@test "there is code for gfx90a, gfx942 and gfx950" {
    needs clang-offload-bundler-22
    for arch in gfx90a gfx942 gfx950; do
        amd_archs | grep -qx "$arch"
    done
}

@test "every kernel that the host asks for is in the code for every architecture" {
    local arch
    needs clang-offload-bundler-22 llvm-readelf-22
    [ "$(wanted_symbols | wc -l)" -ge 6 ]
    for arch in $(amd_archs); do
        extract "$arch"
        echo "$arch"
        diff <(wanted_symbols) <(list_notes "$object" | cut -d ' ' -f 1)
    done
}

# (Scalar registers are spilled to lanes of vector registers, which is no memory.)
@test "no kernel has scratch memory, spilled vector registers or a dynamic stack" {
    local arch
    needs clang-offload-bundler-22 llvm-readelf-22
    for arch in gfx90a gfx942 gfx950; do
        extract "$arch"
        list_notes "$object" | sed "s/^/$arch /" >notes
        [ "$(wc -l <notes)" -ge 6 ]
        run ! grep -vE ' \.private_segment_fixed_size:0 .*\.uses_dynamic_stack:false .*\.vgpr_spill_count:0( |$)' notes
    done
}

# A SIMD has 512 vector registers for each lane.
@test "kernels without a transform run with two waves on a SIMD or more" {
    local arch
    needs clang-offload-bundler-22 llvm-readelf-22
    for arch in gfx90a gfx942 gfx950; do
        extract "$arch"
        list_notes "$object" | grep -v hadamard | sed "s/^/$arch /" >notes
        [ "$(wc -l <notes)" -ge 3 ]
        cat notes
        awk '{ match($0, /\.vgpr_count:[0-9]+/); if (substr($0, RSTART + 12, RLENGTH - 12) + 0 > 256) bad = 1 }
            END { exit bad }' notes
    done
}

@test "on gfx950 the hardware converts to FP4, and nowhere else is it asked to" {
    local arch
    needs clang-offload-bundler-22 llvm-objdump-22
    extract gfx950
    [ "$(llvm-objdump-22 -d "$object" | grep -c 'v_cvt_scalef32_pk_fp4_')" -ge 16 ]
    for arch in gfx90a gfx942; do
        extract "$arch"
        is_without "$object" 'v_cvt_scalef32_pk_fp4_'
    done
}

is_without() {
    ! llvm-objdump-22 -d "$1" | grep -q "$2"
}

@test "memory is read and written 128 bits at a time" {
    local arch
    needs clang-offload-bundler-22 llvm-objdump-22
    for arch in gfx90a gfx942 gfx950; do
        extract "$arch"
        llvm-objdump-22 -d "$object" >listing
        echo "$arch"
        [ "$(grep -c 'global_load_dwordx4' listing)" -ge 12 ]
        [ "$(grep -c 'global_store_dwordx4' listing)" -ge 12 ]
    done
}
