#!/bin/sh
# demo.sh - installs what is missing, builds, quantizes a real matrix, and shows what came out
set -eu
cd "$(dirname "$0")/.."
. scripts/install-deps.sh

# shellcheck disable=SC2086
install_packages $BUILD_PACKAGES python3-numpy

echo "Building build/mxfp4q"
make -s -j "$(nproc)" all

weight=testdata/minilm_l6_attn_query.bf16.npy
out=build/demo
rm -rf "$out"
mkdir -p "$out"

run() {
    echo
    echo "\$ $*"
    "$@"
}

run build/mxfp4q info "$weight"
run build/mxfp4q quantize "$weight" -o "$out/w" --report
run build/mxfp4q info "$out/w"
run ls -l "$out"
echo
echo "\$ head of $out/w.json"
head -n 24 "$out/w.json"

cat >"$out/read.py" <<'END'
import sys, numpy as np
codes, scales = np.load(sys.argv[1] + ".rowwise_data.npy"), np.load(sys.argv[1] + ".rowwise_scale.npy")
print("codes", codes.dtype, codes.shape, "scales", scales.dtype, scales.shape, "scale exponents", scales[:384, :12].min() - 127, "to", scales[:384, :12].max() - 127)
END
echo
echo "Two lines of NumPy that read it:"
sed 1d "$out/read.py"
run python3 "$out/read.py" "$out/w"
