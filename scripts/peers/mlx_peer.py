"""MLX: mx.quantize in the mode mxfp4, on the CPU."""
import mlx.core as mx
import numpy as np

import common

mx.set_default_device(mx.cpu)


def quantize(x):
    values = mx.array(x).view(mx.bfloat16 if x.dtype == np.uint16 else mx.float32)
    data, scale = mx.quantize(values, group_size=32, bits=4, mode="mxfp4")[:2]
    return np.array(data).view(np.uint8), np.array(scale)


common.record("mlx-cpu", common.package("mlx", "mlx-cpu"), "mlx.core.quantize", 'group_size=32, bits=4, mode="mxfp4", CPU', quantize)
