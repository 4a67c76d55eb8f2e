/* quantize.c - a matrix to rowwise and columnwise MXFP4 in AITER's layout, with libmxfp4q */
#include <mxq.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    static float w[64 * 96];
    struct mxq_matrix matrix = {.data = w, .dtype = MXQ_F32, .rows = 64, .cols = 96, .row_stride = 96};
    struct mxq_options options;
    struct mxq_plan plan;
    uint8_t *out[MXQ_NUM_BUFFERS];

    for (int i = 0; i < 64 * 96; i++)
        w[i] = (float)(i % 251) / 16 - 7;
    mxq_init_options(&options, mxq_find_profile("te-hip"));
    if (mxq_make_plan(&plan, &options, matrix.rows, matrix.cols) != MXQ_OK)
        return 1;
    for (int b = 0; b < MXQ_NUM_BUFFERS; b++)
        out[b] = malloc(plan.extent[b].nbytes);
    if (mxq_quantize(&plan, NULL, &matrix, out, NULL) != MXQ_OK)
        return 1;
    fwrite(out[MXQ_ROWWISE_DATA], 1, plan.extent[MXQ_ROWWISE_DATA].nbytes, stdout);
    return 0;
}
