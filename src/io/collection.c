/*
 * collection.c - an .npz that is being written
 *
 * Ten thousand tensors make fifty thousand members of a few hundred or thousand bytes. So they go through a buffer, and
 * names are found in a tree.
 */
#define _POSIX_C_SOURCE 200809L /* ftruncate */
#define ZLIB_CONST              /* next_in may be const */

#include "io/collection.h"

#include "io/checksum.h"
#include "io/manifest.h"
#include "io/writers.h"
#include "io/zip_records.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* Everything is written through this. */
#define PENDING_NBYTES MXQ_CHUNK_NBYTES

struct mxq_collection {
    char *path;
    bool deflate;
    int fd;
    uint64_t end;     /* of the archive so far, pending bytes included */
    uint8_t *pending; /* room for PENDING_NBYTES; the last npending bytes before end are here */
    size_t npending;
    void *names; /* a tree of the members' names, each allocated */
    struct mxq_zip_member *members;
    size_t nmembers;
    size_t room; /* of members */

    /* The member that is being packed. */
    z_stream stream;
    bool has_stream;
    struct mxq_zip_member *packed;
    uint8_t out[1 << 16];
};

static bool fail_without_memory(const char *path, struct mxq_fault *fault)
{
    mxq_set_fault(fault, path, ENOMEM, "cannot write the archive");
    return false;
}

bool mxq_begin_collection(const char *path, bool deflate, struct mxq_outset *outset, struct mxq_collection **collection,
                          struct mxq_fault *fault)
{
    struct mxq_collection *begun = calloc(1, sizeof(*begun));

    *collection = NULL;
    if (begun != NULL) {
        begun->path = strdup(path);
        begun->pending = malloc(PENDING_NBYTES);
        begun->deflate = deflate;
    }
    if (begun == NULL || begun->path == NULL || begun->pending == NULL) {
        mxq_free_collection(begun);
        return fail_without_memory(path, fault);
    }
    begun->fd = mxq_add_outfile(outset, path, fault);
    if (begun->fd < 0) {
        mxq_free_collection(begun);
        return false;
    }
    *collection = begun;
    return true;
}

const char *mxq_collection_path(const struct mxq_collection *collection)
{
    return collection->path;
}

bool mxq_collection_deflates(const struct mxq_collection *collection)
{
    return collection->deflate;
}

bool mxq_reserve_collection(struct mxq_collection *collection, uint64_t nbytes, struct mxq_fault *fault)
{
    return mxq_reserve_space(collection->fd, nbytes, collection->path, fault);
}

/* ---------------------------------------------------------------------------------------------------- names */

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Sees to it that there is room for one more. */
static bool make_room(struct mxq_collection *collection)
{
    const size_t room = collection->room != 0 ? 2 * collection->room : 8;
    struct mxq_zip_member *members;

    if (collection->nmembers < collection->room)
        return true;
    members = realloc(collection->members, room * sizeof(*members));
    if (members == NULL)
        return false;
    collection->members = members;
    collection->room = room;
    return true;
}

/* A copy as manifests have it, so that what they name is found. */
static char *copy_name(const char *name)
{
    json_t *string = mxq_pack_name(name);
    char *copy = string != NULL ? strdup(json_string_value(string)) : NULL;

    json_decref(string);
    return copy;
}

bool mxq_claim_member(struct mxq_collection *collection, const char *name, size_t *member, struct mxq_fault *fault)
{
    char *copy = copy_name(name);
    char **found = NULL;

    if (copy != NULL && strlen(copy) > MXQ_ZIP_MAX_NAME) {
        free(copy);
        mxq_set_fault(fault, collection->path, ENAMETOOLONG, "cannot name a member");
        return false;
    }
    if (copy != NULL && make_room(collection))
        found = tsearch(copy, &collection->names, compare_names);
    if (found == NULL) {
        free(copy);
        return fail_without_memory(collection->path, fault);
    }
    if (*found != copy) {
        free(copy);
        mxq_set_fault(fault, collection->path, 0, "its member \"%s\" would be written twice", name);
        return false;
    }
    *member = collection->nmembers++;
    collection->members[*member] = (struct mxq_zip_member){.name = copy};
    return true;
}

/* ---------------------------------------------------------------------------------------------------- bytes */

static bool flush(struct mxq_collection *collection, struct mxq_fault *fault)
{
    const size_t npending = collection->npending;

    collection->npending = 0;
    return mxq_pwrite_all(collection->fd, collection->pending, npending, collection->end - npending, collection->path,
                          fault);
}

static bool append(struct mxq_collection *collection, const uint8_t *bytes, size_t nbytes, struct mxq_fault *fault)
{
    while (nbytes > 0) {
        const size_t room = PENDING_NBYTES - collection->npending;
        const size_t piece = nbytes < room ? nbytes : room;

        memcpy(collection->pending + collection->npending, bytes, piece);
        collection->npending += piece;
        collection->end += piece;
        bytes += piece;
        nbytes -= piece;
        if (collection->npending == PENDING_NBYTES && !flush(collection, fault))
            return false;
    }
    return true;
}

/* Writes over what is pending or has been written already. */
static bool overwrite(struct mxq_collection *collection, const uint8_t *bytes, size_t nbytes, uint64_t offset,
                      struct mxq_fault *fault)
{
    const uint64_t start = collection->end - collection->npending;

    if (offset >= start) {
        memcpy(collection->pending + (offset - start), bytes, nbytes);
        return true;
    }
    return (offset + nbytes <= start || flush(collection, fault)) &&
           mxq_pwrite_all(collection->fd, bytes, nbytes, offset, collection->path, fault);
}

/* Starts a member at the end of the archive. */
static struct mxq_zip_member *start_member(struct mxq_collection *collection, size_t number, uint64_t nbytes)
{
    struct mxq_zip_member *member = &collection->members[number];

    member->nbytes = nbytes;
    member->packed_nbytes = nbytes;
    member->has_large_sizes = mxq_zip_needs_large_sizes(nbytes);
    member->offset = collection->end;
    return member;
}

bool mxq_write_member(struct mxq_collection *collection, size_t number, const void *header, size_t header_nbytes,
                      const void *bytes, size_t nbytes, struct mxq_fault *fault)
{
    struct mxq_zip_member *member = start_member(collection, number, (uint64_t)header_nbytes + nbytes);
    uint8_t record[MXQ_ZIP_RECORD_NBYTES];

    member->crc = mxq_update_crc(mxq_update_crc(0, header, header_nbytes), bytes, nbytes);
    return append(collection, record, mxq_make_zip_local(record, member), fault) &&
           append(collection, header, header_nbytes, fault) && append(collection, bytes, nbytes, fault);
}

bool mxq_place_member(struct mxq_collection *collection, size_t number, uint64_t nbytes, int *fd, uint64_t *offset,
                      struct mxq_fault *fault)
{
    const struct mxq_zip_member *member = start_member(collection, number, nbytes);
    const uint64_t start = collection->end + mxq_zip_local_nbytes(member);

    if (nbytes > INT64_MAX || start > INT64_MAX - nbytes) {
        mxq_set_fault(fault, collection->path, EFBIG, "cannot write the archive");
        return false;
    }
    if (!flush(collection, fault) || !mxq_reserve_space(collection->fd, start + nbytes, collection->path, fault))
        return false;
    *fd = collection->fd;
    *offset = start;
    collection->end = start + nbytes;
    return true;
}

bool mxq_seal_member(struct mxq_collection *collection, size_t number, uint32_t crc, struct mxq_fault *fault)
{
    struct mxq_zip_member *member = &collection->members[number];
    uint8_t record[MXQ_ZIP_RECORD_NBYTES];

    member->crc = crc;
    return overwrite(collection, record, mxq_make_zip_local(record, member), member->offset, fault);
}

/* ---------------------------------------------------------------------------------------------------- packing */

/* No wrapper around the stream of deflate; the rest is as in gz_write.c, for the reasons given there. */
#define WINDOW_BITS (-15)
#define MEM_LEVEL 8
#define STRATEGY Z_RLE

static bool ready_stream(struct mxq_collection *collection)
{
    if (collection->has_stream)
        return deflateReset(&collection->stream) == Z_OK;
    collection->has_stream =
        deflateInit2(&collection->stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS, MEM_LEVEL, STRATEGY) == Z_OK;
    return collection->has_stream;
}

bool mxq_start_packing(struct mxq_collection *collection, size_t number, uint64_t nbytes, struct mxq_fault *fault)
{
    struct mxq_zip_member *member = start_member(collection, number, nbytes);
    uint8_t record[MXQ_ZIP_RECORD_NBYTES];

    if (!ready_stream(collection))
        return fail_without_memory(collection->path, fault);
    member->deflated = true;
    member->packed_nbytes = 0;
    collection->packed = member;
    /* What it says is known only at the end. */
    return append(collection, record, mxq_make_zip_local(record, member), fault);
}

/* Runs zlib until it has taken all input and, when flushing, given all output. */
static bool pump(struct mxq_collection *collection, int flush_mode, struct mxq_fault *fault)
{
    z_stream *stream = &collection->stream;
    int ret;

    do {
        size_t nbytes;

        stream->next_out = collection->out;
        stream->avail_out = (uInt)sizeof(collection->out);
        ret = deflate(stream, flush_mode);
        nbytes = sizeof(collection->out) - stream->avail_out;
        collection->packed->packed_nbytes += nbytes;
        if (!append(collection, collection->out, nbytes, fault))
            return false;
    } while (stream->avail_out == 0);
    /* Without a flush, Z_BUF_ERROR only says that the last turn had nothing left to do. */
    if (flush_mode == Z_FINISH ? ret == Z_STREAM_END : ret == Z_OK || ret == Z_BUF_ERROR)
        return true;
    mxq_set_fault(fault, collection->path, 0, "cannot compress: zlib failed with %d", ret);
    return false;
}

bool mxq_pack_bytes(struct mxq_collection *collection, const void *bytes, size_t nbytes, struct mxq_fault *fault)
{
    const uint8_t *next = bytes;

    collection->packed->crc = mxq_update_crc(collection->packed->crc, bytes, nbytes);
    while (nbytes > 0) {
        const size_t piece = nbytes < MXQ_CHUNK_NBYTES ? nbytes : MXQ_CHUNK_NBYTES;

        collection->stream.next_in = next;
        collection->stream.avail_in = (uInt)piece;
        if (!pump(collection, Z_NO_FLUSH, fault))
            return false;
        next += piece;
        nbytes -= piece;
    }
    return true;
}

bool mxq_end_packing(struct mxq_collection *collection, struct mxq_fault *fault)
{
    uint8_t record[MXQ_ZIP_RECORD_NBYTES];

    collection->stream.next_in = Z_NULL;
    collection->stream.avail_in = 0;
    return pump(collection, Z_FINISH, fault) &&
           overwrite(collection, record, mxq_make_zip_local(record, collection->packed), collection->packed->offset,
                     fault);
}

/* ---------------------------------------------------------------------------------------------------- the end */

static bool append_directory(struct mxq_collection *collection, struct mxq_fault *fault)
{
    const uint64_t start = collection->end;
    uint8_t record[MXQ_ZIP_RECORD_NBYTES];

    for (size_t i = 0; i < collection->nmembers; i++)
        if (!append(collection, record, mxq_make_zip_entry(record, &collection->members[i]), fault))
            return false;
    return append(collection, record, mxq_make_zip_end(record, collection->nmembers, start, collection->end - start),
                  fault);
}

bool mxq_finish_collection(struct mxq_collection *collection, struct mxq_fault *fault)
{
    if (!append_directory(collection, fault) || !flush(collection, fault))
        return false;
    /* More than this may have been set aside for the file. */
    if (ftruncate(collection->fd, (off_t)collection->end) == 0)
        return true;
    mxq_set_fault(fault, collection->path, errno, "cannot set its size");
    return false;
}

void mxq_free_collection(struct mxq_collection *collection)
{
    if (collection == NULL)
        return;
    while (collection->names != NULL) {
        char *name = *(char **)collection->names;

        tdelete(name, &collection->names, compare_names);
        free(name);
    }
    if (collection->has_stream)
        deflateEnd(&collection->stream);
    free(collection->members);
    free(collection->pending);
    free(collection->path);
    free(collection);
}
