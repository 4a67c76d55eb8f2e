/*
 * check_measure.c - sums of distortion: every variant makes the same, and they are those of a plain loop in FP64
 *
 * The plain loop knows only what mxq_dequantize_panel() decodes, and is held to a millionth.
 */
#include "kernels/mxq_block.h"
#include "kernels/mxq_internal.h"
#include "unit/check.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 1;

static uint32_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static unsigned pick(unsigned n)
{
    return next_random() % n;
}

/* Some binades around 1, and now and then a zero, a subnormal, the largest number, or what is not finite. */
static uint32_t pick_value(bool finite)
{
    static const uint32_t rare[] = {0,          0x80000000, 1,          0x807fffff, 0x00800000, 0x7f7fffff,
                                    0xff7f0000, 0x7e000000, 0x7f800000, 0xff800000, 0x7fc00000};
    const uint32_t sign = next_random() & 0x80000000u;

    if (pick(400) == 0)
        return rare[pick(finite ? 5 : 11)];
    return sign | (118 + pick(10)) << 23 | (next_random() & 0x7f0000u);
}

/* ---------------------------------------------------------------------------------------------- runs */

static bool lanes_are_equal(const struct mxq_lanes *a, const struct mxq_lanes *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* Scale bytes that fit the values, or nearly, or not at all. */
static void fill_run(uint32_t *x, uint8_t *units, uint8_t *scales, enum mxq_dtype dtype)
{
    for (unsigned i = 0; i < MXQ_RUN_BLOCKS * MXQ_BLOCK_NELEMS; i++) {
        x[i] = pick_value(false);
        if (dtype != MXQ_F32)
            ((uint16_t *)x)[i] = (uint16_t)(dtype == MXQ_BF16 ? x[i] >> 16 : 0x2c00 + pick(0x1000) + (pick(2) << 15));
    }
    for (unsigned i = 0; i < MXQ_RUN_BLOCKS * MXQ_UNIT_NBYTES; i++)
        units[i] = (uint8_t)next_random();
    for (unsigned i = 0; i < MXQ_RUN_BLOCKS; i++)
        scales[i] = (uint8_t)(pick(8) == 0 ? next_random() : 120 + pick(8));
}

static void check_runs(const struct mxq_kernel *kernel)
{
    static uint32_t x[MXQ_RUN_BLOCKS * MXQ_BLOCK_NELEMS];
    static uint8_t units[MXQ_RUN_BLOCKS * MXQ_UNIT_NBYTES];
    static uint8_t scales[MXQ_RUN_BLOCKS];
    char name[96];

    snprintf(name, sizeof(name), "%s: a run has the scalar sums, to the last bit", mxq_kernel_name(kernel));
    for (unsigned round = 0; round < 600; round++) {
        const enum mxq_dtype dtype = round % MXQ_NUM_DTYPES;
        const struct mxq_measured_run run = {x, dtype, pick(MXQ_RUN_BLOCKS + 1), units, scales};
        struct mxq_lanes want, got;
        uint64_t want_left, got_left;
        memset(&want, 0, sizeof(want));
        want.least_amax = UINT32_MAX;
        got = want;
        fill_run(x, units, scales, dtype);
        want_left = mxq_sum_run_scalar(&run, &want) | mxq_sum_run_scalar(&run, &want);
        got_left = kernel->sum_run(&run, &got) | kernel->sum_run(&run, &got);
        if (want_left != got_left || !lanes_are_equal(&want, &got)) {
            CHECK_FAIL(name, "round %u, %s, %u blocks, left %" PRIx64 " and %" PRIx64, round, mxq_dtype_name(dtype),
                       run.nblocks, want_left, got_left);
            return;
        }
    }
    CHECK_PASS(name);
}

/* ---------------------------------------------------------------------------------------------- panels */

struct test_case {
    struct mxq_plan plan;
    struct mxq_matrix matrix;
    uint8_t *buffer[MXQ_NUM_BUFFERS];
    struct mxq_destination out[MXQ_NUM_BUFFERS];
};

static void pick_case(struct test_case *c)
{
    struct mxq_options options;
    const struct mxq_panel all = {0, 0, 1 + pick(300), 1 + pick(300)};
    const unsigned profile = pick(15);
    uint32_t *x;

    memset(c, 0, sizeof(*c));
    mxq_init_options(&options, mxq_get_profile(profile));
    options.recipe.hadamard_nelems = pick(4) == 0 ? 16 : 0;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        options.layout[b] = pick(MXQ_NUM_LAYOUTS);
    if (options.recipe.hadamard_nelems != 0) /* a linear row may have no room for all results */
        for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
            options.layout[b] = MXQ_AITER;
    mxq_make_plan(&c->plan, &options, all.rows, all.cols);
    x = calloc(all.rows * all.cols, sizeof(*x));
    c->matrix = (struct mxq_matrix){x, pick(2) ? MXQ_BF16 : MXQ_F32, all.rows, all.cols, all.cols};
    for (uint64_t i = 0; i < all.rows * all.cols; i++) {
        const uint32_t value = pick_value(true);
        if (c->matrix.dtype == MXQ_BF16)
            ((uint16_t *)x)[i] = (uint16_t)(value >> 16);
        else
            x[i] = value;
    }
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        struct mxq_share share;
        mxq_locate_share(&c->plan, &all, b, &share);
        c->buffer[b] = malloc(c->plan.extent[b].nbytes + 1);
        c->out[b] = (struct mxq_destination){c->buffer[b], share.pitch_nbytes};
    }
    mxq_quantize_panel(&c->plan, NULL, &all, &c->matrix, c->out, NULL);
}

static void free_case(struct test_case *c)
{
    free((void *)(uintptr_t)c->matrix.data);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        free(c->buffer[b]);
}

static double value_at(const struct test_case *c, uint64_t row, uint64_t col)
{
    const uint64_t i = row * c->matrix.cols + col;

    if (c->matrix.dtype == MXQ_BF16)
        return (double)mxq_f32_value((uint32_t)((const uint16_t *)c->matrix.data)[i] << 16);
    return (double)((const float *)c->matrix.data)[i];
}

/* Without a transform, since that changes what is compared. */
static void sum_plainly(const struct test_case *c, enum mxq_direction direction, struct mxq_distortion *want)
{
    const struct mxq_panel all = {0, 0, c->plan.rows, c->plan.cols};
    float *y = calloc(all.rows * all.cols, sizeof(*y));
    struct mxq_origin in[MXQ_NUM_BUFFERS];

    memset(want, 0, sizeof(*want));
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        in[b] = (struct mxq_origin){c->out[b].bytes, c->out[b].pitch_nbytes};
    mxq_dequantize_panel(&c->plan, &all, in, direction, false, y, all.cols);
    for (uint64_t r = 0; r < all.rows; r++) {
        for (uint64_t k = 0; k < all.cols; k++) {
            const double x = value_at(c, r, k);
            const double d = x - (double)y[r * all.cols + k];
            want->nelems++;
            want->signal += x * x;
            want->noise += d * d;
            want->decoded += (double)y[r * all.cols + k] * (double)y[r * all.cols + k];
            want->product += x * (double)y[r * all.cols + k];
            want->largest = fmax(want->largest, fabs(d));
            want->amax = fmax(want->amax, fabs(x));
        }
    }
    free(y);
}

/* The smallest of the blocks' largest, which the plain loop above has no blocks for. */
static double find_least_amax(const struct test_case *c, enum mxq_direction direction)
{
    const bool rowwise = direction == MXQ_ROWWISE;
    const uint64_t rows = rowwise ? c->plan.rows : c->plan.cols;
    const uint64_t cols = rowwise ? c->plan.cols : c->plan.rows;
    double least = 0;

    for (uint64_t r = 0; r < rows; r++) {
        for (uint64_t first = 0; first < cols; first += MXQ_BLOCK_NELEMS) {
            double amax = 0;
            for (uint64_t k = first; k < cols && k < first + MXQ_BLOCK_NELEMS; k++)
                amax = fmax(amax, fabs(rowwise ? value_at(c, r, k) : value_at(c, k, r)));
            if (amax > 0 && (least == 0 || amax < least))
                least = amax;
        }
    }
    return least;
}

static bool is_near(double a, double b)
{
    return fabs(a - b) <= 1e-6 * fabs(b);
}

static bool case_holds(const struct test_case *c, enum mxq_direction direction)
{
    const struct mxq_panel all = {0, 0, c->plan.rows, c->plan.cols};
    struct mxq_distortion want, got;

    memset(&got, 0, sizeof(got));
    sum_plainly(c, direction, &want);
    if (mxq_measure_panel(&c->plan, &all, &c->matrix, c->out, direction, &got) != MXQ_OK || got.nelems != want.nelems)
        return false;
    if (c->plan.options.recipe.hadamard_nelems != 0)
        return isfinite(got.noise);
    return is_near(got.signal, want.signal) && is_near(got.noise, want.noise) && is_near(got.decoded, want.decoded) &&
           is_near(got.product, want.product) && is_near(got.largest, want.largest) && got.amax == want.amax &&
           got.least_amax == find_least_amax(c, direction);
}

static void check_panels(void)
{
    const char *name = "a panel's sums are those of a plain loop, within a millionth";

    for (unsigned round = 0; round < 150; round++) {
        struct test_case c;
        bool good = true;
        pick_case(&c);
        for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
            good = good && case_holds(&c, d);
        if (!good) {
            CHECK_FAIL(name, "round %u: %" PRIu64 " x %" PRIu64 " %s", round, c.plan.rows, c.plan.cols,
                       mxq_dtype_name(c.matrix.dtype));
            free_case(&c);
            return;
        }
        free_case(&c);
    }
    CHECK_PASS(name);
}

int main(void)
{
    const struct mxq_kernel *kernel;

    state = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; (kernel = mxq_get_kernel(i)) != NULL; i++)
        if (kernel->sum_run != NULL && mxq_kernel_runs_here(kernel))
            check_runs(kernel);
    check_panels();
    return check_finish();
}
