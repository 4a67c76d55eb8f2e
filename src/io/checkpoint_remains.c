/* checkpoint_remains.c - the headers of source shards that are deleted before a checkpoint is complete */
#include "io/checkpoint_remains.h"

#include "io/checkpoint_folder.h"
#include "io/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX ".mxfp4q-"
#define SUFFIX ".source"

char *mxq_remains_path(const char *folder, const char *name)
{
    const size_t room = strlen(name) + sizeof(PREFIX SUFFIX);
    char *file = malloc(room);
    char *path = NULL;

    if (file != NULL) {
        snprintf(file, room, PREFIX "%s" SUFFIX, name);
        path = mxq_join_path(folder, file);
    }
    free(file);
    return path;
}

char *mxq_remains_shard(const char *file)
{
    const size_t length = strlen(file), nprefix = strlen(PREFIX), nsuffix = strlen(SUFFIX);

    if (length <= nprefix + nsuffix || strncmp(file, PREFIX, nprefix) != 0 ||
        strcmp(file + length - nsuffix, SUFFIX) != 0)
        return NULL;
    return strndup(file + nprefix, length - nprefix - nsuffix);
}

/* The header is copied as it is, so that it is read again as it was. */
static bool write_remains(int source, int fd, const struct mxq_st_header *header, const char *path,
                          struct mxq_fault *fault)
{
    uint8_t *bytes = malloc(header->data_offset);
    bool good = bytes != NULL;

    if (!good)
        mxq_set_fault(fault, path, ENOMEM, "cannot write");
    good = good && mxq_pread_all(source, bytes, header->data_offset, 0, path, fault) &&
           mxq_write_all(fd, bytes, header->data_offset, path, fault);
    free(bytes);
    if (good && (ftruncate(fd, (off_t)header->nbytes) != 0 || fsync(fd) != 0)) {
        mxq_set_fault(fault, path, errno, "cannot write");
        good = false;
    }
    return good;
}

/* Under a name of its own until it is complete, because it is all there will be. */
static bool make_remains(int source, const struct mxq_st_header *header, const char *path, const char *partial,
                         struct mxq_fault *fault)
{
    const int fd = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good;

    if (fd < 0) {
        mxq_set_fault(fault, path, errno, "cannot create");
        return false;
    }
    good = write_remains(source, fd, header, path, fault);
    close(fd);
    if (good && rename(partial, path) != 0) {
        mxq_set_fault(fault, path, errno, "cannot rename");
        good = false;
    }
    if (!good)
        unlink(partial);
    return good;
}

static bool sync_folder(const char *folder, struct mxq_fault *fault)
{
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool good = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL);

    if (!good)
        mxq_set_fault(fault, folder, errno, "cannot bring the folder to the disk");
    if (fd >= 0)
        close(fd);
    return good;
}

bool mxq_leave_remains(const struct mxq_checkpoint *checkpoint, size_t shard, const char *folder,
                       struct mxq_fault *fault)
{
    const struct mxq_checkpoint_shard *s = &checkpoint->shards[shard];
    char *path, *partial;
    bool good;
    int source;

    if (s->is_gone)
        return true;
    source = mxq_open_shard(checkpoint, shard, fault);
    if (source < 0)
        return false;
    path = mxq_remains_path(folder, s->name);
    partial = path != NULL ? mxq_remains_path(folder, "remains") : NULL;
    good = partial != NULL;
    if (!good)
        mxq_set_fault(fault, s->name, ENOMEM, "cannot be deleted");
    good = good && make_remains(source, s->header, path, partial, fault) && sync_folder(folder, fault);
    close(source);
    free(path);
    free(partial);
    return good;
}

void mxq_remove_remains(const struct mxq_checkpoint *checkpoint, const char *folder)
{
    for (size_t s = 0; s < checkpoint->nshards; s++) {
        char *path = mxq_remains_path(folder, checkpoint->shards[s].name);
        if (path != NULL)
            unlink(path);
        free(path);
    }
}
