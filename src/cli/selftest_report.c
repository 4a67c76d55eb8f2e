/* selftest_report.c - what mxfp4q selftest tested and found, as text to paste into an issue and as JSON */
#include "cli/json.h"
#include "cli/selftest.h"

#include "kernels/layout.h"

#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* ---- sums */

static uint64_t count_different(const struct mxq_selftest_outcome *outcome)
{
    uint64_t nbytes = 0;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        nbytes += outcome->buffer[b].nbytes + outcome->buffer[b].nbeside;
    return nbytes;
}

static void count_kinds(struct mxq_selftest_report *report, const struct mxq_selftest_case *c)
{
    const struct mxq_profile *profile;

    report->dtypes[c->dtype]++;
    report->patterns[c->pattern]++;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        report->directions[d] += c->options.wanted[d];
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        if (c->options.wanted[mxq_direction_of(b)])
            report->layouts[c->options.layout[b]]++;
    report->hadamard += c->options.recipe.hadamard_nelems != 0;
    report->strided += c->row_stride != c->cols;
    report->panels += c->panel_rows != 0;
    report->random_switches += c->profile == NULL;
    for (size_t i = 0; i < MXQ_SELFTEST_MAX_PROFILES && (profile = mxq_get_profile(i)) != NULL; i++)
        report->profiles[i] += profile == c->profile;
}

void mxq_add_selftest_outcome(struct mxq_selftest_report *report, const struct mxq_selftest_case *c,
                              const struct mxq_selftest_outcome *outcome)
{
    report->nmatrices++;
    report->nvalues += outcome->nvalues;
    report->nblocks += outcome->nblocks;
    report->nbytes += outcome->nbytes;
    report->nonfinite += outcome->nonfinite_wanted;
    count_kinds(report, c);
    if (outcome->equal)
        return;
    report->different_matrices++;
    report->different_nbytes += count_different(outcome);
    if (report->nfindings < MXQ_SELFTEST_MAX_FINDINGS)
        report->findings[report->nfindings++] = (struct mxq_selftest_finding){*c, *outcome};
}

/* ---- words that both reports have */

/* What Linux calls the first CPU, or else its architecture. Read without memory that could be missing. */
static void name_cpu(char *text, size_t nbytes)
{
    const int fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
    struct utsname machine;
    char info[2048] = "";
    const char *name;

    if (fd >= 0) {
        const ssize_t length = read(fd, info, sizeof(info) - 1);
        info[length > 0 ? length : 0] = '\0';
        close(fd);
    }
    name = strstr(info, "model name");
    name = name != NULL ? strstr(name, ": ") : NULL;
    if (name != NULL)
        snprintf(text, nbytes, "%.*s", (int)strcspn(name + 2, "\n"), name + 2);
    else
        snprintf(text, nbytes, "%s", uname(&machine) == 0 ? machine.machine : "unknown");
}

static void print_command(const struct mxq_selftest_subject *subject, const struct mxq_selftest_case *c, char *text,
                          size_t nbytes)
{
    char device[64];

    if (subject->kernel != NULL)
        snprintf(device, sizeof(device), "--kernel %s", mxq_kernel_name(subject->kernel));
    else
        snprintf(device, sizeof(device), "--device gpu:%u", subject->gpu.index);
    snprintf(text, nbytes, "mxfp4q selftest %s --seed %" PRIu64 " --case %" PRIu64, device, c->seed, c->number);
}

/* ---- text */

static void print_machine(const struct mxq_selftest_subject *subject)
{
    const struct mxq_gpu *gpu = &subject->gpu;
    const char *feature;
    char cpu[128];
    bool present;

    name_cpu(cpu, sizeof(cpu));
    printf("cpu: %s, %ld threads\nfeatures:", cpu, sysconf(_SC_NPROCESSORS_ONLN));
    for (size_t i = 0; (feature = mxq_get_cpu_feature(i, &present)) != NULL; i++)
        printf(" %s%s", present ? "" : "no-", feature);
    if (subject->kernel != NULL)
        printf("\ntested: kernel %s, against kernel scalar\n", mxq_kernel_name(subject->kernel));
    else
        printf("\ntested: gpu:%u, %s, %s, %s, against kernel scalar\n", gpu->index, gpu->name, gpu->arch, gpu->runtime);
}

static void print_count(const char *name, uint64_t count, bool *begun)
{
    printf("%s %s %" PRIu64, *begun ? "," : "", name, count);
    *begun = true;
}

static void print_profiles(const struct mxq_selftest_report *report)
{
    const struct mxq_profile *profile;
    bool begun = false;

    printf("  profiles:");
    for (size_t i = 0; i < MXQ_SELFTEST_MAX_PROFILES && (profile = mxq_get_profile(i)) != NULL; i++)
        if (report->profiles[i] != 0)
            print_count(profile->name, report->profiles[i], &begun);
    if (report->random_switches != 0)
        print_count("random switches", report->random_switches, &begun);
    printf("\n");
}

static void print_patterns(const struct mxq_selftest_report *report)
{
    bool begun = false;

    printf("  values:");
    for (unsigned i = 0; i < MXQ_SELFTEST_NUM_PATTERNS; i++)
        if (report->patterns[i] != 0)
            print_count(mxq_selftest_pattern_name(i), report->patterns[i], &begun);
    printf("\n");
}

static void print_counts(const struct mxq_selftest_report *r)
{
    bool begun = false;

    printf("%" PRIu64 " matrices, %" PRIu64 " values, %" PRIu64 " blocks, %" PRIu64 " bytes; of the matrices:\n",
           r->nmatrices, r->nvalues, r->nblocks, r->nbytes);
    printf("  types:");
    for (unsigned i = 0; i < MXQ_NUM_DTYPES; i++)
        print_count(mxq_dtype_name(i), r->dtypes[i], &begun);
    begun = false;
    printf("\n  directions:");
    for (unsigned i = 0; i < MXQ_NUM_DIRECTIONS; i++)
        print_count(mxq_direction_name(i), r->directions[i], &begun);
    begun = false;
    printf("\n  layouts, of buffers:");
    for (unsigned i = 0; i < MXQ_NUM_LAYOUTS; i++)
        print_count(mxq_layout_name(i), r->layouts[i], &begun);
    begun = false;
    printf("\n  with:");
    print_count("hadamard", r->hadamard, &begun);
    print_count("stride", r->strided, &begun);
    print_count("panels", r->panels, &begun);
    print_count("infinities or NaNs", r->nonfinite, &begun);
    printf("\n");
    print_profiles(r);
    print_patterns(r);
}

static void print_recipe(const struct mxq_selftest_case *c)
{
    const struct mxq_recipe *r = &c->options.recipe;

    if (c->profile == NULL)
        printf("  scale %s, ties %s, sign %s, zero_byte %u, underflow %s, sixth %s, huge_byte %u, infinity_byte %u,\n"
               "  nan_poisons %d, nan_fills %d, nan_code %u, nan_keeps_sign %d\n",
               mxq_scale_rule_name(r->scale), mxq_ties_name(r->ties), mxq_sign_name(r->sign), r->zero_byte,
               mxq_underflow_name(r->underflow), mxq_sixth_name(r->sixth), r->huge_byte, r->infinity_byte,
               r->nan_poisons, r->nan_fills, r->nan_code, r->nan_keeps_sign);
    if (r->hadamard_nelems != 0)
        printf("  hadamard %u, signs %08x\n", r->hadamard_nelems, (unsigned)r->hadamard_signs[0]);
}

static void print_case(const struct mxq_selftest_case *c)
{
    printf("\ncase %" PRIu64 " (%s), seed %" PRIu64 ": %s, %s, %" PRIu64 "x%" PRIu64 ", stride %" PRIu64
           ", values %s, pad_fill %u\n",
           c->number, c->group, c->seed, c->profile != NULL ? c->profile->name : "random switches",
           mxq_dtype_name(c->dtype), c->rows, c->cols, c->row_stride, mxq_selftest_pattern_name(c->pattern),
           c->options.pad_fill);
    print_recipe(c);
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        const enum mxq_buffer data = d == MXQ_ROWWISE ? MXQ_ROWWISE_DATA : MXQ_COLUMNWISE_DATA;
        const enum mxq_buffer scale = d == MXQ_ROWWISE ? MXQ_ROWWISE_SCALE : MXQ_COLUMNWISE_SCALE;
        if (c->options.wanted[d])
            printf("  %s: data %s, scale %s\n", mxq_direction_name(d), mxq_layout_name(c->options.layout[data]),
                   mxq_layout_name(c->options.layout[scale]));
    }
    if (c->panel_rows != 0)
        printf("  in panels of %" PRIu64 "x%" PRIu64 "\n", c->panel_rows, c->panel_cols);
}

static void print_difference(const struct mxq_plan *plan, enum mxq_buffer b,
                             const struct mxq_selftest_difference *difference)
{
    uint64_t row, block;

    if (difference->nbytes != 0) {
        printf("  %s, byte %" PRIu64 " of %" PRIu64, mxq_buffer_name(b), difference->offset, plan->extent[b].nbytes);
        if (mxq_locate_selftest_byte(plan, b, difference->offset, &row, &block))
            printf(" (row %" PRIu64 ", block %" PRIu64 ")", row, block);
        else
            printf(" (padding)");
        printf(": wanted 0x%02x, got 0x%02x; %" PRIu64 "%s\n", difference->wanted, difference->got, difference->nbytes,
               difference->nbytes == 1 ? " byte differs" : " bytes differ");
    }
    if (difference->nbeside != 0)
        printf("  %s, beside its %" PRIu64 " bytes: %" PRIu64 " bytes were written, the first at %" PRId64 "\n",
               mxq_buffer_name(b), plan->extent[b].nbytes, difference->nbeside, difference->beside);
}

static void print_finding(const struct mxq_selftest_finding *finding, const struct mxq_selftest_subject *subject)
{
    const struct mxq_selftest_case *c = &finding->of;
    const struct mxq_selftest_outcome *outcome = &finding->outcome;
    struct mxq_plan plan;
    char command[160];

    print_case(c);
    if (mxq_make_plan(&plan, &c->options, c->rows, c->cols) == MXQ_OK)
        for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
            print_difference(&plan, b, &outcome->buffer[b]);
    if (outcome->nonfinite_wanted != outcome->nonfinite_got)
        printf("  infinities or NaNs: wanted %s, got %s\n", outcome->nonfinite_wanted ? "yes" : "no",
               outcome->nonfinite_got ? "yes" : "no");
    print_command(subject, c, command, sizeof(command));
    printf("  again: %s\n", command);
}

void mxq_print_selftest_text(const struct mxq_selftest_report *report, const struct mxq_selftest_subject *subject)
{
    printf("mxfp4q %s selftest, seed %" PRIu64 "\n", MXQ_VERSION, report->seed);
    print_machine(subject);
    print_counts(report);
    if (report->different_matrices == 0) {
        printf("all equal\n");
        return;
    }
    printf("DIFFERENT: %" PRIu64 " of %" PRIu64 " matrices, %" PRIu64 " of %" PRIu64 " bytes\n",
           report->different_matrices, report->nmatrices, report->different_nbytes, report->nbytes);
    for (unsigned i = 0; i < report->nfindings; i++)
        print_finding(&report->findings[i], subject);
    if (report->nfindings < report->different_matrices)
        printf("\nand %" PRIu64 " more\n", report->different_matrices - report->nfindings);
}

/* ---- JSON */

static json_t *pack_machine(void)
{
    json_t *features = json_object();
    const char *feature;
    char cpu[128];
    bool present;

    name_cpu(cpu, sizeof(cpu));
    for (size_t i = 0; (feature = mxq_get_cpu_feature(i, &present)) != NULL; i++)
        json_object_set_new(features, feature, json_boolean(present));
    return json_pack("{s:s, s:I, s:o}", "cpu", cpu, "threads", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "features",
                     features);
}

static json_t *pack_subject(const struct mxq_selftest_subject *subject)
{
    const struct mxq_gpu *gpu = &subject->gpu;

    if (subject->kernel != NULL)
        return json_pack("{s:s, s:s}", "device", "cpu", "kernel", mxq_kernel_name(subject->kernel));
    return json_pack("{s:s, s:I, s:s, s:s, s:s}", "device", "gpu", "index", (json_int_t)gpu->index, "name", gpu->name,
                     "arch", gpu->arch, "runtime", gpu->runtime);
}

typedef const char *(*name_func)(unsigned value);

static json_t *pack_counts(const uint64_t *counts, unsigned n, name_func name)
{
    json_t *object = json_object();

    for (unsigned i = 0; i < n; i++)
        json_object_set_new(object, name(i), json_integer((json_int_t)counts[i]));
    return object;
}

static const char *name_dtype(unsigned value)
{
    return mxq_dtype_name(value);
}

static const char *name_direction(unsigned value)
{
    return mxq_direction_name(value);
}

static const char *name_layout(unsigned value)
{
    return mxq_layout_name(value);
}

static json_t *pack_profiles(const struct mxq_selftest_report *report)
{
    json_t *object = json_object();
    const struct mxq_profile *profile;

    for (size_t i = 0; i < MXQ_SELFTEST_MAX_PROFILES && (profile = mxq_get_profile(i)) != NULL; i++)
        json_object_set_new(object, profile->name, json_integer((json_int_t)report->profiles[i]));
    json_object_set_new(object, "random switches", json_integer((json_int_t)report->random_switches));
    return object;
}

static json_t *pack_tested(const struct mxq_selftest_report *r)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "matrices",
                     (json_int_t)r->nmatrices, "values", (json_int_t)r->nvalues, "blocks", (json_int_t)r->nblocks,
                     "bytes", (json_int_t)r->nbytes, "hadamard", (json_int_t)r->hadamard, "stride",
                     (json_int_t)r->strided, "panels", (json_int_t)r->panels, "nonfinite", (json_int_t)r->nonfinite,
                     "dtypes", pack_counts(r->dtypes, MXQ_NUM_DTYPES, name_dtype), "directions",
                     pack_counts(r->directions, MXQ_NUM_DIRECTIONS, name_direction), "layouts",
                     pack_counts(r->layouts, MXQ_NUM_LAYOUTS, name_layout), "profiles", pack_profiles(r), "patterns",
                     pack_counts(r->patterns, MXQ_SELFTEST_NUM_PATTERNS, mxq_selftest_pattern_name));
}

static json_t *pack_difference(const struct mxq_plan *plan, enum mxq_buffer b,
                               const struct mxq_selftest_difference *difference)
{
    json_t *object =
        json_pack("{s:s, s:s, s:I, s:I, s:I}", "buffer", mxq_buffer_name(b), "layout",
                  mxq_layout_name(plan->options.layout[b]), "bytes", (json_int_t)plan->extent[b].nbytes,
                  "different_bytes", (json_int_t)difference->nbytes, "bytes_beside", (json_int_t)difference->nbeside);
    uint64_t row, block;

    if (difference->nbeside != 0)
        json_object_set_new(object, "beside", json_integer((json_int_t)difference->beside));
    if (difference->nbytes == 0)
        return object;
    json_object_set_new(object, "offset", json_integer((json_int_t)difference->offset));
    json_object_set_new(object, "wanted", json_integer(difference->wanted));
    json_object_set_new(object, "got", json_integer(difference->got));
    if (mxq_locate_selftest_byte(plan, b, difference->offset, &row, &block)) {
        json_object_set_new(object, "row", json_integer((json_int_t)row));
        json_object_set_new(object, "block", json_integer((json_int_t)block));
    }
    return object;
}

static json_t *pack_differences(const struct mxq_selftest_finding *finding)
{
    const struct mxq_selftest_case *c = &finding->of;
    json_t *buffers = json_array();
    struct mxq_plan plan;

    if (mxq_make_plan(&plan, &c->options, c->rows, c->cols) != MXQ_OK)
        return buffers;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        if (finding->outcome.buffer[b].nbytes != 0 || finding->outcome.buffer[b].nbeside != 0)
            json_array_append_new(buffers, pack_difference(&plan, b, &finding->outcome.buffer[b]));
    return buffers;
}

static json_t *pack_finding(const struct mxq_selftest_finding *finding, const struct mxq_selftest_subject *subject)
{
    const struct mxq_selftest_case *c = &finding->of;
    char command[160];

    print_command(subject, c, command, sizeof(command));
    return json_pack("{s:I, s:s, s:s?, s:s, s:I, s:I, s:I, s:s, s:b, s:b, s:b, s:I, s:I, s:b, s:b, s:o, s:s}", "case",
                     (json_int_t)c->number, "group", c->group, "profile", c->profile != NULL ? c->profile->name : NULL,
                     "dtype", mxq_dtype_name(c->dtype), "rows", (json_int_t)c->rows, "cols", (json_int_t)c->cols,
                     "row_stride", (json_int_t)c->row_stride, "pattern", mxq_selftest_pattern_name(c->pattern),
                     "rowwise", c->options.wanted[MXQ_ROWWISE], "columnwise", c->options.wanted[MXQ_COLUMNWISE],
                     "hadamard", c->options.recipe.hadamard_nelems != 0, "panel_rows", (json_int_t)c->panel_rows,
                     "panel_cols", (json_int_t)c->panel_cols, "nonfinite_wanted", finding->outcome.nonfinite_wanted,
                     "nonfinite_got", finding->outcome.nonfinite_got, "buffers", pack_differences(finding), "command",
                     command);
}

bool mxq_print_selftest_json(const struct mxq_selftest_report *report, const struct mxq_selftest_subject *subject)
{
    json_t *findings = json_array();
    json_t *root;
    bool good;

    for (unsigned i = 0; i < report->nfindings; i++)
        json_array_append_new(findings, pack_finding(&report->findings[i], subject));
    root = json_pack("{s:s, s:I, s:o, s:o, s:o, s:b, s:I, s:I, s:o}", "version", MXQ_VERSION, "seed",
                     (json_int_t)report->seed, "machine", pack_machine(), "subject", pack_subject(subject), "tested",
                     pack_tested(report), "equal", report->different_matrices == 0, "different_matrices",
                     (json_int_t)report->different_matrices, "different_bytes", (json_int_t)report->different_nbytes,
                     "differences", findings);
    good = mxq_print_json(root);
    json_decref(root);
    return good;
}
