"""Results on the hub: predictions as a dataset, and the report as a static Space.

Uploads are prepared in a separate folder and sent as one commit for each repository, so that a
reader never sees half of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from bench.reports.render import render
from bench.store import Store, read_parquet, write_parquet
from bench.store import table as runs_table
from bench.util.atomic import write_text
from bench.util.errors import BenchError, StoreError, UsageError

if TYPE_CHECKING:
    import pandas as pd

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,90}", re.ASCII)
_RUN = ("protocol", "label", "method", "train", "test", "budget", "selection", "repeat", "run_id")
"""Columns that identify the run of a prediction."""
SPACE = "-report"
"""Appended to the dataset's name, this is the name of the Space."""


@dataclass(frozen=True)
class Upload:
    """The upload to one repository."""

    repo: str
    """OWNER/NAME."""
    kind: Literal["dataset", "space"]
    folder: Path
    """The folder whose files go there, under the same names."""

    @property
    def files(self) -> dict[str, Path]:
        """Name in the repository -> file, sorted by name."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        named = {path.relative_to(self.folder).as_posix(): path for path in found}
        return {name: named[name] for name in sorted(named) if not name.startswith(".")}

    @property
    def address(self) -> str:
        """Its page under the hub's address."""
        return f"{self.kind}s/{self.repo}"


def prepare(
    store: Store,
    repo: str,
    folder: Path,
    *,
    labels: bool = True,
    data_roots: Sequence[Path] | None = None,
) -> tuple[list[Upload], list[str]]:
    """Make the uploads in a folder: the dataset, then the Space; and the predictions left out.

    `labels` puts the databases' labels beside the predictions. The report shows images of databases
    under `data_roots` alone: by default none, since a licence may forbid showing them. Raises
    `UsageError` for what cannot name a repository, `StoreError` if there is nothing to publish.
    """
    if not _REPO.fullmatch(repo):
        raise UsageError(f"--hub {repo}: expected OWNER/NAME")
    runs = runs_table.load(store)
    done = runs[runs["status"] == "done"]
    if done.empty:
        raise StoreError(f"'{store.root}' holds no finished run to publish")
    data, space = folder / "dataset", folder / "space"
    lost: list[str] = []
    predictions = _predictions(store, done, labels, lost)
    (data / "data").mkdir(parents=True)
    write_parquet(runs.astype({"record": str}), data / "data" / "runs.parquet")
    write_parquet(predictions, data / "data" / "predictions.parquet")
    write_text(data / "README.md", _dataset_card(repo, runs, predictions, labels))
    # A folder without databases: None would look where the environment says.
    nothing = folder / "no databases"
    nothing.mkdir()
    rendered = render(store, space, [nothing] if data_roots is None else data_roots)
    if wrong := [*rendered.unsound, *rendered.warnings]:
        raise BenchError(f"not to be published: {'; '.join(wrong)}")
    write_text(space / "README.md", _space_card(repo))
    uploads = [Upload(repo, "dataset", data), Upload(f"{repo}{SPACE}", "space", space)]
    return uploads, lost


def _predictions(store: Store, done: pd.DataFrame, labels: bool, lost: list[str]) -> pd.DataFrame:
    """All stored predictions in one table: run, image, quality, prediction."""
    import pandas as pd

    parts = []
    for run in done.drop_duplicates(["protocol", "label", "record"]).to_dict("records"):
        try:
            table = read_parquet((store.root / run["record"]).with_suffix(".parquet"))
        except StoreError as error:
            lost.append(str(error))
            continue
        column = f"prediction_{run['selection']}"
        part = pd.DataFrame(
            {
                **{name: run[name] for name in _RUN},
                "image": table["image"].astype(str),
                "quality": table["quality"],
                "prediction": table[column if column in table else "prediction"],
            }
        )
        parts.append(part)
    if not parts:
        raise StoreError(f"no predictions of '{store.root}' can be read: {lost[0]}")
    found = pd.concat(parts, ignore_index=True)
    return found if labels else found.drop(columns="quality")


def _dataset_card(repo: str, runs: pd.DataFrame, predictions: pd.DataFrame, labels: bool) -> str:
    name = repo.partition("/")[2]
    tested = ", ".join(f"`{test}`" for test in dict.fromkeys(runs["test"]))
    quality = "- `quality`: the database's label, upwards (DMOS with its sign turned)\n"
    return f"""---
pretty_name: {name}
tags: [image-quality-assessment, iqa-bench]
configs:
- config_name: runs
  data_files: data/runs.parquet
- config_name: predictions
  data_files: data/predictions.parquet
---

# {name}

Results of blind image quality assessment, made with iqa-bench: {len(runs):,} runs of
{runs["label"].nunique():,} methods on {tested}, with {len(predictions):,} predictions of single
images. The report is the Space [{repo}{SPACE}](../../spaces/{repo}{SPACE}).

`runs` has a row for each run: protocol, method, settings, split, metrics, times and hardware.
`predictions` has a row for each image of each run:

- `{"`, `".join(_RUN)}`: whose prediction it is
- `image`: the image's name in its database
{quality if labels else ""}- `prediction`: the method's score, upwards

Images are not here: the databases' authors say how to get them, and under which terms.
"""


def _space_card(repo: str) -> str:
    name = repo.partition("/")[2]
    return f"""---
title: {name} report
sdk: static
app_file: index.html
pinned: false
---

The report of the results in the dataset [{repo}](../../datasets/{repo}), made with iqa-bench.
"""


def send(uploads: Sequence[Upload], private: bool = False) -> Iterator[str]:
    """Make the repositories unless they exist, and send one commit to each.

    Files of an earlier report that are no longer needed are removed; a repository with any
    other files is refused. Yields each repository's address. Raises `BenchError` if the hub
    refuses or cannot be reached; no message contains the token.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi()
    for upload in uploads:
        asked: dict[str, Any] = {"repo_id": upload.repo, "repo_type": upload.kind}
        try:
            sdk = "static" if upload.kind == "space" else None
            api.create_repo(**asked, private=private, space_sdk=sdk, exist_ok=True)
            files = upload.files
            there = api.list_repo_files(**asked)
            if foreign := _foreign(upload, there):
                raise BenchError(
                    f"{upload.address} holds files that this does not make, such as {foreign[0]}; "
                    "publish to a repository of its own"
                )
            gone = [name for name in there if name not in files and not name.startswith(".")]
            api.create_commit(
                **asked,
                operations=[
                    *(CommitOperationAdd(name, path) for name, path in files.items()),
                    *(CommitOperationDelete(name) for name in gone),
                ],
                commit_message="Results by iqa-bench",
            )
        except BenchError:
            raise
        except Exception as error:  # the hub's errors, and those of two generations of transports
            raise _refused(upload, error) from None
        yield f"{api.endpoint}/{upload.address}"


def _foreign(upload: Upload, there: Sequence[str]) -> list[str]:
    """Files of a repository whose folder or kind is not among those that are sent."""
    tops = {name.partition("/")[0] for name in upload.files if "/" in name}
    kinds = {PurePosixPath(name).suffix for name in upload.files if "/" not in name}

    def ours(name: str) -> bool:
        top, slash, _ = name.partition("/")
        return name.startswith(".") or (
            top in tops if slash else PurePosixPath(name).suffix in kinds
        )

    return [name for name in there if not ours(name)]


def _refused(upload: Upload, error: Exception) -> BenchError:
    from huggingface_hub import get_token

    said = (str(error).splitlines() or [type(error).__name__])[0]
    if what := getattr(error, "server_message", None):
        said = f"{said}: {what}"
    token = get_token()
    said = said.replace(token, "…") if token else said
    status = getattr(getattr(error, "response", None), "status_code", None)
    way = "try again; what was sent is whole"
    if status in (401, 403) or "oken" in type(error).__name__:
        way = "`hf auth login`, or HF_TOKEN with a token that may write there"
    return BenchError(f"{upload.address} on the hub: {said}; {way}")
