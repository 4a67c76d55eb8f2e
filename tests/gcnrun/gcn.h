/*
 * gcn.h - runs kernels of AMD code objects (gfx90a, gfx942, gfx950) on the CPU, bit for bit
 *
 * For tests on machines without such a GPU. A code object is what clang writes with --cuda-device-only
 * --no-gpu-bundle-output, or what it assembles; its instructions are taken from the listing of llvm-objdump.
 *
 *   gcn = gcn_open("kernels.hsaco", NULL, error, sizeof(error));
 *   gcn_add_buffer(gcn, "input", bytes, nbytes, false);
 *   if (!gcn_run(gcn, &launch))
 *       puts(gcn_error(gcn));
 *   gcn_close(gcn);
 *
 * Device addresses are the host's: a kernel reaches the buffers that have been added, and no other byte. Registers, LDS and
 * scratch hold 0xa5 at the start of every workgroup. A run ends with an error, which names the instruction, the workgroup,
 * the wave, and the lane and address where there is one, at
 *
 *   an access outside every buffer, or a write to a read-only one; a misaligned access;
 *   an LDS access outside the workgroup's; a byte of LDS used by two waves between two barriers, one use being a write;
 *   an instruction, or a form of one, that is not known;
 *   a register used before s_waitcnt has waited for the load that fills it;
 *   LDS writes that have not been waited for at a barrier, lanes or waves that do not reach it, or reach different ones;
 *   a change of the registers that a store of more than 64 bits still reads;
 *   more instructions than a kernel of a test can need.
 *
 * Limits: no MFMA, buffer_ or image instructions; FP32 denormals are kept and rounding is to nearest, or the run is refused;
 * a race between workgroups, or through global memory, is not noticed. Not for untrusted code objects.
 */
#ifndef GCN_H
#define GCN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GCN_WAVE_NLANES 64

enum gcn_arch {
    GCN_GFX90A,
    GCN_GFX942,
    GCN_GFX950,
    GCN_NUM_ARCHS
};

/* The name that compilers take: "gfx90a". */
const char *gcn_arch_name(enum gcn_arch arch);

/* ---------------------------------------------------------------------------------------------------- code objects */

struct gcn;

/*
 * Reads a code object and lists it with objdump (NULL: llvm-objdump-22). NULL on failure, with the reason in error.
 * gcn_close() frees everything but the buffers, which are the caller's, and accepts NULL.
 */
struct gcn *gcn_open(const char *path, const char *objdump, char *error, size_t error_nbytes);
void gcn_close(struct gcn *gcn);

enum gcn_arch gcn_arch(const struct gcn *gcn);

/* What the code object says of a kernel. */
struct gcn_resources {
    uint32_t nvgprs; /* per lane, AGPRs included, as allocated */
    uint32_t nsgprs; /* per wave, as allocated */
    uint32_t lds_nbytes;
    uint32_t scratch_nbytes; /* per lane; 0: nothing is spilled */
    uint32_t args_nbytes;    /* of the arguments the caller gives */
};

/* Whether the code object has this kernel; names are the mangled ones. */
bool gcn_find_kernel(const struct gcn *gcn, const char *name, struct gcn_resources *resources);

/*
 * Instructions of the listing that gcn_run() would refuse: returns how many there are and stores the text of the one with
 * this index, from 0 on, in *text (NULL past the last). Most code objects have a few in parts that never run.
 */
size_t gcn_count_unknown(const struct gcn *gcn, size_t index, const char **text);

/* Opcodes that can be executed. */
size_t gcn_count_opcodes(void);

/* ---------------------------------------------------------------------------------------------------- buffers */

/*
 * Lets kernels read, and if writable write, these bytes. name, which counters carry, is not copied. false: there are too
 * many buffers. gcn_forget_buffers() starts anew.
 */
bool gcn_add_buffer(struct gcn *gcn, const char *name, void *bytes, size_t nbytes, bool writable);
void gcn_forget_buffers(struct gcn *gcn);

/* ---------------------------------------------------------------------------------------------------- runs */

struct gcn_size {
    uint32_t x;
    uint32_t y;
    uint32_t z;
};

struct gcn_launch {
    const char *kernel;
    struct gcn_size grid;   /* in workgroups */
    struct gcn_size block;  /* in work items, 1024 at most; a wave takes 64 in the order of x, y, z */
    uint32_t shared_nbytes; /* of LDS, beyond what the kernel declares */
    const void *args; /* the explicit arguments as a C struct lays them out: by value, pointers being the host's */
    size_t args_nbytes;
    /*
     * The order in which the waves of a workgroup run: 0: one after the other from barrier to barrier; anything else: in
     * changing turns of changing length, the same for the same seed. Another seed than 0 also moves results that the
     * architecture leaves open by one unit in the last place at most.
     */
    uint64_t seed;
};

/* Runs a kernel to its end. After an error the buffers hold what had been written till then. */
bool gcn_run(struct gcn *gcn, const struct gcn_launch *launch);

/* What ended the last run that failed, one or more lines; "" when none has. */
const char *gcn_error(const struct gcn *gcn);

/* ---------------------------------------------------------------------------------------------------- costs */

enum gcn_class {
    GCN_VALU,
    GCN_SALU,
    GCN_SMEM, /* scalar loads */
    GCN_LDS,  /* LDS accesses, and shuffles through the LDS unit */
    GCN_GLOBAL,
    GCN_FLAT,    /* global accesses that the compiler did not know to be such; these take the LDS path as well */
    GCN_SCRATCH, /* spills and local arrays */
    GCN_CONTROL, /* branches, waits, barriers */
    GCN_NUM_CLASSES
};

/* One direction of one buffer. A line is 64 aligned bytes. */
struct gcn_traffic {
    uint64_t naccesses; /* instructions of waves with at least one lane */
    uint64_t nbytes;    /* what the lanes asked for, a byte asked for twice counting twice */
    uint64_t nlines;    /* 64-byte segments touched by each access, added up */
    uint64_t nlines128; /* the same in segments of 128 bytes */
    uint64_t
        group_nlines; /* lines touched by each workgroup, added up: what remains when a workgroup's accesses merge */
};

struct gcn_stream {
    const char *name;
    struct gcn_traffic read;
    struct gcn_traffic written;
};

/* One direction of LDS, as if each access were alone. */
struct gcn_banks {
    uint64_t nbytes;     /* what the lanes asked for */
    uint64_t ncycles;    /* of the banks */
    uint64_t nconflicts; /* those of them that conflicts add */
};

#define GCN_MAX_BUFFERS 32

/* Sums over the runs since gcn_reset_counters(). */
struct gcn_counters {
    uint64_t nwaves;
    uint64_t nworkgroups;
    uint64_t ninstructions[GCN_NUM_CLASSES]; /* of waves: one for 64 lanes, whatever EXEC is */
    struct gcn_banks lds_read;
    struct gcn_banks lds_written;
    uint64_t nbarriers; /* of workgroups */
    uint64_t ninexact;  /* instructions whose result the architecture leaves to the implementation, such as v_rcp_f32 */
    size_t nstreams;
    /* The buffers in the order in which they were added; after gcn_forget_buffers() the next ones go on with the sums. */
    struct gcn_stream stream[GCN_MAX_BUFFERS];
};

const struct gcn_counters *gcn_counters(const struct gcn *gcn);
void gcn_reset_counters(struct gcn *gcn);

struct gcn_frequency {
    const char *opcode;
    enum gcn_class class;
    uint64_t ninstructions; /* of waves */
};

/* The opcodes that were executed most since gcn_reset_counters(), the most frequent first; returns how many are stored. */
size_t gcn_list_frequent(const struct gcn *gcn, struct gcn_frequency *list, size_t capacity);

#endif /* GCN_H */
