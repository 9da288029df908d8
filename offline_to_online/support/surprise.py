"""Terms of different kinds on one scale: how rare a value is among clean steps, in nats.

A distance and a log-density cannot be added or compared; "only one clean step in a thousand is this far" can. So each
term is held against its own values on clean steps, each asked of the other parts of the log, and becomes minus the
logarithm of the share at least as large (a conformal p-value, Vovk et al. 2005), drawn on beyond what was seen. The
combined score is their sum (Fisher 1932), which weighs every term alike, whatever its unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from offline_to_online.dataset.spec import Array

LEAST_EXCESS = 0.05  # of the clean values' deviation
TAIL = 0.1  # share of the clean values from which the tail is drawn on beyond what was seen


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """Clean values of each term by name, ascending, float32 (K,); larger is stranger."""

    values: Mapping[str, Array]

    @classmethod
    def from_terms(cls, terms: Mapping[str, Array]) -> Reference:
        """From values on clean steps, float (K,), K at least 1."""
        return cls(values={name: np.sort(rows.astype(np.float32)) for name, rows in terms.items()})

    def surprise(self, name: str, values: Array) -> Array:
        """-log of the share of clean values at least as large, float32 (Q,), nats, at least 0.

        Beyond the largest tenth the share is drawn on exponentially with that tenth's mean excess (the
        peaks-over-threshold model with shape 0, Pickands 1975), so that of two values beyond all that was seen the
        larger is still the stranger one.
        """
        clean = self.values[name]
        count = len(clean)
        start = clean[min(int((1 - TAIL) * count), count - 1)]
        # A top tenth of ties has no excess of its own; the spread of all values then says what is far.
        excess = max(float(np.mean(clean[clean >= start] - start)), LEAST_EXCESS * float(clean.std()), 1e-6)
        seen = np.minimum(values, start)
        share = (count - np.searchsorted(clean, seen, side="left") + 1) / (count + 1)
        beyond = np.maximum(values.astype(np.float64) - start, 0.0) / excess
        nats: Array = (beyond - np.log(share)).astype(np.float32)
        return nats
