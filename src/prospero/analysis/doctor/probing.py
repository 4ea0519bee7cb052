"""Opens the last checkpoint of a run, and the training data that come after it, and measures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from prospero import registry
from prospero.analysis.doctor.activity import watch
from prospero.analysis.doctor.gradients import measure_gradients
from prospero.batch import Batch
from prospero.checkpoints.model_folder import load_model
from prospero.checkpoints.run_checkpoints import RunCheckpoints
from prospero.data.datamodule import LanguageDataModule
from prospero.data.mixture.mixing import Mixing
from prospero.data.packing.best_fit import PiecePacking
from prospero.data.prepare import find_prepared, open_prepared
from prospero.model.base import LanguageModel
from prospero.objective.objective import Objective
from prospero.plain import from_plain
from prospero.runs.doctor.finding import CannotJudge
from prospero.runs.doctor.probe import NoiseScale, Probe
from prospero.runs.folder import RunFolder

OF_TOKENS = frozenset({"cross_entropy", "focal"})
"""Losses whose gradient needs nothing but the text."""
MICRO_BATCHES = 16
"""Into so many the sequences are cut, to see the noise between them."""
WATCHED_BATCHES = 4
"""Micro-batches of which units and heads are watched."""


def probe(run: RunFolder, data_dir: Path, *, sequences: int, device: str = "cpu") -> tuple[Probe, int]:
    """Return what was measured of the run's last checkpoint, and how many parameters its model has.

    Raises CannotJudge where there is no checkpoint, or the prepared data are gone; DataError where one is damaged.
    """
    checkpoint = RunCheckpoints(run.checkpoints).last()
    if checkpoint is None:
        raise CannotJudge("the run has saved no checkpoint yet")
    memory = checkpoint.memory
    if "packing" not in (memory.get("parts") or {}):
        raise CannotJudge(f"{checkpoint.path.name} does not name the parts of its run")
    folder = find_prepared(data_dir, memory.get("data_fingerprint"))
    if folder is None:
        raise CannotJudge(f"its prepared data are not under {data_dir}")
    model, _, _ = load_model(checkpoint, raw=True, merged=False, device=device)
    parameters = sum(p.numel() for p in model.parameters())
    data = _data(folder, memory, model, sequences)
    batches = _batches(data, data.accumulate, device)
    activity = watch(model, [batch.inputs for batch in batches[:WATCHED_BATCHES]])
    noise, curvature = _gradients(model, memory, batches)
    packing = data.train_packing
    found = Probe(
        checkpoint=checkpoint.path.name,
        sequences=len(batches) * data.micro_batch_size,
        noise=noise,
        curvature=curvature,
        dormant=activity.dormant,
        heads=activity.n_heads,
        silent_heads=activity.silent_heads,
        sink_heads=activity.sink_heads,
        padding=packing.padding if isinstance(packing, PiecePacking) else 0.0,
    )
    return found, parameters


def _data(folder: Path, memory: Any, model: LanguageModel, sequences: int) -> LanguageDataModule:
    """The run's own training sequences, those that it would have read next."""
    config, mixture = memory["config"], memory.get("mixture")
    prepared = open_prepared(folder)
    if mixture is not None:
        prepared = replace(prepared, mixture=Mixing.from_plain(mixture))
    size = max(1, sequences // MICRO_BATCHES)
    data = LanguageDataModule(
        prepared,
        packing=_part(memory, "packing"),
        augmentation=_part(memory, "augmentation"),
        seq_len=config["seq_len"],
        global_batch_size=size * max(2, sequences // size),
        micro_batch_size=size,
        seed=config["seed"],
        train_sequences=config.get("train_sequences"),
        document_ids=model.reads_document_ids,
        image_shape=model.image_shape,
        rank=0,
        world_size=1,
    )
    data.load_state_dict({"consumed_sequences": memory["consumed_sequences"], "skipped": memory["skipped_ranges"]})
    return data


def _batches(data: LanguageDataModule, count: int, device: str) -> list[Batch]:
    loader = iter(data.train_dataloader())
    return [next(loader).to(device) for _ in range(count)]


def _gradients(model: LanguageModel, memory: Any, batches: list[Batch]) -> tuple[NoiseScale | None, float | None]:
    names = [name for name in memory["parts"] if name.startswith("loss.")]
    kinds = {memory["parts"][name] for name in names}
    if not names or not kinds <= OF_TOKENS or not any(p.requires_grad for p in model.parameters()):
        return None, None
    objective = Objective({name: _part(memory, name).build() for name in names})
    return measure_gradients(model, objective, batches)


def _part(memory: Any, name: str) -> Any:
    """Build the settings of the part `packing` or `loss.cross_entropy` as the checkpoint describes them."""
    group, _, key = name.partition(".")
    settings = memory["config"][group][key] if key else memory["config"][group]
    return from_plain(registry.config_class(group, memory["parts"][name]), settings)
