/*
 * flatten.c - a tensor of any rank as a matrix: its shape, and reading rectangles of it
 *
 * Flattening splits the axes into leading ones, which a row number counts through in C order, and trailing ones, which a
 * column number counts through. In a C-order file, element (r, c) is simply number r * cols + c. In a Fortran-order
 * file, where the first axis is the fastest, its number is the sum of two independent parts,
 *
 *     reorder(r, leading axes) + rows * reorder(c, trailing axes)
 *
 * where reorder() takes a number apart in C order and puts it together in Fortran order.
 */
#include "io/checksum.h"
#include "io/outfile.h"
#include "io/source_internal.h"

#include <inttypes.h>
#include <string.h>

/* The gathering from Fortran order goes by tiles: runs to read that are worth a cache line, and a line per row to write. */
#define TILE_ROWS 64
#define TILE_COLS 32

/* ---------------------------------------------------------------------------------------------- shape */

bool mxq_measure_tensor(struct mxq_tensor *tensor, const char *name, struct mxq_fault *fault)
{
    uint64_t nbytes = tensor->elem_nbytes;
    bool is_empty = false;
    unsigned nlong = 0; /* axes along which there is something to reorder */

    for (unsigned i = 0; i < tensor->rank; i++) {
        uint64_t size = tensor->shape[i];

        /* Sizes beside a zero count too: the products of some axes alone must fit as well. */
        if (size != 0 && (__builtin_mul_overflow(nbytes, size, &nbytes) || nbytes > INT64_MAX)) {
            mxq_set_fault(fault, name, 0, "the shape is too large: its bytes cannot be counted in 63 bits");
            return false;
        }
        is_empty |= size == 0;
        nlong += size > 1;
    }
    tensor->nbytes = is_empty ? 0 : nbytes;
    tensor->nelems = tensor->nbytes / tensor->elem_nbytes;
    if (is_empty || nlong < 2)
        tensor->fortran_order = false;
    return true;
}

static uint64_t product(const uint64_t *shape, unsigned rank)
{
    uint64_t n = 1;

    for (unsigned i = 0; i < rank; i++)
        n *= shape[i];
    return n;
}

bool mxq_flatten_tensor(const struct mxq_tensor *tensor, int32_t axis, uint64_t *rows, uint64_t *cols)
{
    int32_t rank = (int32_t)tensor->rank;

    if (axis == MXQ_FLATTEN_LAST)
        axis = rank > 0 ? rank - 1 : 0;
    else if (axis < 0)
        axis += rank;
    if (axis < 0 || axis > rank)
        return false;
    *rows = product(tensor->shape, (unsigned)axis);
    *cols = product(tensor->shape + axis, (unsigned)(rank - axis));
    return true;
}

/* ---------------------------------------------------------------------------------------------- byte order */

static void swap_elements(void *elements, uint64_t nelems, size_t elem_nbytes)
{
    if (elem_nbytes == 2) {
        uint16_t *p = elements;

        for (uint64_t i = 0; i < nelems; i++)
            p[i] = __builtin_bswap16(p[i]);
    } else {
        uint32_t *p = elements;

        for (uint64_t i = 0; i < nelems; i++)
            p[i] = __builtin_bswap32(p[i]);
    }
}

/* ---------------------------------------------------------------------------------------------- C order */

static bool pread_rectangle(const struct mxq_source *source, uint64_t cols, const struct mxq_panel *panel,
                            void *elements, struct mxq_fault *fault)
{
    uint64_t elem_nbytes = source->tensor.elem_nbytes;
    uint64_t run_nbytes = panel->cols * elem_nbytes;
    uint64_t offset = source->data_offset + (panel->row0 * cols + panel->col0) * elem_nbytes;

    for (uint64_t i = 0; i < panel->rows; i++) {
        uint8_t *run = (uint8_t *)elements + i * run_nbytes;

        if (!mxq_pread_all(source->data_fd, run, run_nbytes, offset + i * cols * elem_nbytes, source->name, fault))
            return false;
    }
    return true;
}

/* Bytes that are still in the cache of one core when their checksum is computed. */
#define PIECE_NBYTES ((uint64_t)256 << 10)

/* Full rows, with their checksum unless crc is NULL. */
static bool pread_rows(const struct mxq_source *source, uint64_t cols, const struct mxq_panel *panel, void *elements,
                       uint32_t *crc, struct mxq_fault *fault)
{
    const uint64_t elem_nbytes = source->tensor.elem_nbytes;
    const uint64_t nbytes = panel->rows * cols * elem_nbytes;
    const uint64_t offset = source->data_offset + panel->row0 * cols * elem_nbytes;
    const uint64_t piece = crc != NULL ? PIECE_NBYTES : nbytes;

    if (crc != NULL)
        *crc = 0;
    for (uint64_t at = 0; at < nbytes; at += piece) {
        const uint64_t n = mxq_smaller(piece, nbytes - at);

        if (!mxq_pread_all(source->data_fd, (uint8_t *)elements + at, n, offset + at, source->name, fault))
            return false;
        if (crc != NULL)
            *crc = mxq_update_crc(*crc, (uint8_t *)elements + at, (size_t)n);
    }
    return true;
}

static bool read_stream_rows(struct mxq_source *source, uint64_t cols, const struct mxq_panel *panel, void *elements,
                             struct mxq_fault *fault)
{
    uint64_t elem_nbytes = source->tensor.elem_nbytes;
    uint64_t at = source->tensor.nbytes - source->stream_left;

    if (source->tensor.fortran_order || panel->cols != cols || panel->row0 * cols * elem_nbytes != at) {
        mxq_set_fault(fault, source->name, 0, "bug: reading a stream out of order");
        return false;
    }
    return mxq_take_bytes(source, elements, panel->rows * cols * elem_nbytes, fault);
}

/* ---------------------------------------------------------------------------------------------- Fortran order */

/* Counts through some axes in C order and knows the Fortran-order number of where it is. */
struct counter {
    const uint64_t *shape;
    unsigned rank;
    uint64_t index[MXQ_MAX_RANK];
    uint64_t stride[MXQ_MAX_RANK];
    uint64_t number;
};

static void start_counter(struct counter *counter, const uint64_t *shape, unsigned rank, uint64_t at)
{
    uint64_t stride = 1;

    counter->shape = shape;
    counter->rank = rank;
    counter->number = 0;
    for (unsigned i = 0; i < rank; i++) {
        counter->stride[i] = stride;
        stride *= shape[i];
    }
    for (unsigned i = rank; i-- > 0;) {
        counter->index[i] = at % shape[i];
        at /= shape[i];
        counter->number += counter->index[i] * counter->stride[i];
    }
}

static void advance_counter(struct counter *counter)
{
    for (unsigned i = counter->rank; i-- > 0;) {
        counter->number += counter->stride[i];
        if (++counter->index[i] < counter->shape[i])
            return;
        counter->number -= counter->stride[i] * counter->shape[i];
        counter->index[i] = 0;
    }
}

static void list_numbers(uint64_t *numbers, uint64_t count, const uint64_t *shape, unsigned rank, uint64_t first)
{
    struct counter counter;

    start_counter(&counter, shape, rank, first);
    for (uint64_t i = 0; i < count; i++) {
        numbers[i] = counter.number;
        advance_counter(&counter);
    }
}

/* Elements at[row[i] + col[j]] to tile[i][j]. */
static void gather_8(uint8_t tile[TILE_ROWS][TILE_COLS], const uint8_t *at, const uint64_t *row, uint64_t rows,
                     const uint64_t *col, uint64_t cols)
{
    for (uint64_t j = 0; j < cols; j++)
        for (uint64_t i = 0; i < rows; i++)
            tile[i][j] = at[row[i] + col[j]];
}

static void gather_16(uint16_t tile[TILE_ROWS][TILE_COLS], const uint16_t *at, const uint64_t *row, uint64_t rows,
                      const uint64_t *col, uint64_t cols)
{
    for (uint64_t j = 0; j < cols; j++)
        for (uint64_t i = 0; i < rows; i++)
            tile[i][j] = at[row[i] + col[j]];
}

static void gather_32(uint32_t tile[TILE_ROWS][TILE_COLS], const uint32_t *at, const uint64_t *row, uint64_t rows,
                      const uint64_t *col, uint64_t cols)
{
    for (uint64_t j = 0; j < cols; j++)
        for (uint64_t i = 0; i < rows; i++)
            tile[i][j] = at[row[i] + col[j]];
}

/* Gathers into a tile first: rows of the panel may be a power of two apart, which caches do not like to write to. */
static void gather_tile(const struct mxq_source *source, const uint64_t *row, uint64_t rows, const uint64_t *col,
                        uint64_t cols, uint8_t *out, uint64_t out_pitch)
{
    union {
        uint8_t byte[TILE_ROWS][TILE_COLS];
        uint16_t half[TILE_ROWS][TILE_COLS];
        uint32_t word[TILE_ROWS][TILE_COLS];
    } tile;
    size_t elem_nbytes = source->tensor.elem_nbytes;

    if (elem_nbytes == 1)
        gather_8(tile.byte, source->map, row, rows, col, cols);
    else if (elem_nbytes == 2)
        gather_16(tile.half, source->map, row, rows, col, cols);
    else
        gather_32(tile.word, source->map, row, rows, col, cols);
    for (uint64_t i = 0; i < rows; i++)
        memcpy(out + i * out_pitch, (const uint8_t *)&tile + i * TILE_COLS * elem_nbytes, (size_t)cols * elem_nbytes);
}

/* The axis before which the shape was split to get this width. */
static unsigned find_axis(const struct mxq_tensor *tensor, uint64_t cols)
{
    unsigned axis = tensor->rank;
    uint64_t width = 1;

    while (axis > 0 && width != cols)
        width *= tensor->shape[--axis];
    return axis;
}

static void gather_rectangle(const struct mxq_source *source, uint64_t cols, const struct mxq_panel *panel,
                             uint8_t *elements)
{
    const struct mxq_tensor *tensor = &source->tensor;
    size_t elem_nbytes = tensor->elem_nbytes;
    unsigned axis = find_axis(tensor, cols);
    uint64_t rows = tensor->nelems / cols;
    uint64_t row[TILE_ROWS];
    uint64_t col[TILE_COLS];

    for (uint64_t c = 0; c < panel->cols; c += TILE_COLS) {
        uint64_t ncols = mxq_smaller(panel->cols - c, TILE_COLS);

        list_numbers(col, ncols, tensor->shape + axis, tensor->rank - axis, panel->col0 + c);
        for (uint64_t j = 0; j < ncols; j++)
            col[j] *= rows;
        for (uint64_t r = 0; r < panel->rows; r += TILE_ROWS) {
            uint64_t nrows = mxq_smaller(panel->rows - r, TILE_ROWS);

            list_numbers(row, nrows, tensor->shape, axis, panel->row0 + r);
            gather_tile(source, row, nrows, col, ncols, elements + (r * panel->cols + c) * elem_nbytes,
                        panel->cols * elem_nbytes);
        }
    }
}

/* ---------------------------------------------------------------------------------------------- panels */

/* Whether cols is a width of the tensor and the panel is inside. */
static bool panel_fits(const struct mxq_source *source, uint64_t cols, const struct mxq_panel *panel)
{
    const struct mxq_tensor *tensor = &source->tensor;
    uint64_t rows = cols > 0 ? tensor->nelems / cols : 0;

    if (panel->rows == 0 || panel->cols == 0)
        return true;
    return source->has_tensor && cols > 0 && tensor->nelems % cols == 0 && panel->row0 <= rows &&
           panel->rows <= rows - panel->row0 && panel->col0 <= cols && panel->cols <= cols - panel->col0;
}

bool mxq_read_panel(struct mxq_source *source, uint64_t cols, const struct mxq_panel *panel, void *elements,
                    uint32_t *crc, struct mxq_fault *fault)
{
    const struct mxq_tensor *tensor = &source->tensor;
    size_t elem_nbytes = tensor->elem_nbytes;
    uint64_t nelems = panel->rows * panel->cols;

    if (!panel_fits(source, cols, panel) || (source->is_seekable && tensor->fortran_order && source->map == NULL)) {
        mxq_set_fault(fault, source->name, 0, "bug: reading a panel that is not there");
        return false;
    }
    if (nelems == 0) {
        /* Nothing to read. */
    } else if (!source->is_seekable) {
        if (!read_stream_rows(source, cols, panel, elements, fault))
            return false;
    } else if (source->map != NULL) {
        gather_rectangle(source, cols, panel, elements);
    } else if (panel->cols == cols) {
        if (!pread_rows(source, cols, panel, elements, crc, fault))
            return false;
        crc = NULL;
    } else if (!pread_rectangle(source, cols, panel, elements, fault)) {
        return false;
    }
    if (crc != NULL && !tensor->fortran_order && panel->cols == cols)
        *crc = mxq_update_crc(0, elements, (size_t)(nelems * elem_nbytes));
    if (tensor->swap_bytes)
        swap_elements(elements, nelems, elem_nbytes);
    return true;
}
