"""A gate: the rules that a parameter section names, asked about one evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from types import ModuleType
from typing import Any

from offline_to_online import plugins
from offline_to_online.errors import ParameterError
from offline_to_online.online.evidence import Evidence, Verdict


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A plug-in from ``gates/`` with its limits."""

    name: str
    module: ModuleType
    config: Any

    @property
    def compares(self) -> bool:
        """Whether it compares the candidate with the others on paired tasks; the other rules are budgets."""
        return hasattr(self.module, "wants_pairs")

    def check(self, evidence: Evidence) -> Verdict:
        """The rule's verdict."""
        verdict: Verdict = self.module.check(evidence, self.config)
        return verdict

    def wants_pairs(self, evidence: Evidence) -> int:
        """Further paired tasks it wants to see before its verdict is final; 0 for a rule that needs none."""
        return int(self.module.wants_pairs(evidence, self.config)) if self.compares else 0


def rules(section: Mapping[str, Mapping[str, Any]], *, where: str = "online.gates") -> tuple[Rule, ...]:
    """The rules of a gate, from ``{name: {limit: ...}}`` as it stands in the parameters.

    Raises:
        ParameterError: an unknown rule or key (with the nearest name), a missing limit, or one out of range.
    """
    return tuple(rule(name, limits, where=f"{where}.{name}") for name, limits in section.items())


def rule(name: str, limits: Mapping[str, Any] | None, *, where: str) -> Rule:
    """One rule with its limits."""
    module = plugins.module_for("gates", name, where=where)
    given = dict(limits or {})
    known = {field.name: field for field in fields(module.Config)}
    for key in given:
        if key not in known:
            raise plugins.unknown(key, sorted(known), what="unknown key", where=where)
    missing = [n for n, f in known.items() if n not in given and f.default is MISSING and f.default_factory is MISSING]
    if missing:
        raise ParameterError(f"missing key {', '.join(missing)}", where=where, remedy="give it in params.yaml")
    try:
        config = module.Config(**given)
    except TypeError as error:
        raise ParameterError(f"limits {given!r} are no numbers", where=where, remedy="mend params.yaml") from error
    return Rule(name=name, module=module, config=config)


def judge(gate: Sequence[Rule], evidence: Evidence) -> list[Verdict]:
    """Every rule's verdict, in the order of the parameters."""
    return [rule.check(evidence) for rule in gate]


def broken(verdicts: Sequence[Verdict]) -> str:
    """Reasons of the rules that did not pass, or ``""``."""
    return "; ".join(f"{v.rule}: {v.reason}" for v in verdicts if not v.passed)
