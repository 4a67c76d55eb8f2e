"""NVIDIA Model Optimizer: MXFP4QTensor.quantize."""
from modelopt.torch.quantization.qtensor.mxfp4_tensor import MXFP4QTensor

import common


def quantize(x):
    tensor, scale = MXFP4QTensor.quantize(common.torch_tensor(x), 32)
    return common.array(tensor._quantized_data), common.array(scale).reshape(x.shape[0], -1)


common.record("modelopt", common.package("nvidia-modelopt", "torch"),
              "modelopt.torch.quantization.qtensor.mxfp4_tensor.MXFP4QTensor.quantize", "block_size=32, CPU", quantize,
              common.every("converts an infinite or NaN exponent to uint8, which is undefined", *common.NONFINITE)
              | common.every("the logarithm in FP32 is one too low a few units above 6 * 2^k", "f32-amax-at-1.5-"))
