"""The offline report: what was logged, what was learned from it, where the data supports it, and what is handed off."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from markupsafe import Markup

from offline_to_online.dataset.files import read_json
from offline_to_online.dataset.finding import Finding
from offline_to_online.dataset.manifest import load_manifest
from offline_to_online.dataset.validation import VALIDATION
from offline_to_online.evaluation.handoff import HandoffSources
from offline_to_online.plugins import module_for
from offline_to_online.report.audit_view import audit_view, episode_names
from offline_to_online.report.page import words, write_page
from offline_to_online.report.plots import Interval, intervals
from offline_to_online.robots import Dynamics

CONTENTS = (
    ("table", "Aligned table"),
    ("data", "Data checks"),
    ("panel", "Panel results"),
    ("failures", "Failures"),
    ("support", "Support audit"),
    ("regions", "Regions"),
    ("card", "Experiment card"),
    ("names", "Five names"),
    ("hashes", "Hashes"),
)
CONDITIONS = ("nominal", "shifted", "dynamics")


def write_offline_report(
    path: Path, *, sources: HandoffSources, handoff: Mapping[str, Any], coverage: Path | None = None
) -> None:
    """Write one self-contained HTML page; the same sources give the same bytes.

    Args:
        path: ``data/report/index.html``.
        sources: where everything lies; the same that the handoff was made from.
        handoff: the record that ``write_handoff`` returned.
        coverage: the data's coverage by region (``data/support/coverage.json``), if there is one.

    Raises:
        DataError: a file is missing or broken.
    """
    covered = read_json(coverage) if coverage else {}
    names = sorted(sources.evaluations, key=lambda n: (n != "bc", n))
    evaluations = {n: read_json(sources.evaluations[n] / "metrics.json") for n in names}
    module = module_for("robots", sources.robot)
    called, calibration = episode_names(sources.episodes), handoff["calibration"]
    views = {
        n: audit_view(n, sources.audits[n], calibration=calibration, action=module.SPEC.action, episodes=called)
        for n in names
    }
    audits = {n: view["metrics"] for n, view in views.items()}
    results = panel_results(evaluations)
    manifest = load_manifest(sources.manifest)
    context = {
        "title": f"From logs to a policy: {words(sources.robot)}",
        "kicker": f"Offline report on the data set {manifest.name}",
        "contents": CONTENTS,
        "handoff": handoff,
        "data": data_checks(sources.episodes / VALIDATION),
        "evaluations": evaluations,
        "results": results,
        "panel_figure": panel_figure(results),
        "failures": failure_table(results),
        "audits": audits,
        "views": views,
        "regions": region_table(audits, covered),
        "coverage": covered,
        "spec": module.SPEC,
        "manifest": manifest,
        "perturbations": perturbations(module, evaluations["bc"]),
        "hashes": hashes(handoff),
    }
    write_page(path, "offline.html.j2", context)


def data_checks(validation: Path) -> dict[str, Any]:
    """What validation found in the data and let pass: findings with their place, and what was left out of the episodes.

    Raises:
        DataError: the file is broken.
    """
    content = read_json(validation) if validation.is_file() else {}
    findings = [Finding(**row) for row in content.get("findings", [])]
    return {"findings": findings, "left_out": content.get("left_out", []), "format": content.get("format", "")}


def panel_results(evaluations: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row per condition and policy, with the numbers of ``metrics.json``."""
    return [
        {
            "condition": condition,
            "policy": name,
            **(metrics if condition == "nominal" else metrics["perturbed"][condition]),
        }
        for condition in CONDITIONS
        for name, metrics in evaluations.items()
        if condition == "nominal" or condition in metrics["perturbed"]
    ]


def panel_figure(results: list[dict[str, Any]]) -> Markup:
    """Success with its interval, policies side by side under each condition."""
    points = [
        Interval(
            row=row["condition"],
            series=row["policy"],
            value=row["success_rate"],
            low=row["success_interval"][0],
            high=row["success_interval"][1],
        )
        for row in results
    ]
    said = "; ".join(f"{p.series} {p.row} {p.value:.2f} from {p.low:.2f} to {p.high:.2f}" for p in points)
    return intervals("panel", points, label="success rate, 95 % interval", alt=f"Success rate on the panel: {said}")


def failure_table(results: list[dict[str, Any]]) -> list[tuple[str, list[int]]]:
    """Kinds of failure, most frequent first, each with its count in every row of the panel results."""
    names = {kind for row in results for kind in row["failures"]}
    table = [(kind, [int(row["failures"].get(kind, 0)) for row in results]) for kind in names]
    return sorted(table, key=lambda row: (-sum(row[1]), row[0]))


def region_table(audits: Mapping[str, Mapping[str, Any]], coverage: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row per region: the data's share of it, and per policy its share of proposals, and how many lie outside."""
    names = sorted({name for audit in audits.values() for name in audit["regions"]} | set(coverage.get("regions", {})))
    missing = set(coverage.get("unsupported", ())).union(*(a.get("unsupported_regions", ()) for a in audits.values()))
    return [
        {
            "name": name,
            "supported": name not in missing,
            "episodes": coverage.get("regions", {}).get(name, {}).get("episodes"),
            "data_share": _first(coverage.get("regions", {}).get(name, {}).get("step_share"), name, audits),
            "policies": {policy: audit["regions"].get(name) for policy, audit in audits.items()},
        }
        for name in names
    ]


def _first(share: float | None, region: str, audits: Mapping[str, Mapping[str, Any]]) -> float | None:
    found = (audit["regions"].get(region, {}).get("data_share") for audit in audits.values())
    return share if share is not None else next((s for s in found if s is not None), None)


def perturbations(module: Any, metrics: Mapping[str, Any]) -> dict[str, str]:
    """What each perturbed condition changes, in words: the robot's own for the resets, the numbers for the dynamics."""
    shifted = (inspect.getdoc(module.shift_task) or "").split("\n\n")[0].replace("\n", " ")
    said = {"shifted": shifted or "resets and goals outside the recorded range"}
    played = metrics["perturbed"].get("dynamics", {}).get("dynamics") or metrics.get("dynamics") or {}
    return said | {"dynamics": changes(played)}


def changes(dynamics: Mapping[str, Any]) -> str:
    """How dynamics differ from the logged robot's: ``action gain 0.5``."""
    usual = asdict(Dynamics())
    odd = [f"{words(key)} {value:g}" for key, value in sorted(dynamics.items()) if usual.get(key) != value]
    return ", ".join(odd) or "unchanged"


def hashes(handoff: Mapping[str, Any]) -> dict[str, str]:
    """Everything that the page rests on, by hash."""
    return {
        "handoff": handoff["handoff_sha256"],
        f"policy {handoff['chosen']}": handoff["policy_sha256"],
        "panel": handoff["evaluation_artifact"]["panel_sha256"],
        "manifest": handoff["manifest_sha256"],
        "episodes": handoff["episodes_sha256"],
        "split": handoff["split_sha256"],
        "support estimator": handoff["support_estimator"]["sha256"],
        "calibration": handoff["calibration"]["sha256"],
        "evaluation": handoff["evaluation_artifact"]["sha256"],
        "audit": handoff["audit"]["sha256"],
    }
