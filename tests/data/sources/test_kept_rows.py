"""Rows kept in shards: what is read again is what came, and a stream goes on exactly where it was ended."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prospero.data.sources.hub import HubConfig
from prospero.data.sources.kept_rows import KeptRows
from prospero.errors import ConfigError, DataError
from tests.data.sources.corpora import write_rows

VALUES = ["text", "", None, b"\xff bytes", "l\ud83dne", "schön\n\0", *(f"row {n}" for n in range(30))]


class Stream:
    """A stream over `VALUES` that can break before a row; a position is the number of rows before it."""

    def __init__(self, breaks_at: int | None = None) -> None:
        self.breaks_at = breaks_at
        self.begun_at: list[int] = []

    def __call__(self, position: dict[str, Any] | None) -> Iterator[tuple[Any, Callable[[], dict[str, Any]]]]:
        start = 0 if position is None else position["row"]
        self.begun_at.append(start)
        for number in range(start, len(VALUES)):
            if number == self.breaks_at:
                raise DataError("the line is dead")
            yield VALUES[number], lambda number=number: {"row": number + 1}


def kept(folder: Path) -> KeptRows:
    return KeptRows(folder / "kept", shard_bytes=50)


def test_rows_are_streamed_once_and_then_read_from_the_disk(tmp_path):
    stream = Stream()
    for _ in range(2):
        assert list(kept(tmp_path).values(stream)) == VALUES
    assert stream.begun_at == [0]


@pytest.mark.parametrize("breaks_at", range(0, len(VALUES), 3))
def test_a_stream_that_breaks_goes_on_behind_the_last_shard(tmp_path, breaks_at):
    got = []
    with pytest.raises(DataError, match="the line is dead"):
        for value in kept(tmp_path).values(Stream(breaks_at)):
            got.append(value)
    assert got == VALUES[:breaks_at]
    again = Stream()
    assert list(kept(tmp_path).values(again)) == VALUES
    state = json.loads((tmp_path / "kept/state.json").read_text())
    assert sum(shard["rows"] for shard in state["shards"]) == len(VALUES) and state["complete"]
    assert breaks_at - again.begun_at[0] < 8  # rows of less than one shard came twice
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == sorted(
        [".lock", "state.json", *(shard["file"] for shard in state["shards"])]
    )


def test_a_reader_that_stops_leaves_what_is_whole(tmp_path):
    values = kept(tmp_path).values(Stream())
    assert [next(values) for _ in range(20)] == VALUES[:20]
    values.close()
    again = Stream()
    assert list(kept(tmp_path).values(again)) == VALUES
    assert 0 < again.begun_at[0] <= 20


def test_a_shard_that_was_written_and_not_named_is_written_anew(tmp_path):
    with pytest.raises(DataError):
        list(kept(tmp_path).values(Stream(20)))
    names = sorted(path.name for path in (tmp_path / "kept").glob("*.zst"))
    (tmp_path / f"kept/{len(names):05d}.jsonl.zst").write_bytes(b"of a process that was killed")
    assert list(kept(tmp_path).values(Stream())) == VALUES


@pytest.mark.parametrize("name", ["00001.jsonl.zst", "state.json"])
def test_damage_is_one_line_and_nothing_is_deleted(tmp_path, name):
    list(kept(tmp_path).values(Stream()))
    path = tmp_path / "kept" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 1] = b"\xfe"
    path.write_bytes(content)
    before = sorted((tmp_path / "kept").iterdir())
    with pytest.raises(DataError, match=rf"{name} is missing or damaged; move .* away") as caught:
        list(kept(tmp_path).values(Stream()))
    assert "\n" not in str(caught.value)
    assert sorted((tmp_path / "kept").iterdir()) == before


def test_what_was_found_out_at_the_beginning_is_kept(tmp_path):
    assert kept(tmp_path).about(lambda: {"commit": "abc"})["commit"] == "abc"
    assert kept(tmp_path).about(lambda: {"commit": "moved"})["commit"] == "abc"


def test_settings_that_cannot_be():
    with pytest.raises(ConfigError, match=r"^shards_dir= is empty"):
        HubConfig(shards_dir=" ")
    with pytest.raises(ConfigError, match=r"^shard_mb=0"):
        HubConfig(shard_mb=0)


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    pytest.importorskip("datasets", reason="needs prospero[hub]")
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    folder = tmp_path / "set"
    (folder / "data").mkdir(parents=True)
    for part in range(3):
        write_rows(
            folder / f"data/train-0000{part}-of-00003.parquet", [f"{part}.{n} " + "x" * 200_000 for n in range(9)]
        )
    return folder


@pytest.mark.heavy
@pytest.mark.parametrize("read", [4, 13, 26])
def test_a_data_set_goes_on_where_its_reading_was_ended(dataset, tmp_path, read):
    plain = [(d.id, d.text) for d in HubConfig(dataset=str(dataset)).build().documents()]
    assert len(plain) == 27
    config = HubConfig(dataset=str(dataset), shards_dir=str(tmp_path / "kept"), shard_mb=1)
    first = config.build().documents()
    assert [(d.id, d.text) for d, _ in zip(first, range(read))] == plain[:read]
    first.close()  # type: ignore[attr-defined]
    [folder] = (tmp_path / "kept").iterdir()
    states = folder / "state.json"
    rows = sum(shard["rows"] for shard in json.loads(states.read_text())["shards"]) if states.exists() else 0
    assert rows == read // 5 * 5  # five rows are a megabyte
    source = config.build()
    assert [(d.id, d.text) for d in source.documents()] == plain
    assert source.identity() == HubConfig(dataset=str(dataset)).build().identity()
    assert [(d.id, d.text) for d in config.build().documents()] == plain
    assert list((tmp_path / "kept").iterdir()) == [folder]


def test_a_data_set_that_has_changed_is_kept_in_another_folder(dataset, tmp_path):
    config = HubConfig(dataset=str(dataset), shards_dir=str(tmp_path / "kept"), max_documents=1)
    assert len(list(config.build().documents())) == 1
    write_rows(dataset / "data/train-00000-of-00003.parquet", ["changed"])
    assert [d.text for d in config.build().documents()] == ["changed"]
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_the_commit_of_a_branch_is_asked_once_and_part_of_the_identity(tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub", reason="needs prospero[hub]")
    import huggingface_hub

    from prospero.data.sources import hub

    commits = ["abc", "def"]

    class Api:
        def dataset_info(self, name: str, revision: str | None) -> Any:
            assert (name, revision) == ("a/b", "main")
            return type("Info", (), {"sha": commits.pop(0)})

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(hub, "why_unreachable", lambda wanted: None)
    config = HubConfig(dataset="a/b", revision="main", shards_dir=str(tmp_path))
    assert [config.build().identity()["commit"] for _ in range(2)] == ["abc", "abc"]
    assert commits == ["def"]
    assert "commit" not in HubConfig(dataset="a/b", revision="main").build().identity()


@pytest.mark.heavy
@pytest.mark.parametrize("read", [3, 6, 12])
def test_a_stream_of_several_subsets_goes_on_within_the_right_one(dataset, tmp_path, read):
    (dataset / "README.md").write_text(
        "---\nconfigs:\n"
        + "".join(f"- config_name: c{n}\n  data_files: data/train-0000{n}-of-00003.parquet\n" for n in (2, 0))
        + "---\n"
    )
    settings = {"dataset": str(dataset), "subset": "*", "max_documents": 7}
    plain = [(d.id, d.text) for d in HubConfig(**settings).build().documents()]
    assert [text[:3] for _, text in plain] == [f"{part}.{n}" for part in (2, 0) for n in range(7)]
    config = HubConfig(**settings, shards_dir=str(tmp_path / "kept"), shard_mb=1)
    first = config.build().documents()
    assert [(d.id, d.text) for d, _ in zip(first, range(read))] == plain[:read]
    first.close()  # type: ignore[attr-defined]
    assert [(d.id, d.text) for d in config.build().documents()] == plain
