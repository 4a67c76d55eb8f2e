/* checkpoint_job.c - quantizing a checkpoint, from the command line to the report */
#include "cli/checkpoint_job.h"

#include "cli/checkpoint_run.h"
#include "cli/json.h"
#include "cli/msg.h"
#include "cli/signals.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether OUT is the folder of the checkpoint or in it, where its files would be taken for the source's. */
static bool is_inside(const char *folder, const char *output)
{
    char *source = realpath(folder, NULL);
    char *path = strdup(output);
    char *real = NULL;
    bool inside = false;

    /* The last part that exists says where it will be. */
    while (path != NULL && (real = realpath(*path != '\0' ? path : ".", NULL)) == NULL && *path != '\0') {
        char *slash = strrchr(path, '/');
        if (slash == path)
            slash++;
        *(slash != NULL && *slash != '\0' ? slash : path) = '\0';
    }
    if (source != NULL && real != NULL) {
        const size_t length = strlen(source);
        inside = strncmp(source, real, length) == 0 && (real[length] == '\0' || real[length] == '/');
    }
    free(source);
    free(path);
    free(real);
    return inside;
}

/* Of one file, only that must not be replaced: nothing else in its folder is the checkpoint's. */
static bool is_same(const char *folder, const char *output)
{
    char *source = realpath(folder, NULL);
    char *real = realpath(output, NULL);
    const bool same = source != NULL && real != NULL && strcmp(source, real) == 0;

    free(source);
    free(real);
    return same;
}

static bool check_output(const struct mxq_checkpoint_settings *settings, const struct mxq_quantize_request *quantize,
                         const struct mxq_checkpoint *checkpoint)
{
    const char *output = quantize->settings.output;

    if (settings->dry_run)
        return true;
    if (output == NULL || output[0] == '\0')
        mxq_print_error("quantize: no output: give a folder with -o");
    else if (strcmp(output, "-") == 0)
        mxq_print_error("quantize: a checkpoint goes to a folder, not to standard output");
    else if (checkpoint->is_file ? is_same(checkpoint->folder, output) : is_inside(checkpoint->folder, output))
        mxq_print_error("quantize: \"%s\" is in the checkpoint's own folder; give another with -o", output);
    else
        return true;
    return false;
}

static bool run_plan(const struct mxq_checkpoint_settings *settings, const struct mxq_quantize_request *quantize,
                     const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan)
{
    const struct mxq_checkpoint_run_options options = {
        .output = quantize->settings.output,
        .nthreads = quantize->settings.nthreads,
        .kernel = quantize->settings.kernel,
        .memory_nbytes = settings->memory_nbytes,
        .resume = settings->resume,
        .delete_source = settings->delete_source,
        .force = quantize->settings.outset.force,
        /* A source must not go before its output is on the disk. */
        .no_fsync = quantize->settings.outset.no_fsync && !settings->delete_source,
        .measure = !settings->no_measure,
    };
    struct mxq_fault fault = {""};
    json_t *report = NULL;
    bool good = mxq_run_checkpoint(checkpoint, plan, &options, &report, &fault);

    if (!good) {
        mxq_print_error("%s", fault.text);
        mxq_end_by_deferred_signal();
    } else if (quantize->json) {
        good = mxq_print_json(report);
    } else if (quantize->settings.measure) {
        printf("%s", mxq_is_talkative() ? "\n" : "");
        mxq_print_checkpoint_report(report);
    }
    json_decref(report);
    return good;
}

/* A dry run prints the plan as its result; a run says in a line what will be done, and more when asked for more. */
static bool show_plan(const struct mxq_checkpoint_settings *settings, const struct mxq_quantize_request *quantize,
                      const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan)
{
    json_t *packed;
    bool good;

    if (!settings->dry_run || !quantize->json)
        for (size_t i = 0; i < plan->nwarnings; i++)
            mxq_print_warning("%s", plan->warnings[i]);
    if (!settings->dry_run) {
        if (!quantize->json && mxq_is_talkative()) {
            mxq_print_checkpoint_plan(checkpoint, plan);
            fflush(stdout);
        }
        return true;
    }
    if (!quantize->json) {
        mxq_print_checkpoint_plan(checkpoint, plan);
        return true;
    }
    packed = mxq_pack_checkpoint_plan(checkpoint, plan);
    good = mxq_print_json(packed);
    json_decref(packed);
    return good;
}

bool mxq_run_checkpoint_job(struct mxq_checkpoint_settings *settings, struct mxq_quantize_request *quantize,
                            const char *path)
{
    struct mxq_checkpoint_request request;
    struct mxq_checkpoint *checkpoint = NULL;
    struct mxq_checkpoint_plan *plan = NULL;
    struct mxq_fault fault = {""};
    bool good;

    if (!mxq_complete_checkpoint_request(settings, quantize, &request))
        return false;
    /* An earlier run that was to delete the source may have begun to. */
    good = mxq_reopen_checkpoint(path, settings->resume ? quantize->settings.output : NULL, &checkpoint, mxq_warn_user,
                                 NULL, &fault);
    if (good && !check_output(settings, quantize, checkpoint)) {
        mxq_close_checkpoint(checkpoint);
        return false;
    }
    good = good && mxq_plan_checkpoint(checkpoint, &request, &plan, &fault);
    if (!good)
        mxq_print_error("%s", fault.text);
    good = good && show_plan(settings, quantize, checkpoint, plan) &&
           (settings->dry_run || run_plan(settings, quantize, checkpoint, plan));
    mxq_free_checkpoint_plan(plan);
    mxq_close_checkpoint(checkpoint);
    return good;
}
