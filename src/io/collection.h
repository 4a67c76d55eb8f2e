/*
 * collection.h - an .npz that is being written
 *
 * The archive is a file of an outset, so it appears when that is committed. Small members are written in batches; large
 * ones are written in place, by as many threads as one likes. What stays in memory is a batch, and for each member its name
 * and place, about 200 bytes. The same members make the same archive: there are no times in it.
 *
 *     mxq_begin_collection()
 *     mxq_claim_member() before the work, so that a name that is taken is found then
 *     mxq_write_member(), or mxq_place_member() and mxq_seal_member(), or mxq_start_packing() and so on, for each
 *     mxq_finish_collection()
 *     mxq_free_collection()                               always
 */
#ifndef MXQ_COLLECTION_H
#define MXQ_COLLECTION_H

#include "io/outfile.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mxq_collection;

/* Creates the file path in outset. deflate: members are to be packed. */
bool mxq_begin_collection(const char *path, bool deflate, struct mxq_outset *outset, struct mxq_collection **collection,
                          struct mxq_fault *fault);

const char *mxq_collection_path(const struct mxq_collection *collection);
bool mxq_collection_deflates(const struct mxq_collection *collection);

/* Sets aside nbytes for the archive, of which it may turn out to need more or less. */
bool mxq_reserve_collection(struct mxq_collection *collection, uint64_t nbytes, struct mxq_fault *fault);

/*
 * Adds a member without bytes and gives its number, from 0 on. A name that a member has already is a fault. The directory
 * of the archive lists them in this order. Bytes from 0x80 on become '?' in a name that is not UTF-8.
 */
bool mxq_claim_member(struct mxq_collection *collection, const char *name, size_t *member, struct mxq_fault *fault);

/* All its bytes, in two parts, as they are. */
bool mxq_write_member(struct mxq_collection *collection, size_t member, const void *header, size_t header_nbytes,
                      const void *bytes, size_t nbytes, struct mxq_fault *fault);

/*
 * Sets aside nbytes for it at *offset of *fd, for the caller to write as they are. When they are written,
 * mxq_seal_member() takes their CRC-32.
 */
bool mxq_place_member(struct mxq_collection *collection, size_t member, uint64_t nbytes, int *fd, uint64_t *offset,
                      struct mxq_fault *fault);
bool mxq_seal_member(struct mxq_collection *collection, size_t member, uint32_t crc, struct mxq_fault *fault);

/* Deflates a member, from its first byte to its last, of which there are nbytes. One member at a time. */
bool mxq_start_packing(struct mxq_collection *collection, size_t member, uint64_t nbytes, struct mxq_fault *fault);
bool mxq_pack_bytes(struct mxq_collection *collection, const void *bytes, size_t nbytes, struct mxq_fault *fault);
bool mxq_end_packing(struct mxq_collection *collection, struct mxq_fault *fault);

/* Completes the archive, of which all members have got their bytes. Once. */
bool mxq_finish_collection(struct mxq_collection *collection, struct mxq_fault *fault);

/* Accepts NULL. */
void mxq_free_collection(struct mxq_collection *collection);

#endif /* MXQ_COLLECTION_H */
