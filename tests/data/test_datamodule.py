"""Batches: the same sequences for the same step on any number of ranks, workers and micro-steps, from any cursor."""

import json
import math

import lightning as L
import numpy as np
import pytest
import torch

from prospero.batch import IGNORE_INDEX
from prospero.data.augmentation.none import NoAugmentationConfig
from prospero.data.augmentation.token_noise import TokenNoiseConfig
from prospero.data.datamodule import LanguageDataModule
from prospero.data.dedup.none import NoDedupConfig
from prospero.data.packing.best_fit import BestFitPackingConfig
from prospero.data.packing.concat import ConcatPackingConfig
from prospero.data.prepare import prepare
from prospero.data.sources.files import FilesConfig
from prospero.data.split import TailSplitConfig
from prospero.data.tokenizer.char import CharTokenizerConfig
from prospero.errors import ConfigError, DataError
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.bits_per_byte import BitsPerByteConfig
from prospero.objective.terms import MeasuredTokens
from tests.data.shard_making import sentences, settings, write_corpus

GLOBAL = 8


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    return prepare(settings(write_corpus(folder, sentences(120)), folder), progress=False)


def module(prepared, **changes):
    chosen = {
        "packing": ConcatPackingConfig(),
        "augmentation": NoAugmentationConfig(),
        "seq_len": 64,
        "global_batch_size": GLOBAL,
        "micro_batch_size": GLOBAL,
        "seed": 3,
        "rank": 0,
        "world_size": 1,
    }
    return LanguageDataModule(prepared, **(chosen | changes))


def take(loader, n):
    iterator = iter(loader)
    return [next(iterator) for _ in range(n)]


def whole_rows(batch):
    """Return the inputs and the labels of each sequence, one behind the other."""
    return torch.cat([batch.inputs["input_ids"], batch.labels], dim=1).tolist()


def global_batches(prepared, steps, *, ranks=1, start=0, **changes):
    """Return, for each step, the sorted rows (inputs, labels) of all ranks and micro-steps, and the counts seen."""
    found = [[] for _ in range(steps)]
    counts = [set() for _ in range(steps)]
    for rank in range(ranks):
        data = module(prepared, rank=rank, world_size=ranks, **changes)
        data.advance(start)
        for i, batch in enumerate(take(data.train_dataloader(), steps * data.accumulate)):
            step = i // data.accumulate
            found[step] += [tuple(row) for row in whole_rows(batch)]
            counts[step].add((batch.target_tokens, batch.sequences))
    return [sorted(rows) for rows in found], counts


@pytest.fixture(scope="module", params=[ConcatPackingConfig(), BestFitPackingConfig()], ids=["concat", "best_fit"])
def of_one_process(request, prepared):
    """A packing, an augmentation, and the steps that one process without micro-steps makes of them."""
    noise = TokenNoiseConfig(probability=0.3)
    return request.param, noise, *global_batches(prepared, 40, packing=request.param, augmentation=noise)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("ranks", "micro", "workers"), [(1, 1, 0), (1, 4, 1), (2, 1, 0), (2, 4, 0), (4, 2, 0), (4, 1, 0)]
)
def test_a_step_has_the_same_sequences_everywhere(prepared, of_one_process, ranks, micro, workers):
    packing, noise, expected, counts = of_one_process
    found, found_counts = global_batches(
        prepared, 40, ranks=ranks, micro_batch_size=micro, num_workers=workers, packing=packing, augmentation=noise
    )
    assert found == expected
    assert found_counts == counts
    for rows, seen in zip(expected, counts):
        assert seen == {(sum(label != IGNORE_INDEX for row in rows for label in row[64:]), GLOBAL)}


def test_the_cursor_continues_exactly(prepared):
    whole, _ = global_batches(prepared, 60)
    for steps in (1, 17, 40):
        rest, _ = global_batches(prepared, 60 - steps, start=steps * GLOBAL)
        assert rest == whole[steps:]
    resized, _ = global_batches(prepared, 20, start=24 * GLOBAL, global_batch_size=16, micro_batch_size=4)
    assert [sorted(whole[24 + 2 * i] + whole[25 + 2 * i]) for i in range(18)] == resized[:18]


def test_an_epoch_has_every_sequence_once_and_batches_span_epochs(prepared):
    data = module(prepared, global_batch_size=7, micro_batch_size=7)
    n = data.sequences_per_epoch
    assert n % 7, "this test is about epochs that end within a batch"
    rows = torch.cat([batch.labels for batch in take(data.train_dataloader(), 2 * n // 7 + 1)]).tolist()
    everything = sorted(data.train_packing.read(np.arange(n))["labels"].tolist())
    assert sorted(rows[:n]) == everything == sorted(rows[n : 2 * n])
    assert rows[:n] != rows[n : 2 * n]
    data.advance(n)
    data.advance(n // 2)
    assert data.epoch == pytest.approx(1.5, abs=0.01)


def test_training_can_keep_to_the_first_sequences(prepared):
    data = module(prepared, train_sequences=GLOBAL)
    first = sorted(data.train_packing.read(np.arange(GLOBAL))["labels"].tolist())
    for batch in take(data.train_dataloader(), 3):
        assert sorted(batch.labels.tolist()) == first


def test_fewer_sequences_than_a_global_batch(prepared):
    data = module(prepared, seq_len=2000, global_batch_size=64, micro_batch_size=64)
    assert data.sequences_per_epoch < 64
    batch = take(data.train_dataloader(), 1)[0]
    assert batch.inputs["input_ids"].shape == (64, 2000)


@pytest.mark.parametrize("micro", [1, 3, 8])
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_validation_covers_every_token_once(prepared, ranks, micro):
    labels, lengths, totals = [], set(), {}
    for rank in range(ranks):
        data = module(prepared, rank=rank, world_size=ranks, micro_batch_size=micro, global_batch_size=96)
        loader = data.val_dataloader()
        batches = list(loader)
        lengths.add((len(batches), len(loader)))
        for i, batch in enumerate(batches):
            assert batch.inputs["input_ids"].shape == (micro, 64)
            labels += batch.labels[batch.labels != IGNORE_INDEX].tolist()
            totals[i] = batch.target_tokens
    assert sorted(labels) == sorted(prepared.splits["val"].all_tokens[1:].tolist())
    assert len(lengths) == 1 and lengths.pop()[0] == len(totals)
    assert sum(totals.values()) == prepared.splits["val"].n_tokens - 1


def test_part_of_the_validation_is_spread_and_the_same_each_time(prepared):
    data = module(prepared, val_sequences=5, micro_batch_size=2)
    first = torch.cat([batch.inputs["input_ids"] for batch in data.val_dataloader()])
    again = torch.cat([batch.inputs["input_ids"] for batch in data.val_dataloader()])
    assert torch.equal(first, again) and len(first) == 6
    assert sum(batch.sequences for batch in data.val_dataloader()) == 5
    assert sum((batch.labels != IGNORE_INDEX).any(dim=1).sum().item() for batch in data.val_dataloader()) == 5


def test_validation_is_packed_the_same_whatever_the_training_packing(prepared):
    rows = [
        torch.cat([batch.labels for batch in module(prepared, packing=packing).val_dataloader()])
        for packing in (ConcatPackingConfig(), BestFitPackingConfig())
    ]
    assert torch.equal(*rows)


def test_test_loader_is_there_when_the_split_is(prepared):
    assert len(list(module(prepared).test_dataloader())) > 0
    without = type(prepared)(prepared.directory, prepared.receipt, prepared.tokenizer, dict(prepared.splits))
    del without.splits["test"]
    assert module(without).test_dataloader() == []


def test_what_a_batch_holds(prepared):
    batch = take(module(prepared, micro_batch_size=2).train_dataloader(), 1)[0]
    assert {name: (value.dtype, value.shape) for name, value in batch.inputs.items()} == {
        "input_ids": (torch.int64, (2, 64))
    }
    assert (batch.labels.dtype, batch.labels.shape, batch.facts) == (torch.int64, (2, 64), {})
    assert (batch.sequences, batch.tokens, batch.target_tokens) == (GLOBAL, GLOBAL * 64, GLOBAL * 64)
    assert torch.equal(batch.inputs["input_ids"][:, 1:], batch.labels[:, :-1])

    batches = list(module(prepared, micro_batch_size=2).val_dataloader())
    n = prepared.splits["val"].n_tokens - 1
    assert sum(batch.target_tokens for batch in batches) == n
    assert sum(batch.tokens for batch in batches) == 64 * sum(batch.sequences for batch in batches) == -(-n // 64) * 64


def test_the_model_gets_document_ids_where_it_reads_them(prepared):
    data = module(prepared, document_ids=True)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        batch = take(loader, 1)[0]
        assert set(batch.inputs) == {"input_ids", "document_ids"}
        assert batch.inputs["document_ids"].dtype == torch.int32
        assert batch.inputs["document_ids"].shape == (GLOBAL, 64)


def test_a_batch_moves_to_another_device_as_it_is(prepared):
    batch = take(module(prepared).train_dataloader(), 1)[0]
    moved = batch.to(torch.device("meta"))
    assert {t.device.type for t in (moved.labels, *moved.inputs.values())} == {"meta"}
    assert (moved.sequences, moved.tokens, moved.target_tokens) == (batch.sequences, batch.tokens, batch.target_tokens)


def test_validation_says_the_source_of_every_target(tmp_path, prepared):
    assert module(prepared).source_names == ["corpus.jsonl"]
    assert all(batch.facts == {} for batch in module(prepared).val_dataloader())  # one source

    (tmp_path / "texts").mkdir()
    for name in "ab":  # the letters of the text are those of the file's name
        documents = "\n".join(name * n for n in range(10, 60 if name == "a" else 40))
        (tmp_path / "texts" / f"{name}.txt").write_text(documents)
    source = FilesConfig(path=str(tmp_path / "texts"), document_separator="", max_document_bytes=64)
    made = prepare(settings(tmp_path, tmp_path, data=source, dedup=NoDedupConfig()), progress=False)
    data = module(made, seq_len=16, num_workers=1, micro_batch_size=4)
    assert data.source_names == ["a.txt", "b.txt"]
    separator, seen = made.tokenizer.eot_id, set()
    for batch in [*data.val_dataloader(), *data.test_dataloader()]:
        ids = batch.facts["source_ids"]
        assert (ids.dtype, ids.shape) == (torch.int32, (4, 16))
        for letter, number in ((ord("a"), 0), (ord("b"), 1)):
            found = ids[batch.labels == letter].unique().tolist()
            assert found in ([], [number])
            seen.update(found)
        after = batch.labels == separator  # the end of a document belongs to it
        last = batch.inputs["input_ids"]
        assert torch.equal(ids[after & (last == ord("b"))], torch.ones_like(ids[after & (last == ord("b"))]))
    assert seen == {0, 1}
    assert take(data.train_dataloader(), 1)[0].facts == {}


def test_noise_is_for_the_inputs_of_training_alone(prepared):
    plain, noisy = module(prepared), module(prepared, augmentation=TokenNoiseConfig(probability=0.5))
    before, after = (take(data.train_dataloader(), 1)[0] for data in (plain, noisy))
    assert torch.equal(before.labels, after.labels)
    assert 0.3 < (before.inputs["input_ids"] != after.inputs["input_ids"]).float().mean() < 0.6
    before, after = (take(data.val_dataloader(), 1)[0] for data in (plain, noisy))
    assert torch.equal(before.inputs["input_ids"], after.inputs["input_ids"])


def test_impossible_sizes_are_one_line(prepared):
    with pytest.raises(ConfigError, match="global_batch_size=8 is not a multiple of 6"):
        module(prepared, micro_batch_size=3, world_size=2)
    with pytest.raises(DataError, match="fewer than one sequence of seq_len=1000000"):
        module(prepared, seq_len=1_000_000)


class Recorder(L.LightningModule):
    """A model of one number that writes down which sequences it saw."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen, self.validated = [], 0
        self.counts = None

    def training_step(self, batch, index):
        if self.counts is not None and index % 4 == 3:
            self.counts.advance(batch.sequences)
        self.seen += batch.inputs["input_ids"].tolist()
        return self.weight * 1.0

    def validation_step(self, batch, index):
        self.validated += int((batch.labels != IGNORE_INDEX).sum())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore")
def test_in_a_real_trainer(prepared):
    data = module(prepared, micro_batch_size=2, rank=None, world_size=None)
    recorder = Recorder()
    trainer().fit(recorder, datamodule=data)
    expected, _ = global_batches(prepared, 10)
    seen = [sorted(map(tuple, recorder.seen[i : i + GLOBAL])) for i in range(0, 80, GLOBAL)]
    assert seen == [sorted(row[:64] for row in rows) for rows in expected]
    assert recorder.validated == 2 * (prepared.splits["val"].n_tokens - 1)


def test_skipped_ranges_leave_exactly_those_positions_out(prepared):
    whole, _ = global_batches(prepared, 8)
    for start in (0, 2 * GLOBAL):
        for ranks, micro in ((1, GLOBAL), (2, 2)):
            rows = []
            for rank in range(ranks):
                data = module(prepared, rank=rank, world_size=ranks, micro_batch_size=micro)
                data.advance(start)
                data.skip([[3 * GLOBAL, 5 * GLOBAL]])
                data.skip([[6 * GLOBAL, 7 * GLOBAL]])
                loader = take(data.train_dataloader(), (5 * GLOBAL - start) // (ranks * micro))
                rows += [
                    tuple(row) for b in loader for row in torch.cat([b.inputs["input_ids"], b.labels], dim=1).tolist()
                ]
            wanted = [row for step in (0, 1, 2, 5, 7) for row in whole[step]][start:]
            assert sorted(rows) == sorted(wanted)


@pytest.mark.parametrize("packing", [ConcatPackingConfig(), BestFitPackingConfig()])
def test_documents_of_a_range_are_those_whose_text_is_read(prepared, packing):
    data = module(prepared, packing=packing)
    data.skip([[4, 12]])
    batch = take(data.train_dataloader(), 1)[0]
    shards = prepared.splits["train"]
    texts = ["".join(map(chr, row[row != IGNORE_INDEX].tolist())) for row in batch.labels]
    found = data._documents_between(0, GLOBAL)
    assert len(found) >= len(texts) / 2
    for number in found.tolist():
        ids = shards.tokens(int(shards.document_ends[number - 1]) if number else 1, int(shards.document_ends[number]))
        document = "".join(map(chr, ids.tolist()))
        pieces = {document[i : i + 12] for i in range(max(1, len(document) - 12))}
        assert any(piece in text for piece in pieces for text in texts) or len(document) < 12, number
    names = data.origins(0, GLOBAL, 3)
    assert [name.split(" ")[0] for name in names[:3]] == [f"train#{number}" for number in found[:3]]
    assert names[0].startswith(f"train#{found[0]} '") and names[3:] == [f"and {len(found) - 3} more"]
    assert data.origins(0, GLOBAL, len(found)) == [data._name_document(int(number)) for number in found]
    assert data.origins(5, 5, 3) == []


def test_the_state_is_the_cursor_and_the_skipped_ranges(prepared):
    data = module(prepared)
    assert data.state_dict() == {"consumed_sequences": 0, "skipped": []}
    data.advance(GLOBAL)
    data.advance(2 * GLOBAL)
    data.skip([[40, 48], [24, 32]])
    state = data.state_dict()
    assert state == {"consumed_sequences": 24, "skipped": [[24, 32], [40, 48]]}
    assert json.loads(json.dumps(state)) == state

    again = module(prepared)
    again.load_state_dict(state)
    assert again.state_dict() == state
    for ours, theirs in zip(take(again.train_dataloader(), 5), take(data.train_dataloader(), 5)):
        assert torch.equal(ours.labels, theirs.labels)

    back = module(prepared)  # a run that goes back: what it skips stays skipped, the cursor goes where it is told
    back.advance(80)
    back.skip([[8, 16]])
    back.load_state_dict({"consumed_sequences": 16, "skipped": [[24, 32]]})
    assert back.state_dict() == {"consumed_sequences": 16, "skipped": [[8, 16], [24, 32]]}
    state["skipped"].append([0, 1])
    assert data.state_dict()["skipped"] == [[24, 32], [40, 48]]


def trainer(**changes):
    return L.Trainer(
        **{
            "max_steps": 10,
            "accumulate_grad_batches": 4,
            "val_check_interval": 20,
            "check_val_every_n_epoch": None,
            "num_sanity_val_steps": 0,
            "accelerator": "cpu",
            "use_distributed_sampler": False,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        }
        | changes
    )


@pytest.mark.filterwarnings("ignore")
def test_lightning_saves_the_state_and_gives_it_back_before_it_asks_for_batches(prepared, tmp_path):
    data, recorder = module(prepared, micro_batch_size=2), Recorder()
    first = trainer(max_steps=3)
    data.skip([[32, 40]])
    recorder.counts = data
    first.fit(recorder, datamodule=data)
    first.save_checkpoint(tmp_path / "saved.ckpt")
    saved = torch.load(tmp_path / "saved.ckpt", weights_only=True)
    assert saved["LanguageDataModule"] == {"consumed_sequences": 24, "skipped": [[32, 40]]}

    again, resumed = module(prepared, micro_batch_size=2), Recorder()
    trainer(max_steps=6).fit(resumed, datamodule=again, ckpt_path=tmp_path / "saved.ckpt", weights_only=True)
    whole, _ = global_batches(prepared, 7)
    seen = [sorted(map(tuple, resumed.seen[i : i + GLOBAL])) for i in range(0, 3 * GLOBAL, GLOBAL)]
    assert seen == [sorted(row[:64] for row in whole[step]) for step in (3, 5, 6)]


@pytest.mark.parametrize("micro", [1, 4])
def test_bits_per_byte_divides_by_all_bytes_of_the_split_known_or_not(tmp_path, micro):
    path = tmp_path / "mixed.txt"
    path.write_text("plain words " * 300 + "слова and 日本 " * 20 + "plain words " * 2, encoding="utf-8")
    made = prepare(settings(path, tmp_path, split=TailSplitConfig(), tokenizer=CharTokenizerConfig()))
    metric = BitsPerByteConfig().build(MetricFacts(token_bytes=made.tokenizer.token_bytes(), seq_len=16))
    for batch in module(made, seq_len=16, micro_batch_size=micro).val_dataloader():
        nats = torch.full(batch.labels.shape, 0.5)
        empty = torch.empty(0)
        metric.update(MeasuredTokens(batch.labels != IGNORE_INDEX, nats, nats, empty, empty, empty), batch)
    row = made.receipt["splits"]["val"]
    assert row["unknown_tokens"] > 100 and row["unknown_bytes"] > 200
    expected = 0.5 * (row["tokens"] - 1) / math.log(2) / row["bytes"]
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-6)


def test_batches_carry_the_facts_of_their_own_sequences(prepared):
    """A row for each sequence: its first input and label, so that a batch shows whether they are its own."""
    data = module(prepared, micro_batch_size=4, val_sequences=5)
    for split in ("train", "val"):
        packed = data.packing_of(split)
        rows = packed.read(np.arange(len(packed)))
        facts = np.stack([rows["input_ids"][:, 0], rows["labels"][:, 0]], axis=1).astype(np.float32)
        data.add_facts(split, {"first": facts})
    for loader in (data.train_dataloader(), data.val_dataloader()):
        for batch in take(loader, 2):
            real = batch.labels[:, 0] != IGNORE_INDEX
            expected = torch.stack([batch.inputs["input_ids"][:, 0], batch.labels[:, 0]], dim=1).float()
            assert real.any() and torch.equal(batch.facts["first"][real], expected[real])
    assert data.sequences_read("val").tolist() == np.linspace(0, data.sequences_of("val") - 1, 5).round().tolist()
    with pytest.raises(ValueError, match="3 rows of first for"):
        data.add_facts("val", {"first": np.zeros((3, 2))})
