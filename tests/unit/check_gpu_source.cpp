/*
 * check_gpu_source - the source of the GPU kernels, compiled for the host and held against the scalar definition
 *
 * Every thread of a block is a fiber, which runs until a barrier; one block runs at a time. Compiled with GPU_ON_HOST as
 * 32 the kernels compute as they do on NVIDIA's chips, and as 64 as on AMD's without conversions to FP4. This checks their
 * logic, also under sanitizers; what device compilers make of it has tests of its own.
 */
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <vector>

extern "C" {
#include "kernels/gpu_launch.h"
#include "kernels/gpu_shape.h"
#include "kernels/mxq_internal.h"
#include "unit/check.h"
}

/* ---------------------------------------------------------------------------------------------- a GPU of fibers */

namespace
{

struct fiber {
    ucontext_t context;
    std::vector<char> stack;
    bool done;
};

constexpr size_t stack_nbytes = 256 << 10;

std::vector<fiber> fibers(GPU_BLOCK_THREADS);
ucontext_t scheduler;
uint32_t current_thread, current_block[2];
void (*kernel_function)(const struct mxq_gpu_task);
const struct mxq_gpu_task *kernel_task;

void enter_fiber()
{
    kernel_function(*kernel_task);
    fibers[current_thread].done = true;
    swapcontext(&fibers[current_thread].context, &scheduler);
}

void start_fiber(struct fiber *f)
{
    f->stack.resize(stack_nbytes);
    f->done = false;
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack.data();
    f->context.uc_stack.ss_size = stack_nbytes;
    f->context.uc_link = &scheduler;
    makecontext(&f->context, enter_fiber, 0);
}

/* False: some threads ended while others wait at a barrier. */
bool run_block()
{
    size_t ndone = 0;

    for (struct fiber &f : fibers)
        start_fiber(&f);
    while (ndone == 0) {
        for (current_thread = 0; current_thread < fibers.size(); current_thread++)
            swapcontext(&scheduler, &fibers[current_thread].context);
        for (const struct fiber &f : fibers)
            ndone += f.done;
    }
    return ndone == fibers.size();
}

} // namespace

#define GPU_KERNEL(blocks) static
#define GPU_PARAMETER
#define gpu_shared static

static inline uint32_t gpu_thread(void)
{
    return current_thread;
}

static inline uint32_t gpu_block_x(void)
{
    return current_block[0];
}

static inline uint32_t gpu_block_y(void)
{
    return current_block[1];
}

static inline void gpu_barrier(void)
{
    swapcontext(&fibers[current_thread].context, &scheduler);
}

static uint32_t swapped[GPU_BLOCK_THREADS];

static inline uint32_t gpu_swap(uint32_t word, uint32_t mask)
{
    uint32_t got;

    swapped[current_thread] = word;
    gpu_barrier();
    got = swapped[current_thread ^ mask];
    gpu_barrier();
    return got;
}

static inline void gpu_end_copies(void)
{
}

static inline void gpu_wait_for_copies_but(uint32_t nbatches)
{
    (void)nbatches;
}

#include "kernels/hip_kernels.hip"

namespace
{

struct named_kernel {
    const char *symbol;
    void (*function)(const struct mxq_gpu_task);
};

#define NAMED(symbol)                                                                                                  \
    {                                                                                                                  \
#symbol, symbol                                                                                                \
    }

const struct named_kernel kernels[] = {
    NAMED(mxq_gpu_bf16),        NAMED(mxq_gpu_bf16_any), NAMED(mxq_gpu_bf16_hadamard), NAMED(mxq_gpu_bf16_hadamard_any),
    NAMED(mxq_gpu_f16),         NAMED(mxq_gpu_f16_any),  NAMED(mxq_gpu_f16_hadamard),  NAMED(mxq_gpu_f16_hadamard_any),
    NAMED(mxq_gpu_f32),         NAMED(mxq_gpu_f32_any),  NAMED(mxq_gpu_f32_hadamard),  NAMED(mxq_gpu_f32_hadamard_any),
    NAMED(mxq_gpu_bf16_strips),
};

uint32_t nprocessors; /* 0: unknown, for which there are no strips */

/* False: there is no such kernel, or it hangs at a barrier. */
bool launch(const struct mxq_gpu_task *task)
{
    const struct mxq_gpu_traits traits = {nprocessors};
    struct mxq_gpu_launch launch;

    mxq_find_gpu_launch(task, &traits, &launch);
    kernel_function = nullptr;
    for (const struct named_kernel &kernel : kernels)
        if (strcmp(kernel.symbol, launch.symbol) == 0)
            kernel_function = kernel.function;
    kernel_task = task;
    for (current_block[1] = 0; kernel_function != nullptr && current_block[1] < launch.grid[1]; current_block[1]++)
        for (current_block[0] = 0; current_block[0] < launch.grid[0]; current_block[0]++)
            if (!run_block())
                return false;
    return kernel_function != nullptr;
}

/* ---------------------------------------------------------------------------------------------- inputs */

uint64_t random_state;

uint64_t next_random()
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint32_t pick(uint32_t n)
{
    return (uint32_t)(next_random() % n);
}

enum pattern {
    PATTERN_BITS,   /* any bits at all */
    PATTERN_NORMAL, /* a few binades, as weights have */
    PATTERN_TIES,   /* midpoints between codes, and their neighbours */
    PATTERN_EDGES,  /* zeros, subnormals, largest values, infinities, NaNs, among ordinary ones */
    PATTERN_ZEROS,  /* only +0 and -0, but for a few */
    PATTERN_AMAX,   /* 1.5, 1.75 times powers of two, and their neighbours */
    PATTERN_FLAWS,  /* as weights have, but for a few of the edges */
    NUM_PATTERNS
};

uint32_t pick_f32(uint32_t pattern)
{
    static const uint32_t edges[] = {0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x00000004, 0x007fffff,
                                     0x00800000, 0x01000000, 0x01400001, 0x7f7fffff, 0xff7fffff, 0x7f600000,
                                     0x7f5fffff, 0x3f800000, 0x40c00000, 0x00010000, 0x7f800000, 0xff800000,
                                     0x7fc00000, 0xffc00000, 0x7f800001, 0xffffffff};
    static const float midpoints[] = {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f, 6.0f, 4.0f};
    const uint32_t sign = pick(2) << 31;
    const uint32_t fraction = (uint32_t)next_random() & MXQ_F32_FRACTION;

    switch (pattern) {
    case PATTERN_BITS:
        return (uint32_t)next_random();
    case PATTERN_TIES:
        return sign | (mxq_f32_bits(midpoints[pick(9)]) + pick(3) - 1);
    case PATTERN_EDGES:
        return pick(4) == 0 ? edges[pick(22)] : sign | pick(255) << 23 | fraction;
    case PATTERN_ZEROS:
        return sign | (pick(200) == 0 ? 1u << pick(31) : 0);
    case PATTERN_AMAX:
        return sign | ((pick(255) << 23 | (2 + pick(2)) << 21) + pick(3) - 1);
    case PATTERN_FLAWS:
        if (pick(2000) == 0)
            return edges[pick(22)];
        return sign | (118 + pick(10)) << 23 | fraction;
    default:
        return sign | (118 + pick(10)) << 23 | fraction;
    }
}

/* The same value or a neighbour in the smaller type; what does not fit becomes whatever its bits say. */
uint16_t narrow(uint32_t bits, enum mxq_dtype dtype)
{
    const uint32_t exponent = bits >> 23 & 255;
    const uint32_t sign = bits >> 16 & 0x8000;

    if (dtype == MXQ_BF16)
        return (uint16_t)(bits >> 16);
    if (exponent < 113 || exponent > 142)
        return (uint16_t)(sign | (exponent > 142 ? 0x7c00u : 0u) | (bits >> 13 & 0x3ff));
    return (uint16_t)(sign | (exponent - 112) << 10 | (bits >> 13 & 0x3ff));
}

void fill_input(uint8_t *bytes, size_t nelems, enum mxq_dtype dtype, uint32_t pattern)
{
    for (size_t i = 0; i < nelems; i++) {
        const uint32_t x = pick_f32(pattern);
        const uint16_t half = narrow(x, dtype);
        if (dtype == MXQ_F32)
            memcpy(bytes + 4 * i, &x, 4);
        else
            memcpy(bytes + 2 * i, &half, 2);
    }
}

/* ---------------------------------------------------------------------------------------------- one case */

struct test_case {
    struct mxq_options options;
    struct mxq_matrix matrix; /* without data */
    uint32_t pattern;
    uint32_t skipped; /* elements before the matrix, so that it is not aligned */
    uint32_t shift;   /* bytes before the results */
    uint64_t seed;
};

constexpr size_t guard_nbytes = 64;

struct outputs {
    std::vector<uint8_t> bytes[MXQ_NUM_BUFFERS]; /* with guards on both sides */
    bool nonfinite;
};

void poison(const struct mxq_plan &plan, struct outputs *out)
{
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        out->bytes[b].assign(plan.extent[b].nbytes + 2 * guard_nbytes, 0xa5);
    out->nonfinite = false;
}

bool run_scalar(const struct mxq_plan &plan, const struct mxq_matrix &matrix, struct outputs *out)
{
    uint8_t *bytes[MXQ_NUM_BUFFERS];
    const struct mxq_kernel *scalar;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        bytes[b] = out->bytes[b].data() + guard_nbytes;
    return mxq_select_kernel("scalar", &scalar) == MXQ_OK &&
           mxq_quantize(&plan, scalar, &matrix, bytes, &out->nonfinite) == MXQ_OK;
}

bool run_gpu(const struct mxq_plan &plan, const struct mxq_matrix &matrix, const struct mxq_recipe &recipe,
             uint32_t shift, struct outputs *out)
{
    const struct mxq_panel panel = {0, 0, matrix.rows, matrix.cols};
    struct mxq_destination destination[MXQ_NUM_BUFFERS];
    struct mxq_gpu_task task = {};
    struct mxq_task host_task = {};
    uint32_t nonfinite = 0;
    std::vector<uint64_t> memory[MXQ_NUM_BUFFERS]; /* aligned, but for the shift */

    for (unsigned i = 0; i < MXQ_NUM_BUFFERS; i++) {
        const enum mxq_buffer b = (enum mxq_buffer)i;
        struct mxq_share share;
        memory[i].resize((out->bytes[i].size() + 48) / 8);
        uint8_t *base = (uint8_t *)memory[i].data();
        base += (16 - ((uintptr_t)base & 15)) % 16 + shift;
        memcpy(base, out->bytes[i].data(), out->bytes[i].size());
        if (mxq_locate_share(&plan, &panel, b, &share) != MXQ_OK)
            return false;
        destination[i].bytes = base + guard_nbytes;
        destination[i].pitch_nbytes = share.pitch_nbytes;
        mxq_write_padding(&plan, &panel, b, &destination[i]);
    }
    if (mxq_prepare_task(&plan, &panel, &matrix, destination, &host_task) != MXQ_OK)
        return false;
    task.recipe = recipe;
    task.matrix = matrix;
    memcpy(task.target, host_task.target, sizeof(task.target));
    task.nonfinite = &nonfinite;
    if (!launch(&task))
        return false;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        memcpy(out->bytes[b].data(), destination[b].bytes - guard_nbytes, out->bytes[b].size());
    out->nonfinite = nonfinite != 0;
    return true;
}

/* Says what differs; the kernel may be given another recipe than the definition. */
bool find_difference(const struct test_case &c, const struct mxq_recipe &recipe, char *text, size_t text_nbytes)
{
    struct mxq_matrix matrix = c.matrix;
    struct mxq_plan plan;
    struct outputs want, got;
    const size_t size = mxq_dtype_nbytes(matrix.dtype);
    const size_t nelems = (size_t)((matrix.rows - 1) * matrix.row_stride + matrix.cols);
    std::vector<uint64_t> input((c.skipped + nelems) * size / 8 + 3);
    uint8_t *data = (uint8_t *)input.data();

    data += (16 - ((uintptr_t)data & 15)) % 16 + c.skipped * size;
    fill_input(data, nelems, matrix.dtype, c.pattern);
    matrix.data = data;
    snprintf(text, text_nbytes, "cannot be run");
    if (mxq_make_plan(&plan, &c.options, matrix.rows, matrix.cols) != MXQ_OK)
        return true;
    poison(plan, &want);
    poison(plan, &got);
    if (!run_scalar(plan, matrix, &want) || !run_gpu(plan, matrix, recipe, c.shift, &got))
        return true;
    if (want.nonfinite != got.nonfinite) {
        snprintf(text, text_nbytes, "nonfinite: want %d, got %d", want.nonfinite, got.nonfinite);
        return true;
    }
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        for (size_t i = 0; i < want.bytes[b].size(); i++) {
            if (want.bytes[b][i] == got.bytes[b][i])
                continue;
            snprintf(text, text_nbytes, "buffer %u byte %lld: want %02x, got %02x", b,
                     (long long)i - (long long)guard_nbytes, want.bytes[b][i], got.bytes[b][i]);
            return true;
        }
    }
    return false;
}

/* ---------------------------------------------------------------------------------------------- many cases */

uint64_t pick_size()
{
    static const uint16_t sizes[] = {1,  2,  3,  15,  16,  17,  31,  32,  33,  47, 63,
                                     64, 65, 96, 101, 127, 128, 160, 251, 256, 257};

    return pick(3) == 0 ? 1 + pick(300) : sizes[pick(21)];
}

void pick_switches(struct mxq_recipe *recipe)
{
    recipe->scale = (enum mxq_scale_rule)pick(MXQ_SCALE_RCEIL + 1);
    recipe->ties = (enum mxq_ties)pick(MXQ_TIES_ZERO + 1);
    recipe->sign = (enum mxq_sign)pick(MXQ_NUM_SIGNS);
    recipe->zero_byte = (uint8_t)next_random();
    recipe->underflow = (enum mxq_underflow)pick(MXQ_NUM_UNDERFLOWS);
    recipe->sixth = (enum mxq_sixth)pick(MXQ_NUM_SIXTHS);
    recipe->huge_byte = (uint8_t)(253 + pick(3));
    recipe->infinity_byte = (uint8_t)(253 + pick(3));
    recipe->nan_poisons = pick(2);
    recipe->nan_fills = pick(2);
    recipe->nan_code = (uint8_t)pick(16);
    recipe->nan_keeps_sign = pick(2);
}

struct test_case pick_case(enum mxq_dtype dtype, bool hadamard, const struct mxq_profile *profile, uint64_t seed)
{
    struct test_case c = {};

    random_state = seed;
    c.seed = seed;
    mxq_init_options(&c.options, profile);
    if (pick(4) == 0)
        pick_switches(&c.options.recipe);
    c.options.recipe.hadamard_nelems = hadamard ? 16 : 0;
    const uint32_t signs = hadamard && pick(2) ? (uint32_t)next_random() : 0;
    for (unsigned i = 0; i < MXQ_HADAMARD_NWORDS; i++)
        c.options.recipe.hadamard_signs[i] = signs;
    c.options.pad_fill = (uint8_t)next_random();
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        c.options.layout[b] = (enum mxq_layout)pick(MXQ_NUM_LAYOUTS);
    if (pick(3) == 0)
        c.options.wanted[pick(2)] = false;
    c.matrix.rows = pick_size();
    c.matrix.cols = pick_size();
    c.matrix.row_stride = c.matrix.cols + (pick(2) ? pick(70) : 0);
    if (pick(3) == 0)
        c.matrix.row_stride = (c.matrix.row_stride + 7) / 8 * 8;
    c.matrix.dtype = dtype;
    c.pattern = pick(NUM_PATTERNS);
    c.skipped = pick(2) ? 0 : pick(9);
    c.shift = pick(3) ? 0 : pick(16);
    return c;
}

bool report(const char *name, const struct test_case &c, const char *difference)
{
    const struct mxq_recipe &r = c.options.recipe;

    check_fail(
        name,
        "seed %" PRIu64 ": %" PRIu64 "x%" PRIu64 " stride %" PRIu64 " pattern %u, scale %d ties %d sign %d, wanted "
        "%d%d, layouts %d%d%d%d, skipped %u shift %u: %s",
        c.seed, c.matrix.rows, c.matrix.cols, c.matrix.row_stride, c.pattern, (int)r.scale, (int)r.ties, (int)r.sign,
        c.options.wanted[0], c.options.wanted[1], (int)c.options.layout[0], (int)c.options.layout[1],
        (int)c.options.layout[2], (int)c.options.layout[3], c.skipped, c.shift, difference);
    return false;
}

bool check_random(const char *name, enum mxq_dtype dtype, bool hadamard)
{
    char difference[200];
    const struct mxq_profile *profile;
    uint64_t seed = 1000u * (unsigned)dtype + 500u * hadamard;

    for (unsigned round = 0; round < 12; round++) {
        for (size_t i = 0; (profile = mxq_get_profile(i)) != nullptr; i++) {
            if (!mxq_recipe_is_common(&profile->recipe))
                continue;
            const struct test_case c = pick_case(dtype, hadamard, profile, ++seed);
            if (find_difference(c, c.options.recipe, difference, sizeof(difference)))
                return report(name, c, difference);
        }
    }
    check_pass(name);
    return true;
}

/* Of a GPU with one processor, for which a matrix of this size is large: whole strips, and others around them. */
bool check_strips(const char *name, enum mxq_dtype dtype)
{
    static const uint64_t sizes[][2] = {{1024, 1056}, {1280, 992}};
    char difference[200];

    nprocessors = 1;
    for (uint32_t i = 0; i < 2 * NUM_PATTERNS; i++) {
        struct test_case c = pick_case(dtype, false, nullptr, 7000 + 100 * (unsigned)dtype + i);
        mxq_init_options(&c.options, nullptr);
        for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
            c.options.layout[b] = MXQ_LINEAR;
        c.options.wanted[MXQ_ROWWISE] = i % 4 != 0;
        c.matrix.rows = sizes[i % 2][0];
        c.matrix.cols = c.matrix.row_stride = sizes[i % 2][1];
        c.pattern = i / 2;
        c.skipped = i % 7 == 6;
        c.shift = i % 7 == 5;
        if (find_difference(c, c.options.recipe, difference, sizeof(difference))) {
            nprocessors = 0;
            return report(name, c, difference);
        }
    }
    nprocessors = 0;
    check_pass(name);
    return true;
}

/* Every tail in both directions, so that linear rows end in every byte of a unit. */
bool check_tails(const char *name)
{
    char difference[200];

    for (uint32_t tail = 1; tail < 32; tail++) {
        struct test_case c = pick_case((enum mxq_dtype)(tail % 3), false, nullptr, tail);
        c.matrix.rows = 32 + tail;
        c.matrix.cols = 64 + tail;
        c.matrix.row_stride = c.matrix.cols;
        c.options.wanted[0] = c.options.wanted[1] = true;
        if (find_difference(c, c.options.recipe, difference, sizeof(difference)))
            return report(name, c, difference);
    }
    check_pass(name);
    return true;
}

/* Full tiles with neighbours: aligned, and not. */
bool check_tiles(const char *name)
{
    char difference[200];

    for (uint32_t i = 0; i < 6; i++) {
        struct test_case c = pick_case((enum mxq_dtype)(i % 3), false, nullptr, 77 + i);
        c.matrix.rows = i < 3 ? 128 : 131;
        c.matrix.cols = i < 3 ? 512 : 523;
        c.matrix.row_stride = c.matrix.cols;
        c.skipped = i < 3 ? 0 : 1;
        c.shift = 0;
        c.pattern = PATTERN_FLAWS;
        if (find_difference(c, c.options.recipe, difference, sizeof(difference)))
            return report(name, c, difference);
    }
    check_pass(name);
    return true;
}

/* A kernel that breaks ties another way than the definition is found out. */
bool check_fault(const char *name)
{
    char difference[200];
    struct test_case c = pick_case(MXQ_BF16, false, nullptr, 5);
    struct mxq_recipe recipe = c.options.recipe;

    c.pattern = PATTERN_TIES;
    c.options.recipe.ties = MXQ_TIES_EVEN;
    recipe.ties = MXQ_TIES_AWAY;
    return CHECK(find_difference(c, recipe, difference, sizeof(difference)), name);
}

} // namespace

int main()
{
    check_random("BF16 has the bytes of the definition", MXQ_BF16, false);
    check_random("BF16 after a Hadamard transform has the bytes of the definition", MXQ_BF16, true);
    check_random("FP16 has the bytes of the definition", MXQ_F16, false);
    check_random("FP16 after a Hadamard transform has the bytes of the definition", MXQ_F16, true);
    check_random("FP32 has the bytes of the definition", MXQ_F32, false);
    check_random("FP32 after a Hadamard transform has the bytes of the definition", MXQ_F32, true);
    check_tails("tails of 1 to 31 values in both directions have the bytes of the definition");
    check_tiles("full tiles, aligned or not, have the bytes of the definition");
    check_strips("strips have the bytes of the definition", MXQ_BF16);
    check_fault("a kernel that breaks ties another way is found out");
    return check_finish();
}
