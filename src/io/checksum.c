/*
 * checksum.c - CRC-32 by libdeflate, and its arithmetic by zlib
 *
 * Every byte that is read or written passes through here once. libdeflate multiplies without carries (PCLMULQDQ) and does
 * 14.5 GB/s where zlib's tables do 4.3 (one core of an EPYC at 4 KiB and more), with which checksums took a fifth of the
 * time of a job.
 */
#include "io/checksum.h"

#include <libdeflate.h>
#include <zlib.h>

uint32_t mxq_update_crc(uint32_t crc, const void *bytes, size_t nbytes)
{
    /* For libdeflate, no address means the first call. */
    return nbytes != 0 ? libdeflate_crc32(crc, bytes, nbytes) : crc;
}

uint32_t mxq_combine_crc(uint32_t first, uint32_t second, uint64_t second_nbytes)
{
    return (uint32_t)crc32_combine(first, second, (z_off_t)second_nbytes);
}

uint32_t mxq_make_crc_operator(uint64_t nbytes)
{
    return (uint32_t)crc32_combine_gen((z_off_t)nbytes);
}

uint32_t mxq_apply_crc(uint32_t crc, uint32_t operator)
{
    return (uint32_t)crc32_combine_op(crc, 0, operator);
}
