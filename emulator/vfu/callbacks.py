# SPDX-License-Identifier: BSD-3-Clause
"""The Python side of libvfio-user's callbacks.

cffi binds them once for the extension; each finds its Context behind the pointer that C holds. Whatever
the device raises is kept by the Context, because C cannot carry it.
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Any

from emulator.vfu.device import ClientReset, DmaRegion, IrqKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.vfu.context import Context
    from emulator.vfu.device import Device

LOGGER = logging.getLogger("hilnic.vfu")
CRITICAL, WARNING, INFO, DEBUG = logging.CRITICAL, logging.WARNING, logging.INFO, logging.DEBUG
SAID_BY_US = ("no fd for", "failed to recv version", "failed to receive version")
"""Complaints of the library that are everyday life, or that the Context repeats in better words."""

LEVEL_OF_SYSLOG = (CRITICAL, CRITICAL, CRITICAL, WARNING, WARNING, INFO, INFO, DEBUG)


def dma_region(lib: Any, info: Any) -> DmaRegion:  # noqa: ANN401 - cffi's objects have no types
    """Return what ``struct vfu_dma_info`` says."""
    dma = lib.hilnic_dma_describe(info)
    return DmaRegion(
        iova=dma.iova,
        size=dma.size,
        address=dma.address,
        mapped=dma.mapped,
        readable=bool(dma.prot & lib.PROT_READ),
        writable=bool(dma.prot & lib.PROT_WRITE),
    )


def tell(context: Context, call: Callable[[Device], None]) -> None:
    """Do ``call`` for the context's device, if it has one; keep what it raises."""
    device = context.device
    if device is None:
        return
    try:
        call(device)
    except BaseException as error:  # noqa: BLE001 - kept for step(); C cannot carry it
        context.keep(error)


def register_callbacks(module: Any) -> None:  # noqa: ANN401 - cffi's objects have no types
    """Give the extension its Python side."""
    ffi, lib = module.ffi, module.lib
    from_handle = ffi.from_handle

    def context_of(ctx: object) -> Context:
        context: Context = from_handle(lib.vfu_get_private(ctx))
        return context

    def on_read(handle: object, region: int, offset: int, size: int, value: Any) -> int:  # noqa: ANN401 - cffi's objects have no types
        context = from_handle(handle)
        try:
            value[0] = context.device.read(region, offset, size)
        except BaseException as error:  # noqa: BLE001 - kept for step(); C cannot carry it
            context.keep(error)
            return errno.EIO
        return 0

    def on_write(handle: object, region: int, offset: int, size: int, value: int) -> int:
        context = from_handle(handle)
        try:
            context.device.write(region, offset, size, value)
        except BaseException as error:  # noqa: BLE001 - kept for step(); C cannot carry it
            context.keep(error)
            return errno.EIO
        return 0

    def on_reset(ctx: object, kind: int) -> int:
        lost = kind == lib.VFU_RESET_LOST_CONN
        context = context_of(ctx)
        tell(context, lambda device: device.reset(ClientReset.LOST_CLIENT if lost else ClientReset.REQUESTED))
        if lost:
            context.forget_client()
        return 0

    def on_quiesce(ctx: object) -> int:
        tell(context_of(ctx), lambda device: device.quiesce())
        return 0

    def on_dma_register(ctx: object, info: object) -> None:
        region = dma_region(lib, info)
        tell(context_of(ctx), lambda device: device.dma_map(region))

    def on_dma_unregister(ctx: object, info: object) -> None:
        region = dma_region(lib, info)
        tell(context_of(ctx), lambda device: device.dma_unmap(region.iova, region.size))

    def on_state(kind: IrqKind) -> Callable[[object, int, int, bool], None]:
        def take(ctx: object, start: int, count: int, masked: bool) -> None:  # noqa: FBT001 - a level or a mask is a Boolean by nature
            tell(context_of(ctx), lambda device: device.irq_masked(kind, range(start, start + count), masked))

        return take

    def on_log(ctx: object, level: int, message: object) -> None:
        text = ffi.string(message).decode(errors="replace")
        if text.startswith(SAID_BY_US):
            LOGGER.debug("%s", text)
        else:
            context_of(ctx).note(LEVEL_OF_SYSLOG[level & 7], text)

    for name, function, answer in (
        ("hilnic_on_read", on_read, errno.EIO),
        ("hilnic_on_write", on_write, errno.EIO),
        ("hilnic_on_reset", on_reset, 0),
        ("hilnic_on_quiesce", on_quiesce, 0),
        ("hilnic_on_dma_register", on_dma_register, None),
        ("hilnic_on_dma_unregister", on_dma_unregister, None),
        ("hilnic_on_intx_state", on_state(IrqKind.INTX), None),
        ("hilnic_on_msi_state", on_state(IrqKind.MSI), None),
        ("hilnic_on_msix_state", on_state(IrqKind.MSIX), None),
        ("hilnic_on_log", on_log, None),
    ):
        ffi.def_extern(name=name, error=answer)(function)
    lib.hilnic_set_handlers(lib.hilnic_on_read, lib.hilnic_on_write)
