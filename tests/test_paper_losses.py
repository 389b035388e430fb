"""The figure of lost messages: what each rule leaves of five methods."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from jaxdec.papers import losses
from jaxdec.papers.reproduce import computed

mpl.use("Agg")


@pytest.mark.slow
def test_only_a_rule_that_keeps_what_a_method_needs_lets_it_reach_the_minimizer():
    (exhibit,) = losses.PAPER.exhibits
    found, _ = computed(exhibit, "fast", progress=False)
    error = found["error"].isel(round=-1).max("seed").rename({losses.OVER: "probability"})
    exact = [name for name in losses.METHODS if name != "DSGD"]
    assert (error.sel(algorithm=exact, probability=0.0) < 1e-3).all()
    assert (error.sel(algorithm=exact, network="link") < 1e-3).all()
    assert float(error.sel(algorithm="PushDIGing", network="sender", probability=0.3)) < 1e-3
    lost = error.sel(probability=0.3)
    assert not (lost.sel(network=["self", "renormalize", "drop"]) < 1e-2).any()
    assert not (lost.sel(algorithm=exact[:-1], network="sender") < 1e-2).any()
    assert not any(losses.refused(found, method, "link") for method in losses.METHODS)
    assert all(losses.refused(found, method, "drop") for method in losses.METHODS)
    assert not losses.refused(found, "PushDIGing", "sender")
    figure = exhibit.figure(found)
    assert [ax.get_title() for ax in figure.axes] == list(losses.METHODS)
    plt.close(figure)
