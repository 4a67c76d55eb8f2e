/* report.c - saying how much a quantization cost */
#include "cli/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUM_CODES 16
#define NUM_SCALES 256

/* Columns that the longest bar of a histogram takes. */
#define BAR_LENGTH 18

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

/* What is half built for want of memory becomes NULL. */
static json_t *keep_if(bool good, json_t *value)
{
    if (good)
        return value;
    json_decref(value);
    return NULL;
}

static json_t *pack_codes(const struct mxq_histogram *h)
{
    json_t *counts = json_array();
    bool good = counts != NULL;

    for (unsigned i = 0; i < NUM_CODES; i++)
        good = good && json_array_append_new(counts, json_integer((json_int_t)h->codes[i])) == 0;
    return keep_if(good, counts);
}

static json_t *pack_scale_bytes(const struct mxq_histogram *h)
{
    json_t *counts = json_object();
    bool good = counts != NULL;
    char key[4];

    for (unsigned i = 0; i < NUM_SCALES; i++) {
        snprintf(key, sizeof(key), "%u", i & 255);
        if (h->scales[i] != 0)
            good = good && json_object_set_new(counts, key, json_integer((json_int_t)h->scales[i])) == 0;
    }
    return keep_if(good, counts);
}

static json_t *pack_direction(const struct mxq_distortion *distortion, const struct mxq_histogram *histogram)
{
    json_t *row = pack_distortion(distortion);

    return keep_if(row != NULL && json_object_set_new(row, "codes", pack_codes(histogram)) == 0 &&
                       json_object_set_new(row, "scale_bytes", pack_scale_bytes(histogram)) == 0,
                   row);
}

json_t *mxq_pack_report(const struct mxq_options *options, const struct mxq_distortion distortion[MXQ_NUM_DIRECTIONS],
                        const struct mxq_histogram histogram[MXQ_NUM_DIRECTIONS])
{
    json_t *report = json_object();
    bool good = report != NULL;

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        if (options->wanted[d])
            good = good && json_object_set_new(report, mxq_direction_name(d),
                                               pack_direction(&distortion[d], &histogram[d])) == 0;
    return keep_if(good, report);
}

/* ---- the histograms */

/* One column of a histogram: a direction's counts. */
struct counts {
    const char *direction;
    uint64_t count[NUM_SCALES];
    uint64_t total;
    uint64_t most;
};

static void add_count(struct counts *counts, unsigned i, const json_t *number)
{
    const uint64_t n = (uint64_t)json_integer_value(number);

    counts->count[i] = n;
    counts->total += n;
    if (n > counts->most)
        counts->most = n;
}

/* Of codes (an array) or of scale bytes (an object), for each direction. Returns the number of directions. */
static unsigned collect_counts(const json_t *report, const char *key, unsigned nrows, struct counts *counts)
{
    unsigned ncolumns = 0;
    const char *direction;
    json_t *row;

    json_object_foreach((json_t *)(uintptr_t)report, direction, row)
    {
        const json_t *numbers = json_object_get(row, key);
        struct counts *column = &counts[ncolumns++];
        memset(column, 0, sizeof(*column));
        column->direction = direction;
        for (unsigned i = 0; i < nrows; i++) {
            char name[4];
            snprintf(name, sizeof(name), "%u", i & 255);
            add_count(column, i, json_is_array(numbers) ? json_array_get(numbers, i) : json_object_get(numbers, name));
        }
    }
    return ncolumns;
}

/* A share and a bar; no spaces at the end of the last one. */
static void print_bar(const struct counts *counts, unsigned i, bool last)
{
    static const char bar[] = "##################";
    const double n = (double)counts->count[i];
    const double most = counts->most != 0 ? (double)counts->most : 1.0;
    /* What occurs at all is seen. */
    const int length = counts->count[i] != 0 ? 1 + (int)(n / most * (BAR_LENGTH - 1) + 0.5) : 0;

    printf("  %9.4f %%", counts->total != 0 ? n * 100.0 / (double)counts->total : 0.0);
    if (length > 0)
        printf(" %.*s", length, bar);
    if (!last)
        printf("%*s", BAR_LENGTH - length + (length > 0 ? 0 : 1), "");
}

static void print_bars(const struct counts *counts, unsigned ncolumns, unsigned i)
{
    for (unsigned column = 0; column < ncolumns; column++)
        print_bar(&counts[column], i, column + 1 == ncolumns);
    printf("\n");
}

static void print_heads(const char *first, const char *second, const struct counts *counts, unsigned ncolumns)
{
    printf("%5s%8s", first, second);
    /* 11 characters of a share and a space go before a bar. */
    for (unsigned column = 0; column < ncolumns; column++)
        printf("  %-*s", column + 1 == ncolumns ? 0 : 12 + BAR_LENGTH, counts[column].direction);
    printf("\n");
}

static bool occurs(const struct counts *counts, unsigned ncolumns, unsigned i)
{
    bool found = false;

    for (unsigned column = 0; column < ncolumns; column++)
        found |= counts[column].count[i] != 0;
    return found;
}

static void print_codes(const json_t *report)
{
    static const char *const values[NUM_CODES] = {"0",  "0.5",  "1",  "1.5",  "2",  "3",  "4",  "6",
                                                  "-0", "-0.5", "-1", "-1.5", "-2", "-3", "-4", "-6"};
    struct counts counts[MXQ_NUM_DIRECTIONS];
    const unsigned ncolumns = collect_counts(report, "codes", NUM_CODES, counts);

    print_heads("code", "value", counts, ncolumns);
    for (unsigned i = 0; i < NUM_CODES; i++) {
        printf("%5u%8s", i, values[i]);
        print_bars(counts, ncolumns, i);
    }
}

static void print_scale(unsigned byte)
{
    char text[8] = "NaN";

    if (byte < NUM_SCALES - 1)
        snprintf(text, sizeof(text), "2^%d", (int)(byte & 255) - 127);
    printf("%5u%8s", byte, text);
}

/* From the first to the last that occur; a gap is one line. */
static void print_scale_bytes(const json_t *report)
{
    struct counts counts[MXQ_NUM_DIRECTIONS];
    const unsigned ncolumns = collect_counts(report, "scale_bytes", NUM_SCALES, counts);
    bool gap = false;
    bool begun = false;

    print_heads("byte", "scale", counts, ncolumns);
    for (unsigned i = 0; i < NUM_SCALES; i++) {
        if (!occurs(counts, ncolumns, i)) {
            gap = begun;
            continue;
        }
        if (gap)
            printf("  ...\n");
        gap = false;
        begun = true;
        print_scale(i);
        print_bars(counts, ncolumns, i);
    }
}

/* ---- the table */

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
    print_codes(report);
    print_scale_bytes(report);
}
