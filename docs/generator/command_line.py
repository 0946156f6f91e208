"""The reference of `celeba-vae`, made from its commands."""

import re
from pathlib import Path

import click

from celeba_vae.cli.program import cli


def make_cli(root: Path) -> str:
    """Return all commands as Markdown: usage, what it does, arguments and options."""
    lines: list[str] = []
    top = click.Context(cli, info_name="celeba-vae")
    for name in sorted(cli.commands):
        command = cli.commands[name]
        context = click.Context(command, info_name=name, parent=top)
        usage = f"{context.command_path} {' '.join(command.collect_usage_pieces(context))}"
        lines += [f"## {name}", "", "```text", usage, "```", ""]
        lines += _paragraphs(command.help or "")
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                name = ", ".join(parameter.opts)
                lines += [f"`{name}{_value(parameter, context)}`", f": {_about(parameter)}", ""]
    return "\n".join(lines)


def _value(option: click.Option, context: click.Context) -> str:
    return "" if option.is_flag else f" {option.make_metavar(context).removesuffix(' RANGE')}"


def _about(option: click.Option) -> str:
    """Return what an option does, whether it must be given, its default and its range."""
    notes = ["Needed." if option.required else ""]
    if option.show_default:
        default = option.default if isinstance(option.default, tuple) else (option.default,)
        notes += ["Default " + ", ".join(f"`{value}`" for value in default) + "."]
    if isinstance(option.type, click.IntRange | click.FloatRange):
        least = f"{'above' if option.type.min_open else 'from'} {_number(option.type.min)}"
        notes += [f"A number {least} to {_number(option.type.max)}."]
    return " ".join(filter(None, [_escaped(option.help or ""), *notes]))


def _number(value: float | None) -> str:
    return f"{value:,}" if value is not None else ""


def _paragraphs(text: str) -> list[str]:
    """Return a help text as Markdown; a paragraph that is a command becomes code."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        joined = " ".join(paragraph.split())
        if joined.startswith("celeba-vae "):
            lines += ["```text", joined, "```", ""]
        else:
            lines += [_escaped(joined), ""]
    return lines


def _escaped(text: str) -> str:
    """Return a help text as Markdown: options are code, and nothing else is marked up."""
    parts = re.split(r"(`[^`]*`)", text.replace("<", "&lt;").replace("*", r"\*").strip())
    parts[::2] = [re.sub(r"(?<![\w-])--?[a-zA-Z][\w-]*", r"`\g<0>`", part) for part in parts[::2]]
    return "".join(parts)
