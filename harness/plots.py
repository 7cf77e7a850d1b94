# SPDX-License-Identifier: BSD-3-Clause
"""What a check hands to people who would rather look than read: plots as data. harness.report.drawing draws them.

A plot is numbers with names and says who they come from; it holds no colours, sizes or fonts. ``as_json`` is what
results.json keeps, ``from_json`` reads it back.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Source(Enum):
    """Who says so."""

    GUEST = "guest"
    DEVICE = "device"
    PEER = "link partner"
    ORACLE = "oracle"


class Look(Enum):
    """How the points of a line are shown.

    LINE joins them straight, STEPS by a level that holds until the next point, AREA fills what is below those levels,
    POINTS does not join them.
    """

    LINE = "line"
    STEPS = "steps"
    AREA = "area"
    POINTS = "points"


@dataclass(frozen=True, slots=True)
class Line:
    """Points of a plot in the plane, in order."""

    name: str
    source: Source
    x: tuple[float, ...]
    y: tuple[float, ...]
    look: Look = Look.LINE

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if len(self.x) != len(self.y) or not self.x:
            raise UsageError(
                f"line {self.name!r} must have as many x as y, at least one, not {len(self.x)}, {len(self.y)}"
            )
        _finite(self.name, (*self.x, *self.y))


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar for each category of a plot."""

    name: str
    source: Source
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        _finite(self.name, self.values)


@dataclass(frozen=True, slots=True)
class Moment:
    """Something happened at ``t_us``, counted from the first moment; ``lane`` is the part of the path."""

    lane: str
    what: str
    source: Source
    t_us: float


@dataclass(frozen=True, slots=True)
class Series:
    """Lines over a common axis; ``log_x`` and ``log_y`` ask for logarithmic axes."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    note: str = ""
    log_x: bool = False
    log_y: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if not self.lines:
            raise UsageError(f"plot {self.title!r} must have a line, and has none")
        for line in self.lines:
            low = min((*(line.x if self.log_x else ()), *(line.y if self.log_y else ())), default=1.0)
            if low <= 0:
                raise UsageError(f"line {line.name!r} must be above zero on a logarithmic axis, not {low}")


@dataclass(frozen=True, slots=True)
class Bars:
    """Groups of bars, one group a category: side by side, or ``stacked`` upon each other."""

    title: str
    x_label: str
    y_label: str
    categories: tuple[str, ...]
    bars: tuple[Bar, ...]
    note: str = ""
    stacked: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if not self.categories or not self.bars:
            raise UsageError(f"plot {self.title!r} must have categories and bars, and lacks one of them")
        for bar in self.bars:
            if len(bar.values) != len(self.categories):
                wanted, found = len(self.categories), len(bar.values)
                raise UsageError(f"bar {bar.name!r} must have {wanted} values, one a category, not {found}")


@dataclass(frozen=True, slots=True)
class Timeline:
    """Moments that several witnesses saw, on one clock, known to ``error_us``; ``note`` says how they were related."""

    title: str
    moments: tuple[Moment, ...]
    error_us: float
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if not self.moments:
            raise UsageError(f"timeline {self.title!r} must have a moment, and has none")
        _finite(self.title, (self.error_us, *(moment.t_us for moment in self.moments)))


Plot: TypeAlias = Series | Bars | Timeline

KINDS: Mapping[str, type[Plot]] = {"series": Series, "bars": Bars, "timeline": Timeline}


def as_json(plot: Plot) -> dict[str, Any]:
    """Return ``plot`` as results.json keeps it: its fields, and ``kind``."""
    [kind] = [name for name, cls in KINDS.items() if cls is type(plot)]
    made: dict[str, Any] = _plain({"kind": kind, **asdict(plot)})
    return made


def from_json(value: Mapping[str, Any]) -> Plot:
    """Return the plot that ``as_json`` wrote; UsageError when it is none."""
    fields: dict[str, Any] = {
        key: tuple(entry) if isinstance(entry, list) else entry for key, entry in value.items() if key != "kind"
    }
    try:
        match value["kind"]:
            case "series":
                return Series(**{**fields, "lines": tuple(_line(line) for line in value["lines"])})
            case "bars":
                return Bars(**{**fields, "bars": tuple(_bar(bar) for bar in value["bars"])})
            case "timeline":
                return Timeline(**{**fields, "moments": tuple(_moment(moment) for moment in value["moments"])})
            case other:
                raise UsageError(f"a plot must be one of {', '.join(KINDS)}, not {other!r}")
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"a plot must have the fields of its kind: {error!r}") from error


def numbers(values: Sequence[float]) -> tuple[float, ...]:
    """Return ``values`` as plot data, rounded to what a picture can show: six significant digits."""
    return tuple(value if isinstance(value, int) else float(f"{value:.6g}") for value in values)


def _line(value: Mapping[str, Any]) -> Line:
    return Line(value["name"], Source(value["source"]), tuple(value["x"]), tuple(value["y"]), Look(value["look"]))


def _bar(value: Mapping[str, Any]) -> Bar:
    return Bar(value["name"], Source(value["source"]), tuple(value["values"]))


def _moment(value: Mapping[str, Any]) -> Moment:
    return Moment(value["lane"], value["what"], Source(value["source"]), value["t_us"])


def _finite(name: str, values: Sequence[float]) -> None:
    wrong = [value for value in values if not math.isfinite(value)]
    if wrong:
        raise UsageError(f"{name!r} must hold numbers that can be drawn, not {wrong[0]}")


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON values
    match value:
        case Enum():
            return value.value
        case dict():
            return {key: _plain(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_plain(entry) for entry in value]
        case _:
            return value
