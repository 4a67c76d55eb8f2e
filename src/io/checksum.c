/* checksum.c - CRC-32 arithmetic, by zlib */
#include "io/checksum.h"

#include <zlib.h>

uint32_t mxq_combine_crc(uint32_t first, uint32_t second, uint64_t second_nbytes)
{
    return (uint32_t)crc32_combine(first, second, (z_off_t)second_nbytes);
}
