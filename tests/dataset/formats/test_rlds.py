"""RLDS: real WidowX episodes as TFDS wrote them, and small data sets written here to TFDS' published layout.

Both are held against Google's own protobuf library, which reads and writes tf.train.Example here from the message's
definition; the checksums against the vectors of RFC 3720.
"""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from offline_to_online.dataset.assembly import assemble, implied_layout
from offline_to_online.dataset.formats import d4rl_hdf5, rlds, zarr_replay
from offline_to_online.dataset.formats._tf_example import bytes_in, features_of, numbers_in
from offline_to_online.dataset.formats._tfrecord import masked_crc, records
from offline_to_online.errors import DataError

Change = Callable[[Path], None]
Steps = dict[str, Any]
INFO, FEATURES = "dataset_info.json", "features.json"
TRAIN, VAL = "arm-train.tfrecord-00000-of-00002", "arm-val.tfrecord-00000-of-00001"


def example_message() -> Any:
    """tf.train.Example as the protobuf library knows it, from its published definition."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tf", syntax="proto3")

    def message(parent: Any, name: str, *fields: tuple[str, int, int, int, str]) -> Any:
        made = parent.add(name=name)
        for title, number, label, kind, of in fields:
            made.field.add(name=title, number=number, label=label, type=kind, type_name=of or None)
        return made

    one, many = field.LABEL_OPTIONAL, field.LABEL_REPEATED
    for name, kind in (("B", field.TYPE_BYTES), ("F", field.TYPE_FLOAT), ("I", field.TYPE_INT64)):
        message(file.message_type, name, ("value", 1, many, kind, ""))
    lists = [(f"{n.lower()}_list", i, one, field.TYPE_MESSAGE, f".tf.{n}") for i, n in enumerate("BFI", start=1)]
    message(file.message_type, "Feature", *lists)
    entry = ("feature", 1, many, field.TYPE_MESSAGE, ".tf.Features.FeatureEntry")
    features = message(file.message_type, "Features", entry)
    key, value = ("key", 1, one, field.TYPE_STRING, ""), ("value", 2, one, field.TYPE_MESSAGE, ".tf.Feature")
    message(features.nested_type, "FeatureEntry", key, value).options.map_entry = True
    message(file.message_type, "Example", ("features", 1, one, field.TYPE_MESSAGE, ".tf.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tf.Example"))


Example = example_message()


def encoded(values: Steps) -> bytes:
    """An Example of lists of bytes, floats or whole numbers."""
    example = Example()
    for name, array in values.items():
        feature = example.features.feature[name]
        if isinstance(array, list):
            feature.b_list.value.extend(array)
        elif array.dtype.kind == "f":
            feature.f_list.value.extend(array.reshape(-1).tolist())
        else:
            feature.i_list.value.extend(array.reshape(-1).astype(np.int64).tolist())
    return bytes(example.SerializeToString())


def framed(*payloads: bytes) -> bytes:
    """Records of a tfrecord file."""
    return b"".join(struct.pack("<Q", len(p)) + crc(struct.pack("<Q", len(p))) + p + crc(p) for p in payloads)


def crc(data: bytes) -> bytes:
    return struct.pack("<I", masked_crc(data))


def an_episode(seed: int, steps: int = 6, **changes: Any) -> Steps:
    """An episode as TFDS flattens it; None removes a feature."""
    rng = np.random.default_rng(seed)
    place = np.arange(steps)
    values: Steps = {
        "steps/observation/state": rng.normal(size=(steps, 3)).astype(np.float32),
        "steps/observation/gripper": rng.integers(-500, 500, steps),
        "steps/observation/camera": [b"\xff\xd8jpeg"] * steps,
        "steps/observation/language_embedding": rng.normal(size=(steps, 8)).astype(np.float32),
        "steps/action/world_vector": rng.normal(size=(steps, 2)).astype(np.float32),
        "steps/action/gripper": rng.normal(size=steps).astype(np.float32),
        "steps/reward": rng.normal(size=steps).astype(np.float32) * (place < steps - 1),
        "steps/discount": np.ones(steps, dtype=np.float32),
        "steps/is_first": place == 0,
        "steps/is_last": place == steps - 1,
        "steps/is_terminal": (place == steps - 1) & (seed % 2 == 0),
        "steps/language_instruction": [b"push"] * steps,
        "episode_metadata/episode_id": np.array([seed]),
        **changes,
    }
    return {name: array for name, array in values.items() if array is not None}


def tensor(dtype: str, *shape: int, encoding: str = "none") -> dict[str, Any]:
    """A tensor in features.json."""
    return {"tensor": {"shape": {"dimensions": [str(n) for n in shape]}, "dtype": dtype, "encoding": encoding}}


def folder_of(**features: Any) -> dict[str, Any]:
    """A dictionary of features in features.json."""
    return {"pythonClassName": "FeaturesDict", "featuresDict": {"features": features}}


def described(**changes: Any) -> dict[str, Any]:
    """features.json of ``an_episode``."""
    steps = {
        "observation": folder_of(
            state=tensor("float32", 3),
            gripper=tensor("int32"),
            camera={"image": {"encodingFormat": "jpeg"}},
            language_embedding=tensor("float32", 8),
        ),
        "action": folder_of(world_vector=tensor("float32", 2), gripper=tensor("float32")),
        "reward": tensor("float32"),
        "discount": tensor("float32"),
        **{flag: tensor("bool") for flag in ("is_first", "is_last", "is_terminal")},
        "language_instruction": {"text": {}},
        **changes,
    }
    present = {name: feature for name, feature in steps.items() if feature is not None}
    dataset = {"pythonClassName": "Dataset", "sequence": {"feature": folder_of(**present), "length": "-1"}}
    return folder_of(steps=dataset, episode_metadata=folder_of(episode_id=tensor("int32")))


def write_files(folder: Path, shards: dict[str, list[Steps]], features: dict[str, Any] | None = None) -> Path:
    """A version of a data set; names of shards tell splits and numbers."""
    folder.mkdir(parents=True)
    splits: dict[str, list[str]] = {}
    for name, episodes in shards.items():
        (folder / name).write_bytes(framed(*map(encoded, episodes)))
        splits.setdefault(name.split(".")[0].split("-")[1], []).append(str(len(episodes)))
    info = {
        "name": "arm",
        "version": "1.0.0",
        "fileFormat": "tfrecord",
        "splits": [{"name": name, "shardLengths": lengths} for name, lengths in splits.items()],
    }
    (folder / INFO).write_text(json.dumps(info))
    (folder / FEATURES).write_text(json.dumps(features or described()))
    return folder


@pytest.fixture
def arm(tmp_path: Path) -> Path:
    """Two shards of ``train`` with two episodes each and one of ``val`` with one."""
    episodes = [an_episode(seed, 5 + seed) for seed in range(5)]
    second = TRAIN.replace("00000-", "00001-")
    return write_files(tmp_path / "arm" / "1.0.0", {TRAIN: episodes[:2], second: episodes[2:4], VAL: episodes[4:]})


def everything(path: Path) -> None:
    """What an import does: headers, then every episode."""
    rlds.describe(path)
    for _ in rlds.read(path, extra=True):
        pass


def test_bridge_comes_in_bit_for_bit(shared_data: Path) -> None:
    """25 + 25 episodes of 10 steps, with the values that the protobuf library reads."""
    path = shared_data / "formats" / "rlds_bridge"
    contents, episodes = rlds.describe(path), list(rlds.read(path, extra=True))
    assert (contents.episodes, contents.steps, len(episodes)) == (50, 500, 50)
    assert contents.observation == ("observation/state",)
    plain = [
        Example.FromString(record).features.feature
        for name in ("train", "val")
        for record in records(path / f"bridge_dataset-{name}.tfrecord-00000-of-00001")
    ]
    for episode, feature in zip(episodes, plain, strict=True):
        state = np.array(feature["steps/observation/state"].f_list.value, dtype=np.float32)
        action = np.array(feature["steps/action"].f_list.value, dtype=np.float32).reshape(10, 7)
        embedding = np.array(feature["steps/language_embedding"].f_list.value, dtype=np.float32)
        assert episode.sensors["observation/state"].tobytes() == state.tobytes()
        assert episode.sensors["observation/state"].shape == (10, 7)
        assert episode.actions.tobytes() == action[:-1].tobytes()
        assert episode.rewards.tolist() == list(feature["steps/reward"].f_list.value)[:-1]
        assert episode.extra["language_embedding"].tobytes() == embedding.tobytes()
        assert len(assemble(episode, implied_layout(contents))) == 9
    assert "split val, episode 25" in episodes[25].where


def test_bridge_says_what_it_leaves_out_and_what_is_odd(shared_data: Path) -> None:
    """Four cameras and two texts by name; none of its episodes flags a last step, so they count as cut."""
    contents = rlds.describe(shared_data / "formats" / "rlds_bridge")
    kinds = {left.name: left.kind for left in contents.left_out}
    assert {name for name, kind in kinds.items() if kind == "image"} == {f"observation/image_{i}" for i in range(4)}
    assert {name for name, kind in kinds.items() if kind == "text"} == {
        "language_instruction",
        "episode_metadata/file_path",
    }
    assert kinds["language_embedding"] == "other"
    (finding,) = contents.findings
    assert (finding.check, finding.severity, finding.count) == ("no_last_step", "warning", 50)


def test_steps_become_transitions(arm: Path) -> None:
    """N steps are N observations and N-1 actions and rewards; the last is terminal or a time-out."""
    episodes = list(rlds.read(arm, extra=True))
    for seed, episode in enumerate(episodes):
        steps = an_episode(seed, 5 + seed)
        assert len(episode) == 4 + seed
        assert np.array_equal(episode.sensors["observation/state"], steps["steps/observation/state"])
        assert np.array_equal(episode.sensors["observation/gripper"][:, 0], steps["steps/observation/gripper"])
        action = np.c_[steps["steps/action/gripper"], steps["steps/action/world_vector"]][:-1]
        assert np.array_equal(episode.actions, action)
        assert np.array_equal(episode.rewards, steps["steps/reward"][:-1])
        assert not episode.terminals[:-1].any()
        assert not episode.timeouts[:-1].any()
        assert (bool(episode.terminals[-1]), bool(episode.timeouts[-1])) == (seed % 2 == 0, seed % 2 == 1)
        assert episode.facts["episode_metadata/episode_id"].tolist() == [seed]


def test_it_says_what_it_holds(arm: Path) -> None:
    """Parts of the action by name, embeddings no observation, splits counted; also from the parent folder."""
    for path in (arm, arm.parent):
        contents = rlds.describe(path)
        assert (contents.episodes, contents.steps) == (5, sum(range(5, 10)))
        assert contents.observation == ("observation/state", "observation/gripper")
        assert contents.sensor("observation/language_embedding").width == 8
        assert contents.actions.names == ("gripper", "world_vector_0", "world_vector_1")
        assert contents.facts["split train"] == "4 episodes"
        assert contents.findings == ()


def test_several_versions_want_a_choice(arm: Path) -> None:
    """The parent of two versions is recognised and refused by name."""
    shutil.copytree(arm, arm.with_name("1.1.0"))
    assert rlds.recognises(arm.parent)
    with pytest.raises(DataError, match=r"2 versions: 1\.0\.0, 1\.1\.0"):
        rlds.describe(arm.parent)


def test_only_this_format_recognises_it(arm: Path) -> None:
    """Also where one of its two JSON files is gone; a folder of something else is not taken for it."""
    assert rlds.recognises(arm)
    assert not any(other.recognises(arm) for other in (d4rl_hdf5, zarr_replay))
    (arm / FEATURES).unlink()
    assert rlds.recognises(arm)
    for path in arm.glob("*.tfrecord*"):
        path.unlink()
    assert not rlds.recognises(arm)


def test_a_reward_on_the_last_step_is_told(tmp_path: Path) -> None:
    """It is not imported, so it must not vanish without a word."""
    reward = np.array([0, 0, 0, 1], dtype=np.float32)
    path = write_files(tmp_path / "arm", {VAL: [an_episode(0, 4), an_episode(1, 4, **{"steps/reward": reward})]})
    (finding,) = rlds.describe(path).findings
    assert (finding.check, finding.severity, finding.episode, finding.count) == (
        "reward_on_the_last_step",
        "warning",
        1,
        1,
    )


def test_numbers_stored_as_bytes(tmp_path: Path) -> None:
    """TFDS' encodings of tensors: bytes as they are, and compressed."""
    state = np.random.default_rng(3).normal(size=(6, 3))
    for encoding, pack in (("bytes", bytes), ("zlib", zlib.compress)):
        features = described(observation=folder_of(state=tensor("float64", 3, encoding=encoding)))
        episode = an_episode(0, **{"steps/observation/state": [pack(row.tobytes()) for row in state]})
        path = write_files(tmp_path / encoding, {VAL: [episode]}, features)
        assert np.array_equal(next(rlds.read(path)).sensors["observation/state"], state)
        (path / VAL).write_bytes(framed(encoded({**episode, "steps/observation/state": [pack(b"short")] * 6})))
        with pytest.raises(DataError, match="5 bytes where 24 were announced"):
            everything(path)


def test_an_absent_flag_is_a_warning(tmp_path: Path) -> None:
    """Without is_last a shifted episode cannot be told."""
    path = write_files(tmp_path / "arm", {VAL: [an_episode(0, **{"steps/is_last": None})]}, described(is_last=None))
    (finding,) = rlds.describe(path).findings
    assert (finding.check, finding.severity, finding.dimension) == ("absent_flag", "warning", "is_last")


def patch(name: str, place: int) -> Change:
    """Flip the lowest bit of a byte."""

    def change(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[place] ^= 1
        (folder / name).write_bytes(data)

    return change


def cut(name: str, size: int) -> Change:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def remove(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def lengths(*values: Any) -> Change:
    """Other shardLengths of ``train``."""

    def change(folder: Path) -> None:
        info = json.loads((folder / INFO).read_text())
        info["splits"][0]["shardLengths"] = list(values)
        (folder / INFO).write_text(json.dumps(info))

    return change


def info(**changes: Any) -> Change:
    return lambda folder: (folder / INFO).write_text(json.dumps({**json.loads((folder / INFO).read_text()), **changes}))


def template(text: str) -> Change:
    return info(splits=[{"name": "val", "shardLengths": ["1"], "filepathTemplate": text}])


def features(**changes: Any) -> Change:
    return lambda folder: (folder / FEATURES).write_text(json.dumps(described(**changes)))


def link(name: str) -> Change:
    """A file of the data set put elsewhere, and linked to."""

    def change(folder: Path) -> None:
        (folder / name).rename(folder.parent / "elsewhere")
        (folder / name).symlink_to(folder.parent / "elsewhere")

    return change


def too_long(folder: Path) -> None:
    """A length that fits its checksum and no file."""
    size = struct.pack("<Q", 2**50)
    (folder / VAL).write_bytes(size + crc(size) + b"1234")


def no_example(folder: Path) -> None:
    (folder / VAL).write_bytes(framed(b"\x0a\x7f\x00"))


@pytest.mark.parametrize(
    ("how", "what", "where"),
    [
        (patch(TRAIN, 200), "bytes does not fit its checksum", f"{TRAIN}, record 0"),
        (patch(TRAIN, 0), "length does not fit its checksum", f"{TRAIN}, record 0"),
        (patch(VAL, -1), "bytes does not fit its checksum", f"{VAL}, record 0"),
        (cut(VAL, 100), "cut off: 84 of its", f"{VAL}, record 0"),
        (cut(VAL, 7), "cut off: 7 bytes of its header", f"{VAL}, record 0"),
        (cut(VAL, 0), "0 episodes in this shard.*1 by shardLengths", f"{VAL}, split val"),
        (too_long, "cut off: 0 of its 1125899906842624 bytes", f"{VAL}, record 0"),
        (no_example, "no tf.train.Example", f"{VAL}, split val, episode 4"),
        (remove(TRAIN), "the shard is missing", TRAIN),
        (lambda folder: shutil.copy(folder / VAL, folder / "arm-val.tfrecord-00001-of-00002"), "no split", "00001-of"),
        (link(VAL), "is a link to elsewhere", VAL),
        (link(INFO), "is a link to elsewhere", INFO),
        (link(FEATURES), "is a link to elsewhere", FEATURES),
        (lengths("2", "3"), "2 episodes in this shard.*3 by shardLengths", "00001-of-00002, split train"),
        (lengths("1", "2"), "2 episodes in this shard.*1 by shardLengths", f"{TRAIN}, split train"),
        (lengths("2"), "the shard is missing", "00000-of-00001"),
        (lengths("two", "2"), "shardLengths of split train", INFO),
        (info(splits=None), "no splits", INFO),
        (info(splits=[]), "the shard belongs to no split", TRAIN),
        (info(fileFormat="array_record"), "fileFormat is 'array_record'", INFO),
        (template("../{DATASET}"), "a shard is", INFO),
        (cut(INFO, 40), "not readable as JSON", INFO),
        (cut(FEATURES, 40), "not readable as JSON", FEATURES),
        (remove(FEATURES), "no such file", FEATURES),
        (features(action=None), "no steps/action", FEATURES),
        (features(observation=folder_of(camera={"image": {}})), "no vector is logged", FEATURES),
        (features(reward=tensor("many", 2), is_first="yes"), "no feature", f"{FEATURES}, is_first"),
        (features(success=tensor("bool")), "the feature is missing", "episode 0, steps/success"),
        (features(reward={"tensor": {"shape": {"dimensions": ["x"]}}}), "its shape is", f"{FEATURES}, reward"),
    ],
)
def test_what_is_broken_is_one_error_at_its_place(arm: Path, how: Change, what: str, where: str) -> None:
    """Bytes that were flipped or cut, shards and counts that disagree, descriptions that describe something else."""
    how(arm)
    with pytest.raises(DataError, match=what) as error:
        everything(arm)
    assert where in error.value.where


@pytest.mark.parametrize(
    ("changes", "what", "where"),
    [
        ({"steps/is_first": np.arange(6) == 1}, "is_first is False", "episode 0, step 0"),
        ({"steps/is_first": np.arange(6) % 3 == 0}, "is_first is True", "episode 0, step 3"),
        ({"steps/is_last": np.arange(6) == 3}, "is_last is True", "episode 0, step 3"),
        ({"steps/is_terminal": np.arange(6) == 2}, "is_terminal is True", "episode 0, step 2"),
        ({"steps/reward": np.zeros(5, dtype=np.float32)}, "5 numbers.*6 for 6 steps of 1", "steps/reward"),
        ({"steps/observation/state": np.zeros(17, dtype=np.float32)}, "17 numbers.*18", "steps/observation/state"),
        ({"steps/observation/state": None}, "the feature is missing", "steps/observation/state"),
        ({"steps/observation/state": [b"text"]}, "it holds no numbers", "steps/observation/state"),
        ({"steps/observation/gripper": np.full(6, 2**40)}, "beyond its type", "steps/observation/gripper"),
        ({"steps/is_terminal": np.full(6, 2)}, "beyond its type", "steps/is_terminal"),
    ],
)
def test_an_episode_that_is_broken_is_one_error(tmp_path: Path, changes: Steps, what: str, where: str) -> None:
    """Flags of another episode's begin or end, features of another length or kind."""
    path = write_files(tmp_path / "arm", {VAL: [an_episode(0, **changes)]})
    with pytest.raises(DataError, match=what) as error:
        everything(path)
    assert where in error.value.where


@pytest.mark.parametrize("steps", [0, 1])
def test_an_episode_without_a_transition_is_refused(tmp_path: Path, steps: int) -> None:
    """A last step alone holds an observation and nothing else."""
    path = write_files(tmp_path / "arm", {VAL: [an_episode(0, 4), an_episode(1, steps)]})
    with pytest.raises(DataError, match=rf"an episode of {steps} step\(s\) .*episode 1\)"):
        everything(path)


def test_checksums_are_those_of_the_standard() -> None:
    """CRC-32C of RFC 3720, turned and moved as TensorFlow does it."""
    for data, value in ((bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E)):
        assert masked_crc(data) == ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1)),
    st.lists(st.floats(width=32, allow_nan=False)),
    st.lists(st.binary(max_size=300)),
)
def test_examples_are_read_as_protobuf_reads_them(whole: list[int], floats: list[float], texts: list[bytes]) -> None:
    """Any numbers and bytes, negative ones, long ones and none."""
    values = {"w": np.array(whole, dtype=np.int64), "f": np.array(floats, dtype=np.float32), "t": texts}
    found = features_of(encoded(values))
    assert numbers_in(found["w"]).tolist() == whole
    assert numbers_in(found["f"]).tobytes() == values["f"].tobytes()
    assert bytes_in(found["t"]) == texts


def test_lists_that_are_not_packed() -> None:
    """Older writers put a tag before every number."""
    floats = b"".join(b"\x0d" + struct.pack("<f", x) for x in (1.5, -2.0))
    whole = b"\x08\x01\x08\xac\x02"
    assert numbers_in(memoryview(b"\x12" + bytes([len(floats)]) + floats)).tolist() == [1.5, -2.0]
    assert numbers_in(memoryview(b"\x1a" + bytes([len(whole)]) + whole)).tolist() == [1, 300]


@given(st.binary(max_size=60))
def test_bytes_that_are_no_example_are_told(data: bytes) -> None:
    """A ValueError, never anything else and never a hang, whatever the bytes."""
    for read in (
        lambda d: list(features_of(d)),
        lambda d: numbers_in(memoryview(d)),
        lambda d: bytes_in(memoryview(d)),
    ):
        try:
            read(data)
        except ValueError:
            continue
