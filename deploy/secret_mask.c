#include "deploy/secret_mask.h"

#include "common/files.h"
#include "common/mem.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 4096 };

struct secret_mask {
    char **secret; /* owned, wiped */
    size_t n, cap;
    uint32_t unread;
};

void secret_mask_add(secret_mask *m, const char *secret)
{
    if (strlen(secret) < SECRET_MIN) return;
    grow(&m->secret, &m->cap, m->n + 1, sizeof *m->secret);
    m->secret[m->n++] = xstrdup(secret);
}

/* The word of each line, behind `begins` where that is given. */
static void add_file(secret_mask *m, const char *path, const char *begins)
{
    char line[LINE_BYTES];
    FILE *f = fopen(path, "re");
    if (!f) {
        m->unread += files_exist(path);
        return;
    }
    while (fgets(line, sizeof line, f)) {
        size_t skip = begins ? strlen(begins) : 0;
        for (size_t n = strlen(line); n && strchr(" \t\r\n", line[n - 1]);) line[--n] = 0;
        if (!begins || strncmp(line, begins, skip) == 0) secret_mask_add(m, line + skip);
    }
    fclose(f);
    explicit_bzero(line, sizeof line);
}

static void add_keys(secret_mask *m, const char *folder)
{
    DIR *d = opendir(folder);
    if (!d) {
        m->unread += files_exist(folder);
        return;
    }
    for (struct dirent *e; (e = readdir(d));) {
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".key") != 0) continue;
        char *path = files_join(folder, e->d_name);
        add_file(m, path, "secret ");
        free(path);
    }
    closedir(d);
}

secret_mask *secret_mask_new(const config *c)
{
    secret_mask *m = xcalloc(1, sizeof *m);
    char *token = files_join(c->work_dir, "run/token");
    add_file(m, token, NULL);
    if (c->http.token_file[0]) add_file(m, c->http.token_file, NULL);
    if (c->features.openai.key_file[0]) add_file(m, c->features.openai.key_file, NULL);
    if (c->security.keys[0]) add_keys(m, c->security.keys);
    free(token);
    return m;
}

void secret_mask_free(secret_mask *m)
{
    if (!m) return;
    for (size_t i = 0; i < m->n; i++) {
        explicit_bzero(m->secret[i], strlen(m->secret[i]));
        free(m->secret[i]);
    }
    free(m->secret);
    free(m);
}

uint32_t secret_mask_unread(const secret_mask *m)
{
    return m->unread;
}

static uint32_t mask_known(const char *secret, char *data, size_t bytes)
{
    size_t n = strlen(secret);
    uint32_t found = 0;
    char *at = data;
    while ((at = memmem(at, bytes - (size_t)(at - data), secret, n))) {
        memset(at, '*', n);
        at += n;
        found++;
    }
    return found;
}

/* True for what may be part of a token or a password. */
static bool is_word(char c)
{
    return isgraph((unsigned char)c) && !strchr("\"'<>,;\\", c);
}

static uint32_t mask_bearers(char *data, size_t bytes)
{
    static const char begins[] = "Bearer ";
    uint32_t found = 0;
    char *at = data, *end = data + bytes;
    while ((at = memmem(at, (size_t)(end - at), begins, sizeof begins - 1))) {
        at += sizeof begins - 1;
        found += at < end && is_word(*at);
        while (at < end && is_word(*at)) *at++ = '*';
    }
    return found;
}

/* scheme://user:password@host */
static uint32_t mask_passwords(char *data, size_t bytes)
{
    uint32_t found = 0;
    char *at = data, *end = data + bytes;
    while ((at = memmem(at, (size_t)(end - at), "://", 3))) {
        char *colon = NULL, *sign = at += 3;
        while (sign < end && is_word(*sign) && *sign != '/' && *sign != '@') {
            if (*sign == ':' && !colon) colon = sign;
            sign++;
        }
        if (sign == end || *sign != '@' || !colon) continue;
        memset(colon + 1, '*', (size_t)(sign - colon - 1));
        found++;
    }
    return found;
}

uint32_t secret_mask_apply(const secret_mask *m, char *data, size_t bytes)
{
    uint32_t found = mask_bearers(data, bytes) + mask_passwords(data, bytes);
    for (size_t i = 0; i < m->n; i++) found += mask_known(m->secret[i], data, bytes);
    return found;
}
