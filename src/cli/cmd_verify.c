/* cmd_verify.c - mxfp4q verify: whether a checkpoint is what it says */
#include "cli/checkpoint_verify.h"
#include "cli/json.h"
#include "cli/main.h"
#include "cli/msg.h"
#include "cli/progress.h"
#include "cli/words.h"

#include <getopt.h>
#include <string.h>
#include <unistd.h>

enum {
    OPT_SOURCE = 256,
    OPT_FULL,
    OPT_PROFILE,
    OPT_KERNEL,
    OPT_LIMIT,
    OPT_JSON,
};

static const struct mxq_option options[] = {
    {OPT_SOURCE, "source", "MODEL", "the checkpoint that it was made of: make a sample of it again"},
    {OPT_FULL, "full", NULL, "with --source: make all of it again"},
    {OPT_PROFILE, "profile", "PROFILE", "of a checkpoint that does not tell its own [its format's]"},
    {OPT_KERNEL, "kernel", "NAME", "the variant to run, see mxfp4q devices [the fastest]"},
    {'j', "jobs", "N", "threads [all CPUs]"},
    {OPT_LIMIT, "limit", "N", "problems to show [20]"},
    {OPT_JSON, "json", NULL, "print JSON"},
    {'q', "quiet", NULL, "print nothing; the exit status tells"},
    {'h', "help", NULL, "print this help"},
    {0, NULL, NULL, NULL},
};

struct request {
    struct mxq_verify verify;
    const char *kernel;
    bool json;
    bool quiet;
};

static bool parse_numbers(struct request *r, int opt, const char *value)
{
    uint64_t limit;
    int number;

    if (opt == 'j') {
        if (!mxq_parse_int("-j", value, 1, 4096, &number))
            return false;
        r->verify.nthreads = (unsigned)number;
        return true;
    }
    if (!mxq_parse_u64("--limit", value, 1000000, &limit))
        return false;
    r->verify.limit = (size_t)limit;
    return true;
}

static bool parse_option(struct request *r, int opt, const char *value)
{
    unsigned word;

    switch (opt) {
    case OPT_PROFILE:
        if (!mxq_parse_word("--profile", value, mxq_profile_word, &word))
            return false;
        r->verify.profile = mxq_get_profile(word);
        return true;
    case OPT_SOURCE:
        r->verify.source = value;
        return true;
    case OPT_FULL:
        return r->verify.full = true;
    case OPT_KERNEL:
        r->kernel = value;
        return true;
    case OPT_JSON:
        return r->json = true;
    case 'q':
        mxq_set_verbosity(MXQ_QUIET);
        mxq_set_progress_mode(MXQ_PROGRESS_NEVER);
        return r->quiet = true;
    case 'j':
    case OPT_LIMIT:
        return parse_numbers(r, opt, value);
    default:
        return false;
    }
}

static bool complete_request(struct request *r, int noperands)
{
    if (noperands != 1)
        mxq_print_error("verify: one checkpoint is verified (see mxfp4q verify --help)");
    else if (r->verify.full && r->verify.source == NULL)
        mxq_print_error("verify: --full makes the tensors again, and needs --source");
    else if (mxq_select_kernel(r->kernel, &r->verify.kernel) != MXQ_OK)
        mxq_print_error("verify: \"%s\" is no kernel that runs here (see mxfp4q devices)",
                        r->kernel != NULL ? r->kernel : "MXFP4Q_KERNEL");
    else
        return true;
    return false;
}

static bool tell(const struct request *r)
{
    json_t *report;
    bool good;

    if (!r->json) {
        if (!r->quiet)
            mxq_print_verify(&r->verify);
        return true;
    }
    report = mxq_pack_verify(&r->verify);
    good = mxq_print_json(report);
    json_decref(report);
    return good;
}

static int verify_one(struct request *r, const char *path)
{
    struct mxq_fault fault;
    int status = MXQ_EXIT_TROUBLE;

    r->verify.path = path;
    if (!mxq_run_verify(&r->verify, &fault))
        mxq_print_error("%s", fault.text);
    else if (tell(r))
        status = r->verify.nproblems == 0 ? MXQ_EXIT_OK : MXQ_EXIT_DIFFERENT;
    mxq_free_verify(&r->verify);
    return status;
}

static int run(int argc, char *argv[])
{
    const long ncpus = sysconf(_SC_NPROCESSORS_ONLN);
    struct request r;
    const char *value;
    int opt;

    memset(&r, 0, sizeof(r));
    r.verify.nthreads = ncpus > 0 ? (unsigned)ncpus : 1;
    r.verify.limit = 20;
    while ((opt = mxq_next_option(&mxq_cmd_verify, argc, argv, &value)) != -1) {
        if (opt == 'h') {
            mxq_print_help(&mxq_cmd_verify);
            return MXQ_EXIT_OK;
        }
        if (!parse_option(&r, opt, value))
            return MXQ_EXIT_TROUBLE;
    }
    if (!complete_request(&r, argc - optind))
        return MXQ_EXIT_TROUBLE;
    return verify_one(&r, argv[optind]);
}

const struct mxq_command mxq_cmd_verify = {
    .name = "verify",
    .summary = "whether a checkpoint is complete, sane and, with its source, made as it says",
    .synopsis = "[OPTION]... OUT_DIR",
    .epilogue = "Exit status: 0 good, 1 not what it says, 2 trouble.",
    .options = options,
    .run = run,
};
