/*
 * checkpoint_options.h - the options of mxfp4q quantize for checkpoints
 */
#ifndef MXQ_CHECKPOINT_OPTIONS_H
#define MXQ_CHECKPOINT_OPTIONS_H

#include "cli/checkpoint_plan.h"
#include "cli/quantize_options.h"

enum mxq_checkpoint_option {
    MXQ_OPT_INCLUDE = 768,
    MXQ_OPT_EXCLUDE,
    MXQ_OPT_TP,
    MXQ_OPT_DRY_RUN,
    MXQ_OPT_MEMORY,
    MXQ_OPT_RESUME,
    MXQ_OPT_DELETE_SOURCE,
    MXQ_OPT_NO_MEASURE,
    MXQ_OPT_CHECKPOINT_END
};

/* Rows for a command's table. */
#define MXQ_CHECKPOINT_OPTIONS                                                                                         \
    {MXQ_OPT_INCLUDE, "include", "PATTERN", "quantize what matches, instead of the default; see mxfp4q(1)"},           \
        {MXQ_OPT_EXCLUDE, "exclude", "PATTERN", "copy what matches; both may be given often"},                         \
        {MXQ_OPT_TP, "tp", "N", "warn of shapes that do not go into N tensor-parallel parts [1]"},                     \
        {MXQ_OPT_DRY_RUN, "dry-run", NULL, "print the plan and do nothing"},                                           \
        {MXQ_OPT_MEMORY, "memory", "BYTES", "memory to use: 64M, 1GiB [1GiB]"},                                        \
        {MXQ_OPT_RESUME, "resume", NULL, "go on where a run into OUT ended"},                                          \
        {MXQ_OPT_DELETE_SOURCE, "delete-source", NULL, "remove each source shard when its output is safe"},            \
    {                                                                                                                  \
        MXQ_OPT_NO_MEASURE, "no-measure", NULL, "leave SNR and MSE out of the report"                                  \
    }

struct mxq_checkpoint_settings {
    const char *format; /* the word, or NULL */
    size_t nincludes;
    size_t nexcludes;
    const char **includes; /* room for all of the command line */
    const char **excludes;
    int tp;
    bool dry_run;
    uint64_t memory_nbytes;
    bool resume;
    bool delete_source;
    bool no_measure;

    const char *first;   /* the first of the options above that was given, or NULL */
    const char *foreign; /* the first option that is only for matrices, or NULL */
    bool has_pad_fill;
    bool has_profile;
};

/* False: no memory, and the user knows. */
bool mxq_init_checkpoint_settings(struct mxq_checkpoint_settings *settings, int argc);
void mxq_free_checkpoint_settings(struct mxq_checkpoint_settings *settings);

static inline bool mxq_is_checkpoint_option(int opt)
{
    return opt >= MXQ_OPT_INCLUDE && opt < MXQ_OPT_CHECKPOINT_END;
}

/* One option of the rows above. False: its value is wrong, and the user has been told. */
bool mxq_parse_checkpoint_option(struct mxq_checkpoint_settings *settings, int opt, const char *value);

/* Notes any other option of mxfp4q quantize, as to whether it means something for a checkpoint. */
void mxq_note_quantize_option(struct mxq_checkpoint_settings *settings, int opt, const char *value);

/*
 * Once all are known: completes the request, whose profile is the format's unless one was given, and makes of both what the
 * plan takes. False: they do not go together, and the user has been told.
 */
bool mxq_complete_checkpoint_request(struct mxq_checkpoint_settings *settings, struct mxq_quantize_request *quantize,
                                     struct mxq_checkpoint_request *request);

/* The words of --format, of matrices and of checkpoints. */
const char *mxq_any_format_word(unsigned value);

#endif /* MXQ_CHECKPOINT_OPTIONS_H */
