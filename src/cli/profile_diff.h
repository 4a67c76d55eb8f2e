/*
 * profile_diff.h - on which inputs two profiles differ: found out by quantizing them
 *
 * What is tried: every BF16 amax, and FP32 ones between them; under ordinary, tiny and huge scales that both profiles agree
 * on, every BF16 value of either sign near amax, every one at all under some; infinities and NaNs beside finite values and
 * by themselves; padding. Inputs that differ are counted by the class that they belong to.
 */
#ifndef MXQ_PROFILE_DIFF_H
#define MXQ_PROFILE_DIFF_H

#include "cli/profile_probe.h"

#include <jansson.h>

/* By amax first, then by value under a scale that both have, then blocks with what is not finite, then what is no value. */
enum mxq_input_class {
    MXQ_AMAX_ZERO,
    MXQ_AMAX_SUBNORMAL,
    MXQ_AMAX_TINY,
    MXQ_AMAX_POWER,
    MXQ_AMAX_BELOW_3_2,
    MXQ_AMAX_3_2,
    MXQ_AMAX_BELOW_7_4,
    MXQ_AMAX_7_4,
    MXQ_AMAX_ABOVE_7_4,
    MXQ_AMAX_HUGE,
    MXQ_AMAX_INFINITE,
    MXQ_AMAX_F32_ONLY,
    MXQ_VALUE_TIE, /* the first of seven */
    MXQ_VALUE_MINUS_ZERO = MXQ_VALUE_TIE + 7,
    MXQ_VALUE_PLUS_ZERO,
    MXQ_VALUE_SMALL,
    MXQ_VALUE_VANISHING,
    MXQ_VALUE_UNSCALED,
    MXQ_VALUE_OTHER,
    MXQ_VALUE_TINY_SCALE, /* of any class above that does not differ under ordinary scales */
    MXQ_WITH_NAN,
    MXQ_WITH_NEGATIVE_NAN,
    MXQ_WITH_NANS_ONLY,
    MXQ_WITH_NAN_AND_INFINITY,
    MXQ_PAST_THE_END,
    MXQ_PADDING,
    MXQ_NUM_INPUT_CLASSES
};

struct mxq_class_difference {
    uint64_t ntried;
    uint64_t ndifferent;
    bool positive, negative;  /* of values: with which sign */
    uint32_t lowest, highest; /* of an amax in BF16: fractions that differ, and biased exponents */
    uint32_t lowest_exponent, highest_exponent;
    struct mxq_probed example; /* padding has no values, and its byte as scale */
};

struct mxq_profile_difference {
    const struct mxq_profile *profile[2];
    struct mxq_class_difference classes[MXQ_NUM_INPUT_CLASSES];
};

bool mxq_compare_profiles(const struct mxq_profile *a, const struct mxq_profile *b,
                          struct mxq_profile_difference *difference, struct mxq_fault *fault);

/* Whether there is none, as far as was tried. */
bool mxq_profiles_agree(const struct mxq_profile_difference *difference);

/* profile_diff_report.c */
void mxq_print_profile_difference(const struct mxq_profile_difference *difference);

/* NULL without memory. */
json_t *mxq_pack_profile_difference(const struct mxq_profile_difference *difference);

#endif /* MXQ_PROFILE_DIFF_H */
