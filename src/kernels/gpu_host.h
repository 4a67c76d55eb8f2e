/* gpu_host.h - what the files of the GPU's host side share */
#ifndef MXQ_GPU_HOST_H
#define MXQ_GPU_HOST_H

#include "kernels/gpu_runtime.h"
#include "kernels/gpu_task.h"

/* gpu_module.S: the device code for all architectures, as the device compiler made it. */
extern const unsigned char mxq_gpu_module[];

/* hip_host.c: describes a failure, with the runtime's text for code unless that is 0. Always MXQ_ERR_DEVICE. */
enum mxq_status mxq_fail_gpu(struct mxq_gpu_error *error, const struct mxq_gpu *gpu, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The runtime, with this GPU in use in this thread; NULL, with the reason, when that fails. */
const struct mxq_gpu_runtime *mxq_use_gpu(const struct mxq_gpu *gpu, struct mxq_gpu_error *error);

/* Enqueues the kernel for a task. */
enum mxq_status mxq_launch_gpu_task(const struct mxq_gpu_runtime *runtime, const struct mxq_gpu *gpu, void *stream,
                                    const struct mxq_gpu_task *task, struct mxq_gpu_error *error);

#endif /* MXQ_GPU_HOST_H */
