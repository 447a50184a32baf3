/* Large pieces of memory for tables: fresh pages cost more than filling them, so ask for large ones and keep them. */
#ifndef ISOTP_MEMORY_H
#define ISOTP_MEMORY_H
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif
#if defined(_MSC_VER)
#include <intrin.h>
#endif

/* Out of the way of the loops that rarely need it. */
#if defined(__GNUC__)
#define ISOTP_SELDOM __attribute__((cold))
#else
#define ISOTP_SELDOM
#endif

#define ISOTP_LARGE_PAGE ((size_t)1 << 21)
/* Smaller pieces malloc() itself keeps; larger ones are too much to hold on to. */
#define ISOTP_SPARE_LEAST ((size_t)1 << 17)
#define ISOTP_SPARE_MOST ((size_t)1 << 26)

#if defined(__linux__) && defined(MADV_HUGEPAGE)
ISOTP_SELDOM static inline void *isotp_realloc_on_large_pages(void *old, size_t size) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first, end;
    void *place;
    if (old != NULL) place = realloc(old, size);
    else if (posix_memalign(&place, ISOTP_LARGE_PAGE, size) != 0) place = NULL;
    if (place == NULL) return NULL;
    /* Up to the end of the last large page, whoever has the rest of it. Where there are none, nothing changes. */
    first = (uintptr_t)place & ~(page - 1);
    end = ((uintptr_t)place + size + ISOTP_LARGE_PAGE - 1) & ~(uintptr_t)(ISOTP_LARGE_PAGE - 1);
    (void)madvise((void *)first, end - first, MADV_HUGEPAGE);
    return place;
}
#endif

/* memcpy() to memory that is not read soon: whole lines go there past the caches, which then need not fetch them. */
static inline void isotp_copy_away(void *to, const void *from, size_t size) {
#if defined(__SSE2__)
    size_t head = (size_t)-(uintptr_t)to & 63;
    if (size >= 256) {
        memcpy(to, from, head);
        to = (char *)to + head;
        from = (const char *)from + head;
        size -= head;
        for (; size >= 64; size -= 64) {
            __m128i a = _mm_loadu_si128((const __m128i *)from), b = _mm_loadu_si128((const __m128i *)from + 1);
            __m128i c = _mm_loadu_si128((const __m128i *)from + 2), d = _mm_loadu_si128((const __m128i *)from + 3);
            _mm_stream_si128((__m128i *)to, a);
            _mm_stream_si128((__m128i *)to + 1, b);
            _mm_stream_si128((__m128i *)to + 2, c);
            _mm_stream_si128((__m128i *)to + 3, d);
            to = (char *)to + 64;
            from = (const char *)from + 64;
        }
    }
#endif
    memcpy(to, from, size);
}

/* realloc() for what may become large. */
static inline void *isotp_realloc_large(void *old, size_t size) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (size >= 2 * ISOTP_LARGE_PAGE) return isotp_realloc_on_large_pages(old, size);
#endif
    return realloc(old, size);
}

/* The kernel may have the whole pages of [place + skip, place + size) if it runs short, until they are written to. */
static inline void isotp_lend(void *place, size_t skip, size_t size) {
#if defined(__linux__) && defined(MADV_FREE)
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)place + skip + page - 1) & ~(page - 1);
    uintptr_t end = ((uintptr_t)place + size) & ~(page - 1);
    if (end > first) (void)madvise((void *)first, end - first, MADV_FREE);
#else
    (void)place;
    (void)skip;
    (void)size;
#endif
}

/* A spare is memory that a table left for the next one; its first word is its size. Threads may come here at once. */
static inline void *isotp_exchange(void **spare, void *place) {
#if defined(_MSC_VER)
    return _InterlockedExchangePointer((void *volatile *)spare, place);
#else
    return __atomic_exchange_n(spare, place, __ATOMIC_ACQ_REL);
#endif
}

/* NULL: there is none. */
static inline void *isotp_take_spare(void **spare, size_t *size) {
    void *place = spare == NULL ? NULL : isotp_exchange(spare, NULL);
    if (place != NULL) *size = *(size_t *)place;
    return place;
}

/* The one that was there is freed, so that what is kept fits what comes now. */
static inline void isotp_leave_spare(void **spare, void *place, size_t size) {
    if (size >= ISOTP_SPARE_LEAST && size <= ISOTP_SPARE_MOST) {
        *(size_t *)place = size;
        isotp_lend(place, sizeof(size_t), size);
        place = isotp_exchange(spare, place);
    }
    free(place);
}
#endif
