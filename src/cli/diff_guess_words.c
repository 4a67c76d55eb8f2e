/* diff_guess_words.c - saying which other readings fit */
#include "cli/diff_guess.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* More than there are kinds of actions on both sides in two directions. */
#define MAX_ACTIONS 16

/* What has to be done to buffers of one side: to data, scales or both (parts), in some directions. Bits. */
struct action {
    enum {
        CROSS,
        UNSHUFFLE,
        LINEAR,
        UNPADDED,
        PADDED,
        CUBLAS,
        TURN,
        SWAP,
        GGML
    } kind;
    enum mxq_guess_side side;
    unsigned parts;
    unsigned directions;
};

struct plan {
    struct action action[MAX_ACTIONS];
    size_t nactions;
    unsigned directions; /* all that are compared */
};

void mxq_guess_append(char text[MXQ_GUESS_TEXT_NBYTES], const char *format, ...)
{
    const size_t used = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + used, MXQ_GUESS_TEXT_NBYTES - used, format, args);
    va_end(args);
}

void mxq_guess_append_share(char text[MXQ_GUESS_TEXT_NBYTES], uint64_t same, uint64_t total)
{
    const double tenths = total == 0 ? 0 : (double)same / (double)total * 1000;
    uint64_t rounded = (uint64_t)(tenths + 0.5);

    if (rounded >= 1000 && same < total)
        rounded = 999;
    mxq_guess_append(text, "%u.%u %%", (unsigned)(rounded / 10), (unsigned)(rounded % 10));
}

/* ---------------------------------------------------------------------------------------------- actions */

static void add_action(struct plan *plan, int kind, enum mxq_guess_side side, unsigned part, unsigned direction)
{
    struct action *action = plan->action;

    for (size_t i = 0; i < plan->nactions; i++, action++) {
        if ((int)action->kind == kind && action->side == side && action->directions == 1u << direction) {
            action->parts |= 1u << part;
            return;
        }
    }
    if (plan->nactions == MAX_ACTIONS)
        return;
    memset(action, 0, sizeof(*action));
    action->kind = (unsigned)kind;
    action->side = side;
    action->parts = 1u << part;
    action->directions = 1u << direction;
    plan->nactions++;
}

static int kind_of_order(const struct mxq_guess *guess, const struct mxq_guess_reading *reading,
                         enum mxq_guess_side side)
{
    const struct mxq_stored *stored = side == MXQ_GUESS_TEST ? guess->diff->test : guess->diff->golden;
    const struct mxq_extent *extent = &stored->plan.extent[reading->buffer];

    switch (reading->order) {
    case MXQ_GUESS_AITER:
        return UNSHUFFLE;
    case MXQ_GUESS_CUBLAS:
        return CUBLAS;
    case MXQ_GUESS_TURNED:
        return TURN;
    default:
        if (reading->tight)
            return UNPADDED;
        return extent->rows == extent->valid_rows && extent->cols == extent->valid_cols ? LINEAR : PADDED;
    }
}

static void add_reading(struct plan *plan, const struct mxq_guess *guess, const struct mxq_guess_fit *fit,
                        unsigned part, unsigned direction)
{
    const struct mxq_guess_reading *reading = &fit->reading[fit->side];

    if (reading->crossed)
        add_action(plan, CROSS, fit->side, part, direction);
    if (reading->moved)
        add_action(plan, kind_of_order(guess, reading, fit->side), fit->side, part, direction);
    if (reading->twist == MXQ_GUESS_SWAPPED || reading->twist == MXQ_GUESS_GGML_SWAPPED)
        add_action(plan, SWAP, fit->side, part, direction);
    if (reading->twist == MXQ_GUESS_GGML || reading->twist == MXQ_GUESS_GGML_SWAPPED)
        add_action(plan, GGML, fit->side, part, direction);
}

/* The same action in both directions is one. */
static void join_directions(struct plan *plan)
{
    for (size_t i = 0; i < plan->nactions; i++) {
        struct action *a = &plan->action[i];
        for (size_t j = i + 1; j < plan->nactions; j++) {
            const struct action *b = &plan->action[j];
            if (a->kind != b->kind || a->side != b->side || a->parts != b->parts)
                continue;
            a->directions |= b->directions;
            plan->nactions--;
            memmove(&plan->action[j], &plan->action[j + 1], (plan->nactions - j) * sizeof(*a));
            break;
        }
    }
}

static void plan_account(const struct mxq_guess *guess, const struct mxq_guess_account *account, struct plan *plan)
{
    memset(plan, 0, sizeof(*plan));
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        if (guess->sample[d].nblocks == 0)
            continue;
        plan->directions |= 1u << d;
        for (unsigned part = 0; part < MXQ_GUESS_NUM_PARTS; part++)
            if (account->fit[d][part].changed)
                add_reading(plan, guess, &account->fit[d][part], part, d);
    }
    join_directions(plan);
}

/* ---------------------------------------------------------------------------------------------- words */

static const char *parts_name(unsigned parts)
{
    static const char *const names[] = {"", "data", "scales", "data and scales"};

    return names[parts & 3];
}

static const char *side_name(enum mxq_guess_side side)
{
    return side == MXQ_GUESS_TEST ? "TEST" : "GOLDEN";
}

/* "TEST's rowwise data and scales"; the direction where it is not all that are compared. */
static void append_object(char text[MXQ_GUESS_TEXT_NBYTES], const struct plan *plan, const struct action *action)
{
    mxq_guess_append(text, "%s's ", side_name(action->side));
    if (action->directions != plan->directions)
        mxq_guess_append(text, "%s ", mxq_direction_name(action->directions >> 1));
    mxq_guess_append(text, "%s", parts_name(action->parts));
}

/* One direction of a side is what the other side has in the other direction; or both are. */
static void append_crossing(char text[MXQ_GUESS_TEXT_NBYTES], const struct action *action)
{
    const bool of_test = action->side == MXQ_GUESS_TEST;
    const unsigned direction = action->directions >> 1;

    if (action->directions == 3)
        mxq_guess_append(text, "swapping %s's rowwise and columnwise %s", side_name(action->side),
                         parts_name(action->parts));
    else
        mxq_guess_append(text, "comparing TEST's %s with GOLDEN's %s %s",
                         mxq_direction_name(of_test ? !direction : direction),
                         mxq_direction_name(of_test ? direction : !direction), parts_name(action->parts));
}

static void append_action(char text[MXQ_GUESS_TEXT_NBYTES], const struct plan *plan, const struct action *action)
{
    static const char *const before[] = {"",
                                         "unshuffling ",
                                         "taking ",
                                         "taking ",
                                         "taking ",
                                         "taking ",
                                         "transposing the bytes of ",
                                         "swapping the nibbles of ",
                                         "undoing ggml's order in "};
    static const char *const after[] = {
        "", "", " as linear", " as linear without padding", " as padded but not shuffled", " as in 128x4 order", "",
        "", ""};

    if (action->kind == CROSS) {
        append_crossing(text, action);
        return;
    }
    mxq_guess_append(text, "%s", before[action->kind]);
    append_object(text, plan, action);
    mxq_guess_append(text, "%s", after[action->kind]);
}

/* What matches: nothing said means everything. */
static void append_subject(char text[MXQ_GUESS_TEXT_NBYTES], const struct plan *plan, bool exactly)
{
    unsigned parts = 0, directions = 0;

    for (size_t i = 0; i < plan->nactions; i++) {
        parts |= plan->action[i].parts;
        directions |= plan->action[i].directions;
    }
    if (!exactly)
        mxq_guess_append(text, " match in ");
    if (directions != plan->directions)
        mxq_guess_append(text, "%s ", mxq_direction_name(directions >> 1));
    mxq_guess_append(text, "%s", parts_name(parts));
    if (exactly)
        mxq_guess_append(text, parts == 1 ? " matches exactly" : " match exactly");
}

/* How many match, where that is not exactly all. */
static void append_count(char text[MXQ_GUESS_TEXT_NBYTES], const struct mxq_guess_account *account)
{
    const uint64_t differ = account->total - account->same;
    const bool confirmed = account->whole && account->sample_same == account->sample_total;

    if (differ == 0) {
        mxq_guess_append(text, "all of ");
    } else if (confirmed) {
        mxq_guess_append(text, "all but %llu of ", (unsigned long long)differ);
    } else {
        mxq_guess_append_share(text, account->same, account->total);
        mxq_guess_append(text, " of ");
    }
    mxq_guess_append(text, account->whole ? "%llu blocks" : "a sample of %llu blocks",
                     (unsigned long long)account->total);
}

void mxq_guess_describe(const struct mxq_guess *guess, const struct mxq_guess_account *account,
                        char text[MXQ_GUESS_TEXT_NBYTES])
{
    const bool exactly = account->whole && account->same == account->total;
    struct plan plan;

    plan_account(guess, account, &plan);
    text[0] = '\0';
    if (!exactly)
        append_count(text, account);
    if (account->partial)
        append_subject(text, &plan, exactly);
    else
        mxq_guess_append(text, exactly ? "matches exactly" : " match");
    mxq_guess_append(text, " after ");
    for (size_t i = 0; i < plan.nactions; i++) {
        if (i > 0)
            mxq_guess_append(text, i + 1 == plan.nactions ? " and " : ", ");
        append_action(text, &plan, &plan.action[i]);
    }
}
