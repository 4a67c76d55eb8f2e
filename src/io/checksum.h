/* checksum.h - the CRC-32 of gzip and zip (IEEE 802.3), which the manifest records */
#ifndef MXQ_CHECKSUM_H
#define MXQ_CHECKSUM_H

#include <stdint.h>

/* The CRC-32 of two stretches of bytes, one after the other, from those of each and the length of the second. */
uint32_t mxq_combine_crc(uint32_t first, uint32_t second, uint64_t second_nbytes);

#endif /* MXQ_CHECKSUM_H */
