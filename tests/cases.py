"""One row per algorithm: what the conformance battery needs to know about it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import optax
from jax.tree_util import Partial
from reference import decentralized as reference
from reference import directed, low_communication, primal_dual, relay, running_sums
from rounds import fold
from samples import PROBLEM as SAMPLES
from tensors import PROBLEM as TENSORS

from jaxdec import algorithms as A
from jaxdec import compressors, graphs, networks, problems, scaling, testing
from jaxdec.compressors import three_point
from jaxdec.loop import Keys
from jaxdec.networks import clocks
from jaxdec.testing import gradients  # noqa: F401  what tests that import this file take from it

N, D = 6, 3

# An irregular graph with Metropolis-Hastings weights, made lazy: symmetric, its least eigenvalue well above -1/3.
UNDIRECTED = networks.static(graphs.lazy(graphs.metropolis(graphs.from_networkx(nx.lollipop_graph(4, 2)))))


def quadratic(noise: float) -> problems.Quadratic:
    """Heterogeneous in curvature and minimizer, with full matrices: no two nodes agree on anything."""
    return testing.quadratic(N, D, noise=noise)


X0 = np.random.default_rng(4).standard_normal(D)


@dataclass(frozen=True)
class Case:
    """An algorithm at settings with which it is stable on the quadratic above, and what is known of it."""

    algorithm: Any
    reference: Callable[..., np.ndarray] | None  # (W, grad, x0, rounds) -> (rounds + 1, n, d)
    exact: bool  # whether the minimizer is its fixed point on heterogeneous problems
    zero_sum: str | None = None  # a field of the state whose sum over nodes stays zero
    network: Any = UNDIRECTED
    problem: Any = field(default_factory=partial(quadratic, 0.5))

    @property
    def name(self) -> str:
        options = [f"{k}={v}" for k, v in vars(self.algorithm).items() if isinstance(v, str | int) and v != 1]
        return " ".join([type(self.algorithm).__name__, *options])


def coins(probability: float, count: int = 20, seed: int = 7) -> np.ndarray:
    """Which rounds of a run ProxSkip communicates in: its coin has a key of its own."""
    keys = Keys.of(seed)
    step = lambda t: jax.random.split(jax.random.fold_in(keys.rounds, t))[1]
    flip = lambda t: jax.random.bernoulli(fold(step(t), "coin"), probability)
    return np.asarray(jax.vmap(flip)(jnp.arange(count)))


def keep_two(t: int, i: int, v: np.ndarray) -> np.ndarray:
    """Top-2, for the references."""
    return np.where(np.abs(v) >= np.sort(np.abs(v))[-2], v, 0)


CASES = [
    Case(A.DSGD(lr=0.3), partial(reference.dsgd, lr=0.3, form="atc"), exact=False),
    Case(A.DSGD(lr=0.3, form="cta"), partial(reference.dsgd, lr=0.3, form="cta"), exact=False),
    Case(
        A.LocalDSGD(lr=0.2, local_steps=3),
        partial(reference.local_dsgd, lr=0.2, local_steps=3),
        exact=False,
    ),
    Case(A.GradientTracking(lr=0.2), partial(reference.gradient_tracking, lr=0.2, form="semi-atc"), exact=True),
    Case(
        A.GradientTracking(lr=0.2, form="cta"),
        partial(reference.gradient_tracking, lr=0.2, form="cta"),
        exact=True,
    ),
    Case(
        A.GradientTracking(lr=0.2, form="atc"),
        partial(reference.gradient_tracking, lr=0.2, form="atc"),
        exact=True,
    ),
    Case(
        A.KGT(lr=0.05, local_steps=3, outer_lr=0.8),
        partial(reference.kgt, lr=0.05, local_steps=3, outer_lr=0.8, init="zero"),
        exact=True,
        zero_sum="c",
    ),
    Case(
        A.KGT(lr=0.05, local_steps=3, outer_lr=0.8, start="paper"),
        partial(reference.kgt, lr=0.05, local_steps=3, outer_lr=0.8, init="paper"),
        exact=True,
        zero_sum="c",
    ),
    Case(
        A.MomentumTracking(lr=0.05, momentum=0.7),
        partial(reference.momentum_tracking, lr=0.05, momentum=0.7, init="authors"),
        exact=True,
        zero_sum="c",
    ),
    Case(
        A.MomentumTracking(lr=0.05, momentum=0.7, start="zero"),
        partial(reference.momentum_tracking, lr=0.05, momentum=0.7, init="zero"),
        exact=True,
        zero_sum="c",
    ),
    Case(
        A.PeriodicalGT(lr=0.05, local_steps=3, outer_lr=0.8),
        partial(reference.periodical_gt, lr=0.05, local_steps=3, outer_lr=0.8, track="last"),
        exact=True,
        zero_sum="c",
    ),
    Case(
        A.PeriodicalGT(lr=0.05, local_steps=3, outer_lr=0.8, track="first"),
        partial(reference.periodical_gt, lr=0.05, local_steps=3, outer_lr=0.8, track="first"),
        exact=True,
        zero_sum="c",
    ),
    Case(
        A.GradientTrackingHB(lr=0.2, momentum=0.7, start="zero"),
        partial(reference.gt_hb, lr=0.2, momentum=0.7),
        exact=True,
    ),
    Case(A.D2(lr=0.3), partial(reference.d2, lr=0.3), exact=True, zero_sum="c"),
    Case(A.NIDS(lr=0.3), partial(reference.nids, lr=0.3), exact=True, zero_sum="c"),
    Case(A.EXTRA(lr=0.3), partial(reference.extra, lr=0.3), exact=True, zero_sum="c"),
    Case(
        A.LED(lr=0.1, local_steps=3),
        partial(reference.led, lr=0.1, local_steps=3),
        exact=True,
        zero_sum="y",
    ),
    Case(
        A.ProxSkip(lr=0.3, probability=0.4, consensus_lr=0.9),
        partial(reference.proxskip, lr=0.3, prob=0.4, coins=coins(0.4), tau=0.9 * 0.4 / 0.3),
        exact=True,
        zero_sum="h",
    ),
    Case(
        A.DSGDm(lr=0.1, momentum=0.7, weight_decay=0.1),
        partial(reference.dsgdm, lr=0.1, momentum=0.7, weight_decay=0.1),
        exact=False,
    ),
    Case(
        A.QGDSGDm(lr=0.1, momentum=0.7, weight_decay=0.1),
        partial(reference.qg_dsgdm, lr=0.1, momentum=0.7, weight_decay=0.1),
        exact=False,
    ),
    Case(
        A.QGDSGDm(lr=0.1, momentum=0.7, buffer_momentum=0.8, nesterov=True),
        partial(reference.qg_dsgdm, lr=0.1, momentum=0.7, buffer_momentum=0.8, nesterov=True),
        exact=False,
    ),
    Case(
        A.DecentLaM(lr=0.1, momentum=0.7, weight_decay=0.1),
        partial(reference.decentlam, lr=0.1, momentum=0.7, weight_decay=0.1),
        exact=False,
    ),
    Case(
        A.ChocoSGD(lr=0.1, consensus_lr=0.6, compressor=compressors.TopK(k=2)),
        partial(directed.choco_sgd, lr=0.1, consensus_lr=0.6, compress=keep_two),
        exact=False,
    ),
]


PUSH = networks.random_digraph(N, 0.2)

CASES += [
    Case(A.StochasticGradientPush(lr=0.1), lambda *a: directed.push_sum_sgd(*a, lr=0.1)[0], exact=False, network=PUSH),
    Case(
        A.QuantizedPushSum(lr=0.1, compressor=compressors.Identity()),
        lambda *a: directed.qps_sgd(*a, lr=0.1, quantize=lambda t, i, v: v)[0],
        exact=False,
        network=PUSH,
    ),
    Case(A.PushDIGing(lr=0.1), lambda *a: directed.push_diging(*a, lr=0.1)[0], exact=True, network=PUSH),
    Case(
        A.RobustStochasticGradientPush(lr=0.1, floor=0.05),
        lambda W, *a: running_sums.gradient_push(W, *a, lr=0.1, floor=0.05),
        exact=False,
        network=PUSH,
    ),
    Case(A.ASYSONATA(lr=0.1), lambda W, *a: running_sums.asy_sonata(W, *a, lr=0.1), exact=True, network=PUSH),
]

TREE = networks.tree(N)

CASES += [
    Case(A.RelaySGD(lr=0.1), partial(relay.relay_sgd, lr=0.1), exact=True, network=TREE),
    Case(A.RelaySGDGrad(lr=0.1), partial(relay.relay_sgd_grad, lr=0.1), exact=False, network=TREE),
]

LOCAL, MOMENTS = {"lr": 0.1, "local_steps": 3}, {"b1": 0.8, "b2": 0.9, "eps": 0.2}


def case(algorithm: Any, reference: Callable[..., np.ndarray], *, exact: bool, zero_sum: str | None = None) -> Case:
    """A row whose reference takes the method's fields."""
    return Case(algorithm, partial(reference, **vars(algorithm)), exact=exact, zero_sum=zero_sum)


# In test_primal_dual.
CASES += [
    case(A.DLM(lr=0.2, penalty=0.4), primal_dual.dlm, exact=True, zero_sum="a"),
    case(A.LTADMM(**LOCAL, penalty=0.3, consensus_lr=0.2), primal_dual.lt_admm, exact=True),
    case(A.ATG(lr=0.3, damping=0.3), primal_dual.atg, exact=True),
    case(A.WangElia(lr=0.05), primal_dual.wang_elia, exact=True, zero_sum="z"),
    case(A.SimpleGT(lr=0.3), primal_dual.simple_gt, exact=True, zero_sum="c"),
    case(A.DiNNO(**LOCAL, penalty=0.3), primal_dual.dinno, exact=True, zero_sum="p"),
    case(A.OPAPC(lr=0.5, momentum=0.6, curvature=0.2), primal_dual.opapc, exact=True, zero_sum="y"),
    case(A.AccDNGD(lr=0.05, curvature=0.3), primal_dual.acc_dngd, exact=True),
    case(A.DFedAvgM(**LOCAL, momentum=0.6), primal_dual.dfedavgm, exact=False),
    case(A.DFedSAM(**LOCAL, radius=0.2), primal_dual.dfedsam, exact=False),
    case(A.DAdam(lr=0.05, **MOMENTS), primal_dual.dadam, exact=False),
    case(A.DAMSGrad(lr=0.05, **MOMENTS), primal_dual.damsgrad, exact=False),
    case(A.QGAdam(lr=0.05, **MOMENTS), primal_dual.qg_adam, exact=False),
    Case(A.GTAdam(lr=0.05, **MOMENTS), partial(primal_dual.gt_adam, lr=0.05, **MOMENTS), exact=True),
]

# In test_diloco.
ADAMW = Partial(optax.adamw, learning_rate=0.05, b1=0.8, b2=0.9, eps=0.1, weight_decay=0.1)
adamw = partial(low_communication.AdamW, 0.05, 0.8, 0.9, 0.1, 0.1)
CASES += [
    Case(
        A.DecentralizedDiLoCo(ADAMW, local_steps=3, outer_optimizer=Partial(optax.adam, learning_rate=0.05, eps=0.1)),
        partial(
            low_communication.decentralized_diloco,
            inner=adamw,
            outer=partial(low_communication.AdamVector, 0.05, 0.9, 0.999, 0.1),
            local_steps=3,
        ),
        exact=False,
    ),
    Case(
        A.NoLoCo(ADAMW, local_steps=3, outer_lr=0.6, momentum=0.4, consensus_lr=0.5),
        partial(low_communication.noloco, inner=adamw, local_steps=3, outer_lr=0.6, momentum=0.4, consensus_lr=0.5),
        exact=False,
    ),
]

# Methods without a step size or on a pair of W: they have tests of their own, and here obey the laws of all programs.
QUANTIZER = compressors.Quantization(levels=8)
OTHERS = [
    Case(A.AB(lr=0.1), None, exact=True, network=networks.push_pull(graphs.random_digraph(N, 0.3))),
    Case(A.PushSumGossip(), None, exact=False, network=PUSH),
    Case(A.RobustPushSum(), None, exact=False, network=networks.lossy(PUSH, 0.3, rule="arcs")),
    Case(A.RelaxedADMM(penalty=1.0), None, exact=True),
    Case(A.DADMM(penalty=0.3), None, exact=True, zero_sum="a"),
    Case(A.PGEXTRA(lr=0.3), partial(reference.extra, lr=0.3), exact=True, zero_sum="c"),
    Case(A.ProxNIDS(lr=0.3), partial(reference.nids, lr=0.3), exact=True, zero_sum="c"),
    Case(A.ProxGT(lr=0.2), partial(reference.gradient_tracking, lr=0.2, form="semi-atc"), exact=True),
    Case(A.QuantizedPushSum(lr=0.1, compressor=QUANTIZER), None, exact=False, network=PUSH),
    Case(A.QuantizedPushSumGossip(compressor=QUANTIZER), None, exact=False, network=PUSH),
    Case(A.DirectlyQuantizedPushSum(compressor=QUANTIZER), None, exact=False, network=PUSH),
    Case(A.QuantizedGossip(compressor=QUANTIZER), None, exact=False),
    Case(A.ChocoGossip(compressor=compressors.Scaled(QUANTIZER), consensus_lr=0.5), None, exact=False),
]

# Compressed methods of graphs, in test_compressed_graphs.
TWO_BITS = compressors.Quantization(levels=1, norm="linf")
OTHERS += [
    Case(A.BEER(lr=0.05, consensus_lr=0.8, compressor=compressors.TopK(k=2)), None, exact=True),
    Case(A.MoTEF(lr=0.05, consensus_lr=0.8, compressor=compressors.TopK(k=2), momentum=0.5), None, exact=True),
    Case(A.LEAD(lr=0.2, compressor=TWO_BITS), None, exact=True, zero_sum="c"),
    Case(A.CGT(lr=0.05, consensus_lr=0.8, compressor=TWO_BITS), None, exact=True),
    Case(
        A.CPP(lr=0.05, consensus_lr=0.6, compressor=TWO_BITS),
        None,
        exact=True,
        network=networks.push_pull(graphs.random_digraph(N, 0.3)),
    ),
    Case(A.DeepSqueeze(lr=0.1, consensus_lr=0.3, compressor=compressors.TopK(k=2)), None, exact=False),
    Case(A.DCDPSGD(lr=0.1, compressor=QUANTIZER), None, exact=False),
    Case(A.ECDPSGD(lr=0.1, compressor=QUANTIZER), None, exact=False),
]

# Variance-reduced methods of graphs, in test_variance_reduced: noise that is not of samples cancels in them.
SAMPLED = {"exact": True, "problem": SAMPLES}
OTHERS += [
    Case(A.GTSAGA(lr=0.05), None, **SAMPLED),
    Case(A.GTSVRG(lr=0.05, period=3, form="atc"), None, **SAMPLED),
    Case(A.GTSARAH(lr=0.05, inner_steps=2), None, **SAMPLED),
    Case(A.DGET(lr=0.05, period=3), None, **SAMPLED),
    Case(A.GTHSGD(lr=0.1, beta=0.3), None, exact=True),
    Case(A.DESTRESS(lr=0.03, period=3), None, **SAMPLED),
    Case(A.DSPIDERSFO(lr=0.05, period=3), None, zero_sum="c", **SAMPLED),
    Case(A.LTADMMVR(lr=0.05, local_steps=2, penalty=0.3, consensus_lr=0.2), None, **SAMPLED),
]

# Second-order methods of graphs, in test_second_order.
OTHERS += [
    Case(A.NetworkDANE(lr=0.5, penalty=2.0), None, exact=True),
    Case(A.NewtonRaphsonConsensus(lr=0.3, curvature=0.1), None, exact=True),
]

# Methods of events, in test_asynchronous.
EVENTS = networks.asynchronous(networks.server(N), speed=clocks.Exponential(1.0))
ALL = networks.asynchronous(UNDIRECTED, speed=clocks.Exponential(1.0), hears="all")
PAIRS = networks.asynchronous(UNDIRECTED, speed=clocks.Exponential(1.0))
OTHERS += [
    Case(A.AsynchronousSGD(lr=0.1), None, exact=False, network=EVENTS),
    Case(A.FedAsync(lr=0.1, local_steps=2), None, exact=False, network=EVENTS),
    Case(A.FedBuff(lr=0.1, local_steps=2, buffer_size=2), None, exact=False, network=EVENTS),
    Case(A.RennalaSGD(lr=0.1, batch_size=2), None, exact=False, network=EVENTS),
    Case(A.RingmasterASGD(lr=0.1, threshold=4), None, exact=False, network=EVENTS),
    Case(A.ADPSGD(lr=0.1), None, exact=False, network=PAIRS),
    Case(A.A2CiD2(lr=0.1, eta=0.5, alpha=0.7), None, exact=False, network=PAIRS),
    Case(A.SWIFT(lr=0.1), None, exact=False, network=ALL),
]

# Methods with a server, in test_compressed, test_mcm, test_local_server, test_federated; those who may be absent are,
# in cohorts.
BOTH = {"compressor": QUANTIZER, "down_compressor": QUANTIZER}
TOPS = {"compressor": compressors.TopK(k=2), "down_compressor": compressors.TopK(k=2)}
SERVER = [
    A.SGD(lr=0.1),
    A.QSGD(lr=0.1, compressor=QUANTIZER),
    A.BiQSGD(lr=0.1, **BOTH),
    A.DIANA(lr=0.1, compressor=QUANTIZER),
    A.Artemis(lr=0.1, **BOTH),
    A.DORE(lr=0.1, **BOTH),
    A.DoubleSqueeze(lr=0.1, **TOPS),
    A.DistEFSGD(lr=0.1, **TOPS),
    A.EF21(lr=0.1, momentum=0.3, **TOPS),
    A.EF21SGDM(lr=0.1, compressor=compressors.TopK(k=2), momentum=0.5),
    A.CLAG(lr=0.1, compressor=compressors.TopK(k=2), trigger=2.0),
    A.MARINA(lr=0.1, compressor=QUANTIZER, probability=0.3),
    A.VRMARINA(lr=0.1, compressor=QUANTIZER, probability=0.3),
    A.PPMARINA(lr=0.1, compressor=QUANTIZER, probability=0.3, clients=3),
    A.DASHA(lr=0.1, compressor=QUANTIZER),
    A.DASHAMVR(lr=0.1, compressor=QUANTIZER, b=0.5),
    A.SignSGD(lr=0.1, momentum=0.5),
    A.MCM(lr=0.1, **BOTH),
    A.RandMCM(lr=0.1, **BOTH),
    A.Ghost(lr=0.1, **BOTH),
    A.ArtemisND(lr=0.1, **BOTH),
    A.LocalSGD(lr=0.1, local_steps=3),
    A.SCAFFOLD(lr=0.1, local_steps=3),
    A.Scaffnew(lr=0.1, probability=0.4),
    A.VRProxSkip(lr=0.1, probability=0.4, renewal=0.3),
    A.GradSkip(lr=0.1, probability=0.4, persistence=0.6),
    A.MemSGD(lr=0.1, compressor=compressors.TopK(k=2)),
    A.QsparseLocalSGD(lr=0.1, local_steps=3, compressor=compressors.TopK(k=2)),
    A.FedPAQ(lr=0.1, local_steps=3, compressor=QUANTIZER),
    A.FedCOM(lr=0.1, local_steps=3, compressor=QUANTIZER, outer_lr=0.5),
    A.FedCOMGATE(lr=0.1, local_steps=3, compressor=QUANTIZER, outer_lr=0.5),
    A.CompressedScaffnew(lr=0.1, probability=0.4, senders=2),
    A.LoCoDL(lr=0.1, probability=0.4, compressor=QUANTIZER, l2=0.1),
    A.FedOpt(Partial(optax.adam, learning_rate=0.1), Partial(optax.sgd, learning_rate=0.1), local_steps=3),
    A.FedProx(**LOCAL, penalty=0.5),
    A.FedDyn(**LOCAL, penalty=0.5),
    A.FedPD(**LOCAL, penalty=0.7, skip=0.3),
    A.FedADMM(**LOCAL, penalty=0.7),
    A.FedSplit(lr=0.8),
    A.FedLT(**LOCAL, penalty=0.8),
    A.FedNova(**LOCAL, momentum=0.5, penalty=0.3, outer_momentum=0.4),
    A.FedExP(**LOCAL),
    A.FedAvgM(**LOCAL, momentum=0.5),
    A.FedAdam(**LOCAL, outer_lr=0.05),
    A.Mime(**LOCAL, momentum=0.5),
    A.MimeLite(**LOCAL, momentum=0.5),
    A.SlowMo(**LOCAL, outer_momentum=0.5),
    A.SAVIC(lr=0.1, local_steps=3, scaling=scaling.Adam()),
    A.LocalSAVIC(lr=0.1, local_steps=3, scaling=scaling.OASIS(), momentum=A.HeavyBall(0.5)),
    A.DiLoCo(ADAMW, local_steps=3),
    A.StreamingDiLoCo(ADAMW, local_steps=2, fragments=2, period=3, delay=1, alpha=0.4),
]
OTHERS += [
    Case(A.PowerOfChoice(A.SGD(lr=0.1), clients=1), None, exact=False, network=networks.server(N, cohort=3)),
    Case(A.PowerOfChoice(A.SCAFFOLD(lr=0.1, local_steps=2), clients=1), None, exact=False, network=networks.server(N)),
]
OTHERS += [
    Case(a, None, exact=True, problem=SAMPLES, network=networks.server(N))
    for a in (
        A.SAGA(lr=0.1),
        A.SVRG(lr=0.1, period=3),
        A.LSVRG(lr=0.1, probability=0.3),
        A.SARAH(lr=0.1, period=3),
        A.PAGE(lr=0.1, probability=0.2),
    )
]
# Three-point compressors, in test_three_point.
RESET = three_point.Reset(three_point.Change(QUANTIZER), probability=0.3)
THREE = A.ThreePC(lr=0.1, mechanism=three_point.Lazy(RESET, trigger=1.0))
OTHERS += [Case(THREE, None, exact=False, network=networks.server(N))]
# Of matrices, in test_low_rank.
OTHERS += [
    Case(A.PowerSGD(lr=0.1, rank=1, momentum=0.3), None, exact=True, problem=TENSORS, network=networks.server(N)),
    Case(A.PowerGossip(lr=0.1, rank=1), None, exact=False, problem=TENSORS),
]
# Second-order methods of a server, in test_second_order.
OTHERS += [
    Case(a, None, exact=True, network=networks.server(N))
    for a in (A.DANE(penalty=0.5), A.GIANT(products=2, lr=0.5), A.FedNL(compressors.RankR(rank=1)))
]
OTHERS += [
    Case(a, None, exact=False, network=networks.server(N, cohort=N // 2 if a.absent == "own" else None)) for a in SERVER
]
