#!/bin/sh
# gpu-module.sh MODE OUT - compiles the device code for all architectures that the compiler of MODE knows
#
# MODE is amd (hipcc), amd-clang (clang++, without ROCm) or nvidia (nvcc). OUT is what hipModuleLoadData() or
# cuModuleLoadData() reads. OUT.log has what the compiler says, with the resources of each kernel. Environment: HIPCC, CLANGXX,
# NVCC, GPU_ARCHS (instead of the ones below), WERROR (warnings are errors), V (shows the command).
set -u
mode=${1:?usage: gpu-module.sh MODE OUT}
out=${2:?usage: gpu-module.sh MODE OUT}
cd "$(dirname "$0")/.." || exit 2
source=src/kernels/hip_kernels.hip
warnings="-Wall -Wextra ${WERROR:+-Werror}"
amd_archs=${GPU_ARCHS:-"gfx90a gfx942 gfx950 gfx1201 gfx1250"}

die() {
    echo "gpu-module.sh: $1" >&2
    exit 1
}

# Those of the AMD architectures for which this compiler, with these options, can make code.
known_amd_archs() {
    for arch in $amd_archs; do
        if echo 'extern "C" __attribute__((global)) void k(int *p) { *p = 1; }' |
            "$@" -x hip --offload-arch="$arch" --cuda-device-only -nogpuinc -nogpulib -c -o /dev/null - 2>/dev/null; then
            printf -- '--offload-arch=%s ' "$arch"
        elif [ -n "${GPU_ARCHS:-}" ]; then
            die "$1 cannot compile for $arch"
        fi
    done
}

# From the oldest architecture that is still in use on. FP4 instructions are those of a family (the f); newer chips are
# served by the PTX, which the driver compiles.
nvidia_archs() {
    if [ -n "${GPU_ARCHS:-}" ]; then
        for arch in $GPU_ARCHS; do
            printf -- '-gencode arch=compute_%s,code=sm_%s ' "${arch#sm_}" "${arch#sm_}"
        done
        return
    fi
    known=$("$NVCC" --list-gpu-code)
    for arch in 80 90 100f 120f; do
        for name in "$arch" "${arch%f}a"; do
            if echo "$known" | grep -qx "sm_${arch%f}" &&
                "$NVCC" -arch="sm_$name" -x cu -cubin -o /dev/null - </dev/null 2>/dev/null; then
                printf -- '-gencode arch=compute_%s,code=sm_%s ' "$name" "$name"
                break
            fi
        done
    done
    printf -- '-gencode arch=compute_90,code=compute_90 '
}

compile() {
    [ -z "${V:-}" ] || echo "$*"
    if ! "$@" >"$out.log" 2>&1; then
        cat "$out.log" >&2
        rm -f "$out"
        exit 1
    fi
    grep -E '(warning|error)( #[0-9-]+)?:' "$out.log" >&2
    return 0
}

# A bundle of code objects even when there is one.
compile_amd() {
    archs=$(known_amd_archs "$@") || exit 1
    [ -n "$archs" ] || die "$1 cannot compile for any of $amd_archs"
    # shellcheck disable=SC2086 # lists of words
    compile "$@" -x hip $archs -O3 -std=c++17 -ffp-contract=off $warnings -Isrc --cuda-device-only --gpu-bundle-output \
        -mcode-object-version=5 -Rpass-analysis=kernel-resource-usage $extra -c "$source" -o "$out"
}

case $mode in
amd)
    extra=
    compile_amd "${HIPCC:-hipcc}"
    ;;
amd-clang)
    extra='-nogpuinc -nogpulib'
    compile_amd "${CLANGXX:-clang++-22}"
    ;;
nvidia)
    NVCC=${NVCC:-nvcc}
    # shellcheck disable=SC2046,SC2086 # lists of words
    compile "$NVCC" -x cu $(nvidia_archs) -std=c++17 -O3 -fmad=false -Isrc ${WERROR:+-Werror all-warnings} \
        -Xptxas -v -fatbin "$source" -o "$out"
    ;;
*)
    die "\"$mode\" is not one of: amd, amd-clang, nvidia"
    ;;
esac
