/*
 * decode.c - a line of the listing becomes an instruction: opcode, operands, modifiers
 *
 * An instruction with anything that is not understood is left without an opcode, so that it is an error to execute it.
 */
#include "gcnrun/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- operands */

static const struct {
    const char *name;
    uint16_t index;
    uint16_t nregs;
} special_registers[] = {
    {"vcc", VCC, 2},      {"vcc_lo", VCC, 1},       {"vcc_hi", VCC + 1, 1},   {"exec", EXEC, 2},
    {"exec_lo", EXEC, 1}, {"exec_hi", EXEC + 1, 1}, {"flat_scratch", 102, 2}, {"m0", M0, 1},
};

static bool parse_special(const char *text, struct operand *o)
{
    for (size_t i = 0; i < NELEMS(special_registers); i++) {
        if (strcmp(text, special_registers[i].name) == 0) {
            o->kind = OPERAND_SCALAR;
            o->index = special_registers[i].index;
            o->nregs = special_registers[i].nregs;
            return true;
        }
    }
    return false;
}

/* "v7", "s[4:5]", "a[0:3]" */
static bool parse_register(const char *text, struct operand *o)
{
    unsigned first;
    unsigned last;
    int length = 0;

    if (text[0] != 'v' && text[0] != 's' && text[0] != 'a')
        return false;
    if (sscanf(text + 1, "[%u:%u]%n", &first, &last, &length) < 2 || length == 0) {
        if (sscanf(text + 1, "%u%n", &first, &length) < 1)
            return false;
        last = first;
    }
    if (text[1 + length] != '\0' || last < first || last >= (text[0] == 's' ? 106 : 256))
        return false;
    o->kind = text[0] == 's' ? OPERAND_SCALAR : OPERAND_VECTOR;
    o->index = (uint16_t)(text[0] == 'a' ? first + 256 : first);
    o->nregs = (uint16_t)(last - first + 1);
    return true;
}

static bool parse_number(const char *text, struct operand *o)
{
    char *end;

    if (strchr(text, '.') != NULL) {
        o->kind = OPERAND_FRACTION;
        o->fraction = strtod(text, &end);
        /* The listing rounds 1 / (2 * pi), the only constant that needs more digits. */
        if (strncmp(text, "0.15915", 7) == 0)
            o->fraction = 0x1.45f306dc9c882p-3;
    } else {
        o->kind = OPERAND_INTEGER;
        o->literal = strncmp(text, "0x", 2) == 0;
        o->bits = (uint32_t)strtoll(text, &end, 0);
    }
    return end != text && *end == '\0';
}

/* Removes `prefix` and the last character, its closing bracket. */
static bool strip(char **text, const char *prefix, char closing)
{
    const size_t length = strlen(*text);

    if (strncmp(*text, prefix, strlen(prefix)) != 0 || (*text)[length - 1] != closing)
        return false;
    (*text)[length - 1] = '\0';
    *text += strlen(prefix);
    return true;
}

static bool parse_operand(char *text, struct operand *o)
{
    memset(o, 0, sizeof(*o));
    if (strcmp(text, "off") == 0) {
        o->kind = OPERAND_OFF;
        return true;
    }
    if (text[0] == '-' && strchr("vsa|", text[1]) != NULL) {
        o->negate = true;
        text++;
    } else if (strip(&text, "neg(", ')')) {
        o->negate = true;
    }
    o->absolute = strip(&text, "|", '|');
    o->sign_extend = strip(&text, "sext(", ')');
    return parse_special(text, o) || parse_register(text, o) || parse_number(text, o);
}

/* Operands are separated by commas; what follows the last one after a blank is a modifier. Returns where that begins. */
static const char *parse_operands(const char *text, struct instruction *in, bool *good)
{
    while (*text != '\0') {
        char word[64];
        const size_t n = strcspn(text, ", ");
        if (n >= sizeof(word) || in->noperands == MAX_OPERANDS) {
            *good = false;
            return text;
        }
        snprintf(word, sizeof(word), "%.*s", (int)n, text);
        if (!parse_operand(word, &in->operand[in->noperands]))
            return text; /* no operands at all, or a modifier */
        in->noperands++;
        text += n;
        if (*text != ',')
            return text;
        text += 1 + strspn(text + 1, " ");
    }
    return text;
}

/* ---- modifiers */

/* "[1,0,1]": bit i is the i-th number */
static uint8_t parse_bits(const char *value)
{
    unsigned bits = 0;
    unsigned n = 0;

    for (; *value != '\0' && *value != ']'; value++)
        if (*value == '0' || *value == '1')
            bits |= (unsigned)(*value - '0') << n++;
    return (uint8_t)bits;
}

static uint8_t parse_select(const char *value)
{
    if (strncmp(value, "BYTE_", 5) == 0)
        return (uint8_t)(value[5] - '0');
    if (strncmp(value, "WORD_", 5) == 0)
        return (uint8_t)(4 + value[5] - '0');
    return SELECT_ALL;
}

static enum sdwa_unused parse_unused(const char *value)
{
    if (strcmp(value, "UNUSED_PRESERVE") == 0)
        return UNUSED_PRESERVE;
    return strcmp(value, "UNUSED_SEXT") == 0 ? UNUSED_SEXT : UNUSED_PAD;
}

/* Of the modifiers that say nothing about the result, or whose bits are taken from the encoding. */
static bool is_silent(const char *name)
{
    static const char *const silent[] = {"glc",        "slc",         "sc0",       "sc1",      "nt",
                                         "offset0",    "offset1",     "quad_perm", "row_mask", "bank_mask",
                                         "bound_ctrl", "row_mirror",  "row_shl",   "row_shr",  "row_ror",
                                         "wave_shl",   "wave_shr",    "wave_rol",  "wave_ror", "row_half_mirror",
                                         "row_bcast",  "row_newbcast"};

    for (size_t i = 0; i < NELEMS(silent); i++)
        if (strcmp(name, silent[i]) == 0)
            return true;
    return false;
}

static bool parse_sdwa(const char *name, const char *value, struct instruction *in)
{
    if (strcmp(name, "src0_sel") == 0)
        in->select[0] = parse_select(value);
    else if (strcmp(name, "src1_sel") == 0)
        in->select[1] = parse_select(value);
    else if (strcmp(name, "dst_sel") == 0)
        in->select_dest = parse_select(value);
    else if (strcmp(name, "dst_unused") == 0)
        in->unused = parse_unused(value);
    else
        return false;
    return true;
}

static bool parse_modifier(const char *name, const char *value, struct instruction *in)
{
    if (strcmp(name, "offset") == 0) {
        in->offset = (int32_t)strtol(value, NULL, 0); /* of ds_swizzle, "swizzle(...)": the encoding is used there */
    } else if (strcmp(name, "clamp") == 0) {
        in->clamp = true;
    } else if (strcmp(name, "mul") == 0 || strcmp(name, "div") == 0) {
        in->scaling = name[0] == 'd' ? 3 : value[0] == '2' ? 1 : 2;
    } else if (strcmp(name, "op_sel") == 0) {
        in->op_sel = parse_bits(value);
    } else if (strcmp(name, "op_sel_hi") == 0) {
        in->op_sel_hi = parse_bits(value);
        in->has_op_sel_hi = true;
    } else if (strcmp(name, "neg_lo") == 0) {
        in->neg_lo = parse_bits(value);
    } else if (strcmp(name, "neg_hi") == 0) {
        in->neg_hi = parse_bits(value);
    } else if (strcmp(name, "bitop3") == 0) {
        in->truth_table = (uint8_t)strtoul(value, NULL, 0);
    } else {
        return is_silent(name) || parse_sdwa(name, value, in);
    }
    return true;
}

static bool parse_modifiers(const char *text, struct instruction *in)
{
    bool good = true;

    while (*(text += strspn(text, " ")) != '\0') {
        char word[96];
        size_t n = strcspn(text, " ");
        if (strncmp(text, "offset:swizzle(", 15) == 0)
            n = strcspn(text, ")") + 1;
        snprintf(word, sizeof(word), "%.*s", (int)n, text);
        word[strcspn(word, ":")] = '\0';
        const size_t length = strlen(word);
        good &= parse_modifier(word, length < n ? word + length + 1 : "", in);
        text += n;
    }
    return good;
}

/* ---- DPP */

/* The lane that lane l reads, by the table of dpp_ctrl in the ISA guides. */
static int find_dpp_source(unsigned control, int lane)
{
    const int row = lane & ~15;
    const int place = lane & 15;
    const int n = (int)(control & 15);

    if (control < 0x100)
        return (lane & ~3) | (int)(control >> 2 * (lane & 3) & 3);
    switch (control & 0x1f0) {
    case 0x100: /* row_shl */
        return place + n > 15 ? DPP_OUTSIDE : lane + n;
    case 0x110: /* row_shr */
        return place - n < 0 ? DPP_OUTSIDE : lane - n;
    case 0x120: /* row_ror */
        return row | ((place - n) & 15);
    case 0x150: /* row_newbcast */
        return row | n;
    }
    switch (control) {
    case 0x130: /* wave_shl */
        return lane + 1 > 63 ? DPP_OUTSIDE : lane + 1;
    case 0x134: /* wave_rol */
        return (lane + 1) & 63;
    case 0x138: /* wave_shr */
        return lane - 1;
    case 0x13c: /* wave_ror */
        return (lane - 1) & 63;
    case 0x140: /* row_mirror */
        return row | (15 - place);
    case 0x141: /* row_half_mirror */
        return (lane & ~7) | (7 - (lane & 7));
    case 0x142: /* row_bcast:15 */
        return row - 1;
    case 0x143: /* row_bcast:31 */
        return (lane & ~31) - 1;
    default:
        return -3;
    }
}

static bool decode_dpp(struct instruction *in)
{
    const uint32_t word = in->words[1];
    int8_t *source = malloc(NLANES);

    if (source == NULL || in->nwords < 2)
        return false;
    in->dpp_source = source;
    in->dpp_zero = word >> 19 & 1;
    for (int lane = 0; lane < NLANES; lane++) {
        const bool enabled = word >> 28 >> (lane >> 4) & 1 && (word >> 24 & 15) >> (lane >> 2 & 3) & 1;
        source[lane] = (int8_t)find_dpp_source(word >> 8 & 0x1ff, lane);
        if (source[lane] < DPP_OUTSIDE)
            return false;
        if (!enabled)
            source[lane] = DPP_MASKED;
    }
    return true;
}

/* ---- the instruction */

enum encoding {
    ENCODING_PLAIN,
    ENCODING_DPP,
    ENCODING_SDWA,
};

/* Removes what says how, not what: _e32, _e64, _dpp, _sdwa. */
static enum encoding strip_encoding(char *name)
{
    static const struct {
        const char *suffix;
        enum encoding encoding;
    } suffixes[] = {
        {"_e32", ENCODING_PLAIN}, {"_e64", ENCODING_PLAIN}, {"_dpp", ENCODING_DPP}, {"_sdwa", ENCODING_SDWA}};
    const size_t length = strlen(name);

    for (size_t i = 0; i < NELEMS(suffixes); i++) {
        const size_t n = strlen(suffixes[i].suffix);
        if (length > n && strcmp(name + length - n, suffixes[i].suffix) == 0) {
            name[length - n] = '\0';
            return suffixes[i].encoding;
        }
    }
    return ENCODING_PLAIN;
}

/* The four spaces of vector memory share their opcodes. */
static const char *strip_space(const char *name, struct instruction *in)
{
    static const struct {
        const char *prefix;
        enum gcn_class class;
    } spaces[] = {{"global_", GCN_GLOBAL}, {"flat_", GCN_FLAT}, {"scratch_", GCN_SCRATCH}};

    for (size_t i = 0; i < NELEMS(spaces); i++) {
        const size_t n = strlen(spaces[i].prefix);
        if (strncmp(name, spaces[i].prefix, n) == 0) {
            in->class = spaces[i].class;
            return name + n;
        }
    }
    return name;
}

/* What says everything in its encoding, or nothing. */
static bool has_operands(const struct opcode *opcode)
{
    return opcode->class != GCN_CONTROL;
}

void decode(struct instruction *in, char *text)
{
    char name[64];
    const size_t n = strcspn(text, " ");
    enum encoding encoding;
    const char *rest = text + n;
    bool good = true;

    in->text = text;
    in->select[0] = in->select[1] = in->select_dest = SELECT_ALL;
    if (n >= sizeof(name))
        return;
    snprintf(name, sizeof(name), "%.*s", (int)n, text);
    encoding = strip_encoding(name);
    in->class = GCN_NUM_CLASSES;
    in->opcode = find_opcode(strip_space(name, in));
    if (in->opcode == NULL)
        return;
    if (in->class == GCN_NUM_CLASSES)
        in->class = in->opcode->class;
    if (has_operands(in->opcode)) {
        rest = parse_operands(rest + strspn(rest, " "), in, &good);
        good &= parse_modifiers(rest, in);
    }
    in->sdwa = encoding == ENCODING_SDWA;
    if (encoding == ENCODING_DPP)
        good &= decode_dpp(in);
    if (!good)
        in->opcode = NULL;
}
