"""Code of installed packages."""

import pytest

from prospero.data.sources.site_packages import SitePackagesConfig, SitePackagesSource
from prospero.errors import ConfigError, DataError


def packages(tmp_path, chosen=(), max_bytes=None) -> SitePackagesSource:
    contents = {"numpy/core.py": "n" * 100, "numpy/a/b.py": "b" * 50, "six.py": "6" * 10, "zoo/z.py": "z" * 30}
    for name, content in (contents | {"numpy-1.dist-info/x.py": "no", "zoo/__pycache__/q.py": "no"}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return SitePackagesSource([tmp_path], list(chosen), max_bytes)


@pytest.mark.parametrize(
    ("chosen", "max_bytes", "ids"),
    [
        ((), None, ["numpy/a/b.py", "numpy/core.py", "six.py", "zoo/z.py"]),
        (("zoo", "six"), None, ["six.py", "zoo/z.py"]),
        ((), 160, ["numpy/a/b.py", "numpy/core.py", "six.py"]),
    ],
)
def test_packages_and_limit(tmp_path, chosen, max_bytes, ids):
    source = packages(tmp_path, chosen, max_bytes)
    assert [document.id for document in source.documents()] == ids
    assert [document.source for document in source.documents()] == [name.split("/")[0].split(".")[0] for name in ids]
    assert source.size_bytes() == sum(len(document.text) for document in source.documents())


def test_a_package_that_is_not_installed(tmp_path):
    with pytest.raises(DataError, match="Did you mean 'numpy'"):
        packages(tmp_path, ["nunpy"])


def test_limits_that_leave_nothing(tmp_path):
    with pytest.raises(DataError, match="within max_bytes=1"):
        packages(tmp_path, max_bytes=1)
    with pytest.raises(ConfigError, match=r"^max_bytes=0"):
        SitePackagesConfig(max_bytes=0)


def test_what_is_installed_here():
    source = SitePackagesConfig(packages=["pytest"]).build()
    ids = [document.id for document in source.documents()]
    assert "pytest/__init__.py" in ids
    assert all(name.startswith("pytest/") for name in ids)
    assert source.identity()["files"] >= len(ids)
    assert "Python files of pytest" in source.describe()
