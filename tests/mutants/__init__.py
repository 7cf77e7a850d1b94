# SPDX-License-Identifier: BSD-3-Clause
"""Deliberate faults of the card, one file for each area of claims; ``hilnic mutants`` expects every check to notice.

A file holds functions ``name(card)`` that spoil one thing in the assembled card (emulator.card.Card), and two literal
dicts that are read without importing the file: ``MUTANTS``, claim id to the name of a function, and, where no fault of
the card can break a claim, ``NO_MUTANT``, claim id to the reason.
"""
