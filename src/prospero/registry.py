"""The one table of parts and verbs. Adding a part, or a verb, is adding one line here.

Classes and functions are named, not imported: composing a configuration must not import torch. `configuration.schema`
reads the settings of a class from its source, `configuration.typed` imports the class when the part is built.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from prospero.errors import ConfigError, suggest

PARTS: dict[str, dict[str, str]] = {
    "data": {
        "stdlib": "prospero.data.sources.stdlib:StdlibConfig",
        "stdlib_docs": "prospero.data.sources.stdlib_docs:StdlibDocsConfig",
        "site_packages": "prospero.data.sources.site_packages:SitePackagesConfig",
        "files": "prospero.data.sources.files:FilesConfig",
        "hub": "prospero.data.sources.hub:HubConfig",
        "examples": "prospero.data.sources.examples:ExamplesConfig",
        "function_summaries": "prospero.data.sources.function_summaries:FunctionSummariesConfig",
        "function_bodies": "prospero.data.sources.function_bodies:FunctionBodiesConfig",
        "sessions": "prospero.data.sources.sessions:SessionsConfig",
        "passages": "prospero.data.sources.passages:PassagesConfig",
        "token_pairs": "prospero.data.sources.token_pairs:TokenPairsConfig",
        "triples": "prospero.data.sources.triples:TriplesConfig",
        "captions": "prospero.data.sources.captions:CaptionsConfig",
        "shapes": "prospero.data.sources.shapes:ShapesConfig",
        "sums": "prospero.data.sources.sums:SumsConfig",
        "mixture": "prospero.data.mixture.settings:MixtureConfig",
    },
    "rendering": {
        "text": "prospero.data.rendering.text:TextRenderingConfig",
        "prompt_response": "prospero.data.rendering.prompt_response:PromptResponseConfig",
        "messages": "prospero.data.rendering.messages:MessagesConfig",
        "preferences": "prospero.data.rendering.preferences:PreferencesConfig",
        "caption": "prospero.data.rendering.caption:CaptionConfig",
    },
    "cleaning": {
        "unicode": "prospero.data.cleaning.unicode:UnicodeConfig",
        "mojibake": "prospero.data.cleaning.mojibake:MojibakeConfig",
        "control_characters": "prospero.data.cleaning.control_characters:ControlCharactersConfig",
        "html": "prospero.data.cleaning.html:HtmlConfig",
        "white_space": "prospero.data.cleaning.white_space:WhiteSpaceConfig",
        "length": "prospero.data.cleaning.length:LengthConfig",
        "symbol_ratio": "prospero.data.cleaning.symbol_ratio:SymbolRatioConfig",
        "lower_case": "prospero.data.cleaning.lower_case:LowerCaseConfig",
        "stop_words": "prospero.data.cleaning.stop_words:StopWordsConfig",
        "repetition": "prospero.data.cleaning.repetition:RepetitionConfig",
        "decontaminate": "prospero.data.cleaning.decontaminate:DecontaminateConfig",
        "score": "prospero.data.cleaning.score:ScoreConfig",
        "pii": "prospero.data.cleaning.pii:PiiConfig",
        "gopher": "prospero.data.cleaning.gopher:GopherConfig",
        "c4": "prospero.data.cleaning.c4:C4Config",
        "fineweb": "prospero.data.cleaning.fineweb:FinewebConfig",
        "dolma": "prospero.data.cleaning.dolma:DolmaConfig",
        "source_code": "prospero.data.cleaning.source_code:SourceCodeConfig",
        "language": "prospero.data.cleaning.language:LanguageConfig",
    },
    "dedup": {
        "none": "prospero.data.dedup.none:NoDedupConfig",
        "exact": "prospero.data.dedup.exact:ExactDedupConfig",
        "minhash": "prospero.data.dedup.minhash:MinHashDedupConfig",
        "paragraphs": "prospero.data.dedup.paragraphs:ParagraphsDedupConfig",
        "lines": "prospero.data.dedup.lines:LinesDedupConfig",
    },
    "split": {
        "auto": "prospero.data.split:AutoSplitConfig",
        "hash": "prospero.data.split:HashSplitConfig",
        "tail": "prospero.data.split:TailSplitConfig",
    },
    "tokenizer": {
        "byte": "prospero.data.tokenizer.byte:ByteTokenizerConfig",
        "char": "prospero.data.tokenizer.char:CharTokenizerConfig",
        "bpe": "prospero.data.tokenizer.bpe:BPETokenizerConfig",
        "pretrained": "prospero.data.tokenizer.pretrained:PretrainedTokenizerConfig",
    },
    "packing": {
        "concat": "prospero.data.packing.concat:ConcatPackingConfig",
        "best_fit": "prospero.data.packing.best_fit:BestFitPackingConfig",
        "padded": "prospero.data.packing.padded:PaddedPackingConfig",
        "pairs": "prospero.data.packing.pairs:PairPackingConfig",
    },
    "augmentation": {
        "none": "prospero.data.augmentation.none:NoAugmentationConfig",
        "token_noise": "prospero.data.augmentation.token_noise:TokenNoiseConfig",
        "neftune": "prospero.data.augmentation.neftune:NEFTuneConfig",
    },
    "model": {
        "transformer": "prospero.model.transformer:TransformerConfig",
        "lstm": "prospero.model.rnn:LSTMConfig",
        "gru": "prospero.model.rnn:GRUConfig",
    },
    "adapter": {
        "none": "prospero.model.adapters.none:NoAdapterConfig",
        "lora": "prospero.model.adapters.lora:LoRAConfig",
        "freeze": "prospero.model.adapters.freeze:FreezeConfig",
    },
    "loss": {
        "cross_entropy": "prospero.objective.losses.cross_entropy:CrossEntropyConfig",
        "focal": "prospero.objective.losses.focal:FocalConfig",
        "distill": "prospero.objective.losses.distill:DistillConfig",
        "dpo": "prospero.objective.losses.dpo:DPOConfig",
        "grpo": "prospero.objective.losses.grpo:GRPOConfig",
    },
    "regularizers": {
        "l2": "prospero.objective.regularizers.l2:L2Config",
        "l1": "prospero.objective.regularizers.l1:L1Config",
        "l2_sp": "prospero.objective.regularizers.l2_sp:L2SPConfig",
        "orthogonality": "prospero.objective.regularizers.orthogonality:OrthogonalityConfig",
        "z_loss": "prospero.objective.regularizers.z_loss:ZLossConfig",
        "label_smoothing": "prospero.objective.regularizers.label_smoothing:LabelSmoothingConfig",
        "confidence_penalty": "prospero.objective.regularizers.confidence_penalty:ConfidencePenaltyConfig",
        "activation": "prospero.objective.regularizers.activation:ActivationConfig",
    },
    "optimizer": {
        "adamw": "prospero.optim.adamw:AdamWConfig",
        "adam": "prospero.optim.adam:AdamConfig",
        "sgd": "prospero.optim.sgd:SGDConfig",
        "lion": "prospero.optim.lion:LionConfig",
        "muon": "prospero.optim.muon:MuonConfig",
        "adafactor": "prospero.optim.adafactor:AdafactorConfig",
        "soap": "prospero.optim.soap:SOAPConfig",
        "schedule_free": "prospero.optim.schedule_free:ScheduleFreeConfig",
    },
    "schedule": {
        "constant": "prospero.optim.schedules.constant:ConstantConfig",
        "linear": "prospero.optim.schedules.linear:LinearConfig",
        "cosine": "prospero.optim.schedules.cosine:CosineConfig",
        "wsd": "prospero.optim.schedules.wsd:WSDConfig",
        "inverse_sqrt": "prospero.optim.schedules.inverse_sqrt:InverseSqrtConfig",
    },
    "trainer": {
        "lightning": "prospero.training.trainer:TrainerConfig",
    },
    "metrics": {
        "loss": "prospero.evaluation.metrics.loss:LossMetricConfig",
        "perplexity": "prospero.evaluation.metrics.perplexity:PerplexityConfig",
        "bits_per_byte": "prospero.evaluation.metrics.bits_per_byte:BitsPerByteConfig",
        "accuracy": "prospero.evaluation.metrics.accuracy:AccuracyConfig",
        "loss_by_position": "prospero.evaluation.metrics.loss_by_position:LossByPositionConfig",
        "preference": "prospero.evaluation.metrics.preference:PreferenceConfig",
        "reference_kl": "prospero.evaluation.metrics.reference_kl:ReferenceKLConfig",
        "loss_by_source": "prospero.evaluation.metrics.loss_by_source:LossBySourceConfig",
        "bleu": "prospero.evaluation.metrics.bleu:BleuConfig",
        "chrf": "prospero.evaluation.metrics.chrf:ChrfConfig",
        "rouge": "prospero.evaluation.metrics.rouge:RougeConfig",
        "exact_match": "prospero.evaluation.metrics.exact_match:ExactMatchConfig",
        "token_f1": "prospero.evaluation.metrics.token_f1:TokenF1Config",
        "edit_similarity": "prospero.evaluation.metrics.edit_similarity:EditSimilarityConfig",
        "distinct": "prospero.evaluation.metrics.distinct:DistinctConfig",
        "repetition": "prospero.evaluation.metrics.repetition:RepetitionConfig",
        "parses": "prospero.evaluation.metrics.parses:ParsesConfig",
        "bert_score": "prospero.evaluation.metrics.bert_score:BertScoreConfig",
        "pass_at_k": "prospero.evaluation.metrics.pass_at_k:PassAtKConfig",
    },
    "tasks": {
        "text": "prospero.evaluation.tasks.text:TextConfig",
        "generation": "prospero.evaluation.tasks.generation:GenerationTaskConfig",
        "summarize": "prospero.evaluation.tasks.summarize:SummarizeConfig",
        "function_bodies": "prospero.evaluation.tasks.function_bodies:FunctionBodiesTaskConfig",
        "dialogue": "prospero.evaluation.tasks.dialogue:DialogueConfig",
        "content": "prospero.evaluation.tasks.content:ContentConfig",
        "choice": "prospero.evaluation.tasks.choice:ChoiceConfig",
        "cloze": "prospero.evaluation.tasks.cloze:ClozeConfig",
        "code": "prospero.evaluation.tasks.code:CodeConfig",
        "facts": "prospero.evaluation.tasks.facts:FactsConfig",
        "captions": "prospero.evaluation.tasks.captions:CaptionsTaskConfig",
        "lm_eval": "prospero.evaluation.tasks.lm_eval:LMEvalConfig",
        "reward": "prospero.evaluation.tasks.reward:RewardTaskConfig",
    },
    "analyses": {
        "activations": "prospero.analysis.activations:ActivationsConfig",
        "attribution": "prospero.analysis.attribution:AttributionConfig",
        "probes": "prospero.analysis.probes:ProbesConfig",
        "neurons": "prospero.analysis.neurons:NeuronsConfig",
        "autoencoder": "prospero.analysis.autoencoder:AutoencoderConfig",
        "logit_lens": "prospero.analysis.logit_lens:LogitLensConfig",
        "attention": "prospero.analysis.attention:AttentionConfig",
        "induction": "prospero.analysis.induction:InductionConfig",
        "ablation": "prospero.analysis.ablation:AblationConfig",
        "patching": "prospero.analysis.patching:PatchingConfig",
        "matrices": "prospero.analysis.matrices:MatricesConfig",
        "bias_templates": "prospero.analysis.bias.templates:BiasTemplatesConfig",
        "bias_pairs": "prospero.analysis.bias.pairs:BiasPairsConfig",
        "winogender": "prospero.analysis.bias.winogender:WinogenderConfig",
        "winobias": "prospero.analysis.bias.winobias:WinoBiasConfig",
        "crows_pairs": "prospero.analysis.bias.pairs:CrowsPairsConfig",
        "bbq": "prospero.analysis.bias.bbq:BBQConfig",
        "stereoset": "prospero.analysis.bias.stereoset:StereoSetConfig",
        "bold": "prospero.analysis.bias.bold:BOLDConfig",
        "canaries": "prospero.analysis.canaries:CanariesAnalysisConfig",
        "extraction": "prospero.analysis.extraction:ExtractionConfig",
        "membership": "prospero.analysis.membership:MembershipConfig",
        "pii": "prospero.analysis.pii:PiiConfig",
        "listed_words": "prospero.analysis.listed_words:ListedWordsConfig",
        "contamination": "prospero.analysis.contamination:ContaminationConfig",
        "watermark": "prospero.analysis.watermark:WatermarkAnalysisConfig",
    },
    "reward": {
        "answer": "prospero.evaluation.rewards.answer:AnswerConfig",
        "pattern": "prospero.evaluation.rewards.pattern:PatternConfig",
        "doctests": "prospero.evaluation.rewards.doctests:DoctestsConfig",
        "metric": "prospero.evaluation.rewards.metric:MetricConfig",
        "length": "prospero.evaluation.rewards.length:LengthConfig",
    },
    "callbacks": {
        "checkpoints": "prospero.training.callbacks.checkpoints:CheckpointsConfig",
        "throughput": "prospero.training.callbacks.throughput:ThroughputConfig",
        "vitals": "prospero.training.callbacks.vitals:VitalsConfig",
        "samples": "prospero.training.callbacks.samples:SamplesConfig",
        "progress": "prospero.training.callbacks.progress:ProgressConfig",
        "early_stopping": "prospero.training.callbacks.early_stopping:EarlyStoppingConfig",
        "convergence": "prospero.training.callbacks.convergence:ConvergenceConfig",
        "evaluation": "prospero.training.callbacks.evaluation:EvaluationConfig",
        "analysis": "prospero.training.callbacks.analysis:AnalysisConfig",
        "ema": "prospero.training.callbacks.ema:EMAConfig",
        "rollouts": "prospero.training.callbacks.rollouts:RolloutSamplesConfig",
        "repetition": "prospero.training.callbacks.repetition:RepetitionConfig",
    },
    "logger": {
        "wandb": "prospero.training.loggers.wandb.logger:WandbConfig",
        "tensorboard": "prospero.training.loggers.tensorboard:TensorboardConfig",
        "trackio": "prospero.training.loggers.trackio:TrackioConfig",
    },
    "retrieval": {
        "none": "prospero.knowledge.retrieval:NoRetrievalConfig",
        "triples": "prospero.knowledge.retrieval:TriplesRetrievalConfig",
        "bm25": "prospero.knowledge.retrieval:BM25RetrievalConfig",
    },
    "sampling": {
        "sampling": "prospero.generation.sampling:SamplingConfig",
    },
}
"""group -> name -> "module:Config class"."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One command: `prospero <verb>`, `python -m prospero <verb>`, and `python <verb>.py` where there is such a file.

    The module that holds the function may hold `EXAMPLES`, a list of (command, comment), which `--help` prints.
    """

    function: str
    """"module:function"; it takes the typed settings (or, without settings, the words) and returns the exit code."""
    settings: str | None
    """"module:Config class" of its settings, which conf/<verb>.yaml composes; None for a verb of plain words."""
    summary: str
    """One line for the help."""
    extends: str | None = None
    """The verb on whose root, conf/<verb>.yaml, its own root builds; its settings class extends the other's."""
    word: str | None = None
    """The setting that a first word without = fills: `prospero show last` is `prospero show run=last`."""
    actions: tuple[str, ...] = ()
    """What the first word of a verb of plain words may be."""


VERBS: dict[str, Verb] = {
    "train": Verb(
        "prospero.commands.train:train",
        "prospero.training.settings:TrainConfig",
        "train a language model, from raw text to a measured model in a run folder",
    ),
    "prepare": Verb(
        "prospero.commands.prepare:prepare",
        "prospero.data.settings:PrepareConfig",
        "clean, de-duplicate, split and tokenise text, without training",
    ),
    "inspect": Verb(
        "prospero.commands.inspect:inspect",
        "prospero.commands.inspect:InspectConfig",
        "show documents before and after each cleaning step, and what was dropped and why",
    ),
    "train_filter": Verb(
        "prospero.commands.train_filter:train_filter",
        "prospero.commands.train_filter:TrainFilterConfig",
        "train a linear classifier of good and bad text, for cleaning=[score]",
    ),
    "generate": Verb(
        "prospero.commands.generate:generate",
        "prospero.commands.generate:GenerateConfig",
        "write text with the model of a run",
    ),
    "chat": Verb(
        "prospero.commands.chat:chat",
        "prospero.commands.chat:ChatConfig",
        "talk with a model in the terminal",
    ),
    "serve": Verb(
        "prospero.commands.serve:serve",
        "prospero.commands.serve:ServeConfig",
        "answer requests in OpenAI's interface, and show a page to talk with the models",
    ),
    "evaluate": Verb(
        "prospero.commands.evaluate:evaluate",
        "prospero.commands.evaluate:EvaluateConfig",
        "measure a model on tasks, every number with its 95 % interval",
    ),
    "analyse": Verb(
        "prospero.commands.analyse:analyse",
        "prospero.commands.analyse:AnalyseConfig",
        "look inside a model: numbers with their intervals, tables and pictures",
    ),
    "look": Verb(
        "prospero.commands.look:look",
        "prospero.commands.look:LookConfig",
        "show on a page what a model expected, attended to and weighed in one text",
    ),
    "prefer": Verb(
        "prospero.commands.prefer:prefer",
        "prospero.commands.prefer:PreferConfig",
        "make pairs of a model's own answers, ranked by a metric: data for loss=dpo",
    ),
    "runs": Verb(
        "prospero.commands.runs:runs",
        "prospero.commands.runs:RunsConfig",
        "list the runs: how each stands, what it is and what it has reached",
    ),
    "show": Verb(
        "prospero.commands.show:show",
        "prospero.commands.show:ShowConfig",
        "show one run: what it is, what differs from the defaults, its numbers and files, how to go on",
        word="run",
    ),
    "show_batch": Verb(
        "prospero.commands.show_batch:show_batch",
        "prospero.commands.show_batch:ShowBatchConfig",
        "print a batch of a training run with the tokens that carry loss; takes every setting of train",
        extends="train",
    ),
    "find_lr": Verb(
        "prospero.commands.find_lr:find_lr",
        "prospero.commands.find_lr:FindLRConfig",
        "find a learning rate with a range test; takes every setting of train",
        extends="train",
    ),
    "distill": Verb(
        "prospero.commands.distill:distill",
        "prospero.commands.distill:StoreConfig",
        "store what a teacher thinks of every position of the training data, for loss.distill.store",
        extends="train",
    ),
    "compare": Verb(
        "prospero.commands.compare:compare",
        "prospero.commands.compare:CompareConfig",
        "put runs side by side: what differs, their curves, and which difference is real",
    ),
    "board": Verb(
        "prospero.commands.board:board",
        "prospero.commands.board:BoardConfig",
        "follow all runs in the browser: a table, curves, samples, sweeps; or write them as a folder of pages",
    ),
    "repeat": Verb(
        "prospero.commands.repeat:repeat",
        "prospero.commands.repeat:RepeatConfig",
        "run a run again from its own folder and say whether it comes out digit for digit",
    ),
    "dynamics": Verb(
        "prospero.commands.dynamics:dynamics",
        "prospero.commands.dynamics:DynamicsConfig",
        "see in its checkpoints how a run has learned: matrices, representations, words",
    ),
    "tokenizer_report": Verb(
        "prospero.commands.tokenizer_report:tokenizer_report",
        "prospero.commands.tokenizer_report:TokenizerReportConfig",
        "say what a tokenizer makes of a corpus: bytes a token, words by script, tokens unused, what comes back",
        extends="prepare",
    ),
    "leaderboard": Verb(
        "prospero.commands.leaderboard:leaderboard",
        "prospero.commands.leaderboard:LeaderboardConfig",
        "check three runs against the rules of the leaderboard and print their line",
    ),
    "doctor": Verb(
        "prospero.commands.doctor:doctor",
        "prospero.commands.doctor:DoctorConfig",
        "say what is wrong with a run, or with this machine for a run, and what to change",
        extends="train",
    ),
    "import": Verb(
        "prospero.commands.import_model:import_model",
        "prospero.commands.import_model:ImportConfig",
        "make a model folder of a model of Hugging Face's",
    ),
    "export": Verb(
        "prospero.commands.export:export",
        "prospero.interop.settings:ExportConfig",
        "write a model in a format that other programs open",
    ),
    "pictures": Verb(
        "prospero.commands.pictures:pictures",
        "prospero.commands.pictures:PicturesConfig",
        "write some pictures of a run's data as PNG files, with their captions",
    ),
    "wandb": Verb(
        "prospero.commands.wandb:wandb",
        None,
        "make a project's workspace in W&B, or hand a sweep to W&B's agents",
    ),
    "checkpoint": Verb(
        "prospero.commands.checkpoint:checkpoint",
        None,
        "verify, merge or show what a run has saved",
        actions=("verify", "merge", "show"),
    ),
    "completion": Verb(
        "prospero.commands.completion:completion",
        None,
        "print what bash, zsh or fish needs to complete commands, settings and values",
        actions=("bash", "zsh", "fish"),
    ),
}
"""Name on the command line -> the verb."""

MULTIPLE = frozenset(
    {"cleaning", "loss", "regularizers", "reward", "metrics", "tasks", "analyses", "callbacks", "logger"}
)
"""Groups in which several parts are chosen at once: `regularizers=[l2,z_loss]`."""

LISTED: dict[str, tuple[str, str]] = {"data.parts": ("data", "prospero.data.mixture.parts:MixturePartConfig")}
"""Setting that is a list of parts of a group -> the group, and the settings of each item besides those of its part.

An item is written `{<group>: <name>, ...}`; the part's own settings stand beside its name, or under `settings`.
"""

BRIDGES: dict[str, str] = {
    "text_encoder": "prospero.interop.text_encoder:load_text_encoder",
    "vision_encoder": "prospero.interop.vision_encoder:load_vision_encoder",
    "text_model": "prospero.commands.text_model:open_text_model",
    "evaluation_sets": "prospero.configuration.evaluation_sets:evaluation_sets",
}
"""What a room needs of one that it may not import: name -> "module:function", imported when it is called for.

text_encoder: (folder, or a name on the hub; layer) -> the encoder of BERTScore (evaluation -> interop).
vision_encoder: (folder, its configuration or "", shape of a picture) -> a module: pixels -> states (model -> interop).
text_model: folder of a run, a model or a checkpoint -> a reader of texts (data -> commands).
evaluation_sets: names of presets of conf/tasks -> where the records of each are (data -> configuration).
"""

ADDED: dict[str, dict[str, type]] = {}
"""Parts registered by the user's own modules: group -> name -> Config class."""


def as_typed(verb: str) -> str:
    """Return a verb as it is typed: `show batch` for show_batch, which stands beside `show`."""
    first, _, rest = verb.partition("_")
    return f"{first} {rest}" if rest and first in VERBS else verb


def in_two_words(verb: str, words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the verb and its words where the first of them belongs to its name: `show batch` is show_batch."""
    longer = f"{verb}_{words[0]}" if words else ""
    return (longer, list(words[1:])) if longer in VERBS else (verb, list(words))


def verb_of(settings: object) -> str:
    """Return the verb whose settings these are."""
    path = f"{type(settings).__module__}:{type(settings).__qualname__}"
    return next(name for name, verb in VERBS.items() if verb.settings == path)


def register(group: str, name: str, config_class: type) -> None:
    """Add a part of your own: call it in a module named in `plugins=[...]`.

    Raises ConfigError when the group is unknown, the name is taken, or the class cannot hold settings. (A class without
    slots would take a mistyped setting without a word.)
    """
    kind = f"{config_class.__module__}:{config_class.__qualname__}"
    if group not in PARTS:
        raise ConfigError(f"There is no group '{group}'.{suggest(group, PARTS)} Groups: {', '.join(PARTS)}.")
    earlier = ADDED.get(group, {}).get(name)
    same = earlier is None or f"{earlier.__module__}:{earlier.__qualname__}" == kind  # its module was imported again
    if name in PARTS[group] or not same:
        raise ConfigError(f"The group '{group}' already has a part called '{name}'; choose another name.")
    keywords_only = is_dataclass(config_class) and all(item.kw_only for item in fields(config_class))
    if not keywords_only or "__slots__" not in vars(config_class):
        raise ConfigError(
            f"{kind} cannot be the settings of a part; write @dataclass(kw_only=True, slots=True) above it."
        )
    ADDED.setdefault(group, {})[name] = config_class


def names(group: str) -> list[str]:
    """Return the names of all parts of a group, the user's own included."""
    return [*PARTS[group], *ADDED.get(group, {})]


def config_class(group: str, name: str) -> type:
    """Import and return the Config class registered as `name` in `group`; ConfigError with a suggestion if none is."""
    if name in ADDED.get(group, {}):
        return ADDED[group][name]
    if name not in PARTS.get(group, {}):
        raise ConfigError(f"There is no {group} '{name}'.{suggest(name, names(group))}")
    module, _, class_name = PARTS[group][name].partition(":")
    return getattr(importlib.import_module(module), class_name)


def bridge(name: str) -> Any:
    """Import and return the function that BRIDGES names."""
    module, _, function = BRIDGES[name].partition(":")
    return getattr(importlib.import_module(module), function)


def name_of(group: str, config_class: type) -> str | None:
    """Return the name under which a Config class is registered in a group, or None."""
    path = f"{config_class.__module__}:{config_class.__qualname__}"
    for name, registered in PARTS.get(group, {}).items():
        if registered == path:
            return name
    for name, registered in ADDED.get(group, {}).items():
        if registered is config_class:
            return name
    return None
