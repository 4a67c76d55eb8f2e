/*
 * result.c - the buffers of one quantized tensor, on their way into files
 *
 * Each buffer has a descriptor that takes its shares at their place: the file itself after its header, where the format
 * is plain, or else a spool. Finishing reads each buffer once from the start, for its checksum, and where there is a
 * spool sends it through the format to where it belongs.
 */
#define _GNU_SOURCE /* asprintf */

#include "io/result.h"

#include "io/writers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* How standard output is called in messages. */
#define STDOUT_NAME "standard output"

/*
 * Runs below this are copied into a mapped file. A panel of a linear layout has thousands of runs of a few bytes, and a
 * pwrite() for each takes microseconds, for which the copy takes nanoseconds.
 */
#define MAPPED_RUN_NBYTES 32768

/* Files up to this stay mapped; of larger ones, this much of what was written to. */
#define KEPT_NBYTES ((size_t)48 << 20)
#define RELEASED_NBYTES ((size_t)16 << 20)

struct sink {
    struct mxq_result_buffer info;
    char *path;   /* owned; NULL in an archive, and for standard output */
    char *member; /* owned */
    uint8_t header[MXQ_NPY_HEADER_NBYTES];
    size_t header_nbytes; /* 0: the format has none */
    int fd;               /* takes the shares */
    const char *place;    /* what a message calls it: the file, or the folder of the spool */
    uint64_t base;        /* where the buffer starts in fd */
    uint8_t *map;         /* fd in memory, or NULL; only where its space is set aside */
    size_t map_nbytes;
    bool is_spool; /* fd is ours and not the file itself */
    int target;    /* with a spool: where finishing sends the buffer; archives have their own */
};

struct mxq_result {
    struct mxq_result_options options;
    struct mxq_outset *outset;
    char *archive_path;
    int archive_fd;
    struct sink sinks[MXQ_NUM_BUFFERS];
};

const char *mxq_format_name(enum mxq_format format)
{
    static const char *const names[MXQ_NUM_FORMATS] = {"npy", "raw", "npz"};

    return (unsigned)format < MXQ_NUM_FORMATS ? names[format] : NULL;
}

/* ---------------------------------------------------------------------------------------------------- beginning */

static const char *sink_name(const struct sink *sink)
{
    return sink->info.path != NULL ? sink->info.path : STDOUT_NAME;
}

static bool fail_without_memory(const char *prefix, struct mxq_fault *fault)
{
    mxq_set_fault(fault, prefix, ENOMEM, "cannot write the result");
    return false;
}

/*
 * Sets aside the space of the sink's descriptor and maps it. Writing to a map ends the program when the disk is full, so
 * there is no map unless the file has got its size, and with it its space.
 */
static bool reserve_sink(struct sink *sink, struct mxq_fault *fault)
{
    uint64_t nbytes = sink->base + sink->info.nbytes;
    struct stat st;
    void *map;

    if (!mxq_reserve_space(sink->fd, nbytes, sink->place, fault))
        return false;
    if (nbytes == 0 || nbytes > SIZE_MAX || fstat(sink->fd, &st) != 0 || (uint64_t)st.st_size != nbytes)
        return true;
    map = mmap(NULL, (size_t)nbytes, PROT_READ | PROT_WRITE, MAP_SHARED, sink->fd, 0);
    if (map != MAP_FAILED) {
        sink->map = map;
        sink->map_nbytes = (size_t)nbytes;
    }
    return true;
}

static void unmap_sink(struct sink *sink)
{
    if (sink->map != NULL)
        munmap(sink->map, sink->map_nbytes);
    sink->map = NULL;
}

/* Gives the sink a spool, for a buffer that finishing sends to target. */
static bool use_spool(const struct mxq_result *result, struct sink *sink, int target, struct mxq_fault *fault)
{
    sink->fd = mxq_open_spool(result->options.spool_dir, fault);
    if (sink->fd < 0)
        return false;
    sink->is_spool = true;
    sink->place = mxq_spool_folder(result->options.spool_dir);
    sink->target = target;
    return reserve_sink(sink, fault);
}

static bool use_file(struct mxq_result *result, struct sink *sink, enum mxq_buffer buffer, const char *prefix,
                     struct mxq_fault *fault)
{
    const struct mxq_result_options *options = &result->options;
    char *path;
    int fd;

    if (asprintf(&path, "%s.%s.%s%s", prefix, mxq_buffer_name(buffer), mxq_format_name(options->format),
                 options->gzip ? ".gz" : "") < 0)
        return fail_without_memory(prefix, fault);
    sink->path = path;
    sink->info.path = path;
    fd = mxq_add_outfile(result->outset, path, fault);
    if (fd < 0)
        return false;
    if (options->gzip)
        return use_spool(result, sink, fd, fault);
    sink->fd = fd;
    sink->place = path;
    sink->base = sink->header_nbytes;
    return reserve_sink(sink, fault) && mxq_pwrite_all(fd, sink->header, sink->header_nbytes, 0, path, fault);
}

static bool use_archive(struct mxq_result *result, struct sink *sink, enum mxq_buffer buffer, struct mxq_fault *fault)
{
    char *member;

    if (asprintf(&member, "%s.npy", mxq_buffer_name(buffer)) < 0)
        return fail_without_memory(result->archive_path, fault);
    sink->info.path = result->archive_path;
    sink->member = member;
    sink->info.member = member;
    return use_spool(result, sink, -1, fault);
}

static bool begin_sink(struct mxq_result *result, const struct mxq_extent *extent, enum mxq_buffer buffer,
                       const char *prefix, struct mxq_fault *fault)
{
    struct sink *sink = &result->sinks[buffer];

    sink->info.present = true;
    sink->info.nbytes = extent->nbytes;
    if (result->options.format != MXQ_FORMAT_RAW) {
        mxq_make_npy_header(sink->header, extent->rows, extent->cols);
        sink->header_nbytes = sizeof(sink->header);
    }
    if (extent->nbytes > INT64_MAX - sizeof(sink->header)) {
        mxq_set_fault(fault, prefix, EFBIG, "cannot write the result");
        return false;
    }
    if (result->options.to_stdout)
        return use_spool(result, sink, STDOUT_FILENO, fault);
    if (result->options.format == MXQ_FORMAT_NPZ)
        return use_archive(result, sink, buffer, fault);
    return use_file(result, sink, buffer, prefix, fault);
}

/* Both buffers of a direction exist when it is wanted. */
static bool plan_has(const struct mxq_plan *plan, unsigned buffer)
{
    return plan->options.wanted[buffer >= MXQ_COLUMNWISE_DATA ? MXQ_COLUMNWISE : MXQ_ROWWISE];
}

static bool is_wanted(const struct mxq_result_options *options, const struct mxq_plan *plan, unsigned buffer)
{
    return plan_has(plan, buffer) && (options->only < 0 || buffer == (unsigned)options->only);
}

/* The archive holds at least the bytes of the buffers, unless they are compressed. */
static bool begin_archive(struct mxq_result *result, const struct mxq_plan *plan, const char *prefix,
                          struct mxq_fault *fault)
{
    uint64_t nbytes = 0;
    unsigned buffer;

    if (asprintf(&result->archive_path, "%s.npz", prefix) < 0) {
        result->archive_path = NULL;
        return fail_without_memory(prefix, fault);
    }
    result->archive_fd = mxq_add_outfile(result->outset, result->archive_path, fault);
    if (result->archive_fd < 0)
        return false;
    for (buffer = 0; buffer < MXQ_NUM_BUFFERS; buffer++) {
        if (is_wanted(&result->options, plan, buffer) &&
            __builtin_add_overflow(nbytes, plan->extent[buffer].nbytes, &nbytes))
            nbytes = UINT64_MAX; /* which is refused */
    }
    return result->options.gzip || mxq_reserve_space(result->archive_fd, nbytes, result->archive_path, fault);
}

static bool check_options(const struct mxq_result_options *options, const struct mxq_plan *plan,
                          struct mxq_fault *fault)
{
    if (options->only >= MXQ_NUM_BUFFERS || (options->only >= 0 && !plan_has(plan, (unsigned)options->only)))
        mxq_set_fault(fault, NULL, 0, "the only buffer to write is not made");
    else if (options->to_stdout && options->only < 0)
        mxq_set_fault(fault, STDOUT_NAME, 0, "takes one buffer");
    else if (options->to_stdout && options->format == MXQ_FORMAT_NPZ)
        mxq_set_fault(fault, STDOUT_NAME, 0, "cannot take an .npz archive");
    else
        return true;
    return false;
}

static bool begin_sinks(struct mxq_result *result, const struct mxq_plan *plan, const char *prefix,
                        struct mxq_fault *fault)
{
    unsigned buffer;

    if (result->options.format == MXQ_FORMAT_NPZ && !begin_archive(result, plan, prefix, fault))
        return false;
    for (buffer = 0; buffer < MXQ_NUM_BUFFERS; buffer++) {
        if (is_wanted(&result->options, plan, buffer) &&
            !begin_sink(result, &plan->extent[buffer], (enum mxq_buffer)buffer, prefix, fault))
            return false;
    }
    return true;
}

bool mxq_begin_result(const struct mxq_result_options *options, const struct mxq_plan *plan, const char *prefix,
                      struct mxq_outset *outset, struct mxq_result **result, struct mxq_fault *fault)
{
    struct mxq_result *new_result;

    *result = NULL;
    if (!check_options(options, plan, fault))
        return false;
    new_result = calloc(1, sizeof(*new_result));
    if (new_result == NULL)
        return fail_without_memory(prefix, fault);
    new_result->options = *options;
    new_result->outset = outset;
    if (!begin_sinks(new_result, plan, prefix, fault)) {
        mxq_free_result(new_result);
        return false;
    }
    *result = new_result;
    return true;
}

/* ---------------------------------------------------------------------------------------------------- shares */

bool mxq_result_wants(const struct mxq_result *result, enum mxq_buffer buffer)
{
    return result->sinks[buffer].info.present;
}

/* Lets go of mapped pages from first to end: their bytes are in the system's cache, and need not count as ours too. */
static void release_pages(uint8_t *first, const uint8_t *end)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uint8_t *start = first + (page - (uintptr_t)first % page) % page;

    if (end > start + page)
        (void)madvise(start, (size_t)(end - start) / page * page, MADV_DONTNEED);
}

/*
 * A panel touches pages all over the file, so of a large file most would stay mapped, and resident memory would grow with
 * the result instead of with the panel. A small one keeps its pages, which the next panel writes to again.
 */
static void copy_runs(const struct sink *sink, const struct mxq_share *share, const uint8_t *bytes)
{
    uint8_t *to = sink->map + sink->base + share->offset;
    uint8_t *kept = to;
    uint64_t run;

    for (run = 0; run < share->nruns; run++) {
        memcpy(to, bytes + run * share->run_nbytes, (size_t)share->run_nbytes);
        if (sink->map_nbytes > KEPT_NBYTES && (size_t)(to - kept) > RELEASED_NBYTES) {
            release_pages(kept, to);
            kept = to;
        }
        to += share->pitch_nbytes;
    }
    if (sink->map_nbytes > KEPT_NBYTES)
        release_pages(kept, to - share->pitch_nbytes);
}

bool mxq_write_share(struct mxq_result *result, enum mxq_buffer buffer, const struct mxq_share *share,
                     const uint8_t *bytes, struct mxq_fault *fault)
{
    const struct sink *sink = &result->sinks[buffer];
    uint64_t offset = sink->base + share->offset;
    uint64_t run;

    if (!sink->info.present || share->nruns == 0 || share->run_nbytes == 0)
        return true;
    if (share->nruns == 1 || share->pitch_nbytes == share->run_nbytes)
        return mxq_pwrite_all(sink->fd, bytes, share->nruns * share->run_nbytes, offset, sink->place, fault);
    if (sink->map != NULL && share->run_nbytes < MAPPED_RUN_NBYTES) {
        copy_runs(sink, share, bytes);
        return true;
    }
    for (run = 0; run < share->nruns; run++) {
        if (!mxq_pwrite_all(sink->fd, bytes, share->run_nbytes, offset, sink->place, fault))
            return false;
        bytes += share->run_nbytes;
        offset += share->pitch_nbytes;
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------------- finishing */

/* Takes the next bytes of a buffer. */
typedef bool (*take_func)(void *context, const uint8_t *bytes, size_t nbytes, struct mxq_fault *fault);

static bool take_nothing(void *context, const uint8_t *bytes, size_t nbytes, struct mxq_fault *fault)
{
    (void)context;
    (void)bytes;
    (void)nbytes;
    (void)fault;
    return true;
}

static bool take_as_it_is(void *context, const uint8_t *bytes, size_t nbytes, struct mxq_fault *fault)
{
    const struct sink *sink = context;

    return mxq_write_all(sink->target, bytes, nbytes, sink_name(sink), fault);
}

static bool take_compressed(void *context, const uint8_t *bytes, size_t nbytes, struct mxq_fault *fault)
{
    return mxq_write_gz(context, bytes, nbytes, fault);
}

/* Hands a whole buffer to take, from its start, and computes its checksum on the way. */
static bool pass_buffer(struct sink *sink, take_func take, void *context, struct mxq_fault *fault)
{
    uint8_t *chunk = malloc(MXQ_CHUNK_NBYTES);
    uint64_t done = 0;
    bool ok = chunk != NULL;

    if (!ok)
        mxq_set_fault(fault, sink_name(sink), ENOMEM, "cannot read it back");
    sink->info.crc = 0;
    while (ok && done < sink->info.nbytes) {
        uint64_t left = sink->info.nbytes - done;
        size_t nbytes = left < MXQ_CHUNK_NBYTES ? (size_t)left : MXQ_CHUNK_NBYTES;

        ok = mxq_pread_all(sink->fd, chunk, nbytes, sink->base + done, sink->place, fault);
        if (ok) {
            sink->info.crc = (uint32_t)crc32_z(sink->info.crc, chunk, nbytes);
            ok = take(context, chunk, nbytes, fault);
        }
        done += nbytes;
    }
    free(chunk);
    return ok;
}

static bool finish_compressed(struct sink *sink, struct mxq_fault *fault)
{
    struct mxq_gz_writer *writer = mxq_open_gz_writer(sink->target, sink_name(sink), fault);
    bool ok;

    if (writer == NULL)
        return false;
    ok = mxq_write_gz(writer, sink->header, sink->header_nbytes, fault) &&
         pass_buffer(sink, take_compressed, writer, fault) && mxq_finish_gz(writer, fault);
    mxq_free_gz_writer(writer);
    return ok;
}

static bool finish_sink(const struct mxq_result *result, struct sink *sink, struct mxq_fault *fault)
{
    if (!sink->is_spool)
        return pass_buffer(sink, take_nothing, NULL, fault);
    if (result->options.gzip)
        return finish_compressed(sink, fault);
    return mxq_write_all(sink->target, sink->header, sink->header_nbytes, sink_name(sink), fault) &&
           pass_buffer(sink, take_as_it_is, sink, fault);
}

static bool finish_archive(struct mxq_result *result, struct mxq_fault *fault)
{
    struct mxq_npz_member members[MXQ_NUM_BUFFERS];
    struct sink *of_member[MXQ_NUM_BUFFERS];
    size_t nmembers = 0;
    size_t i;

    for (i = 0; i < MXQ_NUM_BUFFERS; i++) {
        struct sink *sink = &result->sinks[i];

        if (!sink->info.present)
            continue;
        members[nmembers] = (struct mxq_npz_member){.name = sink->info.member,
                                                    .header = sink->header,
                                                    .header_nbytes = sink->header_nbytes,
                                                    .fd = sink->fd,
                                                    .place = sink->place,
                                                    .nbytes = sink->info.nbytes};
        of_member[nmembers++] = sink;
    }
    if (!mxq_write_npz(result->archive_fd, result->archive_path, members, nmembers, result->options.gzip, fault))
        return false;
    for (i = 0; i < nmembers; i++)
        of_member[i]->info.crc = members[i].crc;
    return true;
}

bool mxq_finish_result(struct mxq_result *result, struct mxq_fault *fault)
{
    unsigned buffer;

    for (buffer = 0; buffer < MXQ_NUM_BUFFERS; buffer++)
        unmap_sink(&result->sinks[buffer]);
    if (result->archive_path != NULL)
        return finish_archive(result, fault);
    for (buffer = 0; buffer < MXQ_NUM_BUFFERS; buffer++) {
        struct sink *sink = &result->sinks[buffer];

        if (sink->info.present && !finish_sink(result, sink, fault))
            return false;
    }
    return true;
}

const struct mxq_result_buffer *mxq_get_result_buffer(const struct mxq_result *result, enum mxq_buffer buffer)
{
    return &result->sinks[buffer].info;
}

void mxq_free_result(struct mxq_result *result)
{
    unsigned buffer;

    if (result == NULL)
        return;
    for (buffer = 0; buffer < MXQ_NUM_BUFFERS; buffer++) {
        struct sink *sink = &result->sinks[buffer];

        unmap_sink(sink);
        if (sink->is_spool)
            close(sink->fd);
        free(sink->path);
        free(sink->member);
    }
    free(result->archive_path);
    free(result);
}
