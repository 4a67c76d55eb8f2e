/*
 * fuzz_safetensors - a libFuzzer entry for the reader of .safetensors headers
 *
 *   clang -g -fsanitize=fuzzer,address,undefined ... tests/unit/fuzz_safetensors.c \
 *       src/io/{safetensors,safetensors_write,json_text,fault,fileio}.c -ljansson
 *
 * The input is the header and the tensors; the length of the header is that of all but the last byte's number of bytes.
 */
#define _GNU_SOURCE

#include "io/safetensors.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

/* What was accepted is as the header file promises; written again, it is the same tensors. */
static void check_header(struct mxq_st_header *header, uint64_t nbytes)
{
    struct mxq_fault fault;
    uint64_t end = header->data_offset, counted;
    uint8_t *packed;

    if (header->nbytes != nbytes || header->data_offset > nbytes)
        abort();
    for (size_t i = 0; i < header->ntensors; i++) {
        const struct mxq_st_tensor *t = &header->tensors[i];
        if (t->offset != end || !mxq_count_st_bytes(t->dtype, t->rank, t->shape, &counted) || counted != t->nbytes)
            abort();
        end += t->nbytes;
    }
    if (end != nbytes)
        abort();
    if (!mxq_lay_out_st_header(header, "fuzz", &fault) || !mxq_pack_st_header(header, &packed, &fault))
        abort();
    free(packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    struct mxq_st_header *header;
    struct mxq_fault fault = {""};
    uint8_t length[8] = {0};
    size_t tail;
    int fd;

    if (nbytes < 1)
        return 0;
    tail = data[nbytes - 1] < nbytes ? data[nbytes - 1] : nbytes - 1;
    nbytes--;
    for (unsigned i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)(nbytes - tail) >> (8 * i));
    fd = memfd_create("fuzz", 0);
    if (fd < 0 || write(fd, length, 8) != 8 || write(fd, data, nbytes) != (ssize_t)nbytes)
        abort();
    if (mxq_read_st_header(fd, "fuzz", &header, &fault))
        check_header(header, nbytes + 8);
    else if (header != NULL || fault.text[0] == '\0' || strchr(fault.text, '\n') != NULL)
        abort();
    mxq_free_st_header(header);
    close(fd);
    return 0;
}
