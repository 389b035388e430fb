"""`python -m jaxdec.papers.savic`."""

from jaxdec.papers.command import main
from jaxdec.papers.savic import PAPER

main(PAPER)
