/*
 * gpu_task.h - what the host hands to a GPU kernel: one panel, by value, every pointer the device's
 *
 * Read by C (gpu_host.c) and by HIP's dialect (hip_kernels.hip), so it has no type of any GPU runtime. Everything has been
 * checked, and the padding of the shares has been written, before a kernel is launched; kernels write what struct
 * mxq_kernel's quantize_panel() writes, nothing else.
 */
#ifndef MXQ_GPU_TASK_H
#define MXQ_GPU_TASK_H

#include "kernels/mxq_internal.h"

struct mxq_gpu_task {
    struct mxq_recipe recipe;
    struct mxq_matrix matrix; /* the panel's values; rows and cols are not 0 */
    struct mxq_target target[MXQ_NUM_DIRECTIONS];
    uint32_t *nonfinite; /* set to 1 when the panel has an infinity or a NaN */
};

#endif /* MXQ_GPU_TASK_H */
