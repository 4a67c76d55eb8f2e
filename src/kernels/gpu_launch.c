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

    return symbols[task->matrix.dtype][task->recipe.hadamard][is_plain(&task->recipe)];
}

static uint32_t count_tiles(uint64_t nelems, uint64_t tile_nelems, uint32_t largest)
{
    const uint64_t ntiles = nelems / tile_nelems + (nelems % tile_nelems != 0);

    return ntiles < largest ? (uint32_t)ntiles : largest;
}

void mxq_find_gpu_launch(const struct mxq_gpu_task *task, const struct mxq_gpu_traits *traits,
                         struct mxq_gpu_launch *launch)
{
    const uint64_t tile_cols = GPU_TILE_NBYTES / (task->matrix.dtype == MXQ_F32 ? 4u : 2u);

    (void)traits;
    launch->symbol = find_symbol(task);
    launch->grid[0] = count_tiles(task->matrix.cols, tile_cols, GPU_LARGEST_GRID_X);
    launch->grid[1] = count_tiles(task->matrix.rows, GPU_TILE_ROWS, GPU_LARGEST_GRID_Y);
    launch->grid[2] = 1;
    launch->block_threads = GPU_BLOCK_THREADS;
    launch->shared_nbytes = 0;
}
