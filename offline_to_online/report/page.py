"""How a page is made: templates beside this file, numbers formatted in one place, nothing fetched from anywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from offline_to_online.dataset.files import replacing

TEMPLATES = Path(__file__).with_name("templates")
NOTHING = "–"


def number(value: Any, digits: int = 2) -> str:
    """A number with fixed digits; an en dash for what was not measured."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    # -0.00 is a rounding, not a value.
    return f"{float(value):.{digits}f}".replace("-0." + "0" * digits, "0." + "0" * digits) if digits else f"{value:.0f}"


def compact(value: Any) -> str:
    """A number of any size in at most four significant digits."""
    return NOTHING if value is None else f"{value:.4g}"


def limit(value: float) -> str:
    """A limit; infinite ones are none."""
    return f"{value:.4g}" if math.isfinite(value) else "none"


def interval(bounds: Any, digits: int = 2) -> str:
    """``[low, high]``; an en dash for none."""
    return f"[{number(bounds[0], digits)}, {number(bounds[1], digits)}]" if bounds else NOTHING


def p_value(value: Any) -> str:
    """A p-value, in scientific notation where it is small."""
    return NOTHING if value is None else f"{value:.4f}" if value >= 1e-4 else f"{value:.1e}"


def kinds(counts: Mapping[str, int] | None) -> str:
    """``missed grasp 12, dropped 3``, most frequent first; an en dash for none."""
    rows = sorted((counts or {}).items(), key=lambda row: (-row[1], row[0]))
    return ", ".join(f"{words(kind)} {count}" for kind, count in rows) or NOTHING


def settings(config: Mapping[str, Any]) -> str:
    """``k 5, index kind exact``: names and values by the alphabet, nested ones behind their owner's name."""
    rows = []
    for key, value in sorted(config.items()):
        if isinstance(value, Mapping):
            rows += [f"{words(key)} {row}" for row in settings(value).split(", ") if row]
        else:
            known = isinstance(value, (int, float)) and not isinstance(value, bool)
            rows.append(f"{words(key)} {compact(value) if known or value is None else value}")
    return ", ".join(rows)


def by_kind(rows: Sequence[Mapping[str, Any]], key: str = "kind") -> list[list[Mapping[str, Any]]]:
    """Rows in groups that share the value of a key, in the order in which the values first occur."""
    order = dict.fromkeys(row[key] for row in rows)
    return [[row for row in rows if row[key] == value] for value in order]


def words(name: str) -> str:
    """``missed_grasp`` as people write it."""
    return name.replace("_", " ")


def render(template: str, context: Mapping[str, Any]) -> str:
    """A page from its template.

    Args:
        template: file name in ``templates/``.
        context: every name that the template uses.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        f.__name__: f for f in (number, compact, limit, interval, p_value, kinds, settings, by_kind, words)
    }
    return environment.get_template(template).render(**context)


def write_page(path: Path, template: str, context: Mapping[str, Any]) -> None:
    """Render a page and write it in one step."""
    content = render(template, context)
    with replacing(path) as partial:
        partial.write_text(content, encoding="utf-8")
