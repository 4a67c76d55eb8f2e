/* checkpoint_verify_report.c - telling whether a checkpoint is what it says, to a person and as JSON */
#include "cli/checkpoint_verify.h"
#include "io/manifest.h"

#include <inttypes.h>
#include <stdio.h>

static json_t *pack_lines(char **lines, size_t nlines)
{
    json_t *array = json_array();

    for (size_t i = 0; i < nlines; i++)
        json_array_append_new(array, mxq_pack_name(lines[i]));
    return array;
}

static const char *verdict_of(const struct mxq_verify *verify)
{
    return verify->nproblems == 0 ? "good" : "bad";
}

json_t *mxq_pack_verify(const struct mxq_verify *verify)
{
    const struct mxq_checkpoint *made = verify->made.checkpoint;

    return json_pack(
        "{s:s, s:o, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "kind", "mxfp4q verify",
        "checkpoint", mxq_pack_name(verify->path), "source",
        verify->source != NULL ? mxq_pack_name(verify->source) : json_null(), "verdict", verdict_of(verify), "shards",
        (json_int_t)(made != NULL ? made->nshards : 0), "mxfp4_tensors", (json_int_t)verify->made.list.npacked,
        "other_tensors", (json_int_t)verify->made.list.nplain, "checksums", (json_int_t)verify->nchecksums, "scales",
        (json_int_t)verify->nscales, "values", (json_int_t)verify->nvalues, "values_made_again",
        (json_int_t)verify->nmade, "other_bytes", (json_int_t)verify->ncopied, "other_bytes_compared",
        (json_int_t)verify->ncompared, "problems_found", (json_int_t)verify->nproblems, "problems",
        pack_lines(verify->problems, verify->nkept), "not_checked", pack_lines(verify->notes, verify->nnotes));
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole != 0 ? 100.0 * (double)part / (double)whole : 100.0;
}

void mxq_print_verify(const struct mxq_verify *verify)
{
    const struct mxq_checkpoint *made = verify->made.checkpoint;

    printf("%s: %s\n", verify->path, verdict_of(verify));
    if (made != NULL)
        printf("%zu shards, %zu tensors of MXFP4 with %" PRIu64 " scales, %zu others; %zu checksums\n", made->nshards,
               verify->made.list.npacked, verify->nscales, verify->made.list.nplain, verify->nchecksums);
    if (made != NULL && verify->source != NULL)
        printf("made again: %.4g %% of %" PRIu64 " values; compared: %.4g %% of %" PRIu64 " other bytes\n",
               percent(verify->nmade, verify->nvalues), verify->nvalues, percent(verify->ncompared, verify->ncopied),
               verify->ncopied);
    for (size_t i = 0; i < verify->nkept; i++)
        printf("  %s\n", verify->problems[i]);
    if (verify->nproblems > verify->nkept)
        printf("  and %" PRIu64 " more (see --limit)\n", verify->nproblems - verify->nkept);
    for (size_t i = 0; i < verify->nnotes; i++)
        printf("not checked: %s\n", verify->notes[i]);
}
