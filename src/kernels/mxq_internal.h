/* mxq_internal.h - what the files of libmxfp4q share and its users do not see */
#ifndef MXQ_INTERNAL_H
#define MXQ_INTERNAL_H

#include "kernels/layout.h"
#include "kernels/mxq.h"

/* Where the units of one direction go. The addresses are relative to the panel's first row and block. */
struct mxq_target {
    bool wanted;
    enum mxq_layout data_layout;
    enum mxq_layout scale_layout;
    uint8_t *data;
    uint8_t *scale;
    uint64_t data_pitch;
    uint64_t scale_pitch;
};

/* One panel of work for a kernel: everything has been checked, the padding has been written. */
struct mxq_task {
    const struct mxq_recipe *recipe;
    const struct mxq_matrix *matrix; /* the panel's values; rows and cols are not 0 */
    struct mxq_target target[MXQ_NUM_DIRECTIONS];
};

/* One variant. */
struct mxq_kernel {
    const char *name;
    const char *summary;
    bool (*runs_here)(void);
    /*
     * Writes every unit and scale byte of the wanted directions (in a linear buffer, of the last unit of a row only the
     * bytes the row has), nothing else, and returns whether the panel has an infinity or a NaN.
     */
    bool (*quantize_panel)(const struct mxq_task *task);
};

/* scalar.c */
extern const struct mxq_kernel mxq_kernel_scalar;
void mxq_load_block(const struct mxq_matrix *matrix, uint64_t row, uint64_t col, enum mxq_direction direction,
                    unsigned nvalid, uint32_t x[MXQ_BLOCK_NELEMS]);

/* plan.c: the checks that mxq_quantize_panel() and mxq_measure_panel() have in common, and the task they describe */
enum mxq_status mxq_prepare_task(const struct mxq_plan *plan, const struct mxq_panel *panel,
                                 const struct mxq_matrix *matrix, const struct mxq_destination out[MXQ_NUM_BUFFERS],
                                 struct mxq_task *task);

#endif /* MXQ_INTERNAL_H */
