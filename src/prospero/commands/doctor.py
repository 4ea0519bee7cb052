"""`doctor`: what is wrong with a run, the worst first; without a run: what this machine is, and what it can train."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prospero import registry
from prospero.errors import ConfigError
from prospero.plain import plain
from prospero.training.settings import TrainConfig

if TYPE_CHECKING:
    from prospero.model.base import LanguageModel
    from prospero.planning.needs import Needs
    from prospero.runs.doctor.examination import Examination
    from prospero.runs.doctor.record import RunRecord
    from prospero.training.trainer import Hardware

EXAMPLES = [
    ("prospero doctor run=last", "what is wrong with the newest run, and what to change"),
    ("prospero doctor run=last probe=false", "from its files alone, without opening the model"),
    ("prospero doctor", "this machine, and what the default run would take on it"),
    ("prospero doctor model=base trainer=gpu", "does this fit, and how many tokens a second are to be expected"),
]
OF_A_RUN = ("run", "probe", "probe_sequences", "outputs_dir", "plugins", "traceback")
"""Settings that go with run=; the others describe a run that has not begun."""
BYTES, USUAL_VOCABULARY = 257, 50_304
"""Tokens that are reckoned with where the settings do not say how many."""


@dataclass(kw_only=True, slots=True)
class DoctorConfig(TrainConfig):
    """A run to look at; without one, all settings of a training run, which this machine is measured against."""

    run: str | None = None
    """The run: last, a name, a folder, or the folder of a sweep; null looks at the machine."""
    probe: bool = True
    """Open the last checkpoint and read some training data with it: units, heads, noise of the gradient."""
    probe_sequences: int = 64
    """Sequences that are read for it."""

    def __post_init__(self) -> None:
        TrainConfig.__post_init__(self)
        if self.run is not None and not self.run.strip():
            raise ConfigError("run= is empty; give a run, or leave it out to look at the machine")
        if self.probe_sequences < 2:
            raise ConfigError(f"probe_sequences={self.probe_sequences} is too few to see noise; give 2 or more")


def doctor(config: DoctorConfig) -> int:
    """Print what was found, and write doctor.json into the run's folder; return the exit code, which is 0."""
    from prospero import log as logging_setup

    logging_setup.configure()
    if config.run is None:
        return _machine(config)
    _refuse_settings_of_no_run(config)
    return _run(config, config.run)


def _run(config: DoctorConfig, name: str) -> int:
    from prospero.runs.doctor.examination import examine
    from prospero.runs.doctor.record import read_record
    from prospero.runs.find import find
    from prospero.runs.folder import RunFolder
    from prospero.sweeps.folder import SWEEP_FILE

    folder = find(name, config.outputs_dir)
    if (folder / SWEEP_FILE).is_file() and not RunFolder(folder).config.is_file():
        return _sweep(folder)
    run = read_record(folder)
    if config.probe:
        _probe(run, config)
    found = examine(run)
    _print(found)
    _write(found)
    return 0


def _probe(run: "RunRecord", config: DoctorConfig) -> None:
    """Measure the run's model, or note why that cannot be done."""
    import torch

    from prospero.analysis.doctor.probing import probe
    from prospero.runs.doctor.finding import CannotJudge

    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = Path(config.outputs_dir, "data")
    try:
        run.probe, run.parameters = probe(run.folder, data, sequences=config.probe_sequences, device=device)
    except CannotJudge as error:
        run.not_probed = str(error)


def _sweep(folder: Path) -> int:
    """Print a line for each job of a sweep."""
    from prospero.runs.doctor.examination import examine
    from prospero.runs.doctor.record import read_record
    from prospero.runs.folder import RunFolder

    jobs = sorted(path for path in folder.iterdir() if RunFolder(path).config.is_file())
    if not jobs:
        raise ConfigError(f"the sweep {folder} holds no run yet")
    for path in jobs:
        found = examine(read_record(path))
        first = f"{found.findings[0].severity.name}: {found.findings[0].line}" if found.findings else "nothing found"
        print(f"{path.name}: {first}")
    print(f"\none of them, with its model: prospero doctor run={jobs[0]}")
    return 0


def _print(found: "Examination") -> None:
    from prospero.runs.doctor.finding import shown

    run = found.run
    print(f"{run.folder.path} {run.stage.value}; {run.steps:,} steps, {run.tokens:,} tokens")
    if not found.findings:
        print(f"nothing was found by {found.judged} rules")
    for finding in found.findings:
        print(f"\n{finding.severity.name}: {finding.what}")
        print(f"  {shown(finding.number)} {finding.unit} (limit {shown(finding.limit)})")
        print(f"  change: {finding.advice}")
        print(f"  source: {finding.source}")
    if found.not_judged:
        print("\nnot judged: " + "; ".join(f"{rule} ({why})" for rule, why in found.not_judged.items()))


def _write(found: "Examination") -> None:
    from prospero.paths import write_text

    write_text(found.run.folder.doctor, json.dumps(found.plain(), indent=1) + "\n")


def _refuse_settings_of_no_run(config: DoctorConfig) -> None:
    """Raise ConfigError where settings of training stand beside run=, which would be ignored."""
    from prospero.configuration.compose import compose
    from prospero.plain import flat

    words = [f"plugins=[{','.join(config.plugins)}]"] if config.plugins else []
    usual = flat(plain(compose("doctor", words)))
    given = flat(plain(config))
    names = [name for name in given | usual if given.get(name) != usual.get(name)]
    odd = [name for name in names if name.partition(".")[0] not in OF_A_RUN]
    if odd:
        raise ConfigError(
            f"run={config.run} is looked at as it was trained; {odd[0]}= describes a run that has not begun: give one "
            "of the two"
        )


def _machine(config: DoctorConfig) -> int:
    """Print what this machine is, and whether the run that the settings describe fits it."""
    import torch

    from prospero.planning.fit import expected_tokens_per_second, fit_findings
    from prospero.planning.machine import look_at_machine, machine_lines
    from prospero.planning.needs import timed_tokens_per_second
    from prospero.training.callbacks.throughput import measure_peak_flops

    hardware, refusal = _hardware(config)
    machine = look_at_machine(Path(config.outputs_dir), measure_peak_flops(torch.float32))
    for line in machine_lines(machine):
        print(line)
    needs, rows = _needs(config, hardware)
    on_gpu = hardware is not None and hardware.accelerator.name == "gpu"
    devices = 1 if hardware is None else hardware.devices
    device = torch.device("cuda" if on_gpu else "cpu")
    peak = machine.gpus[0].flops if on_gpu and machine.gpus else machine.cpu_flops
    timed = None
    if refusal is None and needs.memory_bytes < machine.available_bytes / 2:
        timed = timed_tokens_per_second(
            lambda: _model(config), needs, seq_len=config.seq_len, rows=rows, peak=peak, device=device
        )
    speed = timed * devices if timed else expected_tokens_per_second(machine, needs, on_gpu=on_gpu, devices=devices)
    for line in _needs_lines(config, needs, speed, timed=timed is not None):
        print(line)
    sharded = hardware is not None and hardware.strategy.sharded
    found = fit_findings(
        machine, needs, on_gpu=on_gpu, devices=devices, sharded=sharded, workers=config.data.num_workers,
        tokens_per_second=speed,
    )  # fmt: skip
    if refusal is not None:
        print(f"\nproblem: {refusal}")
    for finding in found:
        print(f"\n{finding.severity.name}: {finding.line}")
    if not found and refusal is None:
        print("\nit fits")
    return 0


def _hardware(config: DoctorConfig) -> "tuple[Hardware | None, str | None]":
    """Return what the run would use, or None and why it cannot."""
    try:
        return config.trainer.hardware(), None
    except ConfigError as error:
        return None, str(error)


def _model(config: DoctorConfig) -> "LanguageModel":
    """Build the model of the settings, its adapter applied."""
    model = config.model.build(vocab_size=_vocab_size(config), max_seq_len=config.seq_len)
    if config.adapter is not None:
        config.adapter.build().apply(model)
    return model


def _vocab_size(config: DoctorConfig) -> int:
    """Return the tokens of the tokenizer as far as settings tell: what it learns from a text may be fewer."""
    size = plain(config.tokenizer).get("vocab_size")
    if size:
        return int(size)
    byte = registry.name_of("tokenizer", type(config.tokenizer)) in ("byte", "char")
    return BYTES if byte else USUAL_VOCABULARY


def _needs(config: DoctorConfig, hardware: "Hardware | None") -> "tuple[Needs, int]":
    """Return what the run needs, and the sequences of a micro-batch."""
    import torch

    from prospero.model.size import flops_per_token
    from prospero.planning.needs import needs_of
    from prospero.training.bounds import max_steps
    from prospero.training.horizon import UNLIMITED_STEPS

    sharing = 1 if hardware is None else hardware.data_parallel_size
    rows = config.micro_batch_size or max(1, config.global_batch_size // sharing)
    with torch.device("meta"):
        model = _model(config)
    steps = max_steps(config, flops_per_token(model, config.seq_len))
    tokens = steps * config.global_batch_size * config.seq_len if steps < UNLIMITED_STEPS else None
    half = hardware is not None and hardware.precision.name != "float32"
    recomputes = bool(plain(config.model).get("activation_checkpointing"))
    needs = needs_of(
        model, config.optimizer.build, seq_len=config.seq_len, micro_batch_size=rows, tokens=tokens, half=half,
        recomputes=recomputes,
    )  # fmt: skip
    return needs, rows


def _needs_lines(config: DoctorConfig, needs: "Needs", speed: float, *, timed: bool) -> list[str]:
    """Return what the run needs, in lines."""
    from prospero.log import duration
    from prospero.runs.doctor.finding import shown

    gb = 2**30
    kind = registry.name_of("model", type(config.model))
    lines = [
        f"\nthe run: {kind}, {needs.parameters:,} parameters, {needs.flops_per_token:.3g} operations a token",
        f"needs      {needs.memory_bytes / gb:.2f} GB of memory a process: weights and gradients "
        f"{needs.weight_bytes / gb:.2f}, optimizer {needs.state_bytes / gb:.2f}, activations about "
        f"{needs.activation_bytes / gb:.2f}",
        f"           {needs.checkpoint_bytes / gb:.2f} GB of disk a checkpoint",
        f"speed      about {shown(speed)} tokens/s, {'timed here' if timed else 'from the speed of products'}",
    ]
    if needs.tokens is not None and speed > 0:
        lines.append(
            f"           {needs.tokens:,} tokens in about {duration(needs.tokens / speed)}, without evaluations"
        )
    return lines
