"""How Sphinx builds the site: `sphinx-build -W -b html docs docs/_build/html`."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

import jaxdec  # noqa: E402  after the path is set

project = "jaxdec"
author = "The jaxdec authors"
copyright = "The jaxdec authors, Apache-2.0"
release = version = jaxdec.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxcontrib.bibtex",
    "sphinx_copybutton",
    "sitepages.extension",
]
exclude_patterns = ["_build", "_ext", "_extra"]
default_role = "py:obj"  # a link where there is something of that name, else code

nb_execution_mode = "off"  # they are stored with their outputs
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
bibtex_bibfiles = ["../jaxdec/references.bib"]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
napoleon_use_rtype = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "jaxdec"
html_static_path = ["_static"]
html_extra_path = ["_extra"]  # what is made when the site is
(HERE / "_extra").mkdir(exist_ok=True)
html_css_files = ["jaxdec.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_prev_next": False,
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
}
