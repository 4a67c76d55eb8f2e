"""FBGEMM: its kernel triton_quantize_mx4 with RoundingMode.even. Needs an NVIDIA GPU."""
import importlib.util
import sys
import types

# Only this part of the package is wanted; its libraries would ask for one version of PyTorch.
package = types.ModuleType("fbgemm_gpu")
package.__path__ = importlib.util.find_spec("fbgemm_gpu").submodule_search_locations
sys.modules["fbgemm_gpu"] = package

import torch                                                                     # noqa: E402
from fbgemm_gpu.triton.common import RoundingMode                                # noqa: E402
from fbgemm_gpu.triton.quantize import triton_quantize_mx4                       # noqa: E402

import common                                                                    # noqa: E402

common.DEVICE = "cuda"


def quantize(x):
    values = common.torch_tensor(x).float()                          # it takes FP32
    # 16 bytes of codes and then a scale byte.
    blocks = common.array(triton_quantize_mx4(values, 32, rounding_mode=RoundingMode.even)).reshape(-1, 17)
    return blocks[:, :16].reshape(x.shape[0], -1), blocks[:, 16].reshape(x.shape[0], -1)


common.record("fbgemm-even", common.package("fbgemm-gpu-cpu", "torch"), "fbgemm_gpu.triton.quantize.triton_quantize_mx4",
              "group_size=32, rounding_mode=RoundingMode.even", quantize,
              where="%s, CUDA %s" % (torch.cuda.get_device_name(), torch.version.cuda))
