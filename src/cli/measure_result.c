/* measure_result.c - how far a stored result is from the tensor that it was made from */
#include "cli/measure_result.h"

#include "cli/msg.h"
#include "cli/progress.h"
#include "cli/readback.h"
#include "cli/report.h"
#include "cli/tiling.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct session {
    const struct mxq_input_request *input;
    const char *source_path;
    const char *path;
    struct mxq_readback readback;
    struct mxq_source *source;
    const struct mxq_tensor *tensor;
    void *elements;
    struct mxq_distortion distortion[MXQ_NUM_DIRECTIONS];
    struct mxq_histogram histogram[MXQ_NUM_DIRECTIONS];
    struct mxq_fault *fault;
};

/* ---------------------------------------------------------------------------------------------- both sides */

/* All directions must be whole: the report is of decoded values. */
static bool open_result(struct session *s)
{
    struct mxq_readback_request request;

    mxq_init_readback_request(&request);
    request.no_verify = true;
    if (!mxq_open_readback(&request, s->path, &s->readback, s->fault))
        return false;
    if (!s->readback.stored->has_manifest) {
        mxq_set_fault(s->fault, s->path, 0, "not a result with a manifest, which --source is compared with");
        return false;
    }
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        enum mxq_direction direction;
        if (mxq_readback_has(&s->readback, d) &&
            !mxq_choose_direction(&s->readback, (int)d, s->path, &direction, s->fault))
            return false;
    }
    return true;
}

static bool has_wanted_name(const struct session *s)
{
    const char *member = s->readback.stored->manifest.tensor.name;

    return member == NULL || s->tensor->name == NULL || strcmp(member, s->tensor->name) == 0;
}

/* Of an archive: the array that --member names, or that has the name in the manifest, or the only one. */
static bool open_source(struct session *s)
{
    bool choose;
    int more;

    if (!mxq_open_source(&s->input->source, s->source_path, &s->source, s->fault))
        return false;
    choose = mxq_source_has_many(s->source);
    if (choose && s->readback.stored->manifest.tensor.name == NULL) {
        mxq_set_fault(s->fault, s->source_path, 0, "several arrays: say which with --member");
        return false;
    }
    while ((more = mxq_next_tensor(s->source, &s->tensor, s->fault)) == 1)
        if (!choose || has_wanted_name(s))
            return true;
    if (more == 0)
        mxq_set_fault(s->fault, s->source_path, 0, "no array called \"%s\"",
                      choose ? s->readback.stored->manifest.tensor.name : "");
    return false;
}

static bool same_shape(const struct mxq_tensor *a, const struct mxq_tensor *b)
{
    if (a->rank != b->rank)
        return false;
    for (unsigned i = 0; i < a->rank; i++)
        if (a->shape[i] != b->shape[i])
            return false;
    return true;
}

/* The shape decides; how it was flattened is in the manifest, so that --flatten can only contradict. */
static bool check_shape(struct session *s)
{
    const struct mxq_manifest *m = &s->readback.stored->manifest;
    uint64_t rows = m->rows;
    uint64_t cols = m->cols;

    if (!same_shape(s->tensor, &m->tensor)) {
        mxq_set_fault(s->fault, s->source_path, 0, "its shape is not that of the input of \"%s\"", s->path);
        return false;
    }
    if (s->input->flatten == MXQ_FLATTEN_LAST ||
        (mxq_flatten_tensor(s->tensor, s->input->flatten, &rows, &cols) && rows == m->rows && cols == m->cols))
        return true;
    mxq_set_fault(s->fault, s->source_path, 0,
                  "--flatten does not give the %" PRIu64 " x %" PRIu64 " that \"%s\" was made of", m->rows, m->cols,
                  s->path);
    return false;
}

static bool check_checksum(struct session *s)
{
    const struct mxq_manifest *m = &s->readback.stored->manifest;
    struct mxq_fault damage;
    uint32_t crc;

    if (!mxq_verify_stored(s->readback.stored, &damage))
        mxq_print_warning("%s", damage.text);
    if (!mxq_spool_tensor(s->source, NULL, s->fault) || !mxq_checksum_tensor(s->source, &crc, s->fault))
        return false;
    if (crc != m->input_crc)
        mxq_print_warning("\"%s\": not the input of \"%s\": its checksum is %08" PRIx32
                          ", the manifest says %08" PRIx32,
                          s->source_path, s->path, crc, m->input_crc);
    return true;
}

/* ---------------------------------------------------------------------------------------------- panels */

/* mxq_measure_panel() takes what it reads as a place to write to. */
static void make_destinations(const struct mxq_readback *readback, struct mxq_destination out[MXQ_NUM_BUFFERS])
{
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        out[b] = (struct mxq_destination){readback->bytes[b], readback->origin[b].pitch_nbytes};
}

static bool measure_panel(struct session *s, const struct mxq_panel *panel)
{
    const struct mxq_plan *plan = &s->readback.stored->plan;
    const struct mxq_matrix matrix = {s->elements, s->tensor->dtype, panel->rows, panel->cols, panel->cols};
    struct mxq_destination out[MXQ_NUM_BUFFERS];
    enum mxq_status status = MXQ_OK;

    if (!mxq_read_panel(s->source, plan->cols, panel, s->elements, NULL, s->fault))
        return false;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        if (plan->options.wanted[d] && !mxq_read_direction(&s->readback, panel, d, s->fault))
            return false;
    make_destinations(&s->readback, out);
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS && status == MXQ_OK; d++) {
        if (!plan->options.wanted[d])
            continue;
        status = mxq_measure_panel(plan, panel, &matrix, out, d, &s->distortion[d]);
        if (status == MXQ_OK)
            status = mxq_count_panel(plan, panel, s->readback.origin, d, &s->histogram[d]);
    }
    if (status != MXQ_OK)
        mxq_set_fault(s->fault, NULL, 0, "bug: a panel was refused: %s", mxq_describe_status(status));
    return status == MXQ_OK;
}

static bool measure_panels(struct session *s)
{
    const struct mxq_plan *plan = &s->readback.stored->plan;
    struct mxq_tiling tiling;
    struct mxq_panel first;
    bool good = true;

    mxq_tile_squares(&tiling, plan->rows, plan->cols);
    if (tiling.ntiles == 0)
        return true;
    first = mxq_get_tile(&tiling, 0);
    s->elements = malloc(first.rows * first.cols * mxq_dtype_nbytes(s->tensor->dtype));
    if (s->elements == NULL) {
        mxq_set_fault(s->fault, s->path, ENOMEM, "cannot measure");
        return false;
    }
    mxq_start_progress(s->path, s->tensor->nbytes);
    for (uint64_t i = 0; i < tiling.ntiles && good; i++) {
        const struct mxq_panel panel = mxq_get_tile(&tiling, i);
        good = measure_panel(s, &panel);
        mxq_update_progress(s->tensor->nbytes / tiling.ntiles * (i + 1));
    }
    mxq_end_progress();
    return good;
}

static bool measure(struct session *s)
{
    return open_result(s) && open_source(s) && check_shape(s) && check_checksum(s) && measure_panels(s) &&
           mxq_finish_tensor(s->source, s->fault) && mxq_finish_stored(s->readback.stored, s->fault);
}

json_t *mxq_measure_result(const struct mxq_input_request *input, const char *source, const char *path,
                           struct mxq_fault *fault)
{
    struct session s;
    json_t *report = NULL;

    memset(&s, 0, sizeof(s));
    s.input = input;
    s.source_path = source;
    s.path = path;
    s.fault = fault;
    if (measure(&s)) {
        report = mxq_pack_report(&s.readback.stored->plan.options, s.distortion, s.histogram);
        if (report == NULL)
            mxq_set_fault(fault, path, ENOMEM, "cannot report");
    }
    free(s.elements);
    mxq_close_source(s.source);
    mxq_close_readback(&s.readback);
    return report;
}
