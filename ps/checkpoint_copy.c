#include "ps/checkpoint_copy.h"

#include "common/files.h"
#include "common/hash.h"
#include "common/mem.h"
#include "ps/checkpoint_why.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 16 };

bool checkpoint_copy_is_there(const char *dir, const part_id *id)
{
    char *path = checkpoint_files_part_path(dir, id);
    bool there = files_exist(path);
    free(path);
    return there;
}

/* Reads n bytes from offset on, or fewer at the end (*got). */
static bool read_at(int fd, uint64_t offset, uint8_t *to, size_t n, size_t *got)
{
    *got = 0;
    return lseek(fd, (off_t)offset, SEEK_SET) >= 0 && files_read_up_to(fd, to, n, got);
}

static bool write_at(int fd, uint64_t offset, const void *from, size_t n)
{
    return lseek(fd, (off_t)offset, SEEK_SET) >= 0 && files_write_all(fd, from, n);
}

/* Size and checksum of the file, if it says that it is this part. */
static err_code read_label(int fd, const char *path, const part_id *id, uint64_t *total,
                           uint64_t *hash, char *why)
{
    struct stat st;
    uint8_t header[PART_HEADER_BYTES];
    part_id is;
    size_t got;
    if (fstat(fd, &st) != 0 || !read_at(fd, 0, header, sizeof header, &got))
        return checkpoint_why_errno(why, "cannot read", path);
    if (!S_ISREG(st.st_mode) || got < sizeof header ||
        !part_label(header, (uint64_t)st.st_size, &is, hash))
        return checkpoint_why(why, ERR_CORRUPT, "%s: no checkpoint part", path);
    if (!part_id_equal(&is, id))
        return checkpoint_why(why, ERR_CORRUPT, "%s: holds another part", path);
    *total = (uint64_t)st.st_size;
    return ERR_OK;
}

static err_code read_piece(int fd, const char *path, uint64_t offset, size_t n, blob **out,
                           char *why)
{
    size_t got;
    blob *b = blob_new(n);
    if (!b) return checkpoint_why(why, ERR_NO_MEMORY, "%s: no memory for a piece", path);
    err_code rc =
        read_at(fd, offset, blob_writable(b), n, &got)
            ? got == n ? ERR_OK : checkpoint_why(why, ERR_CORRUPT, "%s: became shorter", path)
            : checkpoint_why_errno(why, "cannot read", path);
    if (rc == ERR_OK)
        *out = b;
    else
        blob_unref(b);
    return rc;
}

err_code checkpoint_copy_read(const char *dir, const part_id *id, uint64_t offset, size_t max,
                              blob **out, uint64_t *total, uint64_t *hash, char *why)
{
    char *path = checkpoint_files_part_path(dir, id);
    why[0] = '\0';
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    err_code rc = fd < 0 ? checkpoint_why_errno(why, "cannot open", path) : ERR_OK;
    if (rc == ERR_OK) rc = read_label(fd, path, id, total, hash, why);
    if (rc == ERR_OK && offset >= *total)
        rc = checkpoint_why(why, ERR_CORRUPT, "%s: shorter than asked for", path);
    if (rc == ERR_OK) {
        size_t n = *total - offset < max ? (size_t)(*total - offset) : max;
        rc = read_piece(fd, path, offset, n, out, why);
    }
    if (fd >= 0) close(fd);
    free(path);
    return rc;
}

/* <part>.tmp-copied; owned. */
static char *copied_path(const char *dir, const part_id *id)
{
    char *path = checkpoint_files_part_path(dir, id), *copied = xprintf("%s.tmp-copied", path);
    free(path);
    return copied;
}

static err_code make_folder(const char *path, char *why)
{
    char *folder = files_parent(path);
    err_code rc = files_make_dirs(folder);
    if (rc != ERR_OK) rc = checkpoint_why(why, ERR_IO, "%s: cannot make the folder", folder);
    free(folder);
    return rc;
}

err_code checkpoint_copy_write(const char *dir, const part_id *id, uint64_t offset,
                               const void *bytes, size_t n, char *why)
{
    char *path = copied_path(dir, id);
    int fd = -1;
    why[0] = '\0';
    err_code rc = offset ? ERR_OK : make_folder(path, why);
    if (rc == ERR_OK) {
        fd = open(path, O_WRONLY | O_CLOEXEC | (offset ? 0 : O_CREAT | O_TRUNC), 0644);
        if (fd < 0) rc = checkpoint_why_errno(why, "cannot create", path);
    }
    if (rc == ERR_OK && !write_at(fd, offset, bytes, n))
        rc = checkpoint_why_errno(why, "cannot write", path);
    if (fd >= 0 && close(fd) != 0 && rc == ERR_OK)
        rc = checkpoint_why_errno(why, "cannot close", path);
    if (rc != ERR_OK) unlink(path);
    free(path);
    return rc == ERR_NOT_FOUND ? ERR_IO : rc;
}

/* The bytes as they are read back have the checksum that their header says. */
static err_code compare(int fd, const char *path, uint64_t total, uint64_t hash, char *why)
{
    uint8_t *buffer = xmalloc(READ_BYTES);
    hash_stream *h = hash_stream_new(0);
    err_code rc = ERR_OK;
    size_t got;
    for (uint64_t at = PART_HASHED_FROM; at < total && rc == ERR_OK; at += got) {
        if (!read_at(fd, at, buffer, READ_BYTES, &got))
            rc = checkpoint_why_errno(why, "cannot read", path);
        if (rc == ERR_OK && !got) rc = checkpoint_why(why, ERR_CORRUPT, "%s: became shorter", path);
        hash_stream_add(h, buffer, got);
    }
    if (rc == ERR_OK && hash_stream_digest(h) != hash)
        rc = checkpoint_why(why, ERR_CORRUPT, "%s: wrong checksum", path);
    hash_stream_free(h);
    free(buffer);
    return rc;
}

static err_code check(int fd, const char *path, const part_id *id, uint64_t total, uint64_t hash,
                      char *why)
{
    uint64_t bytes, says;
    err_code rc = read_label(fd, path, id, &bytes, &says, why);
    if (rc == ERR_OK && (bytes != total || says != hash))
        rc = checkpoint_why(why, ERR_CORRUPT, "%s: pieces of two files", path);
    return rc == ERR_OK ? compare(fd, path, total, hash, why) : rc;
}

err_code checkpoint_copy_finish(const char *dir, const part_id *id, uint64_t total, uint64_t hash,
                                char *why)
{
    char *from = copied_path(dir, id), *to = checkpoint_files_part_path(dir, id);
    why[0] = '\0';
    int fd = open(from, O_RDWR | O_CLOEXEC);
    err_code rc = fd < 0 ? checkpoint_why_errno(why, "cannot open", from) : ERR_OK;
    if (rc == ERR_OK && fsync(fd) != 0) rc = checkpoint_why_errno(why, "cannot fsync", from);
    if (rc == ERR_OK) rc = check(fd, from, id, total, hash, why);
    if (fd >= 0 && close(fd) != 0 && rc == ERR_OK)
        rc = checkpoint_why_errno(why, "cannot close", from);
    if (rc == ERR_OK && rename(from, to) != 0)
        rc = checkpoint_why_errno(why, "cannot rename to", to);
    if (rc != ERR_OK && fd >= 0) unlink(from);
    free(from);
    free(to);
    return rc == ERR_NOT_FOUND ? ERR_IO : rc;
}
