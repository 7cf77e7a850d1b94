/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What stands between libvfio-user and Python: region trampolines that turn any access into naturally
 * aligned integers, and guest memory accesses that survive a client which takes its memory away.
 */
#ifndef HILNIC_GLUE_H
#define HILNIC_GLUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <libvfio-user.h>

/* Implemented in Python. A non-zero result is an errno. The handle is the pointer given to vfu_create_ctx(). */
typedef int (*hilnic_read_fn)(void *handle, int region, uint64_t offset, uint32_t size, uint64_t *value);
typedef int (*hilnic_write_fn)(void *handle, int region, uint64_t offset, uint32_t size, uint64_t value);

void hilnic_set_handlers(hilnic_read_fn on_read, hilnic_write_fn on_write);

/*
 * Let these functions answer whole accesses of BAR 0 before Python is asked; a non-zero result leaves the access to it.
 * NULL: Python answers all.
 */
typedef int (*hilnic_fast_read_fn)(void *engine, uint64_t offset, uint32_t size, uint64_t *value);
typedef int (*hilnic_fast_write_fn)(void *engine, uint64_t offset, uint32_t size, uint64_t value);

void hilnic_answer_bar0(hilnic_fast_read_fn on_read, hilnic_fast_write_fn on_write, void *engine);

/*
 * Install the region callback of BAR 0-5 or of configuration space. With a file (fd not -1) that holds the whole region,
 * the client may map `length` bytes of it from `at` on. Returns 0, or -1 with errno.
 */
int hilnic_setup_region(vfu_ctx_t *ctx, int region, size_t size, int flags, int fd, size_t at, size_t length);

/* A DMA region as the client declared it; address is 0 if it is not mapped here, mapped <= size is what can be touched. */
typedef struct hilnic_dma {
    uint64_t iova;
    uint64_t size;
    uint64_t mapped;
    uintptr_t address;
    uint32_t prot;
} hilnic_dma_t;

hilnic_dma_t hilnic_dma_describe(const vfu_dma_info_t *info);

/* Take over SIGBUS for the guarded accesses below. Returns 0, or -1 with errno. */
int hilnic_guard_install(void);

/* Guarded accesses to guest memory. Return 0, or -1 if the memory has gone. */
int hilnic_copy_from(void *to, uintptr_t guest, size_t size);
int hilnic_copy_to(uintptr_t guest, const void *from, size_t size);
int hilnic_store32(uintptr_t guest, uint32_t value);
int hilnic_store64(uintptr_t guest, uint64_t value);

#endif
