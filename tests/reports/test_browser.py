"""The page in a real browser: the console stays empty, and at 390 px nothing but tables scrolls sideways."""

import re
import shutil
import subprocess

import pytest

from reports.document import build
from reports.reading import read_inputs
from tests.reports.test_build import results  # noqa: F401 - the fixture of a small results folder

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS = (390, 1280)

# Frames have the width they are told, while a window of the browser has at least 500 px.
PROBE = """<!DOCTYPE html><body><script>
onload = () => {
  const told = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument;
    const wide = [...page.querySelectorAll("main > *, section > *, figure > *")].filter(
      e => e.getBoundingClientRect().right > frame.clientWidth + 1).map(e => e.tagName + "#" + e.id);
    const menu = page.querySelector("nav > ul").getBoundingClientRect().height > 0;
    return frame.clientWidth + " " + page.documentElement.scrollWidth + " " + menu + " " + wide.join(",");
  });
  document.title = told.join(";");
};
</script>%s</body>"""


def run(*arguments):
    return subprocess.run(
        [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--allow-file-access-from-files",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_page_fits_narrow_and_wide_screens_and_the_console_is_empty(results, tmp_path):  # noqa: F811
    output = tmp_path / "out"
    build(read_inputs(results), output, pdf=False)
    frames = "".join(f'<iframe src="{output / "index.html"}" width="{w}" height="800"></iframe>' for w in WIDTHS)
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE % frames)
    done = run("--enable-logging=stderr", "--dump-dom", f"file://{probe}")
    assert not re.search(r"CONSOLE", done.stderr)
    narrow, wide = re.search(r"<title>(.*?)</title>", done.stdout)[1].split(";")
    assert narrow.split(" ") == ["390", "390", "false", ""]  # contents are folded, nothing sticks out
    assert wide.split(" ") == ["1280", "1280", "true", ""]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_a_message_on_the_console_is_noticed(tmp_path):
    probe = tmp_path / "probe.html"
    probe.write_text("<script>console.error('wrong')</script>")
    done = run("--enable-logging=stderr", "--dump-dom", f"file://{probe}")
    assert re.search(r"CONSOLE.*wrong", done.stderr)
