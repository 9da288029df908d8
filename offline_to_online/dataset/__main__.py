"""Look at a data set, adopt it, check it against its manifest, or write it in another format.

python -m offline_to_online.dataset inspect PATH
python -m offline_to_online.dataset adopt PATH --name NAME [--robot ROBOT]
python -m offline_to_online.dataset validate PATH --manifest data/manifests/NAME.yaml --to FOLDER
python -m offline_to_online.dataset export data/episodes --to lerobot --out FOLDER
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from types import ModuleType

from offline_to_online.dataset.adoption import Stated, adopt
from offline_to_online.dataset.blanks import together
from offline_to_online.dataset.export import export
from offline_to_online.dataset.files import write_json
from offline_to_online.dataset.finding import Finding
from offline_to_online.dataset.inspection import inspect, page
from offline_to_online.dataset.manifest import Manifest, load_manifest
from offline_to_online.dataset.robot_facts import plug_in, robot_facts
from offline_to_online.dataset.sources import located
from offline_to_online.dataset.validation import validate
from offline_to_online.errors import DataError, ParameterError, one_line
from offline_to_online.plugins import available


@one_line
def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    chosen = _parser().parse_args(arguments)
    {"inspect": _inspect, "adopt": _adopt, "validate": _validate, "export": _export}[chosen.command](chosen)


def _inspect(chosen: argparse.Namespace) -> None:
    if chosen.json is not None and chosen.json.exists():
        limit = "nothing is overwritten"
        raise ParameterError("this file is there already", where=str(chosen.json), limit=limit, remedy="name another")
    manifest = None if chosen.manifest is None else load_manifest(chosen.manifest)
    if manifest is not None and chosen.keys:
        limit = "the manifest selects the sensors"
        raise ParameterError("--keys beside --manifest", limit=limit, remedy="leave one of them out")
    name = chosen.robot or (manifest.robot if manifest else None)
    robot = _robot(name, known_only=chosen.robot is None)
    _require_agreement(manifest, robot, name)
    found = inspect(
        located(chosen.path),
        format_name=chosen.format,
        keys=chosen.keys,
        manifest=manifest,
        robot=robot,
        terminals=chosen.terminals != "ignore",
        leave_out=chosen.leave_out,
    )
    print(page(found))
    if chosen.json is not None:
        write_json(chosen.json, found.to_json())
    if found.errors:
        raise _errors(found.errors, chosen.path)


def _adopt(chosen: argparse.Namespace) -> None:
    path = located(chosen.path)
    draft = adopt(
        path,
        name=chosen.name,
        root=Path(),
        format_name=chosen.format,
        keys=chosen.keys,
        robot_name=chosen.robot,
        stated=Stated(**{field.name: getattr(chosen, field.name) for field in fields(Stated)}),
    )
    print(page(draft.inspection))
    print(f"\nwrote {draft.manifest} and {draft.params}")
    for path, blanks in draft.blanks.items():
        print(f"left to state in {path}:")
        for blank in together(blanks):
            print(f"  {blank}")
    print(f"then: python -m offline_to_online.params use {draft.params} && {draft.stages}")


def _validate(chosen: argparse.Namespace) -> None:
    manifest = load_manifest(chosen.manifest)
    robot = _robot(manifest.robot, known_only=True)
    _require_agreement(manifest, robot, manifest.robot)
    if chosen.seed < 0:
        raise ParameterError(f"the seed is {chosen.seed}", where="--seed", limit="at least 0", remedy="choose another")
    summary = validate(
        path=located(chosen.path),
        format_name=chosen.format,
        manifest=manifest,
        robot=None if robot is None else robot_facts(robot),
        seed=chosen.seed,
        folder=chosen.to,
    )
    print(f"{summary['episodes']} episodes, {summary['steps']} steps, accepted -> {chosen.to}")
    for row in summary["findings"]:
        found = Finding(**row)
        print(f"  {found.severity}: {found.check} ({found.place or 'the whole data set'}): {found.message}")


def _export(chosen: argparse.Namespace) -> None:
    manifest: Manifest | None = None if chosen.manifest is None else load_manifest(chosen.manifest)
    count = export(
        located(chosen.path),
        chosen.out,
        to=chosen.to,
        format_name=chosen.format,
        manifest=manifest,
        control_rate_hz=chosen.rate,
    )
    print(f"{count} episodes -> {chosen.out} ({chosen.to})")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m offline_to_online.dataset",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    look = commands.add_parser("inspect", help="what it is, its counts and ranges, and every finding")
    look.add_argument("--manifest", type=Path, help="hold it against this manifest")
    look.add_argument("--json", type=Path, help="write the same as JSON")
    take = commands.add_parser("adopt", help="draft data/manifests/NAME.yaml and NAME.params.yaml")
    take.add_argument("--name", required=True, help="of the data set")
    take.add_argument("--operator", default="", help="who acted, where nobody is logged")
    take.add_argument("--licence", default="", help="of the data")
    take.add_argument("--source", default="", help="where the data comes from")
    take.add_argument("--resets", default="", help="how the start of an episode was drawn")
    take.add_argument("--action-unit", default="", help="of every action dimension")
    take.add_argument("--observation-unit", default="", help="of every observation dimension")
    check = commands.add_parser("validate", help="check it against its manifest, and store its episodes")
    check.add_argument("--manifest", type=Path, required=True)
    check.add_argument("--to", type=Path, required=True, help="folder for the checked episodes")
    check.add_argument("--seed", type=int, default=7, help="of the split")
    write = commands.add_parser("export", help="write episodes in another format")
    write.add_argument("--to", required=True, help="the format: minari or lerobot")
    write.add_argument("--out", type=Path, required=True, help="a folder that is not there yet")
    write.add_argument("--manifest", type=Path, help="names, units and bounds")
    write.add_argument("--rate", type=float, help="control steps per second, where nothing says them")
    for command in (look, take, check, write):
        command.add_argument("path", help="a file or folder, or minari:NAME for one of Minari's hub")
        command.add_argument("--format", help=f"force it; there is {', '.join(available('formats'))}")
    for command in (look, take):
        command.add_argument("--robot", help=f"its plug-in; there is {', '.join(available('robots'))}")
        command.add_argument(
            "--keys", nargs="+", default=[], help="sensors of the observation, as in observations[0:28]"
        )
        command.add_argument(
            "--leave-out", nargs="+", type=int, default=[], help="episodes to pass over, by their number from 0"
        )
        command.add_argument(
            "--terminals",
            choices=("ignore", "believed"),
            default="",
            help="ignore: every end of an episode is a cut, whatever is flagged",
        )
    return parser


def _robot(name: str | None, *, known_only: bool) -> ModuleType | None:
    """The plug-in; None without a name, or where a manifest names a robot that nobody has written a plug-in for."""
    if name is None or (known_only and "." not in name and name not in available("robots")):
        return None
    return plug_in(name, where="--robot")


def _require_agreement(manifest: Manifest | None, robot: ModuleType | None, name: str | None) -> None:
    """A robot judges only data of its own dimensions."""
    if manifest is not None and robot is not None and name is not None:
        spec = robot.SPEC
        manifest.require_robot(
            name, action=spec.action, observation=spec.observation, control_rate_hz=spec.control_rate_hz
        )


def _errors(errors: list[Finding], path: str) -> DataError:
    first = errors[0].error(file=path)
    limit = f"{len(errors)} finding(s) are errors"
    return DataError(first.what, where=first.where, limit=limit, remedy=errors[0].remedy or "mend the data")


if __name__ == "__main__":
    main()
