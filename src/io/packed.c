/* packed.c - which tensors of a checkpoint are MXFP4, and reading them */
#include "io/packed.h"

#include "io/outfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum state {
    STATE_PLAIN,
    STATE_NOTED, /* plain, and the caller has been told what is odd about it */
    STATE_PAIRED
};

/* While the tensors are told apart. */
struct listing {
    const struct mxq_checkpoint *checkpoint;
    struct mxq_packed_list *list;
    uint8_t *states; /* enum state, of each entry of checkpoint */
    mxq_warn_func note;
    void *context;
};

/* How a form is known: what follows the weight's name in those of its codes and scales. */
struct spelling {
    const char *data;
    const char *scale;
    enum mxq_packed_form form;
    enum mxq_direction direction;
    bool telling; /* U8 tensors of this name are codes and nothing else */
};

static const struct spelling spellings[] = {
    {"_packed", "_scale", MXQ_PACKED_COMPRESSED_TENSORS, MXQ_ROWWISE, true},
    {"_blocks", "_scales", MXQ_PACKED_GPT_OSS, MXQ_COLUMNWISE, true},
    {".blocks", ".scales", MXQ_PACKED_GPT_OSS, MXQ_COLUMNWISE, true},
    {".rowwise_data", ".rowwise_scale", MXQ_PACKED_BUFFERS, MXQ_ROWWISE, true},
    {".columnwise_data", ".columnwise_scale", MXQ_PACKED_BUFFERS, MXQ_COLUMNWISE, true},
    {"", "_scale", MXQ_PACKED_QUARK, MXQ_ROWWISE, false},
    {".weight", ".scale", MXQ_PACKED_NATIVE, MXQ_ROWWISE, false},
};

#define NSPELLINGS (sizeof(spellings) / sizeof(spellings[0]))

const char *mxq_packed_form_name(enum mxq_packed_form form)
{
    static const char *const names[] = {"quark", "compressed-tensors", "gpt-oss", "native", "buffers"};

    return (unsigned)form < MXQ_NUM_PACKED_FORMS ? names[form] : NULL;
}

const struct mxq_st_tensor *mxq_tensor_at(const struct mxq_checkpoint *checkpoint,
                                          const struct mxq_checkpoint_entry *entry)
{
    return &checkpoint->shards[entry->shard].header->tensors[entry->tensor];
}

/* ---------------------------------------------------------------------------------------------- names */

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct mxq_checkpoint_entry *)a)->name, ((const struct mxq_checkpoint_entry *)b)->name);
}

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text);

    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

/* The name with another ending, to be freed. */
static char *replace_end(const char *name, const char *end, const char *by)
{
    const size_t kept = strlen(name) - strlen(end);
    char *made = malloc(kept + strlen(by) + 1);

    if (made != NULL) {
        memcpy(made, name, kept);
        memcpy(made + kept, by, strlen(by) + 1);
    }
    return made;
}

static bool allocate(struct listing *l)
{
    const size_t total = l->checkpoint->nentries;

    l->states = calloc(total + 1, sizeof(*l->states));
    l->list->packed = calloc(total / 2 + 1, sizeof(*l->list->packed));
    l->list->plain = calloc(total + 1, sizeof(*l->list->plain));
    return l->states != NULL && l->list->packed != NULL && l->list->plain != NULL;
}

static void set_state(struct listing *l, const struct mxq_checkpoint_entry *entry, enum state state)
{
    l->states[entry - l->checkpoint->entries] = (uint8_t)state;
}

/* Two names of codes may lead to one name of scales: each tensor belongs to one pair, for which there is room. */
static bool is_paired(const struct listing *l, const struct mxq_checkpoint_entry *entry)
{
    return l->states[entry - l->checkpoint->entries] == STATE_PAIRED;
}

/* ---------------------------------------------------------------------------------------------- shapes */

/* A stored shape as slices of rows x columns. */
struct grid {
    uint64_t nslices;
    uint64_t rows;
    uint64_t cols;
};

/* Of the first rank dimensions: the last makes the columns, the one before it the rows, all others the slices. */
static struct grid make_grid(const struct mxq_st_tensor *tensor, unsigned rank)
{
    struct grid grid = {1, 1, 1};

    if (rank > 0)
        grid.cols = tensor->shape[rank - 1];
    if (rank > 1)
        grid.rows = tensor->shape[rank - 2];
    for (unsigned i = 0; i + 2 < rank; i++)
        grid.nslices *= tensor->shape[i];
    return grid;
}

static bool make_plan(struct mxq_packed *p, uint64_t rows, uint64_t nelems)
{
    struct mxq_options options;

    mxq_init_options(&options, NULL);
    options.wanted[MXQ_COLUMNWISE] = false;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        options.layout[b] = p->form == MXQ_PACKED_BUFFERS ? MXQ_AITER : MXQ_LINEAR;
    return mxq_make_plan(&p->plan, &options, rows, nelems) == MXQ_OK;
}

static bool fits_plan(const struct mxq_packed *p, const struct mxq_st_tensor *data, const struct mxq_st_tensor *scale)
{
    const struct mxq_extent *wanted = &p->plan.extent[MXQ_ROWWISE_SCALE];
    const struct grid grid = make_grid(scale, scale->rank);

    return data->nbytes == p->nslices * p->plan.extent[MXQ_ROWWISE_DATA].nbytes && grid.nslices == p->nslices &&
           grid.rows == wanted->rows && grid.cols == wanted->cols;
}

/* Whether the shapes of codes and scales belong together; then the plan is made. */
static bool fit_shapes(struct mxq_packed *p, const struct mxq_st_tensor *data, const struct mxq_st_tensor *scale)
{
    const bool blocks = p->form == MXQ_PACKED_GPT_OSS;
    struct grid grid = make_grid(data, blocks && data->rank != 0 ? data->rank - 1 : data->rank);

    if (data->rank < (blocks ? 3u : 2u) || data->nbytes == 0 || scale->rank != data->rank - blocks)
        return false;
    if (blocks && data->shape[data->rank - 1] != MXQ_UNIT_NBYTES)
        return false;
    grid.cols *= blocks ? MXQ_UNIT_NBYTES : 1;
    p->nslices = grid.nslices;
    return make_plan(p, grid.rows, data->dtype == MXQ_ST_F4 ? grid.cols : 2 * grid.cols) && fits_plan(p, data, scale);
}

/* ---------------------------------------------------------------------------------------------- pairs */

static bool holds_codes(const struct mxq_st_tensor *tensor)
{
    return tensor->dtype == MXQ_ST_U8 || tensor->dtype == MXQ_ST_I8 || tensor->dtype == MXQ_ST_F4;
}

static bool holds_scales(const struct mxq_st_tensor *tensor)
{
    return tensor->dtype == MXQ_ST_U8 || tensor->dtype == MXQ_ST_F8_E8M0;
}

static void note(struct listing *l, const struct mxq_checkpoint_entry *entry, const char *text)
{
    struct mxq_fault line;

    mxq_set_fault(&line, l->checkpoint->shards[entry->shard].name, 0, "tensor \"%.400s\" %s", entry->name, text);
    l->note(l->context, line.text);
    set_state(l, entry, STATE_NOTED);
}

static enum mxq_packed_form find_form(const struct spelling *spelling, const struct mxq_st_tensor *data,
                                      const struct mxq_st_tensor *scale)
{
    if (spelling->form == MXQ_PACKED_QUARK && (data->dtype != MXQ_ST_U8 || scale->dtype == MXQ_ST_F8_E8M0))
        return MXQ_PACKED_NATIVE;
    return spelling->form;
}

/* gpt-oss leaves .weight out where there was one, as matrices have. Of .weight and .scale, the weight is called .weight. */
static char *make_name(const struct mxq_packed *p, const struct spelling *spelling)
{
    const bool lost_weight = p->form == MXQ_PACKED_GPT_OSS && p->direction == MXQ_ROWWISE;

    return replace_end(p->data.name, spelling->telling ? spelling->data : "", lost_weight ? ".weight" : "");
}

/* Takes two tensors into the list when their shapes belong together. False: no memory. */
static bool take_pair(struct listing *l, const struct spelling *spelling, const struct mxq_checkpoint_entry *data,
                      const struct mxq_checkpoint_entry *scale)
{
    const struct mxq_st_tensor *data_tensor = mxq_tensor_at(l->checkpoint, data);
    const struct mxq_st_tensor *scale_tensor = mxq_tensor_at(l->checkpoint, scale);
    struct mxq_packed *p = &l->list->packed[l->list->npacked];

    p->form = find_form(spelling, data_tensor, scale_tensor);
    p->direction = spelling->direction;
    p->data = *data;
    p->scale = *scale;
    if (!fit_shapes(p, data_tensor, scale_tensor)) {
        note(l, scale, "does not have the shape of scales for the codes beside it");
        set_state(l, data, STATE_NOTED);
        return true;
    }
    if (p->form == MXQ_PACKED_GPT_OSS && data_tensor->rank == 3)
        p->direction = MXQ_ROWWISE;
    p->name = make_name(p, spelling);
    l->list->npacked += p->name != NULL;
    set_state(l, data, STATE_PAIRED);
    set_state(l, scale, STATE_PAIRED);
    return p->name != NULL;
}

/* The scales that one spelling gives these codes, or NULL. False: no memory. */
static bool find_scales(struct listing *l, const struct spelling *spelling, const struct mxq_checkpoint_entry *data,
                        const struct mxq_checkpoint_entry **scale)
{
    char *name;

    *scale = NULL;
    if (!ends_with(data->name, spelling->data))
        return true;
    name = replace_end(data->name, spelling->data, spelling->scale);
    if (name == NULL)
        return false;
    *scale = mxq_find_checkpoint_tensor(l->checkpoint, name);
    free(name);
    if (*scale != NULL &&
        (*scale == data || is_paired(l, *scale) || !holds_scales(mxq_tensor_at(l->checkpoint, *scale))))
        *scale = NULL;
    return true;
}

static bool is_telling(const struct mxq_st_tensor *tensor)
{
    if (tensor->dtype == MXQ_ST_F4)
        return true;
    for (size_t i = 0; i < NSPELLINGS; i++)
        if (spellings[i].telling && tensor->dtype == MXQ_ST_U8 && ends_with(tensor->name, spellings[i].data))
            return true;
    return false;
}

static bool pair_codes(struct listing *l, const struct mxq_checkpoint_entry *data)
{
    const struct mxq_st_tensor *tensor = mxq_tensor_at(l->checkpoint, data);
    const struct mxq_checkpoint_entry *scale;

    if (!holds_codes(tensor))
        return true;
    for (size_t i = 0; i < NSPELLINGS; i++) {
        if (!find_scales(l, &spellings[i], data, &scale))
            return false;
        if (scale != NULL)
            return take_pair(l, &spellings[i], data, scale);
    }
    if (is_telling(tensor))
        note(l, data, "looks like codes, and has no MXFP4 scales");
    return true;
}

static bool looks_like_scales(const char *name)
{
    for (size_t i = 0; i < NSPELLINGS; i++)
        if (ends_with(name, spellings[i].scale))
            return true;
    return false;
}

/* What is left when pairs are gone. */
static void list_plain(struct listing *l)
{
    for (size_t i = 0; i < l->checkpoint->nentries; i++) {
        const struct mxq_checkpoint_entry *entry = &l->checkpoint->entries[i];
        if (l->states[i] == STATE_PAIRED)
            continue;
        if (l->states[i] == STATE_PLAIN && holds_scales(mxq_tensor_at(l->checkpoint, entry)) &&
            looks_like_scales(entry->name))
            note(l, entry, "looks like scales, and has no codes");
        l->list->plain[l->list->nplain++] = *entry;
    }
}

static int compare_packed(const void *a, const void *b)
{
    const struct mxq_packed *x = a;
    const struct mxq_packed *y = b;
    const int order = strcmp(x->name, y->name);

    return order != 0 ? order : (int)x->direction - (int)y->direction;
}

static bool list_all(struct listing *l)
{
    if (!allocate(l))
        return false;
    for (size_t i = 0; i < l->checkpoint->nentries; i++)
        if (l->states[i] == STATE_PLAIN && !pair_codes(l, &l->checkpoint->entries[i]))
            return false;
    list_plain(l);
    qsort(l->list->packed, l->list->npacked, sizeof(*l->list->packed), compare_packed);
    return true;
}

bool mxq_list_packed(const struct mxq_checkpoint *checkpoint, struct mxq_packed_list *list, mxq_warn_func note_func,
                     void *context, struct mxq_fault *fault)
{
    struct listing l = {checkpoint, list, NULL, note_func, context};
    bool good;

    memset(list, 0, sizeof(*list));
    good = list_all(&l);
    if (!good) {
        mxq_set_fault(fault, checkpoint->folder, ENOMEM, "cannot list its tensors");
        mxq_free_packed_list(list);
    }
    free(l.states);
    return good;
}

void mxq_free_packed_list(struct mxq_packed_list *list)
{
    for (size_t i = 0; i < list->npacked; i++)
        free(list->packed[i].name);
    free(list->packed);
    free(list->plain);
    memset(list, 0, sizeof(*list));
}

const struct mxq_packed *mxq_find_packed(const struct mxq_packed_list *list, const char *name,
                                         enum mxq_direction direction)
{
    struct mxq_packed key;

    memset(&key, 0, sizeof(key));
    key.name = (char *)name;
    key.direction = direction;
    return list->npacked != 0 ? bsearch(&key, list->packed, list->npacked, sizeof(key), compare_packed) : NULL;
}

const struct mxq_checkpoint_entry *mxq_find_plain(const struct mxq_packed_list *list, const char *name)
{
    const struct mxq_checkpoint_entry key = {name, 0, 0};

    return list->nplain != 0 ? bsearch(&key, list->plain, list->nplain, sizeof(key), compare_entries) : NULL;
}

/* ---------------------------------------------------------------------------------------------- reading */

int *mxq_open_shards(const struct mxq_checkpoint *checkpoint, struct mxq_fault *fault)
{
    int *fds = calloc(checkpoint->nshards + 1, sizeof(*fds));

    if (fds == NULL) {
        mxq_set_fault(fault, checkpoint->folder, ENOMEM, "cannot open its shards");
        return NULL;
    }
    for (size_t i = 0; i < checkpoint->nshards; i++)
        fds[i] = -1;
    for (size_t i = 0; i < checkpoint->nshards; i++) {
        fds[i] = mxq_open_shard(checkpoint, i, fault);
        if (fds[i] < 0) {
            mxq_close_shards(checkpoint, fds);
            return NULL;
        }
    }
    return fds;
}

void mxq_close_shards(const struct mxq_checkpoint *checkpoint, int *fds)
{
    for (size_t i = 0; i < checkpoint->nshards && fds != NULL; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(fds);
}

bool mxq_read_tensor(const struct mxq_checkpoint *checkpoint, const int *fds, const struct mxq_checkpoint_entry *entry,
                     uint64_t offset, uint64_t nbytes, void *bytes, struct mxq_fault *fault)
{
    const uint64_t start = mxq_tensor_at(checkpoint, entry)->offset + offset;

    return mxq_pread_all(fds[entry->shard], bytes, nbytes, start, checkpoint->shards[entry->shard].name, fault);
}

bool mxq_read_packed_share(const struct mxq_checkpoint *checkpoint, const int *fds, const struct mxq_packed *packed,
                           uint64_t slice, enum mxq_buffer buffer, const struct mxq_share *share, uint8_t *bytes,
                           struct mxq_fault *fault)
{
    const struct mxq_checkpoint_entry *entry = buffer == MXQ_ROWWISE_DATA ? &packed->data : &packed->scale;
    const uint64_t start = slice * packed->plan.extent[buffer].nbytes + share->offset;

    for (uint64_t i = 0; i < share->nruns; i++)
        if (!mxq_read_tensor(checkpoint, fds, entry, start + i * share->pitch_nbytes, share->run_nbytes,
                             bytes + i * share->run_nbytes, fault))
            return false;
    return true;
}
