/* Means and deviations of bands in small windows around each pixel, in C; the same bytes as
   window_features.py, which explains them.

   Sums of a window are added anew for every pixel, rows from above, then columns from the left:
   sums that run on would round otherwise in every block of a scene. */

#include "cpu.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { WIDE = 7, NARROW = 3, REACH = 3, KINDS = 5 };

typedef struct {
    const float *values;  /* (bands, rows + 2 REACH, width + 2 REACH) */
    const uint8_t *valid; /* (rows + 2 REACH, width + 2 REACH) */
    float *features;      /* (KINDS, bands, rows, width) */
    int64_t bands, rows, width;
} Block;

/* Rows of doubles, each `grown` long: sums of columns, and of each window 1 / its pixels. */
typedef struct {
    int64_t grown;
    float *ring;                              /* (WIDE, grown), a band's last rows, 0 if invalid */
    double *wide, *wide_squares;              /* (grown,) */
    double *narrow, *narrow_squares;          /* (grown,) */
    double *share_of_wide, *share_of_narrow;  /* (rows, width) */
} Room;

/* No turn of the loop that follows writes what another one reads. */
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

#define TARGET
#define NAME(FUNCTION) FUNCTION##_any
#include "window_features.h"

#if defined(__x86_64__)
#define TARGET __attribute__((target("avx2")))
#define NAME(FUNCTION) FUNCTION##_avx2
#include "window_features.h"
#endif

/* Returns -1 if there is no memory. */
int64_t window_features(const Block *block) {
    int64_t grown = block->width + 2 * REACH, pixels = block->rows * block->width;
    double *memory = malloc(sizeof(double) * (size_t)(4 * grown + 2 * pixels) +
                            sizeof(float) * (size_t)(WIDE * grown));
    if (!memory) return -1;
    double *shares = memory + 4 * grown;
    Room room = {grown,
                 (float *)(shares + 2 * pixels),
                 memory,
                 memory + grown,
                 memory + 2 * grown,
                 memory + 3 * grown,
                 shares,
                 shares + pixels};
#if defined(__x86_64__)
    if (runs_avx2())
        all_bands_avx2(block, &room);
    else
#endif
        all_bands_any(block, &room);
    free(memory);
    return 0;
}
