/* device_option.c - the value of --device */
#include "cli/device_option.h"

#include "cli/options.h"

#include <stdlib.h>
#include <string.h>

/*
 * From file to file, a GPU was faster than few CPUs only: its runtime takes 0.3 seconds to start and end, and then files
 * are read and written no faster than by CPUs that compute meanwhile. On an H200 and 16 CPUs with AVX-512, with files in
 * memory, it took 0.4 s + 0.19 s/GiB, and CPUs 0.69 s/GiB with one thread, half of that with two, and 0.24 s/GiB or less
 * with four or more.
 */
#define MOST_THREADS 2
#define ONE_THREAD_NBYTES ((uint64_t)1 << 30)

enum {
    WORD_AUTO,
    WORD_CPU,
    WORD_GPU,
    WORD_NUMBER,
    WORD_ALL
};

static const char *device_word(unsigned value)
{
    static const char *const words[] = {"auto", "cpu", "gpu", "gpu:N", "gpu:all", NULL};

    return words[value];
}

/* "gpu:12"; only digits, and not too many of them. */
static bool parse_number(const char *text, unsigned *index)
{
    const char *digits = text + strlen("gpu:");
    const size_t length = strncmp(text, "gpu:", strlen("gpu:")) == 0 ? strlen(digits) : 0;

    if (length == 0 || length > 4 || strspn(digits, "0123456789") != length)
        return false;
    *index = (unsigned)strtoul(digits, NULL, 10);
    return true;
}

void mxq_init_device_request(struct mxq_device_request *request)
{
    memset(request, 0, sizeof(*request));
    request->kind = MXQ_DEVICE_AUTO;
}

bool mxq_parse_device(const char *text, struct mxq_device_request *request)
{
    unsigned word = WORD_NUMBER;

    request->index = 0;
    if (!parse_number(text, &request->index)) {
        /* The N of gpu:N is to be a number. */
        const char *asked = strcmp(text, device_word(WORD_NUMBER)) == 0 ? "gpu:" : text;
        if (!mxq_parse_word("--device", asked, device_word, &word))
            return false;
    }
    request->kind = word == WORD_AUTO ? MXQ_DEVICE_AUTO : word == WORD_CPU ? MXQ_DEVICE_CPU : MXQ_DEVICE_GPU;
    request->all = word == WORD_ALL;
    return true;
}

bool mxq_complete_device_request(struct mxq_device_request *request)
{
    const char *text = getenv("MXFP4Q_GPU_NBYTES");

    if (request->kind != MXQ_DEVICE_AUTO || text == NULL || *text == '\0')
        return true;
    return request->has_min_nbytes = mxq_parse_u64("MXFP4Q_GPU_NBYTES", text, INT64_MAX, &request->min_nbytes);
}

bool mxq_device_wants_gpu(const struct mxq_device_request *request, uint64_t nbytes, unsigned nthreads)
{
    if (request->kind != MXQ_DEVICE_AUTO)
        return request->kind == MXQ_DEVICE_GPU;
    if (request->has_min_nbytes)
        return nbytes >= request->min_nbytes;
    return nthreads <= MOST_THREADS && nbytes >= ONE_THREAD_NBYTES * nthreads * nthreads;
}
