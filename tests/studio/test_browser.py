"""The studio in a real browser, from an empty folder to a downloaded video: `bash scripts/test.sh --browser`."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import free_port, serving

pytest.importorskip("gradio")
sync_api = pytest.importorskip("playwright.sync_api")

TABS = ("People", "New person", "Training", "Speak", "Jobs")
WIDTHS = {"narrow": (390, 844), "wide": (1280, 900)}
pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def screens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: SPEECH2LIP_SCREENS, or a temporary folder."""
    given = os.environ.get("SPEECH2LIP_SCREENS")
    folder = Path(given) if given else tmp_path_factory.mktemp("screens")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and folder of a studio that runs."""
    data, port = tmp_path / "people", free_port()
    with serving("studio", data, port, "--no-browser"):
        yield f"http://127.0.0.1:{port}/", data


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    own = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    with sync_api.sync_playwright() as play:
        try:
            made = play.chromium.launch(executable_path=own, args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"no Chromium ({str(error).splitlines()[0]}): bash scripts/test.sh --browser")
        yield made
        made.close()


def _page(browser: sync_api.Browser, address: str, size: tuple[int, int] = WIDTHS["wide"]) -> sync_api.Page:
    """A page that may reach this machine alone; what it asks of others is written down."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, accept_downloads=True)
    page = context.new_page()
    page.others = []  # type: ignore[attr-defined]

    def allow(route: sync_api.Route) -> None:
        if route.request.url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            page.others.append(route.request.url)  # type: ignore[attr-defined]
            route.abort()

    context.route("**/*", allow)
    page.goto(address)
    page.get_by_role("tab", name="People").wait_for(timeout=60_000)
    return page


def _tab(page: sync_api.Page, name: str) -> None:
    page.get_by_role("tab", name=TABS[0], exact=True).first.wait_for(timeout=60_000)
    tab = page.get_by_role("tab", name=name, exact=True).first
    try:
        tab.click(timeout=5_000)
    except sync_api.Error:  # narrow pages keep some behind a button
        page.get_by_label("More tabs").first.click()
        page.get_by_text(name, exact=True).last.click()


def test_from_an_empty_folder_to_a_downloaded_video(browser, studio, screens, clip, tmp_path):
    address, _ = studio
    page = _page(browser, address)
    page.get_by_text("Nobody was learned yet").wait_for(timeout=30_000)
    _tab(page, "New person")
    page.get_by_role("button", name="Learn this person").click()
    page.get_by_text("nobody is learned who did not agree").wait_for()
    page.locator("input[type=file]").first.set_input_files(str(clip / "speaker.mp4"))
    name = page.get_by_label("Name", exact=True)
    sync_api.expect(name).to_have_value("speaker", timeout=30_000)
    name.fill("anna")
    started = time.monotonic()
    page.get_by_role("button", name="Check the video").click()
    page.locator("iframe[title=report]").wait_for(timeout=180_000)
    page.screenshot(path=screens / "wide_report.png", full_page=True)
    page.get_by_label("Minutes of training", exact=False).first.fill("1")
    page.get_by_label("The person in the video agreed", exact=False).check()
    page.get_by_role("button", name="Learn this person").click()
    page.get_by_text("is being learned").first.wait_for()
    _tab(page, "Training")
    page.get_by_text("running").first.wait_for(timeout=60_000)
    page.reload()
    _tab(page, "Training")
    page.get_by_text("running").first.wait_for(timeout=60_000)
    other = _page(browser, address)  # a second page finds the same job
    _tab(other, "Jobs")
    other.get_by_text("anna").first.wait_for(timeout=30_000)
    page.locator("img[src*='preview']").wait_for(timeout=300_000)
    print(f"from dropping a video to the first preview: {time.monotonic() - started:.0f} s")
    page.screenshot(path=screens / "wide_training.png", full_page=True)
    page.get_by_text("done").first.wait_for(timeout=300_000)
    _tab(page, "Speak")
    page.locator("input[type=file]:visible, input[type=file]").nth(1).set_input_files(str(clip / "speaker.wav"))
    page.get_by_role("button", name="Speak", exact=True).click()
    page.get_by_text("anna has spoken").wait_for(timeout=180_000)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    download.value.save_as(tmp_path / "result.mp4")
    assert (tmp_path / "result.mp4").read_bytes()[4:8] == b"ftyp"
    for width, size in WIDTHS.items():
        page.set_viewport_size({"width": size[0], "height": size[1]})
        for tab in TABS:
            _tab(page, tab)
            page.wait_for_timeout(1500)
            page.screenshot(path=screens / f"{width}_{tab.replace(' ', '_').lower()}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1"), (
                f"{tab} is wider than {size[0]}"
            )
    assert page.others == [] and other.others == []


def test_a_file_that_is_no_video_is_said_in_words(browser, studio, screens, tmp_path):
    address, _ = studio
    page = _page(browser, address)
    _tab(page, "New person")
    (tmp_path / "note.mp4").write_text("no video at all\n" * 100)
    page.locator("input[type=file]").first.set_input_files(str(tmp_path / "note.mp4"))
    page.get_by_label("Name", exact=True).fill("bob")
    page.get_by_role("button", name="Check the video").click()
    page.get_by_text("note.mp4 cannot be read as video").locator("visible=true").first.wait_for(timeout=120_000)
    page.screenshot(path=screens / "wide_no_video.png", full_page=True)
    assert not page.get_by_text("Traceback").count()


def test_everything_has_a_name_for_who_does_not_see(browser, studio):
    """Buttons and fields that have neither a label nor a text cannot be used with a screen reader."""
    address, _ = studio
    page = _page(browser, address)
    nameless = []
    for tab in TABS:
        _tab(page, tab)
        for kind in ("button", "textbox", "combobox", "slider", "checkbox"):
            for found in page.get_by_role(kind).all():
                if found.is_visible() and not page.evaluate(
                    "e => (e.innerText || e.getAttribute('aria-label') || e.title || (e.labels && e.labels.length) || e.placeholder)",
                    found.element_handle(),
                ):
                    nameless.append((tab, kind, found.evaluate("e => e.outerHTML.slice(0, 120)")))
    assert not nameless, nameless
