"""All commands in README and the docs are parsed: their verbs, arguments and options exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from steelscan import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4}(steelscan .*)$", re.MULTILINE)
INLINE = re.compile(r"`(steelscan [^`]*)`")
USAGE = re.compile(r"\[(--[^\]]*)\]|\.\.\.")  # "[--option VALUE]" and "..." of a usage line
VERBS = typer.main.get_command(cli.app).commands


def commands(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each command of a page, and whether it is complete, as in a block of code."""
    for block in FENCED.findall(text):
        whole = re.sub(r"\\?\n +(?=\[?--)", " ", block)  # a command that continues
        for line in whole.splitlines():
            if match := re.match(r"(?:\$ )?(steelscan .*)", line):
                yield match[1], True
    for line in INDENTED.findall(text):
        yield line, True
    for line in INLINE.findall(" ".join(FENCED.sub("", text).split())):
        yield line, False


FOUND = [
    pytest.param(command, complete, id=f"{page.stem}: {command}")
    for page in PAGES
    for text, complete in commands(page.read_text(encoding="utf-8"))
    for command in text.split(" && ")
]


def test_commands_are_found_on_most_pages() -> None:
    assert len(FOUND) > 80
    assert sum("steelscan" in page.read_text(encoding="utf-8") for page in PAGES) > 10


@pytest.mark.parametrize(("command", "complete"), FOUND)
def test_a_documented_command_is_understood(
    command: str, complete: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steelscan.strip.remote.fetched", Path)
    monkeypatch.setattr("steelscan.strip.remote.LocalCopy.fetch", lambda _: None)
    shown, _, _ = command.partition(" > ")
    shown = re.sub(r"\$\w+", "1", shown)  # a variable of the shell
    _, *words = shlex.split(USAGE.sub(r"\1", shown), comments=True)
    if words[0].startswith("-") or words[0] == "VERB":
        return
    verb, *arguments = words
    assert verb in VERBS
    known = VERBS[verb]
    assert not known.hidden
    if hasattr(known, "commands") and arguments:  # a verb with verbs of its own
        verb, *arguments = arguments
        known = known.commands[verb]
    if complete or (arguments and not command.endswith("...")):
        known.make_context(verb, [word for word in arguments if word != "--help"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_options_in_the_text_exist(page: Path) -> None:
    """Options in inline code are those of a verb, of a benchmark, or of `scripts/test`."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    named = {
        option
        for code in re.findall(r"`([^`]+)`", text)
        for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", code)
    }
    of_verbs = {
        option
        for verb in VERBS.values()
        if not verb.hidden
        for known in (verb, *getattr(verb, "commands", {}).values())
        for parameter in known.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    of_benchmarks = {
        option
        for path in (ROOT / "benchmarks").glob("*.py")
        for option in re.findall(r'add_argument\("(--[\w-]+)"', path.read_text(encoding="utf-8"))
    }
    assert named - of_benchmarks - {"--all", "--debug", "--help"} <= of_verbs
