/* json.c - printing JSON */
#include "cli/json.h"

#include "cli/msg.h"
#include "io/json_memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool mxq_print_json(const json_t *root)
{
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(2)) : NULL;
    const bool good = text != NULL && !mxq_json_memory_failed();

    if (good)
        puts(text);
    else
        mxq_print_error("cannot print JSON: %s", strerror(ENOMEM));
    free(text);
    return good;
}
