"""Start, watch and steer cancellations: `Cancellations` for Python, and the same on the command line.

    python starter.py start O-1 --actor customer:C-1 --reason no_longer_needed
    python starter.py watch O-1

Every command answers with an exit code, and with `--json` in the models of `domain/`:

      0  done, or accepted and under way
      1  the order was not cancelled: rejected, withdrawn, rolled back, or its
         run was lost; of a file: not every line has its decision; of
         `doctor`: a system does not answer
      2  wrong input
      3  Temporal cannot be reached, or does not let us in; of `doctor`:
         search attributes are missing too
      4  there is no such order, or no cancellation of it
      5  refused: the cancellation does not allow that now or is paused, or the
         request conflicts with an earlier one
      6  not decided, or still running, when the time to wait was over; of
         `doctor`: no worker has answered
      7  the answer could not be written
    130  stopped by a signal

It speaks the language of `LC_ALL`, `LC_MESSAGES`, `LANG` and `LANGUAGE`: English or German, and English alone with `--json`.
What the process has recorded stays in English. How to reach Temporal comes from the environment (`TEMPORAL_ADDRESS`,
`TEMPORAL_NAMESPACE`, …). A one-line sentence on standard error, a JSON object with `--json`, says what went wrong and what
to do next. The library is `client/cancellations.py`, the commands are in `client/commands/`, what people see is in
`client/views.py`.
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from textwrap import dedent
from typing import Annotated, NoReturn

import typer
from temporalio.runtime import Runtime, TelemetryConfig

from client import views
from client.commands import asking, looking, steering
from client.commands.help_texts import translate_help
from client.commands.options import print_error
from client.errors import ExitCode, StarterError
from client.refusals import translate_refusal
from domain.base import in_plain_words
from runtime.shutdown import exit_now
from runtime.texts import SOURCE, language_of_environment, translate, use_language
from runtime.version import VERSION

# A shell completes the words of a command that it knows by name, which `python starter.py` is not.
app = typer.Typer(
    add_completion=Path(sys.argv[0]).name != Path(__file__).name,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    help="Start, watch and steer order cancellations.",
    epilog="\b\nExit codes:\n" + dedent((__doc__ or "").partition("`domain/`:\n\n")[2].partition("\n\nIt speaks")[0]),
)
for commands in (asking, looking, steering):
    app.add_typer(commands.app)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"order-cancellation {VERSION}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def help_or_command(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


def _open_closed_streams() -> None:
    """Where whoever called has closed a stream (`>&-`), Python has none. What is read from its place or written to it fails
    as at any other that does not work; what would be said on standard error goes nowhere."""
    for name, mode, flags in (
        ("stdin", "r", os.O_WRONLY),
        ("stdout", "w", os.O_RDONLY),
        ("stderr", "w", os.O_WRONLY),
    ):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode, encoding="utf-8"))


def main() -> int:
    """Run the command line; every known failure is one sentence on standard error. What a program reads is in English."""
    _open_closed_streams()
    as_json = "--json" in sys.argv
    use_language(SOURCE if as_json else language_of_environment(os.environ))
    command = typer.main.get_command(app)
    translate_help(command)
    # Temporal's client would report its retries on standard output, among the answers.
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=None)))
    try:
        code = int(command(standalone_mode=False) or 0)
        sys.stdout.flush()
        return code
    except StarterError as error:
        code, sentence = error.code, error.sentence
    except BrokenPipeError:
        return ExitCode.DONE  # the reader has read all that it wanted
    except OSError as error:
        code, sentence = (
            ExitCode.NOT_WRITTEN,
            translate("The answer could not be written: {why}.", why=translate_refusal(str(error.strerror))),
        )
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left of it goes nowhere
    except typer.TyperException as error:
        said = in_plain_words(" ".join(error.format_message().split()))
        code, sentence = ExitCode.WRONG_INPUT, translate_refusal(said)
    if as_json:
        print(json.dumps({"code": code, "sentence": views.plain(sentence)}), file=sys.stderr)
    else:
        print_error(sentence)
    return code


def run() -> NoReturn:
    exit_now(main())


if __name__ == "__main__":
    run()
