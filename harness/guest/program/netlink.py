# SPDX-License-Identifier: BSD-3-Clause
"""Calls that speak generic netlink (linux/genetlink.h), for families that no tool in the guest knows."""

from __future__ import annotations

import base64
import os
import socket
import struct
from typing import TYPE_CHECKING

from .files import b64

if TYPE_CHECKING:
    from collections.abc import Iterator

NETLINK_GENERIC = 16
GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 16, 3
CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 1, 2
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
HEAD, GENERIC_HEAD, ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BBH"), struct.Struct("=HH")
ANSWER_BYTES = 1 << 16
PATIENCE_S = 5.0


def aligned(size: int) -> int:
    """Return ``size`` rounded up to the boundary on which everything in netlink begins."""
    return (size + 3) & ~3


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute with its padding."""
    whole = ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value
    return whole.ljust(aligned(len(whole)), b"\0")


def parse(data: bytes) -> dict[int, bytes]:
    """Return the attributes in ``data`` by kind."""
    found = {}
    at = 0
    while at + ATTRIBUTE.size <= len(data):
        size, kind = ATTRIBUTE.unpack_from(data, at)
        found[kind & 0x3FFF] = data[at + ATTRIBUTE.size : at + size]
        at += aligned(size)
    return found


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of each message in ``data``."""
    at = 0
    while at < len(data):
        size, kind, _, _, _ = HEAD.unpack_from(data, at)
        yield kind, data[at + HEAD.size : at + size]
        at += aligned(size)


def converse(made: socket.socket, family: int, command: int, body: bytes, flags: int) -> list[dict[int, bytes]]:
    """Send one request; return the attributes of each answer. Raises OSError with the kernel's errno."""
    generic = GENERIC_HEAD.pack(command, 1, 0) + body
    made.send(HEAD.pack(HEAD.size + len(generic), family, NLM_F_REQUEST | flags, 1, 0) + generic)
    answers: list[dict[int, bytes]] = []
    while True:
        for kind, data in messages(made.recv(ANSWER_BYTES)):
            if kind in (NLMSG_ERROR, NLMSG_DONE):
                (number,) = struct.unpack_from("=i", data)
                if number < 0:
                    raise OSError(-number, os.strerror(-number))
                return answers
            answers.append(parse(data[GENERIC_HEAD.size :]))


class Netlink:
    """Each public method is one call."""

    def generic_netlink(
        self,
        family: str,
        command: int,
        attributes: list[tuple[int, str]],
        dump: bool = False,  # noqa: FBT001, FBT002 - travels as JSON
    ) -> list[list[tuple[int, str]]]:
        """Do a command of a family by name; attributes, there and back, are (kind, value in base64)."""
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC) as made:
            made.settimeout(PATIENCE_S)
            made.bind((0, 0))
            name = attribute(CTRL_ATTR_FAMILY_NAME, family.encode() + b"\0")
            [found] = converse(made, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, name, NLM_F_ACK)
            (number,) = struct.unpack("=H", found[CTRL_ATTR_FAMILY_ID])
            body = b"".join(attribute(kind, base64.b64decode(value)) for kind, value in attributes)
            answers = converse(made, number, command, body, NLM_F_DUMP if dump else NLM_F_ACK)
        return [[(kind, b64(value)) for kind, value in answer.items()] for answer in answers]
