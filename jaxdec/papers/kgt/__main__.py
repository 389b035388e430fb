"""`python -m jaxdec.papers.kgt`."""

from jaxdec.papers.command import main
from jaxdec.papers.kgt import PAPER

main(PAPER)
