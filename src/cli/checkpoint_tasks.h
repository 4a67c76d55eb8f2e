/*
 * checkpoint_tasks.h - one shard as tasks for threads: which parts of which tensors, and doing one
 *
 * A task is a stripe of a matrix to be quantized, or a chunk of bytes to be copied, in the order of the source. It reads its
 * part of the source once, and quantizes, measures and checksums while that is in the caches. How a matrix is divided
 * follows from its shape alone, so sums and bytes depend neither on the number of threads nor on the variant.
 */
#ifndef MXQ_CHECKPOINT_TASKS_H
#define MXQ_CHECKPOINT_TASKS_H

#include "cli/checkpoint_outcome.h"
#include "cli/checkpoint_plan.h"
#include "io/checkpoint.h"
#include "kernels/mxq.h"

/* How a tensor is divided. Sizes are of a part that ends neither rows nor columns. */
struct mxq_tensor_tasks {
    const struct mxq_plan_tensor *planned;
    const struct mxq_st_tensor *source;
    const struct mxq_st_tensor *output[MXQ_NUM_BUFFERS]; /* [0] of what is copied or widened; NULL: none */
    uint64_t tile_rows;                                  /* read and quantized at once */
    uint64_t tile_cols;
    uint64_t stripe_rows; /* gathered in memory and written at once: some tiles */
    uint64_t stripe_cols;
    uint64_t nacross;     /* stripes beside each other */
    uint64_t ndown;       /* and below each other, in one slice */
    bool source_in_order; /* tasks are contiguous in the source, one after the other */
    bool output_in_order[MXQ_NUM_BUFFERS];
    uint64_t first_task; /* in the shard */
    uint64_t ntasks;
};

/* What a task found. The CRCs are of contiguous bytes, or mean nothing. */
struct mxq_task_outcome {
    uint32_t source_crc;
    uint64_t source_nbytes;
    uint32_t crc[MXQ_NUM_BUFFERS];
    uint64_t nbytes[MXQ_NUM_BUFFERS];
    bool nonfinite;
    struct mxq_distortion distortion[MXQ_NUM_DIRECTIONS];
};

/* One thread's buffers, large enough for any task of the plan; elements has at least 1 MiB. */
struct mxq_task_buffers {
    uint8_t *elements;
    uint8_t *codes;
    uint8_t *stripe;
    float *scales;
};

struct mxq_shard_tasks {
    const struct mxq_checkpoint *checkpoint;
    const struct mxq_checkpoint_plan *plan;
    const struct mxq_kernel *kernel;
    bool measure;
    size_t shard;
    const int *source_fds;   /* by shard; only those that are read from are open */
    const char *output_name; /* for faults */
    int output_fd;

    size_t ntensors;
    struct mxq_tensor_tasks *tensors; /* in the order of the plan */
    uint64_t ntasks;
};

/* The most that the buffers of a thread hold: about 10 MiB, and more only for columnwise stripes and with memory for them. */
struct mxq_buffer_sizes {
    uint64_t elements_nbytes;
    uint64_t codes_nbytes;
    uint64_t stripe_nbytes;
    uint64_t nscales;
};

/*
 * Sizes for any task of the plan; stripe_nbytes is what a stripe should not exceed, unless it is a single tile. The same
 * number is to be given to mxq_list_tasks().
 */
void mxq_size_task_buffers(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan,
                           uint64_t stripe_nbytes, struct mxq_buffer_sizes *sizes);
uint64_t mxq_sum_buffer_sizes(const struct mxq_buffer_sizes *sizes);
bool mxq_allocate_task_buffers(const struct mxq_buffer_sizes *sizes, struct mxq_task_buffers *buffers);
void mxq_free_task_buffers(struct mxq_task_buffers *buffers);

/* Fills in what follows output_fd, to be freed by mxq_free_tasks(). */
bool mxq_list_tasks(struct mxq_shard_tasks *tasks, uint64_t stripe_nbytes, struct mxq_fault *fault);
void mxq_free_tasks(struct mxq_shard_tasks *tasks);

/* The tensor of a task. */
const struct mxq_tensor_tasks *mxq_find_tensor_of_task(const struct mxq_shard_tasks *tasks, uint64_t task);

/* Bytes of the source that a task reads, and from where on it reads them. */
uint64_t mxq_count_task_nbytes(const struct mxq_shard_tasks *tasks, uint64_t task, uint64_t *offset);

/*
 * Does a task; any number at a time, with buffers of their own. An infinity or a NaN is no fault: outcome->nonfinite tells,
 * and unless they are allowed nothing was written.
 */
bool mxq_do_task(const struct mxq_shard_tasks *tasks, const struct mxq_task_buffers *buffers, uint64_t task,
                 struct mxq_task_outcome *outcome, struct mxq_fault *fault);

/* Counts the infinities and NaNs of a tensor that is quantized, and finds the first one in the order of its elements. */
bool mxq_count_nonfinite_in_tensor(const struct mxq_shard_tasks *tasks, const struct mxq_task_buffers *buffers,
                                   const struct mxq_tensor_tasks *tensor, uint64_t *count, uint64_t *first,
                                   struct mxq_fault *fault);

#endif /* MXQ_CHECKPOINT_TASKS_H */
