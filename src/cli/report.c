/* report.c - saying how much a quantization cost */
#include "cli/report.h"

#include <math.h>
#include <stdio.h>

/* JSON has neither infinity nor NaN. */
static json_t *pack_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *pack_distortion(const struct mxq_distortion *d)
{
    const double n = d->nelems ? (double)d->nelems : 1.0;

    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o}", "elements", (json_int_t)d->nelems, "snr_db",
                     pack_real(10.0 * log10(d->signal / d->noise)), "mse", pack_real(d->noise / n), "cosine",
                     pack_real(d->product / sqrt(d->signal * d->decoded)), "largest_error", pack_real(d->largest),
                     "saturated", pack_real((double)d->nsaturated / n));
}

json_t *mxq_pack_report(const struct mxq_options *options, const struct mxq_distortion distortion[MXQ_NUM_DIRECTIONS])
{
    json_t *report = json_object();

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        if (options->wanted[d])
            json_object_set_new(report, mxq_direction_name(d), pack_distortion(&distortion[d]));
    return report;
}

static void print_cell(const json_t *row, const char *key, const char *format)
{
    const json_t *cell = json_object_get(row, key);

    if (json_is_number(cell))
        printf(format, json_number_value(cell));
    else
        printf("%13s", "-");
}

void mxq_print_report(const json_t *report)
{
    const char *direction;
    json_t *row;

    printf("%-12s%13s%13s%13s%13s%13s\n", "direction", "SNR dB", "MSE", "cosine", "largest err", "saturated");
    json_object_foreach((json_t *)(uintptr_t)report, direction, row)
    {
        printf("%-12s", direction);
        print_cell(row, "snr_db", "%13.3f");
        print_cell(row, "mse", "%13.4e");
        print_cell(row, "cosine", "%13.6f");
        print_cell(row, "largest_error", "%13.4e");
        print_cell(row, "saturated", "%13.6f");
        printf("\n");
    }
}
