/*
 * input_options.h - the options that say how an input is read, for every command that reads one
 */
#ifndef MXQ_INPUT_OPTIONS_H
#define MXQ_INPUT_OPTIONS_H

#include "cli/options.h"
#include "io/tensor.h"

enum mxq_input_option {
    MXQ_OPT_DTYPE = 512,
    MXQ_OPT_SHAPE,
    MXQ_OPT_OFFSET,
    MXQ_OPT_PARTIAL,
    MXQ_OPT_MEMBER,
    MXQ_OPT_FLATTEN,
    MXQ_OPT_INPUT_END
};

/* Rows for a command's table. */
#define MXQ_INPUT_OPTIONS                                                                                              \
    {MXQ_OPT_DTYPE, "dtype", "DTYPE", "bf16, f16 or f32: of raw files, and of .npy with 16-bit integers"},             \
        {MXQ_OPT_SHAPE, "shape", "SHAPE", "the input is raw, with this shape: 8x32x1024"},                             \
        {MXQ_OPT_OFFSET, "offset", "BYTES", "skip this much of a raw input; anything may follow the tensor"},          \
        {MXQ_OPT_PARTIAL, "partial", NULL, "a raw input may be longer than the tensor"},                               \
        {MXQ_OPT_MEMBER, "member", "NAME", "take this array of an .npz [all]"},                                        \
    {                                                                                                                  \
        MXQ_OPT_FLATTEN, "flatten", "AXIS", "rows are the axes before AXIS, columns those from it on [the last]"       \
    }

struct mxq_input_request {
    struct mxq_source_options source;
    int32_t flatten;
};

/* No options given; warnings go to the user. */
void mxq_init_input_request(struct mxq_input_request *request);

static inline bool mxq_is_input_option(int opt)
{
    return opt >= MXQ_OPT_DTYPE && opt < MXQ_OPT_INPUT_END;
}

/* False: the value is wrong, and the user has been told. */
bool mxq_parse_input_option(struct mxq_input_request *request, int opt, const char *value);

/* Options that need each other, once all are known. */
bool mxq_check_input_request(const char *command, const struct mxq_input_request *request);

#endif /* MXQ_INPUT_OPTIONS_H */
