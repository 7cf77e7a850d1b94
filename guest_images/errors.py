# SPDX-License-Identifier: BSD-3-Clause
"""The two families of errors that set-up raises: the caller's to fix, and the world's."""


class UsageError(Exception):
    """An argument or a setting is wrong; the message says what it must be and what it is."""


class EnvironmentLacks(Exception):
    """The machine lacks something; the message names it and, where there is one, the command that supplies it."""
