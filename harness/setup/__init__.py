# SPDX-License-Identifier: BSD-3-Clause
"""Set-up: everything a bare Debian needs before hilnic can run. Standard library only, run by the system's python3."""
