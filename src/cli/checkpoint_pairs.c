/* checkpoint_pairs.c - which tensors of two checkpoints belong together */
#include "cli/checkpoint_diff.h"

#include <stdlib.h>
#include <string.h>

/* The MXFP4 tensor of this name that is stored the same way round, or else the other way round. */
static const struct mxq_packed *find_packed(const struct mxq_packed_list *list, const char *name,
                                            enum mxq_direction direction)
{
    const struct mxq_packed *same = mxq_find_packed(list, name, direction);

    return same != NULL ? same : mxq_find_packed(list, name, direction == MXQ_ROWWISE ? MXQ_COLUMNWISE : MXQ_ROWWISE);
}

/* The plan of a padded side for the rows and columns of one that is not. */
static bool lend_matrix(struct mxq_plan *plan, const struct mxq_packed *packed, const struct mxq_packed *from)
{
    *plan = packed->plan;
    if (packed->form != MXQ_PACKED_BUFFERS || from->form == MXQ_PACKED_BUFFERS)
        return true;
    return mxq_make_plan(plan, &packed->plan.options, from->plan.rows, from->plan.cols) == MXQ_OK &&
           plan->extent[MXQ_ROWWISE_DATA].nbytes == packed->plan.extent[MXQ_ROWWISE_DATA].nbytes &&
           plan->extent[MXQ_ROWWISE_SCALE].nbytes == packed->plan.extent[MXQ_ROWWISE_SCALE].nbytes;
}

static enum mxq_pair_kind judge_packed(struct mxq_tensor_pair *pair)
{
    const struct mxq_packed *test = pair->test_packed;
    const struct mxq_packed *golden = pair->golden_packed;

    if (!lend_matrix(&pair->test_plan, test, golden) || !lend_matrix(&pair->golden_plan, golden, test) ||
        test->nslices != golden->nslices || pair->test_plan.rows != pair->golden_plan.rows ||
        pair->test_plan.cols != pair->golden_plan.cols)
        return MXQ_PAIR_UNLIKE;
    return MXQ_PAIR_PACKED;
}

static enum mxq_pair_kind judge_plain(const struct mxq_st_tensor *test, const struct mxq_st_tensor *golden)
{
    if (test->dtype != golden->dtype || test->rank != golden->rank)
        return MXQ_PAIR_UNLIKE;
    for (unsigned i = 0; i < test->rank; i++)
        if (test->shape[i] != golden->shape[i])
            return MXQ_PAIR_UNLIKE;
    return MXQ_PAIR_PLAIN;
}

static struct mxq_tensor_pair *add_pair(struct mxq_checkpoint_diff *diff, const char *name)
{
    struct mxq_tensor_pair *pair = &diff->pairs[diff->npairs++];

    pair->name = name;
    return pair;
}

/* One of two directions of a weight, of which the other checkpoint has the other one alone: there is nothing to compare. */
static bool is_second_direction(const struct mxq_packed_list *own, const struct mxq_packed_list *other,
                                const struct mxq_packed *packed)
{
    const struct mxq_packed *there = find_packed(other, packed->name, packed->direction);

    return there != NULL && there->direction != packed->direction &&
           mxq_find_packed(own, packed->name, there->direction) != NULL;
}

static void pair_golden_packed(struct mxq_checkpoint_diff *diff, const struct mxq_packed *golden)
{
    struct mxq_tensor_pair *pair = add_pair(diff, golden->name);

    pair->golden_packed = golden;
    pair->direction = golden->direction;
    pair->test_packed = find_packed(&diff->test.list, golden->name, golden->direction);
    pair->test_plain = mxq_find_plain(&diff->test.list, golden->name);
    if (pair->test_packed != NULL)
        pair->kind = judge_packed(pair);
    else
        pair->kind = pair->test_plain != NULL ? MXQ_PAIR_UNLIKE : MXQ_PAIR_MISSING;
}

static void pair_golden_plain(struct mxq_checkpoint_diff *diff, const struct mxq_checkpoint_entry *golden)
{
    struct mxq_tensor_pair *pair = add_pair(diff, golden->name);

    pair->golden_plain = golden;
    pair->test_plain = mxq_find_plain(&diff->test.list, golden->name);
    if (pair->test_plain != NULL) {
        pair->kind = judge_plain(mxq_tensor_at(diff->test.checkpoint, pair->test_plain),
                                 mxq_tensor_at(diff->golden.checkpoint, golden));
        return;
    }
    pair->test_packed = find_packed(&diff->test.list, golden->name, MXQ_ROWWISE);
    pair->kind = pair->test_packed != NULL ? MXQ_PAIR_UNLIKE : MXQ_PAIR_MISSING;
}

static bool golden_has(const struct mxq_checkpoint_diff *diff, const char *name, enum mxq_direction direction)
{
    return find_packed(&diff->golden.list, name, direction) != NULL || mxq_find_plain(&diff->golden.list, name) != NULL;
}

static void pair_extra(struct mxq_checkpoint_diff *diff)
{
    for (size_t i = 0; i < diff->test.list.npacked; i++) {
        const struct mxq_packed *test = &diff->test.list.packed[i];
        if (golden_has(diff, test->name, test->direction))
            continue;
        struct mxq_tensor_pair *pair = add_pair(diff, test->name);
        pair->kind = MXQ_PAIR_EXTRA;
        pair->direction = test->direction;
        pair->test_packed = test;
    }
    for (size_t i = 0; i < diff->test.list.nplain; i++) {
        const struct mxq_checkpoint_entry *test = &diff->test.list.plain[i];
        if (golden_has(diff, test->name, MXQ_ROWWISE))
            continue;
        struct mxq_tensor_pair *pair = add_pair(diff, test->name);
        pair->kind = MXQ_PAIR_EXTRA;
        pair->test_plain = test;
    }
}

bool mxq_pair_tensors(struct mxq_checkpoint_diff *diff)
{
    const struct mxq_packed_list *test = &diff->test.list;
    const struct mxq_packed_list *golden = &diff->golden.list;

    diff->pairs = calloc(test->npacked + test->nplain + golden->npacked + golden->nplain + 1, sizeof(*diff->pairs));
    if (diff->pairs == NULL)
        return false;
    for (size_t i = 0; i < golden->npacked; i++)
        if (!is_second_direction(golden, test, &golden->packed[i]))
            pair_golden_packed(diff, &golden->packed[i]);
    for (size_t i = 0; i < golden->nplain; i++)
        pair_golden_plain(diff, &golden->plain[i]);
    pair_extra(diff);
    return true;
}
