/*
 * zip_records.h - the records of a zip archive, as bytes (PKWARE's APPNOTE 6.3.9, with its 64-bit forms)
 *
 * libzip, which reads archives here, writes one only as a whole, at the end, from members that lie ready elsewhere. That
 * takes twice the space and, for ten thousand tensors, twice the time; so archives are written by these few records.
 */
#ifndef MXQ_ZIP_RECORDS_H
#define MXQ_ZIP_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mxq_zip_member {
    const char *name; /* UTF-8, at most MXQ_ZIP_MAX_NAME bytes */
    bool deflated;
    bool has_large_sizes; /* its local header has room for 64-bit sizes */
    uint32_t crc;
    uint64_t nbytes;        /* of the content */
    uint64_t packed_nbytes; /* in the archive */
    uint64_t offset;        /* of its local header */
};

#define MXQ_ZIP_MAX_NAME 8192

/* Room for any record with its name. */
#define MXQ_ZIP_RECORD_NBYTES (MXQ_ZIP_MAX_NAME + 128)

/* Whether sizes of this content need 64 bits, even should deflating make it larger. */
bool mxq_zip_needs_large_sizes(uint64_t nbytes);

/* What goes before the content of a member. The length depends on name and has_large_sizes alone. */
size_t mxq_zip_local_nbytes(const struct mxq_zip_member *member);
size_t mxq_make_zip_local(uint8_t *record, const struct mxq_zip_member *member);

/* What goes into the directory behind all members, in their order; and what ends the archive. */
size_t mxq_make_zip_entry(uint8_t *record, const struct mxq_zip_member *member);
size_t mxq_make_zip_end(uint8_t *record, uint64_t nmembers, uint64_t directory_offset, uint64_t directory_nbytes);

#endif /* MXQ_ZIP_RECORDS_H */
