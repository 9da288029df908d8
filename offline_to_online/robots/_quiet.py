"""Start a gymnasium environment without its banners, windows or wrappers."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import warnings
from typing import Any


def make_environment(name: str, *, packages: tuple[str, ...], **options: Any) -> Any:
    """The bare environment ``name`` of the packages that register it.

    Wrappers are left out: the life cycle, the horizon and the seeds are ours. Libraries print banners
    when they are imported or made (pygame a greeting, gymnasium-robotics a notice of other environments);
    those are swallowed, errors are not.
    """
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame opens no window, ever
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        import gymnasium

        level = gymnasium.logger.min_level
        gymnasium.logger.min_level = gymnasium.logger.ERROR
        try:
            for package in packages:
                gymnasium.register_envs(importlib.import_module(package))
            return gymnasium.make(name, disable_env_checker=True, **options).unwrapped
        finally:
            gymnasium.logger.min_level = level
