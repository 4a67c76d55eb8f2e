/*
 * npy_write.c - the header of a .npy file
 */
#include "io/writers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Magic, version 1.0, and the length of what follows as two bytes, the low one first. */
#define PREAMBLE_NBYTES 10

void mxq_make_npy_header(uint8_t header[MXQ_NPY_HEADER_NBYTES], uint64_t rows, uint64_t cols)
{
    static const uint8_t preamble[PREAMBLE_NBYTES] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, MXQ_NPY_HEADER_NBYTES - PREAMBLE_NBYTES, 0,
    };
    char dict[MXQ_NPY_HEADER_NBYTES - PREAMBLE_NBYTES];
    int length;

    /* At most 58 characters and two numbers of 20 digits: it fits. */
    length = snprintf(dict, sizeof(dict),
                      "{'descr': '|u1', 'fortran_order': False, 'shape': (%" PRIu64 ", %" PRIu64 "), }", rows, cols);
    memset(dict + length, ' ', sizeof(dict) - (size_t)length);
    dict[sizeof(dict) - 1] = '\n';
    memcpy(header, preamble, sizeof(preamble));
    memcpy(header + sizeof(preamble), dict, sizeof(dict));
}
