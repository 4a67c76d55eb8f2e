/* checkpoint_folder.c - what is in the folder of a checkpoint */
#include "io/checkpoint_folder.h"

#include "io/checkpoint_remains.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Folders within folders, and files: far more than any checkpoint has. */
#define MAX_DEPTH 16
#define MAX_OTHERS 100000

struct listing {
    const char *folder;
    const char *index_name;
    struct mxq_folder_listing *result;
    mxq_warn_func warn;
    void *context;
    struct mxq_fault *fault;
};

char *mxq_join_path(const char *folder, const char *name)
{
    const size_t nfolder = strlen(folder);
    const bool here = strcmp(folder, ".") == 0 || nfolder == 0;
    char *path = malloc(nfolder + strlen(name) + 2);

    if (path == NULL)
        return NULL;
    if (here)
        strcpy(path, name);
    else
        sprintf(path, "%s%s%s", folder, folder[nfolder - 1] == '/' ? "" : "/", name);
    return path;
}

static bool refuse(struct listing *l, const char *name, int errnum, const char *what)
{
    char *path = mxq_join_path(l->folder, name);

    mxq_set_fault(l->fault, path != NULL ? path : name, errnum, "%s", what);
    free(path);
    return false;
}

static void warn_about(struct listing *l, const char *name, const char *what)
{
    struct mxq_fault text;

    mxq_set_fault(&text, name, 0, "%s", what);
    if (l->warn != NULL)
        l->warn(l->context, text.text);
}

static bool is_safetensors(const char *name)
{
    const size_t length = strlen(name);

    return length > 12 && strcmp(name + length - 12, ".safetensors") == 0;
}

bool mxq_folder_has_shards(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    bool found = false;

    while (dir != NULL && !found && (entry = readdir(dir)) != NULL)
        found = entry->d_name[0] != '.' && is_safetensors(entry->d_name);
    if (dir != NULL)
        closedir(dir);
    return found;
}

static bool add_shard(struct listing *l, const char *name)
{
    struct mxq_folder_listing *r = l->result;
    char **grown = realloc(r->shards, (r->nshards + 1) * sizeof(*grown));

    if (grown != NULL)
        r->shards = grown;
    if (grown == NULL || (grown[r->nshards] = strdup(name)) == NULL)
        return refuse(l, name, ENOMEM, "cannot list the folder");
    r->nshards++;
    return true;
}

static bool add_other(struct listing *l, const char *name, bool is_folder, uint64_t nbytes)
{
    struct mxq_folder_listing *r = l->result;
    struct mxq_checkpoint_other *grown;

    if (r->nothers == MAX_OTHERS)
        return refuse(l, name, 0, "too many files in the folder of the checkpoint");
    grown = realloc(r->others, (r->nothers + 1) * sizeof(*grown));
    if (grown != NULL)
        r->others = grown;
    if (grown == NULL || (grown[r->nothers].name = strdup(name)) == NULL)
        return refuse(l, name, ENOMEM, "cannot list the folder");
    grown[r->nothers].is_folder = is_folder;
    grown[r->nothers].nbytes = is_folder ? 0 : nbytes;
    r->nothers++;
    return true;
}

static bool list_below(struct listing *l, const char *below, unsigned depth);

/* name is relative to the folder. */
static bool add_name(struct listing *l, const char *name, unsigned depth)
{
    char *path = mxq_join_path(l->folder, name);
    struct stat link, status;
    bool known;

    if (path == NULL)
        return refuse(l, name, ENOMEM, "cannot list the folder");
    known = lstat(path, &link) == 0 && stat(path, &status) == 0;
    free(path);
    if (!known)
        return refuse(l, name, errno, "cannot look at a file of the checkpoint");
    if (S_ISREG(status.st_mode) && is_safetensors(name)) {
        if (depth == 0)
            return add_shard(l, name);
        warn_about(l, name, "left out: a .safetensors file in a folder of its own");
        return true;
    }
    if (S_ISREG(status.st_mode))
        return (depth == 0 && l->index_name != NULL && strcmp(name, l->index_name) == 0) ||
               add_other(l, name, false, (uint64_t)status.st_size);
    if (!S_ISDIR(status.st_mode) || S_ISLNK(link.st_mode)) {
        warn_about(l, name, "left out: neither a file nor a folder of this checkpoint");
        return true;
    }
    if (depth == MAX_DEPTH)
        return refuse(l, name, 0, "too many folders within folders");
    return add_other(l, name, true, 0) && list_below(l, name, depth + 1);
}

/* below: a folder relative to the listed one, "" for that itself. */
static bool list_below(struct listing *l, const char *below, unsigned depth)
{
    char *path = mxq_join_path(l->folder, below);
    DIR *dir = path != NULL ? opendir(*below != '\0' || *path != '\0' ? path : ".") : NULL;
    struct dirent *entry;
    bool good = true;

    free(path);
    if (dir == NULL)
        return refuse(l, below, errno, "cannot list the folder");
    while (good && (errno = 0, entry = readdir(dir)) != NULL) {
        char *name;
        if (entry->d_name[0] == '.')
            continue;
        name = *below == '\0' ? strdup(entry->d_name) : mxq_join_path(below, entry->d_name);
        good = name != NULL ? add_name(l, name, depth) : refuse(l, below, ENOMEM, "cannot list the folder");
        free(name);
    }
    if (good && errno != 0)
        good = refuse(l, below, errno, "cannot list the folder");
    closedir(dir);
    return good;
}

static int compare_shards(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int compare_others(const void *a, const void *b)
{
    return strcmp(((const struct mxq_checkpoint_other *)a)->name, ((const struct mxq_checkpoint_other *)b)->name);
}

bool mxq_list_checkpoint_folder(const char *folder, const char *index_name, struct mxq_folder_listing *listing,
                                mxq_warn_func warn, void *context, struct mxq_fault *fault)
{
    struct listing l = {folder, index_name, NULL, warn, context, fault};

    memset(listing, 0, sizeof(*listing));
    l.result = listing;
    if (!list_below(&l, "", 0)) {
        for (size_t i = 0; i < listing->nshards; i++)
            free(listing->shards[i]);
        for (size_t i = 0; i < listing->nothers; i++)
            free(listing->others[i].name);
        free(listing->shards);
        free(listing->others);
        return false;
    }
    if (listing->nshards > 0)
        qsort(listing->shards, listing->nshards, sizeof(*listing->shards), compare_shards);
    if (listing->nothers > 0)
        qsort(listing->others, listing->nothers, sizeof(*listing->others), compare_others);
    return true;
}

static bool has_shard(const struct mxq_folder_listing *listing, const char *name)
{
    for (size_t i = 0; i < listing->nshards; i++)
        if (strcmp(listing->shards[i], name) == 0)
            return true;
    return false;
}

bool mxq_list_remains(const char *folder, struct mxq_folder_listing *listing, struct mxq_fault *fault)
{
    struct listing l = {folder, NULL, listing, NULL, NULL, fault};
    DIR *dir = opendir(folder);
    struct dirent *entry;
    bool good = true;

    while (dir != NULL && good && (entry = readdir(dir)) != NULL) {
        char *name = mxq_remains_shard(entry->d_name);
        if (name != NULL && is_safetensors(name) && !has_shard(listing, name))
            good = add_shard(&l, name);
        free(name);
    }
    if (dir != NULL)
        closedir(dir);
    if (listing->nshards > 0)
        qsort(listing->shards, listing->nshards, sizeof(*listing->shards), compare_shards);
    return good;
}
