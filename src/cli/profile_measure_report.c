/* profile_measure_report.c - telling what a matrix loses under several profiles */
#include "cli/profile_measure.h"

#include "io/manifest.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static uint64_t count_scales(const struct mxq_profile_measuring *m)
{
    const bool rowwise = m->direction == MXQ_ROWWISE;
    const uint64_t along = rowwise ? m->cols : m->rows;

    return (rowwise ? m->rows : m->cols) * (along / MXQ_BLOCK_NELEMS + (along % MXQ_BLOCK_NELEMS != 0));
}

static double find_share(uint64_t n, uint64_t total)
{
    return total != 0 ? (double)n / (double)total : 0.0;
}

static double find_snr(const struct mxq_distortion *d)
{
    return 10.0 * log10(d->signal / d->noise);
}

static void print_share(uint64_t n, uint64_t total)
{
    printf("%11" PRIu64 " %7.3f %%", n, 100.0 * find_share(n, total));
}

static void print_measurement(const struct mxq_profile_measuring *m, const struct mxq_profile_measurement *one)
{
    const double snr = find_snr(&one->distortion);

    printf("%-18s", one->profile->name);
    if (isfinite(snr))
        printf(" %8.3f", snr);
    else
        printf(" %8s", "-");
    printf(" %7.3f %%", 100.0 * find_share(one->distortion.nsaturated, one->distortion.nelems));
    print_share(one->different_codes, one->distortion.nelems);
    print_share(one->different_scales, count_scales(m));
    printf("\n");
}

void mxq_print_profile_measuring(const char *path, const struct mxq_profile_measuring *m)
{
    struct mxq_fault names;

    /* Names come from anywhere; this prints them without control characters. */
    mxq_set_fault(&names, NULL, 0, "%s%s%s", path, m->tensor->name ? ":" : "", m->tensor->name ? m->tensor->name : "");
    printf("%s: %" PRIu64 " rows x %" PRIu64 " cols, %s; codes and scales that differ from %s\n", names.text, m->rows,
           m->cols, mxq_direction_name(m->direction), m->reference->name);
    printf("%-18s %8s %9s%11s %9s%11s %9s\n", "profile", "SNR dB", "saturated", "codes", "share", "scales", "share");
    for (unsigned i = 0; i < m->nmeasurements; i++)
        print_measurement(m, &m->measurements[i]);
}

/* ---- JSON */

static json_t *keep_if(bool good, json_t *value)
{
    if (good)
        return value;
    json_decref(value);
    return NULL;
}

static json_t *pack_measurement(const struct mxq_profile_measuring *m, const struct mxq_profile_measurement *one)
{
    const double snr = find_snr(&one->distortion);

    return json_pack("{s:s, s:o, s:f, s:I, s:I, s:I, s:I}", "profile", one->profile->name, "snr_db",
                     isfinite(snr) ? json_real(snr) : json_null(), "saturated",
                     find_share(one->distortion.nsaturated, one->distortion.nelems), "codes",
                     (json_int_t)one->distortion.nelems, "different_codes", (json_int_t)one->different_codes, "scales",
                     (json_int_t)count_scales(m), "different_scales", (json_int_t)one->different_scales);
}

json_t *mxq_pack_profile_measuring(const char *path, const struct mxq_profile_measuring *m)
{
    json_t *profiles = json_array();
    bool good = profiles != NULL;

    for (unsigned i = 0; i < m->nmeasurements; i++)
        good = good && json_array_append_new(profiles, pack_measurement(m, &m->measurements[i])) == 0;
    return json_pack("{s:o, s:o, s:I, s:I, s:s, s:s, s:o}", "file", mxq_pack_name(path), "member",
                     mxq_pack_name(m->tensor->name), "rows", (json_int_t)m->rows, "cols", (json_int_t)m->cols,
                     "direction", mxq_direction_name(m->direction), "reference", m->reference->name, "profiles",
                     keep_if(good, profiles));
}
