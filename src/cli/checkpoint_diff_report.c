/* checkpoint_diff_report.c - telling what a comparison of two checkpoints found, to a person and as JSON */
#include "cli/checkpoint_diff.h"
#include "cli/diff.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------------------------------------- sums */

struct totals {
    size_t packed; /* pairs of MXFP4 tensors, and other ones */
    size_t plain;
    size_t identical;
    size_t differing; /* within the rules or not */
    size_t missing;
    size_t extra;
    struct mxq_comparison sum;
};

static struct totals count_pairs(const struct mxq_checkpoint_diff *diff)
{
    struct totals totals;

    memset(&totals, 0, sizeof(totals));
    for (size_t i = 0; i < diff->npairs; i++) {
        const struct mxq_tensor_pair *pair = &diff->pairs[i];
        totals.packed += pair->kind == MXQ_PAIR_PACKED;
        totals.plain += pair->kind == MXQ_PAIR_PLAIN;
        totals.missing += pair->kind == MXQ_PAIR_MISSING;
        totals.extra += pair->kind == MXQ_PAIR_EXTRA;
        totals.identical += mxq_pair_is_equal(pair);
        totals.differing +=
            pair->kind == MXQ_PAIR_UNLIKE ||
            ((pair->kind == MXQ_PAIR_PACKED || pair->kind == MXQ_PAIR_PLAIN) && !mxq_pair_is_equal(pair));
        if (pair->kind == MXQ_PAIR_PACKED)
            mxq_add_comparison(&totals.sum, &pair->sum);
    }
    return totals;
}

static const char *verdict_of(const struct mxq_checkpoint_diff *diff)
{
    if (!mxq_checkpoint_diff_passes(diff))
        return "different";
    for (size_t i = 0; i < diff->npairs; i++)
        if (!mxq_pair_is_equal(&diff->pairs[i]))
            return "within the rules";
    return "identical";
}

static const char *pair_verdict(const struct mxq_checkpoint_diff *diff, const struct mxq_tensor_pair *pair)
{
    if (pair->kind == MXQ_PAIR_MISSING)
        return "missing";
    if (pair->kind == MXQ_PAIR_EXTRA)
        return "extra";
    if (mxq_pair_is_equal(pair))
        return "identical";
    return mxq_pair_passes(&diff->rules, pair) ? "within the rules" : "different";
}

/* ---------------------------------------------------------------------------------------------- what a tensor is */

static size_t put(char *text, size_t size, size_t used, const char *piece)
{
    return used < size ? used + (size_t)snprintf(text + used, size - used, "%s", piece) : used;
}

/* "BF16 [256, 64]" */
static void describe_plain(const struct mxq_st_tensor *tensor, char *text, size_t size)
{
    size_t used = put(text, size, 0, mxq_st_dtype_name(tensor->dtype));

    used = put(text, size, used, " [");
    for (unsigned i = 0; i < tensor->rank; i++) {
        char number[32];
        snprintf(number, sizeof(number), "%s%" PRIu64, i ? ", " : "", tensor->shape[i]);
        used = put(text, size, used, number);
    }
    put(text, size, used, "]");
}

/* "MXFP4 of 4 x 256 x 64" */
static void describe_packed(const struct mxq_packed *packed, char *text, size_t size)
{
    char slices[32] = "";

    if (packed->nslices != 1)
        snprintf(slices, sizeof(slices), "%" PRIu64 " x ", packed->nslices);
    snprintf(text, size, "MXFP4 of %s%" PRIu64 " x %" PRIu64 "%s", slices, packed->plan.rows, packed->plan.cols,
             packed->form == MXQ_PACKED_BUFFERS ? ", padded" : "");
}

static void describe_side(const struct mxq_checkpoint_side *side, const struct mxq_packed *packed,
                          const struct mxq_checkpoint_entry *plain, char *text, size_t size)
{
    text[0] = '\0';
    if (packed != NULL)
        describe_packed(packed, text, size);
    else if (plain != NULL)
        describe_plain(mxq_tensor_at(side->checkpoint, plain), text, size);
}

/* Names come from files: control characters would disturb a terminal. */
static void print_name(const char *name)
{
    for (; *name != '\0'; name++)
        putchar((unsigned char)*name < 0x20 || *name == 0x7f ? '?' : *name);
}

static const char *shown_direction(const struct mxq_tensor_pair *pair)
{
    const struct mxq_packed *packed = pair->golden_packed != NULL ? pair->golden_packed : pair->test_packed;

    if (packed == NULL || packed->form != MXQ_PACKED_BUFFERS)
        return "";
    return packed->direction == MXQ_ROWWISE ? " (rowwise)" : " (columnwise)";
}

/* ---------------------------------------------------------------------------------------------- JSON */

static json_t *pack_pair(const struct mxq_checkpoint_diff *diff, const struct mxq_tensor_pair *pair)
{
    json_t *object = json_pack("{s:o, s:s}", "name", mxq_pack_name(pair->name), "verdict", pair_verdict(diff, pair));
    char test[256], golden[256];

    describe_side(&diff->test, pair->test_packed, pair->test_plain, test, sizeof(test));
    describe_side(&diff->golden, pair->golden_packed, pair->golden_plain, golden, sizeof(golden));
    json_object_set_new(object, "test", test[0] ? json_string(test) : json_null());
    json_object_set_new(object, "golden", golden[0] ? json_string(golden) : json_null());
    if (pair->kind == MXQ_PAIR_PACKED) {
        json_object_set_new(object, "direction", json_string(mxq_direction_name(pair->direction)));
        json_object_set_new(object, "mxfp4", mxq_pack_comparison(&diff->rules, &pair->sum));
    } else if (pair->kind == MXQ_PAIR_PLAIN) {
        json_object_set_new(object, "bytes_compared", json_integer((json_int_t)pair->nbytes));
        json_object_set_new(object, "bytes_different", json_integer((json_int_t)pair->ndiffering));
    }
    return object;
}

static json_t *pack_found(const struct mxq_checkpoint_diff *diff, const struct mxq_checkpoint_mismatch *found)
{
    const struct mxq_mismatch *m = &found->mismatch;
    json_t *object = json_pack(
        "{s:o, s:s, s:s, s:I, s:I, s:I, s:I, s:i, s:i}", "tensor", mxq_pack_name(diff->pairs[found->pair].name), "what",
        m->is_scale ? "scale" : "code", "class", mxq_class_name(m->class), "slice", (json_int_t)found->slice, "row",
        (json_int_t)m->row, "element", (json_int_t)m->element, "block", (json_int_t)(m->element / MXQ_BLOCK_NELEMS),
        "test_scale", m->test_byte, "golden_scale", m->golden_byte);

    if (!m->is_scale) {
        json_object_set_new(object, "test_code", json_integer(m->test_code));
        json_object_set_new(object, "golden_code", json_integer(m->golden_code));
    }
    return object;
}

json_t *mxq_pack_checkpoint_diff(const struct mxq_checkpoint_diff *diff, const char *test, const char *golden)
{
    const struct totals totals = count_pairs(diff);
    json_t *tensors = json_array();
    json_t *found = json_array();

    for (size_t i = 0; i < diff->npairs; i++)
        json_array_append_new(tensors, pack_pair(diff, &diff->pairs[i]));
    for (size_t i = 0; i < diff->nfound; i++)
        json_array_append_new(found, pack_found(diff, &diff->found[i]));
    return json_pack("{s:s, s:o, s:o, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "kind",
                     "mxfp4q checkpoint diff", "test", mxq_pack_name(test), "golden", mxq_pack_name(golden), "verdict",
                     verdict_of(diff), "rules", mxq_pack_rules(&diff->rules), "compared_mxfp4",
                     (json_int_t)totals.packed, "compared_other", (json_int_t)totals.plain, "identical",
                     (json_int_t)totals.identical, "different", (json_int_t)totals.differing, "missing",
                     (json_int_t)totals.missing, "extra", (json_int_t)totals.extra, "mxfp4",
                     mxq_pack_comparison(&diff->rules, &totals.sum), "tensors", tensors, "first", found);
}

/* ---------------------------------------------------------------------------------------------- text */

static void print_classes(const struct mxq_comparison *sum)
{
    for (unsigned class = MXQ_CLASS_EQUAL + 1; class < MXQ_NUM_CLASSES; class ++) {
        if (sum->scales[class] != 0)
            printf(", %" PRIu64 " scales %s", sum->scales[class], mxq_class_name(class));
        if (sum->codes[class] != 0)
            printf(", %" PRIu64 " codes %s", sum->codes[class], mxq_class_name(class));
    }
}

static void print_pair(const struct mxq_checkpoint_diff *diff, const struct mxq_tensor_pair *pair)
{
    char test[256], golden[256];

    describe_side(&diff->test, pair->test_packed, pair->test_plain, test, sizeof(test));
    describe_side(&diff->golden, pair->golden_packed, pair->golden_plain, golden, sizeof(golden));
    printf("  ");
    print_name(pair->name);
    printf("%s: %s", shown_direction(pair), pair_verdict(diff, pair));
    if (pair->kind == MXQ_PAIR_UNLIKE)
        printf(", %s, golden %s", test, golden);
    else if (pair->kind == MXQ_PAIR_PLAIN)
        printf(", %" PRIu64 " of %" PRIu64 " bytes", pair->ndiffering, pair->nbytes);
    else if (pair->kind == MXQ_PAIR_PACKED)
        print_classes(&pair->sum);
    printf("\n");
}

/* The tensors that are not the same, no more of them than differences are shown. */
static void print_pairs(const struct mxq_checkpoint_diff *diff)
{
    size_t shown = 0, left_out = 0;

    for (size_t i = 0; i < diff->npairs; i++) {
        if (mxq_pair_is_equal(&diff->pairs[i]))
            continue;
        if (shown < diff->limit) {
            print_pair(diff, &diff->pairs[i]);
            shown++;
        } else {
            left_out++;
        }
    }
    if (left_out != 0)
        printf("  and %zu more (see --limit)\n", left_out);
}

static void print_found(const struct mxq_checkpoint_diff *diff, const struct mxq_checkpoint_mismatch *found)
{
    const struct mxq_mismatch *m = &found->mismatch;

    printf("  ");
    print_name(diff->pairs[found->pair].name);
    if (diff->pairs[found->pair].golden_packed->nslices != 1)
        printf(" slice %" PRIu64, found->slice);
    printf(" row %" PRIu64 " block %" PRIu64 ": ", m->row, m->element / MXQ_BLOCK_NELEMS);
    if (m->is_scale)
        printf("scale %u, golden %u", m->test_byte, m->golden_byte);
    else
        printf("element %" PRIu64 ", code %x (%g) under %u, golden %x (%g) under %u", m->element, m->test_code,
               mxq_decode_value(m->test_code, m->test_byte), m->test_byte, m->golden_code,
               mxq_decode_value(m->golden_code, m->golden_byte), m->golden_byte);
    printf(": %s\n", mxq_class_name(m->class));
}

void mxq_print_checkpoint_diff(const struct mxq_checkpoint_diff *diff, const char *test, const char *golden)
{
    const struct totals totals = count_pairs(diff);

    printf("%s, golden %s: %s\n", test, golden, verdict_of(diff));
    printf("%zu tensors of MXFP4 and %zu others compared: %zu identical, %zu different; %zu missing, %zu extra\n",
           totals.packed, totals.plain, totals.identical, totals.differing, totals.missing, totals.extra);
    print_pairs(diff);
    if (totals.sum.codes[MXQ_CLASS_EQUAL] != totals.sum.ncodes ||
        totals.sum.scales[MXQ_CLASS_EQUAL] != totals.sum.nscales)
        mxq_print_comparison("all MXFP4", &diff->rules, &totals.sum, false);
    if (diff->nfound != 0)
        printf("first differences:\n");
    for (size_t i = 0; i < diff->nfound; i++)
        print_found(diff, &diff->found[i]);
}
