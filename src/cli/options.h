/*
 * options.h - the command line: tables of options, and the values they take
 *
 * A command's table drives the parser and its --help, so the two cannot disagree; a test holds the man page against it.
 * The mxq_parse_... functions check the whole word, and on failure print what is wrong with it, with the words or the
 * range that would be right.
 */
#ifndef MXQ_OPTIONS_H
#define MXQ_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One option. The table ends with an entry that has neither a letter nor a name; one that has only help is a heading. */
struct mxq_option {
    int id;           /* what mxq_next_option() returns: the letter, or a number from 256 on when there is none */
    const char *name; /* the long name */
    const char *arg;  /* what the value is called in the help, or NULL; "[=16]" for an optional one */
    const char *help;
};

struct mxq_command {
    const char *name;
    const char *summary;
    const char *synopsis; /* the arguments, without the command */
    const char *epilogue; /* printed after the options, or NULL */
    const struct mxq_option *options;
    int (*run)(int argc, char *argv[]);
};

/* Prints a command's help to standard output. */
void mxq_print_help(const struct mxq_command *command);

/*
 * The next option of argv: its id, with *value its argument or NULL; -1 when only operands are left, the first at optind;
 * '?' after a usage error, which has been printed.
 */
int mxq_next_option(const struct mxq_command *command, int argc, char *argv[], const char **value);

/* A function that names the values of an enum, NULL past the last, cast from those of mxq.h. */
typedef const char *(*mxq_name_func)(unsigned value);

bool mxq_parse_word(const char *option, const char *text, mxq_name_func name, unsigned *value);
bool mxq_parse_u64(const char *option, const char *text, uint64_t max, uint64_t *value);
/* A decimal number from 0 to max, such as 1e-5. */
bool mxq_parse_real(const char *option, const char *text, double max, double *value);

/* A number of bytes: 1000, 64K, 64M, 1G, 1GiB. K, M, G and T are powers of 1024. */
bool mxq_parse_size(const char *option, const char *text, uint64_t max, uint64_t *value);

bool mxq_parse_int(const char *option, const char *text, int min, int max, int *value);

/* A decimal number from 0 on, such as 1e-10, as the bits of the nearest finite FP32. */
bool mxq_parse_f32_bits(const char *option, const char *text, uint32_t *bits);

/* Signs of a Hadamard transform: up to 8 hexadecimal digits, which are those of each word, or 32, the last word first. */
bool mxq_parse_signs(const char *option, const char *text, uint32_t signs[4]);

/* 8x32x1024, or "" or "scalar" for rank 0. */
bool mxq_parse_shape(const char *option, const char *text, uint64_t shape[], unsigned max_rank, unsigned *rank);

#endif /* MXQ_OPTIONS_H */
