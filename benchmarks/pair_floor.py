"""The floor of a pair of sockets: the system calls of a transfer and nothing else, in C.

For each frame one end calls send() once and the other recvmmsg() once, with room for the time stamp of the kernel.
After a block of frames the receiver sends one back, as it does with a Flow Control or an answer, on a thread of
its own. No frame is made or looked at, and Python has no part in it; layers that send and read many frames with one
system call may be below it.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from benchmarks.compiling import compile_library
from benchmarks.kernel import PATIENCE_S

# struct can_frame and struct canfd_frame of linux/can.h
CLASSIC_SIZE, FD_SIZE = 16, 72
# asm-generic/socket.h; Python has no name for it.
SO_TIMESTAMPNS = 35
# Messages that are timed at the most.
MOST = 1_000_000

C_TRANSFER = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

enum { LARGEST_FRAME = 72 };

typedef struct {
    int fd;
    size_t size;                /* of a frame */
    const int *blocks;          /* frames in each block of a message */
    int count;                  /* blocks */
    int answers_last;           /* a frame comes back after the last block, too */
    volatile int is_over;       /* this message is the last one */
    int error;                  /* errno of what went wrong, or 0 */
    sem_t message;              /* a message without an answer has arrived */
} Ecu;

static int64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * INT64_C(1000000000) + at.tv_nsec;
}

static int send_one(int fd, size_t size) {
    static const char frame[LARGEST_FRAME];
    return send(fd, frame, size, 0) == (ssize_t)size ? 0 : errno;
}

static int receive_one(int fd, size_t size) {
    char frame[LARGEST_FRAME], control[128];
    struct iovec part = {frame, sizeof frame};
    struct mmsghdr message = {
        .msg_hdr = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control}};
    if (recvmmsg(fd, &message, 1, 0, NULL) != 1) return errno;
    return message.msg_len == size ? 0 : EBADMSG;
}

static int receive_message(Ecu *ecu) {
    for (int k = 0; k < ecu->count; k++) {
        int error = 0;
        for (int frame = 0; frame < ecu->blocks[k] && !error; frame++) error = receive_one(ecu->fd, ecu->size);
        if (!error && (k < ecu->count - 1 || ecu->answers_last)) error = send_one(ecu->fd, ecu->size);
        if (error) return error;
    }
    return 0;
}

static void *receive_all(void *argument) {
    Ecu *ecu = argument;
    int is_over;
    do {
        ecu->error = receive_message(ecu);
        is_over = ecu->error || ecu->is_over;
        sem_post(&ecu->message);        /* from here on the next message changes that */
    } while (!is_over);
    return NULL;
}

static int send_message(int fd, Ecu *ecu) {
    int error = 0;
    for (int k = 0; k < ecu->count && !error; k++) {
        for (int frame = 0; frame < ecu->blocks[k] && !error; frame++) error = send_one(fd, ecu->size);
        if (!error && (k < ecu->count - 1 || ecu->answers_last)) error = receive_one(fd, ecu->size);
    }
    return error;
}

/* Time messages for some ns, `most` of them at the most; how many there were, or -errno. */
long transfer(int tester_fd, int ecu_fd, size_t size, const int *blocks, int count, int answers_last, int64_t duration,
              long most, int64_t *durations) {
    Ecu ecu = {.fd = ecu_fd, .size = size, .blocks = blocks, .count = count, .answers_last = answers_last};
    pthread_t thread;
    long messages = 0;
    int error = 0;
    int64_t end = now() + duration;
    sem_init(&ecu.message, 0, 0);
    error = pthread_create(&thread, NULL, receive_all, &ecu);
    if (error) return -error;
    do {
        int64_t start = now();
        ecu.is_over = start >= end || messages == most - 1;
        error = send_message(tester_fd, &ecu);
        while (!error && sem_wait(&ecu.message) != 0 && errno == EINTR) {}
        durations[messages++] = now() - start;
    } while (!error && !ecu.is_over && !ecu.error);
    if (error) shutdown(ecu_fd, SHUT_RDWR);     /* the receiver has nothing to wait for any more */
    pthread_join(thread, NULL);
    sem_destroy(&ecu.message);
    if (error || ecu.error) return -(error ? error : ecu.error);
    return messages;
}
"""


@cache
def library(folder: Path) -> ctypes.CDLL:
    """Return the compiled library, which stays in a folder."""
    loaded = ctypes.CDLL(str(compile_library(folder, "pair_floor", C_TRANSFER, ".so", "-pthread")))
    loaded.transfer.restype = ctypes.c_long
    return loaded


def durations_ns(
    ends: Sequence[socket.socket],
    fd: bool,
    blocks: Sequence[int],
    answers_last: bool,
    seconds: float,
    folder: Path,
) -> list[int]:
    """Let one message after the other go, in blocks of so many frames; return how long each took.

    OSError if a frame does not come.
    """
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", int(PATIENCE_S), 0))
        end.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    durations = (ctypes.c_int64 * MOST)()
    messages = library(folder).transfer(
        *(end.fileno() for end in ends),
        ctypes.c_size_t(FD_SIZE if fd else CLASSIC_SIZE),
        (ctypes.c_int * len(blocks))(*blocks),
        len(blocks),
        answers_last,
        ctypes.c_int64(int(seconds * 1e9)),
        ctypes.c_long(MOST),
        durations,
    )
    if messages < 0:
        raise OSError(-messages, "the pair of sockets failed")
    return durations[:messages]
