/* mxq_internal.h - what the files of libmxfp4q share and its users do not see */
#ifndef MXQ_INTERNAL_H
#define MXQ_INTERNAL_H

#include "kernels/layout.h"
#include "kernels/mxq.h"
#include "kernels/places.h"

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
    struct mxq_places places;        /* of these values in the whole matrix */
    struct mxq_target target[MXQ_NUM_DIRECTIONS];
    enum mxq_status *status; /* MXQ_OK; a variant that can fail, as one on a GPU, sets it then */
};

/* measure_run.h: blocks of 32 values that lie one after the other, with their codes and scales. */
struct mxq_measured_run {
    const void *elements;
    enum mxq_dtype dtype;
    unsigned nblocks; /* at most MXQ_RUN_BLOCKS */
    const uint8_t *units;
    const uint8_t *scales;
};

#define MXQ_RUN_BLOCKS 64
#define MXQ_LANES 8

/* Sums of a panel that have not been added up yet. Start with zeros, and least_amax of UINT32_MAX. */
struct mxq_lanes {
    double signal[MXQ_LANES];
    double noise[MXQ_LANES];
    double decoded[MXQ_LANES];
    double product[MXQ_LANES];
    float largest[MXQ_BLOCK_NELEMS];
    uint32_t nsaturated[MXQ_BLOCK_NELEMS];
    uint32_t amax;       /* of all blocks */
    uint32_t least_amax; /* less 1: of the blocks that have a value but 0 */
};

/* One variant. */
struct mxq_kernel {
    const char *name;
    const char *summary;
    bool (*runs_here)(void);
    bool (*takes)(const struct mxq_recipe *recipe); /* see mxq_kernel_takes() */
    /*
     * Writes every unit and scale byte of the wanted directions (in a linear buffer, of the last unit of a row only the
     * bytes the row has), nothing else, and returns whether the panel has an infinity or a NaN.
     */
    bool (*quantize_panel)(const struct mxq_task *task);
    /*
     * Adds the sums of a run to the lanes, as measure_run.h defines them. Bit i of the result: all but the amax of block i
     * is left to the caller. NULL: the scalar one.
     */
    uint64_t (*sum_run)(const struct mxq_measured_run *run, struct mxq_lanes *lanes);
};

/* avx2.c, avx512.c, neon.c */
extern const struct mxq_kernel mxq_kernel_avx2;
extern const struct mxq_kernel mxq_kernel_avx512;
extern const struct mxq_kernel mxq_kernel_neon;

/* hip_kernel.c, or hip_none.c: never chosen but by its name, because asking whether it runs here starts a GPU */
extern const struct mxq_kernel mxq_kernel_gpu;

/* cpu.c: the words with which a CPU and its system tell what they can do; on x86 all but the last, elsewhere only that */
enum mxq_cpu_word {
    MXQ_CPU_LEAF1_ECX, /* of CPUID */
    MXQ_CPU_LEAF7_EBX,
    MXQ_CPU_LEAF7_ECX,
    MXQ_CPU_HWCAP, /* of AArch64 Linux */
    MXQ_NUM_CPU_WORDS
};

struct mxq_cpu {
    uint32_t word[MXQ_NUM_CPU_WORDS];
    uint32_t xcr0; /* 0 where it cannot be read */
};

/* Whether such words say that a feature of mxq_get_cpu_feature() can be used. */
bool mxq_cpu_words_have(const struct mxq_cpu *cpu, const char *feature);

/* Whether it can be used on this machine, and MXFP4Q_CPU_FEATURES_OFF does not hide it. */
bool mxq_cpu_has(const char *feature);

/* recipe.c */
bool mxq_recipe_is_valid(const struct mxq_recipe *recipe);

/* Whether rows of so many elements can be transformed. */
bool mxq_recipe_fits(const struct mxq_recipe *recipe, uint64_t nelems);

/*
 * Whether it is a recipe that every variant takes: blocks of 32, no floor, no random bits, transforms of 16 points whose
 * signs are those of each block, and a scale rule that 16 bits of amax can tell.
 */
bool mxq_recipe_is_common(const struct mxq_recipe *recipe);

/* Whether it is one for the variants that work on squares: with tiles that share a scale, and a floor, too. */
bool mxq_recipe_is_for_squares(const struct mxq_recipe *recipe);

/*
 * The largest magnitudes of the 32 blocks of a tile, as 16 bits with a sticky lowest one: no less than the recipe's floor,
 * and all the same where the tile has one scale.
 */
static inline void mxq_settle_amax(const struct mxq_recipe *recipe, uint16_t amax[MXQ_BLOCK_NELEMS])
{
    uint16_t least = (uint16_t)(recipe->amax_floor >> 16 | ((recipe->amax_floor & 0xffff) != 0));

    for (unsigned i = 0; i < MXQ_BLOCK_NELEMS && recipe->block == MXQ_BLOCK_32X32; i++)
        least = amax[i] > least ? amax[i] : least;
    for (unsigned i = 0; i < MXQ_BLOCK_NELEMS && least != 0; i++)
        amax[i] = amax[i] > least ? amax[i] : least;
}

/* transform.c: whether a variant that does not take a recipe can quantize what has been transformed as it says. */
bool mxq_can_transform_first(const struct mxq_kernel *kernel, const struct mxq_recipe *recipe);

/* Transforms a panel, a strip at a time, and has the variant quantize the strips; otherwise as quantize_panel(). */
bool mxq_transform_first(const struct mxq_task *task, const struct mxq_kernel *kernel);

/* scalar.c */
extern const struct mxq_kernel mxq_kernel_scalar;

/* The blocks that the tile of 32 x 32 at (row0, col0) has in one direction; whether one has an infinity or a NaN. */
bool mxq_quantize_tile(const struct mxq_task *task, enum mxq_direction direction, uint64_t row0, uint64_t col0);

/*
 * The values of a block of a panel as FP32, transformed as the recipe says, and zeros past the end of its row. Returns how
 * many of them have a code: as many as the row has, or all 32 with a transform.
 */
unsigned mxq_load_block(const struct mxq_matrix *matrix, const struct mxq_recipe *recipe, enum mxq_direction direction,
                        uint64_t row, uint64_t block, uint32_t x[MXQ_BLOCK_NELEMS]);

/* The element (row, col) of a panel as FP32. */
uint32_t mxq_load_value(const struct mxq_matrix *matrix, uint64_t row, uint64_t col);

/* The values of the columns col to col + ncols in 32 rows, a column after the other. */
void mxq_load_columns(const struct mxq_matrix *matrix, uint64_t row, uint64_t col, unsigned ncols,
                      uint32_t x[][MXQ_BLOCK_NELEMS]);

/* measure.c, measure_avx512.c: struct mxq_kernel's sum_run */
uint64_t mxq_sum_run_scalar(const struct mxq_measured_run *run, struct mxq_lanes *lanes);
uint64_t mxq_sum_run_avx512(const struct mxq_measured_run *run, struct mxq_lanes *lanes);

/* measure.c: adds one pair of values */
void mxq_add_value(struct mxq_distortion *sums, double x, double y, bool saturated);

/* plan.c */
struct mxq_places mxq_find_places(const struct mxq_plan *plan, const struct mxq_panel *panel);

/* The checks that mxq_quantize_panel() and mxq_measure_panel() have in common, and the task they describe */
enum mxq_status mxq_prepare_task(const struct mxq_plan *plan, const struct mxq_panel *panel,
                                 const struct mxq_matrix *matrix, const struct mxq_destination out[MXQ_NUM_BUFFERS],
                                 struct mxq_task *task);

/* units.c: one direction of a panel that is read */
struct mxq_reading {
    enum mxq_direction direction;
    struct mxq_panel logical; /* as the direction sees it */
    struct mxq_origin data;
    struct mxq_origin scale;
    enum mxq_layout data_layout;
    enum mxq_layout scale_layout;
};

/* MXQ_ERR_ARGUMENT: the plan does not have the direction, or a share has no bytes or too small a pitch. */
enum mxq_status mxq_prepare_reading(const struct mxq_plan *plan, const struct mxq_panel *panel,
                                    const struct mxq_origin in[MXQ_NUM_BUFFERS], enum mxq_direction direction,
                                    struct mxq_reading *reading);

/* The codes of a block, one a byte; what a linear row has no room for becomes 0. Returns how many are stored. */
unsigned mxq_read_codes(const struct mxq_reading *reading, uint64_t row, uint64_t block,
                        uint8_t codes[MXQ_BLOCK_NELEMS]);
uint8_t mxq_read_scale(const struct mxq_reading *reading, uint64_t row, uint64_t block);

/* Values of the block that are in the matrix: 32, but for the last block of a row. */
unsigned mxq_count_valid(const struct mxq_reading *reading, uint64_t block);

/* quantize.c: the runs of a share that have padding are those from first_run on. */
struct mxq_padding {
    uint64_t first_run;
    uint8_t fill;
};

/* False when there is none. */
bool mxq_find_padding(const struct mxq_plan *plan, const struct mxq_panel *panel, enum mxq_buffer buffer,
                      struct mxq_padding *padding);

/* Fills the runs that have padding; what is valid beside it is overwritten. */
void mxq_write_padding(const struct mxq_plan *plan, const struct mxq_panel *panel, enum mxq_buffer buffer,
                       const struct mxq_destination *out);

#endif /* MXQ_INTERNAL_H */
