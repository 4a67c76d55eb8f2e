/* zip_records.c - the records of a zip archive, as bytes */
#include "io/zip_records.h"

#include <string.h>

/* What a 32-bit and a 16-bit field hold when the number is in the 64-bit form. */
#define LARGE_32 UINT32_MAX
#define LARGE_16 UINT16_MAX

#define SIGNATURE_LOCAL 0x04034b50
#define SIGNATURE_ENTRY 0x02014b50
#define SIGNATURE_END 0x06054b50
#define SIGNATURE_LARGE_END 0x06064b50
#define SIGNATURE_LOCATOR 0x07064b50

#define LOCAL_NBYTES 30
#define LARGE_END_NBYTES 56

#define EXTRA_LARGE 1 /* the extra field with 64-bit numbers */

#define VERSION_DEFLATE 20
#define VERSION_LARGE 45

/* Made on Unix, as a regular file that all may read. */
#define MADE_ON_UNIX (3 << 8)
#define FILE_ATTRIBUTES ((uint32_t)0100644 << 16)

#define FLAG_UTF_8 (1 << 11)
#define METHOD_DEFLATE 8

/* 1980-01-01 00:00:00, the first moment of zip's clock. */
#define DOS_DATE ((1 << 5) | 1)
#define DOS_TIME 0

/* Sizes that deflating might bring above 32 bits: it adds 5 bytes to 16 KiB at worst. */
#define LARGE_CONTENT ((uint64_t)0xff000000)

/* A number of nbytes bytes, the low one first. */
static uint8_t *put(uint8_t *p, uint64_t value, unsigned nbytes)
{
    for (unsigned i = 0; i < nbytes; i++)
        *p++ = (uint8_t)(value >> (8 * i));
    return p;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool mxq_zip_needs_large_sizes(uint64_t nbytes)
{
    return nbytes >= LARGE_CONTENT;
}

size_t mxq_zip_local_nbytes(const struct mxq_zip_member *member)
{
    return LOCAL_NBYTES + strlen(member->name) + (member->has_large_sizes ? 20 : 0);
}

static bool is_ascii(const char *name)
{
    while (*name != '\0')
        if ((unsigned char)*name++ >= 0x80)
            return false;
    return true;
}

/* What both records of a member have in common, from the version to the lengths of name and extra field. */
static uint8_t *put_description(uint8_t *p, const struct mxq_zip_member *member, bool large_sizes, size_t extra_nbytes,
                                bool is_large)
{
    p = put(p, is_large ? VERSION_LARGE : VERSION_DEFLATE, 2);
    p = put(p, is_ascii(member->name) ? 0 : FLAG_UTF_8, 2);
    p = put(p, member->deflated ? METHOD_DEFLATE : 0, 2);
    p = put(p, DOS_TIME, 2);
    p = put(p, DOS_DATE, 2);
    p = put(p, member->crc, 4);
    p = put(p, large_sizes ? LARGE_32 : member->packed_nbytes, 4);
    p = put(p, large_sizes ? LARGE_32 : member->nbytes, 4);
    p = put(p, strlen(member->name), 2);
    return put(p, extra_nbytes, 2);
}

static uint8_t *put_name(uint8_t *p, const char *name)
{
    const size_t length = strlen(name);

    memcpy(p, name, length);
    return p + length;
}

static uint8_t *put_large_sizes(uint8_t *p, const struct mxq_zip_member *member)
{
    p = put(p, member->nbytes, 8);
    return put(p, member->packed_nbytes, 8);
}

size_t mxq_make_zip_local(uint8_t *record, const struct mxq_zip_member *member)
{
    const bool large = member->has_large_sizes;
    uint8_t *p = put(record, SIGNATURE_LOCAL, 4);

    p = put_description(p, member, large, large ? 20 : 0, large);
    p = put_name(p, member->name);
    if (large) {
        p = put(p, EXTRA_LARGE, 2);
        p = put(p, 16, 2);
        p = put_large_sizes(p, member);
    }
    return (size_t)(p - record);
}

size_t mxq_make_zip_entry(uint8_t *record, const struct mxq_zip_member *member)
{
    const bool large_sizes = member->has_large_sizes;
    const bool large_offset = member->offset >= LARGE_32;
    const size_t content_nbytes = (large_sizes ? 16U : 0U) + (large_offset ? 8U : 0U);
    uint8_t *p = put(record, SIGNATURE_ENTRY, 4);

    p = put(p, MADE_ON_UNIX | VERSION_LARGE, 2);
    p = put_description(p, member, large_sizes, content_nbytes != 0 ? 4 + content_nbytes : 0, content_nbytes != 0);
    p = put(p, 0, 2 + 2 + 2); /* no comment, on the first disk, no internal attributes */
    p = put(p, FILE_ATTRIBUTES, 4);
    p = put(p, smaller(member->offset, LARGE_32), 4);
    p = put_name(p, member->name);
    if (content_nbytes != 0) {
        p = put(p, EXTRA_LARGE, 2);
        p = put(p, content_nbytes, 2);
    }
    if (large_sizes)
        p = put_large_sizes(p, member);
    if (large_offset)
        p = put(p, member->offset, 8);
    return (size_t)(p - record);
}

static uint8_t *put_large_end(uint8_t *p, uint64_t nmembers, uint64_t offset, uint64_t nbytes)
{
    p = put(p, SIGNATURE_LARGE_END, 4);
    p = put(p, LARGE_END_NBYTES - 12, 8); /* what follows this number */
    p = put(p, MADE_ON_UNIX | VERSION_LARGE, 2);
    p = put(p, VERSION_LARGE, 2);
    p = put(p, 0, 4 + 4); /* all on the first disk */
    p = put(p, nmembers, 8);
    p = put(p, nmembers, 8);
    p = put(p, nbytes, 8);
    p = put(p, offset, 8);

    p = put(p, SIGNATURE_LOCATOR, 4);
    p = put(p, 0, 4);
    p = put(p, offset + nbytes, 8); /* of the record above */
    return put(p, 1, 4);
}

size_t mxq_make_zip_end(uint8_t *record, uint64_t nmembers, uint64_t directory_offset, uint64_t directory_nbytes)
{
    uint8_t *p = record;

    if (nmembers >= LARGE_16 || directory_offset >= LARGE_32 || directory_nbytes >= LARGE_32)
        p = put_large_end(p, nmembers, directory_offset, directory_nbytes);
    p = put(p, SIGNATURE_END, 4);
    p = put(p, 0, 2 + 2);
    p = put(p, smaller(nmembers, LARGE_16), 2);
    p = put(p, smaller(nmembers, LARGE_16), 2);
    p = put(p, smaller(directory_nbytes, LARGE_32), 4);
    p = put(p, smaller(directory_offset, LARGE_32), 4);
    p = put(p, 0, 2);
    return (size_t)(p - record);
}
