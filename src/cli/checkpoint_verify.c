/* checkpoint_verify.c - opening a checkpoint that is to be verified; its index, its journal, its report */
#include "cli/checkpoint_verify.h"

#include "cli/checkpoint_journal.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---------------------------------------------------------------------------------------------- lines */

static void add_line(char ***lines, size_t *nlines, const char *text)
{
    char **grown = realloc(*lines, (*nlines + 1) * sizeof(*grown));

    if (grown == NULL)
        return;
    *lines = grown;
    grown[*nlines] = strdup(text);
    *nlines += grown[*nlines] != NULL;
}

/* Texts hold names out of files; mxq_set_fault() makes one line of what may be several. */
void mxq_add_problem(struct mxq_verify *verify, const char *format, ...)
{
    char text[MXQ_FAULT_NBYTES];
    struct mxq_fault line;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    mxq_set_fault(&line, NULL, 0, "%s", text);
    verify->nproblems++;
    if (verify->nkept < verify->limit)
        add_line(&verify->problems, &verify->nkept, line.text);
}

void mxq_add_note(struct mxq_verify *verify, const char *format, ...)
{
    char text[MXQ_FAULT_NBYTES];
    struct mxq_fault line;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    mxq_set_fault(&line, NULL, 0, "%s", text);
    add_line(&verify->notes, &verify->nnotes, line.text);
}

/* What the opener would warn of is wrong in a checkpoint that was made by this program. */
static void take_warning(void *context, const char *text)
{
    mxq_add_problem(context, "%s", text);
}

static void ignore_warning(void *context, const char *text)
{
    (void)context;
    (void)text;
}

/* ---------------------------------------------------------------------------------------------- opening */

static bool matters(const char *name)
{
    const size_t length = strlen(name);

    return strcmp(name, MXQ_CHECKPOINT_INDEX) == 0 || strcmp(name, MXQ_CHECKPOINT_CONFIG) == 0 ||
           strcmp(name, MXQ_CHECKPOINT_REPORT) == 0 || (length > 12 && strcmp(name + length - 12, ".safetensors") == 0);
}

/* A file that may not be read is trouble, and says nothing about what is in it. */
static bool check_readable(const char *path, struct mxq_fault *fault)
{
    struct dirent **entries = NULL;
    struct stat st;
    bool good = true;
    int nentries;

    if (stat(path, &st) != 0) {
        mxq_set_fault(fault, path, errno, "cannot open");
        return false;
    }
    if (!S_ISDIR(st.st_mode))
        return true;
    nentries = scandir(path, &entries, NULL, alphasort);
    if (nentries < 0)
        mxq_set_fault(fault, path, errno, "cannot read");
    for (int i = 0; i < nentries; i++) {
        char file[4096];
        snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
        if (good && matters(entries[i]->d_name) && access(file, R_OK) != 0 && errno == EACCES) {
            mxq_set_fault(fault, file, errno, "cannot open");
            good = false;
        }
        free(entries[i]);
    }
    free(entries);
    return good && nentries >= 0;
}

/* An index whose shards are all missing is one, too. */
static bool is_checkpoint(const char *path)
{
    char index[4096];

    snprintf(index, sizeof(index), "%s/%s", path, MXQ_CHECKPOINT_INDEX);
    return mxq_is_checkpoint(path) || access(index, F_OK) == 0;
}

/* The checkpoint itself: what is wrong with it is a problem. */
static bool open_made(struct mxq_verify *verify, bool *usable, struct mxq_fault *fault)
{
    struct mxq_checkpoint_side *side = &verify->made;
    struct mxq_fault wrong;

    *usable = false;
    if (!check_readable(verify->path, fault))
        return false;
    if (!is_checkpoint(verify->path)) {
        mxq_set_fault(fault, verify->path, 0, "no checkpoint: it has neither safetensors files nor an index");
        return false;
    }
    if (!mxq_open_checkpoint(verify->path, &side->checkpoint, take_warning, verify, &wrong)) {
        mxq_add_problem(verify, "%s", wrong.text);
        return true;
    }
    if (!mxq_list_packed(side->checkpoint, &side->list, take_warning, verify, fault))
        return false;
    side->fds = mxq_open_shards(side->checkpoint, fault);
    *usable = side->fds != NULL;
    return *usable;
}

static bool open_source(struct mxq_verify *verify, struct mxq_fault *fault)
{
    struct mxq_checkpoint_side *side = &verify->from;

    if (verify->source == NULL)
        return true;
    if (!mxq_open_checkpoint(verify->source, &side->checkpoint, ignore_warning, NULL, fault) ||
        !mxq_list_packed(side->checkpoint, &side->list, ignore_warning, NULL, fault))
        return false;
    side->fds = mxq_open_shards(side->checkpoint, fault);
    return side->fds != NULL;
}

/* ---------------------------------------------------------------------------------------------- beside the shards */

static void check_total(struct mxq_verify *verify)
{
    const struct mxq_checkpoint *made = verify->made.checkpoint;
    const json_t *total = json_object_get(json_object_get(made->index, "metadata"), "total_size");
    uint64_t nbytes = 0;

    if (made->index == NULL)
        return;
    for (size_t i = 0; i < made->nentries; i++)
        nbytes += mxq_tensor_at(made, &made->entries[i])->nbytes;
    if (!json_is_integer(total))
        mxq_add_problem(verify, "\"%s\": no total_size in its metadata", made->index_name);
    else if ((uint64_t)json_integer_value(total) != nbytes)
        mxq_add_problem(verify, "\"%s\": total_size is %lld; the tensors have %" PRIu64 " bytes", made->index_name,
                        (long long)json_integer_value(total), nbytes);
}

static void check_journal(struct mxq_verify *verify)
{
    char *path = mxq_checkpoint_path(verify->made.checkpoint, MXQ_JOURNAL_NAME);

    if (path != NULL && !verify->made.checkpoint->is_file && access(path, F_OK) == 0)
        mxq_add_problem(verify, "\"%s\": not complete: quantize --resume goes on with it", verify->path);
    free(path);
}

static void load_report(struct mxq_verify *verify)
{
    char *path = mxq_checkpoint_path(verify->made.checkpoint, MXQ_CHECKPOINT_REPORT);
    json_error_t error;

    if (path == NULL || verify->made.checkpoint->is_file || access(path, F_OK) != 0) {
        mxq_add_note(verify, "no %s: checksums are not known", MXQ_CHECKPOINT_REPORT);
    } else {
        verify->report = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
        if (verify->report == NULL)
            mxq_add_problem(verify, "\"%s\": no report: line %d: %s", path, error.line, error.text);
        else if (json_integer_value(json_object_get(verify->report, "mxfp4q_report")) != MXQ_CHECKPOINT_REPORT_VERSION)
            mxq_add_problem(verify, "\"%s\": no report of version %d", path, MXQ_CHECKPOINT_REPORT_VERSION);
    }
    free(path);
}

/* How the tensors were made is in every shard that has some of them, and must be the same in all. */
static void load_provenance(struct mxq_verify *verify)
{
    const struct mxq_checkpoint *made = verify->made.checkpoint;
    const char *first = NULL;

    for (size_t i = 0; i < made->nshards; i++) {
        const char *text = json_string_value(json_object_get(made->shards[i].header->metadata, "mxfp4q"));
        if (text == NULL)
            continue;
        if (first != NULL && strcmp(first, text) != 0)
            mxq_add_problem(verify, "\"%s\": made otherwise than the shards before it", made->shards[i].name);
        if (first == NULL)
            first = text;
    }
    if (first != NULL)
        verify->provenance = json_loads(first, JSON_REJECT_DUPLICATES, NULL);
    if (first != NULL && !json_is_object(verify->provenance))
        mxq_add_problem(verify, "__metadata__: mxfp4q is no JSON object");
}

/* ---------------------------------------------------------------------------------------------- all of it */

static bool verify_parts(struct mxq_verify *verify, struct mxq_fault *fault)
{
    check_total(verify);
    check_journal(verify);
    load_report(verify);
    load_provenance(verify);
    if (verify->made.list.npacked == 0)
        mxq_add_problem(verify, "\"%s\": no MXFP4 tensor in it", verify->path);
    mxq_verify_config(verify);
    return mxq_verify_checksums(verify, fault) && mxq_verify_scales(verify, fault) &&
           (verify->source == NULL || mxq_verify_source(verify, fault));
}

bool mxq_run_verify(struct mxq_verify *verify, struct mxq_fault *fault)
{
    bool usable;

    if (!open_made(verify, &usable, fault) || !open_source(verify, fault))
        return false;
    return !usable || verify_parts(verify, fault);
}

void mxq_free_verify(struct mxq_verify *verify)
{
    struct mxq_checkpoint_side *const sides[] = {&verify->made, &verify->from};

    for (unsigned i = 0; i < 2; i++) {
        if (sides[i]->checkpoint != NULL)
            mxq_close_shards(sides[i]->checkpoint, sides[i]->fds);
        mxq_free_packed_list(&sides[i]->list);
        mxq_close_checkpoint(sides[i]->checkpoint);
    }
    for (size_t i = 0; i < verify->nkept; i++)
        free(verify->problems[i]);
    for (size_t i = 0; i < verify->nnotes; i++)
        free(verify->notes[i]);
    free(verify->problems);
    free(verify->notes);
    json_decref(verify->report);
    json_decref(verify->provenance);
}
