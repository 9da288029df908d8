"""Offline, then online: the algorithms side by side on the same data, tasks and budgets.

`python -m benchmarks.offline_to_online` (see ``__main__``).
"""
