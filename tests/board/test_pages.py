"""The board in a real Chromium: what a stranger wrote stays text, and sorting, filters, curves and groups are right."""

import os
import re

import pytest
from scipy import special

from prospero.board.board import Board
from prospero.board.static_site import write_site
from prospero.processes.run_lock import RunLock
from tests.board.fakes import (
    HOSTILE,
    NOT_UTF8,
    config,
    csv_of,
    damaged_runs,
    finished,
    make_run,
    make_sweep,
    rows,
)
from tests.browser import picture

pytestmark = pytest.mark.processes
COLUMNS = ("step", "tokens", "train/loss", "train/seconds", "val/loss")


@pytest.fixture
def outputs(tmp_path):
    """Two settings of two seeds in a sweep, one run of its own that has failed."""
    root = tmp_path / "outputs"
    jobs = [{"optimizer.lr": lr, "seed": str(seed)} for lr in ("0.01", "0.001") for seed in (1, 2)]
    make_sweep(root, "s", jobs)
    for number, loss in enumerate((3.0, 3.5, 2.0, 2.5)):
        settings = config(lr=float(jobs[number]["optimizer.lr"]), seed=int(jobs[number]["seed"]))
        table = csv_of([row | {"train/seconds": row["step"] / 2} for row in rows(6, loss + 1)], COLUMNS)
        make_run(
            root,
            f"sweeps/s/{number}",
            settings=settings,
            metrics=table,
            result=finished(loss),
            begun=1_700_000_000 + number,
        )
    make_run(root, "train/alone", settings=config(d_model=96, lr=0.05), begun=1_600_000_000)
    return root


def until(page, words):
    """Wait until something holds on the page (playwright's own way evaluates text there, which the policy forbids)."""
    for _ in range(500):
        if page.evaluate(words):
            return
        page.wait_for_timeout(40)
    pytest.fail(f"never: {words}")


def ready(page, times=1):
    until(page, f"Number(document.body.dataset.drawn ?? 0) >= {times}")
    return page


def drawn_again(page, act):
    """Do something, and wait until all of it is drawn."""
    before = int(page.evaluate("document.body.dataset.drawn"))
    act()
    return ready(page, before + 1)


def names(page):
    return page.locator("#runs tbody tr[data-run] td.name button").all_inner_texts()


def column(page, name):
    place = page.locator("#runs thead th").evaluate_all(
        "(cells, name) => cells.findIndex((cell) => cell.dataset.column === name)", name
    )
    return page.locator(f"#runs tbody tr td:nth-child({place + 1})").all_inner_texts()


def test_the_table_is_sorted_and_filtered(serve, open_page, outputs):
    page = ready(open_page(serve(outputs).url))
    assert names(page) == ["s/3", "s/2", "s/1", "s/0", "alone"]
    assert column(page, "state") == [
        *["finished"] * 4,
        "failed · ended without a result, see the end of its log",
    ]
    drawn_again(page, lambda: page.get_by_role("button", name="val/loss", exact=True).click())
    assert (names(page), column(page, "val/loss")) == (
        ["s/2", "s/3", "s/0", "s/1", "alone"],
        ["2", "2.5", "3", "3.5", ""],
    )
    drawn_again(page, lambda: page.get_by_role("button", name="val/loss", exact=True).click())
    assert names(page) == ["s/1", "s/0", "s/3", "s/2", "alone"], "what has none stands last either way"
    for text, expected in {
        "optimizer.lr>=1e-2": ["s/1", "s/0", "alone"],
        "optimizer.lr>=1e-2 optimizer.lr<0.05": ["s/1", "s/0"],
        "val/loss<2.5": ["s/2"],
        "state=failed": ["alone"],
        "-failed seed=1": ["s/0", "s/2"],
        "model=trans*": ["s/1", "s/0", "s/3", "s/2", "alone"],
        "ALONE": ["alone"],
        '"without a result"': ["alone"],
        "model.d_model!=64": ["alone"],
        "optimizer.lr=0.001 seed=2": ["s/3"],
    }.items():
        drawn_again(page, lambda text=text: page.fill("#filter", text))
        assert names(page) == expected, text
    drawn_again(page, lambda: page.fill("#filter", "optimzer.lr>1"))
    assert page.inner_text("#trouble") == "no run has 'optimzer.lr'; did you mean 'optimizer.lr'?"
    drawn_again(page, lambda: page.fill("#filter", "val/loss<much"))
    assert page.inner_text("#trouble") == "val/loss< needs a number, not 'much'"
    picture(page, "board_trouble")


def test_groups_have_means_with_their_intervals(serve, open_page, outputs):
    page = ready(open_page(f"{serve(outputs).url}#group=1"))
    rows_of = page.locator("#runs tbody tr[data-group]")
    groups = page.locator("#runs tbody tr[data-group] td.name").all_inner_texts()
    assert sorted(name.lstrip("▸ ") for name in groups) == [
        "optimizer.lr=0.05 model.d_model=96", "s: optimizer.lr=0.001", "s: optimizer.lr=0.01",
    ]  # fmt: skip
    half = special.stdtrit(1, 0.975) * 0.25  # of two values 0.5 apart: s / sqrt(2) = 0.25
    assert sorted(column(page, "val/loss"))[1:] == [f"2.3 ± {half:.1f}", f"3.3 ± {half:.1f}"]
    drawn_again(page, lambda: rows_of.nth(0).get_by_role("button").click())
    assert names(page) == ["s/3", "s/2"]
    paths = page.locator('.chart[data-chart="train/loss"] .curve')
    assert paths.count() == 3 and page.locator('.chart[data-chart="train/loss"] .band').count() == 2
    for freedom in (1, 2, 5, 30, 31, 50, 200):
        assert page.evaluate("student", freedom) == pytest.approx(special.stdtrit(freedom, 0.975), rel=1e-5)
    picture(page, "board_groups")


def test_curves_are_drawn_against_every_axis(serve, open_page, outputs, tmp_path):
    page = ready(open_page(serve(outputs).url))
    chart = page.locator('.chart[data-chart="train/loss"]')
    assert sorted(chart.locator(".curve").evaluate_all("(all) => all.map((one) => one.dataset.label)")) == [
        "alone", "s/0", "s/1", "s/2", "s/3",
    ]  # fmt: skip
    assert chart.locator(".curve").first.get_attribute("data-points") == "6"
    before = chart.locator(".curve").first.get_attribute("d")
    for axis, missing in (("tokens", ""), ("flops", "1 without FLOPs"), ("seconds", "1 without seconds")):
        drawn_again(page, lambda axis=axis: page.select_option("#axis", axis))
        assert missing in chart.locator("h3").inner_text()
        assert chart.locator(".curve").count() == (4 if missing else 5)
    drawn_again(page, lambda: page.select_option("#axis", "step"))
    drawn_again(page, lambda: page.check("#log-y"))
    assert chart.locator(".curve").first.get_attribute("d") != before
    drawn_again(page, lambda: page.fill("#smooth", "100"))
    assert chart.locator(".curve.raw").count() == 5
    drawn_again(page, lambda: page.get_by_role("button", name="choose none").click())
    assert "choose runs in the table" in chart.locator("h3").inner_text()
    page.fill("#metric", "tokens_")
    page.get_by_role("button", name="add").nth(1).click()
    assert page.locator(".chart").count() == 2, "no run has such a metric"
    page.fill("#metric", "train/seconds")
    drawn_again(page, lambda: page.get_by_role("button", name="add").nth(1).click())
    assert page.locator(".chart").count() == 3
    picture(page, "board_curves")


def test_a_running_run_is_followed_and_stopped(serve, open_page, outputs):
    folder = make_run(outputs, "train/runs", metrics=csv_of(rows(3)), begun=1_700_001_000)
    with RunLock(folder).take():
        page = ready(open_page(serve(outputs, stop_button=True).url))
        row = page.locator('tr[data-run="train/runs"]')
        assert "running" in row.inner_text()
        with open(folder / "metrics.csv", "a") as file:
            file.write("4000,4000000,0.125\n")
        until(page, "document.querySelector('tr[data-run=\"train/runs\"]').innerText.includes('4,000')")
        curve = page.locator('.curve[data-label="runs"][data-points="4"]')
        curve.first.wait_for(state="attached")
        row.get_by_role("button").click()
        page.get_by_role("button", name="stop this run").click()
        assert not (folder / "STOP").exists(), "it asks once more"
        page.get_by_role("button", name="really stop it?").click()
        until(page, "document.querySelector('#detail').innerText.includes('asked to stop')")
        assert (folder / "STOP").exists()
        picture(page, "board_stop")
    os.utime(folder / "log.txt")
    until(page, "document.querySelector('tr[data-run=\"train/runs\"] .state').textContent === 'failed'")


def test_damaged_runs_and_hostile_names_are_text(serve, open_page, tmp_path):
    damaged_runs(tmp_path)
    folder = make_run(tmp_path, "train/plain", settings=config() + f"name: '{HOSTILE.replace(chr(39), '')}'\n")
    (folder / "metrics.csv").write_text("step,<b onclick=alert(1)>x</b>\n1,2\n2,3\n")
    (folder / "samples.md").write_text(
        "## step 1, 10 tokens, prompt '<script>'\n\n````text\n<img src=x onerror=a()>\n````\n"
    )
    (folder / "log.txt").write_text("<script>document.title = 'owned'</script>\n")
    (folder / "report.html").write_text("<script>document.title = 'owned'</script><h1>report</h1>")
    folder.rename(folder.with_name(HOSTILE.replace("/", "")))
    make_run(tmp_path, f"train/{NOT_UTF8}")
    server = serve()
    page = ready(open_page(server.url))
    assert HOSTILE.replace("/", "") in names(page)
    assert sum("damaged" in text for text in column(page, "state")) == 14
    picture(page, "board_damaged")
    drawn_again(page, lambda: page.get_by_role("button", name="choose the shown").click())
    for view in ("Samples", "Settings", "Sweeps", "Runs"):
        drawn_again(page, lambda view=view: page.get_by_role("tab", name=view).click())
        if view == "Samples":
            assert "<img src=x onerror=a()>" in page.locator("#samples pre").all_inner_texts()
    page.get_by_role("button", name=HOSTILE.replace("/", ""), exact=True).click()
    page.locator("#detail a", has_text="report.html").wait_for()
    assert page.locator("#detail pre").inner_text() == "<script>document.title = 'owned'</script>"
    assert page.locator("img, b[onclick], script:not([src])").count() == 0
    assert page.title() == "Prospero board"
    with page.context.expect_page() as opened:
        page.locator("#detail a", has_text="report.html").click()
    opened.value.wait_for_load_state()
    assert (opened.value.title(), opened.value.inner_text("h1")) == ("", "report")


@pytest.mark.deep
def test_texts_settings_and_sweeps_stand_beside_each_other(serve, open_page, outputs):
    for number in range(4):
        text = "".join(
            f"## step {step}, 9 tokens, prompt 'x'\n\n````text\n{number} at {step}\n````\n" for step in (10, 20)
        )
        (outputs / f"sweeps/s/{number}/samples.md").write_text(text)
    page = ready(open_page(f"{serve(outputs).url}#view=samples"))
    assert page.locator("#samples pre").all_inner_texts() == ["", "0 at 20", "1 at 20", "2 at 20", "3 at 20"][::-1]
    drawn_again(page, lambda: page.select_option("#sample-step", "10"))
    assert page.locator("#samples pre").first.inner_text() == "3 at 10"
    drawn_again(page, lambda: page.get_by_role("tab", name="Settings").click())
    assert page.locator("#differences tr[data-setting] th").all_inner_texts() == [
        "optimizer.lr",
        "seed",
        "model.d_model",
    ]
    assert page.locator('#differences tr[data-setting="optimizer.lr"] td').all_inner_texts()[-1] == "0.05"
    drawn_again(page, lambda: page.get_by_role("tab", name="Sweeps").click())
    axes = page.locator("#parallel [data-axis]").evaluate_all("(all) => all.map((one) => one.dataset.axis)")
    assert (axes, page.locator("#parallel .job").count()) == (["optimizer.lr", "seed", "val/loss"], 4)
    assert page.locator("#jobs tbody td.number").all_inner_texts() == ["2", "2.5", "3", "3.5"]
    picture(page, "board_sweeps")


def test_a_static_export_opens_from_the_disk(open_page, outputs, tmp_path, watched):
    (outputs / "train/alone/report.html").write_text("<script>document.title = 'owned'</script><h1>report</h1>")
    (outputs / "train/alone").rename(outputs / "train/<i>alone")
    board = Board(outputs)
    board.refresh()
    write_site(board, tmp_path / "site <1>", 100)
    page = ready(open_page((tmp_path / "site <1>" / "index.html").as_uri()))
    assert names(page) == ["s/3", "s/2", "s/1", "s/0", "<i>alone"]
    assert page.locator('.chart[data-chart="train/loss"] .curve').count() == 5
    drawn_again(page, lambda: page.fill("#filter", "optimizer.lr<0.01"))
    assert names(page) == ["s/3", "s/2"]
    drawn_again(page, lambda: page.get_by_role("tab", name="Sweeps").click())
    assert page.locator("#parallel .job").count() == 4
    drawn_again(page, lambda: page.get_by_role("tab", name="Runs").click())
    drawn_again(page, lambda: page.fill("#filter", ""))
    page.get_by_role("button", name="<i>alone", exact=True).click()
    with page.context.expect_page() as opened:
        page.locator("#detail a", has_text="report.html").click()
    opened.value.wait_for_load_state()
    assert (opened.value.title(), opened.value.inner_text("h1")) == ("", "report")
    picture(page, "board_static")


@pytest.mark.deep
def test_the_view_is_kept_in_the_address_and_fits_a_phone(serve, open_page, outputs):
    server = serve(outputs)
    page = ready(open_page(server.url, width=390, height=800, dark=True))
    drawn_again(page, lambda: page.fill("#filter", "seed=1"))
    drawn_again(page, lambda: page.select_option("#axis", "tokens"))
    drawn_again(page, lambda: page.locator('tr[data-run="sweeps/s/0"] input').uncheck())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    again = ready(open_page(page.url))
    assert names(again) == names(page) == ["s/2", "s/0", "alone"]
    assert again.input_value("#axis") == "tokens"
    assert not again.locator('tr[data-run="sweeps/s/0"] input').is_checked()
    assert re.search(r"filter=seed%3D1", page.url)
    picture(page, "board_phone")
