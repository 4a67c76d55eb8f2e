/* archive_folder.c - an .npz of results, seen as a folder, through libzip */
#include "io/archive_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

bool mxq_split_archive_path(const char *path, char *archive, size_t nbytes, const char **member)
{
    struct stat st;

    for (const char *slash = strrchr(path, '/'); slash != NULL && slash != path;) {
        const size_t length = (size_t)(slash - path);

        if (length >= nbytes)
            return false;
        memcpy(archive, path, length);
        archive[length] = '\0';
        if (stat(archive, &st) == 0) {
            *member = slash + 1;
            return S_ISREG(st.st_mode);
        }
        slash = strrchr(archive, '/');
        if (slash != NULL)
            slash = path + (slash - archive);
    }
    return false;
}

bool mxq_is_archive(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    char magic[4];
    struct stat st;
    bool is;

    if (fd < 0)
        return false;
    is = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
         memcmp(magic, "PK\3\4", sizeof(magic)) == 0;
    close(fd);
    return is;
}

static zip_t *open_archive(const char *archive, struct mxq_fault *fault)
{
    int code = 0;
    zip_t *zip = zip_open(archive, ZIP_RDONLY, &code);
    zip_error_t error;

    if (zip != NULL)
        return zip;
    zip_error_init_with_code(&error, code);
    mxq_set_fault(fault, archive, 0, "bad .npz archive: %s", zip_error_strerror(&error));
    zip_error_fini(&error);
    return NULL;
}

bool mxq_archive_has(const char *archive, const char *member, struct mxq_fault *fault)
{
    zip_t *zip = open_archive(archive, fault);
    bool has;

    if (zip == NULL)
        return false;
    has = zip_name_locate(zip, member, 0) >= 0;
    if (!has)
        mxq_set_fault(fault, archive, 0, "no member \"%s\" in this archive", member);
    zip_discard(zip);
    return has;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text);

    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

int mxq_count_archive_manifests(const char *archive, char *member, size_t nbytes, struct mxq_fault *fault)
{
    zip_t *zip = open_archive(archive, fault);
    int nfound = 0;

    if (zip == NULL)
        return -1;
    for (zip_int64_t i = 0; i < zip_get_num_entries(zip, 0) && nfound < INT_MAX; i++) {
        const char *name = zip_get_name(zip, (zip_uint64_t)i, 0);

        if (name == NULL || name[0] == '.' || !ends_with(name, ".json"))
            continue;
        nfound++;
        snprintf(member, nbytes, "%s", name);
    }
    zip_discard(zip);
    return nfound;
}

/* Reads what zip_stat_index() promised. */
static bool read_all(zip_t *zip, zip_uint64_t index, char *bytes, zip_uint64_t nbytes)
{
    zip_file_t *file = zip_fopen_index(zip, index, 0);
    zip_uint64_t done = 0;
    char extra;

    while (file != NULL && done < nbytes) {
        const zip_int64_t n = zip_fread(file, bytes + done, nbytes - done);
        if (n <= 0)
            break;
        done += (zip_uint64_t)n;
    }
    /* The checksum is compared when the end is found. */
    if (file != NULL && done == nbytes && zip_fread(file, &extra, 1) != 0)
        done = nbytes + 1;
    if (file != NULL)
        zip_fclose(file);
    return file != NULL && done == nbytes;
}

char *mxq_read_archive_member(const char *archive, const char *member, size_t max_nbytes, size_t *nbytes,
                              struct mxq_fault *fault)
{
    zip_t *zip = open_archive(archive, fault);
    zip_int64_t index;
    zip_stat_t info;
    char *bytes = NULL;

    if (zip == NULL)
        return NULL;
    index = zip_name_locate(zip, member, 0);
    if (index < 0) {
        mxq_set_fault(fault, archive, 0, "no member \"%s\" in this archive", member);
    } else if (zip_stat_index(zip, (zip_uint64_t)index, 0, &info) != 0 || (info.valid & ZIP_STAT_SIZE) == 0 ||
               info.size > max_nbytes) {
        mxq_set_fault(fault, archive, 0, "its member \"%s\" is too large", member);
    } else if ((bytes = malloc((size_t)info.size + 1)) == NULL) {
        mxq_set_fault(fault, archive, ENOMEM, "cannot read");
    } else if (!read_all(zip, (zip_uint64_t)index, bytes, info.size)) {
        mxq_set_fault(fault, archive, 0, "its member \"%s\" cannot be read, or is damaged", member);
        free(bytes);
        bytes = NULL;
    } else {
        *nbytes = (size_t)info.size;
    }
    zip_discard(zip);
    return bytes;
}
