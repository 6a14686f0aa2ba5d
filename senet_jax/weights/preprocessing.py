"""Preprocessing of images for trained weights."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")


@dataclass(frozen=True)
class Preprocessing:
    """Resizes the shorter side, crops the centre and normalises: `preprocessing(image)`."""

    image_size: int = 224
    """Height and width of the output, in pixels."""
    crop: float = 0.875
    """Share of the shorter side that the crop keeps: images are resized to floor(image_size / crop) pixels."""
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Mean of red, green and blue in [0, 1], or of grey alone."""
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """Std of red, green and blue in [0, 1], or of grey alone."""

    def __post_init__(self) -> None:
        """Raises ValueError if a value is impossible."""
        if self.interpolation not in INTERPOLATIONS:
            allowed = ", ".join(INTERPOLATIONS)
            raise ValueError(f"interpolation is {self.interpolation!r}; it must be one of {allowed}")
        if not (self.image_size >= 1 and 0 < self.crop <= 1):
            raise ValueError(
                f"image_size is {self.image_size} and crop {self.crop}; they must be at least 1, and in (0, 1]"
            )
        if not (len(self.mean) == len(self.std) and len(self.mean) in (1, 3) and min(self.std) > 0):
            raise ValueError(
                f"mean is {self.mean} and std {self.std}; they must be three numbers each, for red, green "
                "and blue, or one each, for grey, and the stds positive"
            )

    @property
    def channels(self) -> int:
        """Channels c of the output: 3 (RGB) or 1 (grey)."""
        return len(self.mean)

    def of_channels(self, channels: int) -> "Preprocessing":
        """Returns the preprocessing for 3 (RGB) or 1 (grey) channels; grey has the means of red, green and blue."""
        if channels == self.channels:
            return self
        if channels not in (1, 3):
            raise ValueError(f"channels is {channels}; it must be 1 (grey) or 3 (RGB)")
        mean, std = ((sum(values) / len(values),) * channels for values in (self.mean, self.std))
        return dataclasses.replace(self, mean=mean, std=std)

    def __call__(self, image: Any) -> np.ndarray:
        """Converts a PIL image, or uint8 (h, w, 3) or (h, w), to float32 (image_size, image_size, c)."""
        return self.normalise(self.crop_pixels(image))

    def crop_pixels(self, image: Any) -> np.ndarray:
        """Resizes and crops a PIL image, or uint8 (h, w, 3) or (h, w), to uint8 (image_size, image_size, c).

        Raises ValueError for an array of another type or shape, and for anything else.
        """
        from PIL import Image

        from senet_jax.data.images import center_crop, of_channels, plain

        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.shape[2:] not in ((), (3,)) or image.ndim < 2 or not image.size:
                raise ValueError(
                    f"the image is an array of {image.dtype}, {image.shape}; it must be of uint8, (height, width, 3) "
                    "or (height, width)"
                )
            image = Image.fromarray(image)
        if not isinstance(image, Image.Image):
            raise ValueError(f"the image is of {type(image).__name__}; it must be a path, a PIL image or a NumPy array")
        return center_crop(of_channels(plain(image), self.channels), self.image_size, self.crop, self.interpolation)

    def normalise(self, pixels: Any) -> Any:
        """Returns (pixels / 255 - mean) / std in float32, for arrays (..., c) of NumPy or JAX."""
        scaled = pixels.astype(np.float32) / 255
        return (scaled - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)

    def __str__(self) -> str:
        mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std))
        size = f"{self.image_size} x {self.image_size} pixels"
        return f"{size}, crop {self.crop:g}, {self.interpolation}, mean {mean}, std {std}"

    def to_json(self) -> str:
        """Returns the preprocessing as text, for the header of a file."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Preprocessing":
        """Reads the text of `to_json`."""
        values = json.loads(text)
        mean, std = tuple(values.pop("mean")), tuple(values.pop("std"))
        return cls(**values, mean=mean, std=std)

    def to_timm(self) -> dict[str, Any]:
        """Returns the preprocessing as timm's `pretrained_cfg`."""
        return {
            "input_size": [self.channels, self.image_size, self.image_size],
            "crop_pct": self.crop,
            "crop_mode": "center",
            "interpolation": self.interpolation,
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_timm(cls, config: dict[str, Any]) -> "Preprocessing":
        """Reads timm's `pretrained_cfg`, with the image size of training, not the larger one of tests.

        Raises ValueError if it asks for another kind of crop, KeyError if a field is missing.
        """
        if config.get("crop_mode", "center") != "center":
            raise ValueError(f"crop_mode is {config['crop_mode']!r}; only 'center' is possible")
        return cls(
            image_size=config["input_size"][-1],
            crop=config["crop_pct"],
            interpolation=config["interpolation"],
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
        )


CAFFE = Preprocessing(mean=(123 / 255, 117 / 255, 104 / 255), std=(1 / 255,) * 3)
"""Preprocessing of the authors' networks: pixels in [0, 255] minus the mean, with RGB instead of BGR."""
