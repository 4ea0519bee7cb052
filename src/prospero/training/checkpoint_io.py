"""Checkpoint folders for Lightning's strategies: the same folder whatever the strategy and number of processes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import Strategy
from torch import Tensor, nn

from prospero.checkpoints import FolderWriter, StoredTensor
from prospero.checkpoints.folders import unfinished
from prospero.checkpoints.run_checkpoints import Checkpoint
from prospero.checkpoints.writing import Save, make_room
from prospero.errors import DataError
from prospero.log import log
from prospero.processes.ranks import any_rank, sum_over_ranks
from prospero.training.optimizer_state import check_can_be_saved

_LAZY = ("state_dict/", "optimizer_states/", "ema/", "evaluation_weights/", "gradients/")
"""Tensors that are read where they go, each process only its part."""


class FolderCheckpoints(Strategy):
    """Mixin before a strategy: every process writes and reads its own part of one folder; no pickle, no gathering.

    Optimiser state is kept by the parameter's name. `storage_options` of `Trainer.save_checkpoint` may hold `facts`
    (plain values for the manifest), `asynchronous`, and `after` (called by the first process when the folder is
    published).
    """

    saved_bytes: int = 0
    """Bytes of the tensors of the last save, over all processes."""
    opened: Checkpoint | None = None
    """A checkpoint that the first process has opened before it is loaded; what it has verified is not read again."""

    @property
    def tensor_parallel(self) -> int:
        """Neighbouring ranks that read the same data."""
        return 1

    @property
    def folder_writer(self) -> FolderWriter:
        """The writer of this process, with its buffers."""
        if "_folder_writer" not in self.__dict__:
            self._folder_writer = FolderWriter()
        return self._folder_writer

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Lightning restores optimisers, by `load_optimizer_state_dict`."""
        return True

    # Saving ----------------------------------------------------------------------------------------------------------

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return the module's tensors as this process holds them."""
        assert self.lightning_module is not None
        return self.lightning_module.state_dict()

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """Return the optimiser's state by the names of the parameters; a collective on sharded models."""
        inner = optimizer._optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        names = _names_of_parameters(self._module, inner)
        check_can_be_saved(inner, names, self.root_device)
        state = inner.state_dict()
        groups = [{**group, "params": [names[i] for i in group["params"]]} for group in state["param_groups"]]
        by_name = {names[i]: value for i, value in state["state"].items()}
        return {"optimizer": type(inner).__name__, "state": by_name, "param_groups": groups}

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any | None = None) -> None:
        """Write `checkpoint` to the folder `filepath`; a collective. Raises DataError in all processes alike.

        With storage_options={"asynchronous": True} a thread copies the tensors and writes; `wait_until_copied` before
        they change, `finish_save` tells how it went.
        """
        options = dict(storage_options or {})
        asynchronous = bool(options.get("asynchronous"))
        earlier = self.finish_save()
        if earlier is not None:
            log.warning("%s", earlier)
        final = Path(filepath)
        save = self.folder_writer.take(checkpoint, final, rank=self._rank, world_size=self._world_size)
        save.facts = {**_facts(checkpoint, self._world_size, type(self).__name__), **options.get("facts", {})}
        save.after = options.get("after", save.after)
        save.temporary = Path(self.broadcast(str(unfinished(final))))
        self._make_room(save)
        if asynchronous:
            self.folder_writer.write_in_thread(save)
        else:
            self._together(lambda: self.folder_writer.write(save))

    def wait_until_copied(self) -> None:
        """Return when the tensors may change that a thread is saving."""
        self.folder_writer.wait_until_copied()

    def finish_save(self) -> DataError | None:
        """Wait for the save that a thread does and return what went wrong with it, if anything; a collective."""
        mine = self.folder_writer.wait()
        said = self.broadcast(str(mine) if mine is not None else "")
        return DataError(said) if said else None

    def _make_room(self, save: Save) -> None:
        """Make the unfinished folder; DataError in all processes when the disk has no room for all parts."""
        sizes = sum_over_ranks(torch.tensor([save.n_bytes], dtype=torch.int64, device=self.root_device))
        self.saved_bytes = int(sizes)

        def make() -> None:
            if self._rank == 0:
                make_room(save, self.saved_bytes)

        self._together(make)

    def _together(self, work: Callable[[], None]) -> None:
        """Do `work` and raise the first process's DataError in all of them; a collective."""
        error = ""
        try:
            work()
        except DataError as caught:
            error = str(caught)
        error = self.broadcast(error)
        if error:
            raise DataError(error)

    # Loading ---------------------------------------------------------------------------------------------------------

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Verify the folder, the work shared by the processes, and return its tree; DataError in all alike."""
        known = self.opened if self.opened is not None and self.opened.path == Path(checkpoint_path) else None
        place, verified = self.broadcast((str(checkpoint_path), known is not None and known.verified))
        folder = Path(place)
        problem: DataError | None = None
        checkpoint = known
        try:
            checkpoint = known or Checkpoint.open(folder)
            if not verified:
                checkpoint.verify(self._rank, self._world_size)
        except DataError as error:
            problem = error
        if any_rank(problem is not None, self.root_device) or checkpoint is None:
            raise problem or DataError(f"{folder} is damaged, as another process of the run found")
        return checkpoint.trust().read(lazy=lambda name: name.startswith(_LAZY))

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Read this process's part of every tensor of the module."""
        self.wait_until_copied()
        own = self._module.state_dict()
        state = {name: stored.like(own[name]) if name in own else stored for name, stored in _of(checkpoint)}
        self._module.load_state_dict(state, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Read this process's part of the optimisers' state, whatever the order and layout in which it was saved."""
        self.wait_until_copied()
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"]):
            optimizer.load_state_dict(_state_for(optimizer, saved, self._module))

    # Details ---------------------------------------------------------------------------------------------------------

    @property
    def _module(self) -> nn.Module:
        assert self.lightning_module is not None
        return self.lightning_module

    @property
    def _rank(self) -> int:
        return int(self.global_rank)  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def _world_size(self) -> int:
        return int(self.world_size)  # pyright: ignore[reportAttributeAccessIssue]


def folder_strategy(trainer: L.Trainer) -> FolderCheckpoints:
    """Return the trainer's strategy, which is one of ours."""
    assert isinstance(trainer.strategy, FolderCheckpoints), "a run needs one of Prospero's strategies"
    return trainer.strategy


def _of(checkpoint: Mapping[str, Any]) -> Any:
    return checkpoint["state_dict"].items()


def _facts(checkpoint: Mapping[str, Any], world_size: int, strategy: str) -> dict[str, Any]:
    memory = checkpoint.get("prospero", {})
    return {
        "step": checkpoint.get("global_step"),
        "tokens": memory.get("consumed_tokens"),
        "world_size": world_size,
        "strategy": strategy,
    }


def _names_of_parameters(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[int, str]:
    """Return the name of each parameter of `optimizer` by its number in the optimiser's state dict."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    missing = [parameter for parameter in parameters if id(parameter) not in names]
    if missing:
        raise DataError(
            f"the optimiser has a parameter of shape {list(missing[0].shape)} that the model does not have by name"
        )
    return {number: names[id(parameter)] for number, parameter in enumerate(parameters)}


def _state_for(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any], module: nn.Module) -> dict[str, Any]:
    """Return `saved` as the state dict that `optimizer` would have: its numbers, its layouts."""
    kind = type(optimizer).__name__
    if saved["optimizer"] != kind:
        raise DataError(
            f"the checkpoint's optimiser is {saved['optimizer']}, this run's is {kind}; resume with the same optimizer="
        )
    names = _names_of_parameters(module, optimizer)
    options = {name: group for group in saved["param_groups"] for name in group["params"]}
    odd = sorted(set(options) ^ set(names.values()))
    if odd:
        raise DataError(f"the checkpoint's optimiser has other parameters than this run's, for example {odd[0]}")
    state: dict[int, Any] = {}
    groups: list[dict[str, Any]] = []
    numbers = iter(names)
    for group in optimizer.param_groups:
        mine = [next(numbers) for _ in group["params"]]
        groups.append({**options[names[mine[0]]], "params": mine})
        for number, parameter in zip(mine, group["params"]):
            if names[number] in saved["state"]:
                values = saved["state"][names[number]]
                state[number] = {key: _placed(value, parameter) for key, value in values.items()}
    return {"state": state, "param_groups": groups}


def _placed(value: Any, parameter: Tensor) -> Any:
    """Return a value of a parameter's state: as the parameter is laid out when it has its shape, else as it is."""
    if not isinstance(value, StoredTensor):
        return value
    return value.like(parameter) if value.shape == tuple(parameter.shape) else value.whole()
