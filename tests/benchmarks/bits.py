"""Which operations give the same bits on which processor, as one table.

    python -m tests.benchmarks.bits
    python -m tests.benchmarks.bits --part numpy --processor Haswell --processor EPYC-Milan

Runs the operations that the pipeline is made of on this processor, limited to AVX2 as in the
pipeline, and compares their bits with those of this processor without that limit and of processors
of other makers, emulated by `qemu-x86_64` (Debian's package qemu-user). An emulated TensorFlow
needs a minute to load and some minutes for a step; the other libraries take a minute or two each.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from celeba_vae.runtime.switches import Instructions, set_switches

ROOT = Path(__file__).resolve().parents[2]
# Each has AVX2 and FMA, and no AVX-512: qemu emulates none. They differ in maker, caches and what
# is offered beside.
PROCESSORS = ("Haswell", "Skylake-Client", "EPYC", "EPYC-Milan")
IMAGES = 4

Results = Iterator[tuple[str, Any]]


def numpy_operations() -> Results:
    """Yield NumPy's loops, sums, sorting, products, decompositions and random numbers."""
    import numpy as np

    generator = np.random.default_rng(1)
    for name in ("float32", "float64"):
        x: Any = generator.standard_normal((600, 257)).astype(name)
        positive: Any = np.abs(x) + 0.01
        for function in ("exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "tanh", "sin"):
            yield f"{function} {name}", getattr(np, function)(positive)
        for function in ("cos", "cbrt", "arctan", "square", "reciprocal"):
            yield f"{function} {name}", getattr(np, function)(positive)
        yield f"power {name}", positive**1.7
        yield f"divide {name}", x / positive
        yield f"sum {name}", [x.sum(), x.sum(axis=0), x.sum(axis=1), x.cumsum()]
        yield f"mean and std {name}", [x.mean(axis=0), x.std(axis=0), np.cov(x.T)]
        yield f"products {name}", [x.T @ x, x @ x[0], x.ravel() @ x.ravel()]
        yield f"einsum {name}", [np.einsum("ij,ik->jk", x, x), np.einsum("ij,ij->i", x, x)]
        yield f"sort {name}", [np.sort(x, axis=0), np.argsort(np.round(x), axis=0, kind="stable")]
        yield f"percentile {name}", np.percentile(x, [1, 50, 97.3])
    matrix = np.cov(generator.standard_normal((500, 100)).T)
    yield "eigh", list(np.linalg.eigh(matrix))
    yield "svd", list(np.linalg.svd(generator.standard_normal((200, 60)), full_matrices=False))
    yield "cholesky", np.linalg.cholesky(matrix)
    yield "solve", np.linalg.solve(matrix, generator.standard_normal((100, 30)))
    yield "slogdet", list(np.linalg.slogdet(matrix))
    for kind in ("standard_normal", "random", "exponential", "standard_gamma", "permutation"):
        draw = getattr(generator, kind)
        arguments = {"standard_gamma": (2.0, 10_000), "permutation": (10_000,)}.get(kind, (10_000,))
        yield f"random: {kind}", draw(*arguments)


def learning_operations() -> Results:
    """Yield what SciPy and scikit-learn compute."""
    import numpy as np
    import scipy.linalg
    import scipy.optimize
    import scipy.special
    import scipy.stats
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.metrics import roc_auc_score
    from sklearn.mixture import GaussianMixture
    from sklearn.neighbors import NearestNeighbors

    from celeba_vae.backend import pin_linear_algebra

    pin_linear_algebra()
    generator = np.random.default_rng(2)
    x = generator.standard_normal((400, 40))
    x[:150] += 1
    labels = (x[:, 0] + generator.standard_normal(400) > 0).astype(int)
    matrix = np.cov(x.T)
    root = scipy.linalg.cholesky(matrix)
    yield "scipy: cholesky, solve_triangular", [root, scipy.linalg.solve_triangular(root, x.T)]
    yield "scipy: eigh", list(scipy.linalg.eigh(matrix))
    yield "scipy: sqrtm", scipy.linalg.sqrtm(matrix)
    for function in ("gammaln", "erf", "ndtr", "expit", "log_ndtr"):
        yield f"scipy: {function}", getattr(scipy.special, function)(np.abs(x))
    yield "scipy: logsumexp", scipy.special.logsumexp(x, axis=1)
    yield "scipy: chi", scipy.stats.chi.pdf(np.linspace(1, 20, 500), 100)
    yield (
        "scipy: L-BFGS",
        scipy.optimize.minimize(
            lambda w: np.logaddexp(0, x @ w).sum() + w @ w, np.zeros(40), method="L-BFGS-B"
        ).x,
    )
    for kind in ("full", "diag"):
        fitted = GaussianMixture(4, covariance_type=kind, random_state=1).fit(x)
        yield f"mixture: {kind}", [fitted.means_, fitted.covariances_, fitted.score_samples(x)]
    yield "logistic regression", LogisticRegression(max_iter=500).fit(x, labels).coef_
    yield "ridge regression", Ridge().fit(x, labels).coef_
    yield "nearest neighbours", list(NearestNeighbors(n_neighbors=6).fit(x).kneighbors(x))
    yield "AUC", roc_auc_score(labels, x[:, 0])


def picture_operations() -> Results:
    """Yield what OpenCV, Pillow, scikit-image and matplotlib compute."""
    import io

    import cv2
    import numpy as np
    from matplotlib.figure import Figure
    from PIL import Image
    from skimage.metrics import structural_similarity

    cv2.setNumThreads(1)
    generator = np.random.default_rng(3)
    noise = generator.integers(0, 256, (218, 178, 3), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(noise).resize((178, 218)).reduce(2).resize((178, 218)))
    floats = pixels.astype(np.float32)
    for image, kind in ((pixels, "uint8"), (floats, "float32")):
        area = cv2.resize(image, (96, 96), interpolation=cv2.INTER_AREA)
        yield f"OpenCV: area {kind}", area
        yield f"OpenCV: pyramid {kind}", [cv2.pyrDown(area), cv2.pyrUp(area)]
    picture = Image.fromarray(pixels)
    for filter in ("BOX", "LANCZOS", "HAMMING", "BICUBIC", "BILINEAR"):
        resized = picture.resize((96, 96), getattr(Image.Resampling, filter))
        yield f"Pillow: {filter.lower()}", np.asarray(resized)
    for kind in ("PNG", "JPEG"):
        file = io.BytesIO()
        picture.save(file, kind)
        yield f"Pillow: {kind}", [np.frombuffer(file.getvalue(), np.uint8), Image.open(file)]
    other = np.asarray(picture.reduce(2).resize(picture.size))
    yield "SSIM", structural_similarity(pixels, other, channel_axis=2, gaussian_weights=True)
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot(np.sin(np.arange(100) / 7))
    axes.set_title("$\\mu$")
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    yield "matplotlib", np.frombuffer(file.getvalue(), np.uint8)


def step_operations(*, batch_norm: bool) -> Results:
    """Yield losses, gradients and weights of a step of training, and Encoder and Decoder."""
    import numpy as np
    import tensorflow as tf

    from celeba_vae.model.vae import VAE
    from celeba_vae.params import load_params
    from celeba_vae.training.fused_adam import FusedAdam
    from celeba_vae.training.steps import batch_losses

    params = load_params(ROOT / "params.yaml", [f"model.batch_norm={str(batch_norm).lower()}"])
    size, z_dim = params.prepare.size, params.model.z_dim
    vae = VAE(params.model, size=size, seed=1)
    generator = np.random.default_rng(4)
    images = tf.constant(generator.integers(0, 256, (IMAGES, size, size, 3), dtype=np.uint8))
    noise = tf.constant(generator.standard_normal((IMAGES, z_dim), dtype=np.float32))
    optimizer = FusedAdam(learning_rate=params.train.learning_rate)
    optimizer.build(vae.trainable_variables)

    @tf.function
    def step() -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            terms = batch_losses(vae, params.train, images, noise, tf.constant(1.0), training=True)
        gradients = tape.gradient(terms["loss"], vae.trainable_variables)
        optimizer.apply(gradients, vae.trainable_variables)
        return terms, gradients

    encode = tf.function(lambda: vae.encoder(tf.cast(images, tf.float32) / 255, training=False))
    yield "Encoder", tf.nest.flatten(encode())
    yield "Decoder", tf.function(lambda: vae.decoder(noise, training=False))()
    terms, gradients = step()
    yield "losses", list(terms.values())
    for variable, gradient in zip(vae.trainable_variables, gradients, strict=True):
        yield f"gradient of {variable.path}", gradient
    for variable in vae.variables:
        yield f"{variable.path} after it", variable.numpy()


PARTS: dict[str, Callable[[], Results]] = {
    "numpy": numpy_operations,
    "learning": learning_operations,
    "pictures": picture_operations,
    "step": lambda: step_operations(batch_norm=False),
    "batch_norm": lambda: step_operations(batch_norm=True),
}


def hashes(part: str, instructions: Instructions) -> dict[str, str]:
    """Return the sha256 of the result of each operation of a part, in a process of its own."""
    set_switches(instructions)
    if part in ("step", "batch_norm"):
        from celeba_vae.backend import configure_tensorflow

        configure_tensorflow(2, instructions)
    import numpy as np

    found = {}
    for name, result in PARTS[part]():
        arrays = result if isinstance(result, list) else [result]
        content = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def _measured(part: str, processor: str | None, instructions: Instructions) -> dict[str, str]:
    emulated = ["qemu-x86_64", "-cpu", processor] if processor else []
    own = [sys.executable, "-m", "tests.benchmarks.bits"]
    done = subprocess.run(
        [*emulated, *own, "--hashes", part, instructions],
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        print(f"  {part} on {processor or 'this processor'}: {last[0]}", file=sys.stderr)
        return {}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Print for each processor how many operations of each part have this one's bits."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--part", action="append", choices=PARTS, help="only these parts")
    parser.add_argument(
        "--processor", action="append", help=f"as qemu names it; default: {', '.join(PROCESSORS)}"
    )
    parser.add_argument("--hashes", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.hashes:
        print(json.dumps(hashes(*arguments.hashes)))
        return
    if not shutil.which("qemu-x86_64"):
        sys.exit("error: qemu-x86_64 is not installed: `apt install qemu-user`")
    for part in arguments.part or PARTS:
        wanted = _measured(part, None, "avx2")
        print(f"{part}: {len(wanted)} operations on this processor, limited to AVX2")
        others: list[tuple[str | None, Instructions]] = [(None, "avx2"), (None, "native")]
        others += [(name, "avx2") for name in arguments.processor or PROCESSORS]
        for processor, instructions in others:
            started = time.perf_counter()
            got = _measured(part, processor, instructions)
            if not got:
                continue
            differing = [name for name in wanted if wanted[name] != got.get(name)]
            label = processor or ("again" if instructions == "avx2" else "this one, native")
            same = f"{len(wanted) - len(differing)} of {len(wanted)} the same"
            shown = ", ".join(differing[:6]) + (", ..." if differing[6:] else "")
            seconds = time.perf_counter() - started
            print(f"  {label:<18}{same:<20}{seconds:>5.0f} s  {shown}", flush=True)


if __name__ == "__main__":
    main()
