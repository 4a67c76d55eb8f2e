/*
 * gpu_team.h - the GPUs of one job, and the panels they work on
 *
 * A team is created for what --device asked for, and starts the GPU runtime when it is first wanted. It has workers, as the
 * threads of a pipeline are, each with a slot (mxq_gpu.h) on one of the GPUs in turn; while one waits for its GPU, the
 * others read and write. Slots are kept from one tensor to the next.
 *
 * When a GPU fails that nobody asked for (--device auto), before anything made by one was handed out, the team warns and
 * goes over to the CPU, with the panel at hand and for the rest of the job. After that moment, and with --device gpu, it is
 * a fault.
 */
#ifndef MXQ_GPU_TEAM_H
#define MXQ_GPU_TEAM_H

#include "cli/device_option.h"
#include "io/fault.h"
#include "kernels/mxq_gpu.h"

struct mxq_gpu_team;

/* NULL when there is no memory. Loads nothing. */
struct mxq_gpu_team *mxq_create_gpu_team(const struct mxq_device_request *request);

/* What it was created for. */
const struct mxq_device_request *mxq_gpu_team_request(const struct mxq_gpu_team *team);

/* Accepts NULL. Releases all GPUs. */
void mxq_free_gpu_team(struct mxq_gpu_team *team);

/*
 * Opens the GPUs, unless that was done. False: a GPU was asked for and cannot be had. When none was asked for, *ready says
 * whether there is one.
 */
bool mxq_open_gpu_team(struct mxq_gpu_team *team, bool *ready, struct mxq_fault *fault);

/* Whether a tensor, which else nthreads CPUs would do, is for the team; opens the GPUs then. False as above. */
bool mxq_enlist_gpu_team(struct mxq_gpu_team *team, uint64_t nbytes, unsigned nthreads, bool *enlisted,
                         struct mxq_fault *fault);

/*
 * The number of workers, up to wanted, for which the GPUs have memory when each holds panels of this size; 0 when the
 * panels should be smaller, so that copying in, computing and copying out have a panel each.
 */
unsigned mxq_size_gpu_team(const struct mxq_gpu_team *team, const struct mxq_plan *plan, const struct mxq_panel *panel,
                           enum mxq_dtype dtype, unsigned wanted, bool smallest);

/* How many workers are wanted by as many threads. */
unsigned mxq_count_gpu_workers(const struct mxq_gpu_team *team, unsigned nthreads, uint64_t npanels);

/* Makes the slots ready for panels up to this size. *ready: as above. */
bool mxq_prepare_gpu_team(struct mxq_gpu_team *team, unsigned nworkers, const struct mxq_plan *plan,
                          const struct mxq_panel *panel, enum mxq_dtype dtype, bool *ready, struct mxq_fault *fault);

/* For a reason of the caller, does what a failing GPU does: the CPU takes over, with a warning, or it is a fault. */
bool mxq_dismiss_gpu_team(struct mxq_gpu_team *team, const char *reason, struct mxq_fault *fault);

/* Where a worker's next elements go, and after mxq_run_gpu_panel() where the shares are. */
void *mxq_gpu_worker_elements(const struct mxq_gpu_team *team, unsigned worker);
uint8_t *mxq_gpu_worker_share(const struct mxq_gpu_team *team, unsigned worker, enum mxq_buffer buffer);

/* Quantizes the elements of a worker, and waits for it; with kernel, where the team has gone over to the CPU. */
bool mxq_run_gpu_panel(struct mxq_gpu_team *team, unsigned worker, const struct mxq_plan *plan,
                       const struct mxq_panel *panel, enum mxq_dtype dtype, const struct mxq_kernel *kernel,
                       bool *nonfinite, struct mxq_fault *fault);

/* The architecture of the GPUs if they made the results, or NULL if CPUs did. */
const char *mxq_gpu_team_arch(const struct mxq_gpu_team *team);

/* For -v: "Fake GPU A (sm_90) and 1 more". */
void mxq_describe_gpu_team(const struct mxq_gpu_team *team, char *text, size_t nbytes);

#endif /* MXQ_GPU_TEAM_H */
