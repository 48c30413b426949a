"""The command line itself: what all verbs share, and how a command ends."""

import sys
from collections.abc import Callable
from math import isfinite
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from steelscan import __version__
from steelscan.cli.failure import report, shortened
from steelscan.cli.interruption import interruptible
from steelscan.cli.terminal import safe_streams

Function = TypeVar("Function", bound=Callable[..., Any])


class Verb(TyperCommand):
    """A verb whose numbers are all finite."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments. Raises BadParameter for a number that is not finite."""
        rest = super().parse_args(ctx, args)
        parameter: Any
        for parameter in self.params:
            value = ctx.params.get(parameter.name)
            if isinstance(value, float) and not isfinite(value):
                found = f"{value} is no finite number."
                raise typer.BadParameter(found, ctx, parameter)
        return rest


class Verbs(typer.Typer):
    """All verbs, each of them a `Verb`."""

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Function], Function]:
        """Add a verb, as `typer.Typer.command` does."""
        return super().command(name, cls=Verb, **settings)


app = Verbs(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Find and outline defects on steel strip.",
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


_common_state: dict[str, Any] = {"debug": False, "verb": None}


def main() -> None:
    """Run the command line; a user's error is one line and exit status 2."""
    _common_state.update(debug=False, verb=None)
    with safe_streams(), interruptible() as interruption:
        status = 0
        try:
            try:
                status = app(standalone_mode=False) or 0  # 130 where typer saw the interrupt
            finally:
                sys.stdout.flush()
        except (KeyboardInterrupt, typer.Abort):
            status = 130
        except SystemExit:
            raise
        except BaseException as error:
            status = 130 if interruption.signal else _failed(error)
        if interruption.signal:
            print(interruption.text(_common_state["verb"]), file=sys.stderr)
            status = 128 + interruption.signal
    raise SystemExit(status)


def _failed(error: BaseException) -> int:
    message = getattr(error, "format_message", None)  # of typer: the command was given wrongly
    if message is None:
        return report(error, _common_state["debug"])
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        print(message())
        return 2
    path = context.command_path if context is not None else "steelscan"
    told = " ".join(message().split()).rstrip(".")
    print(f"Error: {shortened(told)}. See {path} --help.", file=sys.stderr)
    return 2
