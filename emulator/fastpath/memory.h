/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory by I/O virtual address: the DMA regions that the client has mapped into this process. The twin of
 * emulator/guest_memory.py.
 */
#ifndef HILNIC_FASTPATH_MEMORY_H
#define HILNIC_FASTPATH_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fp_region {
    uint64_t iova, size, mapped;
    uintptr_t address;
    bool readable, writable;
};

struct fp_log;

struct fp_memory {
    struct fp_region *regions; /* by rising iova */
    size_t count, room;
    size_t recent;
    bool enabled; /* the function is a bus master */
    struct fp_log *log; /* of every access, or NULL */
};

/* Take over SIGBUS for accesses to guest memory. Returns 0, or -1 with errno. */
int fp_guard_install(void);

bool fp_map(struct fp_memory *m, const struct fp_region *region);
void fp_unmap(struct fp_memory *m, uint64_t iova, uint64_t size);
void fp_forget_memory(struct fp_memory *m);

/* False: not (all) mapped for this kind of access, no bus master, or the memory has gone. Then nothing was stored. */
bool fp_read(struct fp_memory *m, uint64_t iova, void *to, size_t size);
bool fp_write(struct fp_memory *m, uint64_t iova, const void *from, size_t size);
/* One naturally aligned word, visible at once and after all earlier writes. */
bool fp_store64(struct fp_memory *m, uint64_t iova, uint64_t value);
bool fp_store32(struct fp_memory *m, uint64_t iova, uint32_t value);

/* Whether one region holds all of it, for both kinds of access. */
bool fp_memory_holds(struct fp_memory *m, uint64_t iova, size_t size);

/* The same without a log; at_once: 4 or 8 for one word, 0. */
bool fp_memory_read(struct fp_memory *m, uint64_t iova, void *to, size_t size);
bool fp_memory_write(struct fp_memory *m, uint64_t iova, const void *from, size_t size, int at_once);

#endif
