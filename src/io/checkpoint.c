/* checkpoint.c - opening a checkpoint: its index, its shards and what they hold */
#include "io/checkpoint.h"

#include "io/checkpoint_folder.h"
#include "io/checkpoint_remains.h"
#include "io/json_text.h"
#include "io/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of an index and of config.json. */
#define MAX_JSON_NBYTES (256 << 20)

#define SUFFIX ".safetensors"
#define INDEX_SUFFIX ".safetensors.index.json"

struct opening {
    struct mxq_checkpoint *checkpoint;
    const char *remains; /* folder, or NULL */
    mxq_warn_func warn;
    void *context;
    struct mxq_fault *fault;
};

static bool refuse_memory(struct opening *o)
{
    mxq_set_fault(o->fault, o->checkpoint->folder, ENOMEM, "cannot open the checkpoint");
    return false;
}

static bool ends_with(const char *text, const char *suffix)
{
    const size_t length = strlen(text), nsuffix = strlen(suffix);

    return length > nsuffix && strcmp(text + length - nsuffix, suffix) == 0;
}

static bool is_folder(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

bool mxq_names_checkpoint(const char *path)
{
    return ends_with(path, SUFFIX) || ends_with(path, INDEX_SUFFIX) || is_folder(path);
}

bool mxq_is_checkpoint(const char *path)
{
    if (is_folder(path))
        return mxq_folder_has_shards(path);
    return mxq_names_checkpoint(path) && access(path, F_OK) == 0;
}

char *mxq_checkpoint_path(const struct mxq_checkpoint *checkpoint, const char *name)
{
    return mxq_join_path(checkpoint->folder, name);
}

/* ---- JSON files */

/* The text of a file of the folder, terminated; an absent one is NULL and no fault. */
static bool load_text(struct opening *o, const char *name, char **text, size_t *nbytes)
{
    char *path = mxq_checkpoint_path(o->checkpoint, name);
    struct stat status;
    bool good = false;
    int fd;

    *text = NULL;
    if (path == NULL)
        return refuse_memory(o);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        good = true;
    } else if (fd < 0 || fstat(fd, &status) != 0) {
        mxq_set_fault(o->fault, path, errno, "cannot open");
    } else if (!S_ISREG(status.st_mode) || status.st_size > MAX_JSON_NBYTES) {
        mxq_set_fault(o->fault, path, 0, "not a JSON file of at most 256 MiB");
    } else if ((*text = malloc((size_t)status.st_size + 1)) == NULL) {
        refuse_memory(o);
    } else {
        *nbytes = (size_t)status.st_size;
        (*text)[*nbytes] = '\0';
        good = mxq_pread_all(fd, *text, *nbytes, 0, path, o->fault);
    }
    if (fd >= 0)
        close(fd);
    free(path);
    return good;
}

static bool load_object(struct opening *o, const char *name, const char *text, size_t nbytes, json_t **object)
{
    char *path = mxq_checkpoint_path(o->checkpoint, name);
    json_error_t error;

    *object = mxq_load_python_json((struct mxq_json_text){text, text + nbytes}, &error);
    if (!json_is_object(*object))
        mxq_set_fault(o->fault, path, 0, "not a JSON object%s%s", error.text[0] != '\0' ? ": " : "", error.text);
    free(path);
    return json_is_object(*object);
}

static bool load_config(struct opening *o)
{
    struct mxq_checkpoint *c = o->checkpoint;

    return load_text(o, MXQ_CHECKPOINT_CONFIG, &c->config_text, &c->config_nbytes) &&
           (c->config_text == NULL ||
            load_object(o, MXQ_CHECKPOINT_CONFIG, c->config_text, c->config_nbytes, &c->config));
}

/* A fault about the index, by its whole path. */
static bool refuse_index(struct opening *o, int errnum, const char *format, ...) __attribute__((format(printf, 3, 4)));

static bool refuse_index(struct opening *o, int errnum, const char *format, ...)
{
    char *path = mxq_checkpoint_path(o->checkpoint, o->checkpoint->index_name);
    char text[MXQ_FAULT_NBYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    mxq_set_fault(o->fault, path != NULL ? path : o->checkpoint->index_name, errnum, "%s", text);
    free(path);
    return false;
}

/* index_name is that of a file that need not be there. */
static bool load_index(struct opening *o, bool required)
{
    struct mxq_checkpoint *c = o->checkpoint;
    char *text;
    size_t nbytes;
    bool good;

    if (!load_text(o, c->index_name, &text, &nbytes))
        return false;
    if (text == NULL) {
        if (required)
            refuse_index(o, ENOENT, "cannot open");
        free(c->index_name);
        c->index_name = NULL;
        return !required;
    }
    good = load_object(o, c->index_name, text, nbytes, &c->index);
    if (good && !json_is_object(json_object_get(c->index, "weight_map"))) {
        good = refuse_index(o, 0, "an index without a weight_map");
    }
    free(text);
    return good;
}

/* ---- shards */

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Only a file name: whatever else an index says could lead out of the folder. */
static bool is_shard_name(const char *name)
{
    return name != NULL && name[0] != '.' && strchr(name, '/') == NULL && ends_with(name, SUFFIX);
}

/* The shards that the index names, each once. */
static bool list_indexed_shards(struct opening *o)
{
    struct mxq_checkpoint *c = o->checkpoint;
    json_t *map = json_object_get(c->index, "weight_map"), *value;
    const char **names = malloc((json_object_size(map) + 1) * sizeof(*names));
    const char *key;
    size_t nnames = 0;

    if (names == NULL)
        return refuse_memory(o);
    json_object_foreach(map, key, value)
    {
        if (!is_shard_name(json_string_value(value))) {
            refuse_index(o, 0, "tensor \"%.200s\": its shard \"%.200s\" is not the plain name of a .safetensors file",
                         key, json_is_string(value) ? json_string_value(value) : "");
            free(names);
            return false;
        }
        names[nnames++] = json_string_value(value);
    }
    qsort(names, nnames, sizeof(*names), compare_strings);
    c->shards = calloc(nnames + 1, sizeof(*c->shards));
    for (size_t i = 0; c->shards != NULL && i < nnames; i++)
        if (i == 0 || strcmp(names[i - 1], names[i]) != 0)
            c->shards[c->nshards++].name = strdup(names[i]);
    free(names);
    return c->shards != NULL || refuse_memory(o);
}

static void warn_left_out(struct opening *o, const char *name)
{
    char text[600];

    snprintf(text, sizeof(text), "\"%.255s\" is left out: %.255s does not name it", name, o->checkpoint->index_name);
    if (o->warn != NULL)
        o->warn(o->context, text);
}

/* All .safetensors files of the folder, or of an index's the ones that it does not name, which are warned of. */
static bool list_folder_shards(struct opening *o, char **names, size_t nnames)
{
    struct mxq_checkpoint *c = o->checkpoint;

    if (c->index != NULL) {
        for (size_t i = 0, s = 0; i < nnames; i++) {
            while (s < c->nshards && strcmp(c->shards[s].name, names[i]) < 0)
                s++;
            if (s == c->nshards || strcmp(c->shards[s].name, names[i]) != 0)
                warn_left_out(o, names[i]);
        }
        return true;
    }
    c->shards = calloc(nnames + 1, sizeof(*c->shards));
    for (size_t i = 0; c->shards != NULL && i < nnames; i++)
        c->shards[c->nshards++].name = strdup(names[i]);
    return c->shards != NULL || refuse_memory(o);
}

static bool list_folder(struct opening *o)
{
    struct mxq_checkpoint *c = o->checkpoint;
    struct mxq_folder_listing listing;
    bool good;

    if (!mxq_list_checkpoint_folder(c->folder, c->index_name, &listing, o->warn, o->context, o->fault))
        return false;
    c->others = listing.others;
    c->nothers = listing.nothers;
    if (c->index == NULL && o->remains != NULL && !mxq_list_remains(o->remains, &listing, o->fault))
        good = false;
    else
        good = (c->index == NULL || list_indexed_shards(o)) && list_folder_shards(o, listing.shards, listing.nshards);
    for (size_t i = 0; i < listing.nshards; i++)
        free(listing.shards[i]);
    free(listing.shards);
    if (good && c->nshards == 0) {
        mxq_set_fault(o->fault, c->folder, 0, "no .safetensors file in this folder");
        good = false;
    }
    return good;
}

/* What is left of a shard that is gone; -1 with errno of the shard itself. */
static int open_remains(struct opening *o, struct mxq_checkpoint_shard *shard)
{
    char *path = mxq_remains_path(o->remains, shard->name);
    const int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW) : -1;

    free(path);
    errno = ENOENT;
    shard->is_gone = fd >= 0;
    return fd;
}

static bool read_shard(struct opening *o, struct mxq_checkpoint_shard *shard)
{
    char *path = shard->name != NULL ? mxq_checkpoint_path(o->checkpoint, shard->name) : NULL;
    struct stat status;
    bool good = false;
    int fd;

    if (path == NULL)
        return refuse_memory(o);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT && o->remains != NULL)
        fd = open_remains(o, shard);
    if (fd < 0 || fstat(fd, &status) != 0)
        mxq_set_fault(o->fault, path, errno, "cannot open%s",
                      o->checkpoint->index != NULL ? " a shard that the index names" : "");
    else
        good = mxq_read_st_header(fd, path, &shard->header, o->fault);
    if (good) {
        shard->device = status.st_dev;
        shard->inode = status.st_ino;
        shard->mtime = status.st_mtim;
    }
    if (fd >= 0)
        close(fd);
    free(path);
    return good;
}

/* ---- tensors */

static int compare_entries(const void *a, const void *b)
{
    const struct mxq_checkpoint_entry *left = a, *right = b;
    const int order = strcmp(left->name, right->name);

    if (order != 0)
        return order;
    return left->shard < right->shard ? -1 : left->shard > right->shard;
}

const struct mxq_checkpoint_entry *mxq_find_checkpoint_tensor(const struct mxq_checkpoint *checkpoint, const char *name)
{
    size_t low = 0, high = checkpoint->nentries;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(checkpoint->entries[middle].name, name);
        if (order == 0)
            return &checkpoint->entries[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static bool list_entries(struct opening *o)
{
    struct mxq_checkpoint *c = o->checkpoint;
    size_t total = 0;

    for (size_t s = 0; s < c->nshards; s++)
        total += c->shards[s].header->ntensors;
    c->entries = malloc((total + 1) * sizeof(*c->entries));
    if (c->entries == NULL)
        return refuse_memory(o);
    for (size_t s = 0; s < c->nshards; s++)
        for (size_t t = 0; t < c->shards[s].header->ntensors; t++)
            c->entries[c->nentries++] = (struct mxq_checkpoint_entry){c->shards[s].header->tensors[t].name, s, t};
    qsort(c->entries, c->nentries, sizeof(*c->entries), compare_entries);
    for (size_t i = 1; i < c->nentries; i++) {
        if (strcmp(c->entries[i - 1].name, c->entries[i].name) == 0) {
            mxq_set_fault(o->fault, c->folder, 0, "tensor \"%.200s\" is in \"%.100s\" and in \"%.100s\"",
                          c->entries[i].name, c->shards[c->entries[i - 1].shard].name,
                          c->shards[c->entries[i].shard].name);
            return false;
        }
    }
    return true;
}

/* The index and the shards must say the same. */
static bool check_index(struct opening *o)
{
    struct mxq_checkpoint *c = o->checkpoint;
    json_t *map = json_object_get(c->index, "weight_map"), *value;
    const char *key;

    if (c->index == NULL)
        return true;
    for (size_t i = 0; i < c->nentries; i++) {
        if (json_object_get(map, c->entries[i].name) == NULL) {
            return refuse_index(o, 0, "it does not name tensor \"%.200s\", which is in \"%.200s\"", c->entries[i].name,
                                c->shards[c->entries[i].shard].name);
        }
    }
    json_object_foreach(map, key, value)
    {
        const struct mxq_checkpoint_entry *entry = mxq_find_checkpoint_tensor(c, key);
        if (entry == NULL || strcmp(c->shards[entry->shard].name, json_string_value(value)) != 0) {
            return refuse_index(o, 0, "it says that tensor \"%.200s\" is in \"%.200s\", and it is not", key,
                                json_string_value(value));
        }
    }
    return true;
}

/* ---- opening */

static bool has_folder_slash(const char *path)
{
    return strrchr(path, '/') != NULL;
}

/* Sets folder; and what is in it that path means, or NULL when it is the folder. */
static bool split_path(struct opening *o, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');

    *name = NULL;
    if (is_folder(path)) {
        o->checkpoint->folder = strdup(path);
    } else {
        *name = slash != NULL ? slash + 1 : path;
        o->checkpoint->folder = !has_folder_slash(path) ? strdup(".")
                                : slash == path         ? strdup("/")
                                                        : strndup(path, (size_t)(slash - path));
    }
    return o->checkpoint->folder != NULL || refuse_memory(o);
}

static bool open_file(struct opening *o, const char *name)
{
    struct mxq_checkpoint *c = o->checkpoint;

    c->is_file = true;
    c->shards = calloc(1, sizeof(*c->shards));
    if (c->shards == NULL)
        return refuse_memory(o);
    c->nshards = 1;
    c->shards[0].name = strdup(name);
    return true;
}

static bool open_checkpoint(struct opening *o, const char *path)
{
    struct mxq_checkpoint *c = o->checkpoint;
    const char *name;

    if (!split_path(o, path, &name))
        return false;
    if (name != NULL && !ends_with(name, INDEX_SUFFIX)) {
        if (!open_file(o, name))
            return false;
    } else {
        c->index_name = strdup(name != NULL ? name : MXQ_CHECKPOINT_INDEX);
        if (c->index_name == NULL)
            return refuse_memory(o);
        if (!load_index(o, name != NULL) || !load_config(o) || !list_folder(o))
            return false;
    }
    for (size_t s = 0; s < c->nshards; s++)
        if (!read_shard(o, &c->shards[s]))
            return false;
    return list_entries(o) && check_index(o);
}

bool mxq_open_checkpoint(const char *path, struct mxq_checkpoint **checkpoint, mxq_warn_func warn, void *context,
                         struct mxq_fault *fault)
{
    return mxq_reopen_checkpoint(path, NULL, checkpoint, warn, context, fault);
}

bool mxq_reopen_checkpoint(const char *path, const char *remains, struct mxq_checkpoint **checkpoint,
                           mxq_warn_func warn, void *context, struct mxq_fault *fault)
{
    struct opening o = {calloc(1, sizeof(**checkpoint)), remains, warn, context, fault};

    *checkpoint = NULL;
    if (o.checkpoint == NULL) {
        mxq_set_fault(fault, path, ENOMEM, "cannot open the checkpoint");
        return false;
    }
    if (!open_checkpoint(&o, path)) {
        mxq_close_checkpoint(o.checkpoint);
        return false;
    }
    *checkpoint = o.checkpoint;
    return true;
}

void mxq_close_checkpoint(struct mxq_checkpoint *c)
{
    if (c == NULL)
        return;
    for (size_t s = 0; s < c->nshards; s++) {
        free(c->shards[s].name);
        mxq_free_st_header(c->shards[s].header);
    }
    for (size_t i = 0; i < c->nothers; i++)
        free(c->others[i].name);
    free(c->folder);
    free(c->shards);
    free(c->others);
    free(c->entries);
    free(c->index_name);
    free(c->config_text);
    json_decref(c->index);
    json_decref(c->config);
    free(c);
}

int mxq_open_shard(const struct mxq_checkpoint *checkpoint, size_t shard, struct mxq_fault *fault)
{
    const struct mxq_checkpoint_shard *s = &checkpoint->shards[shard];
    char *path = mxq_checkpoint_path(checkpoint, s->name);
    struct stat status;
    int fd = -1;

    if (path == NULL || s->is_gone) {
        mxq_set_fault(fault, path != NULL ? path : s->name, path != NULL ? 0 : ENOMEM, "%s",
                      path != NULL ? "an earlier run deleted it, and it is needed" : "cannot open");
        free(path);
        return -1;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0) {
        mxq_set_fault(fault, path, errno, "cannot open");
    } else if (status.st_dev != s->device || status.st_ino != s->inode ||
               (uint64_t)status.st_size != s->header->nbytes || status.st_mtim.tv_sec != s->mtime.tv_sec ||
               status.st_mtim.tv_nsec != s->mtime.tv_nsec) {
        mxq_set_fault(fault, path, 0, "the file has changed since its header was read");
    } else {
        free(path);
        return fd;
    }
    if (fd >= 0)
        close(fd);
    free(path);
    return -1;
}
