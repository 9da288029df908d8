"""Check what was logged against its manifest, and freeze the split.

reads   the data set's file where it lies, data/manifests/<name>.yaml
writes  data/episodes/ (transitions.parquet, episodes.parquet, split.json, validation.json, acceptance.json)
run     dvc repro validate
"""

from __future__ import annotations

from pathlib import Path

from offline_to_online.dataset.manifest import load_manifest
from offline_to_online.dataset.robot_facts import robot_facts
from offline_to_online.dataset.validation import validate
from offline_to_online.errors import one_line
from offline_to_online.params import load_params, robot_of


@one_line
def main() -> None:
    """Validate, write, and print how many episodes passed."""
    params = load_params()
    manifest, robot = load_manifest(params.dataset.manifest), robot_of(params)
    manifest.require_robot(
        params.robot,
        action=robot.SPEC.action,
        observation=robot.SPEC.observation,
        control_rate_hz=robot.SPEC.control_rate_hz,
    )
    summary = validate(
        path=Path(params.dataset.path),
        format_name=None if params.dataset.format == "auto" else params.dataset.format,
        manifest=manifest,
        robot=robot_facts(robot),
        seed=params.seed,
        folder=Path("data/episodes"),
    )
    clipped = summary["clipped"]["entries"]
    warnings = sum(finding["severity"] == "warning" for finding in summary["findings"])
    print(
        f"validate: {summary['episodes']} episodes, {summary['steps']} steps, accepted"
        + (f"; clipped to their bounds: {clipped} action values" if clipped else "")
        + (f"; {warnings} warning(s), listed in data/episodes/validation.json" if warnings else "")
    )


if __name__ == "__main__":
    main()
