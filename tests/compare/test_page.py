"""The HTML page of `compare` in Chromium: widths, keyboard, print, contrast, hostile reports."""

import re
import subprocess

import pytest

from pullprobe_testing import cli
from pullprobe_testing.binaries import TARGET
from pullprobe_testing.browser import Browser
from pullprobe_testing.reports import compare, comparison_of, lines, report

SCREENSHOTS = TARGET / "compare"  # for a person to look at
TIMED_OUT = (
    "ResourceInitializationError: unable to pull secrets or registry auth: execution resource "
    "retrieval failed: unable to retrieve ecr registry auth: service call has been retried 3 "
    'time(s): RequestError: send request failed caused by: Post "https://api.ecr.us-east-1.'
    'amazonaws.com/": dial tcp 52.94.133.131:443: i/o timeout'
)
WIDTHS = (360, 414, 768, 1024, 1280, 1920)
HOSTILE = (
    '</script></style><script>document.title="owned"</script>"\''
    '><img src=x onerror="document.title=1"> \u202egnp.exe'
)
MAX_PAGE = 1024 * 1024  # bytes

OPEN_DETAILS = 'document.querySelectorAll("details").forEach(one => one.open = true)'
SCROLL_WIDTH = "document.documentElement.scrollWidth"
ACTIVE_CONTENT = 'document.querySelectorAll("script, img, iframe").length'
# Elements that reach beyond the window, except those that are not shown.
TOO_WIDE = """
    [...document.querySelectorAll("main *")]
        .filter(one => !one.closest(".visually-hidden, svg, thead")
            && one.getBoundingClientRect().right > innerWidth + 1)
        .map(one => one.outerHTML.slice(0, 200))
"""
# Elements whose content reaches beyond them.
OVERFLOWING = """
    [...document.querySelectorAll(".matrix tbody th, .matrix td, .card, .copy, .step, .place div")]
        .filter(one => one.scrollWidth > one.clientWidth + 1)
        .map(one => one.outerHTML.slice(0, 200))
"""
# Texts of a drawing that reach beyond their box, or beyond the drawing.
CUT_OFF = """
    [...document.querySelectorAll("svg.vpc, .lane svg")].flatMap(drawing =>
        [...drawing.querySelectorAll("text")].filter(text => {
            const box = text.parentElement.querySelector("rect");
            const around = (text.closest("g") ? box : drawing).getBoundingClientRect();
            return text.getBoundingClientRect().right > around.right + 1;
        }).map(text => text.textContent))
"""
# Text whose contrast to its background is below 4.5 to 1 (WCAG 2.2, 1.4.3).
FAINT = """(() => {
    const parse = text => text.match(/[\\d.]+/g).map(Number);
    const linear = c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
    const luminance = ([r, g, b]) => [r, g, b].map(c => linear(c / 255))
        .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
    const background = one => {
        for (; one; one = one.parentElement) {
            const color = parse(getComputedStyle(one).backgroundColor);
            if (color.length < 4 || color[3] > 0) return color;
        }
        return [255, 255, 255];
    };
    const texts = ".cell, .badge, .sentence, .remedy b, .remedy p, .copy, .proof li, .brand"
        + ", .host, .result, .cause, .detail, .sure, dt, h2, li, a";
    return [...document.querySelectorAll(texts)].map(one => {
        const colors = [parse(getComputedStyle(one).color), background(one)];
        const [light, dark] = colors.map(luminance).sort((x, y) => y - x);
        return [one.className, one.textContent.slice(0, 40), (light + .05) / (dark + .05)];
    }).filter(([, , contrast]) => contrast < 4.5);
})()"""
DEAD_LINKS = """
    [...document.querySelectorAll("a[href]")]
        .filter(one => !one.getAttribute("href").startsWith("#")
            || !document.getElementById(one.getAttribute("href").slice(1)))
        .map(one => one.outerHTML)
"""
LANES = """
    [...document.querySelectorAll(".lane")].map(one =>
        [one.querySelector("svg").getAttribute("aria-label"),
            one.querySelectorAll(".mark.broken").length])
"""


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def reports():
    """Reports of six vantages, one of them twice."""
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
def page(reports, tmp_path_factory):
    return write_page(tmp_path_factory.mktemp("page") / "page.html", reports)


def write_page(file, reports):
    file.write_text(compare("-", "--format", "html", given=lines(*reports)).stdout)
    return file


def screenshot(browser, name):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    browser.screenshot(SCREENSHOTS / f"{name}.png")


def assert_fits(browser, page, width):
    browser.open(page, width, 800, phone=width < 600)
    assert browser.value("innerWidth") == width
    assert browser.value(SCROLL_WIDTH) <= width
    browser.value(OPEN_DETAILS)
    assert browser.value(SCROLL_WIDTH) <= width
    assert browser.value(TOO_WIDE) == []
    assert browser.value(OVERFLOWING) == []
    assert browser.value(CUT_OFF) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(browser, page, width):
    assert_fits(browser, page, width)


@pytest.fixture(scope="module")
def other_pages(reports, tmp_path_factory):
    """Pages of one report, of an explanation, and of a history."""
    directory = tmp_path_factory.mktemp("pages")
    pages = {
        "report": ["demo", "--fault", "interface-endpoint-missing"],
        "demo": ["demo"],
        "explanation": ["explain", TIMED_OUT],
    }
    for name, command in pages.items():
        done = cli.run(*command, "--format", "html")
        (directory / f"{name}.html").write_text(done.stdout)
    subnet = {"subnet": "subnet-0b1c2d3e4f5a6b7c8", "service": "web"}
    runs = [report(3, hour=hour, **subnet) for hour in (1, 2, 3)]
    runs += [report(3, "s3-gateway-missing", hour=hour, **subnet) for hour in (4, 9)]
    write_page(directory / "history.html", runs)
    return directory


@pytest.mark.parametrize("name", ("report", "demo", "explanation", "history"))
def test_other_pages_fit_and_say_first_what_to_do(browser, other_pages, name):
    file = other_pages / f"{name}.html"
    for width in (360, 1280):
        assert_fits(browser, file, width)
        browser.open(file, width, 800, phone=width < 600)
        assert browser.errors == []
        bottom = browser.value('document.querySelector(".remedy p").getBoundingClientRect().bottom')
        assert bottom <= 800, "the remedy is on the first screen"
        shown = "[...document.querySelectorAll('svg.vpc')].map(one => one.clientWidth)"
        assert sorted(browser.value(shown))[0] == 0 < sorted(browser.value(shown))[1]
        for scheme in ("light", "dark"):
            browser.open(file, width, 800, scheme=scheme, phone=width < 600)
            screenshot(browser, f"{name}-{width}-{scheme}")
    assert browser.value(FAINT) == []


def test_every_cell_says_in_words_what_it_shows(browser, page, reports):
    facts = comparison_of(*reports)["facts"]
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
    failed = browser.value(
        '[...document.querySelectorAll(".matrix .cell.failed")].map(one => one.innerText)'
    )
    assert failed and all("timed-out" in text or "no-credentials" in text for text in failed)


@pytest.mark.parametrize("scheme", ("light", "dark"))
def test_text_has_enough_contrast(browser, page, scheme):
    browser.open(page, scheme=scheme)
    assert browser.value(FAINT) == []


def test_page_works_with_the_keyboard_alone(browser, page):
    browser.open(page)
    active = "document.activeElement"
    for _ in range(200):
        browser.press("Tab")
        if browser.value(f'{active}.matches(".cell.failed")'):
            break
    assert "timed-out" in browser.value(f"{active}.innerText")
    style, width = browser.value(
        "(style => [style.outlineStyle, parseFloat(style.outlineWidth)])"
        f"(getComputedStyle({active}))"
    )
    assert style == "solid" and width >= 2, "the focus is visible"

    # The cell's target is in details that are closed; following the link opens them.
    browser.value('document.querySelectorAll("details.vantage").forEach(one => one.open = false)')
    browser.press("Enter")
    target = 'document.querySelector(":target")'
    assert browser.value(f'{target}.closest("details").open')
    assert "timed-out" in browser.value(f"{target}.innerText")

    third = 'document.querySelectorAll("details.vantage")[2]'
    browser.value(f'{third}.querySelector("summary").focus()')
    for key, expected in (("Enter", True), (" ", False), ("Enter", True)):
        browser.press(key)
        assert browser.value(f"{third}.open") is expected, key
    assert browser.value(
        '[...document.querySelectorAll("a[href], summary")].every(one => one.tabIndex >= 0)'
    )


def test_every_link_leads_somewhere_in_the_page(browser, page):
    browser.open(page)
    assert browser.value(DEAD_LINKS) == []


def test_path_is_drawn_and_its_broken_hop_is_marked(browser, page):
    browser.open(page)
    name = browser.value('document.querySelector("#v0 summary").innerText')
    assert "s3-gateway-missing" in name or "interface-endpoint-missing" in name
    lanes = browser.value(LANES)
    broken = {
        label: marks for label, marks in lanes if "fails at" in label and "partly" not in label
    }
    for start in (
        "s3: task, DNS, S3 gateway endpoint, NAT or internet gateway, service; fails at connect",
        "ecr.api: task, DNS, NAT or internet gateway, service; fails at connect",
    ):
        assert any(label.startswith(start) for label in broken), list(broken)
    assert all(marks == 1 for marks in broken.values())
    assert all(marks == 0 for label, marks in lanes if "fails at" not in label)


def test_page_requests_nothing_and_runs_nothing(browser, page):
    browser.open(page)
    browser.value(OPEN_DETAILS)
    screenshot(browser, "page-desktop")
    assert browser.requests == [page.as_uri()]
    text = page.read_text()
    active = r'<script|<link(?! rel="icon" href="data:,")|<iframe|<img|url\(|@import|\bon\w+='
    assert not re.search(active, text)
    assert "default-src 'none'" in text
    assert browser.errors == []


def hostile_report():
    """Returns a report with markup in all of its text."""
    document = report(1, "s3-gateway-missing", vantage=HOSTILE)
    observations = document["observations"]
    for observation in observations:
        for key in ("detail", "subject", "owner", "host"):
            observation[key] = HOSTILE
    observations[3]["dependency"] = observations[3]["phase"] = HOSTILE
    observations[5]["failure"], observations[5]["outcome"] = HOSTILE, "failed"
    document["verdict"]["summary"] = document["identity"]["role_arn"] = HOSTILE
    for key in ("availability_zone", "address", "cluster"):
        document["vantage"][key] = HOSTILE
    document["vantage"]["resolvers"] = [HOSTILE]
    for finding in document["findings"]:
        for key in ("cause", "summary", "remedy", "confidence"):
            finding[key] = HOSTILE
    return document


def test_markup_in_reports_stays_text(browser, tmp_path):
    hostile, later = hostile_report(), report(1, hour=11, vantage=HOSTILE)
    broken = report(2, "s3-gateway-missing")
    file = write_page(tmp_path / "hostile.html", [hostile, later, broken])
    browser.open(file, 360, 740, phone=True)
    assert browser.value("document.title").startswith("pullprobe: ")
    assert browser.value(ACTIVE_CONTENT) == 0
    assert "owned" in browser.value("document.body.innerText"), "it is shown as text"
    assert browser.value(SCROLL_WIDTH) <= 360
    assert browser.requests == [file.as_uri()]

    alone = write_page(tmp_path / "alone.html", [hostile])
    browser.open(alone)
    assert browser.value(ACTIVE_CONTENT) == 0
    assert browser.requests == [alone.as_uri()]


def test_print_is_unfolded_and_on_white(browser, page, tmp_path):
    browser.open(page, scheme="dark")
    pdf = tmp_path / "page.pdf"
    browser.print_to(pdf)

    command = ["pdftotext", "-layout", pdf, "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert text.count("Observations") == 6, "once for each vantage, folded or not"
    assert "The first difference" in text and "timed-out" in text

    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    first_pages = ["-r", "60", "-png", "-f", "1", "-l", "2"]
    subprocess.run(["pdftoppm", *first_pages, pdf, SCREENSHOTS / "print"], check=True)
    command = ["pdftoppm", "-r", "10", "-f", "1", "-l", "1", pdf]
    image = subprocess.run(command, capture_output=True, check=True).stdout
    pixels = image.split(b"\n", 3)[3]
    assert sum(pixels) / len(pixels) > 200, "paper is white"


def test_phone_and_dark_scheme(browser, page):
    browser.open(page, 360, 740, phone=True)
    screenshot(browser, "page-phone")
    size = browser.value(
        'parseFloat(getComputedStyle(document.querySelector(".remedy p")).fontSize)'
    )
    assert size >= 14

    browser.open(page, scheme="dark")
    screenshot(browser, "page-dark")
    background = browser.value("getComputedStyle(document.documentElement).backgroundColor")
    assert background != "rgb(255, 255, 255)"


def test_one_report_is_a_page_as_well(browser, tmp_path):
    file = write_page(tmp_path / "one.html", [report(1, "tls-intercepted")])
    browser.open(file)
    assert "so the task would not start" in browser.value('document.querySelector("h1").innerText')
    assert browser.value('document.querySelector("#v0").open')


def test_500_subnets_fit_a_page(browser, tmp_path):
    fleet = [report(n, "s3-gateway-missing" if n % 50 == 7 else None) for n in range(500)]
    file = write_page(tmp_path / "fleet.html", fleet)
    assert file.stat().st_size < MAX_PAGE
    for width in (360, 1280):
        browser.open(file, width, 800, phone=width < 600)
        assert browser.value(SCROLL_WIDTH) <= width
    title = browser.value('document.querySelector("h1").innerText')
    assert "10 of 500 vantages fail" in title
    names = browser.value("document.body.textContent")
    assert all(f"10.{n >> 8}.{n & 255}.0/24" in names for n in range(500)), "folded, but there"
