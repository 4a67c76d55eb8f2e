/* quantize_options.c - the options that say what is made of a tensor and where it goes */
#include "cli/quantize_options.h"

#include "cli/json.h"
#include "cli/msg.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "cli/words.h"
#include "kernels/mxq_gpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- words */

static const char *tail_word(unsigned value)
{
    static const char *const words[] = {"pad", "error", NULL};

    return words[value];
}

static const char *nonfinite_word(unsigned value)
{
    static const char *const words[] = {"error", "profile", NULL};

    return words[value];
}

static const char *hadamard_word(unsigned value)
{
    static const char *const words[] = {"16", "32", "64", "128", NULL};

    return words[value];
}

/* ---- one option */

static bool parse_hadamard_option(struct mxq_quantize_request *r, int opt, const char *value)
{
    unsigned word = 0;

    switch (opt) {
    case MXQ_OPT_HADAMARD_SIGNS:
        return r->has_signs = mxq_parse_signs("--hadamard-signs", value, r->hadamard_signs);
    case MXQ_OPT_HADAMARD_SEED:
        return r->settings.has_hadamard_seed =
                   mxq_parse_u64("--hadamard-seed", value, UINT64_MAX, &r->settings.hadamard_seed);
    default:
        if (value != NULL && !mxq_parse_word("--hadamard", value, hadamard_word, &word))
            return false;
        r->hadamard_nelems = 16u << word;
        return true;
    }
}

static bool parse_recipe_option(struct mxq_quantize_request *r, int opt, const char *value)
{
    unsigned word;

    switch (opt) {
    case MXQ_OPT_PROFILE:
        r->profile = value;
        return true;
    case MXQ_OPT_SCALE:
        return r->has_scale = mxq_parse_word("--scale", value, mxq_scale_word, &r->scale);
    case MXQ_OPT_TIES:
        return r->has_ties = mxq_parse_word("--ties", value, mxq_ties_word, &r->ties);
    case MXQ_OPT_SIGN:
        return r->has_sign = mxq_parse_word("--sign", value, mxq_sign_word, &r->sign);
    case MXQ_OPT_ZERO_BYTE:
        return r->has_zero_byte = mxq_parse_u64("--zero-byte", value, 254, &r->zero_byte);
    case MXQ_OPT_SEED:
        r->seed_option = "--seed";
        return mxq_parse_u64("--seed", value, UINT64_MAX, &r->seed);
    case MXQ_OPT_BLOCK:
        return r->has_block = mxq_parse_word("--block", value, mxq_block_word, &r->block);
    case MXQ_OPT_AMAX_FLOOR:
        return r->has_amax_floor = mxq_parse_f32_bits("--amax-floor", value, &r->amax_floor);
    case MXQ_OPT_HADAMARD:
    case MXQ_OPT_HADAMARD_SIGNS:
    case MXQ_OPT_HADAMARD_SEED:
        return parse_hadamard_option(r, opt, value);
    case MXQ_OPT_NONFINITE:
        if (!mxq_parse_word("--nonfinite", value, nonfinite_word, &word))
            return false;
        r->settings.nonfinite_allowed = word == 1;
        return true;
    case MXQ_OPT_DIRECTION:
        if (!mxq_parse_word("--direction", value, mxq_directions_word, &word))
            return false;
        r->settings.quantize.wanted[MXQ_ROWWISE] = word != MXQ_COLUMNWISE;
        r->settings.quantize.wanted[MXQ_COLUMNWISE] = word != MXQ_ROWWISE;
        return true;
    default:
        return false;
    }
}

static bool parse_output_option(struct mxq_quantize_request *r, int opt, const char *value)
{
    unsigned word;

    switch (opt) {
    case 'o':
        r->settings.output = value;
        return true;
    case 'f':
        return r->settings.outset.force = true;
    case MXQ_OPT_FORMAT:
        if (!mxq_parse_word("--format", value, mxq_format_word, &word))
            return false;
        r->settings.result.format = word;
        return true;
    case MXQ_OPT_GZIP:
        return r->settings.result.gzip = true;
    case MXQ_OPT_ONLY:
        if (!mxq_parse_word("--only", value, mxq_buffer_word, &word))
            return false;
        r->settings.only = (int)word;
        return true;
    case MXQ_OPT_NO_FSYNC:
        return r->settings.outset.no_fsync = true;
    case MXQ_OPT_LAYOUT:
        r->layout = value;
        return true;
    case MXQ_OPT_SHUFFLE:
        r->shuffle = value;
        return true;
    case MXQ_OPT_PAD_FILL:
        return r->has_pad_fill = mxq_parse_u64("--pad-fill", value, 255, &r->pad_fill);
    case MXQ_OPT_TAIL:
        if (!mxq_parse_word("--tail", value, tail_word, &word))
            return false;
        r->settings.tail_error = word == 1;
        return true;
    default:
        return false;
    }
}

static bool parse_running_option(struct mxq_quantize_request *r, int opt, const char *value)
{
    int number;

    switch (opt) {
    case 'j':
        if (!mxq_parse_int("-j", value, 1, 4096, &number))
            return false;
        r->settings.nthreads = (unsigned)number;
        return true;
    case MXQ_OPT_KERNEL:
        r->kernel = value;
        return true;
    case MXQ_OPT_DEVICE:
        return mxq_parse_device(value, &r->settings.device);
    case MXQ_OPT_REPORT:
        return r->settings.measure = true;
    case MXQ_OPT_JSON:
        return r->json = true;
    case 'q':
        mxq_set_verbosity(MXQ_QUIET);
        mxq_set_progress_mode(MXQ_PROGRESS_NEVER);
        return true;
    case 'v':
        mxq_set_verbosity(MXQ_VERBOSE);
        return true;
    case MXQ_OPT_PROGRESS:
        mxq_set_progress_mode(MXQ_PROGRESS_ALWAYS);
        return true;
    case 'h':
        return r->help = true;
    default:
        return false;
    }
}

bool mxq_parse_quantize_option(struct mxq_quantize_request *r, int opt, const char *value)
{
    if (mxq_is_input_option(opt))
        return mxq_parse_input_option(&r->settings.input, opt, value);
    switch (opt) {
    case MXQ_OPT_PROFILE:
    case MXQ_OPT_SCALE:
    case MXQ_OPT_TIES:
    case MXQ_OPT_SIGN:
    case MXQ_OPT_ZERO_BYTE:
    case MXQ_OPT_HADAMARD:
    case MXQ_OPT_HADAMARD_SIGNS:
    case MXQ_OPT_HADAMARD_SEED:
    case MXQ_OPT_SEED:
    case MXQ_OPT_BLOCK:
    case MXQ_OPT_AMAX_FLOOR:
    case MXQ_OPT_NONFINITE:
    case MXQ_OPT_DIRECTION:
        return parse_recipe_option(r, opt, value);
    case 'o':
    case 'f':
    case MXQ_OPT_FORMAT:
    case MXQ_OPT_GZIP:
    case MXQ_OPT_ONLY:
    case MXQ_OPT_NO_FSYNC:
    case MXQ_OPT_LAYOUT:
    case MXQ_OPT_SHUFFLE:
    case MXQ_OPT_PAD_FILL:
    case MXQ_OPT_TAIL:
        return parse_output_option(r, opt, value);
    default:
        return parse_running_option(r, opt, value);
    }
}

/* ---- all options together */

static bool apply_profile(struct mxq_quantize_request *r)
{
    struct mxq_settings *settings = &r->settings;
    const bool rowwise = settings->quantize.wanted[MXQ_ROWWISE];
    const bool columnwise = settings->quantize.wanted[MXQ_COLUMNWISE];
    unsigned index = 0;

    if (r->profile != NULL && !mxq_parse_word("--profile", r->profile, mxq_profile_word, &index))
        return false;
    settings->profile = mxq_get_profile(index);
    mxq_init_options(&settings->quantize, settings->profile);
    settings->quantize.wanted[MXQ_ROWWISE] = rowwise;
    settings->quantize.wanted[MXQ_COLUMNWISE] = columnwise;
    return true;
}

static void apply_switches(struct mxq_quantize_request *r)
{
    struct mxq_recipe *recipe = &r->settings.quantize.recipe;

    if (r->has_scale)
        recipe->scale = r->scale;
    if (r->has_ties)
        recipe->ties = r->ties;
    if (r->has_sign)
        recipe->sign = r->sign;
    if (r->has_zero_byte)
        recipe->zero_byte = (uint8_t)r->zero_byte;
    if (r->has_pad_fill)
        r->settings.quantize.pad_fill = (uint8_t)r->pad_fill;
    if (r->has_block)
        recipe->block = r->block;
    if (r->has_amax_floor)
        recipe->amax_floor = r->amax_floor;
    recipe->seed = r->seed;
    recipe->hadamard_nelems = r->hadamard_nelems;
    if (r->hadamard_nelems == 0 && (r->has_signs || r->settings.has_hadamard_seed))
        recipe->hadamard_nelems = 16;
    memcpy(recipe->hadamard_signs, r->hadamard_signs, sizeof(recipe->hadamard_signs));
    if (r->settings.has_hadamard_seed)
        mxq_draw_hadamard_signs(r->settings.hadamard_seed, recipe->hadamard_signs);
}

/* What is said of something that the recipe does not have, or twice. */
static bool check_recipe(const struct mxq_quantize_request *r)
{
    const struct mxq_recipe *recipe = &r->settings.quantize.recipe;

    if (r->seed_option != NULL && recipe->ties != MXQ_TIES_STOCHASTIC)
        mxq_print_error("%s: only --ties stochastic takes random bits", r->seed_option);
    else if (r->has_signs && r->settings.has_hadamard_seed)
        mxq_print_error("--hadamard-seed: the signs are given by --hadamard-signs already");
    else if (r->has_zero_byte && recipe->amax_floor != 0)
        mxq_print_error("--zero-byte: with a floor under amax no block has an amax of 0");
    else
        return true;
    return false;
}

/* A GPU that was asked for has to take the recipe; otherwise CPUs do. */
static bool check_device(struct mxq_quantize_request *r)
{
    struct mxq_device_request *device = &r->settings.device;

    if (mxq_gpu_takes(&r->settings.quantize.recipe))
        return true;
    if (device->kind == MXQ_DEVICE_GPU) {
        mxq_print_error("--device gpu: GPUs do not compute this recipe, CPUs do");
        return false;
    }
    device->kind = MXQ_DEVICE_CPU;
    return true;
}

static bool apply_layout(struct mxq_quantize_request *r)
{
    unsigned layout = MXQ_AITER;

    if (r->layout != NULL && !mxq_parse_word("--layout", r->layout, mxq_layout_word, &layout))
        return false;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        r->settings.quantize.layout[b] = layout;
    return true;
}

static bool apply_shuffle(struct mxq_quantize_request *r)
{
    enum mxq_layout *layout = r->settings.quantize.layout;
    char *list, *rest, *word;
    unsigned buffer;
    bool good = true;

    if (r->shuffle == NULL)
        return true;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        layout[b] = strcmp(r->shuffle, "all") == 0 ? MXQ_AITER : MXQ_LINEAR;
    if (strcmp(r->shuffle, "all") == 0 || strcmp(r->shuffle, "none") == 0)
        return true;
    list = strdup(r->shuffle);
    if (list == NULL) {
        mxq_print_error("--shuffle: %s", strerror(ENOMEM));
        return false;
    }
    rest = list;
    while (good && (word = strsep(&rest, ",")) != NULL) {
        good = mxq_parse_word("--shuffle", word, mxq_buffer_word, &buffer);
        if (good)
            layout[buffer] = MXQ_AITER;
    }
    free(list);
    return good;
}

static void apply_only(struct mxq_quantize_request *r)
{
    struct mxq_settings *settings = &r->settings;
    const int only = settings->only;

    settings->result.only = only;
    if (only >= 0) {
        /* A report is of the directions that were asked for; the buffer's own is computed in any case. */
        const bool rowwise = only == MXQ_ROWWISE_DATA || only == MXQ_ROWWISE_SCALE;
        bool *wanted = settings->quantize.wanted;
        wanted[MXQ_ROWWISE] = rowwise || (settings->measure && wanted[MXQ_ROWWISE]);
        wanted[MXQ_COLUMNWISE] = !rowwise || (settings->measure && wanted[MXQ_COLUMNWISE]);
    }
}

/* The kernel that was asked for, or NULL. */
static const char *wanted_kernel(const struct mxq_quantize_request *r)
{
    const char *name = r->kernel != NULL ? r->kernel : getenv("MXFP4Q_KERNEL");

    return name != NULL && (r->kernel != NULL || *name != '\0') ? name : NULL;
}

/* A kernel says where to compute, too: "gpu" is another way to say --device gpu, and the others run on CPUs. */
static bool apply_device(struct mxq_quantize_request *r)
{
    struct mxq_device_request *device = &r->settings.device;
    const char *name = wanted_kernel(r);
    const bool is_gpu = name != NULL && strcmp(name, "gpu") == 0;

    if ((is_gpu && device->kind == MXQ_DEVICE_CPU) ||
        (r->kernel != NULL && !is_gpu && device->kind == MXQ_DEVICE_GPU)) {
        mxq_print_error("%s: \"%s\" does not run on the device that --device names",
                        r->kernel != NULL ? "--kernel" : "MXFP4Q_KERNEL", name);
        return false;
    }
    if (device->kind == MXQ_DEVICE_AUTO && name != NULL)
        device->kind = is_gpu ? MXQ_DEVICE_GPU : MXQ_DEVICE_CPU;
    return mxq_complete_device_request(device);
}

/* With a GPU that was asked for, no CPU computes, and the kernel does not matter. */
static bool apply_kernel(struct mxq_quantize_request *r)
{
    const char *name = wanted_kernel(r);

    if (name != NULL && strcmp(name, "gpu") == 0)
        name = "scalar";
    if (mxq_select_kernel(name, &r->settings.kernel) == MXQ_OK)
        return true;
    mxq_print_error("%s: \"%s\" is no kernel that this machine can run (see mxfp4q devices)",
                    r->kernel != NULL ? "--kernel" : "MXFP4Q_KERNEL", name);
    return false;
}

bool mxq_complete_quantize_request(struct mxq_quantize_request *r)
{
    if (!apply_profile(r) || !apply_layout(r) || !apply_shuffle(r) || !apply_device(r) || !apply_kernel(r))
        return false;
    apply_only(r);
    apply_switches(r);
    return check_recipe(r) && check_device(r);
}

void mxq_init_quantize_request(struct mxq_quantize_request *r)
{
    const long ncpus = sysconf(_SC_NPROCESSORS_ONLN);

    memset(r, 0, sizeof(*r));
    mxq_init_input_request(&r->settings.input);
    mxq_init_device_request(&r->settings.device);
    r->settings.quantize.wanted[MXQ_ROWWISE] = true;
    r->settings.quantize.wanted[MXQ_COLUMNWISE] = true;
    r->settings.only = -1;
    r->settings.nthreads = ncpus > 0 ? (unsigned)ncpus : 1;
}

bool mxq_print_job_reports(const struct mxq_quantize_request *r, const json_t *reports)
{
    size_t i;
    json_t *report;

    if (r->json)
        return mxq_print_json(reports);
    json_array_foreach(reports, i, report)
    {
        const json_t *table = json_object_get(report, "report");
        if (table == NULL)
            continue;
        printf("%s\n", json_string_value(json_object_get(report, "manifest")));
        mxq_print_report(table);
    }
    return true;
}
