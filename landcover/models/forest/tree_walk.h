/* How a tile of pixels passes through trees; tree_walk.c includes this once for each instruction
   set, with TARGET and NAME. (A function for one set, inlined into another's, keeps its own
   vectors.) */

#define INNER TARGET static inline __attribute__((always_inline))

INNER int64_t NAME(searched)(const float *thresholds, int steps, float value) {
    int64_t at = 0;
    for (int64_t step = (int64_t)1 << steps >> 1; step; step >>= 1)
        at += !(value <= thresholds[at + step - 1]) ? step : 0; /* no number goes right */
    return at;
}

/* The last vector is filled up with pixels of before: any do. */
#define RANK_ALL(RANK, EXPRESSION)                                                             \
    for (int64_t i = 0; i < tile->count; target += LENGTH * trees->columns)                    \
        for (int64_t k = 0; k < LENGTH; k++, i++) target[k] = (RANK)(EXPRESSION);

#define DEFINE_RANKING(FUNCTION, RANK, LOWEST)                                                 \
    INNER void FUNCTION(const Trees *trees, const Pixels *pixels, const Tile *tile) {          \
        enum { LENGTH = VECTOR / sizeof(RANK) };                                               \
        const int32_t *index = tile->index;                                                    \
        for (int64_t column = 0; column < trees->columns; column++) {                          \
            RANK *target = (RANK *)tile->ranks + column * LENGTH;                              \
            int64_t from = trees->band[column] * pixels->stride;                               \
            if (pixels->type == 0) {                                                           \
                const RANK *ranks = (const RANK *)pixels->ranks + column * 256;                \
                const uint8_t *values = (const uint8_t *)pixels->values + from;                \
                RANK_ALL(RANK, ranks[values[index[i]]])                                        \
            } else if (pixels->type == 1) {                                                    \
                const RANK *ranks = (const RANK *)pixels->ranks + column * 65536;              \
                const uint16_t *values = (const uint16_t *)pixels->values + from;              \
                RANK_ALL(RANK, ranks[values[index[i]]])                                        \
            } else {                                                                           \
                const float *thresholds = trees->thresholds + trees->first_threshold[column];  \
                const float *values = (const float *)pixels->values + from;                    \
                int steps = trees->steps[column];                                              \
                RANK_ALL(RANK, LOWEST + NAME(searched)(thresholds, steps, values[index[i]]))   \
            }                                                                                  \
        }                                                                                      \
    }

/* Return the exits of a strip of pixels. */
#define DEFINE_TOP(FUNCTION, RANK, VECTORS)                                                    \
    INNER const RANK *FUNCTION(const Trees *trees, int64_t tree, const VECTORS *ranks,         \
                               uint8_t *slots) {                                               \
        const Choice *choice = trees->choices + trees->first_choice[tree];                     \
        const Choice *end = trees->choices + trees->first_choice[tree + 1];                    \
        if (choice == end) return (const RANK *)slots; /* its root is a leaf, exit 0 */        \
        VECTORS *target = (VECTORS *)(slots + EXITS * STRIP);                                  \
        for (; choice < end; choice++, target += STRIP / VECTOR) {                             \
            const VECTORS *left = (const VECTORS *)(slots + choice->left * STRIP);             \
            const VECTORS *right = (const VECTORS *)(slots + choice->right * STRIP);           \
            const VECTORS *rank = ranks + choice->column;                                      \
            VECTORS cut = (VECTORS){0} + (RANK)choice->cut;                                    \
            for (int64_t i = 0; i < STRIP / VECTOR; i++) {                                     \
                VECTORS beyond = rank[i * trees->columns] > cut;                               \
                target[i] = (beyond & right[i]) | (~beyond & left[i]);                         \
            }                                                                                  \
        }                                                                                      \
        return (const RANK *)(target - STRIP / VECTOR); /* the root's */                       \
    }

DEFINE_RANKING(NAME(rank_bytes), int8_t, -128)
DEFINE_RANKING(NAME(rank_words), int16_t, -32768)
DEFINE_TOP(NAME(top_bytes), int8_t, Bytes)
DEFINE_TOP(NAME(top_words), int16_t, Words)

INNER void NAME(find_exits)(const Trees *trees, int64_t tree, const Tile *tile, uint8_t *found) {
    for (int64_t from = 0; from < tile->count; from += STRIP) {
        const Bytes *ranks = (const Bytes *)tile->ranks + from / VECTOR * trees->columns;
        memcpy(found + from, NAME(top_bytes)(trees, tree, ranks, tile->slots), STRIP);
    }
}

INNER void NAME(add_weights)(const Trees *trees, int64_t tree, const Tile *tile) {
    const double *weights = trees->weights + trees->first_exit[tree];
    double *sums = tile->sums + trees->score[tree];
    for (int64_t i = 0; i < tile->count; i++) sums[i * trees->padded] += weights[tile->found[i]];
}

/* Some scores of rows of some trees, to the sums of all pixels. */
INNER void NAME(add_rows)(const Trees *trees, int64_t tree, int64_t together, const Tile *tile,
                          int64_t score, int64_t vectors) {
    const double *rows[TOGETHER];
    for (int64_t k = 0; k < together; k++)
        rows[k] = trees->rows + trees->first_exit[tree + k] * trees->padded + score;
    for (int64_t i = 0; i < tile->count; i++) {
        Doubles *target = (Doubles *)(tile->sums + i * trees->padded + score), sums[2];
        for (int64_t v = 0; v < vectors; v++) sums[v] = target[v];
        for (int64_t k = 0; k < together; k++) {
            const Doubles *row =
                (const Doubles *)(rows[k] + tile->found[k * TILE + i] * trees->padded);
            for (int64_t v = 0; v < vectors; v++) sums[v] += row[v];
        }
        for (int64_t v = 0; v < vectors; v++) target[v] = sums[v];
    }
}

INNER void NAME(add_all_scores)(const Trees *trees, int64_t tree, int64_t together,
                                const Tile *tile) {
    int64_t score = 0;
    for (int64_t k = 0; k < together; k++)
        NAME(find_exits)(trees, tree + k, tile, tile->found + k * TILE);
    for (; score + 8 <= trees->padded; score += 8)
        NAME(add_rows)(trees, tree, together, tile, score, 2);
    if (score < trees->padded) NAME(add_rows)(trees, tree, together, tile, score, 1);
}

INNER void NAME(find_nodes)(const Trees *trees, int64_t tree, const Tile *tile) {
    const int32_t *exits = trees->exits + trees->first_exit[tree];
    for (int64_t from = 0; from < tile->count; from += STRIP / 2) {
        const Words *ranks = (const Words *)tile->ranks + from / (VECTOR / 2) * trees->columns;
        const int16_t *found = NAME(top_words)(trees, tree, ranks, tile->slots);
        for (int64_t i = 0; i < STRIP / 2; i++) tile->at[from + i] = exits[found[i]];
    }
}

/* What is left of cut - rank borrows from the child's number where it is negative. */
#define STEP(NOTE)                                                                             \
    for (int k = 0; k < LANES; k++) {                                                          \
        int64_t node = nodes[at[k]];                                                           \
        uint32_t next = (uint64_t)(node - ranks[(uint16_t)node + k] * 65536L) >> 32;           \
        NOTE;                                                                                  \
        at[k] = next;                                                                          \
    }

INNER void NAME(walk)(const Trees *trees, int64_t tree, const Tile *tile) {
    const int64_t *nodes = trees->nodes;
    const int16_t *ranks = (const int16_t *)tile->ranks;
    /* the next tree is on its way from far memory while this one is walked */
    int32_t next_tree = tree + 1 < trees->trees ? trees->exits[trees->first_exit[tree + 1]] : 0;
    for (int64_t from = 0; from < tile->count; from += LANES, ranks += LANES * trees->columns) {
        uint32_t at[LANES], moved;
        __builtin_prefetch(nodes + next_tree + from);
        __builtin_prefetch(nodes + next_tree + from + LANES / 2);
        __builtin_prefetch(trees->leaf + next_tree + from);
        memcpy(at, tile->at + from, sizeof at);
        for (int step = trees->blind[tree]; step > 0; step--) STEP((void)0)
        do {
            moved = 0;
            STEP((void)0)
            STEP(moved |= next ^ at[k])
        } while (moved);
        memcpy(tile->at + from, at, sizeof at);
    }
}

INNER void NAME(add_leaves)(const Trees *trees, const Tile *tile) {
    for (int64_t i = 0; i < tile->count; i++) {
        Leaf leaf = trees->leaves[trees->leaf[tile->at[i]]];
        double *sums = tile->sums + i * trees->padded;
        if (leaf.score >= 0) {
            sums[leaf.score] += leaf.weight;
            continue;
        }
        const double *row = trees->rows + ~leaf.score * trees->padded;
        for (int64_t score = 0; score < trees->scores; score++) sums[score] += row[score];
    }
}

TARGET static void NAME(pass_trees)(const Trees *trees, const Pixels *pixels, const Tile *tile) {
    int64_t tree = 0;
    if (trees->form == WALK) {
        NAME(rank_words)(trees, pixels, tile);
        for (; tree < trees->trees; tree++) {
            NAME(find_nodes)(trees, tree, tile);
            NAME(walk)(trees, tree, tile);
            NAME(add_leaves)(trees, tile);
        }
        return;
    }
    NAME(rank_bytes)(trees, pixels, tile);
    if (trees->form == ONE_SCORE) {
        for (; tree < trees->trees; tree++) {
            NAME(find_exits)(trees, tree, tile, tile->found);
            NAME(add_weights)(trees, tree, tile);
        }
        return;
    }
    for (; tree + TOGETHER <= trees->trees; tree += TOGETHER)
        NAME(add_all_scores)(trees, tree, TOGETHER, tile);
    for (; tree < trees->trees; tree++) NAME(add_all_scores)(trees, tree, 1, tile);
}

#undef INNER
#undef RANK_ALL
#undef DEFINE_RANKING
#undef DEFINE_TOP
#undef STEP
#undef TARGET
#undef NAME
