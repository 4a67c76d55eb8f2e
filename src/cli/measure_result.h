/*
 * measure_result.h - how far a stored result is from the tensor that it was made from
 */
#ifndef MXQ_MEASURE_RESULT_H
#define MXQ_MEASURE_RESULT_H

#include "cli/input_options.h"

#include <jansson.h>

/*
 * The report (report.h) of the result at path, which must have a manifest, against the tensor in the file called source,
 * to be read as input says. A fault when their shapes differ; a warning when source is not the tensor that the manifest
 * tells of. NULL on a fault.
 */
json_t *mxq_measure_result(const struct mxq_input_request *input, const char *source, const char *path,
                           struct mxq_fault *fault);

#endif /* MXQ_MEASURE_RESULT_H */
