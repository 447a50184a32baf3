/* The monotonic clock of the drivers, in nanoseconds, and how to sleep by it. The protocol itself never reads it.
   It is the one of time.perf_counter_ns(), on every system and in every Python. time.monotonic_ns() is the same one,
   but on Windows before Python 3.13, where that has steps of 16 ms. */
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
#ifndef CREATE_WAITABLE_TIMER_HIGH_RESOLUTION /* older SDKs do not name it */
#define CREATE_WAITABLE_TIMER_HIGH_RESOLUTION 0x00000002
#endif
/* Sleep to about `when`; may end early, and late by what the system takes to wake a thread. */
static inline void isotp_sleep_until(int64_t when) {
    /* Since Windows 10 1803. The timers before it, as Sleep(), tick with the system: up to 16 ms late. */
    HANDLE timer = CreateWaitableTimerExW(NULL, NULL, CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, TIMER_ALL_ACCESS);
    int64_t remaining = when - isotp_monotonic_ns();
    LARGE_INTEGER due;
    if (timer == NULL) timer = CreateWaitableTimerExW(NULL, NULL, 0, TIMER_ALL_ACCESS);
    due.QuadPart = -(remaining / 100); /* negative: from now on, in units of 100 ns */
    if (timer != NULL && due.QuadPart < 0 && SetWaitableTimer(timer, &due, 0, NULL, NULL, FALSE))
        WaitForSingleObject(timer, INFINITE);
    else if (remaining > 0)
        Sleep((DWORD)(remaining / 1000000)); /* for less than a millisecond: gives way to other threads */
    if (timer != NULL) CloseHandle(timer);
}
/* Wake the calling thread as close to its time-outs as the system can. */
static inline void isotp_sharpen_timers(void) {}
#elif defined(__APPLE__)
#include <mach/mach_time.h>
#include <time.h>
/* a * b / c, of which only the product might overflow */
static inline uint64_t isotp_scaled(uint64_t a, uint32_t b, uint32_t c) { return a / c * b + a % c * b / c; }
static inline mach_timebase_info_data_t isotp_timebase(void) {
    static mach_timebase_info_data_t base; /* ticks * numer / denom = nanoseconds */
    if (base.denom == 0) mach_timebase_info(&base);
    return base;
}
/* As Python does it, not CLOCK_MONOTONIC: that counts on while the machine sleeps. */
static inline int64_t isotp_monotonic_ns(void) {
    mach_timebase_info_data_t base = isotp_timebase();
    return (int64_t)isotp_scaled(mach_absolute_time(), base.numer, base.denom);
}
static inline void isotp_sleep_until(int64_t when) {
    mach_timebase_info_data_t base = isotp_timebase();
    if (when > 0) mach_wait_until(isotp_scaled((uint64_t)when, base.denom, base.numer));
}
static inline void isotp_sharpen_timers(void) {}
#else
#include <time.h>
static inline int64_t isotp_monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000LL + now.tv_nsec;
}
#if defined(__linux__)
#include <sys/prctl.h>
static inline void isotp_sleep_until(int64_t when) {
    struct timespec until = {(time_t)(when / 1000000000LL), (long)(when % 1000000000LL)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL); /* a signal ends it early */
}
static inline void isotp_sharpen_timers(void) {
    /* The kernel delays the time-outs of a thread by up to 50 us, to wake several at once; 1 is the least. */
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
}
#else
static inline void isotp_sleep_until(int64_t when) {
    int64_t remaining = when - isotp_monotonic_ns();
    struct timespec pause = {(time_t)(remaining / 1000000000LL), (long)(remaining % 1000000000LL)};
    if (remaining > 0) nanosleep(&pause, NULL);
}
static inline void isotp_sharpen_timers(void) {}
#endif
#endif

/* What to add to the monotonic clock to have ns since 1970, as the wall clock is now. */
#if defined(_WIN32)
static inline int64_t isotp_wall_offset_ns(void) {
    FILETIME since_1601;
    ULARGE_INTEGER hundreds;
    GetSystemTimePreciseAsFileTime(&since_1601);
    hundreds.LowPart = since_1601.dwLowDateTime;
    hundreds.HighPart = since_1601.dwHighDateTime;
    return ((int64_t)hundreds.QuadPart - 116444736000000000LL) * 100 - isotp_monotonic_ns();
}
#else
static inline int64_t isotp_wall_offset_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000LL + now.tv_nsec - isotp_monotonic_ns();
}
#endif

#if defined(__x86_64__) || defined(_M_X64) || defined(__i386__) || defined(_M_IX86)
#include <emmintrin.h>
#define isotp_relax() _mm_pause()
#elif defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))
#define isotp_relax() __asm__ __volatile__("yield")
#else
#define isotp_relax() ((void)0)
#endif

/* Sleep until so long before `when` as sleeping has been late, but `busy` at the most. Without `busy` the sleep ends at
   `when` or later. `late` is the estimate of that lateness, kept from call to call. All in ns. */
static inline void isotp_doze_until(int64_t when, int64_t busy, int64_t *late) {
    int64_t share = *late < busy ? *late : busy;
    int64_t waking = when - share;
    int64_t now = isotp_monotonic_ns();
    int64_t missed;
    if (now >= waking) return;
    while (now < waking) {
        isotp_sleep_until(waking);
        now = isotp_monotonic_ns();
    }
    if (busy > 0) {
        /* The longest of late, which fades slowly: about one sleep in twenty is later than the estimate. */
        missed = now - waking < busy ? now - waking : busy;
        *late = missed > *late ? missed : *late - (*late - missed) / 32;
    }
}

/* Wait until `when`, not less, and busily. */
static inline void isotp_spin_until(int64_t when) {
    while (isotp_monotonic_ns() < when) isotp_relax();
}
#endif
