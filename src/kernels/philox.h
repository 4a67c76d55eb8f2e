/*
 * philox.h - Philox4x32-10, the generator of everything random here
 *
 * J. Salmon, M. Moraes, R. Dror, D. Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC11). It has no state: words are
 * a function of a key and a counter, so that whoever needs those of an element computes them, in any order. The key is
 * the seed, the counter a number and a stream: what is random for one purpose is independent of all others.
 */
#ifndef MXQ_PHILOX_H
#define MXQ_PHILOX_H

#include <stdint.h>

#ifndef MXQ_FUNC
#define MXQ_FUNC static inline
#endif

/* Streams. */
#define MXQ_STREAM_ROUNDING 0
#define MXQ_STREAM_HADAMARD 1

MXQ_FUNC void mxq_philox_round(const uint32_t key[2], uint32_t c[4])
{
    const uint64_t product0 = (uint64_t)0xd2511f53u * c[0];
    const uint64_t product1 = (uint64_t)0xcd9e8d57u * c[2];
    const uint32_t c1 = c[1];
    const uint32_t c3 = c[3];

    c[0] = (uint32_t)(product1 >> 32) ^ c1 ^ key[0];
    c[1] = (uint32_t)product1;
    c[2] = (uint32_t)(product0 >> 32) ^ c3 ^ key[1];
    c[3] = (uint32_t)product0;
}

/* Replaces a counter of four words by four random words. */
MXQ_FUNC void mxq_philox4x32(uint64_t seed, uint32_t words[4])
{
    uint32_t key[2];

    key[0] = (uint32_t)seed;
    key[1] = (uint32_t)(seed >> 32);
    for (unsigned round = 0; round < 10; round++) {
        mxq_philox_round(key, words);
        key[0] += 0x9e3779b9u;
        key[1] += 0xbb67ae85u;
    }
}

MXQ_FUNC void mxq_random_words(uint64_t seed, uint32_t stream, uint64_t number, uint32_t words[4])
{
    words[0] = (uint32_t)number;
    words[1] = (uint32_t)(number >> 32);
    words[2] = stream;
    words[3] = 0;
    mxq_philox4x32(seed, words);
}

/* What decides how an element of the matrix is rounded. */
MXQ_FUNC uint32_t mxq_random_bits(uint64_t seed, uint64_t place)
{
    uint32_t words[4];

    mxq_random_words(seed, MXQ_STREAM_ROUNDING, place / 4, words);
    return words[place % 4];
}

#endif /* MXQ_PHILOX_H */
