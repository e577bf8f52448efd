"""report.tex to report.pdf, where latexmk is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from clair_stats.files import written_whole

__all__ = ["LATEX_HINT", "compile_report"]

LATEX_HINT = (
    "report.pdf: left out, latexmk is not installed; on Debian or Ubuntu: "
    "apt-get install --no-install-recommends texlive-latex-recommended texlive-science latexmk lmodern"
)
_MOST_SECONDS = 300


def compile_report(folder: Path) -> Path:
    """Run latexmk in a scratch folder, so that no auxiliary file stays, and move the PDF into place.

    Raises
    ------
    RuntimeError
        latexmk fails; the message gives its first error.
    """
    with tempfile.TemporaryDirectory(prefix="clair-report-") as scratch:
        # SOURCE_DATE_EPOCH: the same results give the same bytes.
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "max_print_line": "200"}
        command = ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", f"-outdir={scratch}", "report.tex"]
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_MOST_SECONDS,
        )
        produced = Path(scratch) / "report.pdf"
        if done.returncode != 0 or not produced.is_file():
            wrong = [line for line in done.stdout.splitlines() if line.startswith(("!", "l."))]
            raise RuntimeError(
                f"{folder / 'report.tex'}: latexmk failed ({'; '.join(wrong[:3]) or 'no message'}); "
                "install texlive-science for siunitx, or look at the run with: latexmk -pdf report.tex"
            )
        target = folder / "report.pdf"
        with written_whole(target) as beside:
            shutil.copyfile(produced, beside)
    return target
