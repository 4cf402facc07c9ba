"""The entry of ``scaup`` and ``python -m scaup.cli``: runs a command and turns how it ended into an exit code.

Errors are one line on standard error, here and nowhere else. No traceback ever reaches a person.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from scaup.cli.problems import DONE, FAILED, USAGE, FailedError, exit_code, one_line
from scaup.core.model.errors import ScaupError

INTERRUPTED = 130
"""128 + SIGINT, as shells have it; only for a command that Ctrl-C really cut short."""


def main() -> NoReturn:
    """Run the command of ``sys.argv`` and end the process."""
    status = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError:
        _forget_stdout()
    raise SystemExit(status)


def run(arguments: Sequence[str]) -> int:
    """The exit code of a command line."""
    from typer.exceptions import Abort, TyperException
    from typer.main import get_command

    from scaup.cli.app import app

    where = "scaup " + arguments[0] if arguments and not arguments[0].startswith("-") else "scaup"
    try:
        status = get_command(app).main(args=list(arguments) or ["--help"], prog_name="scaup", standalone_mode=False)
    except ScaupError as error:
        details = error.details if isinstance(error, FailedError) else ()
        return _say(where, "\n    ".join((one_line(error), *details)), exit_code(error))
    except TyperException as error:
        what = " ".join(error.format_message().split()).rstrip(".")
        known = where if type(error).__name__ != "UsageError" else "scaup"
        return _say(known, f"{what}; see `{known} --help`", USAGE)
    except (Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has seen enough
        _forget_stdout()
        return DONE
    except Exception as error:
        if os.environ.get("SCAUP_UP_TRACE"):
            raise
        name = type(error).__name__
        return _say(where, f"unexpected {name}: {error}; SCAUP_UP_TRACE=1 shows where", FAILED)
    return status if isinstance(status, int) else DONE


def _say(where: str, what: str, status: int) -> int:
    sys.stderr.write(f"{where}: {what}\n")
    return status


def _forget_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    main()
