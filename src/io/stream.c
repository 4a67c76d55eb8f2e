/*
 * stream.c - peeking, reading and skipping, the same for all streams
 */
#include "io/source_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One read() may be asked for this much: it fits a size_t and every counter below. */
#define READ_MAX_NBYTES ((uint64_t)1 << 30)

/* One call of read(), counted. */
static int64_t fetch(struct mxq_stream *stream, void *bytes, uint64_t nbytes, struct mxq_fault *fault)
{
    size_t want = (size_t)(mxq_smaller(nbytes, READ_MAX_NBYTES));
    int64_t n = stream->read(stream, bytes, want, fault);

    if (n > 0)
        stream->fetched += (uint64_t)n;
    return n;
}

bool mxq_peek_stream(struct mxq_stream *stream, struct mxq_fault *fault)
{
    while (stream->npeeked < sizeof(stream->peeked)) {
        int64_t n = fetch(stream, stream->peeked + stream->npeeked, sizeof(stream->peeked) - stream->npeeked, fault);

        if (n < 0)
            return false;
        if (n == 0)
            break;
        stream->npeeked += (size_t)n;
    }
    return true;
}

/* Gives out what was peeked at. */
static size_t take_peeked(struct mxq_stream *stream, void *bytes, uint64_t nbytes)
{
    size_t n = (size_t)mxq_smaller(nbytes, stream->npeeked);

    if (n == 0)
        return 0;
    if (bytes != NULL)
        memcpy(bytes, stream->peeked, n);
    stream->npeeked -= n;
    memmove(stream->peeked, stream->peeked + n, stream->npeeked);
    stream->position += n;
    return n;
}

bool mxq_read_stream(struct mxq_stream *stream, void *bytes, uint64_t nbytes, uint64_t *got, struct mxq_fault *fault)
{
    *got = take_peeked(stream, bytes, nbytes);
    while (*got < nbytes) {
        int64_t n = fetch(stream, (uint8_t *)bytes + *got, nbytes - *got, fault);

        if (n < 0)
            return false;
        if (n == 0)
            break;
        *got += (uint64_t)n;
        stream->position += (uint64_t)n;
    }
    return true;
}

/* Moves on without reading. */
static uint64_t jump(struct mxq_stream *stream, uint64_t nbytes)
{
    uint64_t left = stream->nbytes > stream->position ? stream->nbytes - stream->position : 0;
    uint64_t n = mxq_smaller(nbytes, left);

    stream->fetched += n;
    stream->position += n;
    return n;
}

/* Reads to a buffer that nobody looks at. */
static bool discard(struct mxq_stream *stream, uint64_t nbytes, uint64_t *got, struct mxq_fault *fault)
{
    void *buffer = malloc(MXQ_CHUNK_NBYTES);
    bool ok = buffer != NULL;

    if (!ok)
        mxq_set_fault(fault, stream->name, ENOMEM, "cannot read");
    while (ok && nbytes > 0) {
        uint64_t want = mxq_smaller(nbytes, MXQ_CHUNK_NBYTES);
        uint64_t n = 0;

        ok = mxq_read_stream(stream, buffer, want, &n, fault);
        *got += n;
        nbytes -= n;
        if (n < want)
            break;
    }
    free(buffer);
    return ok;
}

bool mxq_skip_stream(struct mxq_stream *stream, uint64_t nbytes, uint64_t *got, struct mxq_fault *fault)
{
    *got = take_peeked(stream, NULL, nbytes);
    if (stream->can_skip && stream->has_nbytes) {
        *got += jump(stream, nbytes - *got);
        return true;
    }
    return discard(stream, nbytes - *got, got, fault);
}
