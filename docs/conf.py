"""Configuration of the documentation site; ``make docs`` builds it into docs/_build/html."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

if TYPE_CHECKING:
    from sphinx.application import Sphinx

import clair_stats  # noqa: E402 - found through the path above

project = "CLAIR-stats"
author = "The CLAIR-stats founders"
release = clair_stats.__version__
version = release
html_title = f"CLAIR-stats {release}"
language = "en"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    # MathJax 3 as files of this site, so that pages render without a network.
    "sphinx-mathjax-offline",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "mathematics_in_pages",
]
exclude_patterns = ["_build", "examples/*.py", "examples/GALLERY_HEADER.rst"]
templates_path = ["_templates"]

# Markdown
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
# Formulas are TeX between dollar signs when MyST sees them.
myst_dmath_allow_labels = False
myst_dmath_double_inline = True

# The API, from docstrings
autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = False

# The gallery: every script runs, and an example that raises ends the build.
sphinx_gallery_conf: dict[str, Any] = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "capture_repr": (),
    "reference_url": {"clair_stats": None},
    "image_scrapers": ("matplotlib",),
    "matplotlib_animations": False,
}

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
# Pages without pages below them: the bar would be empty.
html_sidebars: dict[str, list[str]] = {name: [] for name in ("getting_started", "no_majority", "detector", "limits")}
html_theme_options = {
    "logo": {"text": "CLAIR-stats"},
    "header_links_before_dropdown": 4,
    "navbar_align": "left",
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
copyright = "the CLAIR-stats founders, BSD 3-Clause"


def _built_examples(app: Sphinx, docname: str, source: list[str]) -> None:
    """Pages link to the scripts of docs/examples, which stand in the repository; here they lead to what was built."""
    del app, docname
    source[0] = re.sub(r"\]\(examples/(\w+)\.py\)", r"](auto_examples/\1.rst)", source[0])
    source[0] = source[0].replace("](examples/)", "](auto_examples/index.rst)")


def setup(app: Sphinx) -> None:
    """Register what belongs to this site alone."""
    app.connect("source-read", _built_examples)
