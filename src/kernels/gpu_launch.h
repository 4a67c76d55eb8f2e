/*
 * gpu_launch.h - which kernel of hip_kernels.hip serves a task, and how many threads it wants
 *
 * The one place that knows the shape of the kernels besides hip_kernels.hip itself; plain C, of no GPU runtime. The host
 * loads the module, looks the symbol up, and launches it with one argument: the struct mxq_gpu_task by value.
 */
#ifndef MXQ_GPU_LAUNCH_H
#define MXQ_GPU_LAUNCH_H

#include "kernels/gpu_task.h"

struct mxq_gpu_launch {
    const char *symbol;     /* of an extern "C" kernel */
    uint32_t grid[3];       /* blocks */
    uint32_t block_threads; /* a block is one-dimensional: (block_threads, 1, 1) */
    /*
     * Dynamic shared memory. Where it is above 48 KiB, NVIDIA wants to be told before the launch
     * (CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES); no kernel asks for more than 64 KiB.
     */
    uint32_t shared_nbytes;
};

/* What the host knows about a device that the shape of a launch depends on. */
struct mxq_gpu_traits {
    uint32_t nprocessors; /* multiprocessors or compute units; 0: not known */
};

/* The launch for one task. Of the task, its pointers are not looked at. Any number of panels may be in flight at once. */
void mxq_find_gpu_launch(const struct mxq_gpu_task *task, const struct mxq_gpu_traits *traits,
                         struct mxq_gpu_launch *launch);

#endif /* MXQ_GPU_LAUNCH_H */
