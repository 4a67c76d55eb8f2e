/* profiles.c - the table of named recipes; mxfp4q(5), PROFILES, says where each value comes from */
#include "kernels/mxq.h"

#include <string.h>

/* clang-format off */
#define RECIPE(scale_, ties_, sign_, zero_, underflow_, sixth_, huge_, infinity_, poisons_, fills_, nan_, nan_sign_) \
    RECIPE_ABOVE(0, scale_, ties_, sign_, zero_, underflow_, sixth_, huge_, infinity_, poisons_, fills_, nan_,       \
                 nan_sign_)

/* With a floor under amax, in the bits of FP32. */
#define RECIPE_ABOVE(floor_, scale_, ties_, sign_, zero_, underflow_, sixth_, huge_, infinity_, poisons_, fills_,    \
                     nan_, nan_sign_)                                                                                \
    {                                                                                                                \
        .scale = MXQ_SCALE_##scale_, .ties = MXQ_TIES_##ties_, .sign = MXQ_SIGN_##sign_, .zero_byte = (zero_),       \
        .amax_floor = (floor_),                                                                                      \
        .underflow = MXQ_UNDERFLOW_##underflow_, .sixth = MXQ_SIXTH_##sixth_,                                        \
        .huge_byte = (huge_), .infinity_byte = (infinity_),                                                          \
        .nan_poisons = (poisons_), .nan_fills = (fills_), .nan_code = (nan_), .nan_keeps_sign = (nan_sign_),         \
    }

static const struct mxq_profile profiles[] = {
    {"te-hip", "ROCm TransformerEngine, HIP kernel",
     RECIPE(EVEN, EVEN, KEEP, 127, PLAIN, QUOTIENT, 253, 253, false, false, 7, true), 127},
    {"te-triton", "ROCm TransformerEngine, Triton kernel",
     RECIPE(EVEN, AWAY, VALUE, 127, PLAIN, QUOTIENT, 254, 254, false, false, 0, false), 127},
    {"aiter", "AITER HIP quantizer, RoundUp",
     RECIPE(RCEIL, EVEN, KEEP, 0, PLAIN, PRODUCT, 253, 255, false, false, 7, true), 0},
    {"aiter-even", "AITER Triton dynamic_mxfp4_quant",
     RECIPE(EVEN, EVEN, KEEP, 0, PLAIN, QUOTIENT, 254, 254, false, false, 3, true), 0},
    {"quark", "AMD Quark, even",
     RECIPE(EVEN, EVEN, DROP, 1, RAISED, QUOTIENT, 254, 254, true, true, 7, false), 0},
    {"torchao-floor", "torchao, ScaleCalculationMode.FLOOR",
     RECIPE(FLOOR, EVEN, KEEP, 0, NORMAL, QUOTIENT, 253, 253, true, false, 3, true), 0},
    {"torchao-even", "torchao, ScaleCalculationMode.EVEN",
     RECIPE(EVEN, EVEN, KEEP, 0, NORMAL, QUOTIENT, 253, 253, true, false, 3, true), 0},
    {"torchao-rceil", "torchao, ScaleCalculationMode.RCEIL",
     RECIPE(RCEIL, EVEN, KEEP, 0, UNSCALED, QUOTIENT, 253, 254, true, true, 3, false), 0},
    {"torchao-ceil", "torchao, ScaleCalculationMode.CEIL",
     RECIPE(CEIL, EVEN, KEEP, 0, NORMAL, QUOTIENT, 253, 253, true, false, 3, true), 0},
    {"triton-kernels", "triton_kernels downcast_to_mxfp (gpt-oss), ROUND_UP",
     RECIPE(RCEIL, AWAY, KEEP, 0, PLAIN, PRODUCT, 253, 255, false, false, 7, false), 0},
    {"ggml", "llama.cpp quantize_row_mxfp4_ref",
     RECIPE(FLOOR, ZERO, DROP, 0, WRAP, QUOTIENT, 253, 253, false, false, 0, false), 0},
    {"compressed-tensors", "compressed-tensors, mxfp4-pack-quantized",
     RECIPE(EVEN, EVEN, VALUE, 0, PLAIN, QUOTIENT, 255, 255, true, false, 0, true), 0},
    {"modelopt", "NVIDIA Model Optimizer",
     RECIPE(RCEIL, ZERO, NONPOSITIVE, 0, EXACT, QUOTIENT, 253, 255, true, false, 8, false), 0},
    {"flashinfer", "FlashInfer mxfp4_quantize",
     RECIPE(RCEIL, EVEN, KEEP, 0, UNSCALED, PRODUCT, 253, 254, false, false, 7, false), 0},
    {"microxcaling", "microsoft/microxcaling",
     RECIPE(FLOOR, AWAY, KEEP, 0, PLAIN, QUOTIENT, 253, 255, true, true, 7, true), 0},
    {"fbgemm-even", "FBGEMM MX4, RoundingMode.even",
     RECIPE(EVEN_ABOVE, AWAY, KEEP, 0, PLAIN, QUOTIENT, 252, 252, false, false, 7, false), 0},
    {"primus-hip", "Primus-Turbo, HIP kernel",
     RECIPE(EVEN, EVEN, KEEP, 0, PLAIN, QUOTIENT, 253, 253, false, false, 7, true), 0},
    {"primus-triton", "Primus-Turbo, Triton kernel: no scale byte below 1",
     RECIPE_ABOVE(0x01600000, EVEN, EVEN, KEEP, 1, PLAIN, QUOTIENT, 253, 253, false, false, 7, true), 0},
    {"aiter-hip-floor", "AITER HIP per_1x32_f4_quant_hip: amax is at least 1e-10",
     RECIPE_ABOVE(0x2edbe6ff, RCEIL, EVEN, KEEP, 92, PLAIN, PRODUCT, 253, 255, false, false, 7, true), 0},
    {"mlx-cpu", "MLX from 0.32.1 on, CPU",
     RECIPE(RCEIL, ZERO, DROP, 127, PLAIN, QUOTIENT, 253, 255, false, false, 0, false), 0},
    {"mlx-gpu", "MLX from 0.32.1 on, Metal",
     RECIPE(RCEIL, EVEN, KEEP, 0, EXACT, QUOTIENT, 253, 255, false, false, 7, false), 0},
    {"mlx-cpu-nearlog", "MLX up to 0.32.0, CPU: FP32 only, it takes the logarithm of BF16 in BF16",
     RECIPE(NEARLOG, ZERO, DROP, 127, PLAIN, QUOTIENT, 253, 255, false, false, 0, false), 0},
    {"mlx-gpu-nearlog", "MLX up to 0.32.0, Metal",
     RECIPE(NEARLOG, EVEN, KEEP, 0, PLAIN, QUOTIENT, 253, 255, false, false, 7, false), 0},
};
/* clang-format on */

const struct mxq_profile *mxq_get_profile(size_t index)
{
    return index < sizeof(profiles) / sizeof(profiles[0]) ? &profiles[index] : NULL;
}

const struct mxq_profile *mxq_find_profile(const char *name)
{
    const struct mxq_profile *profile;

    for (size_t i = 0; (profile = mxq_get_profile(i)) != NULL; i++)
        if (strcmp(profile->name, name) == 0)
            return profile;
    return NULL;
}
