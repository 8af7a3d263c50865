#include "deploy/status_watch.h"

#include "common/bytes.h"
#include "common/files.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Bytes of the first `columns` characters of a line; UTF-8's later bytes are no characters. */
static size_t fitting(const char *line, size_t bytes, uint32_t columns)
{
    size_t i = 0;
    for (uint32_t n = 0; i < bytes; i++) {
        bool begins = ((unsigned char)line[i] & 0xc0) != 0x80;
        if (begins && n++ == columns) break;
    }
    return i;
}

static void put_plain(bytes_writer *b, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        bytes_put_u8(b, c < 0x20 || c == 0x7f ? '?' : c);
    }
}

char *status_watch_frame(const char *text, uint32_t columns, uint32_t rows)
{
    bytes_writer b;
    bytes_writer_init(&b);
    if (columns) bytes_put(&b, "\033[H", 3);
    for (uint32_t row = 0; *text && (!rows || row + 1 < rows); row++) {
        size_t n = strcspn(text, "\n");
        put_plain(&b, text, columns ? fitting(text, n, columns) : n);
        text += n + (text[n] == '\n');
        if (columns) bytes_put(&b, "\033[K\n", 4);
        if (!columns) bytes_put_u8(&b, '\n');
    }
    if (columns) bytes_put(&b, "\033[J", 3);
    bytes_put_u8(&b, 0);
    return (char *)b.data;
}

static err_code put_text(int fd, const char *text)
{
    return files_write_all(fd, text, strlen(text)) ? ERR_OK : ERR_IO;
}

static void control(int fd, const char *sequence)
{
    if (isatty(fd) != 1) return;
    err_code rc = put_text(fd, sequence);
    (void)rc; /* the next frame will say so */
}

void status_watch_begin(int fd)
{
    control(fd, "\033[?25l\033[H\033[J");
}

void status_watch_end(int fd)
{
    control(fd, "\033[?25h");
}

err_code status_watch_show(int fd, const char *text)
{
    struct winsize size = {0};
    bool terminal = isatty(fd) == 1;
    if (terminal && (ioctl(fd, TIOCGWINSZ, &size) != 0 || !size.ws_col || !size.ws_row)) {
        size.ws_col = 80;
        size.ws_row = 24;
    }
    char *frame = status_watch_frame(text, size.ws_col, size.ws_row);
    err_code rc = put_text(fd, frame);
    if (rc == ERR_OK && !size.ws_col) rc = put_text(fd, "\n");
    free(frame);
    return rc;
}
