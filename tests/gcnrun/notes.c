/* notes.c - the metadata of a code object: MessagePack, of which the names and arguments of the kernels are wanted */
#include "gcnrun/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    struct object *object;
    bool damaged;
};

enum value_type {
    VALUE_INTEGER,
    VALUE_STRING,
    VALUE_MAP,
    VALUE_ARRAY,
    VALUE_OTHER,
};

struct value {
    enum value_type type;
    uint64_t integer; /* or the number of entries */
    const char *string;
    size_t length;
};

static uint64_t take(struct reader *r, unsigned nbytes)
{
    uint64_t value = 0;

    if ((size_t)(r->end - r->at) < nbytes) {
        r->damaged = true;
        r->at = r->end;
        return 0;
    }
    for (unsigned i = 0; i < nbytes; i++)
        value = value << 8 | *r->at++;
    return value;
}

static struct value take_string(struct reader *r, uint64_t length)
{
    struct value v = {VALUE_STRING, 0, (const char *)r->at, length};

    if (length > (size_t)(r->end - r->at)) {
        r->damaged = true;
        v.length = 0;
    }
    r->at += v.length;
    return v;
}

/* The types of MessagePack's specification that metadata has; floats and binaries are not among them. */
static struct value take_value(struct reader *r)
{
    const unsigned tag = (unsigned)take(r, 1);
    struct value v = {VALUE_INTEGER, tag, NULL, 0};

    if (tag < 0x80)
        return v;
    if (tag < 0x90 || tag == 0xde || tag == 0xdf)
        v.type = VALUE_MAP;
    else if (tag < 0xa0 || tag == 0xdc || tag == 0xdd)
        v.type = VALUE_ARRAY;
    else if (tag < 0xc0)
        return take_string(r, tag & 31);
    if (v.type != VALUE_INTEGER)
        v.integer = tag < 0xa0 ? (tag & 15) : take(r, tag % 2 == 0 ? 2 : 4);
    else if (tag >= 0xd9 && tag <= 0xdb)
        return take_string(r, take(r, 1u << (tag - 0xd9)));
    else if (tag >= 0xcc && tag <= 0xd3)
        v.integer = take(r, 1u << (tag & 3));
    else
        v.type = VALUE_OTHER; /* nil, false, true, small negative numbers */
    return v;
}

static bool is_key(const struct value *v, const char *name)
{
    return v->type == VALUE_STRING && v->length == strlen(name) && memcmp(v->string, name, v->length) == 0;
}

static void skip_value(struct reader *r)
{
    const struct value v = take_value(r);
    const uint64_t n = v.type == VALUE_MAP ? 2 * v.integer : v.type == VALUE_ARRAY ? v.integer : 0;

    for (uint64_t i = 0; i < n && !r->damaged; i++)
        skip_value(r);
}

static void copy_string(char *text, size_t nbytes, const struct value *v)
{
    snprintf(text, nbytes, "%.*s", (int)v->length, v->type == VALUE_STRING ? v->string : "");
}

static void read_argument(struct reader *r, struct argument *argument)
{
    const struct value map = take_value(r);

    for (uint64_t i = 0; i < map.integer && !r->damaged; i++) {
        const struct value key = take_value(r);
        if (is_key(&key, ".offset")) {
            argument->offset = (uint32_t)take_value(r).integer;
        } else if (is_key(&key, ".size")) {
            argument->nbytes = (uint32_t)take_value(r).integer;
        } else if (is_key(&key, ".value_kind")) {
            const struct value kind = take_value(r);
            copy_string(argument->kind, sizeof(argument->kind), &kind);
        } else {
            skip_value(r);
        }
    }
}

static void read_arguments(struct reader *r, struct kernel *kernel)
{
    const struct value array = take_value(r);

    for (uint64_t i = 0; i < array.integer && !r->damaged; i++) {
        struct argument argument = {"", 0, 0};
        read_argument(r, &argument);
        if (kernel->narguments < MAX_ARGUMENTS)
            kernel->argument[kernel->narguments++] = argument;
        if (strncmp(argument.kind, "hidden_", 7) != 0 && argument.offset + argument.nbytes > kernel->args_nbytes)
            kernel->args_nbytes = argument.offset + argument.nbytes;
    }
}

static void read_kernel(struct reader *r, struct kernel *kernel)
{
    const struct value map = take_value(r);

    for (uint64_t i = 0; i < map.integer && !r->damaged; i++) {
        const struct value key = take_value(r);
        if (is_key(&key, ".name")) {
            const struct value name = take_value(r);
            copy_string(kernel->name, sizeof(kernel->name), &name);
        } else if (is_key(&key, ".args")) {
            read_arguments(r, kernel);
        } else if (is_key(&key, ".vgpr_count") || is_key(&key, ".sgpr_count")) {
            *(key.string[1] == 'v' ? &kernel->nvgprs : &kernel->nsgprs) = (uint32_t)take_value(r).integer;
        } else {
            skip_value(r);
        }
    }
}

static void read_kernels(struct reader *r)
{
    const struct value array = take_value(r);

    if (array.type != VALUE_ARRAY || array.integer > 4096) {
        r->damaged = true;
        return;
    }
    r->object->kernels = calloc(array.integer + 1, sizeof(*r->object->kernels));
    r->damaged |= r->object->kernels == NULL;
    for (uint64_t i = 0; i < array.integer && !r->damaged; i++)
        read_kernel(r, &r->object->kernels[r->object->nkernels++]);
}

bool read_notes(struct object *object, const uint8_t *notes, size_t nbytes)
{
    struct reader r = {notes, notes + nbytes, object, false};
    const struct value map = take_value(&r);

    for (uint64_t i = 0; map.type == VALUE_MAP && i < map.integer && !r.damaged; i++) {
        const struct value key = take_value(&r);
        if (is_key(&key, "amdhsa.kernels") && object->kernels == NULL)
            read_kernels(&r);
        else
            skip_value(&r);
    }
    return !r.damaged && object->kernels != NULL;
}
