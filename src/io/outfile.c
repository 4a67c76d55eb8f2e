/*
 * outfile.c - files that appear together, whole, or not at all
 *
 * The temporary file of DIR/NAME is DIR/.mxfp4q-PID-XXXXXXXX. A commit first brings every file to the disk and closes it,
 * which is where a full disk may still show. Then, with all signals held back, it gives the names. A file that is
 * replaced stays within reach under a temporary name until the last name is given, so that every step can be undone.
 *
 * The outsets form a list that starts in a static variable, for mxq_remove_temporaries(). The lists change only while
 * signals are held back, so a handler on this thread finds them whole.
 */
#define _GNU_SOURCE /* renameat2 */

#include "io/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <search.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Room for "/.mxfp4q-PID-XXXXXXXX" after the name of a folder. */
#define TEMPORARY_NBYTES 64

/* Attempts to find a free temporary name. */
#define MAX_ATTEMPTS 100

enum backup {
    BACKUP_NONE,
    BACKUP_LINK, /* the replaced file has a second name */
    BACKUP_MOVED /* the replaced file has only that name, because the file system or its owner refuses the second */
};

struct outfile {
    struct outfile *volatile next;
    char *path;
    char *folder;
    const char *name; /* the part of path after the folder */
    dev_t folder_device;
    ino_t folder_inode;

    char *temporary;
    volatile sig_atomic_t is_temporary; /* a file called temporary exists, and is ours to remove */
    int fd;                             /* -1 once closed */
    mode_t mode;                        /* permissions to have at last */
    dev_t device;                       /* of the file itself, to know it again */
    ino_t inode;

    bool is_named; /* has its final name */
    enum backup backup_kind;
    char *backup; /* the temporary name of what was replaced */
};

struct mxq_outset {
    struct mxq_outset *volatile next;
    struct outfile *volatile files;
    struct outfile *last;
    struct outfile *last_settled; /* it and all before it are on the disk and closed; NULL: none */
    void *names;                  /* a tree of the files, by folder and name, since there may be tens of thousands */
    struct mxq_outset_options options;
};

static struct mxq_outset *volatile all_outsets;

/* ---------------------------------------------------------------------------------------------------- signals */

static void hold_signals(sigset_t *previous)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, previous);
}

static void release_signals(const sigset_t *previous)
{
    pthread_sigmask(SIG_SETMASK, previous, NULL);
}

void mxq_remove_temporaries(void)
{
    const struct mxq_outset *outset;
    struct outfile *file;
    int errnum = errno;

    for (outset = all_outsets; outset != NULL; outset = outset->next) {
        for (file = outset->files; file != NULL; file = file->next) {
            if (file->is_temporary)
                unlink(file->temporary);
            file->is_temporary = 0;
        }
    }
    errno = errnum;
}

/* ---------------------------------------------------------------------------------------------------- adding */

struct mxq_outset *mxq_create_outset(const struct mxq_outset_options *options)
{
    struct mxq_outset *outset = calloc(1, sizeof(*outset));
    sigset_t previous;

    if (outset == NULL)
        return NULL;
    outset->options = *options;
    hold_signals(&previous);
    outset->next = all_outsets;
    all_outsets = outset;
    release_signals(&previous);
    return outset;
}

static void free_outfile(struct outfile *file)
{
    if (file == NULL)
        return;
    free(file->path);
    free(file->folder);
    free(file->temporary);
    free(file->backup);
    free(file);
}

/* Splits path: its folder ends with a slash, or is "" for the current one. */
static struct outfile *new_outfile(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t folder_nbytes = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    struct outfile *file = calloc(1, sizeof(*file));

    if (file == NULL)
        return NULL;
    file->fd = -1;
    file->path = strdup(path);
    file->folder = strndup(path, folder_nbytes);
    file->temporary = malloc(folder_nbytes + TEMPORARY_NBYTES);
    file->backup = malloc(folder_nbytes + TEMPORARY_NBYTES);
    if (file->path == NULL || file->folder == NULL || file->temporary == NULL || file->backup == NULL) {
        free_outfile(file);
        return NULL;
    }
    file->name = file->path + folder_nbytes;
    return file;
}

static const char *folder_or_dot(const struct outfile *file)
{
    return file->folder[0] != '\0' ? file->folder : ".";
}

/* Whether both are in the same folder, however that is written. */
static bool is_same_folder(const struct outfile *a, const struct outfile *b)
{
    return a->folder_device == b->folder_device && a->folder_inode == b->folder_inode;
}

/* The order of files by folder and name, for tsearch(). */
static int compare_outfiles(const void *first, const void *second)
{
    const struct outfile *a = first;
    const struct outfile *b = second;

    if (a->folder_device != b->folder_device)
        return a->folder_device < b->folder_device ? -1 : 1;
    if (a->folder_inode != b->folder_inode)
        return a->folder_inode < b->folder_inode ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* Whether what has the final name now, if anything, may be replaced. *exists tells whether there is anything. */
static bool check_target(const struct mxq_outset *outset, const struct outfile *file, bool *exists,
                         struct mxq_fault *fault)
{
    struct stat st;

    *exists = lstat(file->path, &st) == 0;
    if (!*exists && errno != ENOENT) {
        mxq_set_fault(fault, file->path, errno, "cannot create");
        return false;
    }
    if (!*exists)
        return true;
    if (S_ISDIR(st.st_mode))
        mxq_set_fault(fault, file->path, 0, "is a folder");
    else if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
        mxq_set_fault(fault, file->path, 0, "is not a regular file");
    else if (!outset->options.force)
        mxq_set_fault(fault, file->path, 0, "already exists; --force replaces it");
    else
        return true;
    return false;
}

static bool check_new_outfile(const struct mxq_outset *outset, struct outfile *file, struct mxq_fault *fault)
{
    struct stat st;
    bool exists;

    if (file->name[0] == '\0') {
        mxq_set_fault(fault, file->path, 0, "is not the name of a file");
        return false;
    }
    if (stat(folder_or_dot(file), &st) != 0) {
        mxq_set_fault(fault, file->path, errno, "cannot create");
        return false;
    }
    file->folder_device = st.st_dev;
    file->folder_inode = st.st_ino;
    if (tfind(file, &outset->names, compare_outfiles) != NULL) {
        mxq_set_fault(fault, file->path, 0, "would be written twice");
        return false;
    }
    return check_target(outset, file, &exists, fault);
}

/* Makes up a name; whether it is free shows when it is used. */
static void make_temporary_name(const struct outfile *file, char *name)
{
    static uint32_t counter;
    struct timespec now = {0};

    clock_gettime(CLOCK_REALTIME, &now);
    counter++;
    snprintf(name, strlen(file->folder) + TEMPORARY_NBYTES, "%s.mxfp4q-%ld-%08" PRIx32, file->folder, (long)getpid(),
             (uint32_t)now.tv_nsec * UINT32_C(2654435761) + counter);
}

/*
 * Opens the temporary file. It is made with the permissions it will have at last, since only the system knows umask and
 * the folder's defaults without changing anything; they come back in the commit.
 */
static bool open_temporary(struct outfile *file)
{
    struct stat st;
    int attempt;

    for (attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        make_temporary_name(file, file->temporary);
        file->fd = open(file->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file->fd >= 0 || (errno != EEXIST && errno != EINTR))
            break;
    }
    if (file->fd < 0)
        return false;
    file->is_temporary = 1;
    if (fstat(file->fd, &st) != 0 || fchmod(file->fd, S_IRUSR | S_IWUSR) != 0)
        return false;
    file->mode = st.st_mode & 0777;
    file->device = st.st_dev;
    file->inode = st.st_ino;
    return true;
}

static void append_outfile(struct mxq_outset *outset, struct outfile *file)
{
    if (outset->last != NULL)
        outset->last->next = file;
    else
        outset->files = file;
    outset->last = file;
}

/* Closes and removes what is temporary of a file. */
static void discard_outfile(struct outfile *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
    if (file->is_temporary)
        unlink(file->temporary);
    file->is_temporary = 0;
}

int mxq_add_outfile(struct mxq_outset *outset, const char *path, struct mxq_fault *fault)
{
    struct outfile *file = new_outfile(path);
    sigset_t previous;
    bool ok;

    if (file == NULL) {
        mxq_set_fault(fault, path, ENOMEM, "cannot create");
        return -1;
    }
    if (!check_new_outfile(outset, file, fault)) {
        free_outfile(file);
        return -1;
    }
    hold_signals(&previous);
    ok = open_temporary(file) && tsearch(file, &outset->names, compare_outfiles) != NULL;
    if (ok) {
        append_outfile(outset, file);
    } else {
        mxq_set_fault(fault, path, errno, "cannot create");
        discard_outfile(file);
    }
    release_signals(&previous);
    if (!ok) {
        free_outfile(file);
        return -1;
    }
    return file->fd;
}

bool mxq_path_is_file(const char *path, uint64_t device, uint64_t inode)
{
    struct stat st;

    return stat(path, &st) == 0 && (uint64_t)st.st_dev == device && (uint64_t)st.st_ino == inode;
}

/* ---------------------------------------------------------------------------------------------------- committing */

static int sync_fd(int fd)
{
    int ret;

    do {
        ret = fsync(fd);
    } while (ret != 0 && errno == EINTR);
    return ret;
}

/* Brings the bytes of a file to the disk and closes it. */
static bool settle_outfile(const struct mxq_outset *outset, struct outfile *file, struct mxq_fault *fault)
{
    int fd = file->fd;

    if (fchmod(fd, file->mode) != 0) {
        mxq_set_fault(fault, file->path, errno, "cannot set its permissions");
        return false;
    }
    if (!outset->options.no_fsync && sync_fd(fd) != 0) {
        mxq_set_fault(fault, file->path, errno, "cannot write to the disk");
        return false;
    }
    file->fd = -1;
    /* Linux closes the descriptor whatever close() returns, so EINTR leaves nothing to do. */
    if (close(fd) != 0 && errno != EINTR) {
        mxq_set_fault(fault, file->path, errno, "cannot close");
        return false;
    }
    return true;
}

/* The second half of a rename by link() and unlink(); when it fails, there is no second name either. */
static int drop_first_name(const char *from, const char *to)
{
    int errnum;

    if (unlink(from) == 0)
        return 0;
    errnum = errno;
    unlink(to);
    errno = errnum;
    return -1;
}

/* Gives a file a name that nothing has; when something has it, fails with EEXIST. */
static int rename_to_free_name(const char *from, const char *to)
{
    struct stat st;

    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno == EEXIST)
        return -1;
    if (link(from, to) == 0)
        return drop_first_name(from, to);
    if (errno == EEXIST)
        return -1;
    /* Neither is known here (FAT, some network file systems): look and rename, which is the same but for a moment. */
    if (lstat(to, &st) == 0) {
        errno = EEXIST;
        return -1;
    }
    return errno == ENOENT ? rename(from, to) : -1;
}

static bool name_new_outfile(struct outfile *file, struct mxq_fault *fault)
{
    if (rename_to_free_name(file->temporary, file->path) != 0) {
        if (errno == EEXIST)
            mxq_set_fault(fault, file->path, 0, "was created by someone else meanwhile");
        else
            mxq_set_fault(fault, file->path, errno, "cannot give the file its name");
        return false;
    }
    file->is_temporary = 0;
    file->is_named = true;
    return true;
}

/* Keeps what is about to be replaced: as a link, so that the name is never missing, or else by renaming it. */
static bool back_up_target(struct outfile *file, struct mxq_fault *fault)
{
    int attempt;

    for (attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        make_temporary_name(file, file->backup);
        if (link(file->path, file->backup) == 0) {
            file->backup_kind = BACKUP_LINK;
            return true;
        }
        if (errno == ENOENT)
            return true;
        if (errno != EEXIST && rename_to_free_name(file->path, file->backup) == 0) {
            file->backup_kind = BACKUP_MOVED;
            return true;
        }
        if (errno != EEXIST)
            break;
    }
    mxq_set_fault(fault, file->path, errno, "cannot be replaced");
    return false;
}

static bool name_over_old_file(const struct mxq_outset *outset, struct outfile *file, struct mxq_fault *fault)
{
    bool exists;

    if (!check_target(outset, file, &exists, fault) || (exists && !back_up_target(file, fault)))
        return false;
    if (rename(file->temporary, file->path) != 0) {
        mxq_set_fault(fault, file->path, errno, "cannot give the file its name");
        return false;
    }
    file->is_temporary = 0;
    file->is_named = true;
    return true;
}

/* Makes the new names themselves last: without this a power failure may undo them. */
static bool sync_folders(const struct mxq_outset *outset, struct mxq_fault *fault)
{
    const struct outfile *file;
    const struct outfile *previous = NULL;
    bool ok = true;

    for (file = outset->files; file != NULL && ok; previous = file, file = file->next) {
        int fd;

        if (previous != NULL && is_same_folder(previous, file))
            continue;
        fd = open(folder_or_dot(file), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 && errno == EACCES)
            continue; /* a folder that may be written to but not read */
        ok = fd >= 0 && (sync_fd(fd) == 0 || errno == EINVAL);
        if (!ok)
            mxq_set_fault(fault, file->path, errno, "cannot bring the folder to the disk");
        if (fd >= 0)
            close(fd);
    }
    return ok;
}

/* Takes the name of a file back and restores what had it. */
static void undo_outfile(struct outfile *file, struct mxq_fault *fault)
{
    struct stat st;

    if (file->backup_kind != BACKUP_NONE && (file->is_named || file->backup_kind == BACKUP_MOVED)) {
        if (rename(file->backup, file->path) != 0)
            mxq_set_fault(fault, file->path, errno, "cannot be restored; what it was is kept as %s", file->backup);
    } else if (file->backup_kind == BACKUP_LINK) {
        unlink(file->backup);
    } else if (file->is_named && lstat(file->path, &st) == 0 && st.st_dev == file->device && st.st_ino == file->inode) {
        unlink(file->path);
    }
    file->backup_kind = BACKUP_NONE;
    file->is_named = false;
}

static bool name_all_files(struct mxq_outset *outset, struct mxq_fault *fault)
{
    struct outfile *file;
    bool ok = true;

    for (file = outset->files; file != NULL && ok; file = file->next)
        ok = outset->options.force ? name_over_old_file(outset, file, fault) : name_new_outfile(file, fault);
    if (ok && !outset->options.no_fsync)
        ok = sync_folders(outset, fault);
    for (file = outset->files; file != NULL; file = file->next) {
        if (!ok)
            undo_outfile(file, fault);
        else if (file->backup_kind != BACKUP_NONE)
            unlink(file->backup);
    }
    return ok;
}

bool mxq_settle_outset(struct mxq_outset *outset, struct mxq_fault *fault)
{
    struct outfile *file = outset->last_settled != NULL ? outset->last_settled->next : outset->files;

    for (; file != NULL; file = file->next) {
        if (file->fd >= 0 && !settle_outfile(outset, file, fault))
            return false;
        outset->last_settled = file;
    }
    return true;
}

bool mxq_commit_outset(struct mxq_outset *outset, struct mxq_fault *fault)
{
    sigset_t previous;
    bool ok;

    if (!mxq_settle_outset(outset, fault))
        return false;
    hold_signals(&previous);
    ok = name_all_files(outset, fault);
    release_signals(&previous);
    return ok;
}

/* ---------------------------------------------------------------------------------------------------- discarding */

void mxq_discard_outset(struct mxq_outset *outset)
{
    struct mxq_outset *volatile *link_to = &all_outsets;
    struct outfile *file;
    struct outfile *next;
    sigset_t previous;
    int errnum = errno;

    if (outset == NULL)
        return;
    hold_signals(&previous);
    while (*link_to != outset)
        link_to = &(*link_to)->next;
    *link_to = outset->next;
    for (file = outset->files; file != NULL; file = file->next)
        tdelete(file, &outset->names, compare_outfiles);
    for (file = outset->files; file != NULL; file = next) {
        next = file->next;
        discard_outfile(file);
        free_outfile(file);
    }
    free(outset);
    release_signals(&previous);
    errno = errnum;
}
