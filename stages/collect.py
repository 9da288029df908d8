"""Record scripted operators in the simulator, as a warehouse log would hold them.

reads   params.yaml: robot, seed, collect
writes  data/raw/<recording>.hdf5, and only over a file that it wrote itself
run     dvc repro collect
"""

from __future__ import annotations

from pathlib import Path

from offline_to_online.dataset.formats import d4rl_hdf5
from offline_to_online.errors import DataError, one_line
from offline_to_online.params import load_params
from offline_to_online.plugins import module_for
from offline_to_online.progress import progress
from offline_to_online.robots._recording import record_log
from stages import argument


@one_line
def main() -> None:
    """Record every operator's episodes and print how many there are."""
    params = load_params()
    recording = argument(params.collect.recordings, what="recording", where="params.yaml collect.recordings")
    path = Path("data/raw") / f"{recording}.hdf5"
    if path.exists() and not d4rl_hdf5.is_ours(path):
        raise DataError(
            "a file that this stage did not write is in the way",
            where=str(path),
            limit="nothing is overwritten",
            remedy="move it, or name it as dataset.path with collect.recordings: []",
        )
    with progress("recording") as tell:
        episodes = record_log(
            module_for("robots", params.robot), params.collect.operators, params.seed, tell, jobs=params.jobs
        )
    d4rl_hdf5.write(path, episodes, {"recorded_by": "offline_to_online collect", "robot": params.robot})
    print(f"collect: {len(episodes)} episodes of {', '.join(params.collect.operators)} in {path}")


if __name__ == "__main__":
    main()
