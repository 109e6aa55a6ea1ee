/* How a block passes; window_features.c includes this once for each instruction set, with TARGET
   and NAME. */

#define INNER TARGET static inline __attribute__((always_inline))

/* Add rows of a window, from above; in the ring a row lies at its number modulo WIDE. */
INNER void NAME(add_rows)(const Room *room, int64_t first) {
    const float *row[WIDE];
    for (int k = 0; k < WIDE; k++) row[k] = room->ring + (first + k) % WIDE * room->grown;
    const float *a = row[0], *b = row[1], *c = row[2], *d = row[3], *e = row[4], *f = row[5],
                *g = row[6];
    double *restrict wide = room->wide, *restrict wide_squares = room->wide_squares;
    double *restrict narrow = room->narrow, *restrict narrow_squares = room->narrow_squares;
    const int64_t grown = room->grown;
    INDEPENDENT
    for (int64_t i = 0; i < grown; i++) {
        double c1 = c[i], d1 = d[i], e1 = e[i];
        double a1 = a[i], b1 = b[i], f1 = f[i], g1 = g[i];
        double c2 = c1 * c1, d2 = d1 * d1, e2 = e1 * e1;
        narrow[i] = c1 + d1 + e1;
        narrow_squares[i] = c2 + d2 + e2;
        wide[i] = a1 + b1 + c1 + d1 + e1 + f1 + g1;
        wide_squares[i] = a1 * a1 + b1 * b1 + c2 + d2 + e2 + f1 * f1 + g1 * g1;
    }
}

INNER double NAME(across_wide)(const double *sums) {
    return sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6];
}

INNER double NAME(across_narrow)(const double *sums) { return sums[2] + sums[3] + sums[4]; }

INNER float NAME(deviation)(double square, double mean) {
    double variance = square - mean * mean;
    return (float)__builtin_sqrt(variance > 0 ? variance : 0);
}

/* Put a row into the ring; what is invalid is 0, whatever it holds. */
INNER void NAME(take)(const Room *room, const float *values, const uint8_t *valid, int64_t row) {
    float *restrict target = room->ring + row % WIDE * room->grown;
    const int64_t grown = room->grown;
    INDEPENDENT
    for (int64_t i = 0; i < grown; i++) {
        float value = values[i];
        target[i] = valid[i] ? value : 0;
    }
}

INNER void NAME(share_row)(const Block *block, const Room *room, int64_t row) {
    double *restrict wide = room->share_of_wide + row * block->width;
    double *restrict narrow = room->share_of_narrow + row * block->width;
    const double *of_wide = room->wide, *of_narrow = room->narrow;
    const int64_t width = block->width;
    INDEPENDENT
    for (int64_t i = 0; i < width; i++) {
        double in_wide = NAME(across_wide)(of_wide + i);
        double in_narrow = NAME(across_narrow)(of_narrow + i);
        wide[i] = 1 / (in_wide > 1 ? in_wide : 1);
        narrow[i] = 1 / (in_narrow > 1 ? in_narrow : 1);
    }
}

INNER void NAME(feature_row)(const Block *block, const Room *room, int64_t band, int64_t row) {
    int64_t kind = block->bands * block->rows * block->width;
    float *restrict features = block->features + (band * block->rows + row) * block->width;
    float *restrict narrow = features + kind, *restrict narrow_deviation = features + 2 * kind;
    float *restrict wide = features + 3 * kind, *restrict wide_deviation = features + 4 * kind;
    const double *share_of_wide = room->share_of_wide + row * block->width;
    const double *share_of_narrow = room->share_of_narrow + row * block->width;
    const float *middle = room->ring + (row + REACH) % WIDE * room->grown + REACH;
    const double *sums = room->narrow, *squares = room->narrow_squares;
    const double *wide_sums = room->wide, *wide_squares = room->wide_squares;
    const int64_t width = block->width;
    INDEPENDENT
    for (int64_t i = 0; i < width; i++) {
        double of_narrow = NAME(across_narrow)(sums + i) * share_of_narrow[i];
        double of_wide = NAME(across_wide)(wide_sums + i) * share_of_wide[i];
        double narrow_square = NAME(across_narrow)(squares + i) * share_of_narrow[i];
        double wide_square = NAME(across_wide)(wide_squares + i) * share_of_wide[i];
        features[i] = middle[i];
        narrow[i] = (float)of_narrow;
        narrow_deviation[i] = NAME(deviation)(narrow_square, of_narrow);
        wide[i] = (float)of_wide;
        wide_deviation[i] = NAME(deviation)(wide_square, of_wide);
    }
}

TARGET static void NAME(all_bands)(const Block *block, const Room *room) {
    int64_t grown = room->grown, height = block->rows + 2 * REACH;
    for (int64_t row = 0; row < height; row++) {
        float *restrict target = room->ring + row % WIDE * grown;
        INDEPENDENT
        for (int64_t i = 0; i < grown; i++) target[i] = block->valid[row * grown + i] ? 1 : 0;
        if (row < 2 * REACH) continue;
        NAME(add_rows)(room, row - 2 * REACH);
        NAME(share_row)(block, room, row - 2 * REACH);
    }
    for (int64_t band = 0; band < block->bands; band++)
        for (int64_t row = 0; row < height; row++) {
            int64_t at = row * grown;
            NAME(take)(room, block->values + band * height * grown + at, block->valid + at, row);
            if (row < 2 * REACH) continue;
            NAME(add_rows)(room, row - 2 * REACH);
            NAME(feature_row)(block, room, band, row - 2 * REACH);
        }
}

#undef INNER
#undef TARGET
#undef NAME
