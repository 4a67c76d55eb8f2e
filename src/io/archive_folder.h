/*
 * archive_folder.h - an .npz of results, seen as a folder
 *
 * What a folder of results would hold as files, such an archive holds as members: NAME.rowwise_data.npy and so on, and
 * NAME.json. So its results are called ARCHIVE.npz/NAME, and the path of a member is ARCHIVE.npz/MEMBER.
 */
#ifndef MXQ_ARCHIVE_FOLDER_H
#define MXQ_ARCHIVE_FOLDER_H

#include "io/fault.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Whether path goes through a regular file, as no other path does. Then archive, of nbytes, is that file and *member what
 * follows the slash.
 */
bool mxq_split_archive_path(const char *path, char *archive, size_t nbytes, const char **member);

/* Whether the file is an archive. */
bool mxq_is_archive(const char *path);

bool mxq_archive_has(const char *archive, const char *member, struct mxq_fault *fault);

/* The number of members whose names end in .json, and one of them; -1 on a fault. */
int mxq_count_archive_manifests(const char *archive, char *member, size_t nbytes, struct mxq_fault *fault);

/* The bytes of a member, to be freed, of which there are at most max_nbytes; NULL on a fault. */
char *mxq_read_archive_member(const char *archive, const char *member, size_t max_nbytes, size_t *nbytes,
                              struct mxq_fault *fault);

#endif /* MXQ_ARCHIVE_FOLDER_H */
