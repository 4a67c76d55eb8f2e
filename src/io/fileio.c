/*
 * fileio.c - reading and writing all of something, and temporary files without a name
 */
#define _GNU_SOURCE /* fallocate, mkostemp */

#include "io/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Linux moves at most a little less than 2 GiB in one call; smaller pieces also leave room for an interruption. */
#define PIECE_NBYTES ((uint64_t)1 << 30)

static size_t next_piece(uint64_t nbytes)
{
    return (size_t)(nbytes < PIECE_NBYTES ? nbytes : PIECE_NBYTES);
}

/* Whether a call that failed with errno is to be repeated. Waits where a pipe was made non-blocking by someone else. */
static bool should_repeat(int fd, short events)
{
    struct pollfd ready = {.fd = fd, .events = events};

    if (errno == EINTR)
        return true;
    if (errno != EAGAIN)
        return false;
    return poll(&ready, 1, -1) > 0 || errno == EINTR;
}

bool mxq_write_all(int fd, const void *bytes, uint64_t nbytes, const char *file, struct mxq_fault *fault)
{
    const uint8_t *next = bytes;

    while (nbytes > 0) {
        ssize_t ret = write(fd, next, next_piece(nbytes));

        if (ret > 0) {
            next += ret;
            nbytes -= (uint64_t)ret;
        } else if (ret == 0 || !should_repeat(fd, POLLOUT)) {
            mxq_set_fault(fault, file, ret == 0 ? EIO : errno, "cannot write");
            return false;
        }
    }
    return true;
}

bool mxq_pwrite_all(int fd, const void *bytes, uint64_t nbytes, uint64_t offset, const char *file,
                    struct mxq_fault *fault)
{
    const uint8_t *next = bytes;

    while (nbytes > 0) {
        ssize_t ret = pwrite(fd, next, next_piece(nbytes), (off_t)offset);

        if (ret > 0) {
            next += ret;
            nbytes -= (uint64_t)ret;
            offset += (uint64_t)ret;
        } else if (ret == 0 || !should_repeat(fd, POLLOUT)) {
            mxq_set_fault(fault, file, ret == 0 ? EIO : errno, "cannot write");
            return false;
        }
    }
    return true;
}

bool mxq_pread_all(int fd, void *bytes, uint64_t nbytes, uint64_t offset, const char *file, struct mxq_fault *fault)
{
    uint8_t *next = bytes;

    while (nbytes > 0) {
        ssize_t ret = pread(fd, next, next_piece(nbytes), (off_t)offset);

        if (ret > 0) {
            next += ret;
            nbytes -= (uint64_t)ret;
            offset += (uint64_t)ret;
        } else if (ret == 0) {
            mxq_set_fault(fault, file, 0, "ends at byte %llu, %llu bytes early", (unsigned long long)offset,
                          (unsigned long long)nbytes);
            return false;
        } else if (!should_repeat(fd, POLLIN)) {
            mxq_set_fault(fault, file, errno, "cannot read");
            return false;
        }
    }
    return true;
}

bool mxq_reserve_space(int fd, uint64_t nbytes, const char *file, struct mxq_fault *fault)
{
    int ret;

    if (nbytes == 0)
        return true;
    if (nbytes > INT64_MAX) {
        mxq_set_fault(fault, file, EFBIG, "cannot set aside %llu bytes", (unsigned long long)nbytes);
        return false;
    }
    /* Not posix_fallocate(): where the file system cannot, that one writes every block. */
    do {
        ret = fallocate(fd, 0, 0, (off_t)nbytes);
    } while (ret != 0 && errno == EINTR);
    if (ret != 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) {
        mxq_set_fault(fault, file, errno, "cannot set aside %llu bytes", (unsigned long long)nbytes);
        return false;
    }
    return true;
}

/* Creates and unlinks; a handler that ends the program cannot come between the two. */
static int open_unlinked(char *name)
{
    sigset_t all;
    sigset_t previous;
    int fd;
    int errnum;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &previous);
    fd = mkostemp(name, O_CLOEXEC);
    if (fd >= 0 && unlink(name) != 0) {
        errnum = errno;
        close(fd);
        fd = -1;
        errno = errnum;
    }
    errnum = errno;
    pthread_sigmask(SIG_SETMASK, &previous, NULL);
    errno = errnum;
    return fd;
}

const char *mxq_spool_folder(const char *dir)
{
    if (dir == NULL)
        dir = getenv("TMPDIR");
    return dir != NULL && dir[0] != '\0' ? dir : "/tmp";
}

int mxq_open_spool(const char *dir, struct mxq_fault *fault)
{
    static const char suffix[] = "/mxfp4q-XXXXXX";
    size_t size;
    char *name;
    int fd;

    dir = mxq_spool_folder(dir);
    size = strlen(dir) + sizeof(suffix);
    name = malloc(size);
    if (name == NULL) {
        mxq_set_fault(fault, NULL, ENOMEM, "cannot name a temporary file");
        return -1;
    }
    snprintf(name, size, "%s%s", dir, suffix);
    fd = open_unlinked(name);
    if (fd < 0)
        mxq_set_fault(fault, dir, errno, "cannot create a temporary file in this folder");
    free(name);
    return fd;
}
