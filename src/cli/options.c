/* options.c - parsing the command line and printing help from the same tables */
#include "cli/options.h"

#include "cli/msg.h"

#include <errno.h>
#include <float.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OPTIONS 64
#define HELP_COLUMN 30

/* ---- help */

static void print_option(const struct mxq_option *option)
{
    char left[64];
    int length = 0;

    if (option->name == NULL) {
        printf("\n%s:\n", option->help);
        return;
    }
    if (option->id < 256)
        length = snprintf(left, sizeof(left), "  -%c, --%s", option->id, option->name);
    else
        length = snprintf(left, sizeof(left), "      --%s", option->name);
    if (option->arg != NULL)
        snprintf(left + length, sizeof(left) - (size_t)length, option->arg[0] == '[' ? "%s" : " %s", option->arg);
    if (strlen(left) < HELP_COLUMN - 1)
        printf("%-*s%s\n", HELP_COLUMN, left, option->help);
    else
        printf("%s\n%*s%s\n", left, HELP_COLUMN, "", option->help);
}

static bool is_last(const struct mxq_option *option)
{
    return option->name == NULL && option->help == NULL;
}

void mxq_print_help(const struct mxq_command *command)
{
    printf("usage: mxfp4q %s %s\n\n%s\n", command->name, command->synopsis, command->summary);
    for (const struct mxq_option *option = command->options; !is_last(option); option++)
        print_option(option);
    if (command->epilogue != NULL)
        printf("\n%s\n", command->epilogue);
}

/* ---- the parser */

struct getopt_tables {
    char letters[3 * MAX_OPTIONS + 2];
    struct option names[MAX_OPTIONS + 1];
};

static int argument_kind(const struct mxq_option *option)
{
    if (option->arg == NULL)
        return no_argument;
    return option->arg[0] == '[' ? optional_argument : required_argument;
}

static void fill_tables(const struct mxq_option *options, struct getopt_tables *tables)
{
    size_t nletters = 0;
    size_t nnames = 0;

    memset(tables, 0, sizeof(*tables));
    tables->letters[nletters++] = ':'; /* report a missing argument as ':' */
    for (const struct mxq_option *option = options; !is_last(option); option++) {
        if (option->name == NULL)
            continue;
        tables->names[nnames++] = (struct option){option->name, argument_kind(option), NULL, option->id};
        if (option->id >= 256)
            continue;
        tables->letters[nletters++] = (char)option->id;
        if (argument_kind(option) == required_argument)
            tables->letters[nletters++] = ':';
    }
}

static void print_usage_error(const struct mxq_command *command, int opt, const char *word)
{
    if (opt == ':')
        mxq_print_error("%s: option %s needs a value", command->name, word);
    else if (optopt > 0 && optopt < 256 && strncmp(word, "--", 2) != 0)
        mxq_print_error("%s: unknown option -%c (see mxfp4q %s --help)", command->name, optopt, command->name);
    else
        mxq_print_error("%s: unknown, ambiguous or misused option %s (see mxfp4q %s --help)", command->name, word,
                        command->name);
}

int mxq_next_option(const struct mxq_command *command, int argc, char *argv[], const char **value)
{
    struct getopt_tables tables;
    int opt;

    fill_tables(command->options, &tables);
    opterr = 0;
    opt = getopt_long(argc, argv, tables.letters, tables.names, NULL);
    *value = optarg;
    if (opt != '?' && opt != ':')
        return opt;
    print_usage_error(command, opt, argv[optind - 1]);
    return '?';
}

/* ---- values */

bool mxq_parse_word(const char *option, const char *text, mxq_name_func name, unsigned *value)
{
    char words[1024] = "";

    for (unsigned i = 0; name(i) != NULL; i++) {
        if (strcmp(name(i), text) == 0) {
            *value = i;
            return true;
        }
        snprintf(words + strlen(words), sizeof(words) - strlen(words), "%s%s", i ? ", " : "", name(i));
    }
    mxq_print_error("%s: \"%s\" is not one of: %s", option, text, words);
    return false;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool mxq_parse_u64(const char *option, const char *text, uint64_t max, uint64_t *value)
{
    char *end;
    unsigned long long parsed;

    errno = 0;
    parsed = strtoull(text, &end, 10);
    if (is_digit(*text) && *end == '\0' && errno == 0 && parsed <= max) {
        *value = parsed;
        return true;
    }
    mxq_print_error("%s: \"%s\" is not a number from 0 to %" PRIu64, option, text, max);
    return false;
}

bool mxq_parse_size(const char *option, const char *text, uint64_t max, uint64_t *value)
{
    static const char units[] = "KMGT";
    const char *unit;
    char *end;
    unsigned long long parsed;
    uint64_t nbytes;

    errno = 0;
    parsed = strtoull(text, &end, 10);
    nbytes = parsed;
    unit = *end != '\0' ? strchr(units, *end) : NULL;
    if (unit != NULL) {
        for (const char *u = units; u <= unit; u++)
            if (__builtin_mul_overflow(nbytes, (uint64_t)1024, &nbytes))
                errno = ERANGE;
        end += strncmp(end + 1, "iB", 2) == 0 ? 3 : 1;
    }
    if (is_digit(*text) && *end == '\0' && errno == 0 && nbytes <= max) {
        *value = nbytes;
        return true;
    }
    mxq_print_error("%s: \"%s\" is not a number of bytes like 1000, 64M or 1GiB, of at most %" PRIu64, option, text,
                    max);
    return false;
}

bool mxq_parse_real(const char *option, const char *text, double max, double *value)
{
    char *end;
    double parsed;

    errno = 0;
    parsed = strtod(text, &end);
    if ((is_digit(*text) || *text == '.') && *end == '\0' && errno == 0 && parsed >= 0 && parsed <= max) {
        *value = parsed;
        return true;
    }
    mxq_print_error("%s: \"%s\" is not a number from 0 to %g", option, text, max);
    return false;
}

bool mxq_parse_int(const char *option, const char *text, int min, int max, int *value)
{
    char *end;
    long parsed;

    errno = 0;
    parsed = strtol(text, &end, 10);
    if ((is_digit(*text) || *text == '-') && *end == '\0' && errno == 0 && parsed >= min && parsed <= max) {
        *value = (int)parsed;
        return true;
    }
    mxq_print_error("%s: \"%s\" is not a number from %d to %d", option, text, min, max);
    return false;
}

bool mxq_parse_f32_bits(const char *option, const char *text, uint32_t *bits)
{
    double parsed;
    float value;

    if (!mxq_parse_real(option, text, (double)FLT_MAX, &parsed))
        return false;
    value = (float)parsed;
    memcpy(bits, &value, sizeof(*bits));
    return true;
}

bool mxq_parse_signs(const char *option, const char *text, uint32_t signs[4])
{
    const char *digits = strncmp(text, "0x", 2) == 0 ? text + 2 : text;
    const size_t ndigits = strspn(digits, "0123456789abcdefABCDEF");
    char word[9] = "";

    if (((ndigits < 1 || ndigits > 8) && ndigits != 32) || digits[ndigits] != '\0') {
        mxq_print_error("%s: \"%s\" is not a hexadecimal number of up to 8 digits or of 32", option, text);
        return false;
    }
    for (unsigned i = 0; i < 4; i++) {
        memcpy(word, ndigits == 32 ? digits + 24 - 8 * i : digits, ndigits == 32 ? 8 : ndigits);
        signs[i] = (uint32_t)strtoul(word, NULL, 16);
    }
    return true;
}

bool mxq_parse_shape(const char *option, const char *text, uint64_t shape[], unsigned max_rank, unsigned *rank)
{
    const char *at = text;

    *rank = 0;
    if (*text == '\0' || strcmp(text, "scalar") == 0)
        return true;
    for (;;) {
        char *end;
        errno = 0;
        if (!is_digit(*at) || *rank == max_rank)
            break;
        shape[(*rank)++] = strtoull(at, &end, 10);
        if (errno != 0 || (*end != 'x' && *end != '\0'))
            break;
        if (*end == '\0')
            return true;
        at = end + 1;
    }
    mxq_print_error("%s: \"%s\" is not a shape like 8x32x1024 of at most %u sizes", option, text, max_rank);
    return false;
}
