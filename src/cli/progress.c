/* progress.c - the progress line of a long job */
#include "cli/progress.h"

#include "io/fault.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define SILENT_SECONDS 1.0
#define SECONDS_BETWEEN_UPDATES (1.0 / 6.0)

static struct {
    enum mxq_progress_mode mode;
    bool active;
    bool visible;
    struct mxq_fault name; /* without control characters */
    char part[64];         /* with a comma before it, or empty */
    uint64_t total_nbytes;
    double started;
    double updated;
} progress;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void mxq_set_progress_mode(enum mxq_progress_mode mode)
{
    progress.mode = mode;
}

void mxq_start_progress(const char *name, uint64_t total_nbytes)
{
    progress.active =
        progress.mode == MXQ_PROGRESS_ALWAYS || (progress.mode == MXQ_PROGRESS_AUTO && isatty(STDERR_FILENO));
    progress.visible = false;
    mxq_set_fault(&progress.name, NULL, 0, "%s", name);
    progress.part[0] = '\0';
    progress.total_nbytes = total_nbytes;
    progress.started = now();
    progress.updated = progress.started + SILENT_SECONDS - SECONDS_BETWEEN_UPDATES;
}

void mxq_note_progress(const char *part)
{
    snprintf(progress.part, sizeof(progress.part), "%s%s", part != NULL ? ", " : "", part != NULL ? part : "");
}

static void print_line(uint64_t done_nbytes, double seconds)
{
    const double rate = (double)done_nbytes / seconds;
    const double left = rate > 0 ? (double)(progress.total_nbytes - done_nbytes) / rate : 0;
    const double percent = progress.total_nbytes ? 100.0 * (double)done_nbytes / (double)progress.total_nbytes : 100.0;

    fprintf(stderr, "\r\033[K%s%s: %3.0f %% of %.1f MB, %.1f MB/s, %.0f s left", progress.name.text, progress.part,
            percent, 1e-6 * (double)progress.total_nbytes, 1e-6 * rate, left);
    fflush(stderr);
    progress.visible = true;
}

void mxq_update_progress(uint64_t done_nbytes)
{
    double t;

    if (!progress.active)
        return;
    t = now();
    if (t - progress.updated < SECONDS_BETWEEN_UPDATES)
        return;
    progress.updated = t;
    print_line(done_nbytes, t - progress.started);
}

void mxq_clear_progress(void)
{
    if (progress.visible)
        fputs("\r\033[K", stderr);
    progress.visible = false;
}

void mxq_end_progress(void)
{
    mxq_clear_progress();
    progress.active = false;
}
