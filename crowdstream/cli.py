"""The commands: reads the command line, calls one command, turns errors into one sentence.

Each command is a module of `crowdstream.commands` with `add(subcommands)`, which declares its
options, and `run(arguments)`, which returns an exit code. Only the one that is asked for does
any real importing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final, NoReturn

from crowdstream import __version__
from crowdstream.errors import ConfigError, CrowdstreamError, UsageError

COMMANDS: Final = (
    "run", "demo", "analyze", "report", "render", "listen", "library", "separate", "calibrate",
    "check", "stages", "devices", "models", "doctor", "bench",
)  # fmt: skip


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, on stderr, with exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = _Parser(
        prog="crowdstream",
        description="A venue's crowd plays the music.",
        epilog="Each command has --help with an example. Begin with: crowdstream demo",
        allow_abbrev=False,
    )
    top.add_argument("-V", "--version", action="version", version=f"crowdstream {__version__}")
    top.add_argument(
        "--debug", action="store_true", help="show the traceback of an error, for a bug report"
    )
    subcommands = top.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=_Parser
    )
    for name in COMMANDS:
        import_module(f"crowdstream.commands.{name}").add(subcommands)
    for command in subcommands.choices.values():
        # People write it after the command as well.
        command.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit codes are those of `crowdstream.errors`."""
    try:
        arguments = parser().parse_args(argv)
    except KeyboardInterrupt:
        return 130
    try:
        return int(import_module(f"crowdstream.commands.{arguments.command}").run(arguments))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has left (`| head`): not our failure, and nothing to say to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ConfigError as error:
        if arguments.debug:
            raise
        for mistake in error.mistakes:
            _say(mistake)
        return error.exit_code
    except CrowdstreamError as error:
        if arguments.debug:
            raise
        _say(f"crowdstream {arguments.command}: {error}")
        return exit_code_of(error)
    except OSError as error:
        if arguments.debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        _say(f"crowdstream {arguments.command}: {where}{error.strerror or error}")
        return 1
    except Exception as error:
        if arguments.debug:
            raise
        _say(
            f"crowdstream {arguments.command}: {type(error).__name__}: {error}"
            f" (this is a fault of crowdstream; --debug shows more)"
        )
        return 1


def _say(sentence: str) -> None:
    """On stderr, and without a password that stood in an address."""
    from crowdstream.log import Mask

    print(Mask().text(sentence), file=sys.stderr)


def exit_code_of(error: BaseException) -> int:
    """The exit code of the error that lies at the bottom of a chain of stage failures."""
    while not isinstance(error, UsageError) and isinstance(error.__cause__, CrowdstreamError):
        error = error.__cause__
    return error.exit_code if isinstance(error, CrowdstreamError) else 1


if __name__ == "__main__":
    sys.exit(main())
