"""What many logs and seeds come to: means with intervals, the score beside the best peer, claims, and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.results_file import claim
from benchmarks.support_data import CHOSEN_ON, DATA_SETS, UNTOUCHED
from benchmarks.support_detection.faults import KINDS
from benchmarks.support_detection.measuring import SCORE
from offline_to_online.dataset.spec import Array

MEAN, FAR_WORSE = "mean", 0.05
CONFIDENCE, LEAST_KINDS = 0.95, 10
FIGURES = ("auroc", "fpr95")
Row = Mapping[str, Any]


class Measured:
    """Rows of ``measure`` for any logs and seeds, and what they come to."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = {(r["log"], r["detector"], r["kind"], r["seed"]): r for r in rows}
        self._ours = {r["detector"]: r["ours"] for r in rows}
        self.seeds = sorted({r["seed"] for r in rows})
        self.logs = tuple(dict.fromkeys(r["log"] for r in rows))

    def kinds(self, log: str) -> list[str]:
        """Those measured on the log, in the order of the faults."""
        return [kind for kind in KINDS if any((log, SCORE, kind, seed) in self._rows for seed in self.seeds)]

    def detectors(self, *, ours: bool) -> list[str]:
        """Our terms, or the peers."""
        return [name for name, is_ours in self._ours.items() if is_ours == ours]

    def values(self, log: str, detector: str, kind: str, figure: str) -> Array:
        """A figure on each seed, (S,); of the kind ``mean`` the mean over all kinds."""
        if kind == MEAN:
            of_seed = [
                [r[figure] for one in self.kinds(log) if (r := self._rows.get((log, detector, one, seed)))]
                for seed in self.seeds
            ]
            return np.array([np.mean(values) for values in of_seed])
        found = [self._rows.get((log, detector, kind, seed)) for seed in self.seeds]
        return np.array([row[figure] for row in found if row])

    def best_peer(self, log: str, kind: str) -> str:
        """The peer of the highest mean AUROC there, on whichever of the two kinds of rows."""
        return max(self.detectors(ours=False), key=lambda name: self.values(log, name, kind, "auroc").mean())

    def rows(self) -> list[dict[str, Any]]:
        """For the result file: every detector and kind, then the score beside the best peer of each kind."""
        kinds = [(log, kind) for log in self.logs for kind in (*self.kinds(log), MEAN)]
        names = self.detectors(ours=True) + self.detectors(ours=False)
        return [
            *({"part": "detectors"} | self._row(log, name, kind) for log, kind in kinds for name in names),
            *({"part": "against the best peer"} | self.beside(log, kind) for log, kind in kinds),
            *({"part": "far worse"} | row for row in self.far_worse()),
        ]

    def _row(self, log: str, detector: str, kind: str) -> dict[str, Any]:
        row: dict[str, Any] = {"log": log, "detector": detector, "ours": self._ours[detector], "kind": kind}
        for figure in FIGURES:
            row |= named(figure, interval(self.values(log, detector, kind, figure)))
        return row

    def beside(self, log: str, kind: str) -> dict[str, Any]:
        """The score, the best peer there, and the difference of their AUROC paired by seed."""
        peer = self.best_peer(log, kind)
        ours, theirs = (self.values(log, name, kind, "auroc") for name in (SCORE, peer))
        row = {"log": log, "kind": kind, "score": float(ours.mean()), "peer": peer, "peer_auroc": float(theirs.mean())}
        return row | named("difference", interval(ours - theirs))

    def far_worse(self) -> list[dict[str, Any]]:
        """Kinds on which the score is more than 0.05 below the best peer of that kind."""
        beside = [self.beside(log, kind) for log in self.logs for kind in self.kinds(log)]
        return [row for row in beside if row["difference"] < -FAR_WORSE]

    def claims(self) -> list[dict[str, Any]]:
        """One a log that the issue names; none of the log that settings were chosen on, or of the untouched ones."""
        logs = [log for log in self.logs if log in DATA_SETS]
        found = []
        for log in logs:
            row = self.beside(log, MEAN)
            text = f"{log}: the score has the best mean AUROC"
            found.append(claim(text, row, f"above {row['peer']}", row["difference"] > 0))
        kinds = min((len(self.kinds(log)) for log in logs), default=0)
        text = "kinds of injected fault, on the log with the fewest"
        return [*found, claim(text, kinds, LEAST_KINDS, kinds >= LEAST_KINDS)] if logs else []


def interval(values: Array) -> tuple[float, float | None, float | None]:
    """The mean over seeds (S,) and its 95 % t-interval; of one seed there is none."""
    from scipy.stats import t

    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None, None
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half


def named(figure: str, of: tuple[float, float | None, float | None]) -> dict[str, float | None]:
    """A figure's mean and interval as three entries of a row."""
    return {figure: of[0], f"{figure}_low": of[1], f"{figure}_high": of[2]}


def print_tables(measured: Measured) -> None:
    """Mean AUROC of every detector and kind, a table a log: ours, then the peers from the best on; then the summary."""
    for log in measured.logs:
        kinds = [*measured.kinds(log), MEAN]
        print(f"\n{log + note(log):34}" + "".join(f"{kind[:9]:>10}" for kind in kinds) + f"{'FPR95':>10}")
        peers = sorted(
            measured.detectors(ours=False), key=lambda name: -measured.values(log, name, MEAN, "auroc").mean()
        )
        for name in measured.detectors(ours=True) + peers:
            cells = [measured.values(log, name, kind, "auroc").mean() for kind in kinds]
            alarms = measured.values(log, name, MEAN, "fpr95").mean()
            print(f"{name:34}" + "".join(f"{cell:10.3f}" for cell in (*cells, alarms)))
    print("\nFPR95: clean steps flagged where 95 % of the faulty ones are caught.")
    print_summary(measured)


def print_summary(measured: Measured) -> None:
    """The score beside the best peer of each log, and where it is far worse than the best of a kind."""
    print(
        f"\n{'mean over kinds':34}{'score':>8} {'best peer':24}{'AUROC':>8}"
        f"{'difference, paired':>28}{'FPR95':>8}{'peer':>8}"
    )
    for log in measured.logs:
        row = measured.beside(log, MEAN)
        alarms = [measured.values(log, name, MEAN, "fpr95").mean() for name in (SCORE, row["peer"])]
        print(
            f"{log + note(log):34}{row['score']:8.4f} {row['peer']:24}{row['peer_auroc']:8.4f}{difference(row):>28}"
            + "".join(f"{share:8.3f}" for share in alarms)
        )
    for row in measured.far_worse():
        who = f"score {row['score']:.3f}, {row['peer']} {row['peer_auroc']:.3f}"
        print(f"far worse: {row['log']}, {row['kind']}: {who}, difference {difference(row)}")


def difference(row: Row) -> str:
    """With its interval, where there is one."""
    low, high = row["difference_low"], row["difference_high"]
    return f"{row['difference']:+.4f}" + (f" [{low:+.4f}, {high:+.4f}]" if low is not None else "")


def note(log: str) -> str:
    """What a log was for."""
    return " (settings chosen here)" if log == CHOSEN_ON else " (untouched until now)" if log in UNTOUCHED else ""
