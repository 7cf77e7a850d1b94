# SPDX-License-Identifier: BSD-3-Clause
"""The language in which registers and descriptors are declared, once.

A register is a class; its fields are bits in data-sheet notation::

    class RDT(Register, at=0xC018, count=16, stride=0x40, alias=(0x2818, 4, 0x100), section="8.10.8"):
        '''Receive descriptor tail. Writing it hands descriptors to the device.'''

        tail = bits(15, 0)

Bits that no field declares are reserved: they read as zero and ignore writes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping


class DeclarationError(Exception):
    """A register or descriptor declaration contradicts itself or another one."""


class Access(Enum):
    """What software may do to the bits of a field."""

    RW = "read/write"
    RO = "read only: the device sets it"
    W1C = "write 1 to clear"
    W1S = "write 1 to set"
    RC = "read clears; writes are ignored"
    SC = "self-clearing: writing acts, reading gives 0"


@dataclass(frozen=True, slots=True)
class Field:
    """Bits ``hi`` to ``lo`` (both included) of a register, or of 64-bit word ``word`` of a descriptor."""

    hi: int
    lo: int
    access: Access = Access.RW
    reset: int = 0
    word: int = 0
    name: str = ""
    owner: str = ""

    limit: int = field(init=False)
    """The largest value that fits."""
    mask: int = field(init=False)
    """The field's bits, in place."""

    def __post_init__(self) -> None:
        """Work out once what every packet asks for."""
        object.__setattr__(self, "limit", (1 << self.width) - 1)
        object.__setattr__(self, "mask", self.limit << self.lo)

    @property
    def width(self) -> int:
        """Number of bits."""
        return self.hi - self.lo + 1

    def of(self, value: int) -> int:
        """Return the field's value in register (or descriptor word) ``value``."""
        return (value >> self.lo) & self.limit

    def put(self, value: int, field_value: int) -> int:
        """Return ``value`` with this field replaced by ``field_value``."""
        if not 0 <= field_value <= self.limit:
            message = f"{self.owner}.{self.name} must be between 0 and {self.limit:#x}, not {field_value:#x}"
            raise ValueError(message)
        return (value & ~self.mask) | (field_value << self.lo)


def bits(hi: int, lo: int, access: Access = Access.RW, *, reset: int = 0) -> Field:
    """Declare a field of several bits, as the data sheet writes it: 31:16 is ``bits(31, 16)``."""
    if hi < lo:
        raise DeclarationError(f"a field's high bit must not be below its low bit, and {hi}:{lo} is")
    if reset >> (hi - lo + 1):
        raise DeclarationError(f"the reset value of bits {hi}:{lo} must fit in them, and {reset:#x} does not")
    return Field(hi, lo, access, reset)


def bit(position: int, access: Access = Access.RW, *, reset: int = 0) -> Field:
    """Declare a field of one bit."""
    return bits(position, position, access, reset=reset)


def qword(word: int, hi: int, lo: int) -> Field:
    """Declare a descriptor field: bits ``hi`` to ``lo`` of 64-bit little-endian word ``word``."""
    return replace(bits(hi, lo), word=word)


def _named_fields(owner: str, namespace: Mapping[str, Any], width: int) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for name, item in namespace.items():
        if isinstance(item, Field):
            field = replace(item, name=name, owner=owner)
            if field.hi >= width:
                raise DeclarationError(f"{owner}.{name} must lie in bits {width - 1}:0, not {field.hi}:{field.lo}")
            for other in found.values():
                if other.word == field.word and other.mask & field.mask:
                    raise DeclarationError(f"{owner}.{name} must not share bits with {owner}.{other.name}")
            found[name] = field
    return found


class Register:
    """A 32-bit register, or an array of ``count`` of them, ``stride`` bytes apart from ``at`` on.

    ``alias`` is one or more (at, count, stride): further addresses of the first ``count`` elements.
    ``reset`` overrides the reset values of the fields; ``resets`` those of single elements.
    ``survives_software_reset``: CTRL.RST leaves it alone.
    """

    at: ClassVar[int]
    count: ClassVar[int]
    stride: ClassVar[int]
    aliases: ClassVar[tuple[tuple[int, int, int], ...]]
    section: ClassVar[str]
    fields: ClassVar[dict[str, Field]]
    resets: ClassVar[tuple[int, ...]]
    survives_software_reset: ClassVar[bool]
    _addresses: ClassVar[tuple[tuple[int, int], ...]]
    rules: ClassVar[dict[str, int]]
    """The bits of each kind of access, by its name: ``rules["RW"]``."""

    def __init_subclass__(
        cls,
        *,
        at: int,
        section: str,
        count: int = 1,
        stride: int = 4,
        alias: tuple[int, int, int] | tuple[tuple[int, int, int], ...] = (),
        reset: int | None = None,
        resets: Mapping[int, int] | None = None,
        survives_software_reset: bool = False,
    ) -> None:
        """Check the declaration and collect its fields."""
        if at % 4 or stride % 4:
            raise DeclarationError(f"{cls.__name__} must lie on 4-byte boundaries, not at {at:#x} + {stride:#x}·n")
        if not cls.__doc__:
            raise DeclarationError(f"{cls.__name__} must have a docstring that says what it is")
        cls.fields = _named_fields(cls.__name__, vars(cls), 32)
        cls.rules = {access.name: 0 for access in Access}
        for name, found in cls.fields.items():
            setattr(cls, name, found)
            cls.rules[found.access.name] |= found.mask
        cls.at, cls.count, cls.stride, cls.section = at, count, stride, section
        cls.aliases = _as_aliases(alias)
        ranges = ((at, count, stride), *cls.aliases)
        cls._addresses = tuple((start + n * step, n) for start, many, step in ranges for n in range(many))
        default = sum(field.reset << field.lo for field in cls.fields.values()) if reset is None else reset
        cls.resets = tuple((resets or {}).get(n, default) for n in range(count))
        cls.survives_software_reset = survives_software_reset
        undeclared = default & ~cls.mask()
        if undeclared:
            raise DeclarationError(f"reset bits {undeclared:#x} of {cls.__name__} must belong to a field, and do not")

    @classmethod
    def mask(cls, *accesses: Access) -> int:
        """Return the bits whose fields have one of ``accesses`` (all declared bits when none is named)."""
        return sum(cls.rules[access.name] for access in accesses or Access)

    @classmethod
    def addresses(cls) -> tuple[tuple[int, int], ...]:
        """Return (address, element) for every address of the register, aliases included."""
        return cls._addresses

    @classmethod
    def title(cls, n: int) -> str:
        """Return the name of element ``n``: ``RDT[3]``, or ``CTRL`` where there is only one."""
        return f"{cls.__name__}[{n}]" if cls.count > 1 else cls.__name__

    @classmethod
    def decode(cls, value: int) -> dict[str, int]:
        """Return each field's value in ``value``."""
        return {name: field.of(value) for name, field in cls.fields.items()}


def _as_aliases(
    alias: tuple[int, int, int] | tuple[tuple[int, int, int], ...],
) -> tuple[tuple[int, int, int], ...]:
    if alias and isinstance(alias[0], int):
        return (alias,)
    return alias


class Descriptor:
    """A fixed layout in host memory: ``size`` bytes, little-endian 64-bit words, fields declared with qword()."""

    size: ClassVar[int]
    section: ClassVar[str]
    fields: ClassVar[dict[str, Field]]

    def __init_subclass__(cls, *, size: int, section: str) -> None:
        """Check the declaration and collect its fields."""
        cls.size, cls.section = size, section
        cls.fields = _named_fields(cls.__name__, vars(cls), 64)
        for name, found in cls.fields.items():
            setattr(cls, name, found)
            if (found.word + 1) * 8 > size:
                raise DeclarationError(f"{cls.__name__}.{name} must lie in {size} bytes, not in word {found.word}")

    @classmethod
    def decode(cls, raw: bytes) -> dict[str, int]:
        """Return each field's value in the ``size`` bytes of ``raw``."""
        words = [int.from_bytes(raw[i : i + 8], "little") for i in range(0, cls.size, 8)]
        return {name: field.of(words[field.word]) for name, field in cls.fields.items()}

    @classmethod
    def encode(cls, **values: int) -> bytes:
        """Return a descriptor with these field values, all others zero."""
        words = [0] * (cls.size // 8)
        for name, value in values.items():
            field = cls.fields[name]
            words[field.word] = field.put(words[field.word], value)
        return b"".join(word.to_bytes(8, "little") for word in words)
