"""ml_dtypes: its casts to E2M1, and of the scale 1 to E8M0. How a block gets its scale is not its business."""
import ml_dtypes
import numpy as np

import common
import inputs


def quantize(x):
    values = x.view(ml_dtypes.bfloat16 if x.dtype == np.uint16 else np.float32)
    codes = values.astype(ml_dtypes.float4_e2m1fn).view(np.uint8)
    scale = np.ones((x.shape[0], x.shape[1] // inputs.BLOCK), dtype=np.float32).astype(ml_dtypes.float8_e8m0fnu)
    return common.pack(codes), scale.view(np.uint8)


common.record("te-hip", common.package("ml-dtypes", "numpy"), "astype(float4_e2m1fn), astype(float8_e8m0fnu)",
              "elements under the scale 1", quantize, name="ml-dtypes", names=inputs.ELEMENTS)
