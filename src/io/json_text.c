/* json_text.c - walking and changing JSON as text */
#include "io/json_text.h"

#include <stdlib.h>
#include <string.h>

/* ---- walking */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct mxq_json_text *text)
{
    while (text->at < text->end && is_space(*text->at))
        text->at++;
}

static bool skip_char(struct mxq_json_text *text, char c)
{
    skip_space(text);
    if (text->at == text->end || *text->at != c)
        return false;
    text->at++;
    return true;
}

/* Past the string that begins here. */
static bool skip_string(struct mxq_json_text *text)
{
    if (!skip_char(text, '"'))
        return false;
    while (text->at < text->end) {
        const char c = *text->at++;
        if (c == '"')
            return true;
        if (c == '\\' && text->at < text->end)
            text->at++;
    }
    return false;
}

/* Past the brackets that open here, whatever is between them. */
static bool skip_brackets(struct mxq_json_text *text)
{
    size_t depth = 0;

    while (text->at < text->end) {
        const char c = *text->at;
        if (c == '"') {
            if (!skip_string(text))
                return false;
            continue;
        }
        text->at++;
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            return true;
    }
    return false;
}

static bool skip_value(struct mxq_json_text *text)
{
    const char *start;

    skip_space(text);
    if (text->at == text->end)
        return false;
    if (*text->at == '"')
        return skip_string(text);
    if (*text->at == '{' || *text->at == '[')
        return skip_brackets(text);
    start = text->at;
    while (text->at < text->end && !is_space(*text->at) && strchr(",]}", *text->at) == NULL)
        text->at++;
    return text->at != start;
}

bool mxq_start_json_walk(struct mxq_json_walk *walk, struct mxq_json_text text)
{
    walk->rest = text;
    walk->first = true;
    walk->done = false;
    return skip_char(&walk->rest, '{');
}

int mxq_next_json_member(struct mxq_json_walk *walk, struct mxq_json_member *member)
{
    struct mxq_json_text *rest = &walk->rest;

    if (skip_char(rest, '}')) {
        walk->done = true;
        return 0;
    }
    if (!walk->first && !skip_char(rest, ','))
        return -1;
    walk->first = false;
    skip_space(rest);
    member->key.at = rest->at;
    if (!skip_string(rest))
        return -1;
    member->key.end = rest->at;
    if (!skip_char(rest, ':'))
        return -1;
    skip_space(rest);
    member->value.at = rest->at;
    if (!skip_value(rest))
        return -1;
    member->value.end = rest->at;
    return 1;
}

bool mxq_is_json_space(struct mxq_json_text text)
{
    skip_space(&text);
    return text.at == text.end;
}

json_t *mxq_load_json_part(struct mxq_json_text part, size_t flags)
{
    return json_loadb(part.at, (size_t)(part.end - part.at), flags | JSON_DECODE_ANY, NULL);
}

/* ---- changing */

static bool is_key(struct mxq_json_text text, const char *key)
{
    json_t *string = mxq_load_json_part(text, 0);
    const bool same = json_is_string(string) && strcmp(json_string_value(string), key) == 0;

    json_decref(string);
    return same;
}

/* Where in an object a member is, or would be. */
struct place {
    bool found;
    struct mxq_json_member member;
    struct mxq_json_text before; /* what separates it from the member before it, or from the brace */
    bool is_first;
    bool is_last;
    bool is_empty;        /* the object */
    const char *last_end; /* where the last member ends, or the brace does */
};

static bool find_member(struct mxq_json_text object, const char *key, struct place *place)
{
    struct mxq_json_walk walk;
    struct mxq_json_member member;
    int more;

    memset(place, 0, sizeof(*place));
    if (!mxq_start_json_walk(&walk, object))
        return false;
    place->is_empty = true;
    place->last_end = walk.rest.at;
    while ((more = mxq_next_json_member(&walk, &member)) == 1) {
        place->is_last = false;
        if (!place->found && is_key(member.key, key)) {
            place->found = place->is_last = true;
            place->is_first = place->is_empty;
            place->member = member;
            place->before = (struct mxq_json_text){place->last_end, member.key.at};
        }
        place->is_empty = false;
        place->last_end = member.value.end;
    }
    return more == 0;
}

/* The value as text for a member at this depth of an object that is indented by two spaces a level. */
static char *print_value(const json_t *value, unsigned depth)
{
    char *plain = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);
    size_t nlines = 0;
    char *text, *to;

    if (plain == NULL)
        return NULL;
    for (const char *p = plain; *p != '\0'; p++)
        nlines += *p == '\n';
    text = to = calloc(strlen(plain) + nlines * 2 * depth + 1, 1);
    for (const char *p = plain; text != NULL && *p != '\0'; p++) {
        *to++ = *p;
        if (*p == '\n') {
            memset(to, ' ', (size_t)2 * depth);
            to += (size_t)2 * depth;
        }
    }
    free(plain);
    return text;
}

/* text with the part from cut up to end replaced by up to three strings. */
static char *replace_part(struct mxq_json_text text, const char *cut, const char *end, const char *const with[3])
{
    const size_t head = (size_t)(cut - text.at), tail = (size_t)(text.end - end);
    const size_t nbytes = head + strlen(with[0]) + strlen(with[1]) + strlen(with[2]) + tail;
    char *result = malloc(nbytes + 1);
    char *to = result;

    if (result == NULL)
        return NULL;
    memcpy(to, text.at, head);
    to += head;
    for (unsigned i = 0; i < 3; i++) {
        memcpy(to, with[i], strlen(with[i]));
        to += strlen(with[i]);
    }
    memcpy(to, end, tail);
    to[tail] = '\0';
    return result;
}

static char *remove_member(struct mxq_json_text text, const struct place *place)
{
    static const char *const nothing[3] = {"", "", ""};
    const char *end = place->member.value.end;

    if (!place->found)
        return replace_part(text, text.end, text.end, nothing);
    if (!place->is_first || place->is_last) /* with the comma before it, if there is one */
        return replace_part(text, place->before.at, end, nothing);
    while (*end != ',')
        end++;
    end++;
    while (is_space(*end))
        end++;
    return replace_part(text, place->member.key.at, end, nothing);
}

static char *put_member(struct mxq_json_text text, const struct place *place, const char *key, const char *value,
                        unsigned depth)
{
    char start[256];
    const int length =
        snprintf(start, sizeof(start), "%s\n%*s\"%s\": ", place->is_empty ? "" : ",", (int)(2 * depth), "", key);
    char close[16];

    if (place->found)
        return replace_part(text, place->member.value.at, place->member.value.end,
                            (const char *const[3]){value, "", ""});
    if (length < 0 || (size_t)length >= sizeof(start))
        return NULL;
    snprintf(close, sizeof(close), "\n%*s", (int)(2 * (depth - 1)), "");
    return replace_part(text, place->last_end, place->last_end,
                        (const char *const[3]){start, value, place->is_empty ? close : ""});
}

char *mxq_set_json_member(struct mxq_json_text text, const char *parent, const char *key, const json_t *value)
{
    const unsigned depth = parent != NULL ? 2 : 1;
    struct mxq_json_text object = text;
    struct place place;
    char *printed, *result;

    if (parent != NULL) {
        if (!find_member(text, parent, &place) || !place.found)
            return NULL;
        object = place.member.value;
    }
    if (!find_member(object, key, &place))
        return NULL;
    if (value == NULL)
        return remove_member(text, &place);
    printed = print_value(value, depth);
    result = printed != NULL ? put_member(text, &place, key, printed, depth) : NULL;
    free(printed);
    return result;
}

/* ---- Python's JSON */

static size_t match_nonfinite(struct mxq_json_text text)
{
    static const char *const words[] = {"NaN", "Infinity", "-Infinity"};

    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        const size_t length = strlen(words[i]);
        if ((size_t)(text.end - text.at) >= length && memcmp(text.at, words[i], length) == 0)
            return length;
    }
    return 0;
}

json_t *mxq_load_python_json(struct mxq_json_text text, json_error_t *error)
{
    /* A word of three letters becomes one of four. */
    char *plain = malloc(2 * (size_t)(text.end - text.at) + 1);
    size_t nbytes = 0;
    json_t *json;

    memset(error, 0, sizeof(*error));
    if (plain == NULL)
        return NULL;
    while (text.at < text.end) {
        const char *start = text.at;
        size_t length = match_nonfinite(text);
        if (length != 0) {
            memcpy(plain + nbytes, "null", 4);
            nbytes += 4;
            text.at += length;
            continue;
        }
        if (*start != '"' || !skip_string(&text))
            text.at = start + 1;
        length = (size_t)(text.at - start);
        memcpy(plain + nbytes, start, length);
        nbytes += length;
    }
    json = json_loadb(plain, nbytes, JSON_REJECT_DUPLICATES, error);
    free(plain);
    return json;
}
