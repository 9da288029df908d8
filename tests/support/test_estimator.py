"""Where the data supports an action."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from offline_to_online.errors import ParameterError, SupportError
from offline_to_online.support.estimator import SupportConfig, SupportEstimator
from offline_to_online.support.index import IndexConfig


@pytest.fixture
def episodes(make_log):
    return make_log(0, 6)


@pytest.fixture
def estimator(episodes):
    return SupportEstimator.fit(episodes, SupportConfig(k=3, neighbourhoods=(5, 20)))


def steps(episode):
    return episode.observations[:-1], episode.actions


def test_leaving_an_episode_out_equals_refitting_without_it(estimator, episodes):
    """Bit for bit, for every episode: nothing that is measured on the log knows of the one left out."""
    for index, episode in enumerate(episodes):
        others = SupportEstimator.fit(episodes[:index] + episodes[index + 1 :], estimator.config)
        left_out = estimator.score_leaving_out(*steps(episode), index)
        assert (left_out == others.score(*steps(episode))).all()
        assert estimator.leaving_out(index).sha256 == others.sha256


def test_a_logged_step_is_less_surprising_with_its_own_episode_than_without(estimator, episodes):
    """A trajectory supports itself, which is why calibration leaves it out."""
    own = estimator.score(*steps(episodes[2]))
    assert own.mean() < estimator.score_leaving_out(*steps(episodes[2]), 2).mean()


def test_an_added_episode_supports_itself_at_once(estimator, make_log):
    """Added to a copy, an episode's own steps lose their surprise there; the original has not changed."""
    (fresh,) = make_log(77, 1)
    fresh = dataclasses.replace(fresh, actions=-np.sign(fresh.actions))
    before, hash_before = estimator.score(*steps(fresh)), estimator.sha256
    grown = estimator.copy()
    grown.add(fresh)
    assert grown.score(*steps(fresh)).mean() < before.mean() - 1
    assert (estimator.score(*steps(fresh)) == before).all()
    assert (grown.episodes[-1], estimator.sha256) == (fresh.identity, hash_before)
    assert grown.sha256 != hash_before
    assert grown.step_of[-1] == len(fresh) - 1
    for value in (np.nan, np.inf):
        broken = fresh.actions.copy()
        broken[2, 1] = value
        with pytest.raises(SupportError, match="NaN"):
            grown.add(dataclasses.replace(fresh, actions=broken))


@pytest.mark.parametrize("kind", ["exact", "ivf", "hnsw"])
def test_a_grown_estimator_is_saved_with_all_it_holds(episodes, make_log, tmp_path, kind):
    """Saved after growing and loaded, every index gives the same scores, and says how much of the truth it finds."""
    config = SupportConfig(k=2, neighbourhoods=(5,), index=IndexConfig(kind=kind))
    grown = SupportEstimator.fit(episodes, config)
    grown.add(make_log(3, 1)[0])
    grown.save(tmp_path)
    loaded = SupportEstimator.load(tmp_path)
    query = steps(make_log(4, 1)[0])
    assert (loaded.score(*query) == grown.score(*query)).all()
    assert loaded.config == config
    assert json.loads((tmp_path / "estimator.json").read_text())["recall"]["joint"] > 0.8


def test_every_row_knows_its_episode(estimator, episodes):
    """episode_of names the episode whose action the row holds."""
    for index, episode in enumerate(episodes):
        assert (estimator.actions[estimator.episode_of == index] == episode.actions).all()


def test_the_score_is_the_sum_of_two_surprises(estimator, episodes):
    """All in nats, all at least zero, each the larger the stranger its own term; asked alone it is the same."""
    terms = estimator.terms(*steps(episodes[1]))
    np.testing.assert_allclose(terms["score"], terms["surprise_log_prob"] + terms["surprise_log_prob_each"], rtol=1e-6)
    assert (terms["score"] == estimator.score(*steps(episodes[1]))).all()
    assert (terms["log_prob"] == estimator.log_prob(*steps(episodes[1]))).all()
    assert (terms["distance"] == estimator.distance(*steps(episodes[1]))).all()
    for name in ("distance", "log_prob", "log_prob_each"):
        surprise = terms[f"surprise_{name}"]
        assert surprise.min() >= 0
        order = np.argsort(terms[name] if name == "distance" else -terms[name])
        assert (np.diff(surprise[order]) >= 0).all()


def test_the_distance_may_be_the_score(episodes):
    """By one setting; without radii it orders queries as the plain distance does, and changes nothing else."""
    config = SupportConfig(score="distance", least_radius=1.0, k=3, neighbourhoods=(5,))
    estimator = SupportEstimator.fit(episodes, config)
    action = SupportEstimator.fit(episodes, dataclasses.replace(config, score="action"))
    query = steps(episodes[1])[0], -steps(episodes[1])[1]
    terms = estimator.terms(*query)
    assert (terms["score"] == terms["surprise_distance"]).all()
    assert (terms["score"] == estimator.score(*query)).all()
    plain = estimator.nearest(*query, 3)[0][:, -1]
    assert (np.diff(terms["distance"][np.argsort(plain)]) >= 0).all()
    assert (terms["surprise_log_prob"] == action.terms(*query)["surprise_log_prob"]).all()
    with pytest.raises(ParameterError, match=r"support\.score"):
        SupportConfig(score="both")  # type: ignore[arg-type]


def test_a_new_state_alone_is_no_alarm(make_log):
    """The usual action in a state that nobody logged: far, and hardly more surprising than before."""
    log = make_log(0, 40)
    estimator = SupportEstimator.fit(log, SupportConfig(k=3))
    observations, actions = steps(make_log(8, 1, steps=60)[0])
    moved = observations.copy()
    moved[:, 3] += 5.0  # a sensor that no action depends on
    here, there = estimator.terms(observations, actions), estimator.terms(moved, actions)
    assert np.median(there["state_distance"]) > 3 * np.median(here["state_distance"])
    assert np.median(there["score"]) < np.median(here["score"]) + 2
    opposite = estimator.score(observations, -np.sign(actions))
    assert np.median(opposite) > np.median(there["score"]) + 5


def test_a_dense_part_of_the_log_makes_the_same_way_farther(episode_of):
    """Each logged transition has a radius: half a unit off counts more where the log is ten times as dense."""
    rng = np.random.default_rng(0)
    dense, thin = rng.normal(0, 0.1, (200, 1)), rng.normal(20, 1.0, (200, 1))
    log = [
        episode_of(np.concatenate([part, part[-1:]]), np.zeros((200, 1))) for part in (dense, thin, dense + 0.01, thin)
    ]
    estimator = SupportEstimator.fit(log, SupportConfig(k=3, least_radius=0.0, neighbourhoods=(5,)))
    asked = estimator.distance(np.array([[0.7], [23.5]], dtype=np.float32), np.zeros((2, 1), dtype=np.float32))
    assert asked[0] > 2 * asked[1]


def test_a_strange_action_is_far_and_unlikely_in_a_familiar_state(estimator, episodes):
    """The opposite of the logged action is farther away and less likely than the action itself."""
    observations, actions = steps(episodes[0])
    opposite = -np.sign(actions)
    assert (estimator.distance(observations, opposite) > estimator.distance(observations, actions)).all()
    assert estimator.log_prob(observations, opposite).mean() < estimator.log_prob(observations, actions).mean() - 5


def test_a_strange_state_is_far_whatever_the_action(estimator, episodes):
    """A sensor far outside its recorded range is seen, by the distance and by the state's own."""
    observations, actions = steps(episodes[0])
    moved = observations.copy()
    moved[:, 1] += 50.0
    there, here = estimator.terms(moved, actions), estimator.terms(observations, actions)
    assert there["distance"].min() > here["distance"].max()
    assert there["state_distance"].min() > here["state_distance"].max()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_infinitely_far(estimator, episodes, value):
    """No comparison with a threshold lets a broken query pass, and its neighbours in the batch are unharmed."""
    observations, actions = (a[:3].copy() for a in steps(episodes[0]))
    clean = estimator.score(observations, actions)
    observations[1, 0] = value
    found = estimator.score(observations, actions)
    assert found[1] == np.inf
    assert (found[[0, 2]] == clean[[0, 2]]).all()
    assert estimator.distance(observations, actions)[1] == np.inf
    observations, actions = (a[:3].copy() for a in steps(episodes[0]))
    actions[1, 1] = value
    assert estimator.score(observations, actions)[1] == np.inf
    with pytest.raises(SupportError, match="query 1"):
        estimator.nearest(observations, actions, 1)
    assert estimator.log_prob(observations, actions)[1] == -np.inf


def test_alone_or_among_many_is_the_same(estimator, make_log):
    """The guard, which asks one step at a time, sees what the audit saw."""
    observations, actions = steps(make_log(9, 1, steps=40)[0])
    alone = [estimator.score(o[None], a[None])[0] for o, a in zip(observations, actions, strict=True)]
    np.testing.assert_allclose(alone, estimator.score(observations, actions), rtol=1e-4, atol=1e-4)


def test_saving_and_loading_changes_nothing(estimator, episodes, tmp_path):
    """Same distances, same densities, same hash; and the same bytes wherever it is written."""
    estimator.save(tmp_path / "a")
    loaded = SupportEstimator.load(tmp_path / "a")
    loaded.save(tmp_path / "b" / "deeper")
    assert loaded.sha256 == estimator.sha256
    found = loaded.terms(*steps(episodes[1]))
    assert all((found[name] == term).all() for name, term in estimator.terms(*steps(episodes[1])).items())
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
    spoil("estimator.json", lambda b: b.replace(b'"version": 2', b'"version": 1'))
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
    with pytest.raises(SupportError, match="more than k = 50"):
        SupportEstimator.fit(make_log(0, 1), SupportConfig(k=50))
    with pytest.raises(SupportError, match=r"\(N, 4\) and \(N, 2\)"):
        estimator.distance(np.zeros((2, 5)), np.zeros((2, 2)))
    with pytest.raises(SupportError, match=r"\(N, 4\) and \(N, 2\)"):
        estimator.log_prob(np.zeros((2, 4)), np.zeros((3, 2)))
    with pytest.raises(SupportError, match="leave out"):
        estimator.score_leaving_out(*steps(episodes[0]), 6)
    short = dataclasses.replace(episodes[0], observations=episodes[0].observations[:1], actions=episodes[0].actions[:0])
    with pytest.raises(SupportError, match="at least 1 step"):
        SupportEstimator.fit([*episodes, short], SupportConfig())
    broken = make_log(0, 2)
    broken[1].observations[3, 1] = np.nan
    with pytest.raises(SupportError, match="NaN"):
        SupportEstimator.fit(broken, SupportConfig())


@pytest.mark.parametrize(
    "bad",
    [{"k": 0}, {"action_weight": -1.0}, {"least_radius": 1.5}, {"anywhere": 0.0}, {"bandwidth_floor": 0.0}],
    ids=lambda bad: next(iter(bad)),
)
def test_a_setting_out_of_its_range_is_refused_by_name(bad):
    """Each field says its own name."""
    with pytest.raises(ParameterError, match=f"support.{next(iter(bad))}"):
        SupportConfig(**bad)


def test_neighbourhoods_are_counts():
    """None, or one of no state, is refused."""
    for wrong in ((), (0, 5)):
        with pytest.raises(ParameterError, match=r"support\.neighbourhoods"):
            SupportConfig(neighbourhoods=wrong)
