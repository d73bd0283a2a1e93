"""The page at `/` as a person meets it, in a real browser."""

from __future__ import annotations

import pytest
from browser import ABSENT, PROGRAM, Browser
from served import QUESTION, RIGHT, Scripted, one_mistake, running, scripted_service, until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason=ABSENT)]
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
STATE = "document.getElementById('work').dataset.state"


@pytest.fixture(scope="module")
def browser():
    with Browser() as opened:
        yield opened


def asking(browser: Browser, address: str, question: str = QUESTION) -> None:
    browser.size(1280, 900)
    browser.open(address)
    browser.run("document.getElementById('question').focus()")
    browser.type(question)
    browser.press("Enter", "\r")


def texts(browser: Browser, selector: str) -> list[str]:
    return browser.run(f"[...document.querySelectorAll({selector!r})].map((one) => one.textContent)")


def test_the_red_ink_appears_while_it_is_written(browser) -> None:
    model = Scripted(piece_s=0.02)
    with running(scripted_service(model, rounds=2)) as now:
        asking(browser, now.address)
        browser.until("document.querySelectorAll('.sheet li').length > 0")
        assert browser.run(f"{STATE}") == "asking"
        browser.until("document.querySelector('li.wrong .note .why')")  # the cause is there before the reply has ended
        assert browser.run(f"{STATE}") == "asking"
        browser.until(f"{STATE} === 'done'")
        assert texts(browser, "li.wrong .struck") == ["wrong step: 14 + 27 = 40"]
        assert texts(browser, "li.wrong .why") == ["4 + 7 is 11, one is carried."]
        assert texts(browser, "li.wrong .fix") == ["14 + 27 = 41"]
        assert texts(browser, "h3.round") == ["As corrected"]
        assert texts(browser, "section:nth-child(2) .step") == ["14 + 27 = 41", "41 + 1 = 42", "Answer: 42"]
        assert texts(browser, "#final") == ["Answer: 4142"]  # the first one struck out
        assert texts(browser, "#final del") == ["41"]
        assert texts(browser, ".doing") == ["Corrected, looked over again, and left as it is."]
        outside = [url for url in browser.requests if not url.startswith((now.address, "data:"))]
        assert (browser.complaints, outside) == ([], [])


def test_what_a_model_writes_is_never_markup(browser) -> None:
    says = f"<Step1>{HOSTILE} $\\href{{javascript:alert(3)}}{{x}}$</Step1><Answer>{HOSTILE}</Answer>"
    with running(scripted_service(Scripted(lambda _: says))) as now:
        asking(browser, now.address, HOSTILE)
        browser.until(f"{STATE} === 'done'")
        assert browser.run("document.querySelectorAll('#work img, #work script, #work a').length") == 0
        assert HOSTILE in texts(browser, ".question")[0] and HOSTILE in texts(browser, "#final")[0]
        assert texts(browser, ".doing") == ["Looked over, and left as it is."]
        assert browser.complaints == []


def test_a_refusal_is_said_and_the_form_is_free_again(browser) -> None:
    with running(scripted_service(Scripted(lambda _: "!server_failed"))) as now:
        asking(browser, now.address)
        browser.until(f"{STATE} === 'failed'")
        assert "no usable reply" in texts(browser, ".trouble")[0]
        assert browser.run("!document.getElementById('solve').disabled && document.getElementById('stop').hidden")


def test_stop_stops_the_student(browser) -> None:
    model = Scripted(one_mistake)
    model.held.clear()
    with running(scripted_service(model)) as now:
        asking(browser, now.address)
        until(lambda: model.asked)
        browser.run("document.getElementById('stop').click()")
        browser.until(f"{STATE} === 'failed'")
        assert texts(browser, ".trouble") == ["Stopped."]
        until(lambda: model.cut == 1)
        model.held.set()


def test_with_a_token_the_page_asks_for_it(browser) -> None:
    with running(scripted_service(Scripted(lambda _: RIGHT), token="correct-horse-battery")) as now:
        asking(browser, now.address)
        browser.until(f"{STATE} === 'failed'")
        assert "token is needed" in texts(browser, ".trouble")[0]
        browser.run("document.querySelector('[name=token]').value = 'correct-horse-battery'")
        browser.run("document.getElementById('solve').click()")
        browser.until(f"{STATE} === 'done'")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_it_fits_the_window(browser, width, dark, tmp_path) -> None:
    with running(scripted_service(rounds=2)) as now:
        asking(browser, now.address)
        browser.size(width, 800, dark=dark)
        browser.until(f"{STATE} === 'done'")
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
