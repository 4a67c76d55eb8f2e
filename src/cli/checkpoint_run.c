/*
 * checkpoint_run.c - making a planned checkpoint, from the journal's first line to the last name
 *
 * Shards are made one after the other, each by all threads: a shard counts once the journal has it, so a kill at any instant
 * costs what one shard took. Threads idle between two shards only while the last tile of a shard is computed, a millisecond.
 * All files have temporary names until everything is complete, so OUT_DIR is never half a checkpoint, and with --force the
 * old one stays whole until the new one is. A run that stops, whatever the reason, leaves what --resume continues if at
 * least one shard is recorded, and nothing otherwise.
 */
#include "cli/checkpoint_run.h"

#include "cli/checkpoint_commit.h"
#include "cli/checkpoint_journal.h"
#include "cli/checkpoint_others.h"
#include "cli/checkpoint_output.h"
#include "cli/checkpoint_report.h"
#include "cli/checkpoint_shard.h"
#include "cli/msg.h"
#include "cli/pool.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "io/checkpoint_folder.h"
#include "io/checkpoint_remains.h"
#include "io/outfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* What a columnwise stripe should not exceed; less with less memory. */
#define STRIPE_NBYTES ((uint64_t)32 << 20)

/* What the program may use besides --memory. */
#define MARGIN_NBYTES ((uint64_t)64 << 20)

struct run {
    const struct mxq_checkpoint *checkpoint;
    const struct mxq_checkpoint_plan *plan;
    const struct mxq_checkpoint_run_options *options;
    struct mxq_others_options others;
    struct mxq_checkpoint_outcome outcome;
    struct mxq_journal *journal;
    struct mxq_committer *committer;
    struct mxq_shard_maker maker;
    uint64_t done_nbytes;
    struct mxq_fault *fault;
};

static const char *shard_name(const struct run *run, size_t shard)
{
    return run->plan->shards[shard].name;
}

static uint64_t shard_nbytes(const struct run *run, size_t shard)
{
    return run->plan->shards[shard].header->nbytes;
}

static size_t count_complete(const struct run *run)
{
    size_t n = 0;

    for (size_t i = 0; i < run->outcome.nshards; i++)
        n += run->outcome.shards[i].complete;
    return n;
}

/* ---------------------------------------------------------------------------------------------- checks */

static bool is_same_folder(const char *a, const char *b)
{
    struct stat sa, sb;

    return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* What is deleted must be the shard itself: of a link, only the name would go. */
static bool check_deletable(struct run *run)
{
    for (size_t i = 0; i < run->checkpoint->nshards && run->options->delete_source; i++) {
        char *path = mxq_checkpoint_path(run->checkpoint, run->checkpoint->shards[i].name);
        struct stat st;
        const bool good = path != NULL && (lstat(path, &st) != 0 || S_ISREG(st.st_mode));
        if (!good)
            mxq_set_fault(run->fault, path, path != NULL ? 0 : ENOMEM,
                          "is a symbolic link, so --delete-source would free nothing");
        free(path);
        if (!good)
            return false;
    }
    return true;
}

/* Even --force is not to replace a shard that is read, which links can lead to. */
static bool check_not_source(struct run *run, const char *name)
{
    char *path = mxq_output_path(run->options->output, name);
    struct stat st;
    bool good = path != NULL;

    if (!good)
        mxq_set_fault(run->fault, name, ENOMEM, "cannot create");
    if (good && stat(path, &st) == 0) {
        for (size_t i = 0; i < run->checkpoint->nshards && good; i++)
            good = st.st_dev != run->checkpoint->shards[i].device || st.st_ino != run->checkpoint->shards[i].inode;
        if (!good)
            mxq_set_fault(run->fault, path, 0, "is a shard of the model itself");
    }
    free(path);
    return good;
}

/* Whether a file of this name is of a checkpoint, and will not be of this one. */
static bool is_stranger(const struct run *run, const char *name)
{
    const size_t length = strlen(name), nsuffix = strlen(".safetensors");

    if (name[0] == '.' || ((length <= nsuffix || strcmp(name + length - nsuffix, ".safetensors") != 0) &&
                           strcmp(name, MXQ_CHECKPOINT_INDEX) != 0))
        return false;
    for (size_t i = 0; i < run->plan->nshards; i++)
        if (strcmp(name, shard_name(run, i)) == 0)
            return false;
    for (size_t i = 0; i < run->plan->nfiles; i++)
        if (strcmp(name, run->plan->files[i].name) == 0)
            return false;
    for (size_t i = 0; i < run->checkpoint->nothers; i++)
        if (strcmp(name, run->checkpoint->others[i].name) == 0)
            return false;
    return true;
}

/* Loaders would take what is left of another checkpoint for part of this one. One file is not a whole checkpoint. */
static bool check_strangers(struct run *run)
{
    DIR *dir = run->checkpoint->is_file ? NULL : opendir(run->options->output);
    const struct dirent *entry;
    bool good = true;

    while (dir != NULL && good && (entry = readdir(dir)) != NULL) {
        good = !is_stranger(run, entry->d_name);
        if (!good)
            mxq_set_fault(run->fault, run->options->output, 0,
                          "has \"%s\" of another checkpoint, which loaders would take for part of this one",
                          entry->d_name);
    }
    if (dir != NULL)
        closedir(dir);
    return good;
}

/* Beginning anew would cost what an earlier run made of sources that it then deleted. Without a journal, it was complete. */
static bool check_remains(struct run *run)
{
    struct mxq_folder_listing listing = {0};
    char *journal = mxq_output_path(run->options->output, MXQ_JOURNAL_NAME);
    bool good = journal != NULL;

    if (!good)
        mxq_set_fault(run->fault, run->options->output, ENOMEM, "cannot make");
    else if (!run->options->resume && access(journal, F_OK) == 0)
        good = mxq_list_remains(run->options->output, &listing, run->fault);
    if (good && listing.nshards != 0) {
        mxq_set_fault(
            run->fault, run->options->output, 0,
            "an earlier run deleted the source \"%.200s\": --resume completes it, and to begin anew takes another "
            "folder",
            listing.shards[0]);
        good = false;
    }
    for (size_t i = 0; i < listing.nshards; i++)
        free(listing.shards[i]);
    free(listing.shards);
    free(journal);
    return good;
}

static bool check_outputs(struct run *run)
{
    for (size_t i = 0; i < run->plan->nshards; i++)
        if (!mxq_check_output(run->options->output, shard_name(run, i), run->others.force, run->fault) ||
            !check_not_source(run, shard_name(run, i)))
            return false;
    return check_strangers(run) && mxq_check_others(&run->others, run->fault);
}

static bool make_folder(struct run *run)
{
    if (!mxq_make_folder(run->options->output)) {
        mxq_set_fault(run->fault, run->options->output, errno, "cannot make the folder");
        return false;
    }
    if (!is_same_folder(run->options->output, run->checkpoint->folder))
        return true;
    mxq_set_fault(run->fault, run->options->output, 0, "is the model's own folder");
    return false;
}

static bool allocate_outcome(struct run *run)
{
    run->outcome.ntensors = run->plan->ntensors;
    run->outcome.nshards = run->plan->nshards;
    run->outcome.tensors = calloc(run->plan->ntensors + 1, sizeof(*run->outcome.tensors));
    run->outcome.shards = calloc(run->plan->nshards + 1, sizeof(*run->outcome.shards));
    if (run->outcome.tensors != NULL && run->outcome.shards != NULL)
        return true;
    mxq_set_fault(run->fault, run->options->output, ENOMEM, "cannot make");
    return false;
}

/* ---------------------------------------------------------------------------------------------- resuming */

/* Whether a source is what an earlier run read: it has not been written to since, or has the same bytes all the same. */
static bool check_source(struct run *run, size_t shard, struct mxq_fault *fault)
{
    const struct mxq_checkpoint_shard *source = &run->checkpoint->shards[shard];
    const struct mxq_shard_outcome *outcome = &run->outcome.shards[shard];
    uint32_t crc;
    uint64_t nbytes;
    bool good;
    int fd;

    if (source->is_gone || (source->mtime.tv_sec == outcome->source_mtime.tv_sec &&
                            source->mtime.tv_nsec == outcome->source_mtime.tv_nsec))
        return true;
    fd = mxq_open_shard(run->checkpoint, shard, fault);
    if (fd < 0)
        return false;
    good = mxq_checksum_output(fd, source->name, &crc, &nbytes, fault);
    close(fd);
    if (!good || crc == outcome->source_crc)
        return good;
    mxq_set_fault(fault, source->name, 0, "the source has changed since an earlier run read it (--force begins anew)");
    return false;
}

/* Whether the journal's word about a shard is true of the file. */
static bool adopt_shard(void *context, unsigned worker, uint64_t shard, struct mxq_fault *fault)
{
    struct run *run = context;
    struct mxq_shard_outcome *outcome = &run->outcome.shards[shard];
    uint32_t crc = 0;
    uint64_t nbytes = 0;
    int fd;

    (void)worker;
    if (mxq_deferred_signal() != 0) {
        mxq_set_fault(fault, NULL, 0, "interrupted");
        return false;
    }
    if (!outcome->complete)
        return true;
    if (!check_source(run, shard, fault))
        return false;
    fd = mxq_open_output(run->options->output, shard_name(run, shard));
    if (fd < 0 && errno != ENOENT) {
        mxq_set_fault(fault, shard_name(run, shard), errno, "cannot open");
        return false;
    }
    if (fd >= 0 && !mxq_checksum_output(fd, shard_name(run, shard), &crc, &nbytes, fault)) {
        close(fd);
        return false;
    }
    if (fd >= 0)
        close(fd);
    outcome->complete = fd >= 0 && crc == outcome->crc && nbytes == shard_nbytes(run, shard);
    outcome->adopted = outcome->complete;
    outcome->verified &= outcome->complete;
    return true;
}

static bool adopt_shards(struct run *run)
{
    const struct mxq_tasks tasks = {run->plan->nshards, run->options->nthreads, run, NULL, adopt_shard, NULL};
    const size_t nrecorded = count_complete(run);

    if (nrecorded == 0)
        return true;
    if (!mxq_run_tasks(&tasks, run->fault))
        return false;
    mxq_print_note("\"%s\": %zu of %zu shards were complete and are kept", run->options->output, count_complete(run),
                   run->plan->nshards);
    return true;
}

/* What an earlier run made of a source that it then deleted is all there is: it is never made again. */
static bool check_deleted(struct run *run)
{
    for (size_t i = 0; i < run->plan->nshards; i++) {
        if (run->outcome.shards[i].complete || !run->checkpoint->shards[i].is_gone)
            continue;
        mxq_set_fault(run->fault, shard_name(run, i), 0,
                      "is not what the journal says, and an earlier run deleted its source");
        return false;
    }
    return true;
}

/*
 * A journal that has been found was begun when all names were free or might be replaced. So what has one of them now is
 * what an earlier run had to give it.
 */
static bool open_journal(struct run *run)
{
    const enum mxq_journal_mode mode = run->options->resume  ? MXQ_JOURNAL_RESUME
                                       : run->options->force ? MXQ_JOURNAL_FORCE
                                                             : MXQ_JOURNAL_NEW;
    bool found = false;

    if (!mxq_open_journal(run->options->output, mode, run->plan, run->options->no_fsync, &run->outcome, &found,
                          &run->journal, run->fault))
        return false;
    run->others.force |= found;
    if (mode == MXQ_JOURNAL_FORCE)
        mxq_remove_partials(run->options->output);
    return true;
}

/* ---------------------------------------------------------------------------------------------- space */

static bool check_space(struct run *run)
{
    uint64_t needed = mxq_count_others_nbytes(&run->others);
    struct statvfs st;

    for (size_t i = 0; i < run->plan->nshards; i++)
        if (!run->outcome.shards[i].complete)
            needed += shard_nbytes(run, i);
    if (statvfs(run->options->output, &st) != 0 || st.f_frsize == 0 || needed / st.f_frsize <= st.f_bavail)
        return true;
    mxq_set_fault(run->fault, run->options->output, ENOSPC,
                  "%" PRIu64 " bytes are needed, and there is room for %" PRIu64, needed,
                  (uint64_t)st.f_bavail * st.f_frsize);
    return false;
}

/* Creates a shard's file with room for all of it; -1 on a fault. */
static int reserve_shard(struct run *run, size_t shard)
{
    int fd = mxq_create_partial(run->options->output, shard_name(run, shard), run->fault);

    if (fd >= 0 && !mxq_reserve_space(fd, shard_nbytes(run, shard), shard_name(run, shard), run->fault)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* For all shards at once, unless sources are to make room as they go. */
static bool reserve_shards(struct run *run)
{
    if (run->options->delete_source)
        return true;
    if (!check_space(run))
        return false;
    for (size_t i = 0; i < run->plan->nshards; i++) {
        int fd;
        if (run->outcome.shards[i].complete)
            continue;
        fd = reserve_shard(run, i);
        if (fd < 0)
            return false;
        close(fd);
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------- memory */

/*
 * Buffers get what --memory leaves beside the plan, which is held already. Where that is too little for two threads there
 * is one, and the margin is for it.
 */
static bool allocate_buffers(struct run *run)
{
    struct mxq_buffer_sizes sizes;
    struct rusage usage;
    uint64_t held = 0;
    uint64_t room, each;

    if (getrusage(RUSAGE_SELF, &usage) == 0)
        held = (uint64_t)usage.ru_maxrss * 1024;
    held = held > MARGIN_NBYTES / 2 ? held - MARGIN_NBYTES / 2 : 0;
    room = run->options->memory_nbytes > held ? run->options->memory_nbytes - held : 0;
    run->maker.stripe_nbytes = room / 4 < STRIPE_NBYTES ? room / 4 : STRIPE_NBYTES;
    mxq_size_task_buffers(run->checkpoint, run->plan, run->maker.stripe_nbytes, &sizes);
    each = mxq_sum_buffer_sizes(&sizes);
    run->maker.nthreads = mxq_count_workers(run->options->nthreads, room / each);
    run->maker.buffers = calloc(run->maker.nthreads, sizeof(*run->maker.buffers));
    for (unsigned i = 0; i < run->maker.nthreads && run->maker.buffers != NULL; i++) {
        if (mxq_allocate_task_buffers(&sizes, &run->maker.buffers[i]))
            continue;
        mxq_set_fault(run->fault, NULL, ENOMEM, "cannot quantize");
        return false;
    }
    if (run->maker.buffers == NULL)
        mxq_set_fault(run->fault, NULL, ENOMEM, "cannot quantize");
    return run->maker.buffers != NULL;
}

static void free_buffers(struct run *run)
{
    for (unsigned i = 0; i < run->maker.nthreads && run->maker.buffers != NULL; i++)
        mxq_free_task_buffers(&run->maker.buffers[i]);
    free(run->maker.buffers);
    run->maker.buffers = NULL;
}

/* ---------------------------------------------------------------------------------------------- shards */

static bool make_shard(struct run *run, size_t shard)
{
    const char *name = shard_name(run, shard);
    int fd = run->options->delete_source ? reserve_shard(run, shard) : mxq_open_output(run->options->output, name);

    if (fd < 0 && !run->options->delete_source)
        mxq_set_fault(run->fault, name, errno, "cannot open");
    if (fd < 0)
        return false;
    if (!mxq_make_shard(&run->maker, shard, fd, name, run->fault) ||
        !mxq_record_shard(run->journal, run->plan, &run->outcome, shard, run->fault)) {
        run->outcome.shards[shard].complete = false;
        close(fd);
        return false;
    }
    mxq_commit_shard(run->committer, shard, fd);
    return !mxq_committer_failed(run->committer); /* mxq_end_committer() tells the fault */
}

/* An adopted shard may not have been brought to the disk, nor its source deleted. */
static bool commit_adopted(struct run *run, size_t shard)
{
    const int fd = mxq_open_output(run->options->output, shard_name(run, shard));

    if (fd < 0) {
        mxq_set_fault(run->fault, shard_name(run, shard), errno, "cannot open");
        return false;
    }
    mxq_commit_shard(run->committer, shard, fd);
    return true;
}

static void note_shard(const struct run *run, size_t shard)
{
    char part[64];

    snprintf(part, sizeof(part), "shard %zu of %zu", shard + 1, run->plan->nshards);
    mxq_note_progress(part);
}

static bool make_shards(struct run *run)
{
    bool good = true;

    for (size_t i = 0; i < run->plan->nshards && good; i++) {
        note_shard(run, i);
        good = run->outcome.shards[i].complete ? commit_adopted(run, i) : make_shard(run, i);
    }
    return good;
}

static bool run_shards(struct run *run)
{
    const struct mxq_committer_options options = {run->checkpoint,
                                                  run->plan,
                                                  &run->outcome,
                                                  run->journal,
                                                  run->options->output,
                                                  run->options->no_fsync,
                                                  run->options->delete_source};
    struct mxq_fault fault;
    uint64_t total = 0;
    bool good;

    for (size_t i = 0; i < run->plan->nshards; i++)
        if (!run->outcome.shards[i].complete)
            total += run->checkpoint->shards[i].header->nbytes - run->checkpoint->shards[i].header->data_offset;
    if (!mxq_start_committer(&options, &run->committer, run->fault))
        return false;
    run->maker.checkpoint = run->checkpoint;
    run->maker.plan = run->plan;
    run->maker.kernel = run->options->kernel;
    run->maker.measure = run->options->measure;
    run->maker.outcome = &run->outcome;
    run->maker.done_nbytes = &run->done_nbytes;
    mxq_start_progress(run->checkpoint->folder, total);
    good = make_shards(run);
    mxq_end_progress();
    if (!mxq_end_committer(run->committer, &fault)) {
        *run->fault = fault;
        good = false;
    }
    return good;
}

/* ---------------------------------------------------------------------------------------------- the end */

static bool name_outputs(struct run *run)
{
    bool good = true;

    for (size_t i = 0; i < run->plan->nshards && good; i++)
        good = mxq_name_output(run->options->output, shard_name(run, i), run->others.force, run->fault);
    return good && mxq_name_others(&run->others, run->fault) &&
           (run->options->no_fsync || mxq_sync_folder(run->options->output, run->fault));
}

static bool finish(struct run *run, json_t **report)
{
    json_t *made = mxq_pack_checkpoint_report(run->checkpoint, run->plan, &run->outcome, run->options->measure);
    bool good = made != NULL;

    if (!good)
        mxq_set_fault(run->fault, MXQ_CHECKPOINT_REPORT, ENOMEM, "cannot write");
    good = good && mxq_write_others(&run->others, made, run->fault) && name_outputs(run);
    if (good && report != NULL)
        *report = json_incref(made);
    json_decref(made);
    return good;
}

/* What was not recorded is of no use, and may be large; unless its source is gone, see check_deleted(). */
static void remove_incomplete(struct run *run)
{
    for (size_t i = 0; i < run->plan->nshards; i++)
        if (!run->outcome.shards[i].complete && !run->checkpoint->shards[i].is_gone)
            mxq_remove_partial(run->options->output, shard_name(run, i));
}

/* Nothing is recorded: what was created goes. */
static void remove_all(struct run *run)
{
    remove_incomplete(run);
    mxq_close_journal(run->journal, true);
    run->journal = NULL;
    mxq_remove_made_folder();
}

static void keep_recorded(struct run *run)
{
    const size_t n = count_complete(run);
    const struct mxq_fault fault = *run->fault;

    remove_incomplete(run);
    mxq_set_fault(run->fault, NULL, 0, "%s (%zu of %zu shards are complete; --resume continues)", fault.text, n,
                  run->plan->nshards);
}

static bool run_all(struct run *run, json_t **report)
{
    if (!check_deletable(run) || !make_folder(run) || !allocate_outcome(run) || !check_remains(run) ||
        !open_journal(run))
        return false;
    if (!check_outputs(run) || !adopt_shards(run) || !check_deleted(run) || !reserve_shards(run) ||
        !allocate_buffers(run) || !run_shards(run))
        return false;
    free_buffers(run);
    return finish(run, report);
}

bool mxq_run_checkpoint(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan,
                        const struct mxq_checkpoint_run_options *options, json_t **report, struct mxq_fault *fault)
{
    struct run run;
    bool good;

    memset(&run, 0, sizeof(run));
    run.checkpoint = checkpoint;
    run.plan = plan;
    run.options = options;
    run.others = (struct mxq_others_options){checkpoint, plan, options->output, options->force, options->no_fsync};
    run.fault = fault;
    mxq_defer_signals(true);
    good = run_all(&run, report);
    free_buffers(&run);
    if (good) {
        mxq_close_journal(run.journal, true);
        mxq_remove_remains(checkpoint, options->output);
    } else if (run.journal == NULL) {
        mxq_remove_made_folder();
    } else if (count_complete(&run) == 0) {
        remove_all(&run);
    } else {
        keep_recorded(&run);
    }
    if (!good)
        mxq_close_journal(run.journal, false);
    mxq_defer_signals(false);
    free(run.outcome.tensors);
    free(run.outcome.shards);
    return good;
}
