"""The report as a reader meets it, in a real browser: from a file with the network off, and served by `redink view`."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from browser import ABSENT, PROGRAM, Browser
from report_run import HOSTILE, make_run

from redink.report.archive import Archive
from redink.report.building import write_report
from redink.report.cases import OUTCOMES
from redink.report.catalogue import Catalogue, Query
from redink.report.comparing import write_comparison
from redink.report.page import asset
from redink.report.server import application, serve

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason=ABSENT)]
PARTS = ("hits", "case", "find", "desk", "figures")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("browser") / "made")


@pytest.fixture(scope="module")
def page(run) -> str:
    return write_report(run).path.as_uri()


@pytest.fixture(scope="module")
def served(run) -> Iterator[str]:
    """`redink view` in a thread of its own."""
    told: list[str] = []
    ready, loops = threading.Event(), []

    def tell(address: str) -> None:
        told.append(address)
        loops.append((asyncio.get_running_loop(), asyncio.current_task()))
        ready.set()

    def work() -> None:
        with suppress(asyncio.CancelledError):
            serve(application(run), ready=tell)

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(30)
    yield told[0]
    loop, task = loops[0]
    loop.call_soon_threadsafe(task.cancel)
    thread.join(10)


@pytest.fixture(params=["file", "served"])
def address(request, page, served, browser) -> str:
    browser.size(1280, 900)
    return page if request.param == "file" else served


def opened(browser: Browser, address: str, problem: str, rest: str = "") -> None:
    browser.open(f"{address}#work=1&problem={problem.replace('/', '%2F')}{rest}")
    browser.until(f"document.getElementById('desk').dataset.opened === {json.dumps(problem)}")


def found(browser: Browser) -> list[str]:
    links = browser.run(
        "[...document.querySelectorAll('#hits a')].map((one) => new URLSearchParams(one.hash.slice(1)).get('problem'))"
    )
    return list(links)


def text(browser: Browser, selector: str) -> str:
    return browser.run(f"document.querySelector({json.dumps(selector)}).textContent")


# ---------------------------------------------------------------- opening


def test_it_opens_from_a_file_with_the_network_off(browser, page) -> None:
    browser.size(1280, 900)
    browser.offline()
    browser.open(page)
    assert "HSFT" in text(browser, "h1")
    assert browser.complaints == []
    assert {url for url in browser.requests if not url.startswith("data:")} == {page}
    assert browser.run("document.getElementById('desk').hidden") is True
    browser.send(
        "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
    )


def test_its_own_typefaces_are_used(browser, page) -> None:
    browser.open(page)
    names = ("Redink Serif", "Redink Sans", "Redink Hand")
    assert all(browser.run(f"document.fonts.check('16px \"{name}\"')") for name in names)


def test_a_link_opens_its_problem_and_shows_the_red_ink(browser, address) -> None:
    opened(browser, address, "x/1")
    assert "What is x?" in text(browser, ".question")
    wrong = text(browser, ".sheet .wrong")
    assert "3 + 4 = 8" in wrong and "three and four are not eight" in wrong and "3 + 4 = 7" in wrong
    assert "stroke" in browser.run("getComputedStyle(document.querySelector('.wrong .struck')).backgroundImage")
    assert browser.run("document.querySelectorAll('.sheet > .wrong').length") == 1
    beside = "(() => { const a = document.querySelector('.wrong .line').getBoundingClientRect(), b = document.querySelector('.wrong .note').getBoundingClientRect(); return b.left >= a.right - 1 && Math.abs(a.top - b.top) < 2 })()"
    assert browser.run(beside)
    page = text(browser, "#case")
    assert "it looks odd" in page  # the student's own correction, opposite
    assert "The cause is not named." in page and "Accepted in round 2" in page  # the inspector's remark by round
    assert browser.complaints == []


def test_a_link_to_a_problem_that_is_not_here_says_so(browser, address) -> None:
    browser.open(f"{address}#problem=no%2Fsuch")
    browser.until("document.getElementById('case').textContent.includes('There is no such problem here')")
    assert browser.complaints == []


def test_before_and_after_differ_in_the_words_that_changed(browser, address) -> None:
    """base wrote 3 + 4 = 8, Cross-DPO 3 + 4 = 7; each side keeps its own text whole."""
    opened(browser, address, "e/1")
    sides = browser.run("[...document.querySelectorAll('.side .prose')].map((one) => one.textContent)")
    assert sides[-2:] == ["1. 3 + 4 = 8\nAnswer: 8", "1. 3 + 4 = 7\nAnswer: 7"]
    assert set(browser.run("[...document.querySelectorAll('.side .prose del')].map((one) => one.textContent)")) == {"8"}
    assert set(browser.run("[...document.querySelectorAll('.side .prose ins')].map((one) => one.textContent)")) == {"7"}


def test_a_lesson_shows_the_thought_and_a_quarantined_one_its_tries(browser, address) -> None:
    opened(browser, address, "t/1")
    assert "Add them." in text(browser, "#case") and "Say what is added." in text(browser, "#case")
    opened(browser, address, "t/2")
    assert "Quarantined at thoughts" in text(browser, "#case") and "<b>third</b>" in text(browser, "#case")


def test_math_is_set_and_money_is_not(browser, address) -> None:
    opened(browser, address, "x/1")
    assert browser.run("[...document.querySelectorAll('.question [role=math]')].map((one) => one.getAttribute('aria-label'))") == [
        r"x^2 = \frac{49}{1}", "x > 0",
    ]  # fmt: skip
    assert browser.run("document.querySelector('.question .katex .mfrac') !== null")
    assert "It costs $5 and then $7 more." in text(browser, ".question")
    assert browser.run("document.fonts.check('16px KaTeX_Main')")


# ---------------------------------------------------------------- search and filters

ASKED = [
    {"words": "THREE eight"}, {"words": "say what is added"}, {"set": "errors"}, {"subject": "money"}, {"outcome": "broken"},
    {"model": "base", "outcome": "repaired"}, {"step": "1"}, {"words": "window.pwned"}, {"words": "nowhere"},
]  # fmt: skip


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: " ".join(asked.values()))
def test_the_page_finds_what_the_catalogue_finds(browser, address, run, asked) -> None:
    """Two programs in two languages over the same rows."""
    with Archive({"": run}) as archive:
        expected = [line.id for line in Catalogue(archive).find(Query.model_validate(asked)).lines]
    browser.open(f"{address}#work=1")
    browser.until("document.getElementById('desk').dataset.answered")
    for name, value in asked.items():
        browser.choose(name, value)
    browser.until(
        f"location.hash.includes({json.dumps(next(iter(asked)))}) && document.querySelectorAll('#hits a').length === {len(expected)}"
    )
    assert found(browser) == expected
    assert (f"of {len(expected)} problems" in text(browser, "#count")) == bool(expected)
    assert browser.complaints == []


def test_filters_are_part_of_the_link(browser, address) -> None:
    browser.open(f"{address}#work=1&set=evaluation&outcome=repaired")
    browser.until("document.querySelectorAll('#hits a').length === 1")
    assert found(browser) == ["e/1"]
    assert browser.run("document.getElementById('find').elements.outcome.value") == "repaired"


def test_a_filter_opens_the_solution_that_meets_it(browser, address) -> None:
    """e/2: base and HSFT are wrong in the end, Cross-DPO keeps it right."""
    browser.open(f"{address}#work=1&set=evaluation&outcome=kept&problem=e%2F2")
    browser.until("document.getElementById('desk').dataset.opened === 'e/2'")
    assert text(browser, "[role=tab][aria-selected=true]").startswith("Cross-DPO")


def test_every_outcome_is_known_to_the_page(browser, page) -> None:
    browser.open(page)
    assert browser.run("Object.keys(JSON.parse(document.getElementById('settings').textContent).outcomes)") == list(
        OUTCOMES
    )


def test_keys(browser, address) -> None:
    browser.open(f"{address}#work=1&set=evaluation")
    browser.until("document.getElementById('desk').dataset.opened === 'e/1'")
    browser.press("j")
    browser.until("document.getElementById('desk').dataset.opened === 'e/2'")
    browser.press("2")
    assert text(browser, "[role=tab][aria-selected=true]").startswith("HSFT")
    browser.press("k")
    browser.until("document.getElementById('desk').dataset.opened === 'e/1'")
    browser.press("/")
    browser.until("document.activeElement.name === 'words'")
    browser.type("(e/3)")
    browser.until("document.querySelectorAll('#hits a').length === 1")
    browser.press("Escape")
    browser.press("f")
    browser.until("!document.getElementById('figures').hidden")
    browser.press("?")
    assert browser.run("document.getElementById('help').open")
    browser.run("document.querySelector('#help button').click()")
    assert not browser.run("document.getElementById('help').open")
    assert browser.complaints == []


# ---------------------------------------------------------------- hostile text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_text(browser, address, name) -> None:
    opened(browser, address, f"evil/{name}")
    if name in ("script", "handler", "svg", "link", "ending", "entity", "proto"):
        assert HOSTILE[name] in browser.run("document.querySelector('.sheet .step').textContent")
    browser.run("new Promise((done) => setTimeout(done, 60))")
    assert browser.run("window.pwned") is None
    odd = "#case script, #case iframe, #case img, #case object, #case animate, #case [onerror], #case [onload], #case [href^='javascript']"
    assert browser.run(f"document.querySelectorAll({json.dumps(odd)}).length") == 0
    assert browser.complaints == []
    assert browser.run("document.documentElement.scrollWidth") == 1280


def test_characters_that_turn_or_hide_are_shown(browser, address) -> None:
    opened(browser, address, "evil/turned")
    shown = browser.run("[...document.querySelectorAll('.sheet .step .ctl')].map((one) => one.textContent)")
    assert shown[:5] == ["U+202E", "U+202C", "U+0000", "U+0007", "U+200B"]


def test_a_line_of_a_million_characters_is_cut_and_can_be_had(browser, address) -> None:
    opened(browser, address, "evil/long")
    assert len(text(browser, ".sheet .step")) < 10_000
    browser.run("document.querySelector('.sheet .step .more').click()")
    assert len(text(browser, ".sheet .step")) == 1_000_000
    assert browser.run("document.documentElement.scrollWidth") == 1280


def test_what_is_no_formula_stays_as_it_was_written(browser, address) -> None:
    opened(browser, address, "evil/latex")
    assert r"$\frac{1}{$ and" in text(browser, ".sheet .step")
    assert browser.run("document.querySelectorAll('#case a[href], #case img').length") == browser.run(
        "document.querySelectorAll('#case a.back').length"
    )


def test_the_policy_holds_even_against_a_script_that_got_in(browser, address) -> None:
    """What an injection would do is refused: markup by Trusted Types, scripts and addresses by the policy."""
    browser.open(address)
    refused = browser.run(
        "(() => { try { document.body.innerHTML = '<p>in</p>'; return false } catch (failure) { return failure.name } })()"
    )
    assert refused == "TypeError"
    browser.run(
        "(() => { const one = document.createElement('style'); one.textContent = 'body { display: none }'; document.head.append(one) })()"
    )
    assert browser.run("getComputedStyle(document.body).display") != "none"
    assert browser.run("fetch('https://example.org/').then(() => 'in', () => 'refused')") == "refused"
    assert (
        browser.run(
            "new Promise((done) => { const one = new Image(); one.onload = () => done('in'); one.onerror = () => done('refused'); one.src = 'https://example.org/x.png' })"
        )
        == "refused"
    )
    assert len(browser.complaints) >= 3


# ---------------------------------------------------------------- looks


@pytest.mark.parametrize("width", [1280, 768, 390, 320])
def test_nothing_is_wider_than_the_window(browser, address, width) -> None:
    browser.size(width, 844)
    browser.open(address)
    assert browser.run("document.documentElement.scrollWidth") == width
    for problem in ("x/1", "e/2", "evil/ending", "t/2"):
        opened(browser, address, problem)
        assert browser.run("document.documentElement.scrollWidth") == width, problem


def test_a_phone_shows_the_list_or_the_problem(browser, page) -> None:
    browser.size(390, 844)
    browser.open(f"{page}#work=1")
    browser.until("document.querySelectorAll('#hits a').length > 0")
    assert browser.run("getComputedStyle(document.getElementById('case')).display") == "none"
    browser.run("document.querySelector('#hits a').click()")
    browser.until("document.getElementById('desk').dataset.opened")
    assert browser.run("getComputedStyle(document.querySelector('.finder')).display") == "none"
    assert (
        browser.run(
            "document.querySelector('.chart.narrow') && getComputedStyle(document.querySelector('.chart.wide')).display"
        )
        == "none"
    )
    browser.run("document.querySelector('.back').click()")
    browser.until("getComputedStyle(document.querySelector('.finder')).display !== 'none'")


def test_dark_follows_the_reader_and_can_be_turned(browser, page) -> None:
    browser.size(1280, 900, dark=True)
    browser.open(page)
    browser.run("localStorage.clear(); delete document.documentElement.dataset.theme")
    dark = browser.run("getComputedStyle(document.documentElement).backgroundColor")
    browser.run("document.getElementById('theme').click()")
    light = browser.run("getComputedStyle(document.documentElement).backgroundColor")
    assert (dark, light) == ("rgb(20, 22, 27)", "rgb(247, 243, 234)")
    browser.run("localStorage.clear()")
    browser.size(1280, 900)


def test_on_paper_the_tables_stand_open_and_the_tools_are_gone(browser, page) -> None:
    browser.size(1280, 900)
    browser.open(page)
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run("document.querySelectorAll('details.numbers:not([open])').length") == 0
    browser.send("Emulation.setEmulatedMedia", media="print")
    assert browser.run("getComputedStyle(document.querySelector('.top .tools')).display") == "none"
    printed = browser.send("Page.printToPDF", printBackground=False)["data"]
    assert len(printed) > 20_000
    browser.send("Emulation.setEmulatedMedia", media="")
    browser.run("dispatchEvent(new Event('afterprint'))")
    browser.until("document.querySelectorAll('details.numbers[open]').length === 0", 5)
    assert browser.run("document.querySelectorAll('details.numbers[open]').length") == 0


def test_names_and_roles_reach_assistive_technology(browser, page) -> None:
    opened(browser, page, "x/1")
    nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
    seen = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node.get("ignored")}
    roles = {role for role, _ in seen}
    assert {"searchbox", "tablist", "tab", "tabpanel", "complementary", "article", "search"} <= roles
    assert all(name for role, name in seen if role in ("button", "link", "searchbox", "combobox", "tab", "img"))


def luminance(colour: str) -> float:
    """WCAG 2.2: relative luminance of #rrggbb."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["root {", 'root[data-theme="dark"] {'])
def test_every_colour_of_text_has_contrast_on_every_ground(theme) -> None:
    block = asset("report.css").split(f":{theme}", 1)[1].split("}", 1)[0]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    for ink in ("ink", "soft", "red", "blue", "green", "pencil"):
        for ground in ("paper", "sheet"):
            low, high = sorted((luminance(colours[ink]), luminance(colours[ground])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground)


# ---------------------------------------------------------------- two runs


def test_two_runs_open_on_one_page(browser, run, tmp_path) -> None:
    other = make_run(tmp_path / "other", hostile=False)
    done = write_comparison(run, other, tmp_path / "both.html")
    browser.size(1280, 900)
    opened(browser, done.path.as_uri(), "e/1")
    assert browser.run("document.querySelectorAll('[role=tab]').length") == 6
    assert browser.complaints == []
