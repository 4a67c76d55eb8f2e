/*
 * gpu_prelude.h - the few words of a GPU that hip_kernels.hip needs, for every compiler that reads it
 *
 *   nvcc                       NVIDIA, sm_80 and newer
 *   hipcc                      AMD, with ROCm's headers
 *   clang++ -x hip -nogpuinc   AMD, with nothing but the compiler
 *   GPU_ON_HOST                any C++17 compiler, as 32 or 64 with the instructions of NVIDIA's or of AMD's chips; the
 *                              includer has defined GPU_KERNEL, GPU_PARAMETER, gpu_shared, gpu_thread() to gpu_barrier(),
 *                              gpu_end_copies(), gpu_wait_for_copies_but() and gpu_swap()
 *
 * First how a kernel is declared, then threads and memory, then arithmetic that chips have instructions for. A name means
 * the same everywhere; what is defined says which of several ways a chip is best at.
 */
#ifndef MXQ_GPU_PRELUDE_H
#define MXQ_GPU_PRELUDE_H

#include "kernels/gpu_shape.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(GPU_ON_HOST)
#define GPU_FUNC static inline
#define GPU_UNROLL
#define GPU_LOOP
#elif defined(__HIP__)
#ifndef __global__
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#endif
#define GPU_AMD 1
#define GPU_KERNEL(blocks)                                                                                             \
    extern "C" __global__ __attribute__((amdgpu_flat_work_group_size(GPU_BLOCK_THREADS, GPU_BLOCK_THREADS)))
#define GPU_PARAMETER
#define GPU_FUNC static __device__ inline __attribute__((always_inline))
#define GPU_UNROLL _Pragma("unroll")
#define GPU_LOOP _Pragma("nounroll")
#elif defined(__CUDACC__)
#define GPU_NVIDIA 1
#define GPU_KERNEL(blocks) extern "C" __global__ __launch_bounds__(GPU_BLOCK_THREADS, blocks)
#define GPU_PARAMETER __grid_constant__
#define GPU_FUNC static __device__ __forceinline__
#define GPU_UNROLL _Pragma("unroll")
#define GPU_LOOP _Pragma("unroll 1")
#else
#error "neither a GPU's compiler nor GPU_ON_HOST"
#endif

/*
 * The memory behind a pointer is global memory: AMD's compiler has other instructions for pointers that it knows nothing
 * of, which wait for more, and it does not see where pointers in a kernel's argument point.
 */
#if defined(GPU_AMD)
#define GPU_GLOBAL __attribute__((address_space(1)))
#else
#define GPU_GLOBAL
#endif

/* There are copies to shared memory that a block need not wait for. */
#if !defined(GPU_AMD)
#define GPU_HAS_STRIPS 1
#endif

/* 16 bytes that travel together. */
struct alignas(16) gpu_quad {
    uint32_t word[4];
};

/* ---- threads and memory */

#if defined(GPU_NVIDIA)

#define gpu_shared __shared__

/* Unknown each time, or whatever depends on it would be computed before all loops and kept in registers. */
GPU_FUNC uint32_t gpu_thread(void)
{
    uint32_t thread = threadIdx.x;

    asm volatile("" : "+r"(thread));
    return thread % GPU_BLOCK_THREADS;
}

GPU_FUNC uint32_t gpu_block_x(void)
{
    return blockIdx.x;
}

GPU_FUNC uint32_t gpu_block_y(void)
{
    return blockIdx.y;
}

GPU_FUNC void gpu_barrier(void)
{
    __syncthreads();
}

/* Shared memory gets 16 bytes of global memory some time before gpu_wait_for_copies() returns. */
GPU_FUNC void gpu_begin_copy(struct gpu_quad *to, const void *from)
{
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(to);

    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at), "l"(from) : "memory");
}

GPU_FUNC void gpu_wait_for_copies(void)
{
    asm volatile("cp.async.wait_all;" ::: "memory");
}

/* What has begun since the last time is a batch... */
GPU_FUNC void gpu_end_copies(void)
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* ... of which all but the last `nbatches` are waited for. */
#define gpu_wait_for_copies_but(nbatches) asm volatile("cp.async.wait_group %0;" ::"n"(nbatches) : "memory")

/* Gives a word to thread i ^ mask of the same 32, and gets its. */
GPU_FUNC uint32_t gpu_swap(uint32_t word, uint32_t mask)
{
    return __shfl_xor_sync(0xffffffffu, word, (int)mask);
}

GPU_FUNC struct gpu_quad gpu_load_quad(const void *from)
{
    const uint4 v = *(const uint4 *)from;
    const struct gpu_quad quad = {{v.x, v.y, v.z, v.w}};

    return quad;
}

GPU_FUNC void gpu_store_quad(void *to, struct gpu_quad quad)
{
    *(uint4 *)to = make_uint4(quad.word[0], quad.word[1], quad.word[2], quad.word[3]);
}

#else

#if defined(GPU_AMD)

#define gpu_shared __shared__

/* Unknown each time, or whatever depends on it would be computed before all loops and kept in registers. */
GPU_FUNC uint32_t gpu_thread(void)
{
    uint32_t thread = __builtin_amdgcn_workitem_id_x();

    asm volatile("" : "+v"(thread));
    return thread % GPU_BLOCK_THREADS;
}

GPU_FUNC uint32_t gpu_block_x(void)
{
    return __builtin_amdgcn_workgroup_id_x();
}

GPU_FUNC uint32_t gpu_block_y(void)
{
    return __builtin_amdgcn_workgroup_id_y();
}

GPU_FUNC void gpu_barrier(void)
{
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup", "local");
    __builtin_amdgcn_s_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup", "local");
}

typedef uint32_t gpu_quad_words __attribute__((ext_vector_type(4)));

GPU_FUNC struct gpu_quad gpu_load_quad(const void *from)
{
    const gpu_quad_words words = *(const GPU_GLOBAL gpu_quad_words *)from;

    return __builtin_bit_cast(struct gpu_quad, words);
}

GPU_FUNC void gpu_store_quad(void *to, struct gpu_quad quad)
{
    *(GPU_GLOBAL gpu_quad_words *)to = __builtin_bit_cast(gpu_quad_words, quad);
}

#else

GPU_FUNC struct gpu_quad gpu_load_quad(const void *from)
{
    return *(const struct gpu_quad *)from;
}

GPU_FUNC void gpu_store_quad(void *to, struct gpu_quad quad)
{
    *(struct gpu_quad *)to = quad;
}

#endif

GPU_FUNC void gpu_begin_copy(struct gpu_quad *to, const void *from)
{
    *to = gpu_load_quad(from);
}

GPU_FUNC void gpu_wait_for_copies(void)
{
}

#endif

/*
 * The kernel's only argument, as if nothing of it had been read yet: what rare code needs would otherwise be in registers
 * from the start, of which AMD's chips have too few for that.
 */
GPU_FUNC const struct mxq_gpu_task *gpu_read_again(const struct mxq_gpu_task *task)
{
#if defined(GPU_AMD)
    uint64_t address = (uint64_t)__builtin_amdgcn_kernarg_segment_ptr();

    (void)task;
    asm volatile("" : "+s"(address));
    /* Constant memory, which scalar instructions read. */
    return (const struct mxq_gpu_task *)(const __attribute__((address_space(4))) struct mxq_gpu_task *)address;
#else
    return task;
#endif
}

/* 32-bit multiplications take as long as several other instructions. */
#if defined(GPU_AMD) || (defined(GPU_ON_HOST) && GPU_ON_HOST == 64)
#define GPU_MULTIPLIES_SLOWLY 1
#endif

/* ---- arithmetic on FP32 patterns, and on words of two 16-bit lanes */

/* Four bytes of the eight of (b, a), a's being 0 to 3: nibble i of the selector says which becomes byte i. */
#if defined(GPU_NVIDIA)
#define gpu_pick_bytes(a, b, selector) __byte_perm(a, b, selector)
#elif defined(GPU_AMD)
#define gpu_pick_bytes(a, b, selector)                                                                                 \
    __builtin_amdgcn_perm(b, a,                                                                                        \
                          ((selector)&15u) | ((selector) >> 4 & 15u) << 8 | ((selector) >> 8 & 15u) << 16 |            \
                              ((selector) >> 12 & 15u) << 24)
#else
GPU_FUNC uint32_t gpu_pick_bytes(uint32_t a, uint32_t b, uint32_t selector)
{
    const uint64_t both = (uint64_t)b << 32 | a;
    uint32_t picked = 0;

    for (unsigned i = 0; i < 4; i++)
        picked |= (uint32_t)(both >> 8 * (selector >> 4 * i & 15) & 255) << 8 * i;
    return picked;
}
#endif

/* The same where the selector is not known to the compiler: the low halves of a and b, 0x5410, or the high ones, 0x7632. */
GPU_FUNC uint32_t gpu_pick_half(uint32_t a, uint32_t b, uint32_t selector)
{
#if defined(GPU_NVIDIA)
    return __byte_perm(a, b, selector);
#elif defined(GPU_AMD)
    /* Bytes of (b, a) here, too, a selector of one byte each. */
    return __builtin_amdgcn_perm(b, a, selector == 0x5410 ? 0x05040100u : 0x07060302u);
#else
    const uint32_t shift = selector >> 1 & 16;

    return (a >> shift & 0xffff) | b >> shift << 16;
#endif
}

/* One instruction, but only where nvcc does not know both the mask and the bits: of two constants it makes two. */
GPU_FUNC uint32_t gpu_and_or(uint32_t a, uint32_t mask, uint32_t bits)
{
    return (a & mask) | bits;
}

/* The lower half of (high, low) shifted right, by less than 32. */
GPU_FUNC uint32_t gpu_shift_pair(uint32_t low, uint32_t high, uint32_t nbits)
{
#if defined(GPU_NVIDIA)
    return __funnelshift_r(low, high, nbits);
#elif defined(GPU_AMD)
    return __builtin_amdgcn_alignbit(high, low, nbits);
#else
    return (uint32_t)(((uint64_t)high << 32 | low) >> nbits);
#endif
}

GPU_FUNC float gpu_float(uint32_t bits)
{
#if defined(GPU_NVIDIA)
    return __uint_as_float(bits);
#else
    return __builtin_bit_cast(float, bits);
#endif
}

GPU_FUNC uint32_t gpu_bits(float value)
{
#if defined(GPU_NVIDIA)
    return __float_as_uint(value);
#else
    return __builtin_bit_cast(uint32_t, value);
#endif
}

GPU_FUNC uint32_t gpu_fma(uint32_t a, uint32_t b, uint32_t c)
{
    return gpu_bits(__builtin_fmaf(gpu_float(a), gpu_float(b), gpu_float(c)));
}

/* The smaller of a + b and c, as integers. */
GPU_FUNC uint32_t gpu_min_of_sum(uint32_t a, uint32_t b, uint32_t c)
{
#if defined(GPU_NVIDIA)
    return __viaddmin_u32(a, b, c);
#else
    return a + b < c ? a + b : c;
#endif
}

/* The larger of two magnitudes; bit 31 of the result means nothing. A NaN wins, though perhaps with other bits. */
GPU_FUNC uint32_t gpu_max_magnitude(uint32_t a, uint32_t b)
{
#if defined(GPU_NVIDIA) && __CUDA_ARCH__ >= 860
    uint32_t result;

    asm("max.NaN.xorsign.abs.f32 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(b));
    return result;
#else
    a &= 0x7fffffffu;
    b &= 0x7fffffffu;
    return a > b ? a : b;
#endif
}

/* FP16 to FP32; exact. */
GPU_FUNC uint32_t gpu_widen_half(uint32_t lane)
{
#if defined(GPU_NVIDIA)
    float value;

    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"((uint16_t)lane));
    return gpu_bits(value);
#elif defined(GPU_AMD)
    return gpu_bits((float)__builtin_bit_cast(_Float16, (uint16_t)lane));
#else
    return mxq_widen_f16((uint16_t)lane);
#endif
}

/* The chip multiplies and adds pairs of BF16. */
#if defined(GPU_NVIDIA) || (defined(GPU_ON_HOST) && GPU_ON_HOST == 32)
#define GPU_HAS_BF16_PAIRS 1

#if defined(GPU_NVIDIA)
GPU_FUNC uint32_t gpu_fma_bf16_pair(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t result;

    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
    return result;
}

/* As gpu_max_magnitude(), in both lanes. */
GPU_FUNC uint32_t gpu_max_magnitude_bf16_pair(uint32_t a, uint32_t b)
{
#if __CUDA_ARCH__ >= 860
    uint32_t result;

    asm("max.NaN.xorsign.abs.bf16x2 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(b));
    return result;
#else
    return __vmaxu2(a & 0x7fff7fffu, b & 0x7fff7fffu);
#endif
}

GPU_FUNC uint32_t gpu_min_of_sum_pair(uint32_t a, uint32_t b, uint32_t c)
{
    return __viaddmin_u16x2(a, b, c);
}
#else
GPU_FUNC uint32_t gpu_fma_bf16(uint32_t a, uint32_t b, uint32_t c)
{
    /* A product of the size of the sum, or far from it, is exact in FP64, or changes no bit of the sum. */
    const double sum = (double)gpu_float(a << 16) * (double)gpu_float(b << 16) + (double)gpu_float(c << 16);
    const uint64_t bits = __builtin_bit_cast(uint64_t, sum);
    const uint64_t rounded = bits + ((1ull << 44) - 1) + (bits >> 45 & 1);

    /* Rounded to eight bits it is an FP32, as long as it is neither small nor large, which magic sums are not. */
    return gpu_bits((float)__builtin_bit_cast(double, rounded >> 45 << 45)) >> 16;
}

GPU_FUNC uint32_t gpu_fma_bf16_pair(uint32_t a, uint32_t b, uint32_t c)
{
    return gpu_fma_bf16(a & 0xffff, b & 0xffff, c & 0xffff) | gpu_fma_bf16(a >> 16, b >> 16, c >> 16) << 16;
}

GPU_FUNC uint32_t gpu_max_magnitude_bf16_pair(uint32_t a, uint32_t b)
{
    const uint32_t low = gpu_max_magnitude(a << 16, b << 16);
    const uint32_t high = gpu_max_magnitude(a & 0xffff0000u, b & 0xffff0000u);

    return low >> 16 | high;
}

GPU_FUNC uint32_t gpu_min_of_sum_pair(uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t low = gpu_min_of_sum(a & 0xffff, b & 0xffff, c & 0xffff);
    const uint32_t high = gpu_min_of_sum(a >> 16, b >> 16, c >> 16);

    return (low & 0xffff) | high << 16;
}
#endif
#endif

/* The chip multiplies and adds pairs of FP16, sums products of pairs of integers, and has no conversion to FP4. */
#if defined(__gfx90a__) || defined(__gfx942__) || (defined(GPU_ON_HOST) && GPU_ON_HOST == 64)
#define GPU_HAS_FP16_PAIRS 1

#if defined(GPU_AMD)
typedef uint16_t gpu_lanes __attribute__((ext_vector_type(2)));
typedef _Float16 gpu_fp16_lanes __attribute__((ext_vector_type(2)));

GPU_FUNC uint32_t gpu_max_pair(uint32_t a, uint32_t b)
{
    return __builtin_bit_cast(
        uint32_t, __builtin_elementwise_max(__builtin_bit_cast(gpu_lanes, a), __builtin_bit_cast(gpu_lanes, b)));
}

GPU_FUNC uint32_t gpu_min_pair(uint32_t a, uint32_t b)
{
    return __builtin_bit_cast(
        uint32_t, __builtin_elementwise_min(__builtin_bit_cast(gpu_lanes, a), __builtin_bit_cast(gpu_lanes, b)));
}

/* Not below 0. */
GPU_FUNC uint32_t gpu_subtract_pair(uint32_t a, uint32_t b)
{
    return __builtin_bit_cast(
        uint32_t, __builtin_elementwise_sub_sat(__builtin_bit_cast(gpu_lanes, a), __builtin_bit_cast(gpu_lanes, b)));
}

GPU_FUNC uint32_t gpu_shift_lanes_left(uint32_t a, uint32_t nbits)
{
    return __builtin_bit_cast(uint32_t, (gpu_lanes)(__builtin_bit_cast(gpu_lanes, a) << (gpu_lanes)((uint16_t)nbits)));
}

GPU_FUNC uint32_t gpu_fma_fp16_pair(uint32_t a, uint32_t b, uint32_t c)
{
    return __builtin_bit_cast(uint32_t, __builtin_elementwise_fma(__builtin_bit_cast(gpu_fp16_lanes, a),
                                                                  __builtin_bit_cast(gpu_fp16_lanes, b),
                                                                  __builtin_bit_cast(gpu_fp16_lanes, c)));
}

/* c, and the sum of the products of lanes. */
GPU_FUNC uint32_t gpu_dot_pair(uint32_t a, uint32_t b, uint32_t c)
{
    typedef unsigned short lanes __attribute__((ext_vector_type(2)));

    return __builtin_amdgcn_udot2(__builtin_bit_cast(lanes, a), __builtin_bit_cast(lanes, b), c, false);
}

/* Rounded, which powers of two from 2^-24 on need not be. */
GPU_FUNC uint32_t gpu_narrow_to_fp16(uint32_t bits)
{
    return __builtin_bit_cast(uint16_t, (_Float16)gpu_float(bits));
}
#else
GPU_FUNC uint32_t gpu_join_lanes(uint32_t low, uint32_t high)
{
    return (low & 0xffff) | high << 16;
}

GPU_FUNC uint32_t gpu_max_pair(uint32_t a, uint32_t b)
{
    return gpu_join_lanes((a & 0xffff) > (b & 0xffff) ? a : b, (a > b ? a : b) >> 16);
}

GPU_FUNC uint32_t gpu_min_pair(uint32_t a, uint32_t b)
{
    return gpu_join_lanes((a & 0xffff) < (b & 0xffff) ? a : b, (a < b ? a : b) >> 16);
}

GPU_FUNC uint32_t gpu_subtract_pair(uint32_t a, uint32_t b)
{
    return gpu_max_pair(a, b) - b;
}

GPU_FUNC uint32_t gpu_shift_lanes_left(uint32_t a, uint32_t nbits)
{
    return gpu_join_lanes(a << nbits, a >> 16 << nbits);
}

/* Of normal sums, whose bits FP64 has room for. */
GPU_FUNC uint32_t gpu_fma_fp16(uint32_t a, uint32_t b, uint32_t c)
{
    const double sum = (double)gpu_float(mxq_widen_f16((uint16_t)a)) * (double)gpu_float(mxq_widen_f16((uint16_t)b)) +
                       (double)gpu_float(mxq_widen_f16((uint16_t)c));
    const uint64_t bits = __builtin_bit_cast(uint64_t, sum);
    const uint64_t rounded = bits + ((1ull << 41) - 1) + (bits >> 42 & 1);

    return (uint32_t)(rounded >> 42) - ((1023u - 15) << 10);
}

GPU_FUNC uint32_t gpu_fma_fp16_pair(uint32_t a, uint32_t b, uint32_t c)
{
    return gpu_join_lanes(gpu_fma_fp16(a, b, c), gpu_fma_fp16(a >> 16, b >> 16, c >> 16));
}

GPU_FUNC uint32_t gpu_dot_pair(uint32_t a, uint32_t b, uint32_t c)
{
    return (a & 0xffff) * (b & 0xffff) + (a >> 16) * (b >> 16) + c;
}

/* Of powers of two alone. */
GPU_FUNC uint32_t gpu_narrow_to_fp16(uint32_t bits)
{
    const uint32_t exponent = bits >> 23;

    if (exponent < 103)
        return 0;
    return exponent > 112 ? (exponent < 143 ? (exponent - 112) << 10 : 0x7c00) : 1u << (exponent - 103);
}
#endif
#endif

/* The chip scales, rounds and packs two values to codes, ties to even, signs kept. */
#if defined(__gfx950__)
#define GPU_PACKS_FP4 1
typedef __bf16 gpu_bf16_pair __attribute__((ext_vector_type(2)));
typedef _Float16 gpu_half_pair __attribute__((ext_vector_type(2)));

/* Byte `place` of the word becomes the codes of a pair; only the exponent of the scale counts. */
#define gpu_insert_codes_f32(word, a, b, scale, place)                                                                 \
    __builtin_amdgcn_cvt_scalef32_pk_fp4_f32(word, gpu_float(a), gpu_float(b), scale, place)
#define gpu_insert_codes_bf16(word, pair, scale, place)                                                                \
    __builtin_amdgcn_cvt_scalef32_pk_fp4_bf16(word, __builtin_bit_cast(gpu_bf16_pair, pair), scale, place)
#define gpu_insert_codes_f16(word, pair, scale, place)                                                                 \
    __builtin_amdgcn_cvt_scalef32_pk_fp4_f16(word, __builtin_bit_cast(gpu_half_pair, pair), scale, place)
#elif defined(GPU_NVIDIA) && (defined(__CUDA_ARCH_SPECIFIC__) || defined(__CUDA_ARCH_FAMILY_SPECIFIC__)) &&            \
    __CUDA_ARCH__ >= 1000
#define GPU_PACKS_SCALED_FP4 1

/* The codes of two values that have been scaled, a's in the low nibble. */
GPU_FUNC uint32_t gpu_pack_codes(uint32_t a, uint32_t b)
{
    uint32_t codes;

    asm("{\n\t.reg .b8 pair;\n\tcvt.rn.satfinite.e2m1x2.f32 pair, %2, %1;\n\tcvt.u32.u8 %0, pair;\n\t}"
        : "=r"(codes)
        : "f"(gpu_float(a)), "f"(gpu_float(b)));
    return codes;
}
#endif

#endif /* MXQ_GPU_PRELUDE_H */
