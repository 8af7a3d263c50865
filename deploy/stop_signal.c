#include "deploy/stop_signal.h"

#include <signal.h>
#include <stddef.h>

enum { EXIT_SIGNAL = 128 };

static atomic_int number; /* set by the handler */

static void on_signal(int n)
{
    atomic_store(&number, n);
}

atomic_int *stop_signal_catch(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    return &number;
}

int stop_signal_exit(err_code rc)
{
    int n = atomic_load(&number);
    return rc == ERR_STOPPED ? EXIT_SIGNAL + (n ? n : SIGTERM) : err_exit(rc);
}
