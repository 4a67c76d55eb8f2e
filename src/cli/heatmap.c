/*
 * heatmap.c - a picture of where two results differ
 *
 * The first half keeps the grids, the second draws. Everything is first drawn into a canvas in memory, at most a few
 * megabytes, so that libpng, whose errors are jumps, is confined to one place at the end.
 */
#include "cli/heatmap.h"

#include "io/outfile.h"

#include <errno.h>
#include <inttypes.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NELEMS(array) (sizeof(array) / sizeof((array)[0]))

/* ---------------------------------------------------------------------------------------------------- the grid */

/* How many of n go into a cell, so that there are not too many cells. */
static uint64_t find_cell_size(uint64_t n)
{
    return n <= MXQ_HEAT_CELLS ? 1 : n / MXQ_HEAT_CELLS + (n % MXQ_HEAT_CELLS != 0);
}

static unsigned count_cells(uint64_t n, uint64_t cell_size)
{
    return (unsigned)(n / cell_size + (n % cell_size != 0));
}

struct mxq_heat *mxq_create_heat(uint64_t rows, uint64_t nblocks)
{
    struct mxq_heat *heat = calloc(1, sizeof(*heat));
    size_t ncells;

    if (heat == NULL)
        return NULL;
    heat->rows = rows;
    heat->nblocks = nblocks;
    heat->rows_per_cell = find_cell_size(rows);
    heat->blocks_per_cell = find_cell_size(nblocks);
    heat->high = count_cells(rows, heat->rows_per_cell);
    heat->wide = count_cells(nblocks, heat->blocks_per_cell);

    /* One more than needed, because none may come back as NULL. */
    ncells = (size_t)heat->high * heat->wide + 1;
    heat->worst = calloc(ncells, sizeof(*heat->worst));
    heat->ndifferent = calloc(ncells, sizeof(*heat->ndifferent));
    heat->ntotal = calloc(ncells, sizeof(*heat->ntotal));
    if (heat->worst == NULL || heat->ndifferent == NULL || heat->ntotal == NULL) {
        mxq_free_heat(heat);
        return NULL;
    }
    return heat;
}

void mxq_free_heat(struct mxq_heat *heat)
{
    if (heat == NULL)
        return;
    free(heat->worst);
    free(heat->ndifferent);
    free(heat->ntotal);
    free(heat);
}

static size_t find_cell(const struct mxq_heat *heat, uint64_t row, uint64_t block)
{
    return (size_t)(row / heat->rows_per_cell) * heat->wide + (size_t)(block / heat->blocks_per_cell);
}

/* How many of those from start to end are in the cell of the first. */
static uint64_t count_in_cell(uint64_t start, uint64_t end, uint64_t cell_size)
{
    const uint64_t room = cell_size - start % cell_size;

    return end - start < room ? end - start : room;
}

/* Goes from cell to cell, not from block to block: this is all there is to do for results that are mostly equal. */
void mxq_add_equal_heat(struct mxq_heat *heat, uint64_t row0, uint64_t block0, uint64_t rows, uint64_t nblocks)
{
    uint64_t high;
    uint64_t wide;

    for (uint64_t row = row0; row < row0 + rows; row += high) {
        high = count_in_cell(row, row0 + rows, heat->rows_per_cell);
        for (uint64_t block = block0; block < block0 + nblocks; block += wide) {
            wide = count_in_cell(block, block0 + nblocks, heat->blocks_per_cell);
            heat->ntotal[find_cell(heat, row, block)] += (uint32_t)(high * wide);
        }
    }
}

static void add_different_block(struct mxq_heat *heat, size_t cell, uint8_t class)
{
    heat->ndifferent[cell]++;
    if (class > heat->worst[cell])
        heat->worst[cell] = class;
}

void mxq_add_heat(struct mxq_heat *heat, uint64_t row0, uint64_t block0, uint64_t rows, uint64_t nblocks,
                  const uint8_t *classes)
{
    mxq_add_equal_heat(heat, row0, block0, rows, nblocks);
    for (uint64_t row = row0; row < row0 + rows; row++)
        for (uint64_t block = block0; block < block0 + nblocks; block++, classes++)
            if (*classes != MXQ_CLASS_EQUAL)
                add_different_block(heat, find_cell(heat, row, block), *classes);
}

static uint64_t sum_cells(const struct mxq_heat *heat, const uint32_t *counts)
{
    const size_t ncells = (size_t)heat->high * heat->wide;
    uint64_t sum = 0;

    for (size_t i = 0; i < ncells; i++)
        sum += counts[i];
    return sum;
}

/* ---------------------------------------------------------------------------------------------------- colours */

struct colour {
    uint8_t red;
    uint8_t green;
    uint8_t blue;
};

static const struct colour paper = {0xff, 0xff, 0xff};
static const struct colour ink = {0x20, 0x20, 0x20};
static const struct colour frame = {0x60, 0x60, 0x60};
static const struct colour hatch[2] = {{0xa8, 0xa8, 0xa8}, {0x90, 0x90, 0x90}};

/* Those of Okabe and Ito, which people with any kind of colour vision can tell apart. */
static const struct colour class_colours[MXQ_NUM_CLASSES] = {
    [MXQ_CLASS_EQUAL] = {0xf2, 0xf2, 0xf2},      [MXQ_CLASS_SIGNED_ZERO] = {0x56, 0xb4, 0xe9},
    [MXQ_CLASS_ZERO_BLOCK] = {0xf0, 0xe4, 0x42}, [MXQ_CLASS_TIE] = {0x00, 0x9e, 0x73},
    [MXQ_CLASS_SCALE_STEP] = {0x00, 0x72, 0xb2}, [MXQ_CLASS_SATURATION] = {0xe6, 0x9f, 0x00},
    [MXQ_CLASS_PADDING] = {0x00, 0x00, 0x00},    [MXQ_CLASS_SCALE_WORSE] = {0xcc, 0x79, 0xa7},
    [MXQ_CLASS_REAL] = {0xd5, 0x5e, 0x00},
};

/* Thousandths of a class's colour that even one block among very many gets, so that it is seen. */
#define LEAST_STRENGTH 350

/* In integers, so that a picture is the same on every machine. */
static uint8_t blend(uint8_t from, uint8_t to, unsigned strength)
{
    return (uint8_t)((from * (1000 - strength) + to * strength + 500) / 1000);
}

static struct colour find_colour(uint8_t class, uint32_t ndifferent, uint32_t ntotal)
{
    const struct colour *equal = &class_colours[MXQ_CLASS_EQUAL];
    const struct colour *full = &class_colours[class < MXQ_NUM_CLASSES ? class : MXQ_CLASS_REAL];
    unsigned strength;

    if (ndifferent == 0)
        return *equal;
    strength = LEAST_STRENGTH + (unsigned)((uint64_t)(1000 - LEAST_STRENGTH) * ndifferent / ntotal);
    return (struct colour){blend(equal->red, full->red, strength), blend(equal->green, full->green, strength),
                           blend(equal->blue, full->blue, strength)};
}

/* ---------------------------------------------------------------------------------------------------- the canvas */

struct canvas {
    unsigned width;
    unsigned height;
    uint8_t *rgb; /* row after row */
};

static size_t canvas_row_nbytes(const struct canvas *canvas)
{
    return (size_t)canvas->width * 3;
}

/* What is outside is not drawn. */
static void draw_pixel(struct canvas *canvas, unsigned x, unsigned y, struct colour colour)
{
    uint8_t *pixel;

    if (x >= canvas->width || y >= canvas->height)
        return;
    pixel = canvas->rgb + y * canvas_row_nbytes(canvas) + (size_t)x * 3;
    pixel[0] = colour.red;
    pixel[1] = colour.green;
    pixel[2] = colour.blue;
}

static void fill(struct canvas *canvas, unsigned x0, unsigned y0, unsigned width, unsigned height, struct colour colour)
{
    for (unsigned y = y0; y < y0 + height; y++)
        for (unsigned x = x0; x < x0 + width; x++)
            draw_pixel(canvas, x, y, colour);
}

/* The stripes go by the place in the picture and not in the cell, so that they run on through small cells. */
static void fill_hatched(struct canvas *canvas, unsigned x0, unsigned y0, unsigned width, unsigned height)
{
    for (unsigned y = y0; y < y0 + height; y++)
        for (unsigned x = x0; x < x0 + width; x++)
            draw_pixel(canvas, x, y, hatch[(x + y) / 4 % 2]);
}

/* A line around it, one pixel wide. */
static void draw_frame(struct canvas *canvas, unsigned x, unsigned y, unsigned width, unsigned height)
{
    fill(canvas, x - 1, y - 1, width + 2, 1, frame);
    fill(canvas, x - 1, y + height, width + 2, 1, frame);
    fill(canvas, x - 1, y, 1, height, frame);
    fill(canvas, x + width, y, 1, height, frame);
}

/* ---------------------------------------------------------------------------------------------------- text */

#define GLYPH_WIDE 5
#define GLYPH_HIGH 7

/* Pixels along a dot of a glyph, and from one character or line to the next. */
#define DOT 2
#define CHAR_WIDTH ((GLYPH_WIDE + 1) * DOT)
#define LINE_HEIGHT ((GLYPH_HIGH + 5) * DOT)

/* Room for a line of text. */
#define LINE_NBYTES 128

/* Seven rows of five dots, the leftmost dot being 0x10; drop moves those with a tail down. */
struct glyph {
    char character;
    uint8_t drop;
    uint8_t rows[GLYPH_HIGH];
};

static const struct glyph glyphs[] = {
    {'a', 0, {0x00, 0x00, 0x0e, 0x01, 0x0f, 0x11, 0x0f}}, {'b', 0, {0x10, 0x10, 0x1e, 0x11, 0x11, 0x11, 0x1e}},
    {'c', 0, {0x00, 0x00, 0x0e, 0x11, 0x10, 0x11, 0x0e}}, {'d', 0, {0x01, 0x01, 0x0f, 0x11, 0x11, 0x11, 0x0f}},
    {'e', 0, {0x00, 0x00, 0x0e, 0x11, 0x1f, 0x10, 0x0e}}, {'f', 0, {0x06, 0x08, 0x1e, 0x08, 0x08, 0x08, 0x08}},
    {'g', 2, {0x0f, 0x11, 0x11, 0x11, 0x0f, 0x01, 0x0e}}, {'h', 0, {0x10, 0x10, 0x1e, 0x11, 0x11, 0x11, 0x11}},
    {'i', 0, {0x04, 0x00, 0x0c, 0x04, 0x04, 0x04, 0x0e}}, {'j', 1, {0x02, 0x00, 0x06, 0x02, 0x02, 0x12, 0x0c}},
    {'k', 0, {0x10, 0x10, 0x11, 0x12, 0x1c, 0x12, 0x11}}, {'l', 0, {0x0c, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0e}},
    {'m', 0, {0x00, 0x00, 0x1a, 0x15, 0x15, 0x15, 0x15}}, {'n', 0, {0x00, 0x00, 0x1e, 0x11, 0x11, 0x11, 0x11}},
    {'o', 0, {0x00, 0x00, 0x0e, 0x11, 0x11, 0x11, 0x0e}}, {'p', 2, {0x1e, 0x11, 0x11, 0x11, 0x1e, 0x10, 0x10}},
    {'q', 2, {0x0f, 0x11, 0x11, 0x11, 0x0f, 0x01, 0x01}}, {'r', 0, {0x00, 0x00, 0x16, 0x19, 0x10, 0x10, 0x10}},
    {'s', 0, {0x00, 0x00, 0x0f, 0x10, 0x0e, 0x01, 0x1e}}, {'t', 0, {0x08, 0x08, 0x1e, 0x08, 0x08, 0x08, 0x06}},
    {'u', 0, {0x00, 0x00, 0x11, 0x11, 0x11, 0x11, 0x0f}}, {'v', 0, {0x00, 0x00, 0x11, 0x11, 0x11, 0x0a, 0x04}},
    {'w', 0, {0x00, 0x00, 0x11, 0x15, 0x15, 0x15, 0x0a}}, {'x', 0, {0x00, 0x00, 0x11, 0x0a, 0x04, 0x0a, 0x11}},
    {'y', 2, {0x11, 0x11, 0x11, 0x11, 0x0f, 0x01, 0x0e}}, {'z', 0, {0x00, 0x00, 0x1f, 0x02, 0x04, 0x08, 0x1f}},
    {'0', 0, {0x0e, 0x11, 0x11, 0x15, 0x11, 0x11, 0x0e}}, {'1', 0, {0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e}},
    {'2', 0, {0x0e, 0x11, 0x01, 0x06, 0x08, 0x10, 0x1f}}, {'3', 0, {0x0e, 0x11, 0x01, 0x06, 0x01, 0x11, 0x0e}},
    {'4', 0, {0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02}}, {'5', 0, {0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e}},
    {'6', 0, {0x0e, 0x10, 0x10, 0x1e, 0x11, 0x11, 0x0e}}, {'7', 0, {0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08}},
    {'8', 0, {0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e}}, {'9', 0, {0x0e, 0x11, 0x11, 0x0f, 0x01, 0x01, 0x0e}},
    {'-', 0, {0x00, 0x00, 0x00, 0x0e, 0x00, 0x00, 0x00}}, {',', 2, {0x00, 0x00, 0x00, 0x0c, 0x0c, 0x04, 0x08}},
    {'.', 0, {0x00, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x0c}}, {':', 0, {0x00, 0x00, 0x0c, 0x0c, 0x00, 0x0c, 0x0c}},
};

static unsigned text_width(const char *text)
{
    return (unsigned)strlen(text) * CHAR_WIDTH;
}

static void draw_glyph(struct canvas *canvas, unsigned x, unsigned y, const struct glyph *glyph)
{
    for (unsigned row = 0; row < GLYPH_HIGH; row++)
        for (unsigned column = 0; column < GLYPH_WIDE; column++)
            if (glyph->rows[row] & (0x10 >> column))
                fill(canvas, x + column * DOT, y + (row + glyph->drop) * DOT, DOT, DOT, ink);
}

/* Characters without a glyph are spaces. */
static void draw_text(struct canvas *canvas, unsigned x, unsigned y, const char *text)
{
    for (; *text != '\0'; text++, x += CHAR_WIDTH)
        for (size_t i = 0; i < NELEMS(glyphs); i++)
            if (glyphs[i].character == *text)
                draw_glyph(canvas, x, y, &glyphs[i]);
}

/* Text that ends before x, whose last gap does not count. */
static void draw_text_before(struct canvas *canvas, unsigned x, unsigned y, const char *text)
{
    draw_text(canvas, x + DOT - text_width(text), y, text);
}

/* ---------------------------------------------------------------------------------------------------- panels */

/* Pixels around everything, and between a map and its labels. */
#define MARGIN 24
#define GAP 8

/* Pixels along the longer side of a map at most, and the other side as a part of it at least. */
#define MAP_SIDE 1024
#define MAP_LEAST_PART 4

/* One direction's map with its texts, and where they go. */
struct panel {
    const struct mxq_heat *heat;
    const struct mxq_comparison *sum;
    const char *name;
    char texts[3][LINE_NBYTES]; /* above the map */
    char last_row[LINE_NBYTES]; /* empty if there is but one */
    char last_block[LINE_NBYTES];
    unsigned cell_width;
    unsigned cell_height;
    unsigned x; /* of the first pixel of the first cell */
    unsigned y;
    unsigned width; /* of the map, */
    unsigned height;
    unsigned full_width; /* and from x on with all texts */
};

static unsigned larger(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

/* Enlarges cells as far as the side allows. */
static unsigned find_cell_side(double map_side, unsigned ncells)
{
    return ncells == 0 ? 1 : larger((unsigned)map_side / ncells, 1);
}

/*
 * A map has the shape of its matrix, whose blocks are one value high and 32 wide, as far as whole pixels allow it, but
 * never becomes a thread.
 */
static void size_map(struct panel *panel)
{
    const struct mxq_heat *heat = panel->heat;
    const double ratio = ((double)heat->nblocks * MXQ_BLOCK_NELEMS + 1) / ((double)heat->rows + 1);
    double across = MAP_SIDE;
    double down = MAP_SIDE;

    if (ratio > 1)
        down = ratio < MAP_LEAST_PART ? down / ratio : down / MAP_LEAST_PART;
    else
        across = ratio > 1.0 / MAP_LEAST_PART ? across * ratio : across / MAP_LEAST_PART;
    panel->cell_width = find_cell_side(across, heat->wide);
    panel->cell_height = find_cell_side(down, heat->high);
    panel->width = heat->wide * panel->cell_width;
    panel->height = heat->high * panel->cell_height;
}

static void write_texts(struct panel *panel)
{
    const struct mxq_heat *heat = panel->heat;

    snprintf(panel->texts[0], LINE_NBYTES, "%s %" PRIu64 " x %" PRIu64 " blocks", panel->name, heat->rows,
             heat->nblocks);
    snprintf(panel->texts[1], LINE_NBYTES, "%" PRIu64 " of %" PRIu64 " differ", sum_cells(heat, heat->ndifferent),
             sum_cells(heat, heat->ntotal));
    snprintf(panel->texts[2], LINE_NBYTES, "a cell is %" PRIu64 " x %" PRIu64, heat->rows_per_cell,
             heat->blocks_per_cell);
    if (heat->rows > 1)
        snprintf(panel->last_row, LINE_NBYTES, "row %" PRIu64, heat->rows - 1);
    if (heat->nblocks > 1)
        snprintf(panel->last_block, LINE_NBYTES, "block %" PRIu64, heat->nblocks - 1);
}

/* Finds room for a panel that may use what is right of x and below y. */
static void place_panel(struct panel *panel, unsigned x, unsigned y)
{
    panel->x = x + larger(text_width("row 0"), text_width(panel->last_row)) + GAP;
    panel->y = y + (unsigned)NELEMS(panel->texts) * LINE_HEIGHT + GAP;
    panel->full_width = panel->width;
    for (size_t i = 0; i < NELEMS(panel->texts); i++)
        panel->full_width = larger(panel->full_width, text_width(panel->texts[i]));
}

static void draw_cells(struct canvas *canvas, const struct panel *panel)
{
    const struct mxq_heat *heat = panel->heat;
    const unsigned width = panel->cell_width;
    const unsigned height = panel->cell_height;

    for (unsigned row = 0; row < heat->high; row++) {
        for (unsigned column = 0; column < heat->wide; column++) {
            const size_t cell = (size_t)row * heat->wide + column;
            const unsigned x = panel->x + column * width;
            const unsigned y = panel->y + row * height;

            if (heat->ntotal[cell] == 0)
                fill_hatched(canvas, x, y, width, height);
            else
                fill(canvas, x, y, width, height,
                     find_colour(heat->worst[cell], heat->ndifferent[cell], heat->ntotal[cell]));
        }
    }
}

/* The label of the last block ends with the map, or where the one of the first leaves room. */
static void draw_axes(struct canvas *canvas, const struct panel *panel)
{
    const unsigned below = panel->y + panel->height + GAP;
    const unsigned last_row_y = panel->y + panel->height - GLYPH_HIGH * DOT;
    const unsigned end =
        larger(panel->x + panel->width, panel->x + text_width("block 0") + CHAR_WIDTH + text_width(panel->last_block));

    draw_text_before(canvas, panel->x - GAP, panel->y, "row 0");
    draw_text(canvas, panel->x, below, "block 0");
    if (panel->last_row[0] != '\0')
        draw_text_before(canvas, panel->x - GAP, last_row_y, panel->last_row);
    if (panel->last_block[0] != '\0')
        draw_text_before(canvas, end, below, panel->last_block);
}

static void draw_panel(struct canvas *canvas, const struct panel *panel)
{
    const unsigned top = panel->y - GAP - (unsigned)NELEMS(panel->texts) * LINE_HEIGHT;

    for (unsigned i = 0; i < NELEMS(panel->texts); i++)
        draw_text(canvas, panel->x, top + i * LINE_HEIGHT, panel->texts[i]);
    draw_cells(canvas, panel);
    draw_frame(canvas, panel->x, panel->y, panel->width, panel->height);
    draw_axes(canvas, panel);
}

/* ---------------------------------------------------------------------------------------------------- the legend */

#define SWATCH_WIDTH 64
#define SWATCH_HEIGHT (GLYPH_HIGH * DOT)

/* Characters of the column of names, and of one of numbers: enough for the codes of a few terabytes. */
#define NAME_NCHARS 14
#define NUMBER_NCHARS 14

#define HEADING_NLINES 2

static const char *const notes[] = {"a cell has the colour of the worst", "difference in it, the stronger",
                                    "the more of its blocks differ"};

static unsigned legend_width(unsigned npanels)
{
    return SWATCH_WIDTH + 2 * GAP + (NAME_NCHARS + npanels * 2 * NUMBER_NCHARS) * CHAR_WIDTH;
}

/* Heading, classes, what was not compared, and the notes. */
static unsigned legend_height(void)
{
    return (HEADING_NLINES + MXQ_NUM_CLASSES + 1 + (unsigned)NELEMS(notes)) * LINE_HEIGHT + GAP;
}

/* From one block among very many on the left to all of them on the right. */
static void draw_swatch(struct canvas *canvas, unsigned x, unsigned y, uint8_t class)
{
    for (unsigned i = 0; i < SWATCH_WIDTH; i++)
        fill(canvas, x + i, y, 1, SWATCH_HEIGHT, find_colour(class, i + 1, SWATCH_WIDTH));
    draw_frame(canvas, x, y, SWATCH_WIDTH, SWATCH_HEIGHT);
}

/* The swatches and names, and below them what the colours mean. */
static void draw_legend_names(struct canvas *canvas, unsigned x, unsigned y)
{
    const unsigned name_x = x + SWATCH_WIDTH + 2 * GAP;

    y += HEADING_NLINES * LINE_HEIGHT;
    for (unsigned i = 0; i < MXQ_NUM_CLASSES; i++, y += LINE_HEIGHT) {
        draw_swatch(canvas, x, y, (uint8_t)i);
        draw_text(canvas, name_x, y, mxq_class_name((enum mxq_class)i));
    }
    fill_hatched(canvas, x, y, SWATCH_WIDTH, SWATCH_HEIGHT);
    draw_frame(canvas, x, y, SWATCH_WIDTH, SWATCH_HEIGHT);
    draw_text(canvas, name_x, y, "not compared");
    for (size_t i = 0; i < NELEMS(notes); i++)
        draw_text(canvas, x, y + (unsigned)(i + 1) * LINE_HEIGHT + GAP, notes[i]);
}

/* One column, which ends before x. */
static void draw_counts(struct canvas *canvas, unsigned x, unsigned y, const char *direction, const char *what,
                        const uint64_t counts[MXQ_NUM_CLASSES])
{
    char text[LINE_NBYTES];

    draw_text_before(canvas, x, y, direction);
    draw_text_before(canvas, x, y + LINE_HEIGHT, what);
    for (unsigned i = 0; i < MXQ_NUM_CLASSES; i++) {
        snprintf(text, sizeof(text), "%" PRIu64, counts[i]);
        draw_text_before(canvas, x, y + (HEADING_NLINES + i) * LINE_HEIGHT, text);
    }
}

static void draw_legend(struct canvas *canvas, unsigned y, const struct panel *panels, unsigned npanels)
{
    unsigned x = MARGIN + legend_width(0);

    draw_legend_names(canvas, MARGIN, y);
    for (unsigned i = 0; i < npanels; i++) {
        x += NUMBER_NCHARS * CHAR_WIDTH;
        draw_counts(canvas, x, y, panels[i].name, "scales", panels[i].sum->scales);
        x += NUMBER_NCHARS * CHAR_WIDTH;
        draw_counts(canvas, x, y, panels[i].name, "codes", panels[i].sum->codes);
    }
}

/* ---------------------------------------------------------------------------------------------------- the picture */

struct picture {
    struct panel panels[MXQ_NUM_DIRECTIONS];
    unsigned npanels;
    unsigned legend_y;
    unsigned width;
    unsigned height;
};

static void add_panel(struct picture *picture, enum mxq_direction direction, const struct mxq_heat *heat,
                      const struct mxq_comparison *sum)
{
    struct panel *panel = &picture->panels[picture->npanels++];

    panel->heat = heat;
    panel->sum = sum;
    panel->name = mxq_direction_name(direction);
    size_map(panel);
    write_texts(panel);
}

/* Panels side by side, the legend below the longer one. */
static void place_all(struct picture *picture)
{
    unsigned right = MARGIN;
    unsigned bottom = 0;

    for (unsigned i = 0; i < picture->npanels; i++) {
        struct panel *panel = &picture->panels[i];

        place_panel(panel, right, MARGIN);
        right = panel->x + panel->full_width + MARGIN;
        bottom = larger(bottom, panel->y + panel->height + GAP + LINE_HEIGHT);
    }
    picture->legend_y = bottom + MARGIN;
    picture->width = larger(right, MARGIN + legend_width(picture->npanels) + MARGIN);
    picture->height = picture->legend_y + legend_height() + MARGIN;
}

static bool draw_picture(const struct picture *picture, struct canvas *canvas)
{
    canvas->width = picture->width;
    canvas->height = picture->height;
    canvas->rgb = malloc(canvas_row_nbytes(canvas) * canvas->height);
    if (canvas->rgb == NULL)
        return false;
    fill(canvas, 0, 0, canvas->width, canvas->height, paper);
    for (unsigned i = 0; i < picture->npanels; i++)
        draw_panel(canvas, &picture->panels[i]);
    draw_legend(canvas, picture->legend_y, picture->panels, picture->npanels);
    return true;
}

/* ---------------------------------------------------------------------------------------------------- PNG */

/* What the functions that libpng calls need. */
struct encoder {
    int fd;
    const char *path;
    struct mxq_fault *fault;
    bool has_fault;
};

/* libpng wants this not to return. */
static void fail_png(png_structp png, png_const_charp text)
{
    struct encoder *encoder = png_get_error_ptr(png);

    if (!encoder->has_fault)
        mxq_set_fault(encoder->fault, encoder->path, 0, "cannot make the picture: %s", text);
    encoder->has_fault = true;
    png_longjmp(png, 1);
}

/* Without a function of ours libpng would print. */
static void ignore_png_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void write_png_bytes(png_structp png, png_bytep bytes, size_t nbytes)
{
    struct encoder *encoder = png_get_io_ptr(png);

    if (mxq_write_all(encoder->fd, bytes, nbytes, encoder->path, encoder->fault))
        return;
    encoder->has_fault = true;
    png_error(png, "cannot write");
}

static void flush_png_bytes(png_structp png)
{
    (void)png;
}

static void encode_rows(png_structp png, const struct canvas *canvas)
{
    for (unsigned y = 0; y < canvas->height; y++)
        png_write_row(png, canvas->rgb + y * canvas_row_nbytes(canvas));
}

/* An error in here jumps back to setjmp(); so nothing but parameters, which do not change, may be used after it. */
static bool encode(png_structp png, png_infop info, struct encoder *encoder, const struct canvas *canvas)
{
    if (setjmp(png_jmpbuf(png)) != 0)
        return false;
    png_set_write_fn(png, encoder, write_png_bytes, flush_png_bytes);
    png_set_IHDR(png, info, canvas->width, canvas->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    encode_rows(png, canvas);
    png_write_end(png, info);
    return true;
}

static bool write_png(struct encoder *encoder, const struct canvas *canvas)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, encoder, fail_png, ignore_png_warning);
    png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
    bool ok = false;

    if (info != NULL)
        ok = encode(png, info, encoder, canvas);
    if (!ok && !encoder->has_fault)
        mxq_set_fault(encoder->fault, encoder->path, ENOMEM, "cannot make the picture");
    png_destroy_write_struct(&png, &info);
    return ok;
}

bool mxq_write_heatmap(int fd, const char *path, const struct mxq_heat *const heat[MXQ_NUM_DIRECTIONS],
                       const struct mxq_comparison sum[MXQ_NUM_DIRECTIONS], struct mxq_fault *fault)
{
    struct encoder encoder = {.fd = fd, .path = path, .fault = fault};
    struct picture picture = {.npanels = 0};
    struct canvas canvas;
    bool ok;

    for (unsigned i = 0; i < MXQ_NUM_DIRECTIONS; i++)
        if (heat[i] != NULL)
            add_panel(&picture, (enum mxq_direction)i, heat[i], &sum[i]);
    place_all(&picture);
    if (!draw_picture(&picture, &canvas)) {
        mxq_set_fault(fault, path, ENOMEM, "cannot make the picture");
        return false;
    }
    ok = write_png(&encoder, &canvas);
    free(canvas.rgb);
    return ok;
}
