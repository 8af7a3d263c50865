#include "worker/ranking.h"

#include <math.h>
#include <stdbool.h>

uint32_t ranking_rank(const float *score, const uint32_t *tie, size_t n, size_t c)
{
    float s = score[c];
    uint32_t t = tie[c], better = 0;
    for (size_t i = 0; i < n; i++) {
        better += (uint32_t)(score[i] > s) | ((uint32_t)(score[i] == s) & (uint32_t)(tie[i] < t));
    }
    return better + 1;
}

static bool is_better(const float *score, const uint32_t *tie, uint32_t a, uint32_t b)
{
    if (score[a] != score[b]) return score[a] > score[b];
    return tie[a] < tie[b];
}

/* Restores the heap (worst on top) below position `at`. */
static void sift_down(uint32_t *heap, size_t n, size_t at, const float *score, const uint32_t *tie)
{
    uint32_t moved = heap[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && is_better(score, tie, heap[child], heap[child + 1])) child++;
        if (!is_better(score, tie, moved, heap[child])) break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

static void sift_up(uint32_t *heap, size_t at, const float *score, const uint32_t *tie)
{
    uint32_t moved = heap[at];
    while (at > 0 && is_better(score, tie, heap[(at - 1) / 2], moved)) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = moved;
}

size_t ranking_top(uint32_t *list, const float *score, const uint32_t *tie, size_t n, size_t k)
{
    if (k == 0) return 0;
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        if (len == k) {
            if (score[i] < score[list[0]] || !is_better(score, tie, (uint32_t)i, list[0])) continue;
            list[0] = (uint32_t)i;
            sift_down(list, len, 0, score, tie);
        } else if (score[i] > -INFINITY) {
            list[len] = (uint32_t)i;
            sift_up(list, len++, score, tie);
        }
    }
    for (size_t left = len; left > 1; left--) {
        uint32_t worst = list[0];
        list[0] = list[left - 1];
        sift_down(list, left - 1, 0, score, tie);
        list[left - 1] = worst;
    }
    return len;
}
