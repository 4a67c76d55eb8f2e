/* cmd_bench.c - mxfp4q bench: how fast this machine quantizes, beside how fast it copies */
#include "cli/bench.h"
#include "cli/device_option.h"
#include "cli/json.h"
#include "cli/main.h"
#include "cli/msg.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OPT_DEVICE = 256,
    OPT_KERNEL,
    OPT_ROUNDS,
    OPT_SHAPE,
    OPT_JSON,
};

static const struct mxq_option options[] = {
    {OPT_DEVICE, "device", "DEVICE", "what to measure: cpu, gpu or gpu:N [cpu]"},
    {OPT_KERNEL, "kernel", "NAME", "the kernel on CPUs (see mxfp4q devices) [the fastest]"},
    {'j', "jobs", "N", "CPU threads [one per CPU]"},
    {OPT_SHAPE, "shape", "SHAPE", "rows and columns of the matrix [8192x8192 and 4096x14336; on GPUs 16384x16384]"},
    {OPT_ROUNDS, "rounds", "N", "measurements of each case; medians are printed [9]"},
    {OPT_JSON, "json", NULL, "print JSON"},
    {'h', "help", NULL, "print this help"},
    {0, NULL, NULL, NULL},
};

struct request {
    struct mxq_bench_request bench;
    struct mxq_device_request device;
    const char *kernel;
    bool has_shape;
    bool json;
};

static bool parse_shape(const char *text, struct request *r)
{
    uint64_t shape[2];
    unsigned rank;

    if (!mxq_parse_shape("--shape", text, shape, 2, &rank))
        return false;
    if (rank != 2 || shape[0] == 0 || shape[1] == 0) {
        mxq_print_error("--shape: \"%s\" is not rows and columns, such as 8192x8192", text);
        return false;
    }
    r->bench.rows = shape[0];
    r->bench.cols = shape[1];
    r->has_shape = true;
    return true;
}

static bool parse_count(const char *option, const char *text, unsigned *count)
{
    int number;

    if (!mxq_parse_int(option, text, 1, 9999, &number))
        return false;
    *count = (unsigned)number;
    return true;
}

static bool parse_device(const char *text, struct request *r)
{
    if (!mxq_parse_device(text, &r->device))
        return false;
    if (r->device.kind == MXQ_DEVICE_AUTO || r->device.all) {
        mxq_print_error("--device: bench measures one device: cpu, gpu or gpu:N");
        return false;
    }
    r->bench.gpu = r->device.index;
    return true;
}

static bool take_option(int opt, const char *value, struct request *r)
{
    switch (opt) {
    case OPT_DEVICE:
        return parse_device(value, r);
    case OPT_KERNEL:
        r->kernel = value;
        return true;
    case 'j':
        return parse_count("-j", value, &r->bench.nthreads);
    case OPT_SHAPE:
        return parse_shape(value, r);
    case OPT_ROUNDS:
        return parse_count("--rounds", value, &r->bench.nrounds);
    case OPT_JSON:
        r->json = true;
        return true;
    default: /* what is wrong has been printed */
        return false;
    }
}

/* ---- one row */

static void print_row(const struct mxq_bench_request *request, const struct mxq_bench_result *result)
{
    char name[96];

    snprintf(name, sizeof(name), "%s %s %llux%llu", mxq_dtype_name(request->which->dtype), request->which->name,
             (unsigned long long)request->rows, (unsigned long long)request->cols);
    printf("%-42s %10.3f ms %10.2f GB/s, copy %10.2f GB/s, fraction %.3f\n", name, 1e3 * result->seconds,
           1e-9 * result->rate, 1e-9 * result->copy_rate, result->fraction);
    fflush(stdout);
}

static json_t *pack_row(const struct mxq_bench_request *request, const struct mxq_bench_result *result)
{
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:f}", "case", request->which->name, "dtype",
                     mxq_dtype_name(request->which->dtype), "rows", (json_int_t)request->rows, "cols",
                     (json_int_t)request->cols, "bytes", (json_int_t)result->nbytes, "seconds", result->seconds,
                     "bytes_per_second", result->rate, "copy_bytes_per_second", result->copy_rate, "fraction",
                     result->fraction);
}

static bool measure(struct request *r, json_t *rows)
{
    const bool on_gpu = r->device.kind == MXQ_DEVICE_GPU;
    struct mxq_bench_result result;
    struct mxq_fault fault;
    bool good;

    if (on_gpu && r->bench.which->one_thread)
        return true;
    if (on_gpu)
        good = mxq_bench_gpu(&r->bench, &result, &fault);
    else
        good = mxq_bench_cpu(&r->bench, &result, &fault);
    if (!good) {
        mxq_print_error("%s", fault.text);
        return false;
    }
    if (r->json)
        json_array_append_new(rows, pack_row(&r->bench, &result));
    else
        print_row(&r->bench, &result);
    return true;
}

/* ---- all rows */

static bool measure_all(struct request *r, json_t *rows)
{
    static const uint64_t shapes[][2] = {{8192, 8192}, {4096, 14336}};
    static const uint64_t gpu_shapes[][2] = {{16384, 16384}, {8192, 8192}, {4096, 14336}, {4096, 4096}, {13577, 9973}};
    const bool on_gpu = r->device.kind == MXQ_DEVICE_GPU;
    const size_t nshapes = r->has_shape ? 1 : on_gpu ? 5 : 2;

    for (size_t s = 0; s < nshapes; s++) {
        for (size_t i = 0; (r->bench.which = mxq_get_bench_case(i)) != NULL; i++) {
            if (s > 0 && i > 1) /* the other shapes are for the common cases */
                break;
            if (!r->has_shape) {
                r->bench.rows = on_gpu ? gpu_shapes[s][0] : shapes[s][0];
                r->bench.cols = on_gpu ? gpu_shapes[s][1] : shapes[s][1];
            }
            if (!measure(r, rows))
                return false;
        }
    }
    return true;
}

static bool print_json(const struct request *r, json_t *rows)
{
    json_t *root = json_pack("{s:s, s:I, s:I, s:O}", "device",
                             r->device.kind == MXQ_DEVICE_GPU ? "gpu" : mxq_kernel_name(r->bench.kernel), "threads",
                             (json_int_t)r->bench.nthreads, "rounds", (json_int_t)r->bench.nrounds, "rows", rows);
    const bool good = mxq_print_json(root);

    json_decref(root);
    return good;
}

static bool find_kernel(struct request *r)
{
    if (mxq_select_kernel(r->kernel, &r->bench.kernel) == MXQ_OK)
        return true;
    mxq_print_error("%s: \"%s\" is no kernel that this machine can run (see mxfp4q devices)",
                    r->kernel != NULL ? "--kernel" : "MXFP4Q_KERNEL",
                    r->kernel != NULL ? r->kernel : getenv("MXFP4Q_KERNEL"));
    return false;
}

static int run(int argc, char *argv[])
{
    const long ncpus = sysconf(_SC_NPROCESSORS_ONLN);
    struct request r = {.bench = {.nrounds = 9, .nthreads = ncpus > 0 ? (unsigned)ncpus : 1}};
    json_t *rows;
    const char *value;
    bool good;
    int opt;

    r.device.kind = MXQ_DEVICE_CPU;
    while ((opt = mxq_next_option(&mxq_cmd_bench, argc, argv, &value)) != -1) {
        if (opt == 'h') {
            mxq_print_help(&mxq_cmd_bench);
            return MXQ_EXIT_OK;
        }
        if (!take_option(opt, value, &r))
            return MXQ_EXIT_TROUBLE;
    }
    if (optind < argc) {
        mxq_print_error("bench: unexpected argument \"%s\"", argv[optind]);
        return MXQ_EXIT_TROUBLE;
    }
    if (!find_kernel(&r))
        return MXQ_EXIT_TROUBLE;
    rows = json_array();
    good = measure_all(&r, rows) && (!r.json || print_json(&r, rows));
    json_decref(rows);
    return good ? MXQ_EXIT_OK : MXQ_EXIT_TROUBLE;
}

const struct mxq_command mxq_cmd_bench = {
    .name = "bench",
    .summary = "measure how fast this machine quantizes, against how fast it copies",
    .synopsis = "[OPTION]...",
    .options = options,
    .run = run,
};
