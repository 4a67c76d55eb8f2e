/* checkpoint_verify_bytes.c - what can be said of a checkpoint's bytes without its source: checksums, and sane scales */
#include "cli/checkpoint_verify.h"

#include "cli/pool.h"
#include "cli/progress.h"
#include "io/checksum.h"
#include "io/outfile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_NBYTES ((uint64_t)8 << 20)

/* Scale byte 0 is for values up to 1.75 * 2^-125; what is larger needs another one under every rule. */
#define LEAST_SCALED 0x1p-124

static bool set_no_memory(struct mxq_fault *fault)
{
    mxq_set_fault(fault, NULL, ENOMEM, "cannot verify");
    return false;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---------------------------------------------------------------------------------------------- workers */

/* A buffer of PIECE_NBYTES for each thread. */
struct workers {
    uint8_t **buffers;
    unsigned nworkers;
};

static void free_workers(struct workers *workers)
{
    for (unsigned i = 0; i < workers->nworkers && workers->buffers != NULL; i++)
        free(workers->buffers[i]);
    free(workers->buffers);
}

static bool make_workers(struct workers *workers, unsigned nthreads, uint64_t ntasks, struct mxq_fault *fault)
{
    workers->nworkers = mxq_count_workers(nthreads, ntasks);
    workers->buffers = calloc(workers->nworkers, sizeof(*workers->buffers));
    if (workers->buffers == NULL)
        return set_no_memory(fault);
    for (unsigned i = 0; i < workers->nworkers; i++)
        if ((workers->buffers[i] = malloc(PIECE_NBYTES)) == NULL)
            return set_no_memory(fault);
    return true;
}

/* ---------------------------------------------------------------------------------------------- checksums */

struct piece {
    size_t shard;
    uint64_t offset;
    uint64_t nbytes;
    uint32_t crc;
};

struct summing {
    struct mxq_verify *verify;
    struct workers workers;
    struct piece *pieces;
    uint64_t npieces;
    uint64_t done_nbytes;
};

static const json_t *find_shard_record(const struct mxq_verify *verify, const char *name)
{
    const json_t *shards = json_object_get(verify->report, "shards");

    for (size_t i = 0; i < json_array_size(shards); i++) {
        const json_t *record = json_array_get(shards, i);
        const char *its_name = json_string_value(json_object_get(record, "file"));
        if (its_name != NULL && strcmp(its_name, name) == 0)
            return record;
    }
    return NULL;
}

/* Eight hexadecimal digits. */
static bool get_crc(const json_t *record, uint32_t *crc)
{
    const char *text = json_string_value(json_object_get(record, "crc32"));

    if (text == NULL || strlen(text) != 8 || strspn(text, "0123456789abcdef") != 8)
        return false;
    *crc = (uint32_t)strtoul(text, NULL, 16);
    return true;
}

static uint64_t cut_shards(const struct mxq_checkpoint *made, struct piece *pieces)
{
    uint64_t n = 0;

    for (size_t s = 0; s < made->nshards; s++)
        for (uint64_t offset = 0; offset < made->shards[s].header->nbytes; offset += PIECE_NBYTES, n++)
            if (pieces != NULL)
                pieces[n] =
                    (struct piece){s, offset, smaller(PIECE_NBYTES, made->shards[s].header->nbytes - offset), 0};
    return n;
}

static bool sum_piece(void *context, unsigned worker, uint64_t task, struct mxq_fault *fault)
{
    struct summing *s = context;
    struct piece *piece = &s->pieces[task];
    const struct mxq_checkpoint_side *made = &s->verify->made;
    uint8_t *bytes = s->workers.buffers[worker];

    if (!mxq_pread_all(made->fds[piece->shard], bytes, piece->nbytes, piece->offset,
                       made->checkpoint->shards[piece->shard].name, fault))
        return false;
    piece->crc = mxq_update_crc(0, bytes, piece->nbytes);
    return true;
}

static void note_piece(void *context, unsigned worker, uint64_t task)
{
    struct summing *s = context;

    (void)worker;
    s->done_nbytes += s->pieces[task].nbytes;
    mxq_update_progress(s->done_nbytes);
}

static void judge_shard(struct mxq_verify *verify, size_t shard, uint32_t crc)
{
    const struct mxq_checkpoint_shard *s = &verify->made.checkpoint->shards[shard];
    const json_t *record = find_shard_record(verify, s->name);
    const json_t *nbytes = json_object_get(record, "nbytes");
    uint32_t wanted = 0;

    if (record == NULL) {
        mxq_add_problem(verify, "\"%s\": not a shard that %s tells of", s->name, MXQ_CHECKPOINT_REPORT);
    } else if (!get_crc(record, &wanted)) {
        mxq_add_problem(verify, "\"%s\": %s has no crc32 of it", s->name, MXQ_CHECKPOINT_REPORT);
    } else if (json_is_integer(nbytes) && (uint64_t)json_integer_value(nbytes) != s->header->nbytes) {
        mxq_add_problem(verify, "\"%s\": %" PRIu64 " bytes; %s says %lld", s->name, s->header->nbytes,
                        MXQ_CHECKPOINT_REPORT, (long long)json_integer_value(nbytes));
    } else if (crc != wanted) {
        mxq_add_problem(verify, "\"%s\": its bytes have CRC-32 %08" PRIx32 "; %s says %08" PRIx32, s->name, crc,
                        MXQ_CHECKPOINT_REPORT, wanted);
    }
    verify->nchecksums++;
    verify->checked_nbytes += s->header->nbytes;
}

static void judge_shards(struct summing *s)
{
    const struct mxq_checkpoint *made = s->verify->made.checkpoint;
    uint32_t crc = 0;

    for (uint64_t i = 0; i < s->npieces; i++) {
        const struct piece *piece = &s->pieces[i];
        crc = piece->offset == 0 ? piece->crc : mxq_combine_crc(crc, piece->crc, piece->nbytes);
        if (piece->offset + piece->nbytes == made->shards[piece->shard].header->nbytes)
            judge_shard(s->verify, piece->shard, crc);
    }
}

static bool has_shard(const struct mxq_checkpoint *made, const char *name)
{
    for (size_t i = 0; i < made->nshards; i++)
        if (strcmp(made->shards[i].name, name) == 0)
            return true;
    return false;
}

static void find_lost_shards(struct mxq_verify *verify)
{
    const json_t *shards = json_object_get(verify->report, "shards");

    for (size_t i = 0; i < json_array_size(shards); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(shards, i), "file"));
        if (name != NULL && !has_shard(verify->made.checkpoint, name))
            mxq_add_problem(verify, "\"%s\": a shard that %s tells of, and is not there", name, MXQ_CHECKPOINT_REPORT);
    }
}

bool mxq_verify_checksums(struct mxq_verify *verify, struct mxq_fault *fault)
{
    struct summing s = {verify, {NULL, 0}, NULL, 0, 0};
    bool good;

    if (verify->report == NULL)
        return true;
    find_lost_shards(verify);
    s.npieces = cut_shards(verify->made.checkpoint, NULL);
    s.pieces = calloc(s.npieces + 1, sizeof(*s.pieces));
    good = s.pieces != NULL ? make_workers(&s.workers, verify->nthreads, s.npieces, fault) : set_no_memory(fault);
    if (good) {
        const struct mxq_tasks tasks = {s.npieces, s.workers.nworkers, &s, NULL, sum_piece, note_piece};
        uint64_t total = 0;
        cut_shards(verify->made.checkpoint, s.pieces);
        for (uint64_t i = 0; i < s.npieces; i++)
            total += s.pieces[i].nbytes;
        mxq_start_progress("checksums", total);
        good = mxq_run_tasks(&tasks, fault);
        mxq_end_progress();
    }
    if (good)
        judge_shards(&s);
    free_workers(&s.workers);
    free(s.pieces);
    return good;
}

/* ---------------------------------------------------------------------------------------------- scales */

struct scales {
    uint64_t nnan;  /* bytes of 255 */
    uint64_t nzero; /* bytes of 0 */
    bool has_codes; /* some code is not 0; looked at only when all bytes are 0 */
};

struct counting {
    struct mxq_verify *verify;
    struct workers workers;
    struct scales *scales; /* of each packed tensor */
};

static bool count_scales(struct counting *c, const struct mxq_packed *packed, uint8_t *bytes, struct scales *scales,
                         struct mxq_fault *fault)
{
    const struct mxq_checkpoint_side *made = &c->verify->made;
    const uint64_t total = mxq_tensor_at(made->checkpoint, &packed->scale)->nbytes;

    for (uint64_t offset = 0; offset < total; offset += PIECE_NBYTES) {
        const uint64_t nbytes = smaller(PIECE_NBYTES, total - offset);
        if (!mxq_read_tensor(made->checkpoint, made->fds, &packed->scale, offset, nbytes, bytes, fault))
            return false;
        for (uint64_t i = 0; i < nbytes; i++) {
            scales->nnan += bytes[i] == 255;
            scales->nzero += bytes[i] == 0;
        }
    }
    return true;
}

static bool find_codes(struct counting *c, const struct mxq_packed *packed, uint8_t *bytes, bool *found,
                       struct mxq_fault *fault)
{
    const struct mxq_checkpoint_side *made = &c->verify->made;
    const uint64_t total = mxq_tensor_at(made->checkpoint, &packed->data)->nbytes;

    for (uint64_t offset = 0; offset < total && !*found; offset += PIECE_NBYTES) {
        const uint64_t nbytes = smaller(PIECE_NBYTES, total - offset);
        if (!mxq_read_tensor(made->checkpoint, made->fds, &packed->data, offset, nbytes, bytes, fault))
            return false;
        for (uint64_t i = 0; i < nbytes; i++)
            *found |= (bytes[i] & 0x77) != 0;
    }
    return true;
}

static bool count_tensor(void *context, unsigned worker, uint64_t task, struct mxq_fault *fault)
{
    struct counting *c = context;
    const struct mxq_packed *packed = &c->verify->made.list.packed[task];
    struct scales *scales = &c->scales[task];
    uint8_t *bytes = c->workers.buffers[worker];

    if (!count_scales(c, packed, bytes, scales, fault))
        return false;
    if (scales->nzero != mxq_tensor_at(c->verify->made.checkpoint, &packed->scale)->nbytes)
        return true;
    return find_codes(c, packed, bytes, &scales->has_codes, fault);
}

/* Whether the maker was told to let infinities and NaNs pass, which some profiles mark by a scale byte of 255. */
static bool allows_nonfinite(const struct mxq_verify *verify)
{
    return json_is_true(json_object_get(verify->report, "nonfinite_allowed"));
}

/* The largest magnitude that the source had, as the report has it; 0 when it does not tell. */
static double get_amax(const struct mxq_verify *verify, const struct mxq_packed *packed)
{
    const json_t *tensors = json_object_get(verify->report, "tensors");

    for (size_t i = 0; i < json_array_size(tensors); i++) {
        const json_t *tensor = json_array_get(tensors, i);
        const char *name = json_string_value(json_object_get(tensor, "name"));
        if (name == NULL || strcmp(name, packed->name) != 0)
            continue;
        for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
            const json_t *amax = json_object_get(json_object_get(tensor, mxq_direction_name(d)), "amax");
            if (json_is_number(amax))
                return json_number_value(amax);
        }
    }
    return 0;
}

/* Blocks of zeros have scales of 0 under most profiles; a whole tensor of them had better been zero in the source. */
static void judge_zeros(struct mxq_verify *verify, const struct mxq_packed *packed, const struct scales *scales)
{
    const char *shard = verify->made.checkpoint->shards[packed->scale.shard].name;

    if (scales->nzero != mxq_tensor_at(verify->made.checkpoint, &packed->scale)->nbytes)
        return;
    if (scales->has_codes || get_amax(verify, packed) > LEAST_SCALED)
        mxq_add_problem(verify, "\"%s\": tensor \"%.300s\": all scales are 0, though its %s", shard, packed->scale.name,
                        scales->has_codes ? "codes are not" : "source was not");
}

static void judge_scales(struct counting *c)
{
    struct mxq_verify *verify = c->verify;

    for (size_t i = 0; i < verify->made.list.npacked; i++) {
        const struct mxq_packed *packed = &verify->made.list.packed[i];
        const uint64_t nscales = mxq_tensor_at(verify->made.checkpoint, &packed->scale)->nbytes;
        const char *shard = verify->made.checkpoint->shards[packed->scale.shard].name;
        verify->nscales += nscales;
        if (c->scales[i].nnan != 0 && !allows_nonfinite(verify))
            mxq_add_problem(verify,
                            "\"%s\": tensor \"%.300s\" has %" PRIu64 " of %" PRIu64 " scales that are NaN (255)", shard,
                            packed->scale.name, c->scales[i].nnan, nscales);
        judge_zeros(verify, packed, &c->scales[i]);
    }
}

bool mxq_verify_scales(struct mxq_verify *verify, struct mxq_fault *fault)
{
    struct counting c = {verify, {NULL, 0}, NULL};
    const uint64_t ntensors = verify->made.list.npacked;
    bool good;

    c.scales = calloc(ntensors + 1, sizeof(*c.scales));
    good = c.scales != NULL ? make_workers(&c.workers, verify->nthreads, ntensors, fault) : set_no_memory(fault);
    if (good && ntensors != 0) {
        const struct mxq_tasks tasks = {ntensors, c.workers.nworkers, &c, NULL, count_tensor, NULL};
        good = mxq_run_tasks(&tasks, fault);
    }
    if (good)
        judge_scales(&c);
    free_workers(&c.workers);
    free(c.scales);
    return good;
}
