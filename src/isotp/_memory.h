/* Large pieces of memory for tables: fresh pages cost more than filling them, so ask for large ones. */
#ifndef ISOTP_MEMORY_H
#define ISOTP_MEMORY_H
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#define ISOTP_LARGE_PAGE ((size_t)1 << 21)

static inline void isotp_want_large_pages(void *place, size_t size) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    /* Only whole large pages inside. A kernel that has none refuses, which changes nothing. */
    uintptr_t first = ((uintptr_t)place + ISOTP_LARGE_PAGE - 1) & ~(uintptr_t)(ISOTP_LARGE_PAGE - 1);
    uintptr_t end = ((uintptr_t)place + size) & ~(uintptr_t)(ISOTP_LARGE_PAGE - 1);
    if (place != NULL && end > first) (void)madvise((void *)first, end - first, MADV_HUGEPAGE);
#else
    (void)place;
    (void)size;
#endif
}

/* malloc() and realloc() for what may become large. */
static inline void *isotp_malloc_large(size_t size) {
    void *place = malloc(size);
    if (size >= 2 * ISOTP_LARGE_PAGE) isotp_want_large_pages(place, size);
    return place;
}

static inline void *isotp_realloc_large(void *old, size_t size) {
    void *place = realloc(old, size);
    if (size >= 2 * ISOTP_LARGE_PAGE) isotp_want_large_pages(place, size);
    return place;
}
#endif
