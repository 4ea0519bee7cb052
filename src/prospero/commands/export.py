"""`export`: write a model in a format that other programs open."""

from pathlib import Path

from prospero.interop.settings import ExportConfig

EXAMPLES = [
    ("prospero export run=last to=huggingface out=outputs/hf", "a folder that Transformers opens"),
    ("prospero export run=first to=safetensors out=model.safetensors dtype=bfloat16", "one file of tensors"),
    ("prospero export run=last to=onnx out=outputs/model.onnx", "for onnxruntime, with keys and values in and out"),
    ("prospero export run=last to=gguf out=outputs/model.gguf dtype=q8_0", "for llama.cpp, in 8 bits"),
]


def export(config: ExportConfig) -> int:
    """Load the model, write it to `out`, and say what was written; return the exit code."""
    from prospero import log as logging_setup
    from prospero.interop.formats import Exported, writer_of
    from prospero.interop.output import check_free
    from prospero.log import log
    from prospero.runs import find as find_run

    logging_setup.configure()
    write, out = writer_of(config.to), Path(config.out).expanduser()
    check_free(out)
    from prospero.checkpoints.model_folder import load_model

    place = find_run.find(config.run, config.outputs_dir)
    model, tokenizer, description = load_model(place, raw=config.raw)
    said = write(Exported(model, tokenizer, description, place), out, config)
    log.info("%s -> %s: %s", place, out, said)
    return 0
