/* cmd_profiles.c - mxfp4q profiles: what profiles do, where two differ, and what that means for a matrix */
#include "cli/input_options.h"
#include "cli/json.h"
#include "cli/main.h"
#include "cli/msg.h"
#include "cli/profile_diff.h"
#include "cli/profile_list.h"
#include "cli/profile_measure.h"
#include "cli/progress.h"
#include "cli/suggest.h"
#include "cli/words.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_PROFILES 256

enum {
    OPT_DIFF = 256,
    OPT_MEASURE,
    OPT_DIRECTION,
    OPT_JSON,
};

static const struct mxq_option options[] = {
    {OPT_DIFF, "diff", NULL, "say on which inputs the profiles A and B differ"},
    {OPT_MEASURE, "measure", "FILE", "measure what a matrix loses, and how much of the result changes"},
    {OPT_JSON, "json", NULL, "print JSON"},
    {'h', "help", NULL, "print this help"},
    {0, NULL, NULL, "the matrix"},
    {OPT_DIRECTION, "direction", "DIRECTION", "rowwise or columnwise [rowwise]"},
    MXQ_INPUT_OPTIONS,
    {'j', "jobs", "N", "threads [all CPUs]"},
    {'q', "quiet", NULL, "no warnings, no progress"},
    {0, NULL, NULL, NULL},
};

struct request {
    bool diff;
    const char *measure; /* a file, or NULL */
    bool json;
    bool help;
    bool has_matrix_option;
    struct mxq_input_request input;
    enum mxq_direction direction;
    unsigned nthreads;
    const struct mxq_profile *profiles[MAX_PROFILES]; /* those named, or all */
    unsigned nprofiles;
    bool named;
};

/* ---------------------------------------------------------------------------------------------- options */

static bool parse_direction(struct request *r, const char *value)
{
    unsigned word;

    if (!mxq_parse_word("--direction", value, mxq_direction_word, &word))
        return false;
    r->direction = word;
    return true;
}

static bool parse_jobs(struct request *r, const char *value)
{
    int number;

    if (!mxq_parse_int("-j", value, 1, 4096, &number))
        return false;
    r->nthreads = (unsigned)number;
    return true;
}

static bool take_matrix_option(struct request *r, int opt, const char *value)
{
    r->has_matrix_option = true;
    if (mxq_is_input_option(opt))
        return mxq_parse_input_option(&r->input, opt, value);
    switch (opt) {
    case OPT_DIRECTION:
        return parse_direction(r, value);
    case 'j':
        return parse_jobs(r, value);
    default: /* what is wrong has been printed */
        return false;
    }
}

static bool take_option(struct request *r, int opt, const char *value)
{
    switch (opt) {
    case OPT_DIFF:
        return r->diff = true;
    case OPT_MEASURE:
        r->measure = value;
        return true;
    case OPT_JSON:
        return r->json = true;
    case 'h':
        return r->help = true;
    case 'q':
        mxq_set_verbosity(MXQ_QUIET);
        mxq_set_progress_mode(MXQ_PROGRESS_NEVER);
        return true;
    default:
        return take_matrix_option(r, opt, value);
    }
}

static bool take_profile(struct request *r, const char *name)
{
    const struct mxq_profile *profile = mxq_find_profile(name);
    char near[128];

    if (profile != NULL && r->nprofiles < MAX_PROFILES) {
        r->profiles[r->nprofiles++] = profile;
        return true;
    }
    mxq_suggest_names(name, mxq_profile_word, near, sizeof(near));
    if (profile != NULL)
        mxq_print_error("profiles: more than %d names", MAX_PROFILES);
    else if (near[0] != '\0')
        mxq_print_error("profiles: no profile \"%s\"; did you mean %s? (see mxfp4q profiles)", name, near);
    else
        mxq_print_error("profiles: no profile \"%s\" (see mxfp4q profiles)", name);
    return false;
}

/* Without names: all. */
static bool take_profiles(struct request *r, int nnames, char *names[])
{
    const struct mxq_profile *profile;

    r->named = nnames > 0;
    for (int i = 0; i < nnames; i++)
        if (!take_profile(r, names[i]))
            return false;
    for (size_t i = 0; !r->named && i < MAX_PROFILES && (profile = mxq_get_profile(i)) != NULL; i++)
        r->profiles[r->nprofiles++] = profile;
    return true;
}

static bool check_request(const struct request *r)
{
    if (r->diff && (!r->named || r->nprofiles != 2))
        mxq_print_error("profiles: --diff needs the names of two profiles");
    else if (r->measure == NULL && r->has_matrix_option)
        mxq_print_error("profiles: --direction, -j and options of the input need --measure");
    else
        return mxq_check_input_request("profiles", &r->input);
    return false;
}

/* ---------------------------------------------------------------------------------------------- the matrix */

/* What is measured differs from the first of several profiles, else from the default. */
static void describe_work(const struct request *r, struct mxq_profile_measuring *m)
{
    m->direction = r->direction;
    m->reference = r->named && r->nprofiles > 1 ? r->profiles[0] : mxq_get_profile(0);
    m->nthreads = r->nthreads;
    m->nmeasurements = r->nprofiles;
    memset(m->measurements, 0, r->nprofiles * sizeof(*m->measurements));
    for (unsigned i = 0; i < r->nprofiles; i++)
        m->measurements[i].profile = r->profiles[i];
}

/* tables is NULL unless they are collected. */
static bool measure_tensor(const struct request *r, struct mxq_profile_measuring *m, json_t *tables,
                           struct mxq_fault *fault)
{
    bool good;

    describe_work(r, m);
    if (!mxq_flatten_tensor(m->tensor, r->input.flatten, &m->rows, &m->cols)) {
        mxq_set_fault(fault, r->measure, 0, "no axis %" PRId32 " to flatten at: the tensor has rank %u",
                      r->input.flatten, m->tensor->rank);
        return false;
    }
    mxq_start_progress(r->measure, m->tensor->nbytes);
    good = mxq_measure_profiles(m, fault);
    mxq_end_progress();
    if (good && tables != NULL && json_array_append_new(tables, mxq_pack_profile_measuring(r->measure, m)) != 0) {
        mxq_set_fault(fault, r->measure, ENOMEM, "cannot measure");
        return false;
    }
    if (good && tables == NULL)
        mxq_print_profile_measuring(r->measure, m);
    return good;
}

static bool measure_tensors(const struct request *r, struct mxq_profile_measuring *m, json_t *tables,
                            struct mxq_fault *fault)
{
    int more = -1;

    if (mxq_select_kernel(NULL, &m->kernel) != MXQ_OK) {
        mxq_set_fault(fault, NULL, 0, "MXFP4Q_KERNEL names no kernel that this machine can run");
        return false;
    }
    if (!mxq_open_source(&r->input.source, r->measure, &m->source, fault))
        return false;
    while ((more = mxq_next_tensor(m->source, &m->tensor, fault)) == 1)
        if (!measure_tensor(r, m, tables, fault))
            break;
    mxq_close_source(m->source);
    return more == 0;
}

static bool measure(const struct request *r, json_t *tables, struct mxq_fault *fault)
{
    struct mxq_profile_measuring m;
    bool good;

    memset(&m, 0, sizeof(m));
    m.measurements = calloc(r->nprofiles, sizeof(*m.measurements));
    if (m.measurements == NULL) {
        mxq_set_fault(fault, NULL, ENOMEM, "cannot measure");
        return false;
    }
    good = measure_tensors(r, &m, tables, fault);
    free(m.measurements);
    return good;
}

/* ---------------------------------------------------------------------------------------------- telling */

static bool tell_text(const struct request *r, const struct mxq_profile_difference *difference, struct mxq_fault *fault)
{
    if (r->diff)
        mxq_print_profile_difference(difference);
    if (r->measure != NULL)
        return measure(r, NULL, fault);
    if (r->diff)
        return true;
    return r->named ? mxq_print_profile_words(r->profiles, r->nprofiles, fault)
                    : mxq_print_profile_table(r->profiles, r->nprofiles, fault);
}

/* What each part is by itself; both together are an object of the two. */
static json_t *pack(const struct request *r, const struct mxq_profile_difference *difference, struct mxq_fault *fault)
{
    json_t *tables;

    if (r->measure == NULL)
        return r->diff ? mxq_pack_profile_difference(difference) : mxq_pack_profiles(r->profiles, r->nprofiles, fault);
    tables = json_array();
    if (!measure(r, tables, fault)) {
        json_decref(tables);
        return NULL;
    }
    return r->diff ? json_pack("{s:o, s:o}", "diff", mxq_pack_profile_difference(difference), "measure", tables)
                   : tables;
}

static bool tell_json(const struct request *r, const struct mxq_profile_difference *difference, struct mxq_fault *fault)
{
    json_t *root = pack(r, difference, fault);
    bool good;

    if (root == NULL && fault->text[0] != '\0')
        return false;
    good = mxq_print_json(root);
    json_decref(root);
    return good;
}

static int tell(const struct request *r)
{
    struct mxq_profile_difference difference;
    struct mxq_fault fault = {""};
    bool good = !r->diff || mxq_compare_profiles(r->profiles[0], r->profiles[1], &difference, &fault);

    if (good)
        good = r->json ? tell_json(r, &difference, &fault) : tell_text(r, &difference, &fault);
    if (!good) {
        if (fault.text[0] != '\0')
            mxq_print_error("%s", fault.text);
        return MXQ_EXIT_TROUBLE;
    }
    return r->diff && !mxq_profiles_agree(&difference) ? MXQ_EXIT_DIFFERENT : MXQ_EXIT_OK;
}

static int run(int argc, char *argv[])
{
    const long ncpus = sysconf(_SC_NPROCESSORS_ONLN);
    struct request r;
    const char *value;
    int opt;

    memset(&r, 0, sizeof(r));
    mxq_init_input_request(&r.input);
    r.nthreads = ncpus > 0 ? (unsigned)ncpus : 1;
    while ((opt = mxq_next_option(&mxq_cmd_profiles, argc, argv, &value)) != -1)
        if (!take_option(&r, opt, value))
            return MXQ_EXIT_TROUBLE;
    if (r.help) {
        mxq_print_help(&mxq_cmd_profiles);
        return MXQ_EXIT_OK;
    }
    if (!take_profiles(&r, argc - optind, argv + optind) || !check_request(&r))
        return MXQ_EXIT_TROUBLE;
    return tell(&r);
}

const struct mxq_command mxq_cmd_profiles = {
    .name = "profiles",
    .summary = "list profiles, say on which inputs two differ, measure what that means for a matrix",
    .synopsis = "[OPTION]... [PROFILE]... | --diff A B [--measure FILE] | --measure FILE [PROFILE]...",
    .options = options,
    .run = run,
};
