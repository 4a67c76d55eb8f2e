/* input_options.c - the options that say how an input is read */
#include "cli/input_options.h"

#include "cli/msg.h"
#include "cli/words.h"

#include <string.h>

void mxq_init_input_request(struct mxq_input_request *request)
{
    memset(request, 0, sizeof(*request));
    request->source.warn = mxq_warn_user;
    request->flatten = MXQ_FLATTEN_LAST;
}

bool mxq_parse_input_option(struct mxq_input_request *request, int opt, const char *value)
{
    struct mxq_source_options *source = &request->source;
    unsigned word;

    switch (opt) {
    case MXQ_OPT_DTYPE:
        if (!mxq_parse_word("--dtype", value, mxq_dtype_word, &word))
            return false;
        source->dtype = word;
        source->has_dtype = true;
        return true;
    case MXQ_OPT_SHAPE:
        source->raw = true;
        return mxq_parse_shape("--shape", value, source->shape, MXQ_MAX_RANK, &source->rank);
    case MXQ_OPT_OFFSET:
        source->has_offset = true;
        return mxq_parse_u64("--offset", value, INT64_MAX, &source->offset);
    case MXQ_OPT_PARTIAL:
        source->partial = true;
        return true;
    case MXQ_OPT_MEMBER:
        source->member = value;
        return true;
    default: /* MXQ_OPT_FLATTEN */
        return mxq_parse_int("--flatten", value, -MXQ_MAX_RANK, MXQ_MAX_RANK, &request->flatten);
    }
}

bool mxq_check_input_request(const char *command, const struct mxq_input_request *request)
{
    const struct mxq_source_options *source = &request->source;

    if (source->raw && !source->has_dtype)
        mxq_print_error("%s: --shape needs --dtype", command);
    else if (!source->raw && (source->has_offset || source->partial))
        mxq_print_error("%s: --offset and --partial need --shape", command);
    else if (source->raw && source->member != NULL)
        mxq_print_error("%s: a raw input (--shape) has no --member", command);
    else
        return true;
    return false;
}
