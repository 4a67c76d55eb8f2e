/* cmd_quantize.c - mxfp4q quantize: the main job's command line */
#include "cli/input_options.h"
#include "cli/job.h"
#include "cli/main.h"
#include "cli/msg.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "kernels/mxq.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OPT_DIRECTION = 256,
    OPT_PROFILE,
    OPT_SCALE,
    OPT_TIES,
    OPT_SIGN,
    OPT_ZERO_BYTE,
    OPT_HADAMARD,
    OPT_HADAMARD_SIGNS,
    OPT_NONFINITE,
    OPT_LAYOUT,
    OPT_SHUFFLE,
    OPT_PAD_FILL,
    OPT_TAIL,
    OPT_FORMAT,
    OPT_GZIP,
    OPT_ONLY,
    OPT_NO_FSYNC,
    OPT_KERNEL,
    OPT_DEVICE,
    OPT_REPORT,
    OPT_JSON,
    OPT_PROGRESS,
};

static const struct mxq_option options[] = {
    {0, NULL, NULL, "Output"},
    {'o', "output", "OUT", "prefix of the outputs; a folder when it ends in / or several tensors come; - with --only"},
    {'f', "force", NULL, "replace existing outputs"},
    {OPT_FORMAT, "format", "FORMAT", "npy, raw or npz [npy]"},
    {OPT_GZIP, "gzip", NULL, "compress the outputs"},
    {OPT_ONLY, "only", "BUFFER", "write one buffer: rowwise_data, rowwise_scale, columnwise_data, columnwise_scale"},
    {OPT_NO_FSYNC, "no-fsync", NULL, "do not wait until the outputs are on the disk"},
    {0, NULL, NULL, "What is computed"},
    {OPT_DIRECTION, "direction", "DIRECTION", "rowwise, columnwise or both [both]"},
    {OPT_PROFILE, "profile", "PROFILE", "the peer whose bytes are made [te-hip]"},
    {OPT_SCALE, "scale", "RULE", "scale rule: even, floor, ceil, rceil [the profile's]"},
    {OPT_TIES, "ties", "RULE", "ties between codes go to even, away, zero [the profile's]"},
    {OPT_SIGN, "sign", "RULE", "signs of zeros: keep, value, drop, nonpositive [the profile's]"},
    {OPT_ZERO_BYTE, "zero-byte", "N", "scale byte of a block of zeros, 0 to 254 [the profile's]"},
    {OPT_HADAMARD, "hadamard", "[=16]", "transform each half of a block by a 16-point Hadamard matrix"},
    {OPT_HADAMARD_SIGNS, "hadamard-signs", "HEX",
     "negate value i of a block first where bit i is set; implies --hadamard"},
    {OPT_NONFINITE, "nonfinite", "POLICY", "infinities and NaNs: error, or profile to do as the peer does [error]"},
    {0, NULL, NULL, "Layout"},
    {OPT_LAYOUT, "layout", "LAYOUT", "of all buffers: aiter (shuffled) or linear [aiter]"},
    {OPT_SHUFFLE, "shuffle", "LIST", "exactly these buffers are shuffled: names with commas, all, none"},
    {OPT_PAD_FILL, "pad-fill", "N", "scale byte in padding, 0 to 255 [the profile's]"},
    {OPT_TAIL, "tail", "POLICY", "rows that end within a block: pad, or error [pad]"},
    {0, NULL, NULL, "Input"},
    MXQ_INPUT_OPTIONS,
    {0, NULL, NULL, "Running"},
    {'j', "jobs", "N", "threads [all CPUs]"},
    {OPT_KERNEL, "kernel", "NAME", "the variant to run, see mxfp4q devices [the fastest]"},
    {OPT_DEVICE, "device", "DEVICE", "cpu or auto [auto]"},
    {0, NULL, NULL, "Messages"},
    {OPT_REPORT, "report", NULL, "print SNR, MSE, cosine, largest error and saturated share"},
    {OPT_JSON, "json", NULL, "print manifests and reports as JSON"},
    {'q', "quiet", NULL, "no warnings, no progress"},
    {'v', "verbose", NULL, "say what is done"},
    {OPT_PROGRESS, "progress", NULL, "show progress even when standard error is no terminal"},
    {'h', "help", NULL, "print this help"},
    {0, NULL, NULL, NULL},
};

/* What the options said; some can be understood only when all are known. */
struct request {
    struct mxq_settings settings;
    const char *profile;
    const char *kernel;
    const char *layout;
    const char *shuffle;
    bool has_scale, has_ties, has_sign, has_zero_byte, has_pad_fill;
    unsigned scale, ties, sign;
    uint64_t zero_byte, pad_fill;
    bool hadamard;
    uint32_t hadamard_signs;
    bool json;
    bool help;
};

/* ---- words */

static const char *scale_word(unsigned value)
{
    return mxq_scale_rule_name((enum mxq_scale_rule)value);
}

static const char *ties_word(unsigned value)
{
    return mxq_ties_name((enum mxq_ties)value);
}

static const char *sign_word(unsigned value)
{
    return mxq_sign_name((enum mxq_sign)value);
}

static const char *buffer_word(unsigned value)
{
    return mxq_buffer_name((enum mxq_buffer)value);
}

static const char *layout_word(unsigned value)
{
    return mxq_layout_name((enum mxq_layout)value);
}

static const char *format_word(unsigned value)
{
    return mxq_format_name((enum mxq_format)value);
}

static const char *profile_word(unsigned value)
{
    const struct mxq_profile *profile = mxq_get_profile(value);

    return profile != NULL ? profile->name : NULL;
}

static const char *direction_word(unsigned value)
{
    return value == MXQ_NUM_DIRECTIONS ? "both" : mxq_direction_name((enum mxq_direction)value);
}

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

static const char *device_word(unsigned value)
{
    static const char *const words[] = {"auto", "cpu", NULL};

    return words[value];
}

static const char *hadamard_word(unsigned value)
{
    static const char *const words[] = {"16", NULL};

    return words[value];
}

/* ---- one option */

static bool parse_recipe_option(struct request *r, int opt, const char *value)
{
    unsigned word;

    switch (opt) {
    case OPT_PROFILE:
        r->profile = value;
        return true;
    case OPT_SCALE:
        return r->has_scale = mxq_parse_word("--scale", value, scale_word, &r->scale);
    case OPT_TIES:
        return r->has_ties = mxq_parse_word("--ties", value, ties_word, &r->ties);
    case OPT_SIGN:
        return r->has_sign = mxq_parse_word("--sign", value, sign_word, &r->sign);
    case OPT_ZERO_BYTE:
        return r->has_zero_byte = mxq_parse_u64("--zero-byte", value, 254, &r->zero_byte);
    case OPT_HADAMARD:
        r->hadamard = true;
        return value == NULL || mxq_parse_word("--hadamard", value, hadamard_word, &word);
    case OPT_HADAMARD_SIGNS:
        r->hadamard = true;
        return mxq_parse_hex32("--hadamard-signs", value, &r->hadamard_signs);
    case OPT_NONFINITE:
        if (!mxq_parse_word("--nonfinite", value, nonfinite_word, &word))
            return false;
        r->settings.nonfinite_allowed = word == 1;
        return true;
    case OPT_DIRECTION:
        if (!mxq_parse_word("--direction", value, direction_word, &word))
            return false;
        r->settings.quantize.wanted[MXQ_ROWWISE] = word != MXQ_COLUMNWISE;
        r->settings.quantize.wanted[MXQ_COLUMNWISE] = word != MXQ_ROWWISE;
        return true;
    default:
        return false;
    }
}

static bool parse_output_option(struct request *r, int opt, const char *value)
{
    unsigned word;

    switch (opt) {
    case 'o':
        r->settings.output = value;
        return true;
    case 'f':
        return r->settings.outset.force = true;
    case OPT_FORMAT:
        if (!mxq_parse_word("--format", value, format_word, &word))
            return false;
        r->settings.result.format = word;
        return true;
    case OPT_GZIP:
        return r->settings.result.gzip = true;
    case OPT_ONLY:
        if (!mxq_parse_word("--only", value, buffer_word, &word))
            return false;
        r->settings.only = (int)word;
        return true;
    case OPT_NO_FSYNC:
        return r->settings.outset.no_fsync = true;
    case OPT_LAYOUT:
        r->layout = value;
        return true;
    case OPT_SHUFFLE:
        r->shuffle = value;
        return true;
    case OPT_PAD_FILL:
        return r->has_pad_fill = mxq_parse_u64("--pad-fill", value, 255, &r->pad_fill);
    case OPT_TAIL:
        if (!mxq_parse_word("--tail", value, tail_word, &word))
            return false;
        r->settings.tail_error = word == 1;
        return true;
    default:
        return false;
    }
}

static bool parse_running_option(struct request *r, int opt, const char *value)
{
    unsigned word;
    int number;

    switch (opt) {
    case 'j':
        if (!mxq_parse_int("-j", value, 1, 4096, &number))
            return false;
        r->settings.nthreads = (unsigned)number;
        return true;
    case OPT_KERNEL:
        r->kernel = value;
        return true;
    case OPT_DEVICE:
        return mxq_parse_word("--device", value, device_word, &word);
    case OPT_REPORT:
        return r->settings.measure = true;
    case OPT_JSON:
        return r->json = true;
    case 'q':
        mxq_set_verbosity(MXQ_QUIET);
        mxq_set_progress_mode(MXQ_PROGRESS_NEVER);
        return true;
    case 'v':
        mxq_set_verbosity(MXQ_VERBOSE);
        return true;
    case OPT_PROGRESS:
        mxq_set_progress_mode(MXQ_PROGRESS_ALWAYS);
        return true;
    case 'h':
        return r->help = true;
    default:
        return false;
    }
}

static bool parse_option(struct request *r, int opt, const char *value)
{
    if (mxq_is_input_option(opt))
        return mxq_parse_input_option(&r->settings.input, opt, value);
    switch (opt) {
    case '?':
        return false;
    case OPT_PROFILE:
    case OPT_SCALE:
    case OPT_TIES:
    case OPT_SIGN:
    case OPT_ZERO_BYTE:
    case OPT_HADAMARD:
    case OPT_HADAMARD_SIGNS:
    case OPT_NONFINITE:
    case OPT_DIRECTION:
        return parse_recipe_option(r, opt, value);
    case 'o':
    case 'f':
    case OPT_FORMAT:
    case OPT_GZIP:
    case OPT_ONLY:
    case OPT_NO_FSYNC:
    case OPT_LAYOUT:
    case OPT_SHUFFLE:
    case OPT_PAD_FILL:
    case OPT_TAIL:
        return parse_output_option(r, opt, value);
    default:
        return parse_running_option(r, opt, value);
    }
}

/* ---- all options together */

static bool apply_profile(struct request *r)
{
    struct mxq_settings *settings = &r->settings;
    const bool rowwise = settings->quantize.wanted[MXQ_ROWWISE];
    const bool columnwise = settings->quantize.wanted[MXQ_COLUMNWISE];
    unsigned index = 0;

    if (r->profile != NULL && !mxq_parse_word("--profile", r->profile, profile_word, &index))
        return false;
    settings->profile = mxq_get_profile(index);
    mxq_init_options(&settings->quantize, settings->profile);
    settings->quantize.wanted[MXQ_ROWWISE] = rowwise;
    settings->quantize.wanted[MXQ_COLUMNWISE] = columnwise;
    return true;
}

static void apply_switches(struct request *r)
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
    recipe->hadamard = r->hadamard;
    recipe->hadamard_signs = r->hadamard_signs;
}

static bool apply_layout(struct request *r)
{
    unsigned layout = MXQ_AITER;

    if (r->layout != NULL && !mxq_parse_word("--layout", r->layout, layout_word, &layout))
        return false;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        r->settings.quantize.layout[b] = layout;
    return true;
}

static bool apply_shuffle(struct request *r)
{
    enum mxq_layout *layout = r->settings.quantize.layout;
    char list[256];
    char *rest = NULL;
    unsigned buffer;

    if (r->shuffle == NULL)
        return true;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        layout[b] = strcmp(r->shuffle, "all") == 0 ? MXQ_AITER : MXQ_LINEAR;
    if (strcmp(r->shuffle, "all") == 0 || strcmp(r->shuffle, "none") == 0)
        return true;
    snprintf(list, sizeof(list), "%s", r->shuffle);
    for (char *word = strtok_r(list, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        if (!mxq_parse_word("--shuffle", word, buffer_word, &buffer))
            return false;
        layout[buffer] = MXQ_AITER;
    }
    return true;
}

static bool apply_only(struct request *r)
{
    struct mxq_settings *settings = &r->settings;
    const int only = settings->only;

    settings->to_stdout = strcmp(settings->output, "-") == 0;
    settings->result.only = only;
    settings->result.to_stdout = settings->to_stdout;
    if (settings->to_stdout && only < 0) {
        mxq_print_error("quantize: -o - takes one buffer: say which with --only");
        return false;
    }
    if (settings->to_stdout && (r->json || settings->measure)) {
        mxq_print_error("quantize: standard output carries the buffer, so there is no room for --json or --report");
        return false;
    }
    if (settings->to_stdout && isatty(STDOUT_FILENO) && !settings->outset.force) {
        mxq_print_error("quantize: standard output is a terminal; -f writes to it all the same");
        return false;
    }
    if (only >= 0 && !settings->measure) {
        settings->quantize.wanted[MXQ_ROWWISE] = only == MXQ_ROWWISE_DATA || only == MXQ_ROWWISE_SCALE;
        settings->quantize.wanted[MXQ_COLUMNWISE] = !settings->quantize.wanted[MXQ_ROWWISE];
    }
    return true;
}

static bool apply_kernel(struct request *r)
{
    if (mxq_select_kernel(r->kernel, &r->settings.kernel) == MXQ_OK)
        return true;
    if (r->kernel != NULL)
        mxq_print_error("--kernel: \"%s\" is no kernel that this machine can run (see mxfp4q devices)", r->kernel);
    else
        mxq_print_error("MXFP4Q_KERNEL: \"%s\" is no kernel that this machine can run (see mxfp4q devices)",
                        getenv("MXFP4Q_KERNEL"));
    return false;
}

static bool complete_request(struct request *r, int noperands)
{
    if (noperands == 0) {
        mxq_print_error("quantize: no input (see mxfp4q quantize --help)");
        return false;
    }
    if (r->settings.output == NULL || r->settings.output[0] == '\0') {
        mxq_print_error("quantize: no output: give a prefix with -o");
        return false;
    }
    if (!mxq_check_input_request("quantize", &r->settings.input) || !apply_profile(r) || !apply_layout(r) ||
        !apply_shuffle(r) || !apply_only(r) || !apply_kernel(r))
        return false;
    apply_switches(r);
    return true;
}

static void init_request(struct request *r)
{
    const long ncpus = sysconf(_SC_NPROCESSORS_ONLN);

    memset(r, 0, sizeof(*r));
    mxq_init_input_request(&r->settings.input);
    r->settings.quantize.wanted[MXQ_ROWWISE] = true;
    r->settings.quantize.wanted[MXQ_COLUMNWISE] = true;
    r->settings.only = -1;
    r->settings.nthreads = ncpus > 0 ? (unsigned)ncpus : 1;
}

static void print_reports(const struct request *r, const json_t *reports)
{
    size_t i;
    json_t *report;

    if (r->json) {
        json_dumpf(reports, stdout, JSON_INDENT(2));
        putchar('\n');
        return;
    }
    json_array_foreach(reports, i, report)
    {
        const json_t *table = json_object_get(report, "report");
        if (table == NULL)
            continue;
        printf("%s\n", json_string_value(json_object_get(report, "manifest")));
        mxq_print_report(table);
    }
}

static int run(int argc, char *argv[])
{
    struct request r;
    const char *value;
    json_t *reports = NULL;
    int opt;

    init_request(&r);
    while ((opt = mxq_next_option(&mxq_cmd_quantize, argc, argv, &value)) != -1)
        if (!parse_option(&r, opt, value))
            return MXQ_EXIT_TROUBLE;
    if (r.help) {
        mxq_print_help(&mxq_cmd_quantize);
        return MXQ_EXIT_OK;
    }
    if (!complete_request(&r, argc - optind))
        return MXQ_EXIT_TROUBLE;
    if (!mxq_run_job(&r.settings, (unsigned)(argc - optind), argv + optind, &reports))
        return MXQ_EXIT_TROUBLE;
    print_reports(&r, reports);
    json_decref(reports);
    return MXQ_EXIT_OK;
}

const struct mxq_command mxq_cmd_quantize = {
    .name = "quantize",
    .summary = "make MXFP4 buffers and a manifest from matrices in .npy, .npz, raw and gzip files",
    .synopsis = "[OPTION]... INPUT... -o OUT",
    .epilogue =
        "Profiles: te-hip te-triton aiter aiter-even quark torchao-floor torchao-even torchao-rceil torchao-ceil\n"
        "triton-kernels ggml compressed-tensors modelopt flashinfer microxcaling. See mxfp4q(1) and mxfp4q(5).",
    .options = options,
    .run = run,
};
