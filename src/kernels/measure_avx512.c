/* measure_avx512.c - measure_run.h for AVX-512: half a block a register */
#include "kernels/measure_run.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

/* The values 0 to 15 and 16 to 31 of a block. */
struct halves {
    __m512 half[2];
};

/* The sums, in registers. */
struct sums {
    __m512d signal, noise, decoded, product;
    __m512 largest[2];
    __m512i nsaturated[2];
};

INLINE void widen(const struct mxq_measured_run *run, unsigned block, struct halves *x)
{
    const size_t first = (size_t)block * MXQ_BLOCK_NELEMS;
    const uint8_t *narrow = (const uint8_t *)run->elements + 2 * first;

    for (unsigned h = 0; h < 2; h++) {
        if (run->dtype == MXQ_F32) {
            x->half[h] = _mm512_loadu_ps((const float *)run->elements + first + 16 * h);
        } else {
            const __m256i bits = _mm256_loadu_si256((const __m256i *)(narrow + 32 * h));
            x->half[h] = run->dtype == MXQ_F16
                             ? _mm512_cvtph_ps(bits)
                             : _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
        }
    }
}

/* Patterns of magnitudes compare as numbers do. */
INLINE uint32_t find_amax(const struct halves *x)
{
    const __m512i mask = _mm512_set1_epi32(INT32_MAX);
    const __m512i a = _mm512_and_si512(_mm512_castps_si512(x->half[0]), mask);
    const __m512i b = _mm512_and_si512(_mm512_castps_si512(x->half[1]), mask);

    return (uint32_t)_mm512_reduce_max_epi32(_mm512_max_epi32(a, b));
}

INLINE void decode(const uint8_t *unit, struct halves *y)
{
    const __m512 table = _mm512_setr_ps(0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f, -0.0f, -0.5f, -1.0f, -1.5f,
                                        -2.0f, -3.0f, -4.0f, -6.0f);
    const __m256i bytes = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)unit));
    /* The odd value's code goes to the upper byte of its pair; a lookup heeds four bits. */
    const __m256i codes = _mm256_or_si256(bytes, _mm256_slli_epi16(bytes, 4));

    y->half[0] = _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(_mm256_castsi256_si128(codes)), table);
    y->half[1] = _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(_mm256_extracti128_si256(codes, 1)), table);
}

INLINE __m512d add_products(__m512d sum, __m512d square, const struct halves *a, const struct halves *b)
{
    const __m512 both = _mm512_add_ps(_mm512_mul_ps(a->half[0], b->half[0]), _mm512_mul_ps(a->half[1], b->half[1]));
    const __m256 folded = _mm256_add_ps(_mm512_castps512_ps256(both), _mm512_extractf32x8_ps(both, 1));

    return _mm512_add_pd(sum, _mm512_mul_pd(square, _mm512_cvtps_pd(folded)));
}

INLINE void sum_block(const struct halves *x, const uint8_t *unit, uint8_t scale_byte, struct sums *sums)
{
    const float scale = mxq_decode_scale(scale_byte);
    const __m512 inverse = _mm512_set1_ps(mxq_invert_scale(scale_byte));
    const __m512d square = _mm512_set1_pd((double)scale * (double)scale);
    struct halves v, y, d;

    decode(unit, &y);
    for (unsigned h = 0; h < 2; h++) {
        __mmask16 saturated;
        v.half[h] = _mm512_mul_ps(x->half[h], inverse);
        d.half[h] = _mm512_sub_ps(v.half[h], y.half[h]);
        saturated = _mm512_cmp_ps_mask(_mm512_abs_ps(v.half[h]), _mm512_set1_ps(6.0f), _CMP_GT_OQ);
        sums->nsaturated[h] =
            _mm512_mask_add_epi32(sums->nsaturated[h], saturated, sums->nsaturated[h], _mm512_set1_epi32(1));
        sums->largest[h] =
            _mm512_max_ps(sums->largest[h], _mm512_mul_ps(_mm512_abs_ps(d.half[h]), _mm512_set1_ps(scale)));
    }
    sums->signal = add_products(sums->signal, square, &v, &v);
    sums->noise = add_products(sums->noise, square, &d, &d);
    sums->decoded = add_products(sums->decoded, square, &y, &y);
    sums->product = add_products(sums->product, square, &v, &y);
}

INLINE void load_sums(const struct mxq_lanes *lanes, struct sums *sums)
{
    sums->signal = _mm512_loadu_pd(lanes->signal);
    sums->noise = _mm512_loadu_pd(lanes->noise);
    sums->decoded = _mm512_loadu_pd(lanes->decoded);
    sums->product = _mm512_loadu_pd(lanes->product);
    for (unsigned h = 0; h < 2; h++) {
        sums->largest[h] = _mm512_loadu_ps(lanes->largest + 16 * h);
        sums->nsaturated[h] = _mm512_loadu_si512((const void *)(lanes->nsaturated + 16 * h));
    }
}

INLINE void store_sums(const struct sums *sums, struct mxq_lanes *lanes)
{
    _mm512_storeu_pd(lanes->signal, sums->signal);
    _mm512_storeu_pd(lanes->noise, sums->noise);
    _mm512_storeu_pd(lanes->decoded, sums->decoded);
    _mm512_storeu_pd(lanes->product, sums->product);
    for (unsigned h = 0; h < 2; h++) {
        _mm512_storeu_ps(lanes->largest + 16 * h, sums->largest[h]);
        _mm512_storeu_si512((void *)(lanes->nsaturated + 16 * h), sums->nsaturated[h]);
    }
}

uint64_t mxq_sum_run_avx512(const struct mxq_measured_run *run, struct mxq_lanes *lanes)
{
    struct sums sums;
    uint64_t left = 0;

    load_sums(lanes, &sums);
    for (unsigned block = 0; block < run->nblocks; block++) {
        struct halves x;
        widen(run, block, &x);
        if (mxq_note_amax(find_amax(&x), run->scales[block], lanes))
            sum_block(&x, run->units + (size_t)block * MXQ_UNIT_NBYTES, run->scales[block], &sums);
        else
            left |= UINT64_C(1) << block;
    }
    store_sums(&sums, lanes);
    return left;
}

#else

uint64_t mxq_sum_run_avx512(const struct mxq_measured_run *run, struct mxq_lanes *lanes)
{
    return mxq_sum_run_in_c(run, lanes);
}

#endif /* __x86_64__ */
