"""Writes the outputs of timm's networks, with the weights and images of rule.py, to fixtures/NAME.npz.

Run it in an environment with PyTorch and timm: `python tests/parity/peer.py legacy_seresnet50 seresnet50 ...`; without
names, for all networks that have a fixture. NAME@8 has the output stride 8; `--training NAME` writes the gradients and
the new running statistics of one step of the network with fewer blocks instead, in float64, to
fixtures/training/NAME.npz. `--optimizers` writes parameters after steps of timm's optimizers to fixtures/optimizers.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import rule
import timm  # pyright: ignore[reportMissingImports]
import timm.optim  # pyright: ignore[reportMissingImports]
import torch  # pyright: ignore[reportMissingImports]

FIXTURES = Path(__file__).parent / "fixtures"


def build(name: str, **settings: Any) -> torch.nn.Module:
    """The network of timm with the rule's weights, in inference mode; NAME@8 has the output stride 8."""
    name, _, output_stride = name.partition("@")
    if output_stride:
        settings["output_stride"] = int(output_stride)
    network = timm.create_model(name, **settings).eval()
    state = network.state_dict()
    for key, tensor in state.items():
        if not key.endswith("num_batches_tracked"):
            tensor.copy_(torch.from_numpy(rule.weight(key, tuple(tensor.shape))))
    return network


def fingerprint(network: torch.nn.Module) -> np.ndarray:
    """The fingerprint of the network's tensors, without the counters of PyTorch's batch normalisation."""
    shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    shapes = {key: shape for key, shape in shapes.items() if not key.endswith("num_batches_tracked")}
    return np.array(rule.fingerprint(shapes), np.uint32)


def answers(name: str) -> dict[str, np.ndarray]:
    """Logits and samples of the last map at each stride, for images of each size."""
    network = build(name)
    modules = {info["reduction"]: info["module"] for info in network.feature_info if info["reduction"] >= 4}
    maps: dict[int, np.ndarray] = {}
    for stride, module in modules.items():
        network.get_submodule(module).register_forward_hook(
            lambda _module, _inputs, output, stride=stride: maps.__setitem__(stride, output.clone().numpy())
        )
    found = {"names": fingerprint(network)}
    for size in rule.sizes(name):
        with torch.inference_mode():
            found[f"{size} logits"] = network(torch.from_numpy(rule.images(*rule.SIZES[size]))).numpy()
        found |= {f"{size} stride {stride}": rule.sample(feature_map) for stride, feature_map in maps.items()}
    return found


def step(name: str) -> dict[str, np.ndarray]:
    """Digests of the gradients and the new running statistics of one step of training in float64."""
    network = build(name, layers=rule.LAYERS).double().train()
    logits = network(torch.from_numpy(rule.images(*rule.TRAINING)).double())
    torch.nn.functional.cross_entropy(logits, torch.tensor(rule.LABELS)).backward()
    found = {key: parameter.grad for key, parameter in network.named_parameters()}
    found |= {key: tensor for key, tensor in network.state_dict().items() if "running" in key}
    return {"names": fingerprint(network)} | {key: rule.digest(tensor.numpy()) for key, tensor in found.items()}


def optimized(kind: str, *, steps: int, own_decay: bool) -> dict[str, np.ndarray]:
    """Parameters after steps of timm's optimizer, in float64, with the settings of `rule.OPTIMIZER`.

    Without `own_decay`, L2 decay is part of the gradients that LARS gets.
    """
    settings = rule.OPTIMIZER
    parameters = {name: torch.from_numpy(value).double().requires_grad_() for name, value in rule.parameters().items()}
    kernels = {name for name in parameters if "kernel" in name}
    decays = own_decay or kind == "lamb"  # Whose decay is not of the gradient.
    groups = [
        {
            "params": [value for name, value in parameters.items() if (name in kernels) == is_kernel],
            "weight_decay": settings["weight_decay"] * (is_kernel and decays),
            "always_adapt": is_kernel,
        }
        for is_kernel in (True, False)
    ]
    if kind == "lars":
        optimizer = timm.optim.Lars(groups, lr=settings["learning_rate"], momentum=settings["momentum"], eps=0.0)
    else:
        betas = settings["momentum"], 0.999
        optimizer = timm.optim.Lamb(groups, lr=settings["learning_rate"], betas=betas, max_grad_norm=None)
    for number in range(steps):
        for name, value in parameters.items():
            value.grad = torch.from_numpy(rule.gradient(name, number)).double()
            if name in kernels and not decays:
                value.grad += settings["weight_decay"] * value.detach()
        optimizer.step()
    return {name: value.detach().numpy() for name, value in parameters.items()}


def main(names: list[str]) -> None:
    """Writes a fixture for each name."""
    if names == ["--optimizers"]:
        for kind in ("lars", "lamb"):
            np.savez_compressed(FIXTURES / "optimizers" / f"{kind}.npz", **optimized(kind, steps=3, own_decay=False))
        own = optimized("lars", steps=1, own_decay=True)
        np.savez_compressed(FIXTURES / "optimizers" / "lars_own_decay.npz", **own)
        return
    if names[:1] == ["--training"]:
        for name in names[1:]:
            np.savez_compressed(FIXTURES / "training" / f"{name}.npz", **step(name))
        return
    for name in names or sorted(path.stem for path in FIXTURES.glob("*.npz")):
        found = answers(name)
        np.savez_compressed(FIXTURES / f"{name}.npz", **found)
        spread = {key: float(value.std()) for key, value in found.items() if key != "names"}
        print(name, {key: f"{value:.3g}" for key, value in spread.items()}, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
