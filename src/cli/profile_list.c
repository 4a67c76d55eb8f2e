/* profile_list.c - saying what profiles do and what proves them */
#include "cli/profile_list.h"

#include "cli/profile_evidence.h"
#include "cli/profile_probe.h"
#include "io/manifest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define F32_FOUR 0x40800000u
#define F32_NAN 0x7fc00000u
#define F32_SIGN 0x80000000u
#define F32_INFINITY 0x7f800000u
#define LARGEST_BF16 0x7f7f0000u

/* ---- what a profile makes of special inputs */

struct special_bytes {
    uint8_t zero;
    uint8_t huge; /* the largest BF16 number */
    uint8_t infinity;
    uint8_t nan; /* 4, a NaN and a negative NaN */
    uint8_t nan_code;
    uint8_t negative_nan_code;
};

static void take_block(void *context, const struct mxq_probed *block)
{
    *(struct mxq_probed *)context = *block;
}

static bool try_block(const struct mxq_profile *profile, unsigned nvalues, const uint32_t *values,
                      struct mxq_probed *block, struct mxq_fault *fault)
{
    struct mxq_probe *probe = mxq_create_probe(profile, profile, take_block, block);
    bool good = false;

    if (probe == NULL)
        mxq_set_fault(fault, NULL, ENOMEM, "cannot describe profiles");
    else
        good = mxq_add_probe(probe, nvalues, values, fault) && mxq_flush_probe(probe, fault);
    mxq_free_probe(probe);
    return good;
}

static bool try_number(const struct mxq_profile *profile, uint32_t bits, uint8_t *scale, struct mxq_fault *fault)
{
    struct mxq_probed block;
    const bool good = try_block(profile, 1, &bits, &block, fault);

    if (good)
        *scale = block.scale[0];
    return good;
}

static bool find_special_bytes(const struct mxq_profile *profile, struct special_bytes *bytes, struct mxq_fault *fault)
{
    static const uint32_t nans[3] = {F32_FOUR, F32_NAN, F32_NAN | F32_SIGN};
    struct mxq_probed block;

    if (!try_number(profile, 0, &bytes->zero, fault) || !try_number(profile, LARGEST_BF16, &bytes->huge, fault) ||
        !try_number(profile, F32_INFINITY, &bytes->infinity, fault) || !try_block(profile, 3, nans, &block, fault))
        return false;
    bytes->nan = block.scale[0];
    bytes->nan_code = block.codes[0][1];
    bytes->negative_nan_code = block.codes[0][2];
    return true;
}

/* ---- the table */

static bool print_switches(const struct mxq_profile *profile, struct mxq_fault *fault)
{
    const struct mxq_recipe *r = &profile->recipe;
    struct special_bytes bytes;
    char nan[32];

    if (!find_special_bytes(profile, &bytes, fault))
        return false;
    snprintf(nan, sizeof(nan), "%u: %u %u", bytes.nan, bytes.nan_code, bytes.negative_nan_code);
    printf("%-18s %-10s %-6s%-12s%4u %4u %4u  %-10s %3u\n", profile->name, mxq_scale_rule_name(r->scale),
           mxq_ties_name(r->ties), mxq_sign_name(r->sign), bytes.zero, bytes.huge, bytes.infinity, nan,
           profile->pad_fill);
    return true;
}

static void print_evidence(const struct mxq_profile *profile)
{
    const struct mxq_profile_evidence *evidence = mxq_find_profile_evidence(profile->name);

    printf("%-18s %s %s: %s\n", profile->name, evidence->peer, evidence->version, evidence->how);
}

bool mxq_print_profile_table(const struct mxq_profile *const profiles[], unsigned nprofiles, struct mxq_fault *fault)
{
    bool good = true;

    printf("%-18s %-10s %-6s%-12s%4s %4s %4s  %-10s %3s\n", "profile", "scale", "ties", "sign", "zero", "huge", "inf",
           "NaN", "pad");
    for (unsigned i = 0; i < nprofiles && good; i++)
        good = print_switches(profiles[i], fault);
    printf("\n%-18s proved by\n", "profile");
    for (unsigned i = 0; i < nprofiles && good; i++)
        print_evidence(profiles[i]);
    return good;
}

/* ---- words */

struct meaning {
    const char *key;
    const char *value; /* NULL: whatever it is */
    const char *text;
};

/* What the fields of a recipe mean; one that is not here is shown without words. */
static const struct meaning meanings[] = {
    {"scale", "even", "amax's exponent less 2, one more from 1.75 * 2^k on"},
    {"scale", "floor", "amax's exponent less 2"},
    {"scale", "ceil", "amax's exponent less 2, one more unless amax is 2^k"},
    {"scale", "rceil", "the power of two at or above amax / 6"},
    {"scale", "even-above", "amax's exponent less 2, one more above 1.75 * 2^k"},
    {"scale", "nearlog", "the power of two nearest to amax / 6, by logarithms"},
    {"ties", "even", "midway between two codes: the one with an even index"},
    {"ties", "away", "midway between two codes: the larger one"},
    {"ties", "zero", "midway between two codes: the smaller one"},
    {"ties", "stochastic", "between two codes: either, the nearer the likelier"},
    {"seed", "none", "no random bits"},
    {"seed", NULL, "key of the random bits"},
    {"sign", "keep", "the input's sign bit, so -0 gives code 8"},
    {"sign", "value", "negative values, not -0, even those that round to zero"},
    {"sign", "drop", "negative codes that are not zero: code 8 never occurs"},
    {"sign", "nonpositive", "all but positive values: both zeros give code 8"},
    {"block", "1x32", "32 values of a row share a scale"},
    {"block", "32x32", "the values of a tile of 32 x 32 share a scale"},
    {"zero_byte", NULL, "scale byte of a block of zeros"},
    {"amax_floor", "00000000", "a small amax counts as it is"},
    {"amax_floor", NULL, "bits of the FP32 number that amax is at least"},
    {"hadamard", "0", "no transform"},
    {"hadamard", NULL, "points of the transform before anything else"},
    {"hadamard_signs", NULL, "values that the transform negates first"},
    {"underflow", "plain", "tiny amax: the formula, at least 0"},
    {"underflow", "exact", "tiny amax: rceil looks where 2^-127 is"},
    {"underflow", "normal", "tiny amax: as plain; byte 0 divides by 2^-126"},
    {"underflow", "unscaled", "tiny amax: as exact; byte 0 does not divide"},
    {"underflow", "raised", "tiny amax: as plain; 1 is written for byte 0"},
    {"underflow", "wrap", "tiny amax: the byte wraps around, from 232 to 255"},
    {"sixth", "product", "rceil multiplies by FP32's 1/6"},
    {"sixth", "quotient", "rceil divides by 6"},
    {"huge_byte", NULL, "even: scale byte of a finite amax from 1.75 * 2^127 on"},
    {"infinity_byte", NULL, "scale byte of a block with an infinity"},
    {"nan_poisons", "yes", "a NaN makes the scale byte 255"},
    {"nan_poisons", "no", "a NaN does not change the scale"},
    {"nan_fills", "yes", "then all codes are that of a NaN"},
    {"nan_fills", "no", "then finite values are zeros"},
    {"nan_code", NULL, "code of a NaN"},
    {"nan_keeps_sign", "yes", "with its sign bit"},
    {"nan_keeps_sign", "no", "whatever its sign is"},
};

static const char *find_meaning(const char *key, const char *value)
{
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (strcmp(meanings[i].key, key) == 0 && (meanings[i].value == NULL || strcmp(meanings[i].value, value) == 0))
            return meanings[i].text;
    return "";
}

static void describe_value(const json_t *value, char *text, size_t nbytes)
{
    if (json_is_string(value))
        snprintf(text, nbytes, "%s", json_string_value(value));
    else if (json_is_boolean(value))
        snprintf(text, nbytes, "%s", json_is_true(value) ? "yes" : "no");
    else if (json_is_null(value))
        snprintf(text, nbytes, "none");
    else
        snprintf(text, nbytes, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
}

static void print_line(const char *key, const char *value, const char *text)
{
    if (*text != '\0')
        printf("  %-15s %-11s %s\n", key, value, text);
    else
        printf("  %-15s %s\n", key, value);
}

static bool print_words(const struct mxq_profile *profile, struct mxq_fault *fault)
{
    const struct mxq_profile_evidence *evidence = mxq_find_profile_evidence(profile->name);
    json_t *recipe = mxq_pack_profile(profile);
    char text[32];
    const char *key;
    json_t *value;

    if (recipe == NULL) {
        mxq_set_fault(fault, NULL, ENOMEM, "cannot describe profiles");
        return false;
    }
    printf("%s: %s\n", profile->name, profile->summary);
    json_object_foreach(recipe, key, value)
    {
        describe_value(value, text, sizeof(text));
        print_line(key, text, find_meaning(key, text));
    }
    snprintf(text, sizeof(text), "%u", profile->pad_fill);
    print_line("pad_fill", text, "byte in the padding of shuffled scales");
    printf("  %-15s %s %s: %s\n", "proved by", evidence->peer, evidence->version, evidence->how);
    json_decref(recipe);
    return true;
}

bool mxq_print_profile_words(const struct mxq_profile *const profiles[], unsigned nprofiles, struct mxq_fault *fault)
{
    bool good = true;

    for (unsigned i = 0; i < nprofiles && good; i++)
        good = print_words(profiles[i], fault);
    return good;
}

/* ---- JSON */

static json_t *pack_profile(const struct mxq_profile *profile, const struct special_bytes *bytes)
{
    const struct mxq_profile_evidence *evidence = mxq_find_profile_evidence(profile->name);

    return json_pack("{s:s, s:s, s:b, s:o, s:i, s:{s:i, s:i, s:i, s:{s:i, s:[i, i]}}, s:{s:s, s:s, s:s}}", "profile",
                     profile->name, "summary", profile->summary, "default", profile == mxq_get_profile(0), "recipe",
                     mxq_pack_profile(profile), "pad_fill", profile->pad_fill, "makes", "zero", bytes->zero, "huge",
                     bytes->huge, "infinity", bytes->infinity, "nan", "scale", bytes->nan, "codes", bytes->nan_code,
                     bytes->negative_nan_code, "evidence", "peer", evidence->peer, "version", evidence->version, "how",
                     evidence->how);
}

json_t *mxq_pack_profiles(const struct mxq_profile *const profiles[], unsigned nprofiles, struct mxq_fault *fault)
{
    json_t *array = json_array();
    struct special_bytes bytes;

    for (unsigned i = 0; i < nprofiles; i++) {
        if (!find_special_bytes(profiles[i], &bytes, fault)) {
            json_decref(array);
            return NULL;
        }
        if (json_array_append_new(array, pack_profile(profiles[i], &bytes)) != 0) {
            mxq_set_fault(fault, NULL, ENOMEM, "cannot describe profiles");
            json_decref(array);
            return NULL;
        }
    }
    return array;
}
