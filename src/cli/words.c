/* words.c - the words that options take: those of the enums of mxq.h, by plain numbers */
#include "cli/words.h"

#include "io/result.h"
#include "kernels/mxq.h"

const char *mxq_dtype_word(unsigned value)
{
    return mxq_dtype_name((enum mxq_dtype)value);
}

const char *mxq_scale_word(unsigned value)
{
    return mxq_scale_rule_name((enum mxq_scale_rule)value);
}

const char *mxq_ties_word(unsigned value)
{
    return mxq_ties_name((enum mxq_ties)value);
}

const char *mxq_block_word(unsigned value)
{
    return mxq_block_name((enum mxq_block)value);
}

const char *mxq_sign_word(unsigned value)
{
    return mxq_sign_name((enum mxq_sign)value);
}

const char *mxq_buffer_word(unsigned value)
{
    return mxq_buffer_name((enum mxq_buffer)value);
}

const char *mxq_layout_word(unsigned value)
{
    return mxq_layout_name((enum mxq_layout)value);
}

const char *mxq_format_word(unsigned value)
{
    return mxq_format_name((enum mxq_format)value);
}

const char *mxq_profile_word(unsigned value)
{
    const struct mxq_profile *profile = mxq_get_profile(value);

    return profile != NULL ? profile->name : NULL;
}

const char *mxq_direction_word(unsigned value)
{
    return mxq_direction_name((enum mxq_direction)value);
}

const char *mxq_directions_word(unsigned value)
{
    return value == MXQ_NUM_DIRECTIONS ? "both" : mxq_direction_name((enum mxq_direction)value);
}
