"""What makes the pages of the site: from docstrings and sources; Sphinx is needed by `extension` alone."""
