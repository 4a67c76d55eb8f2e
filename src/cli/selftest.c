/* selftest.c - quantizes a case with the scalar kernel and with what is tested, and compares every byte */
#include "cli/selftest.h"

#include "kernels/layout.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* What lies in front of every output buffer and behind it, and must stay as it is. */
#define GUARD_NBYTES 64
#define GUARD_BYTE 0xc3

/* Elements and bytes that buffers may be away from the address of their memory. */
#define MAX_OFFSET 64

/* Buffers of one side. */
struct outputs {
    uint8_t *memory[MXQ_NUM_BUFFERS];
    uint8_t *bytes[MXQ_NUM_BUFFERS];
};

/* One case, in memory. */
struct trial {
    const struct mxq_selftest_case *c;
    struct mxq_plan plan;
    struct mxq_matrix matrix;
    void *elements;
    struct outputs want;
    struct outputs got;
};

/* ---- subjects */

/* A GPU runtime starts threads, which inherit the mask: signals are for the program's first thread. */
static void hold_signals(sigset_t *before)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, before);
}

static void restore_signals(const sigset_t *before)
{
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

bool mxq_select_selftest_kernel(struct mxq_selftest_subject *subject, const char *name, struct mxq_fault *fault)
{
    const char *asked = name != NULL ? name : getenv("MXFP4Q_KERNEL");
    struct mxq_gpu_error error = {""};
    enum mxq_status status, gpu_status = MXQ_OK;
    unsigned ngpus;
    sigset_t before;

    hold_signals(&before);
    status = mxq_select_kernel(name, &subject->kernel);
    if (status != MXQ_OK && strcmp(asked, "gpu") == 0)
        gpu_status = mxq_count_gpus(&ngpus, &error);
    restore_signals(&before);
    if (gpu_status != MXQ_OK)
        mxq_set_fault(fault, NULL, 0, "%s", error.text);
    else if (status != MXQ_OK)
        mxq_set_fault(fault, NULL, 0, "%s: \"%s\" is no kernel that this machine can run (see mxfp4q devices)",
                      name != NULL ? "--kernel" : "MXFP4Q_KERNEL", asked);
    return status == MXQ_OK;
}

bool mxq_open_selftest_gpu(struct mxq_selftest_subject *subject, unsigned index, struct mxq_fault *fault)
{
    struct mxq_gpu_error error = {""};
    enum mxq_status status;
    sigset_t before;

    subject->kernel = NULL;
    hold_signals(&before);
    status = mxq_open_gpu(&subject->gpu, index, &error);
    restore_signals(&before);
    if (status != MXQ_OK)
        mxq_set_fault(fault, NULL, 0, "%s", error.text);
    return status == MXQ_OK;
}

void mxq_release_selftest_subject(struct mxq_selftest_subject *subject)
{
    sigset_t before;

    hold_signals(&before);
    mxq_release_gpu_slot(&subject->slot);
    mxq_close_gpu(&subject->gpu);
    restore_signals(&before);
}

/* ---- memory */

static uint64_t count_elements(const struct mxq_selftest_case *c)
{
    return (c->rows - 1) * c->row_stride + c->cols;
}

static bool allocate_outputs(const struct mxq_plan *plan, unsigned offset, struct outputs *out)
{
    bool good = true;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        const size_t nbytes = (size_t)plan->extent[b].nbytes + offset + 2 * GUARD_NBYTES;
        out->memory[b] = malloc(nbytes);
        if (out->memory[b] == NULL) {
            good = false;
            continue;
        }
        memset(out->memory[b], GUARD_BYTE, nbytes);
        out->bytes[b] = out->memory[b] + GUARD_NBYTES + offset;
    }
    return good;
}

static bool allocate_trial(struct trial *trial, struct mxq_fault *fault)
{
    const struct mxq_selftest_case *c = trial->c;
    const size_t elem = mxq_dtype_nbytes(c->dtype);
    const enum mxq_status status = mxq_make_plan(&trial->plan, &c->options, c->rows, c->cols);

    if (status != MXQ_OK) {
        mxq_set_fault(fault, NULL, 0, "bug: a plan was refused: %s", mxq_describe_status(status));
        return false;
    }
    trial->elements = malloc((size_t)(count_elements(c) + MAX_OFFSET) * elem);
    if (trial->elements == NULL || !allocate_outputs(&trial->plan, 0, &trial->want) ||
        !allocate_outputs(&trial->plan, c->byte_offset, &trial->got)) {
        mxq_set_fault(fault, NULL, ENOMEM, "selftest");
        return false;
    }
    trial->matrix = (struct mxq_matrix){(uint8_t *)trial->elements + c->element_offset * elem, c->dtype, c->rows,
                                        c->cols, c->row_stride};
    return true;
}

static void free_trial(const struct trial *trial)
{
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        free(trial->want.memory[b]);
        free(trial->got.memory[b]);
    }
    free(trial->elements);
}

/* A byte that is not written must differ, whatever it should be. */
static void poison(const struct trial *trial)
{
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        for (uint64_t i = 0; i < trial->plan.extent[b].nbytes; i++)
            trial->got.bytes[b][i] = (uint8_t)~trial->want.bytes[b][i];
}

/* ---- running */

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static const uint8_t *find_element(const struct mxq_matrix *matrix, uint64_t row, uint64_t col)
{
    return (const uint8_t *)matrix->data + (row * matrix->row_stride + col) * mxq_dtype_nbytes(matrix->dtype);
}

static enum mxq_status run_kernel_panel(const struct mxq_kernel *kernel, const struct trial *trial,
                                        const struct mxq_panel *panel, bool *nonfinite)
{
    const struct mxq_matrix part = {find_element(&trial->matrix, panel->row0, panel->col0), trial->matrix.dtype,
                                    panel->rows, panel->cols, trial->matrix.row_stride};
    struct mxq_destination to[MXQ_NUM_BUFFERS];

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        struct mxq_share share;
        const enum mxq_status status = mxq_locate_share(&trial->plan, panel, b, &share);
        if (status != MXQ_OK)
            return status;
        to[b] = (struct mxq_destination){trial->got.bytes[b] + share.offset, share.pitch_nbytes};
    }
    return mxq_quantize_panel(&trial->plan, kernel, panel, &part, to, nonfinite);
}

/* Elements go into a slot row after row, and out of it come shares, run after run. */
static void fill_slot(const struct mxq_gpu_slot *slot, const struct trial *trial, const struct mxq_panel *panel)
{
    const size_t row_nbytes = (size_t)panel->cols * mxq_dtype_nbytes(trial->matrix.dtype);

    for (uint64_t row = 0; row < panel->rows; row++)
        memcpy((uint8_t *)slot->elements + row * row_nbytes,
               find_element(&trial->matrix, panel->row0 + row, panel->col0), row_nbytes);
}

static void take_shares(const struct mxq_gpu_slot *slot, const struct trial *trial, const struct mxq_panel *panel)
{
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        struct mxq_share share;
        if (slot->out[b] == NULL || mxq_locate_share(&trial->plan, panel, b, &share) != MXQ_OK)
            continue;
        for (uint64_t run = 0; run < share.nruns; run++)
            memcpy(trial->got.bytes[b] + share.offset + run * share.pitch_nbytes, slot->out[b] + run * share.run_nbytes,
                   share.run_nbytes);
    }
}

/* The same bytes in the slot as in the buffers: what does not come back from the GPU differs. */
static enum mxq_status poison_slot(struct mxq_gpu_slot *slot, const struct trial *trial, const struct mxq_panel *panel)
{
    const enum mxq_status status = mxq_place_gpu_panel(slot, &trial->plan, panel, trial->matrix.dtype);

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && status == MXQ_OK; b++) {
        struct mxq_share share;
        if (slot->out[b] == NULL || mxq_locate_share(&trial->plan, panel, b, &share) != MXQ_OK)
            continue;
        for (uint64_t run = 0; run < share.nruns; run++)
            memcpy(slot->out[b] + run * share.run_nbytes, trial->got.bytes[b] + share.offset + run * share.pitch_nbytes,
                   share.run_nbytes);
    }
    return status;
}

static enum mxq_status run_gpu_panel(struct mxq_selftest_subject *subject, const struct trial *trial,
                                     const struct mxq_panel *panel, bool *nonfinite, struct mxq_gpu_error *error)
{
    const enum mxq_dtype dtype = trial->matrix.dtype;
    struct mxq_gpu_slot *slot = &subject->slot;
    enum mxq_status status = mxq_prepare_gpu_slot(slot, &subject->gpu, &trial->plan, panel, dtype, error);

    if (status == MXQ_OK)
        status = poison_slot(slot, trial, panel);
    if (status != MXQ_OK)
        return status;
    fill_slot(slot, trial, panel);
    status = mxq_start_gpu_panel(slot, &trial->plan, panel, dtype, error);
    if (status == MXQ_OK)
        status = mxq_finish_gpu_panel(slot, nonfinite, error);
    if (status == MXQ_OK)
        take_shares(slot, trial, panel);
    return status;
}

static enum mxq_status run_panels(struct mxq_selftest_subject *subject, const struct trial *trial, bool *nonfinite,
                                  struct mxq_gpu_error *error)
{
    const struct mxq_selftest_case *c = trial->c;
    const uint64_t high = c->panel_rows != 0 ? c->panel_rows : c->rows;
    const uint64_t wide = c->panel_cols != 0 ? c->panel_cols : c->cols;
    enum mxq_status status = MXQ_OK;

    *nonfinite = false;
    for (uint64_t row = 0; row < c->rows && status == MXQ_OK; row += high) {
        for (uint64_t col = 0; col < c->cols && status == MXQ_OK; col += wide) {
            const struct mxq_panel panel = {row, col, smaller(high, c->rows - row), smaller(wide, c->cols - col)};
            bool some = false;
            status = subject->kernel != NULL ? run_kernel_panel(subject->kernel, trial, &panel, &some)
                                             : run_gpu_panel(subject, trial, &panel, &some, error);
            *nonfinite |= some;
        }
    }
    return status;
}

static bool run_subject(struct mxq_selftest_subject *subject, const struct trial *trial, bool *nonfinite,
                        struct mxq_fault *fault)
{
    struct mxq_gpu_error error = {""};
    enum mxq_status status;
    sigset_t before;

    hold_signals(&before);
    if (subject->kernel != NULL && trial->c->panel_rows == 0)
        status = mxq_quantize(&trial->plan, subject->kernel, &trial->matrix, trial->got.bytes, nonfinite);
    else
        status = run_panels(subject, trial, nonfinite, &error);
    restore_signals(&before);
    if (status != MXQ_OK)
        mxq_set_fault(fault, NULL, 0, "selftest: case %llu: %s", (unsigned long long)trial->c->number,
                      error.text[0] != '\0' ? error.text : mxq_describe_status(status));
    return status == MXQ_OK;
}

/* ---- comparing */

static void note_beside(struct mxq_selftest_difference *difference, int64_t offset)
{
    if (difference->nbeside++ == 0)
        difference->beside = offset;
}

static void compare_guards(const struct trial *trial, enum mxq_buffer b, struct mxq_selftest_difference *difference)
{
    const uint8_t *bytes = trial->got.bytes[b];
    const int64_t before = GUARD_NBYTES + (int64_t)trial->c->byte_offset;
    const int64_t end = (int64_t)trial->plan.extent[b].nbytes;

    for (int64_t i = -before; i < 0; i++)
        if (bytes[i] != GUARD_BYTE)
            note_beside(difference, i);
    for (int64_t i = end; i < end + GUARD_NBYTES; i++)
        if (bytes[i] != GUARD_BYTE)
            note_beside(difference, i);
}

static void compare_bytes(const struct trial *trial, enum mxq_buffer b, struct mxq_selftest_difference *difference)
{
    const uint8_t *want = trial->want.bytes[b];
    const uint8_t *got = trial->got.bytes[b];
    const uint64_t nbytes = trial->plan.extent[b].nbytes;

    if (memcmp(want, got, (size_t)nbytes) == 0)
        return;
    for (uint64_t i = 0; i < nbytes; i++) {
        if (want[i] == got[i])
            continue;
        if (difference->nbytes++ == 0) {
            difference->offset = i;
            difference->wanted = want[i];
            difference->got = got[i];
        }
    }
}

static void compare(const struct trial *trial, struct mxq_selftest_outcome *outcome)
{
    const struct mxq_selftest_case *c = trial->c;

    outcome->equal = outcome->nonfinite_wanted == outcome->nonfinite_got;
    outcome->nvalues = c->rows * c->cols;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        compare_bytes(trial, b, &outcome->buffer[b]);
        compare_guards(trial, b, &outcome->buffer[b]);
        outcome->equal &= outcome->buffer[b].nbytes == 0 && outcome->buffer[b].nbeside == 0;
        outcome->nbytes += trial->plan.extent[b].nbytes;
    }
    if (c->options.wanted[MXQ_ROWWISE])
        outcome->nblocks += c->rows * mxq_count_blocks(c->cols);
    if (c->options.wanted[MXQ_COLUMNWISE])
        outcome->nblocks += c->cols * mxq_count_blocks(c->rows);
}

static bool run_trial(struct mxq_selftest_subject *subject, struct trial *trial, struct mxq_selftest_outcome *outcome,
                      struct mxq_fault *fault)
{
    const struct mxq_kernel *scalar;
    enum mxq_status status;

    if (!allocate_trial(trial, fault))
        return false;
    mxq_fill_selftest_input(trial->c, (void *)(uintptr_t)trial->matrix.data, count_elements(trial->c));
    status = mxq_select_kernel("scalar", &scalar);
    if (status == MXQ_OK)
        status = mxq_quantize(&trial->plan, scalar, &trial->matrix, trial->want.bytes, &outcome->nonfinite_wanted);
    if (status != MXQ_OK) {
        mxq_set_fault(fault, NULL, 0, "bug: a matrix was refused: %s", mxq_describe_status(status));
        return false;
    }
    poison(trial);
    if (!run_subject(subject, trial, &outcome->nonfinite_got, fault))
        return false;
    compare(trial, outcome);
    return true;
}

bool mxq_run_selftest_case(struct mxq_selftest_subject *subject, const struct mxq_selftest_case *c,
                           struct mxq_selftest_outcome *outcome, struct mxq_fault *fault)
{
    struct trial trial;
    bool good;

    memset(&trial, 0, sizeof(trial));
    memset(outcome, 0, sizeof(*outcome));
    trial.c = c;
    good = run_trial(subject, &trial, outcome, fault);
    free_trial(&trial);
    return good;
}

/* ---- places */

/* What layout.h does, the other way. */
bool mxq_locate_selftest_byte(const struct mxq_plan *plan, enum mxq_buffer buffer, uint64_t offset, uint64_t *row,
                              uint64_t *block)
{
    const bool shuffled = plan->options.layout[buffer] == MXQ_AITER;
    const bool scale = mxq_is_scale(buffer);
    const uint64_t group = !shuffled ? 1 : scale ? MXQ_AITER_SCALE_GROUP : MXQ_AITER_DATA_GROUP;
    const uint64_t pitch = group * plan->extent[buffer].cols;
    const uint64_t rest = offset % pitch;
    const uint64_t rows = mxq_direction_of(buffer) == MXQ_ROWWISE ? plan->rows : plan->cols;
    const uint64_t nelems = mxq_direction_of(buffer) == MXQ_ROWWISE ? plan->cols : plan->rows;

    *row = offset / pitch * group;
    if (!shuffled) {
        *block = scale ? rest : rest / MXQ_UNIT_NBYTES;
    } else if (scale) {
        *block = rest / 256 * 8 + rest % 256 / 64 + rest % 4 / 2 * 4;
        *row += rest % 64 / 4 + rest % 2 * 16;
    } else {
        *block = rest / 256;
        *row += rest % 256 / MXQ_UNIT_NBYTES;
    }
    return *row < rows && *block < mxq_count_blocks(nelems);
}
