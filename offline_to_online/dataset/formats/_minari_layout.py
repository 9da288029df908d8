"""What the columns of a Minari data set mean, told from its first episode and its declared spaces."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from offline_to_online.dataset.formats._minari_column import Column, Tree
from offline_to_online.dataset.formats._minari_metadata import Metadata
from offline_to_online.dataset.formats._minari_space import Leaf
from offline_to_online.dataset.logged import LeftOut, Vector
from offline_to_online.errors import DataError

OBSERVATIONS, ACTIONS, INFOS = "observations", "actions", "infos"
FLAT = ("rewards", "terminations", "truncations")
# What an info of this name says of every step, the first that there is.
ROLES = {
    "cost": ("infos/cost",),
    "intervened": ("infos/intervened",),
    "successes": ("infos/success", "infos/is_success"),
}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The columns of the first episode by what they are for; every other episode is held against it.

    Attributes:
        sensors, actions: as in Contents.
        roles: ``cost``, ``intervened``, ``successes`` to the column that holds it.
        infos: all other numeric columns below ``infos``.
        columns: every column of the first episode.
        left_out: what no episode of ours will hold.
    """

    sensors: tuple[Vector, ...]
    actions: Vector
    roles: Mapping[str, str]
    infos: tuple[str, ...]
    columns: Mapping[str, Column]
    left_out: tuple[LeftOut, ...]


def layout_of(metadata: Metadata, tree: Tree) -> Layout:
    """The layout of a data set.

    Raises:
        DataError: a column is missing, holds no numbers or another number of them than its space declares; the
            actions are no vector, or no observation is one.
    """
    sensors, left_out = _sensors(metadata, tree)
    for name in (ACTIONS, *FLAT):
        _require_vector(tree, name)
    infos = {name: column for name, column in tree.columns.items() if name.split("/")[0] == INFOS}
    # Of several names the first that is there: the last one put into a dictionary stays.
    roles = {role: n for role, names in ROLES.items() for n in reversed(names) if _one_number(infos.get(n))}
    odd = tuple(_left_out(name, column) for name, column in infos.items() if column.kind not in ("vector", "scalar"))
    return Layout(
        sensors=sensors,
        actions=_actions(metadata, tree),
        roles=roles,
        infos=tuple(n for n, column in infos.items() if column.kind == "vector" and n not in roles.values()),
        columns=dict(tree.columns),
        left_out=(*left_out, *odd),
    )


def require_same(layout: Layout, tree: Tree) -> None:
    """Hold an episode's columns against those of the first one.

    Raises:
        DataError: one that matters is missing, is there in this episode only, or has another width.
    """
    matters = {n for n in {*layout.columns, *tree.columns} if n.split("/")[0] != INFOS or n in layout.roles.values()}
    for name in sorted(matters):
        mine, first = tree.columns.get(name), layout.columns.get(name)
        if mine is None or first is None:
            what = f"{name} is missing" if mine is None else f"{name} is in this episode and not in the first"
            raise DataError(what, where=tree.where, limit="the columns of the first episode", remedy="mend the data")
        if mine.kind != first.kind or (mine.kind == "vector" and mine.shape != first.shape):
            raise DataError(
                f"{name} holds {_words(mine)}",
                where=tree.where,
                limit=f"the first episode has {_words(first)}",
                remedy="mend the data",
            )


def _sensors(metadata: Metadata, tree: Tree) -> tuple[tuple[Vector, ...], tuple[LeftOut, ...]]:
    columns = {name: column for name, column in tree.columns.items() if name.split("/")[0] == OBSERVATIONS}
    declared = metadata.observation
    leaves = {leaf.name: leaf for leaf in declared} if declared is not None else dict.fromkeys(columns)
    for name in {**leaves, **columns}:
        if name not in columns or name not in leaves:
            what = "is declared in the observation space" if name in leaves else "is stored"
            limit = "the columns are those of the space; there is " + (", ".join(columns) or "none")
            raise DataError(f"only {name} {what}", where=tree.where, limit=limit, remedy="mend the data or its space")
    kinds = {name: _kind(leaf, columns[name], tree.where) for name, leaf in leaves.items()}
    vectors = tuple(_vector(n, columns[n], leaves[n], metadata) for n, kind in kinds.items() if kind == "vector")
    left_out = tuple(_left_out(n, columns[n], kind) for n, kind in kinds.items() if kind != "vector")
    if not vectors:
        limit = f"there is {', '.join(f'{out.name} ({out.kind})' for out in left_out) or 'nothing'}"
        raise DataError("no observation is a vector", where=tree.where, limit=limit, remedy="record a vector")
    return vectors, left_out


def _actions(metadata: Metadata, tree: Tree) -> Vector:
    column, leaf = tree.columns[ACTIONS], None
    if metadata.action is not None:
        leaf = metadata.action[0] if len(metadata.action) == 1 else None
        if leaf is None or leaf.name != ACTIONS or leaf.type != "Box":
            found = ", ".join(f"{a.name} ({a.type})" for a in metadata.action) or "nothing"
            remedy = "store them as one Box of numbers"
            raise DataError(f"the actions are {found}", where=str(metadata.path), limit="one vector", remedy=remedy)
        _kind(leaf, column, tree.where)
    elif column.shape == () and column.dtype.startswith(("int", "uint", "bool")):
        raise DataError("the actions are single whole numbers", where=tree.where, limit="a vector, not a choice")
    return _vector(ACTIONS, column, leaf, metadata)


def _kind(leaf: Leaf | None, column: Column, where: str) -> str:
    """What a column is; its space knows a picture packed into bytes, the column what is truly there."""
    if leaf is None:
        return column.kind
    if leaf.kind != "vector":
        return leaf.kind
    if column.kind not in ("vector", "image", "empty"):
        what = f"{leaf.name} holds {column.dtype}"
        raise DataError(what, where=where, limit=f"its space is a {leaf.type} of numbers", remedy="mend the data")
    if leaf.shape is not None and column.shape not in (leaf.shape, (math.prod(leaf.shape),)):
        what = f"{leaf.name} holds {_words(column)}"
        limit = f"its space declares the shape {leaf.shape}"
        raise DataError(what, where=where, limit=limit, remedy="mend the data or its space")
    return "vector" if column.kind == "image" and leaf.dtype != "uint8" else column.kind


def _vector(name: str, column: Column, leaf: Leaf | None, metadata: Metadata) -> Vector:
    names = metadata.names.get(name, ())
    if len(names) not in (0, column.width):
        what, limit = f"{len(names)} dimensions of {name} are named", f"it has {column.width}"
        raise DataError(what, where=str(metadata.path), limit=limit, remedy="mend dimension_names")
    bounds = {"low": leaf.low, "high": leaf.high} if leaf is not None else {}
    return Vector(name=name, width=column.width, dtype=column.dtype, names=names, **bounds)


def _require_vector(tree: Tree, name: str) -> None:
    column = tree.columns.get(name)
    if column is None:
        there = ", ".join(tree.columns) or "nothing"
        raise DataError(f"no {name} are stored", where=tree.where, limit=f"there is {there}", remedy="mend the data")
    if column.kind != "vector" or (name in FLAT and column.width != 1):
        limit = "one number a step" if name in FLAT else "a vector of numbers a step"
        raise DataError(f"{name} holds {_words(column)}", where=tree.where, limit=limit, remedy="mend the data")


def _one_number(column: Column | None) -> bool:
    return column is not None and column.kind == "vector" and column.width == 1


def _left_out(name: str, column: Column, kind: str | None = None) -> LeftOut:
    return LeftOut(name=name, kind=kind or column.kind, detail=_words(column))


def _words(column: Column) -> str:
    return column.dtype + (f" {list(column.shape)}" if column.shape else "")
