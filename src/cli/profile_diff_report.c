/* profile_diff_report.c - telling on which inputs two profiles differ */
#include "cli/profile_diff.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_NBYTES 96

struct words {
    const char *key;  /* in JSON */
    const char *text; /* for a person */
};

static const struct words words[MXQ_NUM_INPUT_CLASSES] = {
    [MXQ_AMAX_ZERO] = {"amax-zero", "amax 0: a block of zeros"},
    [MXQ_AMAX_SUBNORMAL] = {"amax-subnormal", "amax below 2^-126"},
    [MXQ_AMAX_TINY] = {"amax-tiny", "amax 2^-126 to below 2^-123"},
    [MXQ_AMAX_POWER] = {"amax-1", "amax 2^k"},
    [MXQ_AMAX_BELOW_3_2] = {"amax-1-1.5", "amax between 2^k and 1.5 * 2^k"},
    [MXQ_AMAX_3_2] = {"amax-1.5", "amax 1.5 * 2^k"},
    [MXQ_AMAX_BELOW_7_4] = {"amax-1.5-1.75", "amax between 1.5 * 2^k and 1.75 * 2^k"},
    [MXQ_AMAX_7_4] = {"amax-1.75", "amax 1.75 * 2^k"},
    [MXQ_AMAX_ABOVE_7_4] = {"amax-1.75-2", "amax between 1.75 * 2^k and 2 * 2^k"},
    [MXQ_AMAX_HUGE] = {"amax-huge", "amax 1.75 * 2^127 and more"},
    [MXQ_AMAX_INFINITE] = {"amax-infinite", "amax infinite"},
    [MXQ_AMAX_F32_ONLY] = {"amax-f32", "amax that only FP32 has"},
    [MXQ_VALUE_TIE + 0] = {"tie-0.25", "tie: 0.25 * scale"},
    [MXQ_VALUE_TIE + 1] = {"tie-0.75", "tie: 0.75 * scale"},
    [MXQ_VALUE_TIE + 2] = {"tie-1.25", "tie: 1.25 * scale"},
    [MXQ_VALUE_TIE + 3] = {"tie-1.75", "tie: 1.75 * scale"},
    [MXQ_VALUE_TIE + 4] = {"tie-2.5", "tie: 2.5 * scale"},
    [MXQ_VALUE_TIE + 5] = {"tie-3.5", "tie: 3.5 * scale"},
    [MXQ_VALUE_TIE + 6] = {"tie-5", "tie: 5 * scale"},
    [MXQ_VALUE_MINUS_ZERO] = {"minus-zero", "-0"},
    [MXQ_VALUE_PLUS_ZERO] = {"plus-zero", "+0"},
    [MXQ_VALUE_SMALL] = {"small", "below 0.25 * scale"},
    [MXQ_VALUE_VANISHING] = {"vanishing", "up to 2^-150 * scale"},
    [MXQ_VALUE_UNSCALED] = {"unscaled", "finite, under scale byte 255"},
    [MXQ_VALUE_OTHER] = {"other", "no tie, above 0.25 * scale"},
    [MXQ_VALUE_TINY_SCALE] = {"tiny-scale", "under scale bytes 0 and 1"},
    [MXQ_WITH_NAN] = {"nan", "a NaN beside finite values"},
    [MXQ_WITH_NEGATIVE_NAN] = {"nan-negative", "a negative NaN beside them"},
    [MXQ_WITH_NANS_ONLY] = {"nan-only", "nothing but NaNs"},
    [MXQ_WITH_NAN_AND_INFINITY] = {"nan-infinity", "infinities and a NaN"},
    [MXQ_PAST_THE_END] = {"past-the-end", "codes past the end of a row"},
    [MXQ_PADDING] = {"padding", "padding of shuffled scales"},
};

/* ---- text */

__attribute__((format(printf, 2, 3))) static void append(char text[TEXT_NBYTES], const char *format, ...)
{
    const size_t length = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + length, TEXT_NBYTES - length, format, args);
    va_end(args);
}

static double fraction_value(uint32_t fraction)
{
    return 1.0 + fraction / 128.0;
}

/* The fractions that a class by amax has; false for one that is told apart by binades. */
static bool find_fractions(enum mxq_input_class class, uint32_t *lowest, uint32_t *highest)
{
    static const uint32_t fractions[][2] = {{0, 0}, {1, 0x3f}, {0x40, 0x40}, {0x41, 0x5f}, {0x60, 0x60}, {0x61, 0x7f}};

    if (class < MXQ_AMAX_POWER || class > MXQ_AMAX_ABOVE_7_4)
        return false;
    *lowest = fractions[class - MXQ_AMAX_POWER][0];
    *highest = fractions[class - MXQ_AMAX_POWER][1];
    return true;
}

/* Where a class differs in part, from where to where; in between, some may still be equal. */
static void describe_part(enum mxq_input_class class, const struct mxq_class_difference *c, char text[TEXT_NBYTES])
{
    uint32_t lowest, highest;

    if (c->ndifferent == c->ntried || !find_fractions(class, &lowest, &highest))
        return;
    if (c->lowest != lowest || c->highest != highest)
        append(text, ", %g to %g", fraction_value(c->lowest), fraction_value(c->highest));
    if (c->lowest_exponent > 4 || c->highest_exponent < 253)
        append(text, ", k %d to %d", (int)c->lowest_exponent - 127, (int)c->highest_exponent - 127);
}

static bool is_value(enum mxq_input_class class)
{
    return class >= MXQ_VALUE_TIE && class <= MXQ_VALUE_TINY_SCALE && class != MXQ_VALUE_MINUS_ZERO &&
           class != MXQ_VALUE_PLUS_ZERO;
}

static void describe_class(const struct mxq_profile_difference *d, enum mxq_input_class class, char text[TEXT_NBYTES])
{
    const struct mxq_class_difference *c = &d->classes[class];

    text[0] = '\0';
    append(text, "%s", words[class].text);
    describe_part(class, c, text);
    if (is_value(class))
        append(text, "%s", c->positive && c->negative ? ", + and -" : c->negative ? ", negative" : ", positive");
}

/* The fewest digits that give the number back. */
static void append_number(char text[TEXT_NBYTES], uint32_t bits)
{
    char digits[32];
    float value;

    memcpy(&value, &bits, sizeof(value));
    if (isnan(value)) {
        append(text, "%snan", bits >> 31 ? "-" : "");
        return;
    }
    for (int precision = 1; precision <= 9; precision++) {
        snprintf(digits, sizeof(digits), "%.*g", precision, (double)value);
        if (strtof(digits, NULL) == value)
            break;
    }
    append(text, "%s", digits);
}

static void describe_values(const struct mxq_probed *block, char text[TEXT_NBYTES])
{
    text[0] = '\0';
    for (unsigned i = 0; i < block->nvalues; i++) {
        append(text, "%s", i ? " " : "");
        append_number(text, block->values[i]);
    }
}

/* Past the end there is one more code than values, and padding is a byte alone. */
static unsigned count_codes(enum mxq_input_class class, const struct mxq_probed *block)
{
    if (class == MXQ_PADDING)
        return 0;
    return block->nvalues + (class == MXQ_PAST_THE_END);
}

static void describe_result(enum mxq_input_class class, const struct mxq_probed *block, unsigned side,
                            char text[TEXT_NBYTES])
{
    text[0] = '\0';
    append(text, "%u", block->scale[side]);
    for (unsigned i = 0; i < count_codes(class, block); i++)
        append(text, "%s%u", i ? " " : ": ", block->codes[side][i]);
}

/* ---- shares: of all finite amax of BF16, and infinity */

static uint64_t sum_amax(const struct mxq_profile_difference *d, uint64_t *ntried)
{
    uint64_t ndifferent = 0;

    *ntried = 0;
    for (unsigned class = MXQ_AMAX_ZERO; class < MXQ_AMAX_INFINITE; class ++) {
        *ntried += d->classes[class].ntried;
        ndifferent += d->classes[class].ndifferent;
    }
    return ndifferent;
}

static bool has_share(enum mxq_input_class class)
{
    return class < MXQ_AMAX_INFINITE;
}

static double find_share(const struct mxq_profile_difference *d, enum mxq_input_class class)
{
    uint64_t ntried;

    sum_amax(d, &ntried);
    return (double)d->classes[class].ndifferent / (double)ntried;
}

/* ---- the table */

#define NUM_COLUMNS 5

static void fill_row(const struct mxq_profile_difference *d, enum mxq_input_class class,
                     char cells[NUM_COLUMNS][TEXT_NBYTES])
{
    const struct mxq_probed *example = &d->classes[class].example;

    describe_class(d, class, cells[0]);
    cells[1][0] = '\0';
    if (has_share(class))
        append(cells[1], "%.3f %%", 100.0 * find_share(d, class));
    else
        append(cells[1], "-");
    if (class == MXQ_PADDING)
        strcpy(cells[2], "-");
    else
        describe_values(example, cells[2]);
    for (unsigned side = 0; side < 2; side++)
        describe_result(class, example, side, cells[3 + side]);
}

static void fill_heads(const struct mxq_profile_difference *d, char cells[NUM_COLUMNS][TEXT_NBYTES])
{
    const char *const heads[NUM_COLUMNS] = {"inputs", "of amax", "example", d->profile[0]->name, d->profile[1]->name};

    for (unsigned column = 0; column < NUM_COLUMNS; column++)
        snprintf(cells[column], TEXT_NBYTES, "%s", heads[column]);
}

static void widen(int width[NUM_COLUMNS], char cells[NUM_COLUMNS][TEXT_NBYTES])
{
    for (unsigned column = 0; column < NUM_COLUMNS; column++)
        if ((int)strlen(cells[column]) > width[column])
            width[column] = (int)strlen(cells[column]);
}

static void print_row(const int width[NUM_COLUMNS], char cells[NUM_COLUMNS][TEXT_NBYTES])
{
    for (unsigned column = 0; column < NUM_COLUMNS; column++) {
        if (column == 1)
            printf("  %*s", width[column], cells[column]);
        else if (column + 1 < NUM_COLUMNS)
            printf("%s%-*s", column ? "  " : "", width[column], cells[column]);
        else
            printf("  %s\n", cells[column]);
    }
}

static void print_table(const struct mxq_profile_difference *d)
{
    char cells[NUM_COLUMNS][TEXT_NBYTES];
    int width[NUM_COLUMNS] = {0};

    fill_heads(d, cells);
    widen(width, cells);
    for (unsigned class = 0; class < MXQ_NUM_INPUT_CLASSES; class ++) {
        if (d->classes[class].ndifferent == 0)
            continue;
        fill_row(d, class, cells);
        widen(width, cells);
    }
    fill_heads(d, cells);
    print_row(width, cells);
    for (unsigned class = 0; class < MXQ_NUM_INPUT_CLASSES; class ++) {
        if (d->classes[class].ndifferent == 0)
            continue;
        fill_row(d, class, cells);
        print_row(width, cells);
    }
}

void mxq_print_profile_difference(const struct mxq_profile_difference *d)
{
    uint64_t ntried;
    const uint64_t ndifferent = sum_amax(d, &ntried);

    if (mxq_profiles_agree(d)) {
        printf("%s and %s make the same bytes of everything that was tried\n", d->profile[0]->name,
               d->profile[1]->name);
        return;
    }
    print_table(d);
    printf("scales differ for %" PRIu64 " of the %" PRIu64 " finite amax of BF16 (%.3f %%)\n", ndifferent, ntried,
           100.0 * (double)ndifferent / (double)ntried);
}

/* ---- JSON */

static json_t *keep_if(bool good, json_t *value)
{
    if (good)
        return value;
    json_decref(value);
    return NULL;
}

/* Numbers as text: JSON has neither infinities, nor NaNs, nor -0 that every reader keeps. */
static json_t *pack_values(const struct mxq_probed *block, unsigned nvalues)
{
    json_t *array = json_array();
    bool good = array != NULL;

    for (unsigned i = 0; i < nvalues; i++) {
        char text[TEXT_NBYTES] = "";
        append_number(text, block->values[i]);
        good = good && json_array_append_new(array, json_string(text)) == 0;
    }
    return keep_if(good, array);
}

static json_t *pack_result(enum mxq_input_class class, const struct mxq_probed *block, unsigned side)
{
    json_t *codes = json_array();
    bool good = codes != NULL;

    for (unsigned i = 0; i < count_codes(class, block); i++)
        good = good && json_array_append_new(codes, json_integer(block->codes[side][i])) == 0;
    return json_pack("{s:i, s:o}", "scale", block->scale[side], "codes", keep_if(good, codes));
}

static json_t *pack_class(const struct mxq_profile_difference *d, enum mxq_input_class class)
{
    const struct mxq_class_difference *c = &d->classes[class];
    const struct mxq_probed *example = &c->example;
    char text[TEXT_NBYTES];

    describe_class(d, class, text);
    return json_pack("{s:s, s:s, s:I, s:I, s:o, s:b, s:b, s:{s:o, s:o, s:o}}", "class", words[class].key, "words", text,
                     "tried", (json_int_t)c->ntried, "different", (json_int_t)c->ndifferent, "share_of_amax",
                     has_share(class) ? json_real(find_share(d, class)) : json_null(), "positive", c->positive,
                     "negative", c->negative, "example", "values",
                     pack_values(example, class == MXQ_PADDING ? 0 : example->nvalues), "a",
                     pack_result(class, example, 0), "b", pack_result(class, example, 1));
}

json_t *mxq_pack_profile_difference(const struct mxq_profile_difference *d)
{
    json_t *classes = json_array();
    bool good = classes != NULL;
    uint64_t ntried;
    const uint64_t ndifferent = sum_amax(d, &ntried);

    for (unsigned class = 0; class < MXQ_NUM_INPUT_CLASSES; class ++)
        if (d->classes[class].ndifferent != 0)
            good = good && json_array_append_new(classes, pack_class(d, class)) == 0;
    return json_pack("{s:s, s:s, s:b, s:I, s:I, s:o}", "a", d->profile[0]->name, "b", d->profile[1]->name, "equal",
                     mxq_profiles_agree(d), "amax", (json_int_t)ntried, "different_amax", (json_int_t)ndifferent,
                     "classes", keep_if(good, classes));
}
