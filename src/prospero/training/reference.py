"""The frozen reference of a loss of pairs: the model that init_from gave, asked once, before the first step.

What the loss needs of it is one number an answer, so no second model is held while the run trains. The numbers are kept
under <outputs_dir>/references, in a folder whose name is a hash of the weights, the data and how they are laid out:
a resumed run and every run of a sweep find them there.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prospero.batch import Batch
from prospero.data.cache import locked, publish, readable_errors
from prospero.data.datamodule import LanguageDataModule
from prospero.data.packing.packing import Packing
from prospero.data.receipt import digest, file_hash, plain
from prospero.errors import DataError
from prospero.log import log
from prospero.model.base import LanguageModel
from prospero.objective.preference import REFERENCE, PreferenceObjective, objective_of
from prospero.paths import write_text
from prospero.processes import ranks
from prospero.processes.rendezvous import one_per_folder
from prospero.training.network import Network, build_reference
from prospero.training.preference import check_reads_pairs
from prospero.training.session import Session
from prospero.training.trainer import Accelerator, Precision

FOLDER, RECEIPT = "references", "reference.json"
FORMAT = 1
"""Raised when numbers of before can no longer be used."""
AUTOCAST = {Precision.bf16: torch.bfloat16, Precision.float16: torch.float16}
"""The precisions in which products alone are computed in fewer bits."""

Rows = dict[str, np.ndarray]
"""Split -> float32 [sequences, 2]: log-probability of chosen and rejected answer; NaN for pairs that nobody reads."""


def attach_reference(session: Session, data: LanguageDataModule, network: Network) -> None:
    """Let every batch of a run that learns from pairs carry the reference's log-probabilities; else do nothing.

    They are found where they were kept, or computed by one process. Raises ConfigError for a model that cannot read
    pairs, DataError when the weights that the run began with cannot be read any more.
    """
    objective = objective_of({name: part.build() for name, part in session.config.loss.items()}, {})
    if not isinstance(objective, PreferenceObjective):
        return
    check_reads_pairs(network.model)
    cache = Path(session.config.outputs_dir, FOLDER)
    wanted = {split: data.sequences_read(split) for split in data.prepared.splits}
    stated = _stated(session, data, wanted)
    name = digest(stated)[:16]

    def found_or_made() -> Rows:
        found = _open_if_there(cache / name, stated, wanted)
        if found is not None:
            return found
        with readable_errors(cache), locked(cache, name):
            found = _open_if_there(cache / name, stated, wanted, say=True)  # made by the process that held the lock
            if found is None:
                rows = _asked(session, data, network, objective, wanted)
                publish(cache, name, lambda folder: _write(folder, stated, rows))
                return rows
        return found

    for split, rows in one_per_folder(session.rendezvous, cache, found_or_made).items():
        data.add_facts(split, {REFERENCE: rows})


def _stated(session: Session, data: LanguageDataModule, wanted: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return what decides the numbers, as plain values."""
    assert session.source is not None, "a loss of pairs was checked to have init_from"
    config = session.config
    return {
        "format": FORMAT,
        "weights": session.source.fingerprint,
        "data": data.prepared.fingerprint,
        "packing": plain(config.packing),
        "seq_len": config.seq_len,
        "precision": session.hardware.precision.name,
        "pairs": {split: [len(data.packing_of(split)), digest(read.tolist())] for split, read in wanted.items()},
    }


def _open_if_there(
    folder: Path, stated: Mapping[str, Any], wanted: Mapping[str, np.ndarray], *, say: bool = False
) -> Rows | None:
    """Return the kept numbers; None where there are none, or what is there is damaged, which is said when asked."""
    if not folder.exists():
        return None
    try:
        receipt = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
        if receipt["stated"] != json.loads(json.dumps(stated)):
            raise DataError(f"{folder / RECEIPT} belongs to other numbers")
        rows = {split: _read(folder / f"{split}.npy", receipt["files"][f"{split}.npy"]) for split in wanted}
    except (OSError, ValueError, KeyError, TypeError, DataError) as error:
        if say:
            log.warning("the reference kept in %s is damaged (%s); it is computed again", folder, error)
        return None
    log.info("reference: log-probabilities found in %s", folder)
    return rows


def _read(file: Path, stated: str) -> np.ndarray:
    if file_hash(file) != stated:
        raise DataError(f"{file.name} differs from what was written")
    return np.load(file, allow_pickle=False)


def _write(folder: Path, stated: Mapping[str, Any], rows: Rows) -> None:
    for split, values in rows.items():
        np.save(folder / f"{split}.npy", values)
    files = {f"{split}.npy": file_hash(folder / f"{split}.npy") for split in rows}
    write_text(folder / RECEIPT, json.dumps({"stated": stated, "files": files}, indent=1) + "\n")


def _asked(
    session: Session,
    data: LanguageDataModule,
    network: Network,
    objective: PreferenceObjective,
    wanted: Mapping[str, np.ndarray],
) -> Rows:
    """Return what the reference says of every pair that is read."""
    start = time.perf_counter()
    precision = session.hardware.precision
    whole = not session.hardware.strategy.sharded and precision is not Precision.bf16_true
    begins = session.checkpoint is None
    # A network that begins is its own reference, adapters included, which change nothing before they have learnt.
    model = network.model if whole and begins else build_reference(session, data.prepared)
    model = model.to(torch.bfloat16) if precision is Precision.bf16_true else model
    device = _device(session.hardware.accelerator)
    was_training, before = model.training, next(model.parameters()).device
    model.to(device).eval()
    try:
        rows = {
            split: log_probabilities(
                objective, model, data.packing_of(split), read, session.micro_batch_size, AUTOCAST.get(precision)
            )
            for split, read in wanted.items()
        }
    finally:
        model.to(before).train(was_training)
    n_pairs = sum(len(read) for read in wanted.values())
    log.info("reference: %s pairs asked in %.1f s", f"{n_pairs:,}", time.perf_counter() - start)
    return rows


@torch.no_grad()
def log_probabilities(
    objective: PreferenceObjective,
    model: LanguageModel,
    packing: Packing,
    sequences: np.ndarray,
    batch_size: int,
    autocast: torch.dtype | None = None,
) -> np.ndarray:
    """Return float32 [len(packing), 2], NaN where a sequence is not among `sequences`; see `Rows`."""
    device = next(model.parameters()).device
    found = np.full((len(packing), 2), np.nan, dtype=np.float32)
    for start in range(0, len(sequences), batch_size):
        mine = sequences[start : start + batch_size]
        arrays = {name: torch.from_numpy(array) for name, array in packing.read(mine).items()}
        batch = Batch(
            inputs={name: arrays[name] for name in ("input_ids", "document_ids")},
            labels=arrays["labels"],
            sequences=len(mine),
            tokens=len(mine) * packing.seq_len,
            target_tokens=int(packing.target_counts(mine).sum()),
        )
        with torch.autocast(device.type, autocast or torch.bfloat16, enabled=autocast is not None):
            found[mine] = objective.log_probabilities(model, batch.to(device)).float().cpu().numpy()
    return found


def _device(accelerator: Accelerator) -> torch.device:
    if accelerator is Accelerator.gpu:
        return torch.device("cuda", ranks.local_rank())
    return torch.device(accelerator.name)
