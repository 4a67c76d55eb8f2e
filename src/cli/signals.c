/* signals.c - leaving nothing behind when a signal ends the program */
#include "cli/signals.h"

#include "io/outfile.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Read by the handler, so signals are held back while they and the folder change. */
static char made_folder[4096];
static volatile sig_atomic_t folder_is_made;

static volatile sig_atomic_t is_deferring;
static volatile sig_atomic_t deferred;

static void end_program(int signum)
{
    if (is_deferring && deferred == 0) {
        deferred = signum;
        return;
    }
    mxq_remove_temporaries();
    mxq_remove_made_folder();
    signal(signum, SIG_DFL);
    raise(signum);
}

void mxq_install_signal_handlers(void)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
        sigaddset(&action.sa_mask, ending[i]);
    action.sa_handler = end_program;
    for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++) {
        struct sigaction old;
        /* nohup and shells with job control ignore some of them on purpose. */
        if (sigaction(ending[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(ending[i], &action, NULL);
    }
    /* A reader that goes away and a file that may not grow are errors of write(2), to be cleaned up after. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

bool mxq_make_folder(const char *path)
{
    struct stat st;
    sigset_t all, previous;
    bool made;

    if (stat(path, &st) == 0) {
        errno = ENOTDIR;
        return S_ISDIR(st.st_mode);
    }
    if (strlen(path) >= sizeof(made_folder)) {
        errno = ENAMETOOLONG;
        return false;
    }
    strcpy(made_folder, path);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &previous);
    made = mkdir(path, 0777) == 0;
    if (made)
        folder_is_made = 1;
    pthread_sigmask(SIG_SETMASK, &previous, NULL);
    return made;
}

void mxq_remove_made_folder(void)
{
    if (folder_is_made)
        rmdir(made_folder);
    folder_is_made = 0;
}

void mxq_defer_signals(bool defer)
{
    is_deferring = defer;
}

int mxq_deferred_signal(void)
{
    return deferred;
}

void mxq_end_by_deferred_signal(void)
{
    if (deferred == 0)
        return;
    signal(deferred, SIG_DFL);
    raise(deferred);
}
