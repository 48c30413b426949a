"""Start every network of a run with the weights of another run, or of one checkpoint."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
from torch import Size

from steelscan.models import Network, StripNetwork, build_network, without_weights
from steelscan.pipeline.fit_tasks import Task, tasks
from steelscan.pipeline.run_folder import RunFolder
from steelscan.pipeline.run_record import StartFrom, StartNetwork
from steelscan.prediction import Member
from steelscan.recipes import Recipe
from steelscan.strip import Classes
from steelscan.strip.errors import InputError, RunError
from steelscan.training import load_weights

FIRST_WEIGHTS = "first_weights.txt"
"""The file next to a checkpoint with the source of the weights that its fit began with."""

_CHECKPOINT = "checkpoint.safetensors"
_FREE = frozenset(("weights", "dropout"))
"""Settings in which networks with the same weights may differ."""

_NAME = "Name a run folder, or the checkpoint.safetensors of a network"
_SAME = "Start from a run with the same networks, or change the recipe"


def find_start(path: Path, run: RunFolder, recipe: Recipe, classes: Classes) -> StartFrom:
    """Return which weights the networks of a recipe start with.

    Each network starts with those of the member with the same name: of the same fold if that is
    fitted, otherwise of the first fold that is, in its last round of pseudo-labels. If ``run`` has
    begun with the same weights, or if it has begun and ``path`` does not exist, the start that it
    records is returned. ``path`` may be a checkpoint if the recipe has a single member.

    Raises RunError if ``path`` is not a run, InputError if a network is missing there or has
    another architecture.
    """
    recorded = run.load_record().start_from if run.record.exists() else None
    if recorded is not None and not path.exists():
        return recorded
    if not path.exists():
        raise InputError(path, "does not exist", _NAME)
    if path.resolve() == run.path.resolve():
        raise InputError(path, "is the folder of this run itself", "Name another run")
    found = (_of_run if path.is_dir() else _of_checkpoint)(path, recipe, classes)
    if recorded is not None and recorded.but(origin=found.origin) == found:
        return recorded
    return found


def without_starts(recipe: Recipe) -> tuple[Recipe, list[str]]:
    """Return the recipe without the first weights of its members, which `load_start` replaces.

    Also returns a sentence if there are members that would start from another network.
    """
    replaced, members = [], {}
    for name, step in recipe.named.items():
        each = step.ensemble.members
        replaced += [f"{name} {member.name}" for member in each if member.start is not None]
        members[name] = [
            member.but(start=None, network=without_weights(member.network)) for member in each
        ]
    names = ", ".join(replaced)
    notes = [f"Start: replaces the encoders that the recipe gives to {names}."] if names else []
    return recipe.with_members(members), notes


def load_start(
    start: StartFrom, path: Path, run: RunFolder, task: Task, network: StripNetwork
) -> str:
    """Load the weights with which a network starts; return a sentence on their source.

    The sentence includes what that other network started with, as far as it is recorded.
    ``path`` is where the other run or the checkpoint is now; it is not read if the network is
    fitted. Raises InputError if the weights are gone, or are not those that the run began with.
    """
    source = f"those of the same member in {start.origin} ({start.digest[:8]})"
    if (run.network(task) / _CHECKPOINT).exists():
        return source
    used = start.of(task.step, task.member.name, task.fold)
    file = path / used.file
    remedy = f"{task.label} is still to be fitted: name the place where it is now"
    if _sha256(file, remedy) != used.sha256:
        found = f"is not the checkpoint with which {task.label} began"
        raise InputError(file, found, "Restore it, or choose another --out")
    new = _shapes(task.member.network, used.classes)[1] if used.new_head else ()
    taken = {name: tensor for name, tensor in load_weights(file).items() if name not in new}
    network.load_state_dict({**network.state_dict(), **taken})
    return source + _began_with(file)


def _began_with(file: Path) -> str:
    """Return what the network of a checkpoint started with, or "" if it is not recorded."""
    try:
        text = file.with_name(FIRST_WEIGHTS).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
    return f", which started with {text}"


def _of_run(path: Path, recipe: Recipe, classes: Classes) -> StartFrom:
    other = RunFolder(path)
    theirs, record = other.load_recipe(), other.load_record()
    networks = []
    for task in tasks(recipe, recipe.folds.validation):
        source = _source(other, theirs, task)
        _check_settings(task, source, path)
        file = other.network(source) / _CHECKPOINT
        names = _class_names(task.member, classes)
        same = names == _class_names(source.member, record.classes)
        own = StartNetwork(
            step=task.step,
            member=task.member.name,
            fold=task.fold,
            file=file.relative_to(path).as_posix(),
            from_fold=source.fold,
            sha256=_sha256(file, _NAME),
            classes=len(names),
            new_head=not same,
        )
        _check_tensors(task, file, own.classes, with_head=same)
        networks.append(own)
    return StartFrom(origin=str(path), digest=other.digest(), networks=tuple(networks))


def _of_checkpoint(path: Path, recipe: Recipe, classes: Classes) -> StartFrom:
    fitted = tasks(recipe, recipe.folds.validation)
    names = dict.fromkeys(f"{task.step} {task.member.name}" for task in fitted)
    if len(names) > 1:
        found = f"is one checkpoint; the recipe has {len(names)} networks ({', '.join(names)})"
        raise InputError(path, found, "Name a run folder, which holds a checkpoint of each")
    first = fitted[0]
    digest, count = _sha256(path, _NAME), len(_class_names(first.member, classes))
    shapes, head = _shapes(first.member.network, count)
    theirs = _tensor_shapes(path)
    same = all(theirs.get(name) == shapes[name] for name in head)
    _check_tensors(first, path, count, with_head=same)
    networks = tuple(
        StartNetwork(
            step=task.step,
            member=task.member.name,
            fold=task.fold,
            file=".",
            from_fold=None,
            sha256=digest,
            classes=count,
            new_head=not same,
        )
        for task in fitted
    )
    return StartFrom(origin=str(path), digest=digest, networks=networks)


def _source(other: RunFolder, theirs: Recipe, task: Task) -> Task:
    """Return the fitted network of another run that a network starts with."""
    label = f"{task.step} {task.member.name}"
    rounds = theirs.pseudo_labels.rounds if theirs.pseudo_labels else 0
    all_tasks = [
        each
        for round_ in range(rounds, -1, -1)
        for each in tasks(theirs, theirs.folds.validation, round_)
    ]
    same = [each for each in all_tasks if f"{each.step} {each.member.name}" == label]
    if not same:
        names = dict.fromkeys(f"{each.step} {each.member.name}" for each in all_tasks)
        found = f"has no {label}; its networks are {', '.join(names)}"
        raise InputError(other.path, found, _SAME)
    fitted = [each for each in same if (other.network(each) / _CHECKPOINT).exists()]
    if not fitted:
        remedy = "Finish its training, or start from another run"
        raise InputError(other.path, f"has not fitted {label} yet", remedy)
    return min(fitted, key=lambda each: each.fold != task.fold)


def _check_settings(task: Task, source: Task, path: Path) -> None:
    """Raise InputError if two networks have other settings than `_FREE` ones."""
    difference = _difference(task.member.network, source.member.network)
    if difference:
        field, own, their = difference
        found = f"has {field} {own}, in {path} it has {their}"
        raise InputError(f"{task.step} {task.member.name}", found, _SAME)


def _difference(own: Network, theirs: Network) -> tuple[str, object, object] | None:
    """Return the first setting in which two networks differ, and its values; None if equal."""
    if own.kind != theirs.kind:
        return "kind", own.kind, theirs.kind
    for field in type(own).model_fields:
        one, other = getattr(own, field), getattr(theirs, field)
        if field == "segmenter":
            inner = _difference(one, other)
            if inner:
                return inner
        elif field not in _FREE and one != other:
            return field, one, other
    return None


def _class_names(member: Member, classes: Classes) -> tuple[str, ...]:
    """Return the names of the classes that a member predicts, in order."""
    return tuple(classes.names[each - 1] for each in member.classes or classes.ids)


def _check_tensors(task: Task, file: Path, classes: int, *, with_head: bool) -> None:
    """Raise InputError for the first tensor of a checkpoint that does not fit a network.

    Tensors whose shape depends on the number of classes count only ``with_head``.
    """
    (shapes, head), theirs = _shapes(task.member.network, classes), _tensor_shapes(file)
    label = f"{task.step} {task.member.name}"
    for name, size in shapes.items():
        if theirs.get(name) != size and (with_head or name not in head):
            their = _text(theirs[name]) if name in theirs else "missing"
            found = f"has the tensor {name} of {_text(size)}, in {file} it is {their}"
            raise InputError(label, found, _SAME)
    extra = sorted(theirs.keys() - shapes.keys())
    if extra:
        raise InputError(label, f"has no tensor {extra[0]}, {file} has one", _SAME)


@lru_cache(maxsize=64)
def _shapes(network: Network, classes: int) -> tuple[Mapping[str, Size], frozenset[str]]:
    """Return the shapes of a network's tensors, and the names of those that depend on classes."""
    spec = without_weights(network)
    with torch.random.fork_rng(devices=[]):
        own, other = (
            {name: tensor.shape for name, tensor in build_network(spec, n)[0].state_dict().items()}
            for n in (classes, classes + 1)
        )
    return own, frozenset(name for name, size in own.items() if other[name] != size)


def _tensor_shapes(file: Path) -> Mapping[str, Size]:
    """Read the shapes of a checkpoint's tensors. Raises InputError if it is none, or damaged."""
    try:
        return {name: tensor.shape for name, tensor in load_weights(file).items()}
    except RunError as error:
        raise InputError(file, "is not a whole checkpoint of steelscan", _NAME) from error


def _text(size: Size) -> str:
    return "x".join(map(str, size)) or "a single number"


def _sha256(file: Path, remedy: str) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise InputError(file, f"cannot be read ({error.strerror})", remedy) from None
