# SPDX-License-Identifier: BSD-3-Clause
"""A vfio-user server on one socket: libvfio-user's context, typed.

libvfio-user calls back from inside ``step``. What a callback raises is kept, the client gets an I/O
error, and ``step`` raises it to its caller: no exception is lost in C. A context is used by one thread.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from typing import TYPE_CHECKING, Any

from emulator.errors import EnvironmentLacks, VfuError
from emulator.vfu.callbacks import LOGGER, register_callbacks
from emulator.vfu.device import CONFIG_REGION, Device, IrqKind, Region
from emulator.vfu.socket_path import claim_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
GONE = frozenset({errno.ENOMSG, errno.ECONNRESET, errno.EPIPE})
SYSLOG_ERROR, SYSLOG_DEBUG = 3, 7
MOST_COMPLAINTS = 20
"""How many warnings about one client are logged."""


def native() -> Any:  # noqa: ANN401 - cffi's objects have no types
    """Return the compiled bindings, or say how to get them."""
    try:
        from emulator.vfu import _native  # type: ignore[attr-defined] # noqa: PLC0415 - may be missing, and that is a sentence
    except ImportError as error:
        raise EnvironmentLacks(
            f"the bindings to libvfio-user must be built, and are not ({error}): "
            "make setup, or python -m emulator.vfu.build --source DIR"
        ) from error
    return _native


class Context:
    """A PCI Express device behind a vfio-user socket."""

    def __init__(self, path: Path, regions: Iterable[Region], vectors: dict[IrqKind, int], log_level: int) -> None:
        """Bind ``path``; ``regions`` must include configuration space; ``log_level`` is Python's.

        ERR and REQ are offered, because QEMU wants them, and never signalled: they stop or unplug a guest's device.
        """
        module = native()
        self._ffi, self._lib = module.ffi, module.lib
        register_callbacks(module)
        claim_socket(path)
        self.path = path
        self.connected = False
        self._device: Device | None = None
        self._failure: BaseException | None = None
        self._closing = False
        self._complaints = 0
        self.when_failing: Callable[[], None] = lambda: None
        """Called as soon as a callback has raised something."""
        self._handle = self._ffi.new_handle(self)
        lib = self._lib
        if lib.hilnic_guard_install() != 0:
            raise VfuError("installing the SIGBUS guard", self._ffi.errno)
        self._ctx = lib.vfu_create_ctx(
            lib.VFU_TRANS_SOCK,
            os.fsencode(path),
            lib.LIBVFIO_USER_FLAG_ATTACH_NB,
            self._handle,
            lib.VFU_DEV_TYPE_PCI,
        )
        if self._ctx == self._ffi.NULL:
            raise VfuError(f"listening on {path}", self._ffi.errno)
        syslog_level = SYSLOG_DEBUG if log_level <= logging.DEBUG else SYSLOG_ERROR
        self._check(lib.vfu_setup_log(self._ctx, lib.hilnic_on_log, syslog_level), "setting up the log")
        self._check(
            lib.vfu_pci_init(self._ctx, lib.VFU_PCI_TYPE_EXPRESS, lib.PCI_HEADER_TYPE_NORMAL, 0), "becoming a device"
        )
        for region in regions:
            self._set_up_region(region)
        irqs = {
            lib.VFU_DEV_INTX_IRQ: vectors.get(IrqKind.INTX, 0),
            lib.VFU_DEV_MSI_IRQ: vectors.get(IrqKind.MSI, 0),
            lib.VFU_DEV_MSIX_IRQ: vectors.get(IrqKind.MSIX, 0),
            lib.VFU_DEV_ERR_IRQ: 1,
            lib.VFU_DEV_REQ_IRQ: 1,
        }
        for index, count in irqs.items():
            self._check(lib.vfu_setup_device_nr_irqs(self._ctx, index, count), "setting up interrupts")

    def realize(self, device: Device) -> None:
        """Connect ``device`` and become ready for a client."""
        lib = self._lib
        self._device = device
        self._check(lib.vfu_setup_device_reset_cb(self._ctx, lib.hilnic_on_reset), "setting up resets")
        lib.vfu_setup_device_quiesce_cb(self._ctx, lib.hilnic_on_quiesce)
        self._check(
            lib.vfu_setup_device_dma(self._ctx, lib.hilnic_on_dma_register, lib.hilnic_on_dma_unregister),
            "setting up DMA",
        )
        for index, callback in (
            (lib.VFU_DEV_INTX_IRQ, lib.hilnic_on_intx_state),
            (lib.VFU_DEV_MSI_IRQ, lib.hilnic_on_msi_state),
            (lib.VFU_DEV_MSIX_IRQ, lib.hilnic_on_msix_state),
        ):
            self._check(lib.vfu_setup_irq_state_callback(self._ctx, index, callback), "setting up masks")
        self._check(lib.vfu_realize_ctx(self._ctx), "realizing the device")

    def fileno(self) -> int:
        """Return the descriptor to wait on: the client's, or the listening one. It changes with ``connected``."""
        return int(self._lib.vfu_get_poll_fd(self._ctx))

    def step(self) -> bool:
        """Accept a client or handle one message, without waiting for either; tell whether something was done.

        A client's nonsense is answered to the client, or ends its connection. Raises what a callback
        raised, and VfuError when this process is out of resources.
        """
        done = self._run() if self.connected else self._attach()
        self.raise_kept()
        return done

    def raise_kept(self) -> None:
        """Raise what a callback has raised since the last time, if it has."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def runner(self, ffi: Any) -> tuple[Any, Any]:  # noqa: ANN401 - cffi's objects have no types
        """Return, as pointers of ``ffi``, what handles one message and its argument; no argument without a client."""
        run = ffi.cast(
            "int (*)(void *)", int(self._ffi.cast("uintptr_t", self._ffi.addressof(self._lib, "vfu_run_ctx")))
        )
        return run, self._pointer(ffi) if self.connected else ffi.NULL

    def answer_bar0(self, ffi: Any, read: Any, write: Any, engine: Any) -> None:  # noqa: ANN401 - cffi's objects have no types
        """Let C functions of ``ffi`` answer accesses of BAR 0 first; a non-zero result leaves one to the device."""

        def ours(kind: str, pointer: Any) -> Any:  # noqa: ANN401 - cffi's objects have no types
            return self._ffi.cast(kind, int(ffi.cast("uintptr_t", pointer)))

        self._lib.hilnic_answer_bar0(
            ours("hilnic_fast_read_fn", read), ours("hilnic_fast_write_fn", write), ours("void *", engine)
        )

    def signaller(self, ffi: Any) -> tuple[Any, Any]:  # noqa: ANN401 - cffi's objects have no types
        """Return, as pointers of ``ffi``, what signals a vector and its first argument."""
        trigger = int(self._ffi.cast("uintptr_t", self._ffi.addressof(self._lib, "vfu_irq_trigger")))
        return ffi.cast("int (*)(void *, uint32_t)", trigger), self._pointer(ffi)

    def _pointer(self, ffi: Any) -> Any:  # noqa: ANN401 - cffi's objects have no types
        return ffi.cast("void *", int(self._ffi.cast("uintptr_t", self._ctx)))

    def trigger(self, vector: int) -> bool:
        """Signal ``vector``; False if the client has not connected an eventfd to it."""
        if self._lib.vfu_irq_trigger(self._ctx, vector) == 0:
            return True
        # A counter that cannot grow still wakes its reader.
        return bool(self._ffi.errno == errno.EAGAIN)

    def close(self) -> None:
        """Drop the client, if any, and remove the socket."""
        if self._ctx != self._ffi.NULL:
            self._closing = True
            self._lib.hilnic_answer_bar0(self._ffi.NULL, self._ffi.NULL, self._ffi.NULL)
            self._lib.vfu_destroy_ctx(self._ctx)
            self._ctx = self._ffi.NULL
            self.path.unlink(missing_ok=True)

    def _check(self, result: int, operation: str) -> None:
        if result != 0:
            error = VfuError(operation, self._ffi.errno)
            self.close()
            raise error

    def _set_up_region(self, region: Region) -> None:
        lib = self._lib
        flags = lib.VFU_REGION_FLAG_RW
        if region.index == CONFIG_REGION:
            # The library's own configuration space refuses writes that hardware ignores, and aborts on others.
            flags |= lib.VFU_REGION_FLAG_ALWAYS_CB
        elif region.memory:
            flags |= lib.VFU_REGION_FLAG_MEM
        self._check(
            lib.hilnic_setup_region(
                self._ctx, region.index, region.size, flags, region.fd, region.mapped.start, len(region.mapped)
            ),
            f"setting up region {region.index}",
        )

    def _attach(self) -> bool:
        if self._lib.vfu_attach_ctx(self._ctx) == 0:
            self.connected = True
            self._complaints = 0
            LOGGER.info("a client has come")
            return True
        error = self._ffi.errno
        if error in OUT_OF_RESOURCES:
            raise VfuError("accepting a client", error)
        if error in GONE:
            LOGGER.info("a client has left without a word")
            return True
        if error not in (errno.EAGAIN, errno.EINTR):
            self.note(logging.WARNING, f"a client must agree on a version, not end in {os.strerror(error)}")
            return True
        return False

    def _run(self) -> bool:
        handled = self._lib.vfu_run_ctx(self._ctx)
        if handled >= 0:
            return bool(handled)
        self.ended(self._ffi.errno)
        return True

    def ended(self, error: int) -> None:
        """Take note that handling a message ended in ``error``."""
        if error != errno.ENOTCONN:
            self.note(logging.WARNING, f"the connection ends, because of {os.strerror(error)}")
            self.hang_up()
            self._lib.vfu_run_ctx(self._ctx)
        self.forget_client()

    def hang_up(self) -> None:
        """End the client's connection; the next ``step`` takes note."""
        if self.connected:
            with socket.socket(fileno=os.dup(self.fileno())) as connection:
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def device(self) -> Device | None:
        """What the client drives; None before ``realize`` and while closing."""
        return None if self._closing else self._device

    def keep(self, failure: BaseException) -> None:
        """Remember what a callback raised, for ``step``; the first one counts."""
        self._failure = self._failure or failure
        self.when_failing()

    def note(self, level: int, text: str) -> None:
        """Log ``text`` about the client; one that talks much nonsense is not given the log for itself."""
        if level >= logging.WARNING:
            self._complaints += 1
            if self._complaints == MOST_COMPLAINTS:
                LOGGER.warning("%s; further complaints about this client are for --log-level debug only", text)
            if self._complaints >= MOST_COMPLAINTS:
                level = logging.DEBUG
        LOGGER.log(level, "%s", text)

    def forget_client(self) -> None:
        """Take note that the library has dropped the client; it says so from inside a callback."""
        if self.connected:
            self.connected = False
            LOGGER.info("the client has left")
