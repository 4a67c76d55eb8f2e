/*
 * check_gpu - what mxq_gpu.h promises, on a runtime that is found through LD_LIBRARY_PATH: a real one, or fake_gpu.c
 *
 * What comes out is held against the scalar definition; buffers are poisoned before.
 */
#include "kernels/mxq_gpu.h"
#include "kernels/mxq_internal.h"
#include "unit/check.h"

#include <stdlib.h>
#include <string.h>

#define NSLOTS 5
#define ROWS 700
#define COLS 601

static struct mxq_gpu gpu;
static struct mxq_gpu_error error;
static struct mxq_plan plan;
static uint16_t elements[ROWS * COLS];
static uint8_t *want[MXQ_NUM_BUFFERS];
static uint8_t *got[MXQ_NUM_BUFFERS];

static const struct mxq_matrix whole = {elements, MXQ_BF16, ROWS, COLS, COLS};

static void prepare(void)
{
    struct mxq_options options;
    bool nonfinite;

    mxq_init_options(&options, mxq_find_profile("aiter"));
    options.layout[MXQ_COLUMNWISE_DATA] = MXQ_LINEAR;
    options.pad_fill = 77;
    mxq_make_plan(&plan, &options, ROWS, COLS);
    for (size_t i = 0; i < ROWS * COLS; i++)
        elements[i] = (uint16_t)(0x3c00 + i * 40503u % 0x700);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        want[b] = malloc(plan.extent[b].nbytes);
        got[b] = malloc(plan.extent[b].nbytes);
        memset(got[b], 0x3c, plan.extent[b].nbytes);
    }
    mxq_quantize(&plan, &mxq_kernel_scalar, &whole, want, &nonfinite);
}

static bool is_right(void)
{
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        if (memcmp(want[b], got[b], plan.extent[b].nbytes) != 0)
            return false;
    return true;
}

static struct mxq_panel find_panel(unsigned index)
{
    struct mxq_panel panel = {index / 3 * 256, index % 3 * 256, 256, 256};

    if (panel.row0 + panel.rows > ROWS)
        panel.rows = ROWS - panel.row0;
    if (panel.col0 + panel.cols > COLS)
        panel.cols = COLS - panel.col0;
    return panel;
}

static void load_panel(const struct mxq_gpu_slot *slot, const struct mxq_panel *panel)
{
    for (uint64_t row = 0; row < panel->rows; row++)
        memcpy((uint16_t *)slot->elements + row * panel->cols, elements + (panel->row0 + row) * COLS + panel->col0,
               panel->cols * sizeof(*elements));
}

static void put_panel(const struct mxq_gpu_slot *slot, const struct mxq_panel *panel)
{
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        struct mxq_share share;
        mxq_locate_share(&plan, panel, b, &share);
        for (uint64_t run = 0; run < share.nruns; run++)
            memcpy(got[b] + share.offset + run * share.pitch_nbytes, slot->out[b] + run * share.run_nbytes,
                   share.run_nbytes);
    }
}

/* Panels are started before others are finished, in an order that no queue has. */
static bool run_panels(struct mxq_gpu_slot *slots)
{
    const struct mxq_panel largest = {0, 0, 256, 256};
    struct mxq_panel panel[NSLOTS];
    bool nonfinite;

    for (unsigned first = 0; first < 9; first += NSLOTS) {
        const unsigned n = 9 - first < NSLOTS ? 9 - first : NSLOTS;
        for (unsigned i = 0; i < n; i++) {
            panel[i] = find_panel(first + i);
            if (mxq_prepare_gpu_slot(&slots[i], &gpu, &plan, &largest, MXQ_BF16, &error) != MXQ_OK)
                return false;
            load_panel(&slots[i], &panel[i]);
            if (mxq_start_gpu_panel(&slots[i], &plan, &panel[i], MXQ_BF16, &error) != MXQ_OK)
                return false;
        }
        for (unsigned i = n; i-- > 0;) {
            nonfinite = true;
            if (mxq_finish_gpu_panel(&slots[i], &nonfinite, &error) != MXQ_OK || nonfinite)
                return false;
            put_panel(&slots[i], &panel[i]);
        }
    }
    return true;
}

static void check_slots(void)
{
    struct mxq_gpu_slot slots[NSLOTS];
    bool good;

    memset(slots, 0, sizeof(slots));
    good = run_panels(slots) && is_right();
    for (unsigned i = 0; i < NSLOTS; i++)
        mxq_release_gpu_slot(&slots[i]);
    if (good)
        CHECK_PASS("panels in several slots at once make the bytes of the definition");
    else
        CHECK_FAIL("panels in several slots at once make the bytes of the definition", "%s", error.text);
}

static void check_nonfinite(void)
{
    const struct mxq_panel panel = {0, 0, 256, 256};
    struct mxq_gpu_slot slot = {0};
    bool nonfinite[2] = {false, true};
    bool good = mxq_prepare_gpu_slot(&slot, &gpu, &plan, &panel, MXQ_BF16, &error) == MXQ_OK;

    for (unsigned i = 0; i < 2 && good; i++) {
        load_panel(&slot, &panel);
        if (i == 0)
            ((uint16_t *)slot.elements)[256 * 255 + 200] = 0xff80;
        good = mxq_start_gpu_panel(&slot, &plan, &panel, MXQ_BF16, &error) == MXQ_OK &&
               mxq_finish_gpu_panel(&slot, &nonfinite[i], &error) == MXQ_OK;
    }
    CHECK(good && nonfinite[0] && !nonfinite[1], "one infinity is told, and the next panel has none");
    mxq_release_gpu_slot(&slot);
}

static void check_refusals(void)
{
    const struct mxq_panel small = {0, 0, 256, 256};
    const struct mxq_panel large = {0, 0, 512, 601};
    const struct mxq_panel outside = {512, 0, 256, 256};
    const struct mxq_panel empty = {0, 0, 0, 601};
    const struct mxq_panel huge = {0, 0, (uint64_t)1 << 33, (uint64_t)1 << 29};
    struct mxq_plan huge_plan;
    struct mxq_gpu_slot slot = {0};
    bool good = mxq_prepare_gpu_slot(&slot, &gpu, &plan, &small, MXQ_BF16, &error) == MXQ_OK;

    good = good && mxq_start_gpu_panel(&slot, &plan, &large, MXQ_BF16, &error) == MXQ_ERR_ARGUMENT;
    good = good && mxq_start_gpu_panel(&slot, &plan, &small, MXQ_F32, &error) == MXQ_ERR_ARGUMENT;
    good = good && mxq_start_gpu_panel(&slot, &plan, &outside, MXQ_BF16, &error) == MXQ_ERR_PANEL;
    good = good && mxq_start_gpu_panel(&slot, &plan, &empty, MXQ_BF16, &error) == MXQ_ERR_ARGUMENT;
    good = good && mxq_place_gpu_panel(&slot, &plan, &large, MXQ_BF16) == MXQ_ERR_ARGUMENT;
    good = good && mxq_place_gpu_panel(&slot, &plan, &small, MXQ_BF16) == MXQ_OK && slot.out[MXQ_ROWWISE_DATA] != NULL;
    good = good && mxq_make_plan(&huge_plan, &plan.options, huge.rows, huge.cols) == MXQ_OK;
    good = good && mxq_gpu_slot_nbytes(&huge_plan, &huge, MXQ_F32) == UINT64_MAX;
    good = good && mxq_gpu_slot_nbytes(&plan, &outside, MXQ_BF16) == UINT64_MAX;
    CHECK(good, "panels that a slot is too small for, and panels that are none, are refused");
    mxq_release_gpu_slot(&slot);
}

static void check_growth(void)
{
    const struct mxq_panel small = {0, 0, 256, 256};
    const struct mxq_panel large = {0, 0, 700, 601};
    struct mxq_gpu_slot slot = {0};
    const void *before;
    bool good = mxq_prepare_gpu_slot(&slot, &gpu, &plan, &large, MXQ_BF16, &error) == MXQ_OK;

    before = slot.elements;
    good = good && mxq_prepare_gpu_slot(&slot, &gpu, &plan, &small, MXQ_BF16, &error) == MXQ_OK;
    good = good && slot.elements == before;
    good = good && mxq_prepare_gpu_slot(&slot, &gpu, &plan, &large, MXQ_F32, &error) == MXQ_OK;
    good = good && slot.capacity == mxq_gpu_slot_nbytes(&plan, &large, MXQ_F32);
    CHECK(good, "a slot keeps memory that is large enough, and grows when it is not");
    mxq_release_gpu_slot(&slot);
}

static void check_timing(void)
{
    struct mxq_gpu_sample samples[3] = {{-1, -1}, {-1, -1}, {-1, -1}};
    const struct mxq_matrix other = {elements, MXQ_BF16, ROWS, COLS - 1, COLS};
    uint64_t copy_nbytes = 0, total = sizeof(elements);
    bool good = mxq_time_gpu(&gpu, &plan, &whole, 3, 2, samples, &copy_nbytes, &error) == MXQ_OK;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        total += plan.extent[b].nbytes;
    for (unsigned i = 0; i < 3; i++)
        good = good && samples[i].kernel_ms > 0 && samples[i].copy_ms > 0;
    CHECK(good && copy_nbytes == total, "kernel and copy are timed, and the bytes are those of input and results");
    CHECK(mxq_time_gpu(&gpu, &plan, &other, 1, 1, samples, &copy_nbytes, &error) == MXQ_ERR_ARGUMENT &&
              mxq_time_gpu(&gpu, &plan, &whole, 1, 0, samples, &copy_nbytes, &error) == MXQ_ERR_ARGUMENT,
          "a matrix that is not the plan's is not timed, and neither is nothing");
}

static void check_absent(void)
{
    struct mxq_gpu none;
    struct mxq_gpu_slot zero = {0};

    CHECK(mxq_open_gpu(&none, 4711, &error) == MXQ_ERR_DEVICE && strncmp(error.text, "no GPU 4711: there ", 19) == 0,
          "a GPU that is not there cannot be opened");
    mxq_close_gpu(&none);
    mxq_release_gpu_slot(&zero);
}

int main(void)
{
    unsigned ngpus;

    if (mxq_count_gpus(&ngpus, &error) != MXQ_OK || mxq_open_gpu(&gpu, 0, &error) != MXQ_OK) {
        CHECK_SKIP("the interface for GPUs", error.text);
        return check_finish();
    }
    prepare();
    check_slots();
    check_nonfinite();
    check_refusals();
    check_growth();
    check_timing();
    check_absent();
    mxq_close_gpu(&gpu);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        free(want[b]);
        free(got[b]);
    }
    return check_finish();
}
