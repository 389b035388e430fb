"""`python -m jaxdec.papers.mcm`."""

from jaxdec.papers.command import main
from jaxdec.papers.mcm import PAPER

main(PAPER)
