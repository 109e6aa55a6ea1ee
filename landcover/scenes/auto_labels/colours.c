/* Classes of colours by a table, and medians of windows, in C; the same bytes as colours.py and
   published.py, which explain them. */

#include "../../models/forest/cpu.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Writes the code of each pixel: table[red << 16 | green << 8 | blue]. */
void code_colours(const uint8_t *red, const uint8_t *green, const uint8_t *blue,
                  const uint8_t *table, uint8_t *codes, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        codes[i] = table[(uint32_t)red[i] << 16 | (uint32_t)green[i] << 8 | blue[i]];
}

/* Writes the code of each level: table[level]. */
void code_levels(const uint8_t *levels, const uint8_t *table, uint8_t *codes, int64_t count) {
    for (int64_t i = 0; i < count; i++) codes[i] = table[levels[i]];
}

/* Medians by histograms of columns that slide along (Perreault and Hebert, IEEE Transactions on
   Image Processing 16, 2007): what a pixel costs does not depend on the size of its window. */

enum { FINE = 256, COARSE = 16, BINS = FINE + COARSE, STRIP = 256 };

typedef struct {
    const uint8_t *values; /* (rows + 2 radius, columns + 2 radius) */
    uint8_t *medians;      /* (rows, columns) */
    int64_t rows, columns, radius;
} Windows;

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE void count(uint16_t *histogram, uint8_t value, int by) {
    histogram[value] += by;
    histogram[FINE + (value >> 4)] += by;
}

/* Returns the value that `below` others lie under or at. */
ALWAYS_INLINE uint8_t ranked(const uint16_t *histogram, int below) {
    int coarse = 0, fine;
    while (below >= histogram[FINE + coarse]) below -= histogram[FINE + coarse++];
    for (fine = coarse << 4; below >= histogram[fine]; fine++) below -= histogram[fine];
    return (uint8_t)fine;
}

ALWAYS_INLINE void add(uint16_t *into, const uint16_t *more) {
    for (int i = 0; i < BINS; i++) into[i] += more[i];
}

ALWAYS_INLINE void slide(uint16_t *into, const uint16_t *enters, const uint16_t *leaves) {
    for (int i = 0; i < BINS; i++) into[i] += enters[i] - leaves[i];
}

/* Fills the medians of columns `first` to `last`; `columns` holds a histogram of each column. */
ALWAYS_INLINE void strip(const Windows *task, uint16_t *columns, int64_t first, int64_t last) {
    int64_t side = 2 * task->radius + 1, wide = last - first + side - 1;
    int64_t stride = task->columns + side - 1;
    int middle = (int)(side * side / 2);
    memset(columns, 0, sizeof(uint16_t) * (size_t)(BINS * wide));
    for (int64_t row = 0; row < task->rows + side - 1; row++) {
        const uint8_t *enters = task->values + row * stride + first;
        for (int64_t x = 0; x < wide; x++) count(columns + BINS * x, enters[x], 1);
        if (row < side - 1) continue;
        uint16_t window[BINS] = {0};
        uint8_t *medians = task->medians + (row - side + 1) * task->columns + first;
        for (int64_t x = 0; x < side; x++) add(window, columns + BINS * x);
        for (int64_t x = 0;; x++) {
            medians[x] = ranked(window, middle);
            if (x == last - first - 1) break;
            slide(window, columns + BINS * (x + side), columns + BINS * x);
        }
        const uint8_t *leaves = enters - (side - 1) * stride;
        for (int64_t x = 0; x < wide; x++) count(columns + BINS * x, leaves[x], -1);
    }
}

static void strip_any(const Windows *task, uint16_t *columns, int64_t first, int64_t last) {
    strip(task, columns, first, last);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void strip_avx2(const Windows *task, uint16_t *columns,
                                                       int64_t first, int64_t last) {
    strip(task, columns, first, last);
}
#endif

/* Returns -1 if there is no memory. */
int64_t medians_of_windows(const uint8_t *values, uint8_t *medians, int64_t rows,
                           int64_t columns, int64_t radius) {
    Windows task = {values, medians, rows, columns, radius};
    void (*run)(const Windows *, uint16_t *, int64_t, int64_t) = strip_any;
#if defined(__x86_64__)
    if (runs_avx2()) run = strip_avx2;
#endif
    uint16_t *histograms = malloc(sizeof(uint16_t) * (size_t)(BINS * (STRIP + 2 * radius)));
    if (!histograms) return -1;
    for (int64_t first = 0; first < columns; first += STRIP)
        run(&task, histograms, first, first + STRIP < columns ? first + STRIP : columns);
    free(histograms);
    return 0;
}
