"""AMD Quark: MXFP4 weights as its export writes them, scale_calculation_mode even."""
import copy

import torch
import quark.torch.kernel
from quark.torch.quantization.config.config import OCP_MXFP4Spec
from quark.torch.quantization.tensor_quantize import FakeQuantizeBase
from quark.torch.utils.numerics import to_e8m0_uint8
from quark.torch.utils.pack import create_pack_method

import common
import inputs

config = OCP_MXFP4Spec(ch_axis=-1, is_dynamic=False).to_quantization_spec()


def quantize(x):
    tensor, spec = common.torch_tensor(x), copy.deepcopy(config)
    quantizer = FakeQuantizeBase.get_fake_quantize(spec)
    quantizer.enable_observer()
    quantizer.disable_fake_quant()
    quantizer(tensor)
    codes = quark.torch.kernel.scaled_real_quantize(
        spec.dtype.value, tensor, quantizer.scale, quantizer.zero_point, spec.ch_axis, spec.group_size,
        quantizer.quant_min, quantizer.quant_max, spec.round_method.value, spec.qscheme.value)
    data = create_pack_method(qscheme=spec.qscheme.value, dtype=spec.dtype.value).pack(codes, False)
    return common.array(data), common.array(to_e8m0_uint8(quantizer.scale)).reshape(x.shape[0], -1)


with torch.no_grad():
    common.record("quark", common.package("amd-quark", "torch"), "scaled_real_quantize, then Pack_fp4.pack and to_e8m0_uint8",
                  "OCP_MXFP4Spec(ch_axis=-1, is_dynamic=False): scale_calculation_mode=even, half_even; CPU", quantize,
                  common.every("converts the NaN exponent to an integer, which is undefined", "nan")
                  | common.every("the code of an infinity is index 6, 4.0", "-infinity"),
                  names={**inputs.CASES, **inputs.TAILS})
