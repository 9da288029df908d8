"""The errors a person can cause, each said in one line: what, where, the limit, and what to do.

PipelineError
|-- ParameterError   params.yaml, a flag or a plug-in's name is wrong
|-- ManifestError    the manifest is incomplete, or the data contradicts it
|-- DataError        a data file, an episode or a transition is not what it must be
|-- SplitError       a split leaks, is empty, or no longer fits its data
|-- SupportError     too little data to calibrate, or an estimator that does not fit
|-- PolicyError      a policy file is broken, or does not fit the robot
|-- TrainingError    an update turned non-finite
|-- PanelError       a panel is missing, used up, or was changed
|-- HandoffError     the handoff is incomplete, or what it rests on was changed
|-- RobotError       the robot is in use, or cannot do what was asked
|   `-- EmergencyStopError   somebody stopped it
|-- RunError         an online run's own folder is broken, or does not fit its journal
`-- ServerError      no MLflow or Prefect server at the configured address
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec

Arguments = ParamSpec("Arguments")


class PipelineError(Exception):
    """Something a person can mend. One line: ``what (where): limit; remedy``.

    Args:
        what: what is wrong, with the value that was found.
        where: the file, key, episode, step or dimension it was found in.
        limit: what would have been accepted.
        remedy: what to do about it.
    """

    def __init__(self, what: str, *, where: str = "", limit: str = "", remedy: str = "") -> None:
        self.what, self.where, self.limit, self.remedy = what, where, limit, remedy
        place = f" ({where})" if where else ""
        tail = "; ".join(part for part in (limit, remedy) if part)
        line = f"{what}{place}" + (f": {tail}" if tail else "")
        super().__init__(" ".join(line.split()))

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the trip back from a worker process."""
        return (_rebuild, (type(self), self.what, self.where, self.limit, self.remedy))


def _rebuild(kind: type[PipelineError], what: str, where: str, limit: str, remedy: str) -> PipelineError:
    return kind(what, where=where, limit=limit, remedy=remedy)


class ParameterError(PipelineError):
    """A parameter, a flag or a plug-in's name is wrong."""


class ManifestError(PipelineError):
    """The manifest is incomplete, or the data contradicts it."""


class DataError(PipelineError):
    """A data file, an episode or a transition is not what it must be."""


class SplitError(PipelineError):
    """A split leaks, is empty, or no longer fits its data."""


class SupportError(PipelineError):
    """Too little data to calibrate, or an estimator that does not fit."""


class PolicyError(PipelineError):
    """A policy file is broken, or does not fit the robot."""


class TrainingError(PipelineError):
    """An update turned non-finite; it was not applied."""


class PanelError(PipelineError):
    """A panel is missing, used up, or was changed."""


class HandoffError(PipelineError):
    """The handoff is incomplete, or what it rests on was changed."""


class RobotError(PipelineError):
    """The robot is in use, or cannot do what was asked."""


class EmergencyStopError(RobotError):
    """Somebody, or the robot itself, stopped it in the middle of an episode; ``what`` is who or what asked.

    Attributes:
        rollout: what had been executed by then; None before the first step.
    """

    rollout: object | None = None

    def __reduce__(self) -> tuple[object, ...]:
        """Bring along from a worker process what had been executed."""
        return (*super().__reduce__(), {"rollout": self.rollout})


class RunError(PipelineError):
    """An online run's own folder is broken, or does not fit its journal."""


class ServerError(PipelineError):
    """No MLflow or Prefect server at the configured address."""


def one_line(main: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Make an entry point print a ``PipelineError``, or what the file system refuses, as one line; it exits with 2."""

    @functools.wraps(main)
    def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            main(*args, **kwargs)
            sys.stdout.flush()
        except PipelineError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except BrokenPipeError:
            # Whoever read our output has had enough (`| head`): nothing is wrong, and there is nobody to tell.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except OSError as error:
            # A folder that may not be written, a full disk, a name that is too long: a person's to mend, not a bug.
            said = f"{error.strerror or error} ({error.filename or 'here'})"
            print(f"error: {said}: a place that can be read and written; check path, rights and space", file=sys.stderr)
            sys.exit(2)

    return guarded
