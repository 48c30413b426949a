"""The command line itself: the order of its verbs, what all verbs share, and how a command ends."""

import sys
from collections.abc import Callable
from inspect import cleandoc
from math import isfinite
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from steelscan import __version__
from steelscan.cli.environment import share_cores
from steelscan.cli.failure import report, shortened
from steelscan.cli.interruption import interruptible
from steelscan.cli.processes import check_verb, one_process_prints
from steelscan.cli.terminal import safe_streams

Function = TypeVar("Function", bound=Callable[..., Any])

PANELS = {
    "Data": ("mill", "convert", "check", "explore", "folds", "shift", "audit"),
    "Train": ("demo", "list", "show", "weights", "train", "runs"),
    "Evaluate": (
        *("predict", "score", "tune", "escapes", "compare", "ensemble", "submit", "agreement"),
    ),
    "Deploy": ("export", "verify", "scan", "coil", "bench", "line", "quantize", "keygen"),
}
"""All verbs in the order of use, as the help lists them."""

_PANEL_OF = {verb: panel for panel, verbs in PANELS.items() for verb in verbs}

RENAMED = {"plant": "escapes", "plan": "line", "agree": "agreement"}
"""Verbs that had another name: the old one works, but is not in the help."""


class Verb(TyperCommand):
    """A verb that refuses numbers that are not finite."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments. Raises BadParameter for a number that is not finite."""
        rest = super().parse_args(ctx, args)
        parameter: Any
        for parameter in self.params:
            value = ctx.params.get(parameter.name)
            if isinstance(value, float) and not isfinite(value):
                raise typer.BadParameter(f"{value} is not a finite number.", ctx, parameter)
        return rest


class Verbs(TyperGroup):
    """All verbs, in the order of use; old names lead to the verbs of today."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Return the verbs in the order of `PANELS`."""
        return list(_PANEL_OF)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name, the verb and its arguments; replace an old name, with a message."""
        verb = RENAMED.get(args[0])
        if verb is not None:
            print(f"steelscan {args[0]} is now steelscan {verb}", file=sys.stderr)
            args = [verb, *args[1:]]
        return super().resolve_command(ctx, args)


class App(typer.Typer):
    """The program: each of its verbs is a `Verb` in the panel that `PANELS` gives it."""

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Function], Function]:
        """Add a verb, as `typer.Typer.command` does. Raises KeyError if `PANELS` lacks it."""

        def add(function: Function) -> Function:
            verb = name or function.__name__
            paragraphs = cleandoc(function.__doc__ or "").split("\n\n")
            text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
            command = super(App, self).command(
                verb, cls=Verb, rich_help_panel=self.panel(verb), help=text, **settings
            )
            return command(function)

        return add

    def panel(self, verb: str) -> str | None:
        """Return the panel of a verb in the help."""
        return _PANEL_OF[verb]


class Group(App):
    """A verb with verbs of its own, which need no panels."""

    def __init__(self, name: str, text: str, epilog: str) -> None:
        super().__init__(no_args_is_help=True)
        app.add_typer(self, name=name, help=text, epilog=epilog, rich_help_panel=_PANEL_OF[name])

    def panel(self, verb: str) -> str | None:  # noqa: ARG002
        """Return None."""
        return None


app = App(
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Find and outline defects on steel strip.",
    epilog="steelscan VERB --help explains a verb. Start with: steelscan demo",
)


@app.callback(invoke_without_command=True)
def _common(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    if version:
        print(f"steelscan {__version__}")
        raise typer.Exit
    _common_state.update(debug=debug, verb=context.invoked_subcommand)
    check_verb(context.invoked_subcommand)


_common_state: dict[str, Any] = {"debug": False, "verb": None}


def main() -> None:
    """Run the command line; an error of the user is one line and exit status 2."""
    _common_state.update(debug=False, verb=None)
    share_cores()
    with safe_streams(), one_process_prints() as first_to_end, interruptible() as interruption:
        status = 0
        try:
            try:
                status = app(standalone_mode=False) or 0  # 130 if typer caught the interrupt
            finally:
                sys.stdout.flush()
        except (KeyboardInterrupt, typer.Abort):
            status = 130
        except SystemExit:
            raise
        except BaseException as error:
            status = 130
            if not interruption.signal:
                status = _failed(error) if first_to_end() else 2
        if interruption.signal:
            if first_to_end():
                print(interruption.text(_common_state["verb"]), file=sys.stderr)
            status = 128 + interruption.signal
    raise SystemExit(status)


def _failed(error: BaseException) -> int:
    message = getattr(error, "format_message", None)  # typer's: the command line was wrong
    if message is None:
        return report(error, _common_state["debug"])
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        print(message())
        return 2
    path = context.command_path if context is not None else "steelscan"
    line = " ".join(message().split()).replace("Value error, ", "").rstrip(".")
    pictures = context is not None and any(each.name == "images" for each in context.command.params)
    if pictures and line.startswith("Got unexpected extra argument"):
        line += ". Quote a pattern, as '*.jpg'"
    stop = "" if line.endswith("?") else "."
    print(f"Error: {shortened(line)}{stop} See {path} --help.", file=sys.stderr)
    return 2
