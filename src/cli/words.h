/*
 * words.h - the words that options take, for mxq_parse_word(): NULL past the last
 */
#ifndef MXQ_WORDS_H
#define MXQ_WORDS_H

const char *mxq_dtype_word(unsigned value);
const char *mxq_scale_word(unsigned value);
const char *mxq_ties_word(unsigned value);
const char *mxq_sign_word(unsigned value);
const char *mxq_block_word(unsigned value);
const char *mxq_buffer_word(unsigned value);
const char *mxq_layout_word(unsigned value);
const char *mxq_format_word(unsigned value);
const char *mxq_profile_word(unsigned value);

/* One direction; and one or, with the value MXQ_NUM_DIRECTIONS, both. */
const char *mxq_direction_word(unsigned value);
const char *mxq_directions_word(unsigned value);

#endif /* MXQ_WORDS_H */
