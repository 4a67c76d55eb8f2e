/*
 * diff_guess.h - what the files of mxq_guess_diff() share
 *
 * A reading is a way to find the units of a logical matrix in a stored buffer: an order of units, and a twist of the
 * codes inside a unit. Readings of TEST and GOLDEN other than the given ones are tried on a sample of blocks, data and
 * scales apart, because one of them may be right. What then still differs is put down to the recipe: with a source by
 * quantizing the sample again, without one by the kinds of differences. Nothing here prints.
 */
#ifndef MXQ_DIFF_GUESS_H
#define MXQ_DIFF_GUESS_H

#include "cli/diff.h"

/* Blocks in a sample; all when a direction has no more. */
#define MXQ_GUESS_BLOCKS 4096

/* More readings than any buffer has. */
#define MXQ_GUESS_READINGS 48

#define MXQ_GUESS_TEXT_NBYTES 640

enum mxq_guess_side {
    MXQ_GUESS_TEST,
    MXQ_GUESS_GOLDEN,
    MXQ_GUESS_NUM_SIDES
};

enum mxq_guess_part {
    MXQ_GUESS_DATA,
    MXQ_GUESS_SCALE,
    MXQ_GUESS_NUM_PARTS
};

enum mxq_guess_order {
    MXQ_GUESS_LINEAR,
    MXQ_GUESS_AITER,
    MXQ_GUESS_CUBLAS, /* scales: 128 x 4 tiles */
    MXQ_GUESS_TURNED, /* the stored byte matrix is transposed */
};

enum mxq_guess_twist {
    MXQ_GUESS_PLAIN,
    MXQ_GUESS_SWAPPED,      /* the even element in the high nibble */
    MXQ_GUESS_GGML,         /* byte j: element j low, element j + 16 high */
    MXQ_GUESS_GGML_SWAPPED, /* both */
    MXQ_GUESS_NUM_TWISTS
};

/* The logical matrix of a direction. */
struct mxq_guess_shape {
    uint64_t rows;
    uint64_t nelems;
    uint64_t nblocks;
};

struct mxq_guess_reading {
    enum mxq_buffer buffer;
    enum mxq_guess_order order;
    enum mxq_guess_twist twist;
    uint64_t pitch;    /* bytes in a stored row; TURNED: in a stored column */
    bool tight;        /* the pitch is not the buffer's but that of a row without padding */
    bool moved;        /* the order is not the given one */
    bool crossed;      /* the buffer is the other direction's */
    unsigned nchanges; /* 0 for the given reading */
};

/* The readings of both sides that are compared with each other. */
struct mxq_guess_fit {
    struct mxq_guess_reading reading[MXQ_GUESS_NUM_SIDES];
    bool changed;             /* one of them is not the given one, */
    enum mxq_guess_side side; /* namely this side's */
    size_t same;              /* sampled blocks that match */
    size_t base;              /* the same for the given readings */
};

/* Blocks of one direction, in ascending order. */
struct mxq_guess_sample {
    struct mxq_guess_shape shape;
    size_t nblocks; /* 0: the direction is not compared */
    bool whole;     /* these are all blocks */
    bool compared[MXQ_GUESS_NUM_PARTS];
    bool equal[MXQ_GUESS_NUM_PARTS]; /* as given, and in the whole */
    uint64_t *index;                 /* row * shape.nblocks + block */
};

/* The sampled blocks as readings give them. What a reading has no room for is 0 on both sides. */
struct mxq_guess_view {
    uint8_t (*codes[MXQ_GUESS_NUM_SIDES])[MXQ_BLOCK_NELEMS];
    uint8_t *scale[MXQ_GUESS_NUM_SIDES];
};

struct mxq_guess {
    const struct mxq_diff *diff;
    struct mxq_guess_sample sample[MXQ_NUM_DIRECTIONS];
    struct mxq_guess_view view[MXQ_NUM_DIRECTIONS];       /* empty until loaded */
    uint8_t *whole[MXQ_GUESS_NUM_SIDES][MXQ_NUM_BUFFERS]; /* small buffers that were looked at */
    json_t *guesses;
    size_t group; /* guesses from here on are put in order; those before stay */
};

/* Readings of all parts of all directions, and how far they bring TEST and GOLDEN together. */
struct mxq_guess_account {
    struct mxq_guess_fit fit[MXQ_NUM_DIRECTIONS][MXQ_GUESS_NUM_PARTS];
    bool changed;       /* at least one reading is not the given one */
    bool partial;       /* only changed parts are spoken of, because others do not match anyway */
    uint64_t same;      /* blocks that match, */
    uint64_t total;     /* of so many */
    size_t sample_same; /* the same in the sample */
    size_t sample_total;
    bool whole; /* these are all blocks, not a sample */
};

/* ---- diff_guess.c */

/* Adds a guess to its group, behind those that fit as well. False when there is no memory. */
bool mxq_guess_add(struct mxq_guess *guess, const char *text, double fits, bool exact, struct mxq_fault *fault);

/* False, with a fault that says that there is no memory. */
bool mxq_guess_no_memory(struct mxq_fault *fault);

/* ---- diff_guess_reading.c */

/*
 * Lists the readings that a side's stored shapes permit for a part of a logical matrix of this direction and shape, the
 * given one first. 0 when not even that one is possible.
 */
size_t mxq_guess_list_readings(const struct mxq_stored *stored, enum mxq_direction direction, enum mxq_guess_part part,
                               const struct mxq_guess_shape *shape,
                               struct mxq_guess_reading readings[MXQ_GUESS_READINGS]);

/* Where the first byte of a unit is, how far apart its bytes are, and how many of them there are. */
uint64_t mxq_guess_locate(const struct mxq_guess_reading *reading, uint64_t row, uint64_t block);
uint64_t mxq_guess_step(const struct mxq_guess_reading *reading);
unsigned mxq_guess_unit_nbytes(const struct mxq_guess_reading *reading, const struct mxq_guess_shape *shape,
                               uint64_t block);

/* The runs that hold the units of a panel of blocks; row0 a multiple of 128 and block0 of 8. Not for TURNED. */
void mxq_guess_find_share(const struct mxq_guess_reading *reading, const struct mxq_guess_shape *shape,
                          const struct mxq_panel *blocks, struct mxq_share *share);

/* One code of a unit; *known: whether the byte that holds it is among the nbytes there are. */
uint8_t mxq_guess_code(enum mxq_guess_twist twist, const uint8_t *unit, unsigned nbytes, unsigned i, bool *known);

/* Values of a block that are in the matrix. */
unsigned mxq_guess_nvalid(const struct mxq_guess_shape *shape, uint64_t block);

/* ---- diff_guess_units.c */

/* The units of the sample, 16 bytes each or one scale byte each. */
bool mxq_guess_gather(struct mxq_guess *guess, enum mxq_guess_side side, const struct mxq_guess_reading *reading,
                      const struct mxq_guess_sample *sample, uint8_t *units, struct mxq_fault *fault);

/* Whether two units, a TEST's and a GOLDEN's, match in the valid region. */
bool mxq_guess_same_unit(const struct mxq_guess_fit *fit, const struct mxq_guess_shape *shape, uint64_t block,
                         const uint8_t *test, const uint8_t *golden);

/* Loads a buffer whole if it is small; no fault when it is not. */
bool mxq_guess_load_whole(struct mxq_guess *guess, enum mxq_guess_side side, enum mxq_buffer buffer,
                          struct mxq_fault *fault);

/* ---- diff_guess_fit.c */

/* Chooses the best readings, of which only those of the allowed sides may differ from what was given. */
bool mxq_guess_find_account(struct mxq_guess *guess, const bool allowed[MXQ_GUESS_NUM_SIDES],
                            struct mxq_guess_account *account, struct mxq_fault *fault);

/* Whether same blocks of n are so many more than base that it cannot be chance. */
bool mxq_guess_is_better(size_t n, size_t base, size_t same, bool scales);

/* Fills guess->view with the sample under these readings. */
bool mxq_guess_load_views(struct mxq_guess *guess, const struct mxq_guess_account *account, struct mxq_fault *fault);

/* ---- diff_guess_confirm.c */

/* Compares all blocks under the account's readings, if the sample matched wholly and files may be read in order. */
bool mxq_guess_confirm(struct mxq_guess *guess, struct mxq_guess_account *account, struct mxq_fault *fault);

/* ---- diff_guess_words.c */

/* The sentence for an account that changed something. */
void mxq_guess_describe(const struct mxq_guess *guess, const struct mxq_guess_account *account,
                        char text[MXQ_GUESS_TEXT_NBYTES]);

/* Appends to text, as far as there is room. */
void mxq_guess_append(char text[MXQ_GUESS_TEXT_NBYTES], const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends a percentage with one decimal, which is 100.0 only when same is total. */
void mxq_guess_append_share(char text[MXQ_GUESS_TEXT_NBYTES], uint64_t same, uint64_t total);

/* ---- diff_guess_recipe.c: with a source; *explained: something was told, and all of the sample of TEST has a recipe. */
bool mxq_guess_recipes(struct mxq_guess *guess, const char *prefix, bool *explained, struct mxq_fault *fault);

/* ---- diff_guess_kinds.c: without one, or when no recipe fits. moved: the readings are not the given ones. */
bool mxq_guess_kinds(struct mxq_guess *guess, const char *prefix, bool moved, struct mxq_fault *fault);

#endif /* MXQ_DIFF_GUESS_H */
