"""The HTML report in Debian's Chromium: at every width, by keyboard, in print, with hostile reports, and without a network."""

import os
import pathlib
import re
import subprocess

import pytest

from pullprobe_testing.browser import Browser
from pullprobe_testing.reports import ROOT, compare, compared, lines, report

SHOTS = (
    pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "compare"
)  # to be looked at
WIDTHS = (360, 414, 768, 1024, 1280, 1920)
HOSTILE = '</script></style><script>document.title="owned"</script>"\'><img src=x onerror="document.title=1"> \u202egnp.exe'


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def several():
    return [
        report(1),
        report(2, "s3-gateway-missing"),
        report(3),
        report(4, "endpoint-address-unreachable"),
        report(5, "interface-endpoint-missing"),
        report(5, hour=8),
        report(6, "no-credentials"),
    ]


@pytest.fixture(scope="module")
def page(several, tmp_path_factory):
    return write(tmp_path_factory.mktemp("page") / "page.html", several)


def write(file, reports):
    done = compare("-", "--format", "html", given=lines(*reports))
    file.write_text(done.stdout)
    return file


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(browser, page, width):
    browser.open(page, width, 800, phone=width < 600)
    assert browser.value("innerWidth") == width
    assert browser.value("document.documentElement.scrollWidth") <= width
    browser.value('document.querySelectorAll("details").forEach(one => one.open = true)')
    assert browser.value("document.documentElement.scrollWidth") <= width
    beyond = browser.value("""[...document.querySelectorAll("main *")].filter(one => !one.closest(".scroll table, .unseen, svg")
        && one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 200))""")
    assert beyond == []


def test_every_cell_says_in_words_what_it_shows(browser, page, several):
    facts = compared(*several)["facts"]
    browser.open(page)
    cells = browser.value(
        '[...document.querySelectorAll(".matrix .cell")].map(one => one.textContent.trim())'
    )
    assert len(cells) == len(facts) * 6
    assert all(re.fullmatch(r"\S [\w-]+ .*\w", cell) for cell in cells), cells
    for words in (
        "✗ connect timed-out",
        "! connect partly timed-out",
        "✓ resolve private",
        "✓ resolve public",
        "– handshake not reached",
        "✓ handshake passed",
        "✗ read no-credentials",
    ):
        assert words in cells
    shown = browser.value(
        """[...document.querySelectorAll(".matrix .cell.failed")].map(one => one.innerText)"""
    )
    assert shown and all("timed-out" in text or "no-credentials" in text for text in shown)


@pytest.mark.parametrize("scheme", ("light", "dark"))
def test_text_stands_out_from_what_is_behind_it(browser, page, scheme):
    browser.open(page, scheme=scheme)
    faint = browser.value("""(() => {
        const parse = text => text.match(/[\\d.]+/g).map(Number);
        const light = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
            .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
        const behind = one => { for (; one; one = one.parentElement) { const c = parse(getComputedStyle(one).backgroundColor);
            if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
        return [...document.querySelectorAll(".cell, .badge, .lead, .brand, .host, .said, .cause, .detail, .sure, dt, h2, li, a")]
            .map(one => { const [a, b] = [light(parse(getComputedStyle(one).color)), light(behind(one))].sort((x, y) => y - x);
                return [one.className, one.textContent.slice(0, 40), (a + .05) / (b + .05)]; })
            .filter(([, , contrast]) => contrast < 4.5); })()""")
    assert faint == [], "WCAG 2.2, 1.4.3: 4.5 to 1"


def test_it_works_with_the_keyboard_alone(browser, page):
    browser.open(page)
    active = "document.activeElement"
    for _ in range(200):
        browser.press("Tab")
        if browser.value(f'{active}.matches(".cell.failed")'):
            break
    assert "timed-out" in browser.value(f"{active}.innerText")
    style = browser.value(
        f"(style => [style.outlineStyle, parseFloat(style.outlineWidth)])(getComputedStyle({active}))"
    )
    assert style[0] == "solid" and style[1] >= 2, "focus can be seen"
    # The second failing vantage's details are closed: its cell opens them.
    browser.value('document.querySelectorAll("details.vantage").forEach(one => one.open = false)')
    browser.press("Enter")
    assert browser.value('document.querySelector(":target").closest("details").open')
    assert "timed-out" in browser.value('document.querySelector(":target").innerText')
    browser.value(
        'document.querySelectorAll("details.vantage")[2].querySelector("summary").focus()'
    )
    opened = 'document.querySelectorAll("details.vantage")[2].open'
    for key, expected in (("Enter", True), (" ", False), ("Enter", True)):
        browser.press(key)
        assert browser.value(opened) is expected, key
    reachable = browser.value(
        '[...document.querySelectorAll("a[href], summary")].every(one => one.tabIndex >= 0)'
    )
    assert reachable and browser.value('document.querySelector(".scroll").tabIndex') == 0


def test_every_link_leads_somewhere_in_the_page(browser, page):
    browser.open(page)
    lost = browser.value("""[...document.querySelectorAll("a[href]")].filter(one => !one.getAttribute("href").startsWith("#")
        || !document.getElementById(one.getAttribute("href").slice(1))).map(one => one.outerHTML)""")
    assert lost == []


def test_the_path_is_drawn_and_the_broken_hop_is_marked(browser, page):
    browser.open(page)
    lanes = '[...document.querySelectorAll("#v1 .lane")].map(one => [one.querySelector("svg").getAttribute("aria-label"), one.querySelectorAll(".mark.broken").length])'
    name = browser.value('document.querySelector("#v0 summary").innerText')
    assert "s3-gateway-missing" in name or "interface-endpoint-missing" in name
    all_lanes = browser.value(lanes.replace("#v1 ", ""))
    broken = {
        label: marks for label, marks in all_lanes if "breaks at" in label and "partly" not in label
    }
    assert any(
        label.startswith("s3: task, DNS, gateway or NAT, service; breaks at connect: timed-out")
        for label in broken
    )
    assert any(
        label.startswith("ecr.api: task, DNS, NAT or internet gw, service; breaks at connect")
        for label in broken
    )
    assert all(marks == 1 for marks in broken.values())
    assert all(marks == 0 for label, marks in all_lanes if "breaks at" not in label)


def test_it_asks_for_nothing_and_runs_nothing(browser, page):
    browser.open(page)
    browser.value('document.querySelectorAll("details").forEach(one => one.open = true)')
    browser.screenshot(shot("page-desktop"))
    assert browser.requests == [page.as_uri()]
    text = page.read_text()
    assert not re.search(
        r'<script|<link(?! rel="icon" href="data:,")|<iframe|<img|url\(|@import|\bon\w+=', text
    )
    assert "default-src 'none'" in text
    assert browser.errors == []


def test_reports_cannot_make_it_do_anything(browser, tmp_path):
    hostile = report(1, "s3-gateway-missing", vantage=HOSTILE)
    for seen in hostile["observations"]:
        seen["detail"], seen["subject"], seen["owner"] = HOSTILE, HOSTILE, HOSTILE
        seen["host"] = HOSTILE
    hostile["observations"][3]["role"] = hostile["observations"][3]["phase"] = HOSTILE
    hostile["observations"][5]["failure"], hostile["observations"][5]["outcome"] = HOSTILE, "failed"
    hostile["verdict"]["summary"] = hostile["vantage"]["availability_zone"] = hostile["vantage"][
        "address"
    ] = HOSTILE
    hostile["vantage"]["resolvers"] = hostile["vantage"]["cluster"] = [HOSTILE], HOSTILE
    hostile["vantage"]["resolvers"] = [HOSTILE]
    for finding in hostile["findings"]:
        finding["cause"] = finding["summary"] = finding["remedy"] = finding["confidence"] = HOSTILE
    hostile["identity"]["role_arn"] = HOSTILE
    later = report(1, hour=11, vantage=HOSTILE)
    file = write(tmp_path / "hostile.html", [hostile, later, report(2, "s3-gateway-missing")])
    browser.open(file, 360, 740, phone=True)
    assert browser.value("document.title").startswith("pullprobe: ")
    assert browser.value('document.querySelectorAll("script, img, iframe").length') == 0
    assert "owned" in browser.value("document.body.innerText"), "it is shown as the text that it is"
    assert browser.value("document.documentElement.scrollWidth") <= 360
    assert browser.requests == [file.as_uri()]
    alone = write(tmp_path / "alone.html", [hostile])
    browser.open(alone)
    assert browser.value('document.querySelectorAll("script, img, iframe").length') == 0
    assert browser.requests == [alone.as_uri()]


def test_on_paper_nothing_is_folded_and_nothing_is_dark(browser, page, several, tmp_path):
    browser.open(page, scheme="dark")
    browser.print_to(tmp_path / "page.pdf")
    text = subprocess.run(
        ["pdftotext", "-layout", tmp_path / "page.pdf", "-"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert text.count("What was seen") == 6, "one for each vantage, folded or not"
    assert "The first difference" in text and "timed-out" in text
    SHOTS.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [
            "pdftoppm",
            "-r",
            "60",
            "-png",
            "-f",
            "1",
            "-l",
            "2",
            tmp_path / "page.pdf",
            SHOTS / "print",
        ],
        check=True,
    )
    paper = subprocess.run(
        ["pdftoppm", "-r", "10", "-f", "1", "-l", "1", tmp_path / "page.pdf"],
        capture_output=True,
        check=True,
    ).stdout
    pixels = paper.split(b"\n", 3)[3]
    assert sum(pixels) / len(pixels) > 200, "paper is white"


def test_a_phone_and_a_dark_room(browser, page):
    browser.open(page, 360, 740, phone=True)
    browser.screenshot(shot("page-phone"))
    size = browser.value(
        'parseFloat(getComputedStyle(document.querySelector(".lead, .card dd")).fontSize)'
    )
    assert size >= 14
    browser.open(page, scheme="dark")
    browser.screenshot(shot("page-dark"))
    assert (
        browser.value("getComputedStyle(document.documentElement).backgroundColor")
        != "rgb(255, 255, 255)"
    )


def test_one_report_is_a_page_as_well(browser, tmp_path):
    file = write(tmp_path / "one.html", [report(1, "tls-intercepted")])
    browser.open(file)
    assert "The one vantage fails" in browser.value('document.querySelector("h1").innerText')
    assert browser.value('document.querySelector("#v0").open')


def test_five_hundred_subnets_fit_a_page(browser, tmp_path):
    fleet = [report(n, "s3-gateway-missing" if n % 50 == 7 else None) for n in range(500)]
    file = write(tmp_path / "fleet.html", fleet)
    assert file.stat().st_size < 1024 * 1024
    for width in (360, 1280):
        browser.open(file, width, 800, phone=width < 600)
        assert browser.value("document.documentElement.scrollWidth") <= width
    assert "10 of 500 vantages fail" in browser.value('document.querySelector("h1").innerText')
    names = browser.value("document.body.textContent")
    assert all(f"10.{n >> 8}.{n & 255}.0/24" in names for n in range(500)), "folded, and all there"


def shot(name):
    SHOTS.mkdir(parents=True, exist_ok=True)
    return SHOTS / f"{name}.png"
