/* cmd_quantize.c - mxfp4q quantize: the main job's command line */
#include "cli/input_options.h"
#include "cli/job.h"
#include "cli/main.h"
#include "cli/msg.h"
#include "cli/quantize_options.h"

#include <getopt.h>
#include <string.h>
#include <unistd.h>

static const struct mxq_option options[] = {
    {0, NULL, NULL, "Output"},
    {'o', "output", "OUT", "prefix; a folder if it ends in / or several tensors come; NAME.npz for all; - with --only"},
    MXQ_OUTPUT_OPTIONS,
    {0, NULL, NULL, "What is computed"},
    MXQ_RECIPE_OPTIONS("seed"),
    {0, NULL, NULL, "Layout"},
    MXQ_LAYOUT_OPTIONS,
    {0, NULL, NULL, "Input"},
    MXQ_INPUT_OPTIONS,
    {0, NULL, NULL, "Running"},
    MXQ_RUNNING_OPTIONS,
    {0, NULL, NULL, "Messages"},
    MXQ_MESSAGE_OPTIONS,
    {0, NULL, NULL, NULL},
};

/* One buffer alone may go to standard output. */
static bool check_stdout(struct mxq_quantize_request *r)
{
    struct mxq_settings *settings = &r->settings;

    settings->to_stdout = strcmp(settings->output, "-") == 0;
    settings->result.to_stdout = settings->to_stdout;
    if (!settings->to_stdout)
        return true;
    if (settings->only < 0)
        mxq_print_error("quantize: -o - takes one buffer: say which with --only");
    else if (r->json || settings->measure)
        mxq_print_error("quantize: standard output carries the buffer, so there is no room for --json or --report");
    else if (isatty(STDOUT_FILENO) && !settings->outset.force)
        mxq_print_error("quantize: standard output is a terminal; -f writes to it all the same");
    else
        return true;
    return false;
}

/* An archive of all tensors holds .npy files; --format npz says the same again. */
static bool check_archive(struct mxq_quantize_request *r)
{
    struct mxq_result_options *result = &r->settings.result;

    if (r->settings.to_stdout || !mxq_names_archive(r->settings.output))
        return true;
    if (result->format == MXQ_FORMAT_RAW) {
        mxq_print_error("quantize: an .npz holds .npy files, so there is no --format raw for it");
        return false;
    }
    result->format = MXQ_FORMAT_NPY;
    return true;
}

static bool complete_request(struct mxq_quantize_request *r, int noperands)
{
    if (noperands == 0) {
        mxq_print_error("quantize: no input (see mxfp4q quantize --help)");
        return false;
    }
    if (r->settings.output == NULL || r->settings.output[0] == '\0') {
        mxq_print_error("quantize: no output: give a prefix with -o");
        return false;
    }
    return mxq_check_input_request("quantize", &r->settings.input) && check_stdout(r) && check_archive(r) &&
           mxq_complete_quantize_request(r);
}

static int run(int argc, char *argv[])
{
    struct mxq_quantize_request r;
    const char *value;
    json_t *reports = NULL;
    bool reported, good;
    int opt;

    mxq_init_quantize_request(&r);
    while ((opt = mxq_next_option(&mxq_cmd_quantize, argc, argv, &value)) != -1)
        if (opt == '?' || !mxq_parse_quantize_option(&r, opt, value))
            return MXQ_EXIT_TROUBLE;
    if (r.help) {
        mxq_print_help(&mxq_cmd_quantize);
        return MXQ_EXIT_OK;
    }
    if (!complete_request(&r, argc - optind))
        return MXQ_EXIT_TROUBLE;
    reported = r.json || r.settings.measure;
    if (!mxq_run_job(&r.settings, (unsigned)(argc - optind), argv + optind, reported ? &reports : NULL))
        return MXQ_EXIT_TROUBLE;
    good = mxq_print_job_reports(&r, reports);
    json_decref(reports);
    return good ? MXQ_EXIT_OK : MXQ_EXIT_TROUBLE;
}

const struct mxq_command mxq_cmd_quantize = {
    .name = "quantize",
    .summary = "make MXFP4 buffers and a manifest from matrices in .npy, .npz, raw and gzip files",
    .synopsis = "[OPTION]... INPUT... -o OUT",
    .epilogue =
        "Profiles: te-hip te-triton aiter aiter-even quark torchao-floor torchao-even torchao-rceil torchao-ceil\n"
        "triton-kernels ggml compressed-tensors modelopt flashinfer microxcaling fbgemm-even primus-hip\n"
        "primus-triton aiter-hip-floor mlx-cpu mlx-gpu mlx-cpu-nearlog mlx-gpu-nearlog. See mxfp4q(1) and mxfp4q(5).",
    .options = options,
    .run = run,
};
