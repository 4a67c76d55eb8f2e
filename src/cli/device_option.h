/*
 * device_option.h - the value of --device: on what to compute
 */
#ifndef MXQ_DEVICE_OPTION_H
#define MXQ_DEVICE_OPTION_H

#include <stdbool.h>
#include <stdint.h>

enum mxq_device_kind {
    MXQ_DEVICE_AUTO, /* the first GPU, if there is one, for tensors that it is faster for; else CPUs */
    MXQ_DEVICE_CPU,
    MXQ_DEVICE_GPU,
};

struct mxq_device_request {
    enum mxq_device_kind kind;
    bool all;            /* with MXQ_DEVICE_GPU: all GPUs */
    unsigned index;      /* with MXQ_DEVICE_GPU, and without all: this one */
    bool has_min_nbytes; /* with MXQ_DEVICE_AUTO: the GPU is for tensors from min_nbytes on */
    uint64_t min_nbytes;
};

/* What is computed where nobody says on what. */
void mxq_init_device_request(struct mxq_device_request *request);

/* Parses "auto", "cpu", "gpu", "gpu:2" or "gpu:all"; false: it is none of them, and the user knows. */
bool mxq_parse_device(const char *text, struct mxq_device_request *request);

/* Once all options are known: looks at MXFP4Q_GPU_NBYTES, if it matters. False: it is no number, and the user knows. */
bool mxq_complete_device_request(struct mxq_device_request *request);

/* Whether a tensor of this size, which would otherwise have as many threads, is for a GPU. */
bool mxq_device_wants_gpu(const struct mxq_device_request *request, uint64_t nbytes, unsigned nthreads);

#endif /* MXQ_DEVICE_OPTION_H */
