"""The two diagrams of the documentation, as SVG: the model, and the way of an image.

`python -m docs.generator.diagrams` writes both into docs/images/; the sizes of the model are those
of params.yaml, and a test holds the committed pictures to them.
"""

import math
from pathlib import Path
from xml.sax.saxutils import escape

from celeba_vae.params import Params, load_params

# Colours follow the reader's system: a picture has no other way to know of a dark page.
_STYLE = """
  .page { fill: #ffffff } .box { fill: #eef3fb; stroke: #4a6fa5 }
  .room { fill: #eef7ee; stroke: #4f8a52 } text { fill: #1c2430 }
  .small { fill: #4b5563 } .arrow { stroke: #4b5563; fill: none } .head { fill: #4b5563 }
  @media (prefers-color-scheme: dark) { .page { fill: #14181e } .box { fill: #1d2a3f;
  stroke: #7ea3d8 } .room { fill: #1b2f1d;
  stroke: #7fbd83 } text { fill: #e6e9ee } .small { fill: #aeb6c2 } .arrow { stroke: #aeb6c2 }
  .head { fill: #aeb6c2 } }
  text { font: 14px system-ui, sans-serif; text-anchor: middle } .small { font-size: 12px }
  .title { font-weight: 600 } .left { text-anchor: start } .mono { font-family: monospace }
"""

# Room, stage, what happens to an image, and what is changed there. Paths are below src/celeba_vae.
WAY = (
    (
        "download",
        "faces",
        "drawn, fetched or copied into one archive",
        "another source of images",
    ),
    (
        "prepare",
        "shards",
        "decoded, cut to a square, resized: uint8 pixels",
        "crop, filter, split, file format",
    ),
    (
        "train",
        "training",
        "pixels / 255, Encoder, z, Decoder, loss, one step",
        "schedules, optimizer, resuming",
    ),
    (
        "zpoints",
        "zpoints",
        "encoded once: mu, log_var and z of every image",
        "which values and plots of z there are",
    ),
    (
        "generate",
        "generate",
        "random z, Decoder, sigmoid times 255: new faces",
        "grids and interpolations",
    ),
    (
        "attributes",
        "attributes",
        "attributes read off mu, faces pushed along them",
        "probes and edited faces",
    ),
    (
        "evaluate",
        "evaluate",
        "reconstructions and drawn faces beside real ones",
        "what is measured on which faces",
    ),
    (
        "report",
        "report",
        "all pictures and metrics on one page",
        "what the page shows and says",
    ),
)

ROOMS = (
    ("model", "Encoder, Decoder, losses; saving, loading"),
    ("latent", "mathematics of z: moments, samplers, directions"),
    ("metrics", "mathematics of images: PSNR, SSIM, distances"),
    ("plots", "whatever draws: curves, planes, grids of faces"),
    ("runtime", "files, errors, progress, processes"),
)


def model_svg(params: Params) -> str:
    """Return the Encoder and the Decoder with the size of each map, in an hourglass."""
    side, maps = params.prepare.size, [(params.prepare.size, 3)]
    for filters, stride in zip(params.model.filters, params.model.strides, strict=True):
        side //= stride
        maps.append((side, filters))
    flat = side * side * params.model.filters[-1]
    step, left, right = 62, 130, 390
    parts = [_text(left, 28, "Encoder", "title"), _text(right, 28, "Decoder", "title")]
    for level, (width, channels) in enumerate(maps):
        y = 48 + step * level
        size = " \N{MULTIPLICATION SIGN} ".join(map(str, (width, width, channels)))
        narrow = 200 - 84 * level / (len(maps) - 1)
        parts += [_box(left, y, narrow, size), _box(right, y, narrow, size)]
        if level:
            stride = params.model.strides[level - 1]
            parts += [
                _arrow(left, y - step + 34, left, y),
                _arrow(right, y, right, y - step + 34),
                _text(left + 8, y - 10, f"convolution, stride {stride}", "small left"),
                _text(right + 8, y - 10, "transposed", "small left"),
            ]
    y = 48 + step * len(maps)
    dense = f"{flat:,} values"
    parts += [
        _arrow(left, y - step + 34, left, y),
        _text(left + 8, y - 10, "flatten", "small left"),
        _box(left, y, 130, dense),
        _arrow(right, y, right, y - step + 34),
        _text(right + 8, y - 10, "reshape", "small left"),
        _box(right, y, 130, dense),
    ]
    inner = params.model.inter_dense
    heads = y + 2 * step
    parts += [
        _box(left, y + step, 180, f"inter_dense: {inner or 'optional'}", dashed=inner is None),
        _arrow(left, y + 34, left, y + step),
        _arrow(left - 50, y + step + 34, left - 60, heads + 12),
        _arrow(left + 50, y + step + 34, left + 60, heads + 12),
        _box(left - 60, heads + 12, 100, f"mu: {params.model.z_dim}"),
        _box(left + 60, heads + 12, 110, f"log_var: {params.model.z_dim}"),
        _arrow(left - 60, heads + 46, 220, heads + 84),
        _arrow(left + 60, heads + 46, 235, heads + 84),
        _box(260, heads + 84, 300, "z = mu + exp(log_var / 2) · noise"),
        _arrow(right, heads + 84, right, y + 34),
        _text(right + 8, y + step + 22, "Dense", "small left"),
        _text(260, heads + 138, "noise is drawn from N(0, I), anew at each step", "small"),
    ]
    return _svg(520, heads + 154, parts, "The model, from an image to z and back")


def way_svg() -> str:
    """Return the stages in the order in which an image meets them, each with its room."""
    parts = [_text(260, 28, "The way of an image, and where a change belongs", "title")]
    y, branch = 46, 0
    for number, (stage, room, what, change) in enumerate(WAY):
        # These three read what zpoints and the stages before left, and nothing of each other.
        aside = stage in ("generate", "attributes", "evaluate")
        indent = 32 if aside else 0
        x = 24 + indent
        parts += [
            _box(260 + indent / 2, y, 500 - indent, "", height=70),
            _text(x, y + 22, stage, "title left"),
            _text(498, y + 22, f"stages/{stage}.py, {room}/", "small mono end"),
            _text(x, y + 42, what, "left"),
            _text(x, y + 60, f"change here: {change}", "small left"),
        ]
        if aside:
            branch = branch or y - 14
            parts.append(_arrow(26, y + 35, 42, y + 35))
        elif branch:
            parts.append(_arrow(26, branch, 26, y))
        elif number:
            parts.append(_arrow(260, y - 14, 260, y))
        y += 84
    y += 16
    parts.append(_text(260, y, "Rooms that know no stage: all of them may use these", "title"))
    y += 14
    for room, what in ROOMS:
        parts += [
            _box(260, y, 500, "", kind="room", height=32),
            _text(24, y + 21, f"{room}/", "mono left"),
            _text(120, y + 21, what, "left"),
        ]
        y += 40
    return _svg(520, y + 8, parts, "The way of an image through the stages")


def _svg(width: int, height: float, parts: list[str], title: str) -> str:
    style = _STYLE + "  .end { text-anchor: end }\n"
    head = (
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path class="head" d="M0 0L8 4L0 8z"/></marker>'
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {math.ceil(height)}" '
            f'width="{width}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{style}</style>",
            f"<defs>{head}</defs>",
            f'<rect class="page" width="{width}" height="{math.ceil(height)}" rx="8"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _box(
    x: float,
    y: float,
    width: float,
    text: str,
    *,
    kind: str = "box",
    height: int = 34,
    dashed: bool = False,
) -> str:
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    box = (
        f'<rect class="{kind}" x="{x - width / 2:g}" y="{y:g}" width="{width:g}" '
        f'height="{height}" rx="6"{dashes}/>'
    )
    return box + (_text(x, y + 22, text) if text else "")


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}"{style}>{escape(text)}</text>'


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path class="arrow" d="M{x1:g} {y1:g}L{x2:g} {y2:g}" marker-end="url(#head)"/>'


def make_diagrams(root: Path) -> dict[str, str]:
    """Return both pictures by the names of their files in docs/images."""
    return {"model.svg": model_svg(load_params(root / "params.yaml")), "pieces.svg": way_svg()}


def main() -> None:
    """Write both pictures."""
    root = Path(__file__).resolve().parents[2]
    for name, picture in make_diagrams(root).items():
        (root / "docs/images" / name).write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
