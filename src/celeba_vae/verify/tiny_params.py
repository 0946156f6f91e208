"""Parameters of the whole pipeline at its smallest, for `verify --quick` and for the tests."""

from pathlib import Path

TINY = (
    "download.images=48",
    "prepare.size=32",
    "prepare.shard_images=16",
    "model.filters=[4, 8]",
    "model.strides=[2, 2]",
    "model.z_dim=6",
    "train.epochs=2",
    "train.batch_size=16",
    "generate.rows=2",
    "generate.columns=3",
    "generate.walks=2",
    "generate.walk_steps=3",
    "attributes.min_images=1",
    "attributes.rows=2",
    "attributes.columns=3",
    "evaluate.neighbours=2",
    "evaluate.quick.likelihood_images=3",
    "evaluate.quick.importance_samples=4",
    "run.workers=2",
)


def set_params(project: Path, *overrides: str) -> None:
    """Change a project's params.yaml as `dvc exp run -S` does, with DVC's own function."""
    from dvc.utils.hydra import apply_overrides

    apply_overrides(project / "params.yaml", list(overrides))
