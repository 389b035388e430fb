"""The colours of lines are told apart with every common kind of colour vision, and lines in print without any."""

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from jaxdec import plotting

mpl.use("Agg")

# Machado, Oliveira, Fernandes (2009), A physiologically-based model for simulation of color vision deficiency,
# severity 1, on linear RGB.
VISION = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
NEAR = 2.3  # the least difference in CIELAB that is seen of two fields side by side; of thin lines five times it is


def linear(colour):
    c = np.asarray(to_rgb(colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(colour, vision):
    seen = np.clip(VISION[vision] @ linear(colour), 0, 1)
    f = np.cbrt(XYZ @ seen / (XYZ @ np.ones(3)))  # no colour here is so dark that the other branch applies, but black
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def apart(a, b, vision):
    return float(np.linalg.norm(lab(a, vision) - lab(b, vision)))


def test_the_simulation_has_its_textbook_cases():
    assert apart("#ff0000", "#ff0000", "usual") == 0
    assert apart("white", "black", "deuteranopia") > 95
    assert apart("#c05000", "#6a7a00", "usual") > 40  # a red and a green
    assert apart("#c05000", "#6a7a00", "deuteranopia") < 25


@pytest.mark.parametrize("vision", VISION)
def test_the_colours_of_lines_are_told_apart(vision):
    found = {(a, b): apart(a, b, vision) for a, b in combinations(plotting.COLOURS, 2)}
    assert min(found.values()) > 5 * NEAR, min(found, key=found.get)


@pytest.mark.parametrize("vision", VISION)
def test_every_colour_is_seen_on_white(vision):
    assert min(apart(colour, "white", vision) for colour in plotting.COLOURS) > 5 * NEAR


def test_lines_are_told_apart_without_colour():
    looks = [plotting._look(k) for k in range(14)]
    shapes = [(look["marker"], look["ls"]) for look in looks]
    assert len(set(shapes)) == len(shapes)
