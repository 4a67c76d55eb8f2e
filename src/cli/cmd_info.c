/* cmd_info.c - mxfp4q info: what is in an input, or how a result was made */
#include "cli/checkpoint_info.h"
#include "cli/gguf_job.h"
#include "cli/input_options.h"
#include "cli/json.h"
#include "cli/main.h"
#include "cli/measure_result.h"
#include "cli/msg.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "io/checkpoint.h"
#include "io/stored.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OPT_JSON = 256,
    OPT_SOURCE,
};

static const struct mxq_option options[] = {
    {OPT_JSON, "json", NULL, "print JSON"},
    {OPT_SOURCE, "source", "INPUT", "measure the results against this input, which the options below are about"},
    MXQ_INPUT_OPTIONS,
    {'q', "quiet", NULL, "no warnings, no progress"},
    {'h', "help", NULL, "print this help"},
    {0, NULL, NULL, NULL},
};

/* What is being shown, and what has been collected for --json. */
struct session {
    struct mxq_input_request input;
    bool json;
    const char *source; /* the tensor that results are measured against, or NULL */
    json_t *objects;
    struct mxq_fault fault;
};

/* ---------------------------------------------------------------------------------------------- inputs */

/* Sizes of the four buffers in a layout; all 0 when they do not fit. */
static void find_sizes(enum mxq_layout layout, uint64_t rows, uint64_t cols, struct mxq_plan *plan)
{
    struct mxq_options quantize;

    mxq_init_options(&quantize, NULL);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        quantize.layout[b] = layout;
    if (mxq_make_plan(plan, &quantize, rows, cols) != MXQ_OK)
        memset(plan, 0, sizeof(*plan));
}

static void print_shape(const struct mxq_tensor *tensor)
{
    if (tensor->rank == 0)
        printf("scalar");
    for (unsigned i = 0; i < tensor->rank; i++)
        printf("%s%" PRIu64, i ? "x" : "", tensor->shape[i]);
}

/* Names come from anywhere; this prints them without control characters. */
static void print_names(const char *path, const char *member)
{
    struct mxq_fault names;

    mxq_set_fault(&names, NULL, 0, "%s%s%s", path, member ? ":" : "", member ? member : "");
    fputs(names.text, stdout);
}

static void print_tensor(const char *path, const char *format, const struct mxq_tensor *tensor, uint64_t rows,
                         uint64_t cols)
{
    struct mxq_plan plan;

    print_names(path, tensor->name);
    printf(": %s, %s ", format, mxq_dtype_name(tensor->dtype));
    print_shape(tensor);
    printf("%s%s\n  matrix    %" PRIu64 " rows x %" PRIu64 " cols, %" PRIu64 " bytes\n",
           tensor->fortran_order ? ", Fortran order" : "", tensor->swap_bytes ? ", big-endian" : "", rows, cols,
           tensor->nbytes);
    for (unsigned layout = 0; layout < MXQ_NUM_LAYOUTS; layout++) {
        find_sizes(layout, rows, cols, &plan);
        printf("  %-9s", mxq_layout_name(layout));
        for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
            printf(" %s %" PRIu64 "x%" PRIu64 "%s", mxq_buffer_name(b), plan.extent[b].rows, plan.extent[b].cols,
                   b + 1 < MXQ_NUM_BUFFERS ? "," : "\n");
    }
}

static json_t *pack_sizes(enum mxq_layout layout, uint64_t rows, uint64_t cols)
{
    json_t *object = json_object();
    struct mxq_plan plan;

    find_sizes(layout, rows, cols, &plan);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        json_object_set_new(object, mxq_buffer_name(b),
                            json_pack("[I, I]", (json_int_t)plan.extent[b].rows, (json_int_t)plan.extent[b].cols));
    return object;
}

static void add_tensor(struct session *session, const char *path, const char *format, const struct mxq_tensor *tensor,
                       uint64_t rows, uint64_t cols)
{
    json_t *shape = json_array();

    for (unsigned i = 0; i < tensor->rank; i++)
        json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i]));
    json_array_append_new(
        session->objects,
        json_pack("{s:s, s:o, s:o, s:s, s:s, s:o, s:s, s:s, s:I, s:I, s:I, s:o, s:o}", "kind", "mxfp4q input", "file",
                  mxq_pack_name(path), "member", tensor->name != NULL ? mxq_pack_name(tensor->name) : json_null(),
                  "format", format, "dtype", mxq_dtype_name(tensor->dtype), "shape", shape, "order",
                  tensor->fortran_order ? "F" : "C", "byte_order", mxq_tensor_byte_order(tensor), "rows",
                  (json_int_t)rows, "cols", (json_int_t)cols, "nbytes", (json_int_t)tensor->nbytes, "linear",
                  pack_sizes(MXQ_LINEAR, rows, cols), "aiter", pack_sizes(MXQ_AITER, rows, cols)));
}

static bool show_tensor(struct session *session, const char *path, const char *format, const struct mxq_tensor *tensor)
{
    uint64_t rows, cols;

    if (!mxq_flatten_tensor(tensor, session->input.flatten, &rows, &cols)) {
        mxq_set_fault(&session->fault, path, 0, "no axis %" PRId32 " to flatten at: the tensor has rank %u",
                      session->input.flatten, tensor->rank);
        return false;
    }
    if (session->json)
        add_tensor(session, path, format, tensor, rows, cols);
    else
        print_tensor(path, format, tensor, rows, cols);
    return true;
}

static bool show_input(struct session *session, const char *path)
{
    const struct mxq_tensor *tensor;
    struct mxq_source *source;
    int more = -1;

    if (!mxq_open_source(&session->input.source, path, &source, &session->fault))
        return false;
    while ((more = mxq_next_tensor(source, &tensor, &session->fault)) == 1)
        if (!show_tensor(session, path, mxq_source_format(source), tensor))
            break;
    mxq_close_source(source);
    return more == 0;
}

/* ---------------------------------------------------------------------------------------------- results */

static void print_recipe(const struct mxq_manifest *m)
{
    const struct mxq_recipe *r = &m->recipe;

    printf("  recipe    %s: scale %s, ties %s, sign %s, zero byte %u", m->profile, mxq_scale_rule_name(r->scale),
           mxq_ties_name(r->ties), mxq_sign_name(r->sign), r->zero_byte);
    if (r->ties == MXQ_TIES_STOCHASTIC)
        printf(", seed %" PRIu64, r->seed);
    if (r->block != MXQ_BLOCK_1X32)
        printf(", blocks %s", mxq_block_name(r->block));
    if (r->amax_floor != 0)
        printf(", amax floor %08" PRIx32, r->amax_floor);
    if (r->hadamard_nelems != 0) {
        char signs[MXQ_SIGNS_TEXT_NBYTES];
        mxq_format_signs(r->hadamard_signs, signs);
        printf(", Hadamard %u with signs %s", r->hadamard_nelems, signs);
    }
    if (m->has_hadamard_seed)
        printf(" (seed %" PRIu64 ")", m->hadamard_seed);
    printf("\n  made by   mxfp4q %s, %s, kernel %s%s\n", m->tool_version, m->device, m->kernel,
           m->nonfinite ? "; the input has infinities or NaNs" : "");
}

static void print_manifest(const char *path, const struct mxq_manifest *m)
{
    print_names(path, NULL);
    printf(": result, %s%s, of ", mxq_format_name(m->format), m->gzip ? " compressed" : "");
    print_names(m->input_file ? m->input_file : "-", m->tensor.name);
    printf(" (%s ", mxq_dtype_name(m->tensor.dtype));
    print_shape(&m->tensor);
    printf(", crc32 %08" PRIx32 ")\n  matrix    %" PRIu64 " rows x %" PRIu64 " cols\n", m->input_crc, m->rows, m->cols);
    print_recipe(m);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        const struct mxq_manifest_buffer *buffer = &m->buffer[b];
        if (buffer->present)
            printf("  %-17s %s, %" PRIu64 "x%" PRIu64 " (valid %" PRIu64 "x%" PRIu64 "), %" PRIu64
                   " bytes, crc32 %08" PRIx32 "\n",
                   mxq_buffer_name(b), mxq_manifest_layout(buffer), buffer->extent.rows, buffer->extent.cols,
                   buffer->extent.valid_rows, buffer->extent.valid_cols, buffer->extent.nbytes, buffer->crc);
    }
}

/* report may be NULL, and is the caller's. */
static bool add_manifest(struct session *session, const struct mxq_manifest *manifest, json_t *report)
{
    char *text = mxq_format_manifest(manifest);
    json_t *object = text != NULL ? json_loads(text, 0, NULL) : NULL;

    bool good = object != NULL && (report == NULL || json_object_set(object, "report", report) == 0);

    /* Appending takes the object over, also where it fails. */
    good = json_array_append_new(session->objects, object) == 0 && good;
    free(text);
    if (!good)
        mxq_set_fault(&session->fault, NULL, ENOMEM, "cannot describe the result");
    return good;
}

static bool show_manifest(struct session *session, const char *path)
{
    struct mxq_manifest manifest;
    json_t *report = NULL;
    bool good;

    if (!mxq_load_manifest(path, &manifest, &session->fault))
        return false;
    if (session->source != NULL)
        report = mxq_measure_result(&session->input, session->source, path, &session->fault);
    good = session->source == NULL || report != NULL;
    if (good && session->json) {
        good = add_manifest(session, &manifest, report);
    } else if (good) {
        print_manifest(path, &manifest);
        if (report != NULL)
            mxq_print_report(report);
    }
    mxq_free_manifest(&manifest);
    json_decref(report);
    return good;
}

/* ---------------------------------------------------------------------------------------------- files */

/* A manifest by its own name, the prefix or the folder of the result; a checkpoint; everything else is an input. */
static bool show_file(struct session *session, const char *path)
{
    char manifest_path[4096];

    if (session->source == NULL && !session->input.source.raw && mxq_is_checkpoint(path))
        return mxq_show_checkpoint(path, session->json ? session->objects : NULL, &session->fault);
    if (session->source == NULL && !session->input.source.raw && mxq_names_gguf(path) && access(path, F_OK) == 0)
        return mxq_show_gguf(path, session->json ? session->objects : NULL, &session->fault);
    if (mxq_find_manifest(path, manifest_path, sizeof(manifest_path), &session->fault))
        return show_manifest(session, manifest_path);
    if (session->fault.text[0] != '\0')
        return false;
    if (session->source == NULL)
        return show_input(session, path);
    mxq_set_fault(&session->fault, path, 0, "not a result with a manifest, which --source is compared with");
    return false;
}

static bool show_files(struct session *session, int nfiles, char *files[])
{
    bool good = true;

    session->objects = json_array();
    for (int i = 0; i < nfiles && good; i++)
        good = show_file(session, files[i]);
    if (!good)
        mxq_print_error("%s", session->fault.text);
    else if (session->json)
        good = mxq_print_json(session->objects);
    json_decref(session->objects);
    return good;
}

static int run(int argc, char *argv[])
{
    struct session session;
    const char *value;
    int opt;

    memset(&session, 0, sizeof(session));
    mxq_init_input_request(&session.input);
    while ((opt = mxq_next_option(&mxq_cmd_info, argc, argv, &value)) != -1) {
        if (opt == 'h') {
            mxq_print_help(&mxq_cmd_info);
            return MXQ_EXIT_OK;
        }
        if (opt == OPT_JSON)
            session.json = true;
        else if (opt == OPT_SOURCE)
            session.source = value;
        else if (opt == 'q') {
            mxq_set_verbosity(MXQ_QUIET);
            mxq_set_progress_mode(MXQ_PROGRESS_NEVER);
        } else if (!mxq_is_input_option(opt) || !mxq_parse_input_option(&session.input, opt, value))
            return MXQ_EXIT_TROUBLE;
    }
    if (optind == argc) {
        mxq_print_error("info: no file (see mxfp4q info --help)");
        return MXQ_EXIT_TROUBLE;
    }
    if (!mxq_check_input_request("info", &session.input) || !show_files(&session, argc - optind, argv + optind))
        return MXQ_EXIT_TROUBLE;
    return MXQ_EXIT_OK;
}

const struct mxq_command mxq_cmd_info = {
    .name = "info",
    .summary = "describe inputs, checkpoints, and results by their manifest or prefix; measure results",
    .synopsis = "[OPTION]... FILE...",
    .options = options,
    .run = run,
};
