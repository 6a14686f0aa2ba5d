"""Types of arrays with shapes, `Float[Array, "n h w c"]`: jaxtyping's if it is installed, else plain arrays.

The tests install jaxtyping and check every annotation at run time; a user of the modules does not need it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jax import Array

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Shaped, UInt8
else:
    try:
        from jaxtyping import Bool, Float, Int, Shaped, UInt8
    except ModuleNotFoundError:

        class Float:
            """Stands for `Float[kind, shape]` and means `kind`."""

            def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
                return item[0]

        Bool = Int = Shaped = UInt8 = Float

ModuleDef = Callable[..., Any]
"""Function that makes a module: its class, or `functools.partial` of it."""

__all__ = ["Array", "Bool", "Float", "Int", "ModuleDef", "Shaped", "UInt8"]
