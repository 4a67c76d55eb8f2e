/* checkpoint_output.c - the files of OUT_DIR, each under a temporary name until the whole checkpoint is complete */
#include "cli/checkpoint_output.h"

#include "io/checksum.h"
#include "io/outfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_NBYTES ((size_t)1 << 20)

static char *join(const char *folder, const char *name, const char *before, const char *after)
{
    const char *slash = strrchr(name, '/');
    const size_t nfolder = slash != NULL ? (size_t)(slash - name) + 1 : 0;
    const size_t nbytes = strlen(folder) + 1 + strlen(name) + strlen(before) + strlen(after) + 1;
    char *path = malloc(nbytes);

    if (path != NULL)
        snprintf(path, nbytes, "%s/%.*s%s%s%s", folder, (int)nfolder, name, before, name + nfolder, after);
    return path;
}

char *mxq_output_path(const char *folder, const char *name)
{
    return join(folder, name, "", "");
}

#define PREFIX ".mxfp4q-"
#define SUFFIX ".partial"

char *mxq_partial_path(const char *folder, const char *name)
{
    return join(folder, name, PREFIX, SUFFIX);
}

static int open_path(char *path, int flags)
{
    int fd = -1;
    int errnum;

    errno = ENOMEM;
    if (path != NULL)
        fd = open(path, flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0666);
    errnum = errno;
    free(path);
    errno = errnum;
    return fd;
}

int mxq_create_partial(const char *folder, const char *name, struct mxq_fault *fault)
{
    const int fd = open_path(mxq_partial_path(folder, name), O_CREAT | O_TRUNC);

    if (fd < 0)
        mxq_set_fault(fault, name, errno, "cannot create in \"%s\"", folder);
    return fd;
}

int mxq_open_output(const char *folder, const char *name)
{
    const int fd = open_path(mxq_partial_path(folder, name), 0);

    return fd >= 0 || errno != ENOENT ? fd : open_path(mxq_output_path(folder, name), 0);
}

void mxq_remove_partial(const char *folder, const char *name)
{
    char *path = mxq_partial_path(folder, name);

    if (path != NULL)
        unlink(path);
    free(path);
}

void mxq_remove_partials(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        const size_t length = strlen(entry->d_name), nsuffix = strlen(SUFFIX);
        if (length > strlen(PREFIX) + nsuffix && strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0 &&
            strcmp(entry->d_name + length - nsuffix, SUFFIX) == 0)
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir != NULL)
        closedir(dir);
}

bool mxq_check_output(const char *folder, const char *name, bool force, struct mxq_fault *fault)
{
    char *path = mxq_output_path(folder, name);
    struct stat st;
    bool good = false;

    if (path == NULL)
        mxq_set_fault(fault, name, ENOMEM, "cannot create");
    else if (lstat(path, &st) != 0 && errno == ENOENT)
        good = true;
    else if (lstat(path, &st) != 0)
        mxq_set_fault(fault, path, errno, "cannot create");
    else if (S_ISDIR(st.st_mode))
        mxq_set_fault(fault, path, 0, "is a folder");
    else if (!force)
        mxq_set_fault(fault, path, 0, "already exists; --force replaces it");
    else
        good = true;
    free(path);
    return good;
}

bool mxq_name_output(const char *folder, const char *name, bool force, struct mxq_fault *fault)
{
    char *from = mxq_partial_path(folder, name);
    char *to = mxq_output_path(folder, name);
    struct stat st;
    bool good = from != NULL && to != NULL;

    if (!good)
        mxq_set_fault(fault, name, ENOMEM, "cannot give the file its name");
    if (good && lstat(from, &st) == 0) {
        good = mxq_check_output(folder, name, force, fault);
        if (good && rename(from, to) != 0) {
            mxq_set_fault(fault, to, errno, "cannot give the file its name");
            good = false;
        }
    }
    free(from);
    free(to);
    return good;
}

bool mxq_sync_output(int fd, const char *name, struct mxq_fault *fault)
{
    int ret;

    do {
        ret = fsync(fd);
    } while (ret != 0 && errno == EINTR);
    if (ret != 0)
        mxq_set_fault(fault, name, errno, "cannot write to the disk");
    return ret == 0;
}

bool mxq_sync_folder(const char *folder, struct mxq_fault *fault)
{
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 || errno == EACCES; /* a folder that may be written to but not read */

    if (fd >= 0)
        good = fsync(fd) == 0 || errno == EINVAL;
    if (!good)
        mxq_set_fault(fault, folder, errno, "cannot bring the folder to the disk");
    if (fd >= 0)
        close(fd);
    return good;
}

bool mxq_checksum_output(int fd, const char *name, uint32_t *crc, uint64_t *nbytes, struct mxq_fault *fault)
{
    uint8_t *chunk = malloc(CHUNK_NBYTES);
    ssize_t n = -1;

    *crc = 0;
    *nbytes = 0;
    errno = ENOMEM;
    while (chunk != NULL) {
        n = pread(fd, chunk, CHUNK_NBYTES, (off_t)*nbytes);
        if (n == 0 || (n < 0 && errno != EINTR))
            break;
        if (n < 0)
            continue;
        *crc = mxq_update_crc(*crc, chunk, (size_t)n);
        *nbytes += (uint64_t)n;
    }
    if (n != 0)
        mxq_set_fault(fault, name, errno, "cannot read back");
    free(chunk);
    return n == 0;
}
