# SPDX-License-Identifier: BSD-3-Clause
"""The grammar of ``--wire``, and the one place that turns a text into a wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import UsageError
from emulator.wires.address import parse_address
from emulator.wires.dgram import DgramWire
from emulator.wires.generate import GeneratorWire
from emulator.wires.loopback import LoopbackWire
from emulator.wires.null import NullWire
from emulator.wires.partner import Caller, Listener
from emulator.wires.stream import StreamWire
from emulator.wires.tap import TapWire

if TYPE_CHECKING:
    from emulator.wires.end import WireEnd

GRAMMAR = """\
tap:NAME                                the host's TAP interface NAME; with ,offload=off behind it, every frame is
                                        handed over by itself, and none of the host's TCP is cut up by the card
dgram:local=ADDRESS,remote=ADDRESS      one frame a datagram (QEMU -netdev dgram)
stream:connect=ADDRESS                  length-prefixed frames, calling (QEMU -netdev stream,server=on)
stream:listen=ADDRESS                   length-prefixed frames, being called (QEMU -netdev stream)
loopback                                what is emitted comes back
generate:mac=MAC,flows=N,size=N,rate=N  UDP frames of N flows without end, as fast as they are taken if rate is 0
null                                    nobody
ADDRESS is a path (unix socket) or HOST:PORT (UDP, TCP)"""


def open_wire(spec: str) -> WireEnd:
    """Return our end of the wire that ``spec`` names, after GRAMMAR.

    Raises UsageError for a text outside the grammar, EnvironmentLacks when the system refuses the wire.
    """
    kind, colon, rest = spec.partition(":")
    match kind:
        case "tap" if rest:
            name, comma, offload = rest.partition(",offload=")
            if comma and offload not in ("on", "off"):
                raise UsageError(f"offload of wire {spec!r} must be on or off, not {offload!r}")
            return TapWire(name, offload=offload != "off")
        case "dgram" if colon:
            options = _options(spec, rest, ("local", "remote"))
            return DgramWire(parse_address(options["local"]), parse_address(options["remote"]))
        case "stream" if rest.startswith("connect="):
            return StreamWire(Caller(parse_address(_options(spec, rest, ("connect",))["connect"])))
        case "stream" if rest.startswith("listen="):
            return StreamWire(Listener(parse_address(_options(spec, rest, ("listen",))["listen"])))
        case "generate" if colon:
            return _generator(spec, _options(spec, rest, ("mac", "flows", "size", "rate"), "VALUE"))
        case "loopback" if not colon:
            return LoopbackWire()
        case "null" if not colon:
            return NullWire()
    raise UsageError(f"wire must be one of the following, not {spec!r}:\n{GRAMMAR}")


def _generator(spec: str, options: dict[str, str]) -> GeneratorWire:
    try:
        mac = bytes.fromhex(options["mac"].replace(":", ""))
        numbers = {name: int(options[name]) for name in ("flows", "size", "rate")}
    except ValueError as error:
        raise UsageError(f"wire {spec!r} must have a MAC address and numbers: {error}") from None
    if len(mac) != 6:
        raise UsageError(f"mac of wire {spec!r} must be six bytes, not {options['mac']!r}")
    return GeneratorWire(mac, **numbers)


def _options(spec: str, text: str, names: tuple[str, ...], what: str = "ADDRESS") -> dict[str, str]:
    """Return the ``name=value`` pairs of ``text``, which must be exactly ``names``, each once, none empty."""
    options: dict[str, str] = {}
    wanted = ",".join(f"{name}={what}" for name in names)
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if name not in names or not equals or not value or name in options:
            raise UsageError(f"options of wire {spec!r} must be {wanted}, not {part!r}")
        options[name] = value
    if len(options) != len(names):
        missing = ", ".join(name for name in names if name not in options)
        raise UsageError(f"options of wire {spec!r} must be {wanted}, and {missing} is missing")
    return options
