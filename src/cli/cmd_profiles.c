/* cmd_profiles.c - mxfp4q profiles: what profiles do, and where two differ */
#include "cli/json.h"
#include "cli/main.h"
#include "cli/msg.h"
#include "cli/profile_diff.h"
#include "cli/profile_list.h"
#include "cli/suggest.h"
#include "cli/words.h"

#include <getopt.h>
#include <string.h>

#define MAX_PROFILES 256

enum {
    OPT_DIFF = 256,
    OPT_JSON,
};

static const struct mxq_option options[] = {
    {OPT_DIFF, "diff", NULL, "say on which inputs the profiles A and B differ"},
    {OPT_JSON, "json", NULL, "print JSON"},
    {'h', "help", NULL, "print this help"},
    {0, NULL, NULL, NULL},
};

struct request {
    bool diff;
    bool json;
    bool help;
    const struct mxq_profile *profiles[MAX_PROFILES]; /* those named, or all */
    unsigned nprofiles;
    bool named;
};

/* ---------------------------------------------------------------------------------------------- options */

static bool take_option(struct request *r, int opt)
{
    switch (opt) {
    case OPT_DIFF:
        return r->diff = true;
    case OPT_JSON:
        return r->json = true;
    case 'h':
        return r->help = true;
    default: /* what is wrong has been printed */
        return false;
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
    if (!r->diff || (r->named && r->nprofiles == 2))
        return true;
    mxq_print_error("profiles: --diff needs the names of two profiles");
    return false;
}

/* ---------------------------------------------------------------------------------------------- telling */

static bool tell_text(const struct request *r, const struct mxq_profile_difference *difference, struct mxq_fault *fault)
{
    if (r->diff) {
        mxq_print_profile_difference(difference);
        return true;
    }
    return r->named ? mxq_print_profile_words(r->profiles, r->nprofiles, fault)
                    : mxq_print_profile_table(r->profiles, r->nprofiles, fault);
}

static bool tell_json(const struct request *r, const struct mxq_profile_difference *difference, struct mxq_fault *fault)
{
    json_t *root =
        r->diff ? mxq_pack_profile_difference(difference) : mxq_pack_profiles(r->profiles, r->nprofiles, fault);
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
    struct request r;
    const char *value;
    int opt;

    memset(&r, 0, sizeof(r));
    while ((opt = mxq_next_option(&mxq_cmd_profiles, argc, argv, &value)) != -1)
        if (!take_option(&r, opt))
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
    .summary = "list profiles, say on which inputs two differ",
    .synopsis = "[OPTION]... [PROFILE]... | --diff A B",
    .options = options,
    .run = run,
};
