/* assembly.c - small kernels in assembly, for the tests of the executor */
#include "gcnrun/assembly.h"
#include "gcnrun/toolchain.h"

#include <stdio.h>
#include <string.h>

static void write_body(FILE *file, const char *body)
{
    for (; *body != '\0'; body++)
        fputc(*body == ';' ? '\n' : *body, file);
    fputc('\n', file);
}

static void write_code(FILE *file, const struct assembly_kernel *kernel)
{
    fprintf(file, ".text\n.globl %s\n.p2align 8\n.type %s,@function\n%s:\n", kernel->name, kernel->name, kernel->name);
    fputs("s_mov_b32 s20, s2\ns_mov_b32 s21, s3\ns_mov_b32 s22, s4\n"
          "s_lshl_b32 s3, s2, 10\n"
          "v_mov_b32 v21, v0\n"
          "v_and_b32 v0, 0x3ff, v0\n"
          "v_lshl_add_u32 v20, v0, 4, s3\n"
          "s_load_dwordx4 s[4:7], s[0:1], 0x0\n"
          "s_waitcnt lgkmcnt(0)\n"
          "s_load_dwordx4 s[8:11], s[4:5], s3\n"
          "global_load_dwordx4 v[22:25], v20, s[4:5]\n"
          "v_mov_b32 v6, 0\nv_mov_b32 v7, 0\nv_mov_b32 v8, 0\nv_mov_b32 v9, 0\n"
          "s_waitcnt vmcnt(0) lgkmcnt(0)\n"
          "v_mov_b32 v1, v22\nv_mov_b32 v2, v23\nv_mov_b32 v3, v24\nv_mov_b32 v4, v25\n",
          file);
    write_body(file, kernel->body);
    fputs("global_store_dwordx4 v20, v[6:9], s[6:7]\ns_endpgm\n", file);
}

static void write_descriptor(FILE *file, const struct assembly_kernel *kernel)
{
    fprintf(
        file,
        ".rodata\n.p2align 6\n.amdhsa_kernel %s\n"
        ".amdhsa_user_sgpr_kernarg_segment_ptr 1\n.amdhsa_user_sgpr_count 2\n.amdhsa_kernarg_size 16\n"
        ".amdhsa_system_sgpr_workgroup_id_y 1\n.amdhsa_system_sgpr_workgroup_id_z 1\n.amdhsa_system_vgpr_workitem_id 2\n"
        ".amdhsa_next_free_vgpr 128\n.amdhsa_accum_offset 64\n.amdhsa_next_free_sgpr 64\n"
        ".amdhsa_group_segment_fixed_size %u\n.amdhsa_float_denorm_mode_32 3\n"
        ".end_amdhsa_kernel\n",
        kernel->name, kernel->lds_nbytes);
}

static void write_metadata(FILE *file, const struct assembly_kernel *kernel)
{
    fprintf(file,
            "  - .name: %s\n    .symbol: %s.kd\n    .kernarg_segment_size: 16\n    .kernarg_segment_align: 8\n"
            "    .group_segment_fixed_size: %u\n    .private_segment_fixed_size: 0\n    .wavefront_size: 64\n"
            "    .sgpr_count: 64\n    .vgpr_count: 128\n    .max_flat_workgroup_size: 1024\n    .args:\n"
            "      - {.address_space: global, .offset: 0, .size: 8, .value_kind: global_buffer}\n"
            "      - {.address_space: global, .offset: 8, .size: 8, .value_kind: global_buffer}\n",
            kernel->name, kernel->name, kernel->lds_nbytes);
}

static bool write_source(const char *path, const struct assembly_kernel *kernels, size_t nkernels)
{
    FILE *file = fopen(path, "w");

    if (file == NULL)
        return false;
    for (size_t i = 0; i < nkernels; i++) {
        write_code(file, &kernels[i]);
        write_descriptor(file, &kernels[i]);
    }
    fputs(".amdgpu_metadata\n---\namdhsa.version: [1, 2]\namdhsa.kernels:\n", file);
    for (size_t i = 0; i < nkernels; i++)
        write_metadata(file, &kernels[i]);
    fputs("...\n.end_amdgpu_metadata\n", file);
    return fclose(file) == 0;
}

struct gcn *assembly_open(enum gcn_arch arch, const struct assembly_kernel *kernels, size_t nkernels,
                          const char *directory, char *error, size_t error_nbytes)
{
    char source[400];
    char object[400];

    snprintf(source, sizeof(source), "%s/kernels-%s.s", directory, gcn_arch_name(arch));
    snprintf(object, sizeof(object), "%s/kernels-%s.o", directory, gcn_arch_name(arch));
    if (!write_source(source, kernels, nkernels)) {
        snprintf(error, error_nbytes, "cannot write \"%s\"", source);
        return NULL;
    }
    if (!toolchain_assemble(arch, source, object, error, error_nbytes))
        return NULL;
    return gcn_open(object, toolchain_objdump(), error, error_nbytes);
}
