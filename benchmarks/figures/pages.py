"""What is no figure: a page for a browser."""

from jaxdec import algorithms, data, networks, problems, sweep
from jaxdec.results import report


def a_report(path):
    """A sweep's report, for a browser: tables, curves whose axes are chosen there, comparisons, network and data."""
    digits, ring = data.digits(), networks.ring(8)
    problem = problems.softmax(digits, data.dirichlet(digits, n=8, alpha=0.1), batch_size=16, l2=1e-3)
    methods = {
        "DSGD": algorithms.DSGD(lr=0.1),
        "local DSGD": algorithms.LocalDSGD(lr=0.1, local_steps=5),
        "K-GT": algorithms.KGT(lr=0.1, local_steps=5),
    }
    found = sweep(methods, problem, ring, over={"lr": [0.03, 0.1, 0.3, 1.0]}, seeds=5, rounds=100, every=10)
    return report(found, path, title="Digits on a ring", network=ring, problem=problem)
