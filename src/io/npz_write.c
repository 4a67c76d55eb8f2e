/*
 * npz_write.c - writing an .npz archive with libzip
 *
 * libzip would make its own temporary file and rename it. Here it gets two kinds of sources instead: one it writes the
 * archive to, which is the descriptor of a file the outset owns, and for each member one it reads, a header followed by
 * what was collected in another descriptor. Both are buffered, since libzip moves 8 KiB at a time.
 */
#define _POSIX_C_SOURCE 200809L /* ftruncate */

#include "io/outfile.h"
#include "io/writers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>
#include <zlib.h>

/* 1980-01-01 00:00:00, the first moment of zip's clock. */
#define DOS_DATE ((1 << 5) | 1)
#define DOS_TIME 0

#define DEFLATE_LEVEL 6

/* What both kinds of sources need to report a failure: libzip's form of it, and the fault where we know better. */
struct trouble {
    zip_error_t error;
    struct mxq_fault *fault;
    bool is_told; /* the fault is set */
};

static zip_int64_t report_trouble(struct trouble *trouble, int code)
{
    trouble->is_told = true;
    zip_error_set(&trouble->error, code, EIO);
    return -1;
}

/* ---------------------------------------------------------------------------------------------------- members */

struct member_source {
    struct mxq_npz_member *member;
    struct trouble *trouble;
    uint8_t *chunk; /* MXQ_CHUNK_NBYTES, shared by all members, which are read one after the other */
    uint64_t nread; /* bytes of the buffer that have been read into chunk */
    const uint8_t *next;
    size_t nleft; /* bytes at next: first of the header, then of the chunk */
};

static bool refill(struct member_source *source)
{
    struct mxq_npz_member *member = source->member;
    uint64_t nbytes = member->nbytes - source->nread;

    if (nbytes > MXQ_CHUNK_NBYTES)
        nbytes = MXQ_CHUNK_NBYTES;
    if (!mxq_pread_all(member->fd, source->chunk, nbytes, source->nread, source->member->place, source->trouble->fault))
        return false;
    member->crc = (uint32_t)crc32_z(member->crc, source->chunk, (size_t)nbytes);
    source->nread += nbytes;
    source->next = source->chunk;
    source->nleft = (size_t)nbytes;
    return true;
}

static zip_int64_t read_member(struct member_source *source, uint8_t *bytes, zip_uint64_t nbytes)
{
    if (source->nleft == 0 && source->nread < source->member->nbytes && !refill(source))
        return report_trouble(source->trouble, ZIP_ER_READ);
    if (nbytes > source->nleft)
        nbytes = source->nleft;
    memcpy(bytes, source->next, (size_t)nbytes);
    source->next += nbytes;
    source->nleft -= (size_t)nbytes;
    return (zip_int64_t)nbytes;
}

static zip_int64_t stat_member(const struct member_source *source, zip_stat_t *st)
{
    zip_stat_init(st);
    st->size = source->member->header_nbytes + source->member->nbytes;
    st->valid = ZIP_STAT_SIZE; /* libzip decides by it whether the member needs zip64 */
    return (zip_int64_t)sizeof(*st);
}

static zip_int64_t serve_member(void *context, void *data, zip_uint64_t nbytes, zip_source_cmd_t command)
{
    struct member_source *source = context;

    switch (command) {
    case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT,
                                              ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, -1);
    case ZIP_SOURCE_OPEN:
        source->member->crc = 0;
        source->nread = 0;
        source->next = source->member->header;
        source->nleft = source->member->header_nbytes;
        return 0;
    case ZIP_SOURCE_READ:
        return read_member(source, data, nbytes);
    case ZIP_SOURCE_STAT:
        return stat_member(source, data);
    case ZIP_SOURCE_ERROR:
        return zip_error_to_data(&source->trouble->error, data, nbytes);
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE:
        return 0;
    default:
        zip_error_set(&source->trouble->error, ZIP_ER_OPNOTSUPP, 0);
        return -1;
    }
}

/* ---------------------------------------------------------------------------------------------------- the archive */

/* The archive as libzip writes it: mostly forward, going back only to complete the header of each member. */
struct archive {
    int fd;
    const char *file;
    struct trouble *trouble;
    uint8_t *pending; /* room for MXQ_CHUNK_NBYTES that belong at byte start of the file */
    uint64_t start;
    size_t npending;
    uint64_t end; /* size of the file once pending is written */
};

static bool flush_archive(struct archive *archive)
{
    if (!mxq_pwrite_all(archive->fd, archive->pending, archive->npending, archive->start, archive->file,
                        archive->trouble->fault))
        return false;
    archive->start += archive->npending;
    archive->npending = 0;
    return true;
}

static zip_int64_t write_archive(struct archive *archive, const uint8_t *bytes, zip_uint64_t nbytes)
{
    zip_uint64_t nleft = nbytes;

    while (nleft > 0) {
        size_t room = MXQ_CHUNK_NBYTES - archive->npending;
        size_t piece = nleft < room ? (size_t)nleft : room;

        memcpy(archive->pending + archive->npending, bytes, piece);
        archive->npending += piece;
        bytes += piece;
        nleft -= piece;
        if (archive->npending == MXQ_CHUNK_NBYTES && !flush_archive(archive))
            return report_trouble(archive->trouble, ZIP_ER_WRITE);
    }
    if (archive->start + archive->npending > archive->end)
        archive->end = archive->start + archive->npending;
    return (zip_int64_t)nbytes;
}

static zip_int64_t seek_archive(struct archive *archive, void *data, zip_uint64_t nbytes)
{
    zip_int64_t position = zip_source_seek_compute_offset(archive->start + archive->npending, archive->end, data,
                                                          nbytes, &archive->trouble->error);

    if (position < 0)
        return -1;
    if (!flush_archive(archive))
        return report_trouble(archive->trouble, ZIP_ER_WRITE);
    archive->start = (uint64_t)position;
    return 0;
}

static zip_int64_t commit_archive(struct archive *archive)
{
    if (!flush_archive(archive))
        return report_trouble(archive->trouble, ZIP_ER_WRITE);
    /* More than this may have been set aside for the file. */
    if (ftruncate(archive->fd, (off_t)archive->end) != 0) {
        mxq_set_fault(archive->trouble->fault, archive->file, errno, "cannot set its size");
        return report_trouble(archive->trouble, ZIP_ER_WRITE);
    }
    return 0;
}

/* For libzip the archive starts as an empty file. */
static zip_int64_t stat_archive(zip_stat_t *st)
{
    zip_stat_init(st);
    st->size = 0;
    st->valid = ZIP_STAT_SIZE;
    return (zip_int64_t)sizeof(*st);
}

static zip_int64_t serve_archive(void *context, void *data, zip_uint64_t nbytes, zip_source_cmd_t command)
{
    struct archive *archive = context;

    switch (command) {
    case ZIP_SOURCE_SUPPORTS:
        return ZIP_SOURCE_SUPPORTS_WRITABLE;
    case ZIP_SOURCE_WRITE:
        return write_archive(archive, data, nbytes);
    case ZIP_SOURCE_SEEK_WRITE:
        return seek_archive(archive, data, nbytes);
    case ZIP_SOURCE_TELL_WRITE:
        return (zip_int64_t)(archive->start + archive->npending);
    case ZIP_SOURCE_COMMIT_WRITE:
        return commit_archive(archive);
    case ZIP_SOURCE_STAT:
        return stat_archive(data);
    case ZIP_SOURCE_ERROR:
        return zip_error_to_data(&archive->trouble->error, data, nbytes);
    case ZIP_SOURCE_OPEN:
    case ZIP_SOURCE_READ: /* of an empty file */
    case ZIP_SOURCE_SEEK:
    case ZIP_SOURCE_TELL:
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_BEGIN_WRITE:
    case ZIP_SOURCE_ROLLBACK_WRITE: /* the outset removes the file */
    case ZIP_SOURCE_REMOVE:
    case ZIP_SOURCE_FREE:
        return 0;
    default:
        zip_error_set(&archive->trouble->error, ZIP_ER_OPNOTSUPP, 0);
        return -1;
    }
}

/* ---------------------------------------------------------------------------------------------------- both */

/* Says what libzip complains about, unless one of the sources has said more. */
static void tell_zip_error(const struct trouble *trouble, const char *file, zip_error_t *error)
{
    if (trouble->is_told)
        return;
    if (zip_error_code_zip(error) == ZIP_ER_MEMORY)
        mxq_set_fault(trouble->fault, file, ENOMEM, "cannot write the archive");
    else
        mxq_set_fault(trouble->fault, file, 0, "cannot write the archive: %s", zip_error_strerror(error));
}

static bool add_member(zip_t *zip, struct member_source *source, bool deflate)
{
    zip_source_t *zip_source = zip_source_function(zip, serve_member, source);
    zip_int64_t index;

    if (zip_source == NULL)
        return false;
    index = zip_file_add(zip, source->member->name, zip_source, ZIP_FL_ENC_UTF_8);
    if (index < 0) {
        zip_source_free(zip_source);
        return false;
    }
    return zip_set_file_compression(zip, (zip_uint64_t)index, deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE,
                                    deflate ? DEFLATE_LEVEL : 0) == 0 &&
           zip_file_set_dostime(zip, (zip_uint64_t)index, DOS_TIME, DOS_DATE, 0) == 0;
}

static zip_t *open_archive(struct archive *archive)
{
    zip_error_t error;
    zip_source_t *source;
    zip_t *zip = NULL;

    zip_error_init(&error);
    source = zip_source_function_create(serve_archive, archive, &error);
    if (source != NULL) {
        zip = zip_open_from_source(source, ZIP_CREATE | ZIP_TRUNCATE, &error);
        if (zip == NULL)
            zip_source_free(source);
    }
    if (zip == NULL)
        tell_zip_error(archive->trouble, archive->file, &error);
    zip_error_fini(&error);
    return zip;
}

/* sources: one for each member, their chunk and trouble set. */
static bool write_members(struct archive *archive, struct member_source *sources, size_t nmembers, bool deflate)
{
    zip_t *zip = open_archive(archive);
    size_t i;

    if (zip == NULL)
        return false;
    for (i = 0; i < nmembers; i++) {
        if (!add_member(zip, &sources[i], deflate))
            break;
    }
    /* This is where libzip does the work. */
    if (i == nmembers && zip_close(zip) == 0)
        return true;
    tell_zip_error(archive->trouble, archive->file, zip_get_error(zip));
    zip_discard(zip);
    return false;
}

bool mxq_write_npz(int fd, const char *file, struct mxq_npz_member *members, size_t nmembers, bool deflate,
                   struct mxq_fault *fault)
{
    struct trouble trouble = {.fault = fault};
    struct archive archive = {.fd = fd, .file = file, .trouble = &trouble};
    struct member_source *sources = calloc(nmembers, sizeof(*sources));
    uint8_t *chunk = malloc(MXQ_CHUNK_NBYTES);
    bool ok = false;

    zip_error_init(&trouble.error);
    archive.pending = malloc(MXQ_CHUNK_NBYTES);
    if (sources != NULL && chunk != NULL && archive.pending != NULL) {
        for (size_t i = 0; i < nmembers; i++) {
            sources[i].member = &members[i];
            sources[i].trouble = &trouble;
            sources[i].chunk = chunk;
        }
        ok = write_members(&archive, sources, nmembers, deflate);
    } else {
        mxq_set_fault(fault, file, ENOMEM, "cannot write the archive");
    }
    zip_error_fini(&trouble.error);
    free(archive.pending);
    free(chunk);
    free(sources);
    return ok;
}
