/* profile_evidence.c - the table of what proves each profile; testdata/peers/EVIDENCE is held against it */
#include "cli/profile_evidence.h"

#include <stddef.h>
#include <string.h>

static const struct mxq_profile_evidence table[] = {
    {"te-hip", "TransformerEngine", "1459f9bb",
     "formulas of its source, and the conversion instruction executed by tests/gcnrun"},
    {"te-triton", "TransformerEngine", "0285870", "formulas of its source"},
    {"aiter", "AITER", "0b3d7161", "formulas of its source, and the conversion instruction executed by tests/gcnrun"},
    {"aiter-even", "AITER", "e4048607", "formulas of its source"},
    {"quark", "amd-quark", "0.13",
     "scaled_real_quantize, then Pack_fp4.pack and to_e8m0_uint8: 167,616 blocks, all equal"},
    {"torchao-floor", "torchao", "0.18.0", "torchao.prototype.mx_formats.mx_tensor.to_mx: 160,064 blocks, all equal"},
    {"torchao-even", "torchao", "0.18.0", "torchao.prototype.mx_formats.mx_tensor.to_mx: 160,064 blocks, all equal"},
    {"torchao-rceil", "torchao", "0.18.0", "torchao.prototype.mx_formats.mx_tensor.to_mx: 156,384 blocks, all equal"},
    {"torchao-ceil", "torchao", "0.18.0", "torchao.prototype.mx_formats.mx_tensor.to_mx: 160,064 blocks, all equal"},
    {"triton-kernels", "vllm", "0.33.0",
     "triton_kernels.numerics_details.mxfp.downcast_to_mxfp: 169,280 blocks, all equal"},
    {"ggml", "gguf", "0.19.0", "gguf.quants.quantize: 154,688 blocks, all equal"},
    {"compressed-tensors", "compressed-tensors", "0.20.0",
     "compute_dynamic_scales_and_zp, then MXFP4PackedCompressor.compress: 158,400 blocks, all equal"},
    {"modelopt", "nvidia-modelopt", "0.47.0",
     "modelopt.torch.quantization.qtensor.mxfp4_tensor.MXFP4QTensor.quantize: 154,720 blocks, all equal"},
    {"flashinfer", "CUDA", "13.0.88", "__nv_cvt_float_to_e8m0 and __nv_cvt_float2_to_fp4x2: 161,024 blocks, all equal"},
    {"microxcaling", "microxcaling", "7bc4195", "formulas of its source; it is no package"},
    {"fbgemm-even", "fbgemm-gpu-cpu", "1.9.0",
     "fbgemm_gpu.triton.quantize.triton_quantize_mx4: 161,088 blocks, all equal"},
    {"primus-hip", "Primus-Turbo", "03927e18",
     "formulas of its source, and the conversion instruction executed by tests/gcnrun"},
    {"primus-triton", "Primus-Turbo", "3e1d3292",
     "formulas of its source, and the conversion instruction executed by tests/gcnrun"},
    {"aiter-hip-floor", "AITER", "e4048607",
     "formulas of its source, and the conversion instruction executed by tests/gcnrun"},
    {"mlx-cpu", "mlx", "0.32.4", "mlx.core.quantize: 148,448 blocks, all equal"},
    {"mlx-gpu", "MLX", "0ae28ee7", "formulas of its source"},
    {"mlx-cpu-nearlog", "mlx", "0.32.0", "mlx.core.quantize: 30,624 FP32 blocks, all equal"},
    {"mlx-gpu-nearlog", "MLX", "846d1762", "formulas of its source"},
};

const struct mxq_profile_evidence *mxq_find_profile_evidence(const char *profile)
{
    static const struct mxq_profile_evidence nothing = {"", "unknown", "unknown", "nothing"};

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i].profile, profile) == 0)
            return &table[i];
    return &nothing;
}
