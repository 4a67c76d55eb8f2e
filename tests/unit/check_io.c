/*
 * check_io - holds the readers to tensor.h
 *
 * Inputs are built here, byte by byte, or come from NumPy (fixtures/). Everything that a file can say is also said
 * wrongly: such a file must be refused with one line that names the reason, wherever it comes from.
 *
 *   check_io [FOLDER]     FOLDER is for temporary files; it should be empty. Fixtures: $MXQ_FIXTURES.
 */
#include "io/fp8_blocks.h"
#include "io/outfile.h"
#include "io/tensor.h"
#include "unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zip.h>
#include <zlib.h>

#define NELEMS(array) (sizeof(array) / sizeof((array)[0]))
#define MAGIC "\x93NUMPY"

static const char *folder;
static const char *fixtures = "tests/unit/fixtures";

/* ---------------------------------------------------------------------------------------------- bytes and files */

struct bytes {
    uint8_t *data;
    size_t nbytes;
    size_t room;
};

static void append(struct bytes *bytes, const void *data, size_t nbytes)
{
    if (bytes->data == NULL || bytes->room < bytes->nbytes + nbytes) {
        bytes->room = 2 * (bytes->nbytes + nbytes) + 64;
        bytes->data = realloc(bytes->data, bytes->room);
        if (bytes->data == NULL)
            abort();
    }
    if (nbytes > 0)
        memcpy(bytes->data + bytes->nbytes, data, nbytes);
    bytes->nbytes += nbytes;
}

static void release(struct bytes *bytes)
{
    free(bytes->data);
    memset(bytes, 0, sizeof(*bytes));
}

/* Element number i of all test data. */
static uint32_t value_at(uint64_t i, size_t elem_nbytes)
{
    uint32_t value = (uint32_t)(i + 1) * 2654435761u;

    return elem_nbytes == 2 ? (uint32_t)((i + 1) * 40503u) & 0xffff : value;
}

static void append_elements(struct bytes *bytes, uint64_t nelems, size_t elem_nbytes, bool big)
{
    for (uint64_t i = 0; i < nelems; i++) {
        uint32_t value = value_at(i, elem_nbytes);

        for (size_t j = 0; j < elem_nbytes; j++) {
            size_t shift = 8 * (big ? elem_nbytes - 1 - j : j);
            uint8_t byte = (uint8_t)(value >> shift);

            append(bytes, &byte, 1);
        }
    }
}

/* Magic, version, length and text, without any padding. */
static void append_header(struct bytes *bytes, unsigned major, const char *text, size_t nbytes)
{
    uint8_t prefix[12] = MAGIC;
    size_t length_nbytes = major == 1 ? 2 : 4;

    prefix[6] = (uint8_t)major;
    for (size_t i = 0; i < length_nbytes; i++)
        prefix[8 + i] = (uint8_t)(nbytes >> 8 * i);
    append(bytes, prefix, 8 + length_nbytes);
    append(bytes, text, nbytes);
}

static struct bytes make_npy(const char *descr, bool fortran_order, const char *shape, uint64_t nelems)
{
    struct bytes bytes = {0};
    char text[256];

    snprintf(text, sizeof(text), "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n", descr,
             fortran_order ? "True" : "False", shape);
    append_header(&bytes, 1, text, strlen(text));
    append_elements(&bytes, nelems, strstr(descr, "f4") != NULL ? 4 : 2, descr[0] == '>');
    return bytes;
}

/* One gzip member. */
static void append_gz(struct bytes *out, const uint8_t *data, size_t nbytes)
{
    z_stream z = {0};
    size_t room = nbytes + nbytes / 8 + 1024;
    uint8_t *buffer = malloc(room);

    if (buffer == NULL || deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    z.next_in = (Bytef *)(uintptr_t)data;
    z.avail_in = (uInt)nbytes;
    z.next_out = buffer;
    z.avail_out = (uInt)room;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END)
        abort();
    append(out, buffer, room - z.avail_out);
    deflateEnd(&z);
    free(buffer);
}

/* A path in the folder; one of a few buffers in turn. */
static const char *path_to(const char *name)
{
    static char paths[4][4096];
    static unsigned next;
    char *path = paths[next++ % NELEMS(paths)];

    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static const char *save(const char *name, const void *data, size_t nbytes)
{
    const char *path = path_to(name);
    FILE *file = fopen(path, "wb");

    if (file == NULL || (nbytes > 0 && fwrite(data, 1, nbytes, file) != nbytes) || fclose(file) != 0)
        abort();
    return path;
}

static const char *save_bytes(const char *name, struct bytes bytes)
{
    return save(name, bytes.data, bytes.nbytes);
}

/* ---------------------------------------------------------------------------------------------- standard input */

static int real_stdin = -1;
static pid_t feeder = -1;

static void replace_stdin(int fd)
{
    if (real_stdin < 0)
        real_stdin = dup(STDIN_FILENO);
    if (dup2(fd, STDIN_FILENO) < 0)
        abort();
    close(fd);
}

/* Makes standard input a pipe that these bytes come through, in small pieces. */
static void feed_stdin(struct bytes bytes)
{
    int ends[2];

    if (pipe(ends) != 0)
        abort();
    fflush(stdout);
    feeder = fork();
    if (feeder == 0) {
        close(ends[0]);
        for (size_t at = 0; at < bytes.nbytes;) {
            size_t n = bytes.nbytes - at < 777 ? bytes.nbytes - at : 777;
            ssize_t ret = write(ends[1], bytes.data + at, n);

            if (ret < 0)
                break;
            at += (size_t)ret;
        }
        _exit(0);
    }
    close(ends[1]);
    replace_stdin(ends[0]);
}

static void restore_stdin(void)
{
    if (real_stdin >= 0)
        dup2(real_stdin, STDIN_FILENO);
    if (feeder > 0)
        waitpid(feeder, NULL, 0);
    feeder = -1;
}

/* ---------------------------------------------------------------------------------------------- reading */

static char warning[2048];

static void remember_warning(void *context, const char *text)
{
    (void)context;
    snprintf(warning + strlen(warning), sizeof(warning) - strlen(warning), "%s\n", text);
}

/* Options that describe a raw matrix. */
static struct mxq_source_options raw_options(enum mxq_dtype dtype, uint64_t rows, uint64_t cols)
{
    struct mxq_source_options options = {.raw = true, .has_dtype = true, .dtype = dtype, .rank = 2};

    options.shape[0] = rows;
    options.shape[1] = cols;
    return options;
}

/* Reads the current tensor by panels into a matrix without gaps. */
static bool read_matrix(struct mxq_source *source, const struct mxq_tensor *tensor, int32_t axis, uint64_t panel_rows,
                        uint64_t panel_cols, struct bytes *matrix, struct mxq_fault *fault)
{
    size_t size = mxq_dtype_nbytes(tensor->dtype);
    uint64_t rows;
    uint64_t cols;
    uint8_t *panel_data = malloc((size_t)tensor->nbytes + 1);
    bool ok = panel_data != NULL && mxq_flatten_tensor(tensor, axis, &rows, &cols);

    release(matrix);
    matrix->data = malloc((size_t)tensor->nbytes + 1);
    matrix->nbytes = (size_t)tensor->nbytes;
    for (uint64_t r = 0; ok && r < rows; r += panel_rows) {
        for (uint64_t c = 0; ok && c < cols; c += panel_cols) {
            struct mxq_panel panel = {r, c, rows - r < panel_rows ? rows - r : panel_rows,
                                      cols - c < panel_cols ? cols - c : panel_cols};

            ok = mxq_read_panel(source, cols, &panel, panel_data, NULL, fault);
            for (uint64_t i = 0; ok && i < panel.rows; i++)
                memcpy(matrix->data + ((r + i) * cols + c) * size, panel_data + i * panel.cols * size,
                       (size_t)panel.cols * size);
        }
    }
    free(panel_data);
    return ok;
}

/* Opens, reads everything in full rows, finishes and closes. False with a fault from whichever step. */
static bool read_whole(const struct mxq_source_options *options, const char *path, struct bytes *matrix,
                       struct mxq_tensor *tensor, struct mxq_fault *fault)
{
    static const struct mxq_source_options none = {0};
    struct mxq_source_options full = options != NULL ? *options : none;
    struct mxq_source *source;
    const struct mxq_tensor *current;
    bool ok;
    int ret;

    warning[0] = '\0';
    fault->text[0] = '\0';
    full.warn = remember_warning;
    if (!mxq_open_source(&full, path, &source, fault))
        return false;
    ret = mxq_next_tensor(source, &current, fault);
    if (ret == 0)
        mxq_set_fault(fault, NULL, 0, "no tensor");
    ok = ret == 1;
    if (ok) {
        *tensor = *current;
        tensor->name = NULL;
        ok = (!current->fortran_order || mxq_spool_tensor(source, folder, fault)) &&
             read_matrix(source, current, MXQ_FLATTEN_LAST, 3, UINT64_MAX, matrix, fault) &&
             mxq_finish_tensor(source, fault);
    }
    if (ok && full.member == NULL && mxq_next_tensor(source, &current, fault) == -1)
        ok = false;
    mxq_close_source(source);
    return ok;
}

/* Elements 0 to nelems - 1, in this order, in the byte order of the machine. */
static bool is_counting(struct bytes matrix, uint64_t nelems, size_t elem_nbytes)
{
    if (matrix.nbytes != nelems * elem_nbytes)
        return false;
    for (uint64_t i = 0; i < nelems; i++) {
        uint32_t word = 0;
        uint16_t half = 0;

        memcpy(&half, matrix.data + i * elem_nbytes, 2);
        if (elem_nbytes == 4)
            memcpy(&word, matrix.data + i * 4, 4);
        if ((elem_nbytes == 4 ? word : half) != value_at(i, elem_nbytes))
            return false;
    }
    return true;
}

/* The file must give these elements. */
static bool expect_counting(const char *name, const struct mxq_source_options *options, const char *path,
                            uint64_t nelems)
{
    struct bytes matrix = {0};
    struct mxq_tensor tensor;
    struct mxq_fault fault;
    bool ok = false;

    if (!read_whole(options, path, &matrix, &tensor, &fault))
        CHECK_FAIL(name, "%s", fault.text);
    else if (!is_counting(matrix, nelems, mxq_dtype_nbytes(tensor.dtype)))
        CHECK_FAIL(name, "wrong elements from %s", path);
    else
        ok = true;
    if (ok)
        CHECK_PASS(name);
    release(&matrix);
    return ok;
}

/* A fault is one line with this in it. */
static bool is_line_with(const char *text, const char *phrase)
{
    return strstr(text, phrase) != NULL && strchr(text, '\n') == NULL && text[0] != '\0';
}

/* The file must be refused with this phrase. */
static bool expect_fault(const char *name, const struct mxq_source_options *options, const char *path,
                         const char *phrase)
{
    struct bytes matrix = {0};
    struct mxq_tensor tensor;
    struct mxq_fault fault;
    bool read = read_whole(options, path, &matrix, &tensor, &fault);
    bool ok = !read && is_line_with(fault.text, phrase);

    if (read)
        CHECK_FAIL(name, "it was read, not refused with '%s'", phrase);
    else if (!ok)
        CHECK_FAIL(name, "not '%s' but: %s", phrase, fault.text);
    else
        CHECK_PASS(name);
    release(&matrix);
    return ok;
}

/* ---------------------------------------------------------------------------------------------- faults */

static void check_faults(void)
{
    struct mxq_fault fault;
    char longest[5000];

    errno = EBADF;
    mxq_set_fault(&fault, "a\nb\x1b[1m\xc2\x9b", ENOENT, "text %d\t", 7);
    CHECK(strcmp(fault.text, "\"a?b?[1m?\?\": text 7?: No such file or directory") == 0,
          "a fault has no control characters");
    CHECK(errno == EBADF, "setting a fault preserves errno");
    mxq_set_fault(&fault, NULL, 0, "alone");
    CHECK(strcmp(fault.text, "alone") == 0, "a fault can be without a file");
    mxq_set_fault(&fault, "gr\xc3\xbc\xc3\x9f.npy", 0, "x");
    CHECK(strcmp(fault.text, "\"gr\xc3\xbc\xc3\x9f.npy\": x") == 0, "a fault keeps UTF-8");
    memset(longest, 'n', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    mxq_set_fault(&fault, longest, EIO, "what happened");
    CHECK(strstr(fault.text, "nnn\": what happened: Input/output error") != NULL,
          "a long name leaves room for the reason");
    mxq_set_fault(&fault, NULL, EIO, "%s", longest);
    CHECK(strlen(fault.text) == MXQ_FAULT_NBYTES - 1, "a long fault is cut");
}

/* ---------------------------------------------------------------------------------------------- .npy */

static void check_descrs(void)
{
    static const struct {
        const char *descr;
        int option; /* -1: no --dtype */
        int dtype;  /* -1: refused */
        const char *phrase;
    } rows[] = {
        {"<V2", -1, MXQ_BF16, NULL},
        {"|V2", -1, MXQ_BF16, NULL},
        {"bfloat16", -1, MXQ_BF16, NULL},
        {"<V2", MXQ_F16, MXQ_F16, NULL},
        {"|V2", MXQ_BF16, MXQ_BF16, NULL},
        {"bfloat16", MXQ_BF16, MXQ_BF16, NULL},
        {"<f4", -1, MXQ_F32, NULL},
        {">f4", -1, MXQ_F32, NULL},
        {"=f4", -1, MXQ_F32, NULL},
        {"<f4", MXQ_F32, MXQ_F32, NULL},
        {"<f2", -1, MXQ_F16, NULL},
        {">f2", -1, MXQ_F16, NULL},
        {"=f2", -1, MXQ_F16, NULL},
        {"<u2", MXQ_BF16, MXQ_BF16, NULL},
        {"|u2", MXQ_BF16, MXQ_BF16, NULL},
        {"=u2", MXQ_F16, MXQ_F16, NULL},
        {">u2", MXQ_BF16, MXQ_BF16, NULL},
        {"<i2", MXQ_F16, MXQ_F16, NULL},
        {"|i2", MXQ_BF16, MXQ_BF16, NULL},
        {"=i2", MXQ_BF16, MXQ_BF16, NULL},
        {">i2", MXQ_F16, MXQ_F16, NULL},
        {"<u2", -1, -1, "--dtype bf16|f16"},
        {"|i2", -1, -1, "--dtype bf16|f16"},
        {"<u2", MXQ_F32, -1, "'<u2', which cannot be read as f32"},
        {"<V2", MXQ_F32, -1, "'<V2', which cannot be read as f32"},
        {"<f4", MXQ_BF16, -1, "'<f4', which cannot be read as bf16"},
        {"<f2", MXQ_BF16, -1, "'<f2', which cannot be read as bf16"},
        {"bfloat16", MXQ_F16, -1, "'bfloat16', which cannot be read as f16"},
        {"<f8", -1, -1, "accepted are <V2 |V2 bfloat16 <f4"},
        {"|O", -1, -1, "type '|O' (accepted are"},
        {"|u1", -1, -1, "accepted are"},
        {"<V1", -1, -1, "accepted are"},
        {">V2", -1, -1, "accepted are"},
        {"f4", -1, -1, "accepted are"},
        {"<f44", -1, -1, "accepted are"},
        {"", -1, -1, "accepted are"},
        {"\xff\xfe\x01", -1, -1, "type '\?\?\?'"},
    };
    char name[128];

    for (size_t i = 0; i < NELEMS(rows); i++) {
        struct mxq_source_options options = {.has_dtype = rows[i].option >= 0};
        struct bytes npy = make_npy(rows[i].descr, false, "(5, 7)", 35);
        const char *path = save_bytes("descr.npy", npy);
        struct bytes matrix = {0};
        struct mxq_tensor tensor;
        struct mxq_fault fault;

        if (rows[i].option >= 0)
            options.dtype = (enum mxq_dtype)rows[i].option;
        snprintf(name, sizeof(name), "descr %zu '%s'%s%s", i, i == NELEMS(rows) - 1 ? "junk" : rows[i].descr,
                 rows[i].option >= 0 ? " with --dtype " : "", rows[i].option >= 0 ? mxq_dtype_name(options.dtype) : "");
        if (rows[i].dtype < 0)
            expect_fault(name, &options, path, rows[i].phrase);
        else if (expect_counting(name, &options, path, 35) && read_whole(&options, path, &matrix, &tensor, &fault) &&
                 tensor.dtype != (enum mxq_dtype)rows[i].dtype)
            CHECK_FAIL(name, "dtype %s", mxq_dtype_name(tensor.dtype));
        release(&matrix);
        release(&npy);
    }
}

/* Headers that NumPy accepts too; all of 2 x 3 little-endian binary16. */
static void check_good_headers(void)
{
    static const struct {
        const char *name;
        unsigned major;
        const char *text;
    } rows[] = {
        {"version 1.0", 1, "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }      \n"},
        {"version 2.0", 2, "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }\n"},
        {"version 3.0", 3, "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }\n"},
        {"no newline at the end", 1, "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }"},
        {"no comma at the end", 1, "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3)}"},
        {"no spaces", 1, "{'descr':'<f2','fortran_order':False,'shape':(2,3)}"},
        {"much white space", 1,
         " \t{\n'descr'\n:\t'<f2' ,\r\n'fortran_order' : False , 'shape':( 2 , 3 , ) , }\n\n \f"},
        {"another order of the keys", 1, "{'shape': (2, 3), 'descr': '<f2', 'fortran_order': False}"},
        {"double quotes", 1, "{\"descr\": \"<f2\", \"fortran_order\": False, \"shape\": (2, 3)}"},
        {"mixed quotes", 3, "{'descr': \"<f2\", \"fortran_order\": False, 'shape': (2, 3)}"},
        {"the L of Python 2", 1, "{'descr': '<f2', 'fortran_order': False, 'shape': (2L, 3L)}"},
        {"the L of Python 2 in version 2.0", 2, "{'descr': '<f2', 'fortran_order': False, 'shape': (2L, 3 L,)}"},
        {"rank 1", 1, "{'descr': '<f2', 'fortran_order': False, 'shape': (6,)}"},
        {"rank 1 in Fortran order", 1, "{'descr': '<f2', 'fortran_order': True, 'shape': (6,)}"},
        {"one row in Fortran order", 1, "{'descr': '<f2', 'fortran_order': True, 'shape': (1, 6, 1)}"},
        {"rank 32", 1,
         "{'descr': '<f2', 'fortran_order': False, 'shape': "
         "(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2,3)}"},
    };

    for (size_t i = 0; i < NELEMS(rows); i++) {
        struct bytes npy = {0};

        append_header(&npy, rows[i].major, rows[i].text, strlen(rows[i].text));
        append_elements(&npy, 6, 2, false);
        expect_counting(rows[i].name, NULL, save_bytes("good.npy", npy), 6);
        release(&npy);
    }
}

static void check_limits(void)
{
    static const char start[] = "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }";
    char *text = malloc(70000);
    struct bytes npy = {0};

    memset(text, ' ', 70000);
    memcpy(text, start, sizeof(start) - 1);
    append_header(&npy, 1, text, 10000);
    append_elements(&npy, 6, 2, false);
    expect_counting("a header of 10000 bytes is read", NULL, save_bytes("limit.npy", npy), 6);
    release(&npy);

    append_header(&npy, 1, text, 10001);
    append_elements(&npy, 6, 2, false);
    expect_fault("a header of 10001 bytes is refused", NULL, save_bytes("limit.npy", npy), "10001 bytes long");
    release(&npy);

    append_header(&npy, 2, text, 66000);
    expect_fault("a header beyond version 1.0 is refused", NULL, save_bytes("limit.npy", npy),
                 "NumPy's limit is 10000");
    release(&npy);

    append(&npy, MAGIC "\x02\x00\xff\xff\xff\xff{}", 14);
    expect_fault("a header of 4 GiB is refused", NULL, save_bytes("limit.npy", npy), "4294967295 bytes long");
    release(&npy);
    free(text);
}

#define SHAPE(shape) "{'descr': '<f2', 'fortran_order': False, 'shape': " shape ", }\n"
#define DESCR(descr) "{'descr': " descr ", 'fortran_order': False, 'shape': (2, 3), }\n"
#define ORDER(order) "{'descr': '<f2', 'fortran_order': " order ", 'shape': (2, 3), }\n"

static const struct {
    const char *text;
    unsigned major;
    const char *phrase;
} hostile[] = {
    {"", 1, "not a dictionary"},
    {" \n", 1, "not a dictionary"},
    {"[]", 1, "not a dictionary"},
    {"hello", 1, "not a dictionary"},
    {"{", 1, "expected a string"},
    {"{}", 1, "no key 'descr'"},
    {"{,}", 1, "expected a string"},
    {"{'descr'", 1, "expected ':'"},
    {"{'descr': ", 1, "expected a string"},
    {"{'descr': '<f2'", 1, "expected ',' or '}'"},
    {"{'descr': '<f2' 'fortran_order': False}", 1, "expected ',' or '}'"},
    {"{'descr': '<f2', 'fortran_order': False, }", 1, "no key 'shape'"},
    {"{'descr': '<f2', 'shape': (2, 3), }", 1, "no key 'fortran_order'"},
    {"{'fortran_order': False, 'shape': (2, 3), }", 1, "no key 'descr'"},
    {"{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), 'extra': 1}", 1, "unknown key 'extra'"},
    {"{'descr': '<f2', 'descr': '<f2', 'fortran_order': False, 'shape': (2, 3)}", 1, "duplicate key 'descr'"},
    {"{'shape': (2, 3), 'shape': (2, 3), 'descr': '<f2', 'fortran_order': False}", 1, "duplicate key 'shape'"},
    {"{'Descr': '<f2', 'fortran_order': False, 'shape': (2, 3)}", 1, "unknown key 'Descr'"},
    {"{'descr\x01\x1b[31m\n': '<f2'}", 1, "unterminated string"},
    {"{'descr\x01\x1b[31m': '<f2'}", 1, "unknown key 'descr??[31m'"},
    {"{'\xc3\xa9\xe2\x82\xac': '<f2'}", 3, "unknown key '\?\?\?\?\?'"},
    {"\xef\xbb\xbf{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3)}", 3, "not a dictionary"},
    {"{'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa': 1}", 1, "aaaa...'"},
    {"{descr: '<f2', 'fortran_order': False, 'shape': (2, 3)}", 1, "expected a string"},
    {"{1: '<f2'}", 1, "expected a string"},
    {"{'descr", 1, "unterminated string"},
    {"{'descr\": '<f2'}", 1, "unknown key"},
    {DESCR("'<f2"), 1, "expected ',' or '}'"},
    {DESCR("'<\\x662'"), 1, "escape in a string"},
    {DESCR("b'<f2'"), 1, "expected a string"},
    {DESCR("'''<f2'''"), 1, "expected ',' or '}'"},
    {DESCR("None"), 1, "expected a string"},
    {DESCR("2"), 1, "expected a string"},
    {DESCR("[('a', '<f2'), ('b', '<f4')]"), 1, "structured dtype"},
    {DESCR("('<f2', (3,))"), 1, "expected a string"},
    {DESCR("__import__('os')"), 1, "expected a string"},
    {ORDER("1"), 1, "neither True nor False"},
    {ORDER("0"), 1, "neither True nor False"},
    {ORDER("'True'"), 1, "neither True nor False"},
    {ORDER("Truest"), 1, "neither True nor False"},
    {ORDER("true"), 1, "neither True nor False"},
    {ORDER("None"), 1, "neither True nor False"},
    {ORDER(""), 1, "neither True nor False"},
    {SHAPE("[2, 3]"), 1, "shape is not a tuple"},
    {SHAPE("6"), 1, "shape is not a tuple"},
    {SHAPE("(6)"), 1, "shape is not a tuple"},
    {SHAPE("2, 3"), 1, "shape is not a tuple"},
    {SHAPE("'(2, 3)'"), 1, "shape is not a tuple"},
    {SHAPE("(,)"), 1, "expected a size"},
    {SHAPE("(2,,3)"), 1, "expected a size"},
    {SHAPE("(2 3)"), 1, "expected ',' or ')'"},
    {SHAPE("(2, 3"), 1, "expected a size"},
    {SHAPE("(2, (3,))"), 1, "expected a size"},
    {SHAPE("((((((((((((((((((((((((((((((((((((2"), 1, "expected a size"},
    {SHAPE("(-2, -3)"), 1, "negative size"},
    {SHAPE("(2, -1)"), 1, "negative size"},
    {SHAPE("(-9223372036854775808,)"), 1, "negative size"},
    {SHAPE("(2.0, 3)"), 1, "expected ',' or ')'"},
    {SHAPE("(2e0, 3)"), 1, "expected ',' or ')'"},
    {SHAPE("(0x2, 3)"), 1, "expected ',' or ')'"},
    {SHAPE("(1_0, 3)"), 1, "expected ',' or ')'"},
    {SHAPE("(02, 3)"), 1, "leading zero"},
    {SHAPE("(True, 6)"), 1, "expected a size"},
    {SHAPE("('2', 3)"), 1, "expected a size"},
    {SHAPE("(2l, 3l)"), 1, "expected ',' or ')'"},
    {SHAPE("(2LL, 3)"), 1, "expected ',' or ')'"},
    {SHAPE("(2L, 3L)"), 3, "expected ',' or ')'"},
    {SHAPE("(18446744073709551616,)"), 1, "size beyond 64 bits"},
    {SHAPE("(99999999999999999999999999999999999999999999, 0)"), 1, "size beyond 64 bits"},
    {SHAPE("(18446744073709551615,)"), 1, "cannot be counted"},
    {SHAPE("(9223372036854775807,)"), 1, "cannot be counted"},
    {SHAPE("(4294967296, 4294967296)"), 1, "cannot be counted"},
    {SHAPE("(2147483648, 2147483648, 2)"), 1, "cannot be counted"},
    {SHAPE("(0, 4294967296, 4294967296)"), 1, "cannot be counted"},
    {SHAPE("(4294967296, 0, 4294967296)"), 1, "cannot be counted"},
    {SHAPE("(4611686018427387903,)"), 1, "too short"},
    {SHAPE("(1000000, 1000000)"), 1, "too short"},
    {SHAPE("(7,)"), 1, "too short"},
    {SHAPE("(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2,3)"), 1, "more than 32 dimensions"},
    {SHAPE("(0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0)"), 1, "more than 32 dimensions"},
    {SHAPE("(2, 3)") "x", 1, "after the dictionary"},
    {SHAPE("(2, 3)") "{}", 1, "after the dictionary"},
    {SHAPE("(2, 3)") "# a comment", 1, "after the dictionary"},
};

static void check_hostile_headers(void)
{
    for (size_t i = 0; i < NELEMS(hostile); i++) {
        struct bytes npy = {0};
        struct bytes gz = {0};
        char name[80];

        append_header(&npy, hostile[i].major, hostile[i].text, strlen(hostile[i].text));
        append_elements(&npy, 6, 2, false);
        snprintf(name, sizeof(name), "hostile header %zu: %s", i, hostile[i].phrase);
        if (expect_fault(name, NULL, save_bytes("hostile.npy", npy), hostile[i].phrase) &&
            strstr(hostile[i].phrase, "too short") == NULL) {
            append_gz(&gz, npy.data, npy.nbytes);
            snprintf(name, sizeof(name), "hostile header %zu in a gzip: %s", i, hostile[i].phrase);
            expect_fault(name, NULL, save_bytes("hostile.npy.gz", gz), hostile[i].phrase);
        }
        release(&npy);
        release(&gz);
    }
}

static void check_nuls_in_headers(void)
{
    static const char text[] = "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }\0\0\0\n";
    struct bytes npy = {0};

    append_header(&npy, 1, text, sizeof(text) - 1);
    append_elements(&npy, 6, 2, false);
    expect_fault("NUL characters after the dictionary are refused", NULL, save_bytes("nul.npy", npy),
                 "after the dictionary");
    release(&npy);
    append_header(&npy, 1, "{\0}", 3);
    expect_fault("a NUL character in the dictionary is refused", NULL, save_bytes("nul.npy", npy), "expected a string");
    release(&npy);
}

static void check_versions(void)
{
    static const char *const bad[] = {"\x00\x00", "\x01\x01", "\x04\x00", "\xff\x00", "\x02\xff"};
    struct bytes npy = make_npy("<f2", false, "(2, 3)", 6);

    for (size_t i = 0; i < NELEMS(bad); i++) {
        memcpy(npy.data + 6, bad[i], 2);
        expect_fault("an unknown version is refused", NULL, save_bytes("version.npy", npy), "unknown .npy version");
    }
    release(&npy);
}

/* Every prefix of a good file is refused, from a file and from a pipe. */
static void check_truncation(void)
{
    struct bytes npy = make_npy("<f4", false, "(2, 3)", 6);
    struct bytes matrix = {0};
    struct mxq_tensor tensor;
    struct mxq_fault fault;
    unsigned nread = 0;
    unsigned nwrong = 0;

    for (size_t n = 0; n < npy.nbytes; n++) {
        struct bytes part = {npy.data, n, 0};

        nread += read_whole(NULL, save_bytes("part.npy", part), &matrix, &tensor, &fault);
        nwrong += !is_line_with(fault.text, n == 0                ? "empty"
                                            : n < 6               ? "neither .npy"
                                            : n < npy.nbytes - 24 ? "truncated .npy header"
                                                                  : "too short: the tensor takes 24 bytes");
        if (n % 8 == 7) {
            feed_stdin(part);
            nread += read_whole(NULL, "-", &matrix, &tensor, &fault);
            nwrong += !is_line_with(fault.text, "\"standard input\": ");
            restore_stdin();
        }
    }
    CHECK(nread == 0 && nwrong == 0, "every truncated .npy is refused with the reason");
    release(&matrix);
    release(&npy);
}

static void check_trailing_bytes(void)
{
    struct bytes npy = make_npy("<f2", false, "(5, 7)", 35);
    struct bytes gz = {0};
    const char *phrase = "ignored bytes after the tensor";

    expect_counting("a .npy without trailing bytes", NULL, save_bytes("tail.npy", npy), 35);
    CHECK(warning[0] == '\0', "no warning without trailing bytes");
    append(&npy, "x", 1);
    expect_counting("a .npy with a trailing byte", NULL, save_bytes("tail.npy", npy), 35);
    CHECK(strstr(warning, phrase) != NULL, "a warning about a trailing byte");
    feed_stdin(npy);
    expect_counting("a piped .npy with a trailing byte", NULL, "-", 35);
    restore_stdin();
    CHECK(strstr(warning, phrase) != NULL, "a warning about a trailing byte in a pipe");
    append_gz(&gz, npy.data, npy.nbytes);
    expect_counting("a compressed .npy with a trailing byte", NULL, save_bytes("tail.npy.gz", gz), 35);
    CHECK(strstr(warning, phrase) != NULL, "a warning about a trailing byte in a gzip");
    release(&gz);
    release(&npy);
}

static void check_empty_tensors(void)
{
    static const struct {
        const char *shape;
        uint64_t nelems, rows, cols;
        bool fortran_order;
    } rows[] = {
        {"()", 1, 1, 1, false},        {"()", 1, 1, 1, true},      {"(0,)", 0, 1, 0, false},
        {"(0, 3)", 0, 0, 3, true},     {"(3, 0)", 0, 3, 0, true},  {"(2, 0, 5)", 0, 0, 5, false},
        {"(2, 5, 0)", 0, 10, 0, true}, {"(0, 0)", 0, 0, 0, false}, {"(1,)", 1, 1, 1, true},
    };
    bool ok = true;

    for (size_t i = 0; i < NELEMS(rows); i++) {
        struct bytes npy = make_npy("<f4", rows[i].fortran_order, rows[i].shape, rows[i].nelems);
        struct bytes matrix = {0};
        struct mxq_tensor tensor;
        struct mxq_fault fault;
        uint64_t r = 99, c = 99;

        ok &= read_whole(NULL, save_bytes("empty.npy", npy), &matrix, &tensor, &fault) &&
              tensor.nelems == rows[i].nelems && !tensor.fortran_order &&
              mxq_flatten_tensor(&tensor, MXQ_FLATTEN_LAST, &r, &c) && r == rows[i].rows && c == rows[i].cols &&
              is_counting(matrix, rows[i].nelems, 4);
        feed_stdin(npy);
        ok &= read_whole(NULL, "-", &matrix, &tensor, &fault) && is_counting(matrix, rows[i].nelems, 4);
        restore_stdin();
        release(&matrix);
        release(&npy);
    }
    CHECK(ok, "tensors of rank 0 and with a zero in the shape are read");
}

/* ---------------------------------------------------------------------------------------------- flattening */

static void check_flatten(void)
{
    struct mxq_tensor tensor = {.rank = 3, .shape = {2, 3, 5}};
    static const struct {
        int32_t axis;
        bool ok;
        uint64_t rows, cols;
    } rows[] = {
        {MXQ_FLATTEN_LAST, true, 6, 5},
        {0, true, 1, 30},
        {1, true, 2, 15},
        {2, true, 6, 5},
        {3, true, 30, 1},
        {-1, true, 6, 5},
        {-2, true, 2, 15},
        {-3, true, 1, 30},
        {4, false, 0, 0},
        {-4, false, 0, 0},
        {INT32_MAX, false, 0, 0},
        {INT32_MIN + 1, false, 0, 0},
    };
    bool ok = true;

    for (size_t i = 0; i < NELEMS(rows); i++) {
        uint64_t r = 0, c = 0;

        ok &= mxq_flatten_tensor(&tensor, rows[i].axis, &r, &c) == rows[i].ok;
        ok &= r == rows[i].rows && c == rows[i].cols;
    }
    CHECK(ok, "a shape is split before any axis");
}

/* The element number in the file of element (r, c), by the definition of the orders. */
static uint64_t file_number(const uint64_t *shape, unsigned rank, bool fortran_order, uint64_t c_number)
{
    uint64_t index[MXQ_MAX_RANK] = {0};
    uint64_t number = 0;

    for (unsigned i = rank; i-- > 0; c_number /= shape[i])
        index[i] = c_number % shape[i];
    for (unsigned i = 0; i < rank; i++) {
        unsigned axis = fortran_order ? rank - 1 - i : i;

        number = number * shape[axis] + index[axis];
    }
    return number;
}

static bool is_permuted(struct bytes matrix, const struct mxq_tensor *tensor, bool fortran_order)
{
    size_t size = mxq_dtype_nbytes(tensor->dtype);

    for (uint64_t i = 0; i < tensor->nelems; i++) {
        uint32_t wanted = value_at(file_number(tensor->shape, tensor->rank, fortran_order, i), size);
        uint16_t half;
        uint32_t word;

        memcpy(&half, matrix.data + i * size, 2);
        if (size == 2 && half != wanted)
            return false;
        if (size == 4 && (memcpy(&word, matrix.data + i * size, 4), word != wanted))
            return false;
    }
    return matrix.nbytes == tensor->nbytes;
}

/* Reads one file with all axes and several panel sizes. */
static void check_orders_of(const char *shape, uint64_t nelems, const char *descr, bool fortran_order, bool gz)
{
    static const uint64_t panels[][2] = {{1, UINT64_MAX}, {256, 256}, {7, 5},
                                         {64, 32},        {100, 33},  {UINT64_MAX, UINT64_MAX}};
    struct bytes npy = make_npy(descr, fortran_order, shape, nelems);
    struct bytes packed = {0};
    struct bytes matrix = {0};
    struct mxq_source_options options = {.has_dtype = descr[1] == 'u', .dtype = MXQ_BF16};
    struct mxq_source *source;
    const struct mxq_tensor *tensor;
    struct mxq_fault fault = {""};
    char name[128];
    bool ok;

    snprintf(name, sizeof(name), "%s %s in %s order%s by panels", shape, descr, fortran_order ? "Fortran" : "C",
             gz ? " in a gzip" : "");
    if (gz)
        append_gz(&packed, npy.data, npy.nbytes);
    ok = mxq_open_source(&options, save_bytes("order.npy", gz ? packed : npy), &source, &fault) &&
         mxq_next_tensor(source, &tensor, &fault) == 1 && mxq_tensor_is_seekable(source) == !gz &&
         mxq_spool_tensor(source, folder, &fault) && mxq_tensor_is_seekable(source);
    for (unsigned axis = 0; ok && axis <= tensor->rank; axis++) {
        for (size_t i = 0; ok && i < NELEMS(panels); i++) {
            ok = read_matrix(source, tensor, (int32_t)axis, panels[i][0], panels[i][1], &matrix, &fault) &&
                 is_permuted(matrix, tensor, fortran_order);
            if (!ok)
                CHECK_FAIL(name, "axis %u, panels %zu: %s", axis, i, fault.text);
        }
    }
    if (ok && mxq_finish_tensor(source, &fault))
        CHECK_PASS(name);
    else if (ok || fault.text[0] != '\0')
        CHECK_FAIL(name, "%s", fault.text);
    mxq_close_source(source);
    release(&matrix);
    release(&packed);
    release(&npy);
}

static void check_orders(void)
{
    static const struct {
        const char *shape;
        uint64_t nelems;
    } rows[] = {
        {"(6, 4)", 24},           {"(67, 129)", 67 * 129}, {"(300, 1)", 300},      {"(1, 300)", 300},
        {"(3, 5, 7)", 105},       {"(4, 1, 65, 3)", 780},  {"(5, 3, 2, 33)", 990}, {"(2, 3, 2, 3, 2)", 72},
        {"(65, 2, 33)", 65 * 66}, {"(256, 64)", 256 * 64},
    };

    for (size_t i = 0; i < NELEMS(rows); i++) {
        check_orders_of(rows[i].shape, rows[i].nelems, "<V2", true, false);
        check_orders_of(rows[i].shape, rows[i].nelems, ">f4", true, i % 2 == 0);
        check_orders_of(rows[i].shape, rows[i].nelems, "<f4", false, false);
        check_orders_of(rows[i].shape, rows[i].nelems, ">f2", false, i % 2 == 1);
    }
    check_orders_of("(65, 2, 33)", 65 * 66, ">u2", true, true);
}

/* ---------------------------------------------------------------------------------------------- raw */

static void check_raw(void)
{
    struct mxq_source_options options = raw_options(MXQ_BF16, 5, 7);
    struct bytes raw = {0};
    struct bytes gz = {0};
    struct bytes padded = {0};

    append_elements(&raw, 35, 2, false);
    expect_counting("a raw file", &options, save_bytes("raw", raw), 35);
    feed_stdin(raw);
    expect_counting("a raw pipe", &options, "-", 35);
    restore_stdin();
    append_gz(&gz, raw.data, raw.nbytes);
    expect_counting("a raw file in a gzip", &options, save_bytes("raw.gz", gz), 35);
    release(&gz);

    options.shape[1] = 8;
    expect_fault("a raw file that is too short", &options, save_bytes("raw", raw),
                 "takes 80 bytes, but there are only 70");
    feed_stdin(raw);
    expect_fault("a raw pipe that is too short", &options, "-", "takes 80 bytes, but there are only 70");
    restore_stdin();
    options.shape[1] = UINT64_MAX;
    expect_fault("a raw shape that overflows", &options, save_bytes("raw", raw), "cannot be counted");
    options.rank = 33;
    expect_fault("a raw shape of rank 33", &options, save_bytes("raw", raw), "more than 32 dimensions");
    options.rank = 2;
    options.shape[1] = 7;
    options.has_dtype = false;
    expect_fault("a raw file without a dtype", &options, save_bytes("raw", raw), "needs a dtype");
    options.has_dtype = true;
    options.member = "a";
    expect_fault("a member of a raw file", &options, save_bytes("raw", raw), "not an archive");
    options.member = NULL;

    append(&raw, "abc", 3);
    append_gz(&gz, raw.data, raw.nbytes);
    expect_fault("a raw file that is too long", &options, save_bytes("raw", raw), "takes 70 bytes, but there are 73");
    expect_fault("a raw gzip that is too long", &options, save_bytes("raw.gz", gz),
                 "takes 70 bytes, but there are more");
    feed_stdin(raw);
    expect_fault("a raw pipe that is too long", &options, "-", "takes 70 bytes, but there are more");
    restore_stdin();
    options.partial = true;
    expect_counting("a partial raw file", &options, save_bytes("raw", raw), 35);
    expect_counting("a partial raw file in a gzip", &options, save_bytes("raw.gz", gz), 35);
    CHECK(warning[0] == '\0', "no warning about a partial raw file");
    options.partial = false;
    release(&gz);

    append(&padded, "0123456789abc", 13);
    append(&padded, raw.data, raw.nbytes);
    append_gz(&gz, padded.data, padded.nbytes);
    options.has_offset = true;
    options.offset = 13;
    expect_counting("a raw file from an odd offset on", &options, save_bytes("raw", padded), 35);
    expect_counting("a raw gzip from an odd offset on", &options, save_bytes("raw.gz", gz), 35);
    feed_stdin(padded);
    expect_counting("a raw pipe from an odd offset on", &options, "-", 35);
    restore_stdin();
    options.offset = 17;
    expect_fault("too little after an offset", &options, save_bytes("raw", padded), "but there are only 69");
    options.offset = 1000;
    expect_fault("an offset beyond the end", &options, save_bytes("raw", padded), "beyond its end at 86");
    expect_fault("an offset beyond the end of a gzip", &options, save_bytes("raw.gz", gz), "beyond its end at 86");
    options.offset = UINT64_MAX;
    expect_fault("an offset of 2^64 - 1", &options, save_bytes("raw", padded), "beyond its end at 86");
    release(&padded);
    release(&gz);
    release(&raw);

    options = raw_options(MXQ_F32, 0, 7);
    expect_counting("an empty raw file", &options, save_bytes("raw", raw), 0);
    raw = make_npy("<f2", false, "(2, 3)", 6);
    options = raw_options(MXQ_F16, 1, raw.nbytes / 2);
    options.partial = true;
    {
        struct bytes matrix = {0};
        struct mxq_tensor tensor;
        struct mxq_fault fault;

        CHECK(read_whole(&options, save_bytes("raw", raw), &matrix, &tensor, &fault) &&
                  memcmp(matrix.data, raw.data, raw.nbytes / 2 * 2) == 0,
              "a .npy for which a shape is given is raw");
        release(&matrix);
    }
    release(&raw);
}

/* ---------------------------------------------------------------------------------------------- files */

static void check_files(void)
{
    struct bytes npy = make_npy("<f2", false, "(5, 7)", 35);
    struct mxq_source_options options = {.member = "a"};
    struct mxq_source *source = (struct mxq_source *)&npy;
    struct mxq_fault fault;
    struct stat info;
    uint64_t device = 0, inode = 0;
    const char *path;

    expect_fault("a missing file", NULL, path_to("missing"), "missing\": cannot open: No such file or directory");
    expect_fault("a folder", NULL, folder, "Is a directory");
    expect_fault("an empty file", NULL, save("nothing", "", 0), "nothing\": empty");
    expect_fault("a file of one byte", NULL, save("w.bin", "\x93", 1), "neither .npy, .npz nor gzip");
    expect_fault("an unknown format", NULL, save("w.bin", "hello, world", 12),
                 "w.bin\": neither .npy, .npz nor gzip (give --shape and --dtype for a raw file)");
    expect_fault("a member of a .npy", &options, save_bytes("a.npy", npy), "not an archive (--member is for .npz)");
    path = save_bytes("secret.npy", npy);
    if (chmod(path, 0) == 0 && access(path, R_OK) != 0)
        expect_fault("a file without permission", NULL, path, "Permission denied");
    else
        CHECK_SKIP("a file without permission", "the superuser may read everything");
    CHECK(!mxq_open_source(&options, path_to("missing"), &source, &fault) && source == NULL,
          "a source that cannot be opened is NULL");
    mxq_close_source(NULL);

    path = save_bytes("a.npy", npy);
    CHECK(mxq_open_source(&(struct mxq_source_options){0}, path, &source, &fault) && stat(path, &info) == 0 &&
              mxq_source_is_file(source, &device, &inode) && device == info.st_dev && inode == info.st_ino &&
              strcmp(mxq_source_format(source), "npy") == 0,
          "a source knows its file and format");
    mxq_close_source(source);
    feed_stdin(npy);
    CHECK(mxq_open_source(&(struct mxq_source_options){0}, "-", &source, &fault) &&
              !mxq_source_is_file(source, &device, &inode),
          "a pipe is no file");
    mxq_close_source(source);
    restore_stdin();
    release(&npy);
}

static void check_changing_files(void)
{
    struct bytes npy = make_npy("<f4", false, "(500, 1000)", 500000);
    const char *path = save_bytes("change.npy", npy);
    struct mxq_panel panel = {400, 0, 100, 1000};
    void *elements = malloc(400000);
    struct mxq_source *source;
    const struct mxq_tensor *tensor;
    struct mxq_fault fault;

    if (!mxq_open_source(&(struct mxq_source_options){0}, path, &source, &fault) ||
        mxq_next_tensor(source, &tensor, &fault) != 1)
        abort();
    CHECK(mxq_read_panel(source, 1000, &panel, elements, NULL, &fault), "a panel before the file shrinks");
    if (truncate(path, 1000) != 0)
        abort();
    CHECK(!mxq_read_panel(source, 1000, &panel, elements, NULL, &fault) && is_line_with(fault.text, "change.npy\": "),
          "a panel after the file has shrunk is a fault");
    CHECK(!mxq_finish_tensor(source, &fault) && is_line_with(fault.text, "changed while it was read"),
          "a file that has changed is a fault at the end");
    mxq_close_source(source);
    free(elements);
    release(&npy);
}

static void check_streams(void)
{
    struct bytes npy = make_npy("<V2", false, "(600, 40)", 24000);
    uint32_t whole = (uint32_t)crc32(0, npy.data + npy.nbytes - 48000, 48000);
    uint32_t crc = 0, part = 0;
    uint8_t *elements = malloc(48000);
    struct mxq_panel panel = {0, 0, 256, 40};
    struct mxq_source_options none = {0};
    struct mxq_source *source;
    const struct mxq_tensor *tensor;
    struct mxq_fault fault;
    bool ok;

    feed_stdin(npy);
    ok = mxq_open_source(&none, "-", &source, &fault) && mxq_next_tensor(source, &tensor, &fault) == 1;
    CHECK(ok && !mxq_tensor_is_seekable(source), "a pipe is not seekable");
    for (; ok && panel.row0 < 600; panel.row0 += panel.rows) {
        panel.rows = 600 - panel.row0 < 256 ? 600 - panel.row0 : 256;
        ok = mxq_read_panel(source, 40, &panel, elements + panel.row0 * 80, &part, &fault);
        crc = (uint32_t)crc32_combine(crc, part, (z_off_t)panel.rows * 80);
    }
    CHECK(ok && memcmp(elements, npy.data + npy.nbytes - 48000, 48000) == 0, "a pipe is read in order");
    CHECK(crc == whole, "the checksums of the panels make that of the whole");
    CHECK(mxq_finish_tensor(source, &fault) && mxq_finish_tensor(source, &fault), "finishing twice is once");
    mxq_close_source(source);
    restore_stdin();

    feed_stdin(npy);
    panel = (struct mxq_panel){256, 0, 256, 40};
    CHECK(mxq_open_source(&none, "-", &source, &fault) && mxq_next_tensor(source, &tensor, &fault) == 1 &&
              !mxq_read_panel(source, 40, &panel, elements, NULL, &fault) && is_line_with(fault.text, "out of order"),
          "a pipe read out of order is a fault");
    CHECK(!mxq_checksum_tensor(source, &crc, &fault), "a pipe has no checksum before it was spooled");
    CHECK(mxq_spool_tensor(source, folder, &fault) && mxq_tensor_is_seekable(source) &&
              mxq_read_panel(source, 40, &panel, elements, &part, &fault) &&
              memcmp(elements, npy.data + npy.nbytes - 48000 + 256 * 80, 256 * 80) == 0,
          "a spooled pipe can be read anywhere");
    CHECK(mxq_checksum_tensor(source, &crc, &fault) && crc == whole, "a spooled pipe has its checksum");
    CHECK(mxq_finish_tensor(source, &fault) && mxq_next_tensor(source, &tensor, &fault) == 0, "a pipe has one tensor");
    mxq_close_source(source);
    restore_stdin();

    CHECK(mxq_open_source(&none, save_bytes("sum.npy", npy), &source, &fault) &&
              mxq_next_tensor(source, &tensor, &fault) == 1 && mxq_checksum_tensor(source, &crc, &fault) &&
              crc == whole,
          "the checksum of a file is zlib's");
    panel = (struct mxq_panel){500, 0, 101, 40};
    CHECK(!mxq_read_panel(source, 40, &panel, elements, NULL, &fault), "a panel beyond the last row is a fault");
    panel = (struct mxq_panel){0, 30, 10, 11};
    CHECK(!mxq_read_panel(source, 40, &panel, elements, NULL, &fault), "a panel beyond the last column is a fault");
    panel = (struct mxq_panel){0, 0, 1, 41};
    CHECK(!mxq_read_panel(source, 41, &panel, elements, NULL, &fault), "a width that is not the tensor's is a fault");
    mxq_close_source(source);
    free(elements);
    release(&npy);
}

static void check_standard_input(void)
{
    struct bytes npy = make_npy("<f4", false, "(5, 7)", 35);
    struct bytes gz = {0};
    struct bytes offset = {0};
    const char *fifo = path_to("fifo");
    pid_t writer;
    int fd;

    append(&offset, "already read", 12);
    append(&offset, npy.data, npy.nbytes);
    fd = open(save_bytes("offset.bin", offset), O_RDONLY);
    lseek(fd, 12, SEEK_SET);
    replace_stdin(fd);
    expect_counting("a standard input that was read from before", NULL, "-", 35);
    restore_stdin();

    append_gz(&gz, npy.data, npy.nbytes);
    feed_stdin(gz);
    expect_counting("a gzip from a pipe", NULL, "-", 35);
    restore_stdin();
    replace_stdin(open(folder, O_RDONLY));
    expect_fault("a folder as standard input", NULL, "-", "\"standard input\": cannot read: Is a directory");
    restore_stdin();
    close(STDIN_FILENO);
    expect_fault("a closed standard input", NULL, "-", "Bad file descriptor");
    restore_stdin();

    if (mkfifo(fifo, 0600) != 0)
        abort();
    fflush(stdout);
    writer = fork();
    if (writer == 0) {
        fd = open(fifo, O_WRONLY);
        _exit(write(fd, npy.data, npy.nbytes) < 0);
    }
    expect_counting("a named pipe", NULL, fifo, 35);
    waitpid(writer, NULL, 0);
    unlink(fifo);
    release(&offset);
    release(&gz);
    release(&npy);
}

/* ---------------------------------------------------------------------------------------------- gzip */

static void check_gz_members(void)
{
    struct bytes npy = make_npy("<f4", false, "(200, 70)", 14000);
    bool ok = true;

    for (size_t cut = 0; cut <= npy.nbytes; cut += cut < 200 ? 1 : 5003) {
        struct bytes gz = {0};
        struct bytes matrix = {0};
        struct mxq_tensor tensor;
        struct mxq_fault fault;

        append_gz(&gz, npy.data, cut);
        append_gz(&gz, npy.data, 0);
        append_gz(&gz, npy.data + cut, npy.nbytes - cut);
        ok &= read_whole(NULL, save_bytes("members.gz", gz), &matrix, &tensor, &fault) && warning[0] == '\0' &&
              is_counting(matrix, 14000, 4);
        release(&matrix);
        release(&gz);
    }
    CHECK(ok, "gzip members that follow each other are one file");
    release(&npy);
}

static void check_gz_damage(void)
{
    struct bytes npy = make_npy("<f4", false, "(200, 70)", 14000);
    struct bytes gz = {0};
    struct bytes matrix = {0};
    struct mxq_tensor tensor;
    struct mxq_fault fault;
    bool ok = true;

    append_gz(&gz, npy.data, npy.nbytes);
    for (size_t n = 2; n < gz.nbytes; n += n < 30 || n + 30 > gz.nbytes ? 1 : 997) {
        ok &= !read_whole(NULL, save("cut.gz", gz.data, n), &matrix, &tensor, &fault) &&
              is_line_with(fault.text, "truncated gzip data");
    }
    CHECK(ok, "every truncated gzip is refused");
    ok = true;
    for (size_t i = 1; i <= 8; i++) {
        gz.data[gz.nbytes - i] ^= 0x10;
        ok &= !read_whole(NULL, save_bytes("bad.gz", gz), &matrix, &tensor, &fault) &&
              is_line_with(fault.text, i <= 4 ? "corrupt gzip data: incorrect length check"
                                              : "corrupt gzip data: incorrect data check");
        gz.data[gz.nbytes - i] ^= 0x10;
    }
    CHECK(ok, "a gzip with a wrong checksum or length is refused");
    ok = true;
    /* The first byte of the deflated data may have padding in it. */
    for (size_t i = 11; i < gz.nbytes; i += 499) {
        gz.data[i] ^= 0x10;
        ok &= !read_whole(NULL, save_bytes("bad.gz", gz), &matrix, &tensor, &fault) &&
              is_line_with(fault.text, "bad.gz\": ");
        gz.data[i] ^= 0x10;
    }
    CHECK(ok, "a gzip with a wrong bit is refused");
    release(&matrix);
    release(&gz);
    release(&npy);
}

static void check_gz(void)
{
    struct bytes npy = make_npy("<f4", false, "(5, 7)", 35);
    struct bytes gz = {0};
    struct bytes again = {0};

    append_gz(&gz, npy.data, npy.nbytes);
    append(&gz, "\0\0\0\0\0\0\0\0", 8);
    expect_counting("zeros after a gzip", NULL, save_bytes("x.gz", gz), 35);
    CHECK(warning[0] == '\0', "no warning about zeros after a gzip");
    append(&gz, "garbage", 7);
    expect_counting("garbage after a gzip", NULL, save_bytes("x.gz", gz), 35);
    CHECK(is_line_with(strtok(warning, "\n"), "ignored bytes after the gzip data"), "a warning about it");
    append_gz(&again, gz.data, gz.nbytes);
    expect_fault("a gzip in a gzip", NULL, save_bytes("x.gz", again), "no .npy inside the gzip (give --shape");
    release(&again);
    append_gz(&again, (const uint8_t *)"PK\3\4rest", 8);
    expect_fault("an .npz in a gzip", NULL, save_bytes("x.gz", again), "an .npz inside a gzip: decompress it first");
    release(&again);
    append_gz(&again, npy.data, 0);
    expect_fault("nothing in a gzip", NULL, save_bytes("x.gz", again), "empty inside the gzip");
    expect_fault("the magic of gzip alone", NULL, save("x.gz", "\x1f\x8b", 2), "truncated gzip data");
    expect_fault("the magic of gzip before junk", NULL, save("x.gz", "\x1f\x8bjunkjunkjunk", 14), "corrupt gzip data");
    release(&again);
    release(&gz);
    release(&npy);
}

/* ---------------------------------------------------------------------------------------------- .npz */

struct member {
    const char *name;
    struct bytes bytes;
};

static const char *save_npz(const char *name, const struct member *members, size_t nmembers, bool deflate)
{
    const char *path = path_to(name);
    zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);

    for (size_t i = 0; i < nmembers; i++) {
        zip_source_t *bytes = zip_source_buffer(zip, members[i].bytes.data, members[i].bytes.nbytes, 0);
        zip_int64_t index = zip_file_add(zip, members[i].name, bytes, ZIP_FL_ENC_UTF_8);

        if (index < 0 ||
            zip_set_file_compression(zip, (zip_uint64_t)index, deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0) != 0)
            abort();
    }
    if (zip_close(zip) != 0)
        abort();
    return path;
}

static struct bytes load(const char *path)
{
    struct bytes bytes = {0};
    uint8_t buffer[4096];
    FILE *file = fopen(path, "rb");
    size_t n;

    if (file == NULL)
        return bytes;
    while ((n = fread(buffer, 1, sizeof(buffer), file)) > 0)
        append(&bytes, buffer, n);
    fclose(file);
    return bytes;
}

/* Reads all tensors; each must count from 0. names gets their names, separated by spaces. */
static bool read_archive(const char *path, char names[256], struct mxq_fault *fault)
{
    struct mxq_source *source;
    const struct mxq_tensor *tensor;
    struct bytes matrix = {0};
    bool ok = true;
    int ret;

    names[0] = '\0';
    warning[0] = '\0';
    if (!mxq_open_source(&(struct mxq_source_options){.warn = remember_warning}, path, &source, fault))
        return false;
    while (ok && (ret = mxq_next_tensor(source, &tensor, fault)) != 0) {
        ok = ret == 1 && read_matrix(source, tensor, MXQ_FLATTEN_LAST, 2, UINT64_MAX, &matrix, fault) &&
             is_counting(matrix, tensor->nelems, mxq_dtype_nbytes(tensor->dtype)) && mxq_finish_tensor(source, fault);
        if (ok)
            snprintf(names + strlen(names), 256 - strlen(names), "%s ", tensor->name);
    }
    release(&matrix);
    mxq_close_source(source);
    return ok;
}

static void expect_archive(const char *name, const char *path, const char *names)
{
    struct mxq_fault fault = {""};
    char found[256];

    if (!read_archive(path, found, &fault))
        CHECK_FAIL(name, "%s", fault.text);
    else if (strcmp(found, names) != 0)
        CHECK_FAIL(name, "members %s", found);
    else
        CHECK_PASS(name);
}

static void check_npz_damage(const struct member *members, bool deflate)
{
    const char *path = save_npz("bad.npz", members, 2, deflate);
    struct bytes npz = load(path);
    struct mxq_fault fault;
    char names[256];
    uint8_t *central = NULL;
    bool ok = true;

    for (size_t n = 4; n < npz.nbytes; n += 1 + npz.nbytes / 40)
        ok &= !read_archive(save("cut.npz", npz.data, n), names, &fault) &&
              is_line_with(fault.text, "cut.npz\": bad .npz");
    CHECK(ok, deflate ? "every truncated deflated .npz is refused" : "every truncated .npz is refused");

    for (size_t i = 0; i + 4 <= npz.nbytes && central == NULL; i++)
        if (memcmp(npz.data + i, "PK\1\2", 4) == 0)
            central = npz.data + i;
    if (central == NULL)
        abort();
    central[16] ^= 1;
    CHECK(!read_archive(save_bytes("bad.npz", npz), names, &fault) && is_line_with(fault.text, "bad.npz:a.npy\": "),
          deflate ? "a wrong CRC of a deflated member is refused" : "a wrong CRC of a stored member is refused");
    central[16] ^= 1;
    npz.data[100] ^= 1;
    CHECK(!read_archive(save_bytes("bad.npz", npz), names, &fault) && is_line_with(fault.text, "bad.npz:a.npy\": "),
          deflate ? "a wrong bit in a deflated member is refused" : "a wrong bit in a stored member is refused");
    release(&npz);
}

static void check_npz(void)
{
    struct member members[] = {
        {"a.npy", make_npy("<f4", false, "(200, 7)", 1400)},
        {"layer/b.npy", make_npy("<V2", false, "(5, 7)", 35)},
        {"notes.txt", {(uint8_t *)(uintptr_t) "hello", 5, 5}},
        {"c", make_npy("<V2", false, "(3,)", 3)},
    };
    struct mxq_source_options options = {.member = "layer/b"};
    struct bytes npz;
    struct bytes longer = {0};
    struct mxq_fault fault;
    char names[256];
    const char *path;

    expect_archive("all members of a stored .npz", save_npz("x.npz", members, 2, false), "a layer/b ");
    path = save_npz("x.npz", members, 2, true);
    expect_archive("all members of a deflated .npz", path, "a layer/b ");
    expect_counting("a member by its name", &options, path, 35);
    options.member = "layer/b.npy";
    expect_counting("a member by its name with .npy", &options, path, 35);
    options.member = "d";
    expect_fault("a missing member", &options, path, "x.npz\": no member \"d\"");
    npz = load(path);
    feed_stdin(npz);
    expect_archive("an .npz from a pipe", "-", "a layer/b ");
    restore_stdin();
    release(&npz);

    path = save_npz("x.npz", members, 4, true);
    CHECK(!read_archive(path, names, &fault) && strcmp(names, "a layer/b ") == 0 &&
              is_line_with(fault.text, "its member \"notes.txt\" is not a .npy file"),
          "a member that is no .npy");
    options.member = "notes.txt";
    expect_fault("a member that is no .npy, by its name", &options, path, "x.npz:notes.txt\": truncated .npy header");
    options.member = "c";
    expect_counting("a .npy member of another name", &options, path, 3);
    path = save_npz("x.npz", members + 2, 1, true);
    expect_fault("an .npz that has no .npy", NULL, path, "its member \"notes.txt\" is not a .npy file");
    expect_fault("an .npz without members", NULL, save("x.npz", "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22),
                 "an archive without members");
    expect_fault("the magic of .npz before junk", NULL, save("x.npz", "PK\3\4junk", 8), "bad .npz archive");

    append(&longer, members[1].bytes.data, members[1].bytes.nbytes);
    append(&longer, "x", 1);
    expect_archive("a member with a trailing byte", save_npz("x.npz", &(struct member){"a.npy", longer}, 1, true),
                   "a ");
    CHECK(strstr(warning, "x.npz:a.npy\": ignored bytes after the tensor") != NULL, "a warning about it");
    longer.nbytes -= 2;
    expect_fault("a member that is too short", NULL, save_npz("x.npz", &(struct member){"a.npy", longer}, 1, true),
                 "x.npz:a.npy\": too short: the tensor takes 70 bytes, but there are only 69");
    check_npz_damage(members, false);
    check_npz_damage(members, true);
    release(&longer);
    release(&members[0].bytes);
    release(&members[1].bytes);
    release(&members[3].bytes);
}

/* ---------------------------------------------------------------------------------------------- NumPy */

/* Element i has the bits i * 257 or i * 16843009, in C order of the array. */
static bool is_numpy_data(struct bytes matrix, const struct mxq_tensor *tensor)
{
    for (uint64_t i = 0; i < tensor->nelems; i++) {
        uint16_t half;
        uint32_t word;

        if (mxq_dtype_nbytes(tensor->dtype) == 2) {
            memcpy(&half, matrix.data + 2 * i, 2);
            if (half != i * 257)
                return false;
        } else {
            memcpy(&word, matrix.data + 4 * i, 4);
            if (word != i * 16843009)
                return false;
        }
    }
    return true;
}

static void check_fixtures(void)
{
    static const struct {
        const char *file;
        const char *member;
        uint64_t nelems;
    } rows[] = {
        {"numpy_v2.npy", NULL, 24},
        {"numpy_u2.npy", NULL, 24},
        {"numpy_f2_fortran.npy", NULL, 24},
        {"numpy_f4_fortran.npy", NULL, 24},
        {"numpy_f4_big.npy", NULL, 24},
        {"numpy_empty.npy", NULL, 0},
        {"numpy_version_1.npy", NULL, 24},
        {"numpy_version_2.npy", NULL, 24},
        {"numpy_version_3.npy", NULL, 24},
        {"numpy_stored.npz", "a", 24},
        {"numpy_stored.npz", "b", 24},
        {"numpy_deflated.npz", "a", 24},
        {"numpy_deflated.npz", "b.npy", 24},
        {"zip64.npz", "a", 24},
        {"zip64.npz", "b", 24},
    };
    struct bytes matrix = {0};
    struct mxq_tensor tensor;
    struct mxq_fault fault;
    char path[4096];

    for (size_t i = 0; i < NELEMS(rows); i++) {
        struct mxq_source_options options = {
            .member = rows[i].member, .has_dtype = strstr(rows[i].file, "u2") != NULL, .dtype = MXQ_BF16};

        snprintf(path, sizeof(path), "%s/%s", fixtures, rows[i].file);
        if (!read_whole(&options, path, &matrix, &tensor, &fault))
            CHECK_FAIL(rows[i].file, "%s", fault.text);
        else if (tensor.nelems != rows[i].nelems || !is_numpy_data(matrix, &tensor) || warning[0] != '\0')
            CHECK_FAIL(rows[i].file, "wrong elements; %s", warning);
        else
            CHECK_PASS(rows[i].file);
    }
    release(&matrix);
}

/* ---------------------------------------------------------------------------------------------- FP8 blocks */

static uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static void check_fp8_elements(void)
{
    CHECK(bits_of(mxq_widen_e4m3(0x00)) == 0 && bits_of(mxq_widen_e4m3(0x80)) == 0x80000000u, "E4M3 has two zeros");
    CHECK(mxq_widen_e4m3(0x01) == 0x1p-9f && mxq_widen_e4m3(0x87) == -0x7p-9f && mxq_widen_e4m3(0x08) == 0x1p-6f,
          "E4M3 subnormals are multiples of 2^-9");
    CHECK(mxq_widen_e4m3(0x38) == 1.0f && mxq_widen_e4m3(0x7e) == 448.0f && mxq_widen_e4m3(0xfe) == -448.0f,
          "E4M3 ends at 448");
    CHECK(bits_of(mxq_widen_e4m3(0x7f)) == 0x7fc00000u && bits_of(mxq_widen_e4m3(0xff)) == 0x7fc00000u,
          "E4M3 has a NaN of either sign");
}

/* Blocks of 3 x 4 and a panel that begins and ends within them: every value has the scale of its own block. */
static void check_fp8_panel(void)
{
    enum {
        ROWS = 7,
        COLS = 9
    };
    const float scales[3 * 4] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    const struct mxq_panel panel = {2, 3, ROWS, COLS};
    uint8_t codes[ROWS * COLS];
    float values[ROWS * COLS];
    bool good = true;
    struct mxq_fp8_panel in = {codes, panel, 3, 4, scales, 4};

    memset(codes, 0x38, sizeof(codes));
    memset(values, 0xa5, sizeof(values));
    mxq_widen_fp8_panel(&in, MXQ_F32, values);
    for (unsigned r = 0; r < ROWS; r++)
        for (unsigned c = 0; c < COLS; c++)
            good = good && values[r * COLS + c] == scales[(2 + r) / 3 * 4 + (3 + c) / 4];
    CHECK(good, "a value has the scale of its block, wherever a panel begins");
}

/* Products that lie between two BF16 numbers: midway they go to the even one. */
static void check_fp8_rounding(void)
{
    static const struct {
        uint8_t code;
        uint32_t scale;
        uint16_t want;
    } rows[] = {
        {0x38, 0x3f808000, 0x3f80}, {0x38, 0x3f818000, 0x3f82}, {0x38, 0x3f808001, 0x3f81}, {0xb8, 0x3f817fff, 0xbf81},
        {0x7e, 0x7f7fffff, 0x7f80}, {0x7f, 0x3f800000, 0x7fc0}, {0x80, 0x3f800000, 0x8000}, {0x01, 0x00000001, 0x0000},
    };
    bool good = true;

    for (size_t i = 0; i < NELEMS(rows); i++) {
        float scale;
        uint16_t value = 0xa5a5;
        struct mxq_fp8_panel in = {&rows[i].code, {0, 0, 1, 1}, 128, 128, &scale, 1};
        memcpy(&scale, &rows[i].scale, sizeof(scale));
        mxq_widen_fp8_panel(&in, MXQ_BF16, &value);
        good = good && value == rows[i].want;
    }
    CHECK(good, "a product becomes the nearest BF16, and the even one midway");
}

int main(int argc, char **argv)
{
    char made[] = "/tmp/check_io-XXXXXX";

    folder = argc > 1 ? argv[1] : mkdtemp(made);
    if (folder == NULL)
        return 2;
    if (getenv("MXQ_FIXTURES") != NULL)
        fixtures = getenv("MXQ_FIXTURES");
    check_faults();
    check_descrs();
    check_good_headers();
    check_limits();
    check_hostile_headers();
    check_nuls_in_headers();
    check_versions();
    check_truncation();
    check_trailing_bytes();
    check_empty_tensors();
    check_flatten();
    check_orders();
    check_raw();
    check_files();
    check_changing_files();
    check_streams();
    check_standard_input();
    check_gz_members();
    check_gz_damage();
    check_gz();
    check_npz();
    check_fixtures();
    check_fp8_elements();
    check_fp8_panel();
    check_fp8_rounding();
    return check_finish();
}
