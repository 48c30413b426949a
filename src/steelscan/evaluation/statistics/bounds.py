"""What a count of rare events promises: exact bounds on their share, and how many trials it takes.

All of it holds for independent trials. Where strips of one piece of steel stand or fall together,
a trial is the piece.
"""

from math import ceil, log, log1p

from steelscan.strip import InputError

_LEAST = 1e-9
"""No plant counts the trials that a smaller share takes."""


def upper_bound(events: int, trials: int, confidence: float = 0.95) -> float:
    """The share that is not exceeded, at this confidence, when so many events were seen.

    One-sided, exact for independent trials. Without an event it is about 3 / trials at a
    confidence of 0.95 (the rule of three: Hanley and Lippman-Hand 1983). 1 where there is no
    trial. Raises InputError for numbers that cannot be. (Clopper and Pearson 1934.)
    """
    _check(events, trials, confidence)
    if events == trials:
        return 1.0
    from scipy.special import betaincinv

    return float(betaincinv(events + 1, trials - events, confidence))


def lower_bound(events: int, trials: int, confidence: float = 0.95) -> float:
    """The share that is reached, at this confidence, when so many events were seen.

    As `upper_bound`, from below; 0 where there is no event.
    """
    _check(events, trials, confidence)
    return 1 - upper_bound(trials - events, trials, confidence)


def trials_needed(share: float, confidence: float = 0.95, events: int = 0) -> int:
    """How many trials it takes until so many events promise at most this share.

    Raises InputError for a share or a confidence that is not between 0 and 1.
    """
    _check(events, events + 1, confidence)
    if not _LEAST <= share < 1:
        remedy = f"Give a share from {_LEAST:g} to below 1"
        raise InputError("rate", f"is {share}", remedy)
    enough = max(events + 1, ceil(log(1 - confidence) / log1p(-share)))
    while _at_most(events, enough, share) > 1 - confidence:
        enough *= 2
    short = events
    while enough - short > 1:
        middle = (short + enough) // 2
        if _at_most(events, middle, share) > 1 - confidence:
            short = middle
        else:
            enough = middle
    return enough


def events_allowed(share: float, trials: int, confidence: float = 0.95) -> int | None:
    """The most events among so many trials that still promise at most this share.

    None where not even a count of 0 does; `trials_needed` says how many trials would.
    """
    _check(0, trials, confidence)
    if not trials or _at_most(0, trials, share) > 1 - confidence:
        return None
    low, high = 0, trials
    while high - low > 1:
        middle = (low + high) // 2
        if _at_most(middle, trials, share) > 1 - confidence:
            high = middle
        else:
            low = middle
    return low


def promise(events: int, trials: int, what: str, confidence: float = 0.95) -> str:
    """What a count promises, as a sentence; ``what`` names the trials, such as "defective strips".

    Without an event the sentence has the rule of three as well.
    """
    if not trials:
        return f"There are no {what}: nothing is known of them."
    bound = upper_bound(events, trials, confidence)
    sure = f"with {100 * confidence:g} % confidence at most {100 * bound:.2g} %"
    said = f"{events} of {trials} {what}: {sure}"
    if events or abs(confidence - 0.95) > 1e-9:
        return f"{said}."
    return f"{said} (rule of three: 3 / {trials} = {300 / trials:.2g} %)."


def _at_most(events: int, trials: int, share: float) -> float:
    """The chance of at most so many events among independent trials of this share."""
    from scipy.special import bdtr

    return float(bdtr(events, trials, share))


def _check(events: int, trials: int, confidence: float) -> None:
    if not 0 <= events <= trials:
        found = f"are {events} among {trials} trials"
        raise InputError("events", found, "Count both on the same strips")
    if not 0 < confidence < 1:
        raise InputError("confidence", f"is {confidence}", "Give a share between 0 and 1")
