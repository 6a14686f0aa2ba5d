"""What was done to the images that a network's weights were trained for."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")


@dataclass(frozen=True)
class Preprocessing:
    """Resize the shorter side, cut out the centre, normalise: `preprocessing(image)` does it."""

    image_size: int = 224
    """Height and width of the result, in pixels."""
    crop: float = 0.875
    """Share of the resized image's shorter side that the result is: the side is floor(image_size / crop) pixels."""
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Of red, green and blue in [0, 1], or of grey alone; subtracted."""
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """Divides what is left."""

    def __post_init__(self) -> None:
        """Raises ValueError for a value that cannot be."""
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
        """Channels of the result, c: 3 (RGB) or 1 (grey)."""
        return len(self.mean)

    def of_channels(self, channels: int) -> "Preprocessing":
        """The same for images of 3 (RGB) or 1 (grey) channels: grey has the means over red, green and blue."""
        if channels == self.channels:
            return self
        if channels not in (1, 3):
            raise ValueError(f"channels is {channels}; it must be 1 (grey) or 3 (RGB)")
        mean, std = ((sum(values) / len(values),) * channels for values in (self.mean, self.std))
        return dataclasses.replace(self, mean=mean, std=std)

    def __call__(self, image: Any) -> np.ndarray:
        """A PIL image, or uint8 (h, w, 3) or (h, w), as float32 (image_size, image_size, c) for the network."""
        return self.normalise(self.crop_pixels(image))

    def crop_pixels(self, image: Any) -> np.ndarray:
        """A PIL image, or uint8 (h, w, 3) or (h, w), resized and cropped: uint8 (image_size, image_size, c).

        Raises ValueError for an array of another type or shape.
        """
        from PIL import Image

        from senet_jax.data.images import center_crop, of_channels, plain

        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.shape[2:] not in ((), (3,)) or image.ndim < 2:
                raise ValueError(
                    f"the image is an array of {image.dtype}, {image.shape}; it must be of uint8, (height, width, 3) "
                    "or (height, width)"
                )
            image = Image.fromarray(image)
        return center_crop(of_channels(plain(image), self.channels), self.image_size, self.crop, self.interpolation)

    def normalise(self, pixels: Any) -> Any:
        """Pixels in [0, 255], (..., c), of NumPy or JAX, as float32: scaled to [0, 1], less mean, over std."""
        scaled = pixels.astype(np.float32) / 255
        return (scaled - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)

    def __str__(self) -> str:
        mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std))
        size = f"{self.image_size} x {self.image_size} pixels"
        return f"{size}, crop {self.crop:g}, {self.interpolation}, mean {mean}, std {std}"

    def to_json(self) -> str:
        """For a file's header."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Preprocessing":
        """What `to_json` gave."""
        values = json.loads(text)
        mean, std = tuple(values.pop("mean")), tuple(values.pop("std"))
        return cls(**values, mean=mean, std=std)

    def to_timm(self) -> dict[str, Any]:
        """The same as timm's `pretrained_cfg` has it."""
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
        """What a `config.json` of timm's says under `pretrained_cfg`: the size of training, not the larger test size.

        Raises ValueError where it says something that is not done here, KeyError where it lacks something.
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
"""Of the authors' released networks: pixels in [0, 255] less the mean, and nothing else (after BGR became RGB)."""
