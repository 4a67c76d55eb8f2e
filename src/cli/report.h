/* report.h - saying how much a quantization cost: SNR, MSE, cosine, saturation, histograms of codes and scales */
#ifndef MXQ_REPORT_H
#define MXQ_REPORT_H

#include "kernels/mxq.h"

#include <jansson.h>

/*
 * {"rowwise": {"snr_db": ..., "codes": [16 counts], "scale_bytes": {"118": count, ...}}, ...} for the wanted directions. An
 * infinite SNR is null. NULL when there is no memory.
 */
json_t *mxq_pack_report(const struct mxq_options *options, const struct mxq_distortion distortion[MXQ_NUM_DIRECTIONS],
                        const struct mxq_histogram histogram[MXQ_NUM_DIRECTIONS]);

/* Prints the tables of one tensor to standard output from the object that mxq_run_job() made. */
void mxq_print_report(const json_t *report);

#endif /* MXQ_REPORT_H */
