/*
 * json_text.h - JSON as text: walking an object without making a tree of it, and changing one member of it
 *
 * Whoever walks takes the members apart and gives each to jansson, which says whether it is right. So a text of a hundred
 * megabytes never becomes a tree of several gigabytes, and a text that is changed stays what it was elsewhere.
 */
#ifndef MXQ_JSON_TEXT_H
#define MXQ_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* A part of a text, from at up to end, which is not in it. */
struct mxq_json_text {
    const char *at;
    const char *end;
};

struct mxq_json_walk {
    struct mxq_json_text rest; /* what has not been looked at */
    bool first;
    bool done; /* the closing brace has been passed */
};

struct mxq_json_member {
    struct mxq_json_text key; /* with its quotation marks */
    struct mxq_json_text value;
};

/* Starts at an object, which white space may precede. False: there is none. */
bool mxq_start_json_walk(struct mxq_json_walk *walk, struct mxq_json_text text);

/* The next member: 1; 0 when the object ends, walk->rest being what follows it; -1: no JSON. */
int mxq_next_json_member(struct mxq_json_walk *walk, struct mxq_json_member *member);

/* Whether only white space is left. */
bool mxq_is_json_space(struct mxq_json_text text);

/* The value of a part, which must be the whole part, with jansson's flags; NULL: it is none, or there is no memory. */
json_t *mxq_load_json_part(struct mxq_json_text part, size_t flags);

/*
 * The object in text, white space or nothing following it, with the member key set to value, or without it when value is
 * NULL; the rest is as it was. parent: the member is one of that member, which is an object; or NULL. The result is
 * terminated, to be freed. NULL: text is not such an object, or there is no memory.
 */
char *mxq_set_json_member(struct mxq_json_text text, const char *parent, const char *key, const json_t *value);

/*
 * Loads an object from text that Python's json module may have written: NaN and infinities, which JSON does not have,
 * become null. NULL, with *error filled in, when it cannot.
 */
json_t *mxq_load_python_json(struct mxq_json_text text, json_error_t *error);

#endif /* MXQ_JSON_TEXT_H */
