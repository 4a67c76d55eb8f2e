/*
 * gpu_runtime.h - the functions of a GPU runtime, found when a GPU is first wanted
 *
 * AMD's HIP and NVIDIA's driver interface have nearly the same functions for modules, memory, streams and events. The
 * table has one row for each that is needed; which library it comes from, under which names, and the few things that
 * differ are a binding: gpu_runtime_hip.c or gpu_runtime_cuda.c. Nothing is linked and no header of a GPU SDK is needed:
 * what is used of either interface is the part that has not changed since ROCm 5 and CUDA 11, and has no structs.
 *
 * Handles are pointers in both. A device address is a pointer in HIP and a 64-bit integer in CUDA, which are passed alike
 * on every machine that either supports; here it is a pointer. Functions return 0, or an error code.
 */
#ifndef MXQ_GPU_RUNTIME_H
#define MXQ_GPU_RUNTIME_H

#include "kernels/mxq_gpu.h"

struct mxq_gpu_runtime {
    int (*init)(unsigned flags);
    int (*get_count)(int *count);
    int (*get_device)(int *device, int index);
    int (*get_name)(char *name, int nbytes, int device);
    int (*get_attribute)(int *value, int attribute, int device);
    int (*get_version)(int *version);
    int (*get_total)(size_t *nbytes, int device);
    int (*get_memory)(size_t *free_nbytes, size_t *total_nbytes); /* of the device in use */

    /* In use is a device (HIP) or a context (CUDA), for each thread. */
    int (*set_device)(int device);
    int (*retain_context)(void **context, int device);
    int (*release_context)(int device);
    int (*set_context)(void *context);

    int (*load_module)(void **module, const void *image);
    int (*unload_module)(void *module);
    int (*get_function)(void **function, void *module, const char *name);
    int (*set_function_attribute)(void *function, int attribute, int value);
    int (*launch)(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                  unsigned block_z, unsigned shared_nbytes, void *stream, void **arguments, void **extra);

    int (*allocate)(void **address, size_t nbytes);
    int (*free)(void *address);
    int (*allocate_host)(void **bytes, size_t nbytes, unsigned flags);
    int (*free_host)(void *bytes);
    int (*copy_in)(void *to, const void *from, size_t nbytes, void *stream);
    int (*copy_out)(void *to, const void *from, size_t nbytes, void *stream);
    int (*copy_within)(void *to, const void *from, size_t nbytes, void *stream);
    int (*fill)(void *address, unsigned char byte, size_t nbytes, void *stream);

    int (*create_stream)(void **stream, unsigned flags);
    int (*wait_for_stream)(void *stream);
    int (*destroy_stream)(void *stream);
    int (*create_event)(void **event, unsigned flags);
    int (*record_event)(void *event, void *stream);
    int (*wait_for_event)(void *event);
    int (*get_milliseconds)(float *milliseconds, void *start, void *end);
    int (*destroy_event)(void *event);

    /* One of the two. */
    const char *(*get_error_text)(int code);
    int (*find_error_text)(int code, const char **text);

    /* HIP only, either may be missing: see gpu_runtime_hip.c. */
    int (*get_properties_6)(void *properties, int device);
    int (*get_properties_5)(void *properties, int device);
};

/* Flags of both interfaces. */
#define MXQ_GPU_HOST_PORTABLE 1u       /* memory that is fixed for every device */
#define MXQ_GPU_STREAM_NON_BLOCKING 1u /* a stream that does not wait for the default one */
#define MXQ_GPU_EVENT_DEFAULT 0u

/* One function: its name in the library, and its place in the table. */
struct mxq_gpu_symbol {
    const char *name;
    size_t offset;
    bool optional;
};

#define MXQ_GPU_SYMBOL(member, symbol)                                                                                 \
    {                                                                                                                  \
        symbol, offsetof(struct mxq_gpu_runtime, member), false                                                        \
    }

/* What differs between the two. Exactly one is linked. */
struct mxq_gpu_binding {
    const char *vendor;
    const char *library;          /* the name to tell a user */
    const char *const *libraries; /* tried in this order; NULL ends the list */
    const struct mxq_gpu_symbol *symbols;
    size_t nsymbols;
    int processors_attribute; /* the number of multiprocessors or compute units */
    bool needs_shared_limit;  /* whether a kernel must be told to use more than 48 KiB of shared memory */

    /* Opens the device for this process and puts it to use in this thread. Undone with close(). */
    int (*open)(const struct mxq_gpu_runtime *runtime, struct mxq_gpu *gpu);
    int (*use)(const struct mxq_gpu_runtime *runtime, const struct mxq_gpu *gpu);
    void (*close)(const struct mxq_gpu_runtime *runtime, struct mxq_gpu *gpu);
    void (*describe)(const struct mxq_gpu_runtime *runtime, struct mxq_gpu *gpu); /* fills arch and runtime */
};

extern const struct mxq_gpu_binding mxq_gpu_binding;

/* The table, loaded and initialized; NULL, with the reason, when that is not possible. The answer never changes. */
const struct mxq_gpu_runtime *mxq_load_gpu_runtime(struct mxq_gpu_error *error);

/* The text for an error code, never NULL. */
const char *mxq_describe_gpu_code(const struct mxq_gpu_runtime *runtime, int code);

#endif /* MXQ_GPU_RUNTIME_H */
