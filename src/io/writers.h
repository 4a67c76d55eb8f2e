/*
 * writers.h - the output formats, as result.c uses them
 */
#ifndef MXQ_WRITERS_H
#define MXQ_WRITERS_H

#include "io/fault.h"
#include "io/tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes read from a collected buffer in one go. */
#define MXQ_CHUNK_NBYTES ((size_t)1 << 20)

/* npy_write.c */

/* The header of a 2-D uint8 array never needs more, whatever its shape, so it always takes this much. */
#define MXQ_NPY_HEADER_NBYTES 128

/* Writes the header of rows x cols bytes in C order as numpy.save() does: a multiple of 64 long, padded with spaces. */
void mxq_make_npy_header(uint8_t header[MXQ_NPY_HEADER_NBYTES], uint64_t rows, uint64_t cols);

/* Enough for a tensor of MXQ_MAX_RANK (tensor.h) axes of any size. */
#define MXQ_NPY_TENSOR_HEADER_NBYTES 832

/*
 * The same for a tensor in C order: descr is NumPy's word for the type, "<f4". Returns the length, a multiple of 64. The
 * header of a tensor that is not large takes 128 bytes.
 */
size_t mxq_make_npy_tensor_header(uint8_t header[MXQ_NPY_TENSOR_HEADER_NBYTES], const char *descr, unsigned rank,
                                  const uint64_t *shape);

/* gz_write.c */

struct mxq_gz_writer;

/* Starts one gzip member without name and time at the position of fd; file is the name for faults. NULL on a fault. */
struct mxq_gz_writer *mxq_open_gz_writer(int fd, const char *file, struct mxq_fault *fault);

bool mxq_write_gz(struct mxq_gz_writer *writer, const void *bytes, size_t nbytes, struct mxq_fault *fault);

/* Writes what is pending and the trailer. */
bool mxq_finish_gz(struct mxq_gz_writer *writer, struct mxq_fault *fault);

/* Accepts NULL. */
void mxq_free_gz_writer(struct mxq_gz_writer *writer);

#endif /* MXQ_WRITERS_H */
