/* cmd_convert.c - mxfp4q convert: the same codes and scales in another layout, without quantizing again */
#include "cli/main.h"
#include "cli/msg.h"
#include "cli/progress.h"
#include "cli/readback.h"
#include "cli/tiling.h"
#include "cli/words.h"
#include "io/ggml.h"
#include "io/manifest.h"
#include "io/outfile.h"
#include "io/result.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_NBYTES 4096

enum {
    OPT_DIRECTION = 256,
    OPT_LAYOUT,
    OPT_SHUFFLE,
    OPT_PAD_FILL,
    OPT_NIBBLES,
    OPT_TO,
    OPT_FROM,
    OPT_FORMAT,
    OPT_GZIP,
    OPT_NO_FSYNC,
};

static const struct mxq_option options[] = {
    {0, NULL, NULL, "Output"},
    {'o', "output", "OUT", "prefix of the outputs"},
    {'f', "force", NULL, "replace existing outputs"},
    {OPT_FORMAT, "format", "FORMAT", "npy, raw or npz [npy]"},
    {OPT_GZIP, "gzip", NULL, "compress the outputs"},
    {OPT_NO_FSYNC, "no-fsync", NULL, "do not wait until the outputs are on the disk"},
    {OPT_TO, "to", "FORMAT", "ggml: one file of ggml's blocks, OUT.ggml"},
    {0, NULL, NULL, "Layout"},
    {OPT_DIRECTION, "direction", "DIRECTION", "rowwise, columnwise or both [all there is; with --to ggml: rowwise]"},
    {OPT_LAYOUT, "layout", "LAYOUT", "of all buffers: aiter (shuffled) or linear [as it is]"},
    {OPT_SHUFFLE, "shuffle", "LIST", "exactly these buffers are shuffled: names with commas, all, none"},
    {OPT_PAD_FILL, "pad-fill", "N", "scale byte in padding, 0 to 255 [the manifest's]"},
    {OPT_NIBBLES, "nibbles", "ORDER", "the even value is in the low or in the high nibble [low]"},
    {0, NULL, NULL, "The result"},
    {OPT_FROM, "from", "FORMAT", "ggml: RESULT is a file of ggml's blocks; needs --shape"},
    MXQ_READBACK_OPTIONS,
    {0, NULL, NULL, "Messages"},
    {'q', "quiet", NULL, "no warnings, no progress"},
    {'h', "help", NULL, "print this help"},
    {0, NULL, NULL, NULL},
};

struct request {
    struct mxq_readback_request readback;
    struct mxq_outset_options outset;
    struct mxq_result_options result;
    const char *output;
    const char *layout;
    const char *shuffle;
    bool both; /* --direction both */
    bool has_pad_fill;
    uint64_t pad_fill;
    bool high_first;
    bool to_ggml;
    bool from_ggml;
    bool help;
};

/* The work, and what has to be undone when it fails. */
struct session {
    const struct request *request;
    const char *path;
    struct mxq_readback readback; /* not with --from ggml */
    struct mxq_source *blocks;    /* with it */
    struct mxq_plan from;
    struct mxq_plan to;
    bool present[MXQ_NUM_BUFFERS]; /* in the output */
    struct mxq_outset *outset;
    struct mxq_result *result; /* not with --to ggml */
    int fd;                    /* with it: the file, */
    char file[PATH_NBYTES];    /* and its name */
    uint8_t *units[MXQ_NUM_BUFFERS];
    uint8_t *room; /* for a share, or for blocks */
    uint64_t nlost;
    uint64_t nnan; /* scale bytes that ggml refuses */
    struct mxq_fault fault;
};

/* ---------------------------------------------------------------------------------------------- options */

static const char *blocks_word(unsigned value)
{
    static const char *const words[] = {"ggml", NULL};

    return words[value];
}

static bool parse_layout_option(struct request *r, int opt, const char *value)
{
    unsigned word;

    switch (opt) {
    case OPT_DIRECTION:
        if (!mxq_parse_word("--direction", value, mxq_directions_word, &word))
            return false;
        r->both = word == MXQ_NUM_DIRECTIONS;
        r->readback.direction = r->both ? -1 : (int)word;
        return true;
    case OPT_LAYOUT:
        r->layout = value;
        return true;
    case OPT_SHUFFLE:
        r->shuffle = value;
        return true;
    case OPT_PAD_FILL:
        return r->has_pad_fill = mxq_parse_u64("--pad-fill", value, 255, &r->pad_fill);
    default: /* OPT_NIBBLES */
        if (!mxq_parse_word("--nibbles", value, mxq_nibbles_word, &word))
            return false;
        r->high_first = word == 1;
        return true;
    }
}

static bool parse_option(struct request *r, int opt, const char *value)
{
    unsigned word;

    switch (opt) {
    case 'o':
        r->output = value;
        return true;
    case 'f':
        return r->outset.force = true;
    case 'q':
        mxq_set_verbosity(MXQ_QUIET);
        mxq_set_progress_mode(MXQ_PROGRESS_NEVER);
        return true;
    case 'h':
        return r->help = true;
    case OPT_NO_FSYNC:
        return r->outset.no_fsync = true;
    case OPT_GZIP:
        return r->result.gzip = true;
    case OPT_TO:
        return r->to_ggml = mxq_parse_word("--to", value, blocks_word, &word);
    case OPT_FROM:
        return r->from_ggml = mxq_parse_word("--from", value, blocks_word, &word);
    case OPT_FORMAT:
        if (!mxq_parse_word("--format", value, mxq_format_word, &word))
            return false;
        r->result.format = word;
        return true;
    case OPT_DIRECTION:
    case OPT_LAYOUT:
    case OPT_SHUFFLE:
    case OPT_PAD_FILL:
    case OPT_NIBBLES:
        return parse_layout_option(r, opt, value);
    default:
        return mxq_is_readback_option(opt) && mxq_parse_readback_option(&r->readback, opt, value);
    }
}

/* What a stream of blocks has no choice of. */
static bool check_ggml(const struct request *r)
{
    if (r->to_ggml && (r->layout != NULL || r->shuffle != NULL || r->has_pad_fill || r->high_first ||
                       r->result.format != MXQ_FORMAT_NPY || r->result.gzip))
        mxq_print_error("convert: --to ggml has a layout and a format of its own");
    else if (r->to_ggml && r->both)
        mxq_print_error("convert: --to ggml takes one direction");
    else if (r->from_ggml && r->both)
        mxq_print_error("convert: --from ggml has one direction");
    else if (r->from_ggml && (r->readback.has_layout || r->readback.spec.source.raw))
        mxq_print_error("convert: --from ggml has a layout and a format of its own");
    else if (r->from_ggml && !r->readback.spec.has_matrix)
        mxq_print_error("convert: --from ggml needs --shape");
    else
        return true;
    return false;
}

static bool check_request(const struct request *r, int noperands)
{
    if (noperands != 1)
        mxq_print_error("convert: %s result (see mxfp4q convert --help)", noperands == 0 ? "no" : "more than one");
    else if (r->output == NULL || r->output[0] == '\0')
        mxq_print_error("convert: no output: give a prefix with -o");
    else if (strcmp(r->output, "-") == 0 || r->output[strlen(r->output) - 1] == '/')
        mxq_print_error("convert: \"%s\" is no prefix of files", r->output);
    else
        return check_ggml(r);
    return false;
}

/* ---------------------------------------------------------------------------------------------- the new layout */

static bool parse_shuffle(const char *text, enum mxq_layout layout[MXQ_NUM_BUFFERS])
{
    char list[256];
    char *rest = NULL;
    unsigned buffer;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        layout[b] = strcmp(text, "all") == 0 ? MXQ_AITER : MXQ_LINEAR;
    if (strcmp(text, "all") == 0 || strcmp(text, "none") == 0)
        return true;
    if (snprintf(list, sizeof(list), "%s", text) >= (int)sizeof(list)) {
        mxq_print_error("--shuffle: \"%s\" is too long", text);
        return false;
    }
    for (const char *word = strtok_r(list, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        if (!mxq_parse_word("--shuffle", word, mxq_buffer_word, &buffer))
            return false;
        layout[buffer] = MXQ_AITER;
    }
    return true;
}

/* layout comes with what it is now. The words have been printed when they are wrong. */
static bool choose_layout(const struct request *r, enum mxq_layout layout[MXQ_NUM_BUFFERS])
{
    unsigned word;

    if (r->layout != NULL) {
        if (!mxq_parse_word("--layout", r->layout, mxq_layout_word, &word))
            return false;
        for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
            layout[b] = word;
    }
    return r->shuffle == NULL || parse_shuffle(r->shuffle, layout);
}

static bool is_wanted(const struct session *s, enum mxq_direction d)
{
    return s->to.options.wanted[d];
}

static enum mxq_buffer data_of(enum mxq_direction d)
{
    return d == MXQ_ROWWISE ? MXQ_ROWWISE_DATA : MXQ_COLUMNWISE_DATA;
}

static enum mxq_buffer scale_of(enum mxq_direction d)
{
    return d == MXQ_ROWWISE ? MXQ_ROWWISE_SCALE : MXQ_COLUMNWISE_SCALE;
}

/* The plan of the output; wanted has been chosen. */
static bool make_plan(struct session *s, const bool wanted[MXQ_NUM_DIRECTIONS])
{
    struct mxq_options new_options = s->from.options;
    enum mxq_status status;

    memcpy(new_options.wanted, wanted, sizeof(new_options.wanted));
    if (s->request->has_pad_fill)
        new_options.pad_fill = (uint8_t)s->request->pad_fill;
    if (!choose_layout(s->request, new_options.layout))
        return false;
    status = mxq_make_plan(&s->to, &new_options, s->from.rows, s->from.cols);
    if (status != MXQ_OK)
        mxq_set_fault(&s->fault, s->path, 0, "%s", mxq_describe_status(status));
    return status == MXQ_OK;
}

/* ---------------------------------------------------------------------------------------------- the input */

/* One direction for ggml; otherwise the one that was asked for, or all. */
static bool choose_directions(struct session *s, bool wanted[MXQ_NUM_DIRECTIONS])
{
    const struct request *r = s->request;
    enum mxq_direction direction;

    if (r->to_ggml) {
        if (!mxq_choose_direction(&s->readback, r->readback.direction, s->path, &direction, &s->fault))
            return false;
        wanted[direction] = true;
        return true;
    }
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        const bool asked = r->both || r->readback.direction == (int)d;
        if (asked && !mxq_check_direction(&s->readback, d, s->path, &s->fault))
            return false;
        wanted[d] = asked || (r->readback.direction < 0 && mxq_readback_has(&s->readback, d));
    }
    return true;
}

/* A result has all buffers of its directions, or is one buffer alone. */
static bool choose_buffers(struct session *s)
{
    const struct mxq_stored *stored = s->readback.stored;
    unsigned npresent = 0;
    unsigned nwanted = 0;

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        if (!is_wanted(s, d))
            continue;
        s->present[data_of(d)] = stored->present[data_of(d)];
        s->present[scale_of(d)] = stored->present[scale_of(d)];
        npresent += (unsigned)stored->present[data_of(d)] + (unsigned)stored->present[scale_of(d)];
        nwanted += 2;
    }
    if (npresent == nwanted || npresent == 1)
        return true;
    mxq_set_fault(&s->fault, s->path, 0, "has data without scales, or scales without data");
    return false;
}

static bool open_result(struct session *s, struct mxq_readback_request *request)
{
    bool wanted[MXQ_NUM_DIRECTIONS] = {false, false};

    if (!mxq_open_readback(request, s->path, &s->readback, &s->fault))
        return false;
    s->from = s->readback.stored->plan;
    return choose_directions(s, wanted) && make_plan(s, wanted) && choose_buffers(s);
}

static bool plan_blocks(struct session *s)
{
    const struct mxq_readback_request *request = &s->request->readback;
    const enum mxq_direction d = request->direction == MXQ_COLUMNWISE ? MXQ_COLUMNWISE : MXQ_ROWWISE;
    const uint64_t length = d == MXQ_ROWWISE ? request->spec.cols : request->spec.rows;
    const struct mxq_profile *profile = mxq_find_profile("ggml");
    struct mxq_options plain;
    bool wanted[MXQ_NUM_DIRECTIONS] = {d == MXQ_ROWWISE, d == MXQ_COLUMNWISE};

    mxq_init_options(&plain, profile);
    memcpy(plain.wanted, wanted, sizeof(wanted));
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        plain.layout[b] = MXQ_LINEAR;
    if (length % MXQ_BLOCK_NELEMS != 0) {
        mxq_set_fault(&s->fault, s->path, 0, "ggml's rows are whole blocks, and %" PRIu64 " is not a multiple of 32",
                      length);
        return false;
    }
    if (mxq_make_plan(&s->from, &plain, request->spec.rows, request->spec.cols) != MXQ_OK) {
        mxq_set_fault(&s->fault, s->path, 0, "too large");
        return false;
    }
    s->present[data_of(d)] = s->present[scale_of(d)] = true;
    return make_plan(s, wanted);
}

/* A stream of blocks is a matrix of bytes. */
static bool open_blocks(struct session *s)
{
    const enum mxq_direction d = s->request->readback.direction == MXQ_COLUMNWISE ? MXQ_COLUMNWISE : MXQ_ROWWISE;
    struct mxq_source_options source = {.bytes = true, .raw = true, .plain = true, .rank = 2, .warn = mxq_warn_user};
    const struct mxq_extent *extent = &s->from.extent[scale_of(d)];
    const struct mxq_tensor *tensor;

    if (!plan_blocks(s))
        return false;
    source.shape[0] = extent->valid_rows;
    if (__builtin_mul_overflow(extent->valid_cols, (uint64_t)MXQ_GGML_BLOCK_NBYTES, &source.shape[1])) {
        mxq_set_fault(&s->fault, s->path, 0, "too large");
        return false;
    }
    return mxq_open_source(&source, s->path, &s->blocks, &s->fault) &&
           mxq_next_tensor(s->blocks, &tensor, &s->fault) == 1 && mxq_spool_tensor(s->blocks, NULL, &s->fault);
}

/* ---------------------------------------------------------------------------------------------- the output */

static bool check_not_input(struct session *s, const char *path)
{
    uint64_t device, inode;
    bool same;

    if (s->request->from_ggml)
        same = mxq_source_is_file(s->blocks, &device, &inode) && mxq_path_is_file(path, device, inode);
    else
        same = mxq_stored_has_file(s->readback.stored, path);
    if (same)
        mxq_set_fault(&s->fault, path, 0, "is what is converted");
    return !same;
}

/* Both things that ggml's file cannot say. */
static void warn_of_ggml(const struct session *s)
{
    if (s->from.options.recipe.hadamard_nelems != 0)
        mxq_print_warning("\"%s\": made with a Hadamard transform, which a ggml file cannot say", s->path);
    if (s->nnan != 0)
        mxq_print_warning("\"%s\": %" PRIu64 " scale bytes are 255, NaN, which ggml's checks refuse", s->path, s->nnan);
}

static bool begin_ggml(struct session *s)
{
    const enum mxq_direction d = is_wanted(s, MXQ_ROWWISE) ? MXQ_ROWWISE : MXQ_COLUMNWISE;
    const uint64_t length = d == MXQ_ROWWISE ? s->to.cols : s->to.rows;
    uint64_t nbytes;

    if (length % MXQ_BLOCK_NELEMS != 0) {
        mxq_set_fault(&s->fault, s->path, 0, "ggml's rows are whole blocks, and %" PRIu64 " is not a multiple of 32",
                      length);
        return false;
    }
    if (__builtin_mul_overflow(s->from.extent[scale_of(d)].valid_rows * s->from.extent[scale_of(d)].valid_cols,
                               (uint64_t)MXQ_GGML_BLOCK_NBYTES, &nbytes) ||
        snprintf(s->file, sizeof(s->file), "%s.ggml", s->request->output) >= (int)sizeof(s->file)) {
        mxq_set_fault(&s->fault, s->path, 0, "too large");
        return false;
    }
    s->fd = mxq_add_outfile(s->outset, s->file, &s->fault);
    return s->fd >= 0 && check_not_input(s, s->file) && mxq_reserve_space(s->fd, nbytes, s->file, &s->fault);
}

static bool begin_result(struct session *s)
{
    struct mxq_result_options result = s->request->result;
    unsigned npresent = 0;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        npresent += s->present[b];
        if (s->present[b])
            result.only = (int)b;
    }
    if (npresent != 1)
        result.only = -1;
    if (!mxq_begin_result(&result, &s->to, s->request->output, s->outset, &s->result, &s->fault))
        return false;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        if (s->present[b] && !check_not_input(s, mxq_get_result_buffer(s->result, b)->path))
            return false;
    return true;
}

static const char *last_component(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* How it was made stays; where the bytes are is new. */
static void fill_manifest(const struct session *s, struct mxq_manifest *m)
{
    *m = s->readback.stored->manifest;
    m->tool_version = MXQ_VERSION;
    m->pad_fill = s->to.options.pad_fill;
    m->format = s->request->result.format;
    m->gzip = s->request->result.gzip;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        const struct mxq_result_buffer *buffer = mxq_get_result_buffer(s->result, b);
        m->buffer[b].present = s->present[b];
        if (!s->present[b])
            continue;
        m->buffer[b].file = last_component(buffer->path);
        m->buffer[b].member = buffer->member;
        m->buffer[b].layout = s->to.options.layout[b];
        m->buffer[b].high_first = s->request->high_first && (b == MXQ_ROWWISE_DATA || b == MXQ_COLUMNWISE_DATA);
        m->buffer[b].extent = s->to.extent[b];
        m->buffer[b].crc = buffer->crc;
    }
}

/* Nothing is known of buffers without a manifest, so that one for the output would have to invent it. */
static bool write_manifest(struct session *s, int fd, const char *path)
{
    struct mxq_manifest manifest;
    char *text;
    bool good;

    fill_manifest(s, &manifest);
    text = mxq_format_manifest(&manifest);
    good = text != NULL;
    if (!good)
        mxq_set_fault(&s->fault, path, ENOMEM, "cannot write");
    good = good && mxq_write_all(fd, text, strlen(text), path, &s->fault);
    free(text);
    return good;
}

/* ---------------------------------------------------------------------------------------------- panels */

/* Units of both buffers of the direction, as many as are there, into s->units. */
static bool load_panel(struct session *s, const struct mxq_panel *panel, enum mxq_direction d)
{
    if (!mxq_read_direction(&s->readback, panel, d, &s->fault))
        return false;
    for (unsigned b = data_of(d); b <= scale_of(d); b++) {
        if (!s->present[b])
            continue;
        if (mxq_load_units(&s->from, panel, b, &s->readback.origin[b], s->units[b]) != MXQ_OK) {
            mxq_set_fault(&s->fault, NULL, 0, "bug: a panel was refused");
            return false;
        }
    }
    return true;
}

/* The blocks of a panel, in the logical rows and blocks of the direction, as a rectangle of bytes. */
static struct mxq_panel find_blocks(const struct mxq_panel *panel, enum mxq_direction d)
{
    const struct mxq_panel logical = {panel->row0, panel->col0 / MXQ_BLOCK_NELEMS * MXQ_GGML_BLOCK_NBYTES, panel->rows,
                                      panel->cols / MXQ_BLOCK_NELEMS * MXQ_GGML_BLOCK_NBYTES};
    const struct mxq_panel transposed = {panel->col0, panel->row0 / MXQ_BLOCK_NELEMS * MXQ_GGML_BLOCK_NBYTES,
                                         panel->cols, panel->rows / MXQ_BLOCK_NELEMS * MXQ_GGML_BLOCK_NBYTES};

    return d == MXQ_ROWWISE ? logical : transposed;
}

static uint64_t row_of_blocks_nbytes(const struct session *s, enum mxq_direction d)
{
    return s->from.extent[scale_of(d)].valid_cols * MXQ_GGML_BLOCK_NBYTES;
}

static bool load_blocks(struct session *s, const struct mxq_panel *panel, enum mxq_direction d)
{
    const struct mxq_panel rectangle = find_blocks(panel, d);

    if (!mxq_read_panel(s->blocks, row_of_blocks_nbytes(s, d), &rectangle, s->room, NULL, &s->fault))
        return false;
    mxq_unpack_ggml(s->room, rectangle.rows * rectangle.cols / MXQ_GGML_BLOCK_NBYTES, s->units[data_of(d)],
                    s->units[scale_of(d)]);
    return true;
}

static bool store_blocks(struct session *s, const struct mxq_panel *panel, enum mxq_direction d)
{
    const struct mxq_panel rectangle = find_blocks(panel, d);
    const uint64_t nblocks = rectangle.rows * rectangle.cols / MXQ_GGML_BLOCK_NBYTES;
    const uint64_t pitch = row_of_blocks_nbytes(s, d);

    mxq_pack_ggml(s->units[data_of(d)], s->units[scale_of(d)], nblocks, s->room);
    for (uint64_t n = 0; n < nblocks; n++)
        s->nnan += s->units[scale_of(d)][n] == 255;
    for (uint64_t row = 0; row < rectangle.rows; row++)
        if (!mxq_pwrite_all(s->fd, s->room + row * rectangle.cols, rectangle.cols,
                            (rectangle.row0 + row) * pitch + rectangle.col0, s->file, &s->fault))
            return false;
    return true;
}

static void swap_nibbles(uint8_t *bytes, uint64_t nbytes)
{
    for (uint64_t i = 0; i < nbytes; i++)
        bytes[i] = (uint8_t)(bytes[i] << 4 | bytes[i] >> 4);
}

static bool store_buffer(struct session *s, const struct mxq_panel *panel, enum mxq_buffer b, bool swap)
{
    struct mxq_destination out = {s->room, 0};
    struct mxq_share share;

    mxq_locate_share(&s->to, panel, b, &share);
    out.pitch_nbytes = share.run_nbytes;
    if (mxq_store_units(&s->to, panel, b, s->units[b], &out, &s->nlost) != MXQ_OK) {
        mxq_set_fault(&s->fault, NULL, 0, "bug: a panel was refused");
        return false;
    }
    if (s->nlost != 0) {
        mxq_set_fault(
            &s->fault, s->path, 0,
            "there are codes past the ends of rows, as of a Hadamard transform, for which linear rows have no "
            "room");
        return false;
    }
    if (swap)
        swap_nibbles(s->room, share.nruns * share.run_nbytes);
    return mxq_write_share(s->result, b, &share, s->room, &s->fault);
}

static bool convert_panel(struct session *s, const struct mxq_panel *panel, enum mxq_direction d)
{
    if (!(s->request->from_ggml ? load_blocks(s, panel, d) : load_panel(s, panel, d)))
        return false;
    if (s->request->to_ggml)
        return store_blocks(s, panel, d);
    return (!s->present[data_of(d)] || store_buffer(s, panel, data_of(d), s->request->high_first)) &&
           (!s->present[scale_of(d)] || store_buffer(s, panel, scale_of(d), false));
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* For the largest panel, which is the first. */
static bool allocate(struct session *s, const struct mxq_panel *panel, enum mxq_direction d)
{
    const uint64_t nrows = d == MXQ_ROWWISE ? panel->rows : panel->cols;
    const uint64_t nblocks = nrows * mxq_count_units(panel, data_of(d));
    uint64_t nbytes = nblocks * MXQ_GGML_BLOCK_NBYTES;

    for (unsigned b = data_of(d); b <= scale_of(d); b++) {
        struct mxq_share share;
        mxq_locate_share(&s->to, panel, b, &share);
        nbytes = larger(nbytes, share.nruns * share.run_nbytes);
    }
    free(s->room);
    s->room = malloc(nbytes);
    s->units[data_of(d)] = malloc(nblocks * MXQ_UNIT_NBYTES);
    s->units[scale_of(d)] = malloc(nblocks);
    if (s->room != NULL && s->units[data_of(d)] != NULL && s->units[scale_of(d)] != NULL)
        return true;
    mxq_set_fault(&s->fault, s->path, ENOMEM, "cannot convert");
    return false;
}

/* Panels are whole rows of the direction, because that is how it is stored on both sides. */
static bool convert_direction(struct session *s, enum mxq_direction d)
{
    struct mxq_tiling tiling;
    bool good = true;

    mxq_tile_rows(&tiling, d == MXQ_ROWWISE ? s->to.rows : s->to.cols, d == MXQ_ROWWISE ? s->to.cols : s->to.rows);
    mxq_start_progress(s->path, s->to.extent[data_of(d)].nbytes);
    for (uint64_t i = 0; i < tiling.ntiles && good; i++) {
        const struct mxq_panel tile = mxq_get_tile(&tiling, i);
        const struct mxq_panel transposed = {tile.col0, tile.row0, tile.cols, tile.rows};
        const struct mxq_panel *panel = d == MXQ_ROWWISE ? &tile : &transposed;
        good = (i != 0 || allocate(s, panel, d)) && convert_panel(s, panel, d);
        mxq_update_progress(s->to.extent[data_of(d)].nbytes / tiling.ntiles * (i + 1));
    }
    mxq_end_progress();
    return good;
}

/* ---------------------------------------------------------------------------------------------- the work */

static bool convert_panels(struct session *s)
{
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        if (is_wanted(s, d) && !convert_direction(s, d))
            return false;
    if (s->request->from_ggml)
        return mxq_finish_tensor(s->blocks, &s->fault);
    return mxq_finish_stored(s->readback.stored, &s->fault);
}

static bool convert_to_ggml(struct session *s)
{
    if (!begin_ggml(s) || !convert_panels(s))
        return false;
    warn_of_ggml(s);
    return mxq_commit_outset(s->outset, &s->fault);
}

static bool convert_to_result(struct session *s)
{
    const bool has_manifest = !s->request->from_ggml && s->readback.stored->has_manifest;
    char path[PATH_NBYTES];
    int fd = -1;

    if (snprintf(path, sizeof(path), "%s.json", s->request->output) >= (int)sizeof(path)) {
        mxq_set_fault(&s->fault, NULL, ENAMETOOLONG, "cannot write the manifest");
        return false;
    }
    if (!begin_result(s))
        return false;
    if (has_manifest && ((fd = mxq_add_outfile(s->outset, path, &s->fault)) < 0 || !check_not_input(s, path)))
        return false;
    if (!convert_panels(s) || !mxq_finish_result(s->result, &s->fault))
        return false;
    if (has_manifest && !write_manifest(s, fd, path))
        return false;
    if (!has_manifest)
        mxq_print_warning("\"%s\": no manifest is written, because nothing says how the codes were made", s->path);
    return mxq_commit_outset(s->outset, &s->fault);
}

static bool convert(struct session *s, struct mxq_readback_request *request)
{
    if (!(s->request->from_ggml ? open_blocks(s) : open_result(s, request)))
        return false;
    s->outset = mxq_create_outset(&s->request->outset);
    if (s->outset == NULL) {
        mxq_set_fault(&s->fault, s->path, ENOMEM, "cannot convert");
        return false;
    }
    return s->request->to_ggml ? convert_to_ggml(s) : convert_to_result(s);
}

static bool run_session(struct request *r, const char *path)
{
    struct session s;
    bool good;

    memset(&s, 0, sizeof(s));
    s.request = r;
    s.path = path;
    s.fd = -1;
    good = convert(&s, &r->readback);
    mxq_free_result(s.result);
    mxq_discard_outset(s.outset);
    mxq_close_readback(&s.readback);
    mxq_close_source(s.blocks);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        free(s.units[b]);
    free(s.room);
    if (!good && s.fault.text[0] != '\0')
        mxq_print_error("%s", s.fault.text);
    return good;
}

static int run(int argc, char *argv[])
{
    struct request r;
    const char *value;
    int opt;

    memset(&r, 0, sizeof(r));
    mxq_init_readback_request(&r.readback);
    while ((opt = mxq_next_option(&mxq_cmd_convert, argc, argv, &value)) != -1)
        if (!parse_option(&r, opt, value))
            return MXQ_EXIT_TROUBLE;
    if (r.help) {
        mxq_print_help(&mxq_cmd_convert);
        return MXQ_EXIT_OK;
    }
    if (!check_request(&r, argc - optind) || !run_session(&r, argv[optind]))
        return MXQ_EXIT_TROUBLE;
    return MXQ_EXIT_OK;
}

const struct mxq_command mxq_cmd_convert = {
    .name = "convert",
    .summary = "lay a result out in another way, without quantizing again",
    .synopsis = "[OPTION]... RESULT -o OUT",
    .options = options,
    .run = run,
};
