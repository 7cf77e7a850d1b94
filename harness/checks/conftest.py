# SPDX-License-Identifier: BSD-3-Clause
"""The lab for the checks: one guest for all, at rest before each.

``lab`` (or ``bound``, ``netif``, ``guest``, ``card``, ``peer``) is what a check asks for. After the check, what it
changed is taken back and the invariants of harness.settling must hold.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.bundle.again import AGAIN
from harness.bundle.recording import recorded
from harness.emulator import ENGINES, CardOptions
from harness.errors import NotComparable
from harness.guest.driver import DriverFile
from harness.opening import open_lab, own_folder
from harness.sanitizer import MODES
from harness.sanitizer.live import Totals, sanitized
from harness.settling import settle
from harness.timeline.around import traced
from harness.watch.ready import WAITS, wait_go

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.card import Card
    from harness.evidence import Evidence
    from harness.guest.guest import Guest
    from harness.guest.netif import NetIf
    from harness.lab import Bound, Lab
    from harness.peer import Peer
    from harness.plugin import RunOptions

CHECK_S = 180
QUEUES = 4
"""Queue pairs that a check needs unless it is marked ``one_queue``; ``four_queues`` is for those that need no more."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare what only the lab of the checks knows."""
    parser.addoption("--irq", default="msix", choices=("msix", "msi", "intx"), help="interrupt scheme of the card")
    parser.addoption("--card", default="hilnic", choices=("hilnic", "qemu-igb"), help="which card is plugged")
    parser.addoption("--time-lines", action="store_true", help="a time line around each check, in the report")
    parser.addoption("--record", type=Path, default=None, metavar="FILE", help="make a bundle of the whole run")
    parser.addoption("--sanitize", default="", choices=("", *MODES), help="hold the driver to its DMA mappings")
    parser.addoption("--engine", default="", choices=("", *ENGINES), help="what runs our card; default: native")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each check its time, without that of the first boot."""
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(CHECK_S, func_only=True))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Say of a check that it does not suit the lab: it starts a card of its own, or needs the usual shape."""
    if item.config.getoption("--card") != "hilnic" and "lab" not in getattr(item, "fixturenames", ()):
        raise NotComparable("the check must ask the card that is plugged, and starts one of its own")
    mode, cpus = item.config.getoption("--irq"), item.config.getoption("--smp")
    if (mode != "msix" or cpus < QUEUES) and item.get_closest_marker("one_queue") is None:
        raise NotComparable(f"the check must have MSI-X and four queue pairs, not {mode} and {cpus} CPUs")
    if cpus > QUEUES and item.get_closest_marker("four_queues") is not None:
        raise NotComparable(f"the check must have four queue pairs with vectors of their own, not those of {cpus} CPUs")


@pytest.fixture(scope="session")
def session_lab(
    run_options: RunOptions, run_facts: dict[str, Any], stage: Callable[[str], None], request: pytest.FixtureRequest
) -> Iterator[Lab]:
    """Open one lab for the whole run."""
    module, go = request.config.getoption("--module"), request.config.getoption("--go-fd")
    patches = (run_options.card_patch,) if run_options.card_patch else ()
    default = CardOptions(
        kind=request.config.getoption("--card"),
        interrupts=request.config.getoption("--irq"),
        patches=patches,
        engine=request.config.getoption("--engine"),
        faults=tuple(request.config.getoption("--fault")),
    )
    with open_lab(
        own_folder((run_options.report / "lab").absolute()),
        accelerator=run_options.accelerator,
        kernel=run_options.kernel,
        cpus=run_options.smp,
        default=default,
        say=stage,
        module=None if go is not None else module,
        module_later=go is not None,
        sanitize=request.config.getoption("--sanitize"),
    ) as lab:
        if go is not None:
            lab.booted()
            stage(WAITS)
            wait_go(go)
            lab.take_driver(DriverFile.read(module))
        run_facts.update(lab.facts())
        file = request.config.getoption("--record")
        if file is None:
            yield lab
        else:
            with recorded(lab) as recording:
                yield lab
                recording.write(
                    file, run_facts, why="hilnic record --claims", claims=request.config.getoption("--claims")
                )
        run_facts["timings"] = ", ".join(f"{what} after {seconds:.2f} s" for what, seconds in lab.timings.items())


@pytest.fixture(scope="session")
def totals(run_facts: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[Totals]:
    """Add up what the DMA sanitizer judges, for the report."""
    found = Totals()
    yield found
    if request.config.getoption("--sanitize"):
        run_facts["DMA sanitizer"] = f"{request.config.getoption('--sanitize')}: {found}"


@pytest.fixture
def lab(
    session_lab: Lab,
    evidence: Evidence,
    run_facts: dict[str, Any],
    totals: Totals,
    request: pytest.FixtureRequest,
) -> Iterator[Lab]:
    """Hand out the lab, and bring it to rest afterwards; recorded, if the check is run once more for its bundle."""
    again = request.node.stash.get(AGAIN, None)
    with again.recorded(session_lab, run_facts) if again else nullcontext():
        yield from at_rest(session_lab, evidence, totals if request.config.getoption("--sanitize") else None)


def at_rest(session_lab: Lab, evidence: Evidence, totals: Totals | None) -> Iterator[Lab]:
    """Hand out the lab, and bring it to rest afterwards; with ``totals`` beside the DMA sanitizer."""
    tainted = session_lab.booted().proc.tainted()
    collect(session_lab, evidence)
    if totals is None:
        yield session_lab
        settle(session_lab, tainted)
        return
    with sanitized(session_lab, heal=True) as account:
        yield session_lab
    evidence.attach("dma-sanitizer", f"{account}\n")
    try:
        settle(session_lab, tainted)
    finally:
        account.must_be_sound(totals)


def collect(lab: Lab, evidence: Evidence) -> None:
    """Say what to keep of the lab if the check fails."""
    evidence.on_failure("console", lambda: lab.guest_folder / "console.log")
    evidence.on_failure("dmesg", lambda: f"{lab.present.dmesg()}\n")
    evidence.on_failure("qemu.argv", lambda: lab.guest_folder / "qemu.argv")
    if lab.default.kind == "hilnic":
        evidence.on_failure("emulator.log", lambda: lab.card_folder / "emulator.log")
        evidence.on_failure("wire.pcapng", lambda: lab.card_folder / "wire.pcapng")
        evidence.on_failure(
            "events", lambda: "\n".join(str(event) for event in (lab.now or lab.bound()).card.last_events())
        )
        evidence.on_failure("rings", lambda: rings(lab.now or lab.bound()))


def rings(bound: Bound) -> str:
    """Return a snapshot of every ring that the driver uses."""
    receive, transmit = bound.netif.queue_count
    wanted = [("rx", queue) for queue in range(receive)] + [("tx", queue) for queue in range(transmit)]
    return "\n".join(f"{direction}-{queue}: {bound.card.ring(direction, queue)}" for direction, queue in wanted)


@pytest.fixture
def bound(lab: Lab, evidence: Evidence, request: pytest.FixtureRequest) -> Iterator[Bound]:
    """Bind the guest's driver to the card; with ``--time-lines`` and for a bundle, record both witnesses meanwhile."""
    bound = lab.bound(lab.default)
    asked = request.config.getoption("--time-lines") or AGAIN in request.node.stash
    wanted = asked and bound.control is not None
    with traced(bound, evidence, request.node.name) if wanted else nullcontext():
        yield bound


@pytest.fixture
def netif(bound: Bound) -> NetIf:
    """Return the interface under test."""
    return bound.netif


@pytest.fixture
def guest(bound: Bound) -> Guest:
    """Return the guest."""
    return bound.guest


@pytest.fixture
def card(bound: Bound) -> Card:
    """Return the card's control connection."""
    return bound.card


@pytest.fixture
def peer(bound: Bound) -> Peer:
    """Return the link partner."""
    return bound.peer
