/* gpu_runtime.c - finding a GPU runtime and its functions in the files of this machine */
#include "kernels/gpu_runtime.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct mxq_gpu_runtime table;
static bool loaded;
static struct mxq_gpu_error reason;

const char *mxq_describe_gpu_code(const struct mxq_gpu_runtime *runtime, int code)
{
    const char *text = NULL;

    if (runtime->get_error_text != NULL)
        text = runtime->get_error_text(code);
    else if (runtime->find_error_text(code, &text) != 0)
        text = NULL;
    return text != NULL ? text : "unknown error";
}

/* A library that is not there is no news; one that cannot be loaded is. */
static void note_failure(const char *name)
{
    const char *text = dlerror();

    if (text != NULL && strncmp(text, name, strlen(name)) != 0)
        snprintf(reason.text, sizeof(reason.text), "no GPU runtime: %s", text);
}

/* A GPU runtime keeps threads and handlers of its own, so it is never unloaded. */
static void *open_library(void)
{
    void *library = NULL;

    snprintf(reason.text, sizeof(reason.text), "no GPU runtime: %s is not there", mxq_gpu_binding.library);
    for (size_t i = 0; library == NULL && mxq_gpu_binding.libraries[i] != NULL; i++) {
        library = dlopen(mxq_gpu_binding.libraries[i], RTLD_NOW | RTLD_LOCAL);
        if (library == NULL)
            note_failure(mxq_gpu_binding.libraries[i]);
    }
    return library;
}

/* A pointer to a function has the size of a pointer to data wherever there is dlsym(). */
static bool find_symbols(void *library)
{
    for (size_t i = 0; i < mxq_gpu_binding.nsymbols; i++) {
        const struct mxq_gpu_symbol *symbol = &mxq_gpu_binding.symbols[i];
        void *address = dlsym(library, symbol->name);
        if (address == NULL && !symbol->optional) {
            snprintf(reason.text, sizeof(reason.text), "the GPU runtime has no function %s", symbol->name);
            return false;
        }
        memcpy((uint8_t *)&table + symbol->offset, &address, sizeof(address));
    }
    return true;
}

static void load(void)
{
    void *library = open_library();
    int code;

    if (library == NULL || !find_symbols(library))
        return;
    code = table.init(0);
    loaded = code == 0;
    if (!loaded)
        snprintf(reason.text, sizeof(reason.text), "no GPU: %s", mxq_describe_gpu_code(&table, code));
}

const struct mxq_gpu_runtime *mxq_load_gpu_runtime(struct mxq_gpu_error *error)
{
    pthread_once(&once, load);
    if (loaded)
        return &table;
    *error = reason;
    return NULL;
}
