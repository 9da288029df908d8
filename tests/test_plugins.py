"""The directory is the registry."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from offline_to_online.errors import ParameterError, PipelineError, one_line
from offline_to_online.plugins import FOLDERS, available, module_for

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("kind", sorted(FOLDERS))
def test_every_file_is_a_plugin(kind: str) -> None:
    """What stands in the folder is what is available, without the shared underscore files."""
    folder = ROOT / FOLDERS[kind].replace(".", "/")
    expected = sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))
    assert available(kind) == expected
    assert expected


def test_an_unknown_name_lists_what_there_is_and_the_nearest() -> None:
    """A misspelt plug-in is refused, with all names and the nearest."""
    with pytest.raises(ParameterError, match=r"there is .*iql.*did you mean 'iql'"):
        module_for("algorithms", "iqll")


def test_a_dotted_name_is_a_module_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own module is found by its dotted name, and a missing one is one clear error."""
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "arm.py").write_text("SPEC = 'theirs'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert module_for("robots", "lab.arm").SPEC == "theirs"
    with pytest.raises(ParameterError, match=r"no module 'lab\.leg'"):
        module_for("robots", "lab.leg")
    with pytest.raises(ParameterError, match=r"no module '\.\.arm' \(params.yaml robot\)"):
        module_for("robots", "..arm", where="params.yaml robot")
    with pytest.raises(ParameterError, match=r"module 'lab\.arm' has no describe"):
        module_for("formats", "lab.arm")


def test_an_error_is_one_line_and_survives_a_worker() -> None:
    """Whatever goes into it, the message is one line, and unpickles as the same error."""
    import copy

    error = ParameterError("a\nb", where="here", limit="at most\n3", remedy="mend it")
    assert "\n" not in str(error)
    twin = copy.copy(error)
    assert (type(twin), str(twin)) == (ParameterError, str(error))


@pytest.mark.parametrize(
    "refused", [PermissionError(13, "Permission denied", "data/x"), OSError(28, "No space left", "y")]
)
def test_what_the_file_system_refuses_is_one_line(refused: OSError, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that may not be written, or a full disk, is no traceback; a reader that left is no error at all."""

    def ends(error: OSError) -> object:
        @one_line
        def main() -> None:
            raise error

        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code

    assert ends(refused) == 2
    assert re.fullmatch(rf"error: {refused.strerror} \({refused.filename}\): .*\n", capsys.readouterr().err)


def test_an_entry_point_prints_one_line_and_exits_2() -> None:
    """A user's mistake ends in one line on stderr and exit code 2, without a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "offline_to_online.params", "nonsense"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1


def test_every_error_has_one_root() -> None:
    """A caller can catch the whole tree by its root."""
    from offline_to_online import errors

    named = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert all(issubclass(kind, PipelineError) for kind in named)
