from .a2cid2 import A2CiD2
from .ab import AB
from .ad_psgd import ADPSGD
from .artemis import DORE, Artemis
from .asy_sonata import ASYSONATA
from .asynchronous_sgd import AsynchronousSGD
from .aug_dgm import AugDGM
from .beer import BEER
from .cgt import CGT
from .choco import ChocoGossip, ChocoSGD, QuantizedGossip
from .clag import CLAG
from .compressed_scaffnew import CompressedScaffnew
from .compressed_sgd import QSGD, SGD, BiQSGD
from .cpp import CPP
from .d2 import D2, NIDS, ExactDiffusion
from .d_spider_sfo import DSPIDERSFO
from .dasha import DASHA, DASHAMVR
from .dcd_psgd import DCDPSGD, ECDPSGD
from .decentlam import DecentLaM
from .deep_squeeze import DeepSqueeze
from .delaying import delayed
from .destress import DESTRESS
from .diana import DIANA
from .double_squeeze import DistEFSGD, DoubleSqueeze
from .dsgd import DSGD, LocalDSGD
from .dsgdm import DSGDm
from .ef21 import EF21, EF21SGDM
from .extra import EXTRA
from .fedasync import FedAsync
from .fedbuff import FedBuff
from .fedcom import FedCOM, FedCOMGATE, FedPAQ
from .fedopt import FedOpt
from .ghost import ArtemisND, Ghost
from .gradient_tracking import GradientTracking
from .gradient_tracking_hb import GradientTrackingHB
from .gradskip import GradSkip
from .gt_hsgd import GTHSGD
from .gt_saga import GTSAGA, GTSVRG
from .gt_sarah import DGET, GTSARAH
from .holding import held
from .kgt import KGT, PeriodicalGT
from .lead import LEAD
from .led import LED
from .local_sgd import LocalSGD
from .locodl import LoCoDL
from .marina import MARINA, PPMARINA, VRMARINA
from .mcm import MCM, RandMCM
from .momentum_tracking import MomentumTracking
from .motef import MoTEF
from .power_of_choice import PowerOfChoice
from .proxskip import ProxSkip, Scaffnew
from .push_diging import PushDIGing
from .push_sum import PushSumGossip, StochasticGradientPush
from .qg_dsgdm import QGDSGDm
from .qsparse import EF14, MemSGD, QsparseLocalSGD
from .quantized_push_sum import DirectlyQuantizedPushSum, QuantizedPushSum, QuantizedPushSumGossip
from .relaxed_admm import RelaxedADMM
from .relay_sgd import RelaySGD, RelaySGDGrad
from .rennala_sgd import RennalaSGD
from .ringmaster_asgd import RingmasterASGD
from .running_sums import RobustPushSum, RobustStochasticGradientPush
from .saga import SAGA
from .sarah import PAGE, SARAH
from .savic import SAVIC, HeavyBall, LocalSAVIC
from .scaffold import SCAFFOLD
from .sign_sgd import SignSGD
from .svrg import LSVRG, SVRG
from .swift import SWIFT
from .vr_proxskip import VRProxSkip

__all__ = [
    "AB",
    "ADPSGD",
    "ASYSONATA",
    "BEER",
    "CGT",
    "CLAG",
    "CPP",
    "D2",
    "DASHA",
    "DASHAMVR",
    "DCDPSGD",
    "DESTRESS",
    "DGET",
    "DIANA",
    "DORE",
    "DSGD",
    "DSPIDERSFO",
    "ECDPSGD",
    "EF14",
    "EF21",
    "EF21SGDM",
    "EXTRA",
    "GTHSGD",
    "GTSAGA",
    "GTSARAH",
    "GTSVRG",
    "KGT",
    "LEAD",
    "LED",
    "LSVRG",
    "MARINA",
    "MCM",
    "NIDS",
    "PAGE",
    "PPMARINA",
    "QSGD",
    "SAGA",
    "SARAH",
    "SAVIC",
    "SCAFFOLD",
    "SGD",
    "SVRG",
    "SWIFT",
    "VRMARINA",
    "A2CiD2",
    "Artemis",
    "ArtemisND",
    "AsynchronousSGD",
    "AugDGM",
    "BiQSGD",
    "ChocoGossip",
    "ChocoSGD",
    "CompressedScaffnew",
    "DSGDm",
    "DecentLaM",
    "DeepSqueeze",
    "DirectlyQuantizedPushSum",
    "DistEFSGD",
    "DoubleSqueeze",
    "ExactDiffusion",
    "FedAsync",
    "FedBuff",
    "FedCOM",
    "FedCOMGATE",
    "FedOpt",
    "FedPAQ",
    "Ghost",
    "GradSkip",
    "GradientTracking",
    "GradientTrackingHB",
    "HeavyBall",
    "LoCoDL",
    "LocalDSGD",
    "LocalSAVIC",
    "LocalSGD",
    "MemSGD",
    "MoTEF",
    "MomentumTracking",
    "PeriodicalGT",
    "PowerOfChoice",
    "ProxSkip",
    "PushDIGing",
    "PushSumGossip",
    "QGDSGDm",
    "QsparseLocalSGD",
    "QuantizedGossip",
    "QuantizedPushSum",
    "QuantizedPushSumGossip",
    "RandMCM",
    "RelaxedADMM",
    "RelaySGD",
    "RelaySGDGrad",
    "RennalaSGD",
    "RingmasterASGD",
    "RobustPushSum",
    "RobustStochasticGradientPush",
    "Scaffnew",
    "SignSGD",
    "StochasticGradientPush",
    "VRProxSkip",
    "delayed",
    "held",
]
