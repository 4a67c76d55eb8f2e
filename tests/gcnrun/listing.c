/* listing.c - the instructions of a code object as llvm-objdump lists them: text, address and encoding */
#include "gcnrun/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A line is "<tab>s_mov_b32 s0, s1   // 000000001A00: BE800001 <label>"; others are headings. */
static bool split_line(char *line, struct instruction *in)
{
    char *comment = strstr(line, "//");
    char *end;

    memset(in, 0, sizeof(*in));
    if (line[0] != '\t' || comment == NULL)
        return false;
    in->address = strtoull(comment + 2, &end, 16);
    if (*end++ != ':')
        return false;
    while (in->nwords < NELEMS(in->words)) {
        char *next;
        const unsigned long word = strtoul(end, &next, 16);
        if (next != end + 9) /* a blank and eight digits */
            break;
        in->words[in->nwords++] = (uint32_t)word;
        end = next;
    }
    while (comment > line && (comment[-1] == ' ' || comment[-1] == '\t'))
        comment--;
    *comment = '\0';
    return in->nwords > 0;
}

static bool append(struct program *program, const struct instruction *in)
{
    if (program->ninstructions == program->capacity) {
        const size_t capacity = program->capacity * 2 + 1024;
        struct instruction *larger = realloc(program->instructions, capacity * sizeof(*larger));
        if (larger == NULL)
            return false;
        program->instructions = larger;
        program->capacity = capacity;
    }
    program->instructions[program->ninstructions++] = *in;
    return true;
}

static bool read_lines(struct program *program, FILE *listing)
{
    char line[1024];
    struct instruction in;

    while (fgets(line, sizeof(line), listing) != NULL) {
        char *text;
        if (!split_line(line, &in))
            continue;
        text = strdup(line + 1);
        if (text == NULL)
            return false;
        decode(&in, text);
        if (!append(program, &in)) {
            free(text);
            return false;
        }
    }
    return true;
}

size_t find_instruction(const struct program *program, uint64_t address)
{
    size_t low = 0;
    size_t high = program->ninstructions;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (program->instructions[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < program->ninstructions && program->instructions[low].address != address)
        return program->ninstructions;
    return low;
}

/* Branches count words from the instruction behind them. */
static void link_branches(struct program *program)
{
    for (size_t i = 0; i < program->ninstructions; i++) {
        struct instruction *in = &program->instructions[i];
        const int64_t distance = 4 + 4 * (int64_t)(int16_t)in->words[0];
        in->target = find_instruction(program, in->address + (uint64_t)distance);
    }
}

bool read_listing(struct program *program, const struct object *object, const char *path, const char *objdump,
                  char *error, size_t error_nbytes)
{
    char command[1200];
    FILE *listing;
    bool good;

    snprintf(command, sizeof(command), "%s -d '%s' 2>/dev/null", objdump == NULL ? "llvm-objdump-22" : objdump, path);
    listing = popen(command, "r");
    good = listing != NULL && read_lines(program, listing);
    if (listing == NULL || pclose(listing) != 0 || !good || program->ninstructions == 0) {
        snprintf(error, error_nbytes, "cannot list \"%s\": %s", path, command);
        return false;
    }
    for (size_t i = 0; i < program->ninstructions; i++)
        program->instructions[i].address += (uint64_t)(uintptr_t)object->image;
    link_branches(program);
    return true;
}

void free_program(struct program *program)
{
    for (size_t i = 0; i < program->ninstructions; i++) {
        /* decode() has been given the text, and the table, to keep */
        free((void *)(uintptr_t)program->instructions[i].text);
        free((void *)(uintptr_t)program->instructions[i].dpp_source);
    }
    free(program->instructions);
    memset(program, 0, sizeof(*program));
}
