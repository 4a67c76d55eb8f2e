#!/bin/sh
# demo.sh - installs what is missing, builds, quantizes a real matrix, and shows what came out
set -eu
cd "$(dirname "$0")/.."
. scripts/install-deps.sh

# shellcheck disable=SC2086
install_packages $BUILD_PACKAGES python3-numpy

echo "Building build/mxfp4q"
make -s -j "$(nproc)" BUILD=build all

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

run build/mxfp4q quantize "$weight" -o "$out/linear" --layout linear --direction rowwise

cat >"$out/read.py" <<'END'
import numpy as np
codes, scales = np.load("build/demo/linear.rowwise_data.npy"), np.load("build/demo/linear.rowwise_scale.npy")
w = np.array([0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6])[np.stack((codes & 15, codes >> 4), -1)].reshape(384, 12, 32) * 2.0 ** (scales[..., None] - 127.0)
x = (np.load("testdata/minilm_l6_attn_query.bf16.npy").view(np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(w.shape)
print("shape", w.reshape(384, 384).shape, "first values", x[0, 0, :4], "->", w[0, 0, :4], " SNR %.3f dB" % (10 * np.log10((x ** 2).sum() / ((x - w) ** 2).sum())))
END
echo
echo "Two lines of NumPy that read it:"
sed -n 2,3p "$out/read.py"
echo "and what they say beside the input:"
run /usr/bin/python3 "$out/read.py"
