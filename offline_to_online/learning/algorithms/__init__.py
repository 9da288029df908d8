"""Learning algorithms: one file is one algorithm (see ``learning/learner.py`` for what it gives)."""
