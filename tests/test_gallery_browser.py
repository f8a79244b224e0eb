"""The pages in a real browser: by keyboard, on a phone, with scripts and without."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from graders import derived, make_grader
from PIL import Image
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright
from shelves import FolderShelf, served
from support_core import fundus
from test_gallery_prose import HOSTILE
from tiny import Tiny

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)

WIDE = {"width": 1300, "height": 900}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine: install the package chromium")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
            )
        except Error as error:
            pytest.skip(f"Chromium does not start here: {error.message.splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def root(
    tmp_path_factory: pytest.TempPathFactory, make_query: Callable[..., Path], tiny: Tiny
) -> Path:
    root = tmp_path_factory.mktemp("root")
    disc = make_query(root / "lab/disc/1.0.0", name="disc", summary="Marks one thing.")
    Image.fromarray(fundus()).resize((640, 640)).save(disc / "overlay.jpg")
    make_query(root / "lab/pair/1.0.0", name="pair", seed=1, targets=2, summary="Marks two things.")
    make_grader(
        root / "lab/looks/1.0.0",
        backbone=tiny.backbone,
        name="looks",
        pool="attention",
        derived=(derived(),),
    )
    hostile = make_query(
        root / "mallory/card/1.0.0",
        name="card",
        seed=2,
        measured=False,
        summary="<img src=x onerror=alert(1)> is only text.",
    )
    (hostile / "README.md").write_text(HOSTILE)
    (hostile / "overlay.jpg").write_text(
        "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
    )
    return root


@pytest.fixture
def url(root: Path, registry_folder: Path, cache: Path) -> Iterator[str]:
    with served(FolderShelf(root)) as url:
        yield url


class Visit:
    """A page, and all that it asked for or complained of."""

    def __init__(self, browser: Browser, **options: object) -> None:
        self.context = browser.new_context(**({"viewport": WIDE} | options))
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("dialog", self._dismiss)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._note)

    def _dismiss(self, dialog: object) -> None:
        self.complaints.append("a dialog was opened")
        dialog.dismiss()

    def _note(self, message: object) -> None:
        if message.type == "error" and "404" not in message.text:
            self.complaints.append(message.text)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    visits: list[Visit] = []

    def start(**options: object) -> Visit:
        visits.append(Visit(browser, **options))
        return visits[-1]

    yield start
    for one in visits:
        one.context.close()
        assert one.complaints == []


PATHS = ["/", "/lab/disc", "/lab/pair", "/lab/looks", "/apply", "/mallory/card", "/lab/none"]


RATIOS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d");
  const light = (text) => {
    canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
      .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }
  };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const text = [...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
    if (!text || !node.checkVisibility() || node.closest("svg, option, script")) continue;
    const [a, b] = [light(getComputedStyle(node).color), light(ground(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) found.push(`${node.tagName} ${node.className} ${ratio.toFixed(2)}`);
  }
  return found;
}"""


LINES = """node => {
  const range = document.createRange();
  range.selectNodeContents(node);
  return range.getClientRects().length;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_never_scrolls_sideways_and_text_stands_out(url, visit, scheme):
    page = visit(viewport=PHONE, color_scheme=scheme).page
    for path in PATHS:
        page.goto(url + path)
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"], path
        assert page.evaluate(RATIOS) == [], path
        for link in page.locator(".bar nav a").all():
            assert link.evaluate(LINES) == 1, path


def test_search_and_filters_work_by_keyboard_alone(url, visit):
    page = visit().page
    page.goto(url)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Words")).to_be_focused()
    page.keyboard.type("two things")
    page.keyboard.press("Enter")
    page.wait_for_url("**words=two+things**")
    expect(page.get_by_role("heading", name="No query")).to_be_visible()
    page.goto(f"{url}/?words=pair")
    link = page.get_by_role("link", name="lab/pair")
    for _ in range(30):
        page.keyboard.press("Tab")
        if link.evaluate("node => node === document.activeElement"):
            break
    expect(link).to_be_focused()
    card = page.locator(".card").first
    assert card.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url("**/lab/pair")


def test_every_control_shows_that_it_has_the_focus(url, visit):
    page = visit().page
    page.goto(f"{url}/apply")
    seen = []
    for _ in range(12):
        page.keyboard.press("Tab")
        name, style = page.evaluate(
            "() => [document.activeElement.tagName, "
            "getComputedStyle(document.activeElement).outlineStyle]"
        )
        seen.append(name)
        assert style == "solid", seen
        if name == "BUTTON":
            break
    assert seen[-1] == "BUTTON" and seen.count("INPUT") >= 3


def test_every_input_has_a_label(url, visit):
    page = visit().page
    for path in ("/", "/apply"):
        page.goto(url + path)
        bare = page.evaluate(
            "() => [...document.querySelectorAll('input:not([type=hidden]), select')]"
            ".filter((one) => !one.labels.length).map((one) => one.outerHTML)"
        )
        assert bare == []


def test_a_filter_is_chosen_and_taken_away(url, visit):
    page = visit().page
    page.goto(url)
    page.get_by_label("Dice at least").fill("0.4")
    page.get_by_label("Sort by").select_option("name")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".card h3")).to_have_text(["lab/disc", "lab/pair"])
    page.get_by_role("link", name="Dice at least 0.4").click()
    expect(page.locator(".card h3")).to_have_count(4)


def test_a_hostile_card_does_nothing(url, visit):
    one = visit()
    one.page.goto(f"{url}/mallory/card")
    one.page.goto(f"{url}/")
    one.page.goto(f"{url}/mallory/card")
    one.page.wait_for_load_state("networkidle")
    expect(one.page.get_by_role("heading", name="Model card")).to_be_visible()
    assert one.page.locator(".prose").locator("script, form, iframe, img, style, svg").count() == 0
    assert all(address.startswith(url) for address in one.asked)


def test_lines_are_copied(url, visit):
    page = visit().page
    page.goto(f"{url}/lab/disc")
    page.get_by_role("button", name="Copy: Shell lines").click()
    expect(page.get_by_role("button", name="Copy: Shell lines")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == (
        f"export HF_ENDPOINT={url}\n"
        "retq pull lab/disc@1.0.0\n"
        "retq segment eye.jpg -q lab/disc@1.0.0 -o out/"
    )


def test_without_scripts_all_can_be_read_and_tried(url, visit, tmp_path):
    page = visit(java_script_enabled=False).page
    page.goto(f"{url}/lab/disc")
    expect(page.get_by_text("retq pull lab/disc@1.0.0")).to_be_visible()
    assert page.get_by_role("button").count() == 0
    page.get_by_role("link", name="Try it on a photograph").click()
    Image.fromarray(fundus()).save(tmp_path / "eye.png")
    page.get_by_label("JPEG, PNG").set_input_files(tmp_path / "eye.png")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("heading", name="What was marked")).to_be_visible()
    expect(page.get_by_role("img", name="outlined")).to_be_visible()
    assert page.locator("input[type=range]:visible").count() == 0


MARKED = """(number) => {
  const canvas = document.querySelectorAll("#stage canvas")[number];
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let [line, inner] = [0, 0];
  for (let at = 3; at < data.length; at += 4) {
    line += data[at] === 255;
    inner += data[at] > 0 && data[at] < 150 || data[at] > 150 && data[at] < 255;
  }
  return [line, inner, canvas.hidden];
}"""


def test_sliders_change_what_is_drawn(url, visit, tmp_path):
    page = visit().page
    page.goto(f"{url}/apply?q=lab/disc&q=lab/pair")
    Image.fromarray(fundus()).save(tmp_path / "eye.png")
    page.get_by_label("JPEG, PNG").set_input_files(tmp_path / "eye.png")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_selector("#stage[data-ready]")
    assert page.locator("#stage canvas").count() == 3
    area = page.locator(".area").first
    published, (line, inner, hidden) = area.inner_text(), page.evaluate(MARKED, 0)
    assert not hidden

    threshold = page.get_by_label("Threshold").first
    threshold.focus()
    threshold.press("Home")
    assert area.inner_text() != published
    assert sum(page.evaluate(MARKED, 0)[:2]) > line + inner
    threshold.press("End")
    assert sum(page.evaluate(MARKED, 0)[:2]) < line + inner
    page.get_by_role("button", name="Published thresholds").click()
    assert page.evaluate(MARKED, 0) == [line, inner, False]
    assert area.inner_text() == published

    fill = page.get_by_label("Fill").first
    fill.focus()
    fill.press("Home")
    assert page.evaluate(MARKED, 0)[:2] == [line, 0]
    page.get_by_label("Show").first.uncheck()
    assert page.evaluate(MARKED, 0)[2]
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDE["width"]


def test_a_grading_is_read_and_unfolded_without_a_map_to_draw(url, visit):
    page = visit(viewport=PHONE).page
    page.goto(f"{url}/apply?q=lab/looks")
    page.get_by_role("button", name="Try it with the example").click()
    expect(page.get_by_role("heading", name="What was said")).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(5)
    picture = page.get_by_alt_text("How much each place counted")
    expect(picture).not_to_be_visible()
    page.get_by_text("Where it looked").click()
    expect(picture).to_be_visible()
    assert page.evaluate(RATIOS) == []
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_a_result_fits_a_phone(url, visit):
    page = visit(viewport=PHONE).page
    page.goto(f"{url}/apply")
    page.get_by_role("button", name="Try it with the example").click()
    page.wait_for_selector("#stage[data-ready]")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    box = page.locator("#stage").bounding_box()
    assert page.locator("#stage canvas").first.bounding_box() == box


def test_a_file_that_is_no_photograph_is_said_on_the_page(url, visit, tmp_path):
    one = visit()
    one.page.goto(f"{url}/apply")
    (tmp_path / "notes.txt").write_text("no photograph")
    one.page.get_by_label("JPEG, PNG").set_input_files(tmp_path / "notes.txt")
    one.page.get_by_role("button", name="Apply").click()
    expect(one.page.get_by_role("alert")).to_contain_text("is no PNG, JPEG, TIFF or BMP image")
    one.complaints.clear()  # the browser notes the answer's status, 415
