/* amd_cost.c - what AMD's kernels cost, and the most that they may */
#include "gcnrun/amd_cost.h"

/* Whole tiles of every type, so that a larger matrix costs the same for a value. */
#define ROWS 128u
#define COLS 512u
#define NLANES 64.0

/* ---- measuring */

double amd_wanted_nbytes(const struct amd_case *c)
{
    double wanted = (double)(c->rows * c->cols * mxq_dtype_nbytes(c->dtype));
    struct mxq_plan plan;

    if (mxq_make_plan(&plan, &c->options, c->rows, c->cols) != MXQ_OK)
        return 0;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        wanted += (double)(plan.extent[b].valid_rows * plan.extent[b].valid_cols);
    return wanted;
}

double amd_moved_nbytes(const struct gcn_counters *n)
{
    double moved = 0;

    for (size_t i = 0; i < n->nstreams; i++)
        moved += 64.0 * (double)(n->stream[i].read.group_nlines + n->stream[i].written.group_nlines);
    return moved;
}

const char *amd_cost_name(enum amd_cost cost)
{
    static const char *const names[AMD_NUM_COSTS] = {
        "vector instructions for 64 values", "bytes for each that must move",
        "rowwise cycles of LDS conflicts for 64 values", "columnwise cycles of LDS conflicts for 64 values"};

    return names[cost];
}

static struct amd_case make_case(enum mxq_dtype dtype, bool hadamard)
{
    struct amd_case c = {.rows = ROWS, .cols = COLS, .stride = COLS, .dtype = dtype, .profile = "cost"};

    mxq_init_options(&c.options, NULL);
    c.options.recipe.hadamard_nelems = hadamard ? 16 : 0;
    return c;
}

bool amd_measure(struct gcn *gcn, enum mxq_dtype dtype, bool hadamard, double costs[AMD_NUM_COSTS], char *text,
                 size_t nbytes)
{
    const struct gcn_counters *n = gcn_counters(gcn);
    struct amd_case c = make_case(dtype, hadamard);

    gcn_reset_counters(gcn);
    if (!amd_run_case(gcn, &c, text, nbytes))
        return false;
    costs[AMD_VALU] = (double)n->ninstructions[GCN_VALU] * NLANES / (2.0 * ROWS * COLS);
    costs[AMD_BYTES] = amd_moved_nbytes(n) / amd_wanted_nbytes(&c);
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        c.options.wanted[MXQ_ROWWISE] = d == MXQ_ROWWISE;
        c.options.wanted[MXQ_COLUMNWISE] = d == MXQ_COLUMNWISE;
        gcn_reset_counters(gcn);
        if (!amd_run_case(gcn, &c, text, nbytes))
            return false;
        costs[AMD_ROWWISE_CONFLICTS + d] =
            (double)(n->lds_read.nconflicts + n->lds_written.nconflicts) * NLANES / ((double)ROWS * COLS);
    }
    return true;
}

/* ---- limits */

/* Vector instructions as they were when this was written, without and with a transform. */
static const double valu[GCN_NUM_ARCHS][MXQ_NUM_DTYPES][2] = {
    [GCN_GFX90A] = {[MXQ_BF16] = {8.43, 18.74}, [MXQ_F16] = {7.59, 18.46}, [MXQ_F32] = {14.91, 19.36}},
    [GCN_GFX942] = {[MXQ_BF16] = {8.20, 18.56}, [MXQ_F16] = {7.35, 18.25}, [MXQ_F32] = {14.69, 18.38}},
    [GCN_GFX950] = {[MXQ_BF16] = {4.39, 10.30}, [MXQ_F16] = {4.39, 9.98}, [MXQ_F32] = {5.43, 10.50}},
};

/* gfx950 reads 64 banks at once, which 16 bytes of each lane, and columns of 32-bit values, do not quite spread over. */
static double find_conflicts(enum gcn_arch arch, enum mxq_dtype dtype, enum mxq_direction direction)
{
    if (arch != GCN_GFX950)
        return 0;
    if (dtype == MXQ_F32)
        return 1;
    return direction == MXQ_ROWWISE ? 0.5 : 0;
}

double amd_cost_limit(enum gcn_arch arch, enum mxq_dtype dtype, bool hadamard, enum amd_cost cost)
{
    switch (cost) {
    case AMD_VALU:
        return 1.03 * valu[arch][dtype][hadamard];
    case AMD_BYTES:
        return 1.15;
    default:
        return find_conflicts(arch, dtype, cost == AMD_ROWWISE_CONFLICTS ? MXQ_ROWWISE : MXQ_COLUMNWISE);
    }
}
