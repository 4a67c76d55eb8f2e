/*
 * mxq_gpu.h - quantizing on GPUs; a part of the public interface of libmxfp4q, see mxq.h
 *
 * A library is built for AMD GPUs, for NVIDIA GPUs, or for none. It links no GPU library: the runtime (libamdhip64.so, or
 * libcuda.so.1) is loaded when a function below first needs it, stays loaded, and starts threads of its own, which
 * inherit the signal mask of the caller. Without GPU support, without a runtime or without a GPU, everything here is there
 * all the same and answers MXQ_ERR_DEVICE.
 *
 *     mxq_count_gpus()                        how many there are
 *     mxq_open_gpu()                          one of them: context and kernels
 *     mxq_prepare_gpu_slot()                  buffers for panels of one size; several slots a GPU
 *     in a loop, for each panel               fill slot.elements, mxq_start_gpu_panel(), mxq_finish_gpu_panel(), use slot.out
 *     mxq_release_gpu_slot(), mxq_close_gpu()
 *
 * A slot has a stream, and buffers on both sides: between start and finish a panel is copied in, quantized and copied out
 * while the caller does something else. With three slots or more a GPU copies in both directions and computes at once. A
 * slot is used by one thread at a time; different slots, of one GPU too, by any number of threads.
 *
 * The structs are the caller's memory. What is not described in them is internal.
 */
#ifndef MXQ_GPU_H
#define MXQ_GPU_H

#include "mxq.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

/* What went wrong, in English, without a newline: "GPU 0: cannot copy to the GPU: unspecified launch failure". */
struct mxq_gpu_error {
    char text[320];
};

/* Whose GPUs this library was built for: "amd", "nvidia", or NULL for none. Loads nothing. */
const char *mxq_gpu_vendor(void);

/*
 * Stores the number of GPUs. MXQ_ERR_DEVICE: there is none, and why: no support, no runtime, no GPU, or a runtime that
 * cannot work.
 */
enum mxq_status mxq_count_gpus(unsigned *ngpus, struct mxq_gpu_error *error);

/* Whether GPUs compute this recipe: not all that CPUs do. Loads nothing. */
bool mxq_gpu_takes(const struct mxq_recipe *recipe);

/* ---------------------------------------------------------------------------------------------------- one GPU */

struct mxq_gpu {
    unsigned index;        /* from 0 on */
    char name[128];        /* "NVIDIA H200" */
    char arch[32];         /* "sm_90", "gfx950" */
    char runtime[64];      /* the runtime and its version: "CUDA 13.0", "HIP 6.2.41133" */
    uint64_t total_nbytes; /* memory, */
    uint64_t free_nbytes;  /* and what of it was free when the GPU was opened */

    int device;
    unsigned nprocessors;
    void *context;
    void *module;
};

/*
 * Opens the GPU with this number. MXQ_ERR_DEVICE: there is none, or it cannot be used, as when the library has no code for
 * its architecture; name, arch, runtime and the memory are known all the same unless they are empty or 0.
 */
enum mxq_status mxq_open_gpu(struct mxq_gpu *gpu, unsigned index, struct mxq_gpu_error *error);

/* Closes it. Its slots have been released. Accepts a zeroed struct, and one that could not be opened. */
void mxq_close_gpu(struct mxq_gpu *gpu);

/* ---------------------------------------------------------------------------------------------------- panels */

struct mxq_gpu_slot {
    /*
     * Where the elements of the next panel go, row after row without gaps: memory that the GPU reads by itself. After
     * mxq_finish_gpu_panel(), out[b] has the share of buffer b, run after run without gaps; NULL where it is empty. The
     * elements are still there then.
     */
    void *elements;
    uint8_t *out[MXQ_NUM_BUFFERS];

    struct mxq_gpu *gpu;
    void *stream;
    uint8_t *host;
    uint8_t *device;
    uint64_t capacity;
    uint64_t flag_offset; /* where the word is that tells of infinities and NaNs */
};

/*
 * The memory that a slot for such a panel takes on the GPU, and once more on the host, where it cannot be paged out.
 * UINT64_MAX for a panel that is none or is too large for any.
 */
uint64_t mxq_gpu_slot_nbytes(const struct mxq_plan *plan, const struct mxq_panel *panel, enum mxq_dtype dtype);

/*
 * Makes a slot ready for panels of this plan that are not larger than this one. A slot that is zeroed is new; one that
 * was prepared before keeps its memory where it is large enough. MXQ_ERR_DEVICE: the slot can only be released.
 */
enum mxq_status mxq_prepare_gpu_slot(struct mxq_gpu_slot *slot, struct mxq_gpu *gpu, const struct mxq_plan *plan,
                                     const struct mxq_panel *panel, enum mxq_dtype dtype, struct mxq_gpu_error *error);

/*
 * Starts to quantize the elements of the slot, which must not be touched until mxq_finish_gpu_panel(). MXQ_ERR_PANEL: as
 * mxq_locate_share(). MXQ_ERR_ARGUMENT: the slot is too small, the panel is empty, or GPUs do not take the recipe.
 */
enum mxq_status mxq_start_gpu_panel(struct mxq_gpu_slot *slot, const struct mxq_plan *plan,
                                    const struct mxq_panel *panel, enum mxq_dtype dtype, struct mxq_gpu_error *error);

/* Sets slot->out as mxq_start_gpu_panel() does, and starts nothing: for a caller who then quantizes the elements itself. */
enum mxq_status mxq_place_gpu_panel(struct mxq_gpu_slot *slot, const struct mxq_plan *plan,
                                    const struct mxq_panel *panel, enum mxq_dtype dtype);

/* Waits until the panel is done. *nonfinite: as mxq_quantize(). After MXQ_ERR_DEVICE the slot can only be released. */
enum mxq_status mxq_finish_gpu_panel(struct mxq_gpu_slot *slot, bool *nonfinite, struct mxq_gpu_error *error);

/* Accepts a zeroed struct, and waits for nothing but what the slot itself has to do. */
void mxq_release_gpu_slot(struct mxq_gpu_slot *slot);

/* ---------------------------------------------------------------------------------------------------- timing */

/* One sample: milliseconds of one run, by the GPU's clock. */
struct mxq_gpu_sample {
    float kernel_ms;
    float copy_ms;
};

/*
 * Times the kernel alone, on a matrix that is in the GPU's memory with all its results, and beside it copies from the
 * GPU's memory to itself that move as many bytes, *copy_nbytes: what the kernel reads and writes, half of it read and half
 * written. After a run of each that is not timed, nsamples times: nruns of the kernel, then nruns of the copy.
 */
enum mxq_status mxq_time_gpu(struct mxq_gpu *gpu, const struct mxq_plan *plan, const struct mxq_matrix *matrix,
                             unsigned nsamples, unsigned nruns, struct mxq_gpu_sample *samples, uint64_t *copy_nbytes,
                             struct mxq_gpu_error *error);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif /* MXQ_GPU_H */
