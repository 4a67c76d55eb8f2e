/*
 * source.c - opened input files: which format they have, which tensor is current, where its bytes are
 */
#include "io/checksum.h"
#include "io/outfile.h"
#include "io/source_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* In the order in which they are tried; raw is for those who ask for it. */
static const struct mxq_source_format *const formats[] = {&mxq_npy_format, &mxq_npz_format, &mxq_raw_format};

#define NUM_FORMATS (sizeof(formats) / sizeof(formats[0]))

/* ---------------------------------------------------------------------------------------------- opening */

static const struct mxq_source_format *find_format(const struct mxq_source *source)
{
    if (source->options.raw)
        return &mxq_raw_format;
    for (size_t i = 0; i < NUM_FORMATS; i++)
        if (formats[i]->probe != NULL && formats[i]->probe(source->stream->peeked, source->stream->npeeked))
            return formats[i];
    return NULL;
}

/* Says why a file without a recognised format is none. */
static void refuse_format(const struct mxq_source *source, struct mxq_fault *fault)
{
    const char *hint = source->options.bytes ? "" : " (give --shape and --dtype for a raw file)";

    if (source->stream->npeeked == 0)
        mxq_set_fault(fault, source->name, 0, "empty%s", source->is_gz ? " inside the gzip" : "");
    else if (source->is_gz)
        mxq_set_fault(fault, source->name, 0, "no .npy inside the gzip%s", hint);
    else
        mxq_set_fault(fault, source->name, 0, "neither .npy, .npz nor gzip%s", hint);
}

/* Looks at the first bytes, and through gzip at those inside. */
static bool recognize(struct mxq_source *source, struct mxq_fault *fault)
{
    source->stream = &source->input.stream;
    if (!mxq_peek_stream(source->stream, fault))
        return false;
    if (!source->options.plain && mxq_is_gz(source->stream->peeked, source->stream->npeeked)) {
        if (!mxq_open_gz(&source->gz, source->stream, fault))
            return false;
        source->is_gz = true;
        source->stream = &source->gz;
        if (!mxq_peek_stream(source->stream, fault))
            return false;
    }
    source->format = find_format(source);
    if (source->format == NULL) {
        refuse_format(source, fault);
        return false;
    }
    if (source->is_gz && source->format->gz_name == NULL) {
        mxq_set_fault(fault, source->name, 0, "an .%s inside a gzip: decompress it first", source->format->name);
        return false;
    }
    if (source->options.member != NULL && source->format != &mxq_npz_format) {
        mxq_set_fault(fault, source->name, 0, "not an archive (--member is for .npz)");
        return false;
    }
    return source->format->open == NULL || source->format->open(source, fault);
}

/* Keeps copies of all that the caller may throw away. */
static bool copy_arguments(struct mxq_source *source, const struct mxq_source_options *options, const char *path)
{
    source->options = *options;
    source->path = strdup(path);
    if (source->path == NULL)
        return false;
    source->name = strcmp(path, "-") == 0 ? "standard input" : source->path;
    if (options->member == NULL)
        return true;
    source->member = strdup(options->member);
    source->options.member = source->member;
    return source->member != NULL;
}

bool mxq_open_source(const struct mxq_source_options *options, const char *path, struct mxq_source **source,
                     struct mxq_fault *fault)
{
    struct mxq_source *opened = calloc(1, sizeof(*opened));

    *source = NULL;
    if (opened != NULL) {
        opened->input.fd = -1;
        opened->spool_fd = -1;
    }
    if (opened == NULL || !copy_arguments(opened, options, path)) {
        mxq_set_fault(fault, path, ENOMEM, "cannot open");
        mxq_close_source(opened);
        return false;
    }
    if (!mxq_open_input(&opened->input, path, options->has_fd ? options->fd : -1, opened->name, fault) ||
        !recognize(opened, fault)) {
        mxq_close_source(opened);
        return false;
    }
    *source = opened;
    return true;
}

bool mxq_source_has_many(const struct mxq_source *source)
{
    return source->format->has_many != NULL && source->format->has_many(source);
}

const char *mxq_source_format(const struct mxq_source *source)
{
    return source->is_gz ? source->format->gz_name : source->format->name;
}

bool mxq_source_is_file(const struct mxq_source *source, uint64_t *device, uint64_t *inode)
{
    if (!source->input.is_regular)
        return false;
    *device = (uint64_t)source->input.device;
    *inode = (uint64_t)source->input.inode;
    return true;
}

/* ---------------------------------------------------------------------------------------------- tensors */

bool mxq_source_is_plain(const struct mxq_source *source)
{
    return source->stream == &source->input.stream && source->input.is_regular;
}

/* Whether bytes after the tensor mean that the shape is wrong. */
static bool must_fit(const struct mxq_source *source)
{
    return source->options.raw && !source->options.partial && !source->options.has_offset;
}

/* Compares the tensor with what is left of its stream, where that is known. */
static bool check_length(const struct mxq_source *source, struct mxq_fault *fault)
{
    const struct mxq_stream *stream = source->stream;
    uint64_t nbytes = source->tensor.nbytes;
    uint64_t left;

    if (!stream->has_nbytes)
        return true;
    left = stream->nbytes > stream->position ? stream->nbytes - stream->position : 0;
    if (left < nbytes) {
        mxq_set_fault(fault, stream->name, 0,
                      "too short: the tensor takes %" PRIu64 " bytes, but there are only %" PRIu64, nbytes, left);
        return false;
    }
    if (left > nbytes && must_fit(source)) {
        mxq_set_fault(fault, stream->name, 0,
                      "too long: the shape takes %" PRIu64 " bytes, but there are %" PRIu64 " (see --partial)", nbytes,
                      left);
        return false;
    }
    return true;
}

/* Forgets the current tensor and what was made for it. */
static void drop_tensor(struct mxq_source *source)
{
    if (source->map != NULL)
        munmap((void *)(uintptr_t)source->map, (size_t)source->tensor.nbytes);
    source->map = NULL;
    if (source->spool_fd >= 0)
        close(source->spool_fd);
    source->spool_fd = -1;
    source->has_tensor = false;
    source->is_finished = false;
    source->is_seekable = false;
}

int mxq_next_tensor(struct mxq_source *source, const struct mxq_tensor **tensor, struct mxq_fault *fault)
{
    int found;

    drop_tensor(source);
    found = source->format->next(source, fault);
    if (found != 1)
        return found;
    if (!check_length(source, fault))
        return -1;

    source->ntensors++;
    source->has_tensor = true;
    source->stream_left = source->tensor.nbytes;
    source->tensor_start = source->stream->position;
    if (mxq_source_is_plain(source)) {
        source->is_seekable = true;
        source->data_fd = source->input.fd;
        source->data_offset = source->input.base + source->tensor_start;
    }
    *tensor = &source->tensor;
    return 1;
}

bool mxq_tensor_is_seekable(const struct mxq_source *source)
{
    return source->is_seekable;
}

static bool fail_short(const struct mxq_source *source, struct mxq_fault *fault)
{
    mxq_set_fault(fault, source->stream->name, 0,
                  "too short: the tensor takes %" PRIu64 " bytes, but there are only %" PRIu64, source->tensor.nbytes,
                  source->tensor.nbytes - source->stream_left);
    return false;
}

bool mxq_take_bytes(struct mxq_source *source, void *bytes, uint64_t nbytes, struct mxq_fault *fault)
{
    uint64_t got = 0;

    if (!mxq_read_stream(source->stream, bytes, nbytes, &got, fault))
        return false;
    source->stream_left -= got;
    return got == nbytes || fail_short(source, fault);
}

/* ---------------------------------------------------------------------------------------------- spooling */

/* Copies the tensor from its stream to the spool, and checksums it on the way. */
static bool fill_spool(struct mxq_source *source, int fd, struct mxq_fault *fault)
{
    void *buffer = malloc(MXQ_CHUNK_NBYTES);
    bool ok = buffer != NULL;

    if (!ok)
        mxq_set_fault(fault, source->name, ENOMEM, "cannot read");
    source->spool_crc = 0;
    while (ok && source->stream_left > 0) {
        size_t n = (size_t)mxq_smaller(source->stream_left, MXQ_CHUNK_NBYTES);

        ok = mxq_take_bytes(source, buffer, n, fault) && mxq_write_all(fd, buffer, n, "temporary file", fault);
        if (ok)
            source->spool_crc = mxq_update_crc(source->spool_crc, buffer, n);
    }
    free(buffer);
    return ok;
}

/* Only this program knows the spool, so nobody can take its bytes away while they are mapped. */
static bool map_spool(struct mxq_source *source, int fd, struct mxq_fault *fault)
{
    void *map = MAP_FAILED;

    if (source->tensor.nbytes <= SIZE_MAX)
        map = mmap(NULL, (size_t)source->tensor.nbytes, PROT_READ, MAP_SHARED, fd, 0);
    else
        errno = ENOMEM;
    if (map == MAP_FAILED) {
        mxq_set_fault(fault, source->name, errno, "cannot map a temporary file");
        return false;
    }
    source->map = map;
    return true;
}

bool mxq_spool_tensor(struct mxq_source *source, const char *dir, struct mxq_fault *fault)
{
    int fd;

    if (!source->has_tensor || source->spool_fd >= 0 || (source->is_seekable && !source->tensor.fortran_order))
        return true;
    if (source->stream_left != source->tensor.nbytes) {
        mxq_set_fault(fault, source->name, 0, "bug: spooling a tensor that was read from");
        return false;
    }
    fd = mxq_open_spool(dir, fault);
    if (fd < 0)
        return false;
    if (!fill_spool(source, fd, fault) || (source->tensor.fortran_order && !map_spool(source, fd, fault))) {
        close(fd);
        return false;
    }
    source->spool_fd = fd;
    source->data_fd = fd;
    source->data_offset = 0;
    source->is_seekable = true;
    return true;
}

bool mxq_checksum_tensor(struct mxq_source *source, uint32_t *crc, struct mxq_fault *fault)
{
    void *buffer;
    bool ok = true;

    if (!source->is_seekable) {
        mxq_set_fault(fault, source->name, 0, "bug: checksum of a stream");
        return false;
    }
    if (source->spool_fd >= 0) {
        *crc = source->spool_crc;
        return true;
    }
    buffer = malloc(MXQ_CHUNK_NBYTES);
    if (buffer == NULL) {
        mxq_set_fault(fault, source->name, ENOMEM, "cannot read");
        return false;
    }
    *crc = 0;
    for (uint64_t at = 0; ok && at < source->tensor.nbytes; at += MXQ_CHUNK_NBYTES) {
        size_t n = (size_t)mxq_smaller(source->tensor.nbytes - at, MXQ_CHUNK_NBYTES);

        ok = mxq_pread_all(source->data_fd, buffer, n, source->data_offset + at, source->name, fault);
        if (ok)
            *crc = mxq_update_crc(*crc, buffer, n);
    }
    free(buffer);
    return ok;
}

/* ---------------------------------------------------------------------------------------------- finishing */

static void warn(const struct mxq_source *source, const char *what)
{
    struct mxq_fault line;

    if (source->options.warn == NULL)
        return;
    mxq_set_fault(&line, source->stream->name, 0, "%s", what);
    source->options.warn(source->options.warn_context, line.text);
}

/*
 * Finds out whether bytes follow the tensor. Where there are checksums at the end, everything is read; from a plain pipe
 * no more than a byte, because it may be endless and nobody wants the rest.
 */
static bool look_behind(struct mxq_source *source, bool *has_more, struct mxq_fault *fault)
{
    struct mxq_stream *stream = source->stream;
    uint64_t nbytes = stream->has_checks ? UINT64_MAX : 1;
    uint64_t got = 0;

    if (mxq_source_is_plain(source)) {
        *has_more = stream->nbytes - source->tensor_start > source->tensor.nbytes;
        return true;
    }
    if (!mxq_skip_stream(stream, source->stream_left, &got, fault))
        return false;
    source->stream_left -= got;
    if (source->stream_left > 0)
        return fail_short(source, fault);
    if (!mxq_skip_stream(stream, nbytes, &got, fault))
        return false;
    *has_more = got > 0;
    return true;
}

bool mxq_finish_tensor(struct mxq_source *source, struct mxq_fault *fault)
{
    bool has_more = false;

    if (!source->has_tensor || source->is_finished)
        return true;
    if (!look_behind(source, &has_more, fault) || !mxq_check_input(&source->input, fault))
        return false;
    source->is_finished = true;
    if (has_more && must_fit(source)) {
        mxq_set_fault(fault, source->stream->name, 0,
                      "too long: the shape takes %" PRIu64 " bytes, but there are more (see --partial)",
                      source->tensor.nbytes);
        return false;
    }
    if (has_more && !source->options.raw)
        warn(source, "ignored bytes after the tensor");
    if (source->stream->has_garbage)
        warn(source, "ignored bytes after the gzip data");
    return true;
}

void mxq_close_source(struct mxq_source *source)
{
    int saved_errno = errno;

    if (source == NULL)
        return;
    drop_tensor(source);
    if (source->format != NULL && source->format->close != NULL)
        source->format->close(source);
    mxq_close_gz(&source->gz);
    mxq_close_input(&source->input);
    free(source->member);
    free(source->path);
    free(source);
    errno = saved_errno;
}
