/* gguf_job.c - quantizing a GGUF file, from the command line to the result; and showing one */
#include "cli/gguf_job.h"

#include "cli/gguf_plan.h"
#include "cli/gguf_run.h"
#include "cli/msg.h"
#include "cli/signals.h"
#include "io/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool mxq_names_gguf(const char *path)
{
    const size_t length = strlen(path);
    struct stat status;

    if (length > 5 && strcmp(path + length - 5, ".gguf") == 0)
        return stat(path, &status) != 0 || !S_ISDIR(status.st_mode);
    return mxq_is_gguf(path);
}

static int open_gguf(const char *path, struct mxq_gguf *gguf, struct mxq_fault *fault)
{
    struct stat status;
    int fd;

    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) {
        mxq_set_fault(fault, path, 0, "not a regular file");
        return -1;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        mxq_set_fault(fault, path, errno, "cannot open");
    else if (mxq_read_gguf(fd, path, gguf, fault))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* ---- options */

/* Options of checkpoints and of results that say nothing about a GGUF file; NULL: none was given. */
static const char *find_foreign(const struct mxq_checkpoint_settings *s, const struct mxq_quantize_request *quantize)
{
    if (s->foreign != NULL)
        return s->foreign;
    if (s->tp != 1)
        return "tp";
    if (s->resume)
        return "resume";
    if (s->delete_source)
        return "delete-source";
    if (s->no_measure)
        return "no-measure";
    if (s->has_pad_fill)
        return "pad-fill";
    if (quantize->hadamard_nelems != 0 || quantize->has_signs || quantize->settings.has_hadamard_seed)
        return "hadamard";
    if (quantize->settings.measure)
        return "report";
    return quantize->json ? "json" : NULL;
}

static bool check_recipe(const struct mxq_quantize_request *quantize)
{
    const struct mxq_recipe *recipe = &quantize->settings.quantize.recipe;

    if (recipe->ties == MXQ_TIES_STOCHASTIC)
        mxq_print_error("quantize: --ties stochastic is not for GGUF files");
    else if (recipe->block != MXQ_BLOCK_1X32)
        mxq_print_error("quantize: --block: GGUF files have a scale for 1x32 values");
    else if (quantize->settings.device.kind == MXQ_DEVICE_GPU)
        mxq_print_error("quantize: GGUF files are quantized on CPUs, not on GPUs");
    else
        return true;
    return false;
}

static bool complete_request(const struct mxq_checkpoint_settings *s, struct mxq_quantize_request *quantize)
{
    struct mxq_options *options = &quantize->settings.quantize;
    const char *foreign = find_foreign(s, quantize);

    if (foreign != NULL) {
        mxq_print_error("quantize: --%s is not for GGUF files", foreign);
        return false;
    }
    if (s->format != NULL && strcmp(s->format, MXQ_GGUF_FORMAT) != 0) {
        mxq_print_error("quantize: --format %s: of a GGUF file another one is made", s->format);
        return false;
    }
    if (quantize->profile == NULL)
        quantize->profile = "ggml";
    if (!mxq_complete_quantize_request(quantize) || !check_recipe(quantize))
        return false;
    options->wanted[MXQ_COLUMNWISE] = false;
    options->layout[MXQ_ROWWISE_DATA] = options->layout[MXQ_ROWWISE_SCALE] = MXQ_LINEAR;
    return true;
}

/* ---- the output */

static bool is_folder(const char *path)
{
    struct stat status;
    const size_t length = strlen(path);

    return (length > 0 && path[length - 1] == '/') || (stat(path, &status) == 0 && S_ISDIR(status.st_mode));
}

/* The output's name, to be freed: a folder gets a file of the input's name. NULL: the user knows. */
static char *name_output(const char *path, const char *output)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    const bool folder = is_folder(output);
    const size_t nbytes = strlen(output) + strlen(name) + 2;
    char *result;

    if (folder && !mxq_make_folder(output)) {
        mxq_print_error("\"%s\": cannot make the folder: %s", output, strerror(errno));
        return NULL;
    }
    result = malloc(nbytes);
    if (result == NULL)
        mxq_print_error("quantize: %s", strerror(ENOMEM));
    else if (folder)
        snprintf(result, nbytes, "%s%s%s", output, output[strlen(output) - 1] == '/' ? "" : "/", name);
    else
        snprintf(result, nbytes, "%s", output);
    return result;
}

static bool check_output(const char *output)
{
    if (output == NULL || output[0] == '\0')
        mxq_print_error("quantize: no output: give a file or a folder with -o");
    else if (strcmp(output, "-") == 0)
        mxq_print_error("quantize: a GGUF file goes to a file, not to standard output");
    else
        return true;
    return false;
}

/* ---- the job */

static bool run_plan(const struct mxq_checkpoint_settings *settings, const struct mxq_quantize_request *quantize,
                     int fd, const char *path, const struct mxq_gguf_plan *plan)
{
    char *output = name_output(path, quantize->settings.output);
    const struct mxq_gguf_run_options options = {
        .output = output,
        .quantize = &quantize->settings.quantize,
        .kernel = quantize->settings.kernel,
        .nthreads = quantize->settings.nthreads,
        .memory_nbytes = settings->memory_nbytes,
        .nonfinite_allowed = quantize->settings.nonfinite_allowed,
        .outset = quantize->settings.outset,
    };
    struct mxq_fault fault = {""};
    struct stat status;
    bool good = false;

    if (output == NULL)
        return false;
    if (fstat(fd, &status) == 0 && mxq_path_is_file(output, (uint64_t)status.st_dev, (uint64_t)status.st_ino))
        mxq_set_fault(&fault, output, 0, "it is the input; give another output with -o");
    else
        good = mxq_run_gguf(fd, path, plan, &options, &fault);
    if (!good) {
        mxq_print_error("%s", fault.text);
        mxq_remove_made_folder();
    }
    free(output);
    return good;
}

bool mxq_run_gguf_job(const struct mxq_checkpoint_settings *settings, struct mxq_quantize_request *quantize,
                      const char *path)
{
    const struct mxq_checkpoint_request request = {
        .nincludes = settings->nincludes,
        .includes = settings->includes,
        .nexcludes = settings->nexcludes,
        .excludes = settings->excludes,
    };
    struct mxq_fault fault = {""};
    struct mxq_gguf_plan plan;
    struct mxq_gguf gguf;
    bool good;
    int fd;

    if (!complete_request(settings, quantize) || (!settings->dry_run && !check_output(quantize->settings.output)))
        return false;
    fd = open_gguf(path, &gguf, &fault);
    good = fd >= 0 && mxq_plan_gguf(&gguf, &request, &plan, &fault);
    if (!good)
        mxq_print_error("%s", fault.text);
    if (good && (settings->dry_run || mxq_is_talkative())) {
        mxq_print_gguf_plan(path, &plan);
        fflush(stdout);
    }
    if (good) {
        good = settings->dry_run || run_plan(settings, quantize, fd, path, &plan);
        mxq_free_gguf_plan(&plan);
    }
    if (fd >= 0) {
        mxq_free_gguf(&gguf);
        close(fd);
    }
    return good;
}

/* ---- mxfp4q info */

/* Names come from anywhere; this prints them without control characters. */
static void print_name(const char *name)
{
    struct mxq_fault text;

    mxq_set_fault(&text, NULL, 0, "%s", name);
    fputs(text.text, stdout);
}

static void print_gguf(const char *path, const struct mxq_gguf *gguf)
{
    print_name(path);
    printf(": GGUF version %" PRIu32 ", %" PRIu64 " keys, %zu tensors, %" PRIu64 " bytes\n", gguf->version, gguf->nkeys,
           gguf->ntensors, gguf->nbytes);
    for (size_t i = 0; i < gguf->ntensors; i++) {
        const struct mxq_gguf_tensor *tensor = &gguf->tensors[i];
        char shape[MXQ_GGUF_SHAPE_NBYTES];
        printf("  ");
        print_name(tensor->name);
        printf(": %s %s, %" PRIu64 " bytes at %" PRIu64 "\n", mxq_gguf_type_name(tensor->type),
               mxq_format_gguf_shape(tensor, shape), tensor->nbytes, tensor->offset);
    }
}

static json_t *pack_gguf(const char *path, const struct mxq_gguf *gguf)
{
    json_t *tensors = json_array();

    for (size_t i = 0; i < gguf->ntensors; i++) {
        const struct mxq_gguf_tensor *tensor = &gguf->tensors[i];
        json_t *shape = json_array();
        for (unsigned d = tensor->rank; d > 0; d--)
            json_array_append_new(shape, json_integer((json_int_t)tensor->shape[d - 1]));
        json_array_append_new(tensors, json_pack("{s:o, s:s, s:o, s:I, s:I}", "name", mxq_pack_name(tensor->name),
                                                 "dtype", mxq_gguf_type_name(tensor->type), "shape", shape, "offset",
                                                 (json_int_t)tensor->offset, "nbytes", (json_int_t)tensor->nbytes));
    }
    return json_pack("{s:s, s:o, s:I, s:I, s:o}", "kind", "mxfp4q gguf", "file", mxq_pack_name(path), "nbytes",
                     (json_int_t)gguf->nbytes, "version", (json_int_t)gguf->version, "tensors", tensors);
}

bool mxq_show_gguf(const char *path, json_t *objects, struct mxq_fault *fault)
{
    struct mxq_gguf gguf;
    const int fd = open_gguf(path, &gguf, fault);
    bool good = true;

    if (fd < 0)
        return false;
    if (objects == NULL)
        print_gguf(path, &gguf);
    else
        good = json_array_append_new(objects, pack_gguf(path, &gguf)) == 0;
    if (!good)
        mxq_set_fault(fault, path, ENOMEM, "cannot describe the file");
    mxq_free_gguf(&gguf);
    close(fd);
    return good;
}
