"""Runs a page from disk in headless Chromium and says what a script of the test found."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)

# Errors are collected from the first line on; the test's script runs when the page is ready.
PROBE = """<script>
window.errors = [];
const note = (event) => errors.push(String(event.message || event.target.outerHTML));
addEventListener("error", note, true);
addEventListener("load", () => {
  let found;
  try { found = (() => { %s })(); } catch (error) { errors.push(String(error)); }
  const out = document.createElement("pre");
  out.id = "found";
  out.textContent = JSON.stringify({ found: found === undefined ? null : found, errors });
  document.body.append(out);
});
</script>"""


def evaluate(page: Path, script: str, folder: Path) -> tuple[Any, list[str]]:
    """What `script` (a function's body) returns on `page`, and the page's errors.

    The page is copied beside itself with the probe in its head, so that relative links hold.
    """
    probed = page.with_name(f"probed-{page.name}")
    text = page.read_text(encoding="utf-8")
    probed.write_text(text.replace("<head>", "<head>" + PROBE % script, 1), encoding="utf-8")
    try:
        done = subprocess.run(
            [
                str(CHROMIUM),
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-extensions",
                "--disable-background-networking",
                "--allow-file-access-from-files",
                f"--user-data-dir={folder / 'profile'}",
                "--virtual-time-budget=3000",
                "--dump-dom",
                probed.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        probed.unlink()
    match = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)
    assert match is not None, done.stderr[-2000:]
    result = json.loads(html.unescape(match.group(1)))
    return result["found"], result["errors"]
