/* System calls of _socketcan.pyx: many frames at a time to and from a raw CAN socket (Linux). */
#ifndef ISOTP_SOCKETCAN_H
#define ISOTP_SOCKETCAN_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <linux/can.h>
#include <linux/can/raw.h>

#define ISOTP_BATCH 64
#define ISOTP_ECHO 2  /* sent by this socket (as ECHO of _core.pxd) */
#define ISOTP_LOCAL 4 /* sent by a socket of this system */
#define ISOTP_CANFD_FDF 0x04 /* linux/can.h calls it CANFD_FDF since 5.14 */

/* What sendmmsg and recvmmsg want for ISOTP_BATCH frames. */
struct isotp_batch {
    struct canfd_frame frames[ISOTP_BATCH + 1]; /* one may be written while the others wait */
    struct mmsghdr headers[ISOTP_BATCH];
    struct iovec vectors[ISOTP_BATCH];
};

/* Room for the time stamp that comes with a received frame. */
union isotp_stamp {
    struct cmsghdr align;
    char space[CMSG_SPACE(sizeof(struct timespec))];
};

static void isotp_batch_init(struct isotp_batch *batch) {
    int k;
    memset(batch, 0, sizeof(*batch));
    for (k = 0; k < ISOTP_BATCH; k++) {
        batch->vectors[k].iov_base = &batch->frames[k];
        batch->headers[k].msg_hdr.msg_iov = &batch->vectors[k];
        batch->headers[k].msg_hdr.msg_iovlen = 1;
    }
}

static inline void *isotp_batch_frame(struct isotp_batch *batch, int k) { return &batch->frames[k]; }

static inline int64_t isotp_ns(const struct timespec *time) {
    return (int64_t)time->tv_sec * 1000000000LL + time->tv_nsec;
}

/* Where a frame comes from, by what linux/can/raw.h says of msg_flags: 0 if from the bus. */
static inline uint8_t isotp_origin(int flags) {
    return (uint8_t)((flags & MSG_CONFIRM ? ISOTP_ECHO : 0) | (flags & MSG_DONTROUTE ? ISOTP_LOCAL : 0));
}

/* Read up to ISOTP_BATCH frames without waiting; `times` are ns of CLOCK_MONOTONIC, or those of the kernel's stamps, of
 * CLOCK_REALTIME. Their number, or -1 and errno. */
static int isotp_read_batch(int fd, struct isotp_batch *batch, int64_t *times, int as_stamped) {
    union isotp_stamp stamps[ISOTP_BATCH];
    struct timespec realtime, monotonic;
    int64_t now;
    int count, k;
    for (k = 0; k < ISOTP_BATCH; k++) {
        batch->vectors[k].iov_len = CANFD_MTU;
        batch->headers[k].msg_hdr.msg_control = &stamps[k];
        batch->headers[k].msg_hdr.msg_controllen = sizeof(stamps[k]);
    }
    count = recvmmsg(fd, batch->headers, ISOTP_BATCH, MSG_DONTWAIT, NULL);
    if (count <= 0) return count;
    /* The kernel stamps frames with the wall clock, the protocol counts on the monotonic one. */
    clock_gettime(CLOCK_REALTIME, &realtime);
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    now = isotp_ns(as_stamped ? &realtime : &monotonic);
    for (k = 0; k < count; k++) {
        struct cmsghdr *control = CMSG_FIRSTHDR(&batch->headers[k].msg_hdr);
        times[k] = now;
        if (control != NULL && control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec stamp;
            int64_t age;
            memcpy(&stamp, CMSG_DATA(control), sizeof(stamp));
            age = isotp_ns(&realtime) - isotp_ns(&stamp);
            /* the wall clock may have been set since the stamp */
            if (as_stamped || (age > 0 && age < 10000000000LL)) times[k] = now - age;
        }
        batch->frames[k].__res0 = isotp_origin(batch->headers[k].msg_hdr.msg_flags);
        if (batch->headers[k].msg_len == CAN_MTU) batch->frames[k].flags = 0;
        else batch->frames[k].flags |= ISOTP_CANFD_FDF;
    }
    return count;
}

/* Send the frames first to count - 1 without waiting. How many went, or -1 and errno. */
static int isotp_write_batch(int fd, struct isotp_batch *batch, int first, int count) {
    int k;
    for (k = first; k < count; k++)
        batch->vectors[k].iov_len = batch->frames[k].flags & ISOTP_CANFD_FDF ? CANFD_MTU : CAN_MTU;
    return sendmmsg(fd, batch->headers + first, count - first, MSG_DONTWAIT);
}

/* Wait for a frame or for the eventfd `wake`, which is emptied. 0 if neither came in time, -1 and errno. */
static int isotp_wait_readable(int fd, int wake, int64_t timeout_ns) {
    struct pollfd polled[2] = {{fd, POLLIN, 0}, {wake, POLLIN, 0}};
    struct timespec timeout = {(time_t)(timeout_ns / 1000000000LL), (long)(timeout_ns % 1000000000LL)};
    uint64_t count;
    int ready = ppoll(polled, 2, &timeout, NULL);
    if (ready > 0 && polled[1].revents && read(wake, &count, sizeof(count)) < 0 && errno != EAGAIN) return -1;
    return ready;
}

/* Let who waits for the eventfd go on. It cannot fail, but for a counter that is at its end: then it is set. */
static void isotp_ring(int wake) {
    const uint64_t once = 1;
    ssize_t written = write(wake, &once, sizeof(once));
    (void)written;
}

static void isotp_close(int fd) { close(fd); }

static void isotp_sleep_ns(int64_t ns) {
    struct timespec pause = {(time_t)(ns / 1000000000LL), (long)(ns % 1000000000LL)};
    nanosleep(&pause, NULL);
}
#endif
