/*
 * outfile.h - files that appear together, whole, or not at all
 *
 * An outset is a group of files that one job makes. Each is written under a temporary name in the folder of its final
 * one. Only mxq_commit_outset() gives them their final names, after all of them are on the disk; until then, and when it
 * fails, what had these names before is as it was. mxq_discard_outset() removes what is temporary, and so does
 * mxq_remove_temporaries() for a signal handler.
 *
 * Outsets belong to one thread, which holds back all signals wherever a handler would find things half done. For that to
 * help, the other threads must block the signals whose handler calls mxq_remove_temporaries(). The descriptors may be
 * used by any thread. SIGKILL and a power failure can leave files called .mxfp4q-PID-...
 *
 *     outset = mxq_create_outset(...)
 *     fd = mxq_add_outfile(outset, "w.rowwise_data.npy", &fault)      for each file; write to fd
 *     mxq_commit_outset(outset, &fault)                               or nothing
 *     mxq_discard_outset(outset)                                      always
 */
#ifndef MXQ_OUTFILE_H
#define MXQ_OUTFILE_H

#include "io/fault.h"

#include <stdbool.h>
#include <stdint.h>

struct mxq_outset_options {
    bool force;    /* replace existing files; otherwise they are refused, at the latest when committing */
    bool no_fsync; /* leave it to the system when data reaches the disk */
};

struct mxq_outset;

/* NULL when there is no memory. */
struct mxq_outset *mxq_create_outset(const struct mxq_outset_options *options);

/*
 * Creates the temporary file for path and returns its descriptor, open for reading and writing, owned by the outset; -1
 * on a fault: path exists (and no force), is a folder or not a regular file, was added before, or cannot be made. The
 * folder must exist. The file gets the permissions of an ordinary new file (umask) when it is committed. A symbolic link
 * at path is refused without force, and replaced (not followed) with it.
 */
int mxq_add_outfile(struct mxq_outset *outset, const char *path, struct mxq_fault *fault);

/* True when path names the file with this device and inode, or would replace it. */
bool mxq_path_is_file(const char *path, uint64_t device, uint64_t inode);

/*
 * Brings the files added so far to the disk and closes them, so that an outset may have more files than a process may have
 * open. They stay temporary.
 */
bool mxq_settle_outset(struct mxq_outset *outset, struct mxq_fault *fault);

/*
 * Brings all files to the disk, closes them, then makes all of them appear, in the order they were added. On a fault
 * none does: files that have their names already are taken back, files replaced are restored. Signals are held back
 * from the first name on. Once, and only mxq_discard_outset() may follow.
 */
bool mxq_commit_outset(struct mxq_outset *outset, struct mxq_fault *fault);

/* Closes everything and removes what is still temporary. Accepts NULL; errno is preserved. */
void mxq_discard_outset(struct mxq_outset *outset);

/* Removes all temporary files of all outsets. Async-signal-safe; the outsets can only be discarded afterwards. */
void mxq_remove_temporaries(void);

/* The folder that mxq_open_spool() uses: dir, or for NULL $TMPDIR, else /tmp. */
const char *mxq_spool_folder(const char *dir);

/* An unlinked temporary file in dir (NULL: see above); -1 on a fault. */
int mxq_open_spool(const char *dir, struct mxq_fault *fault);

/*
 * Has the file system set aside the nbytes that a new file will have, so that a full disk is a fault now and not after
 * hours. Where it cannot do that, nothing happens. Otherwise the file has that size afterwards, all zero.
 */
bool mxq_reserve_space(int fd, uint64_t nbytes, const char *file, struct mxq_fault *fault);

/* write(2) and pwrite(2) of everything, with EINTR and short writes handled; file is the name for the fault. */
bool mxq_write_all(int fd, const void *bytes, uint64_t nbytes, const char *file, struct mxq_fault *fault);
bool mxq_pwrite_all(int fd, const void *bytes, uint64_t nbytes, uint64_t offset, const char *file,
                    struct mxq_fault *fault);

/* pread(2) of everything; a file that ends early is a fault. */
bool mxq_pread_all(int fd, void *bytes, uint64_t nbytes, uint64_t offset, const char *file, struct mxq_fault *fault);

#endif /* MXQ_OUTFILE_H */
