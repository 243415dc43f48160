"""`bench leaderboard` and `bench submit`; heavy imports are lazy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import options
from bench.cli.data import DataRoot
from bench.cli.refusals import refuse
from bench.util.errors import UsageError

if TYPE_CHECKING:
    from bench.publishing.board import Board
    from bench.publishing.submission import Submission

Folder = Annotated[Path, typer.Argument(help="Folder of the leaderboard.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    board = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="A leaderboard in a git repository."
    )
    board.command("init")(init)
    board.command("check")(check)
    board.command("site")(site)
    app.add_typer(board, name="leaderboard")
    app.command()(submit)


def init(
    folder: Folder,
    protocol: Annotated[str, typer.Option(help="Protocol file, or the name of one.")],
    datasets: Annotated[options.Names, options.DATASETS] = options.NONE,
    repeats: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Number of seeded splits.")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE of the protocol.")
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Name of a new leaderboard; default: Leaderboard.")
    ] = None,
    audit: Annotated[
        str | None,
        typer.Option(help="Audits: required (default), or shown (passed rows are marked)."),
    ] = None,
    predictions: Annotated[
        str | None, typer.Option(help="Predictions: required (default), or digests instead.")
    ] = None,
    tasks: Annotated[
        str | None, typer.Option(help="Tasks: all of a protocol's (default), or any.")
    ] = None,
    data_root: DataRoot = None,
) -> None:
    """Make a leaderboard's repository, or add a protocol to one.

    With databases it knows the splits that count; without, the first submission names them.
    """
    from bench import protocol as protocols
    from bench.cli.options import Options
    from bench.cli.session import changed
    from bench.data import datasets as databases
    from bench.publishing import board
    from bench.util.validation import validated

    asked_for = {"title": title, "audit": audit, "predictions": predictions, "tasks": tasks}
    if (folder / board.RULES).exists():
        refuse(f"'{folder}' has rules already; change its {board.RULES}", **asked_for)
    values = {key: value for key, value in asked_for.items() if value is not None}
    rules = validated(board.Rules, {"title": "Leaderboard", **values}, owner="leaderboard")
    roots = list(databases.data_roots(data_root))
    asked = Options(protocol, datasets=datasets, repeats=repeats, assignments=assignments)
    chosen, of_methods = changed(asked, roots)
    if of_methods:
        raise UsageError(
            f"--set {next(iter(of_methods))}: a leaderboard has no settings of methods"
        )
    if not chosen.tasks():
        raise UsageError(f"{chosen.name} has no tasks: it names no datasets (--datasets)")
    chosen = protocols.override(chosen, {"methods": (), "settings": {}})
    written, notes = board.init(folder, [chosen], rules, roots)
    for path in written:
        typer.echo(str(path))
    for note in notes:
        typer.echo(f"splits not known: {note}", err=True)


def check(
    folder: Folder,
    name: Annotated[
        str | None, typer.Argument(help="One submission; default: all, or the one that is changed.")
    ] = None,
    base: Annotated[
        str, typer.Option(help="Check what the branch changed since this commit.")
    ] = "",
    author: Annotated[str, typer.Option(help="Account that submits, with --base.")] = "",
    out: Annotated[Path | None, typer.Option(help="File for the comment in Markdown.")] = None,
) -> None:
    """Check submissions; no code of theirs runs.

    Exit 0: fine, 1: refused, 2: usage, 3: incomplete.
    """
    from bench.publishing.board import Board
    from bench.util.atomic import write_text

    if base and name:
        raise UsageError("NAME and --base exclude each other: --base checks what a branch changes")
    if not base:
        refuse("for --base", author=author)
    if base:
        code, text = _of_branch(folder, base, author)
    else:
        board = Board.read(folder)
        code, text = _all(board, [name] if name else board.submissions)
    if out is not None:
        write_text(out, text)
    raise typer.Exit(code)


def _all(board: Board, names: list[str]) -> tuple[int, str]:
    """Exit code and comment on submissions as they are."""
    from bench.publishing import submission as checking
    from bench.publishing.comment import comment

    if not names:
        text = "There is no submission yet: nothing to check."
        typer.echo(text)
        return 0, f"{text}\n"
    found = [checking.check(board, name) for name in names]
    for one in found:
        _print(one)
    codes = {one.found.exit_code for one in found}
    code = next((code for code in (1, 3) if code in codes), 0)
    return code, "\n".join(comment(one) for one in found)


def _of_branch(folder: Path, base: str, author: str) -> tuple[int, str]:
    """Exit code and comment on what a branch changed, by the rules of its base."""
    from dataclasses import replace

    from bench.publishing import submission as checking
    from bench.publishing.changes import board_at, changes, refusals
    from bench.publishing.comment import comment
    from bench.util.listing import visible

    found = changes(folder, base)
    with board_at(folder, base) as before:
        refused = list(refusals(found, before, author))
        # Rules, protocols and splits come from the base, so that a branch cannot change them.
        board = replace(before, root=folder)
        named = [name for name in found.submissions if before.can_name(name)]
        there = [name for name in named if board.folder(name).is_dir()]
        checked = [checking.check(board, name, others=before) for name in there]
        for name in (one for one in named if one not in there):
            typer.echo(f"note: withdraws '{name}'")
        for one in checked:
            if author and not refused and (other := _other_submitter(one, author)):
                refused.append(other)
            _print(one)
        for text in refused:
            typer.echo(visible(f"wrong: {text}"))
        texts = [comment(one, refused, before) for one in checked]
    codes = {1} if refused else {one.found.exit_code for one in checked}
    code = next((code for code in (1, 3) if code in codes), 0)
    return code, "\n".join(texts) or _bare(refused, found.submissions)


def _other_submitter(submission: Submission, author: str) -> str:
    """Why a card does not belong to the author; '' if it does or cannot be read."""
    from bench.util.errors import BenchError

    try:
        named = submission.card.submitter
    except BenchError:
        return ""
    return "" if named == author else f"its card names {named} as submitter, not {author}"


def _bare(refused: list[str], names: list[str]) -> str:
    """The comment if there is no submission to check."""
    from bench.analysis.check.writers import markdown

    head = "## refused" if refused else f"## withdrawn: {', '.join(map(markdown, names))}"
    return "\n".join([head, "", *(f"- **wrong**: {markdown(text)}" for text in refused)]) + "\n"


def _print(submission: Submission) -> None:
    from bench.publishing.comment import VERDICTS
    from bench.publishing.submission import findings_in_words

    for line in findings_in_words(submission.found):
        typer.echo(line)
    found = submission.found
    counts = f"{found.done} done, {found.expected} expected"
    typer.echo(f"{submission.name}: {VERDICTS[found.exit_code]} ({counts})")


def site(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("site"),
) -> None:
    """Render all submissions as a static site that needs no server.

    Exit 1: a protocol could not be rendered.
    """
    from bench.publishing.board import Board
    from bench.publishing.board_site import build

    rendered = build(Board.read(folder), out)
    for note in rendered.notes:
        typer.echo(f"left out: {note}", err=True)
    for warning in rendered.warnings:
        typer.echo(f"do not trust: {warning}", err=True)
    typer.echo(str(out / "index.html"))
    if rendered.unsound:  # a workflow must not replace a good page by this one
        raise typer.Exit(1)


def submit(
    results: Annotated[Path, typer.Argument(help="Results folder.")],
    to: Annotated[Path, typer.Option(help="Folder of the leaderboard.")],
    card: Annotated[Path, typer.Option(help="The submission's card; see card.example.yaml.")],
    name: Annotated[
        str, typer.Option(help="Name of the submission: lower-case letters, digits and hyphens.")
    ],
    methods: Annotated[options.Names, options.METHODS] = options.NONE,
    digests: Annotated[
        bool,
        typer.Option(
            "--digests", help="Submit digests of the predictions instead of the predictions."
        ),
    ] = False,
) -> None:
    """Put results into a leaderboard, if they pass its checks.

    Exit codes as `leaderboard check`.
    """
    from bench.publishing.board import Board
    from bench.publishing.submit import submit as submitting
    from bench.store import Store

    board = Board.read(to)
    done = submitting(Store(results), board, card, name, methods, digests)
    _print(done)
    if done.found.exit_code:
        typer.echo(f"nothing was written to '{to}'", err=True)
        raise typer.Exit(done.found.exit_code)
    for line in _next_steps(done):
        typer.echo(line)


def _next_steps(submission: Submission) -> Iterator[str]:
    folder = f"submissions/{submission.name}"
    yield f"{submission.root} is ready. To submit it:"
    yield f"  git switch -c {submission.name}"
    yield f"  git add {folder}"
    yield f"  git commit -m 'Submit {submission.name}'"
    yield "  and open a pull request with this branch"
