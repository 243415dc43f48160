"""Files made to do harm: refused with a reason, or shown as the text they are."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from bench import protocol as protocols
from bench.api import Context, ImagePolicy
from bench.backbones import weight_files
from bench.backbones.openai_archives import read_archive
from bench.data import datasets
from bench.data.images.decode import Unreadable, decode
from bench.methods.kit import checkpoints
from bench.methods.promptiqa.encoder import _load_imagenet
from bench.protocol import published, variants
from bench.registry import settings_for
from bench.runs.conformance.unsafe import Unsafe, unsafe_weights
from bench.runs.execute.ready import load_weights
from bench.store import Store
from bench.store.manifest import read_all
from bench.util.errors import BenchError, DataError, StoreError, UsageError
from tests.conftest import Bench
from tests.fake_results import FakeSweep

# -- weights ---------------------------------------------------------------------------------------


def _label_mean(path: Path) -> None:
    cls, settings = settings_for("label_mean", {})
    load_weights(cls(settings, Context()), path)


READERS: dict[str, Callable[[Path], object]] = {
    "a backbone": weight_files.read,
    "the start of a network": lambda path: checkpoints.start_from(nn.Linear(2, 2), path),
    "a method's checkpoint": checkpoints.read,
    "promptiqa.encoder_weights": lambda path: _load_imagenet(nn.Identity(), path),
    "--weights": _label_mean,
}


def runs_when_trusted(folder: Path) -> bool:
    """Whether such a file does run code in a reader that trusts it (so that tests can fail)."""
    marker = folder / "trusted ran"
    pickle.loads(pickle.dumps(Unsafe(marker)))
    return marker.is_dir()


@pytest.mark.parametrize("reader", READERS)
def test_a_checkpoint_that_runs_code_is_refused(tmp_path: Path, reader: str) -> None:
    assert runs_when_trusted(tmp_path)
    for path, marker in unsafe_weights(tmp_path):
        # A backbone's reader is wrapped by `load`, which names the file and what is expected.
        kind = Exception if reader == "a backbone" else BenchError
        with pytest.raises(kind):
            READERS[reader](path)
        assert not marker.exists(), path.name


def test_a_torchscript_archive_gives_the_same_tensors_as_torch(tmp_path: Path) -> None:
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 4).half())
            self.register_buffer("steps", torch.arange(5)[1:4])
            self.sizes = [1, 2, 3]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.sizes[0]

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()
            self.norm = nn.BatchNorm1d(6)
            self.linear = nn.Linear(6, 2, bias=False)
            self.linear.weight = nn.Parameter(torch.randn(6, 2).T)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(self.norm(self.inner(x)))

    path = tmp_path / "model.pt"
    torch.jit.script(Outer()).save(str(path))
    expected = torch.jit.load(str(path)).state_dict()
    found = read_archive(path)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        assert torch.equal(found[name], value), name


# -- YAML ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.mkdir", "!!python/object/new:os.mkdir"])
def test_yaml_with_tags_is_refused(
    tmp_path: Path, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "ran"
    path = tmp_path / "evil.yaml"
    path.write_text(f"title: {tag} [{marker}]\n")
    monkeypatch.setenv("IQA_DATA_CONFIG", str(path))
    for read in (
        lambda: protocols.load(str(path)),
        lambda: published.read(path),
        lambda: datasets.names(tmp_path),
        lambda: variants.parse_value(f"{tag} [{marker}]"),
    ):
        with pytest.raises(UsageError, match=r"not valid YAML|is not a value"):
            read()
    assert not marker.exists()


def test_yaml_that_unfolds_into_gigabytes_is_refused(tmp_path: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{n}: &{n} [{', '.join([f'*{p}'] * 9)}]"
        for p, n in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    (tmp_path / "iqa-data.yaml").write_text("\n".join(lines))
    with pytest.raises(UsageError, match="aliases"):
        datasets.names(tmp_path)


# -- names that lead elsewhere ---------------------------------------------------------------------


def own_database(root: Path, image: str) -> Path:
    (root / "mine").mkdir(parents=True)
    (root / "mine" / "scores.csv").write_text(f'image,score\n"{image}",3\nb.png,2\n')
    (root / "iqa-data.yaml").write_text(
        "databases:\n  mine: {root: mine, table: scores.csv, range: [1, 5]}\n"
    )
    return root


@pytest.mark.parametrize(
    "image", ["../secret.png", "a/../../secret.png", "/etc/passwd", "..\\secret.png", "C:\\a.png"]
)
def test_image_names_cannot_leave_a_database(tmp_path: Path, image: str) -> None:
    root = own_database(tmp_path / "data", image)
    with pytest.raises(DataError, match=r"mine: image path '.*' leaves the database's folder"):
        datasets.load("mine", root)


def test_a_link_to_what_is_no_image_shows_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("the password is swordfish")
    link = tmp_path / "a.png"
    link.symlink_to(tmp_path / "secret.txt")
    with pytest.raises(Unreadable) as caught:
        decode(link, ImagePolicy())
    assert str(caught.value) == "a.png: not an image"


def test_a_workbook_with_climbing_names_writes_nothing(tmp_path: Path) -> None:
    import pandas as pd

    root = own_database(tmp_path / "data", "a.png")
    book = root / "mine" / "scores.xlsx"
    pd.DataFrame({"image": ["a.png", "b.png"], "score": [3, 2]}).to_excel(book, index=False)
    with zipfile.ZipFile(book, "a") as archive:
        archive.writestr("../../evil.txt", "out")
    config = root / "iqa-data.yaml"
    config.write_text(config.read_text().replace("scores.csv", "scores.xlsx"))
    assert len(datasets.load("mine", root)) == 2
    assert not list(tmp_path.rglob("evil.txt"))


@pytest.mark.parametrize("run", ["../../elsewhere/run.json", "/etc/passwd"])
def test_a_manifest_cannot_name_records_elsewhere(tmp_path: Path, run: str) -> None:
    store = FakeSweep(tmp_path, datasets=["livec"], repeats=2).write()
    path = next((tmp_path / "protocols").glob("*.json"))
    known = store.path(next(store.records()).spec).relative_to(tmp_path).as_posix()
    path.write_text(path.read_text().replace(known, run))
    with pytest.raises(StoreError, match="leaves the results folder"):
        read_all(Store(tmp_path))


# -- headers ---------------------------------------------------------------------------------------


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, width, height, 1, 24, *[0] * 6)


def tiff(width: int, height: int) -> bytes:
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1),
            (278, height), (279, 8)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0" * 4


def gif(width: int, height: int) -> bytes:
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0)
    return screen + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02L\x01\0;"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bomb.bmp", bmp(100_000, 100_000)),
        ("bomb.tif", tiff(100_000, 100_000)),
        ("bomb.gif", gif(65_535, 65_535)),
    ],
)
def test_a_header_of_a_huge_image_is_refused_by_name(
    tmp_path: Path, name: str, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes(content)
    monkeypatch.setattr("PIL.Image.Image.load", lambda self: pytest.fail("pixels were asked for"))
    with pytest.raises(Unreadable, match=rf"^{name}: too large"):
        decode(tmp_path / name, ImagePolicy())


# -- names as text ---------------------------------------------------------------------------------


def test_names_with_terminal_markup_are_text(tmp_path: Path) -> None:
    from bench.model.jobs import Event, Job
    from bench.runs.dispatch.progress import Display

    name = "[/bold] [red]x[/red] [link=file:///etc/passwd]y"
    with (tmp_path / "screen").open("w") as screen:
        console = Console(file=screen, force_terminal=True, width=200)
        job = Job(title=name, results=tmp_path, group="g")
        with Display(console, 1) as display:
            display.show(job, Event(kind="start", run="r", title=name))
            display.show(job, Event(kind="epoch", run="r", epoch=1, total=2))
            display.show(job, Event(kind="note", run="r", title=name))
    assert "[red]x[/red]" in (tmp_path / "screen").read_text()


def test_a_plan_shows_names_as_they_are(bench: Bench) -> None:
    label = "[/bold]{x}[red]"
    path = bench.protocol(
        f"datasets: [toy]\nlabels: [10]\nmethods: [{{method: toy_linear, label: '{label}'}}]\n"
    )
    result = bench("plan", path)
    assert result.returncode == 0, result.stderr
    assert label in result.stdout
