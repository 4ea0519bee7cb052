"""The weights of a source in a new model: the same, whole or with an adapter, and grown for new tokens."""

import pytest
import torch

from prospero.checkpoints.model_folder import describe_model, load_model, save_model_folder
from prospero.checkpoints.source import Source
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError, DataError
from prospero.model.adapters.lora import LoRAConfig
from prospero.model.adapters.none import NoAdapterConfig
from prospero.model.rnn import LSTMConfig
from prospero.model.transformer import TransformerConfig
from prospero.training.initial_weights import InitialWeights
from tests.checkpoints import stored

CONFIGS = {
    "transformer": TransformerConfig(n_layers=2, d_model=16, n_heads=2),
    "tied": TransformerConfig(n_layers=1, d_model=16, n_heads=2, tie_embeddings=True),
    "lstm": LSTMConfig(n_layers=2, d_model=16),
}
VOCAB, SEQ_LEN = 257, 8


def write(folder, config, vocab_size=VOCAB):
    torch.manual_seed(1)
    model = config.build(vocab_size=vocab_size, max_seq_len=SEQ_LEN)
    description = describe_model(config, vocab_size=vocab_size, max_seq_len=SEQ_LEN)
    save_model_folder(folder, model.state_dict(), ByteTokenizerConfig().build(lambda: iter(())), description)
    return model.eval()


@pytest.mark.parametrize("adapter", [NoAdapterConfig(), LoRAConfig(rank=2)], ids=["none", "lora"])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_model_begins_with_the_logits_of_its_source(tmp_path, name, adapter):
    theirs = write(tmp_path / "model", CONFIGS[name])
    source = Source.open("model", tmp_path / "model")
    ours = CONFIGS[name].build(vocab_size=VOCAB, max_seq_len=SEQ_LEN).eval()
    ids = torch.arange(8)[None]
    assert not torch.equal(ours(ids).logits, theirs(ids).logits)
    built = adapter.build()
    built.apply(ours)
    InitialWeights(source, built).fill(ours)
    assert torch.equal(ours(ids).logits, theirs(ids).logits)


@pytest.mark.parametrize("name", CONFIGS)
def test_rows_for_new_tokens_are_the_mean_of_the_others(tmp_path, name):
    theirs = write(tmp_path / "model", CONFIGS[name])
    source = Source.open("model", tmp_path / "model")
    ours = CONFIGS[name].build(vocab_size=VOCAB + 3, max_seq_len=SEQ_LEN).eval()
    initial = InitialWeights(source, NoAdapterConfig().build())
    assert "3 rows for new tokens are added to its 257" in initial.describe(ours)
    initial.fill(ours)
    for table in (lambda model: model.embedding.weight, lambda model: model.output_weight()):
        grown, old = table(ours), table(theirs)
        assert torch.equal(grown[:VOCAB], old)
        torch.testing.assert_close(grown[VOCAB:], old.mean(0).expand(3, -1))


def test_a_checkpoint_gives_the_weights_that_were_validated(tmp_path):
    average = stored.parameters(9)
    folder = stored.write(tmp_path, 3, evaluation_weights=average)
    stored.save_tokenizer(tmp_path)
    source = Source.open("run", tmp_path)
    assert source.path == str(folder)
    ours = stored.MODEL.build(vocab_size=stored.VOCAB, max_seq_len=stored.SEQ_LEN)
    InitialWeights(source, NoAdapterConfig().build()).fill(ours)
    for name, parameter in ours.named_parameters():
        assert torch.equal(parameter, average[name])


def test_tensors_that_do_not_fit_are_named(tmp_path):
    write(tmp_path / "model", CONFIGS["transformer"])
    source = Source.open("model", tmp_path / "model")
    initial = InitialWeights(source, NoAdapterConfig().build())
    with pytest.raises(DataError, match=r"holds head\.weight, which the model does not have"):
        initial.fill(TransformerConfig(n_layers=2, d_model=16, n_heads=2, tie_embeddings=True).build(VOCAB, SEQ_LEN))
    with pytest.raises(DataError, match=r"it lacks blocks\.2"):
        initial.fill(TransformerConfig(n_layers=3, d_model=16, n_heads=2).build(VOCAB, SEQ_LEN))
    with pytest.raises(DataError, match=r"has the saved shape \[257, 16\], here it is \[257, 32\]"):
        initial.fill(TransformerConfig(n_layers=2, d_model=32, n_heads=2).build(VOCAB, SEQ_LEN))


def test_a_source_that_is_damaged_changed_or_gone_is_said(tmp_path):
    folder = tmp_path / "model"
    write(folder, CONFIGS["transformer"])
    source = Source.open("model", folder)
    assert Source.from_plain(source.plain(), tmp_path) == source
    with pytest.raises(DataError, match="does not say where the weights of the run come from"):
        Source.from_plain({"given": "x"}, tmp_path)
    stored.flip(folder / "model.safetensors", 8 * 900)
    with pytest.raises(DataError, match="damaged"):
        Source.open("model", folder)
    write(folder, CONFIGS["tied"])
    with pytest.raises(DataError, match="is not what it was when the run began there"):
        source.weights()
    (folder / "tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"has no tokenizer\.json, so a run that begins there could read no text"):
        Source.open("model", folder, verify=False)


def test_a_checkpoint_with_an_adapter_is_folded_in_for_readers_and_no_source_before(tmp_path):
    torch.manual_seed(1)
    adapter = LoRAConfig(rank=2)
    model = stored.MODEL.build(vocab_size=stored.VOCAB, max_seq_len=stored.SEQ_LEN)
    adapter.build().apply(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05
    sizes = {"vocab_size": stored.VOCAB, "max_seq_len": stored.SEQ_LEN}
    memory = {"step": 1, "model": describe_model(stored.MODEL, **sizes, adapter=adapter)}
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    folder = stored.write_folder(
        tmp_path / "checkpoints" / "step_00000001",
        {"state_dict": state, "prospero": memory},
        {"step": 1, "tokens": 8, **stored.WRITER},
    )
    ids = torch.arange(8)[None]
    read, _, config = load_model(folder)
    assert "adapter" not in config["model"] and len(read.state_dict()) < len(state)
    torch.testing.assert_close(read(ids).logits, model.eval()(ids).logits, rtol=1e-5, atol=1e-5)
    beside, _, config = load_model(folder, merged=False)
    assert config["model"]["adapter"]["name"] == "lora" and torch.equal(beside(ids).logits, model(ids).logits)
    with pytest.raises(ConfigError, match="an adapter beside its model; fold it in first: prospero checkpoint merge"):
        Source.open("run", folder)
