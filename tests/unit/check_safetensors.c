/*
 * check_safetensors - headers of .safetensors files are read under the reference's rules, and written in its order
 *
 *   check_safetensors        needs no files of its own
 */
#define _GNU_SOURCE

#include "io/json_text.h"
#include "io/safetensors.h"
#include "unit/check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* gcc defines a macro, clang has a feature. */
#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER
#endif
#endif

static struct mxq_fault fault;
static struct mxq_st_header *header; /* of the last file that was read, or NULL */

static void put_u64(uint8_t *bytes, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

/* Reads a file of this length field, this text and ndata bytes. */
static bool read_file(uint64_t length, const char *text, size_t ntext, size_t ndata)
{
    uint8_t start[8];
    const int fd = memfd_create("check", 0);
    bool good;

    put_u64(start, length);
    if (fd < 0 || write(fd, start, 8) != 8 || write(fd, text, ntext) != (ssize_t)ntext ||
        ftruncate(fd, (off_t)(8 + ntext + ndata)) != 0) {
        perror("check_safetensors");
        exit(1);
    }
    mxq_free_st_header(header);
    fault.text[0] = '\0';
    good = mxq_read_st_header(fd, "f", &header, &fault);
    close(fd);
    return good;
}

static bool read_text(const char *text, size_t ndata)
{
    return read_file(strlen(text), text, strlen(text), ndata);
}

/* ---------------------------------------------------------------------------------------------------- good headers */

static void check_good(void)
{
    static const uint64_t shape[] = {2, 3};
    const struct mxq_st_tensor *t;

    CHECK(read_text("{}", 0) && header->ntensors == 0 && header->metadata == NULL && header->nbytes == 10,
          "a header without tensors is one");
    CHECK(read_text("{}        ", 0) && header->data_offset == 18, "spaces may follow the header");
    CHECK(read_text("{\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[8,32]},"
                    "\"a\":{\"data_offsets\":[0,8],\"shape\":[],\"dtype\":\"I64\"}}",
                    32) &&
              header->ntensors == 2 && strcmp(header->tensors[0].name, "a") == 0 && header->tensors[0].rank == 0 &&
              header->tensors[0].offset == header->data_offset && header->tensors[0].dtype == MXQ_ST_I64,
          "tensors are in the order of their bytes, whatever that of the header is");
    t = mxq_find_st_tensor(header, "b");
    CHECK(t != NULL && t->dtype == MXQ_ST_F32 && t->rank == 2 && memcmp(t->shape, shape, sizeof(shape)) == 0 &&
              t->nbytes == 24 && t->offset == header->data_offset + 8 && mxq_find_st_tensor(header, "c") == NULL,
          "a tensor is found by its name, with its offset from the start of the file");
    CHECK(read_text("{\"w\":{\"dtype\":\"F4\",\"shape\":[3,6],\"data_offsets\":[0,9]},"
                    "\"s\":{\"dtype\":\"F8_E8M0\",\"shape\":[3,1],\"data_offsets\":[9,12]},"
                    "\"x\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[12,15]}}",
                    15) &&
              header->tensors[0].nbytes == 9,
          "F4 takes half a byte an element, F6 three quarters, F8_E8M0 one");
    CHECK(read_text("{\"__metadata__\":{\"format\":\"pt\",\"k\":\"v\\n\"}, \"e\" : { \"dtype\" : \"U8\", \"shape\" : "
                    "[0, 5] , \"data_offsets\" : [0, 0] } }",
                    0) &&
              strcmp(json_string_value(json_object_get(header->metadata, "k")), "v\n") == 0,
          "metadata is kept, white space is where JSON has it, and a tensor may be empty");
    CHECK(read_text("{\"__metadata__\":null,\"\xc3\xa4/..\\u0041\":{\"dtype\":\"BOOL\",\"shape\":[1],"
                    "\"data_offsets\":[0,1]}}",
                    1) &&
              header->metadata == NULL && strcmp(header->tensors[0].name, "\xc3\xa4/..A") == 0,
          "a name is any UTF-8, and metadata may be null");
    CHECK(read_text("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"more\":[{}]}}", 1),
          "what the format does not know is passed over");
}

/* ---------------------------------------------------------------------------------------------------- bad headers */

#define ENTRY(name, dtype, shape, offsets)                                                                             \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static const struct {
    const char *what;
    const char *text;
    size_t ndata;
    const char *fault;
} bad[] = {
    {"an array", "[]", 0, "does not begin with {"},
    {"a space before it", " {}", 0, "does not begin with {"},
    {"nothing", "", 0, "does not begin with {"},
    {"no end", "{\"a\":1", 0, "JSON object"},
    {"a comma at its end", "{" ENTRY("a", "U8", "[1]", "[0,1]") ",}", 1, "not a JSON object"},
    {"two objects", "{}{}", 0, "not a JSON object"},
    {"an entry that is a number", "{\"a\":1}", 0, "not a JSON object"},
    {"an entry with a key twice", "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
     "duplicate"},
    {"an unknown dtype", "{" ENTRY("a", "F5", "[1]", "[0,1]") "}", 1, "no dtype that is known"},
    {"a dtype in lower case", "{" ENTRY("a", "u8", "[1]", "[0,1]") "}", 1, "no dtype that is known"},
    {"no shape", "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "no shape"},
    {"a negative size", "{" ENTRY("a", "U8", "[-1]", "[0,1]") "}", 1, "whole number"},
    {"a size with a fraction", "{" ENTRY("a", "U8", "[1.0]", "[0,1]") "}", 1, "whole number"},
    {"a size of 2^64", "{" ENTRY("a", "U8", "[18446744073709551616]", "[0,1]") "}", 1, "not a JSON object"},
    {"a product beyond 64 bits", "{" ENTRY("a", "U8", "[4294967296,4294967296]", "[0,0]") "}", 0, "too large"},
    {"bits beyond 64 bits", "{" ENTRY("a", "F64", "[1152921504606846976]", "[0,0]") "}", 0, "too large"},
    {"half a byte", "{" ENTRY("a", "F4", "[3]", "[0,1]") "}", 1, "fill whole bytes"},
    {"17 dimensions", "{" ENTRY("a", "U8", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, "more dimensions"},
    {"one offset", "{" ENTRY("a", "U8", "[1]", "[0]") "}", 1, "two whole numbers"},
    {"an offset that is a string", "{" ENTRY("a", "U8", "[1]", "[0,\"1\"]") "}", 1, "two whole numbers"},
    {"offsets in the wrong order", "{" ENTRY("a", "U8", "[1]", "[1,0]") "}", 1, "not in order"},
    {"a negative offset", "{" ENTRY("a", "U8", "[1]", "[-1,0]") "}", 1, "not in order"},
    {"fewer bytes than the shape", "{" ENTRY("a", "F32", "[2]", "[0,4]") "}", 4, "do not give the bytes"},
    {"more bytes than the shape", "{" ENTRY("a", "F32", "[2]", "[0,12]") "}", 12, "do not give the bytes"},
    {"a hole at the start", "{" ENTRY("a", "U8", "[1]", "[1,2]") "}", 2, "belong to no tensor"},
    {"a hole", "{" ENTRY("a", "U8", "[1]", "[0,1]") "," ENTRY("b", "U8", "[1]", "[2,3]") "}", 3, "belong to no tensor"},
    {"an overlap", "{" ENTRY("a", "U8", "[2]", "[0,2]") "," ENTRY("b", "U8", "[2]", "[1,3]") "}", 3, "overlaps"},
    {"two tensors in one place", "{" ENTRY("a", "U8", "[2]", "[0,2]") "," ENTRY("b", "U8", "[2]", "[0,2]") "}", 2,
     "overlaps"},
    {"an empty tensor inside another", "{" ENTRY("a", "U8", "[2]", "[0,2]") "," ENTRY("b", "U8", "[0]", "[1,1]") "}", 2,
     "overlaps"},
    {"a byte too many", "{" ENTRY("a", "U8", "[1]", "[0,1]") "}", 2, "1 bytes after the last tensor"},
    {"a byte too few", "{" ENTRY("a", "U8", "[2]", "[0,2]") "}", 1, "cut short"},
    {"a size near 2^63", "{" ENTRY("a", "U8", "[9223372036854775807]", "[0,9223372036854775807]") "}", 1, NULL},
    {"a name twice", "{" ENTRY("a", "U8", "[1]", "[0,1]") "," ENTRY("a", "U8", "[1]", "[1,2]") "}", 2, "name twice"},
    {"a name twice, once escaped", "{" ENTRY("a", "U8", "[1]", "[0,1]") "," ENTRY("\\u0061", "U8", "[1]", "[1,2]") "}",
     2, "name twice"},
    {"a name that is not UTF-8", "{" ENTRY("\xff", "U8", "[1]", "[0,1]") "}", 1, "UTF-8"},
    {"a name with an overlong form", "{" ENTRY("\xc0\xaf", "U8", "[1]", "[0,1]") "}", 1, "UTF-8"},
    {"a name with half a pair", "{" ENTRY("\\ud800", "U8", "[1]", "[0,1]") "}", 1, "UTF-8"},
    {"a name with a zero", "{" ENTRY("a\\u0000b", "U8", "[1]", "[0,1]") "}", 1, "UTF-8"},
    {"metadata that is a list", "{\"__metadata__\":[]}", 0, "__metadata__ is not a JSON object"},
    {"metadata of numbers", "{\"__metadata__\":{\"a\":1}}", 0, "object of strings"},
    {"metadata within metadata", "{\"__metadata__\":{\"a\":{}}}", 0, "object of strings"},
    {"metadata twice", "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "twice"},
};

static void check_bad(void)
{
    char name[200];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const bool accepted = read_text(bad[i].text, bad[i].ndata);
        snprintf(name, sizeof(name), "a header with %s is refused", bad[i].what);
        if (accepted || header != NULL || (bad[i].fault != NULL && strstr(fault.text, bad[i].fault) == NULL))
            CHECK_FAIL(name, "%s: %s", accepted ? "accepted" : "refused", fault.text);
        else
            CHECK_PASS(name);
    }
    CHECK(!read_file(3, "{}\0", 3, 0), "a header with a zero after it is refused");
}

static void check_lengths(void)
{
    CHECK(!read_file(UINT64_MAX, "{}", 2, 0) && strstr(fault.text, "100000000"), "a length of 2^64 - 1 is refused");
    CHECK(!read_file(100000001, "{}", 2, 200000000) && strstr(fault.text, "100000000"),
          "a header longer than 100,000,000 bytes is refused");
    CHECK(!read_file(3, "{}", 2, 0) && strstr(fault.text, "longer than the file"),
          "a header that is longer than the file is refused");
    CHECK(!read_file(100000000, "{}", 2, 99999998) && !strstr(fault.text, "longer"),
          "one of 100,000,000 bytes is looked at");
}

/* ---------------------------------------------------------------------------------------------------- hostile headers */

static size_t peak_kib(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_maxrss;
}

/* A text that repeats a piece between a head and a tail, of about nbytes. */
static bool read_repeated(const char *head, const char *piece, const char *tail, size_t nbytes)
{
    const size_t npiece = strlen(piece), nhead = strlen(head), ntail = strlen(tail);
    const size_t npieces = nbytes / npiece;
    const size_t ntext = nhead + npieces * npiece + ntail;
    char *text = malloc(ntext + 1);
    bool good;

    memcpy(text, head, nhead);
    for (size_t i = 0; i < npieces; i++)
        memcpy(text + nhead + i * npiece, piece, npiece);
    memcpy(text + nhead + npieces * npiece, tail, ntail);
    good = read_file(ntext, text, ntext, 0);
    free(text);
    return good;
}

static void check_hostile(void)
{
    const size_t before = peak_kib();
    static const size_t nbytes = 8 << 20;

    CHECK(!read_repeated("{\"a\":", "[", "", nbytes), "eight million opened brackets are refused");
    CHECK(!read_repeated("{\"a\":[", "[],", "[]]}", nbytes), "millions of empty arrays in an entry are refused");
    CHECK(!read_repeated("{\"__metadata__\":{\"a\":[", "{},", "{}]}}", nbytes), "and in metadata, too");
    CHECK(!read_repeated("{", "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},",
                         "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", nbytes),
          "a name a hundred thousand times is refused");
    /* Three copies of the text, and what malloc keeps: no tree of hundreds of megabytes. A sanitizer's own memory is its own. */
#if !defined(ADDRESS_SANITIZER)
    if (peak_kib() - before > 12 * (nbytes >> 10))
        CHECK_FAIL("a hostile header costs a few times its length", "%zu KiB", peak_kib() - before);
    else
        CHECK_PASS("a hostile header costs a few times its length");
#else
    (void)before;
#endif
}

/* ---------------------------------------------------------------------------------------------------- writing */

static struct mxq_st_header *make_header(void)
{
    struct mxq_st_header *made = mxq_create_st_header();
    static const uint64_t matrix[] = {3, 4}, vector[] = {5};

    if (made == NULL || !mxq_add_st_tensor(made, "z", MXQ_ST_U8, 2, matrix, &fault) ||
        !mxq_add_st_tensor(made, "b\"\n", MXQ_ST_BF16, 1, vector, &fault) ||
        !mxq_add_st_tensor(made, "a", MXQ_ST_U8, 1, vector, &fault) ||
        !mxq_add_st_tensor(made, "f", MXQ_ST_F32, 0, NULL, &fault) ||
        !mxq_add_st_tensor(made, "q", MXQ_ST_F4, 2, matrix, &fault) ||
        !mxq_add_st_tensor(made, "s", MXQ_ST_F8_E8M0, 1, vector, &fault))
        exit(1);
    return made;
}

static void check_writing(void)
{
    /* From the reference's order: F32, BF16, F8_E8M0, U8 by name, F4. */
    static const char wanted[] =
        "{\"__metadata__\":{\"format\":\"pt\"},\"f\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
        "\"b\\\"\\n\":{\"dtype\":\"BF16\",\"shape\":[5],\"data_offsets\":[4,14]},"
        "\"s\":{\"dtype\":\"F8_E8M0\",\"shape\":[5],\"data_offsets\":[14,19]},"
        "\"a\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[19,24]},"
        "\"z\":{\"dtype\":\"U8\",\"shape\":[3,4],\"data_offsets\":[24,36]},"
        "\"q\":{\"dtype\":\"F4\",\"shape\":[3,4],\"data_offsets\":[36,42]}}";
    struct mxq_st_header *made = make_header();
    uint8_t *packed = NULL;
    const uint64_t huge[] = {(uint64_t)1 << 40, (uint64_t)1 << 40}, odd[] = {3};

    made->metadata = json_pack("{s:s}", "format", "pt");
    CHECK(mxq_lay_out_st_header(made, "f", &fault) && mxq_pack_st_header(made, &packed, &fault),
          "a header is laid out and packed");
    CHECK(made->data_offset % 8 == 0 && made->nbytes == made->data_offset + 42 &&
              packed[0] == made->data_offset - 8 - 256 && packed[1] == 1,
          "it is padded to eight bytes, and its length comes first");
    CHECK(memcmp(packed + 8, wanted, sizeof(wanted) - 1) == 0, "its tensors are in the reference's order");
    CHECK(read_file(made->data_offset - 8, (char *)packed + 8, made->data_offset - 8, 42) && header->ntensors == 6 &&
              strcmp(header->tensors[1].name, "b\"\n") == 0 && header->tensors[5].offset == made->tensors[5].offset &&
              header->metadata != NULL,
          "and what was written is read");
    CHECK(mxq_add_st_tensor(made, "f", MXQ_ST_U8, 1, odd, &fault) && !mxq_lay_out_st_header(made, "f", &fault) &&
              strstr(fault.text, "two tensors would be called \"f\""),
          "two tensors of one name are refused");
    CHECK(!mxq_add_st_tensor(made, "h", MXQ_ST_U8, 2, huge, &fault) &&
              !mxq_add_st_tensor(made, "o", MXQ_ST_F4, 1, odd, &fault),
          "and so are sizes beyond 64 bits and half bytes");
    free(packed);
    mxq_free_st_header(made);
}

/* ---------------------------------------------------------------------------------------------------- JSON as text */

static bool sets(const char *text, const char *parent, const char *key, const json_t *value, const char *wanted)
{
    char *result = mxq_set_json_member((struct mxq_json_text){text, text + strlen(text)}, parent, key, value);
    const bool same = result != NULL && wanted != NULL ? strcmp(result, wanted) == 0 : result == NULL && wanted == NULL;

    if (!same)
        printf("# %s\n", result != NULL ? result : "NULL");
    free(result);
    return same;
}

static void check_json_text(void)
{
    json_t *value = json_pack("{s:[i]}", "x", 1), *one = json_integer(1);
    static const char python[] = "{\"a\": [0.0, Infinity], \"b\": -Infinity, \"c\": NaN, \"d\": \"NaN\\\" Infinity\"}";
    json_error_t error;
    json_t *loaded = mxq_load_python_json((struct mxq_json_text){python, python + sizeof(python) - 1}, &error);

    CHECK(sets("{\n  \"a\": 1e-05,\n  \"b\": NaN\n}\n", NULL, "q", value,
               "{\n  \"a\": 1e-05,\n  \"b\": NaN,\n  \"q\": {\n    \"x\": [\n      1\n    ]\n  }\n}\n"),
          "a member is added at the end of an object, which is not changed elsewhere");
    CHECK(sets("{\"q\": {\"q\": 2}, \"b\": 3}", NULL, "q", one, "{\"q\": 1, \"b\": 3}"), "a member is replaced");
    CHECK(sets("{\"b\": {\"q\": \"}\\\"\"}, \"\\u0071\":2 }", NULL, "q", one,
               "{\"b\": {\"q\": \"}\\\"\"}, \"\\u0071\":1 }"),
          "also one whose name is written in another way, and not one within another");
    CHECK(sets("{}", NULL, "q", one, "{\n  \"q\": 1\n}"), "a member is added to an empty object");
    CHECK(sets("{\"q\": 1, \"b\": 3}", NULL, "q", NULL, "{\"b\": 3}") &&
              sets("{\"a\": 0, \"q\": 1, \"b\": 3}", NULL, "q", NULL, "{\"a\": 0, \"b\": 3}") &&
              sets("{\"a\": 0,\n \"q\": 1\n}", NULL, "q", NULL, "{\"a\": 0\n}") &&
              sets("{\"q\": 1}", NULL, "q", NULL, "{}") && sets("{\"a\": 1}", NULL, "q", NULL, "{\"a\": 1}"),
          "a member is removed from the start, the middle, the end, and where it is alone; or is not there");
    CHECK(sets("{\"t\": {\"q\": 1, \"r\": 2}, \"q\": 3}", "t", "q", NULL, "{\"t\": {\"r\": 2}, \"q\": 3}"),
          "a member is removed from an object within an object");
    CHECK(sets("[1]", NULL, "q", one, NULL) && sets("{\"a\" 1}", NULL, "q", one, NULL) &&
              sets("{\"a\": 1}", "t", "q", one, NULL),
          "what is no object, or has none of that name, is not changed");
    CHECK(json_is_null(json_array_get(json_object_get(loaded, "a"), 1)) && json_is_null(json_object_get(loaded, "b")) &&
              json_is_null(json_object_get(loaded, "c")) &&
              strcmp(json_string_value(json_object_get(loaded, "d")), "NaN\" Infinity") == 0,
          "NaN and infinities of Python's JSON are null, but not in strings");
    json_decref(loaded);
    json_decref(value);
    json_decref(one);
}

int main(void)
{
    check_good();
    check_bad();
    check_lengths();
    check_hostile();
    check_writing();
    check_json_text();
    mxq_free_st_header(header);
    return check_finish();
}
