"""Where the data supports an action."""

from __future__ import annotations

import numpy as np
import pytest

from offline_to_online.errors import ParameterError, SupportError
from offline_to_online.support.estimator import SupportConfig, SupportEstimator


@pytest.fixture
def episodes(make_log):
    return make_log(0, 6)


@pytest.fixture
def estimator(episodes):
    return SupportEstimator.fit(episodes, SupportConfig(k=3, density_neighbours=10))


def steps(episode):
    return episode.observations[:-1], episode.actions


def test_leaving_an_episode_out_equals_refitting_without_it(estimator, episodes):
    """Bit for bit, for every episode: whitening and neighbours are those of the others alone."""
    for index, episode in enumerate(episodes):
        others = SupportEstimator.fit(episodes[:index] + episodes[index + 1 :], estimator.config)
        left_out = estimator.distance_leaving_out(*steps(episode), index)
        assert (left_out == others.distance(*steps(episode))).all()
        assert estimator.leaving_out(index).sha256 == others.sha256


def test_a_logged_step_is_nearer_with_its_own_episode_than_without(estimator, episodes):
    """A trajectory supports itself, which is why calibration leaves it out."""
    own = estimator.distance(*steps(episodes[2]))
    assert own.mean() < estimator.distance_leaving_out(*steps(episodes[2]), 2).mean()


def test_every_row_knows_its_episode(estimator, episodes):
    """episode_of names the episode whose action the row holds."""
    for index, episode in enumerate(episodes):
        assert (estimator.actions[estimator.episode_of == index] == episode.actions).all()


def test_one_deviation_everywhere_is_a_distance_of_one(make_log):
    """The unit of the distance is the same whatever the dimensions and the weight."""
    for weight in (0.5, 3.0):
        estimator = SupportEstimator.fit(make_log(1, 4), SupportConfig(k=1, action_weight=weight))
        estimator._joint.points[:] = 0.0
        estimator._joint = type(estimator._joint)(estimator._joint.points)
        rows = (estimator.whitening.mean + estimator.whitening.scale)[None]
        assert estimator.distance(rows[:, :4], rows[:, 4:])[0] == pytest.approx(1.0, rel=1e-4)


def test_a_strange_action_is_far_and_unlikely_in_a_familiar_state(estimator, episodes):
    """The opposite of the logged action is farther away and less likely than the action itself."""
    observations, actions = steps(episodes[0])
    opposite = -np.sign(actions)
    assert (estimator.distance(observations, opposite) > estimator.distance(observations, actions)).all()
    assert estimator.log_prob(observations, opposite).mean() < estimator.log_prob(observations, actions).mean() - 5


def test_a_strange_state_is_far_whatever_the_action(estimator, episodes):
    """A sensor far outside its recorded range is seen."""
    observations, actions = steps(episodes[0])
    moved = observations.copy()
    moved[:, 1] += 50.0
    assert estimator.distance(moved, actions).min() > estimator.distance(observations, actions).max()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_infinitely_far(estimator, episodes, value):
    """No comparison with a threshold lets a broken query pass, and its neighbours in the batch are unharmed."""
    observations, actions = (a[:3].copy() for a in steps(episodes[0]))
    clean = estimator.distance(observations, actions)
    observations[1, 0] = value
    found = estimator.distance(observations, actions)
    assert found[1] == np.inf
    assert (found[[0, 2]] == clean[[0, 2]]).all()
    assert estimator.log_prob(observations, actions)[1] == -np.inf


def test_alone_or_among_many_is_the_same(estimator, make_log):
    """The guard, which asks one step at a time, sees what the audit saw."""
    observations, actions = steps(make_log(9, 1, steps=40)[0])
    alone = [estimator.distance(o[None], a[None])[0] for o, a in zip(observations, actions, strict=True)]
    assert (np.array(alone) == estimator.distance(observations, actions)).all()


def test_saving_and_loading_changes_nothing(estimator, episodes, tmp_path):
    """Same distances, same densities, same hash; and the same bytes wherever it is written."""
    estimator.save(tmp_path / "a")
    loaded = SupportEstimator.load(tmp_path / "a")
    loaded.save(tmp_path / "b" / "deeper")
    assert loaded.sha256 == estimator.sha256
    assert (loaded.distance(*steps(episodes[1])) == estimator.distance(*steps(episodes[1]))).all()
    assert (loaded.log_prob(*steps(episodes[1])) == estimator.log_prob(*steps(episodes[1]))).all()
    for name in ("estimator.safetensors", "estimator.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / "deeper" / name).read_bytes()
    assert len(list((tmp_path / "a").iterdir())) == 2


def test_a_changed_or_broken_file_is_refused(estimator, tmp_path):
    """A flipped byte, a truncated file, a missing one and a changed setting each end in one clear line."""

    def spoil(name, change):
        estimator.save(tmp_path)
        path = tmp_path / name
        path.write_bytes(change(path.read_bytes()))
        with pytest.raises(SupportError, match="run the stage support again"):
            SupportEstimator.load(tmp_path)

    spoil("estimator.safetensors", lambda b: b[:-1] + bytes([b[-1] ^ 1]))
    spoil("estimator.safetensors", lambda b: b[:100])
    spoil("estimator.json", lambda b: b.replace(b'"k": 3', b'"k": 4'))
    spoil("estimator.json", lambda b: b.replace(b'"config"', b'"kon"'))
    (tmp_path / "estimator.safetensors").unlink()
    with pytest.raises(SupportError, match="unreadable support estimator"):
        SupportEstimator.load(tmp_path)


def test_the_hash_knows_what_it_was_fitted_on(episodes, make_log):
    """Another setting or another log is another estimator; the same is the same."""
    config = SupportConfig()
    first = SupportEstimator.fit(episodes, config).sha256
    assert first == SupportEstimator.fit(episodes, config).sha256
    assert first != SupportEstimator.fit(episodes, SupportConfig(k=4)).sha256
    assert first != SupportEstimator.fit(make_log(5, 6), config).sha256


def test_bad_input_is_refused_in_one_line(estimator, episodes, make_log):
    """No episode, too few steps, NaN in the log, another robot's sizes, and an episode that is not there."""
    with pytest.raises(SupportError, match="at least 1"):
        SupportEstimator.fit([], SupportConfig())
    with pytest.raises(SupportError, match="at least k = 50"):
        SupportEstimator.fit(make_log(0, 1), SupportConfig(k=50))
    with pytest.raises(SupportError, match=r"\(N, 4\) and \(N, 2\)"):
        estimator.distance(np.zeros((2, 5)), np.zeros((2, 2)))
    with pytest.raises(SupportError, match=r"\(N, 4\) and \(N, 2\)"):
        estimator.log_prob(np.zeros((2, 4)), np.zeros((3, 2)))
    with pytest.raises(SupportError, match="leave out"):
        estimator.distance_leaving_out(*steps(episodes[0]), 6)
    broken = make_log(0, 2)
    broken[1].observations[3, 1] = np.nan
    with pytest.raises(SupportError, match="NaN"):
        SupportEstimator.fit(broken, SupportConfig())


@pytest.mark.parametrize("field", ["k", "action_weight", "density_neighbours", "bandwidth_floor"])
def test_a_setting_that_is_not_positive_is_refused_by_name(field):
    """Each field says its own name."""
    with pytest.raises(ParameterError, match=f"support.{field}"):
        SupportConfig(**{field: 0})
