/* names.c - the words for the values of the public enums */
#include "kernels/mxq.h"

#define NELEMS(array) (sizeof(array) / sizeof((array)[0]))

static const char *name_at(const char *const names[], size_t nnames, unsigned value)
{
    return value < nnames ? names[value] : NULL;
}

const char *mxq_describe_status(enum mxq_status status)
{
    switch (status) {
    case MXQ_OK:
        return "success";
    case MXQ_ERR_ARGUMENT:
        return "invalid argument";
    case MXQ_ERR_OVERFLOW:
        return "size overflow: the result does not fit in 64 bits";
    case MXQ_ERR_PANEL:
        return "panel not aligned or outside the matrix";
    case MXQ_ERR_KERNEL:
        return "unknown kernel, or one that this machine cannot run";
    case MXQ_ERR_DEVICE:
        return "no GPU, or one that failed";
    }
    return "unknown status";
}

size_t mxq_dtype_nbytes(enum mxq_dtype dtype)
{
    return dtype == MXQ_F32 ? 4 : 2;
}

const char *mxq_dtype_name(enum mxq_dtype dtype)
{
    static const char *const names[] = {"bf16", "f16", "f32"};

    return name_at(names, NELEMS(names), dtype);
}

const char *mxq_direction_name(enum mxq_direction direction)
{
    static const char *const names[] = {"rowwise", "columnwise"};

    return name_at(names, NELEMS(names), direction);
}

const char *mxq_buffer_name(enum mxq_buffer buffer)
{
    static const char *const names[] = {"rowwise_data", "rowwise_scale", "columnwise_data", "columnwise_scale"};

    return name_at(names, NELEMS(names), buffer);
}

const char *mxq_scale_rule_name(enum mxq_scale_rule rule)
{
    static const char *const names[] = {"even", "floor", "ceil", "rceil", "even-above", "nearlog"};

    return name_at(names, NELEMS(names), rule);
}

const char *mxq_ties_name(enum mxq_ties ties)
{
    static const char *const names[] = {"even", "away", "zero", "stochastic"};

    return name_at(names, NELEMS(names), ties);
}

const char *mxq_sign_name(enum mxq_sign sign)
{
    static const char *const names[] = {"keep", "value", "drop", "nonpositive"};

    return name_at(names, NELEMS(names), sign);
}

const char *mxq_underflow_name(enum mxq_underflow underflow)
{
    static const char *const names[] = {"plain", "exact", "wrap", "normal", "unscaled", "raised"};

    return name_at(names, NELEMS(names), underflow);
}

const char *mxq_sixth_name(enum mxq_sixth sixth)
{
    static const char *const names[] = {"product", "quotient"};

    return name_at(names, NELEMS(names), sixth);
}

const char *mxq_block_name(enum mxq_block block)
{
    static const char *const names[] = {"1x32", "32x32"};

    return name_at(names, NELEMS(names), block);
}

const char *mxq_layout_name(enum mxq_layout layout)
{
    static const char *const names[] = {"linear", "aiter"};

    return name_at(names, NELEMS(names), layout);
}
