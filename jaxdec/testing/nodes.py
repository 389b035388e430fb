"""Laws of what nodes evaluate, send, hear and keep."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec import networks
from jaxdec.costs import priced
from jaxdec.networks.families import PushPull, Static
from jaxdec.networks.operators import Dense, Identity
from jaxdec.testing.defaults import Asleep, default_network, gradients, on, renamed_events
from jaxdec.testing.expect import CLOSE, LawBroken, NotTested, expect, gap, leaves
from jaxdec.testing.programs import countable
from jaxdec.testing.subject import Subject

__all__ = [
    "absent_nodes_keep_their_rows",
    "alone_a_node_runs",
    "messages_are_as_many_as_hops",
    "nodes_hear_through_W_alone",
    "relabelling_permutes",
    "reported_cost_is_the_counted_cost",
]


def reported_cost_is_the_counted_cost(s: Subject) -> str:
    known, counted, reported = set(), 0.0, 0.0
    for t, step in enumerate(s.hand):
        countable(step)
        r = step.r if t else dataclasses.replace(step.r, active=None, clients=None)
        for found, size in ((step.seen.gradients, s.problem.batch_size), (step.seen.whole, s.problem.data_size)):
            new = {what: rows for what, rows in found.items() if what not in known}
            known |= set(new)
            sizes = jnp.broadcast_to(jnp.asarray(size), (s.n,))
            counted += sum(new.values()) / r.m * float(r.per_node(r.rows(sizes)))
        reported += float(priced(step.cost, r, scaled=s.facts.absent == "frozen").grads)
    rounds = len(s.hand) - 1
    expect(
        abs(counted - reported) < 1e-9 * max(1.0, counted),
        f"expected a cost of {counted:g} sample gradients per node, which were evaluated in {rounds} rounds, "
        f"{reported:g} are reported; look at the grads of the Cost that step returns",
    )
    seen, sent = f"{reported:g} gradients in {rounds} rounds", 0
    if s.is_server:
        return seen
    for t, step in enumerate(s.hand[1:]):
        if step.seen.arcs:
            return f"{seen}; what is sent on arcs is not counted"
        sent = sum(shape[1] / s.problem.d for shape in step.seen.sent if len(shape) == 2)  # push-sum's mass is a number
        share = step.r.sent if s.facts.absent == "own" else 1  # of the arcs; the loop sees to it for other methods
        expect(
            abs(float(step.cost.vectors) - float(share) * sent) < 1e-12,
            f"expected a cost of {share * sent:g} vectors in round {t}, as were multiplied by W, "
            f"{float(step.cost.vectors):g} are reported; look at the vectors of the Cost that step returns",
        )
    return f"{seen}, {'no' if sent == 0 else f'{sent:g}'} vector{'s' * (sent != 1)} in the last"


def messages_are_as_many_as_hops(s: Subject) -> str:
    """In a round what a node holds goes from neighbour to neighbour, as far as there are messages one after another."""
    W = s.unchanging.W
    hears = sum(np.asarray(one.dense()) != 0 for one in (W if isinstance(W, PushPull) else (W,)))
    near, far = np.eye(s.n, dtype=bool), np.full((s.n, s.n), s.n)  # how many hops it is from node j to node i
    for hops in range(s.n):
        far = np.where(near & (far == s.n), hops, far)
        near = (hears + np.eye(s.n)) @ near > 0
    far = np.where(far == s.n, -1, far)
    node = int(np.argmax(far.max(axis=0)))
    went = reported = 0
    for step in s.by_hand(4, network=s.unchanging, count=False)[1:]:
        moved = jax.tree.map(lambda a: _moved(a, node, s.n), step.before)
        both = zip(jax.tree.leaves(s.one(step, step.before, W)), jax.tree.leaves(s.one(step, moved, W)), strict=True)
        away = [np.any(np.reshape(a != b, (s.n, -1)), axis=1) for a, b in both if a.ndim and a.shape[0] == s.n]
        went = max(went, far[np.any(away, axis=0), node].max())
        reported = max(reported, 1 if step.cost.messages is None else int(step.cost.messages))
    if far[:, node].max() <= reported:
        raise NotTested(f"no node of the network is more than {reported} hops from another; take a sparser one")
    expect(
        went == reported,
        f"expected as many messages one after another as what a node holds goes hops in a round, which is {went}, "
        f"{reported} are reported; say so in the cost that step returns: Cost(..., messages={went})",
    )
    return f"{went} in a round"


# Nodes.


def relabelling_permutes(s: Subject) -> str:
    order = np.random.default_rng(0).permutation(s.n)
    if s.is_asynchronous:
        network, renamed = renamed_events(s.network, order)
    elif s.is_server:
        network = renamed = networks.server(s.n)
    else:
        network = s.unchanging_dense
        renamed = Static(on(network.W, lambda W: W[np.ix_(order, order)]), network.provides)
    first = s.by_hand(3, network=network, count=False)[-1].after
    relabelled = {"problem": s.problem.take(order), "network": renamed, "x0": jnp.asarray(s.x0)[order]}
    second = s.by_hand(3, count=False, **relabelled)[-1].after
    for (name, a), b in zip(leaves(first).items(), leaves(second).values(), strict=True):
        away = gap(b, _renamed(a, order, arcs="arcs" in s.facts.requires))
        if away < CLOSE:
            continue
        if _draws(s, network):
            raise NotTested("it draws with r.key, row by row: renamed nodes draw other numbers")
        raise LawBroken(
            f"expected renamed nodes to compute the same, state{name} is {away:.2g} away; look for what depends on a "
            "node's number"
        )
    return "the same states, permuted"


def _renamed(a: Any, order: np.ndarray, arcs: bool) -> Any:
    """What the renamed nodes hold: their rows; in a dense W an arc has the number of its sender."""
    n = len(order)
    a = a[order] if a.ndim and a.shape[0] == n else a
    by_arc = arcs and a.shape[:2] == (n, n) and (a.ndim > 2 or a.dtype == bool)  # numbers (n, n) may be iterates, d = n
    return a[:, order] if by_arc else a


def _draws(s: Subject, network: Any) -> bool:
    """Whether states depend on the keys of init and of rounds: they differ where those are others, and only then."""
    other = s.keys._replace(init=jax.random.key(s.seed + 2 * 10**6), rounds=jax.random.key(s.seed + 10**6))
    one, again, two = (s.by_hand(3, network=network, count=False, keys=k)[-1].after for k in (s.keys, s.keys, other))
    differ = lambda a, b: any(gap(a, b) > 0 for a, b in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
    return differ(one, two) and not differ(one, again)


def nodes_hear_through_W_alone(s: Subject) -> str:
    node = s.n // 2
    if s.is_asynchronous:
        step, W = s.by_hand(2, count=False)[-1], Identity(s.n)
    else:
        step = s.by_hand(2, network=s.unchanging_dense, count=False)[-1]
        W = on(s.unchanging.W, lambda W: np.eye(s.n))
    moved = jax.tree.map(lambda a: _moved(a, node, s.n), step.before)
    one, other = s.one(step, step.before, W), s.one(step, moved, W)
    rest = np.delete(np.arange(s.n), node)
    for (name, a), b in zip(leaves(one).items(), leaves(other).values(), strict=True):
        rows = rest if a.ndim and a.shape[0] == s.n else slice(None)
        away = gap(a[rows] if a.ndim else a, b[rows] if b.ndim else b)
        expect(
            away < CLOSE,
            f"expected nodes that hear nobody to ignore what another node holds, their state{name} changed by "
            f"{away:.2g} with it; look for a sum or mean over nodes that is not a product with r.W",
        )
    return "with W = I nothing is heard"


def _moved(a: Any, node: int, n: int) -> Any:
    own = a.ndim and a.shape[0] == n and jnp.issubdtype(a.dtype, jnp.floating)
    return a.at[node].add(1.0) if own else a


def absent_nodes_keep_their_rows(s: Subject) -> str:
    if s.facts.absent == "own":
        return _kept_by_the_method(s)
    for name, leaf in leaves(s.shapes(jnp.float64)[1]).items():
        expect(
            leaf.ndim > 0 and leaf.shape[0] == s.n,
            f"expected a row for each of the {s.n} nodes in every array of the state, so that the rows of absent nodes "
            f'can be kept, state{name} has shape {list(leaf.shape)}; give it rows, or declare absent = "refused"',
        )
    network = s.unchanging
    try:
        steps = s.by_hand(6, network=Asleep(network, network.provides), count=False)
    except ValueError as error:
        raise NotTested(f"it refuses a network of nodes that sleep: {error}") from error
    for t, step in enumerate(steps):
        for name, leaf in leaves(step.after).items():
            expect(
                bool(np.all(np.isfinite(leaf))),
                f"expected finite numbers where some nodes sleep, state{name} of round {t} has NaN or infinite entries",
            )
        if s.zero_sum is not None:
            total = np.abs(np.sum(leaves(step.after)[f".{s.zero_sum}"], axis=0)).max()
            expect(
                total < CLOSE,
                f"expected the sum of state.{s.zero_sum} to stay zero where some nodes sleep, it is {total:.2g} after "
                f"round {t - 1}; look for what a node adds without another taking it away",
            )
    return "a row for each node in every array"


def _kept_by_the_method(s: Subject) -> str:
    held = 0
    for t, step in enumerate(s.hand[1:]):
        present = np.zeros(s.n, bool)
        if step.r.clients is not None:
            present[np.asarray(step.r.clients)] = True if step.r.active is None else np.asarray(step.r.active)
        elif step.r.active is not None:
            present = np.asarray(step.r.active)
        else:
            raise NotTested("everybody takes part in this network")
        if not s.is_server:  # nor those who hear of it
            present |= np.any(np.asarray(step.r.W.dense()) != np.eye(s.n), axis=1)
        for (name, old), new in zip(leaves(step.before).items(), leaves(step.after).values(), strict=True):
            if not (old.ndim and old.shape[0] == s.n):
                continue
            held += 1
            moved = np.flatnonzero(~present & np.any(np.asarray(old != new).reshape(s.n, -1), axis=1))
            expect(
                moved.size == 0,
                f"expected the rows of clients that are absent to stay as they are, state{name} of client "
                f"{', '.join(map(str, moved))} changed in round {t}, in which {np.flatnonzero(present).tolist()} take "
                "part; look at that line of step: r.kept(old, new) keeps them",
            )
    return "they do" if held else "clients hold nothing"


def alone_a_node_runs(s: Subject) -> str:
    problem, x0 = s.problem.take(np.array([s.n // 3])), jnp.asarray(s.x0)[s.n // 3][None]
    if s.is_asynchronous:
        network = default_network(s.algorithm, 1)
    elif s.is_server:
        network = networks.server(1)
    else:
        network = s.unchanging
        alone = Dense(jnp.ones((1, 1)))
        network = Static(PushPull(alone, alone) if isinstance(network.W, PushPull) else alone, network.provides)
    found = s.by_hand(5, problem=problem, network=network, x0=x0, count=False)
    x = np.stack([step.after.x for step in found])
    expect(
        bool(np.all(np.isfinite(x))),
        "expected a single node to run, its x has NaN or infinite entries; look for a division by n - 1",
    )
    if s.reference is None:
        return "finite"
    expected = s.reference(np.ones((1, 1)), gradients(problem, s.keys.data, 40), np.asarray(x0), 5)
    away = gap(x, expected)
    expect(away < CLOSE, f"expected the trajectory of the reference for a single node, it is {away:.2g} away")
    return f"the reference's trajectory, {away:.0e} away"
