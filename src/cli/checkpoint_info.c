/* checkpoint_info.c - what is in a checkpoint, for mxfp4q info */
#include "cli/checkpoint_info.h"

#include "cli/msg.h"
#include "io/checkpoint.h"
#include "io/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Names come from anywhere; this makes them free of control characters. */
static void print_name(const char *name)
{
    struct mxq_fault text;

    mxq_set_fault(&text, NULL, 0, "%s", name);
    fputs(text.text, stdout);
}

static void print_shard(const char *path, const struct mxq_st_header *header)
{
    const char *key;
    json_t *value;

    print_name(path);
    printf(": safetensors, %zu tensors, %" PRIu64 " bytes\n", header->ntensors, header->nbytes);
    json_object_foreach(header->metadata, key, value)
    {
        printf("  ");
        print_name(key);
        printf(" = ");
        print_name(json_string_value(value));
        putchar('\n');
    }
    for (size_t i = 0; i < header->ntensors; i++) {
        const struct mxq_st_tensor *tensor = &header->tensors[i];
        printf("  ");
        print_name(tensor->name);
        printf(": %s ", mxq_st_dtype_name(tensor->dtype));
        if (tensor->rank == 0)
            printf("scalar");
        for (unsigned d = 0; d < tensor->rank; d++)
            printf("%s%" PRIu64, d ? "x" : "", tensor->shape[d]);
        printf(", %" PRIu64 " bytes at %" PRIu64 "\n", tensor->nbytes, tensor->offset);
    }
}

static json_t *pack_tensors(const struct mxq_st_header *header)
{
    json_t *tensors = json_array();

    for (size_t i = 0; i < header->ntensors; i++) {
        const struct mxq_st_tensor *tensor = &header->tensors[i];
        json_t *shape = json_array();
        for (unsigned d = 0; d < tensor->rank; d++)
            json_array_append_new(shape, json_integer((json_int_t)tensor->shape[d]));
        json_array_append_new(tensors, json_pack("{s:o, s:s, s:o, s:I, s:I}", "name", mxq_pack_name(tensor->name),
                                                 "dtype", mxq_st_dtype_name(tensor->dtype), "shape", shape, "offset",
                                                 (json_int_t)tensor->offset, "nbytes", (json_int_t)tensor->nbytes));
    }
    return tensors;
}

static json_t *pack_shard(const char *path, const struct mxq_st_header *header)
{
    return json_pack("{s:s, s:o, s:I, s:o, s:o}", "kind", "mxfp4q shard", "file", mxq_pack_name(path), "nbytes",
                     (json_int_t)header->nbytes, "metadata",
                     header->metadata != NULL ? json_incref(header->metadata) : json_object(), "tensors",
                     pack_tensors(header));
}

bool mxq_show_checkpoint(const char *path, json_t *objects, struct mxq_fault *fault)
{
    struct mxq_checkpoint *checkpoint;
    bool good;

    good = mxq_open_checkpoint(path, &checkpoint, mxq_warn_user, NULL, fault);
    for (size_t s = 0; good && s < checkpoint->nshards; s++) {
        char *file = mxq_checkpoint_path(checkpoint, checkpoint->shards[s].name);
        good = file != NULL;
        if (good && objects == NULL)
            print_shard(file, checkpoint->shards[s].header);
        else if (good)
            good = json_array_append_new(objects, pack_shard(file, checkpoint->shards[s].header)) == 0;
        if (!good)
            mxq_set_fault(fault, path, ENOMEM, "cannot describe the checkpoint");
        free(file);
    }
    mxq_close_checkpoint(checkpoint);
    return good;
}
