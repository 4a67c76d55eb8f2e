/*
 * profile_evidence.c - the table of what proves each profile; the table "proved by" of mxfp4q(5) is held against it, and
 * so is testdata/peers/EVIDENCE
 */
#include "cli/profile_evidence.h"

#include <stddef.h>
#include <string.h>

#define READ "formulas read in the peer's source"

static const struct mxq_profile_evidence table[] = {
    {"te-hip", "TransformerEngine for ROCm (HIP)", "1459f9bb", READ},
    {"te-triton", "TransformerEngine for ROCm (Triton)", "9df9c51", READ},
    {"aiter", "AITER (HIP)", "0b3d7161", READ},
    {"aiter-even", "AITER (Triton)", "e4048607", READ},
    {"quark", "AMD Quark", "0.13", READ},
    {"torchao-floor", "torchao", "050515e8", READ},
    {"torchao-even", "torchao", "050515e8", READ},
    {"torchao-rceil", "torchao", "050515e8", READ},
    {"torchao-ceil", "torchao", "050515e8", READ},
    {"triton-kernels", "triton_kernels", "0616e645", READ},
    {"ggml", "gguf", "0.19.0", READ},
    {"compressed-tensors", "compressed-tensors", "0.20.0", READ},
    {"modelopt", "NVIDIA Model Optimizer", "0.47.0", READ},
    {"flashinfer", "FlashInfer", "014327ab", READ},
    {"microxcaling", "microxcaling", "7bc4195", READ},
    {"fbgemm-even", "FBGEMM", "036aa0dd", READ},
    {"primus-hip", "Primus-Turbo (HIP)", "03927e18", READ},
    {"primus-triton", "Primus-Turbo (Triton)", "3e1d3292", READ},
    {"aiter-hip-floor", "AITER (HIP)", "e4048607", READ},
    {"mlx-cpu", "MLX (CPU)", "0.32.4", READ},
    {"mlx-gpu", "MLX (Metal)", "0ae28ee7", READ},
    {"mlx-cpu-nearlog", "MLX (CPU)", "0.32.0", READ},
    {"mlx-gpu-nearlog", "MLX (Metal)", "846d1762", READ},
};

const struct mxq_profile_evidence *mxq_find_profile_evidence(const char *profile)
{
    static const struct mxq_profile_evidence nothing = {"", "unknown", "unknown", "nothing"};

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i].profile, profile) == 0)
            return &table[i];
    return &nothing;
}
