"""Rules of a gate. One file beside this one is one rule.

A rule gives:

    Config                                     frozen, keyword-only; its limits with their units
    check(evidence, config) -> Verdict         passed, measured, limit, unit, reason; never raises for a failure
    wants_pairs(evidence, config) -> int       optional: further paired tasks to play before the verdict is final
    certain(evidence, config) -> {side: float} optional: what is certain of the candidate's difference to each side

As a safety rule it sees the rollouts of the champion while it collects; as an acceptance rule it sees the
candidate's rollouts on the acceptance block, and beside them the champion's and the baseline's on the same tasks.
"""
