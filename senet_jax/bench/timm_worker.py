"""Contestant on PyTorch: a network of timm. See worker.py."""

import time
from contextlib import nullcontext
from typing import Any

import timm  # pyright: ignore[reportMissingImports]
import torch  # pyright: ignore[reportMissingImports]
from timm_cifar import NETWORKS, ResNet20  # The peer's Python has no senet_jax and runs this file by its path.
from worker import serve


class TimmContestant:
    """`training`: forward, backward and update by SGD with momentum; `inference`: logits.

    bfloat16 is autocast in training, as in timm, and the dtype of the whole network in inference.
    """

    def __init__(self, settings: dict[str, Any]):
        """Makes a network with random parameters and random images, and compiles it if the settings say so."""
        n, size, self.training = settings["batch_size"], settings["image_size"], settings["mode"] == "training"
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        dtype = getattr(torch, settings["dtype"])
        layout = torch.channels_last if settings["channels_last"] else torch.contiguous_format
        torch.manual_seed(0)
        torch.backends.cudnn.benchmark = torch.backends.cuda.matmul.allow_tf32 = True
        name = settings["network"]
        model = ResNet20(name) if name in NETWORKS else timm.create_model(name.removeprefix("timm/"))
        model = model.to(self.device, memory_format=layout).train(self.training)
        self.images = torch.randn(n, 3, size, size, device=self.device).to(memory_format=layout)
        self.labels = torch.arange(n, device=self.device) % 10
        self.optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, fused=True)
        self.autocast = nullcontext
        if dtype != torch.float32 and self.training:
            self.autocast = lambda: torch.autocast(self.device.type, dtype)
        elif dtype != torch.float32:
            model, self.images = model.to(dtype), self.images.to(dtype)
        self.model = torch.compile(model) if settings["compiled"] else model
        self.facts: dict[str, Any] = {
            "platform": "cpu" if self.device.type == "cpu" else "gpu",
            "versions": {"torch": torch.__version__, "timm": timm.__version__},
        }
        if settings["compiled"]:
            began = time.perf_counter()
            self.run(1)
            self.facts["compile_seconds"] = time.perf_counter() - began
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def run(self, steps: int) -> None:
        """Runs that many steps, and waits until they are done."""
        for _ in range(steps):
            self._train() if self.training else self._infer()
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _train(self) -> None:
        self.optimizer.zero_grad()
        with self.autocast():
            loss = torch.nn.functional.cross_entropy(self.model(self.images), self.labels)
        loss.backward()
        self.optimizer.step()

    @torch.no_grad()
    def _infer(self) -> None:
        self.model(self.images)

    def peak_memory(self) -> Any:
        """Returns the peak of the accelerator's memory in bytes; None on a CPU."""
        return None if self.device.type == "cpu" else torch.cuda.max_memory_allocated()

    def release(self) -> None:
        """Frees the accelerator's memory that PyTorch keeps without need."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    serve(TimmContestant)
