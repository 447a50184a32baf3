/* The monotonic clock of the drivers, in nanoseconds. The protocol itself never reads it. */
#ifndef ISOTP_CLOCK_H
#define ISOTP_CLOCK_H
#include <stdint.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
static int64_t isotp_monotonic_ns(void) {
    static LARGE_INTEGER frequency;
    LARGE_INTEGER ticks;
    if (frequency.QuadPart == 0) QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&ticks);
    /* split: the product of ticks and 1e9 would overflow after a few minutes */
    return (ticks.QuadPart / frequency.QuadPart) * 1000000000LL
         + (ticks.QuadPart % frequency.QuadPart) * 1000000000LL / frequency.QuadPart;
}
#else
#include <time.h>
static inline int64_t isotp_monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000LL + now.tv_nsec;
}
#endif
#endif
