/* checkpoint_others.c - what lies beside the shards of a checkpoint: copied as it is, or written from the plan */
#include "cli/checkpoint_others.h"

#include "cli/checkpoint_output.h"
#include "cli/checkpoint_report.h"
#include "cli/signals.h"
#include "io/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_NBYTES ((size_t)1 << 20)

/* What the plan or the report replaces is not copied. */
static bool is_replaced(const struct mxq_others_options *o, const char *name)
{
    for (size_t i = 0; i < o->plan->nfiles; i++)
        if (strcmp(o->plan->files[i].name, name) == 0)
            return true;
    return strcmp(name, MXQ_CHECKPOINT_REPORT) == 0;
}

static bool is_copied(const struct mxq_others_options *o, size_t i)
{
    return !o->checkpoint->others[i].is_folder && !is_replaced(o, o->checkpoint->others[i].name);
}

/* They are copied last, and what cannot be read should be known first. */
static bool check_readable(const struct mxq_others_options *o, const char *name, struct mxq_fault *fault)
{
    char *path = mxq_checkpoint_path(o->checkpoint, name);
    bool good;

    errno = ENOMEM;
    good = path != NULL && access(path, R_OK) == 0;
    if (!good)
        mxq_set_fault(fault, path != NULL ? path : name, errno, "cannot open");
    free(path);
    return good;
}

bool mxq_check_others(const struct mxq_others_options *o, struct mxq_fault *fault)
{
    for (size_t i = 0; i < o->checkpoint->nothers; i++)
        if (is_copied(o, i) && (!check_readable(o, o->checkpoint->others[i].name, fault) ||
                                !mxq_check_output(o->folder, o->checkpoint->others[i].name, o->force, fault)))
            return false;
    for (size_t i = 0; i < o->plan->nfiles; i++)
        if (!mxq_check_output(o->folder, o->plan->files[i].name, o->force, fault))
            return false;
    return mxq_check_output(o->folder, MXQ_CHECKPOINT_REPORT, o->force, fault);
}

uint64_t mxq_count_others_nbytes(const struct mxq_others_options *o)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < o->checkpoint->nothers; i++)
        if (is_copied(o, i))
            sum += o->checkpoint->others[i].nbytes;
    for (size_t i = 0; i < o->plan->nfiles; i++)
        sum += o->plan->files[i].nbytes;
    return sum;
}

/* ---------------------------------------------------------------------------------------------- writing */

/* Brings the file to the disk, and closes it whatever happened before. */
static bool finish_file(const struct mxq_others_options *o, int fd, const char *name, bool good,
                        struct mxq_fault *fault)
{
    if (good && !o->no_fsync)
        good = mxq_sync_output(fd, name, fault);
    if (close(fd) != 0 && good && errno != EINTR) {
        mxq_set_fault(fault, name, errno, "cannot close");
        good = false;
    }
    return good;
}

static bool write_text(const struct mxq_others_options *o, const char *name, const char *text, size_t nbytes,
                       struct mxq_fault *fault)
{
    const int fd = mxq_create_partial(o->folder, name, fault);

    return fd >= 0 && finish_file(o, fd, name, mxq_write_all(fd, text, nbytes, name, fault), fault);
}

static bool copy_bytes(int from, int to, const char *path, const char *name, struct mxq_fault *fault)
{
    uint8_t *chunk = malloc(CHUNK_NBYTES);
    bool good = chunk != NULL;
    ssize_t n = 1;

    if (!good)
        mxq_set_fault(fault, name, ENOMEM, "cannot copy");
    while (good && n != 0) {
        n = read(from, chunk, CHUNK_NBYTES);
        if (n > 0)
            good = mxq_write_all(to, chunk, (uint64_t)n, name, fault);
        if (good && mxq_deferred_signal() != 0) {
            mxq_set_fault(fault, NULL, 0, "interrupted");
            good = false;
        } else if (n < 0 && errno != EINTR) {
            mxq_set_fault(fault, path, errno, "cannot read");
            good = false;
        }
    }
    free(chunk);
    return good;
}

/* Scripts stay executable. */
static void copy_mode(int from, int to)
{
    struct stat a, b;

    if (fstat(from, &a) == 0 && fstat(to, &b) == 0 && (a.st_mode & 0111) != 0)
        (void)fchmod(to, (b.st_mode & 0777) | ((b.st_mode & 0444) >> 2));
}

static bool copy_file(const struct mxq_others_options *o, const char *name, struct mxq_fault *fault)
{
    char *path = mxq_checkpoint_path(o->checkpoint, name);
    int from;
    bool good = false;

    errno = ENOMEM;
    from = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (from < 0) {
        mxq_set_fault(fault, path != NULL ? path : name, errno, "cannot open");
    } else {
        const int to = mxq_create_partial(o->folder, name, fault);
        good = to >= 0;
        if (good) {
            good = copy_bytes(from, to, path, name, fault);
            copy_mode(from, to);
            good = finish_file(o, to, name, good, fault);
        }
        close(from);
    }
    free(path);
    return good;
}

static bool make_folder(const struct mxq_others_options *o, const char *name, struct mxq_fault *fault)
{
    char *path = mxq_output_path(o->folder, name);
    bool good = path != NULL && (mkdir(path, 0777) == 0 || errno == EEXIST);

    if (!good)
        mxq_set_fault(fault, path != NULL ? path : name, path != NULL ? errno : ENOMEM, "cannot make the folder");
    free(path);
    return good;
}

bool mxq_write_others(const struct mxq_others_options *o, const json_t *report, struct mxq_fault *fault)
{
    char *text;
    size_t nbytes;
    bool good = true;

    for (size_t i = 0; i < o->checkpoint->nothers && good; i++) {
        if (o->checkpoint->others[i].is_folder)
            good = make_folder(o, o->checkpoint->others[i].name, fault);
        else if (is_copied(o, i))
            good = copy_file(o, o->checkpoint->others[i].name, fault);
    }
    for (size_t i = 0; i < o->plan->nfiles && good; i++)
        good = write_text(o, o->plan->files[i].name, o->plan->files[i].text, o->plan->files[i].nbytes, fault);
    if (!good)
        return false;
    text = json_dumps(report, JSON_INDENT(1));
    if (text == NULL) {
        mxq_set_fault(fault, MXQ_CHECKPOINT_REPORT, ENOMEM, "cannot write");
        return false;
    }
    nbytes = strlen(text);
    text[nbytes] = '\n'; /* in place of the end */
    good = write_text(o, MXQ_CHECKPOINT_REPORT, text, nbytes + 1, fault);
    free(text);
    return good;
}

/* ---------------------------------------------------------------------------------------------- naming */

bool mxq_name_others(const struct mxq_others_options *o, struct mxq_fault *fault)
{
    bool good = true;

    for (size_t i = 0; i < o->checkpoint->nothers && good; i++)
        if (is_copied(o, i))
            good = mxq_name_output(o->folder, o->checkpoint->others[i].name, o->force, fault);
    good = good && mxq_name_output(o->folder, MXQ_CHECKPOINT_REPORT, o->force, fault);
    for (size_t i = 0; i < o->plan->nfiles && good; i++)
        good = mxq_name_output(o->folder, o->plan->files[i].name, o->force, fault);
    return good;
}
