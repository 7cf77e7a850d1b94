# SPDX-License-Identifier: BSD-3-Clause
"""The two families of errors: the caller's (UsageError) and the world's (EnvironmentLacks, LabBroken, GuestFault).

Messages have the form "X must be Y, not Z" and hold the offending value. Foreign exceptions (errno, paramiko,
pexpect, QMP) are mapped to these once, at the edge.
"""

from __future__ import annotations


class UsageError(Exception):
    """The caller asked for something that cannot be; the message says what to write instead."""


class WorldError(Exception):
    """Something outside the program is not as needed."""


class EnvironmentLacks(WorldError):
    """The machine lacks something; the message names the command that supplies it."""


class LabBroken(WorldError):
    """A part of the lab (QEMU, the card, the wire) failed; no claim was judged."""


class NotLoaded(LabBroken):
    """A driver under test does not load: there is nothing to judge, now or in any later check of the run."""


class NotComparable(LabBroken):
    """A check asks what only our own card can answer, and another card is plugged: there is nothing to compare."""


class GuestFault(WorldError):
    """The guest's kernel panicked, oopsed or hung: a finding about the guest, not about the lab."""


class NotSeen(WorldError):
    """What a check waited for did not come, or what must not come did: a finding, not a broken lab."""
