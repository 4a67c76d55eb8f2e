/*
 * input.c - the file that the user named, as a stream
 *
 * A regular file is read with pread() and never mapped, so that one that shrinks meanwhile is a fault and no SIGBUS.
 * Everything else, pipes above all, is read from its first byte to its last.
 */
#include "io/source_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* read(2), which gives up when it is interrupted or when a descriptor that does not block has nothing yet. */
static ssize_t read_pipe(int fd, void *bytes, size_t nbytes)
{
    for (;;) {
        ssize_t n = read(fd, bytes, nbytes);

        if (n >= 0)
            return n;
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            struct pollfd wait = {.fd = fd, .events = POLLIN};

            if (poll(&wait, 1, -1) < 0 && errno != EINTR)
                return -1;
        } else if (errno != EINTR) {
            return -1;
        }
    }
}

static int64_t read_input(struct mxq_stream *stream, void *bytes, size_t nbytes, struct mxq_fault *fault)
{
    const struct mxq_input *input = stream->state;
    ssize_t n;

    if (input->is_regular) {
        do
            n = pread(input->fd, bytes, nbytes, (off_t)(input->base + stream->fetched));
        while (n < 0 && errno == EINTR);
    } else {
        n = read_pipe(input->fd, bytes, nbytes);
    }
    if (n < 0)
        mxq_set_fault(fault, stream->name, errno, "cannot read");
    return n;
}

/* Finds out where a regular file starts for us, and how long it is from there. */
static void measure_input(struct mxq_input *input)
{
    off_t start = input->is_stdin ? lseek(input->fd, 0, SEEK_CUR) : 0;

    input->base = start > 0 ? (uint64_t)start : 0;
    input->stream.has_nbytes = true;
    input->stream.can_skip = true;
    input->stream.nbytes = start < input->size ? (uint64_t)(input->size - start) : 0;

    /* A hint: it may fail. */
    (void)posix_fadvise(input->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
}

static bool inspect_input(struct mxq_input *input, const char *name, struct mxq_fault *fault)
{
    struct stat info;

    if (fstat(input->fd, &info) != 0) {
        mxq_set_fault(fault, name, errno, "cannot read");
        return false;
    }
    if (S_ISDIR(info.st_mode)) {
        mxq_set_fault(fault, name, EISDIR, "cannot read");
        return false;
    }
    input->is_regular = S_ISREG(info.st_mode);
    input->device = info.st_dev;
    input->inode = info.st_ino;
    input->size = info.st_size;
    input->mtime = info.st_mtim;
    if (input->is_regular)
        measure_input(input);
    return true;
}

static int open_descriptor(const struct mxq_input *input, const char *path, int fd)
{
    if (fd >= 0)
        return fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return input->is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
}

bool mxq_open_input(struct mxq_input *input, const char *path, int fd, const char *name, struct mxq_fault *fault)
{
    memset(input, 0, sizeof(*input));
    input->is_stdin = fd < 0 && strcmp(path, "-") == 0;
    input->stream.name = name;
    input->stream.read = read_input;
    input->stream.state = input;

    do
        input->fd = open_descriptor(input, path, fd);
    while (input->fd < 0 && errno == EINTR);
    if (input->fd < 0) {
        mxq_set_fault(fault, name, errno, "cannot open");
        return false;
    }
    return inspect_input(input, name, fault);
}

bool mxq_check_input(const struct mxq_input *input, struct mxq_fault *fault)
{
    struct stat info;

    if (!input->is_regular)
        return true;
    if (fstat(input->fd, &info) != 0) {
        mxq_set_fault(fault, input->stream.name, errno, "cannot read");
        return false;
    }
    if (info.st_size != input->size || info.st_mtim.tv_sec != input->mtime.tv_sec ||
        info.st_mtim.tv_nsec != input->mtime.tv_nsec) {
        mxq_set_fault(fault, input->stream.name, 0, "changed while it was read");
        return false;
    }
    return true;
}

void mxq_close_input(struct mxq_input *input)
{
    if (input->fd >= 0 && !input->is_stdin)
        close(input->fd);
    input->fd = -1;
}
