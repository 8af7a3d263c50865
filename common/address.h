/* address.h - the forms of addresses that a configuration may have.
 *
 * Looks at the text only: nobody is asked whether a host is there.  Any thread. */
#pragma once

typedef enum address_form {
    ADDRESS_NONE,     /* any text */
    ADDRESS_ENDPOINT, /* tcp://host:port, or ipc:// with a file */
    ADDRESS_LISTEN,   /* an IPv4 address and a port, or 0 for any free one */
    ADDRESS_HOST,     /* an IPv4 address, or a name */
    ADDRESS_URL       /* http:// or https:// */
} address_form;

enum {
    ADDRESS_HOST_MAX = 127, /* characters */
    ADDRESS_IPC_MAX = 107   /* bytes of the path of a socket */
};

/* What is wrong with `text`, static; NULL: it has the form. */
const char *address_problem(address_form form, const char *text);
/* The form, in words for people: "tcp://host:port or ipc://file"; static. */
const char *address_form_name(address_form form);
/* The form as a regular expression (ECMA 262, for the schema): it lets in whatever has no problem.
 */
const char *address_form_pattern(address_form form);
