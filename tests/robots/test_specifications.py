"""What is known without connecting, and that nothing is printed where everything is new."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from offline_to_online import plugins
from offline_to_online.robots import _adroit_world, adroit_door

ROOT = Path(__file__).resolve().parents[2]
# recorded_only is no robot that plays: it stands for one that nobody has written a plug-in for.
PLAYED = [name for name in plugins.available("robots") if name != "recorded_only"]


def fresh(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "SDL_VIDEODRIVER"} | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_specifications_need_no_simulator(tmp_path: Path) -> None:
    """A fresh process reads every SPEC without importing a simulator."""
    code = (
        f"import sys; from offline_to_online import plugins; [plugins.module_for('robots', n).SPEC for n in {PLAYED}]; "
        "print(sorted({'gymnasium', 'mujoco', 'pygame', 'pymunk', 'gym_pusht'} & set(sys.modules)))"
    )
    done = fresh(code, tmp_path)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")


def test_a_fresh_process_is_quiet_and_leaves_no_litter(tmp_path: Path) -> None:
    """Making and playing every robot for the first time prints nothing and writes no file."""
    code = (
        "import numpy as np; from offline_to_online import plugins; from offline_to_online.robots import Dynamics\n"
        f"for n in {PLAYED}:\n"
        "    m = plugins.module_for('robots', n); r = m.make(Dynamics())\n"
        "    r.reset(m.draw_task(np.random.default_rng(0))); r.step(m.SPEC.action.high); r.close()\n"
    )
    done = fresh(code, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_the_hands_motors_are_the_simulators() -> None:
    """Names and ranges of the 28 motors, kept here so that a SPEC needs no simulator, are the model's."""
    import mujoco

    world = _adroit_world.AdroitDoorWorld(adroit_door.Dynamics())
    model = world._environment.model
    named = [mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_ACTUATOR, i) for i in range(model.nu)]
    assert named == [f"A_{name}" for name, _, _ in _adroit_world.MOTORS]
    assert np.allclose(model.actuator_ctrlrange, np.stack([_adroit_world.LOW, _adroit_world.HIGH], axis=1), atol=1e-3)
    world.close()
