/* object.c - an AMD code object: the image that is loaded, and the kernels in it */
#include "gcnrun/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EM_AMDGPU 224
#define PT_LOAD 1
#define PT_NOTE 4
#define SHT_DYNSYM 11
#define NT_AMDGPU_METADATA 32
#define DESCRIPTOR_NBYTES 64

static const struct {
    const char *name;
    uint32_t elf_machine; /* the low byte of e_flags */
} archs[GCN_NUM_ARCHS] = {
    [GCN_GFX90A] = {"gfx90a", 0x3f},
    [GCN_GFX942] = {"gfx942", 0x4c},
    [GCN_GFX950] = {"gfx950", 0x4f},
};

const char *gcn_arch_name(enum gcn_arch arch)
{
    return archs[arch].name;
}

/* ---- the file */

static uint64_t load(const uint8_t *bytes, unsigned nbytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < nbytes; i++)
        value |= (uint64_t)bytes[i] << 8 * i;
    return value;
}

/* A field of the file; 0 where the file has ended. */
static uint64_t field(const struct object *object, uint64_t offset, unsigned nbytes)
{
    if (offset > object->file_nbytes || nbytes > object->file_nbytes - offset)
        return 0;
    return load(object->file + offset, nbytes);
}

static bool read_file(struct object *object, const char *path)
{
    FILE *file = fopen(path, "rb");
    bool good = false;
    long nbytes;

    if (file == NULL)
        return false;
    if (fseek(file, 0, SEEK_END) == 0 && (nbytes = ftell(file)) > 0) {
        rewind(file);
        object->file_nbytes = (size_t)nbytes;
        object->file = malloc(object->file_nbytes);
        good = object->file != NULL && fread(object->file, 1, object->file_nbytes, file) == object->file_nbytes;
    }
    fclose(file);
    return good;
}

static bool find_arch(struct object *object)
{
    const uint32_t machine = (uint32_t)field(object, 48, 1);

    if (object->file_nbytes < 64 || memcmp(object->file, "\177ELF\2", 5) != 0 || field(object, 18, 2) != EM_AMDGPU)
        return false;
    for (unsigned a = 0; a < GCN_NUM_ARCHS; a++) {
        if (archs[a].elf_machine == machine) {
            object->arch = a;
            return true;
        }
    }
    return false;
}

/* ---- segments */

struct segment {
    uint64_t type;
    uint64_t offset;
    uint64_t address;
    uint64_t file_nbytes;
    uint64_t nbytes;
};

static uint64_t count_segments(const struct object *object)
{
    return field(object, 56, 2);
}

static struct segment get_segment(const struct object *object, uint64_t index)
{
    const uint64_t at = field(object, 32, 8) + 56 * index;
    struct segment s = {field(object, at, 4), field(object, at + 8, 8), field(object, at + 16, 8),
                        field(object, at + 32, 8), field(object, at + 40, 8)};

    if (s.offset > object->file_nbytes || s.file_nbytes > object->file_nbytes - s.offset || s.file_nbytes > s.nbytes)
        s.type = 0;
    return s;
}

static bool load_image(struct object *object)
{
    for (uint64_t i = 0; i < count_segments(object); i++) {
        const struct segment s = get_segment(object, i);
        if (s.type == PT_LOAD && s.address + s.nbytes > object->image_nbytes)
            object->image_nbytes = s.address + s.nbytes;
    }
    if (object->image_nbytes == 0 || object->image_nbytes > 1u << 30)
        return false;
    /* Kernels hold addresses relative to each other; the image is aligned as a loader would. */
    object->image_nbytes = (object->image_nbytes + 4095) / 4096 * 4096;
    object->image = aligned_alloc(4096, object->image_nbytes);
    if (object->image == NULL)
        return false;
    memset(object->image, 0, object->image_nbytes);
    for (uint64_t i = 0; i < count_segments(object); i++) {
        const struct segment s = get_segment(object, i);
        if (s.type == PT_LOAD)
            memcpy(object->image + s.address, object->file + s.offset, s.file_nbytes);
    }
    return true;
}

static bool read_metadata(struct object *object)
{
    for (uint64_t i = 0; i < count_segments(object); i++) {
        const struct segment s = get_segment(object, i);
        if (s.type != PT_NOTE || s.file_nbytes < 12)
            continue;
        const uint64_t name_nbytes = (field(object, s.offset, 4) + 3) / 4 * 4;
        const uint64_t nbytes = field(object, s.offset + 4, 4);
        if (field(object, s.offset + 8, 4) == NT_AMDGPU_METADATA && 12 + name_nbytes + nbytes <= s.file_nbytes)
            return read_notes(object, object->file + s.offset + 12 + name_nbytes, nbytes);
    }
    return false;
}

/* ---- symbols */

static void set_descriptor(struct object *object, const char *symbol, uint64_t address)
{
    for (size_t k = 0; k < object->nkernels; k++) {
        const size_t length = strlen(object->kernels[k].name);
        if (strncmp(symbol, object->kernels[k].name, length) == 0 && strcmp(symbol + length, ".kd") == 0 &&
            address + DESCRIPTOR_NBYTES <= object->image_nbytes)
            object->kernels[k].descriptor = address;
    }
}

static void read_symbols(struct object *object, uint64_t section)
{
    const uint64_t headers = field(object, 40, 8);
    const uint64_t strings = field(object, headers + 64 * field(object, section + 40, 4) + 24, 8);
    const uint64_t first = field(object, section + 24, 8);

    for (uint64_t at = first; at < first + field(object, section + 32, 8); at += 24) {
        const uint64_t name = strings + field(object, at, 4);
        if (name < object->file_nbytes && memchr(object->file + name, 0, object->file_nbytes - name) != NULL)
            set_descriptor(object, (const char *)object->file + name, field(object, at + 8, 8));
    }
}

static void find_descriptors(struct object *object)
{
    const uint64_t headers = field(object, 40, 8);

    for (uint64_t i = 0; i < field(object, 60, 2); i++)
        if (field(object, headers + 64 * i + 4, 4) == SHT_DYNSYM)
            read_symbols(object, headers + 64 * i);
}

struct descriptor read_descriptor(const struct object *object, const struct kernel *kernel)
{
    const uint8_t *bytes = object->image + kernel->descriptor;
    const struct descriptor d = {
        .lds_nbytes = (uint32_t)load(bytes, 4),
        .scratch_nbytes = (uint32_t)load(bytes + 4, 4),
        .kernarg_nbytes = (uint32_t)load(bytes + 8, 4),
        .entry = (int64_t)load(bytes + 16, 8),
        .rsrc3 = (uint32_t)load(bytes + 44, 4),
        .rsrc1 = (uint32_t)load(bytes + 48, 4),
        .rsrc2 = (uint32_t)load(bytes + 52, 4),
        .properties = (uint16_t)load(bytes + 56, 2),
        .preload = (uint16_t)load(bytes + 58, 2),
    };

    return d;
}

bool read_object(struct object *object, const char *path, char *error, size_t error_nbytes)
{
    const char *reason = NULL;

    memset(object, 0, sizeof(*object));
    if (!read_file(object, path))
        reason = "cannot be read";
    else if (!find_arch(object))
        reason = "is not a code object for gfx90a, gfx942 or gfx950";
    else if (!load_image(object))
        reason = "has no image to load";
    else if (!read_metadata(object))
        reason = "has no metadata that can be read";
    if (reason != NULL) {
        snprintf(error, error_nbytes, "\"%s\" %s", path, reason);
        return false;
    }
    find_descriptors(object);
    return true;
}

void free_object(struct object *object)
{
    free(object->file);
    free(object->image);
    free(object->kernels);
    memset(object, 0, sizeof(*object));
}
