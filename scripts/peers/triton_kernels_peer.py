"""triton_kernels, as vLLM's package carries it: its kernel downcast_to_mxfp. Needs an NVIDIA GPU."""
import importlib.util
import os
import sys

# Only this part of vLLM is wanted; vLLM itself would ask for everything it needs.
sys.path.append(os.path.join(importlib.util.find_spec("vllm").submodule_search_locations[0], "third_party"))

import torch                                                                     # noqa: E402
from triton_kernels.numerics_details.mxfp import downcast_to_mxfp                # noqa: E402

import common                                                                    # noqa: E402
import inputs                                                                    # noqa: E402

common.DEVICE = "cuda"


def quantize(x):
    data, scale = downcast_to_mxfp(common.torch_tensor(x), torch.uint8, axis=-1)
    return common.array(data), common.array(scale)


common.record("triton-kernels", common.package("vllm", "triton", "torch"), "triton_kernels.numerics_details.mxfp.downcast_to_mxfp",
              "triton_kernels as carried by vllm; axis=-1, ROUND_UP", quantize,
              names={**inputs.CASES, **inputs.TAILS},
              where="%s, CUDA %s" % (torch.cuda.get_device_name(), torch.version.cuda))
