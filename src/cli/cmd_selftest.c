/* cmd_selftest.c - mxfp4q selftest: whether a kernel or a GPU makes the bytes of the scalar kernel */
#include "cli/device_option.h"
#include "cli/main.h"
#include "cli/msg.h"
#include "cli/selftest.h"

#include <getopt.h>
#include <string.h>

#define DEFAULT_ROUNDS 400

enum {
    OPT_DEVICE = 256,
    OPT_KERNEL,
    OPT_SEED,
    OPT_ROUNDS,
    OPT_CASE,
    OPT_JSON,
};

static const struct mxq_option options[] = {
    {OPT_DEVICE, "device", "DEVICE", "what to test: cpu, gpu or gpu:N [cpu]"},
    {OPT_KERNEL, "kernel", "NAME", "the kernel on CPUs (see mxfp4q devices) [the fastest]"},
    {OPT_SEED, "seed", "N", "what matrices are made from [1]"},
    {OPT_ROUNDS, "rounds", "N", "random matrices after those that are chosen [400]"},
    {OPT_CASE, "case", "N", "only the matrix with this number, as a report names it"},
    {OPT_JSON, "json", NULL, "print JSON"},
    {'h', "help", NULL, "print this help"},
    {0, NULL, NULL, NULL},
};

struct request {
    struct mxq_device_request device;
    const char *kernel;
    uint64_t seed;
    uint64_t nrounds;
    uint64_t number; /* 0: all cases */
    bool json;
};

static bool parse_device(const char *text, struct request *r)
{
    if (!mxq_parse_device(text, &r->device))
        return false;
    if (r->device.kind != MXQ_DEVICE_AUTO && !r->device.all)
        return true;
    mxq_print_error("--device: selftest tests one device: cpu, gpu or gpu:N");
    return false;
}

static bool parse_case(const char *text, struct request *r)
{
    if (!mxq_parse_u64("--case", text, INT64_MAX, &r->number))
        return false;
    if (r->number == 0)
        mxq_print_error("--case: cases are numbered from 1 on");
    return r->number != 0;
}

static bool take_option(int opt, const char *value, struct request *r)
{
    switch (opt) {
    case OPT_DEVICE:
        return parse_device(value, r);
    case OPT_KERNEL:
        r->kernel = value;
        return true;
    case OPT_SEED:
        return mxq_parse_u64("--seed", value, INT64_MAX, &r->seed);
    case OPT_ROUNDS:
        return mxq_parse_u64("--rounds", value, INT32_MAX, &r->nrounds);
    case OPT_CASE:
        return parse_case(value, r);
    case OPT_JSON:
        r->json = true;
        return true;
    default: /* what is wrong has been printed */
        return false;
    }
}

static bool run_cases(const struct request *r, struct mxq_selftest_subject *subject, struct mxq_selftest_report *report,
                      struct mxq_fault *fault)
{
    const uint64_t first = r->number != 0 ? r->number : 1;
    const uint64_t last = r->number != 0 ? r->number : mxq_count_selftest_cases() + r->nrounds;

    report->seed = r->seed;
    for (uint64_t number = first; number <= last; number++) {
        struct mxq_selftest_case c;
        struct mxq_selftest_outcome outcome;
        mxq_make_selftest_case(r->seed, number, &c);
        if (!mxq_run_selftest_case(subject, &c, &outcome, fault))
            return false;
        mxq_add_selftest_outcome(report, &c, &outcome);
    }
    return true;
}

static bool select_subject(const struct request *r, struct mxq_selftest_subject *subject, struct mxq_fault *fault)
{
    if (r->device.kind == MXQ_DEVICE_GPU)
        return mxq_open_selftest_gpu(subject, r->device.index, fault);
    return mxq_select_selftest_kernel(subject, r->kernel, fault);
}

static int test(const struct request *r)
{
    struct mxq_selftest_subject subject;
    struct mxq_selftest_report report;
    struct mxq_fault fault;
    bool good;

    memset(&subject, 0, sizeof(subject));
    memset(&report, 0, sizeof(report));
    good = select_subject(r, &subject, &fault) && run_cases(r, &subject, &report, &fault);
    if (!good)
        mxq_print_error("%s", fault.text);
    else if (r->json)
        good = mxq_print_selftest_json(&report, &subject);
    else
        mxq_print_selftest_text(&report, &subject);
    mxq_release_selftest_subject(&subject);
    if (!good)
        return MXQ_EXIT_TROUBLE;
    return report.different_matrices == 0 ? MXQ_EXIT_OK : MXQ_EXIT_DIFFERENT;
}

static int run(int argc, char *argv[])
{
    struct request r = {.seed = 1, .nrounds = DEFAULT_ROUNDS};
    const char *value;
    int opt;

    r.device.kind = MXQ_DEVICE_CPU;
    while ((opt = mxq_next_option(&mxq_cmd_selftest, argc, argv, &value)) != -1) {
        if (opt == 'h') {
            mxq_print_help(&mxq_cmd_selftest);
            return MXQ_EXIT_OK;
        }
        if (!take_option(opt, value, &r))
            return MXQ_EXIT_TROUBLE;
    }
    if (optind < argc) {
        mxq_print_error("selftest: unexpected argument \"%s\"", argv[optind]);
        return MXQ_EXIT_TROUBLE;
    }
    if (r.kernel != NULL && r.device.kind == MXQ_DEVICE_GPU) {
        mxq_print_error("--kernel is for CPUs, not for --device gpu");
        return MXQ_EXIT_TROUBLE;
    }
    return test(&r);
}

const struct mxq_command mxq_cmd_selftest = {
    .name = "selftest",
    .summary = "test whether a kernel or a GPU makes the bytes of the scalar kernel",
    .synopsis = "[OPTION]...",
    .options = options,
    .run = run,
};
