/*
 * suggest.h - names that the user may have meant
 */
#ifndef MXQ_SUGGEST_H
#define MXQ_SUGGEST_H

#include "cli/options.h"

#include <stddef.h>

/*
 * Writes the names nearest to text, at most three, as "te-hip, te-triton or ggml" into suggestion; an empty text when none is
 * near: one that takes few letters to change, or that one of both begins or ends with the other.
 */
void mxq_suggest_names(const char *text, mxq_name_func name, char *suggestion, size_t nbytes);

#endif /* MXQ_SUGGEST_H */
