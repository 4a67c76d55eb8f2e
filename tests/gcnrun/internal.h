/*
 * internal.h - what the files of the executor share
 *
 *   object.c    the code object: image, kernels          waits.c      which registers still wait for a load
 *   notes.c     its metadata: the kernels' arguments     lds.c        LDS, its races, lane exchange through it
 *   listing.c   llvm-objdump's lines                     memory.c     global, flat, scratch and scalar memory
 *   decode.c    a line becomes an instruction            traffic.c    segments and bank conflicts
 *   scalar.c    the scalar unit                          floats.h     FP16, BF16, FP4
 *   vector.c    operands and results of the vector unit  run.c        waves, barriers, errors
 *   lanes.c     vector instructions, lane by lane        launch.c     what a launch gives a kernel
 *   compare.c, special.c, packed.c, division.c, convert.c   vector instructions of other shapes
 *
 * What an instruction does stands in one place: its row in lanes.def or scalar.def, or its function in the file of its
 * unit. The facts are those of AMD's "Instinct MI200", "MI300 (CDNA3)" and "CDNA4 Instruction Set Architecture"
 * reference guides ("the ISA guides"); of the code object and the registers at the start, LLVM's "User Guide for AMDGPU
 * Backend". Where a guide is silent, the place says so.
 */
#ifndef GCN_INTERNAL_H
#define GCN_INTERNAL_H

#include "gcnrun/gcn.h"

#include <setjmp.h>

#define NLANES GCN_WAVE_NLANES
#define NELEMS(array) (sizeof(array) / sizeof((array)[0]))

/* Vector registers: 0 to 255 are v0 to v255, 256 to 511 are a0 to a255. Scalar registers by their numbers in encodings. */
#define NUM_VECTOR 512
#define NUM_SCALAR 128
#define VCC 106
#define M0 124
#define EXEC 126

#define MAX_OPERANDS 6
#define MAX_WAVES 16
#define POISON 0xa5

/* ---- instructions */

enum operand_kind {
    OPERAND_NONE,
    OPERAND_VECTOR,
    OPERAND_SCALAR,
    OPERAND_INTEGER,  /* an inline constant or a literal */
    OPERAND_FRACTION, /* a floating-point inline constant, of the width the instruction wants */
    OPERAND_OFF,      /* the word "off" of memory instructions */
};

struct operand {
    enum operand_kind kind;
    uint16_t index;
    uint16_t nregs;
    bool negate;
    bool absolute;
    bool sign_extend;
    bool literal; /* written in hexadecimal: not sign-extended to 64 bits */
    uint32_t bits;
    double fraction;
};

/* Of SDWA: which part of a source or the destination. 0 to 3 bytes, 4 and 5 words, 6 everything. */
#define SELECT_ALL 6

enum sdwa_unused {
    UNUSED_PAD,
    UNUSED_SEXT,
    UNUSED_PRESERVE,
};

struct wave;
struct instruction;

typedef void execute_function(struct wave *wave, const struct instruction *in);

struct opcode {
    const char *name; /* without _e32, _e64, _dpp, _sdwa; global memory without global_, flat_, scratch_ */
    execute_function *execute;
    enum gcn_class class;
    const void *detail; /* what the execute function needs to know of it */
};

struct instruction {
    const struct opcode *opcode; /* NULL: not known */
    const char *text;
    uint64_t address;
    uint32_t words[3];
    unsigned nwords;
    enum gcn_class class;
    unsigned noperands;
    struct operand operand[MAX_OPERANDS];
    int32_t offset;
    size_t target;            /* of a branch */
    const int8_t *dpp_source; /* DPP: the lane that lane l reads, DPP_OUTSIDE or DPP_MASKED; else NULL */
    bool dpp_zero;            /* DPP: lanes without a source read 0, instead of doing nothing */
    bool sdwa;
    bool clamp;
    uint8_t scaling; /* output modifier: 1 times 2, 2 times 4, 3 divided by 2 */
    uint8_t op_sel;
    uint8_t op_sel_hi;
    bool has_op_sel_hi;
    uint8_t neg_lo;
    uint8_t neg_hi;
    uint8_t truth_table; /* bitop3 */
    uint8_t select[2];   /* of the sources */
    uint8_t select_dest;
    enum sdwa_unused unused;
    uint64_t nexecuted; /* since gcn_reset_counters() */
};

#define DPP_OUTSIDE -1
#define DPP_MASKED -2

/* ---- code objects */

struct argument {
    char kind[32];
    uint32_t offset;
    uint32_t nbytes;
};

#define MAX_ARGUMENTS 64

struct kernel {
    char name[128];
    struct argument argument[MAX_ARGUMENTS];
    size_t narguments;
    uint32_t args_nbytes; /* explicit ones */
    uint32_t nvgprs;
    uint32_t nsgprs;
    uint64_t descriptor; /* offset of it in the image */
};

struct object {
    uint8_t *file;
    size_t file_nbytes;
    uint8_t *image; /* as loaded */
    uint64_t image_nbytes;
    enum gcn_arch arch;
    struct kernel *kernels;
    size_t nkernels;
};

/* Reads the file; on failure stores a reason and returns false, and free_object() still has to be called. */
bool read_object(struct object *object, const char *path, char *error, size_t error_nbytes);
void free_object(struct object *object);

/* notes.c: adds the kernels that the metadata (MessagePack) describes; false: it is damaged. */
bool read_notes(struct object *object, const uint8_t *notes, size_t nbytes);

/* The kernel descriptor's fields; see "Kernel Descriptor" in LLVM's guide. */
struct descriptor {
    uint32_t lds_nbytes;
    uint32_t scratch_nbytes;
    uint32_t kernarg_nbytes;
    int64_t entry; /* relative to the descriptor */
    uint32_t rsrc1;
    uint32_t rsrc2;
    uint32_t rsrc3;
    uint16_t properties;
    uint16_t preload;
};

struct descriptor read_descriptor(const struct object *object, const struct kernel *kernel);

/* ---- listing */

struct program {
    struct instruction *instructions; /* in the order of their addresses, which are those of the loaded image */
    size_t ninstructions;
    size_t capacity;
};

bool read_listing(struct program *program, const struct object *object, const char *path, const char *objdump,
                  char *error, size_t error_nbytes);
void free_program(struct program *program);

/* The index of the instruction at this address; program->ninstructions when there is none. */
size_t find_instruction(const struct program *program, uint64_t address);

/* decode.c: fills in all but address and words, which are there. text becomes in->text. */
void decode(struct instruction *in, char *text);

/* tables.c: NULL when there is none. */
const struct opcode *find_opcode(const char *name);

/* The tables of each unit: *n opcodes. */
const struct opcode *scalar_opcodes(size_t *n);
const struct opcode *scalar_memory_opcodes(size_t *n);
const struct opcode *control_opcodes(size_t *n);
const struct opcode *lane_opcodes(size_t *n);
const struct opcode *compare_opcodes(size_t *n);
const struct opcode *special_opcodes(size_t *n);
const struct opcode *packed_opcodes(size_t *n);
const struct opcode *division_opcodes(size_t *n);
const struct opcode *convert_opcodes(size_t *n);
const struct opcode *lds_opcodes(size_t *n);
const struct opcode *memory_opcodes(size_t *n);

/* ---- waves */

enum wave_state {
    WAVE_RUNS,
    WAVE_AT_BARRIER,
    WAVE_ENDED,
};

/* Outstanding operations. Operations of one counter are numbered from 1 on in the order of issue. */
struct waits {
    uint32_t vm_issued;
    uint32_t vm_done;
    uint32_t lgkm_issued;
    uint32_t lgkm_done;
    uint32_t last_unordered; /* the last one in lgkm that may return before older ones: scalar loads, flat accesses */
    uint32_t last_flat;      /* the last flat access in vm */
    uint32_t last_lds_write;
    uint32_t vm[NUM_VECTOR + NUM_SCALAR]; /* the operation that fills a register */
    uint32_t lgkm[NUM_VECTOR + NUM_SCALAR];
    unsigned store_states; /* wait states left in which the data of a wide store must not change */
    struct operand store_data;
};

struct wave {
    uint32_t s[NUM_SCALAR];
    uint32_t scc;
    uint32_t (*v)[NLANES];
    struct gcn *gcn;
    enum wave_state state;
    size_t next;    /* instruction */
    size_t barrier; /* the one it stands at */
    unsigned id;
    uint64_t initial_exec;
    uint8_t *scratch; /* lane after lane */
    uint64_t written; /* vector unit: lanes whose result counts */
    struct waits waits;
    uint64_t ninstructions;
};

struct buffer {
    uint8_t *bytes;
    size_t nbytes;
    bool writable;
    bool counted;
    size_t stream;
    uint32_t *seen;     /* per line: the last access, */
    uint32_t *seen128;  /* per two lines, */
    uint32_t *group[2]; /* and the last workgroup that read or wrote it */
};

struct gcn {
    struct object object;
    struct program program;
    struct buffer buffer[GCN_MAX_BUFFERS + 2]; /* the callers', the image, the arguments */
    size_t nbuffers;
    struct gcn_counters counters;

    /* the run */
    jmp_buf failed;
    char error[1024];
    const struct instruction *current; /* NULL: between instructions */
    const struct wave *current_wave;
    struct gcn_size workgroup;
    uint32_t access_serial;
    uint32_t group_serial;
    struct wave wave[MAX_WAVES];
    unsigned nwaves;
    uint8_t *lds;
    uint32_t lds_nbytes;
    uint32_t *lds_writer; /* per byte: epoch * 256 + wave */
    uint32_t *lds_reader;
    uint32_t epoch; /* counts barriers */
    uint32_t scratch_nbytes;
    bool ieee_mode;
    uint64_t random;  /* state */
    bool perturbs;    /* results that the architecture leaves open */
    uint8_t *packet;  /* the dispatch packet, and behind it */
    uint8_t *kernarg; /* the arguments */
};

/* Ends the run with an error; where it happened is added. */
_Noreturn void fail(struct gcn *gcn, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* launch.c: what a launch needs; fails when it cannot be */
struct run {
    const struct gcn_launch *launch;
    struct descriptor descriptor;
    size_t start;      /* instruction */
    uint32_t user[64]; /* the first scalar registers */
    unsigned nuser;
    uint32_t nitems; /* of a workgroup */
    unsigned nvgprs;
    unsigned nagprs;
};

void prepare_run(struct gcn *gcn, const struct gcn_launch *launch, struct run *run);

/* run.c: the random numbers of the run */
uint64_t next_random(struct gcn *gcn);

static inline uint64_t read_s64(const struct wave *wave, unsigned index)
{
    return wave->s[index] | (uint64_t)wave->s[index + 1] << 32;
}

static inline void write_s64(struct wave *wave, unsigned index, uint64_t value)
{
    wave->s[index] = (uint32_t)value;
    wave->s[index + 1] = (uint32_t)(value >> 32);
}

static inline uint64_t exec_mask(const struct wave *wave)
{
    return read_s64(wave, EXEC);
}

/* ---- operands: vector.c */

/* Of one lane, without modifiers. 64-bit ones extend integers by sign, but for literals. */
uint32_t read_lane32(const struct wave *wave, const struct operand *operand, unsigned lane);
uint64_t read_lane64(const struct wave *wave, const struct operand *operand, unsigned lane);

/* Of the scalar unit; a vector register there is an error. */
uint32_t read_scalar32(const struct wave *wave, const struct operand *operand);
uint64_t read_scalar64(const struct wave *wave, const struct operand *operand);
void write_scalar32(struct wave *wave, const struct operand *operand, uint32_t value);
void write_scalar64(struct wave *wave, const struct operand *operand, uint64_t value);

/* What modifiers a source has, by the type of the instruction. */
enum source_type {
    SOURCE_BITS,
    SOURCE_F32,
    SOURCE_F16,
    SOURCE_BITS16, /* the lower half, or the upper half by op_sel */
};

/* All lanes of a source, with DPP, SDWA and modifiers; buffer may be used for it. */
const uint32_t *read_source(struct wave *wave, const struct instruction *in, unsigned k, enum source_type type,
                            uint32_t buffer[NLANES]);

/* Writes the lanes of EXEC (that DPP does not switch off) of register index of operand 0. */
void write_vector(struct wave *wave, const struct instruction *in, unsigned offset, const uint32_t result[NLANES]);

/* The same for 64 bits. */
void write_vector64(struct wave *wave, const struct instruction *in, const uint64_t result[NLANES]);

/* The NaN of an FP32 operation is the first one among its sources, made quiet, or 0x7fc00000 where none is. */
uint32_t settle_nan(uint32_t result, const uint32_t source[], unsigned nsources);

/* Fails unless there are n operands and no modifiers of results. */
void want_operands(struct wave *wave, const struct instruction *in, unsigned n);

/* 0 or ~0 for each lane. */
void expand_mask(uint64_t mask, uint32_t lanes[NLANES]);

/* One bit for each lane that is not 0. */
uint64_t collect_mask(const uint8_t lanes[NLANES]);

/* ---- memory: memory.c, lds.c, traffic.c, waits.c */

/* The buffer that has these bytes; fails when none has, or when it must not be written. lane: for the message. */
struct buffer *find_buffer(struct gcn *gcn, uint64_t address, unsigned nbytes, bool write, unsigned lane);

void count_traffic(struct gcn *gcn, struct buffer *buffer, const uint64_t address[NLANES], uint64_t lanes,
                   unsigned nbytes, bool write);
void count_lds(struct gcn *gcn, const uint32_t address[NLANES], uint64_t lanes, unsigned nbytes, bool write);

void check_waits(struct wave *wave, const struct instruction *in);
void wait_for_counters(struct wave *wave, uint32_t immediate);

/* Call once for each operation; registers: what it fills, OPERAND_NONE kind for nothing. */
void issue_vm(struct wave *wave, const struct operand *registers);
void issue_flat(struct wave *wave, const struct operand *registers);
void issue_lds(struct wave *wave, const struct operand *registers, bool write);
void issue_smem(struct wave *wave, const struct operand *registers);

/* A store has read these registers, or is about to. */
void guard_store(struct wave *wave, const struct operand *data);

#endif /* GCN_INTERNAL_H */
