#include "deploy/synth.h"

#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/rng.h"
#include "deploy/synth_words.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(SYNTH_TYPES == 12, "synth_counts has one entry per type");

enum {
    SCENES = 3,        /* taste that no text tells */
    INTERESTS_MAX = 4, /* topics of a user */
    TRIES = 24,        /* draws for an item the user has not had and that is out already */
    EVENTS_CAP = 600,  /* of a user, unless that is not enough */
    DAY = 86400
};

/* What a draw is for: part of its key. */
enum { DRAW_TEXT = 1, DRAW_ITEM, DRAW_USER, DRAW_QUOTA, DRAW_EVENTS };

/* The draws for one item or user, one after the other. */
typedef struct dice {
    uint64_t key, node;
    uint32_t draw;
} dice;

static dice dice_for(uint64_t seed, uint64_t what, uint64_t who)
{
    return (dice){.key = rng_key(seed, what, 0, 0, 0, USE_SYNTH), .node = who};
}

static double unit(dice *d)
{
    return rng_unit_f64(d->key, d->node, d->draw++);
}

static uint32_t below(dice *d, uint32_t n)
{
    return (uint32_t)rng_below(d->key, d->node, d->draw++, n);
}

static bool chance(dice *d, double p)
{
    return unit(d) < p;
}

/* u^-1/2 for u in (0, 1]: a power law from sqrt alone, the same bits everywhere. */
static double heavy(dice *d)
{
    return 1 / sqrt(unit(d) + 1e-5);
}

typedef struct item {
    double weight;                             /* popularity */
    uint8_t type, topic, theme, second, scene; /* second: another topic, or the same */
    bool untouched;
    uint32_t release; /* seconds after the start */
} item;

/* Items to draw from by weight: those of one (type, topic, theme), of one (type, topic), or of a
 * type. */
typedef struct shelf {
    uint32_t *items;
    double *sums; /* running sums of the weights */
    size_t n, items_cap, sums_cap;
} shelf;

enum { SHELVES_PER_TOPIC = SYNTH_THEMES + 1, SHELVES_PER_TYPE = SYNTH_TOPICS * SHELVES_PER_TOPIC };

typedef struct synth {
    synth_options o;
    item *items;
    shelf *shelves;                 /* [types][topics][themes + 1] */
    shelf *all;                     /* [types] */
    uint64_t *quota;                /* [users] events */
    uint32_t *had;                  /* [items] the last user + 1 who had it */
    double type_share[SYNTH_TYPES]; /* of the events */
    synth_counts *counts;
} synth;

static shelf *shelf_of(const synth *s, uint32_t type, uint32_t topic, uint32_t theme)
{
    return &s->shelves[(size_t)type * SHELVES_PER_TYPE + topic * SHELVES_PER_TOPIC + theme];
}

static void shelf_add(shelf *h, uint32_t i, double weight)
{
    grow(&h->items, &h->items_cap, h->n + 1, sizeof *h->items);
    grow(&h->sums, &h->sums_cap, h->n + 1, sizeof *h->sums);
    h->items[h->n] = i;
    h->sums[h->n] = (h->n ? h->sums[h->n - 1] : 0) + weight;
    h->n++;
}

/* The first i with sums[i] > u * total. */
static size_t pick(const double *sums, size_t n, double u)
{
    double at = u * sums[n - 1];
    size_t low = 0, high = n - 1;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (sums[mid] > at) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return low;
}

static uint32_t pick_share(dice *d, const double *share, uint32_t n)
{
    double sums[SYNTH_TOPICS], total = 0;
    for (uint32_t i = 0; i < n; i++) sums[i] = total += share[i];
    return (uint32_t)pick(sums, n, unit(d));
}

/* --- items --- */

static void make_item(synth *s, uint32_t i)
{
    dice d = dice_for(s->o.seed, DRAW_ITEM, i);
    item *it = &s->items[i];
    double share[SYNTH_TYPES];
    for (uint32_t t = 0; t < s->o.types; t++) share[t] = 1 / (1 + 0.5 * t);
    it->type = (uint8_t)(i < s->o.types ? i : pick_share(&d, share, s->o.types));
    double topics[SYNTH_TOPICS];
    for (uint32_t k = 0; k < SYNTH_TOPICS; k++) topics[k] = 1 / (1 + 0.08 * k);
    it->topic = (uint8_t)pick_share(&d, topics, SYNTH_TOPICS);
    it->theme = (uint8_t)below(&d, SYNTH_THEMES);
    it->second = chance(&d, 0.3) ? (uint8_t)below(&d, SYNTH_TOPICS) : it->topic;
    it->scene = (uint8_t)below(&d, SCENES);
    it->weight = heavy(&d);
    it->untouched = chance(&d, 0.04);
    it->release = chance(&d, 0.25) ? below(&d, (SYNTH_DAYS - 8) * DAY) : 0;
    if (i < s->o.types) { /* so that every type has something at any time */
        it->untouched = false;
        it->release = 0;
    }
    s->counts->type_items[it->type]++;
    if (it->untouched) return;
    shelf_add(&s->all[it->type], i, it->weight);
    shelf_add(shelf_of(s, it->type, it->topic, it->theme), i, it->weight);
    shelf_add(shelf_of(s, it->type, it->topic, SYNTH_THEMES), i, it->weight);
    if (it->second != it->topic) {
        shelf_add(shelf_of(s, it->type, it->second, SYNTH_THEMES), i, it->weight);
    }
}

static const char *article(const char *word)
{
    return strchr("aeiou", word[0]) ? "an" : "a";
}

static void write_title(dice *d, FILE *f, const synth_topic *topic)
{
    const char *noun = topic->nouns[below(d, SYNTH_WORDS)];
    const char *other = topic->nouns[below(d, SYNTH_WORDS)];
    const char *adjective = topic->adjectives[below(d, SYNTH_WORDS)];
    const char *name = synth_last_names[below(d, SYNTH_LAST_NAMES)];
    switch (below(d, 5)) {
    case 0: fprintf(f, "The %s %s", adjective, noun); break;
    case 1: fprintf(f, "%s of the %s %s", noun, adjective, other == noun ? "Hour" : other); break;
    case 2: fprintf(f, "Beyond the %s %s", adjective, noun); break;
    case 3: fprintf(f, "The %s %s of %s", adjective, noun, name); break;
    default: fprintf(f, "%s %s", adjective, noun); break;
    }
}

/* "The Silent Harbor: a gothic mystery audiobook about lighthouse keepers, by Clara Whitfield" */
static void write_item(const synth *s, uint32_t i, FILE *f)
{
    const item *it = &s->items[i];
    const synth_topic *topic = &synth_topics[it->topic];
    dice d = dice_for(s->o.seed, DRAW_TEXT, i);
    fprintf(f, "%s-%" PRIu32 "\t%s\t", synth_types[it->type], i + 1, synth_types[it->type]);
    write_title(&d, f, &synth_topics[chance(&d, 0.2) ? below(&d, SYNTH_TOPICS) : it->topic]);
    fprintf(f, ": %s %s %s", article(topic->genre), topic->genre, synth_nouns[it->type]);
    if (chance(&d, 0.75)) {
        uint32_t theme = chance(&d, 0.15) ? below(&d, SYNTH_THEMES) : it->theme;
        fprintf(f, " about %s", topic->themes[theme]);
    }
    if (it->second != it->topic) {
        const synth_topic *second = &synth_topics[it->second];
        fprintf(f, ", with a touch of %s", second->genre);
    }
    fprintf(f, ", by %s %s\n", synth_first_names[below(&d, SYNTH_FIRST_NAMES)],
            synth_last_names[below(&d, SYNTH_LAST_NAMES)]);
}

/* --- users --- */

typedef struct user {
    uint32_t interests_n, topics[INTERESTS_MAX], themes[INTERESTS_MAX];
    double early[INTERESTS_MAX], late[INTERESTS_MAX]; /* shares, at the start and at the end */
    double types[SYNTH_TYPES];
    uint32_t scene, country, age_band;
    uint32_t from, to; /* seconds after the start */
} user;

/* A user's taste; her age band shifts it, so that attributes carry something. */
static void make_user(const synth *s, uint32_t u, user *out)
{
    static const double interests[INTERESTS_MAX] = {0.25, 0.35, 0.25, 0.15};
    dice d = dice_for(s->o.seed, DRAW_USER, u);
    double countries[SYNTH_COUNTRIES], topics[SYNTH_TOPICS];
    for (uint32_t i = 0; i < SYNTH_COUNTRIES; i++) countries[i] = 1 / (1.0 + i);
    out->country = pick_share(&d, countries, SYNTH_COUNTRIES);
    out->age_band = below(&d, SYNTH_AGE_BANDS);
    for (uint32_t k = 0; k < SYNTH_TOPICS; k++) {
        topics[k] = (k % SYNTH_AGE_BANDS == out->age_band ? 3 : 1) / (1 + 0.08 * k);
    }
    out->interests_n = 1 + pick_share(&d, interests, INTERESTS_MAX);
    for (uint32_t i = 0; i < out->interests_n; i++) {
        out->topics[i] = pick_share(&d, topics, SYNTH_TOPICS);
        topics[out->topics[i]] = 0;
        out->themes[i] = below(&d, SYNTH_THEMES);
        out->early[i] = 0.2 + unit(&d);
        out->late[i] = 0.2 + unit(&d);
    }
    for (uint32_t t = 0; t < s->o.types; t++) {
        double liked = chance(&d, t ? 0.5 : 0.95) ? 0.5 + unit(&d) : 0.02;
        out->types[t] = liked * s->type_share[t];
    }
    out->scene = below(&d, SCENES);
    out->from = chance(&d, 0.7) ? below(&d, 10 * DAY) : below(&d, (SYNTH_DAYS - 20) * DAY);
    uint32_t left = SYNTH_DAYS * DAY - out->from;
    out->to = out->from + (chance(&d, 0.8) ? left : 1 + below(&d, left));
}

/* How many events each user has: a power law that adds up to o.interactions. */
static void share_events(synth *s)
{
    double *weight = xcalloc(s->o.users, sizeof *weight), total = 0;
    for (uint32_t u = 0; u < s->o.users; u++) {
        dice d = dice_for(s->o.seed, DRAW_QUOTA, u);
        total += weight[u] = heavy(&d);
    }
    uint64_t n = s->o.interactions, given = 0, floor_n = n / s->o.users / 4;
    uint64_t cap = n / s->o.users * 4 + 1 > EVENTS_CAP ? n / s->o.users * 4 + 1 : EVENTS_CAP;
    double spare = (double)(n - floor_n * s->o.users);
    for (uint32_t u = 0; u < s->o.users; u++) {
        uint64_t q = floor_n + (uint64_t)(spare * weight[u] / total);
        s->quota[u] = q < cap ? q : cap;
        if (given + s->quota[u] > n) s->quota[u] = n - given;
        given += s->quota[u];
    }
    for (uint32_t u = 0; given < n; u = u + 1 == s->o.users ? 0 : u + 1) {
        s->quota[u]++;
        given++;
    }
    free(weight);
}

/* --- events --- */

/* One draw of an item at `now`: by interest and theme mostly, sometimes just what is popular. */
static uint32_t draw_item(const synth *s, const user *who, dice *d, uint32_t now)
{
    uint32_t type = pick_share(d, who->types, s->o.types);
    const shelf *h = &s->all[type];
    if (!chance(d, 0.25)) {
        double share[INTERESTS_MAX], late = (double)now / (SYNTH_DAYS * DAY);
        for (uint32_t i = 0; i < who->interests_n; i++) {
            share[i] = who->early[i] * (1 - late) + who->late[i] * late;
        }
        uint32_t i = pick_share(d, share, who->interests_n);
        uint32_t theme = chance(d, 0.4) ? who->themes[i] : SYNTH_THEMES;
        const shelf *closer = shelf_of(s, type, who->topics[i], theme);
        if (closer->n) h = closer;
    }
    return h->items[pick(h->sums, h->n, unit(d))];
}

/* An item that is out, that the user has not had and that, mostly, is of her scene; when none turns
 * up, any that was drawn. */
static uint32_t choose_item(const synth *s, const user *who, uint32_t mark, dice *d, uint32_t now)
{
    uint32_t i = 0;
    for (int tries = 0; tries < TRIES; tries++) {
        i = draw_item(s, who, d, now);
        const item *it = &s->items[i];
        if (it->release > now || s->had[i] == mark) continue;
        if (it->scene == who->scene || chance(d, 0.25)) break;
    }
    return i;
}

static void write_event(const synth *s, FILE *f, uint32_t u, uint32_t i, uint32_t now,
                        const char *kind)
{
    fprintf(f, "user-%" PRIu32 "\t%s-%" PRIu32 "\t%" PRIu64 "\t1\t%s\n", u + 1,
            synth_types[s->items[i].type], i + 1, (uint64_t)SYNTH_START + now, kind);
    s->counts->type_events[s->items[i].type]++;
}

static void write_user_events(const synth *s, FILE *f, uint32_t u)
{
    user who;
    make_user(s, u, &who);
    dice d = dice_for(s->o.seed, DRAW_EVENTS, u);
    uint64_t n = s->quota[u];
    s->counts->active_users += n > 0;
    for (uint64_t e = 0; e < n; e++) {
        double at = ((double)e + unit(&d)) / (double)n;
        uint32_t now = who.from + (uint32_t)(at * (who.to - who.from));
        uint32_t i = choose_item(s, &who, u + 1, &d, now);
        s->had[i] = u + 1;
        write_event(s, f, u, i, now, "stream");
        s->counts->streams++;
        if (e + 1 < n && chance(&d, 0.05)) {
            write_event(s, f, u, i, now, "follow");
            s->counts->follows++;
            e++;
        }
    }
}

/* --- files --- */

typedef void synth_writer(const synth *s, uint32_t row, FILE *f);

static void write_user(const synth *s, uint32_t u, FILE *f)
{
    user who;
    make_user(s, u, &who);
    fprintf(f, "user-%" PRIu32 "\tcountry=%s\tage_band=%s\n", u + 1, synth_countries[who.country],
            synth_age_bands[who.age_band]);
}

static void write_row_events(const synth *s, uint32_t u, FILE *f)
{
    write_user_events(s, f, u);
}

/* Written aside, <name>.partial, until all are there. */
static char *partial_path(const char *dir, const char *name)
{
    return xprintf("%s/%s.partial", dir, name);
}

static err_code write_file(const synth *s, const char *dir, const char *name, const char *header,
                           uint32_t rows, synth_writer *write_row)
{
    char *path = partial_path(dir, name);
    FILE *f = fopen(path, "wb");
    bool ok = f != NULL;
    if (ok) {
        fputs(header, f);
        for (uint32_t i = 0; i < rows && !ferror(f); i++) write_row(s, i, f);
        ok = !ferror(f);
        if (fclose(f) != 0) ok = false;
    }
    if (!ok) log_user_error("%s: %s", path, strerror(errno));
    free(path);
    return ok ? ERR_OK : ERR_IO;
}

static bool same_content(FILE *f, FILE *g)
{
    enum { PIECE = 4096 };
    char x[PIECE], y[PIECE];
    for (;;) {
        size_t n = fread(x, 1, PIECE, f), m = fread(y, 1, PIECE, g);
        if (n != m || memcmp(x, y, n) != 0 || ferror(f) || ferror(g)) return false;
        if (n < PIECE) return true;
    }
}

/* A file of somebody else is not replaced; the same one again does no harm. */
static err_code check_place(const char *dir, const char *name)
{
    char *path = files_join(dir, name), *partial = partial_path(dir, name);
    FILE *f = fopen(path, "rb"), *g = f ? fopen(partial, "rb") : NULL;
    err_code rc = !files_exist(path) || (f && g && same_content(f, g)) ? ERR_OK : ERR_INVALID;
    if (rc != ERR_OK)
        log_user_error("%s: is there already, with other content: give another --out", path);
    if (f) fclose(f);
    if (g) fclose(g);
    free(partial);
    free(path);
    return rc;
}

static err_code put_in_place(const char *dir, const char *name)
{
    char *path = files_join(dir, name), *partial = partial_path(dir, name);
    err_code rc = files_rename(partial, path);
    free(partial);
    free(path);
    return rc;
}

static void remove_partial(const char *dir, const char *name)
{
    char *partial = partial_path(dir, name);
    unlink(partial);
    free(partial);
}

static err_code write_files(const synth *s, const char *dir)
{
    static const char *const names[] = {"items.tsv", "users.tsv", "interactions.tsv"};
    enum { FILES = sizeof names / sizeof *names };
    err_code rc = files_make_dirs(dir);
    if (rc != ERR_OK) return rc;
    rc = write_file(s, dir, names[0], "item_id\titem_type\ttext\n", s->o.items, write_item);
    if (rc == ERR_OK) {
        rc = write_file(s, dir, names[1], "user_id\tattributes\n", s->o.users, write_user);
    }
    if (rc == ERR_OK) {
        rc = write_file(s, dir, names[2], "user_id\titem_id\ttimestamp\tweight\tkind\n", s->o.users,
                        write_row_events);
    }
    for (size_t i = 0; i < FILES && rc == ERR_OK; i++) rc = check_place(dir, names[i]);
    for (size_t i = 0; i < FILES && rc == ERR_OK; i++) rc = put_in_place(dir, names[i]);
    for (size_t i = 0; i < FILES && rc != ERR_OK; i++) remove_partial(dir, names[i]);
    return rc;
}

static err_code check(const synth_options *o)
{
    if (o->types < 1 || o->types > SYNTH_TYPES) {
        log_user_error("--types: %" PRIu32 " is not between 1 and %d", o->types, SYNTH_TYPES);
    } else if (o->items < o->types || o->items > SYNTH_ITEMS_MAX) {
        log_user_error("--items: %" PRIu32 " is not between --types (%" PRIu32 ") and %d", o->items,
                       o->types, SYNTH_ITEMS_MAX);
    } else if (o->users < 1 || o->users > SYNTH_USERS_MAX) {
        log_user_error("--users: %" PRIu32 " is not between 1 and %d", o->users, SYNTH_USERS_MAX);
    } else if (o->interactions < 1) {
        log_user_error("--interactions: there must be at least one");
    } else {
        return ERR_OK;
    }
    return ERR_INVALID;
}

static err_code allocate(synth *s)
{
    size_t shelves = (size_t)s->o.types * SHELVES_PER_TYPE;
    s->items = try_calloc(s->o.items, sizeof *s->items);
    s->had = try_calloc(s->o.items, sizeof *s->had);
    s->quota = try_calloc(s->o.users, sizeof *s->quota);
    s->shelves = xcalloc(shelves, sizeof *s->shelves);
    s->all = xcalloc(s->o.types, sizeof *s->all);
    if (s->items && s->had && s->quota) return ERR_OK;
    log_user_error("no memory for %" PRIu32 " items and %" PRIu32 " users", s->o.items, s->o.users);
    return ERR_NO_MEMORY;
}

static void release(synth *s)
{
    for (size_t i = 0; i < (size_t)s->o.types * SHELVES_PER_TYPE; i++) {
        free(s->shelves[i].items);
        free(s->shelves[i].sums);
    }
    for (uint32_t t = 0; t < s->o.types; t++) {
        free(s->all[t].items);
        free(s->all[t].sums);
    }
    free(s->shelves);
    free(s->all);
    free(s->items);
    free(s->had);
    free(s->quota);
}

err_code synth_write(const synth_options *options, const char *dir, synth_counts *counts)
{
    *counts = (synth_counts){0};
    err_code rc = check(options);
    if (rc != ERR_OK) return rc;
    synth s = {.o = *options, .counts = counts};
    rc = allocate(&s);
    if (rc == ERR_OK) {
        double share = 1;
        for (uint32_t t = 0; t < s.o.types; t++, share *= 0.6) s.type_share[t] = share;
        for (uint32_t i = 0; i < s.o.items; i++) make_item(&s, i);
        for (uint32_t i = 0; i < s.o.items; i++) counts->untouched_items += s.items[i].untouched;
        share_events(&s);
        rc = write_files(&s, dir);
    }
    release(&s);
    return rc;
}
