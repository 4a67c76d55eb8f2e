/*
 * npz.c - archives of .npy files, through libzip
 *
 * An archive needs a file that can be read anywhere, so one that comes from a pipe is copied to a temporary file first.
 * libzip checks the CRC of a member when its last byte is read.
 */
#include "io/outfile.h"
#include "io/source_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#define SUFFIX ".npy"
#define SUFFIX_NBYTES 4

struct mxq_archive {
    zip_t *zip;
    zip_uint64_t next; /* the member to look at next */
    zip_uint64_t end;
    zip_file_t *file; /* the current member */
    struct mxq_stream stream;
    char *label; /* "w.npz:a.npy", for faults */
    char *name;  /* "a" */
};

static bool probe_npz(const uint8_t *magic, size_t nbytes)
{
    /* The second is an archive without members. */
    return nbytes >= 4 && (memcmp(magic, "PK\3\4", 4) == 0 || memcmp(magic, "PK\5\6", 4) == 0);
}

/* ---------------------------------------------------------------------------------------------- opening */

/* Copies what is left of the input to a temporary file, and returns that. */
static int spool_input(struct mxq_source *source, struct mxq_fault *fault)
{
    int fd = mxq_open_spool(source->options.spool_dir, fault);
    void *buffer = malloc(MXQ_CHUNK_NBYTES);
    bool ok = fd >= 0 && buffer != NULL;
    uint64_t got = 0;

    if (fd >= 0 && buffer == NULL)
        mxq_set_fault(fault, source->name, ENOMEM, "cannot read");
    do {
        ok = ok && mxq_read_stream(&source->input.stream, buffer, MXQ_CHUNK_NBYTES, &got, fault) &&
             mxq_write_all(fd, buffer, got, "temporary file", fault);
    } while (ok && got == MXQ_CHUNK_NBYTES);
    free(buffer);
    if (!ok && fd >= 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* A descriptor for libzip alone, in a file that starts with the archive. */
static int open_archive_file(struct mxq_source *source, struct mxq_fault *fault)
{
    int fd;

    if (!source->input.is_regular || source->input.base != 0)
        return spool_input(source, fault);
    fd = dup(source->input.fd);
    if (fd < 0)
        mxq_set_fault(fault, source->name, errno, "cannot read");
    return fd;
}

static bool open_zip(struct mxq_source *source, int fd, struct mxq_fault *fault)
{
    int code = 0;

    /* This takes fd over when it succeeds. */
    source->archive->zip = zip_fdopen(fd, 0, &code);
    if (source->archive->zip == NULL) {
        zip_error_t error;

        zip_error_init_with_code(&error, code);
        mxq_set_fault(fault, source->name, 0, "bad .npz archive: %s", zip_error_strerror(&error));
        zip_error_fini(&error);
        close(fd);
        return false;
    }
    return true;
}

/* Finds what --member asks for. */
static bool locate_member(struct mxq_source *source, const char *member, struct mxq_fault *fault)
{
    struct mxq_archive *archive = source->archive;
    zip_int64_t index = zip_name_locate(archive->zip, member, 0);

    if (index < 0) {
        size_t nbytes = strlen(member);
        char *name = malloc(nbytes + SUFFIX_NBYTES + 1);

        if (name == NULL) {
            mxq_set_fault(fault, source->name, ENOMEM, "cannot read");
            return false;
        }
        memcpy(name, member, nbytes);
        memcpy(name + nbytes, SUFFIX, SUFFIX_NBYTES + 1);
        index = zip_name_locate(archive->zip, name, 0);
        free(name);
    }
    if (index < 0) {
        mxq_set_fault(fault, source->name, 0, "no member \"%s\" in this archive", member);
        return false;
    }
    archive->next = (zip_uint64_t)index;
    archive->end = archive->next + 1;
    return true;
}

static bool open_npz(struct mxq_source *source, struct mxq_fault *fault)
{
    int fd;

    source->archive = calloc(1, sizeof(*source->archive));
    if (source->archive == NULL) {
        mxq_set_fault(fault, source->name, ENOMEM, "cannot read");
        return false;
    }
    fd = open_archive_file(source, fault);
    if (fd < 0 || !open_zip(source, fd, fault))
        return false;
    if (source->options.member != NULL)
        return locate_member(source, source->options.member, fault);

    source->archive->end = (zip_uint64_t)zip_get_num_entries(source->archive->zip, 0);
    if (source->archive->end == 0) {
        mxq_set_fault(fault, source->name, 0, "an archive without members");
        return false;
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------- members */

static void close_member(struct mxq_archive *archive)
{
    if (archive->file != NULL)
        zip_fclose(archive->file);
    archive->file = NULL;
    free(archive->label);
    archive->label = NULL;
    free(archive->name);
    archive->name = NULL;
}

static int64_t read_member(struct mxq_stream *stream, void *bytes, size_t nbytes, struct mxq_fault *fault)
{
    struct mxq_archive *archive = stream->state;
    zip_int64_t n = zip_fread(archive->file, bytes, nbytes);

    if (n < 0)
        mxq_set_fault(fault, stream->name, 0, "cannot read from the archive: %s",
                      zip_error_strerror(zip_file_get_error(archive->file)));
    return n;
}

/* Sets the two names of a member. */
static bool name_member(struct mxq_source *source, const char *member, struct mxq_fault *fault)
{
    struct mxq_archive *archive = source->archive;
    size_t path_nbytes = strlen(source->name);
    size_t nbytes = strlen(member);

    archive->label = malloc(path_nbytes + 1 + nbytes + 1);
    archive->name = malloc(nbytes + 1);
    if (archive->label == NULL || archive->name == NULL) {
        mxq_set_fault(fault, source->name, ENOMEM, "cannot read");
        return false;
    }
    memcpy(archive->label, source->name, path_nbytes);
    archive->label[path_nbytes] = ':';
    memcpy(archive->label + path_nbytes + 1, member, nbytes + 1);

    memcpy(archive->name, member, nbytes + 1);
    if (nbytes > SUFFIX_NBYTES && strcmp(member + nbytes - SUFFIX_NBYTES, SUFFIX) == 0)
        archive->name[nbytes - SUFFIX_NBYTES] = '\0';
    else if (source->options.member == NULL) {
        mxq_set_fault(fault, source->name, 0, "its member \"%s\" is not a .npy file (--member reads a single one)",
                      member);
        return false;
    }
    return true;
}

static bool open_member(struct mxq_source *source, zip_uint64_t index, struct mxq_fault *fault)
{
    struct mxq_archive *archive = source->archive;
    const char *member = zip_get_name(archive->zip, index, 0);
    zip_stat_t info;

    if (member == NULL || zip_stat_index(archive->zip, index, 0, &info) != 0) {
        mxq_set_fault(fault, source->name, 0, "bad .npz archive: %s", zip_strerror(archive->zip));
        return false;
    }
    if (!name_member(source, member, fault))
        return false;
    if (zip_name_locate(archive->zip, member, 0) != (zip_int64_t)index) {
        mxq_set_fault(fault, source->name, 0, "bad .npz archive: two members have the name \"%s\"", member);
        return false;
    }
    archive->file = zip_fopen_index(archive->zip, index, 0);
    if (archive->file == NULL) {
        mxq_set_fault(fault, archive->label, 0, "cannot read from the archive: %s", zip_strerror(archive->zip));
        return false;
    }
    archive->stream = (struct mxq_stream){
        .name = archive->label,
        .read = read_member,
        .state = archive,
        .has_nbytes = (info.valid & ZIP_STAT_SIZE) != 0,
        .nbytes = info.size,
        .has_checks = true,
    };
    return true;
}

static int next_npz(struct mxq_source *source, struct mxq_fault *fault)
{
    struct mxq_archive *archive = source->archive;

    close_member(archive);
    if (archive->next == archive->end)
        return 0;
    if (!open_member(source, archive->next, fault))
        return -1;
    archive->next++;
    source->stream = &archive->stream;
    if (!mxq_read_npy_header(source->stream, &source->options, &source->tensor, fault))
        return -1;
    source->tensor.name = archive->name;
    return 1;
}

static void close_npz(struct mxq_source *source)
{
    if (source->archive == NULL)
        return;
    close_member(source->archive);
    if (source->archive->zip != NULL)
        zip_discard(source->archive->zip);
    free(source->archive);
    source->archive = NULL;
}

static bool has_many(const struct mxq_source *source)
{
    const struct mxq_archive *archive = source->archive;

    return archive->end - archive->next > 1;
}

const struct mxq_source_format mxq_npz_format = {
    .name = "npz",
    .probe = probe_npz,
    .open = open_npz,
    .next = next_npz,
    .has_many = has_many,
    .close = close_npz,
};
