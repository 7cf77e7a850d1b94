# SPDX-License-Identifier: BSD-3-Clause
"""The NIC itself: pure Python, standard library only, a function of its inputs."""
