#!/bin/sh
# run.sh [PEER...] - makes the vectors of peers: installs each into a virtual environment of its own, and runs its script
#
# The whole output goes to build/peers, hashes and samples of it to testdata/peers. Needs Python 3.11 or later, the
# registry of Python packages, for cuda nvcc, and for triton_kernels and fbgemm, which are run only when they are named, a
# GPU of NVIDIA.
set -eu
cd "$(dirname "$0")/../.."
venvs=${MXFP4Q_VENVS:-build/venvs}

# The packages of a peer, pinned, one set for each virtual environment.
torch="torch==2.11.0 numpy==2.4.6"
packages_of() {
    case $1 in
    torchao) echo "$torch torchao==0.18.0" ;;
    compressed_tensors) echo "$torch compressed-tensors==0.20.0" ;;
    modelopt) echo "$torch nvidia-modelopt==0.47.0 requests==2.34.2 huggingface-hub==2.4.0" ;;
    quark) echo "$torch amd-quark==0.13 transformers==5.24.0" ;;
    triton_kernels | fbgemm) echo "$torch" ;;
    gguf) echo "gguf==0.19.0 numpy==2.4.6" ;;
    mlx) echo "mlx==0.32.4 mlx-cpu==0.32.4 numpy==2.4.6" ;;
    mlx_old) echo "mlx==0.32.0 mlx-cpu==0.32.0 numpy==2.4.6" ;;
    ml_dtypes) echo "ml-dtypes==0.6.0 numpy==2.4.6" ;;
    cuda) echo "numpy==2.4.6" ;;
    *) echo "run.sh: no peer \"$1\"" >&2 && return 1 ;;
    esac
}

run_peer() {
    packages=$(packages_of "$1")
    if ! [ -e "$venvs/$1/ready" ]; then
        python3 -m venv "$venvs/$1"
        # shellcheck disable=SC2086
        "$venvs/$1/bin/pip" install -q --prefer-binary $packages
        # Only files of these are wanted, not what the packages need.
        [ "$1" != triton_kernels ] || "$venvs/$1/bin/pip" install -q --no-deps --only-binary :all: vllm==0.33.0
        [ "$1" != fbgemm ] || "$venvs/$1/bin/pip" install -q --no-deps --only-binary :all: fbgemm-gpu-cpu==1.9.0
        : >"$venvs/$1/ready"
    fi
    "$venvs/$1/bin/python" "scripts/peers/${1%_old}_peer.py"
}

[ $# -gt 0 ] || set -- torchao compressed_tensors modelopt quark gguf mlx mlx_old ml_dtypes cuda
for peer; do
    run_peer "$peer"
done
