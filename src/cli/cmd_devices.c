/* cmd_devices.c - mxfp4q devices: what this machine computes with */
#include "cli/json.h"
#include "cli/main.h"
#include "cli/msg.h"
#include "kernels/mxq_gpu.h"

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

/* All GPUs, or why there are none. */
struct gpus {
    unsigned ngpus;
    struct mxq_gpu_error error;
};

static struct gpus find_gpus(void)
{
    struct gpus gpus = {0, {""}};

    if (mxq_count_gpus(&gpus.ngpus, &gpus.error) != MXQ_OK)
        gpus.ngpus = 0;
    return gpus;
}

/* Opens a GPU to learn whether it can be used; of one that cannot, what is known stays in *gpu. */
static bool examine_gpu(struct mxq_gpu *gpu, unsigned index, struct mxq_gpu_error *error)
{
    const bool usable = mxq_open_gpu(gpu, index, error) == MXQ_OK;

    if (usable)
        mxq_close_gpu(gpu);
    return usable;
}

static void print_kernels(const struct mxq_kernel *chosen)
{
    const struct mxq_kernel *kernel;

    printf("kernels:\n");
    for (size_t i = 0; (kernel = mxq_get_kernel(i)) != NULL; i++)
        printf("%s %-10s %s%s\n", kernel == chosen ? " *" : "  ", mxq_kernel_name(kernel), mxq_kernel_summary(kernel),
               mxq_kernel_runs_here(kernel) ? "" : " (not on this machine)");
}

static void print_gpus(const struct gpus *gpus)
{
    const double gib = 1.0 / (1 << 30);

    if (gpus->ngpus == 0)
        printf("gpu: none (%s)\n", gpus->error.text);
    for (unsigned i = 0; i < gpus->ngpus; i++) {
        struct mxq_gpu gpu;
        struct mxq_gpu_error error = {""};
        const bool usable = examine_gpu(&gpu, i, &error);
        printf("gpu:%u: %s, %s, %.1f GiB, %.1f GiB free, %s\n", i, gpu.name, gpu.arch, gib * (double)gpu.total_nbytes,
               gib * (double)gpu.free_nbytes, usable ? gpu.runtime : error.text);
    }
}

static void print_text(const struct mxq_kernel *chosen)
{
    const struct gpus gpus = find_gpus();
    const char *feature;
    bool present;

    printf("cpu: %ld threads\nfeatures:", sysconf(_SC_NPROCESSORS_ONLN));
    for (size_t i = 0; (feature = mxq_get_cpu_feature(i, &present)) != NULL; i++)
        printf(" %s%s", present ? "" : "no-", feature);
    printf("\n");
    print_kernels(chosen);
    print_gpus(&gpus);
}

static json_t *pack_kernels(const struct mxq_kernel *chosen)
{
    json_t *kernels = json_array();
    const struct mxq_kernel *kernel;

    for (size_t i = 0; (kernel = mxq_get_kernel(i)) != NULL; i++)
        json_array_append_new(kernels, json_pack("{s:s, s:s, s:b, s:b}", "name", mxq_kernel_name(kernel), "summary",
                                                 mxq_kernel_summary(kernel), "runs_here", mxq_kernel_runs_here(kernel),
                                                 "chosen", kernel == chosen));
    return kernels;
}

static json_t *pack_gpus(const struct gpus *gpus)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < gpus->ngpus; i++) {
        struct mxq_gpu gpu;
        struct mxq_gpu_error error = {""};
        const bool usable = examine_gpu(&gpu, i, &error);
        json_array_append_new(array, json_pack("{s:I, s:s, s:s, s:I, s:I, s:s, s:o}", "index", (json_int_t)i, "name",
                                               gpu.name, "arch", gpu.arch, "memory", (json_int_t)gpu.total_nbytes,
                                               "free_memory", (json_int_t)gpu.free_nbytes, "runtime", gpu.runtime,
                                               "trouble", usable ? json_null() : json_string(error.text)));
    }
    return array;
}

static bool print_json(const struct mxq_kernel *chosen)
{
    const struct gpus gpus = find_gpus();
    json_t *features = json_object();
    json_t *root;
    const char *feature;
    bool present, good;

    for (size_t i = 0; (feature = mxq_get_cpu_feature(i, &present)) != NULL; i++)
        json_object_set_new(features, feature, json_boolean(present));
    root = json_pack("{s:{s:I, s:o}, s:o, s:o, s:o?}", "cpu", "threads", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN),
                     "features", features, "kernels", pack_kernels(chosen), "gpus", pack_gpus(&gpus), "no_gpu",
                     gpus.ngpus == 0 ? json_string(gpus.error.text) : json_null());
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
