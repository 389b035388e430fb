"""Compressors: what a node sends instead of its vector, how many bits that takes, and sending against a memory."""

from jaxdec.compressors import three_point
from jaxdec.compressors.maps import (
    Compressor,
    Identity,
    Message,
    Quantization,
    RandK,
    RandP,
    Scaled,
    ScaledSign,
    TopK,
    bits_authors,
    levels_for_bits,
    require_compressor,
    require_contractive,
    require_unbiased,
)
from jaxdec.compressors.natural import NaturalCompression, NaturalDithering, ternary
from jaxdec.compressors.symmetric import RankR

__all__ = [
    "Compressor",
    "Identity",
    "Message",
    "NaturalCompression",
    "NaturalDithering",
    "Quantization",
    "RandK",
    "RandP",
    "RankR",
    "Scaled",
    "ScaledSign",
    "TopK",
    "bits_authors",
    "levels_for_bits",
    "require_compressor",
    "require_contractive",
    "require_unbiased",
    "ternary",
    "three_point",
]


def __dir__() -> list[str]:
    return __all__
