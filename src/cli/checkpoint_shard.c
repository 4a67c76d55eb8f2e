/* checkpoint_shard.c - making one shard of a checkpoint: its file, filled by threads, and what they found */
#include "cli/checkpoint_shard.h"

#include "cli/pool.h"
#include "cli/position.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "io/checksum.h"
#include "io/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_NBYTES ((uint64_t)1 << 20)

/* How far before it is read, a part of a source is asked for. */
#define AHEAD_NBYTES ((uint64_t)64 << 20)

struct making {
    const struct mxq_shard_maker *maker;
    struct mxq_shard_tasks tasks;
    int *source_fds;
    int next_fd; /* of the source that will be read after this one, or -1 */
    struct mxq_task_outcome *outcomes;
    uint32_t header_crc;
};

/* ---------------------------------------------------------------------------------------------- sources */

static bool open_source(struct making *m, size_t shard, struct mxq_fault *fault)
{
    if (m->source_fds[shard] >= 0)
        return true;
    m->source_fds[shard] = mxq_open_shard(m->maker->checkpoint, shard, fault);
    if (m->source_fds[shard] >= 0)
        (void)posix_fadvise(m->source_fds[shard], 0, 0, POSIX_FADV_SEQUENTIAL);
    return m->source_fds[shard] >= 0;
}

/* Only to read ahead: that it cannot be opened is told when it is its turn. */
static void open_next(struct making *m)
{
    struct mxq_fault ignored;
    size_t next = m->tasks.shard + 1;

    while (next < m->maker->checkpoint->nshards && m->maker->outcome->shards[next].complete)
        next++;
    if (next < m->maker->checkpoint->nshards)
        m->next_fd = mxq_open_shard(m->maker->checkpoint, next, &ignored);
}

/* The shard's own source, and those that have scales for it. */
static bool open_sources(struct making *m, struct mxq_fault *fault)
{
    m->source_fds = malloc(m->maker->checkpoint->nshards * sizeof(*m->source_fds));
    if (m->source_fds == NULL) {
        mxq_set_fault(fault, m->tasks.output_name, ENOMEM, "cannot make");
        return false;
    }
    for (size_t i = 0; i < m->maker->checkpoint->nshards; i++)
        m->source_fds[i] = -1;
    m->tasks.source_fds = m->source_fds;
    if (!open_source(m, m->tasks.shard, fault))
        return false;
    open_next(m);
    for (size_t i = 0; i < m->tasks.ntensors; i++) {
        const struct mxq_plan_tensor *planned = m->tasks.tensors[i].planned;
        if ((planned->action == MXQ_ACTION_QUANTIZE || planned->action == MXQ_ACTION_WIDEN) &&
            planned->kind == MXQ_VALUES_FP8_BLOCKS && !open_source(m, planned->scale_shard, fault))
            return false;
    }
    return true;
}

static void close_sources(struct making *m)
{
    for (size_t i = 0; i < m->maker->checkpoint->nshards && m->source_fds != NULL; i++)
        if (m->source_fds[i] >= 0)
            close(m->source_fds[i]);
    free(m->source_fds);
    if (m->next_fd >= 0)
        close(m->next_fd);
}

/* After the last byte was read: what was read is what the header described only if nobody wrote meanwhile. */
static bool check_sources(const struct making *m, struct mxq_fault *fault)
{
    for (size_t i = 0; i < m->maker->checkpoint->nshards; i++) {
        const struct mxq_checkpoint_shard *shard = &m->maker->checkpoint->shards[i];
        struct stat st;
        if (m->source_fds[i] < 0)
            continue;
        if (fstat(m->source_fds[i], &st) != 0 || (uint64_t)st.st_size != shard->header->nbytes ||
            st.st_mtim.tv_sec != shard->mtime.tv_sec || st.st_mtim.tv_nsec != shard->mtime.tv_nsec) {
            mxq_set_fault(fault, shard->name, 0, "was changed while it was read");
            return false;
        }
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------- tasks */

/*
 * Asks for what tasks will read some time from now, also of the next shard. Threads that each wait for their own tile keep a
 * disk from being busy: without this, reading was at a third to three quarters of its speed.
 */
static void read_ahead(const struct making *m, uint64_t task)
{
    const uint64_t end = m->maker->checkpoint->shards[m->tasks.shard].header->nbytes;
    uint64_t offset;
    uint64_t nbytes = mxq_count_task_nbytes(&m->tasks, task, &offset);

    if (task == 0)
        nbytes += AHEAD_NBYTES;
    else
        offset += AHEAD_NBYTES;
    if (offset < end)
        (void)posix_fadvise(m->source_fds[m->tasks.shard], (off_t)offset, (off_t)nbytes, POSIX_FADV_WILLNEED);
    if (offset + nbytes > end && m->next_fd >= 0)
        (void)posix_fadvise(m->next_fd, (off_t)(offset > end ? offset - end : 0), (off_t)nbytes, POSIX_FADV_WILLNEED);
}

static bool run_task(void *context, unsigned worker, uint64_t task, struct mxq_fault *fault)
{
    struct making *m = context;

    if (mxq_deferred_signal() != 0) {
        mxq_set_fault(fault, NULL, 0, "interrupted");
        return false;
    }
    read_ahead(m, task);
    if (!mxq_do_task(&m->tasks, &m->maker->buffers[worker], task, &m->outcomes[task], fault))
        return false;
    if (!m->outcomes[task].nonfinite || m->tasks.plan->request.nonfinite_allowed)
        return true;
    mxq_set_fault(fault, NULL, 0, "not finite"); /* is replaced by the one that has a position */
    return false;
}

static void note_task(void *context, unsigned worker, uint64_t task)
{
    struct making *m = context;
    uint64_t offset;

    (void)worker;
    *m->maker->done_nbytes += mxq_count_task_nbytes(&m->tasks, task, &offset);
    mxq_update_progress(*m->maker->done_nbytes);
}

/* Tasks are handed out in order, and all that were handed out are done: the first that found one is always the same. */
static void tell_nonfinite(const struct making *m, struct mxq_fault *fault)
{
    const struct mxq_tensor_tasks *t = NULL;
    char position[1024];
    uint64_t count, first;

    for (uint64_t task = 0; task < m->tasks.ntasks && t == NULL; task++)
        if (m->outcomes[task].nonfinite)
            t = mxq_find_tensor_of_task(&m->tasks, task);
    if (t == NULL || m->tasks.plan->request.nonfinite_allowed ||
        !mxq_count_nonfinite_in_tensor(&m->tasks, &m->maker->buffers[0], t, &count, &first, fault))
        return;
    mxq_describe_position(t->source->rank, t->source->shape, first, position, sizeof(position));
    mxq_set_fault(fault, m->maker->checkpoint->shards[m->tasks.shard].name, 0,
                  "tensor \"%s\": %" PRIu64
                  " value%s infinite or NaN, the first at %s (--nonfinite profile quantizes them)",
                  t->source->name, count, count == 1 ? " is" : "s are", position);
}

static bool run_tasks(struct making *m, struct mxq_fault *fault)
{
    const struct mxq_tasks tasks = {m->tasks.ntasks, m->maker->nthreads, m, NULL, run_task, note_task};

    m->outcomes = calloc(m->tasks.ntasks + 1, sizeof(*m->outcomes));
    if (m->outcomes == NULL) {
        mxq_set_fault(fault, m->tasks.output_name, ENOMEM, "cannot make");
        return false;
    }
    if (mxq_run_tasks(&tasks, fault))
        return true;
    if (mxq_deferred_signal() == 0)
        tell_nonfinite(m, fault);
    return false;
}

/* ---------------------------------------------------------------------------------------------- sums */

/* The CRC-32 of part of a file, which was written or read out of order. */
static bool read_again(int fd, uint64_t offset, uint64_t nbytes, const char *name, uint8_t *chunk, uint32_t *crc,
                       struct mxq_fault *fault)
{
    *crc = 0;
    while (nbytes > 0) {
        const uint64_t n = nbytes < CHUNK_NBYTES ? nbytes : CHUNK_NBYTES;
        if (!mxq_pread_all(fd, chunk, n, offset, name, fault))
            return false;
        *crc = mxq_update_crc(*crc, chunk, n);
        offset += n;
        nbytes -= n;
    }
    return true;
}

static void add_outcome(const struct making *m, const struct mxq_tensor_tasks *t, struct mxq_tensor_outcome *sum,
                        uint64_t nbytes[MXQ_NUM_BUFFERS + 1])
{
    for (uint64_t i = t->first_task; i < t->first_task + t->ntasks; i++) {
        const struct mxq_task_outcome *part = &m->outcomes[i];
        sum->source_crc = mxq_combine_crc(sum->source_crc, part->source_crc, part->source_nbytes);
        nbytes[MXQ_NUM_BUFFERS] += part->source_nbytes;
        for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
            sum->crc[b] = mxq_combine_crc(sum->crc[b], part->crc[b], part->nbytes[b]);
            nbytes[b] += part->nbytes[b];
        }
        for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
            mxq_add_distortion(&sum->distortion[d], &part->distortion[d]);
        sum->nonfinite |= part->nonfinite;
    }
}

/* Every byte that the plan promises must have been written: the sum of the tasks is the proof. */
static bool check_sizes(const struct mxq_tensor_tasks *t, const uint64_t nbytes[MXQ_NUM_BUFFERS + 1],
                        struct mxq_fault *fault)
{
    bool good = nbytes[MXQ_NUM_BUFFERS] == t->source->nbytes;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        good = good && nbytes[b] == (t->output[b] != NULL ? t->output[b]->nbytes : 0);
    if (!good)
        mxq_set_fault(fault, t->source->name, 0, "bug: its tasks do not add up");
    return good;
}

static bool sum_up_tensor(const struct making *m, const struct mxq_tensor_tasks *t, struct mxq_fault *fault)
{
    struct mxq_tensor_outcome *sum = &m->maker->outcome->tensors[t->planned - m->tasks.plan->tensors];
    uint64_t nbytes[MXQ_NUM_BUFFERS + 1] = {0};
    bool good;

    memset(sum, 0, sizeof(*sum));
    add_outcome(m, t, sum, nbytes);
    good = check_sizes(t, nbytes, fault);
    if (good && !t->source_in_order)
        good = read_again(m->source_fds[m->tasks.shard], t->source->offset, t->source->nbytes,
                          m->maker->checkpoint->shards[m->tasks.shard].name, m->maker->buffers[0].elements,
                          &sum->source_crc, fault);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && good; b++)
        if (t->output[b] != NULL && !t->output_in_order[b])
            good = read_again(m->tasks.output_fd, t->output[b]->offset, t->output[b]->nbytes, m->tasks.output_name,
                              m->maker->buffers[0].elements, &sum->crc[b], fault);
    return good;
}

/* A stretch of a file with its CRC-32. */
struct piece {
    uint64_t offset;
    uint64_t nbytes;
    uint32_t crc;
};

static int compare_pieces(const void *first, const void *second)
{
    const struct piece *a = first;
    const struct piece *b = second;

    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* Of the output: its tensors in the order of the file. */
static bool sum_up_output(const struct making *m, uint32_t *crc, struct mxq_fault *fault)
{
    struct piece *pieces = calloc(m->tasks.ntensors * MXQ_NUM_BUFFERS + 1, sizeof(*pieces));
    size_t n = 0;

    if (pieces == NULL) {
        mxq_set_fault(fault, m->tasks.output_name, ENOMEM, "cannot make");
        return false;
    }
    for (size_t i = 0; i < m->tasks.ntensors; i++) {
        const struct mxq_tensor_tasks *t = &m->tasks.tensors[i];
        const struct mxq_tensor_outcome *sum = &m->maker->outcome->tensors[t->planned - m->tasks.plan->tensors];
        for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
            if (t->output[b] != NULL && t->output[b]->nbytes != 0)
                pieces[n++] = (struct piece){t->output[b]->offset, t->output[b]->nbytes, sum->crc[b]};
    }
    qsort(pieces, n, sizeof(*pieces), compare_pieces);
    *crc = m->header_crc;
    for (size_t i = 0; i < n; i++)
        *crc = mxq_combine_crc(*crc, pieces[i].crc, pieces[i].nbytes);
    free(pieces);
    return true;
}

/* Of the source: its header, which is read again, and its tensors, which are planned in the order of the file. */
static bool sum_up_source(const struct making *m, uint32_t *crc, struct mxq_fault *fault)
{
    const struct mxq_checkpoint_shard *shard = &m->maker->checkpoint->shards[m->tasks.shard];
    uint8_t *chunk = malloc(CHUNK_NBYTES);
    bool good = chunk != NULL;

    if (!good)
        mxq_set_fault(fault, shard->name, ENOMEM, "cannot read");
    good = good &&
           read_again(m->source_fds[m->tasks.shard], 0, shard->header->data_offset, shard->name, chunk, crc, fault);
    for (size_t i = 0; i < m->tasks.ntensors && good; i++) {
        const struct mxq_tensor_tasks *t = &m->tasks.tensors[i];
        *crc = mxq_combine_crc(*crc, m->maker->outcome->tensors[t->planned - m->tasks.plan->tensors].source_crc,
                               t->source->nbytes);
    }
    free(chunk);
    return good;
}

static bool sum_up(const struct making *m, struct mxq_fault *fault)
{
    struct mxq_shard_outcome *shard = &m->maker->outcome->shards[m->tasks.shard];

    /* Not verified: the committer reads that of all shards, and it is false until it has this one. */
    shard->complete = shard->adopted = false;
    shard->source_mtime = m->maker->checkpoint->shards[m->tasks.shard].mtime;
    for (size_t i = 0; i < m->tasks.ntensors; i++)
        if (!sum_up_tensor(m, &m->tasks.tensors[i], fault))
            return false;
    shard->complete = sum_up_output(m, &shard->crc, fault) && sum_up_source(m, &shard->source_crc, fault);
    return shard->complete;
}

/* ---------------------------------------------------------------------------------------------- the shard */

static bool write_header(struct making *m, struct mxq_fault *fault)
{
    const struct mxq_st_header *header = m->tasks.plan->shards[m->tasks.shard].header;
    uint8_t *bytes = NULL;
    bool good = mxq_pack_st_header(header, &bytes, fault);

    if (good) {
        m->header_crc = mxq_update_crc(0, bytes, header->data_offset);
        good = mxq_pwrite_all(m->tasks.output_fd, bytes, header->data_offset, 0, m->tasks.output_name, fault);
    }
    free(bytes);
    return good;
}

bool mxq_make_shard(const struct mxq_shard_maker *maker, size_t shard, int fd, const char *name,
                    struct mxq_fault *fault)
{
    struct making m;
    bool good;

    memset(&m, 0, sizeof(m));
    m.maker = maker;
    m.next_fd = -1;
    m.tasks.checkpoint = maker->checkpoint;
    m.tasks.plan = maker->plan;
    m.tasks.kernel = maker->kernel;
    m.tasks.measure = maker->measure;
    m.tasks.shard = shard;
    m.tasks.output_name = name;
    m.tasks.output_fd = fd;
    good = mxq_list_tasks(&m.tasks, maker->stripe_nbytes, fault) && open_sources(&m, fault) &&
           write_header(&m, fault) && run_tasks(&m, fault) && check_sources(&m, fault) && sum_up(&m, fault);
    close_sources(&m);
    mxq_free_tasks(&m.tasks);
    free(m.outcomes);
    return good;
}
