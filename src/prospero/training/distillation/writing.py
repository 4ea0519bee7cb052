"""Writing a store: the teacher reads every training sequence once; a run that was stopped goes on where it was."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap

from prospero.checkpoints import folders
from prospero.checkpoints.manifest import sign_folder
from prospero.checkpoints.model_folder import read_json
from prospero.data.packing.packing import Packing
from prospero.log import log
from prospero.objective.losses.distill import Teacher, buckets_of
from prospero.paths import write_text
from prospero.processes.locks import locked
from prospero.training.distillation.store import IDS_FILE, LOG_PROBS_FILE, RECEIPT, StoreFacts

PROGRESS = "progress.json"
DURABLE_EVERY = 32
"""Batches between two notes of how far it is."""


def write_store(
    folder: Path,
    facts: StoreFacts,
    teacher: Teacher,
    packing: Packing,
    *,
    batch_size: int,
    chunk_tokens: int | None,
    device: torch.device | str = "cpu",
    on_batch: Callable[[int], None] = lambda sequences: None,
) -> Path:
    """Write the store of `facts` to `folder`, whole or not at all; return it. `on_batch` is told what is behind.

    What a killed process left is taken up again, where it is of the same facts. The logits of at most `chunk_tokens`
    tokens are held at a time.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.unfinished")
    lock = folder.with_name(f".{folder.name}.lock")
    with locked(lock, lambda: log.info("another process writes %s; waiting for it", folder)):
        if folder.is_dir():
            return folder
        done = _begin(partial, facts)
        ids = np.load(partial / IDS_FILE, mmap_mode="r+")
        log_probs = np.load(partial / LOG_PROBS_FILE, mmap_mode="r+")
        for number, first in enumerate(range(done, facts.sequences, batch_size), start=1):
            last = min(first + batch_size, facts.sequences)
            arrays = packing.read(np.arange(first, last))
            ids[first:last], log_probs[first:last] = _said(teacher, arrays, facts, chunk_tokens, device)
            if number % DURABLE_EVERY == 0:
                ids.flush()
                log_probs.flush()
                _note(partial, facts, last)
            on_batch(last)
        ids.flush()
        log_probs.flush()
        _finish(partial, folder, facts)
    return folder


def _begin(partial: Path, facts: StoreFacts) -> int:
    """Return how many sequences are behind; a folder that is not of these facts is begun anew."""
    note = partial / PROGRESS
    if note.is_file():
        known = read_json(note)
        if known.get("fingerprint") == facts.fingerprint:
            log.info("%s: going on after %d of %d sequences", partial, known["sequences"], facts.sequences)
            return int(known["sequences"])
    partial.mkdir(exist_ok=True)
    dtype = np.dtype("<u2" if facts.vocabulary <= 2**16 else "<u4")
    shape = (facts.sequences, facts.seq_len)
    open_memmap(partial / IDS_FILE, "w+", dtype, (*shape, facts.top_k)).flush()
    open_memmap(partial / LOG_PROBS_FILE, "w+", np.dtype("<f2"), (*shape, facts.top_k + 1)).flush()
    _note(partial, facts, 0)
    return 0


def _note(partial: Path, facts: StoreFacts, sequences: int) -> None:
    write_text(partial / PROGRESS, json.dumps({"fingerprint": facts.fingerprint, "sequences": sequences}) + "\n")


def _finish(partial: Path, folder: Path, facts: StoreFacts) -> None:
    write_text(partial / RECEIPT, json.dumps(facts.plain(), indent=1) + "\n")
    (partial / PROGRESS).unlink()
    sign_folder(partial, [RECEIPT, IDS_FILE, LOG_PROBS_FILE])
    folders.publish(partial, folder)


@torch.no_grad()
def _said(
    teacher: Teacher,
    arrays: dict[str, np.ndarray],
    facts: StoreFacts,
    chunk_tokens: int | None,
    device: torch.device | str,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids [B, T, k] and log-probabilities [B, T, k + 1] of a batch."""
    inputs = {name: torch.from_numpy(arrays[name]).to(device) for name in ("input_ids", "document_ids")}
    hidden = teacher.hidden(inputs)
    parts = []
    for rows in hidden.flatten(0, 1).split(chunk_tokens or hidden.shape[:2].numel()):
        log_probs = torch.log_softmax(teacher.logits(rows).float() / facts.temperature, -1)
        parts.append(buckets_of(log_probs, facts.top_k))
    ids, kept = (torch.cat(columns).unflatten(0, hidden.shape[:2]).cpu().numpy() for columns in zip(*parts))
    return ids.astype(np.uint32), kept.astype(np.float16)
