"""`pictures`: some pictures of a run's data as PNG files, to look at and to try `generate` with."""

from dataclasses import dataclass, field
from pathlib import Path

from prospero.errors import ConfigError

EXAMPLES = [
    ("prospero pictures run=last out=outputs/pictures", "eight pictures that the newest run was not trained on"),
    ("python generate.py run=last image=outputs/pictures/test_0.png", "then: what one of them shows"),
    ("python generate.py run=last prompts=outputs/pictures/captions.jsonl out=texts.jsonl", "or: all of them"),
]


@dataclass(kw_only=True, slots=True)
class PicturesConfig:
    """Which run's pictures, how many, and where to."""

    out: str = ""
    """The folder for the pictures and captions.jsonl ({image, caption}); it must not be there yet."""
    run: str = "last"
    """The run: last, a name, or a folder."""
    split: str = "test"
    """test, val or train."""
    n: int = 8
    """How many, evenly spread over the split."""
    outputs_dir: str = "outputs"
    """Folder that holds the runs and the prepared data."""
    plugins: list[str] = field(default_factory=list)
    """Python modules of your own that register parts the run was made with."""
    traceback: bool = False
    """Show the full traceback of an error."""

    def __post_init__(self) -> None:
        for name in ("run", "out", "outputs_dir"):
            if not getattr(self, name).strip():
                raise ConfigError(f"{name}= is empty; give its name, or leave it out")
        if self.split not in ("train", "val", "test"):
            raise ConfigError(f"split={self.split} is none; choose train, val or test")
        if self.n < 1:
            raise ConfigError(f"n={self.n} writes nothing; give 1 or more")


def pictures(config: PicturesConfig) -> int:
    """Write the pictures and captions.jsonl; return the exit code."""
    import json

    import numpy as np

    from prospero import log as logging_setup
    from prospero.commands.opening import ModelPlace
    from prospero.data.material import PICTURES
    from prospero.data.pictures import write_png
    from prospero.data.prepare import find_prepared, open_prepared
    from prospero.evaluation.tasks.captions import texts_of
    from prospero.interop.output import check_free, new_folder
    from prospero.log import log
    from prospero.paths import write_text

    logging_setup.configure()
    out = Path(config.out).expanduser()
    check_free(out)
    place = ModelPlace.find(config.run, config.outputs_dir)
    folder = find_prepared(Path(config.outputs_dir, "data"), place.data_fingerprint)
    if folder is None:
        raise ConfigError(
            f"the prepared data of run={config.run} are not under {config.outputs_dir}; prepare them again"
        )
    prepared = open_prepared(folder)
    file = prepared.side.get(config.split, {}).get(PICTURES)
    if file is None:
        raise ConfigError(f"the data of run={config.run} have no pictures in split={config.split}")
    file.verify()
    texts = [caption for _, caption in texts_of(prepared.splits[config.split])]
    lines = []
    with new_folder(out) as new:
        for number in np.unique(
            np.linspace(0, file.n_rows - 1, min(config.n, file.n_rows)).round().astype(int)
        ).tolist():
            name = f"{config.split}_{len(lines)}.png"
            write_png(new / name, file.all[number])
            caption = prepared.tokenizer.decode([int(id_) for id_ in texts[number]])
            lines.append({"image": name, "caption": caption})
        write_text(new / "captions.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    log.info("%s: %d pictures and captions.jsonl", out, len(lines))
    return 0
