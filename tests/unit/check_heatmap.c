/*
 * check_heatmap - holds the pictures of differences to heatmap.h
 *
 * Pictures are read back through libpng. Nothing here knows where heatmap.c draws: maps are found by their frames, and
 * the colours expected in them are worked out again from the cells.
 *
 *   check_heatmap [FOLDER]     writes the pictures to FOLDER, for a person to look at; otherwise nothing is left behind
 */
#include "cli/heatmap.h"
#include "unit/check.h"

#include <fcntl.h>
#include <inttypes.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAME 0x606060u
#define EQUAL 0xf2f2f2u

static const uint32_t full_colours[MXQ_NUM_CLASSES] = {EQUAL,    0x56b4e9, 0xf0e442, 0x009e73, 0x0072b2,
                                                       0xe69f00, 0x000000, 0xcc79a7, 0xd55e00};

static const char *folder;

/* ---------------------------------------------------------------------------------------------- what differs */

/* The worst class of every block of a matrix, and the sums that go with it. */
struct pattern {
    uint64_t rows;
    uint64_t nblocks;
    uint8_t *classes;
    struct mxq_comparison sum;
};

typedef uint8_t (*class_func)(const struct pattern *pattern, uint64_t row, uint64_t block);

static uint32_t random_at(uint64_t row, uint64_t block)
{
    uint32_t x = (uint32_t)(row * 65537 + block + 1) * 2654435761u;

    x ^= x >> 15;
    x *= 2246822519u;
    return x ^ x >> 13;
}

static uint8_t never(const struct pattern *pattern, uint64_t row, uint64_t block)
{
    (void)pattern, (void)row, (void)block;
    return MXQ_CLASS_EQUAL;
}

/* In each of 24 bands the middle rows are out of order. */
static uint8_t permuted(const struct pattern *pattern, uint64_t row, uint64_t block)
{
    const uint64_t high = pattern->rows / 24;

    (void)block;
    return row % high < high / 4 || row % high >= high * 3 / 4 ? MXQ_CLASS_EQUAL : MXQ_CLASS_REAL;
}

static uint8_t bad_tile(const struct pattern *pattern, uint64_t row, uint64_t block)
{
    const uint64_t row0 = pattern->rows / 3;
    const uint64_t block0 = pattern->nblocks / 2;

    return row >= row0 && row < row0 + pattern->rows / 8 && block >= block0 && block < block0 + pattern->nblocks / 4
               ? MXQ_CLASS_SCALE_WORSE
               : MXQ_CLASS_EQUAL;
}

/* One block in fifty, of any class. */
static uint8_t noisy(const struct pattern *pattern, uint64_t row, uint64_t block)
{
    const uint32_t x = random_at(row, block);

    (void)pattern;
    return x % 50 == 0 ? (uint8_t)(1 + x / 50 % (MXQ_NUM_CLASSES - 1)) : MXQ_CLASS_EQUAL;
}

static uint8_t single(const struct pattern *pattern, uint64_t row, uint64_t block)
{
    return row == pattern->rows - 1 && block == pattern->nblocks - 1 ? MXQ_CLASS_TIE : MXQ_CLASS_EQUAL;
}

static struct pattern make_pattern(uint64_t rows, uint64_t nblocks, class_func find_class)
{
    struct pattern pattern = {.rows = rows, .nblocks = nblocks, .classes = malloc(rows * nblocks + 1)};

    if (pattern.classes == NULL)
        abort();
    for (uint64_t i = 0; i < rows * nblocks; i++) {
        const uint8_t class = find_class(&pattern, i / nblocks, i % nblocks);

        pattern.classes[i] = class;
        pattern.sum.scales[class]++;
        pattern.sum.codes[class] += 32;
    }
    return pattern;
}

/* Adds it in panels of an odd size, those that are equal as such. */
static struct mxq_heat *map_pattern(const struct pattern *pattern)
{
    struct mxq_heat *heat = mxq_create_heat(pattern->rows, pattern->nblocks);

    if (heat == NULL)
        abort();
    for (uint64_t row = 0; row < pattern->rows; row += 7) {
        const uint64_t high = pattern->rows - row < 7 ? pattern->rows - row : 7;
        const uint8_t *classes = pattern->classes + row * pattern->nblocks;
        bool is_equal = true;

        for (uint64_t i = 0; i < high * pattern->nblocks; i++)
            is_equal &= classes[i] == MXQ_CLASS_EQUAL;
        if (is_equal)
            mxq_add_equal_heat(heat, row, 0, high, pattern->nblocks);
        else
            mxq_add_heat(heat, row, 0, high, pattern->nblocks, classes);
    }
    return heat;
}

/* ---------------------------------------------------------------------------------------------- the grid */

/* Whether a cell says what its blocks say, one by one. */
static bool cell_is_right(const struct pattern *pattern, const struct mxq_heat *heat, unsigned down, unsigned across)
{
    const size_t cell = (size_t)down * heat->wide + across;
    uint32_t ndifferent = 0;
    uint32_t ntotal = 0;
    uint8_t worst = 0;

    for (uint64_t row = down * heat->rows_per_cell; row < (down + 1) * heat->rows_per_cell && row < pattern->rows;
         row++)
        for (uint64_t block = across * heat->blocks_per_cell;
             block < (across + 1) * heat->blocks_per_cell && block < pattern->nblocks; block++) {
            const uint8_t class = pattern->classes[row * pattern->nblocks + block];

            ntotal++;
            ndifferent += class != MXQ_CLASS_EQUAL;
            worst = class > worst ? class : worst;
        }
    return ntotal > 0 && heat->ntotal[cell] == ntotal && heat->ndifferent[cell] == ndifferent &&
           heat->worst[cell] == worst;
}

static void check_grid(uint64_t rows, uint64_t nblocks, unsigned high, unsigned wide, class_func find_class,
                       const char *name)
{
    struct pattern pattern = make_pattern(rows, nblocks, find_class);
    struct mxq_heat *heat = map_pattern(&pattern);
    uint64_t ntotal = 0;
    uint64_t ndifferent = 0;
    unsigned nwrong = 0;

    for (unsigned i = 0; i < heat->high * heat->wide; i++) {
        nwrong += !cell_is_right(&pattern, heat, i / heat->wide, i % heat->wide);
        ntotal += heat->ntotal[i];
        ndifferent += heat->ndifferent[i];
    }
    if (heat->high == high && heat->wide == wide && nwrong == 0 && ntotal == rows * nblocks &&
        ndifferent == rows * nblocks - pattern.sum.scales[MXQ_CLASS_EQUAL])
        CHECK_PASS(name);
    else
        CHECK_FAIL(name, "%u x %u cells, %u wrong, %" PRIu64 " of %" PRIu64 " blocks differ", heat->high, heat->wide,
                   nwrong, ndifferent, ntotal);
    mxq_free_heat(heat);
    free(pattern.classes);
}

static void check_worst(void)
{
    static const uint8_t classes[] = {MXQ_CLASS_TIE, MXQ_CLASS_REAL, MXQ_CLASS_EQUAL, MXQ_CLASS_SIGNED_ZERO};
    struct mxq_heat *heat = mxq_create_heat(4096, 1);

    if (heat == NULL)
        abort();
    mxq_add_heat(heat, 4, 0, 4, 1, classes);
    CHECK(heat->worst[1] == MXQ_CLASS_REAL && heat->ndifferent[1] == 3 && heat->ntotal[1] == 4,
          "a cell keeps the worst class, whatever comes after it");
    CHECK(heat->ntotal[0] == 0 && heat->ntotal[2] == 0, "cells beside it are untouched");
    mxq_free_heat(heat);
    mxq_free_heat(NULL);
}

static void check_grids(void)
{
    struct mxq_heat *heat;

    check_grid(1, 1, 1, 1, single, "a matrix of one block has one cell");
    check_grid(12, 384, 12, 384, noisy, "12 x 384 blocks have a cell each");
    check_grid(5000, 3, 1000, 3, noisy, "5000 x 3 blocks share cells in fives");
    check_grid(1025, 2051, 513, 684, noisy, "the last cells may have fewer blocks");
    check_worst();
    heat = mxq_create_heat(UINT64_MAX, UINT64_MAX);
    CHECK(heat != NULL && heat->high <= MXQ_HEAT_CELLS && heat->wide <= MXQ_HEAT_CELLS,
          "the largest matrix has no more cells than any");
    mxq_free_heat(heat);
}

/* ---------------------------------------------------------------------------------------------- pictures */

struct picture {
    unsigned width;
    unsigned height;
    uint8_t *rgb;
};

/* A rectangle inside a frame. */
struct place {
    unsigned x;
    unsigned y;
    unsigned width;
    unsigned height;
};

/* An unlinked file, or one in the folder to look at. */
static int open_picture(const char *name)
{
    char path[4096] = "/tmp/check_heatmap-XXXXXX";
    int fd;

    if (folder != NULL) {
        snprintf(path, sizeof(path), "%s/%s.png", folder, name);
        fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    } else {
        fd = mkstemp(path);
        unlink(path);
    }
    if (fd < 0)
        abort();
    return fd;
}

/* Reads it back, and closes it. rgb is NULL when libpng does not like it. */
static struct picture read_picture(int fd)
{
    struct picture picture = {0};
    png_image image = {.version = PNG_IMAGE_VERSION};
    FILE *file;

    lseek(fd, 0, SEEK_SET);
    file = fdopen(fd, "rb");
    if (file == NULL)
        abort();
    if (png_image_begin_read_from_stdio(&image, file)) {
        image.format = PNG_FORMAT_RGB;
        picture.width = image.width;
        picture.height = image.height;
        picture.rgb = malloc(PNG_IMAGE_SIZE(image));
        if (!png_image_finish_read(&image, NULL, picture.rgb, 0, NULL)) {
            free(picture.rgb);
            picture.rgb = NULL;
        }
    }
    png_image_free(&image);
    fclose(file);
    return picture;
}

static struct picture draw(const char *name, const struct pattern *rowwise, const struct pattern *columnwise)
{
    struct mxq_heat *heat[MXQ_NUM_DIRECTIONS] = {rowwise != NULL ? map_pattern(rowwise) : NULL,
                                                 columnwise != NULL ? map_pattern(columnwise) : NULL};
    const struct mxq_heat *const maps[MXQ_NUM_DIRECTIONS] = {heat[0], heat[1]};
    struct mxq_comparison sum[MXQ_NUM_DIRECTIONS] = {0};
    struct mxq_fault fault = {""};
    int fd = open_picture(name);

    if (rowwise != NULL)
        sum[0] = rowwise->sum;
    if (columnwise != NULL)
        sum[1] = columnwise->sum;
    if (!mxq_write_heatmap(fd, name, maps, sum, &fault))
        CHECK_FAIL("a picture is written", "%s: %s", name, fault.text);
    mxq_free_heat(heat[0]);
    mxq_free_heat(heat[1]);
    return read_picture(fd);
}

static uint32_t pixel_at(const struct picture *picture, unsigned x, unsigned y)
{
    const uint8_t *pixel;

    if (x >= picture->width || y >= picture->height)
        return UINT32_MAX;
    pixel = picture->rgb + 3 * ((size_t)y * picture->width + x);
    return (uint32_t)pixel[0] << 16 | (uint32_t)pixel[1] << 8 | pixel[2];
}

/* Follows the frame whose corner is there; false when it is none. */
static bool follow_frame(const struct picture *picture, unsigned x, unsigned y, struct place *place)
{
    *place = (struct place){.x = x + 1, .y = y + 1};
    if (pixel_at(picture, x, y) != FRAME || (x > 0 && pixel_at(picture, x - 1, y) == FRAME) ||
        (y > 0 && pixel_at(picture, x, y - 1) == FRAME))
        return false;
    while (pixel_at(picture, place->x + place->width, y) == FRAME)
        place->width++;
    while (pixel_at(picture, x, place->y + place->height) == FRAME)
        place->height++;
    if (place->width < 2 || place->height < 2)
        return false;
    place->width--;
    place->height--;
    return pixel_at(picture, place->x + place->width, place->y + place->height) == FRAME;
}

/* The frame with this number, in reading order: first the maps, then the legend's samples of colour. */
static bool find_frame(const struct picture *picture, unsigned index, struct place *place)
{
    for (unsigned y = 0; y < picture->height; y++)
        for (unsigned x = 0; x < picture->width; x++)
            if (follow_frame(picture, x, y, place) && index-- == 0)
                return true;
    return false;
}

/* Between the colour of equal and that of the class, a third of the way at least. */
static uint32_t expected_colour(const struct mxq_heat *heat, size_t cell)
{
    const uint32_t full = full_colours[heat->worst[cell]];
    uint32_t colour = 0;

    for (unsigned shift = 0; shift < 24; shift += 8) {
        const double from = EQUAL >> shift & 0xff;
        const double to = full >> shift & 0xff;
        const double part = heat->ndifferent[cell] == 0 ? 0 : 0.35 + 0.65 * heat->ndifferent[cell] / heat->ntotal[cell];

        colour |= (uint32_t)(from + (to - from) * part + 0.5) << shift;
    }
    return colour;
}

/* The strength is rounded, so a step or two are no error. */
static bool is_near(uint32_t a, uint32_t b)
{
    for (unsigned shift = 0; shift < 24; shift += 8)
        if (abs((int)(a >> shift & 0xff) - (int)(b >> shift & 0xff)) > 1)
            return false;
    return a <= 0xffffff;
}

static bool cell_is_drawn(const struct picture *picture, const struct place *place, const struct mxq_heat *heat,
                          size_t cell)
{
    const unsigned width = place->width / heat->wide;
    const unsigned height = place->height / heat->high;
    const unsigned x = place->x + (unsigned)(cell % heat->wide) * width;
    const unsigned y = place->y + (unsigned)(cell / heat->wide) * height;
    const uint32_t expected = expected_colour(heat, cell);

    return is_near(pixel_at(picture, x, y), expected) &&
           is_near(pixel_at(picture, x + width - 1, y + height - 1), expected);
}

/* Whether the map inside the frame is that of the pattern, cell for cell, and has a decent size. */
static void check_map(const struct picture *picture, unsigned index, const struct pattern *pattern, const char *name)
{
    struct mxq_heat *heat = map_pattern(pattern);
    struct place place = {0};
    size_t nwrong = 0;
    unsigned side;

    if (picture->rgb == NULL || !find_frame(picture, index, &place)) {
        CHECK_FAIL(name, "no map with number %u", index);
        mxq_free_heat(heat);
        return;
    }
    for (size_t cell = 0; cell < (size_t)heat->high * heat->wide; cell++)
        nwrong += !cell_is_drawn(picture, &place, heat, cell);
    side = place.width > place.height ? place.width : place.height;
    if (nwrong == 0 && place.width % heat->wide == 0 && place.height % heat->high == 0 && side >= 512 && side <= 1024)
        CHECK_PASS(name);
    else
        CHECK_FAIL(name, "%ux%u pixels for %ux%u cells, %zu of a wrong colour", place.width, place.height, heat->wide,
                   heat->high, nwrong);
    mxq_free_heat(heat);
}

/* ---------------------------------------------------------------------------------------------- how they differ */

/* What an eye sees in a map: whether rows are of one colour, and how full the smallest box around what differs is. */
struct look {
    unsigned ncells; /* in the colour of equal or not */
    unsigned ndifferent;
    unsigned nmixed_rows;
    unsigned box_ncells;
};

static struct look look_at(const struct picture *picture, uint64_t high, uint64_t wide)
{
    struct look look = {0};
    struct place place = {0};
    unsigned left = UINT32_MAX, right = 0, top = UINT32_MAX, bottom = 0;

    if (picture->rgb == NULL || !find_frame(picture, 0, &place))
        return look;
    for (unsigned row = 0; row < high; row++) {
        const unsigned before = look.ndifferent;

        for (unsigned column = 0; column < wide; column++) {
            look.ncells++;
            if (pixel_at(picture, place.x + column * place.width / (unsigned)wide,
                         place.y + row * place.height / (unsigned)high) == EQUAL)
                continue;
            look.ndifferent++;
            left = column < left ? column : left;
            right = column > right ? column : right;
            top = row < top ? row : top;
            bottom = row;
        }
        look.nmixed_rows += look.ndifferent - before > 0 && look.ndifferent - before < wide;
    }
    if (look.ndifferent > 0)
        look.box_ncells = (right - left + 1) * (bottom - top + 1);
    return look;
}

static void check_look(const struct look *look, bool good, const char *name)
{
    if (good)
        CHECK_PASS(name);
    else
        CHECK_FAIL(name, "%u of %u cells differ, %u rows are mixed, box of %u", look->ndifferent, look->ncells,
                   look->nmixed_rows, look->box_ncells);
}

/* Draws a pattern for both directions, holds both maps to it, and looks at the first. */
static struct look draw_and_look(const char *file, uint64_t rows, uint64_t nblocks, class_func find_class,
                                 const char *rowwise_name, const char *columnwise_name)
{
    struct pattern rowwise = make_pattern(rows, nblocks, find_class);
    struct pattern columnwise = make_pattern(nblocks * 32, rows / 32, find_class);
    struct picture picture = draw(file, &rowwise, &columnwise);
    struct look look;

    check_map(&picture, 0, &rowwise, rowwise_name);
    check_map(&picture, 1, &columnwise, columnwise_name);
    look = look_at(&picture, rows < 1024 ? rows : 1024, nblocks);
    free(picture.rgb);
    free(rowwise.classes);
    free(columnwise.classes);
    return look;
}

static void check_patterns(void)
{
    struct look look;

    look = draw_and_look("equal", 384, 12, never, "equal results are drawn as they are",
                         "equal results are drawn for the columns too");
    check_look(&look, look.ncells == 384 * 12 && look.ndifferent == 0, "equal results give an empty map");
    look = draw_and_look("permutation", 384, 12, permuted, "a permutation of rows is drawn as it is",
                         "a permutation of rows is drawn for the columns too");
    check_look(&look, look.ndifferent == look.ncells / 2 && look.nmixed_rows == 0, "a permutation of rows is stripes");
    look = draw_and_look("tile", 384, 12, bad_tile, "a bad tile is drawn as it is",
                         "a bad tile is drawn for the columns too");
    check_look(&look, look.ndifferent == 48 * 3 && look.box_ncells == look.ndifferent, "a bad tile is one full box");
    look = draw_and_look("noise", 384, 12, noisy, "noise is drawn as it is", "noise is drawn for the columns too");
    check_look(&look, look.ndifferent > 0 && look.nmixed_rows > 24 && look.box_ncells > 20 * look.ndifferent,
               "noise is neither stripes nor a box");
    look = draw_and_look("large-permutation", 8192, 256, permuted, "a permutation of a large matrix is drawn as it is",
                         "a permutation of a large matrix is drawn for the columns too");
    check_look(&look, look.ndifferent > 0 && look.nmixed_rows == 0, "a large permutation is stripes");
    look = draw_and_look("large-tile", 8192, 256, bad_tile, "a bad tile of a large matrix is drawn as it is",
                         "a bad tile of a large matrix is drawn for the columns too");
    check_look(&look, look.ndifferent > 0 && look.box_ncells == look.ndifferent, "a large bad tile is one full box");
    (void)draw_and_look("large-noise", 8192, 256, noisy, "noise in a large matrix is drawn as it is",
                        "noise in a large matrix is drawn for the columns too");
    look = draw_and_look("single", 8192, 256, single, "a single bad block is drawn as it is",
                         "a single bad block is drawn for the columns too");
    check_look(&look, look.ndifferent == 1, "a single bad block among very many is seen");
}

/* ---------------------------------------------------------------------------------------------- other shapes */

static void check_shape(uint64_t rows, uint64_t nblocks, const char *file, const char *name)
{
    struct pattern pattern = make_pattern(rows, nblocks, noisy);
    struct picture picture = draw(file, NULL, &pattern);

    check_map(&picture, 0, &pattern, name);
    free(picture.rgb);
    free(pattern.classes);
}

/* The samples follow the maps, one a class, then the one of what was not compared. */
static void check_legend(void)
{
    struct pattern pattern = make_pattern(12, 12, noisy);
    struct picture picture = draw("legend", &pattern, NULL);
    struct place place;
    unsigned nwrong = 0;

    for (unsigned i = 0; i < MXQ_NUM_CLASSES; i++)
        nwrong += !find_frame(&picture, 1 + i, &place) ||
                  pixel_at(&picture, place.x + place.width - 1, place.y) != full_colours[i];
    if (nwrong == 0)
        CHECK_PASS("the legend shows the colour of every class");
    else
        CHECK_FAIL("the legend shows the colour of every class", "%u do not", nwrong);
    CHECK(!find_frame(&picture, MXQ_NUM_CLASSES + 2, &place), "one direction alone gives one map");
    free(picture.rgb);
    free(pattern.classes);
}

/* Half of it is left out. */
static void check_not_compared(void)
{
    struct mxq_heat *heat = mxq_create_heat(64, 8);
    const struct mxq_heat *const maps[MXQ_NUM_DIRECTIONS] = {heat, NULL};
    const struct mxq_comparison sum[MXQ_NUM_DIRECTIONS] = {0};
    struct mxq_fault fault = {""};
    struct picture picture;
    struct place place = {0};
    int fd = open_picture("not-compared");
    uint32_t lowest;

    if (heat == NULL)
        abort();
    mxq_add_equal_heat(heat, 0, 0, 32, 8);
    CHECK(mxq_write_heatmap(fd, "x.png", maps, sum, &fault), "a map that is not full is written");
    picture = read_picture(fd);
    if (picture.rgb == NULL || !find_frame(&picture, 0, &place))
        abort();
    lowest = pixel_at(&picture, place.x, place.y + place.height - 1);
    CHECK(pixel_at(&picture, place.x, place.y) == EQUAL && lowest != EQUAL && (lowest & 0xff) == lowest >> 16,
          "what was not compared is grey and not like what is equal");
    free(picture.rgb);
    mxq_free_heat(heat);
}

/* Writes a picture to a file and reads the file into the buffer; *nbytes is how much of it is filled. */
static void write_file(const struct pattern *pattern, uint8_t *buffer, size_t room, size_t *nbytes)
{
    struct mxq_heat *heat = map_pattern(pattern);
    const struct mxq_heat *const maps[MXQ_NUM_DIRECTIONS] = {heat, NULL};
    const struct mxq_comparison sum[MXQ_NUM_DIRECTIONS] = {pattern->sum};
    struct mxq_fault fault = {""};
    int fd = open_picture("same");
    ssize_t got;

    if (!mxq_write_heatmap(fd, "same.png", maps, sum, &fault))
        CHECK_FAIL("a picture is written", "%s", fault.text);
    got = pread(fd, buffer, room, 0);
    *nbytes = got > 0 ? (size_t)got : 0;
    close(fd);
    mxq_free_heat(heat);
}

/* Neither a time nor a program's name: after the signature come chunks of length, type, data and checksum. */
static bool has_only_pixels(const uint8_t *file, size_t nbytes)
{
    size_t at = 8;

    while (at + 12 <= nbytes) {
        const uint8_t *type = file + at + 4;

        if (memcmp(type, "IHDR", 4) != 0 && memcmp(type, "IDAT", 4) != 0 && memcmp(type, "IEND", 4) != 0)
            return false;
        at += 12 + ((size_t)file[at] << 24 | (size_t)file[at + 1] << 16 | (size_t)file[at + 2] << 8 | file[at + 3]);
    }
    return nbytes > 8 && at == nbytes;
}

static void check_same(void)
{
    static uint8_t first[1 << 20];
    static uint8_t second[1 << 20];
    struct pattern pattern = make_pattern(100, 10, noisy);
    size_t first_nbytes;
    size_t second_nbytes;

    write_file(&pattern, first, sizeof(first), &first_nbytes);
    write_file(&pattern, second, sizeof(second), &second_nbytes);
    CHECK(first_nbytes == second_nbytes && memcmp(first, second, first_nbytes) == 0,
          "the same differences give the same file");
    CHECK(has_only_pixels(first, first_nbytes), "a picture says nothing about when it was made");
    free(pattern.classes);
}

static void check_empty(void)
{
    struct pattern none = make_pattern(0, 0, never);
    struct picture picture = draw("no-blocks", &none, NULL);

    CHECK(picture.rgb != NULL, "a matrix without blocks gives a picture");
    free(picture.rgb);
    picture = draw("no-maps", NULL, NULL);
    CHECK(picture.rgb != NULL, "no maps at all give a picture of the legend");
    free(picture.rgb);
    free(none.classes);
}

static void check_shapes(void)
{
    check_shape(1, 1, "one", "a map of one block fills its frame");
    check_shape(12, 384, "wide", "a wide map is drawn as it is");
    check_shape(5000, 3, "high", "a high map is drawn as it is");
    check_shape(1, 100000, "line", "a map of one row is drawn as it is");
    check_shape(100000, 1, "column", "a map of one column is drawn as it is");
    check_shape(1025, 1025, "uneven", "a map with uneven last cells is drawn as it is");
}

/* ---------------------------------------------------------------------------------------------- faults */

static void check_fault(int fd, const char *reason, const char *name)
{
    struct mxq_heat *heat = mxq_create_heat(12, 384);
    const struct mxq_heat *const maps[MXQ_NUM_DIRECTIONS] = {heat, NULL};
    const struct mxq_comparison sum[MXQ_NUM_DIRECTIONS] = {0};
    struct mxq_fault fault = {""};

    if (mxq_write_heatmap(fd, "x.png", maps, sum, &fault))
        CHECK_FAIL(name, "it is written");
    else if (strncmp(fault.text, "\"x.png\": ", 9) != 0 || strstr(fault.text, reason) == NULL)
        CHECK_FAIL(name, "%s", fault.text);
    else
        CHECK_PASS(name);
    mxq_free_heat(heat);
}

static void check_faults(void)
{
    int fd = open("/dev/null", O_RDONLY);

    check_fault(-1, "Bad file descriptor", "a closed file is a fault");
    check_fault(fd, "Bad file descriptor", "a file that cannot be written is a fault");
    close(fd);
    fd = open("/dev/full", O_WRONLY);
    if (fd < 0) {
        CHECK_SKIP("a full disk is a fault", "no /dev/full");
        return;
    }
    check_fault(fd, "No space left", "a full disk is a fault");
    close(fd);
}

int main(int argc, char **argv)
{
    folder = argc > 1 ? argv[1] : NULL;
    check_grids();
    check_patterns();
    check_shapes();
    check_legend();
    check_not_compared();
    check_same();
    check_empty();
    check_faults();
    return check_finish();
}
