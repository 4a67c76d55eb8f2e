/* checkpoint_journal.c - the journal of a checkpoint that is being made: what --resume may rely on */
#include "cli/checkpoint_journal.h"

#include "io/checksum.h"
#include "io/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_VERSION 2

/* A tensor's line has at most 7 words and two times 9 numbers of 24 characters. */
#define LINE_NBYTES 768

/* The CRC-32 of a line in hexadecimal, and a space. */
#define CRC_NBYTES 9

/* More than the journal of the largest model has. */
#define MAX_NBYTES ((uint64_t)1 << 30)

struct mxq_journal {
    char *path;
    int fd;
    bool no_fsync;
    pthread_mutex_t lock;
};

/* ---------------------------------------------------------------------------------------------- writing */

/* Lines that will be written at once. */
struct lines {
    char *text;
    size_t nbytes;
    size_t room;
    bool failed;
};

__attribute__((format(printf, 2, 3))) static void add_line(struct lines *lines, const char *format, ...)
{
    char line[LINE_NBYTES];
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof(line)) {
        lines->failed = true;
        return;
    }
    if (lines->room - lines->nbytes < (size_t)length + CRC_NBYTES + 2) {
        const size_t room = 2 * lines->room + LINE_NBYTES + CRC_NBYTES + 2;
        char *text = realloc(lines->text, room);
        if (text == NULL) {
            lines->failed = true;
            return;
        }
        lines->text = text;
        lines->room = room;
    }
    lines->nbytes += (size_t)sprintf(lines->text + lines->nbytes, "%08" PRIx32 " %s\n",
                                     mxq_update_crc(0, line, (size_t)length), line);
}

static bool write_lines(struct mxq_journal *journal, struct lines *lines, struct mxq_fault *fault)
{
    bool good = !lines->failed;

    if (!good)
        mxq_set_fault(fault, journal->path, ENOMEM, "cannot write");
    pthread_mutex_lock(&journal->lock);
    good = good && mxq_write_all(journal->fd, lines->text, lines->nbytes, journal->path, fault);
    if (good && !journal->no_fsync && fdatasync(journal->fd) != 0) {
        mxq_set_fault(fault, journal->path, errno, "cannot write to the disk");
        good = false;
    }
    pthread_mutex_unlock(&journal->lock);
    free(lines->text);
    return good;
}

static void add_distortion(char *text, size_t nbytes, const struct mxq_distortion *d)
{
    snprintf(text, nbytes, "%" PRIu64 " %" PRIu64 " %a %a %a %a %a %a %a", d->nelems, d->nsaturated, d->signal,
             d->noise, d->decoded, d->product, d->largest, d->amax, d->least_amax);
}

static void add_tensor(struct lines *lines, size_t number, const struct mxq_tensor_outcome *t)
{
    char distortion[MXQ_NUM_DIRECTIONS][LINE_NBYTES / 3];

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        add_distortion(distortion[d], sizeof(distortion[d]), &t->distortion[d]);
    add_line(lines, "tensor %zu %08" PRIx32 " %08" PRIx32 " %08" PRIx32 " %08" PRIx32 " %08" PRIx32 " %d %s %s", number,
             t->source_crc, t->crc[0], t->crc[1], t->crc[2], t->crc[3], t->nonfinite, distortion[0], distortion[1]);
}

bool mxq_record_shard(struct mxq_journal *journal, const struct mxq_checkpoint_plan *plan,
                      const struct mxq_checkpoint_outcome *outcome, size_t shard, struct mxq_fault *fault)
{
    const struct mxq_shard_outcome *s = &outcome->shards[shard];
    struct lines lines = {NULL, 0, 0, false};

    for (size_t i = 0; i < plan->ntensors; i++)
        if (plan->tensors[i].shard == shard)
            add_tensor(&lines, i, &outcome->tensors[i]);
    add_line(&lines, "shard %zu %08" PRIx32 " %08" PRIx32 " %lld %ld", shard, s->crc, s->source_crc,
             (long long)s->source_mtime.tv_sec, s->source_mtime.tv_nsec);
    return write_lines(journal, &lines, fault);
}

bool mxq_record_verified(struct mxq_journal *journal, size_t shard, struct mxq_fault *fault)
{
    struct lines lines = {NULL, 0, 0, false};

    add_line(&lines, "verified %zu", shard);
    return write_lines(journal, &lines, fault);
}

/* ---------------------------------------------------------------------------------------------- reading */

/* The next words of a line as numbers; bad once one is not. */
struct words {
    const char *next;
    bool bad;
};

static uint64_t read_number(struct words *words, int base)
{
    char *end;
    uint64_t value;

    errno = 0;
    value = strtoull(words->next, &end, base);
    words->bad |= end == words->next || errno != 0;
    words->next = end;
    return value;
}

/* Also the "inf" and "nan" that printf() writes. */
static double read_real(struct words *words)
{
    char *end;
    const double value = strtod(words->next, &end);

    words->bad |= end == words->next;
    words->next = end;
    return value;
}

static void read_distortion(struct words *words, struct mxq_distortion *d)
{
    d->nelems = read_number(words, 10);
    d->nsaturated = read_number(words, 10);
    d->signal = read_real(words);
    d->noise = read_real(words);
    d->decoded = read_real(words);
    d->product = read_real(words);
    d->largest = read_real(words);
    d->amax = read_real(words);
    d->least_amax = read_real(words);
}

static bool read_tensor(struct words words, struct mxq_checkpoint_outcome *outcome)
{
    const uint64_t number = read_number(&words, 10);
    struct mxq_tensor_outcome t;

    t.source_crc = (uint32_t)read_number(&words, 16);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        t.crc[b] = (uint32_t)read_number(&words, 16);
    t.nonfinite = read_number(&words, 10) != 0;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        read_distortion(&words, &t.distortion[d]);
    if (words.bad || number >= outcome->ntensors)
        return false;
    outcome->tensors[number] = t;
    return true;
}

static bool read_shard(struct words words, struct mxq_checkpoint_outcome *outcome)
{
    const uint64_t number = read_number(&words, 10);
    const uint32_t crc = (uint32_t)read_number(&words, 16);
    const uint32_t source_crc = (uint32_t)read_number(&words, 16);
    const time_t seconds = (time_t)read_number(&words, 10); /* a negative one wraps there and back */
    const struct timespec mtime = {.tv_sec = seconds, .tv_nsec = (long)read_number(&words, 10)};

    if (words.bad || number >= outcome->nshards)
        return false;
    outcome->shards[number] =
        (struct mxq_shard_outcome){.complete = true, .crc = crc, .source_crc = source_crc, .source_mtime = mtime};
    return true;
}

static bool read_verified(struct words words, struct mxq_checkpoint_outcome *outcome)
{
    const uint64_t number = read_number(&words, 10);

    if (words.bad || number >= outcome->nshards || !outcome->shards[number].complete)
        return false;
    outcome->shards[number].verified = true;
    return true;
}

/* A line without its CRC-32 and its end. */
static bool read_line(const char *line, struct mxq_checkpoint_outcome *outcome)
{
    if (strncmp(line, "tensor ", 7) == 0)
        return read_tensor((struct words){line + 7, false}, outcome);
    if (strncmp(line, "shard ", 6) == 0)
        return read_shard((struct words){line + 6, false}, outcome);
    return strncmp(line, "verified ", 9) == 0 && read_verified((struct words){line + 9, false}, outcome);
}

/* Ends a line at *text, checks it, and moves to the next. NULL: it is not whole. */
static char *take_line(char **text, const char *end)
{
    char *line = *text;
    char *newline = memchr(line, '\n', (size_t)(end - line));
    struct words crc = {line, false};

    if (newline == NULL || newline - line < CRC_NBYTES)
        return NULL;
    *newline = '\0';
    *text = newline + 1;
    if (line[CRC_NBYTES - 1] != ' ' || strlen(line) != (size_t)(newline - line) ||
        read_number(&crc, 16) != mxq_update_crc(0, line + CRC_NBYTES, (size_t)(newline - line) - CRC_NBYTES) || crc.bad)
        return NULL;
    return line + CRC_NBYTES;
}

static void format_first_line(const struct mxq_checkpoint_plan *plan, char *line, size_t nbytes)
{
    snprintf(line, nbytes, "mxfp4q-journal %d %s %08" PRIx32 " %zu %zu", JOURNAL_VERSION, MXQ_VERSION, plan->identity,
             plan->nshards, plan->ntensors);
}

/* The number of bytes that count goes to *nbytes: what follows is cut off, so that new lines follow whole ones. */
static bool read_lines(const struct mxq_journal *journal, char *text, uint64_t *nbytes,
                       const struct mxq_checkpoint_plan *plan, struct mxq_checkpoint_outcome *outcome,
                       struct mxq_fault *fault)
{
    const char *end = text + *nbytes;
    char *next = text;
    char expected[LINE_NBYTES];
    char *line = take_line(&next, end);

    format_first_line(plan, expected, sizeof(expected));
    *nbytes = 0;
    if (line == NULL)
        return true; /* killed before the first line was whole */
    if (strcmp(line, expected) != 0) {
        mxq_set_fault(fault, journal->path, 0,
                      "is of another job: the model, the options or the program have changed (--force begins anew)");
        return false;
    }
    do {
        *nbytes = (uint64_t)(next - text);
        line = next < end ? take_line(&next, end) : NULL;
    } while (line != NULL && read_line(line, outcome));
    return true;
}

static bool read_journal(const struct mxq_journal *journal, uint64_t *nbytes, const struct mxq_checkpoint_plan *plan,
                         struct mxq_checkpoint_outcome *outcome, struct mxq_fault *fault)
{
    char *text = *nbytes <= MAX_NBYTES ? malloc((size_t)*nbytes + 1) : NULL;
    bool good = text != NULL;

    if (!good)
        mxq_set_fault(fault, journal->path, *nbytes > MAX_NBYTES ? EFBIG : ENOMEM, "cannot read");
    good = good && mxq_pread_all(journal->fd, text, *nbytes, 0, journal->path, fault) &&
           read_lines(journal, text, nbytes, plan, outcome, fault);
    free(text);
    return good;
}

/* ---------------------------------------------------------------------------------------------- opening */

static bool open_file(struct mxq_journal *journal, struct mxq_fault *fault)
{
    journal->fd = open(journal->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (journal->fd < 0) {
        mxq_set_fault(fault, journal->path, errno, "cannot create");
        return false;
    }
    if (flock(journal->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        mxq_set_fault(fault, journal->path, 0, "is in use: another run is making this checkpoint");
        return false;
    }
    return true;
}

static bool begin_or_continue(struct mxq_journal *journal, enum mxq_journal_mode mode,
                              const struct mxq_checkpoint_plan *plan, struct mxq_checkpoint_outcome *outcome,
                              bool *found, struct mxq_fault *fault)
{
    struct lines lines = {NULL, 0, 0, false};
    char first[LINE_NBYTES];
    struct stat st;
    uint64_t nbytes;

    if (fstat(journal->fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink == 0) {
        mxq_set_fault(fault, journal->path, 0, "is not a regular file, or was just removed");
        return false;
    }
    nbytes = (uint64_t)st.st_size;
    if (nbytes != 0 && mode == MXQ_JOURNAL_NEW) {
        mxq_set_fault(fault, journal->path, 0, "an unfinished checkpoint: --resume continues it, --force begins anew");
        return false;
    }
    if (mode != MXQ_JOURNAL_RESUME)
        nbytes = 0;
    if (nbytes != 0 && !read_journal(journal, &nbytes, plan, outcome, fault))
        return false;
    if (ftruncate(journal->fd, (off_t)nbytes) != 0 || lseek(journal->fd, (off_t)nbytes, SEEK_SET) < 0) {
        mxq_set_fault(fault, journal->path, errno, "cannot write");
        return false;
    }
    *found = nbytes != 0;
    if (*found)
        return true;
    format_first_line(plan, first, sizeof(first));
    add_line(&lines, "%s", first);
    return write_lines(journal, &lines, fault);
}

bool mxq_open_journal(const char *folder, enum mxq_journal_mode mode, const struct mxq_checkpoint_plan *plan,
                      bool no_fsync, struct mxq_checkpoint_outcome *outcome, bool *found, struct mxq_journal **journal,
                      struct mxq_fault *fault)
{
    const size_t nbytes = strlen(folder) + sizeof("/" MXQ_JOURNAL_NAME);
    struct mxq_journal *j = calloc(1, sizeof(*j));

    *journal = NULL;
    if (j != NULL) {
        j->fd = -1;
        j->no_fsync = no_fsync;
        j->path = malloc(nbytes);
        pthread_mutex_init(&j->lock, NULL);
    }
    if (j == NULL || j->path == NULL) {
        mxq_set_fault(fault, folder, ENOMEM, "cannot begin a journal");
        mxq_close_journal(j, false);
        return false;
    }
    snprintf(j->path, nbytes, "%s/%s", folder, MXQ_JOURNAL_NAME);
    if (!open_file(j, fault) || !begin_or_continue(j, mode, plan, outcome, found, fault)) {
        mxq_close_journal(j, false);
        return false;
    }
    *journal = j;
    return true;
}

void mxq_close_journal(struct mxq_journal *journal, bool remove)
{
    if (journal == NULL)
        return;
    if (remove)
        unlink(journal->path);
    if (journal->fd >= 0)
        close(journal->fd);
    pthread_mutex_destroy(&journal->lock);
    free(journal->path);
    free(journal);
}
