#include "common/key_table.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1 << 20 };

bool key_table_is_key(const char *text)
{
    static const char alphabet[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    return strlen(text) == KEY_TEXT_BYTES && strspn(text, alphabet) == KEY_TEXT_BYTES;
}

/* A wire_role by its name; WIRE_ROLES: none. */
static uint32_t role_of(const char *name)
{
    if (strcmp(name, "revoked") == 0) return WIRE_NONE;
    for (uint32_t r = WIRE_NONE + 1; r < WIRE_ROLES; r++) {
        if (strcmp(name, wire_role_name(r)) == 0) return r;
    }
    return WIRE_ROLES;
}

/* One line, without its end; *e is filled in.  1: an entry, 0: a comment or nothing, -1: wrong. */
static int parse_line(const char *line, key_entry *e, const char **wrong)
{
    char word[4][66] = {"", "", "", ""};
    *e = (key_entry){0};
    *wrong = NULL;
    line += strspn(line, " \t\r");
    if (*line == '#' || !*line) return 0;
    int n = sscanf(line, "%65s %65s %65s %65s", word[0], word[1], word[2], word[3]);
    e->role = role_of(word[0]);
    if (e->role == WIRE_ROLES)
        *wrong = "a line begins with scheduler, ps, sampler, worker, driver or revoked";
    else if (!key_table_is_key(word[1]))
        *wrong = "the second word must be a key, 40 characters of Z85";
    else if (n > 3 || strlen(word[2]) > KEY_NAME_MAX)
        *wrong = "a name is one word of up to 63 characters";
    if (*wrong) return -1;
    memcpy(e->key, word[1], sizeof e->key);
    memcpy(e->name, word[2], sizeof e->name);
    return 1;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const key_entry *)a)->key, ((const key_entry *)b)->key);
}

static err_code add_lines(const char *path, const char *text, key_table *t)
{
    size_t cap = 0;
    uint32_t number = 1;
    for (const char *at = text; *at; number++) {
        char line[256];
        const char *wrong;
        key_entry e;
        size_t n = strcspn(at, "\n");
        int length = snprintf(line, sizeof line, "%.*s", n < sizeof line ? (int)n : 256, at);
        int kind = (size_t)length >= sizeof line ? -1 : parse_line(line, &e, &wrong);
        if ((size_t)length >= sizeof line) wrong = "longer than 255 characters";
        if (kind < 0) {
            log_user_error("%s:%u: %s", path, number, wrong);
            return ERR_INVALID;
        }
        if (kind && t->n == KEY_TABLE_MAX) {
            log_user_error("%s:%u: more than %d keys", path, number, KEY_TABLE_MAX);
            return ERR_LIMIT;
        }
        if (kind) {
            grow(&t->entry, &cap, t->n + 1, sizeof *t->entry);
            t->entry[t->n++] = e;
        }
        at += n + (at[n] == '\n');
    }
    return ERR_OK;
}

static err_code check_keys(const char *path, const key_table *t)
{
    if (!t->n) {
        log_user_error("%s: no key in it", path);
        return ERR_INVALID;
    }
    for (size_t i = 1; i < t->n; i++) {
        if (compare(&t->entry[i - 1], &t->entry[i]) != 0) continue;
        log_user_error("%s: the key %s is in two lines", path, t->entry[i].key);
        return ERR_INVALID;
    }
    return ERR_OK;
}

err_code key_table_parse(const char *path, const char *text, key_table *out)
{
    *out = (key_table){0};
    err_code rc = add_lines(path, text, out);
    if (out->n) qsort(out->entry, out->n, sizeof *out->entry, compare);
    if (rc == ERR_OK) rc = check_keys(path, out);
    if (rc != ERR_OK) key_table_fini(out);
    return rc;
}

static err_code read_text(const char *path, int fd, char *text)
{
    size_t n = 0;
    ssize_t got;
    while ((got = read(fd, text + n, FILE_BYTES_MAX - n)) > 0) n += (size_t)got;
    if (got < 0) {
        log_user_error("%s: cannot read: %s", path, strerror(errno));
        return ERR_IO;
    }
    text[n] = 0;
    if (n < FILE_BYTES_MAX && strlen(text) == n) return ERR_OK;
    log_user_error("%s: longer than %d bytes, or no text", path, FILE_BYTES_MAX);
    return ERR_INVALID;
}

err_code key_table_load(const char *path, key_table *out)
{
    *out = (key_table){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        err_code rc = errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
        log_user_error("%s: cannot read: %s", path, strerror(errno));
        return rc;
    }
    char *text = xmalloc(FILE_BYTES_MAX + 1);
    err_code rc = secret_file_trusted(path, fd);
    if (rc == ERR_OK) rc = read_text(path, fd, text);
    if (rc == ERR_OK) rc = key_table_parse(path, text, out);
    free(text);
    close(fd);
    return rc;
}

void key_table_fini(key_table *t)
{
    free(t->entry);
    *t = (key_table){0};
}

const key_entry *key_table_find(const key_table *t, const char *key)
{
    key_entry e;
    if (!t->n || strlen(key) != KEY_TEXT_BYTES) return NULL;
    memcpy(e.key, key, sizeof e.key);
    return bsearch(&e, t->entry, t->n, sizeof e, compare);
}

const key_entry *key_table_role(const key_table *t, uint32_t role, size_t *count)
{
    const key_entry *first = NULL;
    *count = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (t->entry[i].role != role) continue;
        if (!first) first = &t->entry[i];
        ++*count;
    }
    return first;
}
