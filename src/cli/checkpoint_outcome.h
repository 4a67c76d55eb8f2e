/* checkpoint_outcome.h - what became of a checkpoint's tensors and shards: for the journal and the report */
#ifndef MXQ_CHECKPOINT_OUTCOME_H
#define MXQ_CHECKPOINT_OUTCOME_H

#include "kernels/mxq.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Of a planned tensor; in the order of the plan. */
struct mxq_tensor_outcome {
    uint32_t source_crc;           /* CRC-32 of its bytes in the source */
    uint32_t crc[MXQ_NUM_BUFFERS]; /* of its outputs; the first one for what is copied or widened */
    bool nonfinite;                /* there were infinities or NaNs, which were allowed */
    struct mxq_distortion distortion[MXQ_NUM_DIRECTIONS]; /* when measured */
};

/* Of a shard, in the order of the plan. */
struct mxq_shard_outcome {
    bool complete; /* what follows is known, and the tensors' outcomes too */
    bool adopted;  /* an earlier run made it */
    bool verified; /* the file was read back from the disk and had this CRC-32 */
    uint32_t crc;
    uint32_t source_crc; /* CRC-32 of the source's shard */
    struct timespec source_mtime;
};

struct mxq_checkpoint_outcome {
    size_t ntensors;
    struct mxq_tensor_outcome *tensors;
    size_t nshards;
    struct mxq_shard_outcome *shards;
};

#endif /* MXQ_CHECKPOINT_OUTCOME_H */
