/* Which instructions this processor runs. */

#if defined(__x86_64__)
#include <cpuid.h>

/* __builtin_cpu_supports would do, but Zig's run-time library answers no to everything. */
static int runs_avx2(void) {
    unsigned a, b, c, d, kept;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    __asm__("xgetbv" : "=a"(kept), "=d"(d) : "c"(0));
    if ((kept & 6) != 6) return 0; /* the system does not keep wide registers for each thread */
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_AVX2;
}
#endif
