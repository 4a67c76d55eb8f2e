/* cmd_quantize.c - mxfp4q quantize: the main job's command line */
#include "cli/checkpoint_job.h"
#include "cli/checkpoint_options.h"
#include "cli/gguf_job.h"
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
    {'o', "output", "OUT",
     "prefix; folder/, for several tensors or a checkpoint, too; NAME.npz for all; - with --only"},
    MXQ_FORMAT_OPTIONS("npy, raw or npz [npy]; of a checkpoint: see below [quark]"),
    {0, NULL, NULL, "Checkpoints"},
    MXQ_CHECKPOINT_OPTIONS,
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

/* A checkpoint is the only input; other inputs have options of their own. */
static bool check_kind(const struct mxq_checkpoint_settings *checkpoint, bool is_raw, int noperands, char *operands[],
                       bool *is_checkpoint)
{
    unsigned ncheckpoints = 0;

    /* With a shape, whatever the file is called, it is raw. */
    for (int i = 0; i < noperands && !is_raw; i++)
        ncheckpoints += mxq_names_checkpoint(operands[i]) || mxq_names_gguf(operands[i]);
    *is_checkpoint = ncheckpoints == 1 && noperands == 1;
    if (ncheckpoints > 0 && !*is_checkpoint)
        mxq_print_error("quantize: a checkpoint must be the only input");
    else if (!*is_checkpoint && checkpoint->first != NULL)
        mxq_print_error(
            "quantize: --%s is for checkpoints: folders, .safetensors files and their index, and GGUF files",
            checkpoint->first);
    else
        return true;
    return false;
}

static bool run_matrices(struct mxq_quantize_request *r, const struct mxq_checkpoint_settings *checkpoint,
                         int noperands, char *operands[])
{
    const bool reported = r->json || r->settings.measure;
    json_t *reports = NULL;
    bool good;

    if (checkpoint->format != NULL && !mxq_parse_quantize_option(r, MXQ_OPT_FORMAT, checkpoint->format))
        return false;
    if (!complete_request(r, noperands))
        return false;
    if (!mxq_run_job(&r->settings, (unsigned)noperands, operands, reported ? &reports : NULL))
        return false;
    good = mxq_print_job_reports(r, reports);
    json_decref(reports);
    return good;
}

/* --format is understood when it is known what is quantized. */
static bool parse_option(struct mxq_quantize_request *r, struct mxq_checkpoint_settings *checkpoint, int opt,
                         const char *value)
{
    unsigned word;

    if (mxq_is_checkpoint_option(opt))
        return mxq_parse_checkpoint_option(checkpoint, opt, value);
    mxq_note_quantize_option(checkpoint, opt, value);
    if (opt == MXQ_OPT_FORMAT)
        return mxq_parse_word("--format", value, mxq_any_format_word, &word);
    return mxq_parse_quantize_option(r, opt, value);
}

static bool parse_and_run(struct mxq_checkpoint_settings *checkpoint, int argc, char *argv[])
{
    struct mxq_quantize_request r;
    bool is_checkpoint;
    const char *value;
    int opt;

    mxq_init_quantize_request(&r);
    while ((opt = mxq_next_option(&mxq_cmd_quantize, argc, argv, &value)) != -1)
        if (opt == '?' || !parse_option(&r, checkpoint, opt, value))
            return false;
    if (r.help) {
        mxq_print_help(&mxq_cmd_quantize);
        return true;
    }
    if (!check_kind(checkpoint, r.settings.input.source.raw, argc - optind, argv + optind, &is_checkpoint))
        return false;
    if (!is_checkpoint)
        return run_matrices(&r, checkpoint, argc - optind, argv + optind);
    return mxq_names_gguf(argv[optind]) ? mxq_run_gguf_job(checkpoint, &r, argv[optind])
                                        : mxq_run_checkpoint_job(checkpoint, &r, argv[optind]);
}

static int run(int argc, char *argv[])
{
    struct mxq_checkpoint_settings checkpoint;
    bool good;

    if (!mxq_init_checkpoint_settings(&checkpoint, argc))
        return MXQ_EXIT_TROUBLE;
    good = parse_and_run(&checkpoint, argc, argv);
    mxq_free_checkpoint_settings(&checkpoint);
    return good ? MXQ_EXIT_OK : MXQ_EXIT_TROUBLE;
}

const struct mxq_command mxq_cmd_quantize = {
    .name = "quantize",
    .summary = "make MXFP4 of matrices in .npy, .npz, raw and gzip files, or of a whole checkpoint",
    .synopsis = "[OPTION]... INPUT... -o OUT",
    .epilogue =
        "Formats of checkpoints: quark, compressed-tensors, gpt-oss, native, buffers; of a GGUF file: gguf.\n"
        "Profiles: te-hip te-triton aiter aiter-even quark torchao-floor torchao-even torchao-rceil torchao-ceil\n"
        "triton-kernels ggml compressed-tensors modelopt flashinfer microxcaling fbgemm-even primus-hip\n"
        "primus-triton aiter-hip-floor mlx-cpu mlx-gpu mlx-cpu-nearlog mlx-gpu-nearlog. See mxfp4q(1) and mxfp4q(5).",
    .options = options,
    .run = run,
};
