# SPDX-License-Identifier: BSD-3-Clause
"""What Python sees of libvfio-user and of glue.h, in cffi's dialect of C.

Numbers are written as ``...``: the compiler takes them from the headers.
"""

from __future__ import annotations

CONSTANTS = (
    "LIBVFIO_USER_FLAG_ATTACH_NB",
    "VFU_REGION_FLAG_RW",
    "VFU_REGION_FLAG_MEM",
    "VFU_REGION_FLAG_ALWAYS_CB",
    "PCI_HEADER_TYPE_NORMAL",
    "PROT_READ",
    "PROT_WRITE",
)

DECLARATIONS = """
typedef struct vfu_ctx vfu_ctx_t;

typedef enum { VFU_TRANS_SOCK, ... } vfu_trans_t;
typedef enum { VFU_DEV_TYPE_PCI, ... } vfu_dev_type_t;
typedef enum { VFU_PCI_TYPE_EXPRESS, ... } vfu_pci_type_t;
typedef enum vfu_reset_type { VFU_RESET_DEVICE, VFU_RESET_LOST_CONN, VFU_RESET_PCI_FLR, ... } vfu_reset_type_t;
enum vfu_dev_irq_type { VFU_DEV_INTX_IRQ, VFU_DEV_MSI_IRQ, VFU_DEV_MSIX_IRQ, VFU_DEV_ERR_IRQ, VFU_DEV_REQ_IRQ, ... };
enum { VFU_PCI_DEV_BAR0_REGION_IDX, VFU_PCI_DEV_CFG_REGION_IDX, ... };

typedef struct vfu_dma_info { ...; } vfu_dma_info_t;

typedef void (vfu_log_fn_t)(vfu_ctx_t *vfu_ctx, int level, const char *msg);
typedef int (vfu_device_quiesce_cb_t)(vfu_ctx_t *vfu_ctx);
typedef int (vfu_reset_cb_t)(vfu_ctx_t *vfu_ctx, vfu_reset_type_t type);
typedef void (vfu_dma_register_cb_t)(vfu_ctx_t *vfu_ctx, vfu_dma_info_t *info);
typedef void (vfu_dma_unregister_cb_t)(vfu_ctx_t *vfu_ctx, vfu_dma_info_t *info);
typedef void (vfu_dev_irq_state_cb_t)(vfu_ctx_t *vfu_ctx, uint32_t start, uint32_t count, bool mask);

vfu_ctx_t *vfu_create_ctx(vfu_trans_t trans, const char *path, int flags, void *pvt, vfu_dev_type_t dev_type);
int vfu_realize_ctx(vfu_ctx_t *vfu_ctx);
int vfu_attach_ctx(vfu_ctx_t *vfu_ctx);
int vfu_get_poll_fd(vfu_ctx_t *vfu_ctx);
int vfu_run_ctx(vfu_ctx_t *vfu_ctx);
void vfu_destroy_ctx(vfu_ctx_t *vfu_ctx);
void *vfu_get_private(vfu_ctx_t *vfu_ctx);
int vfu_setup_log(vfu_ctx_t *vfu_ctx, vfu_log_fn_t *log, int level);
int vfu_setup_device_reset_cb(vfu_ctx_t *vfu_ctx, vfu_reset_cb_t *reset);
void vfu_setup_device_quiesce_cb(vfu_ctx_t *vfu_ctx, vfu_device_quiesce_cb_t *quiesce_cb);
int vfu_setup_device_dma(vfu_ctx_t *vfu_ctx, vfu_dma_register_cb_t *dma_register,
                         vfu_dma_unregister_cb_t *dma_unregister);
int vfu_setup_device_nr_irqs(vfu_ctx_t *vfu_ctx, enum vfu_dev_irq_type type, uint32_t count);
int vfu_setup_irq_state_callback(vfu_ctx_t *vfu_ctx, enum vfu_dev_irq_type type, vfu_dev_irq_state_cb_t *cb);
int vfu_irq_trigger(vfu_ctx_t *vfu_ctx, uint32_t subindex);
int vfu_pci_init(vfu_ctx_t *vfu_ctx, vfu_pci_type_t pci_type, int hdr_type, int revision);

typedef int (*hilnic_read_fn)(void *handle, int region, uint64_t offset, uint32_t size, uint64_t *value);
typedef int (*hilnic_write_fn)(void *handle, int region, uint64_t offset, uint32_t size, uint64_t value);
void hilnic_set_handlers(hilnic_read_fn on_read, hilnic_write_fn on_write);
typedef int (*hilnic_fast_read_fn)(void *engine, uint64_t offset, uint32_t size, uint64_t *value);
typedef int (*hilnic_fast_write_fn)(void *engine, uint64_t offset, uint32_t size, uint64_t value);
void hilnic_answer_bar0(hilnic_fast_read_fn on_read, hilnic_fast_write_fn on_write, void *engine);
int hilnic_setup_region(vfu_ctx_t *ctx, int region, size_t size, int flags, int fd, size_t at, size_t length);
typedef struct hilnic_dma {
    uint64_t iova;
    uint64_t size;
    uint64_t mapped;
    uintptr_t address;
    uint32_t prot;
} hilnic_dma_t;
hilnic_dma_t hilnic_dma_describe(const vfu_dma_info_t *info);
int hilnic_guard_install(void);
int hilnic_copy_from(void *to, uintptr_t guest, size_t size);
int hilnic_copy_to(uintptr_t guest, const void *from, size_t size);
int hilnic_store32(uintptr_t guest, uint32_t value);
int hilnic_store64(uintptr_t guest, uint64_t value);

extern "Python" {
    int hilnic_on_read(void *handle, int region, uint64_t offset, uint32_t size, uint64_t *value);
    int hilnic_on_write(void *handle, int region, uint64_t offset, uint32_t size, uint64_t value);
    int hilnic_on_reset(vfu_ctx_t *ctx, vfu_reset_type_t type);
    int hilnic_on_quiesce(vfu_ctx_t *ctx);
    void hilnic_on_dma_register(vfu_ctx_t *ctx, vfu_dma_info_t *info);
    void hilnic_on_dma_unregister(vfu_ctx_t *ctx, vfu_dma_info_t *info);
    void hilnic_on_intx_state(vfu_ctx_t *ctx, uint32_t start, uint32_t count, bool mask);
    void hilnic_on_msi_state(vfu_ctx_t *ctx, uint32_t start, uint32_t count, bool mask);
    void hilnic_on_msix_state(vfu_ctx_t *ctx, uint32_t start, uint32_t count, bool mask);
    void hilnic_on_log(vfu_ctx_t *ctx, int level, const char *msg);
}
""" + "".join(f"#define {name} ...\n" for name in CONSTANTS)

PREAMBLE = """
#include <stdbool.h>
#include <sys/mman.h>
#include "glue.h"
"""
