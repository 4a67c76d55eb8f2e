/*
 * hip_kernels.hip - the device code: one pass over a matrix, both directions at once
 *
 * Built as a module, for AMD and for NVIDIA, from this one file; the host finds kernels by name (gpu_launch.c):
 *   nvcc -x cu -std=c++17 -O3 -fmad=false -Werror all-warnings -fatbin -Isrc -gencode arch=compute_80,code=sm_80
 *       -gencode arch=compute_90,code=sm_90 -gencode arch=compute_100a,code=sm_100a
 *       -gencode arch=compute_120a,code=sm_120a -gencode arch=compute_80,code=compute_80
 *   clang++-22 -x hip -std=c++17 -O3 -Wall -Wextra -Werror -ffp-contract=off -nogpuinc -nogpulib
 *       -mcode-object-version=5 --cuda-device-only -Isrc --offload-arch=gfx90a --offload-arch=gfx942
 *       --offload-arch=gfx950
 *
 * A block of threads brings a tile of 64 rows to shared memory, whose 16-byte chunks lie where neither readers of rows nor
 * readers of columns meet a bank twice. Then a thread owns whole blocks of 32 values, so that nothing is exchanged
 * between threads: two of rows, and two of one column each, where two threads read the same words and take a half. What it
 * makes are 16 bytes of codes, which it stores itself, beside its neighbour's; and scale bytes, which are collected in the
 * order of memory. A tile is small, its kernel needs few registers, and so many tiles are under way on a processor that
 * some always wait for memory while others compute: this did more than any pipeline inside a block.
 *
 * Linear columns are another matter (see "strips"): of them a tile is 32 bytes of codes and 2 of scales, all far from each
 * other. The traffic between the halves of an H200's L2 was at 94 %, with all of DRAM's traffic needed and no more of it.
 * Large matrices therefore have a kernel whose blocks make 128 bytes of codes and 8 of scales for each column. Of a copy's
 * speed, 16384 x 16384 BF16 both ways: 0.79 with tiles, 0.79 with 64 bytes at a time, 0.83 with 128 and two steps under
 * way, 0.86 with three, and 0.87 with 16 strips above each other before those on their right. AITER's layouts, by tiles,
 * reach 0.96, and with FP32 0.94.
 *
 * What else is slow there is bound by instructions, not by memory (counted by the profiler): with Hadamard, at 0.51, 35
 * of them an element keep the integer units 75 % busy and DRAM 44 %, and 0.85 would leave room for 22 to 25; rows that are
 * not aligned, such as those of 13577 x 9973 at 0.72, are shifted on their way to shared memory, which costs three more
 * barriers, and go to linear buffers byte by byte, at 0.10.
 *
 * Codes come from the rounding of additions. Let v be the scaled magnitude, at most 7. In floats that are half a unit
 * apart below 2^k, and a unit from there on, 2^k - 2 + v is rounded to 2v steps below 2, and to 2 + v steps from there
 * on; that is the code, up to v = 4. Half of v added instead, and two steps more, gives the code from 4 on, and too much
 * before. The smaller of both is the code, rounded once from the exact v, ties to even because 2^k - 2 is even. The
 * product with the scale costs nothing: it is a fused multiply-add. Signs travel along, as the sign of the sum. BF16 does
 * this in pairs, with 2^k = 128, for instructions that cost a 32-bit one each; everything else in FP32 with 2^23. A pair
 * of sums, 16 bits each, is a byte of codes after one multiplication (see fold_pair()).
 *
 * AMD's gfx90a and gfx942 have no pairs of BF16, but pairs of FP16, to which BF16 and FP16 are moved, with the signs apart.
 * Of the 8.4 vector instructions for a value and direction (gfx90a, BF16; it was 15.2 in FP32) the magnitude and its
 * maximum take 1, moving the exponent 1, the sums and their minimum 1.5, the products that put codes in their places 0.5,
 * signs about 0.75, and pairs of a column 0.25. The rest is scales, and places in memory; so are, on gfx950, all but 1.75
 * of 4.4.
 *
 * Rare blocks (infinities, NaNs, scales near the ends of the range) are computed by the definition in mxq_block.h, one
 * after another and straight from global memory, by the thread that found them.
 */
#include "kernels/gpu_shape.h"

#if defined(GPU_ON_HOST)
#define MXQ_FUNC static inline
#else
#define MXQ_FUNC static __device__ inline
#define MXQ_UNROLL _Pragma("unroll")
#if defined(__HIP__) && !defined(__device__)
#define __device__ __attribute__((device))
#define MXQ_DEFINED_DEVICE
#endif
#endif

#include "kernels/gpu_task.h"
#include "kernels/mxq_block.h"

#ifdef MXQ_DEFINED_DEVICE
#undef __device__
#endif

#include "kernels/gpu_prelude.h"

#define QUAD_NBYTES 16
#define QUADS_PER_ROW (GPU_TILE_NBYTES / QUAD_NBYTES)
#define WORDS_PER_ROW (GPU_TILE_NBYTES / 4)
#define NQUADS (GPU_TILE_ROWS * QUADS_PER_ROW)
#define NWORDS (GPU_TILE_ROWS * WORDS_PER_ROW)
#define MAX_TILE_COLS (GPU_TILE_NBYTES / 2)
#define MAX_ROW_BLOCKS (MAX_TILE_COLS / MXQ_BLOCK_NELEMS)
#define COLUMN_BLOCKS (GPU_TILE_ROWS / MXQ_BLOCK_NELEMS)

/* A strip is computed in steps of a block of 32 rows, of which some are under way. */
#define STRIP_STEPS (GPU_STRIP_ROWS / MXQ_BLOCK_NELEMS)
#define STRIP_SLOTS 3
#define STEP_NQUADS (MXQ_BLOCK_NELEMS * QUADS_PER_ROW)

/* Scale bytes of a tile in one direction, at most. */
#define SCALES_NBYTES (GPU_TILE_ROWS * GPU_TILE_NBYTES / 2 / MXQ_BLOCK_NELEMS)

/* What a block of threads shares. */
struct shared {
    struct gpu_quad quad[NQUADS + GPU_TILE_ROWS]; /* one more in each row while rows are not aligned */
    uint8_t scale[MXQ_NUM_DIRECTIONS][SCALES_NBYTES];
};

/* The same for strips. */
union strip_shared {
    struct shared tile;
#if defined(GPU_HAS_STRIPS)
    struct gpu_quad slot[STRIP_SLOTS][STEP_NQUADS];
#endif
};

/* What is known when a kernel is compiled. */
struct variant {
    enum mxq_dtype dtype;
    bool hadamard;
    bool plain; /* ties to even, signs kept, and never a code above 7 */
};

/* A recipe, and what would otherwise be found out for every block. */
struct rule {
    const struct mxq_recipe *recipe;
    uint32_t carry;
    uint32_t sign_pair; /* the signs of a pair, 0x80008000, though no compiler knows; see gpu_and_or() */
};

/* A tile of one task. */
struct work {
    const struct mxq_gpu_task *task;
    struct shared *shared;
    uint64_t row0;
    uint64_t col0;
    uint32_t rows; /* of the tile, that are in the matrix */
    uint32_t cols;
    struct rule rule;
};

/* ---- the tile in shared memory */

/*
 * Where chunk `chunk` of a row is. In all banks are eight neighbours in a row, eight neighbouring rows of one chunk, and
 * two neighbours in a row with the same two 32 rows further on. From the place of a chunk that is a multiple of 4 one comes
 * to the three behind it by xor, and so from row 0 of a block of a column to the others.
 */
GPU_FUNC uint32_t place_quad(uint32_t row, uint32_t chunk)
{
    return row * QUADS_PER_ROW + (chunk & ~7u) + ((chunk ^ chunk >> 3 ^ row ^ row >> 5 << 2) & 7);
}

GPU_FUNC uint32_t element_nbytes(enum mxq_dtype dtype)
{
    return dtype == MXQ_F32 ? 4 : 2;
}

GPU_FUNC uint32_t tile_cols(enum mxq_dtype dtype)
{
    return GPU_TILE_NBYTES / element_nbytes(dtype);
}

GPU_FUNC const uint8_t *find_element(const struct mxq_matrix *matrix, enum mxq_dtype dtype, uint64_t row, uint64_t col)
{
    return (const uint8_t *)matrix->data + (row * matrix->row_stride + col) * element_nbytes(dtype);
}

/* Up to 16 bytes from anywhere, the rest zeros; one after another, because this is rare. */
GPU_FUNC struct gpu_quad load_elements(const uint8_t *from, enum mxq_dtype dtype, uint32_t nvalid)
{
    uint64_t low = 0;
    uint64_t high = 0;

    GPU_LOOP
    for (uint32_t i = QUAD_NBYTES / element_nbytes(dtype); i-- > 0;) {
        const uint32_t nbits = 8 * element_nbytes(dtype);
        high = high << nbits | low >> (64 - nbits);
        low <<= nbits;
        if (i < nvalid)
            low |= dtype == MXQ_F32 ? ((const GPU_GLOBAL uint32_t *)from)[i] : ((const GPU_GLOBAL uint16_t *)from)[i];
    }
    const struct gpu_quad quad = {{(uint32_t)low, (uint32_t)(low >> 32), (uint32_t)high, (uint32_t)(high >> 32)}};
    return quad;
}

/* By value: given two elements of an array, compilers like to choose an address, for which the array must be in memory. */
GPU_FUNC uint32_t choose(bool first, uint32_t a, uint32_t b)
{
    return first ? a : b;
}

/* 16 bytes from the middle of 32: those behind the first `skipped`, which is even. */
GPU_FUNC struct gpu_quad join_quads(struct gpu_quad a, struct gpu_quad b, uint32_t skipped)
{
    const uint32_t w[8] = {a.word[0], a.word[1], a.word[2], a.word[3], b.word[0], b.word[1], b.word[2], b.word[3]};
    uint32_t v[6], u[5];
    struct gpu_quad joined;

    GPU_UNROLL
    for (uint32_t i = 0; i < 6; i++)
        v[i] = choose((skipped & 8) != 0, w[i + 2], w[i]);
    GPU_UNROLL
    for (uint32_t i = 0; i < 5; i++)
        u[i] = choose((skipped & 4) != 0, v[i + 1], v[i]);
    GPU_UNROLL
    for (uint32_t i = 0; i < 4; i++)
        joined.word[i] = gpu_shift_pair(u[i], u[i + 1], skipped % 4 * 8);
    return joined;
}

/* A chunk of a tile that is not full, or whose rows are not aligned. */
GPU_FUNC struct gpu_quad load_chunk(const struct work *work, enum mxq_dtype dtype, uint32_t row, uint32_t chunk)
{
    const struct mxq_matrix *matrix = &gpu_read_again(work->task)->matrix;
    const uint32_t per_chunk = QUAD_NBYTES / element_nbytes(dtype);
    const uint32_t col = chunk * per_chunk;
    const uint8_t *from = find_element(matrix, dtype, work->row0 + row, work->col0 + col);
    const uint32_t skipped = (uint32_t)((uintptr_t)from & (QUAD_NBYTES - 1));
    const uint8_t *begin = (const uint8_t *)matrix->data;
    const uint8_t *end = find_element(matrix, dtype, matrix->rows - 1, matrix->cols);
    const uint32_t left = col < work->cols ? work->cols - col : 0;

    if (row >= work->rows || left == 0)
        return load_elements(from, dtype, 0);
    /* Whole chunks of memory that overlap it are read where they are inside the matrix. */
    if (left < per_chunk || from - skipped < begin || end - from < 2 * QUAD_NBYTES - (ptrdiff_t)skipped)
        return load_elements(from, dtype, left < per_chunk ? left : per_chunk);
    return join_quads(gpu_load_quad(from - skipped), gpu_load_quad(from - skipped + QUAD_NBYTES), skipped);
}

GPU_FUNC bool is_full(const struct work *work, enum mxq_dtype dtype)
{
    return work->rows == GPU_TILE_ROWS && work->cols == tile_cols(dtype);
}

/* A thread stages the same chunk of every eighth row. */
#define STAGE_STEP (GPU_BLOCK_THREADS / QUADS_PER_ROW)
#define STAGE_COUNT (GPU_TILE_ROWS / STAGE_STEP)

GPU_FUNC void stage_aligned_tile(const struct work *work, enum mxq_dtype dtype)
{
    const uint64_t row_nbytes = work->task->matrix.row_stride * element_nbytes(dtype);
    const uint32_t chunk = gpu_thread() % QUADS_PER_ROW;
    const uint32_t row = gpu_thread() / QUADS_PER_ROW;
    const uint32_t place = place_quad(row, chunk);
    const uint8_t *from =
        find_element(&work->task->matrix, dtype, work->row0, work->col0) + row * row_nbytes + chunk * QUAD_NBYTES;

    GPU_UNROLL
    for (uint32_t i = 0; i < STAGE_COUNT; i++)
        gpu_begin_copy(&work->shared->quad[(place ^ i * STAGE_STEP >> 5 << 2) + i * STAGE_STEP * QUADS_PER_ROW],
                       from + i * STAGE_STEP * row_nbytes);
    gpu_wait_for_copies();
}

/* A full tile, of which 16 bytes on both sides are inside the matrix too. */
GPU_FUNC bool is_inner(const struct work *work, enum mxq_dtype dtype)
{
    const struct mxq_matrix *matrix = &work->task->matrix;
    const bool is_last_row = work->row0 + GPU_TILE_ROWS >= matrix->rows;
    const uint64_t end = work->col0 + tile_cols(dtype) + QUAD_NBYTES / element_nbytes(dtype);

    return is_full(work, dtype) && (work->row0 | work->col0) != 0 && (!is_last_row || end <= matrix->cols);
}

/* Rows come as whole chunks of memory, one more than they have... */
GPU_FUNC void copy_inner_tile(const struct work *work, const uint8_t *tile, uint64_t row_nbytes)
{
    const uint32_t chunk = gpu_thread() % QUADS_PER_ROW;
    const uint32_t row = gpu_thread() / QUADS_PER_ROW;

    GPU_UNROLL
    for (uint32_t i = 0; i < STAGE_COUNT; i++) {
        const uint8_t *from = tile + (row + i * STAGE_STEP) * row_nbytes;
        gpu_begin_copy(&work->shared->quad[(row + i * STAGE_STEP) * (QUADS_PER_ROW + 1) + chunk],
                       from - ((uintptr_t)from & (QUAD_NBYTES - 1)) + chunk * QUAD_NBYTES);
    }
    if (gpu_thread() < GPU_TILE_ROWS) {
        const uint8_t *from = tile + gpu_thread() * row_nbytes;
        gpu_begin_copy(&work->shared->quad[gpu_thread() * (QUADS_PER_ROW + 1) + QUADS_PER_ROW],
                       from - ((uintptr_t)from & (QUAD_NBYTES - 1)) + GPU_TILE_NBYTES);
    }
    gpu_wait_for_copies();
}

/* ... and are then shifted to where they belong, first the upper half of the tile, which overwrites nothing of the other. */
GPU_FUNC void stage_inner_tile(const struct work *work, enum mxq_dtype dtype)
{
    struct gpu_quad *quad = work->shared->quad;
    const uint64_t row_nbytes = work->task->matrix.row_stride * element_nbytes(dtype);
    const uint8_t *tile = find_element(&work->task->matrix, dtype, work->row0, work->col0);
    const uint32_t chunk = gpu_thread() % QUADS_PER_ROW;

    copy_inner_tile(work, tile, row_nbytes);
    gpu_barrier();
    GPU_LOOP
    for (uint32_t half = 0; half < 2; half++) {
        const uint32_t row = gpu_thread() / QUADS_PER_ROW + half * GPU_TILE_ROWS / 2;
        struct gpu_quad joined[STAGE_COUNT / 2];
        GPU_UNROLL
        for (uint32_t i = 0; i < STAGE_COUNT / 2; i++) {
            const struct gpu_quad *at = &quad[(row + i * STAGE_STEP) * (QUADS_PER_ROW + 1) + chunk];
            const uint32_t place = (uint32_t)(uintptr_t)tile + (row + i * STAGE_STEP) * (uint32_t)row_nbytes;
            joined[i] = join_quads(at[0], at[1], place & (QUAD_NBYTES - 1));
        }
        gpu_barrier();
        GPU_UNROLL
        for (uint32_t i = 0; i < STAGE_COUNT / 2; i++)
            quad[place_quad(row + i * STAGE_STEP, chunk)] = joined[i];
    }
}

GPU_FUNC void stage_ragged_tile(const struct work *work, enum mxq_dtype dtype)
{
    const uint32_t chunk = gpu_thread() % QUADS_PER_ROW;
    const uint32_t row = gpu_thread() / QUADS_PER_ROW;

    GPU_LOOP
    for (uint32_t i = 0; i < STAGE_COUNT; i++)
        work->shared->quad[place_quad(row + i * STAGE_STEP, chunk)] =
            load_chunk(work, dtype, row + i * STAGE_STEP, chunk);
}

GPU_FUNC void stage_tile(const struct work *work, enum mxq_dtype dtype)
{
    const struct mxq_matrix *matrix = &work->task->matrix;
    const uint64_t places = (uintptr_t)matrix->data | matrix->row_stride * element_nbytes(dtype);

    if (is_full(work, dtype) && (places & (QUAD_NBYTES - 1)) == 0)
        stage_aligned_tile(work, dtype);
    else if (is_inner(work, dtype))
        stage_inner_tile(work, dtype);
    else
        stage_ragged_tile(work, dtype);
}

/* ---- scales */

/* What a block is scaled by. */
struct scaling {
    uint32_t byte;
    uint32_t exponent; /* of the factor that divides by the scale, as FP32 and BF16 have it */
    bool is_common;    /* not one for the definition */
};

/* The addition that carries into the exponent where the byte is one more than e - 2. */
GPU_FUNC uint32_t carry_of(enum mxq_scale_rule rule)
{
    if (rule == MXQ_SCALE_EVEN)
        return 0x200000;
    if (rule == MXQ_SCALE_CEIL)
        return 0x7fffff;
    return rule == MXQ_SCALE_RCEIL ? 0x3fffff : 0; /* amax / 6 is above 2^k from 1.5 * 2^(k + 2) on */
}

/*
 * Bytes from 3 to 250 are common: all thresholds and both factors are normal numbers, and rules have no edges there. amax
 * and the values that the factor is for are 2^doublings times as large as the block's.
 */
GPU_FUNC struct scaling find_scaling(const struct rule *rule, uint32_t amax, uint32_t doublings)
{
    const uint32_t rounded = (amax + rule->carry) >> 23;
    struct scaling scaling;

    scaling.byte = rounded - 2 - doublings;
    scaling.exponent = 256 - rounded;
    scaling.is_common = rounded - 5 - doublings < 248 - doublings;
    if (amax == 0) { /* the codes of zeros are zeros under any factor */
        scaling.byte = rule->recipe->zero_byte;
        scaling.exponent = 127;
        scaling.is_common = true;
    }
    return scaling;
}

/* ---- codes from sums; see above */

#define F32_MAGIC 0x4afffffcu  /* 2^23 - 2 */
#define BF16_MAGIC 0x42fc42fcu /* 2^7 - 2, twice */
#define F32_LANES 0x4afc4afcu  /* what lane_pair() leaves of two F32_MAGIC */

struct unit {
    struct gpu_quad codes;
    struct scaling scaling;
};

/*
 * The codes of a word whose lanes are s * 2^15 + magic + c: the byte c | s << 3 of the low lane, that of the high lane
 * above it, in bits 24 to 31. Shifted left by 24, 12 and 0 the parts are in these places; what else there is, is either
 * constant, or shifted out, or below 2^24 even when added up.
 */
GPU_FUNC uint32_t fold_pair(uint32_t lanes, uint32_t magic)
{
#if defined(GPU_MULTIPLIES_SLOWLY)
    (void)magic; /* 4 modulo 8 */
    return ((lanes & 7) | (lanes >> 12 & 0x78) | (lanes >> 24 & 0x80)) << 24 ^ 0x44000000u;
#else
    const uint32_t shifts = 1u << 24 | 1u << 12 | 1u;

    return lanes * shifts - magic * shifts;
#endif
}

/* Four bytes 3. */
GPU_FUNC uint32_t join_folded(const uint32_t folded[4])
{
    return gpu_pick_bytes(gpu_pick_bytes(folded[0], folded[1], 0x0073), gpu_pick_bytes(folded[2], folded[3], 0x0073),
                          0x5410);
}

/* Of two FP32 sums: their lowest and highest bytes, which hold all that differs. */
GPU_FUNC uint32_t lane_pair(uint32_t a, uint32_t b)
{
    return gpu_pick_bytes(a, b, 0x7430);
}

/* A sum whose low bits and sign are the code of x. */
GPU_FUNC uint32_t add_magic(const struct rule *rule, uint32_t x, uint32_t factor)
{
    const uint32_t magic = gpu_and_or(x, rule->sign_pair & MXQ_F32_SIGN, F32_MAGIC);
    const uint32_t sum = gpu_fma(x, factor, magic);

    return gpu_min_of_sum(gpu_fma(x, factor - MXQ_F32_HIDDEN, magic), 2, sum);
}

/* The same under any recipe. */
GPU_FUNC uint32_t add_magic_by_recipe(const struct rule *rule, uint32_t x, uint32_t factor, uint32_t vanishing)
{
    const struct mxq_recipe *recipe = rule->recipe;
    const uint32_t magnitude = x & ~MXQ_F32_SIGN;
    /* 16 bits and a sticky one are enough; the others then have room for something that breaks ties. */
    uint32_t moved = (magnitude & 0xffff0000u) | ((magnitude & 0xffffu) != 0 ? 0x10000u : 0);
    uint32_t sum;
    bool sign;

    if (recipe->ties == MXQ_TIES_AWAY)
        moved++;
    else if (recipe->ties == MXQ_TIES_ZERO && moved != 0)
        moved--;
    sum = add_magic(rule, moved, factor);
    if (sum > F32_MAGIC + MXQ_CODE_LARGEST)
        sum = F32_MAGIC + MXQ_CODE_LARGEST;
    sign = mxq_sign_of_code(recipe, x, (uint8_t)(sum - F32_MAGIC), vanishing) != 0;
    return sign ? sum | MXQ_F32_SIGN : sum;
}

/* The largest magnitude that scaling by a common byte rounds to zero; see mxq_find_thresholds(). */
GPU_FUNC uint32_t find_vanishing(uint32_t byte)
{
    return byte - 128 < 127 ? mxq_pattern((int)byte - 127 - 150, 0) : 0;
}

GPU_FUNC struct gpu_quad encode_values(const struct rule *rule, bool plain, const uint32_t x[MXQ_BLOCK_NELEMS],
                                       const struct scaling *scaling)
{
    const uint32_t factor = scaling->exponent << 23;
    const uint32_t vanishing = plain ? 0 : find_vanishing(scaling->byte);
    struct gpu_quad codes;

    (void)vanishing;
    GPU_UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t folded[4];
        GPU_UNROLL
        for (uint32_t j = 0; j < 4; j++) {
            const uint32_t a = x[8 * i + 2 * j];
            const uint32_t b = x[8 * i + 2 * j + 1];
            if (plain)
                folded[j] = fold_pair(lane_pair(add_magic(rule, a, factor), add_magic(rule, b, factor)), F32_LANES);
            else
                folded[j] = fold_pair(lane_pair(add_magic_by_recipe(rule, a, factor, vanishing),
                                                add_magic_by_recipe(rule, b, factor, vanishing)),
                                      F32_LANES);
        }
        codes.word[i] = join_folded(folded);
    }
    return codes;
}

#if defined(GPU_PACKS_FP4)
/* For a plain recipe; codes above 7 do not occur, so that saturation does not matter. */
GPU_FUNC struct gpu_quad pack_values(const struct rule *rule, const uint32_t x[MXQ_BLOCK_NELEMS],
                                     const struct scaling *scaling)
{
    const float scale = gpu_float((254 - scaling->exponent) << 23);
    struct gpu_quad codes;

    (void)rule;
    GPU_UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t *y = x + 8 * i;
        uint32_t word = 0;
        word = gpu_insert_codes_f32(word, y[0], y[1], scale, 0);
        word = gpu_insert_codes_f32(word, y[2], y[3], scale, 1);
        word = gpu_insert_codes_f32(word, y[4], y[5], scale, 2);
        codes.word[i] = gpu_insert_codes_f32(word, y[6], y[7], scale, 3);
    }
    return codes;
}
#elif defined(GPU_PACKS_SCALED_FP4)
GPU_FUNC uint32_t pack_pair(uint32_t a, uint32_t b, float factor)
{
    return gpu_pack_codes(gpu_bits(gpu_float(a) * factor), gpu_bits(gpu_float(b) * factor));
}

GPU_FUNC struct gpu_quad pack_values(const struct rule *rule, const uint32_t x[MXQ_BLOCK_NELEMS],
                                     const struct scaling *scaling)
{
    const float factor = gpu_float(scaling->exponent << 23);
    struct gpu_quad codes;

    (void)rule;
    GPU_UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t *y = x + 8 * i;
        const uint32_t low = gpu_pick_bytes(pack_pair(y[0], y[1], factor), pack_pair(y[2], y[3], factor), 0x0040);
        const uint32_t high = gpu_pick_bytes(pack_pair(y[4], y[5], factor), pack_pair(y[6], y[7], factor), 0x0040);
        codes.word[i] = gpu_pick_bytes(low, high, 0x5410);
    }
    return codes;
}
#else
GPU_FUNC struct gpu_quad pack_values(const struct rule *rule, const uint32_t x[MXQ_BLOCK_NELEMS],
                                     const struct scaling *scaling)
{
    return encode_values(rule, true, x, scaling);
}
#endif

/* ---- blocks of FP32 patterns */

/* In place, but for the factor 1/4. */
GPU_FUNC void transform_half(uint32_t x[16])
{
    GPU_UNROLL
    for (uint32_t level = 0; level < 4; level++) {
        GPU_UNROLL
        for (uint32_t k = 0; k < 8; k++) {
            const uint32_t stride = 1u << level;
            const uint32_t i = (k & ~(stride - 1)) * 2 + (k & (stride - 1));
            const float a = gpu_float(x[i]);
            const float b = gpu_float(x[i + stride]);
            x[i] = gpu_bits(a + b);
            x[i + stride] = gpu_bits(a - b);
        }
    }
}

/* Of values times 1/4, as the definition has them, those that become subnormal are rounded; their codes do not care. */
GPU_FUNC bool is_quadruple(struct variant variant)
{
    return variant.hadamard && variant.plain;
}

GPU_FUNC void transform_values(uint32_t signs, bool quadruple, uint32_t x[MXQ_BLOCK_NELEMS])
{
    if (signs != 0) {
        GPU_UNROLL
        for (uint32_t i = 0; i < MXQ_BLOCK_NELEMS; i++)
            x[i] ^= signs << (31 - i) & MXQ_F32_SIGN;
    }
    transform_half(x);
    transform_half(x + 16);
    if (quadruple)
        return;
    GPU_UNROLL
    for (uint32_t i = 0; i < MXQ_BLOCK_NELEMS; i++)
        x[i] = gpu_bits(gpu_float(x[i]) * 0.25f);
}

/* One block of FP32 patterns. */
GPU_FUNC struct unit make_unit(const struct rule *rule, struct variant variant, const uint32_t x[MXQ_BLOCK_NELEMS])
{
    uint32_t amax = x[0];
    struct unit unit;

    GPU_UNROLL
    for (uint32_t i = 1; i < MXQ_BLOCK_NELEMS; i++)
        amax = gpu_max_magnitude(amax, x[i]);
    unit.scaling = find_scaling(rule, amax & ~MXQ_F32_SIGN, is_quadruple(variant) ? 2 : 0);
    unit.codes = variant.plain ? pack_values(rule, x, &unit.scaling) : encode_values(rule, false, x, &unit.scaling);
    return unit;
}

/* ---- blocks of 16-bit values, two in a word */

#define NPAIRS (MXQ_BLOCK_NELEMS / 2)

GPU_FUNC uint32_t widen_lane(enum mxq_dtype dtype, uint32_t pair, uint32_t lane)
{
    if (dtype == MXQ_BF16)
        return lane == 0 ? pair << 16 : pair & 0xffff0000u;
    return gpu_widen_half(lane == 0 ? pair & 0xffff : pair >> 16);
}

GPU_FUNC struct unit make_unit_of_pairs(const struct rule *rule, struct variant variant, const uint32_t pairs[NPAIRS])
{
    uint32_t x[MXQ_BLOCK_NELEMS];

    GPU_UNROLL
    for (uint32_t i = 0; i < NPAIRS; i++) {
        x[2 * i] = widen_lane(variant.dtype, pairs[i], 0);
        x[2 * i + 1] = widen_lane(variant.dtype, pairs[i], 1);
    }
    if (variant.hadamard)
        transform_values(rule->recipe->hadamard_signs[0], is_quadruple(variant), x);
    return make_unit(rule, variant, x);
}

#if defined(GPU_PACKS_FP4)
#define GPU_HAS_PAIR_CODES 1

GPU_FUNC struct gpu_quad pack_pairs(enum mxq_dtype dtype, const uint32_t pairs[NPAIRS], const struct scaling *scaling)
{
    const float scale = gpu_float((254 - scaling->exponent) << 23);
    struct gpu_quad codes;

    GPU_UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t *p = pairs + 4 * i;
        uint32_t word = 0;
        if (dtype == MXQ_BF16) {
            word = gpu_insert_codes_bf16(word, p[0], scale, 0);
            word = gpu_insert_codes_bf16(word, p[1], scale, 1);
            word = gpu_insert_codes_bf16(word, p[2], scale, 2);
            word = gpu_insert_codes_bf16(word, p[3], scale, 3);
        } else {
            word = gpu_insert_codes_f16(word, p[0], scale, 0);
            word = gpu_insert_codes_f16(word, p[1], scale, 1);
            word = gpu_insert_codes_f16(word, p[2], scale, 2);
            word = gpu_insert_codes_f16(word, p[3], scale, 3);
        }
        codes.word[i] = word;
    }
    return codes;
}

/* Magnitudes of BF16 and of FP16 compare like their bits. */
GPU_FUNC struct unit make_unit_of_plain_pairs(const struct rule *rule, enum mxq_dtype dtype,
                                              const uint32_t pairs[NPAIRS])
{
    typedef uint16_t lanes __attribute__((ext_vector_type(2)));
    lanes amax = {0, 0};
    struct unit unit;

    GPU_UNROLL
    for (uint32_t i = 0; i < NPAIRS; i++)
        amax = __builtin_elementwise_max(amax, __builtin_bit_cast(lanes, pairs[i] & 0x7fff7fffu));
    const uint32_t largest = amax.x > amax.y ? amax.x : amax.y;
    unit.scaling = find_scaling(rule, dtype == MXQ_BF16 ? largest << 16 : gpu_widen_half(largest), 0);
    unit.codes = pack_pairs(dtype, pairs, &unit.scaling);
    return unit;
}
#elif defined(GPU_HAS_BF16_PAIRS)
#define GPU_HAS_PAIR_CODES 1

GPU_FUNC uint32_t add_magic_pair(const struct rule *rule, uint32_t pair, uint32_t factors)
{
    const uint32_t magic = gpu_and_or(pair, rule->sign_pair, BF16_MAGIC);
    const uint32_t sum = gpu_fma_bf16_pair(pair, factors, magic);

    return gpu_min_of_sum_pair(gpu_fma_bf16_pair(pair, factors - 0x00800080u, magic), 0x00020002u, sum);
}

GPU_FUNC struct gpu_quad encode_pairs(const struct rule *rule, const uint32_t pairs[NPAIRS],
                                      const struct scaling *scaling)
{
    const uint32_t factors = scaling->exponent * 0x00800080u;
    struct gpu_quad codes;

    GPU_UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t folded[4];
        GPU_UNROLL
        for (uint32_t j = 0; j < 4; j++)
            folded[j] = fold_pair(add_magic_pair(rule, pairs[4 * i + j], factors), BF16_MAGIC);
        codes.word[i] = join_folded(folded);
    }
    return codes;
}

/* BF16 alone. */
GPU_FUNC struct unit make_unit_of_plain_pairs(const struct rule *rule, enum mxq_dtype dtype,
                                              const uint32_t pairs[NPAIRS])
{
    uint32_t amax = pairs[0];
    struct unit unit;

    (void)dtype;
    GPU_UNROLL
    for (uint32_t i = 1; i < NPAIRS; i++)
        amax = gpu_max_magnitude_bf16_pair(amax, pairs[i]);
    amax = gpu_max_magnitude(amax << 16, amax & 0xffff0000u);
    unit.scaling = find_scaling(rule, amax & 0x7fff0000u, 0);
    unit.codes = encode_pairs(rule, pairs, &unit.scaling);
    return unit;
}
#elif defined(GPU_HAS_FP16_PAIRS)
#define GPU_HAS_PAIR_CODES 1

/*
 * Magnitudes as FP16, 2^-9 of what they are when scaled: of BF16, whose exponent is moved down until five bits of it remain,
 * and what is too small becomes nothing; of FP16, by a factor, with which the sums multiply.
 */
struct fp16_scaling {
    uint32_t lowest;  /* BF16 */
    uint32_t factors; /* for the sums of codes below 4, and for those from there on */
    uint32_t halves;
};

#define FP16_MAGIC 0x3ffc3ffcu /* (2^10 - 2) / 2^9, twice, whose lowest bits count steps of half a unit, then of one */
#define FP16_LARGE 0x40004000u /* 2^10 / 2^9 */

GPU_FUNC struct fp16_scaling find_fp16_scaling(enum mxq_dtype dtype, struct scaling *scaling)
{
    /* Bytes from 6 on, or 103, which leaves out FP16's smallest. */
    const uint32_t byte = 254 - scaling->exponent;
    struct fp16_scaling s = {0, 0x3c003c00u, 0x38003800u};

    if (dtype == MXQ_BF16) {
        s.lowest = gpu_subtract_pair(byte, 6) * 0x00800080u;
        scaling->is_common = scaling->is_common && byte >= 6;
    } else {
        s.factors = gpu_narrow_to_fp16((scaling->exponent - 9) << 23) * 0x10001u;
        s.halves = gpu_narrow_to_fp16((scaling->exponent - 10) << 23) * 0x10001u;
        scaling->is_common = scaling->is_common && byte >= 103;
    }
    return s;
}

/* A pair of sums, FP16_MAGIC and the code more. */
GPU_FUNC uint32_t add_fp16_magic(enum mxq_dtype dtype, const struct fp16_scaling *s, uint32_t magnitudes)
{
    uint32_t x = magnitudes;

    if (dtype == MXQ_BF16)
        x = gpu_shift_lanes_left(gpu_subtract_pair(x, s->lowest), 3);
    return gpu_min_pair(gpu_fma_fp16_pair(x, s->factors, FP16_MAGIC), gpu_fma_fp16_pair(x, s->halves, FP16_LARGE));
}

/* Bit 3 of each nibble: the signs of eight values; its other bits mean nothing. */
GPU_FUNC uint32_t collect_signs(const uint32_t pairs[4])
{
    const uint32_t a = gpu_pick_bytes(pairs[0], pairs[1], 0x7351);
    const uint32_t b = gpu_pick_bytes(pairs[2], pairs[3], 0x7351);
    const uint32_t even = gpu_pick_bytes(a, b, 0x5410);
    const uint32_t odd = gpu_pick_bytes(a, b, 0x7632);

    return (odd & 0x80808080u) | (even >> 4 & 0x7f7f7f7fu);
}

/* Sums are put where their codes belong, and what the magic adds is taken off again. */
GPU_FUNC uint32_t join_sums(uint32_t a, uint32_t b)
{
    const uint32_t magic = 0u - (FP16_MAGIC & 0xffff) * 0x1111u;

    return gpu_dot_pair(b, 0x10000100u, gpu_dot_pair(a, 0x00100001u, magic));
}

GPU_FUNC struct unit make_unit_of_plain_pairs(const struct rule *rule, enum mxq_dtype dtype,
                                              const uint32_t pairs[NPAIRS])
{
    uint32_t amax = pairs[0] & 0x7fff7fffu;
    struct unit unit;

    GPU_UNROLL
    for (uint32_t i = 1; i < NPAIRS; i++)
        amax = gpu_max_pair(amax, pairs[i] & 0x7fff7fffu);
    amax = gpu_max_pair(amax, amax >> 16) & 0xffff;
    unit.scaling = find_scaling(rule, dtype == MXQ_BF16 ? amax << 16 : gpu_widen_half(amax), 0);
    const struct fp16_scaling s = find_fp16_scaling(dtype, &unit.scaling);
    GPU_UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t *p = pairs + 4 * i;
        uint32_t sum[4];
        GPU_UNROLL
        for (uint32_t j = 0; j < 4; j++)
            sum[j] = add_fp16_magic(dtype, &s, p[j] & 0x7fff7fffu);
        const uint32_t codes = join_sums(sum[2], sum[3]) << 16 | join_sums(sum[0], sum[1]);
        unit.codes.word[i] = (codes & 0x77777777u) | (collect_signs(p) & 0x88888888u);
    }
    return unit;
}
#endif

GPU_FUNC struct unit make_unit_of_words(const struct rule *rule, struct variant variant, const uint32_t pairs[NPAIRS])
{
#if defined(GPU_PACKS_FP4) || defined(GPU_HAS_FP16_PAIRS)
    if (variant.plain && !variant.hadamard)
        return make_unit_of_plain_pairs(rule, variant.dtype, pairs);
#elif defined(GPU_HAS_PAIR_CODES)
    if (variant.plain && !variant.hadamard && variant.dtype == MXQ_BF16)
        return make_unit_of_plain_pairs(rule, variant.dtype, pairs);
#endif
    return make_unit_of_pairs(rule, variant, pairs);
}

/* ---- stores */

/* Bytes of a linear row that have no neighbours, or are not aligned. */
GPU_FUNC void store_bytes(uint8_t *bytes, struct gpu_quad codes, uint32_t nbytes)
{
    GPU_GLOBAL uint8_t *to = (GPU_GLOBAL uint8_t *)bytes;
    uint64_t low = (uint64_t)codes.word[1] << 32 | codes.word[0];
    uint64_t high = (uint64_t)codes.word[3] << 32 | codes.word[2];

    GPU_LOOP
    for (uint32_t i = 0; i < nbytes; i++) {
        to[i] = (uint8_t)low;
        low = low >> 8 | high << 56;
        high >>= 8;
    }
}

GPU_FUNC void store_unit(uint8_t *to, uint32_t nbytes, bool whole, struct gpu_quad codes)
{
    if (whole || (nbytes == QUAD_NBYTES && ((uintptr_t)to & (QUAD_NBYTES - 1)) == 0))
        gpu_store_quad(to, codes);
    else
        store_bytes(to, codes, nbytes);
}

/* ---- rare blocks, by the definition */

GPU_FUNC uint32_t load_value(const struct mxq_matrix *matrix, enum mxq_dtype dtype, enum mxq_direction direction,
                             uint64_t row, uint64_t index)
{
    const uint8_t *from =
        direction == MXQ_ROWWISE ? find_element(matrix, dtype, row, index) : find_element(matrix, dtype, index, row);

    if (dtype == MXQ_F32)
        return *(const GPU_GLOBAL uint32_t *)from;
    const uint16_t value = *(const GPU_GLOBAL uint16_t *)from;
    return dtype == MXQ_BF16 ? mxq_widen_bf16(value) : mxq_widen_f16(value);
}

GPU_FUNC void add_to_amax(struct mxq_amax *amax, uint32_t x)
{
    const uint32_t magnitude = x & ~MXQ_F32_SIGN;

    if (magnitude > MXQ_F32_INFINITY)
        amax->has_nan = true;
    else if (magnitude > amax->bits)
        amax->bits = magnitude;
}

/* A block of logical row `row`, while it is computed. */
struct rare {
    const struct mxq_gpu_task *task;
    enum mxq_dtype dtype;
    enum mxq_direction direction;
    uint64_t row;
    uint64_t first; /* value of the row */
    uint32_t nvalid;
};

GPU_FUNC uint32_t load_rare(const struct rare *rare, uint32_t i)
{
    if (i >= rare->nvalid)
        return 0;
    return load_value(&rare->task->matrix, rare->dtype, rare->direction, rare->row, rare->first + i);
}

GPU_FUNC uint32_t encode_rare(const struct mxq_recipe *recipe, struct mxq_scale scale,
                              const struct mxq_thresholds *thresholds, uint32_t x)
{
    return scale.is_nan ? mxq_encode_unscaled(recipe, x) : mxq_encode_value(recipe, x, thresholds);
}

/* The first code of a byte, or the second. */
GPU_FUNC void add_code(uint8_t *to, uint32_t second, uint32_t code)
{
    GPU_GLOBAL uint8_t *byte = (GPU_GLOBAL uint8_t *)to;

    *byte = (uint8_t)(second == 0 ? code : *byte | code << 4);
}

/* The codes of values that can be looked at one by one. */
GPU_FUNC struct mxq_scale write_rare(const struct rare *rare, uint8_t *to, uint32_t nbytes)
{
    const struct mxq_recipe *recipe = &rare->task->recipe;
    struct mxq_amax amax = {0, false};

    GPU_LOOP
    for (uint32_t i = 0; i < rare->nvalid; i++)
        add_to_amax(&amax, load_rare(rare, i));
    const struct mxq_scale scale = mxq_find_scale(recipe, amax);
    const struct mxq_thresholds thresholds = mxq_find_thresholds(recipe->ties, scale.divisor);
    GPU_LOOP
    for (uint32_t i = 0; i < 2 * nbytes; i++) {
        const uint32_t code = i < rare->nvalid ? encode_rare(recipe, scale, &thresholds, load_rare(rare, i)) : 0;
        add_code(to + i / 2, i % 2, code);
    }
    return scale;
}

/* The values of a transform are in registers, which cannot be indexed: they move up instead. */
GPU_FUNC struct mxq_scale write_rare_transform(const struct rare *rare, uint8_t *to, uint32_t nbytes)
{
    const struct mxq_recipe *recipe = &rare->task->recipe;
    struct mxq_amax amax = {0, false};
    uint32_t x[MXQ_BLOCK_NELEMS];

    GPU_UNROLL
    for (uint32_t i = 0; i < MXQ_BLOCK_NELEMS; i++)
        x[i] = load_rare(rare, i);
    transform_values(recipe->hadamard_signs[0], false, x);
    GPU_UNROLL
    for (uint32_t i = 0; i < MXQ_BLOCK_NELEMS; i++) {
        if ((x[i] & ~MXQ_F32_SIGN) > MXQ_F32_INFINITY)
            x[i] = MXQ_F32_QUIET_NAN;
        add_to_amax(&amax, x[i]);
    }
    const struct mxq_scale scale = mxq_find_scale(recipe, amax);
    const struct mxq_thresholds thresholds = mxq_find_thresholds(recipe->ties, scale.divisor);
    GPU_LOOP
    for (uint32_t i = 0; i < 2 * nbytes; i++) {
        const uint32_t code = encode_rare(recipe, scale, &thresholds, x[0]);
        add_code(to + i / 2, i % 2, code);
        GPU_UNROLL
        for (uint32_t j = 0; j < MXQ_BLOCK_NELEMS - 1; j++)
            x[j] = x[j + 1];
    }
    return scale;
}

/* Infinities and NaNs are always here, so this is where they are seen. */
GPU_FUNC void look_for_nonfinite(const struct rare *rare)
{
    bool found = false;

    GPU_LOOP
    for (uint32_t i = 0; i < rare->nvalid; i++)
        found |= (load_rare(rare, i) & ~MXQ_F32_SIGN) >= MXQ_F32_INFINITY;
    if (found)
        *(GPU_GLOBAL uint32_t *)rare->task->nonfinite = 1;
}

/* Returns the scale byte. */
GPU_FUNC uint8_t quantize_rare(const struct mxq_gpu_task *task, struct variant variant, enum mxq_direction direction,
                               uint64_t row, uint64_t block)
{
    const struct mxq_target *target = &task->target[direction];
    const uint64_t nelems = direction == MXQ_ROWWISE ? task->matrix.cols : task->matrix.rows;
    const uint64_t first = block * MXQ_BLOCK_NELEMS;
    const uint32_t nvalid = nelems - first < MXQ_BLOCK_NELEMS ? (uint32_t)(nelems - first) : MXQ_BLOCK_NELEMS;
    const struct rare rare = {task, variant.dtype, direction, row, first, nvalid};
    uint8_t *to = target->data + mxq_data_offset(target->data_layout, target->data_pitch, row, block);
    const uint32_t nbytes = mxq_unit_nbytes(target->data_layout, nelems, block);

    look_for_nonfinite(&rare);
    return variant.hadamard ? write_rare_transform(&rare, to, nbytes).byte : write_rare(&rare, to, nbytes).byte;
}

/* Whether the fast code may say what a block is. Zeros behind its end could get a sign. */
GPU_FUNC bool is_common(const struct mxq_recipe *recipe, struct variant variant, const struct scaling *scaling,
                        uint32_t nvalid)
{
    if (!variant.plain && !variant.hadamard && recipe->sign == MXQ_SIGN_NONPOSITIVE && nvalid < MXQ_BLOCK_NELEMS)
        return false;
    return scaling->is_common;
}

/* ---- the blocks of a tile, shared out among threads */

/* A block: logical row and block of the tile, as its direction counts them. */
struct spot {
    uint32_t row;
    uint32_t block;
};

#define ELEMENTS_PER_THREAD(dtype) (GPU_TILE_ROWS * GPU_TILE_NBYTES / ((dtype) == MXQ_F32 ? 4 : 2) / GPU_BLOCK_THREADS)
#define UNITS_PER_THREAD(dtype) (ELEMENTS_PER_THREAD(dtype) / MXQ_BLOCK_NELEMS)

/*
 * The first block of a thread. Threads next to each other have blocks that are stored next to each other: of one row, or
 * of neighbouring rows. What a thread has next is rows_between_spots() further down.
 */
GPU_FUNC struct spot find_spot(const struct mxq_target *target, uint32_t nblocks)
{
    const uint32_t i = gpu_thread();
    struct spot spot;

    if (target->data_layout == MXQ_LINEAR) {
        spot.row = i / nblocks;
        spot.block = i % nblocks;
    } else {
        spot.row = i / (32 * nblocks) * 32 + i % 32;
        spot.block = i / 32 % nblocks;
    }
    return spot;
}

GPU_FUNC uint32_t rows_between_spots(uint32_t nblocks)
{
    return GPU_BLOCK_THREADS / nblocks;
}

GPU_FUNC uint32_t count_blocks_across(enum mxq_direction direction, enum mxq_dtype dtype)
{
    return direction == MXQ_ROWWISE ? tile_cols(dtype) / MXQ_BLOCK_NELEMS : COLUMN_BLOCKS;
}

/* As FP32 patterns, or as pairs of 16 bits. */
GPU_FUNC void load_row_block(const struct gpu_quad *tile, enum mxq_dtype dtype, struct spot spot,
                             uint32_t words[MXQ_BLOCK_NELEMS])
{
    const uint32_t nquads = MXQ_BLOCK_NELEMS * element_nbytes(dtype) / QUAD_NBYTES;
    const uint32_t place = place_quad(spot.row, spot.block * nquads);

    GPU_UNROLL
    for (uint32_t i = 0; i < nquads; i++) {
        const struct gpu_quad quad = tile[place ^ i];
        GPU_UNROLL
        for (uint32_t j = 0; j < 4; j++)
            words[4 * i + j] = quad.word[j];
    }
}

GPU_FUNC uint32_t load_column_word(const struct gpu_quad *tile, uint32_t place, uint32_t word, uint32_t i)
{
    return tile[(place ^ (i & 7)) + i * QUADS_PER_ROW].word[word % 4];
}

/* Words hold two columns of 16-bit values, of which two threads take one each. */
GPU_FUNC void load_column_block(const struct gpu_quad *tile, enum mxq_dtype dtype, struct spot spot,
                                uint32_t words[MXQ_BLOCK_NELEMS])
{
    const uint32_t word = dtype == MXQ_F32 ? spot.row : spot.row / 2;
    const uint32_t place = place_quad(spot.block * MXQ_BLOCK_NELEMS, word / 4);
    const uint32_t half = spot.row % 2 == 0 ? 0x5410 : 0x7632;

    GPU_UNROLL
    for (uint32_t i = 0; i < MXQ_BLOCK_NELEMS; i += 2) {
        const uint32_t a = load_column_word(tile, place, word, i);
        const uint32_t b = load_column_word(tile, place, word, i + 1);
        if (dtype == MXQ_F32) {
            words[i] = a;
            words[i + 1] = b;
        } else {
            words[i / 2] = gpu_pick_half(a, b, half);
        }
    }
}

GPU_FUNC struct unit make_unit_of_block(const struct rule *rule, struct variant variant,
                                        uint32_t words[MXQ_BLOCK_NELEMS])
{
    if (variant.dtype != MXQ_F32)
        return make_unit_of_words(rule, variant, words);
    if (variant.hadamard)
        transform_values(rule->recipe->hadamard_signs[0], is_quadruple(variant), words);
    return make_unit(rule, variant, words);
}

/*
 * Scale bytes are collected in the order of memory: rows of 8 or 2 blocks, or groups of 32 rows of AITER's layout, of which
 * a tile has all 256 bytes or, of columns, 2 bytes out of every 4 of 128.
 */
GPU_FUNC uint8_t *find_scale_byte(struct shared *shared, const struct mxq_target *target, enum mxq_direction direction,
                                  struct spot spot)
{
    uint8_t *scale = shared->scale[direction];

    if (target->scale_layout == MXQ_LINEAR)
        return scale + spot.row * (direction == MXQ_ROWWISE ? MAX_ROW_BLOCKS : COLUMN_BLOCKS) + spot.block;
    if (direction == MXQ_ROWWISE)
        return scale + mxq_scale_offset(MXQ_AITER, 256, spot.row, spot.block);
    return scale + (spot.row >> 5 << 6) + spot.block * 32 + (spot.row & 15) * 2 + (spot.row >> 4 & 1);
}

/* Returns a bit for each rare block of the thread. */
GPU_FUNC uint32_t quantize_direction(const struct work *work, struct variant variant, enum mxq_direction direction,
                                     bool whole)
{
    const struct mxq_gpu_task *task = work->task;
    const struct mxq_target *target = &task->target[direction];
    const bool rowwise = direction == MXQ_ROWWISE;
    const uint64_t row0 = rowwise ? work->row0 : work->col0;
    const uint64_t block0 = (rowwise ? work->col0 : work->row0) / MXQ_BLOCK_NELEMS;
    const uint32_t rows = rowwise ? work->rows : work->cols;
    const uint32_t values = rowwise ? work->cols : work->rows;
    const uint32_t nblocks = count_blocks_across(direction, variant.dtype);
    const uint32_t step = rows_between_spots(nblocks);
    const uint64_t step_nbytes = mxq_data_offset(target->data_layout, target->data_pitch, step, 0);
    struct spot spot = find_spot(target, nblocks);
    uint8_t *to = target->data + mxq_data_offset(target->data_layout, target->data_pitch, row0, block0) +
                  mxq_data_offset(target->data_layout, target->data_pitch, spot.row, spot.block);
    uint32_t rare = 0;

    GPU_LOOP
    for (uint32_t i = 0; i < UNITS_PER_THREAD(variant.dtype); i++, spot.row += step, to += step_nbytes) {
        const uint32_t first = spot.block * MXQ_BLOCK_NELEMS;
        uint32_t words[MXQ_BLOCK_NELEMS];
        if (!whole && (spot.row >= rows || first >= values))
            continue;
        if (rowwise)
            load_row_block(work->shared->quad, variant.dtype, spot, words);
        else
            load_column_block(work->shared->quad, variant.dtype, spot, words);
        const struct unit unit = make_unit_of_block(&work->rule, variant, words);
        *find_scale_byte(work->shared, target, direction, spot) = (uint8_t)unit.scaling.byte;
        store_unit(to, mxq_unit_nbytes(target->data_layout, values, spot.block), whole, unit.codes);
        rare |= (uint32_t)!is_common(&task->recipe, variant, &unit.scaling, values - first) << i;
    }
    return rare;
}

/* ---- scale bytes of a tile */

struct block_of_scales {
    const struct mxq_target *target;
    uint8_t *to;   /* the scale byte of the tile's first block */
    uint32_t rows; /* logical rows and blocks of the tile that exist */
    uint32_t nblocks;
};

GPU_FUNC struct block_of_scales find_scales(const struct work *work, enum mxq_direction direction)
{
    const bool rowwise = direction == MXQ_ROWWISE;
    const struct mxq_target *target = &work->task->target[direction];
    struct block_of_scales scales;

    scales.target = target;
    scales.to =
        target->scale + mxq_scale_offset(target->scale_layout, target->scale_pitch, rowwise ? work->row0 : work->col0,
                                         (rowwise ? work->col0 : work->row0) / MXQ_BLOCK_NELEMS);
    scales.rows = rowwise ? work->rows : work->cols;
    scales.nblocks = ((rowwise ? work->cols : work->rows) + MXQ_BLOCK_NELEMS - 1) / MXQ_BLOCK_NELEMS;
    return scales;
}

/* Of a whole tile of 8 blocks across: 8 bytes for each of 64 threads. */
GPU_FUNC void store_wide_row_scales(const struct block_of_scales *scales, const uint8_t *collected)
{
    const uint32_t i = gpu_thread();
    const uint64_t *from = (const uint64_t *)collected;

    if (i >= GPU_TILE_ROWS)
        return;
    if (scales->target->scale_layout == MXQ_LINEAR)
        *(GPU_GLOBAL uint64_t *)(scales->to + i * scales->target->scale_pitch) = from[i];
    else
        *(GPU_GLOBAL uint64_t *)(scales->to + i / 32 * scales->target->scale_pitch + i % 32 * 8) = from[i];
}

/* Of 4 blocks across: 4 bytes for each of 64 threads, or 2 out of every 4 in AITER's layout for each of 128. */
GPU_FUNC void store_narrow_row_scales(const struct block_of_scales *scales, const uint8_t *collected)
{
    const uint32_t i = gpu_thread();

    if (scales->target->scale_layout == MXQ_LINEAR) {
        if (i < GPU_TILE_ROWS)
            *(GPU_GLOBAL uint32_t *)(scales->to + i * scales->target->scale_pitch) =
                *(const uint32_t *)(collected + i * MAX_ROW_BLOCKS);
    } else if (i < 2 * GPU_TILE_ROWS) {
        *(GPU_GLOBAL uint16_t *)(scales->to + i / 64 * scales->target->scale_pitch + i % 64 * 4) =
            *(const uint16_t *)(collected + i / 64 * 256 + i % 64 * 4);
    }
}

GPU_FUNC void store_row_scales(const struct work *work, enum mxq_dtype dtype)
{
    const struct block_of_scales scales = find_scales(work, MXQ_ROWWISE);

    if (dtype == MXQ_F32)
        store_narrow_row_scales(&scales, work->shared->scale[MXQ_ROWWISE]);
    else
        store_wide_row_scales(&scales, work->shared->scale[MXQ_ROWWISE]);
}

/* Of a whole tile: 2 bytes for each thread. */
GPU_FUNC void store_column_scales(const struct work *work, enum mxq_dtype dtype)
{
    const struct block_of_scales scales = find_scales(work, MXQ_COLUMNWISE);
    const uint32_t i = gpu_thread();
    const uint16_t *from = (const uint16_t *)work->shared->scale[MXQ_COLUMNWISE];

    if (i >= tile_cols(dtype))
        return;
    if (scales.target->scale_layout == MXQ_LINEAR)
        *(GPU_GLOBAL uint16_t *)(scales.to + i * scales.target->scale_pitch) = from[i];
    else
        *(GPU_GLOBAL uint16_t *)(scales.to + i / 32 * scales.target->scale_pitch + i % 32 * 4) = from[i];
}

/* Of any tile, byte after byte. */
GPU_FUNC void store_scale_bytes(const struct work *work, enum mxq_direction direction)
{
    const struct block_of_scales scales = find_scales(work, direction);
    const uint32_t across = direction == MXQ_ROWWISE ? MAX_ROW_BLOCKS : COLUMN_BLOCKS;

    GPU_LOOP
    for (uint32_t i = gpu_thread(); i < SCALES_NBYTES; i += GPU_BLOCK_THREADS) {
        const struct spot spot = {i / across, i % across};
        if (spot.row < scales.rows && spot.block < scales.nblocks)
            *(GPU_GLOBAL uint8_t *)(scales.to + mxq_scale_offset(scales.target->scale_layout,
                                                                 scales.target->scale_pitch, spot.row, spot.block)) =
                *find_scale_byte(work->shared, scales.target, direction, spot);
    }
}

GPU_FUNC void store_scales(const struct work *work, enum mxq_dtype dtype, bool whole)
{
    const struct mxq_target *target = work->task->target;

    if (target[MXQ_ROWWISE].wanted) {
        if (whole)
            store_row_scales(work, dtype);
        else
            store_scale_bytes(work, MXQ_ROWWISE);
    }
    if (target[MXQ_COLUMNWISE].wanted) {
        if (whole)
            store_column_scales(work, dtype);
        else
            store_scale_bytes(work, MXQ_COLUMNWISE);
    }
}

/* ---- tiles */

/* Over what was written for the bits of `rare`, by the threads that wrote it. */
GPU_FUNC void quantize_rare_blocks(const struct work *work, struct variant variant, enum mxq_direction direction,
                                   uint32_t rare)
{
    const struct mxq_gpu_task *task = gpu_read_again(work->task);
    const bool rowwise = direction == MXQ_ROWWISE;
    const uint64_t row0 = rowwise ? work->row0 : work->col0;
    const uint64_t block0 = (rowwise ? work->col0 : work->row0) / MXQ_BLOCK_NELEMS;
    const uint32_t nblocks = count_blocks_across(direction, variant.dtype);
    struct spot spot = find_spot(&task->target[direction], nblocks);

    GPU_LOOP
    for (uint32_t i = 0; rare >> i != 0; i++) {
        if (rare >> i & 1)
            *find_scale_byte(work->shared, &task->target[direction], direction, spot) =
                quantize_rare(task, variant, direction, row0 + spot.row, block0 + spot.block);
        spot.row += rows_between_spots(nblocks);
    }
}

/* whole: the tile is full, and its results are aligned. */
GPU_FUNC void quantize_directions(const struct work *work, struct variant variant, bool whole)
{
    uint32_t rare[MXQ_NUM_DIRECTIONS] = {0, 0};

    if (work->task->target[MXQ_ROWWISE].wanted)
        rare[MXQ_ROWWISE] = quantize_direction(work, variant, MXQ_ROWWISE, whole);
    if (work->task->target[MXQ_COLUMNWISE].wanted)
        rare[MXQ_COLUMNWISE] = quantize_direction(work, variant, MXQ_COLUMNWISE, whole);
    if ((rare[MXQ_ROWWISE] | rare[MXQ_COLUMNWISE]) != 0) {
        GPU_LOOP
        for (uint32_t d = 0; d < MXQ_NUM_DIRECTIONS; d++)
            quantize_rare_blocks(work, variant, (enum mxq_direction)d,
                                 d == MXQ_ROWWISE ? rare[MXQ_ROWWISE] : rare[MXQ_COLUMNWISE]);
    }
    gpu_barrier();
    store_scales(work, variant.dtype, whole);
}

/* 16 bytes of codes at once, and 8 of scales. */
GPU_FUNC bool is_aligned(const struct mxq_target *target)
{
    return !target->wanted || ((((uintptr_t)target->data | target->data_pitch) & (QUAD_NBYTES - 1)) == 0 &&
                               (((uintptr_t)target->scale | target->scale_pitch) & 7) == 0);
}

GPU_FUNC void quantize_tile(const struct work *work, struct variant variant)
{
    const struct mxq_target *target = work->task->target;

    stage_tile(work, variant.dtype);
    gpu_barrier();
    const bool whole =
        is_full(work, variant.dtype) && is_aligned(&target[MXQ_ROWWISE]) && is_aligned(&target[MXQ_COLUMNWISE]);
#if defined(GPU_NVIDIA)
    /* Twice the code, but what decides about whole tiles has left the one that is nearly always executed. */
    if (whole)
        quantize_directions(work, variant, true);
    else
        quantize_directions(work, variant, false);
#else
    quantize_directions(work, variant, whole);
#endif
}

/* ---- strips: 256 rows by 256 values of 16 bits, for columns that are stored one after another */

#if defined(GPU_HAS_STRIPS)

/*
 * A tile has 32 bytes of codes and 2 scale bytes of each column, which is little to store at a time: where columns are not
 * mixed, memory is asked for every column by itself. So a block goes down a strip, a block of 32 rows after another, while
 * the next ones are on their way; a thread owns a column, and keeps its codes until eight neighbours exchange them, which
 * then store 128 bytes of a column together, and its scale bytes.
 */
struct strip {
    struct work work;
    uint32_t rare[MXQ_NUM_DIRECTIONS]; /* a bit for each rare block of the thread */
    uint64_t column_scales;
};

GPU_FUNC void stage_step(const struct work *work, struct gpu_quad *slot, uint32_t step)
{
    const uint64_t row_nbytes = work->task->matrix.row_stride * 2;
    const uint32_t chunk = gpu_thread() % QUADS_PER_ROW;
    const uint32_t row = gpu_thread() / QUADS_PER_ROW;
    const uint8_t *from = find_element(&work->task->matrix, MXQ_BF16, work->row0, work->col0) +
                          (step * MXQ_BLOCK_NELEMS + row) * row_nbytes + chunk * QUAD_NBYTES;

    GPU_UNROLL
    for (uint32_t i = 0; i < MXQ_BLOCK_NELEMS / STAGE_STEP; i++)
        gpu_begin_copy(&slot[place_quad(row, chunk) + i * STAGE_STEP * QUADS_PER_ROW],
                       from + i * STAGE_STEP * row_nbytes);
}

GPU_FUNC struct spot find_row_spot(void)
{
    const struct spot spot = {gpu_thread() / MAX_ROW_BLOCKS, gpu_thread() % MAX_ROW_BLOCKS};

    return spot;
}

GPU_FUNC void quantize_step_rows(struct strip *strip, struct variant variant, const struct gpu_quad *slot,
                                 uint32_t step)
{
    const struct work *work = &strip->work;
    const struct mxq_target *target = &work->task->target[MXQ_ROWWISE];
    const struct spot spot = find_row_spot();
    const uint64_t row = work->row0 + step * MXQ_BLOCK_NELEMS + spot.row;
    const uint64_t block = work->col0 / MXQ_BLOCK_NELEMS + spot.block;
    uint32_t words[MXQ_BLOCK_NELEMS];

    load_row_block(slot, variant.dtype, spot, words);
    const struct unit unit = make_unit_of_block(&work->rule, variant, words);
    gpu_store_quad(target->data + row * target->data_pitch + block * QUAD_NBYTES, unit.codes);
    *(GPU_GLOBAL uint8_t *)(target->scale + row * target->scale_pitch + block) = (uint8_t)unit.scaling.byte;
    strip->rare[MXQ_ROWWISE] |= (uint32_t)!unit.scaling.is_common << step;
}

GPU_FUNC struct gpu_quad quantize_step_column(struct strip *strip, struct variant variant, const struct gpu_quad *slot,
                                              uint32_t step)
{
    const struct spot spot = {gpu_thread(), 0};
    uint32_t words[MXQ_BLOCK_NELEMS];

    load_column_block(slot, variant.dtype, spot, words);
    const struct unit unit = make_unit_of_block(&strip->work.rule, variant, words);
    strip->column_scales = strip->column_scales >> 8 | (uint64_t)unit.scaling.byte << 56;
    strip->rare[MXQ_COLUMNWISE] |= (uint32_t)!unit.scaling.is_common << step;
    return unit.codes;
}

/* Eight threads have the eight blocks of a column each; each gets one block of eight columns. */
GPU_FUNC void exchange_codes(struct gpu_quad codes[STRIP_STEPS])
{
    GPU_UNROLL
    for (uint32_t mask = 1; mask < STRIP_STEPS; mask *= 2) {
        const bool upper = (gpu_thread() & mask) != 0;
        GPU_UNROLL
        for (uint32_t i = 0; i < STRIP_STEPS * 4; i++) {
            const uint32_t j = i / 4;
            if ((j & mask) != 0)
                continue;
            const uint32_t a = codes[j].word[i % 4];
            const uint32_t b = codes[j | mask].word[i % 4];
            const uint32_t got = gpu_swap(choose(upper, a, b), mask);
            codes[j].word[i % 4] = choose(upper, got, a);
            codes[j | mask].word[i % 4] = choose(upper, b, got);
        }
    }
}

GPU_FUNC void store_strip_codes(const struct work *work, struct gpu_quad codes[STRIP_STEPS])
{
    const struct mxq_target *target = &work->task->target[MXQ_COLUMNWISE];
    const uint32_t i = gpu_thread();
    uint8_t *to = target->data + (work->col0 + i / STRIP_STEPS * STRIP_STEPS) * target->data_pitch +
                  (work->row0 / MXQ_BLOCK_NELEMS + i % STRIP_STEPS) * QUAD_NBYTES;

    exchange_codes(codes);
    GPU_UNROLL
    for (uint32_t j = 0; j < STRIP_STEPS; j++, to += target->data_pitch)
        gpu_store_quad(to, codes[j]);
}

GPU_FUNC void quantize_rare_of_strip(struct strip *strip, struct variant variant, enum mxq_direction direction)
{
    const struct work *work = &strip->work;
    const struct mxq_gpu_task *task = gpu_read_again(work->task);
    const bool rowwise = direction == MXQ_ROWWISE;
    const struct spot spot = find_row_spot();
    const uint64_t row = rowwise ? work->row0 + spot.row : work->col0 + gpu_thread();
    const uint64_t block = rowwise ? work->col0 / MXQ_BLOCK_NELEMS + spot.block : work->row0 / MXQ_BLOCK_NELEMS;
    const uint32_t rare = rowwise ? strip->rare[MXQ_ROWWISE] : strip->rare[MXQ_COLUMNWISE];

    GPU_LOOP
    for (uint32_t step = 0; rare >> step != 0; step++) {
        if ((rare >> step & 1) == 0)
            continue;
        const uint64_t at = rowwise ? row + step * MXQ_BLOCK_NELEMS : row;
        const uint8_t byte = quantize_rare(task, variant, direction, at, rowwise ? block : block + step);
        if (rowwise)
            *(GPU_GLOBAL uint8_t *)(task->target[MXQ_ROWWISE].scale + at * task->target[MXQ_ROWWISE].scale_pitch +
                                    block) = byte;
        else
            strip->column_scales = (strip->column_scales & ~((uint64_t)255 << 8 * step)) | (uint64_t)byte << 8 * step;
    }
}

/* Codes move up in registers, which cannot be indexed. */
GPU_FUNC void quantize_steps(struct strip *strip, struct variant variant, union strip_shared *shared)
{
    const struct work *work = &strip->work;
    struct gpu_quad codes[STRIP_STEPS] = {};
    uint32_t slot = 0;

    GPU_UNROLL
    for (uint32_t i = 0; i < STRIP_SLOTS - 1; i++) {
        stage_step(work, shared->slot[i], i);
        gpu_end_copies();
    }
    GPU_LOOP
    for (uint32_t step = 0; step < STRIP_STEPS; step++) {
        gpu_wait_for_copies_but(STRIP_SLOTS - 2);
        gpu_barrier(); /* The slot of the step before is free, too. */
        if (step + STRIP_SLOTS - 1 < STRIP_STEPS)
            stage_step(work, shared->slot[slot == 0 ? STRIP_SLOTS - 1 : slot - 1], step + STRIP_SLOTS - 1);
        gpu_end_copies();
        if (work->task->target[MXQ_ROWWISE].wanted)
            quantize_step_rows(strip, variant, shared->slot[slot], step);
        GPU_UNROLL
        for (uint32_t j = 0; j < STRIP_STEPS - 1; j++)
            codes[j] = codes[j + 1];
        codes[STRIP_STEPS - 1] = quantize_step_column(strip, variant, shared->slot[slot], step);
        slot = slot == STRIP_SLOTS - 1 ? 0 : slot + 1;
    }
    store_strip_codes(work, codes);
}

GPU_FUNC void quantize_whole_strip(const struct work *work, struct variant variant, union strip_shared *shared)
{
    const struct mxq_target *target = &work->task->target[MXQ_COLUMNWISE];
    struct strip strip = {*work, {0, 0}, 0};

    quantize_steps(&strip, variant, shared);
    gpu_barrier(); /* codes of rare columns have been stored by other threads */
    if ((strip.rare[MXQ_ROWWISE] | strip.rare[MXQ_COLUMNWISE]) != 0) {
        GPU_LOOP
        for (uint32_t d = 0; d < MXQ_NUM_DIRECTIONS; d++)
            quantize_rare_of_strip(&strip, variant, (enum mxq_direction)d);
    }
    *(GPU_GLOBAL uint64_t *)(target->scale + (work->col0 + gpu_thread()) * target->scale_pitch +
                             work->row0 / MXQ_BLOCK_NELEMS) = strip.column_scales;
}

GPU_FUNC bool is_whole_strip(const struct work *work, enum mxq_dtype dtype)
{
    const struct mxq_gpu_task *task = work->task;
    const struct mxq_target *rowwise = &task->target[MXQ_ROWWISE];
    const uint64_t places = (uintptr_t)task->matrix.data | task->matrix.row_stride * element_nbytes(dtype);

    return task->matrix.rows - work->row0 >= GPU_STRIP_ROWS && work->cols == tile_cols(dtype) &&
           (places & (QUAD_NBYTES - 1)) == 0 && is_aligned(&task->target[MXQ_COLUMNWISE]) &&
           (!rowwise->wanted || (((uintptr_t)rowwise->data | rowwise->data_pitch) & (QUAD_NBYTES - 1)) == 0);
}

#endif

GPU_FUNC uint32_t smaller(uint64_t a, uint32_t b)
{
    return a < b ? (uint32_t)a : b;
}

GPU_FUNC struct work find_work(const struct mxq_gpu_task *task, struct shared *shared, enum mxq_dtype dtype,
                               uint64_t row0, uint64_t col0)
{
    struct work work;

    work.task = task;
    work.shared = shared;
    work.row0 = row0;
    work.col0 = col0;
    work.rows = smaller(task->matrix.rows - row0, GPU_TILE_ROWS);
    work.cols = smaller(task->matrix.cols - col0, tile_cols(dtype));
    work.rule.recipe = &task->recipe;
    work.rule.carry = carry_of(task->recipe.scale);
    work.rule.sign_pair = 0x80008000u | (uint32_t)(task->matrix.rows >> 63);
    return work;
}

GPU_FUNC void quantize_tiles(const struct mxq_gpu_task *task, struct shared *shared, struct variant variant)
{
    const uint64_t down = (uint64_t)GPU_LARGEST_GRID_Y * GPU_TILE_ROWS;
    const uint64_t across = (uint64_t)GPU_LARGEST_GRID_X * tile_cols(variant.dtype);

    GPU_LOOP
    for (uint64_t row0 = (uint64_t)gpu_block_y() * GPU_TILE_ROWS; row0 < task->matrix.rows; row0 += down) {
        GPU_LOOP
        for (uint64_t col0 = (uint64_t)gpu_block_x() * tile_cols(variant.dtype); col0 < task->matrix.cols;
             col0 += across) {
            const struct work work = find_work(gpu_read_again(task), shared, variant.dtype, row0, col0);
            quantize_tile(&work, variant);
            gpu_barrier();
        }
    }
}

/* Tiles of strips that are not whole are like any others. */
GPU_FUNC void quantize_strip(const struct mxq_gpu_task *task, union strip_shared *shared, struct variant variant,
                             uint64_t row0, uint64_t col0)
{
#if defined(GPU_HAS_STRIPS)
    const struct work strip = find_work(task, &shared->tile, variant.dtype, row0, col0);

    if (is_whole_strip(&strip, variant.dtype)) {
        quantize_whole_strip(&strip, variant, shared);
        gpu_barrier();
        return;
    }
#endif
    GPU_LOOP
    for (uint64_t row = row0; row < row0 + GPU_STRIP_ROWS && row < task->matrix.rows; row += GPU_TILE_ROWS) {
        const struct work work = find_work(gpu_read_again(task), &shared->tile, variant.dtype, row, col0);
        quantize_tile(&work, variant);
        gpu_barrier();
    }
}

/* Blocks that follow each other are a group of strips from top to bottom, then the next ones on the right. */
GPU_FUNC void quantize_strips(const struct mxq_gpu_task *task, union strip_shared *shared, struct variant variant)
{
    const uint64_t strip = (uint64_t)gpu_block_y() * GPU_STRIP_GROUP + gpu_block_x() % GPU_STRIP_GROUP;
    const uint64_t down = (uint64_t)GPU_LARGEST_GRID_Y * GPU_STRIP_GROUP * GPU_STRIP_ROWS;
    const uint64_t across = (uint64_t)GPU_LARGEST_GRID_X / GPU_STRIP_GROUP * tile_cols(variant.dtype);

    GPU_LOOP
    for (uint64_t row0 = strip * GPU_STRIP_ROWS; row0 < task->matrix.rows; row0 += down) {
        GPU_LOOP
        for (uint64_t col0 = (uint64_t)(gpu_block_x() / GPU_STRIP_GROUP) * tile_cols(variant.dtype);
             col0 < task->matrix.cols; col0 += across)
            quantize_strip(gpu_read_again(task), shared, variant, row0, col0);
    }
}

/* ---- kernels */

/*
 * nblocks of them are on one of NVIDIA's multiprocessors at once; more hide more of the memory's latency, and each gets
 * fewer registers: as few as it can do with.
 */
#define DEFINE_KERNEL(name, nblocks, dtype, hadamard, plain)                                                           \
    GPU_KERNEL(nblocks) void name(const GPU_PARAMETER struct mxq_gpu_task task)                                        \
    {                                                                                                                  \
        gpu_shared struct shared shared;                                                                               \
        const struct variant variant = {dtype, hadamard, plain};                                                       \
        quantize_tiles(&task, &shared, variant);                                                                       \
    }

#define DEFINE_STRIP_KERNEL(name, nblocks, dtype)                                                                      \
    GPU_KERNEL(nblocks) void name(const GPU_PARAMETER struct mxq_gpu_task task)                                        \
    {                                                                                                                  \
        gpu_shared union strip_shared shared;                                                                          \
        const struct variant variant = {dtype, false, true};                                                           \
        quantize_strips(&task, &shared, variant);                                                                      \
    }

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ != 900
#define MANY_BLOCKS 4
#else
#define MANY_BLOCKS 5
#endif

DEFINE_STRIP_KERNEL(mxq_gpu_bf16_strips, 3, MXQ_BF16)
DEFINE_KERNEL(mxq_gpu_bf16, MANY_BLOCKS, MXQ_BF16, false, true)
DEFINE_KERNEL(mxq_gpu_bf16_any, 2, MXQ_BF16, false, false)
DEFINE_KERNEL(mxq_gpu_bf16_hadamard, 2, MXQ_BF16, true, true)
DEFINE_KERNEL(mxq_gpu_bf16_hadamard_any, 2, MXQ_BF16, true, false)
DEFINE_KERNEL(mxq_gpu_f16, 4, MXQ_F16, false, true)
DEFINE_KERNEL(mxq_gpu_f16_any, 2, MXQ_F16, false, false)
DEFINE_KERNEL(mxq_gpu_f16_hadamard, 2, MXQ_F16, true, true)
DEFINE_KERNEL(mxq_gpu_f16_hadamard_any, 2, MXQ_F16, true, false)
DEFINE_KERNEL(mxq_gpu_f32, MANY_BLOCKS, MXQ_F32, false, true)
DEFINE_KERNEL(mxq_gpu_f32_any, 2, MXQ_F32, false, false)
DEFINE_KERNEL(mxq_gpu_f32_hadamard, 2, MXQ_F32, true, true)
DEFINE_KERNEL(mxq_gpu_f32_hadamard_any, 2, MXQ_F32, true, false)
