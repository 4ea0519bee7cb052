"""Batches of rollouts: before a step the model answers the step's prompts, and learns from how well it did.

Everything is a function of the weights, the prompts and (seed, step, row), so that a resumed run draws the same. Where
several steps learn from one rollout, what is left of it is in the checkpoint: the policy that drew it is gone.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from prospero.batch import IGNORE_INDEX, Batch
from prospero.data.datamodule import LanguageDataModule
from prospero.data.prompts import Prompt, Prompts
from prospero.evaluation.rewards.base import TOTAL, Reward, score_all
from prospero.generation.generate import decoder_of
from prospero.generation.sampling import SamplingConfig
from prospero.log import log
from prospero.objective.losses.cross_entropy import CrossEntropyConfig
from prospero.objective.losses.grpo import ADVANTAGES, GIVEN, OLD, REFERENCE, TOKEN_WEIGHTS
from prospero.objective.terms import measured_tokens
from prospero.processes.ranks import sum_over_ranks
from prospero.training.batch_maker import BatchMaker
from prospero.training.callbacks.samples import is_sharded, writing
from prospero.training.checkpoint_io import folder_strategy
from prospero.training.gathered import reshard
from prospero.training.guards.watchdog import Watchdog
from prospero.training.lightning_seams import callbacks_of
from prospero.training.module import TrainingModule
from prospero.training.rollouts.advantages import group_advantages, token_weights, without_signal
from prospero.training.rollouts.drawing import Drawn, draw
from prospero.training.rollouts.reference import Reference
from prospero.training.rollouts.rollout import Rollout, laid_out
from prospero.training.rollouts.settings import RolloutsConfig

CHECK_STEPS = 5
"""Steps of a warm-up between rollouts that may end it."""
REWARD = "train/reward"


class RolloutMaker(BatchMaker):
    """Draws, rewards and lays out; the loader's own batches only count the micro-steps.

    `texts` holds what was written last, for whoever shows it: (record, text, rewards by name).
    """

    def __init__(
        self, config: RolloutsConfig, prompts: Prompts, rewards: Mapping[str, Reward], data: LanguageDataModule
    ) -> None:
        self.config, self.prompts, self.rewards, self.data = config, prompts, rewards, data
        self.texts: list[tuple[Mapping[str, str], str, dict[str, float]]] = []
        self.reference: Reference | None = None
        self._saved_reference: Mapping[str, Tensor] | None = None
        self._rollout: Rollout | None = None
        self._step, self._micro_step = -1, 0
        self._warmed_up = False

    def __call__(self, module: TrainingModule, batch: Batch) -> Batch:
        """Return the next micro-batch of this rank; the first of a rollout draws it, a collective."""
        if self._step != module.step:
            self._step, self._micro_step = module.step, 0
        rollout = self._rollout
        if rollout is None or module.step >= rollout.first_step + rollout.steps:
            rollout = self._rollout = self._next(module)
        rows = self._rows(rollout, module.step, self._micro_step)
        self._micro_step += 1
        return rollout.batch(module.step, rows, prompts=self.data.global_batch_size).to(module.device)

    def metrics(self) -> dict[str, float]:
        """Return the numbers of the rollout that the step learnt from."""
        return {} if self._rollout is None else dict(self._rollout.numbers)

    def state_dict(self) -> dict[str, Any]:
        """Return the reference, and what is left of the rollout."""
        rollout = self._rollout
        state: dict[str, Any] = {"warmed_up": True} if self._warmed_up else {}
        if rollout is not None and self._step < rollout.first_step + rollout.steps - 1:
            state["rollout"] = rollout.state_dict()
        if self.reference is not None:
            state["reference"] = dict(self.reference.weights)
        elif self._saved_reference is not None:
            state["reference"] = dict(self._saved_reference)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take both up; the reference once the model is laid out as it will be."""
        self._rollout = Rollout.of(state["rollout"]) if "rollout" in state else None
        self._saved_reference = state.get("reference")
        self._warmed_up = "warmed_up" in state

    def _next(self, module: TrainingModule) -> Rollout:
        """Return what is learnt from now: given answers in a warm-up, else what the model writes."""
        step, config = module.step, self.config
        if self._warmed_up or step >= config.warmup_steps:
            return self._drawn(module)
        if config.warmup_until is None or step % CHECK_STEPS or step == 0:
            return self._given(module)
        rollout = self._drawn(module)
        self._warmed_up = rollout.numbers[REWARD] >= config.warmup_until
        if self._warmed_up:
            log.info("step %d: the warm-up ends, at a reward of %.3g", step, rollout.numbers[REWARD])
            return rollout
        self.reference = None
        return self._given(module)

    def _prompts(self, first_step_of: int) -> list[Prompt]:
        """Return the prompts of so many steps from now."""
        first = self.data.consumed_sequences
        numbers = self.data.sequences_between(first, first + first_step_of * self.data.global_batch_size)
        return [self.prompts[int(number)] for number in numbers]

    def _rows(self, rollout: Rollout, step: int, micro_step: int) -> slice:
        """Return which rows of a step are this rank's at a micro-step: whole groups."""
        first = (micro_step * self.data.world_size + self.data.rank) * self.data.micro_batch_size
        whole = self.data.global_batch_size
        return rollout.rows(step, first / whole, (first + self.data.micro_batch_size) / whole)

    def _given(self, module: TrainingModule) -> Rollout:
        """Return the given answers of one step."""
        prompts = self._prompts(1)
        input_ids, labels = laid_out([(prompt.ids, prompt.answer) for prompt in prompts], self._fill)
        mask = labels != IGNORE_INDEX
        facts = {GIVEN: mask, TOKEN_WEIGHTS: mask.float(), **{n: torch.zeros(labels.shape) for n in (ADVANTAGES, OLD)}}
        if REFERENCE in module.objective.facts:
            facts[REFERENCE] = torch.zeros(labels.shape)
        return Rollout(first_step=module.step, steps=1, input_ids=input_ids, labels=labels, facts=facts, numbers={})

    @property
    def _fill(self) -> int:
        return self.prompts.prepared.tokenizer.eot_id

    def _drawn(self, module: TrainingModule) -> Rollout:
        """Let the model answer the prompts of the steps that learn from this policy."""
        started, config = time.perf_counter(), self.config
        steps = config.updates_per_rollout
        prompts = self._prompts(steps)
        groups, found = self._answers(module, prompts)
        rows = [(prompt, drawn) for prompt, group in zip(prompts, groups) for drawn in group]
        input_ids, labels = laid_out([(prompt.ids, drawn.ids) for prompt, drawn in rows], self._fill)
        rewards = found[TOTAL].reshape(len(prompts), config.group_size)
        lengths = np.array([len(drawn.ids) for _, drawn in rows], np.float64)
        by_step = np.split(lengths, steps)
        weights = [token_weights(part, config.normalization, config.max_new_tokens) for part in by_step]
        mask = labels != IGNORE_INDEX
        advantages = group_advantages(rewards, by_std=config.scale_by_std).reshape(-1)
        facts = {
            ADVANTAGES: _over_tokens(advantages, mask),
            TOKEN_WEIGHTS: _over_tokens(np.concatenate(weights), mask),
            GIVEN: torch.zeros(labels.shape, dtype=torch.bool),
        }
        rollout = Rollout(
            first_step=module.step, steps=steps, input_ids=input_ids, labels=labels, facts=facts, numbers={}
        )
        rollout.facts |= self._log_probabilities(module, rollout)
        shares = {"ended": float(np.mean([drawn.ended for _, drawn in rows])), "no_signal": without_signal(rewards)}
        rollout.numbers = {
            REWARD: float(rewards.mean()),
            "train/reward_std": float(rewards.std(axis=1).mean()),
            **{f"train/reward/{name}": float(values.mean()) for name, values in found.items() if name != TOTAL},
            "train/rollouts/tokens": float(lengths.mean()),
            **{f"train/rollouts/{name}": value for name, value in shares.items()},
            "train/rollouts/seconds": time.perf_counter() - started,
        }
        self.texts = [
            (prompt.record, drawn.text, {name: float(values[row]) for name, values in found.items()})
            for row, (prompt, drawn) in enumerate(rows)
        ]
        return rollout

    def _answers(
        self, module: TrainingModule, prompts: Sequence[Prompt]
    ) -> tuple[list[list[Drawn]], dict[str, np.ndarray]]:
        """Return the completions of each prompt and their rewards; copies of a model share the work.

        The processes of a model that is spread all write, since they must make the same calls, and take what the first
        has written and found.
        """
        trainer, config, tokenizer = module.trainer, self.config, self.prompts.prepared.tokenizer
        together = is_sharded(trainer) or trainer.world_size == 1
        rank, shares = (0, 1) if together else (trainer.global_rank, trainer.world_size)
        sampling = SamplingConfig(
            temperature=1.0,
            top_p=1.0,
            n=config.group_size,
            max_new_tokens=config.max_new_tokens,
            seed=module.how.seed * 1000003 + module.step,
        )
        mine = list(enumerate(prompts))[rank::shares]
        with torch.random.fork_rng(_cuda(module)), torch.no_grad(), writing(trainer):
            decoder = decoder_of(module.model)
            groups = draw(
                decoder, tokenizer, mine, sampling, rows=config.rows, beat=lambda: _beat(module, "a rollout is drawn")
            )
        reshard(module.model)
        found: dict[str, np.ndarray] = {}
        if shares > 1 or trainer.is_global_zero:
            records = [prompt.record for _, prompt in mine for _ in range(config.group_size)]
            found = score_all(self.rewards, records, [drawn.text for group in groups for drawn in group])
            _beat(module, "a rollout is rewarded")
        if shares == 1:
            return trainer.strategy.broadcast((groups, found)) if trainer.world_size > 1 else (groups, found)
        return _together(groups, found, len(prompts), shares)

    def _log_probabilities(self, module: TrainingModule, rollout: Rollout) -> dict[str, Tensor]:
        """Return those of the policy now, and of the reference where one is read, [R, T]; each rank does its rows."""
        found = {OLD: self._of_all(module, rollout)}
        if REFERENCE in module.objective.facts:
            reference = self._reference(module)
            with reference.in_place(module.model):
                found[REFERENCE] = self._of_all(module, rollout)
        return found

    def _reference(self, module: TrainingModule) -> Reference:
        """Return the reference: that of the checkpoint, or, at the first rollout, the model as it is."""
        if self.reference is None:
            self.reference = Reference(module.model)
            if self._saved_reference is not None:
                self.reference.load(self._saved_reference)
                self._saved_reference = None
        return self.reference

    @torch.no_grad()
    def _of_all(self, module: TrainingModule, rollout: Rollout) -> Tensor:
        """Return the log-probability of each label under the model as it is now, [R, T], 0 where there is none."""
        model, trainer = module.model, module.trainer
        found = torch.zeros(rollout.labels.shape, device=module.device)
        losses, was_training = [CrossEntropyConfig().build()], model.training
        model.eval()
        with trainer.precision_plugin.train_step_context():
            for step in range(rollout.first_step, rollout.first_step + rollout.steps):
                for micro_step in range(trainer.accumulate_grad_batches):
                    rows = self._rows(rollout, step, micro_step)
                    labels = rollout.labels[rows].to(module.device)
                    output = model(rollout.input_ids[rows].to(module.device), logits=False)
                    nats = measured_tokens(
                        losses, model.project, output, labels, frozenset(), module.objective.chunk_tokens
                    ).nats
                    found[rows] = torch.where(labels != IGNORE_INDEX, -nats, 0.0)
        model.train(was_training)
        reshard(model)
        if self.data.world_size > 1:
            copies = folder_strategy(trainer).tensor_parallel  # ranks that hold the same rows
            found = sum_over_ranks(found) / copies
        return found.cpu()


def _over_tokens(values: np.ndarray, mask: Tensor) -> Tensor:
    """Return a number of each row at each of its targets, float32 [R, T]."""
    return torch.where(mask, torch.from_numpy(values.astype(np.float32))[:, None], 0.0)


def _together(
    groups: list[list[Drawn]], found: dict[str, np.ndarray], n_prompts: int, shares: int
) -> tuple[list[list[Drawn]], dict[str, np.ndarray]]:
    """Return what all ranks have drawn and found, in the order of the prompts; prompt i is of rank i % shares."""
    parts: list[Any] = [None] * shares
    dist.all_gather_object(parts, (groups, found))
    whole = [parts[place % shares][0][place // shares] for place in range(n_prompts)]
    size = len(whole[0])
    rewards = {}
    for name in found:
        tables = [part[1][name].reshape(-1, size) for part in parts]
        rewards[name] = np.concatenate([tables[place % shares][place // shares] for place in range(n_prompts)])
    return whole, rewards


def _cuda(module: TrainingModule) -> list[torch.device]:
    return [module.device] if module.device.type == "cuda" else []


def _beat(module: TrainingModule, what: str) -> None:
    """Tell the watchdog that something moves."""
    for callback in callbacks_of(module.trainer):
        if isinstance(callback, Watchdog):
            callback.beat(f"{what}, step {module.step}")
