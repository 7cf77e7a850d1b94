# SPDX-License-Identifier: BSD-3-Clause
"""The only package that touches libvfio-user: its build, and the typed Context over it."""
