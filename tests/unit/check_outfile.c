/*
 * check_outfile - output appears whole or not at all, and holds the bytes it should
 *
 *   check_outfile [FOLDER]    works in FOLDER, which must be empty, or in a folder of its own
 *
 * Runs under fail_calls as well: then checks may fail, but nothing may crash and no temporary file may be left.
 */
#define _GNU_SOURCE

#include "io/outfile.h"
#include "io/result.h"
#include "io/zip_records.h"
#include "unit/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zip.h>
#include <zlib.h>

#define MAX_FILE_NBYTES ((size_t)8 << 20)

static struct mxq_fault fault;
static const struct mxq_outset_options careful = {.no_fsync = true};
static const struct mxq_outset_options forced = {.force = true, .no_fsync = true};

/* ---------------------------------------------------------------------------------------------------- files */

/* A whole file in memory of its own; NULL when there is none. */
static uint8_t *read_file(const char *path, size_t *nbytes)
{
    uint8_t *bytes = malloc(MAX_FILE_NBYTES);
    FILE *file = fopen(path, "rb");

    *nbytes = 0;
    if (bytes != NULL && file != NULL) {
        *nbytes = fread(bytes, 1, MAX_FILE_NBYTES, file);
        fclose(file);
        return bytes;
    }
    if (file != NULL)
        fclose(file);
    free(bytes);
    return NULL;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");

    if (file == NULL)
        return;
    fputs(text, file);
    fclose(file);
}

static bool file_has(const char *path, const char *text)
{
    size_t nbytes;
    uint8_t *bytes = read_file(path, &nbytes);
    bool same = bytes != NULL && nbytes == strlen(text) && memcmp(bytes, text, nbytes) == 0;

    free(bytes);
    return same;
}

static bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* Names in the current folder; *ntemporary counts ours among them. With clean, all are removed. */
static unsigned count_files(unsigned *ntemporary, bool clean)
{
    DIR *dir = opendir(".");
    const struct dirent *entry;
    unsigned nfiles = 0;

    *ntemporary = 0;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        nfiles++;
        *ntemporary += strstr(entry->d_name, "mxfp4q-") != NULL;
        if (clean)
            remove(entry->d_name);
    }
    if (dir != NULL)
        closedir(dir);
    return nfiles;
}

static bool folder_has(unsigned nexpected)
{
    unsigned ntemporary;

    return count_files(&ntemporary, false) == nexpected && ntemporary == 0;
}

static void clean_folder(void)
{
    unsigned ntemporary;

    count_files(&ntemporary, true);
}

/* ---------------------------------------------------------------------------------------------------- outsets */

static bool add_text(struct mxq_outset *outset, const char *path, const char *text)
{
    int fd = outset != NULL ? mxq_add_outfile(outset, path, &fault) : -1;

    return fd >= 0 && mxq_write_all(fd, text, strlen(text), path, &fault);
}

/* An outset with one or two files; NULL when that fails. */
static struct mxq_outset *start(const struct mxq_outset_options *options, const char *first, const char *second)
{
    struct mxq_outset *outset = mxq_create_outset(options);

    if (add_text(outset, first, "new 1") && (second == NULL || add_text(outset, second, "new 2")))
        return outset;
    mxq_discard_outset(outset);
    return NULL;
}

static bool commit(struct mxq_outset *outset)
{
    bool ok = outset != NULL && mxq_commit_outset(outset, &fault);

    mxq_discard_outset(outset);
    return ok;
}

static bool fault_says(const char *text)
{
    return strstr(fault.text, text) != NULL;
}

static bool refuses(const struct mxq_outset_options *options, const char *path, const char *text)
{
    struct mxq_outset *outset = mxq_create_outset(options);
    bool refused = outset != NULL && mxq_add_outfile(outset, path, &fault) < 0 && fault_says(text);

    mxq_discard_outset(outset);
    return refused;
}

static void check_appearing(void)
{
    const struct mxq_outset_options durable = {0};
    struct mxq_outset *outset = start(&durable, "a", "b");

    CHECK(outset != NULL && !exists("a") && !exists("b"), "nothing has its name before the commit");
    CHECK(commit(outset) && file_has("a", "new 1") && file_has("b", "new 2") && folder_has(2),
          "a commit makes all files appear, whole, and leaves nothing else");
    clean_folder();

    mxq_discard_outset(start(&careful, "a", "b"));
    CHECK(folder_has(0), "a discarded outset leaves nothing");
    mxq_discard_outset(NULL);
    CHECK(commit(mxq_create_outset(&careful)), "an outset without files can be committed");
    clean_folder();
}

static void check_permissions(void)
{
    mode_t before = umask(027);
    struct mxq_outset *outset = mxq_create_outset(&careful);
    int fd = outset != NULL ? mxq_add_outfile(outset, "a", &fault) : -1;
    struct stat st = {0};

    CHECK(fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0600, "a temporary file is its owner's alone");
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0, "a temporary file is closed in programs that are started");
    CHECK(commit(outset) && stat("a", &st) == 0 && (st.st_mode & 0777) == 0640, "umask decides the permissions");
    umask(before);
    clean_folder();
}

static void check_refusals(void)
{
    write_file("old", "old");
    mkdir("folder", 0777);
    if (symlink("old", "link") != 0 || symlink("nowhere", "dangling") != 0 || mkfifo("pipe", 0666) != 0)
        CHECK_FAIL("links can be made", "%s", strerror(errno));
    CHECK(refuses(&careful, "old", "already exists"), "an existing file is refused");
    CHECK(refuses(&careful, "link", "already exists"), "a link to a file is refused");
    CHECK(refuses(&careful, "dangling", "already exists"), "a link to nothing is refused");
    CHECK(refuses(&careful, "folder", "is a folder"), "a folder is refused");
    CHECK(refuses(&forced, "folder", "is a folder"), "a folder is refused with force");
    CHECK(refuses(&forced, "pipe", "not a regular file"), "a pipe is refused with force");
    CHECK(refuses(&careful, "folder/", "not the name of a file"), "a name that ends with a slash is refused");
    CHECK(refuses(&careful, "", "not the name of a file"), "an empty name is refused");
    CHECK(refuses(&careful, "none/a", "No such file or directory"), "a file in a missing folder is refused");
    CHECK(refuses(&careful, "old/a", "Not a directory"), "a file in a file is refused");
    CHECK(file_has("old", "old") && folder_has(5), "refusals leave everything as it was");
    clean_folder();
}

static void check_same_path(void)
{
    struct mxq_outset *outset = start(&forced, "a", NULL);

    CHECK(outset != NULL && mxq_add_outfile(outset, "./a", &fault) < 0 && fault_says("twice"),
          "the same file is refused twice, however it is written");
    CHECK(commit(outset) && file_has("a", "new 1"), "a refused file does not spoil the others");
    clean_folder();
}

static void check_path_is_file(void)
{
    struct stat st = {0};

    write_file("in", "in");
    write_file("other", "other");
    if (stat("in", &st) != 0 || link("in", "hard") != 0 || symlink("in", "soft") != 0)
        CHECK_FAIL("links can be made", "%s", strerror(errno));
    CHECK(mxq_path_is_file("./in", st.st_dev, st.st_ino) && mxq_path_is_file("hard", st.st_dev, st.st_ino) &&
              mxq_path_is_file("soft", st.st_dev, st.st_ino),
          "a file is known by any of its names");
    CHECK(!mxq_path_is_file("other", st.st_dev, st.st_ino) && !mxq_path_is_file("none", st.st_dev, st.st_ino),
          "another file and a missing one are not it");
    clean_folder();
}

static void check_force(void)
{
    struct stat st = {0};

    write_file("a", "old");
    write_file("kept", "kept");
    if (symlink("kept", "b") != 0)
        CHECK_FAIL("links can be made", "%s", strerror(errno));
    CHECK(commit(start(&forced, "a", "b")) && file_has("a", "new 1") && file_has("b", "new 2"),
          "force replaces files and links");
    CHECK(file_has("kept", "kept") && lstat("b", &st) == 0 && S_ISREG(st.st_mode),
          "force replaces a link, not what it names");
    CHECK(folder_has(3), "force leaves no copy of what it replaced");
    clean_folder();
}

static void check_races(void)
{
    struct mxq_outset *outset = start(&careful, "a", "b");

    write_file("b", "theirs");
    CHECK(!commit(outset) && fault_says("\"b\"") && !exists("a") && file_has("b", "theirs") && folder_has(1),
          "a file that appears meanwhile is kept, and none of ours appears");
    clean_folder();

    write_file("a", "old");
    outset = start(&forced, "a", "b");
    mkdir("b", 0777);
    CHECK(!commit(outset) && fault_says("is a folder") && file_has("a", "old") && folder_has(2),
          "with force, a commit that fails restores what it replaced");
    clean_folder();

    outset = start(&forced, "a", "b");
    mkdir("b", 0777);
    CHECK(!commit(outset) && !exists("a") && folder_has(1), "with force, a commit that fails takes new files back");
    clean_folder();
}

/* ---------------------------------------------------------------------------------------------------- trouble */

static void end_on_signal(int number)
{
    (void)number;
    mxq_remove_temporaries();
    _exit(7);
}

/* Runs in a child: two outsets are open when the signal comes. */
static void wait_for_end(void)
{
    struct mxq_outset *first;
    struct mxq_outset *second;

    signal(SIGTERM, end_on_signal);
    first = start(&careful, "a", "b");
    second = start(&forced, "old", "c");
    if (first != NULL && second != NULL)
        raise(SIGTERM);
    _exit(0);
}

static void check_signal(void)
{
    int status = 0;
    pid_t child;

    write_file("old", "old");
    fflush(stdout);
    child = fork();
    if (child == 0)
        wait_for_end();
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7 &&
              file_has("old", "old") && folder_has(1),
          "a signal handler can remove all temporary files of all outsets");
    clean_folder();

    mxq_remove_temporaries();
    CHECK(folder_has(0), "without outsets there is nothing to remove");
}

static void check_full_disk(void)
{
    struct rlimit before;
    struct rlimit small;
    struct mxq_outset *outset = mxq_create_outset(&careful);
    int fd = outset != NULL ? mxq_add_outfile(outset, "a", &fault) : -1;
    static const char text[8192] = "x";
    bool reserved;
    bool written;

    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    reserved = mxq_reserve_space(fd, 8192, "a", &fault);
    CHECK(!reserved && fault_says("\"a\"") && fault_says("File too large"), "too little room shows before writing");
    written = mxq_write_all(fd, text, sizeof(text), "a", &fault);
    CHECK(!written && fault_says("File too large"), "too little room shows when writing");
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK(!mxq_reserve_space(fd, UINT64_MAX, "a", &fault), "an impossible size is a fault");
    mxq_discard_outset(outset);
    CHECK(folder_has(0), "nothing is left after that");

    fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    CHECK(!mxq_write_all(fd, text, sizeof(text), "a", &fault) && fault_says("No space left on device"),
          "a full disk is called that");
    close(fd);
}

static void check_pipe(void)
{
    static char bytes[1 << 18];
    int fds[2] = {-1, -1};
    bool written;

    signal(SIGPIPE, SIG_IGN);
    if (pipe(fds) != 0)
        CHECK_FAIL("a pipe can be made", "%s", strerror(errno));
    close(fds[0]);
    written = mxq_write_all(fds[1], bytes, sizeof(bytes), "out", &fault);
    CHECK(!written && fault_says("Broken pipe"), "a closed pipe is a fault");
    close(fds[1]);
}

static void check_spool(void)
{
    int fd = mxq_open_spool(".", &fault);
    char bytes[4] = "";

    CHECK(fd >= 0 && folder_has(0), "a spool has no name");
    CHECK(mxq_pwrite_all(fd, "abcd", 4, 10, "s", &fault) && mxq_pread_all(fd, bytes, 4, 10, "s", &fault) &&
              memcmp(bytes, "abcd", 4) == 0,
          "a spool can be written and read at any place");
    CHECK(!mxq_pread_all(fd, bytes, 4, 12, "s", &fault) && fault_says("early"), "reading past the end is a fault");
    if (fd >= 0)
        close(fd);
    CHECK(mxq_open_spool("none", &fault) < 0 && fault_says("\"none\""), "a spool in a missing folder is a fault");
}

/* ---------------------------------------------------------------------------------------------------- results */

/* What is quantized to: bytes that follow from their place. */
static uint8_t byte_at(enum mxq_buffer buffer, uint64_t offset)
{
    return (uint8_t)((offset * 2654435761u >> 13) ^ offset ^ ((unsigned)buffer << 6));
}

static void set_extent(struct mxq_plan *plan, enum mxq_buffer buffer, uint64_t rows, uint64_t cols)
{
    plan->extent[buffer] = (struct mxq_extent){rows, cols, rows, cols, rows * cols};
}

static struct mxq_plan make_plan(bool rowwise, bool columnwise)
{
    struct mxq_plan plan = {0};

    plan.options.wanted[MXQ_ROWWISE] = rowwise;
    plan.options.wanted[MXQ_COLUMNWISE] = columnwise;
    if (rowwise) {
        set_extent(&plan, MXQ_ROWWISE_DATA, 600, 2048);
        set_extent(&plan, MXQ_ROWWISE_SCALE, 600, 128);
    }
    if (columnwise) {
        set_extent(&plan, MXQ_COLUMNWISE_DATA, 4096, 300);
        set_extent(&plan, MXQ_COLUMNWISE_SCALE, 4096, 19);
    }
    return plan;
}

/* One panel: rows row0 on and columns col0 on of a buffer, as a share. */
struct piece {
    uint64_t row0, col0, rows, cols;
};

static bool write_piece(struct mxq_result *result, const struct mxq_plan *plan, enum mxq_buffer buffer,
                        const struct piece *piece)
{
    uint64_t pitch = plan->extent[buffer].cols;
    struct mxq_share share = {piece->row0 * pitch + piece->col0, piece->cols, piece->rows, pitch};
    uint8_t *bytes = malloc((size_t)(piece->rows * piece->cols) + 1);
    struct mxq_fault own_fault;
    bool ok;

    if (bytes == NULL)
        return false;
    for (uint64_t row = 0; row < piece->rows; row++) {
        for (uint64_t col = 0; col < piece->cols; col++)
            bytes[row * piece->cols + col] = byte_at(buffer, share.offset + row * pitch + col);
    }
    ok = mxq_write_share(result, buffer, &share, bytes, &own_fault);
    free(bytes);
    return ok;
}

static uint64_t at_most(uint64_t size, uint64_t limit)
{
    return size < limit ? size : limit;
}

/* Every nth panel of 256 rows and step columns, the last one first, beginning with the panel of this number. */
static bool write_panels(struct mxq_result *result, const struct mxq_plan *plan, enum mxq_buffer buffer, uint64_t first,
                         uint64_t nth)
{
    const struct mxq_extent *extent = &plan->extent[buffer];
    uint64_t step = buffer == MXQ_COLUMNWISE_SCALE ? 19 : 127;
    uint64_t down = (extent->rows + 255) / 256;
    uint64_t across = (extent->cols + step - 1) / step;
    bool ok = true;

    for (uint64_t i = first; i < down * across && ok; i += nth) {
        uint64_t number = down * across - 1 - i;
        struct piece piece = {number / across * 256, number % across * step, 0, 0};

        piece.rows = at_most(extent->rows - piece.row0, 256);
        piece.cols = at_most(extent->cols - piece.col0, step);
        ok = write_piece(result, plan, buffer, &piece);
    }
    return ok;
}

static bool write_result(const struct mxq_result_options *options, const struct mxq_plan *plan, const char *prefix,
                         struct mxq_result **result)
{
    struct mxq_outset *outset = mxq_create_outset(&careful);
    bool ok;

    *result = NULL;
    ok = outset != NULL && mxq_begin_result(options, plan, prefix, outset, result, &fault);
    for (int buffer = 0; buffer < MXQ_NUM_BUFFERS && ok; buffer++)
        ok = write_panels(*result, plan, (enum mxq_buffer)buffer, 0, 1);
    ok = ok && mxq_finish_result(*result, &fault) && mxq_commit_outset(outset, &fault);
    mxq_discard_outset(outset);
    return ok;
}

/* Whether bytes are the buffer, after header_nbytes that are checked elsewhere. */
static bool is_buffer(const struct mxq_plan *plan, enum mxq_buffer buffer, size_t header_nbytes, const uint8_t *bytes,
                      size_t nbytes)
{
    if (bytes == NULL || nbytes != header_nbytes + plan->extent[buffer].nbytes)
        return false;
    for (uint64_t i = 0; i < plan->extent[buffer].nbytes; i++) {
        if (bytes[header_nbytes + i] != byte_at(buffer, i))
            return false;
    }
    return true;
}

static bool is_crc(const struct mxq_result *result, enum mxq_buffer buffer, const uint8_t *bytes, size_t header_nbytes)
{
    const struct mxq_result_buffer *info = mxq_get_result_buffer(result, buffer);

    return info->crc == (uint32_t)crc32_z(0, bytes + header_nbytes, (size_t)info->nbytes);
}

/* A compressed file, decompressed; a plain file comes as it is. */
static uint8_t *read_gz(const char *path, size_t *nbytes)
{
    uint8_t *bytes = malloc(MAX_FILE_NBYTES);
    gzFile file = gzopen(path, "rb");
    int ret = bytes != NULL && file != NULL ? gzread(file, bytes, (unsigned)MAX_FILE_NBYTES) : -1;

    if (file != NULL && gzclose(file) != Z_OK)
        ret = -1;
    *nbytes = ret >= 0 ? (size_t)ret : 0;
    if (ret >= 0)
        return bytes;
    free(bytes);
    return NULL;
}

static uint8_t *read_member(const char *path, const char *member, size_t *nbytes)
{
    uint8_t *bytes = malloc(MAX_FILE_NBYTES);
    zip_t *zip = zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, NULL);
    zip_file_t *file = zip != NULL ? zip_fopen(zip, member, 0) : NULL;
    zip_int64_t ret = bytes != NULL && file != NULL ? zip_fread(file, bytes, MAX_FILE_NBYTES) : -1;

    if (file != NULL && zip_fclose(file) != 0)
        ret = -1;
    if (zip != NULL)
        zip_discard(zip);
    *nbytes = ret >= 0 ? (size_t)ret : 0;
    if (ret >= 0)
        return bytes;
    free(bytes);
    return NULL;
}

static bool result_is_good(const struct mxq_result_options *options, const struct mxq_plan *plan,
                           const struct mxq_result *result)
{
    size_t header_nbytes = options->format == MXQ_FORMAT_RAW ? 0 : 128;
    bool good = true;

    for (int i = 0; i < MXQ_NUM_BUFFERS && good; i++) {
        enum mxq_buffer buffer = (enum mxq_buffer)i;
        const struct mxq_result_buffer *info = mxq_get_result_buffer(result, buffer);
        size_t nbytes;
        uint8_t *bytes;

        if (!plan->options.wanted[i / 2] || !info->present) {
            good = plan->options.wanted[i / 2] == info->present && !mxq_result_wants(result, buffer);
            continue;
        }
        bytes = info->member != NULL ? read_member(info->path, info->member, &nbytes) : read_gz(info->path, &nbytes);
        good = is_buffer(plan, buffer, header_nbytes, bytes, nbytes) && is_crc(result, buffer, bytes, header_nbytes);
        free(bytes);
    }
    return good;
}

static bool same_files(const char *a, const char *b)
{
    size_t a_nbytes;
    size_t b_nbytes;
    uint8_t *a_bytes = read_file(a, &a_nbytes);
    uint8_t *b_bytes = read_file(b, &b_nbytes);
    bool same = a_bytes != NULL && b_bytes != NULL && a_nbytes == b_nbytes && memcmp(a_bytes, b_bytes, a_nbytes) == 0;

    free(a_bytes);
    free(b_bytes);
    return same;
}

static void check_format(enum mxq_format format, bool gzip, bool rowwise, bool columnwise)
{
    const struct mxq_result_options options = {.format = format, .gzip = gzip, .only = -1};
    struct mxq_plan plan = make_plan(rowwise, columnwise);
    enum mxq_buffer buffer = rowwise ? MXQ_ROWWISE_SCALE : MXQ_COLUMNWISE_SCALE;
    struct mxq_result *first = NULL;
    struct mxq_result *second = NULL;
    char name[128];

    snprintf(name, sizeof(name), "%s%s%s%s: what is written is read back", mxq_format_name(format),
             gzip ? ", gzip" : "", rowwise ? ", rowwise" : "", columnwise ? ", columnwise" : "");
    if (!CHECK(write_result(&options, &plan, "w", &first) && result_is_good(&options, &plan, first), name))
        printf("# %s\n", fault.text);
    snprintf(name, sizeof(name), "%s%s: another run makes the same bytes", mxq_format_name(format),
             gzip ? ", gzip" : "");
    CHECK(write_result(&options, &plan, "v", &second) && first != NULL &&
              same_files(mxq_get_result_buffer(first, buffer)->path, mxq_get_result_buffer(second, buffer)->path),
          name);
    mxq_free_result(first);
    mxq_free_result(second);
    clean_folder();
}

static void check_formats(void)
{
    for (int format = 0; format < MXQ_NUM_FORMATS; format++) {
        for (int gzip = 0; gzip < 2; gzip++) {
            check_format((enum mxq_format)format, gzip, true, true);
            check_format((enum mxq_format)format, gzip, true, false);
        }
        check_format((enum mxq_format)format, false, false, true);
    }
    CHECK(mxq_format_name(MXQ_NUM_FORMATS) == NULL, "a format out of range has no name");
}

static void check_names(void)
{
    const struct mxq_result_options npz = {.format = MXQ_FORMAT_NPZ, .only = -1};
    const struct mxq_result_options gz = {.format = MXQ_FORMAT_NPY, .gzip = true, .only = -1};
    struct mxq_plan plan = make_plan(true, true);
    struct mxq_result *result = NULL;

    CHECK(write_result(&npz, &plan, "w", &result) && folder_has(1) && exists("w.npz") &&
              strcmp(mxq_get_result_buffer(result, MXQ_COLUMNWISE_DATA)->member, "columnwise_data.npy") == 0,
          "an archive is one file, with a member for each buffer");
    mxq_free_result(result);
    CHECK(write_result(&gz, &plan, "w", &result) && folder_has(5) && exists("w.rowwise_data.npy.gz") &&
              exists("w.rowwise_scale.npy.gz") && exists("w.columnwise_data.npy.gz") &&
              exists("w.columnwise_scale.npy.gz"),
          "otherwise each buffer has a file of its own");
    mxq_free_result(result);
    clean_folder();
}

static void check_header(void)
{
    const struct mxq_result_options options = {.format = MXQ_FORMAT_NPY, .only = -1};
    static const char start_of_it[] = "\x93NUMPY\x01\0\x76\0{'descr': '|u1', 'fortran_order': False, "
                                      "'shape': (600, 2048), }    ";
    struct mxq_plan plan = make_plan(true, false);
    struct mxq_result *result = NULL;
    size_t nbytes;
    uint8_t *bytes;

    CHECK(write_result(&options, &plan, "w", &result), "a .npy result can be written");
    bytes = read_file("w.rowwise_data.npy", &nbytes);
    CHECK(bytes != NULL && memcmp(bytes, start_of_it, sizeof(start_of_it) - 1) == 0 && bytes[127] == '\n' &&
              bytes[126] == ' ',
          "the header of a .npy is NumPy's");
    free(bytes);
    mxq_free_result(result);
    clean_folder();
}

static void check_no_traces(void)
{
    const struct mxq_result_options gz = {.format = MXQ_FORMAT_RAW, .gzip = true, .only = -1};
    const struct mxq_result_options npz = {.format = MXQ_FORMAT_NPZ, .only = -1};
    struct mxq_plan plan = make_plan(true, false);
    struct mxq_result *result = NULL;
    size_t nbytes;
    uint8_t *bytes;

    CHECK(write_result(&gz, &plan, "w", &result), "a .gz result can be written");
    mxq_free_result(result);
    bytes = read_file("w.rowwise_data.raw.gz", &nbytes);
    CHECK(bytes != NULL && memcmp(bytes, "\x1f\x8b\x08\0\0\0\0\0\x04\xff", 10) == 0,
          "a .gz has no name, time or system in it");
    free(bytes);
    CHECK(write_result(&npz, &plan, "w", &result), "an .npz result can be written");
    mxq_free_result(result);
    bytes = read_file("w.npz", &nbytes);
    CHECK(bytes != NULL && memcmp(bytes, "PK\x03\x04", 4) == 0 && memcmp(bytes + 10, "\0\0\x21\0", 4) == 0,
          "the members of an .npz are from 1980-01-01");
    free(bytes);
    clean_folder();
}

static void check_empty(void)
{
    for (int format = 0; format < MXQ_NUM_FORMATS; format++) {
        for (int gzip = 0; gzip < 2; gzip++) {
            const struct mxq_result_options options = {.format = (enum mxq_format)format, .gzip = gzip, .only = -1};
            struct mxq_plan plan = make_plan(true, true);
            struct mxq_result *result = NULL;
            char name[64];

            for (int buffer = 0; buffer < MXQ_NUM_BUFFERS; buffer++)
                set_extent(&plan, (enum mxq_buffer)buffer, buffer < 2 ? 0 : 7, buffer < 2 ? 7 : 0);
            snprintf(name, sizeof(name), "%s%s: empty buffers are written", mxq_format_name((enum mxq_format)format),
                     gzip ? ", gzip" : "");
            CHECK(write_result(&options, &plan, "w", &result) && result_is_good(&options, &plan, result), name);
            mxq_free_result(result);
            clean_folder();
        }
    }
}

/* ---------------------------------------------------------------------------------------------------- shares */

struct worker {
    struct mxq_result *result;
    const struct mxq_plan *plan;
    uint64_t first;
    bool ok;
};

#define NWORKERS 4

static void *work(void *context)
{
    struct worker *worker = context;

    worker->ok = true;
    for (int buffer = 0; buffer < MXQ_NUM_BUFFERS && worker->ok; buffer++)
        worker->ok = write_panels(worker->result, worker->plan, (enum mxq_buffer)buffer, worker->first, NWORKERS);
    return NULL;
}

static bool run_workers(struct mxq_result *result, const struct mxq_plan *plan)
{
    struct worker workers[NWORKERS];
    pthread_t threads[NWORKERS];
    unsigned nstarted = 0;
    bool ok = true;

    for (; nstarted < NWORKERS && ok; nstarted += ok) {
        workers[nstarted] = (struct worker){result, plan, nstarted, false};
        ok = pthread_create(&threads[nstarted], NULL, work, &workers[nstarted]) == 0;
    }
    for (unsigned i = 0; i < nstarted; i++) {
        pthread_join(threads[i], NULL);
        ok = ok && workers[i].ok;
    }
    return ok;
}

static void check_threads(enum mxq_format format)
{
    const struct mxq_result_options options = {.format = format, .only = -1};
    struct mxq_plan plan = make_plan(true, true);
    struct mxq_outset *outset = mxq_create_outset(&careful);
    struct mxq_result *result = NULL;
    char name[64];
    bool ok = outset != NULL && mxq_begin_result(&options, &plan, "w", outset, &result, &fault) &&
              run_workers(result, &plan) && mxq_finish_result(result, &fault) && mxq_commit_outset(outset, &fault);

    mxq_discard_outset(outset);
    snprintf(name, sizeof(name), "%s: threads may write shares at once", mxq_format_name(format));
    CHECK(ok && result_is_good(&options, &plan, result), name);
    mxq_free_result(result);
    clean_folder();
}

/* A share whose runs follow each other without gaps, and one with a single run and a pitch that means nothing. */
static void check_whole_shares(void)
{
    const struct mxq_result_options options = {.format = MXQ_FORMAT_RAW, .only = -1};
    struct mxq_plan plan = make_plan(true, false);
    struct mxq_outset *outset = mxq_create_outset(&careful);
    struct mxq_result *result = NULL;
    const struct piece whole = {0, 0, 600, 128};
    const struct mxq_share single = {0, 600 * 2048, 1, 0};
    const struct mxq_share none = {5, 7, 0, 7};
    uint8_t *bytes = malloc(600 * 2048);
    bool ok = outset != NULL && bytes != NULL && mxq_begin_result(&options, &plan, "w", outset, &result, &fault) &&
              write_piece(result, &plan, MXQ_ROWWISE_SCALE, &whole);

    for (uint64_t i = 0; i < 600 * 2048 && bytes != NULL; i++)
        bytes[i] = byte_at(MXQ_ROWWISE_DATA, i);
    ok = ok && mxq_write_share(result, MXQ_ROWWISE_DATA, &single, bytes, &fault) &&
         mxq_write_share(result, MXQ_ROWWISE_DATA, &none, NULL, &fault) &&
         mxq_write_share(result, MXQ_COLUMNWISE_DATA, &single, bytes, &fault);
    ok = ok && mxq_finish_result(result, &fault) && mxq_commit_outset(outset, &fault);
    mxq_discard_outset(outset);
    CHECK(ok && result_is_good(&options, &plan, result), "shares of one piece, empty and unwanted ones are right too");
    mxq_free_result(result);
    free(bytes);
    clean_folder();
}

/* ---------------------------------------------------------------------------------------------------- more results */

/* Writes one buffer to standard output, which is the file "out" meanwhile. */
static bool write_to_stdout(const struct mxq_result_options *options, const struct mxq_plan *plan,
                            struct mxq_result **result)
{
    int fd = open("out", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int saved;
    bool ok;

    fflush(stdout);
    saved = dup(STDOUT_FILENO);
    ok = fd >= 0 && saved >= 0 && dup2(fd, STDOUT_FILENO) >= 0 && write_result(options, plan, "w", result);
    if (saved >= 0 && dup2(saved, STDOUT_FILENO) >= 0)
        close(saved);
    if (fd >= 0)
        close(fd);
    return ok;
}

static void check_stdout(enum mxq_format format, bool gzip)
{
    const struct mxq_result_options options = {
        .format = format, .gzip = gzip, .to_stdout = true, .only = MXQ_COLUMNWISE_DATA};
    struct mxq_plan plan = make_plan(true, true);
    size_t header_nbytes = format == MXQ_FORMAT_RAW ? 0 : 128;
    struct mxq_result *result = NULL;
    size_t nbytes;
    uint8_t *bytes;
    char name[64];
    bool ok = write_to_stdout(&options, &plan, &result);

    snprintf(name, sizeof(name), "%s%s: standard output gets one buffer", mxq_format_name(format),
             gzip ? ", gzip" : "");
    bytes = read_gz("out", &nbytes);
    CHECK(ok && is_buffer(&plan, MXQ_COLUMNWISE_DATA, header_nbytes, bytes, nbytes) &&
              is_crc(result, MXQ_COLUMNWISE_DATA, bytes, header_nbytes) && folder_has(1) &&
              mxq_get_result_buffer(result, MXQ_COLUMNWISE_DATA)->path == NULL &&
              !mxq_result_wants(result, MXQ_ROWWISE_DATA),
          name);
    free(bytes);
    mxq_free_result(result);
    clean_folder();
}

static void check_result_faults(void)
{
    struct mxq_result_options options = {.format = MXQ_FORMAT_NPZ, .to_stdout = true, .only = MXQ_ROWWISE_DATA};
    struct mxq_plan plan = make_plan(true, false);
    struct mxq_outset *outset = mxq_create_outset(&careful);
    struct mxq_result *result = NULL;

    if (!CHECK(outset != NULL, "an outset can be made"))
        return;
    CHECK(!mxq_begin_result(&options, &plan, "w", outset, &result, &fault) && result == NULL && fault_says(".npz"),
          "an archive for standard output is refused");
    options = (struct mxq_result_options){.format = MXQ_FORMAT_NPY, .to_stdout = true, .only = MXQ_COLUMNWISE_DATA};
    CHECK(!mxq_begin_result(&options, &plan, "w", outset, &result, &fault) && fault_says("not made"),
          "a buffer that is not made is refused for standard output");
    options = (struct mxq_result_options){.gzip = true, .only = -1, .spool_dir = "none"};
    CHECK(!mxq_begin_result(&options, &plan, "w", outset, &result, &fault) && fault_says("\"none\""),
          "a spool that cannot be made is a fault");
    plan.extent[MXQ_ROWWISE_DATA].nbytes = UINT64_MAX;
    options = (struct mxq_result_options){.format = MXQ_FORMAT_NPY, .only = -1};
    CHECK(!mxq_begin_result(&options, &plan, "w", outset, &result, &fault) && fault_says("File too large"),
          "a buffer too large for a file is a fault");
    mxq_discard_outset(outset);
    mxq_free_result(NULL);
    CHECK(folder_has(0), "a result that fails leaves nothing");
    clean_folder();
}

/* ---------------------------------------------------------------------------------------------------- archives */

#define LARGE_NBYTES ((UINT64_C(1) << 32) + 5)

static void put_record(int fd, const uint8_t *record, size_t nbytes, uint64_t *at)
{
    *at += pwrite(fd, record, nbytes, (off_t)*at) == (ssize_t)nbytes ? nbytes : 0;
}

/* Whether a member is the one with this number, and has this text. libzip compares its checksum. */
static bool member_is(const char *path, zip_uint64_t number, const char *name, const char *text)
{
    char bytes[32] = "";
    zip_t *zip = zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, NULL);
    zip_file_t *file = zip != NULL ? zip_fopen_index(zip, number, 0) : NULL;
    bool is = file != NULL && zip_fread(file, bytes, sizeof(bytes)) == (zip_int64_t)strlen(text) &&
              strcmp(bytes, text) == 0 && zip_fread(file, bytes, 1) == 0 &&
              strcmp(zip_get_name(zip, number, 0), name) == 0;

    if (file != NULL)
        zip_fclose(file);
    if (zip != NULL)
        zip_discard(zip);
    return is;
}

/* A sparse archive of zeros beyond 32 bits, and a small member behind them. */
static bool write_large_archive(const char *path)
{
    static const char text[] = "behind";
    struct mxq_zip_member members[2] = {{.name = "large.npy"}, {.name = "sm\xc3\xa4ll.npy", .nbytes = sizeof(text)}};
    uint8_t record[MXQ_ZIP_RECORD_NBYTES];
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    uint64_t at = 0;
    uint64_t start;
    bool sparse;

    members[0].nbytes = members[0].packed_nbytes = LARGE_NBYTES;
    members[0].has_large_sizes = mxq_zip_needs_large_sizes(LARGE_NBYTES);
    members[1].packed_nbytes = members[1].nbytes;
    members[1].crc = (uint32_t)crc32_z(0, (const uint8_t *)text, sizeof(text));
    put_record(fd, record, mxq_make_zip_local(record, &members[0]), &at);
    sparse = ftruncate(fd, (off_t)(at + LARGE_NBYTES)) == 0;
    at += LARGE_NBYTES;
    members[1].offset = at;
    put_record(fd, record, mxq_make_zip_local(record, &members[1]), &at);
    put_record(fd, (const uint8_t *)text, sizeof(text), &at);
    start = at;
    put_record(fd, record, mxq_make_zip_entry(record, &members[0]), &at);
    put_record(fd, record, mxq_make_zip_entry(record, &members[1]), &at);
    put_record(fd, record, mxq_make_zip_end(record, 2, start, at - start), &at);
    return close(fd) == 0 && sparse;
}

static void check_large_archive(void)
{
    static uint8_t text[MAX_FILE_NBYTES];
    zip_stat_t info = {0};
    zip_t *zip;
    zip_file_t *file = NULL;

    if (!write_large_archive("large.npz")) {
        CHECK_SKIP("sizes beyond 32 bits are what libzip reads", "no sparse files here");
        unlink("large.npz");
        return;
    }
    zip = zip_open("large.npz", ZIP_RDONLY | ZIP_CHECKCONS, NULL);
    CHECK(zip != NULL && zip_stat(zip, "large.npy", 0, &info) == 0 && info.size == LARGE_NBYTES &&
              info.comp_size == LARGE_NBYTES && info.comp_method == ZIP_CM_STORE,
          "sizes beyond 32 bits are what libzip reads");
    if (zip != NULL)
        file = zip_fopen(zip, "sm\xc3\xa4ll.npy", 0);
    CHECK(file != NULL && zip_fread(file, text, sizeof(text)) == 7 && strcmp((const char *)text, "behind") == 0 &&
              zip_fclose(file) == 0,
          "a member beyond 32 bits is where libzip looks for it, under its name in UTF-8");
    if (zip != NULL)
        zip_discard(zip);
    unlink("large.npz");
}

/* Small and large members, written in another order than they were announced. */
static void check_collection(bool deflate)
{
    struct mxq_outset *outset = mxq_create_outset(&careful);
    struct mxq_collection *collection = NULL;
    uint64_t offset = 0;
    size_t member[3] = {9, 9, 9};
    int fd = -1;
    bool ok;

    ok = outset != NULL && mxq_begin_collection("c.npz", deflate, outset, &collection, &fault) &&
         mxq_claim_member(collection, "a", &member[0], &fault) &&
         mxq_claim_member(collection, "b", &member[1], &fault) &&
         mxq_claim_member(collection, "c", &member[2], &fault) && member[0] == 0 && member[2] == 2;
    CHECK(ok && !mxq_claim_member(collection, "b", &member[1], &fault) && fault_says("would be written twice") &&
              member[1] == 1,
          "a name of a member can be had once");
    ok = ok && mxq_place_member(collection, 2, 5, &fd, &offset, &fault) &&
         mxq_write_member(collection, 0, "he", 2, "llo", 3, &fault);
    if (deflate)
        ok = ok && mxq_start_packing(collection, 1, 6, &fault) && mxq_pack_bytes(collection, "wor", 3, &fault) &&
             mxq_pack_bytes(collection, "ld!", 3, &fault) && mxq_end_packing(collection, &fault);
    else
        ok = ok && mxq_write_member(collection, 1, NULL, 0, "world!", 6, &fault);
    ok = ok && pwrite(fd, "there", 5, (off_t)offset) == 5 &&
         mxq_seal_member(collection, 2, (uint32_t)crc32_z(0, (const uint8_t *)"there", 5), &fault) &&
         mxq_finish_collection(collection, &fault) && mxq_commit_outset(outset, &fault);
    CHECK(ok && member_is("c.npz", 0, "a", "hello") && member_is("c.npz", 1, "b", "world!") &&
              member_is("c.npz", 2, "c", "there"),
          "members have their bytes and are in the order in which they were announced");
    mxq_free_collection(collection);
    mxq_discard_outset(outset);
    clean_folder();
}

static void check_archives(void)
{
    mxq_free_collection(NULL);
    check_large_archive();
    check_collection(false);
    check_collection(true);
}

static void check_results(void)
{
    check_formats();
    check_names();
    check_header();
    check_no_traces();
    check_empty();
    check_threads(MXQ_FORMAT_NPY);
    check_threads(MXQ_FORMAT_NPZ);
    check_whole_shares();
    check_stdout(MXQ_FORMAT_NPY, false);
    check_stdout(MXQ_FORMAT_NPY, true);
    check_stdout(MXQ_FORMAT_RAW, false);
    check_result_faults();
}

int main(int argc, char **argv)
{
    char own_folder[] = "/tmp/check_outfile-XXXXXX";
    const char *folder = argc > 1 ? argv[1] : mkdtemp(own_folder);

    if (folder == NULL || chdir(folder) != 0) {
        perror("check_outfile: no folder to work in");
        return 1;
    }
    check_appearing();
    check_permissions();
    check_refusals();
    check_same_path();
    check_path_is_file();
    check_force();
    check_races();
    check_signal();
    check_full_disk();
    check_pipe();
    check_spool();
    check_archives();
    check_results();
    if (!folder_has(0))
        CHECK_FAIL("nothing is left in the end", "see %s", folder);
    if (argc <= 1)
        rmdir(folder);
    return check_finish();
}
