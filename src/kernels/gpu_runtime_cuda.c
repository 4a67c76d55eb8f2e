/*
 * gpu_runtime_cuda.c - the binding to NVIDIA's driver interface, libcuda.so.1
 *
 * The driver interface, and not the runtime library: it comes with the driver, so whoever can use the GPU has it. The
 * names are those that cuda.h of CUDA 11 to 13 turns its macros into: _v2 is what has 64-bit sizes and addresses.
 * cuEventElapsedTime stays without, for drivers before 12.8 have no other.
 */
#include "kernels/gpu_runtime.h"

#include <stdio.h>

enum {
    ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
    ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
    ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
};

static const char *const libraries[] = {"libcuda.so.1", NULL};

static const struct mxq_gpu_symbol symbols[] = {
    MXQ_GPU_SYMBOL(init, "cuInit"),
    MXQ_GPU_SYMBOL(get_count, "cuDeviceGetCount"),
    MXQ_GPU_SYMBOL(get_device, "cuDeviceGet"),
    MXQ_GPU_SYMBOL(get_name, "cuDeviceGetName"),
    MXQ_GPU_SYMBOL(get_attribute, "cuDeviceGetAttribute"),
    MXQ_GPU_SYMBOL(get_version, "cuDriverGetVersion"),
    MXQ_GPU_SYMBOL(get_total, "cuDeviceTotalMem_v2"),
    MXQ_GPU_SYMBOL(get_memory, "cuMemGetInfo_v2"),
    MXQ_GPU_SYMBOL(retain_context, "cuDevicePrimaryCtxRetain"),
    MXQ_GPU_SYMBOL(release_context, "cuDevicePrimaryCtxRelease_v2"),
    MXQ_GPU_SYMBOL(set_context, "cuCtxSetCurrent"),
    MXQ_GPU_SYMBOL(load_module, "cuModuleLoadData"),
    MXQ_GPU_SYMBOL(unload_module, "cuModuleUnload"),
    MXQ_GPU_SYMBOL(get_function, "cuModuleGetFunction"),
    MXQ_GPU_SYMBOL(set_function_attribute, "cuFuncSetAttribute"),
    MXQ_GPU_SYMBOL(launch, "cuLaunchKernel"),
    MXQ_GPU_SYMBOL(allocate, "cuMemAlloc_v2"),
    MXQ_GPU_SYMBOL(free, "cuMemFree_v2"),
    MXQ_GPU_SYMBOL(allocate_host, "cuMemHostAlloc"),
    MXQ_GPU_SYMBOL(free_host, "cuMemFreeHost"),
    MXQ_GPU_SYMBOL(copy_in, "cuMemcpyHtoDAsync_v2"),
    MXQ_GPU_SYMBOL(copy_out, "cuMemcpyDtoHAsync_v2"),
    MXQ_GPU_SYMBOL(copy_within, "cuMemcpyDtoDAsync_v2"),
    MXQ_GPU_SYMBOL(fill, "cuMemsetD8Async"),
    MXQ_GPU_SYMBOL(create_stream, "cuStreamCreate"),
    MXQ_GPU_SYMBOL(wait_for_stream, "cuStreamSynchronize"),
    MXQ_GPU_SYMBOL(destroy_stream, "cuStreamDestroy_v2"),
    MXQ_GPU_SYMBOL(create_event, "cuEventCreate"),
    MXQ_GPU_SYMBOL(record_event, "cuEventRecord"),
    MXQ_GPU_SYMBOL(wait_for_event, "cuEventSynchronize"),
    MXQ_GPU_SYMBOL(get_milliseconds, "cuEventElapsedTime"),
    MXQ_GPU_SYMBOL(destroy_event, "cuEventDestroy_v2"),
    MXQ_GPU_SYMBOL(find_error_text, "cuGetErrorString"),
};

static int use_context(const struct mxq_gpu_runtime *runtime, const struct mxq_gpu *gpu)
{
    return runtime->set_context(gpu->context);
}

static int open_context(const struct mxq_gpu_runtime *runtime, struct mxq_gpu *gpu)
{
    int code = runtime->retain_context(&gpu->context, gpu->device);

    if (code != 0)
        gpu->context = NULL;
    return code != 0 ? code : use_context(runtime, gpu);
}

static void close_context(const struct mxq_gpu_runtime *runtime, struct mxq_gpu *gpu)
{
    if (gpu->context == NULL)
        return;
    runtime->set_context(NULL);
    runtime->release_context(gpu->device);
    gpu->context = NULL;
}

static void describe(const struct mxq_gpu_runtime *runtime, struct mxq_gpu *gpu)
{
    int major, minor, version;

    if (runtime->get_attribute(&major, ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, gpu->device) == 0 &&
        runtime->get_attribute(&minor, ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, gpu->device) == 0)
        snprintf(gpu->arch, sizeof(gpu->arch), "sm_%d%d", major, minor);
    if (runtime->get_version(&version) == 0)
        snprintf(gpu->runtime, sizeof(gpu->runtime), "CUDA %d.%d", version / 1000, version % 1000 / 10);
}

const struct mxq_gpu_binding mxq_gpu_binding = {
    .vendor = "nvidia",
    .library = "libcuda.so.1",
    .libraries = libraries,
    .symbols = symbols,
    .nsymbols = sizeof(symbols) / sizeof(symbols[0]),
    .processors_attribute = ATTRIBUTE_MULTIPROCESSOR_COUNT,
    .needs_shared_limit = true,
    .open = open_context,
    .use = use_context,
    .close = close_context,
    .describe = describe,
};
