/* recipe.c - which recipes there can be, and which of them every variant takes */
#include "kernels/mxq_gpu.h"
#include "kernels/mxq_internal.h"
#include "kernels/philox.h"

static bool transform_is_valid(const struct mxq_recipe *recipe)
{
    switch (recipe->hadamard_nelems) {
    case 0:
    case 16:
    case 32:
    case 64:
    case 128:
        return true;
    default:
        return false;
    }
}

bool mxq_recipe_is_valid(const struct mxq_recipe *recipe)
{
    return (unsigned)recipe->scale < MXQ_NUM_SCALE_RULES && (unsigned)recipe->ties < MXQ_NUM_TIES &&
           (unsigned)recipe->sign < MXQ_NUM_SIGNS && (unsigned)recipe->block < MXQ_NUM_BLOCKS &&
           (unsigned)recipe->underflow < MXQ_NUM_UNDERFLOWS && (unsigned)recipe->sixth < MXQ_NUM_SIXTHS &&
           recipe->amax_floor < 0x7f800000u && transform_is_valid(recipe) && recipe->nan_code < 16;
}

bool mxq_recipe_fits(const struct mxq_recipe *recipe, uint64_t nelems)
{
    return recipe->hadamard_nelems <= MXQ_BLOCK_NELEMS || nelems % recipe->hadamard_nelems == 0;
}

static bool signs_repeat(const struct mxq_recipe *recipe)
{
    for (unsigned i = 1; i < MXQ_HADAMARD_NWORDS; i++)
        if (recipe->hadamard_signs[i] != recipe->hadamard_signs[0])
            return false;
    return true;
}

bool mxq_recipe_is_for_squares(const struct mxq_recipe *recipe)
{
    return recipe->scale != MXQ_SCALE_NEARLOG && recipe->ties != MXQ_TIES_STOCHASTIC &&
           (recipe->hadamard_nelems == 0 || (recipe->hadamard_nelems == 16 && signs_repeat(recipe)));
}

bool mxq_recipe_is_common(const struct mxq_recipe *recipe)
{
    return mxq_recipe_is_for_squares(recipe) && recipe->scale != MXQ_SCALE_EVEN_ABOVE &&
           recipe->block == MXQ_BLOCK_1X32 && recipe->amax_floor == 0;
}

bool mxq_gpu_takes(const struct mxq_recipe *recipe)
{
    return mxq_recipe_is_common(recipe);
}

void mxq_draw_hadamard_signs(uint64_t seed, uint32_t signs[MXQ_HADAMARD_NWORDS])
{
    mxq_random_words(seed, MXQ_STREAM_HADAMARD, 0, signs);
}
