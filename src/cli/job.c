/* job.c - quantizing tensors into files that appear together */
#include "cli/job.h"

#include "cli/msg.h"
#include "cli/pipeline.h"
#include "cli/position.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "cli/signals.h"
#include "io/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct job {
    const struct mxq_settings *settings;
    char *const *inputs;
    unsigned ninputs;
    struct mxq_outset *outset;
    bool into_folder;                  /* OUT is a folder, and the tensors' names are used */
    struct mxq_collection *collection; /* OUT is an archive, which is a folder in a file; NULL: it is not */
    bool is_made;                      /* inputs are files of the outset, too */
    struct mxq_gpu_team *gpus;
    bool wants_reports;
    json_t *reports;
    struct mxq_fault fault;
};

/* One tensor on its way. */
struct item {
    struct job *job;
    const char *path; /* the input, as it was given */
    struct mxq_source *source;
    const struct mxq_tensor *tensor;
    char *prefix;    /* what output names begin with */
    size_t manifest; /* in a collection, the number of the member */
    struct mxq_plan plan;
    struct mxq_result *result;
    struct mxq_pipeline pipeline;
};

/* ---------------------------------------------------------------------------------------------- names */

bool mxq_names_archive(const char *output)
{
    static const char suffix[] = ".npz";
    const char *slash = strrchr(output, '/');
    const size_t length = strlen(slash != NULL ? slash + 1 : output);

    return length > strlen(suffix) && strcmp(output + strlen(output) - strlen(suffix), suffix) == 0;
}

static bool cut_suffix(char *name, const char *suffix)
{
    const size_t length = strlen(name);
    const size_t suffix_length = strlen(suffix);

    if (length <= suffix_length || strcmp(name + length - suffix_length, suffix) != 0)
        return false;
    name[length - suffix_length] = '\0';
    return true;
}

/* The name of a tensor in a folder of results: its own, or its file's. It stays in the folder. False: it is too long. */
static bool name_tensor(const struct item *item, char *name, size_t nbytes)
{
    static const char *const suffixes[] = {".npy", ".npz", ".raw", ".bin"};
    const char *slash = strrchr(item->path, '/');
    const char *own = item->tensor->name;

    if (own == NULL)
        own = strcmp(item->path, "-") == 0 ? "stdin" : slash != NULL ? slash + 1 : item->path;
    if (snprintf(name, nbytes, "%s", own) >= (int)nbytes)
        return false;
    if (item->tensor->name == NULL) {
        cut_suffix(name, ".gz");
        for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
            if (cut_suffix(name, suffixes[i]))
                break;
    }
    for (char *c = name; *c != '\0'; c++)
        if (*c == '/' || (c == name && *c == '.'))
            *c = '_';
    return true;
}

static bool make_prefix(struct item *item)
{
    const char *output = item->job->settings->output;
    const bool slash = output[strlen(output) - 1] == '/';
    char name[1024] = "";
    size_t nbytes;

    if (item->job->into_folder && !name_tensor(item, name, sizeof(name))) {
        mxq_set_fault(&item->job->fault, item->path, ENAMETOOLONG, "the name of an array cannot name files");
        return false;
    }
    nbytes = strlen(output) + 1 + strlen(name) + 1;
    item->prefix = malloc(nbytes);
    if (item->prefix == NULL) {
        mxq_set_fault(&item->job->fault, NULL, ENOMEM, "cannot quantize");
        return false;
    }
    snprintf(item->prefix, nbytes, "%s%s%s", output, item->job->into_folder && !slash ? "/" : "", name);
    return true;
}

/* ---------------------------------------------------------------------------------------------- checks */

static bool buffer_is_shuffled(const struct item *item, enum mxq_buffer buffer)
{
    return item->plan.extent[buffer].nbytes != 0 && item->plan.options.layout[buffer] == MXQ_AITER;
}

/* Combinations that are legal and yet probably not what somebody wants. */
static void warn_of_odd_shapes(const struct item *item)
{
    const struct mxq_plan *plan = &item->plan;
    const uint64_t length[MXQ_NUM_DIRECTIONS] = {plan->cols, plan->rows};
    const unsigned npoints = plan->options.recipe.hadamard_nelems;

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        const enum mxq_buffer data = d == MXQ_ROWWISE ? MXQ_ROWWISE_DATA : MXQ_COLUMNWISE_DATA;
        if (plan->extent[data].nbytes == 0)
            continue;
        if (buffer_is_shuffled(item, data) && plan->extent[data].cols % 32 != 0)
            mxq_print_warning("\"%s\": %s: an odd number of blocks along %" PRIu64
                              " values; AITER's shuffle_weight wants a multiple of 64",
                              item->path, mxq_buffer_name(data), length[d]);
        if (npoints != 0 && length[d] % npoints != 0 && !buffer_is_shuffled(item, data))
            mxq_print_warning("\"%s\": %s: the Hadamard transform of the last %" PRIu64
                              " values of a row has more results than a linear row has room for",
                              item->path, mxq_buffer_name(data), length[d] % npoints);
    }
}

static bool check_tails(struct item *item)
{
    const struct mxq_plan *plan = &item->plan;
    const uint64_t length[MXQ_NUM_DIRECTIONS] = {plan->cols, plan->rows};

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS && item->job->settings->tail_error; d++) {
        if (!plan->options.wanted[d] || length[d] % MXQ_BLOCK_NELEMS == 0)
            continue;
        mxq_set_fault(&item->job->fault, item->path, 0, "%s blocks run along %" PRIu64 " values, not a multiple of 32",
                      mxq_direction_name(d), length[d]);
        return false;
    }
    return true;
}

/* A result must not replace what it is made from, nor another input. */
static bool check_not_input(struct job *job, const struct mxq_source *source, const char *path)
{
    uint64_t device, inode;
    struct stat st;

    if (mxq_source_is_file(source, &device, &inode) && mxq_path_is_file(path, device, inode)) {
        mxq_set_fault(&job->fault, path, 0, "is the input itself");
        return false;
    }
    for (unsigned i = 0; i < job->ninputs; i++) {
        if (strcmp(job->inputs[i], "-") == 0 || stat(job->inputs[i], &st) != 0 ||
            !mxq_path_is_file(path, (uint64_t)st.st_dev, (uint64_t)st.st_ino))
            continue;
        mxq_set_fault(&job->fault, path, 0, "is an input too");
        return false;
    }
    return true;
}

static bool check_outputs(struct item *item, const char *manifest_path)
{
    if (item->job->settings->to_stdout || item->job->collection != NULL)
        return true;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        const struct mxq_result_buffer *buffer = mxq_get_result_buffer(item->result, b);
        if (mxq_result_wants(item->result, b) && buffer->path != NULL &&
            !check_not_input(item->job, item->source, buffer->path))
            return false;
    }
    return check_not_input(item->job, item->source, manifest_path);
}

static bool check_finite(struct item *item)
{
    const struct mxq_pipeline *p = &item->pipeline;
    char position[1024];

    if (!p->stop_at_nonfinite || !p->nonfinite)
        return true;
    mxq_describe_position(item->tensor->rank, item->tensor->shape,
                          p->nonfinite_row * item->plan.cols + p->nonfinite_col, position, sizeof(position));
    mxq_set_fault(&item->job->fault, item->path, 0,
                  "%s%s%s%" PRIu64 " value%s infinite or NaN, the first at %s (--nonfinite profile quantizes them)",
                  item->tensor->name ? "array \"" : "", item->tensor->name ? item->tensor->name : "",
                  item->tensor->name ? "\": " : "", p->nnonfinite, p->nnonfinite == 1 ? " is" : "s are", position);
    return false;
}

/* ---------------------------------------------------------------------------------------------- the manifest */

static const char *last_component(const char *path)
{
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;

    return slash != NULL ? slash + 1 : path;
}

static void fill_manifest(const struct item *item, struct mxq_manifest *m)
{
    const struct mxq_settings *settings = item->job->settings;

    memset(m, 0, sizeof(*m));
    m->tool_version = MXQ_VERSION;
    m->input_file = item->job->is_made ? last_component(item->path) : item->path;
    m->input_format = mxq_source_format(item->source);
    m->tensor = *item->tensor;
    m->input_crc = item->pipeline.crc;
    m->rows = item->plan.rows;
    m->cols = item->plan.cols;
    m->profile = settings->profile->name;
    m->recipe = item->plan.options.recipe;
    m->has_hadamard_seed = settings->has_hadamard_seed;
    m->hadamard_seed = settings->hadamard_seed;
    m->nonfinite_allowed = settings->nonfinite_allowed;
    m->nonfinite = item->pipeline.nonfinite;
    m->pad_fill = item->plan.options.pad_fill;
    m->format = settings->result.format;
    m->gzip =
        settings->result.gzip && item->job->collection == NULL; /* how members are packed is the archive's affair */
    m->device = item->pipeline.device;
    m->kernel = item->pipeline.variant;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        const struct mxq_result_buffer *buffer = mxq_get_result_buffer(item->result, b);
        m->buffer[b].present = buffer->present;
        m->buffer[b].file = last_component(buffer->path);
        m->buffer[b].member = buffer->member;
        m->buffer[b].layout = item->plan.options.layout[b];
        m->buffer[b].extent = item->plan.extent[b];
        m->buffer[b].crc = buffer->crc;
    }
}

/* Adds what --json and --report show of this tensor. */
static bool add_report(struct item *item, const char *manifest_path, const char *manifest_text)
{
    json_t *report = json_loads(manifest_text, 0, NULL);
    bool good = true;

    if (report == NULL)
        return false;
    json_object_set_new(report, "manifest",
                        item->job->settings->to_stdout ? json_null() : mxq_pack_name(manifest_path));
    if (item->pipeline.measure)
        good = json_object_set_new(
                   report, "report",
                   mxq_pack_report(&item->plan.options, item->pipeline.distortion, item->pipeline.histogram)) == 0;
    return json_array_append_new(item->job->reports, report) == 0 && good;
}

static bool write_manifest(struct item *item, const char *path, int fd)
{
    struct mxq_manifest manifest;
    char *text;
    bool good;

    fill_manifest(item, &manifest);
    text = mxq_format_manifest(&manifest);
    good = text != NULL && (item->job->reports == NULL || add_report(item, path, text));
    if (!good)
        mxq_set_fault(&item->job->fault, path, ENOMEM, "cannot write");
    if (good && item->job->collection != NULL)
        good = mxq_write_member(item->job->collection, item->manifest, text, strlen(text), NULL, 0, &item->job->fault);
    else if (good && fd >= 0)
        good = mxq_write_all(fd, text, strlen(text), path, &item->job->fault);
    free(text);
    return good;
}

/* ---------------------------------------------------------------------------------------------- one tensor */

/* Transforms of more than a block have nothing to fill up with. */
static bool check_transform(struct item *item, uint64_t rows, uint64_t cols)
{
    const struct mxq_options *options = &item->job->settings->quantize;
    const unsigned npoints = options->recipe.hadamard_nelems;
    const uint64_t length[MXQ_NUM_DIRECTIONS] = {cols, rows};

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS && npoints > MXQ_BLOCK_NELEMS; d++) {
        if (!options->wanted[d] || length[d] % npoints == 0)
            continue;
        mxq_set_fault(&item->job->fault, item->path, 0,
                      "%s rows have %" PRIu64 " values, not a multiple of the %u of a Hadamard transform",
                      mxq_direction_name(d), length[d], npoints);
        return false;
    }
    return true;
}

static bool plan_item(struct item *item)
{
    const struct mxq_settings *settings = item->job->settings;
    struct mxq_fault *fault = &item->job->fault;
    uint64_t rows, cols;
    enum mxq_status status;

    if (!mxq_flatten_tensor(item->tensor, settings->input.flatten, &rows, &cols)) {
        mxq_set_fault(fault, item->path, 0, "no axis %" PRId32 " to flatten at: the tensor has rank %u",
                      settings->input.flatten, item->tensor->rank);
        return false;
    }
    if (!check_transform(item, rows, cols))
        return false;
    status = mxq_make_plan(&item->plan, &settings->quantize, rows, cols);
    if (status != MXQ_OK) {
        mxq_set_fault(fault, item->path, 0, "%" PRIu64 " x %" PRIu64 ": %s", rows, cols, mxq_describe_status(status));
        return false;
    }
    if (!check_tails(item))
        return false;
    warn_of_odd_shapes(item);
    return true;
}

static bool run_item(struct item *item)
{
    const struct mxq_settings *settings = item->job->settings;
    struct mxq_pipeline *p = &item->pipeline;
    bool good;

    p->source = item->source;
    p->tensor = item->tensor;
    p->plan = &item->plan;
    p->kernel = settings->kernel;
    p->gpus = item->job->gpus;
    p->result = item->result;
    p->nthreads = settings->nthreads;
    p->stop_at_nonfinite = !settings->nonfinite_allowed;
    p->measure = settings->measure;
    mxq_print_verbose("\"%s\": %" PRIu64 " x %" PRIu64 " %s, profile %s, kernel %s, up to %u threads", item->path,
                      item->plan.rows, item->plan.cols, mxq_dtype_name(item->tensor->dtype), settings->profile->name,
                      mxq_kernel_name(settings->kernel), settings->nthreads);
    mxq_start_progress(item->path, item->tensor->nbytes);
    good = mxq_run_pipeline(p, &item->job->fault);
    mxq_end_progress();
    return good && check_finite(item);
}

/* The team for what --device asks, which may differ from input to input. A GPU that was asked for has to be there. */
static bool ready_gpus(struct job *job)
{
    const struct mxq_device_request *request = &job->settings->device;
    bool ready;

    if (job->gpus != NULL && memcmp(mxq_gpu_team_request(job->gpus), request, sizeof(*request)) != 0) {
        mxq_free_gpu_team(job->gpus);
        job->gpus = NULL;
    }
    if (job->gpus == NULL && (job->gpus = mxq_create_gpu_team(request)) == NULL) {
        mxq_set_fault(&job->fault, NULL, ENOMEM, "cannot quantize");
        return false;
    }
    return request->kind != MXQ_DEVICE_GPU || mxq_open_gpu_team(job->gpus, &ready, &job->fault);
}

static bool begin_manifest(struct item *item, const char *path, int *fd)
{
    const struct job *job = item->job;
    struct mxq_fault *fault = &item->job->fault;

    if (job->settings->to_stdout)
        return true;
    if (job->collection != NULL)
        return mxq_claim_member(job->collection, last_component(path), &item->manifest, fault);
    return (*fd = mxq_add_outfile(job->outset, path, fault)) >= 0;
}

/* The manifest's file is made with the buffers', so that a name that is taken is found before the work. */
static bool quantize_item(struct item *item)
{
    struct mxq_result_options options = item->job->settings->result;
    struct mxq_fault *fault = &item->job->fault;
    char path[4096];
    int fd = -1;

    if (!make_prefix(item) || !plan_item(item))
        return false;
    if (snprintf(path, sizeof(path), "%s.json", item->prefix) >= (int)sizeof(path)) {
        mxq_set_fault(fault, NULL, ENAMETOOLONG, "cannot write the manifest");
        return false;
    }
    options.collection = item->job->collection;
    if (!mxq_begin_result(&options, &item->plan, item->prefix, item->job->outset, &item->result, fault) ||
        !begin_manifest(item, path, &fd))
        return false;
    return check_outputs(item, path) && run_item(item) && mxq_finish_result(item->result, fault) &&
           write_manifest(item, path, fd);
}

static bool quantize_tensor(struct job *job, const char *path, struct mxq_source *source,
                            const struct mxq_tensor *tensor)
{
    struct item item;
    bool good;

    memset(&item, 0, sizeof(item));
    item.job = job;
    item.path = path;
    item.source = source;
    item.tensor = tensor;
    good = quantize_item(&item);
    /* There may be more files than can be open. A made input is settled when it has been read. */
    if (good && !job->is_made && job->collection == NULL)
        good = mxq_settle_outset(job->outset, &job->fault);
    mxq_free_result(item.result);
    free(item.prefix);
    return good;
}

/* ---------------------------------------------------------------------------------------------- the job */

static bool make_folder(struct job *job, const char *path)
{
    if (mxq_make_folder(path))
        return true;
    mxq_set_fault(&job->fault, path, errno, "cannot make the folder");
    return false;
}

static bool quantize_source(struct job *job, const char *path, struct mxq_source *source)
{
    const struct mxq_tensor *tensor;
    int more;

    if (mxq_source_has_many(source))
        job->into_folder = true;
    if (job->into_folder && job->settings->to_stdout) {
        mxq_set_fault(&job->fault, path, 0, "standard output takes one tensor (see --member)");
        return false;
    }
    if (job->collection != NULL && !check_not_input(job, source, job->settings->output))
        return false;
    if (job->into_folder && job->collection == NULL && !make_folder(job, job->settings->output))
        return false;
    while ((more = mxq_next_tensor(source, &tensor, &job->fault)) == 1)
        if (!quantize_tensor(job, path, source, tensor))
            return false;
    return more == 0;
}

static bool quantize_input(struct job *job, const struct mxq_source_options *options, const char *path)
{
    struct mxq_source *source;
    bool good;

    if (!ready_gpus(job))
        return false;
    if (!mxq_open_source(options, path, &source, &job->fault))
        return false;
    good = quantize_source(job, path, source);
    mxq_close_source(source);
    return good;
}

static bool begin_job(struct job *job, const struct mxq_outset_options *outset)
{
    if (job->wants_reports)
        job->reports = json_array();
    job->outset = mxq_create_outset(outset);
    if (job->outset != NULL && (job->reports != NULL || !job->wants_reports))
        return true;
    mxq_set_fault(&job->fault, NULL, ENOMEM, "cannot quantize");
    return false;
}

static bool run_inputs(struct job *job)
{
    const struct mxq_settings *settings = job->settings;
    const bool is_archive = mxq_names_archive(settings->output);

    job->into_folder = is_archive || job->ninputs > 1 || settings->output[strlen(settings->output) - 1] == '/';
    if (!begin_job(job, &settings->outset))
        return false;
    if (is_archive &&
        !mxq_begin_collection(settings->output, settings->result.gzip, job->outset, &job->collection, &job->fault))
        return false;
    for (unsigned i = 0; i < job->ninputs; i++)
        if (!quantize_input(job, &settings->input.source, job->inputs[i]))
            return false;
    return (!is_archive || mxq_finish_collection(job->collection, &job->fault)) &&
           mxq_commit_outset(job->outset, &job->fault);
}

/* Tells what went wrong, or hands over the reports. */
static bool end_job(struct job *job, bool good, json_t **reports)
{
    mxq_free_gpu_team(job->gpus);
    mxq_free_collection(job->collection);
    mxq_discard_outset(job->outset);
    if (!good) {
        mxq_remove_made_folder();
        mxq_print_error("%s", job->fault.text);
    }
    if (good && reports != NULL)
        *reports = job->reports;
    else
        json_decref(job->reports);
    return good;
}

bool mxq_run_job(const struct mxq_settings *settings, unsigned ninputs, char *const inputs[], json_t **reports)
{
    struct job job;

    memset(&job, 0, sizeof(job));
    job.settings = settings;
    job.inputs = inputs;
    job.ninputs = ninputs;
    job.wants_reports = reports != NULL;
    return end_job(&job, run_inputs(&job), reports);
}

/* ---------------------------------------------------------------------------------------------- made inputs */

static bool run_made_input(struct job *job, const struct mxq_made_input *input)
{
    const int fd = mxq_add_outfile(job->outset, input->path, &job->fault);
    struct mxq_source_options options;

    if (fd < 0 || !input->make(input, fd, &job->fault))
        return false;
    if (input->settings != NULL) {
        job->settings = input->settings;
        options = input->settings->input.source;
        options.has_fd = true;
        options.fd = fd;
        if (!quantize_input(job, &options, input->path))
            return false;
    }
    /* There may be more files than can be open. */
    return mxq_settle_outset(job->outset, &job->fault);
}

static bool run_made_inputs(struct job *job, const struct mxq_outset_options *outset, const char *folder,
                            unsigned ninputs, const struct mxq_made_input inputs[])
{
    if (!begin_job(job, outset) || (folder != NULL && !make_folder(job, folder)))
        return false;
    for (unsigned i = 0; i < ninputs; i++) {
        mxq_set_message_place(inputs[i].place);
        if (!run_made_input(job, &inputs[i]))
            return false;
    }
    mxq_set_message_place(NULL);
    return mxq_commit_outset(job->outset, &job->fault);
}

bool mxq_run_made_job(const struct mxq_outset_options *outset, const char *folder, unsigned ninputs,
                      const struct mxq_made_input inputs[], json_t **reports)
{
    struct job job;
    bool good;

    memset(&job, 0, sizeof(job));
    job.is_made = true;
    job.wants_reports = reports != NULL;
    good = end_job(&job, run_made_inputs(&job, outset, folder, ninputs, inputs), reports);
    mxq_set_message_place(NULL);
    return good;
}
