"""`python -m jaxdec.papers.quantized_push_sum`."""

from jaxdec.papers.command import main
from jaxdec.papers.quantized_push_sum import PAPER

main(PAPER)
