#include "sampler/embedding_answer.h"

#include "common/mem.h"
#include "common/panic.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A number takes up to 25 bytes, and up to 20 more where a server prints one to a line. */
enum { NUMBER_BYTES = 48, ROW_BYTES = 1024, ANSWER_BYTES = 65536 };
/* Values beside the numbers: of a row, of the answer. */
enum { ROW_VALUES = 16, ANSWER_VALUES = 256, ERROR_VALUES_MAX = 4096 };

size_t embedding_answer_bytes_max(size_t n, uint32_t dim)
{
    size_t width = dim ? dim : EMBEDDING_DIM_MAX;
    return n * (width * NUMBER_BYTES + ROW_BYTES) + ANSWER_BYTES;
}

__attribute__((format(printf, 2, 3))) static err_code invalid(char *why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, EMBEDDING_WHY_MAX, format, args);
    va_end(args);
    return ERR_INVALID;
}

/* More than `max` values: each stands behind one of these characters.  Counted before parsing,
 * which takes some 60 bytes a value. */
static bool has_more_values(const char *body, size_t bytes, size_t max)
{
    bool in_string = false;
    size_t values = 1;
    for (size_t i = 0; i < bytes; i++) {
        char c = body[i];
        if (in_string && c == '\\') {
            i++;
        } else if (c == '"') {
            in_string = !in_string;
        } else if (!in_string && (c == ',' || c == '[' || c == '{' || c == ':')) {
            values++;
        }
    }
    return values > max;
}

static json_t *parse(const char *body, size_t bytes, size_t values_max, char *why)
{
    json_error_t error;
    if (has_more_values(body, bytes, values_max)) {
        (void)invalid(why, "the answer holds more than %zu values", values_max);
        return NULL;
    }
    json_t *root = json_loadb(body, bytes, 0, &error);
    if (!root) {
        bool nan = memmem(body, bytes, "NaN", 3) || memmem(body, bytes, "Infinity", 8);
        (void)invalid(why, "the answer is not JSON%s", nan ? " (it holds NaN or Infinity)" : "");
    }
    return root;
}

/* ---- Numbers ---- */

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Of `n` characters without padding: out [n * 6 / 8].  False: not base64. */
static bool base64_decode(const char *text, size_t n, uint8_t *out)
{
    uint32_t bits = 0, held = 0;
    for (size_t i = 0; i < n; i++) {
        int digit = base64_digit(text[i]);
        if (digit < 0) return false;
        bits = (bits << 6 | (uint32_t)digit) & 0xffff;
        held += 6;
        if (held < 8) continue;
        held -= 8;
        *out++ = (uint8_t)(bits >> held);
    }
    return true;
}

/* *n numbers into row [width], nothing where they are more. */
static err_code decode_base64(const json_t *text, float *row, size_t width, size_t *n, char *why)
{
    const char *digits = json_string_value(text);
    size_t length = json_string_length(text);
    while (length > 0 && digits[length - 1] == '=') length--;
    size_t bytes = length * 6 / 8;
    *n = bytes / sizeof *row;
    if (*n > width) return ERR_OK;
    if (bytes % sizeof *row == 0 && base64_decode(digits, length, (uint8_t *)row)) return ERR_OK;
    return invalid(why, "an embedding is not base64 of floats");
}

/* The same. */
static err_code decode_list(const json_t *list, float *row, size_t width, size_t *n, char *why)
{
    *n = json_array_size(list);
    for (size_t k = 0; k < *n && k < width; k++) {
        const json_t *v = json_array_get(list, k);
        if (!json_is_number(v)) {
            return invalid(why, "number %zu of an embedding is %s", k,
                           json_is_null(v) ? "null" : "no number");
        }
        row[k] = (float)json_number_value(v);
    }
    return ERR_OK;
}

static err_code decode_row(const json_t *embedding, uint32_t *dim, float *row, char *why)
{
    size_t width = *dim ? *dim : EMBEDDING_DIM_MAX, n = 0;
    err_code rc = ERR_OK;
    if (json_is_string(embedding)) {
        rc = decode_base64(embedding, row, width, &n, why);
    } else if (json_is_array(embedding)) {
        rc = decode_list(embedding, row, width, &n, why);
    } else {
        return invalid(why, "an element of \"data\" has no \"embedding\"");
    }
    if (rc != ERR_OK) return rc;
    if (n == 0 || n > EMBEDDING_DIM_MAX) return invalid(why, "an embedding of %zu numbers", n);
    if (*dim && n != *dim) {
        (void)invalid(why, "an embedding of %zu numbers where others have %u", n, *dim);
        return ERR_MISMATCH;
    }
    for (size_t k = 0; k < n; k++) {
        if (!isfinite(row[k])) return invalid(why, "number %zu of an embedding is not finite", k);
    }
    *dim = (uint32_t)n;
    return ERR_OK;
}

/* ---- The answer ---- */

static err_code decode_data(const json_t *data, size_t n, uint32_t *dim, float *out, char *why)
{
    bool seen[EMBEDDING_TEXTS_MAX] = {false};
    if (!json_is_array(data)) return invalid(why, "the answer has no list \"data\"");
    if (json_array_size(data) != n) {
        return invalid(why, "%zu embeddings for %zu texts", json_array_size(data), n);
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *row = json_array_get(data, i), *index = json_object_get(row, "index");
        json_int_t at = json_integer_value(index);
        if (!json_is_integer(index) || at < 0 || (size_t)at >= n) {
            return invalid(why, "an element of \"data\" has no \"index\" from 0 to %zu", n - 1);
        }
        if (seen[at]) return invalid(why, "index %zu stands there twice", (size_t)at);
        seen[at] = true;
        float *to = out + (size_t)at * *dim; /* *dim 0: the only row */
        err_code rc = decode_row(json_object_get(row, "embedding"), dim, to, why);
        if (rc != ERR_OK) return rc;
    }
    return ERR_OK;
}

err_code embedding_answer_decode(const char *body, size_t bytes, size_t n, uint32_t *dim,
                                 float *out, char *why)
{
    ASSERT(n >= 1 && n <= EMBEDDING_TEXTS_MAX && (*dim || n == 1));
    size_t width = *dim ? *dim : EMBEDDING_DIM_MAX;
    json_t *root = parse(body, bytes, n * (width + ROW_VALUES) + ANSWER_VALUES, why);
    if (!root) return ERR_INVALID;
    err_code rc = decode_data(json_object_get(root, "data"), n, dim, out, why);
    json_decref(root);
    return rc;
}

/* ---- Errors ---- */

/* Without control characters and double quotes, which end a value in a log; cut between characters.
 */
static void copy_printable(char *why, const char *text, size_t n)
{
    size_t len = n < EMBEDDING_WHY_MAX - 1 ? n : EMBEDDING_WHY_MAX - 1;
    while (len < n && len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80) len--;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        why[i] = c < ' ' || c == 0x7f ? ' ' : c == '"' ? '\'' : text[i];
    }
    while (len > 0 && why[len - 1] == ' ') len--;
    why[len] = 0;
}

/* OpenAI, llama.cpp, vLLM, Ollama: error.message; TEI, older vLLM: message; TEI's own routes:
 * error; FastAPI: detail, a text or a list of {"msg"}. */
static const json_t *find_message(const json_t *root)
{
    const json_t *error = json_object_get(root, "error"), *detail = json_object_get(root, "detail");
    const json_t *places[] = {json_object_get(error, "message"), error,
                              json_object_get(root, "message"), detail,
                              json_object_get(json_array_get(detail, 0), "msg")};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (json_is_string(places[i])) return places[i];
    }
    return NULL;
}

void embedding_answer_error(const char *body, size_t bytes, char *why)
{
    char ignored[EMBEDDING_WHY_MAX];
    json_t *root = parse(body, bytes, ERROR_VALUES_MAX, ignored);
    const json_t *message = find_message(root);
    if (message) {
        copy_printable(why, json_string_value(message), json_string_length(message));
    } else {
        copy_printable(why, body, bytes);
    }
    json_decref(root);
}
