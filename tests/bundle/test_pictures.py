"""predict by a bundle: the files that predict by the run writes, several pictures at once."""

import shutil
import sys
from pathlib import Path

import pytest

from steelscan import cli
from steelscan.bundle import Bundle, read_package, scan_pictures
from steelscan.bundle.package import write_package
from steelscan.pipeline import Outcome, predict
from steelscan.strip import PictureError, RunError, read_mask_table


@pytest.fixture
def pictures(strips: Path, tmp_path: Path) -> Path:
    """Twelve strips, in folders, one of a name that is not ASCII."""
    folder = tmp_path / "pictures"
    (folder / "Bänder").mkdir(parents=True)
    for number, path in enumerate(sorted((strips / "train_images").iterdir())[:12]):
        shutil.copy(path, folder / ("Bänder" if number % 2 else ".") / path.name)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.png")) + sorted(folder.rglob("*.jpg"))
    }


@pytest.mark.parametrize("cores", [1, 3])
def test_what_is_written_is_what_the_run_writes(
    exported: Path,
    finished: tuple[Path, Outcome],
    pictures: Path,
    tmp_path: Path,
    cores: int,
) -> None:
    by_run = predict(finished[0], str(pictures), tmp_path / "run", device="cpu")
    found = scan_pictures(exported, str(pictures), tmp_path / "bundle", cores=cores)
    assert found == by_run
    assert found.clean < 12  # something is found, by this little-trained run too much
    tables = [read_mask_table(tmp_path / each / "submission.csv") for each in ("run", "bundle")]
    assert tables[0] == tables[1]
    assert files(tmp_path / "run") == files(tmp_path / "bundle")


def test_it_goes_on_where_it_stopped(
    exported: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scan_pictures(exported, str(pictures), tmp_path / "whole", cores=2)
    scan, asked = Bundle.scan, []

    def breaking(self: Bundle, *given: object, **named: object) -> object:
        asked.append(1)
        if len(asked) == 7:
            raise KeyboardInterrupt
        return scan(self, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Bundle, "scan", breaking)
    with pytest.raises(KeyboardInterrupt):
        scan_pictures(exported, str(pictures), tmp_path / "parts", cores=1)
    assert not (tmp_path / "parts" / "submission.csv").exists()
    first = len(asked)
    assert scan_pictures(exported, str(pictures), tmp_path / "parts", cores=2) == whole
    assert len(asked) - first < 12
    texts = [(tmp_path / each / "submission.csv").read_text() for each in ("whole", "parts")]
    assert texts[0] == texts[1]


def test_a_folder_belongs_to_one_bundle(exported: Path, pictures: Path, tmp_path: Path) -> None:
    scan_pictures(exported, str(pictures), tmp_path / "out")
    package = read_package(exported)
    other = tmp_path / "other.steelscan"
    write_package(other, package.manifest.but(mm_per_pixel=0.5), package.contents)
    with pytest.raises(RunError, match="another run or with other settings"):
        scan_pictures(other, str(pictures), tmp_path / "out")


def test_a_picture_that_is_cut_off_stops_or_is_listed(
    exported: Path, pictures: Path, tmp_path: Path
) -> None:
    broken = pictures / "broken.jpg"
    broken.write_bytes(next(pictures.glob("*.jpg")).read_bytes()[:900])
    with pytest.raises(PictureError, match=r"broken\.jpg"):
        scan_pictures(exported, str(pictures), tmp_path / "stop", cores=2)
    found = scan_pictures(exported, str(pictures), tmp_path / "skip", on_error="skip", cores=2)
    assert [name for name, _ in found.skipped] == ["broken.jpg"]
    assert found.pictures == 12
    assert "broken.jpg" in (tmp_path / "skip" / "skipped.csv").read_text()


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
