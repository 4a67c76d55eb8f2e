/*
 * fail_calls - an LD_PRELOAD library that makes chosen calls of a program fail
 *
 *   MXFP4Q_FAIL=CALL:N:WHAT     the Nth call (from 1) of CALL does WHAT; with N+ every call from the Nth on
 *   MXFP4Q_FAIL_COUNT=FILE      when the program exits, FILE gets a line "CALL NUMBER" for each CALL, and a last line
 *                               "failed NUMBER": how many calls were made to do WHAT
 *
 * WHAT is the name of an errno value: the call fails with it, without having done anything (close() does close); or
 * "short": read and write calls move half of the bytes, at least one, as they may; or the name of a signal: it is raised
 * before the call, which then goes on. A test so runs a program with N = 1, 2, ... until "failed 0".
 *
 * CALL is one of the names in the table below. It stands for the function and for all its aliases (pwrite for pwrite64,
 * open for openat and creat ...). What cannot be seen, because it does not pass through the dynamic linker: calls inside
 * libc itself (the write() behind printf(), the open() behind fopen(), pages mmap() gives to malloc()); direct system
 * calls; static programs. What is allocated before main() is not counted, and calls do not fail then. Not together with
 * sanitizers or valgrind, which replace malloc() themselves. A program that ends by _exit() or a signal writes no counts.
 */
#define _GNU_SOURCE

/* These functions are defined here under both names, so neither may be redirected to the other. */
#undef _FILE_OFFSET_BITS

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* clang-format off */
#define CALLS(X) \
    X(open) X(close) X(read) X(pread) X(write) X(pwrite) X(lseek) X(fsync) X(fallocate) X(ftruncate) X(fchmod) \
    X(stat) X(lstat) X(fstat) X(rename) X(link) X(unlink) X(mkdir) X(mkstemp) X(mmap) \
    X(malloc) X(calloc) X(realloc) X(memalign) X(pthread_create) X(fopen) X(fclose) X(fflush)
/* clang-format on */

#define AS_ENUM(name) CALL_##name,
#define AS_STRING(name) #name,

enum call {
    CALLS(AS_ENUM) NUM_CALLS
};

static const char *const call_names[] = {CALLS(AS_STRING)};

static const struct {
    const char *name;
    int number;
} errnos[] = {
    {"EACCES", EACCES}, {"EAGAIN", EAGAIN}, {"EDQUOT", EDQUOT}, {"EEXIST", EEXIST}, {"EFBIG", EFBIG},
    {"EINTR", EINTR},   {"EINVAL", EINVAL}, {"EIO", EIO},       {"EISDIR", EISDIR}, {"EMFILE", EMFILE},
    {"EMLINK", EMLINK}, {"ENOENT", ENOENT}, {"ENOMEM", ENOMEM}, {"ENOSPC", ENOSPC}, {"ENOSYS", ENOSYS},
    {"EPERM", EPERM},   {"EPIPE", EPIPE},   {"EROFS", EROFS},   {"EXDEV", EXDEV},   {"EOPNOTSUPP", EOPNOTSUPP},
};

static const struct {
    const char *name;
    int number;
} signals[] = {
    {"SIGINT", SIGINT},   {"SIGTERM", SIGTERM}, {"SIGHUP", SIGHUP},
    {"SIGKILL", SIGKILL}, {"SIGUSR1", SIGUSR1}, {"SIGSTOP", SIGSTOP},
};

enum effect {
    EFFECT_ERRNO,
    EFFECT_SHORT,
    EFFECT_SIGNAL
};

static struct {
    bool armed; /* main() is about to run */
    bool given; /* MXFP4Q_FAIL was */
    enum call call;
    unsigned long first;
    bool onwards;
    enum effect effect;
    int number; /* of the errno value or signal */
    const char *count_file;
} settings;

static atomic_ulong ncalls[NUM_CALLS];
static atomic_ulong nfailed;

/* ---------------------------------------------------------------------------------------------------- settings */

static _Noreturn void refuse(const char *text)
{
    static const char head[] = "fail_calls: bad MXFP4Q_FAIL: ";

    if (write(STDERR_FILENO, head, sizeof(head) - 1) < 0 || write(STDERR_FILENO, text, strlen(text)) < 0 ||
        write(STDERR_FILENO, "\n", 1) < 0)
        _exit(126);
    _exit(125);
}

static bool find_effect(const char *what)
{
    for (size_t i = 0; i < sizeof(errnos) / sizeof(errnos[0]); i++) {
        if (strcmp(errnos[i].name, what) == 0) {
            settings.effect = EFFECT_ERRNO;
            settings.number = errnos[i].number;
            return true;
        }
    }
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (strcmp(signals[i].name, what) == 0) {
            settings.effect = EFFECT_SIGNAL;
            settings.number = signals[i].number;
            return true;
        }
    }
    settings.effect = EFFECT_SHORT;
    return strcmp(what, "short") == 0;
}

static bool find_call(const char *text, size_t length)
{
    for (size_t i = 0; i < NUM_CALLS; i++) {
        if (strlen(call_names[i]) == length && memcmp(call_names[i], text, length) == 0) {
            settings.call = (enum call)i;
            return true;
        }
    }
    return false;
}

static bool moves_bytes(enum call call)
{
    return call == CALL_read || call == CALL_pread || call == CALL_write || call == CALL_pwrite;
}

static void parse_settings(const char *text)
{
    size_t length = strcspn(text, ":");
    char *end;

    if (text[length] == '\0' || !find_call(text, length))
        refuse(text);
    settings.first = strtoul(text + length + 1, &end, 10);
    if (settings.first == 0)
        refuse(text);
    settings.onwards = *end == '+';
    if (settings.onwards)
        end++;
    if (*end != ':' || !find_effect(end + 1) || (settings.effect == EFFECT_SHORT && !moves_bytes(settings.call)))
        refuse(text);
    settings.given = true;
}

__attribute__((constructor)) static void arm(void)
{
    const char *text = getenv("MXFP4Q_FAIL");

    settings.count_file = getenv("MXFP4Q_FAIL_COUNT");
    if (text != NULL)
        parse_settings(text);
    settings.armed = true;
}

__attribute__((destructor)) static void report(void)
{
    char line[64];
    int fd;
    bool ok;

    settings.armed = false;
    if (settings.count_file == NULL)
        return;
    fd = open(settings.count_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    ok = fd >= 0;
    for (size_t i = 0; i <= NUM_CALLS && ok; i++) {
        unsigned long n = i < NUM_CALLS ? ncalls[i] : nfailed;
        int length = snprintf(line, sizeof(line), "%s %lu\n", i < NUM_CALLS ? call_names[i] : "failed", n);

        ok = write(fd, line, (size_t)length) == length;
    }
    if (fd >= 0)
        close(fd);
}

/* ---------------------------------------------------------------------------------------------------- deciding */

/* Counts a call; true when it is to fail, with errno set. A signal is raised here. */
static bool fails(enum call call)
{
    unsigned long n;

    if (!settings.armed)
        return false;
    n = ++ncalls[call];
    if (!settings.given || call != settings.call || (settings.onwards ? n < settings.first : n != settings.first))
        return false;
    nfailed++;
    if (settings.effect == EFFECT_SIGNAL) {
        raise(settings.number);
        return false;
    }
    errno = settings.number;
    return true;
}

/* The same for calls that move bytes, which may also be told to move fewer. */
static bool fails_or_shortens(enum call call, size_t *nbytes)
{
    if (!fails(call))
        return false;
    if (settings.effect != EFFECT_SHORT)
        return true;
    *nbytes = *nbytes > 1 ? *nbytes / 2 : *nbytes;
    return false;
}

/* The next definition of a function; ISO C has no conversion from void *, hence memcpy(). */
static void find_next(const char *name, void *function)
{
    void *symbol = dlsym(RTLD_NEXT, name);

    if (symbol == NULL)
        refuse(name);
    memcpy(function, &symbol, sizeof(symbol));
}

/*
 * Defines a function that fails with the value failed, and its alias if it has one: the kind of its result, name, CALL,
 * parameters, arguments.
 */
#define DEFINE(type, name, call, failed, params, args)                                                                 \
    type name params;                                                                                                  \
    type name params                                                                                                   \
    {                                                                                                                  \
        static type(*_Atomic next) params;                                                                             \
        type(*function) params = next;                                                                                 \
                                                                                                                       \
        if (function == NULL) {                                                                                        \
            find_next(#name, &function);                                                                               \
            next = function;                                                                                           \
        }                                                                                                              \
        if (fails(CALL_##call))                                                                                        \
            return failed;                                                                                             \
        return function args;                                                                                          \
    }

/* The same where the parameter nbytes may be made smaller. */
#define DEFINE_MOVE(name, call, params, args)                                                                          \
    ssize_t name params;                                                                                               \
    ssize_t name params                                                                                                \
    {                                                                                                                  \
        static ssize_t(*_Atomic next) params;                                                                          \
        ssize_t(*function) params = next;                                                                              \
                                                                                                                       \
        if (function == NULL) {                                                                                        \
            find_next(#name, &function);                                                                               \
            next = function;                                                                                           \
        }                                                                                                              \
        if (fails_or_shortens(CALL_##call, &nbytes))                                                                   \
            return -1;                                                                                                 \
        return function args;                                                                                          \
    }

/* ---------------------------------------------------------------------------------------------------- files */

DEFINE_MOVE(read, read, (int fd, void *bytes, size_t nbytes), (fd, bytes, nbytes))
DEFINE_MOVE(write, write, (int fd, const void *bytes, size_t nbytes), (fd, bytes, nbytes))
DEFINE_MOVE(pread, pread, (int fd, void *bytes, size_t nbytes, off_t offset), (fd, bytes, nbytes, offset))
DEFINE_MOVE(pread64, pread, (int fd, void *bytes, size_t nbytes, off64_t offset), (fd, bytes, nbytes, offset))
DEFINE_MOVE(pwrite, pwrite, (int fd, const void *bytes, size_t nbytes, off_t offset), (fd, bytes, nbytes, offset))
DEFINE_MOVE(pwrite64, pwrite, (int fd, const void *bytes, size_t nbytes, off64_t offset), (fd, bytes, nbytes, offset))

DEFINE(off_t, lseek, lseek, -1, (int fd, off_t offset, int whence), (fd, offset, whence))
DEFINE(off64_t, lseek64, lseek, -1, (int fd, off64_t offset, int whence), (fd, offset, whence))
DEFINE(int, fsync, fsync, -1, (int fd), (fd))
DEFINE(int, fdatasync, fsync, -1, (int fd), (fd))
DEFINE(int, fallocate, fallocate, -1, (int fd, int mode, off_t offset, off_t nbytes), (fd, mode, offset, nbytes))
DEFINE(int, fallocate64, fallocate, -1, (int fd, int mode, off64_t offset, off64_t nbytes), (fd, mode, offset, nbytes))
DEFINE(int, ftruncate, ftruncate, -1, (int fd, off_t nbytes), (fd, nbytes))
DEFINE(int, ftruncate64, ftruncate, -1, (int fd, off64_t nbytes), (fd, nbytes))
DEFINE(int, fchmod, fchmod, -1, (int fd, mode_t mode), (fd, mode))
DEFINE(int, stat, stat, -1, (const char *path, struct stat *st), (path, st))
DEFINE(int, stat64, stat, -1, (const char *path, struct stat64 *st), (path, st))
DEFINE(int, lstat, lstat, -1, (const char *path, struct stat *st), (path, st))
DEFINE(int, lstat64, lstat, -1, (const char *path, struct stat64 *st), (path, st))
DEFINE(int, fstat, fstat, -1, (int fd, struct stat *st), (fd, st))
DEFINE(int, fstat64, fstat, -1, (int fd, struct stat64 *st), (fd, st))
DEFINE(int, rename, rename, -1, (const char *from, const char *to), (from, to))
DEFINE(int, renameat, rename, -1, (int from_fd, const char *from, int to_fd, const char *to),
       (from_fd, from, to_fd, to))
DEFINE(int, renameat2, rename, -1, (int from_fd, const char *from, int to_fd, const char *to, unsigned flags),
       (from_fd, from, to_fd, to, flags))
DEFINE(int, link, link, -1, (const char *from, const char *to), (from, to))
DEFINE(int, linkat, link, -1, (int from_fd, const char *from, int to_fd, const char *to, int flags),
       (from_fd, from, to_fd, to, flags))
DEFINE(int, unlink, unlink, -1, (const char *path), (path))
DEFINE(int, unlinkat, unlink, -1, (int fd, const char *path, int flags), (fd, path, flags))
DEFINE(int, remove, unlink, -1, (const char *path), (path))
DEFINE(int, mkdir, mkdir, -1, (const char *path, mode_t mode), (path, mode))
DEFINE(int, mkstemp, mkstemp, -1, (char *name), (name))
DEFINE(int, mkstemp64, mkstemp, -1, (char *name), (name))
DEFINE(int, mkostemp, mkstemp, -1, (char *name, int flags), (name, flags))
DEFINE(int, mkostemp64, mkstemp, -1, (char *name, int flags), (name, flags))
DEFINE(int, creat, open, -1, (const char *path, mode_t mode), (path, mode))
DEFINE(int, creat64, open, -1, (const char *path, mode_t mode), (path, mode))
DEFINE(void *, mmap, mmap, MAP_FAILED, (void *address, size_t nbytes, int prot, int flags, int fd, off_t offset),
       (address, nbytes, prot, flags, fd, offset))
DEFINE(void *, mmap64, mmap, MAP_FAILED, (void *address, size_t nbytes, int prot, int flags, int fd, off64_t offset),
       (address, nbytes, prot, flags, fd, offset))
DEFINE(FILE *, fopen, fopen, NULL, (const char *path, const char *mode), (path, mode))
DEFINE(FILE *, fopen64, fopen, NULL, (const char *path, const char *mode), (path, mode))
DEFINE(FILE *, fdopen, fopen, NULL, (int fd, const char *mode), (fd, mode))
DEFINE(int, fflush, fflush, EOF, (FILE * file), (file))

/* What fails to close is closed all the same. */

int close(int fd)
{
    static int (*_Atomic next)(int);
    int (*function)(int) = next;
    bool failing;
    int errnum;

    if (function == NULL) {
        find_next("close", &function);
        next = function;
    }
    failing = fails(CALL_close);
    errnum = errno;
    if (!failing)
        return function(fd);
    function(fd);
    errno = errnum;
    return -1;
}

int fclose(FILE *file)
{
    static int (*_Atomic next)(FILE *);
    int (*function)(FILE *) = next;
    bool failing;
    int errnum;

    if (function == NULL) {
        find_next("fclose", &function);
        next = function;
    }
    failing = fails(CALL_fclose);
    errnum = errno;
    if (!failing)
        return function(file);
    function(file);
    errno = errnum;
    return EOF;
}

/* open() has a third argument only when it creates. */

static bool has_mode(int flags)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

#define DEFINE_OPEN(name, first_params, first_args, next_params)                                                       \
    int name first_params;                                                                                             \
    int name first_params                                                                                              \
    {                                                                                                                  \
        static int(*_Atomic next) next_params;                                                                         \
        int(*function) next_params = next;                                                                             \
        mode_t mode = 0;                                                                                               \
                                                                                                                       \
        if (function == NULL) {                                                                                        \
            find_next(#name, &function);                                                                               \
            next = function;                                                                                           \
        }                                                                                                              \
        if (has_mode(flags)) {                                                                                         \
            va_list rest;                                                                                              \
                                                                                                                       \
            va_start(rest, flags);                                                                                     \
            mode = va_arg(rest, mode_t);                                                                               \
            va_end(rest);                                                                                              \
        }                                                                                                              \
        if (fails(CALL_open))                                                                                          \
            return -1;                                                                                                 \
        return function first_args;                                                                                    \
    }

DEFINE_OPEN(open, (const char *path, int flags, ...), (path, flags, mode), (const char *, int, ...))
DEFINE_OPEN(open64, (const char *path, int flags, ...), (path, flags, mode), (const char *, int, ...))
DEFINE_OPEN(openat, (int fd, const char *path, int flags, ...), (fd, path, flags, mode), (int, const char *, int, ...))
DEFINE_OPEN(openat64, (int fd, const char *path, int flags, ...), (fd, path, flags, mode),
            (int, const char *, int, ...))

/* ---------------------------------------------------------------------------------------------------- memory */

/* glibc's own names, because dlsym() itself allocates. */
void *__libc_malloc(size_t nbytes);
void *__libc_calloc(size_t n, size_t nbytes);
void *__libc_realloc(void *bytes, size_t nbytes);
void *__libc_memalign(size_t alignment, size_t nbytes);

void *malloc(size_t nbytes)
{
    return fails(CALL_malloc) ? NULL : __libc_malloc(nbytes);
}

void *calloc(size_t n, size_t nbytes)
{
    return fails(CALL_calloc) ? NULL : __libc_calloc(n, nbytes);
}

void *realloc(void *bytes, size_t nbytes)
{
    return fails(CALL_realloc) ? NULL : __libc_realloc(bytes, nbytes);
}

void *aligned_alloc(size_t alignment, size_t nbytes)
{
    return fails(CALL_memalign) ? NULL : __libc_memalign(alignment, nbytes);
}

int posix_memalign(void **bytes, size_t alignment, size_t nbytes)
{
    int errnum = errno;

    if (fails(CALL_memalign)) {
        errno = errnum;
        return settings.effect == EFFECT_ERRNO ? settings.number : ENOMEM;
    }
    *bytes = __libc_memalign(alignment, nbytes);
    return *bytes != NULL ? 0 : ENOMEM;
}

/* pthread_create() returns its error. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *argument)
{
    static int (*_Atomic next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    int (*function)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = next;

    if (function == NULL) {
        find_next("pthread_create", &function);
        next = function;
    }
    if (fails(CALL_pthread_create))
        return settings.number;
    return function(thread, attr, start, argument);
}
