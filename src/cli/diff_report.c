/* diff_report.c - telling what a comparison found, to a person and as JSON */
#include "cli/diff.h"
#include "cli/report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------------------------------------- places */

/* The position in the original tensor of element (row, element) of the direction's logical matrix. */
static unsigned find_position(const struct mxq_diff *diff, const struct mxq_found *found,
                              uint64_t position[MXQ_MAX_RANK])
{
    const struct mxq_tensor *tensor =
        diff->golden->has_manifest ? &diff->golden->manifest.tensor : &diff->test->manifest.tensor;
    const bool rowwise = found->direction == MXQ_ROWWISE;
    const uint64_t row = rowwise ? found->mismatch.row : found->mismatch.element;
    const uint64_t col = rowwise ? found->mismatch.element : found->mismatch.row;
    uint64_t index = row * diff->golden->plan.cols + col;

    for (unsigned axis = tensor->rank; axis-- > 0;) {
        position[axis] = index % tensor->shape[axis];
        index /= tensor->shape[axis];
    }
    return tensor->rank;
}

double mxq_decode_value(uint8_t code, uint8_t byte)
{
    static const double magnitude[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    const double value = byte == 255 ? NAN : ldexp(magnitude[code & 7], byte - 127);

    return code & 8 ? -value : value;
}

/* ---------------------------------------------------------------------------------------------- JSON */

static json_t *pack_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *pack_classes(const uint64_t counts[MXQ_NUM_CLASSES])
{
    json_t *object = json_object();

    for (unsigned i = 0; i < MXQ_NUM_CLASSES; i++)
        json_object_set_new(object, mxq_class_name(i), json_integer((json_int_t)counts[i]));
    return object;
}

static double snr_of(const struct mxq_distortion *d)
{
    return 10.0 * log10(d->signal / d->noise);
}

static double cosine_of(const struct mxq_distortion *d)
{
    return d->product / sqrt(d->signal * d->decoded);
}

static double mse_of(const struct mxq_distortion *d)
{
    return d->nelems ? d->noise / (double)d->nelems : 0;
}

json_t *mxq_pack_comparison(const struct mxq_rules *rules, const struct mxq_comparison *sum)
{
    return json_pack("{s:b, s:I, s:I, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "passes",
                     mxq_comparison_passes(rules, sum), "scales_compared", (json_int_t)sum->nscales, "codes_compared",
                     (json_int_t)sum->ncodes, "scales", pack_classes(sum->scales), "codes", pack_classes(sum->codes),
                     "counted_scales", (json_int_t)sum->counted_scales, "allowed_scales",
                     (json_int_t)mxq_allowed_scales(rules, sum), "counted_codes", (json_int_t)sum->counted_codes,
                     "allowed_codes", (json_int_t)mxq_allowed_codes(rules, sum), "padding_bytes_compared",
                     (json_int_t)sum->padding_nbytes, "padding_bytes_different", (json_int_t)sum->padding_differs,
                     "snr_db", pack_real(snr_of(&sum->distortion)), "mse", pack_real(mse_of(&sum->distortion)),
                     "cosine", pack_real(cosine_of(&sum->distortion)), "largest_error",
                     pack_real(sum->distortion.largest));
}

static json_t *pack_position(const struct mxq_diff *diff, const struct mxq_found *found)
{
    uint64_t position[MXQ_MAX_RANK] = {0};
    const unsigned rank = find_position(diff, found, position);
    json_t *array = json_array();

    for (unsigned i = 0; i < rank; i++)
        json_array_append_new(array, json_integer((json_int_t)position[i]));
    return array;
}

static json_t *pack_found(const struct mxq_diff *diff, const struct mxq_found *found)
{
    const struct mxq_mismatch *m = &found->mismatch;
    json_t *object = json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:i, s:i}", "direction",
                               mxq_direction_name(found->direction), "what", m->is_scale ? "scale" : "code", "class",
                               mxq_class_name(m->class), "position", pack_position(diff, found), "row",
                               (json_int_t)m->row, "block", (json_int_t)(m->element / MXQ_BLOCK_NELEMS), "test_scale",
                               m->test_byte, "golden_scale", m->golden_byte);

    if (m->is_scale || object == NULL)
        return object;
    json_object_set_new(object, "test_code", json_integer(m->test_code));
    json_object_set_new(object, "golden_code", json_integer(m->golden_code));
    json_object_set_new(object, "expected_code", json_integer(m->expected_code));
    json_object_set_new(object, "test_value", pack_real(mxq_decode_value(m->test_code, m->test_byte)));
    json_object_set_new(object, "golden_value", pack_real(mxq_decode_value(m->golden_code, m->golden_byte)));
    return object;
}

json_t *mxq_pack_rules(const struct mxq_rules *r)
{
    return json_pack("{s:s, s:b, s:I, s:I, s:f, s:b, s:f, s:f, s:b, s:I, s:f}", "name", r->name, "bytes", r->bytes,
                     "scale_atol", (json_int_t)r->scale_atol, "scale_limit", (json_int_t)r->scale_limit, "scale_share",
                     r->scale_share, "adjust", r->adjust, "atol", r->atol, "rtol", r->rtol, "accept_ties",
                     r->accept_ties, "codes_per_scale", (json_int_t)r->codes_per_scale, "code_share", r->code_share);
}

static const char *verdict_of(const struct mxq_diff *diff)
{
    if (!mxq_diff_passes(diff))
        return "different";
    return mxq_diff_is_equal(diff) ? "identical" : "within the rules";
}

json_t *mxq_pack_diff(const struct mxq_diff *diff, const char *test_name, const char *golden_name, json_t *guesses)
{
    json_t *root = json_pack("{s:s, s:o, s:o, s:s, s:o, s:b}", "kind", "mxfp4q diff", "test", mxq_pack_name(test_name),
                             "golden", mxq_pack_name(golden_name), "verdict", verdict_of(diff), "rules",
                             mxq_pack_rules(&diff->rules), "source", diff->source != NULL);
    json_t *found = json_array();

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        if (diff->compared_data[d] || diff->compared_scale[d])
            json_object_set_new(root, mxq_direction_name(d), mxq_pack_comparison(&diff->rules, &diff->sum[d]));
    for (size_t i = 0; i < diff->nfound; i++)
        json_array_append_new(found, pack_found(diff, &diff->found[i]));
    json_object_set_new(root, "first", found);
    json_object_set(root, "guesses", guesses);
    return root;
}

/* ---------------------------------------------------------------------------------------------- text */

static const char *explain(enum mxq_class class, bool has_source)
{
    switch (class) {
    case MXQ_CLASS_SIGNED_ZERO:
        return "code 0 against 8";
    case MXQ_CLASS_ZERO_BLOCK:
        return "scale bytes of blocks of zeros";
    case MXQ_CLASS_TIE:
        return has_source ? "the value lies midway between the codes" : "neighbours; --source tells ties from errors";
    case MXQ_CLASS_SCALE_STEP:
        return "scales one apart, and codes that follow";
    case MXQ_CLASS_SATURATION:
        return "at 6, because the scale is too small";
    case MXQ_CLASS_PADDING:
        return "bytes of no value";
    case MXQ_CLASS_SCALE_WORSE:
        return "scales further apart, or codes that do not follow";
    case MXQ_CLASS_REAL:
        return "codes that nothing above explains";
    default:
        return "";
    }
}

/* Padding has bytes instead of scales and codes. */
static void print_classes(const struct mxq_comparison *sum, bool has_source)
{
    for (unsigned class = 0; class < MXQ_NUM_CLASSES; class ++) {
        if (class == MXQ_CLASS_PADDING && sum->padding_differs != 0)
            printf("  %-12s %14" PRIu64 " of %" PRIu64 " bytes\n", mxq_class_name(class), sum->padding_differs,
                   sum->padding_nbytes);
        else if (class == MXQ_CLASS_EQUAL || sum->scales[class] + sum->codes[class] != 0)
            printf("  %-12s %14" PRIu64 " %14" PRIu64 "   %s\n", mxq_class_name(class), sum->scales[class],
                   sum->codes[class], explain(class, has_source));
    }
}

void mxq_print_comparison(const char *title, const struct mxq_rules *rules, const struct mxq_comparison *sum,
                          bool has_source)
{
    const struct mxq_distortion *d = &sum->distortion;

    printf("%-14s %14s %14s\n", title, "scales", "codes");
    print_classes(sum, has_source);
    printf("  counted      %14" PRIu64 " %14" PRIu64 "   by rules %s; allowed %" PRIu64 " and %" PRIu64 ": %s\n",
           sum->counted_scales, sum->counted_codes, rules->name, mxq_allowed_scales(rules, sum),
           mxq_allowed_codes(rules, sum), mxq_comparison_passes(rules, sum) ? "good" : "too many");
    if (d->noise > 0)
        printf("  SNR %.3f dB, MSE %.4e, cosine %.6f, largest error %.4e\n", snr_of(d), mse_of(d), cosine_of(d),
               d->largest);
}

static void print_found(const struct mxq_diff *diff, const struct mxq_found *found)
{
    const struct mxq_mismatch *m = &found->mismatch;
    uint64_t position[MXQ_MAX_RANK] = {0};
    const unsigned rank = find_position(diff, found, position);

    printf("  %-10s [", mxq_direction_name(found->direction));
    for (unsigned i = 0; i < rank; i++)
        printf("%s%" PRIu64, i ? ", " : "", position[i]);
    printf("] row %" PRIu64 " block %" PRIu64 ": ", m->row, m->element / MXQ_BLOCK_NELEMS);
    if (m->is_scale)
        printf("scale %u, golden %u", m->test_byte, m->golden_byte);
    else
        printf("code %x (%g) under %u, golden %x (%g) under %u", m->test_code,
               mxq_decode_value(m->test_code, m->test_byte), m->test_byte, m->golden_code,
               mxq_decode_value(m->golden_code, m->golden_byte), m->golden_byte);
    printf(": %s\n", mxq_class_name(m->class));
}

void mxq_print_diff(const struct mxq_diff *diff, const char *test_name, const char *golden_name, const json_t *guesses)
{
    printf("%s, golden %s: %s\n", test_name, golden_name, verdict_of(diff));
    if (mxq_diff_is_equal(diff))
        return;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        if (diff->compared_data[d] || diff->compared_scale[d])
            mxq_print_comparison(mxq_direction_name(d), &diff->rules, &diff->sum[d], diff->source != NULL);
    if (diff->nfound != 0)
        printf("first differences:\n");
    for (size_t i = 0; i < diff->nfound; i++)
        print_found(diff, &diff->found[i]);
    for (size_t i = 0; i < json_array_size(guesses); i++)
        printf("%s %s\n", i == 0 ? "guess:" : "      ",
               json_string_value(json_object_get(json_array_get(guesses, i), "text")));
}

void mxq_print_diff_line(const struct mxq_diff *diff, const char *name, const json_t *guesses)
{
    const json_t *guess = json_array_get(guesses, 0);
    uint64_t scales[MXQ_NUM_CLASSES] = {0};
    uint64_t codes[MXQ_NUM_CLASSES] = {0};

    printf("%s: %s", name, verdict_of(diff));
    for (unsigned class = MXQ_CLASS_EQUAL + 1; class < MXQ_NUM_CLASSES; class ++) {
        for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
            scales[class] += diff->sum[d].scales[class];
            codes[class] += diff->sum[d].codes[class];
        }
        if (scales[class] != 0)
            printf(", %" PRIu64 " scales %s", scales[class], mxq_class_name(class));
        if (codes[class] != 0)
            printf(", %" PRIu64 " codes %s", codes[class], mxq_class_name(class));
    }
    printf("%s%s\n", guess != NULL ? "; " : "", guess != NULL ? json_string_value(json_object_get(guess, "text")) : "");
}
