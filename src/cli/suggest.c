/* suggest.c - names that the user may have meant */
#include "cli/suggest.h"

#include <stdio.h>
#include <string.h>

#define MAX_LENGTH 31
#define MAX_NAMES 3
#define FAR 1000

static size_t smallest(size_t a, size_t b, size_t c)
{
    const size_t ab = a < b ? a : b;

    return ab < c ? ab : c;
}

/* Letters to insert, to remove or to replace. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[MAX_LENGTH + 1];
    const size_t length = strlen(b);

    if (length > MAX_LENGTH || strlen(a) > MAX_LENGTH)
        return FAR;
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < length; j++) {
            const size_t replaced = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = smallest(replaced, row[j] + 1, row[j + 1] + 1);
        }
    }
    return row[length];
}

static bool begins_or_ends_with(const char *whole, const char *part)
{
    const size_t length = strlen(part);

    return length >= 2 && strlen(whole) >= length &&
           (strncmp(whole, part, length) == 0 || strcmp(whole + strlen(whole) - length, part) == 0);
}

/* 0 is nearest; FAR is too far to be meant. */
static size_t find_distance(const char *text, const char *name)
{
    const size_t length = strlen(text);
    const size_t distance = edit_distance(text, name);

    if (distance <= 1)
        return distance;
    if (begins_or_ends_with(name, text) || begins_or_ends_with(text, name))
        return 1;
    return distance <= length / 3 ? distance : FAR;
}

void mxq_suggest_names(const char *text, mxq_name_func name, char *suggestion, size_t nbytes)
{
    const char *names[MAX_NAMES] = {NULL};
    size_t nnames = 0;

    for (size_t distance = 0; distance < MAX_LENGTH; distance++)
        for (unsigned i = 0; name(i) != NULL && nnames < MAX_NAMES; i++)
            if (find_distance(text, name(i)) == distance)
                names[nnames++] = name(i);
    suggestion[0] = '\0';
    for (size_t i = 0; i < nnames; i++) {
        const size_t length = strlen(suggestion);
        snprintf(suggestion + length, nbytes - length, "%s%s", i == 0 ? "" : i + 1 < nnames ? ", " : " or ", names[i]);
    }
}
