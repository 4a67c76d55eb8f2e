"""CUDA's conversions to E2M1 and E8M0 in FlashInfer's order, by the host versions of cuda_fp4.h and cuda_fp8.h.

nvcc must be there; no GPU is needed. FlashInfer itself needs a GPU of NVIDIA's newer than all we could run on.
"""
import os
import re
import subprocess
import tempfile

import numpy as np

import common

with tempfile.TemporaryDirectory() as folder:
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cuda_peer.cu")
    program, raw, out = (os.path.join(folder, n) for n in ("cuda_peer", "in", "out"))
    subprocess.run(["nvcc", "-O2", "-o", program, source], check=True)
    release = re.search(r"V([0-9.]+)", subprocess.run(["nvcc", "--version"], check=True, capture_output=True, text=True).stdout)[1]

    def quantize(x):
        x.tofile(raw)
        subprocess.run([program, "host", "bf16" if x.dtype == np.uint16 else "f32", raw, out], check=True)
        made = np.fromfile(out, dtype=np.uint8)
        return made[:x.size // 2].reshape(x.shape[0], -1), made[x.size // 2:].reshape(x.shape[0], -1)

    common.record("flashinfer", {"CUDA": release}, "__nv_cvt_float_to_e8m0 and __nv_cvt_float2_to_fp4x2",
                  "as FlashInfer 0.7.2 calls them: amax/6, __NV_SATFINITE, cudaRoundPosInf; __NV_E2M1, cudaRoundNearest; "
                  "host versions, cuda_peer.cu", quantize,
                  common.every("a block of nothing but NaNs gets the byte 255", "only-nan"))
