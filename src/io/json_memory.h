/*
 * json_memory.h - whether JSON was lost to a lack of memory
 *
 * jansson reports each failed allocation, but json_dumps() leaves out keys that it has no memory for, and a tree is built
 * by dozens of calls. So its allocator remembers a failure, and whoever writes JSON asks once, at the end.
 */
#ifndef MXQ_JSON_MEMORY_H
#define MXQ_JSON_MEMORY_H

#include <stdbool.h>

/* To be called before any JSON is made, by a program with one thread so far. */
void mxq_watch_json_memory(void);

/* Whether an allocation of jansson's has failed since. Making JSON is for one thread. */
bool mxq_json_memory_failed(void);

#endif /* MXQ_JSON_MEMORY_H */
