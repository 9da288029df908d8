"""The policy file: what it holds, how it acts, and what is refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from small_learning import ACTION, OBSERVATION, observations

from offline_to_online.dataset.spec import ActionSchema, Dimension
from offline_to_online.errors import PolicyError
from offline_to_online.learning.policy import Policy, RandomPolicy
from offline_to_online.learning.policy_file import METADATA_KEY, Architecture, policy_bytes

ARCHITECTURE = Architecture(
    observation=OBSERVATION.names, action=ACTION.names, hidden=((8, "relu"), (6, "tanh"), (5, "silu"))
)


def tensors(*, seed: int = 0, noise: float = 0.1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = {name: torch.randn(shape, generator=generator) for name, shape in ARCHITECTURE.shapes().items()}
    low, high = torch.from_numpy(ACTION.low), torch.from_numpy(ACTION.high)
    # A small last layer, so that the greedy actions lie well inside the bounds.
    drawn |= {name: 0.1 * drawn[name] for name in ("layer.3.weight", "layer.3.bias")}
    drawn |= {"observation.std": drawn["observation.std"].abs() + 0.5, "action.low": low, "action.high": high}
    return drawn | {"action.std": noise * (high - low)}


def policy(**settings: float) -> Policy:
    return Policy.from_bytes(policy_bytes(ARCHITECTURE, tensors(**settings)), where="memory")  # type: ignore[arg-type]


def changed(name: str, tensor: torch.Tensor) -> bytes:
    """A file whose architecture is sound and one of whose tensors is not."""
    return safetensors.torch.save({**tensors(), name: tensor}, {METADATA_KEY: ARCHITECTURE.to_json()})


def test_acts_as_the_formula_says() -> None:
    """Normalise, hidden layers, tanh, rescale to the bounds."""
    t = {name: tensor.numpy().astype(np.float64) for name, tensor in tensors().items()}
    x = (observations() - t["observation.mean"]) / t["observation.std"]
    x = np.maximum(x @ t["layer.0.weight"].T + t["layer.0.bias"], 0.0)
    x = np.tanh(x @ t["layer.1.weight"].T + t["layer.1.bias"])
    x = x @ t["layer.2.weight"].T + t["layer.2.bias"]
    x = x / (1.0 + np.exp(-x))
    squashed = np.tanh(x @ t["layer.3.weight"].T + t["layer.3.bias"])
    expected = ACTION.low + (squashed + 1.0) / 2.0 * (ACTION.high - ACTION.low)
    np.testing.assert_allclose(policy().act(observations()), expected, rtol=1e-5, atol=1e-4)


def test_actions_are_float32_inside_the_bounds() -> None:
    """Even for observations far away, where tanh saturates."""
    actions = policy().act(observations() * 1e4)
    assert actions.dtype == np.float32
    assert actions.shape == (40, 2)
    assert (actions >= ACTION.low).all()
    assert (actions <= ACTION.high).all()


def test_acting_leaves_the_observations_alone() -> None:
    """The scaling works on a copy, and a read-only array is fine."""
    seen = observations()
    seen.setflags(write=False)
    before = seen.copy()
    policy().act(seen)
    np.testing.assert_array_equal(seen, before)


def test_exploring_adds_noise_of_the_stored_deviation() -> None:
    """The deviation is in action units, per dimension."""
    one = np.repeat(observations(1), 4000, axis=0)
    noise = policy(noise=0.01).explore(one, np.random.default_rng(0)) - policy().act(one)
    np.testing.assert_allclose(noise.std(axis=0), 0.01 * (ACTION.high - ACTION.low), rtol=0.1)


def test_exploring_stays_inside_the_bounds() -> None:
    """However wide the noise is."""
    actions = policy(noise=3.0).explore(observations(), np.random.default_rng(0))
    assert actions.dtype == np.float32
    assert ((actions >= ACTION.low) & (actions <= ACTION.high)).all()


def test_exploration_scale_multiplies_the_noise() -> None:
    """Zero makes exploring greedy."""
    quiet = policy()
    quiet.exploration_scale = 0.0
    np.testing.assert_array_equal(quiet.explore(observations(), np.random.default_rng(0)), quiet.act(observations()))


def test_exploring_is_decided_by_the_generator_given() -> None:
    """The same seed gives the same actions, another seed others."""
    first, same, other = (policy().explore(observations(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_declares_sizes_history_and_chunk() -> None:
    """What a rollout asks before it starts."""
    made = policy()
    made.reset()
    assert (made.observation_size, made.action_size, made.history, made.chunk) == (3, 2, 1, 1)


def test_sha256_is_that_of_the_file(tmp_path: Path) -> None:
    """As any other program would compute it."""
    import hashlib

    path = tmp_path / "policy.safetensors"
    path.write_bytes(policy_bytes(ARCHITECTURE, tensors()))
    assert Policy.load(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_bytes_are_the_same_every_time() -> None:
    """Whatever order the tensors come in."""
    reordered = dict(reversed(tensors().items()))
    assert policy_bytes(ARCHITECTURE, reordered) == policy_bytes(ARCHITECTURE, tensors())


def test_wrong_observation_shapes_are_refused() -> None:
    """One row too flat, one too wide."""
    for wrong in (observations()[0], np.zeros((2, 4), dtype=np.float32)):
        with pytest.raises(PolicyError, match=r"\(N, 3\)"):
            policy().act(wrong)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """By name."""
    with pytest.raises(PolicyError, match=r"nothing\.safetensors"):
        Policy.load(tmp_path / "nothing.safetensors")


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path(self.path).touch, ())

    def __init__(self, path: str) -> None:
        self.path = path


@pytest.mark.parametrize("dump", [pickle.dumps, None])
def test_a_pickle_is_refused_and_not_run(tmp_path: Path, dump: object) -> None:
    """Neither a bare pickle nor torch's own kind of file is opened."""
    sprung, path = tmp_path / "sprung", tmp_path / "policy.safetensors"
    if dump is None:
        torch.save({"trap": Trap(str(sprung))}, path)
    else:
        path.write_bytes(pickle.dumps(Trap(str(sprung))))
    with pytest.raises(PolicyError, match="no safetensors file"):
        Policy.load(path)
    assert not sprung.exists()


@pytest.mark.parametrize("content", [b"", b"\x00", b"not weights at all", b"\xff" * 64])
def test_rubbish_is_refused(content: bytes) -> None:
    """In one sentence."""
    with pytest.raises(PolicyError, match="no safetensors file"):
        Policy.from_bytes(content, where="rubbish")


def test_a_truncated_file_is_refused() -> None:
    """Half of the weights are no weights."""
    content = policy_bytes(ARCHITECTURE, tensors())
    with pytest.raises(PolicyError, match="no safetensors file"):
        Policy.from_bytes(content[: len(content) // 2], where="half")


def test_weights_without_an_architecture_are_refused() -> None:
    """Somebody else's safetensors file, say."""
    with pytest.raises(PolicyError, match="without an architecture"):
        Policy.from_bytes(safetensors.torch.save(tensors()), where="bare")


@pytest.mark.parametrize(
    ("field", "value"),
    [("kind", "transformer"), ("output", "none"), ("history", 2), ("chunk", 4), ("hidden", [{"units": 8}])],
)
def test_an_unknown_architecture_is_refused(field: str, value: object) -> None:
    """A policy of a later version is not half understood."""
    row = {**json.loads(ARCHITECTURE.to_json()), field: value}
    content = safetensors.torch.save(tensors(), {METADATA_KEY: json.dumps(row)})
    with pytest.raises(PolicyError, match="architecture"):
        Policy.from_bytes(content, where="later")


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"kind": "mlp_gaussian"}'])
def test_a_broken_architecture_is_refused(text: str) -> None:
    """Not JSON, or not all of it."""
    with pytest.raises(PolicyError, match="cannot be read"):
        Policy.from_bytes(safetensors.torch.save(tensors(), {METADATA_KEY: text}), where="broken")


@pytest.mark.parametrize(
    ("name", "tensor", "said"),
    [
        ("layer.0.weight", torch.zeros(8, 4), "layer.0.weight is"),
        ("layer.0.weight", torch.zeros(8, 3, dtype=torch.float64), "float64"),
        ("layer.0.weight", torch.full((8, 3), float("nan")), "NaN"),
        ("layer.9.weight", torch.zeros(1), "unknown tensor layer.9.weight"),
        ("observation.std", torch.zeros(3), "observation.std"),
        ("action.low", torch.from_numpy(ACTION.high), "action.low"),
        ("action.std", -torch.ones(2), "negative action.std"),
    ],
)
def test_weights_that_do_not_fit_are_refused(name: str, tensor: torch.Tensor, said: str) -> None:
    """The message names the tensor."""
    with pytest.raises(PolicyError, match=said):
        Policy.from_bytes(changed(name, tensor), where="odd")


def test_a_non_finite_policy_is_not_exported() -> None:
    """What could not be loaded is not written either."""
    with pytest.raises(PolicyError, match="NaN"):
        policy_bytes(ARCHITECTURE, {**tensors(), "layer.0.bias": torch.full((8,), float("inf"))})


def test_fits_the_robot_it_was_made_for_and_no_other() -> None:
    """Names and their order count, not only sizes."""
    made = policy()
    made.check_fits(OBSERVATION, ACTION)
    with pytest.raises(PolicyError, match="'target'"):
        made.check_fits(OBSERVATION, ActionSchema(dimensions=ACTION.dimensions[::-1]))
    with pytest.raises(PolicyError, match="1 action dimensions"):
        made.check_fits(OBSERVATION, ActionSchema(dimensions=ACTION.dimensions[:1]))


def test_a_random_policy_is_uniform_inside_the_bounds() -> None:
    """Its quartiles are those of the bounds."""
    actions = RandomPolicy(ACTION, seed=4).act(observations(8000))
    assert actions.dtype == np.float32
    assert ((actions >= ACTION.low) & (actions <= ACTION.high)).all()
    quartiles = np.quantile((actions - ACTION.low) / (ACTION.high - ACTION.low), [0.25, 0.5, 0.75], axis=0)
    np.testing.assert_allclose(quartiles, np.array([[0.25], [0.5], [0.75]]) * np.ones(2), atol=0.03)


def test_a_random_policy_has_its_own_generator() -> None:
    """Two of one seed agree, and no episode repeats the one before."""
    one, two = RandomPolicy(ACTION, seed=4), RandomPolicy(ACTION, seed=4)
    first = one.act(observations())
    np.testing.assert_array_equal(first, two.act(observations()))
    one.reset()
    assert not np.array_equal(first, one.act(observations()))
    assert one.sha256 == two.sha256 != RandomPolicy(ACTION, seed=5).sha256


def test_a_random_policy_explores_by_the_generator_given() -> None:
    """And draws nothing from its own."""
    drawn = [RandomPolicy(ACTION, seed=s).explore(observations(), np.random.default_rng(0)) for s in (1, 2)]
    np.testing.assert_array_equal(*drawn)


def test_a_random_policy_stays_inside_bounds_that_rounding_would_leave() -> None:
    """float32 rounding of low + share * range may exceed high."""
    narrow = ActionSchema(dimensions=(Dimension(name="x", unit="m", low=0.1, high=0.1 + 1e-7),))
    actions = RandomPolicy(narrow).act(observations(1000))
    assert ((actions >= narrow.low) & (actions <= narrow.high)).all()
