/*
 * readback.h - reading results, for every command that does: the options that say how, and panels of one
 */
#ifndef MXQ_READBACK_H
#define MXQ_READBACK_H

#include "cli/options.h"
#include "io/stored.h"

enum mxq_readback_option {
    MXQ_OPT_SCALE_FILE = 640,
    MXQ_OPT_FROM_LAYOUT,
    MXQ_OPT_FROM_NIBBLES,
    MXQ_OPT_MATRIX,
    MXQ_OPT_RAW,
    MXQ_OPT_NO_VERIFY,
    MXQ_OPT_READBACK_END
};

/* Rows for a command's table. */
#define MXQ_READBACK_OPTIONS                                                                                           \
    {MXQ_OPT_SCALE_FILE, "scale-file", "FILE", "RESULT is data without a manifest; its scales are here"},              \
        {MXQ_OPT_FROM_LAYOUT, "from-layout", "LAYOUT", "without a manifest: aiter or linear; data,scale [linear]"},    \
        {MXQ_OPT_FROM_NIBBLES, "from-nibbles", "ORDER", "without a manifest: the even value is low or high [low]"},    \
        {MXQ_OPT_MATRIX, "shape", "SHAPE", "without a manifest: rows and columns of the matrix"},                      \
        {MXQ_OPT_RAW, "raw", NULL, "without a manifest: files are raw whatever their names are"},                      \
    {                                                                                                                  \
        MXQ_OPT_NO_VERIFY, "no-verify", NULL, "do not compare checksums with those in the manifest"                    \
    }

struct mxq_readback_request {
    struct mxq_stored_spec spec;
    int direction;   /* an enum mxq_direction; -1: not given */
    bool is_bare;    /* something was said that is for results without a manifest */
    bool has_layout; /* --from-layout, --from-nibbles or --scale-file */
    bool no_verify;
};

/* No options given; warnings go to the user. */
void mxq_init_readback_request(struct mxq_readback_request *request);

static inline bool mxq_is_readback_option(int opt)
{
    return opt >= MXQ_OPT_SCALE_FILE && opt < MXQ_OPT_READBACK_END;
}

/* False: the value is wrong, and the user has been told. */
bool mxq_parse_readback_option(struct mxq_readback_request *request, int opt, const char *value);

/* The orders of nibbles, "low" and "high", for mxq_parse_word(). */
const char *mxq_nibbles_word(unsigned value);

/* A result that is read, and the shares of the panel that was read last. */
struct mxq_readback {
    struct mxq_stored *stored;
    struct mxq_origin origin[MXQ_NUM_BUFFERS];
    uint8_t *bytes[MXQ_NUM_BUFFERS]; /* internal */
    uint64_t room[MXQ_NUM_BUFFERS];  /* internal */
};

/* Opens the result at path and compares its checksums. On failure there is nothing to close. */
bool mxq_open_readback(struct mxq_readback_request *request, const char *path, struct mxq_readback *readback,
                       struct mxq_fault *fault);

/* Reads the shares of the panel, in the buffers of the direction that are there, into origin. */
bool mxq_read_direction(struct mxq_readback *readback, const struct mxq_panel *panel, enum mxq_direction direction,
                        struct mxq_fault *fault);

/* Whether data (scales) of this direction are there, and both. */
bool mxq_readback_has(const struct mxq_readback *readback, enum mxq_direction direction);
bool mxq_readback_has_both(const struct mxq_readback *readback, enum mxq_direction direction);

/*
 * The direction to decode: the one that was asked for, or else rowwise when it is there. A fault when it is not, or when
 * it lacks data or scales.
 */
bool mxq_choose_direction(const struct mxq_readback *readback, int asked, const char *path,
                          enum mxq_direction *direction, struct mxq_fault *fault);

/* A fault, with the reason, when the direction is not in the result. */
bool mxq_check_direction(const struct mxq_readback *readback, enum mxq_direction direction, const char *path,
                         struct mxq_fault *fault);

void mxq_close_readback(struct mxq_readback *readback);

#endif /* MXQ_READBACK_H */
