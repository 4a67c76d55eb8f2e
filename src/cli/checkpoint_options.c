/* checkpoint_options.c - the options of mxfp4q quantize for checkpoints */
#include "cli/checkpoint_options.h"

#include "cli/gguf_job.h"
#include "cli/msg.h"
#include "cli/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_MEMORY ((uint64_t)1 << 30)
#define MAX_TP 4096

bool mxq_init_checkpoint_settings(struct mxq_checkpoint_settings *s, int argc)
{
    memset(s, 0, sizeof(*s));
    s->tp = 1;
    s->memory_nbytes = DEFAULT_MEMORY;
    s->includes = calloc((size_t)argc + 1, sizeof(*s->includes));
    s->excludes = calloc((size_t)argc + 1, sizeof(*s->excludes));
    if (s->includes != NULL && s->excludes != NULL)
        return true;
    mxq_print_error("quantize: %s", strerror(ENOMEM));
    mxq_free_checkpoint_settings(s);
    return false;
}

void mxq_free_checkpoint_settings(struct mxq_checkpoint_settings *s)
{
    free(s->includes);
    free(s->excludes);
    s->includes = s->excludes = NULL;
}

const char *mxq_any_format_word(unsigned value)
{
    unsigned nwords = 0;

    while (mxq_format_word(nwords) != NULL)
        nwords++;
    if (value < nwords)
        return mxq_format_word(value);
    if (value - nwords < MXQ_NUM_CHECKPOINT_FORMATS)
        return mxq_checkpoint_format_word(value - nwords);
    return value - nwords == MXQ_NUM_CHECKPOINT_FORMATS ? MXQ_GGUF_FORMAT : NULL;
}

static const char *option_name(int opt)
{
    static const struct mxq_option rows[] = {MXQ_CHECKPOINT_OPTIONS};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].id == opt)
            return rows[i].name;
    return "";
}

bool mxq_parse_checkpoint_option(struct mxq_checkpoint_settings *s, int opt, const char *value)
{
    if (s->first == NULL)
        s->first = option_name(opt);
    switch (opt) {
    case MXQ_OPT_INCLUDE:
        s->includes[s->nincludes++] = value;
        return true;
    case MXQ_OPT_EXCLUDE:
        s->excludes[s->nexcludes++] = value;
        return true;
    case MXQ_OPT_TP:
        return mxq_parse_int("--tp", value, 1, MAX_TP, &s->tp);
    case MXQ_OPT_MEMORY:
        return mxq_parse_size("--memory", value, (uint64_t)1 << 50, &s->memory_nbytes);
    case MXQ_OPT_DRY_RUN:
        return s->dry_run = true;
    case MXQ_OPT_RESUME:
        return s->resume = true;
    case MXQ_OPT_DELETE_SOURCE:
        return s->delete_source = true;
    default:
        return s->no_measure = true;
    }
}

static const char *matrix_option(int opt)
{
    static const struct mxq_option input[] = {MXQ_INPUT_OPTIONS};

    switch (opt) {
    case MXQ_OPT_DIRECTION:
        return "direction";
    case MXQ_OPT_LAYOUT:
        return "layout";
    case MXQ_OPT_SHUFFLE:
        return "shuffle";
    case MXQ_OPT_TAIL:
        return "tail";
    case MXQ_OPT_GZIP:
        return "gzip";
    case MXQ_OPT_ONLY:
        return "only";
    default:
        for (size_t i = 0; i < sizeof(input) / sizeof(input[0]); i++)
            if (input[i].id == opt)
                return input[i].name;
        return NULL;
    }
}

void mxq_note_quantize_option(struct mxq_checkpoint_settings *s, int opt, const char *value)
{
    if (opt == MXQ_OPT_FORMAT)
        s->format = value;
    if (opt == MXQ_OPT_PROFILE)
        s->has_profile = true;
    if (opt == MXQ_OPT_PAD_FILL)
        s->has_pad_fill = true;
    if (s->foreign == NULL)
        s->foreign = matrix_option(opt);
}

static bool has_transform(const struct mxq_quantize_request *quantize)
{
    return quantize->hadamard_nelems != 0 || quantize->has_signs || quantize->settings.has_hadamard_seed;
}

static bool check_format(const struct mxq_checkpoint_settings *s, const struct mxq_quantize_request *quantize,
                         enum mxq_checkpoint_format format)
{
    const char *word = mxq_checkpoint_format_word(format);
    const bool free_layout = format == MXQ_CHECKPOINT_BUFFERS;

    if (s->has_pad_fill && !free_layout)
        mxq_print_error("quantize: --pad-fill: format %s has no padding", word);
    else if (has_transform(quantize) && !free_layout && format != MXQ_CHECKPOINT_NATIVE)
        mxq_print_error("quantize: --hadamard: what loads format %s could not undo it; native and buffers take it",
                        word);
    else
        return true;
    return false;
}

bool mxq_complete_checkpoint_request(struct mxq_checkpoint_settings *s, struct mxq_quantize_request *quantize,
                                     struct mxq_checkpoint_request *request)
{
    unsigned format = MXQ_CHECKPOINT_QUARK;

    if (s->foreign != NULL) {
        mxq_print_error("quantize: --%s is for matrices, not for checkpoints", s->foreign);
        return false;
    }
    if (s->format != NULL && strcmp(s->format, MXQ_GGUF_FORMAT) == 0) {
        mxq_print_error("quantize: --format gguf: a GGUF file is made of another one only");
        return false;
    }
    if ((s->format != NULL && !mxq_parse_word("--format", s->format, mxq_checkpoint_format_word, &format)) ||
        !check_format(s, quantize, format))
        return false;
    if (quantize->profile == NULL)
        quantize->profile = mxq_checkpoint_format_profile(format)->name;
    if (!mxq_complete_quantize_request(quantize))
        return false;
    if (quantize->settings.device.kind == MXQ_DEVICE_GPU) {
        mxq_print_error("quantize: checkpoints are quantized on CPUs, not on GPUs");
        return false;
    }
    *request = (struct mxq_checkpoint_request){
        .format = format,
        .quantize = quantize->settings.quantize,
        .profile = quantize->settings.profile,
        .nonfinite_allowed = quantize->settings.nonfinite_allowed,
        .nincludes = s->nincludes,
        .includes = s->includes,
        .nexcludes = s->nexcludes,
        .excludes = s->excludes,
        .tp = (unsigned)s->tp,
    };
    return true;
}
