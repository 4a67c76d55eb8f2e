/*
 * npy_write.c - the header of a .npy file
 */
#include "io/writers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Magic, version 1.0, and the length of what follows as two bytes, the low one first. */
#define PREAMBLE_NBYTES 10

/* Headers are a multiple of this, so that the elements are aligned when the file is mapped. */
#define ALIGNMENT 64

/* (8, 32, 1024), and for one axis (8,). Each of up to 32 sizes takes at most 22 characters. */
static size_t format_shape(char *text, size_t nbytes, unsigned rank, const uint64_t shape[])
{
    size_t length = 0;

    for (unsigned axis = 0; axis < rank; axis++)
        length += (size_t)snprintf(text + length, nbytes - length, axis ? ", %" PRIu64 : "%" PRIu64, shape[axis]);
    if (rank == 1)
        length += (size_t)snprintf(text + length, nbytes - length, ",");
    return length;
}

size_t mxq_make_npy_tensor_header(uint8_t header[MXQ_NPY_TENSOR_HEADER_NBYTES], const char *descr, unsigned rank,
                                  const uint64_t *shape)
{
    static const uint8_t preamble[] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
    char *dict = (char *)header + PREAMBLE_NBYTES;
    const size_t room = MXQ_NPY_TENSOR_HEADER_NBYTES - PREAMBLE_NBYTES;
    size_t length, total;

    length = (size_t)snprintf(dict, room, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    length += format_shape(dict + length, room - length, rank, shape);
    length += (size_t)snprintf(dict + length, room - length, "), }");
    total = (PREAMBLE_NBYTES + length + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (total < MXQ_NPY_HEADER_NBYTES)
        total = MXQ_NPY_HEADER_NBYTES;
    memcpy(header, preamble, sizeof(preamble));
    header[8] = (uint8_t)(total - PREAMBLE_NBYTES);
    header[9] = (uint8_t)((total - PREAMBLE_NBYTES) >> 8);
    memset(dict + length, ' ', total - PREAMBLE_NBYTES - length);
    header[total - 1] = '\n';
    return total;
}

void mxq_make_npy_header(uint8_t header[MXQ_NPY_HEADER_NBYTES], uint64_t rows, uint64_t cols)
{
    const uint64_t shape[2] = {rows, cols};
    uint8_t full[MXQ_NPY_TENSOR_HEADER_NBYTES];

    /* At most 58 characters and two numbers of 20 digits: it fits. */
    mxq_make_npy_tensor_header(full, "|u1", 2, shape);
    memcpy(header, full, MXQ_NPY_HEADER_NBYTES);
}
