"""When rounds end, of nodes that wait for all others, or for those that they hear.

Several clocks go at once, each a row: of all seeds, and of all methods on one network.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from jaxdec.results.replay import Heard

__all__ = ["Links", "Spent", "ends", "paced"]

AT_ONCE = 2**18  # durations that are drawn at a time


class Spent(NamedTuple):
    """What nodes spent, over all of them and, on a graph, over all its arcs: until each record, (rows, records)."""

    grads: np.ndarray
    bits: np.ndarray
    bits_down: np.ndarray
    messages: np.ndarray  # one after another


class Links(NamedTuple):
    """How long messages take. Both are a number, or one for each arc, (n, n), at a server for each client, (n,)."""

    latency: np.ndarray
    bandwidth: np.ndarray
    server: bool
    parallel: bool  # whether a node sends to all its neighbours at once
    everyone: bool  # whether a node waits for all, and not for those alone that it hears

    def lasts(self, h: Heard, latency: np.ndarray, bits: np.ndarray) -> np.ndarray:
        """The seconds of messages on the arcs of a round, (rows, arcs); at a server of the clients, (rows, n).

        Args:
            h: the round.
            latency: how many times it counts, (rows,).
            bits: of a message, (rows,).
        """
        where = () if self.server else (h.receiver, h.sender)
        slow, wide = (a[where] if a.ndim else a for a in (self.latency, self.bandwidth))
        count = len(h.present if self.server else h.sender)
        return np.broadcast_to(latency[:, None] * slow + bits[:, None] / wide, (len(bits), count))


class Pace(NamedTuple):
    """A round, and how long the gradients of the nodes take in it."""

    heard: Heard
    gradient: np.ndarray  # (seeds, n)


class Waits:
    """Who waits for what in a round: places in the lists of arcs where those of another node begin."""

    def __init__(self, h: Heard):
        self.h = h
        self.by_sender = _begin(h.sender)
        self.heard = np.flatnonzero(h.arrived)[np.argsort(h.receiver[h.arrived], kind="stable")]
        self.by_receiver = _begin(h.receiver[self.heard])
        self.senders, self.receivers = h.sender[self.by_sender], h.receiver[self.heard][self.by_receiver]


def paced(heard: Iterable[Heard], durations: Sequence[Callable[[np.ndarray], np.ndarray]], n: int) -> Iterator[Pace]:
    """The rounds with the durations of each seed, by how many rounds a node has taken part in."""
    heard, count, size = iter(heard), np.zeros(n, int), max(1, min(256, AT_ONCE // n))
    while some := list(islice(heard, size)):
        present = np.stack([h.present for h in some])
        before = np.zeros((size, n), int)  # of one shape, so that they are drawn by one program
        before[: len(some)] = count + np.cumsum(present, axis=0) - present
        yield from map(Pace, some, np.stack([last(before) for last in durations], axis=1))
        count = count + present.sum(axis=0)


def ends(rounds: np.ndarray, paces: Iterator[Pace], total: Spent, links: Links) -> np.ndarray:
    """When the last of the nodes has ended the rounds that are recorded, (rows, records).

    Args:
        rounds: that are recorded, from 0.
        paces: the rounds, of as many seeds as divide the rows.
        total: what was spent.
        links: how long messages take, and who waits for whom.
    """
    first = next(paces)
    paces, rows = chain([first], paces), len(total.grads)
    sent, answers = total.bits[:, 0], (total.bits_down.max(axis=1) > 0).astype(float)
    time = total.grads[:, :1] * _each(first.gradient, rows)
    waits = Waits(first.heard)
    if links.server:
        time = _together(time + links.lasts(first.heard, np.zeros(rows), sent))
    else:  # what init sends, its latency left out
        time = _after(time, waits, (sent > 0).astype(int), np.zeros(rows), sent, links)
    found = [time.max(axis=1)]
    for record, count in enumerate(np.diff(rounds), 1):
        window = list(islice(paces, int(count)))
        spent = _in_a_round(total, record, [pace.heard for pace in window], links)
        turns = np.ceil(spent.messages).astype(int)
        some = np.maximum(1, turns)
        for h, gradient in window:
            time = time + np.where(h.present, spent.grads[:, None] * _each(gradient, rows), 0.0)
            if links.server:
                there = links.lasts(h, spent.messages, spent.bits) + links.lasts(h, answers, spent.bits_down)
                time = _together(np.where(h.present, time + there, time))
                continue
            waits = waits if waits.h is h else Waits(h)
            time = _after(time, waits, turns, spent.messages / some, spent.bits / some, links)
        found.append(time.max(axis=1))
    return np.stack(found, axis=1)


def _each(gradient: np.ndarray, rows: int) -> np.ndarray:
    """What seeds share as the rows have it, all rows of a seed side by side."""
    return np.repeat(gradient, rows // len(gradient), axis=0)


def _together(time: np.ndarray) -> np.ndarray:
    """The times of nodes that wait for the last of them."""
    return np.broadcast_to(time.max(axis=1, keepdims=True), time.shape)


def _in_a_round(total: Spent, record: int, window: Sequence[Heard], links: Links) -> Spent:
    """What each of those who take part spends in a round until this record, (rows,); on a graph, each arc in use."""
    count = len(window)
    present, sent = sum(h.present.mean() for h in window), sum(h.sent for h in window)
    grads, bits, down, messages = (a[:, record] - a[:, record - 1] for a in total)
    share = lambda spent, of: spent / of if of > 0 else np.zeros_like(spent)
    down = window[0].present.size * down / count if window[0].once else share(down, present)  # one for all
    return Spent(share(grads, present), share(bits, present if links.server else sent), down, messages / count)


def _begin(nodes: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.diff(nodes, prepend=-1))


def _after(
    time: np.ndarray, waits: Waits, turns: np.ndarray, latency: np.ndarray, bits: np.ndarray, l: Links
) -> np.ndarray:
    """The times of nodes when the messages of a round have arrived that come one after another, `turns` of them.

    Nobody knows how long one waits for what is lost: a message takes its sender's time, and is waited for by those who
    get it.
    """
    h = waits.h
    if not len(h.sender):
        return np.where(turns[:, None] > 0, _together(time), time) if l.everyone else time
    lasts = l.lasts(h, latency, bits)
    if not l.parallel:  # to one neighbour after the other, in the order of their numbers
        through = np.cumsum(lasts, axis=1)
        begun = (through - lasts)[:, waits.by_sender]
        lasts = through - np.repeat(begun, np.diff(waits.by_sender, append=len(h.sender)), axis=1)
    for turn in range(turns.max(initial=0)):
        arrives = time[:, h.sender] + lasts
        if l.everyone:
            done = np.broadcast_to(np.maximum(time.max(axis=1), arrives.max(axis=1))[:, None], time.shape)
        else:
            done = time.copy()
            done[:, waits.senders] = np.maximum(done[:, waits.senders], _most(arrives, waits.by_sender))
            heard = _most(arrives[:, waits.heard], waits.by_receiver)
            done[:, waits.receivers] = np.maximum(done[:, waits.receivers], heard)
        time = np.where(turn < turns[:, None], done, time)
    return time


def _most(values: np.ndarray, begin: np.ndarray) -> np.ndarray:
    """The largest of each stretch, (rows, stretches)."""
    return np.maximum.reduceat(values, begin, axis=1) if len(begin) else values[:, :0]
