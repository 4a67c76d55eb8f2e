/*
 * profile_list.h - saying what profiles do and what proves them: a table of all, each in words, and as JSON
 */
#ifndef MXQ_PROFILE_LIST_H
#define MXQ_PROFILE_LIST_H

#include "io/fault.h"
#include "kernels/mxq.h"

#include <jansson.h>

/* Each takes as many profiles as there are. Bytes of special inputs are what the library makes of them, so it can fail. */
bool mxq_print_profile_table(const struct mxq_profile *const profiles[], unsigned nprofiles, struct mxq_fault *fault);
bool mxq_print_profile_words(const struct mxq_profile *const profiles[], unsigned nprofiles, struct mxq_fault *fault);

/* An array; NULL on a fault. */
json_t *mxq_pack_profiles(const struct mxq_profile *const profiles[], unsigned nprofiles, struct mxq_fault *fault);

#endif /* MXQ_PROFILE_LIST_H */
