/* amd_cases.c - quantizes a matrix with AMD's kernels, executed here, and with `scalar` */
#include "gcnrun/amd_cases.h"
#include "gcnrun/toolchain.h"
#include "kernels/gpu_launch.h"
#include "kernels/mxq_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NELEMS(array) (sizeof(array) / sizeof((array)[0]))
#define OUTPUT_POISON 0xa5

/* ---- random numbers */

struct source {
    uint64_t state;
};

static uint64_t next_random(struct source *s)
{
    uint64_t z = s->state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static unsigned pick(struct source *s, unsigned n)
{
    return (unsigned)(next_random(s) % n);
}

/* ---- values */

static uint32_t pick_edge(struct source *s)
{
    static const uint32_t edges[] = {0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007fffff, 0x00800000,
                                     0x00c00000, 0x7f7fffff, 0xff7fffff, 0x7f600000, 0x7f5fffff, 0x3f800000,
                                     0xc0c00000, 0x00010000, 0x38800000, 0x33800000, 0x477fe000, 0x7f800000,
                                     0xff800000, 0x7fc00000, 0xffffffff};

    return edges[pick(s, NELEMS(edges))];
}

static uint32_t pick_bits(struct source *s, enum amd_pattern pattern, uint32_t base)
{
    /* 0.25 0.75 1.25 1.75 2.5 3.5 5 6 */
    static const uint32_t midpoints[] = {0x3e800000, 0x3f400000, 0x3fa00000, 0x3fe00000,
                                         0x40200000, 0x40600000, 0x40a00000, 0x40c00000};
    const uint32_t sign = (uint32_t)pick(s, 2) << 31;
    const uint32_t fraction = (uint32_t)next_random(s) & 0x7fffff;

    switch (pattern) {
    case AMD_BITS:
        return (uint32_t)next_random(s);
    case AMD_TIES:
        return sign | ((midpoints[pick(s, NELEMS(midpoints))] + (base << 23)) + pick(s, 3) - 1);
    case AMD_EDGES:
        return pick(s, 6) == 0 ? pick_edge(s) : sign | (base + 100 + pick(s, 40)) << 23 | fraction;
    case AMD_ZEROS:
        return sign | (pick(s, 200) == 0 ? 1u << pick(s, 31) : 0);
    case AMD_AMAX:
        return sign | ((pick(s, 255) << 23 | (2 + pick(s, 2)) << 21) + pick(s, 3) - 1);
    default:
        return sign | (118 + pick(s, 10)) << 23 | fraction;
    }
}

/* FP16 by its own bits where FP32's do not fit: subnormals, infinities and NaNs. */
static uint16_t narrow(uint32_t bits, enum mxq_dtype dtype)
{
    const uint32_t exponent = bits >> 23 & 255;
    const uint32_t sign = bits >> 16 & 0x8000;

    if (dtype == MXQ_BF16)
        return (uint16_t)(bits >> 16);
    if (exponent > 142)
        return (uint16_t)(sign | 0x7c00 | (exponent == 255 ? bits >> 13 & 0x3ff : 0));
    if (exponent < 113)
        return (uint16_t)(sign | (bits >> 13 & 0x3ff));
    return (uint16_t)(sign | (exponent - 112) << 10 | (bits >> 13 & 0x3ff));
}

static void fill_input(uint8_t *bytes, const struct amd_case *c, uint64_t nelems)
{
    struct source s = {c->seed};
    const uint32_t base = pick(&s, 2) ? 0 : pick(&s, 100);
    const size_t size = mxq_dtype_nbytes(c->dtype);

    for (uint64_t i = 0; i < nelems; i++) {
        const uint32_t bits = pick_bits(&s, c->pattern, base);
        const uint16_t half = narrow(bits, c->dtype);
        memcpy(bytes + i * size, c->dtype == MXQ_F32 ? (const void *)&bits : (const void *)&half, size);
    }
}

/* ---- cases */

static uint64_t pick_size(struct source *s)
{
    static const uint16_t sizes[] = {1,  2,   3,   16,  17,  31,  32,  33,  47,  63,  64,  65,
                                     96, 101, 127, 128, 130, 160, 251, 255, 256, 257, 320, 512};

    return pick(s, 3) == 0 ? 1 + pick(s, 400) : sizes[pick(s, NELEMS(sizes))];
}

static void pick_switches(struct source *s, struct mxq_recipe *recipe)
{
    recipe->scale = pick(s, MXQ_SCALE_RCEIL + 1);
    recipe->ties = pick(s, MXQ_TIES_ZERO + 1);
    recipe->sign = pick(s, MXQ_NUM_SIGNS);
    recipe->zero_byte = (uint8_t)next_random(s);
    recipe->underflow = pick(s, MXQ_NUM_UNDERFLOWS);
    recipe->sixth = pick(s, MXQ_NUM_SIXTHS);
    recipe->huge_byte = (uint8_t)(253 + pick(s, 3));
    recipe->infinity_byte = (uint8_t)(253 + pick(s, 3));
    recipe->nan_poisons = pick(s, 2);
    recipe->nan_fills = pick(s, 2);
    recipe->nan_code = (uint8_t)pick(s, 16);
    recipe->nan_keeps_sign = pick(s, 2);
}

static void pick_options(struct source *s, struct amd_case *c)
{
    unsigned nprofiles = 0;
    uint32_t signs;
    const struct mxq_profile *profile;

    while (mxq_get_profile(nprofiles) != NULL)
        nprofiles++;
    do
        profile = mxq_get_profile(pick(s, nprofiles));
    while (!mxq_recipe_is_common(&profile->recipe));
    mxq_init_options(&c->options, profile);
    c->profile = profile->name;
    if (pick(s, 2)) {
        pick_switches(s, &c->options.recipe);
        c->profile = "random switches";
    }
    c->options.recipe.hadamard_nelems = pick(s, 4) == 0 ? 16 : 0;
    signs = pick(s, 2) ? (uint32_t)next_random(s) : 0;
    for (unsigned i = 0; i < MXQ_HADAMARD_NWORDS; i++)
        c->options.recipe.hadamard_signs[i] = signs;
    c->options.pad_fill = (uint8_t)next_random(s);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        c->options.layout[b] = pick(s, MXQ_NUM_LAYOUTS);
    if (pick(s, 4) == 0)
        c->options.wanted[pick(s, 2)] = false;
}

struct amd_case amd_pick_case(uint64_t seed, uint64_t max_nelems)
{
    struct source s = {seed * 0x100000001b3u};
    struct amd_case c;

    memset(&c, 0, sizeof(c));
    c.seed = seed;
    pick_options(&s, &c);
    do {
        c.rows = pick_size(&s);
        c.cols = pick_size(&s);
    } while (c.rows * c.cols > max_nelems);
    c.stride = c.cols + (pick(&s, 2) ? pick(&s, 70) : 0);
    c.shift = pick(&s, 3) == 0 ? pick(&s, 8) : 0;
    c.dtype = pick(&s, MXQ_NUM_DTYPES);
    c.pattern = pick(&s, AMD_NUM_PATTERNS);
    return c;
}

void amd_describe_case(const struct amd_case *c, char *text, size_t nbytes)
{
    const struct mxq_recipe *r = &c->options.recipe;

    snprintf(
        text, nbytes,
        "seed %" PRIu64 ": %" PRIu64 "x%" PRIu64 " stride %" PRIu64 " shift %" PRIu64
        " %s pattern %d, %s (scale %s ties %s sign %s zero %u underflow %s hadamard %u/%08x), wanted %d%d, layouts "
        "%d%d%d%d",
        c->seed, c->rows, c->cols, c->stride, c->shift, mxq_dtype_name(c->dtype), (int)c->pattern, c->profile,
        mxq_scale_rule_name(r->scale), mxq_ties_name(r->ties), mxq_sign_name(r->sign), r->zero_byte,
        mxq_underflow_name(r->underflow), r->hadamard_nelems, (unsigned)r->hadamard_signs[0], c->options.wanted[0],
        c->options.wanted[1], (int)c->options.layout[0], (int)c->options.layout[1], (int)c->options.layout[2],
        (int)c->options.layout[3]);
}

/* ---- one run */

struct outputs {
    uint8_t *bytes[MXQ_NUM_BUFFERS];
    uint32_t nonfinite;
};

struct work {
    struct mxq_plan plan;
    struct mxq_panel panel;
    struct mxq_matrix matrix;
    uint8_t *input; /* with what is before and behind the matrix */
    size_t input_nbytes;
    struct outputs want;
    struct outputs got;
};

static void *allocate(size_t nbytes)
{
    /* Aligned as device memory is. */
    void *bytes = aligned_alloc(256, (nbytes + 256) / 256 * 256);

    if (bytes == NULL)
        abort();
    return bytes;
}

static void allocate_outputs(const struct mxq_plan *plan, struct outputs *outputs)
{
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        outputs->bytes[b] = allocate(plan->extent[b].nbytes);
        memset(outputs->bytes[b], OUTPUT_POISON, plan->extent[b].nbytes);
    }
    outputs->nonfinite = 0;
}

static void free_work(struct work *work)
{
    free(work->input);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        free(work->want.bytes[b]);
        free(work->got.bytes[b]);
    }
}

static void prepare_work(const struct amd_case *c, struct work *work)
{
    const size_t size = mxq_dtype_nbytes(c->dtype);
    const uint64_t nelems = (c->rows - 1) * c->stride + c->cols;

    memset(work, 0, sizeof(*work));
    if (mxq_make_plan(&work->plan, &c->options, c->rows, c->cols) != MXQ_OK)
        abort();
    work->input_nbytes = (c->shift + nelems) * size;
    work->input = allocate(work->input_nbytes);
    fill_input(work->input + c->shift * size, c, nelems);
    work->matrix = (struct mxq_matrix){work->input + c->shift * size, c->dtype, c->rows, c->cols, c->stride};
    work->panel = (struct mxq_panel){0, 0, c->rows, c->cols};
    allocate_outputs(&work->plan, &work->want);
    allocate_outputs(&work->plan, &work->got);
}

static void quantize_by_scalar(struct work *work)
{
    bool nonfinite = false;

    if (mxq_quantize(&work->plan, &mxq_kernel_scalar, &work->matrix, work->want.bytes, &nonfinite) != MXQ_OK)
        abort();
    work->want.nonfinite = nonfinite;
}

/* What the host does before a launch. */
static void prepare_task(struct work *work, struct mxq_gpu_task *gpu_task)
{
    struct mxq_destination destination[MXQ_NUM_BUFFERS];
    struct mxq_task task;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        struct mxq_share share;
        if (mxq_locate_share(&work->plan, &work->panel, b, &share) != MXQ_OK)
            abort();
        destination[b] = (struct mxq_destination){work->got.bytes[b], share.pitch_nbytes};
    }
    if (mxq_prepare_task(&work->plan, &work->panel, &work->matrix, destination, &task) != MXQ_OK)
        abort();
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        mxq_write_padding(&work->plan, &work->panel, b, &destination[b]);
    memset(gpu_task, 0, sizeof(*gpu_task));
    gpu_task->recipe = work->plan.options.recipe;
    gpu_task->matrix = work->matrix;
    memcpy(gpu_task->target, task.target, sizeof(task.target));
    gpu_task->nonfinite = &work->got.nonfinite;
}

/* The kernel may read nothing of the input but the matrix: not what is before it, not what is behind it. */
static void add_buffers(struct gcn *gcn, const struct amd_case *c, struct work *work)
{
    const size_t before = c->shift * mxq_dtype_nbytes(c->dtype);

    gcn_forget_buffers(gcn);
    gcn_add_buffer(gcn, "input", work->input + before, work->input_nbytes - before, false);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        gcn_add_buffer(gcn, mxq_buffer_name(b), work->got.bytes[b], work->plan.extent[b].nbytes, true);
    gcn_add_buffer(gcn, "nonfinite", &work->got.nonfinite, sizeof(work->got.nonfinite), true);
}

static bool compare(const struct work *work, char *text, size_t nbytes)
{
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        for (uint64_t i = 0; i < work->plan.extent[b].nbytes; i++) {
            if (work->want.bytes[b][i] == work->got.bytes[b][i])
                continue;
            snprintf(text, nbytes, "%s byte %" PRIu64 " of %" PRIu64 ": want %02x, got %02x", mxq_buffer_name(b), i,
                     work->plan.extent[b].nbytes, work->want.bytes[b][i], work->got.bytes[b][i]);
            return false;
        }
    }
    if (work->want.nonfinite == work->got.nonfinite)
        return true;
    snprintf(text, nbytes, "infinities and NaNs: want %u, got %u", work->want.nonfinite, work->got.nonfinite);
    return false;
}

static void find_launch(const struct amd_case *c, const struct mxq_gpu_task *task, struct mxq_gpu_launch *launch)
{
    const struct mxq_gpu_traits traits = {304};

    (void)c;
    mxq_find_gpu_launch(task, &traits, launch);
}

const char *amd_kernel_name(const struct amd_case *c)
{
    struct mxq_gpu_launch launch;
    struct mxq_gpu_task task;

    memset(&task, 0, sizeof(task));
    task.recipe = c->options.recipe;
    task.matrix = (struct mxq_matrix){NULL, c->dtype, c->rows, c->cols, c->stride};
    find_launch(c, &task, &launch);
    return launch.symbol;
}

bool amd_run_case(struct gcn *gcn, const struct amd_case *c, char *text, size_t nbytes)
{
    struct work work;
    struct mxq_gpu_task task;
    struct mxq_gpu_launch shape;
    bool good;

    prepare_work(c, &work);
    quantize_by_scalar(&work);
    prepare_task(&work, &task);
    add_buffers(gcn, c, &work);
    find_launch(c, &task, &shape);
    const struct gcn_launch launch = {shape.symbol,
                                      {shape.grid[0], shape.grid[1], shape.grid[2]},
                                      {shape.block_threads, 1, 1},
                                      shape.shared_nbytes,
                                      &task,
                                      sizeof(task),
                                      c->seed};
    good = gcn_run(gcn, &launch);
    if (!good)
        snprintf(text, nbytes, "%s", gcn_error(gcn));
    good = good && compare(&work, text, nbytes);
    gcn_forget_buffers(gcn);
    free_work(&work);
    return good;
}

struct gcn *amd_compile(enum gcn_arch arch, const char *flags, const char *directory, char *error, size_t error_nbytes)
{
    char object[400];
    char all_flags[700];
    struct gcn *gcn;
    char reason[500];

    snprintf(object, sizeof(object), "%s/mxq-%s.hsaco", directory, gcn_arch_name(arch));
    snprintf(all_flags, sizeof(all_flags), "-ffp-contract=off %s -Isrc", flags);
    if (!toolchain_compile(arch, "src/kernels/hip_kernels.hip", all_flags, object, error, error_nbytes))
        return NULL;
    gcn = gcn_open(object, toolchain_objdump(), reason, sizeof(reason));
    if (gcn == NULL)
        snprintf(error, error_nbytes, "%s", reason);
    return gcn;
}
