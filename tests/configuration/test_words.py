"""What was typed is the value of a setting that is text; numbers and choices are read as they were meant."""

import random

import pytest

from prospero.configuration import composition
from prospero.configuration.compose import compose
from prospero.configuration.words import for_hydra, hint_of, plain_or_quoted, quoted, unquoted, written_out
from prospero.errors import ConfigError

READ = [
    ("train", "max_tokens=50e6", "max_tokens=50000000"),
    ("train", "trainer.val_every_steps=1e3", "trainer.val_every_steps=1000"),
    ("train", "trainer.val_sequences=1.0e2", "trainer.val_sequences=100"),
    ("train", "max_steps=2.5", "max_steps=2.5"),
    ("train", "max_minutes=2.0", "max_minutes=2.0"),
    ("train", "name=1.10", "name='1.10'"),
    ("train", "name=true", "name='true'"),
    ("train", "name=null", "name=null"),
    ("train", "monitor=null", "monitor='null'"),
    ("train", "name=a,b", "name='a,b'"),
    ("train", "name='a b'", "name='a b'"),
    ("train", 'tags=[1.10,1e3,it\'s,"a,b"]', "tags=['1.10','1e3','it\\'s',\"a,b\"]"),
    ("train", "tags=[]", "tags=[]"),
    ("train", "data.path=数据.txt", "data.path='数据.txt'"),
    ("train", "name=${oc.env:HOME}", "name='${oc.env:HOME}'"),
    ("train", "name=${", "name='\\${'"),
    ("train", "model.n_layers=é", "model.n_layers='é'"),
    ("train", "model=3", "model='3'"),
    ("train", "callbacks=[default,é]", "callbacks=[default,'é']"),
    ("train", "logger=null", "logger=[]"),
    ("train", "regularizers=NULL", "regularizers=[]"),
    ("train", "experiment=null", "experiment=null"),
    ("train", "~callbacks.ema", "~callbacks.ema"),
    ("generate", 'prompt="Hello," she said', "prompt='\"Hello,\" she said'"),
    ("generate", "prompt=echo ${name}", "prompt='echo \\${name}'"),
    ("serve", "models.small=a,b", "++models.small='a,b'"),
    ("serve", "models.old-2=1.10", "++models.old-2='1.10'"),
    ("serve", "+models.small=x=y", "+models.small='x=y'"),
    ("serve", "limits.body_bytes=1e6", "limits.body_bytes=1000000"),
]


@pytest.mark.parametrize(("verb", "word", "expected"), READ, ids=[word for _, word, _ in READ])
def test_a_word_is_read_as_it_was_meant(verb, word, expected):
    assert for_hydra(verb, [word]) == [expected]


SHORT = [
    ("tasks=[lm_eval:arc_easy]", ["tasks=[lm_eval]", "tasks.lm_eval.tasks=[arc_easy]"]),
    ("tasks=lm_eval:arc_easy", ["tasks=[lm_eval]", "tasks.lm_eval.tasks=[arc_easy]"]),
    (
        "tasks=[choice,lm_eval:./a b.yaml, 'lm_eval:c,d.yaml',cloze]",
        ["tasks=[choice,lm_eval,cloze]", "tasks.lm_eval.tasks=['./a b.yaml','c,d.yaml']"],
    ),
    ("tasks=[choice,lm_eval]", ["tasks=[choice,lm_eval]"]),
    ("tags=[lm_eval:a]", ["tags=[lm_eval:a]"]),
]


@pytest.mark.parametrize(("word", "expected"), SHORT, ids=[word for word, _ in SHORT])
def test_a_part_may_be_given_with_what_it_is_to_do(word, expected):
    assert written_out([word]) == expected
    assert written_out(expected) == expected


def test_the_short_and_the_long_spelling_do_not_stand_together():
    with pytest.raises(ConfigError, match=r"and tasks\.lm_eval\.tasks=\[\.\.\.\] say the same; give one of them"):
        written_out(["tasks=[lm_eval:a]", "tasks.lm_eval.tasks=[b]"])


SWEPT = [
    ("name=a,b", "name=a,b"),
    ("name=1.10,'x, y',ü", "name='1.10','x, y','ü'"),
    ("name=choice(a,1.0)", "name=choice(a,'1.0')"),
    ("max_tokens=1e6,2e6", "max_tokens=1000000,2000000"),
    ("logger=null,wandb", "logger=[],wandb"),
    ("tags=[a,1.0],[b]", "tags=[a,'1.0'],[b]"),
    ("seed=range(1,4)", "seed=range(1,4)"),
    ("optimizer.lr=tag(log,interval(1e-4,1e-2))", "optimizer.lr=tag(log,interval(1e-4,1e-2))"),
]


@pytest.mark.parametrize(("word", "expected"), SWEPT, ids=[word for word, _ in SWEPT])
def test_commas_part_the_values_of_a_sweep(word, expected):
    once = for_hydra("train", [word], swept=True)
    assert once == [expected] and for_hydra("train", once, swept=True) == once


REFUSED = [
    ("tags=[a", "tags=[a is a list that is not closed; write tags=[one,two]"),
    ("é=3", "'é' is not the name of a setting"),
    ("=3", "'' is not the name of a setting"),
    ("a b=3", "'a b' is not the name of a setting"),
    ("é", "'é' is not a setting; settings are written name=value"),
    ("name=a\udcff", "name holds the byte 0xFF, which is not UTF-8"),
    ("run_dir=\udce9", "run_dir holds the byte 0xE9, which is not UTF-8"),
]


@pytest.mark.parametrize(("word", "expected"), REFUSED, ids=[ascii(word) for word, _ in REFUSED])
def test_what_cannot_be_read_is_one_line(word, expected):
    with pytest.raises(ConfigError) as raised:
        for_hydra("train", [word])
    assert str(raised.value).startswith(expected) and "\n" not in str(raised.value)


def test_text_is_read_from_a_folder_with_a_name_of_any_bytes():
    assert for_hydra("prepare", ["data.path=caf\udce9/a.txt"]) == ["data.path='caf\udce9/a.txt'"]


CHARACTERS = "ab1.e-_ ,=()[]{}'\"\\$:/~+*?|#;<>&!@%^`\n\té漢\u0301🙂"


def test_any_text_at_all_comes_through_as_typed():
    """Seeded: the prompt, a prompt in a list, and a name (whose quotes and references keep their meaning)."""
    draw = random.Random(1)
    texts = ["".join(draw.choices(CHARACTERS, k=draw.randint(1, 12))) for _ in range(15)]
    texts += ["\\${a}", "\\\\${a}", "${", "${a}}", "a\\", "'", "\\'", "${oc.env:HOME}", "null", " x "]
    from omegaconf import OmegaConf

    composition.register()
    for text in texts:
        for prefix in ("", "${x}", "\\"):
            (word,) = for_hydra("generate", [f"prompt={prefix}{text}"])
            assert read(word) == f"{prefix}{text}"
        listed = "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
        if "\\" not in text:
            (word,) = for_hydra("train", [f"callbacks.samples.prompts=[{listed},b]"])
            assert read(word) == [text, "b"]
        assert unquoted(quoted(text)) == text
        if "${" not in text:
            assert read(f"x={plain_or_quoted(text)}") == text
    assert compose("generate", [f"prompt={texts[0]}"]).prompt == texts[0]
    assert OmegaConf is not None


def read(word):
    """The value of a word as Hydra and OmegaConf take it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    return OmegaConf.to_container(OmegaConf.create({"x": OverridesParser.create().parse_override(word).value()}),
                                  resolve=True)["x"]  # fmt: skip


def test_the_schema_says_what_is_text():
    assert hint_of("train", "data.path") == str | None
    assert hint_of("train", "callbacks.samples.prompts") == list[str]
    assert hint_of("train", "tags.0") is str
    assert hint_of("train", "max_steps") == int | None
    assert (
        hint_of("train", "trainer.guards.window") is int or hint_of("train", "trainer.guards.spike_ratio") is not None
    )
    assert hint_of("train", "no.such") is None and hint_of("generate", "sampling.stop") == list[str]
