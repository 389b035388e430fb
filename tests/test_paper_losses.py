"""The figure of lost messages: what each rule leaves of five methods."""

import matplotlib as mpl
import pytest

from jaxdec.papers import losses

mpl.use("Agg")
import matplotlib.pyplot as plt


@pytest.mark.slow
def test_only_a_rule_that_keeps_what_a_method_needs_lets_it_reach_the_minimizer():
    found = losses.experiment(probabilities=(0.0, 0.3), rounds=1500, seeds=2)
    exact = [name for name in losses.METHODS if name != "DSGD"]
    error = found["error"].max("seed")
    assert (error.sel(algorithm=exact, probability=0.0) < 1e-3).all()
    assert (error.sel(algorithm=exact, network="link") < 1e-3).all()
    assert float(error.sel(algorithm="PushDIGing", network="sender", probability=0.3)) < 1e-3
    lost = error.sel(probability=0.3)
    assert not (lost.sel(network=["self", "renormalize", "drop"]) < 1e-2).any()
    assert not (lost.sel(algorithm=exact[:-1], network="sender") < 1e-2).any()
    assert not found["refused"].sel(network="link").any()
    assert found["refused"].sel(network="drop").all()
    assert not found["refused"].sel(network="sender", algorithm="PushDIGing")
    figure = losses.figure(found)
    assert [ax.get_title() for ax in figure.axes] == list(losses.METHODS)
    plt.close(figure)
