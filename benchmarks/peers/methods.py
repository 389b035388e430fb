"""The methods of the peer, by the names and with the arguments that it has for them. Read on both sides."""

from typing import Any, Literal, NamedTuple

__all__ = ["NODES", "PEERS", "Peer"]

NODES = 8
ITERATIONS = 100
LR, K, LOCAL = 0.1, 4, {"num_local_steps": 4, "step_size": 0.02}


class Peer(NamedTuple):
    """A method there."""

    name: str  # of its class
    family: Literal["p2p", "federated"]
    arguments: dict[str, Any]  # a tuple has a number for each client
    iterations: int = ITERATIONS
    mend: tuple[str, ...] = ()  # what is mended in a second run, see theirs.py


ADAPTIVE = LOCAL | {"server_step_size": 0.05, "beta_1": 0.9, "epsilon": 1e-3}
NOVA = {"use_momentum": True, "momentum": 0.5, "use_prox": True, "penalty": 0.1, "use_server_momentum": True}
PEERS = (
    Peer("ADMM", "p2p", {"penalty": 0.5, "relaxation": 0.6}, mend=("proximal solver",)),
    Peer("ATC", "p2p", {"step_size": LR}),
    Peer("ATC_Tracking", "p2p", {"step_size": LR}),
    Peer("ATG", "p2p", {"penalty": 0.5, "relaxation": 0.6, "gamma": 0.3, "delta": 0.3}),
    Peer("AugDGM", "p2p", {"step_size": LR}),
    Peer("DGD", "p2p", {"step_size": LR}),
    Peer("DiNNO", "p2p", LOCAL | {"penalty": 0.25}, mend=("additions",)),
    Peer("DLM", "p2p", {"step_size": LR, "penalty": 0.25}, ITERATIONS + 1, mend=("additions",)),
    Peer("ED", "p2p", {"step_size": LR}),
    Peer("EXTRA", "p2p", {"step_size": LR}),
    Peer("GT_SAGA", "p2p", {"step_size": LR}),
    Peer("GT_SARAH", "p2p", {"step_size": LR, "num_local_steps": K}, ITERATIONS // (K + 1)),
    Peer("GT_VR", "p2p", {"step_size": LR, "snapshot_prob": 0.3}),
    Peer("KGT", "p2p", LOCAL | {"aux_step_size": 0.8}),
    Peer("LED", "p2p", LOCAL | {"aux_step_size": 0.25}),
    Peer("LT_ADMM", "p2p", LOCAL | {"aux_step_size": 0.1, "penalty": 0.5, "relaxation": 0.6}),
    Peer("LT_ADMM_VR", "p2p", LOCAL | {"aux_step_size": 0.1, "penalty": 0.5, "relaxation": 0.6}),
    Peer("NIDS", "p2p", {"step_size": LR}),
    Peer("ProxSkip", "p2p", {"step_size": LR, "comm_probability": 0.4, "aux_step_size": 0.4, "chi": 1.5}),
    Peer("SimpleGT", "p2p", {"step_size": LR}),
    Peer("WangElia", "p2p", {"step_size": LR}),
    Peer("FedAdagrad", "federated", ADAPTIVE),
    Peer("FedAdam", "federated", ADAPTIVE | {"beta_2": 0.99}),
    Peer("FedAvg", "federated", LOCAL),
    Peer("FedDyn", "federated", LOCAL | {"penalty": 0.5}),
    Peer("FedLT", "federated", LOCAL | {"penalty": 1.0}),
    Peer(
        "FedNova", "federated", {"step_size": 0.02, "num_local_steps": (1, 2, 3, 4) * 2, "server_momentum": 0.5} | NOVA
    ),
    Peer("FedPD", "federated", LOCAL | {"penalty": 1.0, "skip_probability": 0.4}),
    Peer("FedProx", "federated", LOCAL | {"penalty": 0.5}),
    Peer("FedYogi", "federated", ADAPTIVE | {"beta_2": 0.99}),
    Peer("Scaffold", "federated", LOCAL | {"server_step_size": 0.8}),
)
