"""The words that name a part of a network, in experiments and in modules.

Standard library only. The functions and modules behind the words are in `ops` and `modules`, the networks in `models`.
"""

from pathlib import Path
from typing import Literal

Attention = Literal["squeeze_excite", "effective", "eca", "scse", "cbam", "gather_excite", "global_context"]
Squeeze = Literal["mean", "max", "both", "none"]
Activation = Literal["relu", "relu6", "silu", "gelu", "hard_swish", "tanh"]
Gate = Literal["sigmoid", "tanh", "relu", "hard_sigmoid"]
Placement = Literal["standard", "pre", "post", "identity", "inner"]

NETWORKS = tuple(Path(__file__).with_name("networks.txt").read_text(encoding="utf-8").split())
"""The names of `list_models()`, in a file so that a wrong one is refused before flax is imported."""
