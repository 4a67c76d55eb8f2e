/*
 * gpu_prelude.h - stands before the real one, to make kernels that are wrong in one place
 *
 * hip_kernels.hip includes it last of all headers, so that what is redefined here is wrong in its body alone. A test that
 * does not fail on such a kernel does not test.
 */
#include_next "kernels/gpu_prelude.h"

#if defined(MUTANT_NO_BARRIER)
#define gpu_barrier() ((void)0)
#endif

#if defined(MUTANT_BARRIER_FOR_SOME)
#define gpu_barrier() (gpu_thread() < 128 ? gpu_barrier() : (void)0)
#endif

#if defined(MUTANT_LANE)
/* The quad of the neighbouring lane. */
static __device__ inline void copy_of_neighbour(struct gpu_quad *to, const void *from)
{
    struct gpu_quad quad = gpu_load_quad(from);

    for (unsigned i = 0; i < 4; i++)
        quad.word[i] = (uint32_t)__builtin_amdgcn_update_dpp(0, (int)quad.word[i], 0xb1, 15, 15, true);
    *to = quad;
}
#define gpu_begin_copy(to, from) copy_of_neighbour(to, from)
#endif

#if defined(MUTANT_TAIL)
#define mxq_unit_nbytes(layout, nelems, block) mxq_unit_nbytes(layout, (nelems) + 1, block)
#endif

#if defined(MUTANT_DATA_SHUFFLE)
#define mxq_data_offset(layout, pitch, row, block)                                                                     \
    mxq_data_offset(layout, pitch, (layout) == MXQ_AITER ? (row) ^ 1 : (row), block)
#endif

#if defined(MUTANT_SCALE_SHUFFLE)
#define mxq_scale_offset(layout, pitch, row, block)                                                                    \
    (mxq_scale_offset(layout, pitch, row, block) ^ ((layout) == MXQ_AITER ? 4 : 0))
#endif

#if defined(MUTANT_AMAX)
#define gpu_max_magnitude(a, b) gpu_max_magnitude(a, (b)&0xff800000u)
#endif

/* The same of pairs of 16-bit values, which have ways of their own. */
#if defined(MUTANT_PAIR_AMAX)
#define gpu_max_pair(a, b) gpu_max_pair(a, (b)&0xff80ff80u)
#define __builtin_elementwise_max(a, b) __builtin_elementwise_max(a, (b) & (uint16_t)0xff80)
#endif

#if defined(MUTANT_PAIR_LANE)
#define gpu_max_pair(a, b) gpu_max_pair(a, (b)&0xffffu)
#define __builtin_elementwise_max(a, b) __builtin_elementwise_max(a, (b).xx)
#endif

#if defined(MUTANT_COST)
/* The right bytes, but neighbours in memory and in the LDS banks are far from each other... */
#define gpu_thread() (gpu_thread() << 3 & 255 | gpu_thread() >> 5)

/* ... every word of two columns takes some instructions more... */
static __device__ inline uint32_t pass_on(uint32_t word)
{
    asm volatile("v_not_b32 %0, %0\n\tv_not_b32 %0, %0" : "+v"(word));
    return word;
}
#define gpu_pick_half(a, b, selector) pass_on(gpu_pick_half(a, b, selector))

/* ... and codes are read before they are written. */
static __device__ inline void store_after_load(void *to, struct gpu_quad quad)
{
    const struct gpu_quad old = gpu_load_quad(to);

    asm volatile("" ::"v"(old.word[0]));
    gpu_store_quad(to, quad);
}
#define gpu_store_quad(to, quad) store_after_load(to, quad)
#endif
