#include "common/config_value.h"

#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_MAX = 4096 };

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit;

static const unit duration_units[] = {
    {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};
static const unit size_units[] = {{"TiB", 1ull << 40},
                                  {"GiB", 1ull << 30},
                                  {"MiB", 1ull << 20},
                                  {"KiB", 1ull << 10},
                                  {"B", 1},
                                  {NULL, 0}};

static const char *const role_names[] = {"graph", "history", "positive", "seen", NULL};

void config_value_error(config_reader *r, const yaml_node_t *node, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->errors++;
    size_t key = r->set ? strcspn(r->set, "=") : 0;
    bool named = r->set && strncmp(text, r->set, key) == 0 && strchr(".:", text[key]);
    if (named) {
        log_user_error("--set %s", text);
    } else if (r->set) {
        log_user_error("--set %.*s: %s", (int)key, r->set, text);
    } else if (node) {
        log_user_error("%s:%zu:%zu: %s", r->name, node->start_mark.line + 1,
                       node->start_mark.column + 1, text);
    } else {
        log_user_error("%s: %s", r->name, text);
    }
}

static const yaml_node_t *node_at(const config_reader *r, int index)
{
    return yaml_document_get_node(r->document, index);
}

static size_t sequence_n(const yaml_node_t *node)
{
    return (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
}

static const yaml_node_t *sequence_at(const config_reader *r, const yaml_node_t *node, size_t i)
{
    return node_at(r, node->data.sequence.items.start[i]);
}

static const char *kind_of(const yaml_node_t *node)
{
    static const char *const names[] = {"nothing", "a scalar", "a list", "a mapping"};
    return names[node->type];
}

/* UTF-8 that comes back from YAML as it was: no control characters but tab and line feed, no byte
 * order mark, no Unicode line ends. */
static bool is_printable(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if ((c < 0x20 && c != '\t' && c != '\n') || c == 0x7f) return false;
        if (c == 0xc2 && i + 1 < n && (unsigned char)s[i + 1] < 0xa0) return false;
        if (i + 2 >= n) continue;
        if (memcmp(s + i, "\xe2\x80\xa8", 3) == 0 || memcmp(s + i, "\xe2\x80\xa9", 3) == 0 ||
            memcmp(s + i, "\xef\xbb\xbf", 3) == 0 || memcmp(s + i, "\xef\xbf\xbe", 3) == 0 ||
            memcmp(s + i, "\xef\xbf\xbf", 3) == 0) {
            return false;
        }
    }
    return true;
}

static bool is_plain(const yaml_node_t *node)
{
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* The text of a scalar, borrowed from the document; NULL (and an error) for anything else. */
static const char *read_scalar(config_reader *r, const char *what, const yaml_node_t *node,
                               const char *expects)
{
    if (node->type != YAML_SCALAR_NODE) {
        config_value_error(r, node, "%s: expects %s, not %s", what, expects, kind_of(node));
        return NULL;
    }
    const char *text = (const char *)node->data.scalar.value;
    if (!is_printable(text, node->data.scalar.length)) {
        config_value_error(r, node, "%s: a control character in the text", what);
        return NULL;
    }
    bool null =
        is_plain(node) && (!*text || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0);
    if (null) {
        config_value_error(r, node, "%s: expects %s, not nothing (write \"\" for an empty text)",
                           what, expects);
        return NULL;
    }
    return text;
}

/* A scalar without quotes: what numbers and true / false must be. */
static const char *read_plain(config_reader *r, const config_key *key, const yaml_node_t *node,
                              const char *expects)
{
    const char *text = read_scalar(r, key->name, node, expects);
    if (text && !is_plain(node)) {
        config_value_error(r, node, "%s: expects %s, not a text in quotes", key->name, expects);
        return NULL;
    }
    return text;
}

static void set_text(char **field, char *owned)
{
    free(*field);
    *field = owned;
}

static bool check_address(config_reader *r, const config_key *key, const yaml_node_t *node,
                          const char *text)
{
    const char *problem = address_problem(key->form, text);
    if (!problem) return true;
    if (key->form == ADDRESS_URL) { /* perhaps with a secret in it */
        config_value_error(r, node, "%s: %s", key->name, problem);
    } else {
        config_value_error(r, node, "%s: expects %s, not `%s`: %s", key->name,
                           address_form_name(key->form), text, problem);
    }
    return false;
}

static void read_text(config_reader *r, const config_key *key, const yaml_node_t *node)
{
    const char *text = read_scalar(r, key->name, node, "a text");
    if (!text) return;
    if (key->later && *text) {
        config_value_error(r, node, "%s: is not supported yet; leave it empty", key->name);
        return;
    }
    bool path = key->type == KEY_PATH && *text;
    if (*text && !check_address(r, key, node, text)) return;
    if (path && strstr(text, "://")) {
        config_value_error(r, node, "%s: expects a path, not a URL", key->name);
        return;
    }
    char *joined = path ? files_join(r->base_dir, text) : xstrdup(text);
    set_text(config_key_field(key, r->c), path ? files_absolute(joined) : xstrdup(joined));
    free(joined);
}

static void read_bool(config_reader *r, const config_key *key, const yaml_node_t *node)
{
    const char *text = read_plain(r, key, node, "true or false");
    if (!text) return;
    bool is_true = strcmp(text, "true") == 0;
    if (!is_true && strcmp(text, "false") != 0) {
        config_value_error(r, node, "%s: expects true or false, not `%s`", key->name, text);
        return;
    }
    *(bool *)config_key_field(key, r->c) = is_true;
}

static void list_names(const char *const *names, char *text, size_t cap)
{
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; names[i] && n < cap; i++) {
        int wrote =
            snprintf(text + n, cap - n, "%s%s", i ? " | " : "", *names[i] ? names[i] : "\"\"");
        n += wrote > 0 ? (size_t)wrote : 0;
    }
}

/* The index of the scalar among the key's names, or -1 (and an error). */
static int read_name_of(config_reader *r, const config_key *key, const yaml_node_t *node)
{
    char names[256];
    list_names(key->names, names, sizeof names);
    const char *text = read_scalar(r, key->name, node, names);
    if (!text) return -1;
    int index = config_key_name_index(key->names, text);
    if (index < 0) {
        config_value_error(r, node, "%s: expects %s, not `%s`", key->name, names, text);
    }
    return index;
}

static void read_enum(config_reader *r, const config_key *key, const yaml_node_t *node)
{
    int index = read_name_of(r, key, node);
    if (index < 0) return;
    if (key->later >> index & 1) {
        config_value_error(r, node, "%s: %s is not supported yet", key->name, key->names[index]);
    } else if (key->type == KEY_CHOICE) {
        *(bool *)config_key_field(key, r->c) = index == 1;
    } else {
        *(unsigned *)config_key_field(key, r->c) = (unsigned)index;
    }
}

/* Decimal digits without sign or leading zero, at most max; *end is what follows. */
static bool parse_digits(const char *text, uint64_t max, uint64_t *out, const char **end)
{
    uint64_t v = 0;
    const char *s = text;
    for (; *s >= '0' && *s <= '9'; s++) {
        uint64_t digit = (uint64_t)(*s - '0');
        if (v > (max - digit) / 10) return false;
        v = v * 10 + digit;
    }
    *out = v;
    *end = s;
    return s != text && (text[0] != '0' || s == text + 1);
}

static void describe_range(const config_key *key, char *text, size_t cap)
{
    if (key->type == KEY_F32 || key->type == KEY_F64) {
        snprintf(text, cap, "a number %s %.10g and %s %.10g",
                 key->bounds & KEY_ABOVE_MIN ? "above" : "of at least", key->min,
                 key->bounds & KEY_BELOW_MAX ? "below" : "at most", key->max);
    } else {
        snprintf(text, cap, "an integer from %.0f to %.0f", key->min, key->max);
    }
}

/* An integer within the key's bounds. */
static bool read_integer(config_reader *r, const config_key *key, const yaml_node_t *node,
                         uint64_t *out)
{
    char range[128];
    const char *end;
    describe_range(key, range, sizeof range);
    const char *text = read_plain(r, key, node, range);
    if (!text) return false;
    uint64_t max = key->max >= 9223372036854775807.0 ? INT64_MAX : (uint64_t)key->max;
    if (!parse_digits(text, max, out, &end) || *end || *out < (uint64_t)key->min) {
        config_value_error(r, node, "%s: expects %s, not `%s`", key->name, range, text);
        return false;
    }
    if (key->later && *out != strtoull(key->fallback, NULL, 10)) {
        config_value_error(r, node, "%s: %s is not supported yet, only %s", key->name, text,
                           key->fallback);
        return false;
    }
    return true;
}

static void read_u32(config_reader *r, const config_key *key, const yaml_node_t *node)
{
    uint64_t v;
    if (read_integer(r, key, node, &v)) *(uint32_t *)config_key_field(key, r->c) = (uint32_t)v;
}

static void read_u64(config_reader *r, const config_key *key, const yaml_node_t *node)
{
    uint64_t v;
    if (read_integer(r, key, node, &v)) *(uint64_t *)config_key_field(key, r->c) = v;
}

static const char *skip_digits(const char *s)
{
    return s + strspn(s, "0123456789");
}

/* [-+]digits[.digits][e[-+]digits], nothing after it: no hex, no nan, no inf. */
static bool is_number(const char *s)
{
    s += *s == '-' || *s == '+';
    const char *digits = s;
    s = skip_digits(s);
    if (s == digits) return false;
    if (*s == '.') s = skip_digits(s + 1);
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '-' || *s == '+';
        if (skip_digits(s) == s) return false;
        s = skip_digits(s);
    }
    return !*s;
}

static double parse_double(const char *text)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    ASSERT(c != (locale_t)0);
    double v = strtod_l(text, NULL, c);
    freelocale(c);
    return v;
}

static bool in_bounds(const config_key *key, double v)
{
    bool above = key->bounds & KEY_ABOVE_MIN ? v > key->min : v >= key->min;
    bool below = key->bounds & KEY_BELOW_MAX ? v < key->max : v <= key->max;
    return isfinite(v) && above && below;
}

static void read_double(config_reader *r, const config_key *key, const yaml_node_t *node)
{
    char range[128];
    describe_range(key, range, sizeof range);
    const char *text = read_plain(r, key, node, range);
    if (!text) return;
    double v = is_number(text) ? parse_double(text) : (double)NAN;
    if (key->type == KEY_F32) v = (double)(float)v; /* the bounds hold for what is stored */
    if (!in_bounds(key, v)) {
        config_value_error(r, node, "%s: expects %s, not `%s`", key->name, range, text);
    } else if (key->type == KEY_F32) {
        *(float *)config_key_field(key, r->c) = (float)v;
    } else {
        *(double *)config_key_field(key, r->c) = v;
    }
}

static bool parse_with_unit(const char *text, const unit *units, double min, double max,
                            uint64_t *out)
{
    uint64_t n;
    const char *end;
    if (!parse_digits(text, INT64_MAX, &n, &end)) return false;
    if (n == 0 && !*end) {
        *out = 0;
        return min <= 0;
    }
    for (const unit *u = units; u->name; u++) {
        if (strcmp(end, u->name) != 0) continue;
        *out = n * u->factor;
        return n <= (uint64_t)max / u->factor && *out >= (uint64_t)min;
    }
    return false;
}

static void read_with_unit(config_reader *r, const config_key *key, const yaml_node_t *node)
{
    bool duration = key->type == KEY_DURATION;
    const char *expects = duration ? "a duration such as 500ms, 30s, 10m or 2h"
                                   : "a size such as 512KiB, 64MiB or 1GiB";
    const char *text = read_plain(r, key, node, expects);
    uint64_t v;
    if (!text) return;
    const unit *units = duration ? duration_units : size_units;
    uint64_t only = 0;
    bool later = key->later && parse_with_unit(key->fallback, units, key->min, key->max, &only);
    if (!parse_with_unit(text, units, key->min, key->max, &v)) {
        config_value_error(r, node, "%s: expects %s (at least %.0f%s), not `%s`", key->name,
                           expects, key->min, duration ? "ms" : "B", text);
    } else if (later && v != only) {
        config_value_error(r, node, "%s: %s is not supported yet, only %s", key->name, text,
                           key->fallback);
    } else if (duration) {
        *(uint32_t *)config_key_field(key, r->c) = (uint32_t)v;
    } else {
        *(uint64_t *)config_key_field(key, r->c) = v;
    }
}

static bool expect_list(config_reader *r, const char *what, const yaml_node_t *node,
                        const char *expects)
{
    if (node->type != YAML_SEQUENCE_NODE) {
        config_value_error(r, node, "%s: expects %s", what, expects);
        return false;
    }
    if (sequence_n(node) > LIST_MAX) {
        config_value_error(r, node, "%s: more than %d values", what, LIST_MAX);
        return false;
    }
    return true;
}

static void read_dims(config_reader *r, const config_key *key, const yaml_node_t *node)
{
    if (!expect_list(r, key->name, node, "a list of integers such as [128, 128]")) return;
    size_t n = sequence_n(node), errors = r->errors;
    uint32_t values[CONFIG_LAYERS_MAX] = {0};
    if (n < 1 || n > CONFIG_LAYERS_MAX) {
        config_value_error(r, node, "%s: expects 1 to %d values, not %zu", key->name,
                           CONFIG_LAYERS_MAX, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t v;
        if (read_integer(r, key, sequence_at(r, node, i), &v)) values[i] = (uint32_t)v;
    }
    if (r->errors != errors) return;
    memcpy(config_key_field(key, r->c), values, sizeof values);
    *(size_t *)(void *)((char *)r->c + key->at_n) = n;
}

static void free_list(string_list *list)
{
    for (size_t i = 0; i < list->n; i++) free(list->items[i]);
    free(list->items);
    *list = (string_list){0};
}

static bool list_has(const string_list *list, const char *text)
{
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->items[i], text) == 0) return true;
    }
    return false;
}

static const char *read_name(config_reader *r, const char *what, const yaml_node_t *node)
{
    const char *text = read_scalar(r, what, node, "a name");
    if (text && !config_key_is_name(text)) {
        config_value_error(r, node, "%s: `%s` is not a name: 1 to 64 of A-Z a-z 0-9 _ -", what,
                           text);
        return NULL;
    }
    return text;
}

/* Distinct texts; `names`: each must be a name.  *out is owned; false after an error. */
static bool read_list(config_reader *r, const char *what, const yaml_node_t *node, bool names,
                      string_list *out)
{
    size_t errors = r->errors, n = sequence_n(node);
    *out = (string_list){.items = xcalloc(n ? n : 1, sizeof(char *))};
    for (size_t i = 0; i < n; i++) {
        const yaml_node_t *item = sequence_at(r, node, i);
        const char *text = names ? read_name(r, what, item) : read_scalar(r, what, item, "a text");
        if (!text) continue;
        if (list_has(out, text)) {
            config_value_error(r, item, "%s: `%s` stands there twice", what, text);
            continue;
        }
        out->items[out->n++] = xstrdup(text);
    }
    if (r->errors == errors) return true;
    free_list(out);
    return false;
}

static bool is_all(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE &&
           strcmp((const char *)node->data.scalar.value, "all") == 0;
}

static void read_names(config_reader *r, const config_key *key, const yaml_node_t *node)
{
    string_list list = {0};
    bool all_allowed = key->type == KEY_TYPES;
    if (!(all_allowed && is_all(node))) {
        const char *expects = all_allowed ? "`all` or a list of names" : "a list of names";
        if (!expect_list(r, key->name, node, expects)) return;
        if (all_allowed && sequence_n(node) == 0) {
            config_value_error(r, node, "%s: expects `all` or at least one name", key->name);
            return;
        }
        if (!read_list(r, key->name, node, true, &list)) return;
    }
    config_value_clear(key, r->c);
    *(string_list *)config_key_field(key, r->c) = list;
}

static void read_mask(config_reader *r, const config_key *key, const yaml_node_t *node)
{
    char names[256], expects[300];
    list_names(key->names, names, sizeof names);
    snprintf(expects, sizeof expects, "a list of %s", names);
    if (!expect_list(r, key->name, node, expects)) return;
    uint32_t mask = 0;
    size_t errors = r->errors;
    for (size_t i = 0; i < sequence_n(node); i++) {
        const yaml_node_t *item = sequence_at(r, node, i);
        int index = read_name_of(r, key, item);
        if (index >= 0 && mask >> index & 1) {
            config_value_error(r, item, "%s: `%s` stands there twice", key->name,
                               key->names[index]);
        }
        if (index >= 0) mask |= 1u << index;
    }
    if (r->errors == errors) *(uint32_t *)config_key_field(key, r->c) = mask;
}

/* {constant: text} */
static bool read_constant(config_reader *r, const config_key *key, const yaml_node_t *node,
                          config_column *out)
{
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    const yaml_node_t *name = pair < node->data.mapping.pairs.top ? node_at(r, pair->key) : NULL;
    if (!name || pair + 1 != node->data.mapping.pairs.top || name->type != YAML_SCALAR_NODE ||
        strcmp((const char *)name->data.scalar.value, "constant") != 0) {
        config_value_error(r, node, "%s: the only mapping allowed here is {constant: text}",
                           key->name);
        return false;
    }
    const char *text = read_scalar(r, key->name, node_at(r, pair->value), "a text");
    if (text) out->constant = xstrdup(text);
    return text != NULL;
}

static bool read_headers(config_reader *r, const config_key *key, const yaml_node_t *node,
                         config_column *out)
{
    if (node->type == YAML_SEQUENCE_NODE) {
        if (sequence_n(node) == 0 || sequence_n(node) > LIST_MAX) {
            config_value_error(r, node, "%s: expects at least one header name", key->name);
            return false;
        }
        return read_list(r, key->name, node, false, &out->names);
    }
    const char *text =
        read_scalar(r, key->name, node, "a header name, a list of them or {constant: text}");
    if (!text) return false;
    if (*text) { /* "": not mapped */
        out->names.items = xcalloc(1, sizeof(char *));
        out->names.items[out->names.n++] = xstrdup(text);
    }
    return true;
}

static void read_column(config_reader *r, const config_key *key, const yaml_node_t *node)
{
    config_column column = {0};
    bool ok = node->type == YAML_MAPPING_NODE ? read_constant(r, key, node, &column)
                                              : read_headers(r, key, node, &column);
    if (!ok) return;
    config_value_clear(key, r->c);
    *(config_column *)config_key_field(key, r->c) = column;
}

static void read_roles(config_reader *r, const char *kind_name, const yaml_node_t *node,
                       uint32_t *roles)
{
    char what[112];
    snprintf(what, sizeof what, "%s.roles", kind_name);
    const char *expects = "a list of graph, history, positive, seen";
    if (!expect_list(r, what, node, expects)) return;
    *roles = 0;
    for (size_t i = 0; i < sequence_n(node); i++) {
        const yaml_node_t *item = sequence_at(r, node, i);
        const char *text = read_scalar(r, what, item, "a role");
        int index = text ? config_key_name_index(role_names, text) : -1;
        if (text && index < 0) {
            config_value_error(r, item, "%s: expects %s, not `%s`", what, expects, text);
        } else if (index >= 0) {
            *roles |= 1u << index;
        }
    }
}

static void read_min_weight(config_reader *r, const char *kind_name, const yaml_node_t *node,
                            config_kind *kind)
{
    char what[112];
    snprintf(what, sizeof what, "%s.min_weight", kind_name);
    const char *text = read_scalar(r, what, node, "a number");
    if (!text) return;
    double v = is_plain(node) && is_number(text) ? parse_double(text) : (double)NAN;
    if (!isfinite(v)) {
        config_value_error(r, node, "%s: expects a number, not `%s`", what, text);
        return;
    }
    kind->has_min_weight = true;
    kind->min_weight = v == 0 ? 0 : v;
}

/* One `name: {roles: [...], min_weight: 1}`. */
static void read_kind(config_reader *r, const yaml_node_t *node, config_kind *kind)
{
    char what[96];
    bool seen[2] = {false, false};
    snprintf(what, sizeof what, "data.kinds.%s", kind->name);
    kind->roles = ROLE_ALL;
    if (node->type != YAML_MAPPING_NODE) {
        config_value_error(r, node, "%s: expects {roles: [...], min_weight: 1}", what);
        return;
    }
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    for (; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *name = node_at(r, pair->key), *value = node_at(r, pair->value);
        const char *text = read_scalar(r, what, name, "roles or min_weight");
        if (!text) continue;
        int which = strcmp(text, "roles") == 0 ? 0 : strcmp(text, "min_weight") == 0 ? 1 : -1;
        if (which < 0) {
            config_value_error(r, name, "%s: unknown key `%s`; roles or min_weight", what, text);
        } else if (seen[which]) {
            config_value_error(r, name, "%s: `%s` stands there twice", what, text);
        } else if (which == 0) {
            read_roles(r, what, value, &kind->roles);
        } else {
            read_min_weight(r, what, value, kind);
        }
        if (which >= 0) seen[which] = true;
    }
}

static int compare_kinds(const void *a, const void *b)
{
    return strcmp(((const config_kind *)a)->name, ((const config_kind *)b)->name);
}

static void free_kinds(config_kind *kinds, size_t n)
{
    for (size_t i = 0; i < n; i++) free(kinds[i].name);
    free(kinds);
}

static void read_kinds(config_reader *r, const config_key *key, const yaml_node_t *node)
{
    if (node->type != YAML_MAPPING_NODE) {
        config_value_error(r, node, "%s: expects a mapping of kinds to {roles: [...]}", key->name);
        return;
    }
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    size_t most = (size_t)(node->data.mapping.pairs.top - pair), n = 0, errors = r->errors;
    if (most > LIST_MAX) {
        config_value_error(r, node, "%s: more than %d kinds", key->name, LIST_MAX);
        return;
    }
    config_kind *kinds = xcalloc(most ? most : 1, sizeof *kinds);
    for (; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *at = node_at(r, pair->key);
        const char *name = read_name(r, key->name, at);
        if (!name) continue;
        for (size_t i = 0; i < n; i++) {
            if (strcmp(kinds[i].name, name) == 0) {
                config_value_error(r, at, "%s: `%s` stands there twice", key->name, name);
            }
        }
        kinds[n].name = xstrdup(name);
        read_kind(r, node_at(r, pair->value), &kinds[n++]);
    }
    if (r->errors != errors) {
        free_kinds(kinds, n);
        return;
    }
    qsort(kinds, n, sizeof *kinds, compare_kinds);
    config_value_clear(key, r->c);
    r->c->data.kinds = kinds;
    r->c->data.kinds_n = n;
}

/* graph.relations, with the anonymous pair type of config.h spelled by position. */
static bool relation_known(const config *c, size_t n, const char *source, const char *destination)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(c->graph.relations[i].source, source) == 0 &&
            strcmp(c->graph.relations[i].destination, destination) == 0) {
            return true;
        }
    }
    return false;
}

static void read_relation(config_reader *r, const config_key *key, const yaml_node_t *node)
{
    config *c = r->c;
    if (node->type != YAML_SEQUENCE_NODE || sequence_n(node) != 2) {
        config_value_error(r, node, "%s: expects [source, destination]", key->name);
        return;
    }
    const char *source = read_name(r, key->name, sequence_at(r, node, 0));
    const char *destination = read_name(r, key->name, sequence_at(r, node, 1));
    if (!source || !destination) return;
    if (relation_known(c, c->graph.relations_n, source, destination)) {
        config_value_error(r, node, "%s: [%s, %s] stands there twice", key->name, source,
                           destination);
        return;
    }
    size_t i = c->graph.relations_n++;
    c->graph.relations[i].source = xstrdup(source);
    c->graph.relations[i].destination = xstrdup(destination);
}

static void read_relations(config_reader *r, const config_key *key, const yaml_node_t *node)
{
    const char *expects = "`all` or a list of [source, destination]";
    bool all = is_all(node);
    if (!all && !expect_list(r, key->name, node, expects)) return;
    if (!all && sequence_n(node) == 0) {
        config_value_error(r, node, "%s: expects %s", key->name, expects);
        return;
    }
    config_value_clear(key, r->c);
    r->c->graph.relations_all = all;
    if (all) return;
    r->c->graph.relations = xcalloc(sequence_n(node), sizeof *r->c->graph.relations);
    for (size_t i = 0; i < sequence_n(node); i++) read_relation(r, key, sequence_at(r, node, i));
}

void config_value_read(config_reader *r, const config_key *key, const yaml_node_t *node)
{
    typedef void read_function(config_reader *, const config_key *, const yaml_node_t *);
    static read_function *const readers[] = {
        [KEY_TEXT] = read_text,      [KEY_PATH] = read_text,
        [KEY_BOOL] = read_bool,      [KEY_CHOICE] = read_enum,
        [KEY_ENUM] = read_enum,      [KEY_U32] = read_u32,
        [KEY_U64] = read_u64,        [KEY_F32] = read_double,
        [KEY_F64] = read_double,     [KEY_DURATION] = read_with_unit,
        [KEY_SIZE] = read_with_unit, [KEY_DIMS] = read_dims,
        [KEY_NAMES] = read_names,    [KEY_TYPES] = read_names,
        [KEY_MASK] = read_mask,      [KEY_COLUMN] = read_column,
        [KEY_KINDS] = read_kinds,    [KEY_RELATIONS] = read_relations,
    };
    readers[key->type](r, key, node);
}

static void clear_relations(config *c)
{
    for (size_t i = 0; i < c->graph.relations_n; i++) {
        free(c->graph.relations[i].source);
        free(c->graph.relations[i].destination);
    }
    free(c->graph.relations);
    c->graph.relations = NULL;
    c->graph.relations_n = 0;
}

static void clear_column(config_column *column)
{
    free_list(&column->names);
    free(column->constant);
    column->constant = NULL;
}

void config_value_clear(const config_key *key, config *c)
{
    switch (key->type) {
    case KEY_TEXT:
    case KEY_PATH: set_text(config_key_field(key, c), NULL); break;
    case KEY_NAMES:
    case KEY_TYPES: free_list(config_key_field(key, c)); break;
    case KEY_COLUMN: clear_column(config_key_field(key, c)); break;
    case KEY_KINDS:
        free_kinds(c->data.kinds, c->data.kinds_n);
        c->data.kinds = NULL;
        c->data.kinds_n = 0;
        break;
    case KEY_RELATIONS: clear_relations(c); break;
    default: break; /* plain values */
    }
}

static void write_name(json_writer *w, const char *name, config_value_form form)
{
    bool quote = form != CONFIG_VALUE_YAML || !*name || strcmp(name, "off") == 0;
    if (quote) {
        json_str(w, name);
    } else {
        json_raw(w, name);
    }
}

static void write_real(json_writer *w, double v, bool is_float, config_value_form form)
{
    if (form == CONFIG_VALUE_CANONICAL) {
        json_number17(w, v);
    } else {
        json_shortest(w, v, is_float);
    }
}

static void write_with_unit(json_writer *w, uint64_t v, const unit *units, config_value_form form)
{
    if (form == CONFIG_VALUE_CANONICAL || v == 0) {
        json_u64(w, v);
        return;
    }
    const unit *u = units;
    while (v % u->factor != 0) u++;
    char text[32];
    snprintf(text, sizeof text, "%llu%s", (unsigned long long)(v / u->factor), u->name);
    write_name(w, text, form);
}

static void write_list(json_writer *w, const string_list *list)
{
    json_array_begin(w);
    for (size_t i = 0; i < list->n; i++) json_str(w, list->items[i]);
    json_array_end(w);
}

static void write_dims(json_writer *w, const uint32_t *values, size_t n)
{
    json_array_begin(w);
    for (size_t i = 0; i < n; i++) json_u64(w, values[i]);
    json_array_end(w);
}

static void write_mask(json_writer *w, const char *const *names, uint32_t mask,
                       config_value_form form)
{
    json_array_begin(w);
    for (size_t i = 0; names[i]; i++) {
        if (mask >> i & 1) write_name(w, names[i], form);
    }
    json_array_end(w);
}

static void write_column(json_writer *w, const config_column *column)
{
    if (column->constant) {
        json_object_begin(w);
        json_field_string(w, "constant", column->constant);
        json_object_end(w);
    } else if (column->names.n > 1) {
        write_list(w, &column->names);
    } else {
        json_str(w, column->names.n ? column->names.items[0] : "");
    }
}

static void write_kinds(json_writer *w, const config *c, config_value_form form)
{
    json_object_begin(w);
    for (size_t i = 0; i < c->data.kinds_n; i++) {
        const config_kind *kind = &c->data.kinds[i];
        json_key(w, kind->name);
        json_object_begin(w);
        if (kind->has_min_weight) {
            json_key(w, "min_weight");
            write_real(w, kind->min_weight, false, form);
        }
        json_key(w, "roles");
        write_mask(w, role_names, kind->roles, form);
        json_object_end(w);
    }
    json_object_end(w);
}

static void write_relations(json_writer *w, const config *c, config_value_form form)
{
    if (c->graph.relations_all) {
        write_name(w, "all", form);
        return;
    }
    json_array_begin(w);
    for (size_t i = 0; i < c->graph.relations_n; i++) {
        json_array_begin(w);
        json_str(w, c->graph.relations[i].source);
        json_str(w, c->graph.relations[i].destination);
        json_array_end(w);
    }
    json_array_end(w);
}

void config_value_write(json_writer *w, const config_key *key, const config *c,
                        config_value_form form)
{
    const void *at = config_key_value(key, c);
    switch (key->type) {
    case KEY_TEXT:
    case KEY_PATH: json_str(w, *(char *const *)at); break;
    case KEY_BOOL: json_bool(w, *(const bool *)at); break;
    case KEY_CHOICE: write_name(w, key->names[*(const bool *)at], form); break;
    case KEY_ENUM: write_name(w, key->names[*(const unsigned *)at], form); break;
    case KEY_U32: json_u64(w, *(const uint32_t *)at); break;
    case KEY_U64: json_u64(w, *(const uint64_t *)at); break;
    case KEY_F32: write_real(w, (double)*(const float *)at, true, form); break;
    case KEY_F64: write_real(w, *(const double *)at, false, form); break;
    case KEY_DURATION: write_with_unit(w, *(const uint32_t *)at, duration_units, form); break;
    case KEY_SIZE: write_with_unit(w, *(const uint64_t *)at, size_units, form); break;
    case KEY_DIMS:
        write_dims(w, at, *(const size_t *)(const void *)((const char *)c + key->at_n));
        break;
    case KEY_NAMES: write_list(w, at); break;
    case KEY_TYPES:
        if (((const string_list *)at)->n == 0) {
            write_name(w, "all", form);
        } else {
            write_list(w, at);
        }
        break;
    case KEY_MASK: write_mask(w, key->names, *(const uint32_t *)at, form); break;
    case KEY_COLUMN: write_column(w, at); break;
    case KEY_KINDS: write_kinds(w, c, form); break;
    case KEY_RELATIONS: write_relations(w, c, form); break;
    }
}
