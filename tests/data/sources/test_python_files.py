"""Python sources are decoded as their coding line says."""

from collections import Counter

from prospero.data.sources.python_files import UNREADABLE, find_python_files, python_documents


def test_files_are_found_in_order_and_decoded(tmp_path):
    contents = {
        "b.py": "# coding: latin-1\nx = 'é'\n".encode("latin-1"),
        "a/deep/c.py": "x = 'é'\n".encode(),
        "a/wrong.py": b"x = '\xff'\n",
        "a/unknown.py": b"# coding: klingon\nx = '\xe9'\n",
        "a/empty.py": b"",
        "a/__pycache__/d.py": b"x",
        "skip/e.py": b"x",
        "f.txt": b"x",
    }
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    files = find_python_files(tmp_path, lambda name: name != "skip/")
    assert [file.name for file in files] == ["a/deep/c.py", "a/empty.py", "a/unknown.py", "a/wrong.py", "b.py"]
    notes: Counter[str] = Counter()
    documents = [(document.id, document.text) for document in python_documents(files, notes)]
    assert documents == [("a/deep/c.py", "x = 'é'\n"), ("b.py", "# coding: latin-1\nx = 'é'\n")]
    assert notes == {UNREADABLE: 2, "empty files": 1}
