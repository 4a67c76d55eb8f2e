/*
 * fuzz_npy - a libFuzzer entry for the parser of .npy headers
 *
 *   clang -g -fsanitize=fuzzer,address,undefined ... tests/unit/fuzz_npy.c src/io/{npy,stream,flatten,fault,fileio}.c
 */
#include "io/source_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

struct memory {
    const uint8_t *data;
    size_t nbytes;
};

static int64_t read_memory(struct mxq_stream *stream, void *bytes, size_t nbytes, struct mxq_fault *fault)
{
    struct memory *memory = stream->state;
    size_t n = (size_t)mxq_smaller(nbytes, memory->nbytes);

    (void)fault;
    memcpy(bytes, memory->data, n);
    memory->data += n;
    memory->nbytes -= n;
    return (int64_t)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    struct memory memory = {data, nbytes};
    struct mxq_stream stream = {.name = "fuzz", .read = read_memory, .state = &memory};
    struct mxq_source_options options = {0};
    struct mxq_tensor tensor;
    struct mxq_fault fault = {""};
    uint64_t rows;
    uint64_t cols;

    if (nbytes > 0)
        options.has_dtype = data[nbytes - 1] & 1;
    if (!mxq_read_npy_header(&stream, &options, &tensor, &fault)) {
        if (fault.text[0] == '\0' || strchr(fault.text, '\n') != NULL)
            abort();
        return 0;
    }
    if (tensor.rank > MXQ_MAX_RANK || tensor.nbytes > INT64_MAX)
        abort();
    for (int32_t axis = 0; axis <= (int32_t)tensor.rank; axis++)
        if (!mxq_flatten_tensor(&tensor, axis, &rows, &cols) || rows * cols != tensor.nelems)
            abort();
    return 0;
}
