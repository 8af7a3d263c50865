#include "common/subgraph.h"

#include <stdlib.h>

void subgraph_free(subgraph *g)
{
    if (!g) return;
    free(g->block);
    free(g);
}
