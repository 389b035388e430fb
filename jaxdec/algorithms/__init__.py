"""Algorithms: frozen dataclasses of hyperparameters with a pure `init` and `step`, one paper's methods per file."""

from jaxdec.algorithms.ab import AB
from jaxdec.algorithms.artemis import DORE, Artemis
from jaxdec.algorithms.aug_dgm import AugDGM
from jaxdec.algorithms.choco import ChocoGossip, ChocoSGD, QuantizedGossip
from jaxdec.algorithms.compressed_sgd import QSGD, SGD, BiQSGD
from jaxdec.algorithms.d2 import D2, NIDS, ExactDiffusion
from jaxdec.algorithms.decentlam import DecentLaM
from jaxdec.algorithms.diana import DIANA
from jaxdec.algorithms.double_squeeze import DistEFSGD, DoubleSqueeze
from jaxdec.algorithms.dsgd import DSGD, LocalDSGD
from jaxdec.algorithms.dsgdm import DSGDm
from jaxdec.algorithms.extra import EXTRA
from jaxdec.algorithms.fedopt import FedOpt
from jaxdec.algorithms.ghost import ArtemisND, Ghost
from jaxdec.algorithms.gradient_tracking import GradientTracking
from jaxdec.algorithms.gradient_tracking_hb import GradientTrackingHB
from jaxdec.algorithms.kgt import KGT, PeriodicalGT
from jaxdec.algorithms.led import LED
from jaxdec.algorithms.local_sgd import LocalSGD
from jaxdec.algorithms.mcm import MCM, RandMCM
from jaxdec.algorithms.momentum_tracking import MomentumTracking
from jaxdec.algorithms.proxskip import ProxSkip
from jaxdec.algorithms.push_diging import PushDIGing
from jaxdec.algorithms.push_sum import PushSumGossip, StochasticGradientPush
from jaxdec.algorithms.qg_dsgdm import QGDSGDm
from jaxdec.algorithms.quantized_push_sum import DirectlyQuantizedPushSum, QuantizedPushSum, QuantizedPushSumGossip
from jaxdec.algorithms.savic import SAVIC, HeavyBall, LocalSAVIC
from jaxdec.algorithms.scaffold import SCAFFOLD

__all__ = [
    "AB",
    "D2",
    "DIANA",
    "DORE",
    "DSGD",
    "EXTRA",
    "KGT",
    "LED",
    "MCM",
    "NIDS",
    "QSGD",
    "SAVIC",
    "SCAFFOLD",
    "SGD",
    "Artemis",
    "ArtemisND",
    "AugDGM",
    "BiQSGD",
    "ChocoGossip",
    "ChocoSGD",
    "DSGDm",
    "DecentLaM",
    "DirectlyQuantizedPushSum",
    "DistEFSGD",
    "DoubleSqueeze",
    "ExactDiffusion",
    "FedOpt",
    "Ghost",
    "GradientTracking",
    "GradientTrackingHB",
    "HeavyBall",
    "LocalDSGD",
    "LocalSAVIC",
    "LocalSGD",
    "MomentumTracking",
    "PeriodicalGT",
    "ProxSkip",
    "PushDIGing",
    "PushSumGossip",
    "QGDSGDm",
    "QuantizedGossip",
    "QuantizedPushSum",
    "QuantizedPushSumGossip",
    "RandMCM",
    "StochasticGradientPush",
]
