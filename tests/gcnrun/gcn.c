/* gcn.c - opening and closing, buffers, what the code object says, counters */
#include "gcnrun/internal.h"

#include <stdlib.h>
#include <string.h>

struct gcn *gcn_open(const char *path, const char *objdump, char *error, size_t error_nbytes)
{
    struct gcn *gcn = calloc(1, sizeof(*gcn));

    if (gcn == NULL)
        return NULL;
    if (!read_object(&gcn->object, path, error, error_nbytes) ||
        !read_listing(&gcn->program, &gcn->object, path, objdump, error, error_nbytes)) {
        gcn_close(gcn);
        return NULL;
    }
    gcn_forget_buffers(gcn);
    return gcn;
}

static void free_buffer(struct buffer *buffer)
{
    free(buffer->seen);
    free(buffer->seen128);
    free(buffer->group[0]);
    free(buffer->group[1]);
    memset(buffer, 0, sizeof(*buffer));
}

static void free_buffers(struct gcn *gcn)
{
    while (gcn->nbuffers > 0)
        free_buffer(&gcn->buffer[--gcn->nbuffers]);
}

void gcn_close(struct gcn *gcn)
{
    if (gcn == NULL)
        return;
    free_buffers(gcn);
    for (unsigned i = 0; i < MAX_WAVES; i++) {
        free(gcn->wave[i].v);
        free(gcn->wave[i].scratch);
    }
    free(gcn->lds);
    free(gcn->lds_writer);
    free(gcn->lds_reader);
    free(gcn->packet);
    free_program(&gcn->program);
    free_object(&gcn->object);
    free(gcn);
}

enum gcn_arch gcn_arch(const struct gcn *gcn)
{
    return gcn->object.arch;
}

bool gcn_find_kernel(const struct gcn *gcn, const char *name, struct gcn_resources *resources)
{
    for (size_t k = 0; k < gcn->object.nkernels; k++) {
        const struct kernel *kernel = &gcn->object.kernels[k];
        if (strcmp(kernel->name, name) != 0 || kernel->descriptor == 0)
            continue;
        const struct descriptor d = read_descriptor(&gcn->object, kernel);
        *resources =
            (struct gcn_resources){kernel->nvgprs, kernel->nsgprs, d.lds_nbytes, d.scratch_nbytes, kernel->args_nbytes};
        return true;
    }
    return false;
}

size_t gcn_count_unknown(const struct gcn *gcn, size_t index, const char **text)
{
    size_t n = 0;

    *text = NULL;
    for (size_t i = 0; i < gcn->program.ninstructions; i++) {
        const struct instruction *in = &gcn->program.instructions[i];
        if (in->opcode != NULL)
            continue;
        if (n++ == index)
            *text = in->text;
    }
    return n;
}

/* ---- buffers: the image and the arguments of the run come first, uncounted and read-only */

#define NUM_HIDDEN 2

void gcn_forget_buffers(struct gcn *gcn)
{
    free_buffers(gcn);
    gcn->nbuffers = NUM_HIDDEN;
    gcn->buffer[0].bytes = gcn->object.image;
    gcn->buffer[0].nbytes = gcn->object.image_nbytes;
}

bool gcn_add_buffer(struct gcn *gcn, const char *name, void *bytes, size_t nbytes, bool writable)
{
    struct buffer *buffer = &gcn->buffer[gcn->nbuffers];
    const size_t nlines = nbytes / 64 + 4;

    if (gcn->nbuffers == NELEMS(gcn->buffer))
        return false;
    buffer->bytes = bytes;
    buffer->nbytes = nbytes;
    buffer->writable = writable;
    buffer->counted = true;
    buffer->stream = gcn->nbuffers - NUM_HIDDEN;
    buffer->seen = calloc(nlines, sizeof(*buffer->seen));
    buffer->seen128 = calloc(nlines, sizeof(*buffer->seen128));
    buffer->group[0] = calloc(nlines, sizeof(*buffer->group[0]));
    buffer->group[1] = calloc(nlines, sizeof(*buffer->group[1]));
    gcn->nbuffers++;
    if (buffer->seen == NULL || buffer->seen128 == NULL || buffer->group[0] == NULL || buffer->group[1] == NULL)
        return false;
    gcn->counters.stream[buffer->stream].name = name;
    if (gcn->counters.nstreams <= buffer->stream)
        gcn->counters.nstreams = buffer->stream + 1;
    return true;
}

/* ---- counters */

const struct gcn_counters *gcn_counters(const struct gcn *gcn)
{
    return &gcn->counters;
}

void gcn_reset_counters(struct gcn *gcn)
{
    struct gcn_counters fresh = {.nstreams = gcn->nbuffers - NUM_HIDDEN};

    for (size_t i = 0; i < fresh.nstreams; i++)
        fresh.stream[i].name = gcn->counters.stream[i].name;
    gcn->counters = fresh;
    for (size_t i = 0; i < gcn->program.ninstructions; i++)
        gcn->program.instructions[i].nexecuted = 0;
}

/* Adds to the entry of an opcode, which may be a new one; the list has room for all there are. */
static void add_frequency(struct gcn_frequency *list, size_t *n, size_t capacity, const struct instruction *in)
{
    for (size_t k = 0; k < *n; k++) {
        if (list[k].opcode == in->opcode->name && list[k].class == in->class) {
            list[k].ninstructions += in->nexecuted;
            return;
        }
    }
    if (*n < capacity)
        list[(*n)++] = (struct gcn_frequency){in->opcode->name, in->class, in->nexecuted};
}

static int compare_frequency(const void *a, const void *b)
{
    const uint64_t x = ((const struct gcn_frequency *)a)->ninstructions;
    const uint64_t y = ((const struct gcn_frequency *)b)->ninstructions;

    return x < y ? 1 : x > y ? -1 : 0;
}

size_t gcn_list_frequent(const struct gcn *gcn, struct gcn_frequency *list, size_t capacity)
{
    const size_t nopcodes = gcn_count_opcodes();
    struct gcn_frequency *all = calloc(2 * nopcodes, sizeof(*all));
    size_t n = 0;

    if (all == NULL)
        return 0;
    for (size_t i = 0; i < gcn->program.ninstructions; i++)
        if (gcn->program.instructions[i].nexecuted > 0)
            add_frequency(all, &n, 2 * nopcodes, &gcn->program.instructions[i]);
    qsort(all, n, sizeof(*all), compare_frequency);
    if (n > capacity)
        n = capacity;
    memcpy(list, all, n * sizeof(*all));
    free(all);
    return n;
}

const char *gcn_error(const struct gcn *gcn)
{
    return gcn->error;
}
