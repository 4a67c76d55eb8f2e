/*
 * fake_gpu.c - a GPU runtime without a GPU: libcuda.so.1 and libamdhip64.so for tests of the host side
 *
 * Built as a shared object under these names and found through LD_LIBRARY_PATH. A kernel is the scalar definition, run on
 * the task; the rest is stricter than a real runtime:
 *   - Nothing on a stream happens before somebody waits for it, so that a result that is read too early, or a buffer that is
 *     filled again too early, shows.
 *   - Addresses of the GPU cannot be touched by the host. New memory is full of rubbish on both sides.
 *   - Whatever a program must not do (memory that is not its own, another device's stream, a leftover) ends it, with a line.
 *
 * Environment:
 *   FAKE_GPU_COUNT   number of GPUs [1]
 *   FAKE_GPU_MEMORY  bytes of memory each has [1 GiB]
 *   FAKE_GPU_FAIL    CALL:N or CALL:N+: the Nth call fails, and with + all from it on. CALL is a name of the table below,
 *                    or "work": the Nth thing done on a stream fails, which the next wait tells, and nothing works any more
 *   FAKE_GPU_WRONG   N:ROW:BLOCK: in what the Nth launch on a GPU makes, the scale byte and the first code of that block are
 *                    wrong in each direction; past its ends, ROW and BLOCK begin at 0 again
 *   FAKE_GPU_LOG     a file that is written at the end: "CALL N" for each call, "failed N", "launches DEVICE N",
 *                    "peak DEVICE BYTES", "left N" for all that was not released, "signals N": calls that may start threads
 *                    and came while SIGINT or SIGTERM was not blocked
 */
#include "kernels/gpu_task.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define MAX_DEVICES 8
#define MAX_BLOCKS 4096
#define MAX_FUNCTIONS 256
#define MAX_STREAMS 256

enum {
    SUCCESS = 0,
    OUT_OF_MEMORY = 2,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    LAUNCH_FAILURE = 719,
    INJECTED = 999,
};

enum call {
    CALL_INIT,
    CALL_GET_COUNT,
    CALL_GET_DEVICE,
    CALL_GET_NAME,
    CALL_GET_ATTRIBUTE,
    CALL_GET_VERSION,
    CALL_GET_TOTAL,
    CALL_GET_MEMORY,
    CALL_USE,
    CALL_RETAIN,
    CALL_RELEASE,
    CALL_LOAD_MODULE,
    CALL_UNLOAD_MODULE,
    CALL_GET_FUNCTION,
    CALL_SET_ATTRIBUTE,
    CALL_LAUNCH,
    CALL_ALLOCATE,
    CALL_FREE,
    CALL_ALLOCATE_HOST,
    CALL_FREE_HOST,
    CALL_COPY_IN,
    CALL_COPY_OUT,
    CALL_COPY_WITHIN,
    CALL_FILL,
    CALL_CREATE_STREAM,
    CALL_WAIT_STREAM,
    CALL_DESTROY_STREAM,
    CALL_CREATE_EVENT,
    CALL_RECORD_EVENT,
    CALL_WAIT_EVENT,
    CALL_GET_MILLISECONDS,
    CALL_DESTROY_EVENT,
    CALL_PROPERTIES,
    CALL_WORK,
    NUM_CALLS
};

static const char *const call_names[NUM_CALLS] = {
    "init",          "get_count",    "get_device",       "get_name",
    "get_attribute", "get_version",  "get_total",        "get_memory",
    "use",           "retain",       "release",          "load_module",
    "unload_module", "get_function", "set_attribute",    "launch",
    "allocate",      "free",         "allocate_host",    "free_host",
    "copy_in",       "copy_out",     "copy_within",      "fill",
    "create_stream", "wait_stream",  "destroy_stream",   "create_event",
    "record_event",  "wait_event",   "get_milliseconds", "destroy_event",
    "properties",    "work",
};

/* Memory: what the program sees as its address, and what is really there. On the host the two are one. */
struct block {
    uint8_t *address;
    uint8_t *shadow;
    size_t nbytes;
    int device; /* -1: the host */
};

enum operation_kind {
    OPERATION_COPY,
    OPERATION_FILL,
    OPERATION_LAUNCH,
    OPERATION_EVENT,
};

struct event {
    bool recorded;
    bool done;
};

struct operation {
    struct operation *next;
    enum operation_kind kind;
    void *to;
    const void *from;
    size_t nbytes;
    unsigned char byte;
    struct event *event;
    struct mxq_gpu_task task;
};

struct stream {
    bool exists;
    int device;
    struct operation *first;
    struct operation **end;
};

struct function {
    char name[128];
    unsigned shared_limit;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int ndevices = 1;
static size_t memory_nbytes = (size_t)1 << 30;
static char fail_name[64];
static unsigned fail_at;
static bool fail_on;
static unsigned wrong_at; /* 0: nothing is wrong */
static unsigned wrong_row, wrong_block;
static unsigned ncalls[NUM_CALLS];
static unsigned nfailed;
static unsigned nsignals;
static unsigned nlaunches[MAX_DEVICES];
static size_t used[MAX_DEVICES];
static size_t peak[MAX_DEVICES];
static int nretained[MAX_DEVICES];
static unsigned nstreams, nevents, nmodules;
static struct block blocks[MAX_BLOCKS];
static size_t nblocks;
static struct function functions[MAX_FUNCTIONS];
static size_t nfunctions;
static struct stream streams[MAX_STREAMS]; /* not allocated: what is left behind is told by the log */
static int sticky;
static _Thread_local int current = -1;

__attribute__((noreturn, format(printf, 1, 2))) static void complain(const char *format, ...)
{
    va_list args;

    fputs("fake_gpu: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

static void configure(void)
{
    const char *text = getenv("FAKE_GPU_COUNT");
    char plus = 0;

    if (text != NULL)
        ndevices = atoi(text);
    text = getenv("FAKE_GPU_MEMORY");
    if (text != NULL)
        memory_nbytes = strtoull(text, NULL, 10);
    text = getenv("FAKE_GPU_FAIL");
    if (text != NULL && sscanf(text, "%63[^:]:%u%c", fail_name, &fail_at, &plus) < 2)
        complain("FAKE_GPU_FAIL: \"%s\" is not CALL:N", text);
    fail_on = plus == '+';
    text = getenv("FAKE_GPU_WRONG");
    if (text != NULL && sscanf(text, "%u:%u:%u", &wrong_at, &wrong_row, &wrong_block) != 3)
        complain("FAKE_GPU_WRONG: \"%s\" is not N:ROW:BLOCK", text);
}

__attribute__((destructor)) static void write_log(void)
{
    const char *path = getenv("FAKE_GPU_LOG");
    FILE *file = path != NULL ? fopen(path, "w") : NULL;
    size_t left = nstreams + nevents + nmodules;

    if (file == NULL)
        return;
    for (size_t i = 0; i < nblocks; i++)
        left += blocks[i].address != NULL;
    for (unsigned i = 0; i < NUM_CALLS; i++)
        fprintf(file, "%s %u\n", call_names[i], ncalls[i]);
    for (int i = 0; i < ndevices && i < MAX_DEVICES; i++) {
        fprintf(file, "launches %d %u\npeak %d %zu\n", i, nlaunches[i], i, peak[i]);
        left += (size_t)nretained[i];
    }
    fprintf(file, "failed %u\nleft %zu\nsignals %u\n", nfailed, left, nsignals);
    fclose(file);
}

/* Counts a call; whether it is one that fails. The lock is held. */
static bool is_failing(enum call call)
{
    ncalls[call]++;
    if (strcmp(fail_name, call_names[call]) != 0 || ncalls[call] < fail_at || (ncalls[call] > fail_at && !fail_on))
        return false;
    nfailed++;
    return true;
}

/* Begins a call: takes the lock. On an error, nothing more is to be done than to return through leave(). */
static int enter(enum call call)
{
    pthread_once(&once, configure);
    pthread_mutex_lock(&lock);
    if (is_failing(call))
        return call == CALL_ALLOCATE || call == CALL_ALLOCATE_HOST ? OUT_OF_MEMORY : INJECTED;
    return call > CALL_USE ? sticky : SUCCESS;
}

static int leave(int code)
{
    pthread_mutex_unlock(&lock);
    return code;
}

/* A real runtime starts threads here, which must not take the program's signals. */
static void note_signals(void)
{
    sigset_t set;

    pthread_sigmask(SIG_BLOCK, NULL, &set);
    nsignals += !sigismember(&set, SIGINT) || !sigismember(&set, SIGTERM);
}

static void check_current(const char *what)
{
    if (current < 0 || current >= ndevices)
        complain("%s without a device", what);
}

/* ---- memory */

static struct block *find_block(const void *address, size_t nbytes)
{
    const uint8_t *first = address;

    for (size_t i = 0; i < nblocks; i++)
        if (blocks[i].address != NULL && first >= blocks[i].address &&
            (size_t)(first - blocks[i].address) <= blocks[i].nbytes &&
            nbytes <= blocks[i].nbytes - (size_t)(first - blocks[i].address))
            return &blocks[i];
    return NULL;
}

/* Where bytes of a device are. */
static void *on_device(const void *address, size_t nbytes, int device, const char *what)
{
    const struct block *block = find_block(address, nbytes);

    if (block == NULL || block->device != device)
        complain("%s: %zu bytes at %p are not memory of device %d", what, nbytes, address, device);
    return block->shadow + ((const uint8_t *)address - block->address);
}

static uint8_t *map(size_t nbytes, int protection)
{
    void *bytes = mmap(NULL, nbytes != 0 ? nbytes : 1, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return bytes != MAP_FAILED ? bytes : NULL;
}

static int allocate(void **address, size_t nbytes, int device)
{
    struct block block = {NULL, NULL, nbytes, device};

    if (nbytes == 0)
        complain("an allocation of nothing");
    if (device >= 0 && nbytes > memory_nbytes - used[device])
        return OUT_OF_MEMORY;
    if (nblocks == MAX_BLOCKS)
        for (size_t i = nblocks = 0; i < MAX_BLOCKS; i++)
            if (blocks[i].address != NULL)
                blocks[nblocks++] = blocks[i];
    if (nblocks == MAX_BLOCKS)
        complain("too many blocks of memory");
    block.shadow = map(nbytes, PROT_READ | PROT_WRITE);
    block.address = device >= 0 ? map(nbytes, PROT_NONE) : block.shadow;
    if (block.shadow == NULL || block.address == NULL)
        complain("no memory");
    memset(block.shadow, device >= 0 ? 0xa5 : 0x5a, nbytes);
    blocks[nblocks++] = block;
    if (device >= 0) {
        used[device] += nbytes;
        if (used[device] > peak[device])
            peak[device] = used[device];
    }
    *address = block.address;
    return SUCCESS;
}

static void release(void *address, bool host)
{
    struct block *block = find_block(address, 1);

    if (block == NULL || block->address != (uint8_t *)address || (block->device < 0) != host)
        complain("%p was not allocated", address);
    if (block->device >= 0) {
        used[block->device] -= block->nbytes;
        munmap(block->address, block->nbytes);
    }
    munmap(block->shadow, block->nbytes);
    block->address = NULL;
}

static int call_allocate(void **address, size_t nbytes)
{
    int code = enter(CALL_ALLOCATE);

    check_current("an allocation");
    if (code == SUCCESS)
        code = allocate(address, nbytes, current);
    return leave(code);
}

static int call_allocate_host(void **address, size_t nbytes, unsigned flags)
{
    int code = enter(CALL_ALLOCATE_HOST);

    if (flags != 1)
        complain("host memory for one device only");
    if (code == SUCCESS)
        code = allocate(address, nbytes, -1);
    return leave(code);
}

/* What fails is released all the same: a program cannot do anything about it. */
static int call_free(void *address, bool host)
{
    const int code = enter(host ? CALL_FREE_HOST : CALL_FREE);

    release(address, host);
    return leave(code);
}

/* ---- streams */

static struct stream *check_stream(void *handle, const char *what)
{
    struct stream *stream = handle;

    if (stream == NULL)
        complain("%s on the default stream", what);
    if (stream->device != current)
        complain("%s on a stream of device %d while device %d is in use", what, stream->device, current);
    return stream;
}

static struct operation *append(struct stream *stream, enum operation_kind kind)
{
    struct operation *operation = calloc(1, sizeof(*operation));

    operation->kind = kind;
    *stream->end = operation;
    stream->end = &operation->next;
    return operation;
}

static uint64_t region_nbytes(const struct mxq_gpu_task *task, enum mxq_direction direction, bool scale)
{
    const struct mxq_target *target = &task->target[direction];
    const uint64_t rows = direction == MXQ_ROWWISE ? task->matrix.rows : task->matrix.cols;
    const uint64_t nelems = direction == MXQ_ROWWISE ? task->matrix.cols : task->matrix.rows;
    const uint64_t last = mxq_count_blocks(nelems) - 1;

    if (scale)
        return mxq_scale_offset(target->scale_layout, target->scale_pitch, rows - 1, last) + 1;
    return mxq_data_offset(target->data_layout, target->data_pitch, rows - 1, last) +
           mxq_unit_nbytes(target->data_layout, nelems, last);
}

/* One fault, in a place that a program under test has to name. */
static void spoil(const struct mxq_task *task)
{
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        const struct mxq_target *target = &task->target[d];
        const uint64_t rows = d == MXQ_ROWWISE ? task->matrix->rows : task->matrix->cols;
        const uint64_t nelems = d == MXQ_ROWWISE ? task->matrix->cols : task->matrix->rows;
        const uint64_t row = wrong_row % rows;
        const uint64_t block = wrong_block % mxq_count_blocks(nelems);
        if (!target->wanted)
            continue;
        target->scale[mxq_scale_offset(target->scale_layout, target->scale_pitch, row, block)] ^= 1;
        target->data[mxq_data_offset(target->data_layout, target->data_pitch, row, block)] ^= 1;
    }
}

static void run_kernel(const struct mxq_gpu_task *task, int device)
{
    const struct mxq_matrix *m = &task->matrix;
    struct mxq_matrix matrix = *m;
    struct mxq_task scalar = {.recipe = &task->recipe, .matrix = &matrix};
    uint32_t *flag = on_device(task->nonfinite, sizeof(*flag), device, "the flag of a kernel");

    matrix.data = on_device(m->data, ((m->rows - 1) * m->row_stride + m->cols) * (m->dtype == MXQ_F32 ? 4 : 2), device,
                            "the elements of a kernel");
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        struct mxq_target *target = &scalar.target[d];
        *target = task->target[d];
        if (!target->wanted)
            continue;
        target->data = on_device(target->data, region_nbytes(task, d, false), device, "the codes of a kernel");
        target->scale = on_device(target->scale, region_nbytes(task, d, true), device, "the scales of a kernel");
    }
    if (mxq_kernel_scalar.quantize_panel(&scalar))
        *flag = 1;
    if (nlaunches[device] == wrong_at)
        spoil(&scalar);
}

static void run_operation(const struct stream *stream, const struct operation *operation)
{
    const struct block *block;

    switch (operation->kind) {
    case OPERATION_COPY: {
        const void *from = operation->from;
        void *to = operation->to;
        if ((block = find_block(from, operation->nbytes)) != NULL && block->device >= 0)
            from = on_device(from, operation->nbytes, stream->device, "a copy");
        if ((block = find_block(to, operation->nbytes)) != NULL && block->device >= 0)
            to = on_device(to, operation->nbytes, stream->device, "a copy");
        memcpy(to, from, operation->nbytes);
        break;
    }
    case OPERATION_FILL:
        memset(on_device(operation->to, operation->nbytes, stream->device, "a fill"), operation->byte,
               operation->nbytes);
        break;
    case OPERATION_LAUNCH:
        nlaunches[stream->device]++;
        run_kernel(&operation->task, stream->device);
        break;
    default: /* OPERATION_EVENT */
        operation->event->done = true;
        break;
    }
}

/* Does what is on a stream. After a failure nothing is done any more, by any stream. */
static int drain(struct stream *stream)
{
    while (stream->first != NULL) {
        struct operation *operation = stream->first;
        stream->first = operation->next;
        if (is_failing(CALL_WORK))
            sticky = LAUNCH_FAILURE;
        if (sticky == SUCCESS)
            run_operation(stream, operation);
        free(operation);
    }
    stream->end = &stream->first;
    return sticky;
}

static int call_create_stream(void **handle, unsigned flags)
{
    int code = enter(CALL_CREATE_STREAM);
    struct stream *stream;

    note_signals();
    check_current("a stream");
    if (flags != 1)
        complain("a stream that waits for the default one");
    if (code != SUCCESS)
        return leave(code);
    for (stream = streams; stream->exists; stream++)
        if (stream == &streams[MAX_STREAMS - 1])
            complain("too many streams");
    stream->exists = true;
    stream->device = current;
    stream->end = &stream->first;
    nstreams++;
    *handle = stream;
    return leave(SUCCESS);
}

static int call_wait_stream(void *handle)
{
    int code = enter(CALL_WAIT_STREAM);

    if (code == SUCCESS)
        code = drain(check_stream(handle, "a wait"));
    return leave(code);
}

static int call_destroy_stream(void *handle)
{
    const int code = enter(CALL_DESTROY_STREAM);
    struct stream *stream = check_stream(handle, "the end");

    if (stream->first != NULL && sticky == SUCCESS && nfailed == 0)
        complain("a stream is destroyed with work on it");
    for (struct operation *next; stream->first != NULL; stream->first = next) {
        next = stream->first->next;
        free(stream->first);
    }
    stream->exists = false;
    nstreams--;
    return leave(code);
}

static int call_copy(enum call call, void *to, const void *from, size_t nbytes, void *handle)
{
    int code = enter(call);
    struct stream *stream = check_stream(handle, "a copy");
    struct operation *operation;

    if (call != CALL_COPY_OUT)
        on_device(to, nbytes, current, "a copy to the device");
    if (call != CALL_COPY_IN)
        on_device(from, nbytes, current, "a copy from the device");
    if (code != SUCCESS)
        return leave(code);
    operation = append(stream, OPERATION_COPY);
    operation->to = to;
    operation->from = from;
    operation->nbytes = nbytes;
    return leave(SUCCESS);
}

static int call_fill(void *to, unsigned char byte, size_t nbytes, void *handle)
{
    int code = enter(CALL_FILL);
    struct stream *stream = check_stream(handle, "a fill");
    struct operation *operation;

    on_device(to, nbytes, current, "a fill");
    if (code != SUCCESS)
        return leave(code);
    operation = append(stream, OPERATION_FILL);
    operation->to = to;
    operation->byte = byte;
    operation->nbytes = nbytes;
    return leave(SUCCESS);
}

/* ---- events */

static int call_create_event(void **handle, unsigned flags)
{
    const int code = enter(CALL_CREATE_EVENT);

    if (flags != 0)
        complain("an event with flags %u", flags);
    if (code == SUCCESS) {
        *handle = calloc(1, sizeof(struct event));
        nevents++;
    }
    return leave(code);
}

static int call_record_event(void *handle, void *stream)
{
    const int code = enter(CALL_RECORD_EVENT);
    struct event *event = handle;

    if (code == SUCCESS) {
        event->recorded = true;
        event->done = false;
        append(check_stream(stream, "an event"), OPERATION_EVENT)->event = event;
    }
    return leave(code);
}

/* There is one stream with events at a time; but which one is not known here, so the caller waited for it. */
static int call_wait_event(void *handle, struct stream *stream)
{
    int code = enter(CALL_WAIT_EVENT);
    const struct event *event = handle;

    if (code == SUCCESS && stream != NULL)
        code = drain(stream);
    if (code == SUCCESS && (!event->recorded || !event->done))
        complain("a wait for an event that never comes");
    return leave(code);
}

static int call_get_milliseconds(float *milliseconds, void *start, void *end)
{
    const int code = enter(CALL_GET_MILLISECONDS);

    if (code == SUCCESS && (!((struct event *)start)->done || !((struct event *)end)->done))
        complain("the time of an event that was not waited for");
    *milliseconds = 6.0f;
    return leave(code);
}

static int call_destroy_event(void *handle)
{
    const int code = enter(CALL_DESTROY_EVENT);

    free(handle);
    nevents--;
    return leave(code);
}

/* ---- devices and modules */

static int call_init(unsigned flags)
{
    int code = enter(CALL_INIT);

    note_signals();
    if (code == SUCCESS && (flags != 0 || ndevices == 0))
        code = NO_DEVICE;
    return leave(code);
}

static int call_get_count(int *count)
{
    const int code = enter(CALL_GET_COUNT);

    if (code == SUCCESS)
        *count = ndevices;
    return leave(code);
}

static int call_get_device(int *device, int index)
{
    int code = enter(CALL_GET_DEVICE);

    if (code == SUCCESS && (index < 0 || index >= ndevices))
        code = INVALID_DEVICE;
    *device = index;
    return leave(code);
}

static int call_get_name(char *name, int nbytes, int device)
{
    const int code = enter(CALL_GET_NAME);

    if (code == SUCCESS)
        snprintf(name, (size_t)nbytes, "Fake GPU %c", 'A' + device);
    return leave(code);
}

static int call_get_attribute(int *value, int attribute, int device, bool cuda)
{
    const int code = enter(CALL_GET_ATTRIBUTE);

    (void)device;
    if (code != SUCCESS)
        return leave(code);
    if (attribute == (cuda ? 16 : 63))
        *value = 4;
    else if (cuda && attribute == 75)
        *value = 9;
    else if (cuda && attribute == 76)
        *value = 0;
    else
        complain("an unknown attribute, %d", attribute);
    return leave(SUCCESS);
}

static int call_get_version(int *version, int value)
{
    const int code = enter(CALL_GET_VERSION);

    if (code == SUCCESS)
        *version = value;
    return leave(code);
}

static int call_get_total(size_t *nbytes, int device)
{
    const int code = enter(CALL_GET_TOTAL);

    (void)device;
    if (code == SUCCESS)
        *nbytes = memory_nbytes;
    return leave(code);
}

static int call_get_memory(size_t *free_nbytes, size_t *total_nbytes)
{
    const int code = enter(CALL_GET_MEMORY);

    check_current("a question about memory");
    if (code == SUCCESS) {
        *free_nbytes = memory_nbytes - used[current];
        *total_nbytes = memory_nbytes;
    }
    return leave(code);
}

static int call_use(int device)
{
    const int code = enter(CALL_USE);

    if (code == SUCCESS)
        current = device;
    return leave(code);
}

static int call_load_module(void **module, const void *image)
{
    static const char wanted[] = "no device code, but a test";
    const int code = enter(CALL_LOAD_MODULE);

    note_signals();
    check_current("a module");
    if (strncmp(image, wanted, sizeof(wanted) - 1) != 0)
        complain("the module is not the one of the tests");
    if (code == SUCCESS) {
        *module = &nmodules;
        nmodules++;
    }
    return leave(code);
}

static int call_unload_module(const void *module)
{
    const int code = enter(CALL_UNLOAD_MODULE);

    if (module != &nmodules)
        complain("a module that was not loaded");
    nmodules--;
    return leave(code);
}

static int call_get_function(void **function, const void *module, const char *name)
{
    const int code = enter(CALL_GET_FUNCTION);
    size_t i;

    if (module == NULL || name == NULL || name[0] == '\0' || strlen(name) >= sizeof(functions[0].name))
        complain("a function without a name");
    if (code != SUCCESS)
        return leave(code);
    for (i = 0; i < nfunctions && strcmp(functions[i].name, name) != 0; i++)
        ;
    if (i == nfunctions) {
        if (nfunctions == MAX_FUNCTIONS)
            complain("too many functions");
        snprintf(functions[nfunctions].name, sizeof(functions[nfunctions].name), "%s", name);
        functions[nfunctions++].shared_limit = 48 << 10;
    }
    *function = &functions[i];
    return leave(SUCCESS);
}

__attribute__((unused)) static int call_set_attribute(void *handle, int attribute, int value)
{
    const int code = enter(CALL_SET_ATTRIBUTE);
    struct function *function = handle;

    if (attribute != 8)
        complain("an unknown attribute of a function, %d", attribute);
    if (code == SUCCESS)
        function->shared_limit = (unsigned)value;
    return leave(code);
}

static int call_launch(const void *handle, const unsigned size[6], unsigned shared, void *stream_handle,
                       void **arguments, void **extra)
{
    const int code = enter(CALL_LAUNCH);
    const struct function *function = handle;
    struct stream *stream = check_stream(stream_handle, "a launch");

    for (unsigned i = 0; i < 6; i++)
        if (size[i] == 0)
            complain("a launch of nothing");
    if ((uint64_t)size[3] * size[4] * size[5] > 1024 || size[1] > 65535 || size[2] > 65535 || extra != NULL)
        complain("a launch of %u x %u x %u threads", size[3], size[4], size[5]);
    if (shared > function->shared_limit)
        complain("%s: %u bytes of shared memory", function->name, shared);
    if (code == SUCCESS)
        memcpy(&append(stream, OPERATION_LAUNCH)->task, arguments[0], sizeof(struct mxq_gpu_task));
    return leave(code);
}

static const char *describe(int code)
{
    switch (code) {
    case OUT_OF_MEMORY:
        return "out of memory";
    case NO_DEVICE:
        return "no device";
    case LAUNCH_FAILURE:
        return "launch failure";
    default:
        return "injected failure";
    }
}

/* The stream that an event was last recorded on; enough for a program that has one of them. */
static struct stream *event_stream;

#ifdef FAKE_CUDA

typedef unsigned long long address_t;

#define TO_POINTER(address) ((void *)(uintptr_t)(address))

EXPORT int cuInit(unsigned flags);
EXPORT int cuDeviceGetCount(int *count);
EXPORT int cuDeviceGet(int *device, int index);
EXPORT int cuDeviceGetName(char *name, int nbytes, int device);
EXPORT int cuDeviceGetAttribute(int *value, int attribute, int device);
EXPORT int cuDriverGetVersion(int *version);
EXPORT int cuDeviceTotalMem_v2(size_t *nbytes, int device);
EXPORT int cuMemGetInfo_v2(size_t *free_nbytes, size_t *total_nbytes);
EXPORT int cuDevicePrimaryCtxRetain(void **context, int device);
EXPORT int cuDevicePrimaryCtxRelease_v2(int device);
EXPORT int cuCtxSetCurrent(void *context);
EXPORT int cuModuleLoadData(void **module, const void *image);
EXPORT int cuModuleUnload(void *module);
EXPORT int cuModuleGetFunction(void **function, void *module, const char *name);
EXPORT int cuFuncSetAttribute(void *function, int attribute, int value);
EXPORT int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                          unsigned shared, void *stream, void **arguments, void **extra);
EXPORT int cuMemAlloc_v2(address_t *address, size_t nbytes);
EXPORT int cuMemFree_v2(address_t address);
EXPORT int cuMemHostAlloc(void **address, size_t nbytes, unsigned flags);
EXPORT int cuMemFreeHost(void *address);
EXPORT int cuMemcpyHtoDAsync_v2(address_t to, const void *from, size_t nbytes, void *stream);
EXPORT int cuMemcpyDtoHAsync_v2(void *to, address_t from, size_t nbytes, void *stream);
EXPORT int cuMemcpyDtoDAsync_v2(address_t to, address_t from, size_t nbytes, void *stream);
EXPORT int cuMemsetD8Async(address_t to, unsigned char byte, size_t nbytes, void *stream);
EXPORT int cuStreamCreate(void **stream, unsigned flags);
EXPORT int cuStreamSynchronize(void *stream);
EXPORT int cuStreamDestroy_v2(void *stream);
EXPORT int cuEventCreate(void **event, unsigned flags);
EXPORT int cuEventRecord(void *event, void *stream);
EXPORT int cuEventSynchronize(void *event);
EXPORT int cuEventElapsedTime(float *milliseconds, void *start, void *end);
EXPORT int cuEventDestroy_v2(void *event);
EXPORT int cuGetErrorString(int code, const char **text);

/* A context is the address of its device's place here. */
static int contexts[MAX_DEVICES];

int cuInit(unsigned flags)
{
    return call_init(flags);
}

int cuDeviceGetCount(int *count)
{
    return call_get_count(count);
}

int cuDeviceGet(int *device, int index)
{
    return call_get_device(device, index);
}

int cuDeviceGetName(char *name, int nbytes, int device)
{
    return call_get_name(name, nbytes, device);
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    return call_get_attribute(value, attribute, device, true);
}

int cuDriverGetVersion(int *version)
{
    return call_get_version(version, 12040);
}

int cuDeviceTotalMem_v2(size_t *nbytes, int device)
{
    return call_get_total(nbytes, device);
}

int cuMemGetInfo_v2(size_t *free_nbytes, size_t *total_nbytes)
{
    return call_get_memory(free_nbytes, total_nbytes);
}

int cuDevicePrimaryCtxRetain(void **context, int device)
{
    const int code = enter(CALL_RETAIN);

    note_signals();
    if (code == SUCCESS) {
        nretained[device]++;
        *context = &contexts[device];
    }
    return leave(code);
}

int cuDevicePrimaryCtxRelease_v2(int device)
{
    const int code = enter(CALL_RELEASE);

    if (--nretained[device] < 0)
        complain("a context is released twice");
    return leave(code);
}

int cuCtxSetCurrent(void *context)
{
    if (context == NULL) {
        current = -1;
        return SUCCESS;
    }
    if (nretained[(int *)context - contexts] == 0)
        complain("a context that was not retained");
    return call_use((int)((int *)context - contexts));
}

int cuModuleLoadData(void **module, const void *image)
{
    return call_load_module(module, image);
}

int cuModuleUnload(void *module)
{
    return call_unload_module(module);
}

int cuModuleGetFunction(void **function, void *module, const char *name)
{
    return call_get_function(function, module, name);
}

int cuFuncSetAttribute(void *function, int attribute, int value)
{
    return call_set_attribute(function, attribute, value);
}

int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **arguments, void **extra)
{
    return call_launch(function, (const unsigned[6]){gx, gy, gz, bx, by, bz}, shared, stream, arguments, extra);
}

int cuMemAlloc_v2(address_t *address, size_t nbytes)
{
    void *pointer = NULL;
    const int code = call_allocate(&pointer, nbytes);

    if (code == SUCCESS)
        *address = (uintptr_t)pointer;
    return code;
}

int cuMemFree_v2(address_t address)
{
    return call_free(TO_POINTER(address), false);
}

int cuMemHostAlloc(void **address, size_t nbytes, unsigned flags)
{
    return call_allocate_host(address, nbytes, flags);
}

int cuMemFreeHost(void *address)
{
    return call_free(address, true);
}

int cuMemcpyHtoDAsync_v2(address_t to, const void *from, size_t nbytes, void *stream)
{
    return call_copy(CALL_COPY_IN, TO_POINTER(to), from, nbytes, stream);
}

int cuMemcpyDtoHAsync_v2(void *to, address_t from, size_t nbytes, void *stream)
{
    return call_copy(CALL_COPY_OUT, to, TO_POINTER(from), nbytes, stream);
}

int cuMemcpyDtoDAsync_v2(address_t to, address_t from, size_t nbytes, void *stream)
{
    return call_copy(CALL_COPY_WITHIN, TO_POINTER(to), TO_POINTER(from), nbytes, stream);
}

int cuMemsetD8Async(address_t to, unsigned char byte, size_t nbytes, void *stream)
{
    return call_fill(TO_POINTER(to), byte, nbytes, stream);
}

int cuStreamCreate(void **stream, unsigned flags)
{
    return call_create_stream(stream, flags);
}

int cuStreamSynchronize(void *stream)
{
    return call_wait_stream(stream);
}

int cuStreamDestroy_v2(void *stream)
{
    return call_destroy_stream(stream);
}

int cuEventCreate(void **event, unsigned flags)
{
    return call_create_event(event, flags);
}

int cuEventRecord(void *event, void *stream)
{
    event_stream = stream;
    return call_record_event(event, stream);
}

int cuEventSynchronize(void *event)
{
    return call_wait_event(event, event_stream);
}

int cuEventElapsedTime(float *milliseconds, void *start, void *end)
{
    return call_get_milliseconds(milliseconds, start, end);
}

int cuEventDestroy_v2(void *event)
{
    return call_destroy_event(event);
}

int cuGetErrorString(int code, const char **text)
{
    *text = describe(code);
    return SUCCESS;
}

#else /* HIP */

EXPORT int hipInit(unsigned flags);
EXPORT int hipGetDeviceCount(int *count);
EXPORT int hipDeviceGet(int *device, int index);
EXPORT int hipDeviceGetName(char *name, int nbytes, int device);
EXPORT int hipDeviceGetAttribute(int *value, int attribute, int device);
EXPORT int hipRuntimeGetVersion(int *version);
EXPORT int hipDeviceTotalMem(size_t *nbytes, int device);
EXPORT int hipMemGetInfo(size_t *free_nbytes, size_t *total_nbytes);
EXPORT int hipSetDevice(int device);
EXPORT int hipModuleLoadData(void **module, const void *image);
EXPORT int hipModuleUnload(void *module);
EXPORT int hipModuleGetFunction(void **function, void *module, const char *name);
EXPORT int hipModuleLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                                 unsigned bz, unsigned shared, void *stream, void **arguments, void **extra);
EXPORT int hipMalloc(void **address, size_t nbytes);
EXPORT int hipFree(void *address);
EXPORT int hipHostMalloc(void **address, size_t nbytes, unsigned flags);
EXPORT int hipHostFree(void *address);
EXPORT int hipMemcpyHtoDAsync(void *to, const void *from, size_t nbytes, void *stream);
EXPORT int hipMemcpyDtoHAsync(void *to, void *from, size_t nbytes, void *stream);
EXPORT int hipMemcpyDtoDAsync(void *to, void *from, size_t nbytes, void *stream);
EXPORT int hipMemsetD8Async(void *to, unsigned char byte, size_t nbytes, void *stream);
EXPORT int hipStreamCreateWithFlags(void **stream, unsigned flags);
EXPORT int hipStreamSynchronize(void *stream);
EXPORT int hipStreamDestroy(void *stream);
EXPORT int hipEventCreateWithFlags(void **event, unsigned flags);
EXPORT int hipEventRecord(void *event, void *stream);
EXPORT int hipEventSynchronize(void *event);
EXPORT int hipEventElapsedTime(float *milliseconds, void *start, void *end);
EXPORT int hipEventDestroy(void *event);
EXPORT const char *hipGetErrorString(int code);
EXPORT int hipGetDeviceProperties(void *properties, int device);
EXPORT int hipGetDevicePropertiesR0600(void *properties, int device);

int hipInit(unsigned flags)
{
    return call_init(flags);
}

int hipGetDeviceCount(int *count)
{
    return call_get_count(count);
}

int hipDeviceGet(int *device, int index)
{
    return call_get_device(device, index);
}

int hipDeviceGetName(char *name, int nbytes, int device)
{
    return call_get_name(name, nbytes, device);
}

int hipDeviceGetAttribute(int *value, int attribute, int device)
{
    return call_get_attribute(value, attribute, device, false);
}

int hipRuntimeGetVersion(int *version)
{
    return call_get_version(version, 60241133);
}

int hipDeviceTotalMem(size_t *nbytes, int device)
{
    return call_get_total(nbytes, device);
}

int hipMemGetInfo(size_t *free_nbytes, size_t *total_nbytes)
{
    return call_get_memory(free_nbytes, total_nbytes);
}

int hipSetDevice(int device)
{
    return call_use(device);
}

int hipModuleLoadData(void **module, const void *image)
{
    return call_load_module(module, image);
}

int hipModuleUnload(void *module)
{
    return call_unload_module(module);
}

int hipModuleGetFunction(void **function, void *module, const char *name)
{
    return call_get_function(function, module, name);
}

int hipModuleLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                          unsigned shared, void *stream, void **arguments, void **extra)
{
    ((struct function *)function)->shared_limit = 64 << 10;
    return call_launch(function, (const unsigned[6]){gx, gy, gz, bx, by, bz}, shared, stream, arguments, extra);
}

int hipMalloc(void **address, size_t nbytes)
{
    return call_allocate(address, nbytes);
}

int hipFree(void *address)
{
    return call_free(address, false);
}

int hipHostMalloc(void **address, size_t nbytes, unsigned flags)
{
    return call_allocate_host(address, nbytes, flags);
}

int hipHostFree(void *address)
{
    return call_free(address, true);
}

int hipMemcpyHtoDAsync(void *to, const void *from, size_t nbytes, void *stream)
{
    return call_copy(CALL_COPY_IN, to, from, nbytes, stream);
}

int hipMemcpyDtoHAsync(void *to, void *from, size_t nbytes, void *stream)
{
    return call_copy(CALL_COPY_OUT, to, from, nbytes, stream);
}

int hipMemcpyDtoDAsync(void *to, void *from, size_t nbytes, void *stream)
{
    return call_copy(CALL_COPY_WITHIN, to, from, nbytes, stream);
}

int hipMemsetD8Async(void *to, unsigned char byte, size_t nbytes, void *stream)
{
    return call_fill(to, byte, nbytes, stream);
}

int hipStreamCreateWithFlags(void **stream, unsigned flags)
{
    return call_create_stream(stream, flags);
}

int hipStreamSynchronize(void *stream)
{
    return call_wait_stream(stream);
}

int hipStreamDestroy(void *stream)
{
    return call_destroy_stream(stream);
}

int hipEventCreateWithFlags(void **event, unsigned flags)
{
    return call_create_event(event, flags);
}

int hipEventRecord(void *event, void *stream)
{
    event_stream = stream;
    return call_record_event(event, stream);
}

int hipEventSynchronize(void *event)
{
    return call_wait_event(event, event_stream);
}

int hipEventElapsedTime(float *milliseconds, void *start, void *end)
{
    return call_get_milliseconds(milliseconds, start, end);
}

int hipEventDestroy(void *event)
{
    return call_destroy_event(event);
}

const char *hipGetErrorString(int code)
{
    return describe(code);
}

/* The structs of ROCm 5 and 6, of which only the place of one name matters. */
static int call_properties(char *properties, size_t offset, const char *arch)
{
    const int code = enter(CALL_PROPERTIES);

    if (code == SUCCESS)
        snprintf(properties + offset, 256, "%s", arch);
    return leave(code);
}

int hipGetDeviceProperties(void *properties, int device)
{
    (void)device;
    return call_properties(properties, 396, "gfx90a:sramecc+:xnack-");
}

#ifndef FAKE_ROCM5
int hipGetDevicePropertiesR0600(void *properties, int device)
{
    (void)device;
    return call_properties(properties, 1160, "gfx950:sramecc+:xnack-");
}
#endif

#endif /* FAKE_CUDA */
