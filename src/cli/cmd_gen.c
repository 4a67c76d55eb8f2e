/* cmd_gen.c - mxfp4q gen: inputs for golden vectors, and the vectors */
#include "cli/generate_file.h"
#include "cli/input_options.h"
#include "cli/job.h"
#include "cli/main.h"
#include "cli/msg.h"
#include "cli/quantize_options.h"
#include "cli/suite.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OPT_PATTERN = 768,
    OPT_SEED,
    OPT_GOLDEN,
    OPT_SUITE,
};

static const struct mxq_option options[] = {
    {0, NULL, NULL, "What is made"},
    {MXQ_OPT_SHAPE, "shape", "SHAPE", "shape of the tensor: 8x32x1024"},
    {MXQ_OPT_DTYPE, "dtype", "DTYPE", "bf16, f16 or f32 [bf16]"},
    {OPT_PATTERN, "pattern", "PATTERN", "its values, see below"},
    {OPT_SEED, "seed", "N", "another number makes other values, 0 to 2^64 - 1 [0]"},
    {OPT_GOLDEN, "golden", NULL, "quantize it, too"},
    {OPT_SUITE, "suite", "FILE", "make all cases in this list; OUT is a folder"},
    {0, NULL, NULL, "Output"},
    {'o', "output", "OUT", "prefix of the outputs: the tensor is OUT.npy; - for the tensor alone"},
    MXQ_OUTPUT_OPTIONS,
    {0, NULL, NULL, "What is computed with --golden"},
    MXQ_RECIPE_OPTIONS("ties-seed"),
    {MXQ_OPT_FLATTEN, "flatten", "AXIS", "rows are the axes before AXIS, columns those from it on [the last]"},
    {0, NULL, NULL, "Layout"},
    MXQ_LAYOUT_OPTIONS,
    {0, NULL, NULL, "Running"},
    MXQ_RUNNING_OPTIONS,
    {0, NULL, NULL, "Messages"},
    MXQ_MESSAGE_OPTIONS,
    {0, NULL, NULL, NULL},
};

/* What the options said. In a suite, those of the command line hold for every case that does not say otherwise. */
struct request {
    struct mxq_quantize_request quantize;
    bool has_pattern;
    unsigned pattern;
    uint64_t seed;
    bool golden;
    const char *suite;
    const char *needs_golden; /* an option that was given and means something only with --golden, or NULL */
};

/* One tensor to be made. */
struct gen_case {
    struct request request;
    struct mxq_generated generated;
    char *prefix;
    char *path;
};

/* ---- options */

static const char *pattern_word(unsigned value)
{
    return mxq_pattern_name((enum mxq_pattern)value);
}

static const char *option_name(int opt)
{
    const struct mxq_option *option = options;

    while (option->id != opt)
        option++;
    return option->name;
}

/* Options that mean something without quantizing. */
static bool is_about_making(int opt)
{
    switch (opt) {
    case MXQ_OPT_SHAPE:
    case MXQ_OPT_DTYPE:
    case MXQ_OPT_FORMAT:
    case MXQ_OPT_NO_FSYNC:
    case MXQ_OPT_PROGRESS:
        return true;
    default:
        return opt < 256 || opt >= OPT_PATTERN;
    }
}

static bool parse_option(struct request *r, int opt, const char *value)
{
    if (!is_about_making(opt))
        r->needs_golden = option_name(opt);
    switch (opt) {
    case '?':
        return false;
    case OPT_PATTERN:
        return r->has_pattern = mxq_parse_word("--pattern", value, pattern_word, &r->pattern);
    case OPT_SEED:
        return mxq_parse_u64("--seed", value, UINT64_MAX, &r->seed);
    case OPT_GOLDEN:
        return r->golden = true;
    case OPT_SUITE:
        r->suite = value;
        return true;
    case MXQ_OPT_SEED:
        r->quantize.seed_option = "--ties-seed";
        return mxq_parse_u64("--ties-seed", value, UINT64_MAX, &r->quantize.seed);
    default:
        return mxq_parse_quantize_option(&r->quantize, opt, value);
    }
}

/* Options that hold for all files of a suite, so that a case cannot have its own. */
static bool is_about_all_cases(int opt)
{
    switch (opt) {
    case 'o':
    case 'f':
    case 'q':
    case 'v':
    case 'h':
    case MXQ_OPT_NO_FSYNC:
    case MXQ_OPT_JSON:
    case MXQ_OPT_PROGRESS:
    case OPT_SUITE:
        return true;
    default:
        return false;
    }
}

static bool parse_case(struct request *r, const struct mxq_suite_case *line)
{
    const char *value;
    int opt;

    optind = 0; /* begin anew */
    while ((opt = mxq_next_option(&mxq_cmd_gen, line->argc, line->argv, &value)) != -1) {
        if (is_about_all_cases(opt)) {
            mxq_print_error("--%s cannot be said of one case", option_name(opt));
            return false;
        }
        if (!parse_option(r, opt, value))
            return false;
    }
    if (optind < line->argc)
        mxq_print_error("\"%s\" is no option", line->argv[optind]);
    return optind == line->argc;
}

/* ---- one case */

/* OUT, or FOLDER/NAME, without the ending that is going to be added. */
static bool name_files(struct gen_case *c, const char *folder, const char *name)
{
    const char *ending = c->generated.raw ? ".raw" : ".npy";
    const size_t nbytes = (folder != NULL ? strlen(folder) + 1 : 0) + strlen(name) + strlen(ending) + 1;
    size_t length;

    c->prefix = malloc(nbytes);
    c->path = malloc(nbytes);
    if (c->prefix == NULL || c->path == NULL) {
        mxq_print_error("gen: %s", strerror(ENOMEM));
        return false;
    }
    if (folder != NULL)
        snprintf(c->prefix, nbytes, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/", name);
    else
        snprintf(c->prefix, nbytes, "%s", name);
    length = strlen(c->prefix);
    if (length > strlen(ending) && strcmp(c->prefix + length - strlen(ending), ending) == 0)
        c->prefix[length -= strlen(ending)] = '\0';
    if (c->prefix[length - 1] == '/') {
        mxq_print_error("gen: \"%s\" names a folder: give a prefix with -o", name);
        return false;
    }
    snprintf(c->path, nbytes, "%s%s", c->prefix, ending);
    return true;
}

static bool check_request(const struct request *r)
{
    if (!r->quantize.settings.input.source.raw)
        mxq_print_error("gen: no shape: give --shape");
    else if (!r->has_pattern)
        mxq_print_error("gen: no pattern: give --pattern");
    else if (!r->golden && r->needs_golden != NULL)
        mxq_print_error("gen: --%s needs --golden", r->needs_golden);
    else if (!r->golden && r->quantize.settings.result.format == MXQ_FORMAT_NPZ)
        mxq_print_error("gen: --format npz needs --golden");
    else
        return true;
    return false;
}

static bool complete_case(struct gen_case *c, const char *folder, const char *name)
{
    struct mxq_settings *settings = &c->request.quantize.settings;
    struct mxq_source_options *source = &settings->input.source;
    struct mxq_generated *g = &c->generated;

    if (!check_request(&c->request))
        return false;
    g->pattern = c->request.pattern;
    g->seed = c->request.seed;
    g->dtype = source->dtype; /* 0, which is BF16, unless it was given */
    g->rank = source->rank;
    memcpy(g->shape, source->shape, sizeof(g->shape));
    g->raw = settings->result.format == MXQ_FORMAT_RAW;
    g->nthreads = settings->nthreads;
    if (!mxq_measure_generated(g)) {
        mxq_print_error("gen: the shape is too large: its bytes cannot be counted in 63 bits");
        return false;
    }
    source->has_dtype = true;
    source->raw = g->raw;
    if (!name_files(c, folder, name))
        return false;
    settings->output = c->prefix;
    return !c->request.golden || mxq_complete_quantize_request(&c->request.quantize);
}

static bool make(const struct mxq_made_input *input, int fd, struct mxq_fault *fault)
{
    return mxq_write_generated(input->context, fd, false, input->path, fault);
}

static struct mxq_made_input describe_case(const struct gen_case *c, const char *place)
{
    return (struct mxq_made_input){
        .place = place,
        .path = c->path,
        .make = make,
        .context = &c->generated,
        .settings = c->request.golden ? &c->request.quantize.settings : NULL,
    };
}

static void free_case(struct gen_case *c)
{
    free(c->prefix);
    free(c->path);
}

/* ---- the command */

static bool run_made(const struct request *r, const char *folder, unsigned ninputs,
                     const struct mxq_made_input inputs[])
{
    json_t *reports = NULL;
    bool good;

    if (!mxq_run_made_job(&r->quantize.settings.outset, folder, ninputs, inputs, &reports))
        return false;
    good = mxq_print_job_reports(&r->quantize, reports);
    json_decref(reports);
    return good;
}

static bool write_stdout(const struct gen_case *c)
{
    struct mxq_fault fault;

    if (c->request.golden)
        mxq_print_error("gen: standard output takes the tensor alone, without --golden");
    else if (isatty(STDOUT_FILENO) && !c->request.quantize.settings.outset.force)
        mxq_print_error("gen: standard output is a terminal; -f writes to it all the same");
    else if (!mxq_write_generated(&c->generated, STDOUT_FILENO, true, "standard output", &fault))
        mxq_print_error("%s", fault.text);
    else
        return true;
    return false;
}

static bool run_single(const struct request *r)
{
    const char *output = r->quantize.settings.output;
    struct gen_case c = {.request = *r};
    struct mxq_made_input input;
    bool good = complete_case(&c, NULL, output);

    if (good && strcmp(output, "-") == 0) {
        good = write_stdout(&c);
    } else if (good) {
        input = describe_case(&c, NULL);
        good = run_made(r, NULL, 1, &input);
    }
    free_case(&c);
    return good;
}

static bool complete_cases(const struct request *r, const struct mxq_suite *suite, struct gen_case cases[],
                           struct mxq_made_input inputs[])
{
    bool good = true;

    for (size_t i = 0; i < suite->ncases && good; i++) {
        const struct mxq_suite_case *line = &suite->cases[i];
        cases[i].request = *r;
        cases[i].request.needs_golden = NULL; /* said to those that have it */
        mxq_set_message_place(line->place);
        good =
            parse_case(&cases[i].request, line) && complete_case(&cases[i], r->quantize.settings.output, line->argv[0]);
        inputs[i] = describe_case(&cases[i], line->place);
    }
    mxq_set_message_place(NULL);
    return good;
}

static bool run_cases(const struct request *r, const struct mxq_suite *suite)
{
    struct gen_case *cases = calloc(suite->ncases, sizeof(*cases));
    struct mxq_made_input *inputs = calloc(suite->ncases, sizeof(*inputs));
    bool good = cases != NULL && inputs != NULL;

    if (!good)
        mxq_print_error("gen: %s", strerror(ENOMEM));
    good = good && complete_cases(r, suite, cases, inputs) &&
           run_made(r, r->quantize.settings.output, (unsigned)suite->ncases, inputs);
    for (size_t i = 0; i < suite->ncases && cases != NULL; i++)
        free_case(&cases[i]);
    free(cases);
    free(inputs);
    return good;
}

static bool run_suite(const struct request *r)
{
    struct mxq_suite suite;
    bool good;

    if (strcmp(r->quantize.settings.output, "-") == 0) {
        mxq_print_error("gen: a suite takes a folder, not standard output");
        return false;
    }
    good = mxq_load_suite(r->suite, &suite) && run_cases(r, &suite);
    mxq_free_suite(&suite);
    return good;
}

static int run(int argc, char *argv[])
{
    struct request r;
    const char *value;
    bool good = false;
    int opt;

    memset(&r, 0, sizeof(r));
    mxq_init_quantize_request(&r.quantize);
    while ((opt = mxq_next_option(&mxq_cmd_gen, argc, argv, &value)) != -1)
        if (!parse_option(&r, opt, value))
            return MXQ_EXIT_TROUBLE;
    if (r.quantize.help) {
        mxq_print_help(&mxq_cmd_gen);
        return MXQ_EXIT_OK;
    }
    if (optind < argc)
        mxq_print_error("gen: \"%s\": there are no inputs; the output is given with -o", argv[optind]);
    else if (r.quantize.settings.output == NULL || r.quantize.settings.output[0] == '\0')
        mxq_print_error("gen: no output: give %s with -o", r.suite != NULL ? "a folder" : "a prefix");
    else
        good = r.suite != NULL ? run_suite(&r) : run_single(&r);
    return good ? MXQ_EXIT_OK : MXQ_EXIT_TROUBLE;
}

const struct mxq_command mxq_cmd_gen = {
    .name = "gen",
    .summary = "make tensors for golden vectors, the same everywhere, and the vectors",
    .synopsis = "[OPTION]... --shape SHAPE --pattern PATTERN -o OUT",
    .epilogue =
        "Patterns: uniform normal lognormal ties edges edges-finite zeros ramp outlier. See mxfp4q(5), GENERATOR.",
    .options = options,
    .run = run,
};
