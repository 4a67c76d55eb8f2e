/* tables.c - finds an opcode by its name in the tables of all units */
#include "gcnrun/internal.h"

#include <string.h>

typedef const struct opcode *table_function(size_t *n);

static table_function *const tables[] = {
    scalar_opcodes, scalar_memory_opcodes, control_opcodes, lane_opcodes, compare_opcodes, special_opcodes,
    packed_opcodes, division_opcodes,      convert_opcodes, lds_opcodes,  memory_opcodes,
};

const struct opcode *find_opcode(const char *name)
{
    for (size_t t = 0; t < NELEMS(tables); t++) {
        size_t n;
        const struct opcode *table = tables[t](&n);
        for (size_t i = 0; i < n; i++)
            if (strcmp(table[i].name, name) == 0)
                return &table[i];
    }
    return NULL;
}

size_t gcn_count_opcodes(void)
{
    size_t sum = 0;

    for (size_t t = 0; t < NELEMS(tables); t++) {
        size_t n;
        tables[t](&n);
        sum += n;
    }
    return sum;
}
