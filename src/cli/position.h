/* position.h - the position of a value in a tensor of any rank, for people */
#ifndef MXQ_POSITION_H
#define MXQ_POSITION_H

#include <stddef.h>
#include <stdint.h>

/* "[2, 0, 17]" for the value with this number in the order of elements; rank is at most MXQ_MAX_RANK. */
void mxq_describe_position(unsigned rank, const uint64_t shape[], uint64_t index, char *text, size_t nbytes);

#endif /* MXQ_POSITION_H */
