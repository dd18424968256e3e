"""The verdict's page in a real browser: what it shows, what its script does, and what a guest can't make it do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dib_py.verify.page import page
from dib_py.verify.result import Line, Verdict
from tests.verify import samples

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.remote.webdriver import WebDriver  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

DRIVER = shutil.which("chromedriver")
BROWSER = shutil.which("chromium")
SIZES = {"wide": (1280, 900), "narrow": (360, 800)}

pytestmark = pytest.mark.skipif(not (DRIVER and BROWSER), reason="chromium or chromedriver is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[WebDriver]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(DRIVER, env={**os.environ, "NO_PROXY": "localhost,127.0.0.1"})
    running = webdriver.Chrome(options=options, service=service)
    running.set_page_load_timeout(60)
    try:
        yield running
    finally:
        running.quit()


def show(browser: WebDriver, verdict: Verdict, directory: Path, size: str = "wide", scheme: str = "light") -> None:
    path = directory / "page.html"
    path.write_text(page(verdict))
    width, height = SIZES[size]
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get_log("browser")
    browser.get(path.as_uri())


def complaints(browser: WebDriver) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [samples.good, samples.panicked, samples.unbooted, samples.hostile])
def test_it_fits_and_nothing_is_complained_of(
    browser: WebDriver, tmp_path: Path, make: samples.Maker, size: str, scheme: str
) -> None:
    show(browser, make(), tmp_path, size, scheme)
    assert not complaints(browser)
    across = browser.execute_script("return document.documentElement.scrollWidth")
    assert across <= SIZES[size][0]
    assert browser.find_element(By.CSS_SELECTOR, ".top .mark").is_displayed()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_what_is_below_it(browser: WebDriver, tmp_path: Path, scheme: str) -> None:
    """The contrast that WCAG asks of text, 4.5, for every element that has some of its own."""
    show(browser, samples.failed(), tmp_path, scheme=scheme)
    poor = browser.execute_script(CONTRAST)
    assert not poor


def test_a_hostile_guest_runs_nothing(browser: WebDriver, tmp_path: Path) -> None:
    show(browser, samples.hostile(), tmp_path)
    assert browser.title.startswith("failed: ")
    assert len(browser.find_elements(By.TAG_NAME, "script")) == 1
    assert len(browser.find_elements(By.TAG_NAME, "img")) == 1
    line = browser.find_element(By.ID, "boot-1-line-1")
    assert "<script>document.title='owned'</script>" in line.text


def test_an_injected_script_would_not_run_either(browser: WebDriver, tmp_path: Path) -> None:
    """As if something was not escaped: the page's policy is what stands then."""
    path = tmp_path / "page.html"
    injected = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"></footer>"
    path.write_text(page(samples.good()).replace("</footer>", injected))
    browser.get(path.as_uri())
    assert browser.title == "passed: debian12.qcow2"
    assert any("Content Security Policy" in said for said in complaints(browser))


def test_the_screenshot_is_shown(browser: WebDriver, tmp_path: Path) -> None:
    show(browser, samples.good(), tmp_path)
    images = browser.find_elements(By.TAG_NAME, "img")
    assert [image.get_property("naturalWidth") for image in images] == [720, 720]


def test_the_console_is_searched(browser: WebDriver, tmp_path: Path) -> None:
    show(browser, samples.good(), tmp_path)
    console = browser.find_element(By.CSS_SELECTOR, ".console")
    field = console.find_element(By.CSS_SELECTOR, "input[type=search]")
    told = console.find_element(By.TAG_NAME, "output")

    def expect(text: str) -> None:
        WebDriverWait(browser, 10).until(lambda _: told.text == text)

    field.send_keys("DEBIAN")
    expect("1 of 5")
    marks = console.find_elements(By.TAG_NAME, "mark")
    assert {mark.text.lower() for mark in marks} == {"debian"}
    field.send_keys(Keys.ENTER)
    expect("2 of 5")
    field.send_keys(Keys.SHIFT, Keys.ENTER)
    expect("1 of 5")
    console.find_element(By.CSS_SELECTOR, "button[data-step='-1']").click()
    expect("5 of 5")
    assert console.find_elements(By.CSS_SELECTOR, "mark.now") == marks[4:]
    field.send_keys(" no such thing")
    expect("no match")
    field.clear()
    field.send_keys(Keys.SPACE, Keys.BACKSPACE)
    expect("")
    assert not console.find_elements(By.TAG_NAME, "mark")
    assert "debian-kernel@lists.debian.org" in console.text


def test_a_long_console_is_there_at_once_and_a_stage_is_one_click_away(browser: WebDriver, tmp_path: Path) -> None:
    verdict = samples.good()
    first = verdict.boots[0]
    lines = tuple(Line(number, number / 100, f"line {number} of a flood") for number in range(1, 20_001))
    moments = tuple(replace(moment, line=(moment.line or 0) * 1500) for moment in first.moments)
    show(browser, replace(verdict, boots=(replace(first, console=lines, moments=moments),)), tmp_path)
    links = browser.find_elements(By.CSS_SELECTOR, ".console nav a")
    assert [link.text for link in links] == [
        "firmware",
        "bootloader",
        "kernel",
        "initramfs",
        "userspace",
        "login",
        "end",
    ]
    links[2].click()
    in_view = """
        const line = document.getElementById(arguments[0]).getBoundingClientRect();
        const place = document.querySelector(".lines").getBoundingClientRect();
        return line.height > 0 && line.top >= place.top - 1 && line.bottom <= place.bottom + 1;
    """
    WebDriverWait(browser, 10).until(lambda _: browser.execute_script(in_view, "boot-1-line-6000"))
    links[-1].click()
    WebDriverWait(browser, 10).until(lambda _: browser.execute_script(in_view, "boot-1-line-20000"))


def test_what_opens_is_reached_by_keyboard(browser: WebDriver, tmp_path: Path) -> None:
    show(browser, samples.failed(), tmp_path)
    reached = set()
    for _ in range(40):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        active = browser.switch_to.active_element
        reached.add((active.tag_name, active.get_attribute("class") or active.get_attribute("type") or ""))
    assert {("summary", ""), ("input", "search"), ("button", "button"), ("div", "lines"), ("pre", "box")} <= reached


CONTRAST = """
const luminance = ([red, green, blue]) => {
  const linear = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const [r, g, b] = [red, green, blue].map(value => linear(value / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const colour = text => text.match(/[\\d.]+/g).map(Number);
const ground = element => {
  for (let one = element; one; one = one.parentElement) {
    const found = colour(getComputedStyle(one).backgroundColor);
    if (found.length < 4 || found[3] > 0) return found;
  }
  return [255, 255, 255];
};
const poor = [];
for (const element of document.body.querySelectorAll("*")) {
  const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  if (!own || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
  const one = luminance(colour(getComputedStyle(element).color)), other = luminance(ground(element));
  const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  if (contrast < 4.5) poor.push(`${element.className} ${contrast.toFixed(2)} ${element.textContent}`);
}
return poor;
"""
