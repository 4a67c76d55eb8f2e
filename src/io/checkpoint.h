/*
 * checkpoint.h - a checkpoint that is read: a Hugging Face folder, its index, or one .safetensors file
 *
 * Shards are the .safetensors files that hold the tensors. All their headers are read and checked when the checkpoint is
 * opened; no tensor is.
 */
#ifndef MXQ_CHECKPOINT_H
#define MXQ_CHECKPOINT_H

#include "io/fault.h"
#include "io/safetensors.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define MXQ_CHECKPOINT_INDEX "model.safetensors.index.json"
#define MXQ_CHECKPOINT_CONFIG "config.json"

struct mxq_checkpoint_shard {
    char *name; /* file name within the folder, without slashes */
    struct mxq_st_header *header;
    bool is_gone; /* it was deleted, and its header is from what remains of it; mxq_open_shard() fails */
    /* The file when its header was read. A symbolic link, as in a download cache, is followed. */
    uint64_t device;
    uint64_t inode;
    struct timespec mtime;
};

/* A file or folder beside the shards that is copied as it is. */
struct mxq_checkpoint_other {
    char *name; /* relative to the folder; a folder comes before what is in it */
    bool is_folder;
    uint64_t nbytes; /* of a file */
};

/* Where a tensor is. */
struct mxq_checkpoint_entry {
    const char *name;
    size_t shard;
    size_t tensor; /* checkpoint->shards[shard].header->tensors[tensor] */
};

struct mxq_checkpoint {
    char *folder; /* "." when the file is here */
    bool is_file; /* one .safetensors file was given: no index, no config, no others */
    size_t nshards;
    struct mxq_checkpoint_shard *shards; /* in the order of names (strcmp) */
    size_t nentries;
    struct mxq_checkpoint_entry *entries; /* all tensors, by name (strcmp) */
    char *index_name;                     /* file name of the index, or NULL */
    json_t *index;                        /* the index, or NULL */
    char *config_text;                    /* config.json as it is, terminated, or NULL; it may hold NaN and Infinity */
    size_t config_nbytes;
    json_t *config; /* the same to look into, NaN and Infinity being null; NULL without config.json */
    size_t nothers;
    /*
     * By name. Without .safetensors files, the index, hidden names, and symbolic links to folders; symbolic links to files are
     * followed. config.json is among them: whoever writes another one does not copy it.
     */
    struct mxq_checkpoint_other *others;
};

/* Whether path means a checkpoint: a folder, a name that ends in .safetensors or .safetensors.index.json. */
bool mxq_names_checkpoint(const char *path);

/* Whether there is a checkpoint at path: the same, but of folders only those with a .safetensors file, and nothing missing. */
bool mxq_is_checkpoint(const char *path);

/*
 * Opens the folder, the index or the file at path. Refused: a shard that the index names and that is missing; a shard name
 * that is no plain file name; a tensor that the index names and its shard lacks, or the other way round; one tensor in two
 * shards; a config.json or an index that is no JSON object. Warned of: .safetensors files that the index does not name,
 * which are left out.
 */
bool mxq_open_checkpoint(const char *path, struct mxq_checkpoint **checkpoint, mxq_warn_func warn, void *context,
                         struct mxq_fault *fault);

/* The same for a checkpoint of which shards may have been deleted: remains is the folder with what is left of them. */
bool mxq_reopen_checkpoint(const char *path, const char *remains, struct mxq_checkpoint **checkpoint,
                           mxq_warn_func warn, void *context, struct mxq_fault *fault);

/* Accepts NULL. */
void mxq_close_checkpoint(struct mxq_checkpoint *checkpoint);

/* Opens a shard for reading; one that is no longer the file whose header was read is a fault. -1 on a fault. */
int mxq_open_shard(const struct mxq_checkpoint *checkpoint, size_t shard, struct mxq_fault *fault);

/* The tensor of this name, or NULL. */
const struct mxq_checkpoint_entry *mxq_find_checkpoint_tensor(const struct mxq_checkpoint *checkpoint,
                                                              const char *name);

/* The path of a file of the folder, to be freed; NULL when there is no memory. */
char *mxq_checkpoint_path(const struct mxq_checkpoint *checkpoint, const char *name);

#endif /* MXQ_CHECKPOINT_H */
