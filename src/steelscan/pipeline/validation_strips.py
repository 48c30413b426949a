"""Which strips validate a network: those that the steps before its own let pass, out-of-fold."""

from dataclasses import replace
from itertools import islice

import numpy as np

from steelscan.decision import ClassifyStep, Decision, OpenClasses, Stage, open_classes
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_tasks import Task, fitted_before
from steelscan.pipeline.out_of_fold import step_outputs
from steelscan.pipeline.stored import RunOutputs
from steelscan.pipeline.validation import ValidationStrips
from steelscan.postprocess import ScaledMinArea
from steelscan.recipes import Recipe


def validation_strips(context: RunContext, task: Task) -> ValidationStrips:
    """Return the first strips of a task's fold on which the steps before it leave a class open.

    These are at most ``validate_on`` of its last stage; only classes that its network predicts
    count. The outputs of the steps before are out-of-fold; those that are not stored yet are
    predicted. If no open pair of strip and class has a defect, as with a classifier that lets
    nothing pass, a network that predicts nothing would be best: then the gates are left out, and
    all classes of the fold's first strips are open. The same holds for a network that is already
    fitted, because it is not validated again.
    """
    rows, limit = context.rows(task.fold), task.member.stages[-1].validate_on
    decision, gates = decision_before(context.recipe, task), fitted_before(context.recipe, task)
    ungated = ValidationStrips.ungated(rows[:limit], context.classes, decision.last.rules)
    if not gates or (context.run.network(task) / "checkpoint.safetensors").exists():
        return ungated
    with context.accelerator.main_process_first():
        stores = {name: step_outputs(context, name) for name in gates}
    outputs = RunOutputs(context.recipe, context.dataset, stores)
    planes = [each - 1 for each in task.member.classes or range(1, context.classes + 1)]

    def before(row: int) -> OpenClasses:
        return open_classes(decision, outputs.outputs(row), context.classes)

    states = ((row, before(row)) for row in rows.tolist())
    passed = list(islice((each for each in states if each[1].open[planes].any()), limit))
    present = context.dataset.present[:, planes]
    if any((present[row] & state.open[planes]).any() for row, state in passed):
        numbers, opened = zip(*passed, strict=True)
        return ValidationStrips(np.array(numbers, np.int64), opened, decision.last.rules, gates)
    every = np.ones(context.classes, np.bool_)
    opened = tuple(before(row)._replace(open=every) for row in ungated.rows.tolist())
    return replace(ungated, before=opened)


def decision_before(recipe: Recipe, task: Task) -> Decision:
    """Return the decision up to the step of a task, without steps that are fitted after it.

    Its last stage is that of the task; it holds only classifiers before the task's step.
    """
    gates, stages = fitted_before(recipe, task), list[Stage]()
    classifiers, has_classes = list[ClassifyStep](), False
    for stage in recipe.decision.stages:
        classifiers += [step for step in stage.classifiers if step.name in gates]
        segmenter = stage.segmenter
        known = has_classes or bool(classifiers) or segmenter.has_class_output
        rules = [rule for rule in stage.rules if known or not isinstance(rule, ScaledMinArea)]
        usable = stage.but(classifiers=tuple(classifiers), rules=tuple(rules))
        if task.step in (segmenter.name, *(step.name for step in stage.classifiers)):
            return Decision(stages=(*stages, usable))
        if segmenter.name in gates:
            stages.append(usable)
            classifiers, has_classes = [], known
    raise AssertionError(f"{task.step} is no step of {recipe.name}")
