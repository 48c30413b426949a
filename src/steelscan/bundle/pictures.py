"""Pictures to masks by a bundle, as `steelscan.pipeline.predict` does by a run. No torch here."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from steelscan.bundle.runtime import load, usable_cores
from steelscan.bundle.voters import Device
from steelscan.pipeline import Prediction, answer_pictures, claimed, find_distinct
from steelscan.strip import Masks, Picture


def scan_pictures(
    bundle: Path,
    pictures: str,
    out: Path,
    *,
    device: Device = "cpu",
    on_error: Literal["stop", "skip"] = "stop",
    overlays: bool = True,
    cascade: bool = True,
    cores: int | None = None,
    signed_by: Path | None = None,
) -> Prediction:
    """Outline the defects of pictures: a folder, a file, a glob pattern or a zip.

    Writes what `steelscan.pipeline.predict` writes, and goes on after an interruption. So many
    pictures are worked on at once as ``cores`` says; None: as this process may use.
    ``signed_by`` is a file with the public key that must have signed the bundle. Raises
    BundleError, DatasetError, PictureError, and RunError where another process works in ``out``.
    """
    sources = find_distinct(pictures, out)
    count = cores or usable_cores()
    opened = load(bundle, device=device, signed_by=signed_by)

    def masks_of(picture: Picture) -> Masks:
        return opened.scan(picture, cascade=cascade).masks

    with claimed(out, opened.package.sha256.encode()):
        done = answer_pictures(
            sources,
            masks_of,
            out,
            opened.classes,
            opened.manifest.layout,
            on_error=on_error,
            overlays=overlays,
            workers=count,
            frames=[opened.manifest.strip],
        )
    return replace(done, notes=(*opened.manifest.notes, *done.notes))
