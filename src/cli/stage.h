/*
 * stage.h - shares that would be thousands of short runs in a file, gathered in memory until the runs are long
 *
 * Panels are some rows of the matrix, so what they add to a columnwise buffer is a few bytes in each of its rows. A stage
 * holds these buffers for a stripe: as many panels, one below the other, as there is room for. Kernels write to it in
 * place; when all panels of the stripe are done, it goes into the files, in runs that are as many times longer. There are
 * two halves: while one is filled, the other is written.
 */
#ifndef MXQ_STAGE_H
#define MXQ_STAGE_H

#include "io/result.h"
#include "kernels/mxq.h"

struct mxq_stage {
    struct mxq_result *result;
    const struct mxq_plan *plan;
    uint64_t npanels; /* of a stripe; 0: there is nothing to gather */
    bool gathers[MXQ_NUM_BUFFERS];
    unsigned filling; /* one of the halves */
    struct mxq_stage_half {
        uint8_t *bytes[MXQ_NUM_BUFFERS];
        struct mxq_share stripe[MXQ_NUM_BUFFERS];
    } half[2];
};

/*
 * panel is the first one of npanels that are full rows, of equal height but for the last. False without memory; a stage
 * that is of no use has no panels.
 */
bool mxq_create_stage(struct mxq_stage *stage, struct mxq_result *result, const struct mxq_plan *plan,
                      const struct mxq_panel *panel, uint64_t npanels);

/* To be called before the panels of a stripe, which is all of them as one: what was filled is now there to be written. */
void mxq_start_stripe(struct mxq_stage *stage, const struct mxq_panel *stripe);

/* Where a panel of the stripe goes, given its share; false: this buffer is not gathered. */
bool mxq_find_in_stage(const struct mxq_stage *stage, enum mxq_buffer buffer, const struct mxq_share *share,
                       struct mxq_destination *destination);

/* The half that was filled before this one, in parts that several threads may write at once. */
uint64_t mxq_count_stage_parts(const struct mxq_stage *stage);
bool mxq_write_stage_part(const struct mxq_stage *stage, uint64_t part, struct mxq_fault *fault);

void mxq_free_stage(struct mxq_stage *stage);

/* Memory for a panel, in large pages where the system has them; to be freed. NULL without memory. */
uint8_t *mxq_allocate_large(uint64_t nbytes);

#endif /* MXQ_STAGE_H */
