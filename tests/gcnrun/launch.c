/*
 * launch.c - what a launch gives a kernel: its arguments, its first scalar registers, memory for its waves
 *
 * Source: LLVM's "User Guide for AMDGPU Backend": "Kernel Descriptor", "Kernel Dispatch", "Initial Kernel Execution State",
 * "Code Object V5 Metadata" for the hidden arguments.
 */
#include "gcnrun/internal.h"

#include <stdlib.h>
#include <string.h>

/* Bits of compute_pgm_rsrc1, compute_pgm_rsrc2 and kernel_code_properties. */
#define FLOAT_MODE(rsrc1) ((rsrc1) >> 12 & 255)
#define FLOAT_ROUNDING_F32(mode) ((mode)&3)
#define FLOAT_DENORMALS_F32(mode) ((mode) >> 4 & 3)
#define FLOAT_DENORMALS_F16(mode) ((mode) >> 6 & 3)
#define ENABLE_IEEE_MODE(rsrc1) ((rsrc1) >> 23 & 1)
#define ENABLE_PRIVATE_SEGMENT_BUFFER 1
#define ENABLE_DISPATCH_PTR 2
#define ENABLE_QUEUE_PTR 4
#define ENABLE_KERNARG_SEGMENT_PTR 8
#define ENABLE_DISPATCH_ID 16
#define ENABLE_FLAT_SCRATCH_INIT 32
#define ENABLE_PRIVATE_SEGMENT_SIZE 64

/* ---- arguments */

static void set_field(uint8_t *bytes, uint64_t value, uint32_t nbytes)
{
    for (uint32_t i = 0; i < nbytes; i++)
        bytes[i] = i < 8 ? (uint8_t)(value >> 8 * i) : 0;
}

static uint64_t find_hidden_value(const struct gcn_launch *launch, const char *kind)
{
    const struct {
        const char *kind;
        uint64_t value;
    } values[] = {
        {"hidden_block_count_x", launch->grid.x},
        {"hidden_block_count_y", launch->grid.y},
        {"hidden_block_count_z", launch->grid.z},
        {"hidden_group_size_x", launch->block.x},
        {"hidden_group_size_y", launch->block.y},
        {"hidden_group_size_z", launch->block.z},
        {"hidden_grid_dims", 3},
        {"hidden_dynamic_lds_size", launch->shared_nbytes},
    };

    for (size_t i = 0; i < NELEMS(values); i++)
        if (strcmp(values[i].kind, kind) == 0)
            return values[i].value;
    return 0; /* remainders, offsets of the grid, and what only the runtime has */
}

#define PACKET_NBYTES 64

/* "Kernel Dispatch Packet" of HSA: sizes of workgroups, and of the grid in work items. */
static void make_packet(const struct gcn_launch *launch, uint8_t packet[PACKET_NBYTES])
{
    memset(packet, POISON, PACKET_NBYTES);
    set_field(packet + 4, launch->block.x, 2);
    set_field(packet + 6, launch->block.y, 2);
    set_field(packet + 8, launch->block.z, 4); /* two bytes are reserved, which compilers take to be 0 */
    set_field(packet + 12, (uint64_t)launch->grid.x * launch->block.x, 4);
    set_field(packet + 16, (uint64_t)launch->grid.y * launch->block.y, 4);
    set_field(packet + 20, (uint64_t)launch->grid.z * launch->block.z, 4);
}

/* Scalar loads may take in what follows the last argument, so that there is some of it. The packet is before it. */
static void make_arguments(struct gcn *gcn, const struct gcn_launch *launch, const struct kernel *kernel,
                           uint32_t nbytes)
{
    const size_t allocated = PACKET_NBYTES + (size_t)nbytes + 128;

    free(gcn->packet);
    gcn->packet = aligned_alloc(64, (allocated + 63) / 64 * 64);
    if (gcn->packet == NULL)
        fail(gcn, "no memory for the arguments");
    memset(gcn->packet, POISON, allocated);
    make_packet(launch, gcn->packet);
    gcn->kernarg = gcn->packet + PACKET_NBYTES;
    if (launch->args_nbytes != kernel->args_nbytes || launch->args_nbytes > nbytes)
        fail(gcn, "kernel \"%s\" takes %u bytes of arguments, not %zu", kernel->name, kernel->args_nbytes,
             launch->args_nbytes);
    memcpy(gcn->kernarg, launch->args, launch->args_nbytes);
    for (size_t i = 0; i < kernel->narguments; i++) {
        const struct argument *argument = &kernel->argument[i];
        if (strncmp(argument->kind, "hidden_", 7) == 0 && argument->offset + argument->nbytes <= nbytes)
            set_field(gcn->kernarg + argument->offset, find_hidden_value(launch, argument->kind), argument->nbytes);
    }
    gcn->buffer[1].bytes = gcn->packet;
    gcn->buffer[1].nbytes = allocated;
}

/* ---- registers */

static const struct kernel *find_kernel(struct gcn *gcn, const char *name)
{
    for (size_t k = 0; k < gcn->object.nkernels; k++)
        if (strcmp(gcn->object.kernels[k].name, name) == 0 && gcn->object.kernels[k].descriptor != 0)
            return &gcn->object.kernels[k];
    fail(gcn, "no kernel \"%s\"", name);
}

static void push_user(struct run *run, uint64_t value, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        run->user[run->nuser++] = (uint32_t)(value >> 32 * i);
}

static void make_user_registers(struct gcn *gcn, struct run *run)
{
    const uint16_t properties = run->descriptor.properties;
    const unsigned npreloaded = run->descriptor.preload & 127;
    const unsigned first = run->descriptor.preload >> 7;

    if (properties & ENABLE_PRIVATE_SEGMENT_BUFFER)
        run->nuser += 4;
    if (properties & ENABLE_DISPATCH_PTR)
        push_user(run, (uint64_t)(uintptr_t)gcn->packet, 2);
    if (properties & ENABLE_QUEUE_PTR)
        push_user(run, 0, 2); /* there is none: its use is an access outside every buffer */
    if (properties & ENABLE_KERNARG_SEGMENT_PTR)
        push_user(run, (uint64_t)(uintptr_t)gcn->kernarg, 2);
    if (properties & ENABLE_DISPATCH_ID)
        push_user(run, 0, 2);
    if (properties & ENABLE_FLAT_SCRATCH_INIT)
        run->nuser += 2;
    if (properties & ENABLE_PRIVATE_SEGMENT_SIZE)
        push_user(run, gcn->scratch_nbytes, 1);
    for (unsigned i = 0; i < npreloaded && run->nuser < 32; i++) {
        uint32_t word;
        memcpy(&word, gcn->kernarg + 4 * (first + i), 4);
        push_user(run, word, 1);
    }
}

static void check_mode(struct gcn *gcn, const struct descriptor *d)
{
    const uint32_t mode = FLOAT_MODE(d->rsrc1);

    if (FLOAT_ROUNDING_F32(mode) != 0 || FLOAT_DENORMALS_F32(mode) != 3 || FLOAT_DENORMALS_F16(mode) != 3)
        fail(gcn, "the kernel's float mode is %02x: only rounding to nearest with denormals is known", mode);
    gcn->ieee_mode = ENABLE_IEEE_MODE(d->rsrc1);
}

/* A kernel with preloaded arguments begins with 256 bytes that load them where firmware does not. */
static void find_start(struct gcn *gcn, const struct kernel *kernel, struct run *run)
{
    const uint64_t preloads = run->descriptor.preload & 127 ? 256 : 0;
    const uint64_t base = (uint64_t)(uintptr_t)gcn->object.image + kernel->descriptor;

    run->start = find_instruction(&gcn->program, base + (uint64_t)run->descriptor.entry + preloads);
    if (run->start == gcn->program.ninstructions)
        fail(gcn, "the entry of kernel \"%s\" is not in the listing", kernel->name);
}

static void *allocate(struct gcn *gcn, void *old, size_t nbytes)
{
    void *bytes = realloc(old, nbytes + 16);

    if (bytes == NULL)
        fail(gcn, "no memory for the run");
    return bytes;
}

static void allocate_lds(struct gcn *gcn)
{
    gcn->lds = allocate(gcn, gcn->lds, gcn->lds_nbytes);
    gcn->lds_writer = allocate(gcn, gcn->lds_writer, 4 * (size_t)gcn->lds_nbytes);
    gcn->lds_reader = allocate(gcn, gcn->lds_reader, 4 * (size_t)gcn->lds_nbytes);
    memset(gcn->lds_writer, 0, 4 * (size_t)gcn->lds_nbytes);
    memset(gcn->lds_reader, 0, 4 * (size_t)gcn->lds_nbytes);
    gcn->epoch = 0;
}

static void allocate_waves(struct gcn *gcn)
{
    for (unsigned i = 0; i < gcn->nwaves; i++) {
        struct wave *wave = &gcn->wave[i];
        wave->v = allocate(gcn, wave->v, NUM_VECTOR * sizeof(wave->v[0]));
        wave->scratch = allocate(gcn, wave->scratch, (size_t)NLANES * gcn->scratch_nbytes);
        wave->gcn = gcn;
        wave->id = i;
    }
}

/* Accumulation registers are allocated behind the others; rsrc3 says from which one on. */
static void count_registers(const struct kernel *kernel, struct run *run)
{
    const unsigned offset = 4 * ((run->descriptor.rsrc3 & 63) + 1);

    run->nvgprs = kernel->nvgprs < offset ? kernel->nvgprs : offset;
    run->nagprs = kernel->nvgprs > offset ? kernel->nvgprs - offset : 0;
    if (run->nvgprs > 256)
        run->nvgprs = 256;
    if (run->nagprs > 256)
        run->nagprs = 256;
}

void prepare_run(struct gcn *gcn, const struct gcn_launch *launch, struct run *run)
{
    const struct kernel *kernel = find_kernel(gcn, launch->kernel);
    const uint64_t nitems = (uint64_t)launch->block.x * launch->block.y * launch->block.z;

    memset(run, 0, sizeof(*run));
    memset(run->user, POISON, sizeof(run->user));
    run->launch = launch;
    run->descriptor = read_descriptor(&gcn->object, kernel);
    if (nitems == 0 || nitems > MAX_WAVES * NLANES)
        fail(gcn, "a workgroup of %llu work items", (unsigned long long)nitems);
    run->nitems = (uint32_t)nitems;
    check_mode(gcn, &run->descriptor);
    count_registers(kernel, run);
    gcn->scratch_nbytes = run->descriptor.scratch_nbytes;
    gcn->lds_nbytes = run->descriptor.lds_nbytes + launch->shared_nbytes;
    gcn->nwaves = (run->nitems + NLANES - 1) / NLANES;
    allocate_lds(gcn);
    allocate_waves(gcn);
    make_arguments(gcn, launch, kernel, run->descriptor.kernarg_nbytes);
    find_start(gcn, kernel, run);
    make_user_registers(gcn, run);
}
