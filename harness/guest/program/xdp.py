# SPDX-License-Identifier: BSD-3-Clause
"""Calls that attach a program of express data path to an interface (bpf(2), no compiler and no tool needed)."""

from __future__ import annotations

import ctypes
import os
import socket
import struct

SYS_BPF = 321
PROG_LOAD, LINK_CREATE = 5, 28
PROG_TYPE_XDP, ATTACH_XDP = 6, 37
DRIVER_MODE = 1 << 2
"""XDP_FLAGS_DRV_MODE of include/uapi/linux/if_link.h: in the driver, or not at all."""

MOVE_TO_R0, EXIT = 0xB7, 0x95
"""Operation codes of eBPF (RFC 9669)."""

ATTRIBUTES = 128


def bpf(command: int, attributes: bytes) -> int:
    """Do one system call of eBPF; the answer is a descriptor. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    room = ctypes.create_string_buffer(attributes.ljust(ATTRIBUTES, b"\0"), ATTRIBUTES)
    answer = int(libc.syscall(SYS_BPF, command, room, ATTRIBUTES))
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"bpf command {command}: {os.strerror(number)}")
    return answer


class Xdp:
    """Each public method is one call."""

    def attach_xdp(self, interface: str, verdict: int) -> int:
        """Let the driver of ``interface`` run a program that says ``verdict`` of every frame; the answer is its link.

        Closing the link detaches the program.
        """
        code = struct.pack("<BBhi", MOVE_TO_R0, 0, 0, verdict) + struct.pack("<BBhi", EXIT, 0, 0, 0)
        instructions, licence = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"GPL")
        where = ctypes.addressof(instructions), ctypes.addressof(licence)
        program = bpf(PROG_LOAD, struct.pack("<IIQQ", PROG_TYPE_XDP, len(code) // 8, *where))
        try:
            index = socket.if_nametoindex(interface)
            return bpf(LINK_CREATE, struct.pack("<IIII", program, index, ATTACH_XDP, DRIVER_MODE))
        finally:
            os.close(program)

    def detach_xdp(self, link: int) -> None:
        """Close a link."""
        os.close(link)
