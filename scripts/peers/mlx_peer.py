"""MLX: mx.quantize in the mode mxfp4, on the CPU. Version 0.32.1 changed the rule of the scale."""
import mlx.core as mx
import numpy as np

import common

mx.set_default_device(mx.cpu)
versions = common.package("mlx", "mlx-cpu")
is_old = tuple(map(int, versions["mlx"].split("."))) < (0, 32, 1)


def quantize(x):
    values = mx.array(x).view(mx.bfloat16 if x.dtype == np.uint16 else mx.float32)
    data, scale = mx.quantize(values, group_size=32, bits=4, mode="mxfp4")[:2]
    return np.array(data).view(np.uint8), np.array(scale)


excluded = (common.every("converts an infinite or NaN exponent to an integer, which is undefined", *common.NONFINITE)
            | common.every("scale bytes below 0 wrap, the scale does not", "tiny", "subnormal"))
if is_old:
    excluded |= common.every("computes the logarithm in BF16", "bf16-")
    excluded |= common.every("the logarithm in FP32 is rounded to midway", "f32-amax-at-others")
common.record("mlx-cpu-nearlog" if is_old else "mlx-cpu", versions, "mlx.core.quantize", 'group_size=32, bits=4, mode="mxfp4", CPU',
              quantize, excluded)
