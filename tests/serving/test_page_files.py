"""The files of the page: what is served, under which policy, and what no script of it may contain."""

import re

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from prospero.serving.page_files import FOLDER, KINDS, page_router

SINKS = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|srcdoc|setHTMLUnsafe|DOMParser"


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()
    app.include_router(page_router())
    return TestClient(app)


def test_the_page_is_served_with_all_its_files_and_no_other(client):
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(KINDS)
    assert client.get("/").content == (FOLDER / "index.html").read_bytes()
    for name, kind in KINDS.items():
        answer = client.get(f"/page/{name}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        assert answer.content == (FOLDER / name).read_bytes()
    assert client.head("/").status_code == 200
    for name in ("page_files.py", "..%2fpage_files.py", "%252e%252e", "", "page.css%00", "a/b"):
        assert client.get(f"/page/{name}").status_code == 404, name


def test_nothing_but_the_own_files_may_run(client):
    for path in ("/", *(f"/page/{name}" for name in KINDS)):
        headers = client.get(path).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "connect-src": "'self'",
            "img-src": "'self' data:",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
            "require-trusted-types-for": "'script'",
            "trusted-types": "'none'",
        }
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_no_file_makes_html_of_text_or_names_another_place():
    for name in KINDS:
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert not re.findall(SINKS, text), name
        assert set(re.findall(r"https?://[^\s\"')]*", text)) <= {"http://www.w3.org/2000/svg"}, name
        assert not re.findall(r"\son\w+=|\sstyle=|<style", text), name
    for attributes, inside in re.findall(r"<script([^>]*)>(.*?)</script>", (FOLDER / "index.html").read_text(), re.S):
        assert "src=" in attributes and inside == ""


def test_every_field_has_a_label_and_every_name_exists():
    """Ids that the scripts ask for stand in the HTML; every field can be named by who does not see it."""
    html = (FOLDER / "index.html").read_text(encoding="utf-8")
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    scripts = "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in KINDS if name.endswith(".js"))
    asked = set(re.findall(r'(?:byId|getElementById)\("([^"]+)"\)', scripts))
    assert asked and asked <= set(ids)
    for kind in ("for", "aria-controls", "aria-describedby", "aria-labelledby"):
        assert set(re.findall(rf'{kind}="([^"]+)"', html)) <= set(ids)
    labelled = set(re.findall(r'<label[^>]*\bfor="([^"]+)"', html)) | {"model"}
    fields = set(re.findall(r'<(?:input|select|textarea)[^>]*\bid="([^"]+)"', html))
    assert fields <= labelled
