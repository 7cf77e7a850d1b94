# SPDX-License-Identifier: BSD-3-Clause
"""Changes that the build makes to libvfio-user (revision 0b28d205), each with its reason.

Every change replaces text that must occur exactly once, so another revision either takes it as it is or
stops the build with the name of the change. They are faults that a client can reach: reads past the
message, an abort, a wait without end, a closed descriptor that is not its own.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patch:
    """Replace ``old`` by ``new`` in ``file``, because of ``why``."""

    file: str
    why: str
    old: str
    new: str


PATCHES = (
    Patch(
        "lib/irq.c",
        "irqs_disable() took a count for an end: a range that does not start at 0 kept its eventfds",
        "for (i = start; i < count; i++) {",
        "for (i = start; i < (size_t)start + count; i++) {",
    ),
    Patch(
        "lib/irq.c",
        "start + count of SET_IRQS could wrap around 32 bits and pass the check",
        "(irq_set->start + irq_set->count > vfu_ctx->irq_count[irq_set->index])) {",
        "(irq_set->count > vfu_ctx->irq_count[irq_set->index] - irq_set->start)) {",
    ),
    Patch(
        "lib/irq.c",
        "a client's eventfd that is full or no eventfd at all must not block the server",
        """        vfu_ctx->irqs->efds[i] = consume_fd(data, irq_set->count, j);
""",
        """        vfu_ctx->irqs->efds[i] = consume_fd(data, irq_set->count, j);
        (void) fcntl(vfu_ctx->irqs->efds[i], F_SETFL,
                     fcntl(vfu_ctx->irqs->efds[i], F_GETFL) | O_NONBLOCK);
""",
    ),
    Patch(
        "lib/irq.c",
        "the eventfds of ERR and REQ were stored where vector 0 belongs, so that an interrupt asked for an unplug",
        """    switch (data_type) {
""",
        """    if (irq_set->index == VFIO_PCI_ERR_IRQ_INDEX ||
        irq_set->index == VFIO_PCI_REQ_IRQ_INDEX) {
        int *efd = irq_set->index == VFIO_PCI_ERR_IRQ_INDEX ?
                   &vfu_ctx->irqs->err_efd : &vfu_ctx->irqs->req_efd;

        if (data_type == VFIO_IRQ_SET_DATA_EVENTFD) {
            if (*efd >= 0) {
                close(*efd);
            }
            *efd = consume_fd(msg->in.fds, msg->in.nr_fds, 0);
            (void) fcntl(*efd, F_SETFL, fcntl(*efd, F_GETFL) | O_NONBLOCK);
        } else if (*efd >= 0 && (data_type == VFIO_IRQ_SET_DATA_NONE ||
                                 *(uint8_t *)(irq_set + 1) == 1)) {
            (void) eventfd_write(*efd, 1);
        }
        return 0;
    }

    switch (data_type) {
""",
    ),
    Patch("lib/irq.c", "declares fcntl()", "#include <errno.h>\n", "#include <errno.h>\n#include <fcntl.h>\n"),
    Patch(
        "lib/irq.c",
        "a new eventfd starts unmasked, and the device must hear of it: an INTx line may be asserted already",
        """        return irqs_set_data_eventfd(vfu_ctx, irq_set, msg->in.fds);
""",
        """        ret = irqs_set_data_eventfd(vfu_ctx, irq_set, msg->in.fds);
        if (ret == 0 && vfu_ctx->irq_state_cbs[irq_set->index] != NULL) {
            vfu_ctx->irq_state_cbs[irq_set->index](vfu_ctx, irq_set->start,
                                                   irq_set->count, false);
        }
        return ret;
""",
    ),
    Patch(
        "lib/libvfio-user.c",
        "16 DMA regions are fewer than a client with an IOMMU or many BARs maps, and a refused map ends its guest",
        "vfu_ctx->dma = dma_controller_create(vfu_ctx, MAX_DMA_REGIONS,",
        "vfu_ctx->dma = dma_controller_create(vfu_ctx, 32768,",
    ),
    Patch(
        "lib/libvfio-user.c",
        "DMA_UNMAP looked at flags and bitmap before it knew that the message holds them",
        """    size_t min_argsz = sizeof(*dma_unmap);

    switch (dma_unmap->flags) {
    case VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP:
""",
        """    size_t min_argsz = sizeof(*dma_unmap);

    if (msg->in.iov.iov_len < sizeof(*dma_unmap)) {
        errno = EINVAL;
        return false;
    }

    switch (dma_unmap->flags) {
    case VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP:
        if (msg->in.iov.iov_len < sizeof(*dma_unmap) + sizeof(*dma_unmap->bitmap)) {
            errno = EINVAL;
            return false;
        }
""",
    ),
    Patch(
        "lib/dma.c",
        "mapping the same region again leaked the new descriptor",
        """                return ERROR_INT(EINVAL);
            }
            return idx;
""",
        """                return ERROR_INT(EINVAL);
            }
            if (fd != -1 && fd != region->fd) {
                close(fd);
            }
            return idx;
""",
    ),
    Patch(
        "lib/dma.c",
        "a region of no bytes takes a slot, overlaps nothing and means nothing",
        "    if (size > dma->max_size) {",
        "    if (size == 0 || (uintptr_t)dma_addr + size - 1 < (uintptr_t)dma_addr) {\n"
        "        return ERROR_INT(EINVAL);\n"
        "    }\n\n"
        "    if (size > dma->max_size) {",
    ),
    Patch(
        "lib/dma.c",
        "an offset inside a page moved the region past the end of its mapping",
        "    mmap_len = ROUND_UP(region->info.iova.iov_len, region->info.page_size);",
        "    mmap_len = ROUND_UP(region->offset - offset + region->info.iova.iov_len,\n"
        "                        region->info.page_size);",
    ),
    Patch(
        "lib/dma.c",
        "the caller closes the descriptor of a failed map too; one of the two would hit a stranger",
        """            if (close(region->fd) == -1) {
                vfu_log(dma->vfu_ctx, LOG_WARNING,
                        "failed to close fd %d: %m", region->fd);
            }
            free(region->dirty_bitmap);
""",
        """            free(region->dirty_bitmap);
""",
    ),
    Patch(
        "lib/tran_sock.c",
        "a client that connects and says nothing, or stops reading, must not stop the card for ever",
        """    ret = tran_negotiate(vfu_ctx);
""",
        """    {
        struct timeval patience = { .tv_sec = 2 };

        (void) setsockopt(ts->conn_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        (void) setsockopt(ts->conn_fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    }

    ret = tran_negotiate(vfu_ctx);
""",
    ),
    Patch(
        "lib/tran_sock.c",
        "declares struct timeval",
        "#include <sys/un.h>\n",
        "#include <sys/un.h>\n#include <sys/time.h>\n",
    ),
    Patch(
        "lib/tran_sock.c",
        "a body longer than one socket buffer arrives in pieces",
        "    ret = recv(ts->conn_fd, msg->in.iov.iov_base, msg->in.iov.iov_len, 0);",
        "    ret = recv(ts->conn_fd, msg->in.iov.iov_base, msg->in.iov.iov_len, MSG_WAITALL);",
    ),
    Patch(
        "lib/libvfio-user.c",
        "after a header that cannot be right nobody knows where the next message starts: answer and hang up",
        """        ret = ERROR_INT(EINVAL);
        goto err;
    }

    msg->in.iov.iov_len = msg->hdr.msg_size - sizeof(msg->hdr);
""",
        """        if (msg->hdr.msg_size != sizeof(msg->hdr)) {
            (void) vfu_ctx->tran->reply(vfu_ctx, msg, EINVAL);
            goto hang_up;
        }
        ret = ERROR_INT(EINVAL);
        goto err;
    }

    msg->in.iov.iov_len = msg->hdr.msg_size - sizeof(msg->hdr);
""",
    ),
    Patch(
        "lib/libvfio-user.c",
        "a body that does not come leaves the stream in the middle of a message: hang up",
        """        ret = vfu_ctx->tran->recv_body(vfu_ctx, msg);

        if (ret < 0) {
            goto err;
        }
""",
        """        ret = vfu_ctx->tran->recv_body(vfu_ctx, msg);

        if (ret < 0) {
            goto hang_up;
        }
""",
    ),
    Patch(
        "lib/libvfio-user.c",
        "the way out of the two changes above",
        """    /* We handled the message already. */
    return ERROR_INT(ENOMSG);
""",
        """    /* We handled the message already. */
    return ERROR_INT(ENOMSG);

hang_up:
    free_msg(vfu_ctx, msg);
    ret = vfu_reset_ctx(vfu_ctx, ECONNRESET);
    return ret < 0 ? ret : ERROR_INT(ENOTCONN);
""",
    ),
)
