#include "common/config_events.h"

#include "common/panic.h"

#include <stdio.h>
#include <string.h>

enum { DEPTH_MAX = 16, PART_MAX = 64, PATH_MAX_BYTES = 256 };

/* Where in the document the events are: the key that each mapping around is at. */
typedef struct event_path {
    const char *prefix;
    size_t depth; /* collections that are open */
    struct {
        bool mapping, at_value; /* at_value: `key` was read and its value comes next */
        char key[PART_MAX];
    } level[DEPTH_MAX + 1];
} event_path;

void config_events_error(config_reader *r, const yaml_parser_t *p)
{
    yaml_node_t at = {.start_mark = p->problem_mark};
    if (p->error == YAML_READER_ERROR) { /* not text: there is an offset and no mark */
        config_value_error(r, NULL, "%s at byte %zu", p->problem, p->problem_offset);
    } else {
        const char *problem = p->problem ? p->problem : "not YAML";
        config_value_error(r, &at, "%s%s%s", problem, p->context ? ", " : "",
                           p->context ? p->context : "");
    }
}

/* "hgnn.optimizer.lr: ", or "" outside of any key. */
static void path_text(const event_path *p, char text[PATH_MAX_BYTES])
{
    size_t n = (size_t)snprintf(text, PATH_MAX_BYTES, "%s", p->prefix);
    for (size_t i = 0; i < p->depth && n < PATH_MAX_BYTES; i++) {
        if (!p->level[i].mapping || !p->level[i].at_value) continue;
        n += (size_t)snprintf(text + n, PATH_MAX_BYTES - n, "%s%s", n ? "." : "", p->level[i].key);
    }
    if (n > 0 && n < PATH_MAX_BYTES) snprintf(text + n, PATH_MAX_BYTES - n, ": ");
}

/* A value, or a key, ends. */
static void path_next(event_path *p, const char *scalar)
{
    if (p->depth == 0 || !p->level[p->depth - 1].mapping) return;
    bool was_key = !p->level[p->depth - 1].at_value;
    p->level[p->depth - 1].at_value = was_key;
    if (was_key) snprintf(p->level[p->depth - 1].key, PART_MAX, "%s", scalar ? scalar : "?");
}

/* False: it is nested too deep. */
static bool path_event(event_path *p, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT: path_next(p, (const char *)e->data.scalar.value); return true;
    case YAML_ALIAS_EVENT: path_next(p, NULL); return true;
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        if (p->depth == DEPTH_MAX) return false;
        memset(&p->level[p->depth], 0, sizeof p->level[p->depth]);
        p->level[p->depth++].mapping = e->type == YAML_MAPPING_START_EVENT;
        return true;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        ASSERT(p->depth > 0);
        p->depth--;
        path_next(p, NULL);
        return true;
    default: return true;
    }
}

/* What stands before a value, if anything: &anchor and !tag. */
static void properties(const yaml_event_t *e, const yaml_char_t **anchor, const yaml_char_t **tag)
{
    *anchor = *tag = NULL;
    if (e->type == YAML_SCALAR_EVENT) {
        *anchor = e->data.scalar.anchor;
        *tag = e->data.scalar.tag;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        *anchor = e->data.sequence_start.anchor;
        *tag = e->data.sequence_start.tag;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        *anchor = e->data.mapping_start.anchor;
        *tag = e->data.mapping_start.tag;
    }
}

static void check_event(config_reader *r, const event_path *p, const yaml_event_t *e)
{
    yaml_node_t at = {.start_mark = e->start_mark};
    char key[PATH_MAX_BYTES] = "";
    const yaml_char_t *anchor, *tag;
    properties(e, &anchor, &tag);
    if (e->type != YAML_ALIAS_EVENT && !anchor && !tag) return;
    path_text(p, key);
    if (e->type == YAML_ALIAS_EVENT) {
        config_value_error(r, &at, "%saliases (*%s) are not supported: write the value out", key,
                           (const char *)e->data.alias.anchor);
    }
    if (anchor) {
        config_value_error(r, &at, "%sanchors (&%s) are not supported: write each value out", key,
                           (const char *)anchor);
    }
    if (tag) {
        config_value_error(r, &at, "%stags (%s) are not supported", key, (const char *)tag);
    }
}

bool config_events_check(config_reader *r, const char *prefix, const char *text)
{
    yaml_parser_t parser;
    event_path path = {.prefix = prefix};
    ASSERT(yaml_parser_initialize(&parser));
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    bool end = false, loads = true;
    for (size_t documents = 0; !end && loads;) {
        yaml_event_t e;
        if (!yaml_parser_parse(&parser, &e)) {
            config_events_error(r, &parser);
            loads = false;
            break;
        }
        yaml_node_t at = {.start_mark = e.start_mark};
        if (e.type == YAML_DOCUMENT_START_EVENT && ++documents == 2) {
            config_value_error(r, &at, "a second document; one is expected");
        }
        check_event(r, &path, &e);
        loads = path_event(&path, &e);
        if (!loads) { /* libyaml's time grows with the square of it */
            config_value_error(r, &at, "nested deeper than %d", DEPTH_MAX);
        }
        end = e.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&parser);
    return loads;
}
