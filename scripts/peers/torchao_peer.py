"""torchao: to_mx in its four modes."""
import torch
from torchao.prototype.mx_formats.config import ScaleCalculationMode
from torchao.prototype.mx_formats.mx_tensor import to_mx

import common

DIVIDED = (common.every("the sign of Inf / Inf is the machine's", "infinity-nan")
           | common.every("the code of a NaN depends on its payload", "other-nan"))
EXCLUDED = {"floor": DIVIDED, "even": DIVIDED, "ceil": DIVIDED, "rceil": common.every(
    "the logarithm in FP32 is one too low a few units above 6 * 2^k", "f32-amax-at-1.5-")}

for mode in ScaleCalculationMode:
    def quantize(x, mode=mode):
        scale, data = to_mx(common.torch_tensor(x), torch.float4_e2m1fn_x2, 32, mode)
        return common.array(data), common.array(scale)
    common.record("torchao-" + mode.value, common.package("torchao", "torch"), "torchao.prototype.mx_formats.mx_tensor.to_mx",
                  "elem_dtype=torch.float4_e2m1fn_x2, block_size=32, scaling_mode=ScaleCalculationMode.%s, eager" % mode.name,
                  quantize, EXCLUDED[mode.value])
