/*
 * npy.c - the header of .npy files
 *
 *     93 4e 55 4d 50 59  MAJOR MINOR  length: u16 (1.0) or u32 (2.0, 3.0), little-endian  header  elements
 *
 * The header is a Python dictionary with the keys descr, fortran_order and shape. This parser takes the Python that
 * NumPy writes, or ever wrote, and that people write by hand: any order of keys, either quote, any white space, a comma
 * at the end, sizes with the L of Python 2. It takes no escapes, no prefixes and no comments. Two things NumPy lets
 * through are refused: a key that comes twice, and True as a size.
 */
#include "io/source_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "\x93NUMPY"
#define MAGIC_NBYTES 6

/* NumPy's limit (max_header_size). Real headers take 118 bytes. */
#define HEADER_MAX_NBYTES 10000

/* What a fault shows of a string in the header. */
#define EXCERPT_NBYTES 40

enum byte_order {
    LITTLE,
    BIG,
    NATIVE
};

/* The descr strings that are understood. */
static const struct descr {
    const char *text;
    enum mxq_dtype dtype; /* MXQ_NUM_DTYPES: 16 bits that may be anything */
    enum byte_order order;
} descrs[] = {
    {"<V2", MXQ_BF16, LITTLE},       {"|V2", MXQ_BF16, LITTLE},       {"bfloat16", MXQ_BF16, LITTLE},
    {"<f4", MXQ_F32, LITTLE},        {">f4", MXQ_F32, BIG},           {"=f4", MXQ_F32, NATIVE},
    {"<f2", MXQ_F16, LITTLE},        {">f2", MXQ_F16, BIG},           {"=f2", MXQ_F16, NATIVE},
    {"<u2", MXQ_NUM_DTYPES, LITTLE}, {">u2", MXQ_NUM_DTYPES, BIG},    {"=u2", MXQ_NUM_DTYPES, NATIVE},
    {"|u2", MXQ_NUM_DTYPES, NATIVE}, {"<i2", MXQ_NUM_DTYPES, LITTLE}, {">i2", MXQ_NUM_DTYPES, BIG},
    {"=i2", MXQ_NUM_DTYPES, NATIVE}, {"|i2", MXQ_NUM_DTYPES, NATIVE},
};

#define NUM_DESCRS (sizeof(descrs) / sizeof(descrs[0]))

/* The same for bytes: what NumPy, PyTorch and ml_dtypes make of codes and scales. */
static const char *const byte_descrs[] = {"|u1", "|i1", "|V1", "<V1", "<u1", "<i1"};

#define NUM_BYTE_DESCRS (sizeof(byte_descrs) / sizeof(byte_descrs[0]))

/* A place in the header, what has been read so far, and where faults go. */
struct parser {
    const char *text;
    size_t nbytes;
    size_t at;
    unsigned major;
    const char *name;
    struct mxq_fault *fault;

    const char *descr; /* not terminated */
    size_t descr_nbytes;
    bool fortran_order;
    unsigned rank;
    uint64_t shape[MXQ_MAX_RANK];
};

/* ---------------------------------------------------------------------------------------------- faults */

/* Copies a string of the header for a fault: printable ASCII, and not too much of it. */
static const char *make_excerpt(char excerpt[EXCERPT_NBYTES + 4], const char *text, size_t nbytes)
{
    size_t n = (size_t)mxq_smaller(nbytes, EXCERPT_NBYTES);

    for (size_t i = 0; i < n; i++)
        excerpt[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    strcpy(excerpt + n, nbytes > n ? "..." : "");
    return excerpt;
}

static bool fail(const struct parser *parser, const char *what)
{
    mxq_set_fault(parser->fault, parser->name, 0, "bad .npy header: %s (at byte %zu)", what, parser->at);
    return false;
}

static bool fail_at_string(const struct parser *parser, const char *what, const char *text, size_t nbytes)
{
    char excerpt[EXCERPT_NBYTES + 4];

    mxq_set_fault(parser->fault, parser->name, 0, "bad .npy header: %s '%s'", what,
                  make_excerpt(excerpt, text, nbytes));
    return false;
}

/* ---------------------------------------------------------------------------------------------- tokens */

/* The next character after white space; '\0', which is no Python, at the end. */
static char peek_char(struct parser *parser)
{
    while (parser->at < parser->nbytes) {
        char c = parser->text[parser->at];

        if (c != ' ' && c != '\n' && c != '\t' && c != '\r' && c != '\f')
            return c;
        parser->at++;
    }
    return '\0';
}

static bool accept_char(struct parser *parser, char wanted)
{
    if (peek_char(parser) != wanted)
        return false;
    parser->at++;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word_char(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* A whole word, not the start of a longer one. */
static bool accept_word(struct parser *parser, const char *word)
{
    size_t n = strlen(word);

    (void)peek_char(parser);
    if (parser->nbytes - parser->at < n || memcmp(parser->text + parser->at, word, n) != 0)
        return false;
    if (parser->nbytes - parser->at > n && is_word_char(parser->text[parser->at + n]))
        return false;
    parser->at += n;
    return true;
}

static bool parse_string(struct parser *parser, const char **text, size_t *nbytes)
{
    char quote = peek_char(parser);
    size_t end = parser->at + 1;

    if (quote != '\'' && quote != '"')
        return fail(parser, "expected a string");
    while (end < parser->nbytes && parser->text[end] != quote) {
        if (parser->text[end] == '\\')
            return fail(parser, "escape in a string");
        if (parser->text[end] == '\n')
            return fail(parser, "unterminated string");
        end++;
    }
    if (end >= parser->nbytes)
        return fail(parser, "unterminated string");
    *text = parser->text + parser->at + 1;
    *nbytes = end - parser->at - 1;
    parser->at = end + 1;
    return true;
}

static bool parse_size(struct parser *parser, uint64_t *size)
{
    char first = peek_char(parser);
    size_t start = parser->at;
    uint64_t value = 0;

    if (first == '-')
        return fail(parser, "negative size in the shape");
    if (!is_digit(first))
        return fail(parser, "expected a size in the shape");
    for (; parser->at < parser->nbytes && is_digit(parser->text[parser->at]); parser->at++) {
        uint64_t digit = (uint64_t)(parser->text[parser->at] - '0');

        if (__builtin_mul_overflow(value, (uint64_t)10, &value) || __builtin_add_overflow(value, digit, &value))
            return fail(parser, "size beyond 64 bits in the shape");
    }
    if (first == '0' && parser->at - start > 1)
        return fail(parser, "size with a leading zero in the shape");
    /* 3.0 is younger than Python 2's long integers. */
    if (parser->major < 3)
        (void)accept_word(parser, "L");
    *size = value;
    return true;
}

/* ---------------------------------------------------------------------------------------------- values */

static bool parse_descr(struct parser *parser)
{
    if (peek_char(parser) == '[')
        return fail(parser, "descr of a structured dtype, which is no matrix");
    return parse_string(parser, &parser->descr, &parser->descr_nbytes);
}

static bool parse_fortran_order(struct parser *parser)
{
    parser->fortran_order = accept_word(parser, "True");
    if (!parser->fortran_order && !accept_word(parser, "False"))
        return fail(parser, "fortran_order is neither True nor False");
    return true;
}

static bool parse_shape(struct parser *parser)
{
    bool had_comma = true;

    parser->rank = 0;
    if (!accept_char(parser, '('))
        return fail(parser, "shape is not a tuple");
    while (!accept_char(parser, ')')) {
        if (!had_comma)
            return fail(parser, "expected ',' or ')' in the shape");
        if (parser->rank == MXQ_MAX_RANK)
            return fail(parser, "more than 32 dimensions");
        if (!parse_size(parser, &parser->shape[parser->rank]))
            return false;
        parser->rank++;
        had_comma = accept_char(parser, ',');
    }
    /* (3) is a number in Python; (3,) is a tuple. */
    if (parser->rank == 1 && !had_comma)
        return fail(parser, "shape is not a tuple");
    return true;
}

static const struct key {
    const char *name;
    bool (*parse)(struct parser *parser);
} keys[] = {
    {"descr", parse_descr},
    {"fortran_order", parse_fortran_order},
    {"shape", parse_shape},
};

#define NUM_KEYS (sizeof(keys) / sizeof(keys[0]))

/* One "key: value". seen has a flag per key. */
static bool parse_item(struct parser *parser, bool seen[NUM_KEYS])
{
    const char *text;
    size_t nbytes;
    size_t i = 0;

    if (!parse_string(parser, &text, &nbytes))
        return false;
    while (i < NUM_KEYS && (strlen(keys[i].name) != nbytes || memcmp(keys[i].name, text, nbytes) != 0))
        i++;
    if (i == NUM_KEYS)
        return fail_at_string(parser, "unknown key", text, nbytes);
    if (seen[i])
        return fail_at_string(parser, "duplicate key", text, nbytes);
    seen[i] = true;
    if (!accept_char(parser, ':'))
        return fail(parser, "expected ':' after a key");
    return keys[i].parse(parser);
}

static bool parse_header(struct parser *parser)
{
    bool seen[NUM_KEYS] = {false};
    bool had_comma = true;

    if (!accept_char(parser, '{'))
        return fail(parser, "not a dictionary");
    while (!accept_char(parser, '}')) {
        if (!had_comma)
            return fail(parser, "expected ',' or '}' after a value");
        if (!parse_item(parser, seen))
            return false;
        had_comma = accept_char(parser, ',');
    }
    (void)peek_char(parser);
    if (parser->at != parser->nbytes)
        return fail(parser, "something after the dictionary");
    for (size_t i = 0; i < NUM_KEYS; i++)
        if (!seen[i])
            return fail_at_string(parser, "no key", keys[i].name, strlen(keys[i].name));
    return true;
}

/* ---------------------------------------------------------------------------------------------- meaning */

static bool refuse_descr(const struct parser *parser, bool bytes)
{
    char excerpt[EXCERPT_NBYTES + 4];
    char list[NUM_DESCRS * 16] = "";

    for (size_t i = 0; i < (bytes ? NUM_BYTE_DESCRS : NUM_DESCRS); i++) {
        strcat(list, " ");
        strcat(list, bytes ? byte_descrs[i] : descrs[i].text);
    }
    mxq_set_fault(parser->fault, parser->name, 0, "cannot read elements of type '%s' (accepted are%s)",
                  make_excerpt(excerpt, parser->descr, parser->descr_nbytes), list);
    return false;
}

/* Brings together what the file says and what the user says. */
static bool choose_dtype(const struct parser *parser, const struct descr *descr,
                         const struct mxq_source_options *options, enum mxq_dtype *dtype)
{
    bool has_16_bits = descr->dtype == MXQ_NUM_DTYPES || mxq_dtype_nbytes(descr->dtype) == 2;
    /* V2 is what NumPy makes of any type it does not know; it means BF16 unless the user knows better. */
    bool is_vague = descr->dtype == MXQ_NUM_DTYPES || descr->text[1] == 'V';

    if (!options->has_dtype) {
        *dtype = descr->dtype;
        if (descr->dtype != MXQ_NUM_DTYPES)
            return true;
        mxq_set_fault(parser->fault, parser->name, 0, "its type is '%s': say what these 16 bits are (--dtype bf16|f16)",
                      descr->text);
        return false;
    }
    *dtype = options->dtype;
    if (is_vague ? has_16_bits && mxq_dtype_nbytes(options->dtype) == 2 : options->dtype == descr->dtype)
        return true;
    mxq_set_fault(parser->fault, parser->name, 0, "its type is '%s', which cannot be read as %s", descr->text,
                  mxq_dtype_name(options->dtype));
    return false;
}

static bool descr_is(const struct parser *parser, const char *text)
{
    return strlen(text) == parser->descr_nbytes && memcmp(text, parser->descr, parser->descr_nbytes) == 0;
}

static bool interpret_byte_descr(const struct parser *parser, struct mxq_tensor *tensor)
{
    tensor->elem_nbytes = 1;
    for (size_t i = 0; i < NUM_BYTE_DESCRS; i++)
        if (descr_is(parser, byte_descrs[i]))
            return true;
    return refuse_descr(parser, true);
}

static bool interpret_descr(const struct parser *parser, const struct mxq_source_options *options,
                            struct mxq_tensor *tensor)
{
    enum byte_order native = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? BIG : LITTLE;

    for (size_t i = 0; i < NUM_DESCRS; i++) {
        const struct descr *descr = &descrs[i];

        if (!descr_is(parser, descr->text))
            continue;
        tensor->swap_bytes = descr->order != NATIVE && descr->order != native;
        if (!choose_dtype(parser, descr, options, &tensor->dtype))
            return false;
        tensor->elem_nbytes = (unsigned)mxq_dtype_nbytes(tensor->dtype);
        return true;
    }
    return refuse_descr(parser, false);
}

/* ---------------------------------------------------------------------------------------------- the file */

static bool read_exactly(struct mxq_stream *stream, void *bytes, size_t nbytes, struct mxq_fault *fault)
{
    uint64_t got = 0;

    if (!mxq_read_stream(stream, bytes, nbytes, &got, fault))
        return false;
    if (got < nbytes) {
        mxq_set_fault(fault, stream->name, 0, "truncated .npy header");
        return false;
    }
    return true;
}

/* The version, and the length of the header that follows, which is at most HEADER_MAX_NBYTES. */
static bool read_prefix(struct mxq_stream *stream, unsigned *major, uint32_t *nbytes, struct mxq_fault *fault)
{
    uint8_t magic[MAGIC_NBYTES + 2] = {0};
    uint8_t length[4] = {0};

    if (!read_exactly(stream, magic, sizeof(magic), fault))
        return false;
    if (memcmp(magic, MAGIC, MAGIC_NBYTES) != 0) {
        mxq_set_fault(fault, stream->name, 0, "not a .npy file: wrong magic");
        return false;
    }
    *major = magic[6];
    if (*major < 1 || *major > 3 || magic[7] != 0) {
        mxq_set_fault(fault, stream->name, 0, "unknown .npy version %u.%u", *major, (unsigned)magic[7]);
        return false;
    }
    if (!read_exactly(stream, length, *major == 1 ? 2 : 4, fault))
        return false;
    *nbytes = (uint32_t)length[0] | (uint32_t)length[1] << 8 | (uint32_t)length[2] << 16 | (uint32_t)length[3] << 24;
    if (*nbytes > HEADER_MAX_NBYTES) {
        mxq_set_fault(fault, stream->name, 0, "bad .npy header: %lu bytes long, and NumPy's limit is %d",
                      (unsigned long)*nbytes, HEADER_MAX_NBYTES);
        return false;
    }
    return true;
}

bool mxq_read_npy_header(struct mxq_stream *stream, const struct mxq_source_options *options, struct mxq_tensor *tensor,
                         struct mxq_fault *fault)
{
    char text[HEADER_MAX_NBYTES];
    struct parser parser = {.text = text, .name = stream->name, .fault = fault};
    uint32_t nbytes;

    if (!read_prefix(stream, &parser.major, &nbytes, fault) || !read_exactly(stream, text, nbytes, fault))
        return false;
    parser.nbytes = nbytes;

    memset(tensor, 0, sizeof(*tensor));
    if (!parse_header(&parser) ||
        !(options->bytes ? interpret_byte_descr(&parser, tensor) : interpret_descr(&parser, options, tensor)))
        return false;
    tensor->fortran_order = parser.fortran_order;
    tensor->rank = parser.rank;
    memcpy(tensor->shape, parser.shape, sizeof(tensor->shape[0]) * parser.rank);
    return mxq_measure_tensor(tensor, stream->name, fault);
}

static bool probe_npy(const uint8_t *magic, size_t nbytes)
{
    return nbytes >= MAGIC_NBYTES && memcmp(magic, MAGIC, MAGIC_NBYTES) == 0;
}

static int next_npy(struct mxq_source *source, struct mxq_fault *fault)
{
    if (source->ntensors > 0)
        return 0;
    return mxq_read_npy_header(source->stream, &source->options, &source->tensor, fault) ? 1 : -1;
}

const struct mxq_source_format mxq_npy_format = {
    .name = "npy",
    .gz_name = "npy.gz",
    .probe = probe_npy,
    .next = next_npy,
};
