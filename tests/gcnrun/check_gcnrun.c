/*
 * check_gcnrun - holds the executor of AMD code objects against results worked out without it
 *
 * Instructions: the cases of make_vectors.py, one kernel in assembly each. Lane exchange, LDS and memory: kernels whose
 * results are computed here in C. Faults: for every check a kernel that it has to stop, and one like it that is right.
 *
 *   check_gcnrun DIRECTORY     where files may be made; run it at the top of the source tree
 */
#include "gcnrun/assembly.h"
#include "gcnrun/toolchain.h"
#include "unit/check.h"

#include <stdlib.h>
#include <string.h>

#define NELEMS(array) (sizeof(array) / sizeof((array)[0]))
#define WAVE GCN_WAVE_NLANES

static const char *directory;
static char error[4000];

/* ---------------------------------------------------------------------------------------------- instructions */

#define MAX_ROWS WAVE
#define MAX_CASES 512

struct vector_case {
    enum gcn_arch first_arch;
    bool alone; /* no later architecture has it */
    bool scalar;
    char group[48];
    char body[700];
    uint32_t row[MAX_ROWS][7];
    unsigned nrows;
};

static struct vector_case cases[MAX_CASES];
static size_t ncases;

static void read_heading(const char *line, struct vector_case *c)
{
    char arch[16] = "";
    char unit[16] = "";
    int n = 0;

    sscanf(line, "case %15s %15s %n", arch, unit, &n);
    snprintf(c->group, sizeof(c->group), "%.*s", (int)strcspn(line + n, "\n"), line + n);
    c->scalar = strcmp(unit, "scalar") == 0;
    c->alone = strstr(arch, "-alone") != NULL;
    for (unsigned a = 0; a < GCN_NUM_ARCHS; a++)
        if (strncmp(gcn_arch_name(a), arch, strlen(gcn_arch_name(a))) == 0)
            c->first_arch = a;
}

static bool read_row(const char *line, struct vector_case *c)
{
    uint32_t *w;

    if (c->nrows == MAX_ROWS)
        return false;
    w = c->row[c->nrows];
    if (sscanf(line, "%8x %8x %8x %8x %8x %8x %8x", &w[0], &w[1], &w[2], &w[3], &w[4], &w[5], &w[6]) != 7)
        return false;
    c->nrows++;
    return true;
}

/* SCC is returned through v8, and scalar results through v6 and v7; SCC starts as bit 0 of s10. */
static void set_body(struct vector_case *c, const char *text)
{
    const int length = (int)strcspn(text, "\n");

    if (c->scalar)
        snprintf(c->body, sizeof(c->body),
                 "s_mov_b32 s12, 0; s_mov_b32 s13, 0; %.*s; s_cselect_b32 s14, 1, 0; v_mov_b32 v6, s12; v_mov_b32 v7, "
                 "s13; v_mov_b32 v8, s14; s_nop 1",
                 length, text);
    else
        snprintf(c->body, sizeof(c->body), "%.*s; s_nop 1", length, text);
}

static bool read_cases(FILE *file)
{
    char line[1000];

    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "case ", 5) == 0) {
            if (ncases == MAX_CASES)
                return false;
            read_heading(line, &cases[ncases]);
            if (fgets(line, sizeof(line), file) == NULL)
                return false;
            set_body(&cases[ncases++], line);
        } else if (ncases == 0 || !read_row(line, &cases[ncases - 1])) {
            return false;
        }
    }
    return ncases > 0;
}

static const char *make_cases(void)
{
    FILE *file;
    bool good;

    if (system("command -v python3 >/dev/null 2>&1") != 0)
        return "python3 is not installed";
    file = popen("python3 tests/gcnrun/make_vectors.py", "r");
    good = file != NULL && read_cases(file);
    return file != NULL && pclose(file) == 0 && good ? NULL : "make_vectors.py did not work";
}

/* Vector cases have a lane a row, scalar ones a workgroup a row. */
static bool run_case(struct gcn *gcn, const char *kernel, const struct vector_case *c, char *text, size_t nbytes)
{
    const unsigned nwaves = c->scalar ? c->nrows : 1;
    uint32_t(*in)[4] = calloc((size_t)nwaves * WAVE, sizeof(*in));
    uint32_t(*out)[4] = calloc((size_t)nwaves * WAVE, sizeof(*out));
    const void *args[2] = {in, out};
    const struct gcn_launch launch = {kernel, {nwaves, 1, 1}, {WAVE, 1, 1}, 0, args, sizeof(args), 7};
    bool good;

    if (in == NULL || out == NULL)
        abort();
    for (unsigned i = 0; i < nwaves * WAVE; i++)
        memcpy(in[i], c->row[c->scalar ? i / WAVE : i % c->nrows], sizeof(in[i]));
    gcn_forget_buffers(gcn);
    gcn_add_buffer(gcn, "in", in, (size_t)nwaves * WAVE * 16, false);
    gcn_add_buffer(gcn, "out", out, (size_t)nwaves * WAVE * 16, true);
    good = gcn_run(gcn, &launch);
    if (!good)
        snprintf(text, nbytes, "%s: %s", c->body, gcn_error(gcn));
    for (unsigned i = 0; good && i < nwaves * WAVE; i++) {
        const uint32_t *row = c->row[c->scalar ? i / WAVE : i % c->nrows];
        good = memcmp(out[i], row + 4, 12) == 0;
        if (!good)
            snprintf(text, nbytes, "%s: of %08x %08x %08x %08x want %08x %08x %08x, got %08x %08x %08x", c->body,
                     row[0], row[1], row[2], row[3], row[4], row[5], row[6], out[i][0], out[i][1], out[i][2]);
    }
    free(in);
    free(out);
    return good;
}

static bool has_case(enum gcn_arch arch, const struct vector_case *c)
{
    return c->first_arch == arch || (c->first_arch < arch && !c->alone);
}

static void check_group(enum gcn_arch arch, struct gcn *gcn, const char *group)
{
    char name[120];
    char text[2000];
    unsigned n = 0;

    snprintf(name, sizeof(name), "%s: %s give what they have to", gcn_arch_name(arch), group);
    for (size_t i = 0; i < ncases; i++) {
        char kernel[32];
        if (strcmp(cases[i].group, group) != 0 || !has_case(arch, &cases[i]))
            continue;
        snprintf(kernel, sizeof(kernel), "case%zu", i);
        n++;
        if (!run_case(gcn, kernel, &cases[i], text, sizeof(text))) {
            CHECK_FAIL(name, "%s", text);
            return;
        }
    }
    if (n > 0)
        CHECK_PASS(name);
}

static void check_instructions(enum gcn_arch arch)
{
    struct assembly_kernel *kernels = calloc(ncases, sizeof(*kernels));
    struct gcn *gcn;
    size_t n = 0;

    if (kernels == NULL)
        abort();
    for (size_t i = 0; i < ncases; i++) {
        if (!has_case(arch, &cases[i]))
            continue;
        snprintf(kernels[n].name, sizeof(kernels[n].name), "case%zu", i);
        kernels[n++].body = cases[i].body;
    }
    gcn = assembly_open(arch, kernels, n, directory, error, sizeof(error));
    if (gcn == NULL)
        CHECK_FAIL("the cases are assembled", "%s: %s", gcn_arch_name(arch), error);
    for (size_t i = 0; gcn != NULL && i < ncases; i++)
        if (i == 0 || strcmp(cases[i].group, cases[i - 1].group) != 0)
            check_group(arch, gcn, cases[i].group);
    gcn_close(gcn);
    free(kernels);
}

/* ---------------------------------------------------------------------------------------------- exchange and memory */

/* The source of lane l, -1 when it has none, -2 when the destination stays as it is. */
typedef int source_function(int l);

static int quad_reverse(int l)
{
    return l / 4 * 4 + 3 - l % 4;
}

static int shift_left3(int l)
{
    return l % 16 + 3 < 16 ? l + 3 : -1;
}

static int shift_right2(int l)
{
    return l % 16 >= 2 ? l - 2 : -1;
}

static int shift_right2_kept(int l)
{
    return l % 16 >= 2 ? l - 2 : -2;
}

static int rotate_right5(int l)
{
    return l / 16 * 16 + (l % 16 + 11) % 16;
}

static int wave_shift_right(int l)
{
    return l - 1;
}

static int wave_rotate_left(int l)
{
    return (l + 1) % 64;
}

static int row_mirror(int l)
{
    return l / 16 * 16 + 15 - l % 16;
}

static int half_mirror(int l)
{
    return l / 8 * 8 + 7 - l % 8;
}

static int row_broadcast15(int l)
{
    return l / 16 == 0 ? -1 : l / 16 * 16 - 1;
}

static int row_new_broadcast6(int l)
{
    return l / 16 * 16 + 6;
}

static int masked_mirror(int l)
{
    return (l / 16 == 0 || l / 16 == 2) && l / 4 % 4 != 1 ? row_mirror(l) : -2;
}

static int exchange16(int l)
{
    return l ^ 16;
}

static int swizzle_xor5(int l)
{
    return l ^ 5;
}

static int next_lane3(int l)
{
    return (l + 3) % 64;
}

/* EXEC has lanes 0 to 47; sources beyond count as switched off. */
static int mirror_of_half(int l)
{
    return l < 48 ? (63 - l < 48 ? 63 - l : -1) : -2;
}

#define DPP(control) "v_mov_b32_dpp v6, v1 " control
#define ALL " row_mask:0xf bank_mask:0xf"
#define ZERO " bound_ctrl:0"

static const struct exchange {
    const char *name;
    const char *body; /* v1: the source; v6, which starts as 0x77: the destination */
    source_function *source;
    enum gcn_arch first_arch;
} exchanges[] = {
    {"quad_perm", DPP("quad_perm:[3,2,1,0]" ALL), quad_reverse, GCN_GFX90A},
    {"row_shl", DPP("row_shl:3" ALL ZERO), shift_left3, GCN_GFX90A},
    {"row_shr", DPP("row_shr:2" ALL ZERO), shift_right2, GCN_GFX90A},
    {"row_shr that keeps", DPP("row_shr:2" ALL), shift_right2_kept, GCN_GFX90A},
    {"row_ror", DPP("row_ror:5" ALL), rotate_right5, GCN_GFX90A},
    {"wave_shr", DPP("wave_shr:1" ALL ZERO), wave_shift_right, GCN_GFX90A},
    {"wave_rol", DPP("wave_rol:1" ALL), wave_rotate_left, GCN_GFX90A},
    {"row_mirror", DPP("row_mirror" ALL), row_mirror, GCN_GFX90A},
    {"row_half_mirror", DPP("row_half_mirror" ALL), half_mirror, GCN_GFX90A},
    {"row_bcast", DPP("row_bcast:15" ALL ZERO), row_broadcast15, GCN_GFX90A},
    {"row_newbcast", DPP("row_newbcast:6" ALL), row_new_broadcast6, GCN_GFX90A},
    {"row and bank masks", DPP("row_mirror row_mask:0x5 bank_mask:0xd"), masked_mirror, GCN_GFX90A},
    {"ds_swizzle in fours", "ds_swizzle_b32 v6, v1 offset:0x801b; s_waitcnt lgkmcnt(0)", quad_reverse, GCN_GFX90A},
    {"ds_swizzle by xor", "ds_swizzle_b32 v6, v1 offset:0x141f; s_waitcnt lgkmcnt(0)", swizzle_xor5, GCN_GFX90A},
    {"ds_bpermute",
     "v_add_u32 v10, 3, v0; v_lshlrev_b32 v10, 2, v10; ds_bpermute_b32 v6, v10, v1; s_waitcnt lgkmcnt(0)", next_lane3,
     GCN_GFX90A},
    {"ds_permute", "v_add_u32 v10, 61, v0; v_lshlrev_b32 v10, 2, v10; ds_permute_b32 v6, v10, v1; s_waitcnt lgkmcnt(0)",
     next_lane3, GCN_GFX90A},
    {"ds_bpermute with lanes off",
     "s_mov_b64 s[20:21], exec; s_mov_b32 exec_hi, 0xffff; v_sub_u32 v10, 63, v0; v_lshlrev_b32 v10, 2, v10; "
     "ds_bpermute_b32 v6, v10, v1; s_waitcnt lgkmcnt(0); s_mov_b64 exec, s[20:21]",
     mirror_of_half, GCN_GFX90A},
    {"v_permlane16_swap",
     "v_mov_b32 v6, v1; v_mov_b32 v10, v1; s_nop 1; v_permlane16_swap_b32 v6, v10; s_nop 1; "
     "v_and_b32 v11, 16, v0; v_cmp_eq_u32 vcc, 0, v11; v_cndmask_b32 v6, v6, v10, vcc",
     exchange16, GCN_GFX950},
};

static const struct assembly_kernel *find_exchange_kernels(enum gcn_arch arch, size_t *n)
{
    static struct assembly_kernel kernels[NELEMS(exchanges)];
    static char bodies[NELEMS(exchanges)][400];

    *n = 0;
    for (size_t i = 0; i < NELEMS(exchanges); i++) {
        if (exchanges[i].first_arch > arch)
            continue;
        snprintf(bodies[i], sizeof(bodies[i]), "v_mov_b32 v6, 0x77; s_nop 4; %s; s_nop 4", exchanges[i].body);
        snprintf(kernels[*n].name, sizeof(kernels[*n].name), "exchange%zu", i);
        kernels[(*n)++].body = bodies[i];
    }
    return kernels;
}

struct io {
    uint32_t in[WAVE * 16][4];
    uint32_t gap[64]; /* belongs to no buffer */
    uint32_t out[WAVE * 16][4];
};

static _Alignas(128) struct io io;

static bool run_one(struct gcn *gcn, const char *kernel, struct gcn_size grid, struct gcn_size block, uint64_t seed)
{
    const void *args[2] = {io.in, io.out};
    const struct gcn_launch launch = {kernel, grid, block, 0, args, sizeof(args), seed};

    gcn_forget_buffers(gcn);
    gcn_add_buffer(gcn, "in", io.in, sizeof(io.in), false);
    gcn_add_buffer(gcn, "out", io.out, sizeof(io.out), true);
    return gcn_run(gcn, &launch);
}

static void fill_io(void)
{
    for (size_t i = 0; i < NELEMS(io.in); i++)
        for (unsigned k = 0; k < 4; k++)
            io.in[i][k] = (uint32_t)(i * 0x01000193u + k * 0x9e3779b9u + 0x1234567u);
    memset(io.out, 0xcc, sizeof(io.out));
}

static void check_exchange(enum gcn_arch arch, struct gcn *gcn, const struct exchange *e, size_t index)
{
    const struct gcn_size one = {1, 1, 1};
    const struct gcn_size wave = {WAVE, 1, 1};
    char name[120];
    char kernel[32];

    snprintf(name, sizeof(name), "%s: %s moves what it has to", gcn_arch_name(arch), e->name);
    snprintf(kernel, sizeof(kernel), "exchange%zu", index);
    fill_io();
    if (!run_one(gcn, kernel, one, wave, 0)) {
        CHECK_FAIL(name, "%s", gcn_error(gcn));
        return;
    }
    for (int l = 0; l < WAVE; l++) {
        const int source = e->source(l);
        const uint32_t want = source == -2 ? 0x77 : source == -1 ? 0 : io.in[source][0];
        if (io.out[l][0] != want) {
            CHECK_FAIL(name, "lane %d: want %08x (of lane %d), got %08x", l, want, source, io.out[l][0]);
            return;
        }
    }
    CHECK_PASS(name);
}

static void check_exchanges(enum gcn_arch arch)
{
    size_t n;
    const struct assembly_kernel *kernels = find_exchange_kernels(arch, &n);
    struct gcn *gcn = assembly_open(arch, kernels, n, directory, error, sizeof(error));

    if (gcn == NULL)
        CHECK_FAIL("the exchanges are assembled", "%s: %s", gcn_arch_name(arch), error);
    for (size_t i = 0; gcn != NULL && i < NELEMS(exchanges); i++)
        if (exchanges[i].first_arch <= arch)
            check_exchange(arch, gcn, &exchanges[i], i);
    gcn_close(gcn);
}

/* ---------------------------------------------------------------------------------------------- memory */

/* What a body leaves in v6 to v9 of lane l of wave w; in: what v1 to v4 were. */
typedef void expected_function(unsigned l, const uint32_t in[4], uint32_t want[4]);

static void expect_bytes(unsigned l, const uint32_t in[4], uint32_t want[4])
{
    (void)l;
    want[0] = in[0] & 0xff;
    want[1] = (uint32_t)(int32_t)(int8_t)(in[0] >> 8);
    want[2] = in[1] & 0xffff;
    want[3] = (uint32_t)(int32_t)(int16_t)(in[1] >> 16);
}

static void expect_halves(unsigned l, const uint32_t in[4], uint32_t want[4])
{
    (void)l;
    want[0] = (in[0] & 0xffff) | 0x11110000u;
    want[1] = in[0] << 16 | 0x1111u;
    want[2] = (in[1] & 0xff) | 0x11110000u;
    want[3] = (in[1] >> 8 & 0xff) << 16 | 0x1111u;
}

static void expect_same(unsigned l, const uint32_t in[4], uint32_t want[4])
{
    (void)l;
    memcpy(want, in, 16);
}

static void expect_reverse(unsigned l, const uint32_t in[4], uint32_t want[4])
{
    (void)in;
    memcpy(want, io.in[WAVE - 1 - l], 16);
}

static void expect_merged(unsigned l, const uint32_t in[4], uint32_t want[4])
{
    (void)l;
    want[0] = (in[0] & 0xff) | (in[1] >> 16 & 0xff) << 8 | (in[2] & 0xffff) << 16;
    want[1] = in[2] >> 16;
    want[2] = want[3] = 0;
}

static void expect_sum(unsigned l, const uint32_t in[4], uint32_t want[4])
{
    (void)l, (void)in;
    want[0] = WAVE * (WAVE - 1) / 2;
    want[1] = WAVE - 1;
    want[2] = ~0u;
    want[3] = 0;
}

static void expect_scalars(unsigned l, const uint32_t in[4], uint32_t want[4])
{
    (void)l, (void)in;
    want[0] = io.in[3][0];
    want[1] = io.in[1][1];
    want[2] = io.in[0][2];
    want[3] = io.in[1][0];
}

/* The number of the lane; 5 and the even lanes before it among the first 32. */
static void expect_places(unsigned l, const uint32_t in[4], uint32_t want[4])
{
    (void)in;
    want[0] = l;
    want[1] = 5 + (l < 32 ? (l + 1) / 2 : 16);
    want[2] = want[3] = 0;
}

/* LDS: lane l has 16 bytes at v10, and v11 is where those of lane 63 - l are. */
#define HALVES                                                                                                         \
    "v_mov_b32 v6, 0x11111111; v_mov_b32 v7, 0x11111111; v_mov_b32 v8, 0x11111111; v_mov_b32 v9, 0x11111111; "
#define LDS_ADDRESS "v_lshlrev_b32 v10, 4, v0; v_sub_u32 v11, 0x3f0, v10; "
#define LDS_WRITE LDS_ADDRESS "ds_write_b128 v10, v[22:25]; "

static const struct memory_case {
    const char *name;
    const char *body;
    expected_function *expect;
} memory_cases[] = {
    {"global loads of bytes and halves",
     "global_load_ubyte v6, v20, s[4:5]; global_load_sbyte v7, v20, s[4:5] offset:1; global_load_ushort v8, v20, s[4:5] "
     "offset:4; global_load_sshort v9, v20, s[4:5] offset:6; s_waitcnt vmcnt(0)",
     expect_bytes},
    {"global loads into halves of registers",
     HALVES
     "global_load_short_d16 v6, v20, s[4:5]; global_load_short_d16_hi v7, v20, s[4:5]; global_load_ubyte_d16 v8, "
     "v20, s[4:5] offset:4; global_load_ubyte_d16_hi v9, v20, s[4:5] offset:5; s_waitcnt vmcnt(0)",
     expect_halves},
    {"global addresses of 64 bits, and negative offsets",
     "v_mov_b32 v12, s4; v_mov_b32 v13, s5; v_add_co_u32 v12, vcc, v12, v20; v_addc_co_u32 v13, vcc, 0, v13, vcc; "
     "v_add_co_u32 v12, vcc, 16, v12; v_addc_co_u32 v13, vcc, 0, v13, vcc; global_load_dwordx2 v[6:7], v[12:13], off "
     "offset:-16; global_load_dwordx2 v[8:9], v[12:13], off offset:-8; s_waitcnt vmcnt(0)",
     expect_same},
    {"flat loads",
     "v_mov_b32 v12, s4; v_mov_b32 v13, s5; v_add_co_u32 v12, vcc, v12, v20; v_addc_co_u32 v13, vcc, 0, v13, vcc; "
     "flat_load_dwordx4 v[6:9], v[12:13]; s_waitcnt vmcnt(0) lgkmcnt(0)",
     expect_same},
    {"global stores of parts",
     "global_store_dwordx2 v20, v[6:7], s[6:7]; global_store_byte v20, v1, s[6:7]; global_store_byte_d16_hi v20, v2, "
     "s[6:7] offset:1; global_store_short v20, v3, s[6:7] offset:2; global_store_short_d16_hi v20, v3, s[6:7] offset:4; "
     "s_waitcnt vmcnt(0); global_load_dwordx2 v[6:7], v20, s[6:7]; s_waitcnt vmcnt(0)",
     expect_merged},
    {"three words",
     "global_store_dwordx3 v20, v[22:24], s[6:7]; global_store_dword v20, v4, s[6:7] offset:12; s_waitcnt vmcnt(0); "
     "global_load_dwordx3 v[6:8], v20, s[6:7]; global_load_dword v9, v20, s[6:7] offset:12; s_waitcnt vmcnt(0)",
     expect_same},
    {"global atomics",
     "s_mov_b64 s[20:21], exec; v_mov_b32 v12, 0; s_mov_b64 exec, 1; global_store_dwordx4 v12, v[6:9], s[6:7]; s_waitcnt "
     "vmcnt(0); s_mov_b64 exec, s[20:21]; v_mov_b32 v13, -1; global_atomic_add v12, v0, s[6:7]; global_atomic_umax v12, "
     "v0, s[6:7] offset:4; global_atomic_or v12, v13, s[6:7] offset:8; s_waitcnt vmcnt(0); global_load_dwordx4 v[6:9], "
     "v12, s[6:7]; s_waitcnt vmcnt(0)",
     expect_sum},
    {"LDS reads of bytes and halves",
     LDS_WRITE "ds_read_u8 v6, v10; ds_read_i8 v7, v10 offset:1; ds_read_u16 v8, v10 offset:4; ds_read_i16 v9, v10 "
               "offset:6; s_waitcnt lgkmcnt(0)",
     expect_bytes},
    {"LDS reads into halves of registers",
     HALVES LDS_WRITE "ds_read_u16_d16 v6, v10; ds_read_u16_d16_hi v7, v10; ds_read_u8_d16 v8, v10 offset:4; "
                      "ds_read_u8_d16_hi v9, v10 offset:5; s_waitcnt lgkmcnt(0)",
     expect_halves},
    {"LDS writes of parts",
     LDS_ADDRESS
     "ds_write_b64 v10, v[6:7]; ds_write_b8 v10, v1; ds_write_b8_d16_hi v10, v2 offset:1; ds_write_b16 v10, v3 "
     "offset:2; ds_write_b16_d16_hi v10, v3 offset:4; ds_read_b64 v[6:7], v10; s_waitcnt lgkmcnt(0)",
     expect_merged},
    {"LDS accesses of 16 bytes", LDS_WRITE "ds_read_b128 v[6:9], v11; s_waitcnt lgkmcnt(0)", expect_reverse},
    {"LDS accesses of 12 and 4 bytes",
     LDS_ADDRESS
     "ds_write_b96 v10, v[22:24]; ds_write_b32 v10, v4 offset:12; ds_read_b96 v[6:8], v11; ds_read_b32 v9, v11 "
     "offset:12; s_waitcnt lgkmcnt(0)",
     expect_reverse},
    {"LDS accesses in pairs",
     LDS_ADDRESS
     "ds_write2_b32 v10, v1, v2 offset1:1; ds_write2_b32 v10, v3, v4 offset0:2 offset1:3; ds_read2_b64 v[6:9], "
     "v11 offset1:1; s_waitcnt lgkmcnt(0)",
     expect_reverse},
    {"LDS accesses in pairs, 64 apart",
     "v_lshlrev_b32 v10, 2, v0; v_sub_u32 v11, 0xfc, v10; ds_write2st64_b32 v10, v1, v2 offset1:1; ds_write2st64_b32 "
     "v10, v3, v4 offset0:2 offset1:3; ds_read2st64_b32 v[6:7], v11 offset1:1; ds_read2st64_b32 v[8:9], v11 offset0:2 "
     "offset1:3; s_waitcnt lgkmcnt(0)",
     expect_reverse},
    {"LDS accesses in pairs of 8 bytes, 64 apart",
     "v_lshlrev_b32 v10, 3, v0; v_sub_u32 v11, 0x1f8, v10; ds_write2st64_b64 v10, v[22:23], v[24:25] offset1:1; "
     "ds_read2st64_b64 v[6:9], v11 offset1:1; s_waitcnt lgkmcnt(0)",
     expect_reverse},
    {"LDS accesses in pairs of 8 bytes",
     LDS_ADDRESS "ds_write2_b64 v10, v[22:23], v[24:25] offset1:1; ds_read2_b32 v[6:7], v11 offset1:1; ds_read2_b32 "
                 "v[8:9], v11 offset0:2 offset1:3; s_waitcnt lgkmcnt(0)",
     expect_reverse},
    {"scalar loads of all sizes",
     "s_load_dwordx16 s[32:47], s[4:5], 0x0; s_load_dwordx8 s[48:55], s[4:5], 0x0; s_load_dwordx2 s[56:57], s[4:5], 0x8; "
     "s_waitcnt lgkmcnt(0); v_mov_b32 v6, s44; v_mov_b32 v7, s53; v_mov_b32 v8, s56; v_mov_b32 v9, s36; s_nop 1",
     expect_scalars},
    {"counting lanes before",
     "v_mbcnt_lo_u32_b32 v6, -1, 0; v_mbcnt_hi_u32_b32 v6, -1, v6; v_mov_b32 v7, 5; "
     "v_mov_b32 v12, 0x55555555; v_mbcnt_lo_u32_b32 v7, v12, v7; s_nop 1",
     expect_places},
    {"LDS atomics",
     "v_mov_b32 v12, 0; ds_write_b128 v12, v[6:9]; v_mov_b32 v13, -1; ds_add_u32 v12, v0; ds_max_u32 v12, v0 offset:4; "
     "ds_or_b32 v12, v13 offset:8; ds_read_b128 v[6:9], v12; s_waitcnt lgkmcnt(0)",
     expect_sum},
    {"accumulation registers",
     "v_accvgpr_write_b32 a5, v1; v_accvgpr_write_b32 a6, v2; s_nop 4; v_accvgpr_read_b32 v6, a5; v_accvgpr_read_b32 v7, "
     "a6; v_mov_b32 v8, v3; v_mov_b32 v9, v4; s_nop 1",
     expect_same},
    {"lanes one by one",
     "v_readlane_b32 s20, v1, 63; v_readfirstlane_b32 s21, v2; s_nop 4; v_mov_b32 v6, v1; v_mov_b32 v7, v2; "
     "v_writelane_b32 v6, s20, 63; v_writelane_b32 v7, s21, 0; v_mov_b32 v8, v3; v_mov_b32 v9, v4; s_nop 1",
     expect_same},
};

static void check_memory_case(enum gcn_arch arch, struct gcn *gcn, size_t index)
{
    const struct gcn_size one = {1, 1, 1};
    const struct gcn_size wave = {WAVE, 1, 1};
    char name[120];
    char kernel[32];

    snprintf(name, sizeof(name), "%s: %s work", gcn_arch_name(arch), memory_cases[index].name);
    snprintf(kernel, sizeof(kernel), "memory%zu", index);
    fill_io();
    if (!run_one(gcn, kernel, one, wave, 0)) {
        CHECK_FAIL(name, "%s", gcn_error(gcn));
        return;
    }
    for (unsigned l = 0; l < WAVE; l++) {
        uint32_t want[4];
        memory_cases[index].expect(l, io.in[l], want);
        if (memcmp(want, io.out[l], sizeof(want)) != 0) {
            CHECK_FAIL(name, "lane %u: want %08x %08x %08x %08x, got %08x %08x %08x %08x", l, want[0], want[1], want[2],
                       want[3], io.out[l][0], io.out[l][1], io.out[l][2], io.out[l][3]);
            return;
        }
    }
    CHECK_PASS(name);
}

static void check_memory(enum gcn_arch arch)
{
    struct assembly_kernel kernels[NELEMS(memory_cases)];
    struct gcn *gcn;

    memset(kernels, 0, sizeof(kernels));
    for (size_t i = 0; i < NELEMS(memory_cases); i++) {
        snprintf(kernels[i].name, sizeof(kernels[i].name), "memory%zu", i);
        kernels[i].body = memory_cases[i].body;
        kernels[i].lds_nbytes = 1024;
    }
    gcn = assembly_open(arch, kernels, NELEMS(kernels), directory, error, sizeof(error));
    if (gcn == NULL)
        CHECK_FAIL("the memory cases are assembled", "%s: %s", gcn_arch_name(arch), error);
    for (size_t i = 0; gcn != NULL && i < NELEMS(memory_cases); i++)
        check_memory_case(arch, gcn, i);
    gcn_close(gcn);
}

/* ---------------------------------------------------------------------------------------------- faults */

/* Wave w of the workgroup is in s20: work item / 64. */
#define WAVE_NUMBER "v_lshrrev_b32 v10, 6, v0; s_nop 1; v_readfirstlane_b32 s20, v10; "
#define ITEM_ADDRESS "v_lshlrev_b32 v10, 2, v0; "
#define TURNED_ADDRESS "v_xor_b32 v11, 64, v0; v_lshlrev_b32 v11, 2, v11; "

static const struct fault {
    const char *name;
    const char *body;
    unsigned nwaves;
    const char *message; /* a part of what has to be said; NULL: nothing is wrong */
} faults[] = {
    {"a load before a buffer", "global_load_dword v6, v20, s[4:5] offset:-4; s_waitcnt vmcnt(0)", 1,
     "lane 0 reads 4 bytes"},
    {"a load behind a buffer", "v_or_b32 v12, 0x3ffc, v20; global_load_dwordx2 v[6:7], v12, s[4:5]; s_waitcnt vmcnt(0)",
     1, "outside every buffer"},
    {"a load at the end of a buffer",
     "v_or_b32 v12, 0x3ff8, v20; v_and_b32 v12, 0x3ff8, v12; global_load_dwordx2 v[6:7], "
     "v12, s[4:5]; s_waitcnt vmcnt(0)",
     1, NULL},
    {"a store outside, by one lane",
     "v_cmp_eq_u32 vcc, 37, v0; v_cndmask_b32 v12, 0, -16, vcc; global_store_dword v12, "
     "v1, s[6:7]",
     1, "lane 37 writes 4 bytes"},
    {"a store to an input", "global_store_dword v20, v1, s[4:5]", 1, "read-only"},
    {"a scalar load outside", "s_load_dword s20, s[4:5], 0x4000; s_waitcnt lgkmcnt(0)", 1, "outside every buffer"},
    {"a misaligned load", "global_load_dword v6, v20, s[4:5] offset:2; s_waitcnt vmcnt(0)", 1, "misaligned"},
    {"a misaligned store of a half", "global_store_short v20, v1, s[6:7] offset:1", 1, "misaligned"},
    {"an LDS access outside", "v_mov_b32 v12, 0x7fd; ds_read_u8 v6, v12 offset:3; s_waitcnt lgkmcnt(0)", 1,
     "LDS access of lane 0 at 2048"},
    {"a misaligned LDS access", "v_mov_b32 v12, 2; ds_read_b32 v6, v12; s_waitcnt lgkmcnt(0)", 1,
     "misaligned LDS access"},
    {"an unknown instruction", "v_cos_f32 v6, v1", 1, "unknown instruction"},
    {"an unknown form of an instruction", "v_mad_u16 v6, v1, v2, v3 op_sel:[0,0,0,1]", 1, "not known"},
    {"reading what another wave has written, behind no barrier",
     ITEM_ADDRESS TURNED_ADDRESS
     "ds_write_b32 v10, v1; s_waitcnt lgkmcnt(0); ds_read_b32 v6, v11; s_waitcnt lgkmcnt(0)",
     2, "LDS race"},
    {"reading what another wave has written, behind a barrier",
     ITEM_ADDRESS TURNED_ADDRESS
     "ds_write_b32 v10, v1; s_waitcnt lgkmcnt(0); s_barrier; ds_read_b32 v6, v11; s_waitcnt lgkmcnt(0)",
     2, NULL},
    {"writing what another wave reads, behind no barrier",
     ITEM_ADDRESS TURNED_ADDRESS
     "ds_write_b32 v10, v1; s_waitcnt lgkmcnt(0); s_barrier; ds_read_b32 v6, v11; s_waitcnt "
     "lgkmcnt(0); ds_write_b32 v10, v6; s_waitcnt lgkmcnt(0)",
     2, "LDS race"},
    {"writing what another wave writes", "v_mov_b32 v10, 0; ds_write_b32 v10, v1; s_waitcnt lgkmcnt(0)", 2, "LDS race"},
    {"waves that use an own part each", ITEM_ADDRESS "ds_write_b32 v10, v1; ds_read_b32 v6, v10; s_waitcnt lgkmcnt(0)",
     2, NULL},
    {"LDS writes that are not waited for at a barrier", ITEM_ADDRESS "ds_write_b32 v10, v1; s_barrier", 2,
     "s_waitcnt has not waited for at a barrier"},
    {"a barrier that a wave does not reach", WAVE_NUMBER "s_cmp_eq_u32 s20, 0; s_cbranch_scc1 1f; s_barrier; 1:", 2,
     "divergence at a barrier: wave 1 waits"},
    {"waves at different barriers",
     WAVE_NUMBER "s_cmp_eq_u32 s20, 0; s_cbranch_scc1 1f; s_barrier; s_branch 2f; 1: s_barrier; 2:", 2,
     "wait at different ones"},
    {"a barrier that some lanes do not reach",
     "v_cmp_gt_u32 vcc, 32, v0; s_and_saveexec_b64 s[20:21], vcc; s_barrier; "
     "s_mov_b64 exec, s[20:21]",
     1, "lanes 00000000ffffffff of ffffffffffffffff"},
    {"a use before the wait for a load", "global_load_dword v6, v20, s[4:5]; v_add_u32 v7, 1, v6", 1,
     "missing s_waitcnt vmcnt: v6"},
    {"a use after a wait that leaves one load",
     "global_load_dword v6, v20, s[4:5]; global_load_dword v7, v20, s[4:5]; "
     "s_waitcnt vmcnt(1); v_add_u32 v8, 1, v6; s_waitcnt vmcnt(0)",
     1, NULL},
    {"a use of the load that the wait leaves",
     "global_load_dword v6, v20, s[4:5]; global_load_dword v7, v20, s[4:5]; s_waitcnt vmcnt(1); v_add_u32 v8, 1, v7", 1,
     "missing s_waitcnt vmcnt: v7"},
    {"storing before the wait for a load", "global_load_dwordx4 v[6:9], v20, s[4:5]", 1, "missing s_waitcnt vmcnt: v6"},
    {"overwriting what a load fills", "global_load_dword v6, v20, s[4:5]; v_mov_b32 v6, 0; s_waitcnt vmcnt(0)", 1,
     "missing s_waitcnt vmcnt: v6"},
    {"a use before the wait for LDS", ITEM_ADDRESS "ds_write_b32 v10, v1; ds_read_b32 v6, v10; v_add_u32 v7, 1, v6", 1,
     "missing s_waitcnt lgkmcnt: v6"},
    {"a use before the wait for a shuffle", ITEM_ADDRESS "ds_bpermute_b32 v6, v10, v1; v_add_u32 v7, 1, v6", 1,
     "missing s_waitcnt lgkmcnt: v6"},
    {"LDS reads waited for in order",
     ITEM_ADDRESS "ds_write_b32 v10, v1; ds_read_b32 v6, v10; ds_read_b32 v7, v10; "
                  "s_waitcnt lgkmcnt(1); v_add_u32 v8, 1, v6; s_waitcnt lgkmcnt(0)",
     1, NULL},
    {"a use before the wait for a scalar load", "s_load_dword s20, s[4:5], 0x0; v_mov_b32 v6, s20", 1,
     "missing s_waitcnt lgkmcnt: s20"},
    {"scalar loads, which come in any order",
     "s_load_dword s20, s[4:5], 0x0; s_load_dword s21, s[4:5], 0x4; s_waitcnt lgkmcnt(1); v_mov_b32 v6, s20", 1,
     "missing s_waitcnt lgkmcnt: s20"},
    {"a wait for the wrong counter", "global_load_dword v6, v20, s[4:5]; s_waitcnt lgkmcnt(0); v_add_u32 v7, 1, v6", 1,
     "missing s_waitcnt vmcnt: v6"},
    {"overwriting the data of a store of 16 bytes at once",
     "global_store_dwordx4 v20, v[22:25], s[6:7]; v_mov_b32 v24, 0", 1, "v24 changes"},
    {"overwriting the data of a store of 16 bytes in time",
     "global_store_dwordx4 v20, v[22:25], s[6:7]; s_nop 0; s_nop 0; v_mov_b32 v24, 0", 1, NULL},
    {"overwriting the data of a store of 8 bytes", "global_store_dwordx2 v20, v[22:23], s[6:7]; v_mov_b32 v22, 0", 1,
     NULL},
    {"a loop without an end", "1: s_branch 1b", 1, "does not come to its end"},
    {"registers beyond the kernel's", "v_mov_b32 v6, v70", 1, "beyond those that the kernel has"},
};

static bool message_fits(const struct fault *fault, bool good, const char *said)
{
    if (fault->message == NULL)
        return good;
    return !good && strstr(said, fault->message) != NULL;
}

static void check_fault(enum gcn_arch arch, struct gcn *gcn, size_t index)
{
    const struct fault *fault = &faults[index];
    const struct gcn_size one = {1, 1, 1};
    const struct gcn_size block = {WAVE * fault->nwaves, 1, 1};
    char name[160];
    char kernel[32];

    snprintf(name, sizeof(name), "%s: %s is %s", gcn_arch_name(arch), fault->name,
             fault->message != NULL ? "found" : "no fault");
    snprintf(kernel, sizeof(kernel), "fault%zu", index);
    for (uint64_t seed = 0; seed < (fault->nwaves > 1 ? 5 : 1); seed++) {
        fill_io();
        const bool good = run_one(gcn, kernel, one, block, seed);
        if (!message_fits(fault, good, gcn_error(gcn))) {
            CHECK_FAIL(name, "seed %u: want \"%s\", got \"%s\"", (unsigned)seed,
                       fault->message != NULL ? fault->message : "", gcn_error(gcn));
            return;
        }
    }
    CHECK_PASS(name);
}

/* Every fault is in a code object of its own kernels, so that all of them can be listed. */
static void check_faults(enum gcn_arch arch)
{
    struct assembly_kernel kernels[NELEMS(faults)];
    struct gcn *gcn;

    memset(kernels, 0, sizeof(kernels));
    for (size_t i = 0; i < NELEMS(faults); i++) {
        snprintf(kernels[i].name, sizeof(kernels[i].name), "fault%zu", i);
        kernels[i].body = faults[i].body;
        kernels[i].lds_nbytes = 2048;
    }
    gcn = assembly_open(arch, kernels, NELEMS(kernels), directory, error, sizeof(error));
    if (gcn == NULL)
        CHECK_FAIL("the faults are assembled", "%s: %s", gcn_arch_name(arch), error);
    for (size_t i = 0; gcn != NULL && i < NELEMS(faults); i++)
        check_fault(arch, gcn, i);
    gcn_close(gcn);
}

/* ---------------------------------------------------------------------------------------------- launches */

/* v6 to v9: the work item as the launch numbers it, and the workgroup. */
static const struct assembly_kernel places[] = {
    {"places", "v_mov_b32 v6, s2; v_mov_b32 v7, v0; v_mov_b32 v8, s8; s_nop 1", 0},
    /* Of 3 x 2 x 2 workgroups of 8 x 4 x 2 work items, each by its number. */
    {"volumes",
     "v_mov_b32 v6, s20; v_mov_b32 v7, s21; v_mov_b32 v8, s22; v_mov_b32 v9, v21; s_lshl1_add_u32 s22, s22, s21; "
     "s_mul_i32 s22, s22, 3; s_add_u32 s22, s22, s20; s_lshl_b32 s22, s22, 6; v_bfe_u32 v10, v21, 10, 10; v_bfe_u32 v11, "
     "v21, 20, 10; v_lshl_add_u32 v10, v11, 2, v10; v_lshl_add_u32 v10, v10, 3, v0; v_add_lshl_u32 v20, v10, s22, 4",
     0},
};

static void check_volumes(struct gcn *gcn)
{
    const struct gcn_size grid = {3, 2, 2};
    const struct gcn_size block = {8, 4, 2};
    bool good;

    fill_io();
    good = run_one(gcn, "volumes", grid, block, 0);
    for (uint32_t i = 0; good && i < 3 * 2 * 2 * WAVE; i++) {
        const uint32_t group = i / WAVE;
        const uint32_t item = i % WAVE;
        const uint32_t want[4] = {group % 3, group / 3 % 2, group / 6, item % 8 | item / 8 % 4 << 10 | item / 32 << 20};
        good = memcmp(io.out[i], want, sizeof(want)) == 0;
    }
    if (good)
        CHECK_PASS("grids and blocks have three dimensions");
    else
        CHECK_FAIL("grids and blocks have three dimensions", "%s", gcn_error(gcn));
}

static void check_launches(enum gcn_arch arch)
{
    struct gcn *gcn = assembly_open(arch, places, NELEMS(places), directory, error, sizeof(error));
    const struct gcn_size grid = {4, 1, 1};
    const struct gcn_size odd = {50, 1, 1};
    struct gcn_resources resources;
    const void *args[2] = {io.in, io.out};
    struct gcn_launch launch = {"places", grid, odd, 0, args, 8, 0};
    bool good = true;

    if (gcn == NULL) {
        CHECK_FAIL("the launches are assembled", "%s: %s", gcn_arch_name(arch), error);
        return;
    }
    fill_io();
    CHECK(run_one(gcn, "places", grid, odd, 0), "a grid of workgroups that do not fill a wave runs");
    for (unsigned i = 0; i < 4 * WAVE; i++) {
        const bool inside = i % WAVE < 50;
        good &= io.out[i][0] == (inside ? i / WAVE : 0xcccccccc) && io.out[i][1] == (inside ? i % WAVE : 0xcccccccc);
        good &= io.out[i][2] == (inside ? io.in[i / WAVE * WAVE][0] : 0xcccccccc);
    }
    CHECK(good, "workgroups and work items have their numbers, and lanes beyond do nothing");
    check_volumes(gcn);
    CHECK(gcn_find_kernel(gcn, "places", &resources) && resources.nvgprs == 128 && resources.args_nbytes == 16 &&
              resources.scratch_nbytes == 0,
          "the resources of a kernel are read");
    CHECK(!gcn_find_kernel(gcn, "nothing", &resources), "a kernel that is not there is not found");
    CHECK(!gcn_run(gcn, &launch) && strstr(gcn_error(gcn), "takes 16 bytes") != NULL,
          "arguments of a wrong size are refused");
    gcn_close(gcn);
}

/* ---------------------------------------------------------------------------------------------- costs */

static const struct assembly_kernel costs[] = {
    {"conflicts", "v_lshlrev_b32 v10, 7, v0; ds_read_b32 v6, v10; s_waitcnt lgkmcnt(0)", 8192},
    {"broadcast", "v_mov_b32 v10, 0; ds_read_b32 v6, v10; s_waitcnt lgkmcnt(0)", 8192},
    {"rows", "v_lshlrev_b32 v10, 4, v0; ds_read_b128 v[6:9], v10; s_waitcnt lgkmcnt(0)", 8192},
    {"strided", "v_lshlrev_b32 v10, 7, v0; global_load_dword v6, v10, s[4:5]; s_waitcnt vmcnt(0)", 0},
};

static const struct gcn_counters *count(struct gcn *gcn, const char *kernel)
{
    const struct gcn_size one = {1, 1, 1};
    const struct gcn_size wave = {WAVE, 1, 1};

    fill_io();
    gcn_reset_counters(gcn);
    if (!run_one(gcn, kernel, one, wave, 0))
        CHECK_FAIL("the kernels that are counted run", "%s", gcn_error(gcn));
    return gcn_counters(gcn);
}

/* Lane l reads word 32 * l: on 32 banks all of a half wave meet, on 64 banks all even and all odd lanes of the wave do. */
static void check_costs(enum gcn_arch arch)
{
    struct gcn *gcn = assembly_open(arch, costs, NELEMS(costs), directory, error, sizeof(error));
    const struct gcn_counters *c;
    const bool wide = arch == GCN_GFX950;

    if (gcn == NULL) {
        CHECK_FAIL("the costs are assembled", "%s: %s", gcn_arch_name(arch), error);
        return;
    }
    c = count(gcn, "conflicts");
    CHECK(c->lds_read.ncycles == (wide ? 32 : 64) && c->lds_read.nconflicts == (wide ? 31 : 62),
          "bank conflicts are counted");
    c = count(gcn, "broadcast");
    CHECK(c->lds_read.ncycles == (wide ? 1 : 2) && c->lds_read.nconflicts == 0 && c->lds_read.nbytes == 256,
          "lanes that read one word do not conflict");
    c = count(gcn, "rows");
    CHECK(c->lds_read.ncycles == (wide ? 4 : 8) && c->lds_read.nconflicts == 0, "rows of 16 bytes do not conflict");
    c = count(gcn, "strided");
    CHECK(c->stream[0].read.nlines == 64 + 16 && c->stream[0].read.nbytes == 256 + 1024 &&
              c->stream[1].written.nlines == 16 && c->stream[1].written.naccesses == 1,
          "lines of global memory are counted");
    CHECK(c->ninstructions[GCN_GLOBAL] == 3 && c->ninstructions[GCN_SMEM] == 2 && c->ninstructions[GCN_VALU] == 12 &&
              c->nwaves == 1,
          "instructions are counted by class");
    gcn_close(gcn);
}

/* ---------------------------------------------------------------------------------------------- */

static void check_broken_files(void)
{
    char path[400];
    FILE *file;

    snprintf(path, sizeof(path), "%s/broken.o", directory);
    file = fopen(path, "wb");
    if (file == NULL)
        return;
    fputs("\177ELF\2 but nothing more", file);
    fclose(file);
    CHECK(gcn_open(path, NULL, error, sizeof(error)) == NULL && strstr(error, "is not a code object") != NULL,
          "a file that is not a code object is refused");
    CHECK(gcn_open("/nonexistent", NULL, error, sizeof(error)) == NULL && strstr(error, "cannot be read") != NULL,
          "a file that is not there is refused");
}

static void check_arch(enum gcn_arch arch)
{
    check_instructions(arch);
    check_exchanges(arch);
    check_memory(arch);
    check_faults(arch);
    check_launches(arch);
    check_costs(arch);
}

int main(int argc, char **argv)
{
    const char *reason = toolchain_missing();

    if (argc != 2) {
        fputs("usage: check_gcnrun DIRECTORY\n", stderr);
        return 2;
    }
    directory = argv[1];
    check_broken_files();
    if (reason == NULL)
        reason = make_cases();
    if (reason != NULL)
        CHECK_SKIP("AMD code on the CPU", reason);
    for (unsigned arch = 0; reason == NULL && arch < GCN_NUM_ARCHS; arch++)
        check_arch(arch);
    return check_finish();
}
