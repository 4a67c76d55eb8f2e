/*
 * check_stored - results are read back as they were written, and decoded, counted and laid out anew
 *
 *   check_stored [FOLDER]    works in FOLDER, which must be empty, or in a folder of its own
 */
#define _GNU_SOURCE

#include "io/ggml.h"
#include "io/manifest.h"
#include "io/stored.h"
#include "unit/check.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static struct mxq_fault fault;
static unsigned nwarnings;

static void count_warning(void *context, const char *text)
{
    (void)context;
    (void)text;
    nwarnings++;
}

static bool fault_says(const char *text)
{
    return strstr(fault.text, text) != NULL;
}

/* ---------------------------------------------------------------------------------------------------- results */

/* A matrix and its result in memory. */
struct made {
    struct mxq_plan plan;
    float *values;
    uint8_t *out[MXQ_NUM_BUFFERS];
};

static void free_made(struct made *made)
{
    free(made->values);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        free(made->out[b]);
}

/* Values of all magnitudes, from a generator that is not rand(). Bit b of shuffled: buffer b is in AITER's layout. */
static bool make(struct made *made, uint64_t rows, uint64_t cols, unsigned shuffled, bool hadamard)
{
    struct mxq_options options;
    struct mxq_matrix matrix = {NULL, MXQ_F32, rows, cols, cols};
    uint32_t state = 12345;

    memset(made, 0, sizeof(*made));
    mxq_init_options(&options, NULL);
    options.recipe.hadamard_nelems = hadamard ? 16 : 0;
    for (unsigned i = 0; i < MXQ_HADAMARD_NWORDS; i++)
        options.recipe.hadamard_signs[i] = 0x9b2f41c6;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        options.layout[b] = shuffled >> b & 1 ? MXQ_AITER : MXQ_LINEAR;
    if (mxq_make_plan(&made->plan, &options, rows, cols) != MXQ_OK)
        return false;
    made->values = malloc(rows * cols * sizeof(float) + 1);
    for (uint64_t i = 0; i < rows * cols; i++) {
        state = state * 1664525u + 1013904223u;
        made->values[i] = ldexpf((float)(int32_t)(state >> 8) - 8388608.0f, (int)(state >> 3 & 7) - 24);
    }
    matrix.data = made->values;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        made->out[b] = malloc(made->plan.extent[b].nbytes + 1);
    return mxq_quantize(&made->plan, NULL, &matrix, made->out, NULL) == MXQ_OK;
}

static void describe(const struct made *made, struct mxq_result *result, const struct mxq_result_options *options,
                     struct mxq_manifest *m)
{
    memset(m, 0, sizeof(*m));
    m->tool_version = MXQ_VERSION;
    m->input_file = "w.npy";
    m->input_format = "npy";
    m->tensor = (struct mxq_tensor){.dtype = MXQ_F32, .elem_nbytes = 4, .rank = 2};
    m->tensor.shape[0] = m->rows = made->plan.rows;
    m->tensor.shape[1] = m->cols = made->plan.cols;
    m->profile = "te-hip";
    m->recipe = made->plan.options.recipe;
    m->pad_fill = made->plan.options.pad_fill;
    m->format = options->format;
    m->gzip = options->gzip;
    m->device = "cpu";
    m->kernel = "scalar";
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        const struct mxq_result_buffer *buffer = mxq_get_result_buffer(result, b);
        m->buffer[b] = (struct mxq_manifest_buffer){.present = buffer->present,
                                                    .file = buffer->path,
                                                    .member = buffer->member,
                                                    .layout = made->plan.options.layout[b],
                                                    .extent = made->plan.extent[b],
                                                    .crc = buffer->crc};
    }
}

static bool write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    bool good = file != NULL && fputs(text, file) >= 0;

    return file != NULL && fclose(file) == 0 && good;
}

static bool write_manifest(const struct mxq_manifest *m, const char *path)
{
    char *text = mxq_format_manifest(m);
    bool good = text != NULL && write_text(path, text);

    free(text);
    return good;
}

/* Writes "w.json" and its files, as the program does. */
static bool write_made(const struct made *made, const struct mxq_result_options *options)
{
    static const struct mxq_outset_options careless = {.force = true, .no_fsync = true};
    struct mxq_outset *outset = mxq_create_outset(&careless);
    const struct mxq_panel all = {0, 0, made->plan.rows, made->plan.cols};
    struct mxq_result *result = NULL;
    struct mxq_manifest manifest;
    bool good = mxq_begin_result(options, &made->plan, "w", outset, &result, &fault);

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && good; b++) {
        struct mxq_share share;
        mxq_locate_share(&made->plan, &all, b, &share);
        /* The share of all is the buffer, without gaps. */
        good = share.nruns == 0 || mxq_write_share(result, b, &share, made->out[b], &fault);
    }
    good = good && mxq_finish_result(result, &fault);
    if (good) {
        describe(made, result, options, &manifest);
        good = write_manifest(&manifest, "w.json") && mxq_commit_outset(outset, &fault);
    }
    mxq_free_result(result);
    mxq_discard_outset(outset);
    return good;
}

static void init_spec(struct mxq_stored_spec *spec, const char *path)
{
    memset(spec, 0, sizeof(*spec));
    spec->path = path;
    spec->buffer = spec->data_layout = spec->scale_layout = -1;
    spec->source.warn = count_warning;
    nwarnings = 0;
}

static struct mxq_stored *open_path(const char *path)
{
    struct mxq_stored_spec spec;
    struct mxq_stored *stored;

    init_spec(&spec, path);
    fault.text[0] = '\0';
    return mxq_open_stored(&spec, &stored, &fault) ? stored : NULL;
}

static bool refuses(const char *path, const char *text)
{
    struct mxq_stored *stored = open_path(path);

    mxq_close_stored(stored);
    return stored == NULL && fault_says(text) && strchr(fault.text, '\n') == NULL;
}

/* ---------------------------------------------------------------------------------------------------- shares */

/* Puts the share where it belongs in a buffer of its own. */
static void place(const struct mxq_share *share, const uint8_t *bytes, uint8_t *buffer)
{
    for (uint64_t run = 0; run < share->nruns; run++)
        memcpy(buffer + share->offset + run * share->pitch_nbytes, bytes + run * share->run_nbytes, share->run_nbytes);
}

/* Reads a buffer by panels of 256 x 256 and compares. */
static bool buffer_is(const struct mxq_stored *stored, enum mxq_buffer b, const uint8_t *expected)
{
    const struct mxq_plan *plan = &stored->plan;
    uint8_t *whole = calloc(plan->extent[b].nbytes + 1, 1);
    uint8_t *bytes = malloc(plan->extent[b].nbytes + 1);
    bool good = stored->present[b];

    for (uint64_t row = 0; row < plan->rows && good; row += 256) {
        for (uint64_t col = 0; col < plan->cols && good; col += 256) {
            const struct mxq_panel panel = {row, col, plan->rows - row < 256 ? plan->rows - row : 256,
                                            plan->cols - col < 256 ? plan->cols - col : 256};
            struct mxq_share share;
            good =
                mxq_locate_share(plan, &panel, b, &share) == MXQ_OK && mxq_read_share(stored, b, &share, bytes, &fault);
            if (good)
                place(&share, bytes, whole);
        }
    }
    good = good && memcmp(whole, expected, plan->extent[b].nbytes) == 0;
    free(whole);
    free(bytes);
    return good;
}

static bool stored_is(const struct mxq_stored *stored, const struct made *made)
{
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        if (!buffer_is(stored, b, made->out[b]))
            return false;
    return mxq_verify_stored(stored, &fault) && mxq_finish_stored(stored, &fault);
}

static void clean_folder(void)
{
    DIR *dir = opendir(".");
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            remove(entry->d_name);
    if (dir != NULL)
        closedir(dir);
}

static const uint64_t shapes[][2] = {{1, 1}, {1, 3}, {37, 101}, {31, 64}, {300, 520}, {513, 31}, {0, 5}, {4, 0}};

#define NUM_SHAPES (sizeof(shapes) / sizeof(shapes[0]))

/* Everything that the writers write, in every mixture of layouts. */
static void check_round_trips(void)
{
    unsigned ncases = 0;

    for (unsigned i = 0; i < NUM_SHAPES * 16; i++) {
        struct made made;
        const bool good = make(&made, shapes[i / 16][0], shapes[i / 16][1], i % 16, false);
        for (unsigned f = 0; f < 2 * MXQ_NUM_FORMATS && good; f++) {
            const struct mxq_result_options options = {.format = f / 2, .gzip = f % 2 != 0, .only = -1};
            struct mxq_stored *stored = write_made(&made, &options) ? open_path("w") : NULL;
            if (stored == NULL || !stored_is(stored, &made) || nwarnings != 0)
                CHECK_FAIL("a result reads back as it was written", "%" PRIu64 " x %" PRIu64 ", %s%s, layouts %x: %s",
                           made.plan.rows, made.plan.cols, mxq_format_name(f / 2), f % 2 ? ".gz" : "", i % 16,
                           fault.text);
            ncases++;
            mxq_close_stored(stored);
            clean_folder();
        }
        free_made(&made);
    }
    CHECK(ncases == NUM_SHAPES * 16 * 6, "results of every shape, layout and format read back as they were written");
}

/* ---------------------------------------------------------------------------------------------------- finding */

static bool make_simple(struct made *made)
{
    static const struct mxq_result_options options = {.format = MXQ_FORMAT_NPY, .only = -1};

    return make(made, 37, 101, 15, false) && write_made(made, &options);
}

static void check_names(void)
{
    struct made made;
    struct mxq_stored *stored;
    char path[64];

    CHECK(make_simple(&made), "a result to be found");
    stored = open_path("w.json");
    CHECK(stored != NULL && stored->has_manifest, "a manifest is found by its name");
    mxq_close_stored(stored);
    stored = open_path(".");
    CHECK(stored != NULL && stored_is(stored, &made), "and by its folder");
    CHECK(stored != NULL && mxq_stored_has_file(stored, "w.json") &&
              mxq_stored_has_file(stored, "w.rowwise_data.npy") && !mxq_stored_has_file(stored, ".") &&
              !mxq_stored_has_file(stored, "none"),
          "a result knows its files");
    mxq_close_stored(stored);
    CHECK(write_text("v.json", "{}") && refuses(".", "several manifests"), "a folder with two manifests is refused");
    CHECK(refuses("v", "not a manifest of mxfp4q"), "JSON that is no manifest is refused");
    CHECK(write_text("w", "x") && refuses("w", "neither .npy"), "a file of that name comes before the prefix");
    CHECK(write_text("-.json", "{}") && !mxq_find_manifest("-", path, sizeof(path), &fault) && fault.text[0] == '\0',
          "- is standard input, and no prefix");
    clean_folder();
    CHECK(refuses(".", "without a manifest"), "an empty folder is refused");
    CHECK(refuses("none", "No such file"), "so is what is not there");
    free_made(&made);
}

/* ---------------------------------------------------------------------------------------------------- damage */

static bool change_byte(const char *path, long offset, int by)
{
    FILE *file = fopen(path, "r+b");
    bool good = file != NULL && fseek(file, offset, offset < 0 ? SEEK_END : SEEK_SET) == 0;
    const int byte = good ? fgetc(file) : 0;

    good = good && fseek(file, -1, SEEK_CUR) == 0 && fputc((byte + by) & 255, file) != EOF;
    return file != NULL && fclose(file) == 0 && good;
}

static void check_damage(void)
{
    static const struct mxq_result_options gzip = {.format = MXQ_FORMAT_RAW, .gzip = true, .only = -1};
    struct made made;
    struct mxq_stored *stored;

    CHECK(make_simple(&made) && change_byte("w.rowwise_data.npy", -1, 1), "a byte is changed");
    stored = open_path("w");
    CHECK(stored != NULL && !mxq_verify_stored(stored, &fault) && fault_says("its checksum is"),
          "a changed byte is found by the checksum");
    mxq_close_stored(stored);
    CHECK(truncate("w.rowwise_data.npy", 200) == 0 && refuses("w", "too short"), "a short file is refused");
    unlink("w.rowwise_data.npy");
    CHECK(refuses("w", "w.rowwise_data.npy\": cannot open"), "a missing file is refused by its name");
    CHECK(write_made(&made, &gzip) && change_byte("w.columnwise_scale.raw.gz", -8, 1) &&
              refuses("w", "w.columnwise_scale"),
          "a gzip with a wrong checksum is refused");
    CHECK(write_made(&made, &gzip) && truncate("w.columnwise_scale.raw.gz", 30) == 0 &&
              refuses("w", "w.columnwise_scale"),
          "so is one that ends early");
    clean_folder();
    free_made(&made);
}

/* The file is read while somebody writes to it. */
static void check_change(void)
{
    struct made made;
    struct mxq_stored *stored;

    CHECK(make_simple(&made), "a result");
    stored = open_path("w");
    change_byte("w.columnwise_data.npy", -1, 1);
    CHECK(stored != NULL && !mxq_finish_stored(stored, &fault) && fault_says("changed while it was read"),
          "a file that is written to meanwhile is found out");
    mxq_close_stored(stored);
    clean_folder();
    free_made(&made);
}

/* ---------------------------------------------------------------------------------------------------- manifests */

/* Loads w.json, lets edit change it, writes it back and opens the result. */
static bool refuses_edited(const struct made *made, void (*edit)(struct mxq_manifest *m), const char *text)
{
    static const struct mxq_result_options options = {.format = MXQ_FORMAT_NPY, .only = -1};
    struct mxq_manifest m;
    bool good = write_made(made, &options) && mxq_load_manifest("w.json", &m, &fault);

    if (!good)
        return false;
    edit(&m);
    good = write_manifest(&m, "w.json");
    mxq_free_manifest(&m);
    return good && refuses("w", text);
}

static void leave_folder(struct mxq_manifest *m)
{
    m->buffer[MXQ_ROWWISE_DATA].file = "../w.rowwise_data.npy";
}

static void forget_file(struct mxq_manifest *m)
{
    m->buffer[MXQ_COLUMNWISE_SCALE].file = NULL;
}

static void swap_files(struct mxq_manifest *m)
{
    m->buffer[MXQ_ROWWISE_DATA].file = "w.columnwise_data.npy";
}

static void lie_about_shape(struct mxq_manifest *m)
{
    m->tensor.shape[0]++;
}

static void split_elsewhere(struct mxq_manifest *m)
{
    m->tensor.rank = 1;
    m->tensor.shape[0] = m->rows * m->cols;
}

static void overflow_shape(struct mxq_manifest *m)
{
    m->tensor.rank = 4;
    m->tensor.shape[2] = m->tensor.shape[3] = (uint64_t)1 << 62;
}

static void forget_buffers(struct mxq_manifest *m)
{
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        m->buffer[b].present = false;
}

static void check_manifests(void)
{
    struct made made;

    CHECK(make_simple(&made), "a result to lie about");
    CHECK(refuses_edited(&made, leave_folder, "no file beside it"), "a file outside the folder is refused");
    CHECK(refuses_edited(&made, forget_file, "no file beside it"), "a buffer that went to a pipe is refused");
    CHECK(refuses_edited(&made, swap_files, "its manifest says"), "a file of another shape is refused");
    CHECK(refuses_edited(&made, lie_about_shape, "does not follow from the shape"), "a wrong shape is refused");
    CHECK(refuses_edited(&made, split_elsewhere, "does not follow from the shape"),
          "a shape that cannot be split into the matrix is refused");
    CHECK(refuses_edited(&made, overflow_shape, "does not follow from the shape"),
          "a shape beyond all numbers is refused");
    CHECK(refuses_edited(&made, forget_buffers, "without buffers"), "a manifest without buffers is refused");
    clean_folder();
    free_made(&made);
}

/* ---------------------------------------------------------------------------------------------------- single buffers */

/* Writes rows x cols bytes as a .npy, transposed into Fortran order when asked. */
static bool write_npy(const char *path, const uint8_t *bytes, uint64_t rows, uint64_t cols, bool fortran)
{
    FILE *file = fopen(path, "wb");
    char dict[118];
    int length;

    if (file == NULL)
        return false;
    length =
        snprintf(dict, sizeof(dict), "{'descr': '|u1', 'fortran_order': %s, 'shape': (%" PRIu64 ", %" PRIu64 "), }",
                 fortran ? "True" : "False", rows, cols);
    memset(dict + length, ' ', sizeof(dict) - (size_t)length);
    dict[sizeof(dict) - 1] = '\n';
    fwrite("\x93NUMPY\x01\x00\x76\x00", 1, 10, file);
    fwrite(dict, 1, sizeof(dict), file);
    for (uint64_t i = 0; i < rows * cols; i++)
        fputc(fortran ? bytes[i % rows * cols + i / rows] : bytes[i], file);
    return fclose(file) == 0;
}

static void check_fortran(void)
{
    struct made made;
    struct mxq_stored *stored;

    /* More rows than are turned at once. */
    CHECK(make(&made, 600, 700, 5, false), "a result of 600 x 700");
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        const struct mxq_extent *extent = &made.plan.extent[b];
        char path[64];
        static const struct mxq_result_options options = {.format = MXQ_FORMAT_NPY, .only = -1};
        if (b == 0)
            write_made(&made, &options);
        snprintf(path, sizeof(path), "w.%s.npy", mxq_buffer_name(b));
        write_npy(path, made.out[b], extent->rows, extent->cols, true);
    }
    stored = open_path("w");
    CHECK(stored != NULL && stored_is(stored, &made), "buffers in Fortran order read as in C order, checksums too");
    mxq_close_stored(stored);
    clean_folder();
    free_made(&made);
}

/* Codes may begin with the bytes that a gzip begins with. */
static void check_false_gzip(void)
{
    static const struct mxq_result_options raw = {.format = MXQ_FORMAT_RAW, .only = -1};
    struct made made;
    struct mxq_stored *stored;
    bool good = make(&made, 2, 64, 0, false);

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && good; b++) {
        made.out[b][0] = 0x1f;
        made.out[b][1] = 0x8b;
    }
    stored = good && write_made(&made, &raw) ? open_path("w") : NULL;
    CHECK(stored != NULL && stored_is(stored, &made), "a raw buffer that begins like a gzip is not taken for one");
    mxq_close_stored(stored);
    clean_folder();
    free_made(&made);
}

static void check_pairs(void)
{
    struct made made;
    struct mxq_stored_spec spec;
    struct mxq_stored *stored;
    const struct mxq_extent *extent;
    bool good = make(&made, 37, 101, 15, false);

    extent = made.plan.extent;
    good = good && write_npy("a", made.out[2], extent[2].rows, extent[2].cols, false) &&
           write_npy("b", made.out[3], extent[3].rows, extent[3].cols, false) && mkdir("columnwise_scale", 0777) == 0 &&
           write_npy("columnwise_scale/a", made.out[0], extent[0].rows, extent[0].cols, false);
    CHECK(good, "buffers without a manifest");
    init_spec(&spec, "a");
    spec.buffer = MXQ_COLUMNWISE_DATA;
    spec.scale_path = "b";
    spec.data_layout = spec.scale_layout = MXQ_AITER;
    CHECK(mxq_open_stored(&spec, &stored, &fault) && stored->plan.rows == 64 && stored->plan.cols == 112,
          "without a matrix, padding counts as values");
    mxq_close_stored(stored);
    spec.has_matrix = true;
    spec.rows = 37;
    spec.cols = 101;
    CHECK(mxq_open_stored(&spec, &stored, &fault) && buffer_is(stored, MXQ_COLUMNWISE_DATA, made.out[2]) &&
              buffer_is(stored, MXQ_COLUMNWISE_SCALE, made.out[3]) && !stored->present[MXQ_ROWWISE_DATA] &&
              stored->manifest.tensor.shape[1] == 101,
          "a pair reads as what it is said to be");
    mxq_close_stored(stored);
    spec.scale_layout = MXQ_LINEAR;
    CHECK(!mxq_open_stored(&spec, &stored, &fault) && stored == NULL && fault_says("in layout linear is 101 x 2"),
          "another layout has another shape, which is told");
    init_spec(&spec, "columnwise_scale/a");
    CHECK(mxq_open_stored(&spec, &stored, &fault) && stored->present[MXQ_ROWWISE_DATA],
          "the name of a folder does not say what is in a file");
    mxq_close_stored(stored);
    remove("columnwise_scale/a");
    clean_folder();
    free_made(&made);
}

static bool write_bytes(const char *path, const uint8_t *bytes, uint64_t nbytes)
{
    FILE *file = fopen(path, "wb");
    bool good = file != NULL && fwrite(bytes, 1, nbytes, file) == nbytes;

    return file != NULL && fclose(file) == 0 && good;
}

static void check_raw_pairs(void)
{
    struct made made;
    struct mxq_stored_spec spec;
    struct mxq_stored *stored;
    bool good = make(&made, 37, 101, 3, false);

    good = good && write_bytes("a", made.out[0], made.plan.extent[0].nbytes) &&
           write_bytes("b", made.out[1], made.plan.extent[1].nbytes);
    CHECK(good, "raw buffers without a manifest");
    init_spec(&spec, "a");
    spec.scale_path = "b";
    spec.data_layout = spec.scale_layout = MXQ_AITER;
    spec.source.raw = spec.has_matrix = true;
    spec.rows = 37;
    spec.cols = 101;
    CHECK(mxq_open_stored(&spec, &stored, &fault) && buffer_is(stored, MXQ_ROWWISE_DATA, made.out[0]) &&
              buffer_is(stored, MXQ_ROWWISE_SCALE, made.out[1]),
          "raw buffers have their shape from the matrix and the layout");
    mxq_close_stored(stored);
    spec.high_first = true;
    good = mxq_open_stored(&spec, &stored, &fault);
    for (uint64_t i = 0; i < made.plan.extent[0].nbytes && good; i++)
        made.out[0][i] = (uint8_t)(made.out[0][i] << 4 | made.out[0][i] >> 4);
    CHECK(good && buffer_is(stored, MXQ_ROWWISE_DATA, made.out[0]) && buffer_is(stored, MXQ_ROWWISE_SCALE, made.out[1]),
          "with the high nibble first, data read with the low one first, and scales as they are");
    mxq_close_stored(stored);
    spec.rows = 57;
    CHECK(!mxq_open_stored(&spec, &stored, &fault) && fault_says("too short"),
          "a raw buffer of another size is refused");
    clean_folder();
    free_made(&made);
}

/* ---------------------------------------------------------------------------------------------------- decoding */

static float *dequantize_all(const struct made *made, enum mxq_direction d, bool inverse, uint64_t tile)
{
    const struct mxq_plan *plan = &made->plan;
    float *values = malloc(plan->rows * plan->cols * sizeof(float) + 1);

    for (uint64_t row = 0; row < plan->rows; row += tile) {
        for (uint64_t col = 0; col < plan->cols; col += tile) {
            const struct mxq_panel panel = {row, col, plan->rows - row < tile ? plan->rows - row : tile,
                                            plan->cols - col < tile ? plan->cols - col : tile};
            struct mxq_origin in[MXQ_NUM_BUFFERS];
            for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
                struct mxq_share share;
                mxq_locate_share(plan, &panel, b, &share);
                in[b] = (struct mxq_origin){made->out[b] + share.offset, share.pitch_nbytes};
            }
            if (mxq_dequantize_panel(plan, &panel, in, d, inverse, values + row * plan->cols + col, plan->cols) !=
                MXQ_OK)
                memset(values, 0xff, sizeof(float));
        }
    }
    return values;
}

static bool same_values(const float *a, const float *b, uint64_t nelems)
{
    return memcmp(a, b, nelems * sizeof(float)) == 0;
}

static void check_panels(void)
{
    bool good = true;

    for (unsigned i = 0; i < NUM_SHAPES * 4; i++) {
        struct made linear, shuffled;
        const enum mxq_direction d = i / 2 % 2;
        const bool hadamard = i % 2 != 0;
        const uint64_t rows = shapes[i / 4][0];
        const uint64_t cols = shapes[i / 4][1];
        float *by_panels, *whole;
        /* With a transform, only shuffled buffers have all codes. */
        good =
            make(&linear, rows, cols, hadamard ? 15 : 0, hadamard) && make(&shuffled, rows, cols, 15, hadamard) && good;
        by_panels = dequantize_all(&linear, d, hadamard, 256);
        whole = dequantize_all(&shuffled, d, hadamard, (uint64_t)1 << 40);
        good = good && same_values(by_panels, whole, rows * cols);
        free(by_panels);
        free(whole);
        free_made(&linear);
        free_made(&shuffled);
    }
    CHECK(good, "values depend neither on the layout nor on the panels");
}

/* What the transform does to a block is undone but for the rounding to codes. */
static void check_inverse(void)
{
    struct made made;
    float *back;
    double signal = 0;
    double noise = 0;
    bool good = make(&made, 64, 96, 15, true);

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS && good; d++) {
        back = dequantize_all(&made, d, true, 256);
        for (unsigned i = 0; i < 64 * 96; i++) {
            signal += (double)made.values[i] * (double)made.values[i];
            noise += pow((double)made.values[i] - (double)back[i], 2);
        }
        free(back);
    }
    CHECK(good && signal > 30 * noise, "the transform and its signs are undone");
    free_made(&made);
}

/* One block of chosen codes under a chosen scale. */
static void decode_block(const uint8_t codes[32], uint8_t scale, bool hadamard, float values[32])
{
    struct made made;

    make(&made, 1, 32, 0, hadamard);
    memset(made.plan.options.recipe.hadamard_signs, 0, sizeof(made.plan.options.recipe.hadamard_signs));
    for (unsigned j = 0; j < 16; j++)
        made.out[0][j] = (uint8_t)(codes[2 * j] | codes[2 * j + 1] << 4);
    made.out[1][0] = scale;
    {
        float *all = dequantize_all(&made, MXQ_ROWWISE, hadamard, 256);
        memcpy(values, all, 32 * sizeof(float));
        free(all);
    }
    free_made(&made);
}

static void check_codes(void)
{
    static const double magnitude[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    bool exact = true;
    bool overflows = true;
    bool nans = true;
    bool bf16 = true;
    uint8_t codes[32];
    float values[32];

    for (unsigned i = 0; i < 32; i++)
        codes[i] = i % 16;
    for (unsigned byte = 0; byte < 256; byte++) {
        decode_block(codes, (uint8_t)byte, false, values);
        for (unsigned i = 0; i < 16; i++) {
            const double expected = ldexp(i < 8 ? magnitude[i] : -magnitude[i - 8], (int)byte - 127);
            uint32_t bits;
            memcpy(&bits, &values[i], sizeof(bits));
            bf16 &= (bits & 0xffff) == 0;
            if (byte == 255)
                nans &= bits == 0x7fc00000;
            else if (fabs(expected) >= 0x1p128)
                overflows &= isinf(values[i]) && (values[i] > 0) == (i < 8);
            else
                exact &= (double)values[i] == expected && !signbit(values[i]) == (i < 8);
        }
    }
    CHECK(exact, "every code under every scale is exact, signs of zeros too");
    CHECK(overflows, "from 2^128 on, values are infinite");
    CHECK(nans, "under scale byte 255, all values are the positive quiet NaN");
    CHECK(bf16, "every value is a BF16");
}

static void check_transformed_codes(void)
{
    bool exact = true;
    uint8_t codes[32];
    float values[32];
    uint32_t state = 1;

    for (unsigned n = 0; n < 2000; n++) {
        for (unsigned i = 0; i < 32; i++) {
            state = state * 1664525u + 1013904223u;
            /* Now and then all the largest, so that the sums are. */
            codes[i] = n % 10 == 0 ? 7 : (uint8_t)(state >> 20 & 15);
        }
        decode_block(codes, (uint8_t)(n % 249), true, values);
        for (unsigned i = 0; i < 32; i++) {
            static const double magnitude[16] = {0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6};
            double sum = 0;
            uint32_t bits;
            /* Entry (i, j) of the Sylvester-Hadamard matrix is -1 to the number of bits that i and j share. */
            for (unsigned j = 0; j < 16; j++)
                sum += (__builtin_popcount(i & j & 15) % 2 ? -1.0 : 1.0) * magnitude[codes[i / 16 * 16 + j]];
            memcpy(&bits, &values[i], sizeof(bits));
            exact &= (double)values[i] == ldexp(sum / 4, (int)(n % 249) - 127) && (bits & 0xffff) == 0;
        }
    }
    CHECK(exact, "transformed back, values are exact too, and BF16");
}

/* Of 20 values, a linear row has 10 of the 16 bytes of codes that the transform made. */
static void check_missing_codes(void)
{
    static const unsigned lengths[] = {15, 16, 20, 31, 32};
    bool good = true;

    for (unsigned i = 0; i < 5; i++) {
        struct made made;
        const unsigned n = lengths[i];
        float *values;
        good = make(&made, 1, n, 0, true) && good;
        values = dequantize_all(&made, MXQ_ROWWISE, true, 256);
        for (unsigned c = 0; c < n; c++)
            good &= (isnan(values[c]) != 0) == (n == 20 && c >= 16);
        free(values);
        free_made(&made);
    }
    CHECK(good, "values whose codes a linear row has no room for are NaN, and no others");
}

static void check_arguments(void)
{
    struct made made;
    struct mxq_origin in[MXQ_NUM_BUFFERS];
    struct mxq_panel panel = {0, 0, 4, 64};
    struct mxq_histogram histogram = {{0}, {0}};
    float values[256];

    make(&made, 4, 64, 0, false);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        in[b] = (struct mxq_origin){made.out[b], made.plan.extent[b].cols};
    CHECK(mxq_dequantize_panel(&made.plan, &panel, in, MXQ_ROWWISE, true, values, 64) == MXQ_ERR_ARGUMENT,
          "there is no transform to undo");
    CHECK(mxq_dequantize_panel(&made.plan, &panel, in, MXQ_ROWWISE, false, values, 63) == MXQ_ERR_ARGUMENT,
          "rows must not overlap");
    in[0].pitch_nbytes--;
    CHECK(mxq_dequantize_panel(&made.plan, &panel, in, MXQ_ROWWISE, false, values, 64) == MXQ_ERR_ARGUMENT &&
              mxq_count_panel(&made.plan, &panel, in, MXQ_ROWWISE, &histogram) == MXQ_ERR_ARGUMENT,
          "too small a pitch is refused");
    CHECK(mxq_dequantize_panel(&made.plan, &panel, in, MXQ_COLUMNWISE, false, values, 64) == MXQ_OK,
          "the other direction is not looked at");
    made.plan.options.wanted[MXQ_ROWWISE] = false;
    CHECK(mxq_count_panel(&made.plan, &panel, in, MXQ_ROWWISE, &histogram) == MXQ_ERR_ARGUMENT,
          "a direction that is not there is refused");
    panel.rows = 3;
    CHECK(mxq_dequantize_panel(&made.plan, &panel, in, MXQ_COLUMNWISE, false, values, 64) == MXQ_ERR_PANEL,
          "so is a panel that is none");
    free_made(&made);
}

/* ---------------------------------------------------------------------------------------------------- counting */

static void check_histogram(void)
{
    struct made made;
    const struct mxq_panel all = {0, 0, 37, 101};
    struct mxq_origin in[MXQ_NUM_BUFFERS];
    bool good = make(&made, 37, 101, 6, false);

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && good; b++) {
        struct mxq_share share;
        mxq_locate_share(&made.plan, &all, b, &share);
        in[b] = (struct mxq_origin){made.out[b], share.pitch_nbytes};
    }
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS && good; d++) {
        float *values = dequantize_all(&made, d, false, 256);
        struct mxq_histogram histogram = {{0}, {0}};
        struct mxq_histogram sum = {{0}, {0}};
        uint64_t ncodes = 0;
        uint64_t nscales = 0;
        uint64_t nzeros = 0;
        good = mxq_count_panel(&made.plan, &all, in, d, &histogram) == MXQ_OK;
        mxq_add_histogram(&sum, &histogram);
        mxq_add_histogram(&sum, &histogram);
        for (unsigned i = 0; i < 16; i++)
            ncodes += sum.codes[i];
        for (unsigned i = 0; i < 256; i++)
            nscales += sum.scales[i];
        for (unsigned i = 0; i < 37 * 101; i++)
            nzeros += values[i] == 0;
        good &= ncodes == 2 * 37 * 101 && nscales == (d == MXQ_ROWWISE ? 2 * 37 * 4 : 2 * 101 * 2) &&
                nzeros == histogram.codes[0] + histogram.codes[8];
        free(values);
    }
    CHECK(good, "each code and each scale byte counts once, and padding does not");
    free_made(&made);
}

/* ---------------------------------------------------------------------------------------------------- units */

/* From one mixture of layouts to another through units: as if quantized there. */
static bool relayouts(const struct made *from, const struct made *to)
{
    const struct mxq_panel all = {0, 0, from->plan.rows, from->plan.cols};
    bool good = true;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && good; b++) {
        uint8_t *units = malloc((from->plan.rows + 32) * (from->plan.cols + 32) + 1);
        uint8_t *bytes = malloc(to->plan.extent[b].nbytes + 1);
        struct mxq_share in, out;
        uint64_t nlost = 0;
        mxq_locate_share(&from->plan, &all, b, &in);
        mxq_locate_share(&to->plan, &all, b, &out);
        memset(bytes, 0xa5, to->plan.extent[b].nbytes + 1);
        good = mxq_load_units(&from->plan, &all, b, &(struct mxq_origin){from->out[b], in.pitch_nbytes}, units) ==
                   MXQ_OK &&
               mxq_store_units(&to->plan, &all, b, units, &(struct mxq_destination){bytes, out.pitch_nbytes}, &nlost) ==
                   MXQ_OK &&
               nlost == 0 && memcmp(bytes, to->out[b], to->plan.extent[b].nbytes) == 0 &&
               bytes[to->plan.extent[b].nbytes] == 0xa5;
        free(units);
        free(bytes);
    }
    return good;
}

static void check_units(void)
{
    struct made linear, shuffled;
    bool good = true;
    bool lost = true;

    for (unsigned i = 0; i < NUM_SHAPES; i++) {
        good = make(&linear, shapes[i][0], shapes[i][1], 0, false) &&
               make(&shuffled, shapes[i][0], shapes[i][1], 15, false) && good;
        good = good && relayouts(&linear, &shuffled) && relayouts(&shuffled, &linear) && relayouts(&linear, &linear) &&
               relayouts(&shuffled, &shuffled);
        free_made(&linear);
        free_made(&shuffled);
    }
    CHECK(good, "units go from any layout to any, padding included, without writing beyond");
    good = make(&linear, 1, 20, 0, true) && make(&shuffled, 1, 20, 15, true);
    {
        const struct mxq_panel all = {0, 0, 1, 20};
        uint8_t units[16], row[16];
        uint64_t nlost = 0;
        lost = good &&
               mxq_load_units(&shuffled.plan, &all, 0, &(struct mxq_origin){shuffled.out[0], 256}, units) == MXQ_OK &&
               mxq_store_units(&linear.plan, &all, 0, units, &(struct mxq_destination){row, 10}, &nlost) == MXQ_OK &&
               nlost > 0 && memcmp(row, linear.out[0], 10) == 0;
    }
    CHECK(lost, "codes that a linear row has no room for are counted");
    free_made(&linear);
    free_made(&shuffled);
}

static void check_ggml(void)
{
    uint8_t units[64], scales[4], blocks[68], units_back[64], scales_back[4];
    uint32_t state = 7;
    bool good = true;

    for (unsigned i = 0; i < 64; i++)
        units[i] = (uint8_t)((state = state * 1664525u + 1013904223u) >> 24);
    for (unsigned i = 0; i < 4; i++)
        scales[i] = (uint8_t)(100 + i);
    mxq_pack_ggml(units, scales, 4, blocks);
    for (unsigned n = 0; n < 4; n++) {
        good &= blocks[17 * n] == 100 + n;
        for (unsigned j = 0; j < 16; j++) {
            const uint8_t low = (uint8_t)(units[16 * n + j / 2] >> j % 2 * 4 & 15);
            const uint8_t high = (uint8_t)(units[16 * n + 8 + j / 2] >> j % 2 * 4 & 15);
            good &= blocks[17 * n + 1 + j] == (low | high << 4);
        }
    }
    CHECK(good, "ggml's byte j has the values j and j + 16 of the block");
    mxq_unpack_ggml(blocks, 4, units_back, scales_back);
    CHECK(memcmp(units, units_back, 64) == 0 && memcmp(scales, scales_back, 4) == 0, "and back");
}

int main(int argc, char **argv)
{
    char own_folder[] = "/tmp/check_stored-XXXXXX";
    const char *folder = argc > 1 ? argv[1] : mkdtemp(own_folder);

    if (folder == NULL || chdir(folder) != 0) {
        perror("check_stored: no folder to work in");
        return 1;
    }
    check_round_trips();
    check_names();
    check_damage();
    check_change();
    check_manifests();
    check_fortran();
    check_false_gzip();
    check_pairs();
    check_raw_pairs();
    check_panels();
    check_inverse();
    check_codes();
    check_transformed_codes();
    check_missing_codes();
    check_arguments();
    check_histogram();
    check_units();
    check_ggml();
    if (argc <= 1)
        rmdir(folder);
    return check_finish();
}
