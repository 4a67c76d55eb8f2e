"""gguf, llama.cpp's Python package: its NumPy quantizer for MXFP4."""
import numpy as np
from gguf.constants import GGMLQuantizationType
from gguf.quants import quantize as gguf_quantize

import common


def quantize(x):
    values = x.view(np.float32) if x.dtype == np.uint32 else (x.astype(np.uint32) << 16).view(np.float32)
    blocks = gguf_quantize(values, GGMLQuantizationType.MXFP4).reshape(-1, 17)
    # Value j of a block shares a byte with value j + 16.
    codes = np.concatenate((blocks[:, 1:] & 15, blocks[:, 1:] >> 4), axis=1)
    return common.pack(codes).reshape(x.shape[0], -1), blocks[:, 0].reshape(x.shape[0], -1)


common.record("ggml", common.package("gguf", "numpy"), "gguf.quants.quantize", "GGMLQuantizationType.MXFP4", quantize,
              common.every("converts an infinite or NaN exponent to uint8, which is undefined", *common.NONFINITE)
              | common.every("the logarithm in FP32 is one too high a few units below a power of two", "f32-amax-at-1-"))
