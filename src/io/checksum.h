/* checksum.h - the CRC-32 of gzip and zip (IEEE 802.3), which the manifest records */
#ifndef MXQ_CHECKSUM_H
#define MXQ_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* The CRC-32 of what crc is the CRC-32 of (0: of nothing), followed by these bytes. */
uint32_t mxq_update_crc(uint32_t crc, const void *bytes, size_t nbytes);

/* The CRC-32 of two stretches of bytes, one after the other, from those of each and the length of the second. */
uint32_t mxq_combine_crc(uint32_t first, uint32_t second, uint64_t second_nbytes);

/*
 * The same for many pairs whose second has one length: the operator that mxq_apply_crc() takes. Applied to the CRC-32 of
 * some bytes, it gives what they contribute when nbytes others follow; exclusive-or adds the contribution of those.
 */
uint32_t mxq_make_crc_operator(uint64_t nbytes);
uint32_t mxq_apply_crc(uint32_t crc, uint32_t operator);

#endif /* MXQ_CHECKSUM_H */
