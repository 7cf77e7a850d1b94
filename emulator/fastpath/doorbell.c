/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Posted register writes without libvfio-user: what stands at the head of the client's socket is looked at, and as far as
 * it consists of writes that the engine answers by itself it is taken off, many with one system call. Everything else
 * is left to the library.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "engine.h"

#define REGION_WRITE 10
#define TYPE_MASK 0xFu
#define COMMAND 0u
#define NO_REPLY 0x10u
#define LOOK (64 * sizeof(struct posted))

/* The vfio-user protocol's header and region access, as QEMU posts a write of four bytes. */
struct posted {
    uint16_t id, command;
    uint32_t size, flags, error;
    uint64_t offset;
    uint32_t region, count, value;
} __attribute__((packed));

int
fp_take_posted(struct fp_engine *e, int fd)
{
    uint8_t look[LOOK];
    ssize_t got = recv(fd, look, sizeof(look), MSG_PEEK | MSG_DONTWAIT);
    size_t at = 0;
    int many = 0;

    if (got < 0 && errno == EAGAIN) {
        return -1;
    }
    while (got >= 0 && at + sizeof(struct posted) <= (size_t)got) {
        struct posted p;

        memcpy(&p, look + at, sizeof(p));
        if (p.command != REGION_WRITE || (p.flags & (TYPE_MASK | NO_REPLY)) != (COMMAND | NO_REPLY) ||
            p.size != sizeof(p) || p.region != 0 || p.count != 4 || fp_bar_write(e, p.offset, 4, p.value) != 0) {
            break;
        }
        at += sizeof(p);
        many++;
    }
    if (at > 0 && recv(fd, look, at, MSG_DONTWAIT) != (ssize_t)at) {
        e->attention = true; /* nobody else reads this socket: the library will find it broken */
    }
    return many;
}
