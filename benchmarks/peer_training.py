"""ResNet-20 on CIFAR-10, plain and with SE, trained by PyTorch with timm's blocks: the peer of se_against_plain.py.

    PYTHON benchmarks/peer_training.py --data=DIRECTORY --output=FILE [--seeds=3] [--only=SE] [--epochs=12] [--steps=N]

PYTHON has PyTorch, timm and Pillow; `bench/timm_cifar.py` alone is imported of this project. DIRECTORY has images in
train/CLASS and test/CLASS. Recipe, augmentation, schedule and the convolutions' initial distribution are those of the
experiment. The rows of a CSV file say network, seed, accuracy, epochs and seconds. The same command goes on after the
last of them. --steps ends each run early, to try it.
"""

import argparse
import csv
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from PIL import Image
from torch.nn import functional  # pyright: ignore[reportMissingImports]

sys.path.append(str(Path(__file__).parents[1] / "senet_jax/bench"))
from timm_cifar import ResNet20  # pyright: ignore[reportMissingImports]

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
BATCH, PADDING, RATE, MOMENTUM, DECAY = 128, 4, 0.4, 0.9, 5e-4
NETWORKS = {"no SE": "resnet20_cifar", "SE": "se_resnet20_cifar"}


def read(folder):
    """Returns the images of class folders, uint8 (n, 3, 32, 32), and their labels by sorted names."""
    images, labels = [], []
    for label, directory in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        for file in sorted(directory.iterdir()):
            images.append(np.asarray(Image.open(file).convert("RGB")).transpose(2, 0, 1))
            labels.append(label)
    return torch.tensor(np.stack(images)), torch.tensor(labels)


def normalise(images):
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (images.float() / 255 - mean) / std


def augment(images, random):
    """Returns random crops of the images padded by zero pixels, each mirrored with probability 1/2."""
    n, size = len(images), images.shape[-1]
    padded = functional.pad(images, (PADDING,) * 4)
    tops, lefts = torch.randint(0, 2 * PADDING + 1, (2, n, 1, 1), generator=random)
    rows, columns = tops + torch.arange(size).view(1, size, 1), lefts + torch.arange(size).view(1, 1, size)
    flips = torch.rand(n, 1, 1, generator=random) < 0.5
    columns = torch.where(flips, columns.flip(-1), columns)
    return padded[torch.arange(n).view(n, 1, 1), :, rows, columns].permute(0, 3, 1, 2)


def train(name, seed, data, epochs, steps):
    """Returns accuracy on the test images and seconds of training."""
    (images, labels), (test_images, test_labels) = data
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    model = ResNet20(NETWORKS[name]).to(memory_format=torch.channels_last)
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=RATE, momentum=MOMENTUM)
    total, warmup = round(epochs * len(images) / BATCH), round(len(images) / BATCH)
    order, began = torch.empty(0, dtype=torch.long), time.perf_counter()
    for step in range(min(total, steps or total)):
        if len(order) < BATCH:
            order = torch.cat([order, torch.randperm(len(images), generator=random)])
        chosen, order = order[:BATCH], order[BATCH:]
        progress = (step - warmup) / (total - warmup)
        rate = RATE * (step / warmup if step < warmup else (1 + math.cos(math.pi * progress)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        x = normalise(augment(images[chosen], random)).to(memory_format=torch.channels_last)
        loss = functional.cross_entropy(model(x), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    seconds = time.perf_counter() - began
    model.eval()
    with torch.no_grad():
        answers = torch.cat([model(normalise(part)).argmax(1) for part in test_images.split(500)])
    return (answers == test_labels).float().mean().item(), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="directory of train/CLASS and test/CLASS")
    parser.add_argument("--output", type=Path, required=True, help="CSV file")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=NETWORKS, help="network to train; default: both")
    parser.add_argument("--epochs", type=float, default=12)
    parser.add_argument("--steps", type=int, help="steps of each run, to try it; nothing is written")
    options = parser.parse_args()
    done = set()
    if options.output.exists():
        with options.output.open(newline="", encoding="utf-8") as file:
            done = {(row["network"], int(row["seed"]), float(row["epochs"])) for row in csv.DictReader(file)}
    data = [read(options.data / split) for split in ("train", "test")]
    for seed in range(options.seeds):
        for name in NETWORKS:
            if (name, seed, options.epochs) in done or options.only not in (None, name):
                continue
            accuracy, seconds = train(name, seed, data, options.epochs, options.steps)
            if options.steps is None:
                row = name, seed, f"{accuracy:.4f}", options.epochs, f"{seconds:.1f}", torch.__version__
                with options.output.open("a", newline="", encoding="utf-8") as file:
                    writer = csv.writer(file, lineterminator="\n")
                    if file.tell() == 0:
                        writer.writerow(("network", "seed", "accuracy", "epochs", "seconds", "torch"))
                    writer.writerow(row)
            print(f"{name}, seed {seed}: {accuracy:.2%} in {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
