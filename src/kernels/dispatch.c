/* dispatch.c - the only file that lists variants, and that chooses one */
#include "kernels/mxq_internal.h"

#include <stdlib.h>
#include <string.h>

/* Slowest first: the last that runs here is chosen, but for the GPU. */
static const struct mxq_kernel *const kernels[] = {
    &mxq_kernel_scalar, &mxq_kernel_neon, &mxq_kernel_avx2, &mxq_kernel_avx512, &mxq_kernel_gpu,
};

#define NKERNELS (sizeof(kernels) / sizeof(kernels[0]))

const struct mxq_kernel *mxq_get_kernel(size_t index)
{
    return index < NKERNELS ? kernels[index] : NULL;
}

const char *mxq_kernel_name(const struct mxq_kernel *kernel)
{
    return kernel->name;
}

const char *mxq_kernel_summary(const struct mxq_kernel *kernel)
{
    return kernel->summary;
}

bool mxq_kernel_runs_here(const struct mxq_kernel *kernel)
{
    return kernel->runs_here();
}

bool mxq_kernel_takes(const struct mxq_kernel *kernel, const struct mxq_recipe *recipe)
{
    return kernel->takes(recipe);
}

static const struct mxq_kernel *find_fastest(void)
{
    for (size_t i = NKERNELS; i-- > 0;)
        if (kernels[i] != &mxq_kernel_gpu && kernels[i]->runs_here())
            return kernels[i];
    return NULL;
}

static const struct mxq_kernel *find_named(const char *name)
{
    for (size_t i = 0; i < NKERNELS; i++)
        if (strcmp(kernels[i]->name, name) == 0 && kernels[i]->runs_here())
            return kernels[i];
    return NULL;
}

enum mxq_status mxq_select_kernel(const char *name, const struct mxq_kernel **kernel)
{
    if (name == NULL)
        name = getenv("MXFP4Q_KERNEL");
    *kernel = name == NULL || *name == '\0' ? find_fastest() : find_named(name);
    return *kernel != NULL ? MXQ_OK : MXQ_ERR_KERNEL;
}
