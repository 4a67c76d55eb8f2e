/* position.c - the position of a value in a tensor of any rank, for people */
#include "cli/position.h"

#include "io/tensor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void mxq_describe_position(unsigned rank, const uint64_t shape[], uint64_t index, char *text, size_t nbytes)
{
    uint64_t position[MXQ_MAX_RANK] = {0};
    size_t length;

    for (unsigned axis = rank; axis-- > 0;) {
        position[axis] = index % shape[axis];
        index /= shape[axis];
    }
    snprintf(text, nbytes, "[");
    for (unsigned axis = 0; axis < rank; axis++) {
        length = strlen(text);
        snprintf(text + length, nbytes - length, "%s%" PRIu64, axis ? ", " : "", position[axis]);
    }
    length = strlen(text);
    snprintf(text + length, nbytes - length, "]");
}
