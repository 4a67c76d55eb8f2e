/*
 * quantize_options.h - the options that say what is made of a tensor and where it goes, for every command that quantizes
 */
#ifndef MXQ_QUANTIZE_OPTIONS_H
#define MXQ_QUANTIZE_OPTIONS_H

#include "cli/job.h"
#include "cli/options.h"

enum mxq_quantize_option {
    MXQ_OPT_DIRECTION = 256,
    MXQ_OPT_PROFILE,
    MXQ_OPT_SCALE,
    MXQ_OPT_TIES,
    MXQ_OPT_SIGN,
    MXQ_OPT_ZERO_BYTE,
    MXQ_OPT_HADAMARD,
    MXQ_OPT_HADAMARD_SIGNS,
    MXQ_OPT_HADAMARD_SEED,
    MXQ_OPT_SEED,
    MXQ_OPT_BLOCK,
    MXQ_OPT_AMAX_FLOOR,
    MXQ_OPT_NONFINITE,
    MXQ_OPT_LAYOUT,
    MXQ_OPT_SHUFFLE,
    MXQ_OPT_PAD_FILL,
    MXQ_OPT_TAIL,
    MXQ_OPT_FORMAT,
    MXQ_OPT_GZIP,
    MXQ_OPT_ONLY,
    MXQ_OPT_NO_FSYNC,
    MXQ_OPT_KERNEL,
    MXQ_OPT_DEVICE,
    MXQ_OPT_REPORT,
    MXQ_OPT_JSON,
    MXQ_OPT_PROGRESS,
};

/* Rows for a command's table; its output options, -o above all, are its own to describe. */
#define MXQ_OUTPUT_OPTIONS MXQ_FORMAT_OPTIONS("npy, raw or npz [npy]")

/* The same with a text for --format. */
#define MXQ_FORMAT_OPTIONS(format_help)                                                                                \
    {'f', "force", NULL, "replace existing outputs"}, {MXQ_OPT_FORMAT, "format", "FORMAT", format_help},               \
        {MXQ_OPT_GZIP, "gzip", NULL, "compress the outputs"},                                                          \
        {MXQ_OPT_ONLY, "only", "BUFFER",                                                                               \
         "write one buffer: rowwise_data, rowwise_scale, columnwise_data, columnwise_scale"},                          \
    {                                                                                                                  \
        MXQ_OPT_NO_FSYNC, "no-fsync", NULL, "do not wait until the outputs are on the disk"                            \
    }

/* seed: how the command calls the seed of stochastic rounding. */
#define MXQ_RECIPE_OPTIONS(seed_)                                                                                      \
    {MXQ_OPT_DIRECTION, "direction", "DIRECTION", "rowwise, columnwise or both [both]"},                               \
        {MXQ_OPT_PROFILE, "profile", "PROFILE", "the peer whose bytes are made [te-hip]"},                             \
        {MXQ_OPT_SCALE, "scale", "RULE", "even, floor, ceil, rceil, even-above, nearlog [the profile's]"},             \
        {MXQ_OPT_TIES, "ties", "RULE", "ties go to even, away, zero; or all stochastic [the profile's]"},              \
        {MXQ_OPT_SEED, seed_, "S", "of the random bits of stochastic, 0 to 2^64 - 1 [0]"},                             \
        {MXQ_OPT_SIGN, "sign", "RULE", "signs of zeros: keep, value, drop, nonpositive [the profile's]"},              \
        {MXQ_OPT_ZERO_BYTE, "zero-byte", "N", "scale byte of a block of zeros, 0 to 254 [the profile's]"},             \
        {MXQ_OPT_AMAX_FLOOR, "amax-floor", "X", "a smaller amax counts as X; 0 for none [the profile's]"},             \
        {MXQ_OPT_BLOCK, "block", "SHAPE", "values with one scale: 1x32, or 32x32 for tiles [1x32]"},                   \
        {MXQ_OPT_HADAMARD, "hadamard", "[=N]", "transform 16, 32, 64 or 128 values at a time by a Hadamard matrix"},   \
        {MXQ_OPT_HADAMARD_SIGNS, "hadamard-signs", "HEX",                                                              \
         "negate value i of a block first where bit i is set; implies --hadamard"},                                    \
        {MXQ_OPT_HADAMARD_SEED, "hadamard-seed", "S", "draw the signs from this seed; implies --hadamard"},            \
    {                                                                                                                  \
        MXQ_OPT_NONFINITE, "nonfinite", "POLICY",                                                                      \
            "infinities and NaNs: error, or profile to do as the peer does [error]"                                    \
    }

#define MXQ_LAYOUT_OPTIONS                                                                                             \
    {MXQ_OPT_LAYOUT, "layout", "LAYOUT", "of all buffers: aiter (shuffled) or linear [aiter]"},                        \
        {MXQ_OPT_SHUFFLE, "shuffle", "LIST", "exactly these buffers are shuffled: names with commas, all, none"},      \
        {MXQ_OPT_PAD_FILL, "pad-fill", "N", "scale byte in padding, 0 to 255 [the profile's]"},                        \
    {                                                                                                                  \
        MXQ_OPT_TAIL, "tail", "POLICY", "rows that end within a block: pad, or error [pad]"                            \
    }

#define MXQ_RUNNING_OPTIONS                                                                                            \
    {'j', "jobs", "N", "threads [all CPUs]"},                                                                          \
        {MXQ_OPT_KERNEL, "kernel", "NAME", "the variant to run, see mxfp4q devices [the fastest]"},                    \
    {                                                                                                                  \
        MXQ_OPT_DEVICE, "device", "DEVICE", "auto, cpu, gpu, gpu:N or gpu:all, see mxfp4q devices [auto]"              \
    }

#define MXQ_MESSAGE_OPTIONS                                                                                            \
    {MXQ_OPT_REPORT, "report", NULL, "print SNR, MSE, cosine, largest error and saturated share"},                     \
        {MXQ_OPT_JSON, "json", NULL, "print manifests and reports as JSON"},                                           \
        {'q', "quiet", NULL, "no warnings, no progress"}, {'v', "verbose", NULL, "say what is done"},                  \
        {MXQ_OPT_PROGRESS, "progress", NULL, "show progress even when standard error is no terminal"},                 \
    {                                                                                                                  \
        'h', "help", NULL, "print this help"                                                                           \
    }

/* What the options said; some can be understood only when all are known. Read settings, json and help. */
struct mxq_quantize_request {
    struct mxq_settings settings; /* complete after mxq_complete_quantize_request() */
    bool json;
    bool help;

    const char *profile;
    const char *kernel;
    const char *layout;
    const char *shuffle;
    const char *seed_option; /* the name of the one that was given */
    bool has_scale, has_ties, has_sign, has_block, has_zero_byte, has_amax_floor, has_pad_fill, has_signs;
    unsigned scale, ties, sign, block;
    uint64_t zero_byte, pad_fill, seed;
    uint32_t amax_floor;
    unsigned hadamard_nelems;
    uint32_t hadamard_signs[MXQ_HADAMARD_NWORDS];
};

/* No options given, all CPUs. */
void mxq_init_quantize_request(struct mxq_quantize_request *request);

/*
 * One option of the rows above, -o, or of MXQ_INPUT_OPTIONS. False: it is none of them, or its value is wrong, and the user
 * has been told. value must stay valid.
 */
bool mxq_parse_quantize_option(struct mxq_quantize_request *request, int opt, const char *value);

/* Once all are known: the profile, the switches that change it, layouts, directions, the kernel. */
bool mxq_complete_quantize_request(struct mxq_quantize_request *request);

/* Prints what mxq_run_job() reports, as --json and --report ask for it. False: there was no memory, and the user knows. */
bool mxq_print_job_reports(const struct mxq_quantize_request *request, const json_t *reports);

#endif /* MXQ_QUANTIZE_OPTIONS_H */
