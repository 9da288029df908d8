"""Exposures: region by region, what the data holds, how often the policy goes there, and where the two part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from offline_to_online.dataset.spec import Array, VectorSchema
from offline_to_online.support.estimator import SupportEstimator
from offline_to_online.support.gaps import GAP, RULE, SUPPORTED, THIN, Standing, place, standings
from offline_to_online.support.proposals import Proposals
from offline_to_online.support.worst import examples

ORDER_RULE = (
    f"{RULE}. Gaps come first, the most proposed first, then thin regions, then the others by the share of all "
    "proposals that lie there and outside the support, beyond what the policy's own rate (or alpha) would put there."
)


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a policy, greedy or exploring, does in a region.

    Attributes:
        share: of all its proposals, those that lie in the region, in [0, 1].
        outside: of those, the share beyond the step threshold, in [0, 1].
        excess: of all its proposals, the share that lies here and beyond the step threshold, less what would if it
            were outside here as often as everywhere, or as clean data, whichever is more.
        worst_score, worst_distance: the largest of those; 0 where there is none.
        disagreement: the critics' mean standard deviation there; None without critics or proposals.
    """

    share: float
    outside: float
    excess: float
    worst_score: float
    worst_distance: float
    disagreement: float | None = None


@dataclass(frozen=True, kw_only=True)
class Exposure(Standing):
    """A region's standing, with what the support says of the proposals in it.

    Attributes:
        greedy, exploring: the policy's use of the region.
        examples: the worst proposals in it, see ``worst.examples``.
    """

    greedy: Use
    exploring: Use
    examples: list[dict[str, Any]]

    @property
    def excess(self) -> float:
        """The worse mode's."""
        return max(self.greedy.excess, self.exploring.excess)

    def to_json(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)


def exposures(
    logged: Mapping[str, Array],
    estimator: SupportEstimator,
    greedy: Proposals,
    exploring: Proposals,
    *,
    alpha: float,
    action: VectorSchema,
) -> list[Exposure]:
    """Every region, the one that a person should look at first in front (``ORDER_RULE``).

    Args:
        logged: region name -> bool mask over the rows of the estimator; the names of the proposals' masks.
        estimator: the logged data.
        greedy, exploring: the policy's proposals on held-out states.
        alpha: the share of clean steps beyond the step threshold.
        action: the robot's action schema.
    """
    both = (greedy, exploring)
    found = [
        Exposure(
            **asdict(one),
            greedy=_use(greedy, one.name, alpha),
            exploring=_use(exploring, one.name, alpha),
            examples=examples(both, one.name, estimator, action) if one.episodes else [],
        )
        for one in standings(logged, estimator.episode_of, [p.masks for p in both], greedy.episode_of)
    ]
    return sorted(found, key=_place)


def gaps(found: Sequence[Standing]) -> list[str]:
    """The names of the gaps, in their order."""
    return [one.name for one in found if one.status == GAP]


def table(found: Sequence[Exposure], *, count: int = 12) -> str:
    """For a person to read: how many gaps there are, then a line for each region that stands out, at most ``count``.

    What stands out is a gap, thin, or outside more often than the policy is elsewhere and than clean data is.
    """
    missing = len(gaps(found))
    said = f"{missing} gap{'s' * (missing > 1)} in the data" if missing else "no gap in the data"
    shown = [o for o in found if o.status in (GAP, THIN) or (o.status == SUPPORTED and o.excess > 0)]
    if not shown:
        return f"{said}, and no region in which the policy is outside more often than elsewhere and than clean data"
    more = [f"{'':10}and {len(shown) - count} more, see exposures.json"] if len(shown) > count else []
    head = f"{'':10}{'region':44}{'data':>8}{'greedy':>9}{'outside':>9}{'exploring':>11}{'outside':>9}"
    return "\n".join([said, head, *map(_line, shown[:count]), *more])


def _line(one: Exposure) -> str:
    uses = "".join(
        f"{use.share:>{width}.1%}" + (f"{use.outside:>9.1%}" if use.share else f"{'-':>9}")
        for use, width in ((one.greedy, 9), (one.exploring, 11))
    )
    status = "" if one.status == SUPPORTED else one.status
    return f"{status:10}{one.name[:43]:44}{one.data_share:>8.1%}{uses}"


def _place(one: Exposure) -> tuple[Any, ...]:
    status, share, other = place(one)
    return status, -one.excess if one.status == SUPPORTED else share, other, one.name


def _use(one: Proposals, region: str, alpha: float) -> Use:
    inside = one.frame[one.masks[region]]
    if inside.empty:
        return Use(share=0.0, outside=0.0, excess=0.0, worst_score=0.0, worst_distance=0.0)
    share, outside = len(inside) / len(one.frame), float(inside["outside"].mean())
    return Use(
        share=share,
        outside=outside,
        excess=share * (outside - max(alpha, float(one.frame["outside"].mean()))),
        worst_score=float(inside["score"].max()),
        worst_distance=float(inside["distance"].max()),
        disagreement=float(inside["disagreement"].mean()) if "disagreement" in inside else None,
    )
