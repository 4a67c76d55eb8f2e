/*
 * gz.c - what is inside a gzip file, as a stream
 *
 * Members that follow each other are one stream, as gzip(1) has it. Zeros after the last one (tape blocks) are ignored;
 * anything else there is garbage that the caller may want to mention. inflate() checks each member's CRC and length.
 */
#include "io/source_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* For inflateInit2(): the largest window, and a gzip header. */
#define GZ_WINDOW_BITS (15 + 16)

#define GZ_MAGIC_0 0x1f
#define GZ_MAGIC_1 0x8b

struct gz {
    z_stream z;
    struct mxq_stream *inner;
    bool inner_ended;
    bool in_member;
    bool ended;
    uint8_t buffer[MXQ_CHUNK_NBYTES];
};

bool mxq_is_gz(const uint8_t *magic, size_t nbytes)
{
    return nbytes >= 2 && magic[0] == GZ_MAGIC_0 && magic[1] == GZ_MAGIC_1;
}

/* Sees to it that there is compressed input, unless it has ended. */
static bool refill(struct gz *gz, struct mxq_fault *fault)
{
    uint64_t got = 0;

    if (gz->z.avail_in > 0 || gz->inner_ended)
        return true;
    if (!mxq_read_stream(gz->inner, gz->buffer, sizeof(gz->buffer), &got, fault))
        return false;
    gz->inner_ended = got < sizeof(gz->buffer);
    gz->z.next_in = gz->buffer;
    gz->z.avail_in = (uInt)got;
    return true;
}

/* Between two members: finds the next one or the end. */
static void seek_member(struct mxq_stream *outer, struct gz *gz)
{
    while (gz->z.avail_in > 0 && *gz->z.next_in == 0) {
        gz->z.next_in++;
        gz->z.avail_in--;
    }
    if (gz->z.avail_in == 0) {
        gz->ended = gz->inner_ended;
    } else if (*gz->z.next_in == GZ_MAGIC_0 && inflateReset(&gz->z) == Z_OK) {
        gz->in_member = true;
    } else {
        outer->has_garbage = true;
        gz->ended = true;
    }
}

/* Some inflating. */
static bool advance_member(struct mxq_stream *outer, struct gz *gz, struct mxq_fault *fault)
{
    int ret = inflate(&gz->z, Z_NO_FLUSH);

    switch (ret) {
    case Z_OK:
        return true;
    case Z_STREAM_END:
        gz->in_member = false;
        return true;
    case Z_BUF_ERROR:
        if (gz->z.avail_in > 0 || !gz->inner_ended)
            return true;
        mxq_set_fault(fault, outer->name, 0, "truncated gzip data");
        return false;
    case Z_MEM_ERROR:
        mxq_set_fault(fault, outer->name, ENOMEM, "cannot decompress");
        return false;
    default:
        mxq_set_fault(fault, outer->name, 0, "corrupt gzip data: %s", gz->z.msg != NULL ? gz->z.msg : zError(ret));
        return false;
    }
}

static int64_t read_gz(struct mxq_stream *outer, void *bytes, size_t nbytes, struct mxq_fault *fault)
{
    struct gz *gz = outer->state;

    gz->z.next_out = bytes;
    gz->z.avail_out = (uInt)nbytes;
    while (!gz->ended && gz->z.avail_out == nbytes) {
        if (!refill(gz, fault))
            return -1;
        if (!gz->in_member)
            seek_member(outer, gz);
        else if (!advance_member(outer, gz, fault))
            return -1;
    }
    return (int64_t)(nbytes - gz->z.avail_out);
}

bool mxq_open_gz(struct mxq_stream *outer, struct mxq_stream *inner, struct mxq_fault *fault)
{
    struct gz *gz = malloc(sizeof(*gz));

    if (gz != NULL) {
        memset(&gz->z, 0, sizeof(gz->z));
        gz->inner = inner;
        gz->inner_ended = false;
        gz->in_member = true;
        gz->ended = false;
    }
    if (gz == NULL || inflateInit2(&gz->z, GZ_WINDOW_BITS) != Z_OK) {
        mxq_set_fault(fault, inner->name, ENOMEM, "cannot decompress");
        free(gz);
        return false;
    }
    memset(outer, 0, sizeof(*outer));
    outer->name = inner->name;
    outer->read = read_gz;
    outer->state = gz;
    outer->has_checks = true;
    return true;
}

void mxq_close_gz(struct mxq_stream *outer)
{
    struct gz *gz = outer->state;

    if (gz == NULL)
        return;
    inflateEnd(&gz->z);
    free(gz);
    outer->state = NULL;
}
