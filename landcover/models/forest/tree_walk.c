/* The walk of pixels through trees, in C; the same arrays and the same sums as kernel_numpy.py.

   Plain C11 with the vector extensions of GCC and clang; no header of Python, no global state.
   Nothing is checked here: layout.py makes every array, from trees that were checked, and
   explains them.

   A branch asks `rank > cut`. Many pixels take the choices of a tree's top at once, without a
   branch of the processor: each choice takes what one of its children chose before it. What is
   deeper is walked, some pixels in turns. */

#include "cpu.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    TILE = 4096,  /* pixels that share one look at a tree, which may come from far away */
    VECTOR = 32,  /* bytes of ranks that belong together */
    STRIP = 256,  /* bytes of a slot: ranks that the top of a tree takes at once */
    EXITS = 64,   /* slots that stand for exits; those of choices follow */
    SLOTS = 128,
    LANES = 16,   /* pixels walked in turns, so that one's memory is awaited by the others */
    TOGETHER = 8, /* trees whose rows are added with one look at the sums */
};
enum { ONE_SCORE, ALL_SCORES, WALK };

typedef struct {
    uint16_t column, left, right;
    int16_t cut;
} Choice;

typedef struct {
    int32_t score; /* or, below 0, ~row */
    float weight;
} Leaf;

typedef struct {
    int64_t trees, columns, scores, padded, form; /* padded: scores of a row, a multiple of 4 */
    const int32_t *band;
    const int64_t *first_threshold;
    const int32_t *steps;
    const float *thresholds;
    const uint8_t *codes;
    const int64_t *first_choice;
    const Choice *choices;
    const int64_t *first_exit;
    const int32_t *score;
    const double *weights;
    const double *rows;
    const int32_t *exits;
    const int64_t *nodes;
    const int32_t *blind;
    const int32_t *leaf;
    const Leaf *leaves;
} Trees;

/* Pixels of one type: 0 bytes and 1 words, looked up in `ranks`; 2 float32, searched. */
typedef struct {
    const void *values; /* (bands, count) */
    int64_t stride;     /* from band to band, in pixels */
    const uint8_t *valid;
    int64_t count;
    int64_t type;
    const void *ranks; /* (columns, 256 or 65536), of words if trees are walked, else of bytes */
} Pixels;

typedef struct {
    int64_t count;
    int32_t *index; /* of pixels in the block */
    void *ranks;    /* (vectors, columns, VECTOR bytes) */
    double *sums;   /* (TILE, padded) */
    uint8_t *slots; /* (SLOTS, STRIP) */
    uint8_t *found; /* (TOGETHER, TILE), exits of trees */
    int32_t *at;    /* (TILE,), nodes */
} Tile;

typedef int8_t Bytes __attribute__((vector_size(VECTOR)));
typedef int16_t Words __attribute__((vector_size(VECTOR)));
typedef double Doubles __attribute__((vector_size(32), aligned(8)));

#define TARGET
#define NAME(FUNCTION) FUNCTION##_any
#include "tree_walk.h"

#if defined(__x86_64__)
/* one library runs on every x86-64, and fast on those of the last ten years */
#define TARGET __attribute__((target("avx2")))
#define NAME(FUNCTION) FUNCTION##_avx2
#include "tree_walk.h"
#endif

typedef void Pass(const Trees *, const Pixels *, const Tile *);

static Pass *fastest(void) {
#if defined(__x86_64__)
    if (runs_avx2()) return pass_trees_avx2;
#endif
    return pass_trees_any;
}

static void choose(const Trees *trees, const Tile *tile, uint8_t *codes, uint8_t *confidence) {
    const double to_integer = 6755399441055744.0; /* 1.5 * 2^52: the sum rounds half to even */
    for (int64_t i = 0; i < tile->count; i++) {
        const double *sums = tile->sums + i * trees->padded;
        double most = trees->scores == 1 ? 1 - sums[0] : sums[0];
        int64_t best = 0;
        if (trees->scores == 1 && sums[0] > most) best = 1, most = sums[0];
        for (int64_t score = 1; score < trees->scores; score++)
            if (sums[score] > most) best = score, most = sums[score];
        double percent = most * 100;
        percent = percent > 0 ? percent : 0;
        percent = percent < 100 ? percent : 100;
        codes[tile->index[i]] = trees->codes[best];
        confidence[tile->index[i]] = (uint8_t)(percent + to_integer - to_integer);
    }
}

/* Put the next valid pixels into the tile; 0 if there are none. */
static int64_t fill(const Pixels *pixels, int64_t *from, Tile *tile) {
    int64_t count = 0;
    for (; *from < pixels->count && count < TILE; (*from)++) {
        tile->index[count] = (int32_t)*from;
        count += pixels->valid[*from] != 0;
    }
    return tile->count = count;
}

static void fill_exits(uint8_t *slots, int64_t form) {
    for (int exit = 0; exit < EXITS; exit++)
        for (int i = 0; i < STRIP / 2; i++)
            ((int16_t *)slots)[exit * STRIP / 2 + i] =
                (int16_t)(form == WALK ? exit : exit * 257);
}

/* Give either the sums of valid pixels, (valid, scores), or codes and confidence where valid.

   Returns the number of valid pixels, -1 if there is no memory. */
int64_t pass_pixels(const Trees *trees, const Pixels *pixels, double *sums, uint8_t *codes,
                    uint8_t *confidence) {
    size_t sizes[] = {(TILE + 16) * sizeof(int32_t), (size_t)trees->columns * TILE * 2,
                      (size_t)trees->padded * TILE * sizeof(double), SLOTS * STRIP,
                      TOGETHER * TILE, TILE * sizeof(int32_t)}; /* multiples of 64 */
    size_t total = 0;
    for (int k = 0; k < 6; k++) total += sizes[k];
    char *memory = aligned_alloc(64, total), *next = memory, *parts[6];
    if (!memory) return -1;
    memset(memory, 0, total); /* beyond the last pixel ranks may be any, but not unknown */
    for (int k = 0; k < 6; next += sizes[k++]) parts[k] = next;
    Tile tile = {0, (int32_t *)parts[0], parts[1], (double *)parts[2], (uint8_t *)parts[3],
                 (uint8_t *)parts[4], (int32_t *)parts[5]};
    fill_exits(tile.slots, trees->form);
    Pass *pass = fastest();
    int64_t from = 0, done = 0;
    for (; fill(pixels, &from, &tile); done += tile.count) {
        memset(tile.sums, 0, sizes[2]);
        pass(trees, pixels, &tile);
        if (!sums) choose(trees, &tile, codes, confidence);
        for (int64_t i = 0; sums && i < tile.count; i++)
            memcpy(sums + (done + i) * trees->scores, tile.sums + i * trees->padded,
                   (size_t)trees->scores * sizeof(double));
    }
    free(memory);
    return done;
}
