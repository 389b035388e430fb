from .boards import TensorBoard, WeightsAndBiases
from .lines import JSONLines
from .seen import Callback, One, Seen, Stopped
from .stop import Stop

__all__ = [
    "Callback",
    "JSONLines",
    "One",
    "Seen",
    "Stop",
    "Stopped",
    "TensorBoard",
    "WeightsAndBiases",
]
