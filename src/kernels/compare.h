/*
 * compare.h - comparing two quantizations of one matrix, and saying what kind of difference it is
 *
 * Scales and codes are judged together, because a scale that is one off doubles or halves every code under it. Every
 * difference has a class, which does not depend on any tolerance; a rule set then decides how many of which are too many.
 * The rules are those of TransformerEngine's MXFP8 tests and of ROCm's MXFP4 test; mxfp4q(5), COMPARING, specifies them.
 * Pure: buffers in, sums out. Calls for different panels may run at the same time, on sums of their own.
 */
#ifndef MXQ_COMPARE_H
#define MXQ_COMPARE_H

#include "kernels/mxq.h"
#include "kernels/places.h"

/* What a difference is; the worse the larger, so that a block can show its worst. */
enum mxq_class {
    MXQ_CLASS_EQUAL,
    MXQ_CLASS_SIGNED_ZERO, /* code 0 against 8 */
    MXQ_CLASS_ZERO_BLOCK,  /* scale bytes of blocks that are all zeros */
    MXQ_CLASS_TIE,         /* codes next to each other; with a source: whose value lies midway */
    MXQ_CLASS_SCALE_STEP,  /* scale bytes one apart, and the codes that follow from that */
    MXQ_CLASS_SATURATION,  /* codes at 6 because the test's scale is too small for the golden value */
    MXQ_CLASS_PADDING,     /* bytes of no value */
    MXQ_CLASS_SCALE_WORSE, /* scale bytes further apart, or one apart with codes that do not follow */
    MXQ_CLASS_REAL,        /* every other code */
    MXQ_NUM_CLASSES
};

/* "equal", "signed-zero", "zero-block", "tie", "scale-step", ...; NULL out of range. */
const char *mxq_class_name(enum mxq_class class);

/* How much may differ. */
struct mxq_rules {
    const char *name;
    bool bytes;               /* every byte counts; atol, rtol, adjust and accept_ties mean nothing */
    unsigned scale_atol;      /* scale bytes may be this far apart without being counted */
    uint64_t scale_limit;     /* counted scales allowed: the smaller of this and */
    double scale_share;       /* of this share of all scales, rounded down */
    bool adjust;              /* express golden codes at the test's scale before judging them */
    double atol;              /* codes count when decoded values are further apart than this */
    double rtol;              /* and than this, relative to the golden value */
    bool accept_ties;         /* class tie does not count */
    uint64_t codes_per_scale; /* counted codes allowed for each counted scale, plus */
    double code_share;        /* this share of all codes, rounded down */
};

/* The rule sets exact, mxfp8 and te-mxfp4, by number from 0 on; NULL past the last. */
const struct mxq_rules *mxq_get_rules(size_t index);

/* Sums over one direction. */
struct mxq_comparison {
    uint64_t nscales;
    uint64_t ncodes;
    uint64_t scales[MXQ_NUM_CLASSES];
    uint64_t codes[MXQ_NUM_CLASSES];
    uint64_t counted_scales; /* under the rules */
    uint64_t counted_codes;
    uint64_t padding_nbytes; /* bytes of padding compared */
    uint64_t padding_differs;
    struct mxq_distortion distortion; /* x: golden, y: test, decoded */
};

void mxq_add_comparison(struct mxq_comparison *sum, const struct mxq_comparison *part);

/* What the rules allow for these sums, and whether they are met. */
uint64_t mxq_allowed_scales(const struct mxq_rules *rules, const struct mxq_comparison *sum);
uint64_t mxq_allowed_codes(const struct mxq_rules *rules, const struct mxq_comparison *sum);
bool mxq_comparison_passes(const struct mxq_rules *rules, const struct mxq_comparison *sum);

/* One difference. row and element are those of the direction's logical matrix, inside the panel. */
struct mxq_mismatch {
    bool is_scale;
    enum mxq_class class;
    uint64_t row;
    uint64_t element; /* of a scale: the first of its block */
    uint8_t test_byte;
    uint8_t golden_byte;
    uint8_t test_code;
    uint8_t golden_code;
    uint8_t expected_code; /* the golden one at the test's scale */
};

/*
 * One side of a panel, in logical order, as mxq_load_units() gives it. Either
 * pointer may be NULL on both sides, when only the other is compared.
 */
struct mxq_side {
    const uint8_t *data;
    const uint8_t *scale;
};

struct mxq_panel_pair {
    uint64_t rows;   /* of the direction's logical matrix */
    uint64_t nelems; /* values in a row */
    struct mxq_side test;
    struct mxq_side golden;
    /* What both were made of, or NULL: the panel as it is in the input, its direction, and the golden's recipe. */
    const struct mxq_matrix *source;
    enum mxq_direction direction;
    const struct mxq_recipe *recipe;
    struct mxq_places places; /* of the source's elements in the matrix */
};

/*
 * Compares a panel and adds to *sum. The first max_mismatches differences that are not equal are stored in mismatches,
 * and their number in *nmismatches (both may be NULL with 0). blocks, unless NULL, gets the worst class of every block,
 * row after row.
 */
void mxq_compare_panel(const struct mxq_rules *rules, const struct mxq_panel_pair *pair, struct mxq_comparison *sum,
                       struct mxq_mismatch *mismatches, size_t max_mismatches, size_t *nmismatches, uint8_t *blocks);

/* Adds a panel that is known to be the same on both sides: the counts, and the energy of its values. */
void mxq_add_equal_panel(const struct mxq_panel_pair *pair, struct mxq_comparison *sum);

/*
 * Compares the bytes of a share (both sides gathered alike, without gaps) that hold no value: rows and columns of padding,
 * and in data the codes behind the end of a row.
 */
void mxq_compare_padding(bool scale, enum mxq_layout layout, uint64_t rows, uint64_t nelems,
                         const struct mxq_share *share, const uint8_t *test, const uint8_t *golden,
                         struct mxq_comparison *sum);

#endif /* MXQ_COMPARE_H */
