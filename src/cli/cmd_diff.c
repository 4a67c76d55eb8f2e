/* cmd_diff.c - mxfp4q diff: the command line of comparisons, of single results, of suites and of checkpoints */
#include "cli/checkpoint_diff.h"
#include "cli/diff.h"
#include "cli/input_options.h"
#include "cli/json.h"
#include "cli/main.h"
#include "cli/msg.h"
#include "cli/progress.h"
#include "cli/words.h"
#include "io/outfile.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_NBYTES 4096

enum {
    OPT_RULES = 256,
    OPT_SCALE_ATOL,
    OPT_SCALE_LIMIT,
    OPT_SCALE_SHARE,
    OPT_ADJUST,
    OPT_ATOL,
    OPT_RTOL,
    OPT_TIES,
    OPT_CODES_PER_SCALE,
    OPT_CODE_SHARE,
    OPT_PADDING,
    OPT_SOURCE,
    OPT_PROFILE,
    OPT_TEST_SCALE,
    OPT_GOLDEN_SCALE,
    OPT_TEST_LAYOUT,
    OPT_GOLDEN_LAYOUT,
    OPT_TEST_MEMBER,
    OPT_GOLDEN_MEMBER,
    OPT_BUFFER,
    OPT_MATRIX,
    OPT_LIMIT,
    OPT_NO_GUESS,
    OPT_HEATMAP,
    OPT_JSON,
};

static const struct mxq_option options[] = {
    {0, NULL, NULL, "Rules"},
    {OPT_RULES, "rules", "RULES", "exact, mxfp8 or te-mxfp4 [exact]"},
    {OPT_SCALE_ATOL, "scale-atol", "N", "scale bytes this far apart do not count [the rules']"},
    {OPT_SCALE_LIMIT, "scale-limit", "N", "counted scales allowed, if no more than the next [the rules']"},
    {OPT_SCALE_SHARE, "scale-share", "X", "share of all scales that may count, 0 to 1 [the rules']"},
    {OPT_ADJUST, "adjust", "YESNO", "judge golden codes at the test's scale: yes, no [the rules']"},
    {OPT_ATOL, "atol", "X", "decoded values this close do not count [the rules']"},
    {OPT_RTOL, "rtol", "X", "the same, relative to the golden value [the rules']"},
    {OPT_TIES, "accept-ties", "YESNO", "ties do not count: yes, no [the rules']"},
    {OPT_CODES_PER_SCALE, "codes-per-scale", "N", "counted codes allowed for each counted scale [the rules']"},
    {OPT_CODE_SHARE, "code-share", "X", "share of all codes that may count besides, 0 to 1 [the rules']"},
    {OPT_PADDING, "padding", NULL, "compare padding too"},
    {0, NULL, NULL, "What is compared"},
    {OPT_SOURCE, "source", "FILE", "what both were made of: adjusts exactly, and tells ties from errors"},
    {OPT_PROFILE, "profile", "PROFILE", "the golden's recipe, with --source and no manifest [te-hip]"},
    {OPT_TEST_SCALE, "test-scale", "FILE", "the scales that belong to TEST's data"},
    {OPT_GOLDEN_SCALE, "golden-scale", "FILE", "the scales that belong to GOLDEN's data"},
    {OPT_TEST_LAYOUT, "test-layout", "LAYOUT", "of a TEST without manifest: linear, aiter, or DATA,SCALE [linear]"},
    {OPT_GOLDEN_LAYOUT, "golden-layout", "LAYOUT", "the same of GOLDEN [linear]"},
    {OPT_TEST_MEMBER, "test-member", "NAME", "of an .npz without manifest: this array"},
    {OPT_GOLDEN_MEMBER, "golden-member", "NAME", "the same of GOLDEN"},
    {OPT_BUFFER, "buffer", "BUFFER", "what single buffers are [what their names say, or rowwise_data]"},
    {OPT_MATRIX, "matrix", "SHAPE", "rows and columns, as 384x96, of the matrix that single buffers are of"},
    {0, NULL, NULL, "The source"},
    MXQ_INPUT_OPTIONS,
    {0, NULL, NULL, "Running and telling"},
    {'j', "jobs", "N", "threads [all CPUs]"},
    {OPT_LIMIT, "limit", "N", "differences to show [10]"},
    {OPT_NO_GUESS, "no-guess", NULL, "do not look for what went wrong"},
    {OPT_HEATMAP, "heatmap", "FILE", "draw where the differences are, as PNG"},
    {'f', "force", NULL, "replace an existing picture"},
    {OPT_JSON, "json", NULL, "print JSON"},
    {'q', "quiet", NULL, "print nothing; the exit status tells"},
    {'h', "help", NULL, "print this help"},
    {0, NULL, NULL, NULL},
};

/* What the options said. */
struct request {
    struct mxq_rules rules;
    bool padding;
    bool guess;
    bool json;
    bool quiet;
    bool force;
    uint64_t limit;
    unsigned nthreads;
    const char *source;
    const struct mxq_profile *profile;
    struct mxq_input_request input;
    struct mxq_stored_spec test;
    struct mxq_stored_spec golden;
    const char *heatmap;
    json_t *reports; /* with --json */
    struct mxq_fault fault;
};

/* ---------------------------------------------------------------------------------------------- options */

static const char *rules_word(unsigned value)
{
    const struct mxq_rules *rules = mxq_get_rules(value);

    return rules != NULL ? rules->name : NULL;
}

static const char *yesno_word(unsigned value)
{
    static const char *const words[] = {"no", "yes", NULL};

    return words[value];
}

static bool parse_yesno(const char *option, const char *text, bool *value)
{
    unsigned word;

    if (!mxq_parse_word(option, text, yesno_word, &word))
        return false;
    *value = word == 1;
    return true;
}

/* linear, aiter, or one for data and one for scales. */
static bool parse_layouts(const char *option, const char *text, struct mxq_stored_spec *spec)
{
    const char *comma = strchr(text, ',');
    char data[16];
    unsigned word;

    snprintf(data, sizeof(data), "%.*s", comma != NULL ? (int)(comma - text) : (int)strlen(text), text);
    if (!mxq_parse_word(option, data, mxq_layout_word, &word))
        return false;
    spec->data_layout = spec->scale_layout = (int)word;
    if (comma != NULL && !mxq_parse_word(option, comma + 1, mxq_layout_word, &word))
        return false;
    spec->scale_layout = (int)word;
    return true;
}

static bool parse_matrix(struct request *r, const char *text)
{
    uint64_t shape[2];
    unsigned rank;

    if (!mxq_parse_shape("--matrix", text, shape, 2, &rank))
        return false;
    if (rank != 2) {
        mxq_print_error("--matrix: \"%s\" is not rows and columns, as 384x96", text);
        return false;
    }
    r->test.has_matrix = r->golden.has_matrix = true;
    r->test.rows = r->golden.rows = shape[0];
    r->test.cols = r->golden.cols = shape[1];
    return true;
}

static bool parse_rule(struct request *r, int opt, const char *value)
{
    uint64_t number;

    switch (opt) {
    case OPT_SCALE_ATOL:
        if (!mxq_parse_u64("--scale-atol", value, 255, &number))
            return false;
        r->rules.scale_atol = (unsigned)number;
        return true;
    case OPT_SCALE_LIMIT:
        return mxq_parse_u64("--scale-limit", value, INT64_MAX, &r->rules.scale_limit);
    case OPT_SCALE_SHARE:
        return mxq_parse_real("--scale-share", value, 1, &r->rules.scale_share);
    case OPT_ADJUST:
        return parse_yesno("--adjust", value, &r->rules.adjust);
    case OPT_ATOL:
        return mxq_parse_real("--atol", value, 1e300, &r->rules.atol);
    case OPT_RTOL:
        return mxq_parse_real("--rtol", value, 1e300, &r->rules.rtol);
    case OPT_TIES:
        return parse_yesno("--accept-ties", value, &r->rules.accept_ties);
    case OPT_CODES_PER_SCALE:
        return mxq_parse_u64("--codes-per-scale", value, INT32_MAX, &r->rules.codes_per_scale);
    default: /* OPT_CODE_SHARE */
        return mxq_parse_real("--code-share", value, 1, &r->rules.code_share);
    }
}

static bool parse_side(struct request *r, int opt, const char *value)
{
    unsigned word;

    switch (opt) {
    case OPT_TEST_SCALE:
        r->test.scale_path = value;
        return true;
    case OPT_GOLDEN_SCALE:
        r->golden.scale_path = value;
        return true;
    case OPT_TEST_LAYOUT:
        return parse_layouts("--test-layout", value, &r->test);
    case OPT_GOLDEN_LAYOUT:
        return parse_layouts("--golden-layout", value, &r->golden);
    case OPT_TEST_MEMBER:
        r->test.source.member = value;
        return true;
    case OPT_GOLDEN_MEMBER:
        r->golden.source.member = value;
        return true;
    case OPT_BUFFER:
        if (!mxq_parse_word("--buffer", value, mxq_buffer_word, &word))
            return false;
        r->test.buffer = r->golden.buffer = (int)word;
        return true;
    default: /* OPT_MATRIX */
        return parse_matrix(r, value);
    }
}

static bool parse_running(struct request *r, int opt, const char *value)
{
    unsigned word;
    int number;

    switch (opt) {
    case OPT_PADDING:
        return r->padding = true;
    case OPT_SOURCE:
        r->source = value;
        return true;
    case OPT_PROFILE:
        if (!mxq_parse_word("--profile", value, mxq_profile_word, &word))
            return false;
        r->profile = mxq_get_profile(word);
        return true;
    case 'j':
        if (!mxq_parse_int("-j", value, 1, 4096, &number))
            return false;
        r->nthreads = (unsigned)number;
        return true;
    case OPT_LIMIT:
        return mxq_parse_u64("--limit", value, 1000000, &r->limit);
    case OPT_NO_GUESS:
        r->guess = false;
        return true;
    case OPT_HEATMAP:
        r->heatmap = value;
        return true;
    case 'f':
        return r->force = true;
    case OPT_JSON:
        return r->json = true;
    case 'q':
        mxq_set_verbosity(MXQ_QUIET);
        mxq_set_progress_mode(MXQ_PROGRESS_NEVER);
        return r->quiet = true;
    default:
        return false;
    }
}

static bool parse_option(struct request *r, int opt, const char *value)
{
    if (mxq_is_input_option(opt))
        return mxq_parse_input_option(&r->input, opt, value);
    if (opt >= OPT_SCALE_ATOL && opt <= OPT_CODE_SHARE)
        return parse_rule(r, opt, value);
    if (opt >= OPT_TEST_SCALE && opt <= OPT_MATRIX)
        return parse_side(r, opt, value);
    return parse_running(r, opt, value);
}

static void init_request(struct request *r)
{
    const long ncpus = sysconf(_SC_NPROCESSORS_ONLN);

    memset(r, 0, sizeof(*r));
    mxq_init_input_request(&r->input);
    r->rules = *mxq_get_rules(0);
    r->guess = true;
    r->limit = 10;
    r->nthreads = ncpus > 0 ? (unsigned)ncpus : 1;
    r->profile = mxq_get_profile(0);
    r->test.buffer = r->golden.buffer = -1;
    r->test.data_layout = r->test.scale_layout = r->golden.data_layout = r->golden.scale_layout = -1;
    r->test.source.warn = r->golden.source.warn = mxq_warn_user;
}

/* --rules is looked at first, so that single numbers override it wherever they stand. */
static bool parse_rules(struct request *r, int argc, char *argv[])
{
    const char *value;
    unsigned word;
    int opt;

    while ((opt = mxq_next_option(&mxq_cmd_diff, argc, argv, &value)) != -1) {
        if (opt == '?' || (opt == OPT_RULES && !mxq_parse_word("--rules", value, rules_word, &word)))
            return false;
        if (opt == OPT_RULES)
            r->rules = *mxq_get_rules(word);
    }
    optind = 0; /* getopt_long starts again */
    return true;
}

/* ---------------------------------------------------------------------------------------------- one pair */

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text);

    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

/* Everything that is open while two results are compared. */
struct pair {
    struct mxq_stored *test;
    struct mxq_stored *golden;
    struct mxq_source *source;
    const struct mxq_tensor *source_tensor;
    struct mxq_diff diff;
    json_t *guesses;
};

/* A side without a manifest borrows the matrix from one that has it. */
static void lend_matrix(struct mxq_stored_spec *spec, const struct mxq_stored *from)
{
    if (spec->has_matrix || !from->has_manifest)
        return;
    spec->has_matrix = true;
    spec->rows = from->plan.rows;
    spec->cols = from->plan.cols;
}

static bool open_side(struct mxq_stored_spec spec, const char *path, const struct mxq_stored *other,
                      struct mxq_stored **stored, struct mxq_fault *fault)
{
    spec.path = path;
    spec.source.raw = ends_with(path, ".raw") || ends_with(path, ".raw.gz") || ends_with(path, ".bin");
    if (other != NULL)
        lend_matrix(&spec, other);
    return mxq_open_stored(&spec, stored, fault);
}

static bool has_manifest(const char *path)
{
    char manifest_path[PATH_NBYTES];
    struct mxq_fault fault;

    return mxq_find_manifest(path, manifest_path, sizeof(manifest_path), &fault);
}

static bool open_sides(struct request *r, const char *test, const char *golden, struct pair *pair)
{
    if (has_manifest(golden) || !has_manifest(test))
        return open_side(r->golden, golden, NULL, &pair->golden, &r->fault) &&
               open_side(r->test, test, pair->golden, &pair->test, &r->fault);
    return open_side(r->test, test, NULL, &pair->test, &r->fault) &&
           open_side(r->golden, golden, pair->test, &pair->golden, &r->fault);
}

static bool check_sides(struct request *r, const char *test, const char *golden, const struct pair *pair)
{
    const struct mxq_plan *t = &pair->test->plan;
    const struct mxq_plan *g = &pair->golden->plan;
    bool common = false;

    if (t->rows != g->rows || t->cols != g->cols) {
        mxq_set_fault(&r->fault, test, 0,
                      "of a matrix of %" PRIu64 " x %" PRIu64 "; %s is of one of %" PRIu64 " x %" PRIu64 "%s", t->rows,
                      t->cols, golden, g->rows, g->cols,
                      t->rows == g->cols && t->cols == g->rows ? ": transposed?" : "");
        return false;
    }
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        common |= pair->test->present[b] && pair->golden->present[b];
        if (pair->test->present[b] != pair->golden->present[b])
            mxq_print_warning("only %s has %s: it is not compared", pair->test->present[b] ? test : golden,
                              mxq_buffer_name(b));
    }
    if (!common)
        mxq_set_fault(&r->fault, test, 0, "has no buffer in common with %s (see --buffer)", golden);
    return common;
}

static bool open_source(struct request *r, const char *path, struct pair *pair)
{
    uint64_t rows = 0, cols = 0;
    int found;

    if (path == NULL)
        return true;
    if (!mxq_open_source(&r->input.source, path, &pair->source, &r->fault))
        return false;
    found = mxq_next_tensor(pair->source, &pair->source_tensor, &r->fault);
    if (found == 0)
        mxq_set_fault(&r->fault, path, 0, "has no array");
    if (found != 1)
        return false;
    if (!mxq_flatten_tensor(pair->source_tensor, r->input.flatten, &rows, &cols) || rows != pair->golden->plan.rows ||
        cols != pair->golden->plan.cols) {
        mxq_set_fault(&r->fault, path, 0,
                      "a source of %" PRIu64 " x %" PRIu64 "; the results are of %" PRIu64 " x %" PRIu64
                      " (see --flatten)",
                      rows, cols, pair->golden->plan.rows, pair->golden->plan.cols);
        return false;
    }
    if (mxq_tensor_is_seekable(pair->source) && !pair->source_tensor->fortran_order)
        return true;
    return mxq_spool_tensor(pair->source, NULL, &r->fault);
}

static bool create_heat(struct request *r, struct pair *pair)
{
    const struct mxq_plan *plan = &pair->golden->plan;

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS && r->heatmap != NULL; d++) {
        const uint64_t rows = d == MXQ_ROWWISE ? plan->rows : plan->cols;
        const uint64_t nelems = d == MXQ_ROWWISE ? plan->cols : plan->rows;
        if (!plan->options.wanted[d] || !pair->test->plan.options.wanted[d])
            continue;
        pair->diff.heat[d] = mxq_create_heat(rows, (nelems + MXQ_BLOCK_NELEMS - 1) / MXQ_BLOCK_NELEMS);
        if (pair->diff.heat[d] == NULL) {
            mxq_set_fault(&r->fault, r->heatmap, ENOMEM, "cannot draw");
            return false;
        }
    }
    return true;
}

static bool write_heatmap(struct request *r, const struct pair *pair)
{
    const struct mxq_outset_options outset_options = {.force = r->force};
    const struct mxq_heat *const heat[MXQ_NUM_DIRECTIONS] = {pair->diff.heat[0], pair->diff.heat[1]};
    struct mxq_outset *outset;
    bool good;
    int fd;

    if (r->heatmap == NULL)
        return true;
    outset = mxq_create_outset(&outset_options);
    if (outset == NULL) {
        mxq_set_fault(&r->fault, r->heatmap, ENOMEM, "cannot write");
        return false;
    }
    fd = mxq_add_outfile(outset, r->heatmap, &r->fault);
    good = fd >= 0 && mxq_write_heatmap(fd, r->heatmap, heat, pair->diff.sum, &r->fault) &&
           mxq_commit_outset(outset, &r->fault);
    mxq_discard_outset(outset);
    return good;
}

/* More than a stray difference: one in a thousand, or whatever the rules do not allow. */
static bool much_differs(const struct mxq_diff *diff)
{
    bool much = !mxq_diff_passes(diff);

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        const struct mxq_comparison *sum = &diff->sum[d];
        much |= sum->ncodes - sum->codes[MXQ_CLASS_EQUAL] > sum->ncodes / 1000;
        much |= sum->nscales - sum->scales[MXQ_CLASS_EQUAL] > sum->nscales / 1000;
    }
    return much;
}

static bool run_pair(struct request *r, struct pair *pair)
{
    struct mxq_diff *diff = &pair->diff;

    diff->test = pair->test;
    diff->golden = pair->golden;
    diff->source = pair->source;
    diff->source_tensor = pair->source_tensor;
    diff->recipe = pair->golden->has_manifest ? &pair->golden->manifest.recipe : &r->profile->recipe;
    diff->rules = r->rules;
    diff->padding = r->padding;
    diff->limit = r->limit;
    diff->nthreads = r->nthreads;
    if (!create_heat(r, pair) || !mxq_run_diff(diff, &r->fault) || !write_heatmap(r, pair))
        return false;
    if (r->guess && !r->quiet && much_differs(diff) && (pair->guesses = mxq_guess_diff(diff, &r->fault)) == NULL)
        return false;
    return mxq_finish_stored(pair->test, &r->fault) && mxq_finish_stored(pair->golden, &r->fault);
}

static void close_pair(struct pair *pair)
{
    json_decref(pair->guesses);
    free(pair->diff.found);
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        mxq_free_heat(pair->diff.heat[d]);
    mxq_close_source(pair->source);
    mxq_close_stored(pair->test);
    mxq_close_stored(pair->golden);
}

/* summary: one line, as for a case of a suite. */
static void tell(const struct request *r, const struct pair *pair, const char *test, const char *golden,
                 const char *summary)
{
    if (r->json)
        json_array_append_new(r->reports, mxq_pack_diff(&pair->diff, test, golden, pair->guesses));
    else if (summary != NULL && !r->quiet)
        mxq_print_diff_line(&pair->diff, summary, pair->guesses);
    else if (!r->quiet)
        mxq_print_diff(&pair->diff, test, golden, pair->guesses);
}

/* The exit status of comparing two results; a fault has been printed. */
static int diff_pair(struct request *r, const char *test, const char *golden, const char *source, const char *summary)
{
    struct pair pair;
    int status = MXQ_EXIT_TROUBLE;

    memset(&pair, 0, sizeof(pair));
    if (open_sides(r, test, golden, &pair) && check_sides(r, test, golden, &pair) && open_source(r, source, &pair) &&
        run_pair(r, &pair)) {
        tell(r, &pair, test, golden, summary);
        status = mxq_diff_passes(&pair.diff) ? MXQ_EXIT_OK : MXQ_EXIT_DIFFERENT;
    } else {
        mxq_print_error("%s", r->fault.text);
    }
    close_pair(&pair);
    return status;
}

/* ---------------------------------------------------------------------------------------------- suites */

static bool is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int is_manifest_name(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && ends_with(entry->d_name, ".json");
}

/* A case of GOLDEN against the one of the same name in TEST. */
static int diff_case(struct request *r, const char *test, const char *golden, const char *file)
{
    char test_path[PATH_NBYTES], golden_path[PATH_NBYTES], source_path[PATH_NBYTES];
    const int length = (int)(strlen(file) - strlen(".json"));
    char name[256];

    snprintf(name, sizeof(name), "%.*s", length, file);
    snprintf(test_path, sizeof(test_path), "%s/%s", test, file);
    snprintf(golden_path, sizeof(golden_path), "%s/%s", golden, file);
    if (access(test_path, F_OK) != 0) {
        if (!r->quiet && !r->json)
            printf("%s: missing in %s\n", name, test);
        if (r->json)
            json_array_append_new(r->reports, json_pack("{s:s, s:s, s:s}", "kind", "mxfp4q diff", "golden", golden_path,
                                                        "verdict", "missing"));
        return MXQ_EXIT_DIFFERENT;
    }
    if (r->source != NULL && is_folder(r->source))
        snprintf(source_path, sizeof(source_path), "%s/%s.npy", r->source, name);
    else
        snprintf(source_path, sizeof(source_path), "%s", r->source != NULL ? r->source : "");
    return diff_pair(r, test_path, golden_path, r->source != NULL ? source_path : NULL, name);
}

/* Cases that only TEST has are no difference from GOLDEN, but somebody may have forgotten them. */
static void warn_of_extra_cases(const char *test, const char *golden)
{
    struct dirent **entries;
    const int nentries = scandir(test, &entries, is_manifest_name, alphasort);

    for (int i = 0; i < nentries; i++) {
        char path[PATH_NBYTES];
        snprintf(path, sizeof(path), "%s/%s", golden, entries[i]->d_name);
        if (access(path, F_OK) != 0)
            mxq_print_warning("%s is only in %s: it is not compared", entries[i]->d_name, test);
        free(entries[i]);
    }
    if (nentries >= 0)
        free(entries);
}

static int diff_suites(struct request *r, const char *test, const char *golden)
{
    struct dirent **entries;
    const int nentries = scandir(golden, &entries, is_manifest_name, alphasort);
    int worst = MXQ_EXIT_OK;

    if (nentries <= 0) {
        mxq_print_error(nentries < 0 ? "\"%s\": cannot read" : "\"%s\": a folder without a manifest", golden);
        return MXQ_EXIT_TROUBLE;
    }
    for (int i = 0; i < nentries; i++) {
        const int status = diff_case(r, test, golden, entries[i]->d_name);
        worst = status > worst ? status : worst;
        free(entries[i]);
    }
    free(entries);
    warn_of_extra_cases(test, golden);
    return worst;
}

/* ---------------------------------------------------------------------------------------------- checkpoints */

static int diff_checkpoints(struct request *r, const char *test, const char *golden)
{
    struct mxq_checkpoint_diff diff;
    int status = MXQ_EXIT_TROUBLE;

    memset(&diff, 0, sizeof(diff));
    diff.rules = r->rules;
    diff.limit = r->limit;
    diff.nthreads = r->nthreads;
    if (mxq_run_checkpoint_diff(&diff, test, golden, &r->fault)) {
        if (r->json)
            json_array_append_new(r->reports, mxq_pack_checkpoint_diff(&diff, test, golden));
        else if (!r->quiet)
            mxq_print_checkpoint_diff(&diff, test, golden);
        status = mxq_checkpoint_diff_passes(&diff) ? MXQ_EXIT_OK : MXQ_EXIT_DIFFERENT;
    } else {
        mxq_print_error("%s", r->fault.text);
    }
    mxq_free_checkpoint_diff(&diff);
    return status;
}

/* Tensors are found by name and shape, so nothing that describes single buffers makes sense. */
static bool check_checkpoint_request(const struct request *r, const char *test, const char *golden)
{
    const struct mxq_stored_spec *t = &r->test, *g = &r->golden;

    if (!mxq_is_checkpoint(test) || !mxq_is_checkpoint(golden))
        mxq_print_error("diff: \"%s\" is a checkpoint, and \"%s\" is none", mxq_is_checkpoint(test) ? test : golden,
                        mxq_is_checkpoint(test) ? golden : test);
    else if (r->source != NULL || r->padding || r->heatmap != NULL || r->input.source.raw || r->input.source.member ||
             t->scale_path || g->scale_path || t->source.member || g->source.member || t->data_layout >= 0 ||
             g->data_layout >= 0 || t->buffer >= 0 || t->has_matrix)
        mxq_print_error("diff: of two checkpoints, only the rules, -j, --limit, --json and -q can be chosen");
    else
        return true;
    return false;
}

/* ---------------------------------------------------------------------------------------------- the command */

static int diff_all(struct request *r, const char *test, const char *golden)
{
    int status;

    if (strcmp(test, "-") == 0 && strcmp(golden, "-") == 0) {
        mxq_print_error("diff: only one side can be standard input");
        return MXQ_EXIT_TROUBLE;
    }
    if (r->heatmap != NULL && is_folder(test) && is_folder(golden)) {
        mxq_print_error("diff: --heatmap draws one pair of results, not two folders");
        return MXQ_EXIT_TROUBLE;
    }
    if ((mxq_is_checkpoint(test) || mxq_is_checkpoint(golden)) && !check_checkpoint_request(r, test, golden))
        return MXQ_EXIT_TROUBLE;
    r->reports = json_array();
    if (mxq_is_checkpoint(test))
        status = diff_checkpoints(r, test, golden);
    else if (is_folder(test) && is_folder(golden))
        status = diff_suites(r, test, golden);
    else
        status = diff_pair(r, test, golden, r->source, NULL);
    if (r->json && status != MXQ_EXIT_TROUBLE && !mxq_print_json(r->reports))
        status = MXQ_EXIT_TROUBLE;
    json_decref(r->reports);
    return status;
}

static int run(int argc, char *argv[])
{
    struct request r;
    const char *value;
    int opt;

    init_request(&r);
    if (!parse_rules(&r, argc, argv))
        return MXQ_EXIT_TROUBLE;
    while ((opt = mxq_next_option(&mxq_cmd_diff, argc, argv, &value)) != -1) {
        if (opt == 'h') {
            mxq_print_help(&mxq_cmd_diff);
            return MXQ_EXIT_OK;
        }
        if (opt != OPT_RULES && !parse_option(&r, opt, value))
            return MXQ_EXIT_TROUBLE;
    }
    if (argc - optind != 2) {
        mxq_print_error("diff: two results are compared, TEST and GOLDEN (see mxfp4q diff --help)");
        return MXQ_EXIT_TROUBLE;
    }
    if (!mxq_check_input_request("diff", &r.input))
        return MXQ_EXIT_TROUBLE;
    return diff_all(&r, argv[optind], argv[optind + 1]);
}

const struct mxq_command mxq_cmd_diff = {
    .name = "diff",
    .summary = "compare two results, folders of results or checkpoints, and say what kind of difference it is",
    .synopsis = "[OPTION]... TEST GOLDEN",
    .epilogue = "Exit status: 0 equal under the rules, 1 different, 2 trouble.",
    .options = options,
    .run = run,
};
