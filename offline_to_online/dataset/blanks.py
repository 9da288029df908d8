"""A manifest as YAML, before its fields are looked at: and the blanks that nobody has filled in yet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from offline_to_online.errors import ManifestError

BLANK = re.compile(r"<state: [^>]*>")  # what adopt leaves for a person to say

UNIT = re.compile(r"\.unit: <state: ")


def blanks(content: Any, place: str = "") -> list[str]:
    """Where a parsed manifest still says ``<state: ...>``, with what is to be stated."""
    if isinstance(content, str):
        return [f"{place}: {blank}" for blank in BLANK.findall(content)]
    items = content.items() if isinstance(content, Mapping) else enumerate(content) if isinstance(content, list) else ()
    return [said for key, value in items for said in blanks(value, f"{place}.{key}".lstrip("."))]


def together(left: list[str]) -> list[str]:
    """Blanks in lines: units of one schema, of which there may be many, in one."""
    units = [blank for blank in left if UNIT.search(blank)]
    lines = [blank for blank in left if blank not in units]
    for schema in ("action_schema", "observation_schema"):
        several = [blank for blank in units if blank.startswith(schema)]
        option = f"--{schema.removesuffix('_schema')}-unit"
        if len(several) > 1:
            lines.append(
                f"{schema}.dimensions: the unit of {len(several)} dimensions (or adopt with {option} where it is one)"
            )
        else:
            lines += several
    return lines


def require_no_blanks(content: dict[str, Any], *, where: str) -> None:
    """Refuse a manifest that still has some, naming the first.

    Raises:
        ManifestError: with where they are, and what is to be stated.
    """
    if left := blanks(content):
        raise ManifestError(
            f"{len(left)} blank(s) are left: {'; '.join(left[:4])}{' ...' if len(left) > 4 else ''}",
            where=where,
            limit="what adopt could not measure, a person states",
            remedy="write what is true in place of each <state: ...>",
        )


def read_manifest_yaml(path: Path, fields: tuple[str, ...]) -> dict[str, Any]:
    """The mapping in a manifest's file.

    Raises:
        ManifestError: the file is missing, no YAML, or no mapping of ``fields``.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ManifestError(
            "cannot read the manifest", where=str(path), limit=str(error), remedy="check its path"
        ) from error
    except yaml.YAMLError as error:
        raise ManifestError(f"the manifest is no YAML: {error}", where=str(path), remedy="mend it there") from error
    if not isinstance(content, dict):
        raise ManifestError(
            "the manifest is no mapping", where=str(path), limit=f"it has the fields {', '.join(fields)}"
        )
    return content
