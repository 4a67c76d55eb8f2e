/*
 * mxq.h - the public interface of libmxfp4q
 *
 * libmxfp4q quantizes matrices to MXFP4, the OCP Microscaling format of FP4 E2M1 codes, two to a byte, and one E8M0
 * scale byte per 32 values, rowwise and columnwise at once, in linear order or in the orders AITER's gemm_a4w4 reads.
 * What each byte means is specified in mxfp4q(5).
 *
 * Three choices are independent of each other:
 *   direction  which 32 values make a block           enum mxq_direction
 *   recipe     which bits a block becomes             struct mxq_recipe; a profile is a named recipe
 *   layout     where the bytes of a block are stored  enum mxq_layout, one per buffer
 *
 * The order of calls: mxq_init_options(), set what differs, mxq_make_plan(), allocate what the plan says,
 * mxq_quantize(). To bound memory, or to share one matrix among threads, call mxq_quantize_panel() instead.
 *
 * The library allocates nothing, prints nothing, never exits and keeps no state: every function may be called from
 * any number of threads, on the same plan too. Sizes are 64-bit; a size that does not fit is MXQ_ERR_OVERFLOW.
 * Functions that can fail return an enum mxq_status, and on failure leave their results unspecified.
 */
#ifndef MXQ_H
#define MXQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The library is built with hidden visibility: what is declared here, and nothing else, is exported. */
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

#define MXQ_VERSION "0.1.0"

/* Values in one block, and bytes their codes take (a "unit": what a layout moves). */
#define MXQ_BLOCK_NELEMS 32
#define MXQ_UNIT_NBYTES 16

/* A panel starts at a multiple of this, in rows and in columns, and is a multiple of it unless it ends the matrix. */
#define MXQ_PANEL_ALIGN 256

/* ---------------------------------------------------------------------------------------------------- status */

enum mxq_status {
    MXQ_OK = 0,
    MXQ_ERR_ARGUMENT, /* a pointer, an enum value or a combination that the contract forbids */
    MXQ_ERR_OVERFLOW, /* rows, columns and layout give a size beyond 64 bits */
    MXQ_ERR_PANEL,    /* a panel that is not aligned, or not inside the matrix */
    MXQ_ERR_KERNEL,   /* a kernel name that is unknown, or that this machine cannot run */
    MXQ_ERR_DEVICE,   /* a GPU that is not there, or that failed */
};

/* A short English text, never NULL: "size overflow". */
const char *mxq_describe_status(enum mxq_status status);

/* ---------------------------------------------------------------------------------------------------- input */

enum mxq_dtype {
    MXQ_BF16, /* the upper half of an FP32 */
    MXQ_F16,  /* IEEE 754 binary16 */
    MXQ_F32,  /* IEEE 754 binary32 */
    MXQ_NUM_DTYPES
};

/* Bytes of one element: 2, 2, 4. */
size_t mxq_dtype_nbytes(enum mxq_dtype dtype);

/* Elements in the byte order of the machine; element (r, c) is at data + (r * row_stride + c) * element size. */
struct mxq_matrix {
    const void *data; /* aligned to the element size; may be NULL when rows or cols is 0 */
    enum mxq_dtype dtype;
    uint64_t rows;
    uint64_t cols;
    uint64_t row_stride; /* in elements, at least cols */
};

/*
 * Counts the infinities and NaNs of a matrix. When there are any, the first one in row order is stored in *row and
 * *col; otherwise these are left alone.
 */
uint64_t mxq_count_nonfinite(const struct mxq_matrix *matrix, uint64_t *row, uint64_t *col);

/* ---------------------------------------------------------------------------------------------------- direction */

/*
 * Every direction quantizes a logical matrix of R rows and K columns in blocks of 32 along its rows: rowwise the input
 * itself (R = rows, K = cols), columnwise its transpose (R = cols, K = rows).
 */
enum mxq_direction {
    MXQ_ROWWISE,
    MXQ_COLUMNWISE,
    MXQ_NUM_DIRECTIONS
};

/* The outputs. data: packed codes, the even element in the low nibble. scale: E8M0 bytes. */
enum mxq_buffer {
    MXQ_ROWWISE_DATA,
    MXQ_ROWWISE_SCALE,
    MXQ_COLUMNWISE_DATA,
    MXQ_COLUMNWISE_SCALE,
    MXQ_NUM_BUFFERS
};

/* ---------------------------------------------------------------------------------------------------- recipe */

/* How amax, the largest magnitude of a block, becomes the scale byte. e: biased exponent of amax, f: its fraction. */
enum mxq_scale_rule {
    MXQ_SCALE_EVEN,       /* e - 2, one more from 1.75 * 2^k on */
    MXQ_SCALE_FLOOR,      /* e - 2 */
    MXQ_SCALE_CEIL,       /* e - 2, one more when f is not 0 */
    MXQ_SCALE_RCEIL,      /* the power of two at or above amax / 6 */
    MXQ_SCALE_EVEN_ABOVE, /* e - 2, one more above 1.75 * 2^k, which itself is left */
    MXQ_SCALE_NEARLOG,    /* the power of two whose logarithm is nearest to that of amax / 6 */
    MXQ_NUM_SCALE_RULES
};

/* Where a value goes that lies midway between two codes; or, with the last one, wherever it lies between them. */
enum mxq_ties {
    MXQ_TIES_EVEN,       /* to the code with an even index */
    MXQ_TIES_AWAY,       /* away from zero */
    MXQ_TIES_ZERO,       /* toward zero */
    MXQ_TIES_STOCHASTIC, /* to either, the nearer the likelier: see struct mxq_recipe, seed */
    MXQ_NUM_TIES
};

/* When a code has its sign bit. v is the scaled value in FP32. */
enum mxq_sign {
    MXQ_SIGN_KEEP,        /* whenever the input has, so -0 gives code 8 */
    MXQ_SIGN_VALUE,       /* when v < 0, so -0 gives 0 and a negative that rounds to zero gives 8 */
    MXQ_SIGN_DROP,        /* when the input has and the magnitude is not 0: code 8 never occurs */
    MXQ_SIGN_NONPOSITIVE, /* unless v > 0, so both zeros give 8 */
    MXQ_NUM_SIGNS
};

/* What happens where amax is so small that the scale rule gives byte 0, or would give less. */
enum mxq_underflow {
    MXQ_UNDERFLOW_PLAIN,    /* the formula, clamped to 0; rceil: any subnormal quotient but 0 gives 1 */
    MXQ_UNDERFLOW_EXACT,    /* rceil: a subnormal quotient gives 1 only above 2^-127 */
    MXQ_UNDERFLOW_WRAP,     /* floor: floor(log2(amax)) + 125 modulo 256, as an 8-bit conversion leaves it */
    MXQ_UNDERFLOW_NORMAL,   /* as plain; but under byte 0 codes are computed with the scale 2^-126 of byte 1 */
    MXQ_UNDERFLOW_UNSCALED, /* as exact; but under byte 0 codes are computed with the scale 1 */
    MXQ_UNDERFLOW_RAISED,   /* as plain; but 1 is written for byte 0, under which codes are still computed */
    MXQ_NUM_UNDERFLOWS
};

/* How rceil computes a sixth of amax in FP32; the two differ only where the result is subnormal. */
enum mxq_sixth {
    MXQ_SIXTH_PRODUCT,  /* amax * 0x1.555556p-3 */
    MXQ_SIXTH_QUOTIENT, /* amax / 6 */
    MXQ_NUM_SIXTHS
};

/* Which values have one scale. */
enum mxq_block {
    MXQ_BLOCK_1X32,  /* the 32 of a block */
    MXQ_BLOCK_32X32, /* those of a tile, whose 32 blocks (fewer at the end of the matrix) get the same byte */
    MXQ_NUM_BLOCKS
};

/* The largest Hadamard transform, and the words of signs for one. */
#define MXQ_HADAMARD_NELEMS 128
#define MXQ_HADAMARD_NWORDS 4

/* Which bits a block becomes: the switches of mxfp4q(5), RECIPES. */
struct mxq_recipe {
    enum mxq_scale_rule scale;
    enum mxq_ties ties;
    enum mxq_sign sign;
    enum mxq_block block;
    uint8_t zero_byte;   /* scale byte of a block whose amax is 0 */
    uint32_t amax_floor; /* an amax below this finite FP32 number, given by its bits, counts as it; 0: none does */
    /*
     * Ties stochastic: the key of the random bits, of which each element has 32 that depend on this and on its place in
     * the matrix alone: not on direction, layout, panels, threads or kernel.
     */
    uint64_t seed;
    /*
     * Points of the Hadamard transforms along each row, before amax: 0 for none, 16, 32, 64 or 128. Those of 64 and 128
     * reach over several blocks and need rows that are a multiple of them long.
     */
    unsigned hadamard_nelems;
    /* With a transform: bit i of word w negates elements 32 * w + i of a row, and those 128, 256, ... later, first. */
    uint32_t hadamard_signs[MXQ_HADAMARD_NWORDS];

    /* The edges, fixed by a profile. */
    enum mxq_underflow underflow;
    enum mxq_sixth sixth;
    uint8_t huge_byte;     /* even: scale byte of a finite amax of 1.75 * 2^127 or more */
    uint8_t infinity_byte; /* scale byte of a block whose amax is infinite */
    bool nan_poisons;      /* a NaN in the block makes its scale byte 255; otherwise amax ignores NaN */
    bool nan_fills;   /* when one of these makes the byte 255: every code is nan_code; otherwise finite values are 0 */
    uint8_t nan_code; /* the code of a NaN, and of an infinity under byte 255 */
    bool nan_keeps_sign; /* the sign bit is or'ed into it */
};

/* Random signs for a transform, from the generator of ties stochastic. */
void mxq_draw_hadamard_signs(uint64_t seed, uint32_t signs[MXQ_HADAMARD_NWORDS]);

/* A recipe with the name of the peer whose bytes it makes. */
struct mxq_profile {
    const char *name;    /* "te-hip" */
    const char *summary; /* one line, for a list */
    struct mxq_recipe recipe;
    uint8_t pad_fill; /* what that peer leaves in the padding of shuffled scales */
};

/* The profile with this name, or NULL. */
const struct mxq_profile *mxq_find_profile(const char *name);

/* The profile with this number, from 0 on and the default first; NULL past the last. */
const struct mxq_profile *mxq_get_profile(size_t index);

/* ---------------------------------------------------------------------------------------------------- layout */

enum mxq_layout {
    MXQ_LINEAR, /* row after row, no padding */
    MXQ_AITER,  /* data: shuffle_weight (16, 16) tiles; scale: e8m0_shuffle; padded as these need it */
    MXQ_NUM_LAYOUTS
};

/* ---------------------------------------------------------------------------------------------------- plan */

struct mxq_options {
    struct mxq_recipe recipe;
    bool wanted[MXQ_NUM_DIRECTIONS];
    enum mxq_layout layout[MXQ_NUM_BUFFERS];
    uint8_t pad_fill; /* scale bytes in padding; codes in padding are 0 */
};

/* The options of a profile: both directions, everything in AITER's layout. NULL means the default profile. */
void mxq_init_options(struct mxq_options *options, const struct mxq_profile *profile);

/* One output: its stored 2-D shape of bytes, padding included, and the region of it that holds results. */
struct mxq_extent {
    uint64_t rows;
    uint64_t cols;
    uint64_t valid_rows;
    uint64_t valid_cols;
    uint64_t nbytes; /* rows * cols; 0 for a direction that is not wanted */
};

/* What will be made of one matrix. Read it freely; only mxq_make_plan() writes it. */
struct mxq_plan {
    struct mxq_options options;
    uint64_t rows;
    uint64_t cols;
    struct mxq_extent extent[MXQ_NUM_BUFFERS];
};

/*
 * Computes the sizes for a matrix of rows x cols, either of which may be 0.
 * MXQ_ERR_ARGUMENT: an option out of its range, no direction wanted, or rows (columns, for columnwise) that are not a
 * multiple of a Hadamard transform of 64 or 128. MXQ_ERR_OVERFLOW: see above.
 */
enum mxq_status mxq_make_plan(struct mxq_plan *plan, const struct mxq_options *options, uint64_t rows, uint64_t cols);

/* ---------------------------------------------------------------------------------------------------- kernels */

/* One variant of the computation. All variants make the same bytes; "scalar" is the definition. */
struct mxq_kernel;

/* The variant with this number, from 0 on, slowest first; NULL past the last. */
const struct mxq_kernel *mxq_get_kernel(size_t index);
const char *mxq_kernel_name(const struct mxq_kernel *kernel);
const char *mxq_kernel_summary(const struct mxq_kernel *kernel);

/* Whether this machine can run it. */
bool mxq_kernel_runs_here(const struct mxq_kernel *kernel);

/*
 * Whether it computes this recipe itself. Of what it does not take, it may still quantize what has been transformed for it;
 * everything else is given to "scalar", which takes all.
 */
bool mxq_kernel_takes(const struct mxq_kernel *kernel, const struct mxq_recipe *recipe);

/*
 * Stores the variant to use in *kernel: the one called name; with NULL the one that the environment variable
 * MXFP4Q_KERNEL names; without that the fastest that runs here. MXQ_ERR_KERNEL: no such variant, or not on this machine.
 */
enum mxq_status mxq_select_kernel(const char *name, const struct mxq_kernel **kernel);

/*
 * The CPU feature with this number that variants for this architecture ask about; NULL past the last. *present: CPU and
 * system have it, and it is not among the names, with commas between them, that the environment variable
 * MXFP4Q_CPU_FEATURES_OFF hides.
 */
const char *mxq_get_cpu_feature(size_t index, bool *present);

/* ---------------------------------------------------------------------------------------------------- quantize */

/*
 * Quantizes a whole matrix. out[b] has room for plan->extent[b].nbytes bytes and is not looked at when that is 0; every
 * byte of it is written, padding too, and none beyond. The buffers overlap neither each other nor the matrix. Infinities
 * and NaNs become what the recipe says; *nonfinite (unless NULL) tells whether there were any.
 * kernel may be NULL: what mxq_select_kernel(NULL) selects. MXQ_ERR_ARGUMENT: a matrix that is not the plan's.
 * MXQ_ERR_DEVICE: the kernel "gpu", and the GPU failed. (For speed on GPUs see mxq_gpu.h.)
 */
enum mxq_status mxq_quantize(const struct mxq_plan *plan, const struct mxq_kernel *kernel,
                             const struct mxq_matrix *matrix, uint8_t *const out[MXQ_NUM_BUFFERS], bool *nonfinite);

/* A rectangle of the input: a work item. See MXQ_PANEL_ALIGN. */
struct mxq_panel {
    uint64_t row0;
    uint64_t col0;
    uint64_t rows;
    uint64_t cols;
};

/*
 * The share of one panel in one buffer: nruns runs of run_nbytes bytes each, the first at offset, each next one
 * pitch_nbytes later. The shares of panels that tile the matrix tile every buffer, padding included.
 */
struct mxq_share {
    uint64_t offset;
    uint64_t run_nbytes;
    uint64_t nruns;
    uint64_t pitch_nbytes;
};

/* MXQ_ERR_PANEL: see MXQ_PANEL_ALIGN. */
enum mxq_status mxq_locate_share(const struct mxq_plan *plan, const struct mxq_panel *panel, enum mxq_buffer buffer,
                                 struct mxq_share *share);

/* Where the share of one panel goes in memory: nruns runs, one every pitch_nbytes. */
struct mxq_destination {
    uint8_t *bytes; /* not looked at when the share is empty */
    uint64_t pitch_nbytes;
};

/* The same for a share that is read. */
struct mxq_origin {
    const uint8_t *bytes;
    uint64_t pitch_nbytes;
};

/*
 * Quantizes one panel. matrix is the panel alone (panel->rows x panel->cols; its row_stride may be the whole matrix's).
 * out[b] is where the share of buffer b goes: to gather it, a buffer of nruns * run_nbytes bytes with pitch run_nbytes;
 * to put it in place, the whole buffer plus share.offset with pitch share.pitch_nbytes. Every byte of the share is
 * written and none beyond. Calls for different panels of one plan may run at the same time.
 * Otherwise as mxq_quantize(); MXQ_ERR_ARGUMENT also for a pitch below run_nbytes.
 */
enum mxq_status mxq_quantize_panel(const struct mxq_plan *plan, const struct mxq_kernel *kernel,
                                   const struct mxq_panel *panel, const struct mxq_matrix *matrix,
                                   const struct mxq_destination out[MXQ_NUM_BUFFERS], bool *nonfinite);

/* ---------------------------------------------------------------------------------------------------- measure */

/* Sums over the elements of one direction: x the input (after the Hadamard transform, if any), y the decoded result. */
struct mxq_distortion {
    uint64_t nelems;
    uint64_t nsaturated; /* |x| above the largest code at the block's scale */
    double signal;       /* sum of x * x */
    double noise;        /* sum of (x - y) * (x - y) */
    double decoded;      /* sum of y * y */
    double product;      /* sum of x * y */
    double largest;      /* max |x - y| */
    double amax;         /* max |x| */
    double least_amax;   /* the smallest amax of a block that is not 0; 0: there is none */
};

/*
 * Decodes what mxq_quantize_panel() made of a panel, with the same arguments, and adds the differences to *sums.
 * Start with a zeroed struct. Elements or scales that are not finite make the sums NaN or infinite, amax too.
 *
 * The four sums are within a millionth of the exact ones. They depend on how a matrix is divided into panels and in which
 * order these are added, and on nothing else.
 */
enum mxq_status mxq_measure_panel(const struct mxq_plan *plan, const struct mxq_panel *panel,
                                  const struct mxq_matrix *matrix, const struct mxq_destination out[MXQ_NUM_BUFFERS],
                                  enum mxq_direction direction, struct mxq_distortion *sums);

/* Adds the sums of a part, such as a panel, to those of the whole. */
void mxq_add_distortion(struct mxq_distortion *sum, const struct mxq_distortion *part);

/* How often each code and each scale byte occurs in one direction. Padding, and codes past the end of a row, do not count. */
struct mxq_histogram {
    uint64_t codes[16];
    uint64_t scales[256];
};

/*
 * Counts what mxq_quantize_panel() made of a panel and adds it to *histogram; start with a zeroed struct. Of in, only the
 * two buffers of the direction are looked at. MXQ_ERR_ARGUMENT: the plan does not have the direction, or as there.
 */
enum mxq_status mxq_count_panel(const struct mxq_plan *plan, const struct mxq_panel *panel,
                                const struct mxq_origin in[MXQ_NUM_BUFFERS], enum mxq_direction direction,
                                struct mxq_histogram *histogram);

/* Adds what was counted apart. */
void mxq_add_histogram(struct mxq_histogram *sum, const struct mxq_histogram *part);

/* ---------------------------------------------------------------------------------------------------- dequantize */

/*
 * Decodes the share of one panel in one direction. Value (r, c) of the panel of the input matrix, whichever the direction
 * is, goes to values[r * row_stride + c]; row_stride is at least panel->cols. Of in, only the two buffers of the direction
 * are looked at.
 *
 * Every value is exact, but for those of 2^128 and more, which are infinite. Under scale byte 255 all are NaN (0x7fc00000).
 * Code 8 is -0. With inverse_hadamard, what the recipe's transform and signs did is undone: in FP64, and rounded once,
 * which for 16 points is exact too (mxfp4q(5), DECODING). Values that need codes which a linear row has no room for are
 * NaN, and so are all of a transform that has one NaN.
 * MXQ_ERR_ARGUMENT: as mxq_count_panel(), or inverse_hadamard although the recipe has no transform.
 */
enum mxq_status mxq_dequantize_panel(const struct mxq_plan *plan, const struct mxq_panel *panel,
                                     const struct mxq_origin in[MXQ_NUM_BUFFERS], enum mxq_direction direction,
                                     bool inverse_hadamard, float *values, uint64_t row_stride);

/* ---------------------------------------------------------------------------------------------------- units */

/*
 * The units of one panel in one buffer without any layout: those of a logical row follow each other, and row follows row,
 * without gaps and without padding. A unit is MXQ_UNIT_NBYTES bytes of codes, or one scale byte; of a row there are
 * mxq_count_units(). Buffers change their layout by being loaded by one plan and stored by another of the same matrix.
 */
uint64_t mxq_count_units(const struct mxq_panel *panel, enum mxq_buffer buffer);

/* in: the share of the buffer. What a linear row has no room for, in the last unit of a row, becomes 0. */
enum mxq_status mxq_load_units(const struct mxq_plan *plan, const struct mxq_panel *panel, enum mxq_buffer buffer,
                               const struct mxq_origin *in, uint8_t *units);

/*
 * Writes every byte of the share, padding too, and none beyond. *nlost is increased by the bytes that are not 0 and that
 * a linear row has no room for.
 */
enum mxq_status mxq_store_units(const struct mxq_plan *plan, const struct mxq_panel *panel, enum mxq_buffer buffer,
                                const uint8_t *units, const struct mxq_destination *out, uint64_t *nlost);

/* ---------------------------------------------------------------------------------------------------- names */

/*
 * The words of the command line and the manifest: "bf16", "rowwise", "rowwise_data", "even", "keep", "plain",
 * "product", "32x32", "aiter". NULL for a value out of range, so a loop from 0 lists them.
 */
const char *mxq_dtype_name(enum mxq_dtype dtype);
const char *mxq_direction_name(enum mxq_direction direction);
const char *mxq_buffer_name(enum mxq_buffer buffer);
const char *mxq_scale_rule_name(enum mxq_scale_rule rule);
const char *mxq_ties_name(enum mxq_ties ties);
const char *mxq_sign_name(enum mxq_sign sign);
const char *mxq_underflow_name(enum mxq_underflow underflow);
const char *mxq_sixth_name(enum mxq_sixth sixth);
const char *mxq_block_name(enum mxq_block block);
const char *mxq_layout_name(enum mxq_layout layout);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif /* MXQ_H */
