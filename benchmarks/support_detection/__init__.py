"""Injected faults in recorded logs, and who sees them: the support score beside the outlier detectors people have.

``faults`` splits a log and breaks the actions of its clean test steps, ``peers`` are scikit-learn's and PyOD's
detectors, ``measuring`` asks everybody about one log and seed, ``summary`` makes rows, claims and tables of it, and
``choosing`` shows what the settings were chosen by, on the pendulum alone.
"""
