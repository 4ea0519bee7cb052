"""`serve`: what is refused before anything is opened, and what is told of a model."""

import pytest
from tests.checkpoints import stored

from prospero.commands.serve import ServeConfig, _api_key, _served, serve
from prospero.errors import ConfigError, DataError
from prospero.generation.sampling import SamplingConfig
from prospero.serving.limits import LimitsConfig
from prospero.serving.server import open_socket

SAMPLING = SamplingConfig()


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "outputs" / "train" / "mine"
    stored.write(folder, 1)
    stored.save_tokenizer(folder)
    (folder / "config.yaml").write_text("")
    return folder


def config(**settings) -> ServeConfig:
    return ServeConfig(**({"sampling": SAMPLING, "port": 0} | settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"run": "a", "models": {"b": "c"}}, "^run= is one model and models= are several by name"),
        ({"models": {"b": " "}}, "^models.b=  is empty"),
        ({"host": ""}, "^host= is empty"),
        ({"port": 70000}, "^port=70000 is no port"),
        ({"rows": 0}, "^rows=0 writes nothing"),
        ({"stop_seconds": -1.0}, "^stop_seconds=-1.0 is impossible"),
        ({"allowed_origins": ["chat.example.org"]}, "^allowed_origins holds chat.example.org; write it as"),
        ({"allowed_origins": ["https://chat.example.org/"]}, "^allowed_origins holds https://chat.example.org/"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        config(**settings)


def test_limits_let_something_through():
    with pytest.raises(ConfigError, match=r"^limits.seconds=0 lets nothing through"):
        LimitsConfig(seconds=0)


def test_what_is_refused_before_a_model_is_read(run, tmp_path, monkeypatch):
    monkeypatch.delenv("PROSPERO_API_KEY", raising=False)
    given = {"run": str(run)}
    with pytest.raises(ConfigError, match=r"^host=0.0.0.0 can be reached from other machines, so clients must show"):
        serve(config(host="0.0.0.0", **given))
    with pytest.raises(ConfigError, match=r"^sampling.seed is each request's own"):
        serve(config(**given | {"sampling": SamplingConfig(seed=3)}))
    with pytest.raises(ConfigError, match=r"^the API key must have at least 16 visible ASCII characters"):
        serve(config(api_key="short-one", **given))
    with pytest.raises(ConfigError, match="nothing-here"):
        serve(config(run="nothing-here", outputs_dir=str(tmp_path / "outputs")))
    with pytest.raises((ConfigError, DataError), match=r"^models.b: "):
        serve(config(models={"a": str(run), "b": "nothing-here"}, outputs_dir=str(tmp_path / "outputs")))
    with open_socket("127.0.0.1", 0) as taken, pytest.raises(ConfigError, match="address already in use"):
        serve(config(port=taken.getsockname()[1], **given))


def test_the_key_comes_from_the_setting_or_the_environment(monkeypatch):
    monkeypatch.setenv("PROSPERO_API_KEY", "from-the-environment")
    assert _api_key(config()) == "from-the-environment"
    assert _api_key(config(api_key="from-the-setting")) == "from-the-setting"
    monkeypatch.delenv("PROSPERO_API_KEY")
    assert _api_key(config()) is None


def test_what_is_told_of_a_model(run):
    model = _served("small", str(run), config())
    told = model.description()
    assert told["id"] == "small" and told["prospero"]["context"] == stored.SEQ_LEN
    assert told["prospero"]["parameters"] == sum(weight.numel() for weight in stored.weights(1).values())
    other = _served("small", str(run), config(sampling=SamplingConfig(temperature=0.1)))
    assert other.fingerprint == model.fingerprint != ""
    assert other.description()["prospero"]["default_sampling"]["temperature"] == 0.1
