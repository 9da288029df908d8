"""Who acted: whether those whom the manifest names really did, and whether anybody knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from offline_to_online.dataset.checks import Check, Seen, Subject
from offline_to_online.dataset.checks._steps import percent
from offline_to_online.dataset.finding import Finding, Severity

NAMES: Mapping[str, tuple[Severity, ...]] = {
    "operator_imbalance": ("warning",),
    "unknown_operator": ("notice",),
}

FEW, NEARLY_ALL = 0.05, 0.95


def checks(subject: Subject) -> list[Check]:
    """One."""
    return [Operators(subject)]


class Operators:
    """Steps by operator."""

    def __init__(self, subject: Subject) -> None:
        self.named = () if subject.manifest is None else subject.manifest.operators
        self.steps: Counter[str] = Counter()
        self.first: dict[str, int] = {}
        self.unlogged = self.episodes = 0
        self.first_unlogged = 0

    def see(self, seen: Seen) -> None:
        """Count this episode's steps for whoever acted in it."""
        self.episodes += 1
        if seen.logged.operator is None:
            self.first_unlogged = seen.index if not self.unlogged else self.first_unlogged
            self.unlogged += 1
        self.first.setdefault(seen.episode.operator, seen.index)
        self.steps[seen.episode.operator] += len(seen.episode)

    def findings(self) -> Iterable[Finding]:
        """Nobody logged, then whoever has too small or too large a part, by name."""
        # One name in the manifest says who acted; several, and an episode without one is refused before this.
        if self.unlogged and len(self.named) != 1:
            yield Finding(
                check="unknown_operator",
                severity="notice",
                message=f"{self.unlogged} of {self.episodes} episodes do not say who acted",
                remedy="log the operator of each episode; the split keeps their shares equal",
                episode=self.first_unlogged,
                count=self.unlogged,
            )
        total = self.steps.total()
        names = sorted({*self.named, *self.steps})
        for name in names if len(names) > 1 and total else ():
            share = self.steps[name] / total
            if share < FEW or share > NEARLY_ALL:
                yield self._unbalanced(name, total)

    def _unbalanced(self, name: str, total: int) -> Finding:
        steps = self.steps[name]
        said = "did nothing" if not steps else f"has {steps} of {total} steps ({percent(steps, total)})"
        return Finding(
            check="operator_imbalance",
            severity="warning",
            message=f"operator {name} {said}",
            remedy="record more of whoever has few, or name only who matters",
            episode=self.first.get(name),
            dimension=f"operator.{name}",
            count=max(steps, 1),
        )
