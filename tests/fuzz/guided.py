# SPDX-License-Identifier: BSD-3-Clause
"""``python -m tests.fuzz.guided registers|messages …``: a Python target under atheris; more words are libFuzzer's."""

from __future__ import annotations

import importlib
import logging
import sys

import atheris  # fetched by tests.fuzz, for this command alone

INSTRUMENTED = ["device_model", "emulator"]

if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    with atheris.instrument_imports(include=INSTRUMENTED):
        target = importlib.import_module(f"tests.fuzz.{sys.argv.pop(1)}")
    atheris.Setup(sys.argv, target.one)
    atheris.Fuzz()
