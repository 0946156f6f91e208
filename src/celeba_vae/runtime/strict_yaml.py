"""Strict YAML: plain values that its versions 1.1 and 1.2 read alike, one line for the rest."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from celeba_vae.runtime.errors import UserError, reason_of

# params.yaml has 15 kB, dvc.lock 32; PyYAML reads some 200 kB a second.
_LARGEST = 250_000


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, less what it reads otherwise than DVC, which reads YAML 1.2.

    `yes`, `010` and `1:30` would be true, 8 and 90 here and text, 10 and text to DVC; here they
    stay text, which no number or boolean accepts. `1e-05`, as DVC writes it, is a number to both.
    A key given twice is an error, and so are anchors, aliases and tags: some lines of aliases of
    aliases would become gigabytes.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML declares it so)
        first: [(tag, pattern) for tag, pattern in resolvers if tag == "tag:yaml.org,2002:null"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        for name in ("anchor", "tag"):
            if getattr(event, name, None) is not None:
                raise yaml.composer.ComposerError(
                    None, None, "anchors, aliases and tags are not allowed", event.start_mark
                )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            word = isinstance(key, yaml.ScalarNode)
            if not word or key.value in seen:
                problem = f"key {key.value!r} is given twice" if word else "a key must be a word"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


# More digits than any parameter has stay text: Python refuses to convert thousands of them.
for _tag, _pattern, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", "[-+]?(0|[1-9][0-9]{0,17})", "-+0123456789"),
    (
        "float",
        # DVC's reader takes `.5e3` for text, for want of a sign in the exponent.
        r"[-+]?([0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+|[0-9]+\.[0-9]*|\.[0-9]+([eE][-+][0-9]+)?)"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    _StrictLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first)
    )


def read_yaml(path: Path) -> Any:
    """Return what a YAML file at the top of the project says, see `parse_yaml`.

    Raises:
        UserError: there is no such file, it cannot be read, or `parse_yaml` refuses it.
    """
    if not path.is_file():  # opening a pipe would wait for ever
        raise UserError(f"{path}: no such file; run this at the top of the project")
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise UserError(f"{path}: has {size:,} bytes, allowed are {_LARGEST:,}")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {reason_of(error)}") from None
    return parse_yaml(text, name=str(path))


def parse_yaml(text: str, *, name: str) -> Any:
    """Return what a text of YAML says: mappings, lists, texts, numbers, booleans and None.

    Args:
        text: the text.
        name: what messages call it.

    Raises:
        UserError: it is no YAML, or more than plain values; with the line where it is known.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 (a subclass of SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{name}, line {line}: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:  # a character that YAML does not have
        line = text.count("\n", 0, error.position) + 1
        raise UserError(f"{name}, line {line}: {error.reason}") from None
    except RecursionError:
        raise UserError(f"{name}: is nested too deeply") from None
