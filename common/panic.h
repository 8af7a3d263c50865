/* panic.h - assertions that stay on in release: a failed one is our bug, and aborts. */
#pragma once

#define ASSERT(x) ((x) ? (void)0 : panic(__FILE__, __LINE__, #x))
#define UNREACHABLE() panic(__FILE__, __LINE__, "unreachable")

/* Expensive checks (whole arrays): on in debug builds only. */
#ifdef NDEBUG
#define ASSERT_SLOW(x) ((void)0)
#else
#define ASSERT_SLOW(x) ASSERT(x)
#endif

/* Prints `file:line: what` to stderr and aborts. */
_Noreturn void panic(const char *file, int line, const char *what);
