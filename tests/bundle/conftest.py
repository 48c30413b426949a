"""A bundle of a finished run, made once, and a way to write bundles that are none of a run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from steelscan.pipeline import Outcome


@pytest.fixture(scope="session")
def exported(finished: tuple[Path, Outcome], tmp_path_factory: pytest.TempPathFactory) -> Path:
    from steelscan.bundle import export

    path = tmp_path_factory.mktemp("bundle") / "tiny.steelscan"
    export(finished[0], path)
    return path


@pytest.fixture(scope="session")
def write_bundle() -> Callable[..., Any]:
    """Writes a bundle with a certificate that fits it: what anyone can do who has no key.

    Called as `steelscan.bundle.package.write_package`; further fields are those of the certificate.
    """
    from steelscan.bundle.certificate import Certificate
    from steelscan.bundle.package import CERTIFICATE, certified, write_package
    from steelscan.bundle.parity import LIMITS, Parity, read_lines

    def records(contents: Mapping[str, bytes]) -> list[Any]:
        try:
            return read_lines(contents.get("expected.jsonl", b""))
        except ValueError:
            return []

    def write(path: Path, manifest: Any, contents: Mapping[str, bytes], **fields: Any) -> Any:
        every = records(contents)
        parity = Parity(
            strips=len(every),
            defective=sum(any(each.masks) for each in every),
            flipped=(),
            iou=1.0,
            class_ious=(),
            changed=(),
            levels=0.0,
            nearest=0.0,
        )
        if CERTIFICATE in contents:
            certificate = Certificate.model_validate_json(contents[CERTIFICATE])
        else:
            certificate = Certificate(
                made="now",
                steelscan="0",
                code="",
                run="",
                data="",
                weights={},
                runtime={},
                precision=manifest.precision,
                limits=LIMITS[manifest.precision],
                parity=parity,
                brought=sum(name.startswith("strips/") for name in contents),
            )
        certificate = certificate.but(**fields)
        return write_package(path, manifest, certified(manifest, contents, certificate))

    return write
