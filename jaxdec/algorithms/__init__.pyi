from .a2cid2 import A2CiD2
from .ab import AB
from .acc_dngd import AccDNGD
from .ad_psgd import ADPSGD
from .artemis import DORE, Artemis
from .asy_sonata import ASYSONATA
from .asynchronous_sgd import AsynchronousSGD
from .atg import ATG
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
from .dadam import DAdam, DAMSGrad
from .dane import DANE, NetworkDANE
from .dasha import DASHA, DASHAMVR
from .dcd_psgd import DCDPSGD, ECDPSGD
from .decentlam import DecentLaM
from .decentralized_admm import DADMM, DLM
from .deep_squeeze import DeepSqueeze
from .delaying import delayed
from .destress import DESTRESS
from .dfedavgm import DFedAvgM
from .dfedsam import DFedSAM
from .diana import DIANA
from .diloco import DecentralizedDiLoCo, DiLoCo
from .dinno import DiNNO
from .double_squeeze import DistEFSGD, DoubleSqueeze
from .dsgd import DSGD, LocalDSGD
from .dsgdm import DSGDm
from .ef21 import EF21, EF21SGDM
from .extra import EXTRA
from .fedadam import FedAdagrad, FedAdam, FedYogi
from .fedadmm import FedADMM
from .fedasync import FedAsync
from .fedavgm import FedAvgM
from .fedbuff import FedBuff
from .fedcom import FedCOM, FedCOMGATE, FedPAQ
from .feddyn import FedDyn
from .fedexp import FedExP
from .fednl import FedNL
from .fednova import FedNova
from .fedopt import FedOpt
from .fedpd import FedPD
from .fedprox import FedProx
from .fedsplit import FedLT, FedSplit
from .ghost import ArtemisND, Ghost
from .giant import GIANT
from .gradient_tracking import GradientTracking
from .gradient_tracking_hb import GradientTrackingHB
from .gradskip import GradSkip
from .gt_adam import GTAdam
from .gt_hsgd import GTHSGD
from .gt_saga import GTSAGA, GTSVRG
from .gt_sarah import DGET, GTSARAH
from .holding import held
from .kgt import KGT, PeriodicalGT
from .lead import LEAD
from .led import LED
from .local_sgd import LocalSGD
from .locodl import LoCoDL
from .lt_admm import LTADMM, LTADMMVR
from .marina import MARINA, PPMARINA, VRMARINA
from .mcm import MCM, RandMCM
from .mime import Mime, MimeLite
from .momentum_tracking import MomentumTracking
from .motef import MoTEF
from .newton_raphson_consensus import NewtonRaphsonConsensus
from .noloco import NoLoCo
from .opapc import OPAPC
from .overview import find as find
from .overview import table as table
from .pg_extra import PGEXTRA
from .power_gossip import PowerGossip
from .power_of_choice import PowerOfChoice
from .power_sgd import PowerSGD
from .prox_nids import ProxGT, ProxNIDS
from .proxskip import ProxSkip, Scaffnew
from .push_diging import PushDIGing
from .push_sum import PushSumGossip, StochasticGradientPush
from .qg_adam import QGAdam
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
from .simple_gt import SimpleGT
from .slowmo import SlowMo
from .streaming_diloco import StreamingDiLoCo
from .svrg import LSVRG, SVRG
from .swift import SWIFT
from .three_pc import ThreePC
from .vr_proxskip import VRProxSkip
from .wang_elia import WangElia

__all__ = [
    "AB",
    "ADPSGD",
    "ASYSONATA",
    "ATG",
    "BEER",
    "CGT",
    "CLAG",
    "CPP",
    "D2",
    "DADMM",
    "DANE",
    "DASHA",
    "DASHAMVR",
    "DCDPSGD",
    "DESTRESS",
    "DGET",
    "DIANA",
    "DLM",
    "DORE",
    "DSGD",
    "DSPIDERSFO",
    "ECDPSGD",
    "EF14",
    "EF21",
    "EF21SGDM",
    "EXTRA",
    "GIANT",
    "GTHSGD",
    "GTSAGA",
    "GTSARAH",
    "GTSVRG",
    "KGT",
    "LEAD",
    "LED",
    "LSVRG",
    "LTADMM",
    "LTADMMVR",
    "MARINA",
    "MCM",
    "NIDS",
    "OPAPC",
    "PAGE",
    "PGEXTRA",
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
    "AccDNGD",
    "Artemis",
    "ArtemisND",
    "AsynchronousSGD",
    "AugDGM",
    "BiQSGD",
    "ChocoGossip",
    "ChocoSGD",
    "CompressedScaffnew",
    "DAMSGrad",
    "DAdam",
    "DFedAvgM",
    "DFedSAM",
    "DSGDm",
    "DecentLaM",
    "DecentralizedDiLoCo",
    "DeepSqueeze",
    "DiLoCo",
    "DiNNO",
    "DirectlyQuantizedPushSum",
    "DistEFSGD",
    "DoubleSqueeze",
    "ExactDiffusion",
    "FedADMM",
    "FedAdagrad",
    "FedAdam",
    "FedAsync",
    "FedAvgM",
    "FedBuff",
    "FedCOM",
    "FedCOMGATE",
    "FedDyn",
    "FedExP",
    "FedLT",
    "FedNL",
    "FedNova",
    "FedOpt",
    "FedPAQ",
    "FedPD",
    "FedProx",
    "FedSplit",
    "FedYogi",
    "GTAdam",
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
    "Mime",
    "MimeLite",
    "MoTEF",
    "MomentumTracking",
    "NetworkDANE",
    "NewtonRaphsonConsensus",
    "NoLoCo",
    "PeriodicalGT",
    "PowerGossip",
    "PowerOfChoice",
    "PowerSGD",
    "ProxGT",
    "ProxNIDS",
    "ProxSkip",
    "PushDIGing",
    "PushSumGossip",
    "QGAdam",
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
    "SimpleGT",
    "SlowMo",
    "StochasticGradientPush",
    "StreamingDiLoCo",
    "ThreePC",
    "VRProxSkip",
    "WangElia",
    "delayed",
    "held",
]
