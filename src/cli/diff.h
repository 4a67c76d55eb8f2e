/*
 * diff.h - comparing two stored results, panel by panel, on several threads
 *
 * cmd_diff.c parses, diff.c runs, diff_guess.c finds out what went wrong when much differs, diff_report.c tells,
 * heatmap.c draws.
 */
#ifndef MXQ_DIFF_H
#define MXQ_DIFF_H

#include "cli/heatmap.h"
#include "io/stored.h"
#include "io/tensor.h"
#include "kernels/compare.h"

#include <jansson.h>

/* A difference with its place: row and element are those of the whole logical matrix of the direction. */
struct mxq_found {
    enum mxq_direction direction;
    struct mxq_mismatch mismatch;
};

struct mxq_diff {
    /* the work */
    const struct mxq_stored *test;
    const struct mxq_stored *golden;
    struct mxq_source *source; /* seekable, at its tensor; or NULL */
    const struct mxq_tensor *source_tensor;
    const struct mxq_recipe *recipe; /* the golden's, with a source */
    struct mxq_rules rules;
    bool padding;
    size_t limit; /* differences to keep */
    unsigned nthreads;
    struct mxq_heat *heat[MXQ_NUM_DIRECTIONS]; /* to be filled in, or NULL */

    /* what came out */
    bool compared_data[MXQ_NUM_DIRECTIONS];
    bool compared_scale[MXQ_NUM_DIRECTIONS];
    struct mxq_comparison sum[MXQ_NUM_DIRECTIONS];
    struct mxq_found *found; /* to be freed */
    size_t nfound;
};

/* Runs it. False on a fault; differences are none. */
bool mxq_run_diff(struct mxq_diff *diff, struct mxq_fault *fault);

/* Whether nothing but class equal was found, and whether all directions are within the rules. */
bool mxq_diff_is_equal(const struct mxq_diff *diff);
bool mxq_diff_passes(const struct mxq_diff *diff);

/*
 * What would make TEST fit GOLDEN, as sentences for a person: "matches exactly after unshuffling TEST's data". An array of
 * objects {"text": ..., "fits": share of the sample, "exact": whether the whole was compared}, best first, empty when
 * nothing fits better than what was given; NULL on a fault. To be called when much differs.
 */
json_t *mxq_guess_diff(const struct mxq_diff *diff, struct mxq_fault *fault);

/* The value of a code under a scale byte. */
double mxq_decode_value(uint8_t code, uint8_t byte);

/* Rules, and the sums of one direction under them, as JSON; and the sums as a table with this title. */
json_t *mxq_pack_rules(const struct mxq_rules *rules);
json_t *mxq_pack_comparison(const struct mxq_rules *rules, const struct mxq_comparison *sum);
void mxq_print_comparison(const char *title, const struct mxq_rules *rules, const struct mxq_comparison *sum,
                          bool has_source);

/* The whole report as JSON; guesses may be NULL. */
json_t *mxq_pack_diff(const struct mxq_diff *diff, const char *test_name, const char *golden_name, json_t *guesses);

/* The same for a person, on standard output: one screen. */
void mxq_print_diff(const struct mxq_diff *diff, const char *test_name, const char *golden_name, const json_t *guesses);

/* One line, as for a case of a suite. */
void mxq_print_diff_line(const struct mxq_diff *diff, const char *name, const json_t *guesses);

#endif /* MXQ_DIFF_H */
