# SPDX-License-Identifier: BSD-3-Clause
"""Calls on BPF programs of a cgroup that answer the same for every packet: bpf(2) by hand, two instructions each."""

from __future__ import annotations

import ctypes
import os
import struct

SYS_BPF = 321
"""x86-64 (arch/x86/entry/syscalls/syscall_64.tbl)."""

PROG_LOAD, PROG_ATTACH, PROG_DETACH = 5, 8, 9
CGROUP_SKB, INET_EGRESS = 8, 1
"""Linux include/uapi/linux/bpf.h: commands, program type and place of attachment."""

MOVE_TO_R0, EXIT = 0xB7, 0x95
"""Opcodes: r0 = constant, and the end (Documentation/bpf/standardization/instruction-set.rst)."""

ATTRIBUTES = 128


class Verdicts:
    """Each public method is one call; a program is named by its descriptor."""

    def load_verdict(self, verdict: int) -> int:
        """Load an egress program that returns ``verdict``; return its descriptor."""
        code = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", MOVE_TO_R0, 0, 0, verdict, EXIT, 0, 0, 0), 16)
        licence = ctypes.create_string_buffer(b"GPL")
        head = struct.pack("<IIQQIIQII", CGROUP_SKB, 2, *map(ctypes.addressof, (code, licence)), 0, 0, 0, 0, 0)
        return bpf(PROG_LOAD, head + bytes(16) + struct.pack("<II", 0, INET_EGRESS))

    def attach_verdict(self, folder: str, program: int, on: bool = True) -> None:  # noqa: FBT001, FBT002
        """Attach a program to the cgroup at ``folder``, or detach it and forget it."""
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            bpf(PROG_ATTACH if on else PROG_DETACH, struct.pack("<IIII", handle, program, INET_EGRESS, 0))
        finally:
            os.close(handle)
            if not on:
                os.close(program)


def bpf(command: int, attributes: bytes) -> int:
    """Do the system call and return what it returned. Raises OSError."""
    room = ctypes.create_string_buffer(attributes, ATTRIBUTES)
    call = ctypes.CDLL(None, use_errno=True).syscall
    result: int = call(SYS_BPF, command, ctypes.byref(room), ATTRIBUTES)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"bpf command {command} was refused: {os.strerror(number)}")
    return result
