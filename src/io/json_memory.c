/* json_memory.c - an allocator for jansson that remembers its failures */
#include "io/json_memory.h"

#include <jansson.h>
#include <stdlib.h>

static bool failed;

static void *allocate(size_t nbytes)
{
    void *memory = malloc(nbytes);

    if (memory == NULL)
        failed = true;
    return memory;
}

void mxq_watch_json_memory(void)
{
    json_set_alloc_funcs(allocate, free);
}

bool mxq_json_memory_failed(void)
{
    return failed;
}
