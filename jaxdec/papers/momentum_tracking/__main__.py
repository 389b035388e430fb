"""`python -m jaxdec.papers.momentum_tracking`."""

from jaxdec.papers.command import main
from jaxdec.papers.momentum_tracking import PAPER

main(PAPER)
