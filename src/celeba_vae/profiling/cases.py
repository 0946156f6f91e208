"""The configurations that are measured: the current one, and those of the sweep."""

from collections.abc import Sequence
from dataclasses import dataclass

from celeba_vae.params import Params, load_params


@dataclass(frozen=True)
class Case:
    """A configuration to measure.

    Attributes:
        group: the table it stands in.
        name: its row there.
        params: all its parameters.
        optimizer: "adam", as in training, or another of Keras' optimizers.
        recompute: whether activations are computed anew for the gradients instead of kept.
    """

    group: str
    name: str
    params: Params
    optimizer: str = "adam"
    recompute: bool = False


CURRENT, HEADS, LEVELS, BATCHES, LEVERS = "current", "heads", "levels", "batches", "levers"


def current_cases(overrides: Sequence[str]) -> list[Case]:
    """Return the current parameters, and the same with twice the batch."""
    case = _case(CURRENT, "params.yaml", overrides)
    size = case.params.train.batch_size
    return [
        case,
        _case(CURRENT, f"batch {2 * size}", (*overrides, f"train.batch_size={2 * size}")),
    ]


def sweep_cases(overrides: Sequence[str]) -> list[Case]:
    """Return all that the sweep measures, as changes of the current parameters.

    Heads: `inter_dense` and `z_dim`. Levels: their number, and stride 3. Batches: their size.
    Levers: what saves memory. All at batch size 128 but the batches.
    """
    at_128 = (*overrides, "train.batch_size=128")
    heads = [
        _case(
            HEADS,
            f"z_dim {z_dim}, {'no extra layer' if units is None else f'inter_dense {units}'}",
            (
                *at_128,
                f"model.z_dim={z_dim}",
                f"model.inter_dense={'null' if units is None else units}",
            ),
        )
        for z_dim in (256, 512)
        for units in (None, 256, 384, 512)
    ]
    levels = [
        _case(LEVELS, name, (*at_128, f"model.filters={filters}", f"model.strides={strides}"))
        for name, filters, strides in (
            ("3 levels, (32, 64, 128)", [32, 64, 128], [2, 2, 2]),
            ("3 levels, (32, 64, 256)", [32, 64, 256], [2, 2, 2]),
            ("3 levels, (32, 64, 256), the last with stride 3", [32, 64, 256], [2, 2, 3]),
            ("4 levels, (32, 64, 128, 256)", [32, 64, 128, 256], [2, 2, 2, 2]),
            ("5 levels, (32, 64, 128, 256, 512)", [32, 64, 128, 256, 512], [2, 2, 2, 2, 2]),
        )
    ]
    batches = [
        _case(BATCHES, f"batch {size}", (*overrides, f"train.batch_size={size}"))
        for size in (32, 64, 128, 256, 512)
    ]
    levers = [
        _case(LEVERS, "as it is", at_128),
        _case(
            LEVERS,
            "mixed precision (bfloat16)",
            (*at_128, "train.precision=bfloat16", "instructions=native"),
        ),
        _case(LEVERS, "gradients of 8 times 16 images", (*at_128, "train.accumulate=8")),
        _case(LEVERS, "activations recomputed", at_128, recompute=True),
        _case(LEVERS, "SGD instead of Adam", at_128, optimizer="SGD"),
        _case(LEVERS, "Adafactor instead of Adam", at_128, optimizer="Adafactor"),
    ]
    return [*heads, *levels, *batches, *levers]


def _case(
    group: str,
    name: str,
    overrides: Sequence[str],
    *,
    optimizer: str = "adam",
    recompute: bool = False,
) -> Case:
    params = load_params(overrides=overrides)
    return Case(group, name, params, optimizer=optimizer, recompute=recompute)
