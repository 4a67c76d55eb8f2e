/*
 * checkpoint_folder.h - what is in the folder of a checkpoint: its .safetensors files, and everything that goes with them
 */
#ifndef MXQ_CHECKPOINT_FOLDER_H
#define MXQ_CHECKPOINT_FOLDER_H

#include "io/checkpoint.h"

struct mxq_folder_listing { /* all of it is the caller's */
    size_t nshards;
    char **shards; /* names of .safetensors files in the folder itself, by name */
    size_t nothers;
    struct mxq_checkpoint_other *others; /* see checkpoint.h */
};

/* index_name is the file to leave out, or NULL. */
bool mxq_list_checkpoint_folder(const char *folder, const char *index_name, struct mxq_folder_listing *listing,
                                mxq_warn_func warn, void *context, struct mxq_fault *fault);

/* Adds the shards of which folder has the remains (checkpoint_remains.h) to those that were listed. */
bool mxq_list_remains(const char *folder, struct mxq_folder_listing *listing, struct mxq_fault *fault);

/* Whether a .safetensors file is in the folder itself. */
bool mxq_folder_has_shards(const char *folder);

/* "folder/name", or name alone when folder is "."; to be freed. NULL: no memory. */
char *mxq_join_path(const char *folder, const char *name);

#endif /* MXQ_CHECKPOINT_FOLDER_H */
