#include "common/keys.h"

#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/secret_file.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zmq.h>

/* What a change of a file changes. */
typedef struct file_stamp {
    struct timespec modified, changed;
    off_t size;
    ino_t inode;
} file_stamp;

struct keyring {
    char *folder, *allow_path;
    uint32_t role;
    char public_key[KEY_TEXT_BYTES + 1], secret_key[KEY_TEXT_BYTES + 1];
    char peer[WIRE_ROLES][KEY_TEXT_BYTES + 1]; /* "": not called by anybody */
    pthread_mutex_t lock;                      /* guards: allow, usable, stamp, checked_us */
    key_table allow;
    bool usable;
    file_stamp stamp;
    uint64_t checked_us;
};

static const uint32_t servers[] = {WIRE_SCHEDULER, WIRE_SERVER, WIRE_SAMPLER};
enum { SERVERS = sizeof servers / sizeof *servers };

static bool is_server(uint32_t role)
{
    return role == WIRE_SCHEDULER || role == WIRE_SERVER || role == WIRE_SAMPLER;
}

/* ---- The pair ---- */

err_code keys_generate(char public_key[KEY_TEXT_BYTES + 1], char secret_key[KEY_TEXT_BYTES + 1])
{
    if (zmq_curve_keypair(public_key, secret_key) == 0) return ERR_OK;
    log_user_error("this libzmq has no CURVE: %s", zmq_strerror(zmq_errno()));
    return ERR_IO;
}

void keys_format(uint32_t role, const char *public_key, const char *secret_key,
                 char text[KEY_FILE_MAX])
{
    snprintf(text, KEY_FILE_MAX, "weft-key 1\nrole %s\npublic %s\nsecret %s\n",
             wire_role_name(role), public_key, secret_key);
}

static err_code parse_pair(keyring *k, const char *path, const char *text)
{
    char role[16] = "", derived[KEY_TEXT_BYTES + 1];
    int end = 0;
    sscanf(text, "weft-key 1 role %15s public %40s secret %40s %n", role, k->public_key,
           k->secret_key, &end);
    if (!end || text[end] || !key_table_is_key(k->public_key) || !key_table_is_key(k->secret_key)) {
        log_user_error("%s: not a key file of weft (weft keygen)", path);
        return ERR_INVALID;
    }
    if (strcmp(role, wire_role_name(k->role)) != 0) {
        log_user_error("%s: the key of role %s, not of %s", path, role, wire_role_name(k->role));
        return ERR_INVALID;
    }
    if (zmq_curve_public(derived, k->secret_key) != 0 || strcmp(derived, k->public_key) != 0) {
        log_user_error("%s: its public and secret key do not belong together", path);
        return ERR_INVALID;
    }
    return ERR_OK;
}

static err_code load_pair(keyring *k)
{
    char text[KEY_FILE_MAX];
    char *path = xprintf("%s/%s.key", k->folder, wire_role_name(k->role));
    err_code rc = secret_file_read(path, "a secret key", text, sizeof text);
    if (rc == ERR_OK) rc = parse_pair(k, path, text);
    explicit_bzero(text, sizeof text);
    free(path);
    return rc;
}

/* ---- The tables ---- */

static err_code load_peers(keyring *k)
{
    key_table t;
    char *path = files_join(k->folder, "peers");
    err_code rc = key_table_load(path, &t);
    for (size_t i = 0; i < SERVERS && rc == ERR_OK; i++) {
        size_t n;
        const char *role = wire_role_name(servers[i]);
        const key_entry *e = key_table_role(&t, servers[i], &n);
        if (n == 1) {
            memcpy(k->peer[servers[i]], e->key, sizeof e->key);
            continue;
        }
        log_user_error("%s: %zu keys of role %s, there must be one", path, n, role);
        rc = ERR_INVALID;
    }
    if (rc == ERR_OK && is_server(k->role) && strcmp(k->peer[k->role], k->public_key) != 0) {
        log_user_error("%s: another public key of role %s than in %s/%s.key", path,
                       wire_role_name(k->role), k->folder, wire_role_name(k->role));
        rc = ERR_INVALID;
    }
    key_table_fini(&t);
    free(path);
    return rc;
}

static file_stamp stamp_of(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) return (file_stamp){0};
    return (file_stamp){st.st_mtim, st.st_ctim, st.st_size, st.st_ino};
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_stamp(file_stamp a, file_stamp b)
{
    return a.size == b.size && a.inode == b.inode && same_time(a.modified, b.modified) &&
           same_time(a.changed, b.changed);
}

/* Reads the table anew.  The stamp is taken first: a change meanwhile is seen the next time. */
static err_code load_allow(keyring *k)
{
    file_stamp stamp = stamp_of(k->allow_path);
    key_table t;
    err_code rc = key_table_load(k->allow_path, &t);
    key_table_fini(&k->allow);
    k->allow = t;
    k->usable = rc == ERR_OK;
    k->stamp = stamp;
    return rc;
}

static void look_again(keyring *k)
{
    if (same_stamp(k->stamp, stamp_of(k->allow_path))) return;
    err_code rc = load_allow(k);
    if (rc == ERR_OK)
        log_info("keys_reloaded", "file=\"%s\" keys=%zu", k->allow_path, k->allow.n);
    else
        log_error("keys_unusable", "file=\"%s\" reason=%s effect=\"nobody is let in\"",
                  k->allow_path, err_name(rc));
}

key_verdict keyring_check(keyring *k, const char *key, bool fresh, uint32_t *role)
{
    *role = WIRE_NONE;
    pthread_mutex_lock(&k->lock);
    uint64_t now = clock_now_us();
    if (fresh || now - k->checked_us >= KEYS_CHECK_US) {
        k->checked_us = now;
        look_again(k);
    }
    const key_entry *e = key_table_find(&k->allow, key);
    if (e) *role = e->role;
    key_verdict v = !k->usable ? KEY_UNSURE : *role ? KEY_ALLOWED : KEY_REFUSED;
    pthread_mutex_unlock(&k->lock);
    return v;
}

/* ---- The ring ---- */

err_code keyring_open(const char *folder, uint32_t role, keyring **out)
{
    keyring *k = xcalloc(1, sizeof *k);
    k->folder = files_absolute(folder);
    k->allow_path = files_join(k->folder, "allow");
    k->role = role;
    pthread_mutex_init(&k->lock, NULL);
    err_code rc = load_pair(k);
    if (rc == ERR_OK) rc = load_peers(k);
    if (rc == ERR_OK && is_server(role)) rc = load_allow(k);
    if (rc != ERR_OK) {
        keyring_close(k);
        return rc;
    }
    *out = k;
    return ERR_OK;
}

void keyring_close(keyring *k)
{
    if (!k) return;
    pthread_mutex_destroy(&k->lock);
    key_table_fini(&k->allow);
    free(k->folder);
    free(k->allow_path);
    explicit_bzero(k, sizeof *k);
    free(k);
}

uint32_t keyring_own_role(const keyring *k)
{
    return k->role;
}

const char *keyring_folder(const keyring *k)
{
    return k->folder;
}

bool keyring_wanted(const char *endpoint)
{
    return strncmp(endpoint, "ipc://", 6) != 0;
}

static err_code set_text(void *socket, int option, const char *text)
{
    if (zmq_setsockopt(socket, option, text, strlen(text) + 1) == 0) return ERR_OK;
    log_user_error("this libzmq has no CURVE: %s", zmq_strerror(zmq_errno()));
    return ERR_IO;
}

err_code keyring_serve(const keyring *k, void *socket)
{
    if (!k) return ERR_OK;
    enum { ZAP_ENFORCE_DOMAIN = 93 }; /* Debian's zmq.h hides it: no ZAP handler, nobody comes in */
    int yes = 1;
    if (zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &yes, sizeof yes) != 0 ||
        zmq_setsockopt(socket, ZAP_ENFORCE_DOMAIN, &yes, sizeof yes) != 0 ||
        zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, "weft", 4) != 0) {
        log_user_error("this libzmq has no CURVE: %s", zmq_strerror(zmq_errno()));
        return ERR_IO;
    }
    return set_text(socket, ZMQ_CURVE_SECRETKEY, k->secret_key);
}

err_code keyring_call(const keyring *k, void *socket, uint32_t to)
{
    if (!k) return ERR_OK;
    if (to >= WIRE_ROLES || !k->peer[to][0]) {
        log_user_error("%s/peers: no key of role %s", k->folder, wire_role_name(to));
        return ERR_INVALID;
    }
    err_code rc = set_text(socket, ZMQ_CURVE_SERVERKEY, k->peer[to]);
    if (rc == ERR_OK) rc = set_text(socket, ZMQ_CURVE_PUBLICKEY, k->public_key);
    if (rc == ERR_OK) rc = set_text(socket, ZMQ_CURVE_SECRETKEY, k->secret_key);
    return rc;
}
