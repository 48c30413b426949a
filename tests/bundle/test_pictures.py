"""predict by a bundle: the files that predict by the run writes, several pictures at once."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from steelscan import cli
from steelscan.bundle import read_package, scan_pictures
from steelscan.data import read_picture
from steelscan.decision import Detector, Prediction
from steelscan.pipeline import Outcome, predict
from steelscan.strip import Frame, Masks, Picture, decode
from steelscan.strip.errors import PictureError, RunError
from steelscan.strip.tables import read_mask_table


@pytest.fixture
def pictures(strips: Path, tmp_path: Path) -> Path:
    """Twelve strips, in folders, one of a name that is not ASCII."""
    folder = tmp_path / "pictures"
    (folder / "Bänder").mkdir(parents=True)
    for number, path in enumerate(sorted((strips / "train_images").iterdir())[:12]):
        shutil.copy(path, folder / ("Bänder" if number % 2 else ".") / path.name)
    return folder


@pytest.fixture(scope="module")
def by_run(
    finished: tuple[Path, Outcome], strips: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Prediction]:
    """What the run writes for the strips."""
    out = tmp_path_factory.mktemp("by_run") / "out"
    return out, predict(finished[0], str(strips / "train_images"), out, device="cpu")


@pytest.mark.parametrize("cores", [1, 3])
def test_what_is_written_is_what_the_run_writes(
    exported: Path,
    by_run: tuple[Path, Prediction],
    strips: Path,
    tmp_path: Path,
    keeps_promise: Callable[[Picture, Masks], bool],
    cores: int,
) -> None:
    """Masks as a bundle promises them, and where they are equal, the same files to the byte."""
    run, expected = by_run
    bundle, pictures = tmp_path / "bundle", strips / "train_images"
    assert scan_pictures(exported, str(pictures), bundle, cores=cores) == expected
    assert (expected.pictures, expected.clean) == (28, 4)
    written = [
        {path.relative_to(out) for path in out.rglob("*") if path.is_file()}
        for out in (run, bundle)
    ]
    assert written[0] == written[1]
    tables = [read_mask_table(out / "submission.csv") for out in (run, bundle)]
    equal = 0
    for path in sorted(pictures.iterdir()):
        picture = read_picture(path)
        texts = [table.texts(path.name, 4) for table in tables]
        masks = np.stack([decode(text, Frame(*picture.shape)) for text in texts[1]])
        assert keeps_promise(picture, masks)
        if texts[0] == texts[1]:
            equal += 1
            for name in (f"masks/{path.stem}.png", f"overlays/{path.stem}.jpg"):
                assert (run / name).read_bytes() == (bundle / name).read_bytes()
    assert equal >= 4  # the clean ones


def test_it_goes_on_where_it_stopped(
    exported: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scan_pictures(exported, str(pictures), tmp_path / "whole", cores=2)
    masks_of, asked = Detector.masks, []

    def breaking(self: Detector, *given: object, **named: object) -> object:
        asked.append(1)
        if len(asked) == 7:
            raise KeyboardInterrupt
        return masks_of(self, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Detector, "masks", breaking)
    with pytest.raises(KeyboardInterrupt):
        scan_pictures(exported, str(pictures), tmp_path / "parts", cores=1)
    assert not (tmp_path / "parts" / "submission.csv").exists()
    first = len(asked)
    assert scan_pictures(exported, str(pictures), tmp_path / "parts", cores=2) == whole
    assert len(asked) - first < 12
    texts = [(tmp_path / each / "submission.csv").read_text() for each in ("whole", "parts")]
    assert texts[0] == texts[1]


def test_a_folder_belongs_to_one_bundle(
    exported: Path, pictures: Path, tmp_path: Path, write_bundle: "object"
) -> None:
    scan_pictures(exported, str(pictures), tmp_path / "out")
    package = read_package(exported)
    other = tmp_path / "other.steelscan"
    write_bundle(other, package.manifest.but(mm_per_pixel=0.5), package.contents)  # type: ignore[operator]
    with pytest.raises(RunError, match="or with other settings"):
        scan_pictures(other, str(pictures), tmp_path / "out")


def test_a_picture_that_is_cut_off_stops_or_is_listed(
    exported: Path, pictures: Path, tmp_path: Path
) -> None:
    broken = pictures / "broken.png"
    broken.write_bytes(next(pictures.glob("*.png")).read_bytes()[:900])
    with pytest.raises(PictureError, match=r"broken\.png"):
        scan_pictures(exported, str(pictures), tmp_path / "stop", cores=2)
    found = scan_pictures(exported, str(pictures), tmp_path / "skip", on_error="skip", cores=2)
    assert [name for name, _ in found.skipped] == ["broken.png"]
    assert found.pictures == 12
    assert "broken.png" in (tmp_path / "skip" / "skipped.csv").read_text()


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    """The exit status of the command line, and what it printed."""
    sys.argv = ["steelscan", *map(str, words)]
    try:
        cli.main()
    except SystemExit as end:
        status = int(end.code or 0)
    else:
        status = 0
    return status, "".join(capsys.readouterr())


def test_the_verbs_take_and_refuse_what_they_should(
    exported: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = said(capsys, "predict", exported, pictures, "--out", tmp_path / "out")
    assert status == 0
    assert "12 pictures" in text
    status, text = said(capsys, "verify", exported)
    assert status == 0
    assert "0 verdicts flip" in text
    status, text = said(capsys, "predict", tmp_path / "no", pictures, "--out", tmp_path / "x")
    assert status == 2
    assert "Name a file that steelscan export wrote" in text
    assert "is neither a run folder nor a bundle" in text
    (pictures / "broken.jpg").write_bytes(b"no picture")
    again = ("predict", exported, pictures, "--out", tmp_path / "out")
    status, text = said(capsys, *again)
    assert status == 2
    status, text = said(capsys, *again, "--on-error", "skip")
    assert status == 3
    assert "1 could not be read" in text
    status, text = said(
        capsys, "predict", tmp_path, pictures, "--out", tmp_path / "x", "--cores", 2
    )
    assert status == 2
    assert "--cores" in text
    thresholds = ("--thresholds", tmp_path / "any.json")
    status, text = said(capsys, "predict", exported, pictures, "--out", tmp_path / "x", *thresholds)
    assert status == 2
    assert "Give them to steelscan export" in text
