"""Signed bundles: if a signature is required, no other bundle is used."""

import os
import stat
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from steelscan import cli
from steelscan.bundle import (
    Certificate,
    Graph,
    Manifest,
    certified,
    load,
    make_keys,
    private_key,
    read_package,
    write_package,
)
from steelscan.bundle.package import CERTIFICATE, SIGNATURE
from steelscan.bundle.proof import LIMITS, Parity, signature_notes
from steelscan.bundle.signing import REQUIRED, Signature
from steelscan.decision import Decision, SegmentStep, Stage
from steelscan.postprocess import Threshold
from steelscan.strip import Classes
from steelscan.strip.errors import BundleError, InputError, MissingPartError, OutputError

FILE = "networks/a.onnx"
PARITY = Parity(
    strips=0,
    defective=0,
    flipped=(),
    iou=1.0,
    class_ious=(),
    changed=(),
    difference=0.0,
    nearest=0.0,
)


def manifest(**fields):
    stage = Stage(segmenter=SegmentStep(name="s"), rules=(Threshold(),))
    return Manifest(
        made_with="0",
        recipe="r",
        classes=Classes(names=("a",)),
        layout="columns",
        frame=(32, 32),
        decision=Decision(stages=(stage,)),
        networks={"s": (Graph(file=FILE, heads=("masks",)),)},
        **fields,
    )


CONTENTS = {FILE: b"graph"}


def certificate():
    return Certificate(
        made="now",
        steelscan="0",
        code="",
        run="",
        data="",
        weights={},
        runtime={},
        precision="fp32",
        limits=LIMITS["fp32"],
        parity=PARITY,
        included_strips=0,
    )


@pytest.fixture
def keys(tmp_path):
    return make_keys(tmp_path / "keys" / "plant")


@pytest.fixture
def others(tmp_path):
    return make_keys(tmp_path / "keys" / "thief")


def signed_bundle(path, key, made=None):
    made = made or manifest()
    files = certified(made, CONTENTS, certificate(), key and private_key(key))
    write_package(path, made, files)
    return path


def test_a_private_key_is_readable_by_its_owner_only_and_never_overwritten(keys, tmp_path):
    private, public = keys
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert b"PRIVATE" in private.read_bytes()
    assert b"PRIVATE" not in public.read_bytes()
    before = private.read_bytes(), public.read_bytes()
    with pytest.raises(OutputError, match="no key is overwritten"):
        make_keys(tmp_path / "keys" / "plant")
    private.rename(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="no key is overwritten"):
        make_keys(tmp_path / "keys" / "plant")
    assert ((tmp_path / "elsewhere").read_bytes(), public.read_bytes()) == before
    assert not private.exists()


def test_a_bundle_signed_by_the_owner_is_read(keys, tmp_path, monkeypatch):
    private, public = keys
    path = signed_bundle(tmp_path / "b", private)
    package = read_package(path, public)
    assert package.signed
    assert read_package(path).signed
    assert "the signer was not checked" in " ".join(signature_notes(path, None))
    assert str(public) in " ".join(signature_notes(path, public))
    monkeypatch.setenv(REQUIRED, str(public))
    assert read_package(path) == package
    assert str(public) in " ".join(signature_notes(path, None))
    monkeypatch.setenv(REQUIRED, "")
    assert not read_package(signed_bundle(tmp_path / "plain", None)).signed


def test_all_other_bundles_are_refused_if_a_signature_is_required(
    keys, others, tmp_path, monkeypatch
):
    private, public = keys
    path = signed_bundle(tmp_path / "b", private)
    plain = signed_bundle(tmp_path / "plain", None)
    foreign = signed_bundle(tmp_path / "foreign", others[0])
    package = read_package(path)
    broken = package.contents | {SIGNATURE: b"[]"}
    write_package(tmp_path / "broken", package.manifest, broken)
    # other thresholds with a new certificate, but the signature of the old one
    other = manifest(mm_per_pixel=0.5)
    stolen = {**certified(other, CONTENTS, certificate()), SIGNATURE: package.contents[SIGNATURE]}
    write_package(tmp_path / "stolen", other, stolen)
    # the owner's public key with a signature by another key
    thiefs = Signature.model_validate_json(read_package(foreign).contents[SIGNATURE])
    owners = Signature.model_validate_json(package.contents[SIGNATURE])
    mixed = thiefs.but(public=owners.public).model_dump_json().encode()
    files = {**read_package(foreign).contents, SIGNATURE: mixed}
    write_package(tmp_path / "mixed", manifest(), files)
    for name, message in (
        ("plain", "is not signed"),
        ("foreign", "signed with another key"),
        ("broken", "broken signature"),
        ("stolen", "changed after it was signed"),
        ("mixed", "changed after it was signed"),
    ):
        with pytest.raises(BundleError, match=message):
            read_package(tmp_path / name, public)
        with pytest.raises(BundleError, match=message):
            load(tmp_path / name, signed_by=public)
        monkeypatch.setenv(REQUIRED, str(public))
        with pytest.raises(BundleError, match=message):
            read_package(tmp_path / name)
        if name == "foreign":  # an option does not replace the environment variable
            with pytest.raises(BundleError, match=message):
                read_package(tmp_path / name, others[1])
        monkeypatch.delenv(REQUIRED)
    assert not read_package(plain, None).signed


def test_a_certificate_cannot_be_changed(keys, tmp_path):
    private, public = keys
    path = signed_bundle(tmp_path / "b", private)
    package = read_package(path)
    text = package.contents[CERTIFICATE].replace(b'"strips": 0', b'"strips": 7')
    assert text != package.contents[CERTIFICATE]
    write_package(path, package.manifest, package.contents | {CERTIFICATE: text})
    assert read_package(path).certificate.parity.strips == 7
    with pytest.raises(BundleError, match="changed after it was signed"):
        read_package(path, public)


def test_files_that_are_no_keys_are_named(keys, tmp_path):
    private, public = keys
    path = signed_bundle(tmp_path / "b", private)
    (tmp_path / "empty").write_bytes(b"")
    rsa = generate_private_key(65537, 1024)
    pem = serialization.Encoding.PEM
    secret = rsa.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "rsa").write_bytes(secret)
    own = private_key(private)
    locked = own.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"word")
    )
    (tmp_path / "locked").write_bytes(locked)
    for bad in (public, tmp_path / "empty", tmp_path / "rsa", tmp_path / "locked", tmp_path):
        with pytest.raises(InputError, match=r"private ed25519 key|cannot be read"):
            private_key(bad)
    for bad in (private, tmp_path / "empty", tmp_path / "rsa", tmp_path / "none"):
        with pytest.raises(InputError, match=r"public ed25519 key|cannot be read"):
            read_package(path, bad)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    path = signed_bundle(tmp_path / "b", None)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert not read_package(path).signed
    for use in (
        lambda: make_keys(tmp_path / "k"),
        lambda: read_package(path, tmp_path / "k"),
        lambda: private_key(tmp_path / "k"),
    ):
        with pytest.raises(MissingPartError, match=r"pip install 'steelscan\[sign\]'"):
            use()


@pytest.mark.parametrize("verb", ["verify", "predict", "bench", "line", "quantize"])
def test_every_verb_requires_the_signature(keys, tmp_path, capsys, monkeypatch, verb):
    path = str(signed_bundle(tmp_path / "plain", None))
    more = {
        "predict": [str(tmp_path), "--out", str(tmp_path / "out")],
        "line": ["--speed", "1", "--mm-per-pixel", "1"],
        "quantize": ["--to", "int8", "--data", str(tmp_path), "--out", str(tmp_path / "out")],
    }.get(verb, [])
    monkeypatch.setenv(REQUIRED, os.fspath(keys[1]))
    monkeypatch.setattr("sys.argv", ["steelscan", verb, path, *more])
    if verb == "predict":
        import cv2
        import numpy as np

        cv2.imwrite(str(tmp_path / "a.png"), np.zeros((32, 32), np.uint8))
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert "is not signed, and a signature is required" in line
    assert not (tmp_path / "out").exists()


def test_keygen_writes_a_pair(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["steelscan", "keygen", str(tmp_path / "mine")])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    assert "mine.public.pem" in capsys.readouterr().out
    private_key(tmp_path / "mine.private.pem")
