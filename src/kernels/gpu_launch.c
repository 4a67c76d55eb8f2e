/* gpu_launch.c - which kernel of hip_kernels.hip serves a task, and how many threads it wants */
#include "kernels/gpu_launch.h"
#include "kernels/gpu_shape.h"

/* Kernels for every recipe, and shorter ones for recipes with ties to even, signs kept, and nothing to saturate. */
static bool is_plain(const struct mxq_recipe *recipe)
{
    return recipe->ties == MXQ_TIES_EVEN && recipe->sign == MXQ_SIGN_KEEP && recipe->scale != MXQ_SCALE_FLOOR;
}

static const char *find_symbol(const struct mxq_gpu_task *task)
{
    static const char *const symbols[MXQ_NUM_DTYPES][2][2] = {
        [MXQ_BF16] = {{"mxq_gpu_bf16_any", "mxq_gpu_bf16"}, {"mxq_gpu_bf16_hadamard_any", "mxq_gpu_bf16_hadamard"}},
        [MXQ_F16] = {{"mxq_gpu_f16_any", "mxq_gpu_f16"}, {"mxq_gpu_f16_hadamard_any", "mxq_gpu_f16_hadamard"}},
        [MXQ_F32] = {{"mxq_gpu_f32_any", "mxq_gpu_f32"}, {"mxq_gpu_f32_hadamard_any", "mxq_gpu_f32_hadamard"}},
    };

    return symbols[task->matrix.dtype][task->recipe.hadamard_nelems != 0][is_plain(&task->recipe)];
}

static uint32_t count_tiles(uint64_t nelems, uint64_t tile_nelems, uint32_t largest)
{
    const uint64_t ntiles = nelems / tile_nelems + (nelems % tile_nelems != 0);

    return ntiles < largest ? (uint32_t)ntiles : largest;
}

/*
 * The kernel for strips stores linear columns in longer pieces. Its blocks are few and long, so that there should be several
 * for each processor, whose number must be known; on an H200 it was faster from 7 on.
 */
static bool is_for_strips(const struct mxq_gpu_task *task, uint32_t nprocessors)
{
    const uint64_t nelems = (uint64_t)GPU_STRIP_ROWS * GPU_TILE_NBYTES / 2;
    const struct mxq_target *target = task->target;

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        if (target[d].wanted && (target[d].data_layout != MXQ_LINEAR || target[d].scale_layout != MXQ_LINEAR))
            return false;
    return target[MXQ_COLUMNWISE].wanted && task->matrix.dtype == MXQ_BF16 && is_plain(&task->recipe) &&
           task->recipe.hadamard_nelems == 0 && nprocessors != 0 &&
           task->matrix.rows * task->matrix.cols / nelems / 7 >= nprocessors;
}

/* The grid of the kernel for tiles, or of that for strips. */
static void find_grid(const struct mxq_gpu_task *task, bool strips, uint32_t grid[3])
{
    const uint64_t tile_cols = GPU_TILE_NBYTES / (task->matrix.dtype == MXQ_F32 ? 4u : 2u);
    const uint32_t across = strips ? GPU_STRIP_GROUP : 1;
    const uint64_t down = strips ? GPU_STRIP_GROUP * GPU_STRIP_ROWS : GPU_TILE_ROWS;

    grid[0] = count_tiles(task->matrix.cols, tile_cols, GPU_LARGEST_GRID_X / across) * across;
    grid[1] = count_tiles(task->matrix.rows, down, GPU_LARGEST_GRID_Y);
    grid[2] = 1;
}

void mxq_find_gpu_launch(const struct mxq_gpu_task *task, const struct mxq_gpu_traits *traits,
                         struct mxq_gpu_launch *launch)
{
    const bool strips = is_for_strips(task, traits->nprocessors);

    launch->symbol = strips ? "mxq_gpu_bf16_strips" : find_symbol(task);
    find_grid(task, strips, launch->grid);
    launch->block_threads = GPU_BLOCK_THREADS;
    launch->shared_nbytes = 0;
}
