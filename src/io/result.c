/*
 * result.c - the buffers of one quantized tensor, on their way into files
 *
 * Each buffer has a descriptor that takes its shares at their place: the file itself after its header, where the format
 * is plain, or else a spool. Where there is a spool, finishing reads the buffer from its start and sends it through the
 * format to where it belongs. Small members of archives are kept in memory instead,
 * and large ones written in place unless they are to be deflated.
 *
 * Checksums are computed when a share is written and its bytes are in the cache. CRC-32 is linear: that of a buffer is the
 * exclusive-or of what its runs contribute, each of which depends only on the run and on how many bytes follow it in the
 * buffer. So shares may come in any order.
 */
#define _GNU_SOURCE /* asprintf */

#include "io/result.h"

#include "io/checksum.h"
#include "io/writers.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* How standard output is called in messages. */
#define STDOUT_NAME "standard output"

/*
 * Runs below this are copied into a mapped file. A pwrite() of so few bytes takes longer than the copy with its share of
 * page faults; with longer runs it is the other way round, since each fault of a file is for one small page.
 */
#define MAPPED_RUN_NBYTES 512

/* Members up to this are kept in memory until they are complete. */
#define SMALL_NBYTES ((uint64_t)1 << 18)

/* Bytes that are in a cache still when they are written, and for which the system takes large pages. */
#define PIECE_NBYTES ((uint64_t)1 << 20)

/* Files up to this stay mapped; of larger ones, this much of what was written to. */
#define KEPT_NBYTES ((size_t)48 << 20)
#define RELEASED_NBYTES ((size_t)16 << 20)

struct sink {
    struct mxq_result_buffer info;
    char *path;   /* owned; NULL in an archive, and for standard output */
    char *member; /* owned */
    uint8_t header[MXQ_NPY_HEADER_NBYTES];
    size_t header_nbytes; /* 0: the format has none */
    uint8_t *memory;      /* takes the shares, or: */
    int fd;               /* takes them */
    const char *place;    /* what a message calls it: the file, or the folder of the spool */
    uint64_t base;        /* where the buffer starts in fd */
    _Atomic uint32_t crc; /* what the shares written so far contribute */
    _Atomic uint64_t nwritten;
    uint8_t *map; /* fd in memory, or NULL; only where its space is set aside */
    size_t map_nbytes;
    bool is_spool; /* fd is ours and not the file itself, nor a collection's */
    size_t number; /* of the member */
    int target;    /* with a spool: where finishing sends the buffer; archives have their own */
};

struct mxq_result {
    struct mxq_result_options options;
    struct mxq_outset *outset;
    char *archive_path;
    struct mxq_collection *own;        /* of the archive_path */
    struct mxq_collection *collection; /* own, or the caller's; NULL: buffers are files */
    struct sink sinks[MXQ_NUM_BUFFERS];
};

const char *mxq_format_name(enum mxq_format format)
{
    static const char *const names[MXQ_NUM_FORMATS] = {"npy", "raw", "npz"};

    return (unsigned)format < MXQ_NUM_FORMATS ? names[format] : NULL;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
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
    if (nbytes == 0 || nbytes > SIZE_MAX || fstat(sink->fd, &st) != 0 || (uint64_t)st.st_size < nbytes)
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

/* Gives a large member its place in the archive. */
static bool use_place(struct mxq_result *result, struct sink *sink, struct mxq_fault *fault)
{
    uint64_t offset;

    sink->place = mxq_collection_path(result->collection);
    if (!mxq_place_member(result->collection, sink->number, sink->header_nbytes + sink->info.nbytes, &sink->fd, &offset,
                          fault))
        return false;
    sink->base = offset + sink->header_nbytes;
    return reserve_sink(sink, fault) &&
           mxq_pwrite_all(sink->fd, sink->header, sink->header_nbytes, offset, sink->place, fault);
}

static bool use_member(struct mxq_result *result, struct sink *sink, enum mxq_buffer buffer, const char *prefix,
                       struct mxq_fault *fault)
{
    const bool is_own = result->own != NULL;
    const char *slash;
    char *name;

    if (asprintf(&name, "%s%s%s.npy", is_own ? "" : prefix, is_own ? "" : ".", mxq_buffer_name(buffer)) < 0)
        return fail_without_memory(prefix, fault);
    sink->member = name;
    slash = strrchr(name, '/');
    sink->info.path = is_own ? result->archive_path : name;
    sink->info.member = is_own ? name : NULL;
    if (!mxq_claim_member(result->collection, slash != NULL ? slash + 1 : name, &sink->number, fault))
        return false;
    if (sink->info.nbytes > SMALL_NBYTES)
        return mxq_collection_deflates(result->collection) ? use_spool(result, sink, -1, fault)
                                                           : use_place(result, sink, fault);
    sink->memory = calloc(1, (size_t)sink->info.nbytes + 1);
    return sink->memory != NULL || fail_without_memory(prefix, fault);
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
    if (result->collection != NULL)
        return use_member(result, sink, buffer, prefix, fault);
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
    if (!mxq_begin_collection(result->archive_path, result->options.gzip, result->outset, &result->own, fault))
        return false;
    result->collection = result->own;
    for (buffer = 0; buffer < MXQ_NUM_BUFFERS; buffer++) {
        if (is_wanted(&result->options, plan, buffer) &&
            __builtin_add_overflow(nbytes, plan->extent[buffer].nbytes, &nbytes))
            nbytes = UINT64_MAX; /* which is refused */
    }
    return result->options.gzip || mxq_reserve_collection(result->own, nbytes, fault);
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
    else if (options->collection != NULL && options->format != MXQ_FORMAT_NPY)
        mxq_set_fault(fault, mxq_collection_path(options->collection), 0, "takes .npy files");
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
    new_result->collection = options->collection;
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

/* Adds what the runs of a share contribute. */
static void add_to_checksum(struct sink *sink, const struct mxq_share *share, const uint8_t *bytes)
{
    const uint64_t end = share->offset + (share->nruns - 1) * share->pitch_nbytes + share->run_nbytes;
    const uint32_t to_next_run = share->nruns > 1 ? mxq_make_crc_operator(share->pitch_nbytes) : 0;
    uint32_t crc = 0;

    for (uint64_t run = 0; run < share->nruns; run++)
        crc = (run > 0 ? mxq_apply_crc(crc, to_next_run) : 0) ^
              mxq_update_crc(0, bytes + run * share->run_nbytes, (size_t)share->run_nbytes);
    atomic_fetch_xor(&sink->crc, mxq_apply_crc(crc, mxq_make_crc_operator(sink->info.nbytes - end)));
    atomic_fetch_add(&sink->nwritten, share->nruns * share->run_nbytes);
}

/*
 * Takes from what is left of a share as much as stays in a cache. Pieces of one run end at multiples of their size in the
 * file, header included: the system gives such a piece one large page, and one that is a few bytes off seven smaller ones.
 */
static struct mxq_share cut_piece(const struct sink *sink, struct mxq_share *left)
{
    const uint64_t to_boundary = PIECE_NBYTES - (sink->base + left->offset) % PIECE_NBYTES;
    struct mxq_share piece = *left;

    if (left->nruns == 1 && left->run_nbytes > to_boundary) {
        piece.run_nbytes = to_boundary;
        left->offset += to_boundary;
        left->run_nbytes -= to_boundary;
        return piece;
    }
    if (left->nruns > 1 && left->run_nbytes < PIECE_NBYTES)
        piece.nruns = smaller(left->nruns, PIECE_NBYTES / left->run_nbytes);
    else
        piece.nruns = 1;
    left->offset += piece.nruns * left->pitch_nbytes;
    left->nruns -= piece.nruns;
    return piece;
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

/* Writes a share that stays in the cache between its checksum and its way out. */
static bool write_piece(struct sink *sink, const struct mxq_share *share, const uint8_t *bytes, struct mxq_fault *fault)
{
    uint64_t offset = sink->base + share->offset;

    add_to_checksum(sink, share, bytes);
    if (share->nruns > 1 && sink->map != NULL && share->run_nbytes < MAPPED_RUN_NBYTES) {
        copy_runs(sink, share, bytes);
        return true;
    }
    for (uint64_t run = 0; run < share->nruns; run++) {
        if (!mxq_pwrite_all(sink->fd, bytes, share->run_nbytes, offset, sink->place, fault))
            return false;
        bytes += share->run_nbytes;
        offset += share->pitch_nbytes;
    }
    return true;
}

static void keep_share(const struct sink *sink, const struct mxq_share *share, const uint8_t *bytes)
{
    for (uint64_t run = 0; run < share->nruns; run++)
        memcpy(sink->memory + share->offset + run * share->pitch_nbytes, bytes + run * share->run_nbytes,
               (size_t)share->run_nbytes);
}

bool mxq_write_share(struct mxq_result *result, enum mxq_buffer buffer, const struct mxq_share *share,
                     const uint8_t *bytes, struct mxq_fault *fault)
{
    struct sink *sink = &result->sinks[buffer];
    struct mxq_share left = *share;

    if (!sink->info.present || share->nruns == 0 || share->run_nbytes == 0)
        return true;
    if (sink->memory != NULL) {
        keep_share(sink, share, bytes);
        return true;
    }
    if (left.pitch_nbytes == left.run_nbytes || left.nruns == 1)
        left = (struct mxq_share){left.offset, left.run_nbytes * left.nruns, 1, left.run_nbytes * left.nruns};
    while (left.nruns > 0) {
        const struct mxq_share piece = cut_piece(sink, &left);

        if (!write_piece(sink, &piece, bytes, fault))
            return false;
        bytes += piece.nruns * piece.run_nbytes;
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
            sink->info.crc = mxq_update_crc(sink->info.crc, chunk, nbytes);
            ok = take(context, chunk, nbytes, fault);
        }
        done += nbytes;
    }
    free(chunk);
    return ok;
}

/* For a buffer that is in place. Bytes that are no part of a share, as of an empty matrix, are zeros; only the file has them. */
static bool finish_in_place(struct sink *sink, struct mxq_fault *fault)
{
    sink->info.crc = atomic_load(&sink->crc);
    return atomic_load(&sink->nwritten) == sink->info.nbytes || pass_buffer(sink, take_nothing, NULL, fault);
}

static bool take_packed(void *context, const uint8_t *bytes, size_t nbytes, struct mxq_fault *fault)
{
    return mxq_pack_bytes(context, bytes, nbytes, fault);
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
        return finish_in_place(sink, fault);
    if (result->options.gzip)
        return finish_compressed(sink, fault);
    return mxq_write_all(sink->target, sink->header, sink->header_nbytes, sink_name(sink), fault) &&
           pass_buffer(sink, take_as_it_is, sink, fault);
}

static bool finish_packed_member(struct mxq_collection *collection, struct sink *sink, struct mxq_fault *fault)
{
    if (!mxq_start_packing(collection, sink->number, sink->header_nbytes + sink->info.nbytes, fault) ||
        !mxq_pack_bytes(collection, sink->header, sink->header_nbytes, fault))
        return false;
    return (sink->memory != NULL ? mxq_pack_bytes(collection, sink->memory, (size_t)sink->info.nbytes, fault)
                                 : pass_buffer(sink, take_packed, collection, fault)) &&
           mxq_end_packing(collection, fault);
}

static bool finish_member(struct mxq_collection *collection, struct sink *sink, struct mxq_fault *fault)
{
    const uint32_t header_crc = mxq_update_crc(0, sink->header, sink->header_nbytes);

    if (sink->memory != NULL)
        sink->info.crc = mxq_update_crc(0, sink->memory, (size_t)sink->info.nbytes);
    if (mxq_collection_deflates(collection))
        return finish_packed_member(collection, sink, fault);
    if (sink->memory != NULL)
        return mxq_write_member(collection, sink->number, sink->header, sink->header_nbytes, sink->memory,
                                (size_t)sink->info.nbytes, fault);
    return finish_in_place(sink, fault) &&
           mxq_seal_member(collection, sink->number, mxq_combine_crc(header_crc, sink->info.crc, sink->info.nbytes),
                           fault);
}

bool mxq_finish_result(struct mxq_result *result, struct mxq_fault *fault)
{
    unsigned buffer;

    for (buffer = 0; buffer < MXQ_NUM_BUFFERS; buffer++) {
        struct sink *sink = &result->sinks[buffer];

        unmap_sink(sink);
        if (sink->info.present && !(result->collection != NULL ? finish_member(result->collection, sink, fault)
                                                               : finish_sink(result, sink, fault)))
            return false;
    }
    return result->own == NULL || mxq_finish_collection(result->own, fault);
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
        free(sink->memory);
        free(sink->path);
        free(sink->member);
    }
    mxq_free_collection(result->own);
    free(result->archive_path);
    free(result);
}
