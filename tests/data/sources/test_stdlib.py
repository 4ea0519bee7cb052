"""The embedded corpus: large enough, portable, and the same every time."""

import pytest

from prospero.data.sources import stdlib
from prospero.data.sources.stdlib import StdlibConfig, is_portable, stdlib_files
from prospero.errors import ConfigError, DataError


def test_the_corpus_of_this_python():
    source = StdlibConfig().build()
    documents = list(source.documents())
    ids = [document.id for document in documents]
    total = sum(len(document.text.encode()) for document in documents)
    assert 5e6 < total < 15e6
    assert abs(source.size_bytes() - total) < 0.01 * total
    assert len(set(ids)) == len(ids)
    assert {"pydoc_data/topics#while", "argparse.py", "json/decoder.py"} <= set(ids)
    sources = {document.id: document.source for document in documents}
    assert [sources[name] for name in ("pydoc_data/topics#while", "argparse.py", "json/decoder.py")] == [
        *("pydoc_data", "argparse", "json")
    ]
    assert not [name for name in ids if name.startswith(("/", "test", "idlelib", "encodings", "pydoc_data/topics.py"))]
    assert ids == [document.id for document in source.documents()]
    assert source.identity() == StdlibConfig().build().identity()
    assert source.identity() != StdlibConfig(topics=False).build().identity()
    assert "Python 3." in source.describe()


@pytest.mark.parametrize("name", ["argparse.py", "json/", "json/decoder.py", "asyncio/base_events.py", "testing.py"])
def test_portable(name):
    assert is_portable(name)


@pytest.mark.parametrize(
    "name",
    [
        *("test/", "unittest/test/", "ctypes/tests/", "encodings/", "idlelib/", "tkinter/", "turtledemo/", "lib2to3/"),
        *("distutils/", "ensurepip/", "site-packages/", "config-3.11-x86_64-linux-gnu/", "plat-linux/", "lib-dynload/"),
        *("_sysconfigdata__linux_x86_64-linux-gnu.py", "turtle.py", "sitecustomize.py", "pydoc_data/"),
    ],
)
def test_not_portable(name):
    assert not is_portable(name)


def test_a_python_without_sources_says_what_to_do(tmp_path):
    (tmp_path / "os.py").write_text("x")
    with pytest.raises(DataError, match=r"no standard-library sources.*data=files data\.path="):
        stdlib_files(tmp_path)


def test_a_python_without_topics_still_works(monkeypatch):
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(stdlib.importlib, "import_module", missing)
    source = StdlibConfig().build()
    assert next(source.documents()).id.endswith(".py")


def test_nothing_chosen():
    with pytest.raises(ConfigError, match=r"^topics=false and sources=false leave no text"):
        StdlibConfig(topics=False, sources=False)
