"""compressed-tensors: the scales of its MXFP4 scheme, and the compressor mxfp4-pack-quantized."""
import torch
from compressed_tensors.compressors.mxfp4.base import MXFP4PackedCompressor
from compressed_tensors.quantization import QuantizationScheme
from compressed_tensors.quantization.quant_scheme import preset_name_to_scheme
from compressed_tensors.quantization.utils.helpers import compute_dynamic_scales_and_zp

import common

scheme: QuantizationScheme = preset_name_to_scheme("MXFP4A16", ["Linear"])


def quantize(x):
    weight = common.torch_tensor(x)
    scale, _ = compute_dynamic_scales_and_zp(weight, scheme.weights, torch.nn.Module())
    packed = MXFP4PackedCompressor.compress({"weight": weight, "weight_scale": scale}, scheme)
    return common.array(packed["weight_packed"]), common.array(packed["weight_scale"])


common.record("compressed-tensors", common.package("compressed-tensors", "torch"),
              "compute_dynamic_scales_and_zp, then MXFP4PackedCompressor.compress", "preset scheme MXFP4A16, CPU", quantize,
              common.every("converts an infinite or NaN exponent to an integer, which is undefined", "largest", *common.NONFINITE))
