/*
 * gpu_runtime_hip.c - the binding to AMD's HIP, libamdhip64.so of ROCm 5, 6 or 7
 *
 * The name of the architecture (gfx950) is the one thing that no function gives but in a struct, hipDeviceProp_t, whose
 * layout changed with ROCm 6. Since then the symbol has the layout in its name: hipGetDevicePropertiesR0600 fills a struct
 * that has gcnArchName 1160 bytes from its start, and hipGetDeviceProperties without a suffix, as ROCm 5 has it and later
 * ones keep it, one that has it 396 bytes from its start. The attributes for a compute capability do not tell gfx90a from
 * gfx906.
 */
#include "kernels/gpu_runtime.h"

#include <stdio.h>
#include <string.h>

enum {
    ATTRIBUTE_MULTIPROCESSOR_COUNT = 63,
    PROPERTIES_NBYTES = 8192, /* both structs have less than 1600 */
    ARCH_OFFSET_6 = 1160,
    ARCH_OFFSET_5 = 396,
};

static const char *const libraries[] = {"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5", "libamdhip64.so",
                                        NULL};

static const struct mxq_gpu_symbol symbols[] = {
    MXQ_GPU_SYMBOL(init, "hipInit"),
    MXQ_GPU_SYMBOL(get_count, "hipGetDeviceCount"),
    MXQ_GPU_SYMBOL(get_device, "hipDeviceGet"),
    MXQ_GPU_SYMBOL(get_name, "hipDeviceGetName"),
    MXQ_GPU_SYMBOL(get_attribute, "hipDeviceGetAttribute"),
    MXQ_GPU_SYMBOL(get_version, "hipRuntimeGetVersion"),
    MXQ_GPU_SYMBOL(get_total, "hipDeviceTotalMem"),
    MXQ_GPU_SYMBOL(get_memory, "hipMemGetInfo"),
    MXQ_GPU_SYMBOL(set_device, "hipSetDevice"),
    MXQ_GPU_SYMBOL(load_module, "hipModuleLoadData"),
    MXQ_GPU_SYMBOL(unload_module, "hipModuleUnload"),
    MXQ_GPU_SYMBOL(get_function, "hipModuleGetFunction"),
    MXQ_GPU_SYMBOL(launch, "hipModuleLaunchKernel"),
    MXQ_GPU_SYMBOL(allocate, "hipMalloc"),
    MXQ_GPU_SYMBOL(free, "hipFree"),
    MXQ_GPU_SYMBOL(allocate_host, "hipHostMalloc"),
    MXQ_GPU_SYMBOL(free_host, "hipHostFree"),
    MXQ_GPU_SYMBOL(copy_in, "hipMemcpyHtoDAsync"),
    MXQ_GPU_SYMBOL(copy_out, "hipMemcpyDtoHAsync"),
    MXQ_GPU_SYMBOL(copy_within, "hipMemcpyDtoDAsync"),
    MXQ_GPU_SYMBOL(fill, "hipMemsetD8Async"),
    MXQ_GPU_SYMBOL(create_stream, "hipStreamCreateWithFlags"),
    MXQ_GPU_SYMBOL(wait_for_stream, "hipStreamSynchronize"),
    MXQ_GPU_SYMBOL(destroy_stream, "hipStreamDestroy"),
    MXQ_GPU_SYMBOL(create_event, "hipEventCreateWithFlags"),
    MXQ_GPU_SYMBOL(record_event, "hipEventRecord"),
    MXQ_GPU_SYMBOL(wait_for_event, "hipEventSynchronize"),
    MXQ_GPU_SYMBOL(get_milliseconds, "hipEventElapsedTime"),
    MXQ_GPU_SYMBOL(destroy_event, "hipEventDestroy"),
    MXQ_GPU_SYMBOL(get_error_text, "hipGetErrorString"),
    {"hipGetDevicePropertiesR0600", offsetof(struct mxq_gpu_runtime, get_properties_6), true},
    {"hipGetDeviceProperties", offsetof(struct mxq_gpu_runtime, get_properties_5), true},
};

static int use_device(const struct mxq_gpu_runtime *runtime, const struct mxq_gpu *gpu)
{
    return runtime->set_device(gpu->device);
}

static int open_device(const struct mxq_gpu_runtime *runtime, struct mxq_gpu *gpu)
{
    return use_device(runtime, gpu);
}

static void close_device(const struct mxq_gpu_runtime *runtime, struct mxq_gpu *gpu)
{
    (void)runtime;
    (void)gpu;
}

/* "gfx90a:sramecc+:xnack-" has features behind a colon. */
static void copy_arch(struct mxq_gpu *gpu, const char *name)
{
    const size_t length = strcspn(name, ":");

    if (length < sizeof(gpu->arch)) {
        memcpy(gpu->arch, name, length);
        gpu->arch[length] = '\0';
    }
}

static void describe(const struct mxq_gpu_runtime *runtime, struct mxq_gpu *gpu)
{
    char properties[PROPERTIES_NBYTES] __attribute__((aligned(16))) = {0};
    int version;

    if (runtime->get_properties_6 != NULL && runtime->get_properties_6(properties, gpu->device) == 0)
        copy_arch(gpu, properties + ARCH_OFFSET_6);
    else if (runtime->get_properties_6 == NULL && runtime->get_properties_5 != NULL &&
             runtime->get_properties_5(properties, gpu->device) == 0)
        copy_arch(gpu, properties + ARCH_OFFSET_5);
    if (runtime->get_version(&version) == 0)
        snprintf(gpu->runtime, sizeof(gpu->runtime), "HIP %d.%d.%d", version / 10000000, version / 100000 % 100,
                 version % 100000);
}

const struct mxq_gpu_binding mxq_gpu_binding = {
    .vendor = "amd",
    .library = "libamdhip64.so",
    .libraries = libraries,
    .symbols = symbols,
    .nsymbols = sizeof(symbols) / sizeof(symbols[0]),
    .processors_attribute = ATTRIBUTE_MULTIPROCESSOR_COUNT,
    .needs_shared_limit = false,
    .open = open_device,
    .use = use_device,
    .close = close_device,
    .describe = describe,
};
