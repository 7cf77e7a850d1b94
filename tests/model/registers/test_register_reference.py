# SPDX-License-Identifier: BSD-3-Clause
"""docs/registers.md, generated from the declarations."""

from __future__ import annotations

from pathlib import Path

from device_model.igb.spec import REGISTERS
from harness.docs_registers import render

PAGE = Path(__file__).parents[3] / "docs" / "registers.md"


def test_every_register_has_its_row() -> None:
    rows = [line for line in render().splitlines() if line.startswith("| 0x")]
    assert len(rows) == len(REGISTERS)
    for reg in REGISTERS:
        [row] = [row for row in rows if f"**{reg.__name__}**" in row]
        assert row.startswith(f"| {reg.at:#07x}")
        assert all(f"`{name}`" in row for name in reg.fields)
        assert f"`{reg.resets[-1]:08x}`" in row


def test_rows_say_what_is_special() -> None:
    [eitr] = [line for line in render().splitlines() if "**EITR**" in line]
    assert "25 (stride 0x4)" in eitr
    assert "14:2 `interval`" in eitr
    assert "31 `cnt_ingr` SC" in eitr
    assert "Survives CTRL.RST" in eitr
    [rxdctl] = [line for line in render().splitlines() if "**RXDCTL**" in line]
    assert "also 0x02828 (4)" in rxdctl
    assert "[0]: `02010000`" in rxdctl


def test_the_page_in_docs_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run `hilnic docs`"
