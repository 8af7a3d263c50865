/* scoring.h - runs a scorer over users and ranks its scores: ranges of users of a fixed size, one
 * buffer [range, candidates] per thread. */
#pragma once

#include "worker/candidates.h"

/* scores [n, candidates of type], overwritten, in the order of candidates.item: of `users`,
 * ascending rows.  Called from several threads; state is immutable meanwhile.  ERR_NO_MEMORY. */
typedef err_code scorer_function(const void *state, const candidates *c, uint32_t type,
                                 const uint32_t *users, size_t n, float *scores);

typedef struct scorer {
    scorer_function *score;
    const void *state;
    evaluation_model model; /* for messages */
} scorer;

/* Where results go; NULL: not wanted. */
typedef struct scoring_output {
    uint32_t *rank;     /* [u->indptr[u->users]] of every positive */
    size_t k;           /* length of the lists */
    uint32_t *list;     /* [u->users, k] candidate places, best first */
    float *list_scores; /* [u->users, k] */
    uint32_t *list_len; /* [u->users] */
} scoring_output;

enum { SCORING_RANGE = 256, SCORING_TILE = 4096 };

/* Users of a range: SCORING_RANGE, fewer (a power of two, at least 16) where there are so many
 * candidates that a buffer would pass 64 MiB. */
size_t scoring_range(size_t candidates_n);

/* with_valid: what the user has in valid is no candidate either (test); else valid is what is
 * asked. Positives always are candidates.  ERR_INVALID: a score is not finite (printed).
 * ERR_NO_MEMORY. */
MUST_USE err_code scoring_run(const scoring_output *out, const candidates *c, uint32_t type,
                              const evaluation_type_users *u, const scorer *s, bool with_valid,
                              uint32_t threads);

/* How a baseline hands over its scorer of a type, once it has chosen on valid. */
typedef struct scoring_sink {
    err_code (*test)(void *context, uint32_t type, const scorer *s,
                     const evaluation_choice *choice);
    void *context;
    const evaluation_type_users *valid;  /* [types] */
    const evaluation_type_users *wanted; /* [types] users = 0: the type is not scored */
} scoring_sink;

/* Mean hr_10 of `s` on the valid positives `u` of a type; u->users = 0 gives 0. */
MUST_USE err_code scoring_valid_hr(double *hr, const candidates *c, uint32_t type,
                                   const evaluation_type_users *u, const scorer *s);
