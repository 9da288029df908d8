"""Assembly: T+1 observations, one honest ending, and sensors as the manifest selects them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from offline_to_online.dataset.assembly import assemble, implied_layout, layout_of
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.logged import Contents, LoggedEpisode, Vector
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.errors import DataError, ManifestError

MakeManifest = Callable[..., Manifest]
STEPS = 6


def contents(**changes: Any) -> Contents:
    """Two sensors, of which the first is the format's own choice, and one action."""
    fields: dict[str, Any] = {
        "format": "made_up",
        "sensors": (
            Vector(name="encoder", width=2, dtype="float64"),
            Vector(name="touch", width=3, dtype="float32", names=("left", "right", "palm")),
        ),
        "observation": ("encoder",),
        "actions": Vector(name="actions", width=1, dtype="float64"),
        "rewards": True,
        "ends": True,
        "times": False,
        "final_observation": False,
    }
    return Contents(**{**fields, **changes})


def logged(**changes: Any) -> LoggedEpisode:
    """Six steps, float64 as some files have them, cut at the end, nothing after the last step."""
    rng = np.random.default_rng(0)
    fields: dict[str, Any] = {
        "where": "log.hdf5, episode 3",
        "sensors": {"encoder": rng.uniform(-9, 9, (STEPS, 2)), "touch": rng.uniform(0, 1, (STEPS, 3))},
        "actions": rng.uniform(-1, 1, (STEPS, 1)),
        "rewards": np.arange(STEPS, dtype=np.float64),
        "terminals": np.zeros(STEPS, dtype=bool),
        "timeouts": last(),
        "operator": "expert",
    }
    return LoggedEpisode(**{**fields, **changes})


def last() -> Any:
    """A flag at the last step."""
    return np.arange(STEPS) == STEPS - 1


def encoder(rows: int, seed: int = 0) -> Mapping[str, Any]:
    """The sensor with so many rows."""
    return {"encoder": np.random.default_rng(seed).uniform(-9, 9, (rows, 2))}


def assembled(episode: LoggedEpisode, manifest: Manifest | None = None, **changes: Any) -> Episode:
    """Through the manifest's layout, or the implied one."""
    known = contents(**changes)
    return assemble(episode, implied_layout(known) if manifest is None else layout_of(manifest, known, where="m"))


def test_what_was_logged_after_the_last_step_is_kept() -> None:
    """T+1 logged observations: every step stays, cast to float32 and otherwise untouched."""
    sensors = encoder(STEPS + 1)
    episode = assembled(logged(sensors=sensors))
    assert np.array_equal(episode.observations, sensors["encoder"].astype(np.float32))
    assert (len(episode), len(episode.observations), episode.observations.dtype) == (6, 7, np.float32)
    assert (episode.actions.dtype, episode.rewards.dtype) == (np.float32, np.float32)
    assert (episode.terminated, episode.truncated) == (False, True)


def test_following_gives_the_last_observation() -> None:
    """Next observations are held against the observations, and the last of them is kept."""
    rows = encoder(STEPS + 1)["encoder"]
    episode = assembled(logged(sensors={"encoder": rows[:-1]}, following={"encoder": rows[1:]}))
    assert np.array_equal(episode.observations, rows.astype(np.float32))
    assert len(episode) == STEPS


def test_following_must_be_the_same_moment(make_manifest: MakeManifest) -> None:
    """A next observation that is not the next row means a lost boundary: the step and the dimension are named."""
    rows = encoder(STEPS + 1)["encoder"]
    after = rows[1:].copy()
    after[2, 1] += 0.5
    episode = logged(sensors={"encoder": rows[:-1]}, following={"encoder": after})
    with pytest.raises(DataError, match=r"episode 3, step 2, observation\.speed.*mark the end"):
        assembled(episode, make_manifest())
    with pytest.raises(DataError, match=r"step 2, observation\.o1"):
        assembled(episode)
    after[2, 1] -= 0.4999  # 1e-4 of a declared width of 20 is rounding
    assert len(assembled(episode, make_manifest())) == STEPS


def test_a_terminal_step_keeps_its_reward() -> None:
    """Without the observation after it, the last one stands twice: it is never bootstrapped from."""
    episode = assembled(logged(terminals=last(), timeouts=None))
    assert len(episode) == STEPS
    assert episode.rewards[-1] == STEPS - 1
    assert np.array_equal(episode.observations[-1], episode.observations[-2])
    assert (episode.terminated, episode.truncated) == (True, False)


@pytest.mark.parametrize("timeouts", [None, last()])
def test_a_cut_step_without_next_observation_is_dropped(timeouts: Any) -> None:
    """Whether the cut is flagged or the recording just ends."""
    source = logged(timeouts=timeouts)
    episode = assembled(source)
    assert len(episode) == STEPS - 1
    assert np.array_equal(episode.observations, source.sensors["encoder"].astype(np.float32))
    assert np.array_equal(episode.actions, source.actions[:-1].astype(np.float32))
    assert episode.rewards.tolist() == [0, 1, 2, 3, 4]
    assert (episode.terminated, episode.truncated) == (False, True)


def test_a_terminal_may_be_a_time_out_as_well() -> None:
    """Both flags in the last step are both kept."""
    episode = assembled(logged(terminals=last(), timeouts=last()))
    assert (episode.terminated, episode.truncated) == (True, True)


def test_terminals_can_be_ignored(make_manifest: MakeManifest) -> None:
    """``terminals: ignore`` makes every end a cut, and a terminal in the middle no error."""
    manifest = make_manifest(terminals="ignore")
    episode = assembled(logged(terminals=np.ones(STEPS, dtype=bool)), manifest)
    assert (len(episode), episode.terminated, episode.truncated) == (STEPS - 1, False, True)
    with pytest.raises(DataError, match="end_before_the_last_step"):
        assembled(logged(terminals=np.ones(STEPS, dtype=bool)), make_manifest())


def test_terminals_that_last_to_the_end_are_one_ending() -> None:
    """robomimic flags each step in which the task is done; a flag in the first half is no such thing."""
    for first, one in ((STEPS - 1, True), (STEPS - 2, True), (STEPS // 2, True), (STEPS // 2 - 1, False)):
        flagged = logged(terminals=np.arange(STEPS) >= first)
        if one:
            assert assembled(flagged).terminated
            assert len(assembled(flagged)) == STEPS
        else:
            with pytest.raises(DataError, match="end_before_the_last_step"):
                assembled(flagged)


@pytest.mark.parametrize("name", ["terminals", "timeouts"])
def test_an_end_before_the_last_step_is_an_error(name: str) -> None:
    """The first such step is named, and how many there are."""
    flags = np.isin(np.arange(STEPS), (2, 4, 5))
    with pytest.raises(DataError, match=rf"{name} is set 3 step\(s\) before the end; 2 such.*episode 3, step 2\)"):
        assembled(logged(**{name: flags}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sensors": {"encoder": np.full((6, 2), [0.0, np.nan])}}, r"observations\.speed is nan; 6 such.*step 0"),
        ({"actions": np.where(np.arange(6)[:, None] == 4, np.inf, 0)}, r"actions\.push is inf; 1 such.*step 4"),
        ({"actions": np.where(np.arange(6)[:, None] == 5, np.nan, 0)}, r"actions\.push is nan.*step 5"),
        ({"rewards": np.where(np.arange(6) == 1, 1e300, 0)}, r"rewards is inf; 1 such.*step 1"),
        ({"cost": np.where(np.arange(6) == 3, np.nan, 0)}, r"cost is nan.*step 3"),
        ({"terminals": np.where(np.arange(6) == 3, np.nan, 0)}, r"terminals is nan.*step 3"),
        (
            {"sensors": encoder(6), "following": {"encoder": np.full((6, 2), np.inf)}},
            r"next_observations\.place is inf.*step 0",
        ),
    ],
)
def test_a_number_that_is_not_finite_is_named(make_manifest: MakeManifest, changes: Any, said: str) -> None:
    """With the step and the dimension; also in a step that would be dropped, also what float32 cannot hold."""
    with pytest.raises(DataError, match=rf"{said}") as caught:
        assembled(logged(**changes), make_manifest())
    assert "episode 3" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rewards": np.zeros(5)}, r"rewards has the shape \(5,\).*\(6,\)"),
        ({"rewards": np.zeros((6, 1))}, r"rewards has the shape \(6, 1\)"),
        ({"terminals": np.zeros(7, dtype=bool)}, r"terminals has the shape \(7,\)"),
        ({"cost": np.zeros(4)}, r"cost has the shape \(4,\)"),
        ({"actions": np.zeros((6, 2))}, r"actions has the shape \(6, 2\).*\(6, 1\)"),
        ({"actions": np.zeros(6)}, r"actions has the shape \(6,\)"),
        ({"sensors": encoder(5)}, r"encoder has the shape \(5, 2\).*\(6, 2\) or \(7, 2\)"),
        ({"sensors": encoder(9)}, r"encoder has the shape \(9, 2\)"),
        ({"sensors": {"encoder": np.zeros((6, 1))}}, r"encoder has the shape \(6, 1\).*\(6, 2\)"),
        ({"sensors": {"encoder": np.zeros(6)}}, r"encoder has the shape \(6,\)"),
        ({"sensors": {"touch": np.zeros((6, 3))}}, "encoder is not logged"),
        ({"following": encoder(5)}, r"next encoder has the shape \(5, 2\)"),
        ({"actions": np.zeros((0, 1))}, "an empty episode"),
    ],
)
def test_arrays_that_disagree_are_refused(changes: Any, said: str) -> None:
    """No array is cut to fit another: that would shift what follows."""
    with pytest.raises(DataError, match=said) as caught:
        assembled(logged(**changes))
    assert "log.hdf5, episode 3" in str(caught.value)


def test_one_cut_step_leaves_nothing() -> None:
    """A single step that was cut, with no observation after it, is no episode."""
    flags = {name: np.zeros(1, dtype=bool) for name in ("terminals", "timeouts")}
    with pytest.raises(DataError, match=r"an empty episode.*no next observation"):
        assembled(logged(sensors=encoder(1), actions=np.zeros((1, 1)), rewards=np.zeros(1), **flags))


def test_the_manifest_selects_in_its_own_order(make_manifest: MakeManifest, fields: Callable[..., Any]) -> None:
    """Whole sensors and slices of them, concatenated as ``keys`` says, not as the file does."""
    rows = [{"name": n, "unit": "-", "low": -10, "high": 10} for n in ("right", "palm", "place", "speed", "left")]
    keys = ["touch[1:]", "encoder", "touch[:1]"]
    manifest = make_manifest(observation_schema={"keys": keys, "dimensions": rows})
    source = logged()
    episode = assembled(source, manifest)
    touch, place = source.sensors["touch"], source.sensors["encoder"]
    wanted = np.concatenate([touch[:, 1:], place, touch[:, :1]], axis=1).astype(np.float32)
    assert np.array_equal(episode.observations, wanted)
    assert layout_of(manifest, contents(), where="m").sensors == ("touch", "encoder")


def test_a_sensor_that_lacks_its_last_row_decides(make_manifest: MakeManifest) -> None:
    """Where one of several sensors logged nothing after the last step, nobody's last row is used."""
    rows = [{"name": n, "unit": "-", "low": -10, "high": 10} for n in "abcde"]
    manifest = make_manifest(observation_schema={"keys": ["encoder", "touch"], "dimensions": rows})
    episode = assembled(logged(sensors={**encoder(STEPS + 1), "touch": np.zeros((STEPS, 3))}), manifest)
    assert (len(episode), len(episode.observations)) == (STEPS - 1, STEPS)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["tuch"], r"no sensor 'tuch' is logged.*there is encoder, touch; did you mean 'touch'\?"),
        (["encodr[0:2]"], r"no sensor 'encodr'.*did you mean 'encoder'\?"),
        (["encoder[0:3]"], r"selects entries 0 to 3.*encoder has 2"),
        (["encoder[1:1]"], r"selects entries 1 to 1"),
        (["encoder[0:0]"], r"selects entries 0 to 0"),
        (["touch"], "3 observation dimensions are logged.*describes 2"),
    ],
)
def test_a_selection_that_cannot_be_is_the_manifest_s_error(
    make_manifest: MakeManifest, fields: Callable[..., Any], keys: list[str], said: str
) -> None:
    """With what there is and the nearest name."""
    manifest = make_manifest(observation_schema={**fields()["observation_schema"], "keys": keys})
    with pytest.raises(ManifestError, match=said):
        layout_of(manifest, contents(), where="manifest slider")


def test_the_width_of_the_action_must_be_the_manifest_s(make_manifest: MakeManifest) -> None:
    """Both numbers are said."""
    with pytest.raises(ManifestError, match=r"4 action dimensions are logged.*describes 1"):
        layout_of(make_manifest(), contents(actions=Vector(name="actions", width=4, dtype="f4")), where="m")


def test_names_are_the_file_s_or_numbers() -> None:
    """Alone a sensor's own names, beside others with the sensor's in front, and never the same name twice."""
    assert implied_layout(contents()).observation_names == ("o0", "o1")
    assert implied_layout(contents(), ["touch[1:]"]).observation_names == ("right", "palm")
    both = implied_layout(contents(), ["encoder[:1]", "touch[:2]"]).observation_names
    assert both == ("encoder.0", "touch.left", "touch.right")
    doubled = Vector(name="actions", width=3, dtype="f4", names=("x", "x", "y"))
    assert implied_layout(contents(actions=doubled)).action_names == ("x.0", "x.1", "y")


def test_data_without_a_vector_has_no_layout() -> None:
    """A data set of pictures only is refused, and says what there is."""
    with pytest.raises(ManifestError, match=r"nothing is the observation.*no vector"):
        implied_layout(contents(sensors=(), observation=()))


def test_rewards_are_needed_only_where_they_are_used(make_manifest: MakeManifest) -> None:
    """A file without rewards serves ``reward_source: robot``, and an inspection."""
    source = logged(rewards=None)
    with pytest.raises(DataError, match=r"no rewards are logged.*episode 3.*reward_source: robot"):
        assembled(source, make_manifest())
    assert not assembled(source, make_manifest(reward_source="robot")).rewards.any()
    assert not assembled(source).rewards.any()
    assert not assembled(logged(), make_manifest(reward_source="none")).rewards.any()


def test_the_operator_is_logged_or_the_only_one(make_manifest: MakeManifest) -> None:
    """Two in the manifest and none in the data cannot be told apart; without a manifest it is unknown."""
    source = logged(operator=None)
    assert assembled(source, make_manifest(operators=["expert"])).operator == "expert"
    assert assembled(source).operator == "unknown"
    with pytest.raises(DataError, match=r"no operator is logged.*expert, novice"):
        assembled(source, make_manifest())


def test_what_was_not_logged_has_its_default() -> None:
    """No cost, no intervention, no seed, no score; a success flag at any step is a success."""
    episode = assembled(logged())
    assert (episode.cost.tolist(), episode.intervened.tolist()) == ([0.0] * 5, [False] * 5)
    assert (episode.seed, episode.success, episode.score) == (-1, False, 0.0)
    assert assembled(logged(successes=np.arange(STEPS) == 2)).success
    assert not assembled(logged(successes=np.arange(STEPS) == 2, success=False)).success
    told = assembled(logged(cost=np.ones(6), intervened=np.arange(6) == 1, seed=7, score=0.25))
    assert (told.cost.sum(), told.intervened.tolist(), told.intervened.dtype) == (5, [False, True] + [False] * 3, bool)
    assert (told.seed, told.score) == (7, 0.25)


def test_the_identity_does_not_know_the_type_of_the_file() -> None:
    """float64 and float32 of the same numbers, and logged or following last rows, are the same episode."""
    rows = encoder(STEPS + 1)["encoder"].astype(np.float32)
    double = logged(sensors={"encoder": rows.astype(np.float64)})
    single = logged(sensors={"encoder": rows[:-1]}, following={"encoder": rows[1:]})
    assert assembled(double).identity == assembled(single).identity
