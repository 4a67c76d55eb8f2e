/* checkpoint_commit.c - bringing complete shards to the disk while the next one is made */
#include "cli/checkpoint_commit.h"

#include "cli/checkpoint_output.h"
#include "io/checkpoint_remains.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Shards that may wait: what they hold is in the page cache, and descriptors are few. */
#define QUEUE_LENGTH 2

struct waiting {
    size_t shard;
    int fd;
};

struct mxq_committer {
    struct mxq_committer_options options;
    bool has_thread;
    pthread_t thread;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    struct waiting queue[QUEUE_LENGTH];
    size_t nwaiting;
    bool ending;
    bool failed;
    struct mxq_fault fault;
};

/* ---------------------------------------------------------------------------------------------- one shard */

/* From the disk: the page cache would only say again what was written. */
static bool verify_shard(struct mxq_committer *c, const struct waiting *w, struct mxq_fault *fault)
{
    const char *name = c->options.plan->shards[w->shard].name;
    struct mxq_shard_outcome *outcome = &c->options.outcome->shards[w->shard];
    uint32_t crc;
    uint64_t nbytes;

    if (outcome->verified)
        return true;
    (void)posix_fadvise(w->fd, 0, 0, POSIX_FADV_DONTNEED);
    if (!mxq_checksum_output(w->fd, name, &crc, &nbytes, fault))
        return false;
    if (crc != outcome->crc || nbytes != c->options.plan->shards[w->shard].header->nbytes) {
        mxq_set_fault(fault, name, 0, "was read back with other bytes than were written; its source was kept");
        return false;
    }
    if (!mxq_record_verified(c->options.journal, w->shard, fault))
        return false;
    outcome->verified = true;
    return true;
}

/* Whether a source is read by a shard that is not verified yet: its own, or one with elements that it has scales for. */
static bool is_needed(const struct mxq_committer *c, size_t source)
{
    const struct mxq_checkpoint_plan *plan = c->options.plan;

    for (size_t i = 0; i < plan->ntensors; i++) {
        const struct mxq_plan_tensor *t = &plan->tensors[i];
        const bool has_scales = (t->action == MXQ_ACTION_QUANTIZE || t->action == MXQ_ACTION_WIDEN) &&
                                t->kind == MXQ_VALUES_FP8_BLOCKS && t->scale_shard == source;
        if ((t->shard == source || has_scales) && !c->options.outcome->shards[t->shard].verified)
            return true;
    }
    return !c->options.outcome->shards[source].verified;
}

/* A shard that is gone already was deleted for an earlier one, or by an earlier run. */
static bool delete_source(const struct mxq_committer *c, size_t source, struct mxq_fault *fault)
{
    const struct mxq_checkpoint *checkpoint = c->options.checkpoint;
    char *path = mxq_checkpoint_path(checkpoint, checkpoint->shards[source].name);
    bool good = path != NULL;

    if (!good)
        mxq_set_fault(fault, checkpoint->shards[source].name, ENOMEM, "cannot be deleted");
    if (good && access(path, F_OK) == 0) {
        good = mxq_leave_remains(checkpoint, source, c->options.folder, fault);
        if (good && unlink(path) != 0 && errno != ENOENT) {
            mxq_set_fault(fault, path, errno, "cannot be deleted");
            good = false;
        }
    }
    free(path);
    return good;
}

static bool delete_sources(struct mxq_committer *c, struct mxq_fault *fault)
{
    for (size_t i = 0; i < c->options.checkpoint->nshards; i++)
        if (!is_needed(c, i) && !delete_source(c, i, fault))
            return false;
    return true;
}

/*
 * What did not get to the disk may still be in the page cache, where a later run would find the right checksum. So it goes,
 * to be made again; but not what was read back before, whose source may be gone.
 */
static void forget_shard(struct mxq_committer *c, size_t shard)
{
    if (c->options.outcome->shards[shard].verified)
        return;
    mxq_remove_partial(c->options.folder, c->options.plan->shards[shard].name);
    c->options.outcome->shards[shard].complete = false;
}

static bool commit(struct mxq_committer *c, const struct waiting *w, struct mxq_fault *fault)
{
    const struct mxq_committer_options *o = &c->options;
    bool good = o->no_fsync || mxq_sync_output(w->fd, o->plan->shards[w->shard].name, fault);

    if (good && o->delete_source)
        good = (o->no_fsync || mxq_sync_folder(o->folder, fault)) && verify_shard(c, w, fault);
    if (!good)
        forget_shard(c, w->shard);
    if (good && o->delete_source)
        good = delete_sources(c, fault);
    if (close(w->fd) != 0 && good && errno != EINTR) {
        mxq_set_fault(fault, o->plan->shards[w->shard].name, errno, "cannot close");
        good = false;
    }
    return good;
}

/* ---------------------------------------------------------------------------------------------- the thread */

static void note_fault(struct mxq_committer *c, const struct mxq_fault *fault)
{
    if (!c->failed)
        c->fault = *fault;
    c->failed = true;
}

static void *work(void *argument)
{
    struct mxq_committer *c = argument;
    struct mxq_fault fault;

    pthread_mutex_lock(&c->lock);
    while (c->nwaiting > 0 || !c->ending) {
        struct waiting w;
        bool good;
        if (c->nwaiting == 0) {
            pthread_cond_wait(&c->changed, &c->lock);
            continue;
        }
        w = c->queue[0];
        pthread_mutex_unlock(&c->lock);
        good = commit(c, &w, &fault);
        pthread_mutex_lock(&c->lock);
        memmove(c->queue, c->queue + 1, --c->nwaiting * sizeof(c->queue[0]));
        if (!good)
            note_fault(c, &fault);
        pthread_cond_broadcast(&c->changed);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

bool mxq_start_committer(const struct mxq_committer_options *options, struct mxq_committer **committer,
                         struct mxq_fault *fault)
{
    struct mxq_committer *c = calloc(1, sizeof(*c));
    sigset_t all, before;

    *committer = c;
    if (c == NULL) {
        mxq_set_fault(fault, options->folder, ENOMEM, "cannot make");
        return false;
    }
    c->options = *options;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    /* Signals are for the main thread. Without a thread, shards are committed by whoever hands them over. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    c->has_thread = pthread_create(&c->thread, NULL, work, c) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return true;
}

void mxq_commit_shard(struct mxq_committer *c, size_t shard, int fd)
{
    const struct waiting w = {shard, fd};
    struct mxq_fault fault;

    if (!c->has_thread) {
        if (!commit(c, &w, &fault))
            note_fault(c, &fault);
        return;
    }
    pthread_mutex_lock(&c->lock);
    while (c->nwaiting == QUEUE_LENGTH)
        pthread_cond_wait(&c->changed, &c->lock);
    c->queue[c->nwaiting++] = w;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

bool mxq_committer_failed(struct mxq_committer *c)
{
    bool failed;

    pthread_mutex_lock(&c->lock);
    failed = c->failed;
    pthread_mutex_unlock(&c->lock);
    return failed;
}

bool mxq_end_committer(struct mxq_committer *c, struct mxq_fault *fault)
{
    bool good;

    if (c == NULL)
        return true;
    pthread_mutex_lock(&c->lock);
    c->ending = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    if (c->has_thread)
        pthread_join(c->thread, NULL);
    good = !c->failed;
    if (!good)
        *fault = c->fault;
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->changed);
    free(c);
    return good;
}
