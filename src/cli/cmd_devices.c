/* cmd_devices.c - mxfp4q devices: what this machine computes with */
#include "cli/json.h"
#include "cli/main.h"
#include "cli/msg.h"
#include "kernels/mxq.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

enum {
    OPT_JSON = 256
};

static const struct mxq_option options[] = {
    {OPT_JSON, "json", NULL, "print JSON"},
    {'h', "help", NULL, "print this help"},
    {0, NULL, NULL, NULL},
};

static void print_text(const struct mxq_kernel *chosen)
{
    const struct mxq_kernel *kernel;
    const char *feature;
    bool present;

    printf("cpu: %ld threads\nfeatures:", sysconf(_SC_NPROCESSORS_ONLN));
    for (size_t i = 0; (feature = mxq_get_cpu_feature(i, &present)) != NULL; i++)
        printf(" %s%s", present ? "" : "no-", feature);
    printf("\nkernels:\n");
    for (size_t i = 0; (kernel = mxq_get_kernel(i)) != NULL; i++)
        printf("%s %-10s %s%s\n", kernel == chosen ? " *" : "  ", mxq_kernel_name(kernel), mxq_kernel_summary(kernel),
               mxq_kernel_runs_here(kernel) ? "" : " (not on this machine)");
    printf("gpu: none (this program was built without GPU support)\n");
}

static bool print_json(const struct mxq_kernel *chosen)
{
    json_t *features = json_object();
    json_t *kernels = json_array();
    json_t *root;
    const struct mxq_kernel *kernel;
    const char *feature;
    bool present, good;

    for (size_t i = 0; (feature = mxq_get_cpu_feature(i, &present)) != NULL; i++)
        json_object_set_new(features, feature, json_boolean(present));
    for (size_t i = 0; (kernel = mxq_get_kernel(i)) != NULL; i++)
        json_array_append_new(kernels, json_pack("{s:s, s:s, s:b, s:b}", "name", mxq_kernel_name(kernel), "summary",
                                                 mxq_kernel_summary(kernel), "runs_here", mxq_kernel_runs_here(kernel),
                                                 "chosen", kernel == chosen));
    root = json_pack("{s:{s:I, s:o}, s:o, s:[]}", "cpu", "threads", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN),
                     "features", features, "kernels", kernels, "gpus");
    good = mxq_print_json(root);
    json_decref(root);
    return good;
}

static int run(int argc, char *argv[])
{
    const struct mxq_kernel *chosen;
    const char *value;
    bool json = false;
    int opt;

    while ((opt = mxq_next_option(&mxq_cmd_devices, argc, argv, &value)) != -1) {
        if (opt == 'h') {
            mxq_print_help(&mxq_cmd_devices);
            return MXQ_EXIT_OK;
        }
        if (opt != OPT_JSON)
            return MXQ_EXIT_TROUBLE;
        json = true;
    }
    if (optind < argc) {
        mxq_print_error("devices: unexpected argument \"%s\"", argv[optind]);
        return MXQ_EXIT_TROUBLE;
    }
    if (mxq_select_kernel(NULL, &chosen) != MXQ_OK) {
        mxq_print_error("MXFP4Q_KERNEL names no kernel that this machine can run");
        return MXQ_EXIT_TROUBLE;
    }
    if (json)
        return print_json(chosen) ? MXQ_EXIT_OK : MXQ_EXIT_TROUBLE;
    print_text(chosen);
    return MXQ_EXIT_OK;
}

const struct mxq_command mxq_cmd_devices = {
    .name = "devices",
    .summary = "list CPU features, GPUs and kernels, and the kernel that would run",
    .synopsis = "[--json]",
    .options = options,
    .run = run,
};
