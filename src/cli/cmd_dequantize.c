/* cmd_dequantize.c - mxfp4q dequantize: a result back into floats */
#include "cli/main.h"
#include "cli/msg.h"
#include "cli/progress.h"
#include "cli/readback.h"
#include "cli/tiling.h"
#include "cli/words.h"
#include "io/outfile.h"
#include "io/writers.h"

#include <endian.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OPT_DIRECTION = 256,
    OPT_DTYPE,
    OPT_FORMAT,
    OPT_INVERSE_HADAMARD,
    OPT_NO_FSYNC,
};

static const struct mxq_option options[] = {
    {0, NULL, NULL, "Output"},
    {'o', "output", "FILE", "the file to write; - for standard output"},
    {'f', "force", NULL, "replace an existing file"},
    {OPT_FORMAT, "format", "FORMAT", "npy or raw [npy]"},
    {OPT_DTYPE, "dtype", "DTYPE", "f32 or bf16, of the values [f32]"},
    {OPT_NO_FSYNC, "no-fsync", NULL, "do not wait until the output is on the disk"},
    {0, NULL, NULL, "What is decoded"},
    {OPT_DIRECTION, "direction", "DIRECTION", "rowwise or columnwise [rowwise, when it is there]"},
    {OPT_INVERSE_HADAMARD, "inverse-hadamard", NULL, "undo the Hadamard transform of the recipe"},
    {0, NULL, NULL, "The result"},
    MXQ_READBACK_OPTIONS,
    {0, NULL, NULL, "Messages"},
    {'q', "quiet", NULL, "no warnings, no progress"},
    {'h', "help", NULL, "print this help"},
    {0, NULL, NULL, NULL},
};

struct request {
    struct mxq_readback_request readback;
    struct mxq_outset_options outset;
    const char *output;
    bool to_stdout;
    bool raw;
    bool bf16;
    bool inverse_hadamard;
    bool help;
};

/* The work, and what has to be undone when it fails. */
struct session {
    const struct request *request;
    const char *path;
    struct mxq_readback readback;
    enum mxq_direction direction;
    struct mxq_outset *outset;
    const char *place; /* what faults call fd */
    int fd;
    uint64_t base; /* where the values start in fd */
    float *values;
    struct mxq_fault fault;
};

/* ---------------------------------------------------------------------------------------------- options */

static const char *dtype_word(unsigned value)
{
    static const char *const words[] = {"f32", "bf16", NULL};

    return words[value];
}

static const char *format_word(unsigned value)
{
    static const char *const words[] = {"npy", "raw", NULL};

    return words[value];
}

static bool parse_word(const char *option, const char *value, mxq_name_func name, bool *is_second)
{
    unsigned word;

    if (!mxq_parse_word(option, value, name, &word))
        return false;
    *is_second = word == 1;
    return true;
}

static bool parse_option(struct request *r, int opt, const char *value)
{
    bool columnwise;

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
    case OPT_INVERSE_HADAMARD:
        return r->inverse_hadamard = true;
    case OPT_DTYPE:
        return parse_word("--dtype", value, dtype_word, &r->bf16);
    case OPT_FORMAT:
        return parse_word("--format", value, format_word, &r->raw);
    case OPT_DIRECTION:
        if (!parse_word("--direction", value, mxq_direction_word, &columnwise))
            return false;
        r->readback.direction = columnwise ? MXQ_COLUMNWISE : MXQ_ROWWISE;
        return true;
    default:
        return mxq_is_readback_option(opt) && mxq_parse_readback_option(&r->readback, opt, value);
    }
}

static bool check_request(struct request *r, int noperands)
{
    if (noperands != 1) {
        mxq_print_error("dequantize: %s result (see mxfp4q dequantize --help)",
                        noperands == 0 ? "no" : "more than one");
        return false;
    }
    if (r->output == NULL || r->output[0] == '\0') {
        mxq_print_error("dequantize: no output: give a file with -o");
        return false;
    }
    r->to_stdout = strcmp(r->output, "-") == 0;
    if (r->to_stdout && isatty(STDOUT_FILENO) && !r->outset.force) {
        mxq_print_error("dequantize: standard output is a terminal; -f writes to it all the same");
        return false;
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------- the transform */

/* Of the last values of a row, a linear row may hold fewer codes than undoing the transform takes. */
static bool check_room(struct session *s)
{
    const struct mxq_plan *plan = &s->readback.stored->plan;
    const enum mxq_buffer data = s->direction == MXQ_ROWWISE ? MXQ_ROWWISE_DATA : MXQ_COLUMNWISE_DATA;
    const unsigned npoints = plan->options.recipe.hadamard_nelems;
    const uint64_t tail = (s->direction == MXQ_ROWWISE ? plan->cols : plan->rows) % npoints;

    /* 15 values take 8 bytes, which have room for 16. */
    if (plan->options.layout[data] == MXQ_AITER || tail == 0 || tail + 1 == npoints)
        return true;
    mxq_set_fault(&s->fault, s->path, 0,
                  "the transform cannot be undone: of the last %u values of a row, a linear row has not all %u codes",
                  (unsigned)tail, npoints);
    return false;
}

static bool check_hadamard(struct session *s)
{
    const struct mxq_stored *stored = s->readback.stored;

    if (stored->plan.options.recipe.hadamard_nelems != 0 && !s->request->inverse_hadamard)
        mxq_print_warning("\"%s\": made with a Hadamard transform: these are the transformed values "
                          "(--inverse-hadamard undoes it)",
                          s->path);
    if (!s->request->inverse_hadamard)
        return true;
    if (stored->plan.options.recipe.hadamard_nelems != 0)
        return check_room(s);
    mxq_set_fault(&s->fault, s->path, 0, "%s",
                  stored->has_manifest ? "was not made with a Hadamard transform"
                                       : "no manifest says how it was transformed");
    return false;
}

/* ---------------------------------------------------------------------------------------------- the output */

static bool begin_output(struct session *s)
{
    const struct request *r = s->request;

    if (r->to_stdout) {
        s->place = mxq_spool_folder(NULL);
        s->fd = mxq_open_spool(NULL, &s->fault);
        return s->fd >= 0;
    }
    if (mxq_stored_has_file(s->readback.stored, r->output)) {
        mxq_set_fault(&s->fault, r->output, 0, "is a part of the result itself");
        return false;
    }
    s->place = r->output;
    s->outset = mxq_create_outset(&r->outset);
    if (s->outset == NULL)
        mxq_set_fault(&s->fault, r->output, ENOMEM, "cannot write");
    else
        s->fd = mxq_add_outfile(s->outset, r->output, &s->fault);
    return s->fd >= 0;
}

static bool write_header(struct session *s)
{
    const struct mxq_stored *stored = s->readback.stored;
    const struct mxq_tensor *tensor = &stored->manifest.tensor;
    const uint64_t elem_nbytes = s->request->bf16 ? 2 : 4;
    uint8_t header[MXQ_NPY_TENSOR_HEADER_NBYTES];
    uint64_t nbytes;

    if (!s->request->raw)
        s->base = mxq_make_npy_tensor_header(header, s->request->bf16 ? "<V2" : "<f4", tensor->rank, tensor->shape);
    if (__builtin_mul_overflow(stored->plan.rows, stored->plan.cols, &nbytes) ||
        __builtin_mul_overflow(nbytes, elem_nbytes, &nbytes) || nbytes > INT64_MAX - s->base) {
        mxq_set_fault(&s->fault, s->place, EFBIG, "cannot write");
        return false;
    }
    return mxq_reserve_space(s->fd, s->base + nbytes, s->place, &s->fault) &&
           mxq_pwrite_all(s->fd, header, s->base, 0, s->place, &s->fault);
}

/* The upper half of an FP32, rounded to nearest, ties to even. A decoded value has at most 8 significant bits, so that is
 * exact; what a transform of more than 16 points is undone to may have more. */
static uint16_t narrow(uint32_t word)
{
    if ((word & 0x7fffffff) > 0x7f800000) /* the one NaN there is */
        return (uint16_t)(word >> 16);
    return (uint16_t)((word + 0x7fff + (word >> 16 & 1)) >> 16);
}

/* The values as they are stored, in place. */
static void encode_values(float *values, uint64_t nelems, bool bf16)
{
    uint8_t *bytes = (uint8_t *)values;

    for (uint64_t i = 0; i < nelems; i++) {
        uint32_t word;
        uint16_t half;
        memcpy(&word, &values[i], sizeof(word));
        half = htole16(narrow(word));
        word = htole32(word);
        if (bf16)
            memcpy(bytes + 2 * i, &half, sizeof(half));
        else
            memcpy(bytes + 4 * i, &word, sizeof(word));
    }
}

static bool write_panel(struct session *s, const struct mxq_panel *panel)
{
    const uint64_t cols = s->readback.stored->plan.cols;
    const uint64_t elem_nbytes = s->request->bf16 ? 2 : 4;
    const uint64_t start = s->base + (panel->row0 * cols + panel->col0) * elem_nbytes;
    const uint8_t *bytes = (const uint8_t *)s->values;

    if (panel->cols == cols)
        return mxq_pwrite_all(s->fd, bytes, panel->rows * cols * elem_nbytes, start, s->place, &s->fault);
    for (uint64_t row = 0; row < panel->rows; row++)
        if (!mxq_pwrite_all(s->fd, bytes + row * panel->cols * elem_nbytes, panel->cols * elem_nbytes,
                            start + row * cols * elem_nbytes, s->place, &s->fault))
            return false;
    return true;
}

/* Sends the spool to standard output. */
static bool send_spool(struct session *s, uint64_t nbytes)
{
    uint8_t *chunk = malloc(MXQ_CHUNK_NBYTES);
    bool good = chunk != NULL;

    if (!good)
        mxq_set_fault(&s->fault, NULL, ENOMEM, "cannot write");
    for (uint64_t at = 0; at < nbytes && good; at += MXQ_CHUNK_NBYTES) {
        const uint64_t n = nbytes - at < MXQ_CHUNK_NBYTES ? nbytes - at : MXQ_CHUNK_NBYTES;
        good = mxq_pread_all(s->fd, chunk, n, at, s->place, &s->fault) &&
               mxq_write_all(STDOUT_FILENO, chunk, n, "standard output", &s->fault);
    }
    free(chunk);
    return good;
}

/* ---------------------------------------------------------------------------------------------- the work */

static bool dequantize_panel(struct session *s, const struct mxq_panel *panel)
{
    enum mxq_status status;

    if (!mxq_read_direction(&s->readback, panel, s->direction, &s->fault))
        return false;
    status = mxq_dequantize_panel(&s->readback.stored->plan, panel, s->readback.origin, s->direction,
                                  s->request->inverse_hadamard, s->values, panel->cols);
    if (status != MXQ_OK) {
        mxq_set_fault(&s->fault, NULL, 0, "bug: a panel was refused: %s", mxq_describe_status(status));
        return false;
    }
    encode_values(s->values, panel->rows * panel->cols, s->request->bf16);
    return write_panel(s, panel);
}

static bool dequantize_panels(struct session *s)
{
    const struct mxq_plan *plan = &s->readback.stored->plan;
    struct mxq_tiling tiling;
    struct mxq_panel panel;
    bool good = true;

    if (s->direction == MXQ_ROWWISE)
        mxq_tile_rows(&tiling, plan->rows, plan->cols);
    else
        mxq_tile_squares(&tiling, plan->rows, plan->cols);
    if (tiling.ntiles == 0)
        return true;
    panel = mxq_get_tile(&tiling, 0);
    s->values = malloc(panel.rows * panel.cols * sizeof(*s->values));
    if (s->values == NULL) {
        mxq_set_fault(&s->fault, s->path, ENOMEM, "cannot dequantize");
        return false;
    }
    mxq_start_progress(s->path, tiling.ntiles * panel.rows * panel.cols * sizeof(*s->values));
    for (uint64_t i = 0; i < tiling.ntiles && good; i++) {
        const struct mxq_panel next = mxq_get_tile(&tiling, i);
        good = dequantize_panel(s, &next);
        mxq_update_progress((i + 1) * panel.rows * panel.cols * sizeof(*s->values));
    }
    mxq_end_progress();
    return good;
}

static bool dequantize(struct session *s)
{
    const struct mxq_plan *plan;

    if (!mxq_choose_direction(&s->readback, s->request->readback.direction, s->path, &s->direction, &s->fault) ||
        !check_hadamard(s) || !begin_output(s) || !write_header(s) || !dequantize_panels(s) ||
        !mxq_finish_stored(s->readback.stored, &s->fault))
        return false;
    plan = &s->readback.stored->plan;
    if (s->request->to_stdout)
        return send_spool(s, s->base + plan->rows * plan->cols * (s->request->bf16 ? 2 : 4));
    return mxq_commit_outset(s->outset, &s->fault);
}

static bool run_session(struct request *r, const char *path)
{
    struct session s;
    bool good;

    memset(&s, 0, sizeof(s));
    s.request = r;
    s.path = path;
    s.fd = -1;
    good = mxq_open_readback(&r->readback, path, &s.readback, &s.fault);
    if (good) {
        good = dequantize(&s);
        mxq_close_readback(&s.readback);
    }
    if (r->to_stdout && s.fd >= 0)
        close(s.fd);
    mxq_discard_outset(s.outset);
    free(s.values);
    if (!good)
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
    while ((opt = mxq_next_option(&mxq_cmd_dequantize, argc, argv, &value)) != -1)
        if (!parse_option(&r, opt, value))
            return MXQ_EXIT_TROUBLE;
    if (r.help) {
        mxq_print_help(&mxq_cmd_dequantize);
        return MXQ_EXIT_OK;
    }
    if (!check_request(&r, argc - optind) || !run_session(&r, argv[optind]))
        return MXQ_EXIT_TROUBLE;
    return MXQ_EXIT_OK;
}

const struct mxq_command mxq_cmd_dequantize = {
    .name = "dequantize",
    .summary = "make floats again from a result, in the shape of its input",
    .synopsis = "[OPTION]... RESULT -o FILE",
    .options = options,
    .run = run,
};
