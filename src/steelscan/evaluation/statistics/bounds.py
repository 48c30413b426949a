"""Exact bounds on the share of rare events, and how many trials a bound takes.

All of it assumes independent trials. If strips of one piece of steel are alike, a trial is the
piece.
"""

from steelscan.strip.errors import InputError

_SMALLEST_SHARE = 1e-9
"""A smaller share would take more trials than any plant counts."""


def upper_bound(events: int, trials: int, confidence: float = 0.95) -> float:
    """Return the one-sided upper bound on the share of events (Clopper and Pearson 1934).

    Without an event it is about 3 / trials at a confidence of 0.95 (the rule of three: Hanley and
    Lippman-Hand 1983); 1 if there are no trials. Raises InputError for impossible counts.
    """
    _check(events, trials, confidence)
    if events == trials:
        return 1.0
    from scipy.special import betaincinv

    return float(betaincinv(events + 1, trials - events, confidence))


def lower_bound(events: int, trials: int, confidence: float = 0.95) -> float:
    """Return the one-sided lower bound on the share of events; 0 if there are none."""
    _check(events, trials, confidence)
    return 1 - upper_bound(trials - events, trials, confidence)


def trials_needed(share: float, confidence: float = 0.95, events: int = 0) -> int:
    """Return the fewest trials with which so many events have an upper bound of at most ``share``.

    Raises InputError for a share or a confidence that is not between 0 and 1.
    """
    _check(events, events + 1, confidence)
    if not _SMALLEST_SHARE <= share < 1:
        remedy = f"Give a share from {_SMALLEST_SHARE:g} to below 1"
        raise InputError("rate", f"is {share}", remedy)
    from scipy.stats import nbinom  # trials without an event, until there is one event more

    return events + 1 + int(nbinom.ppf(confidence, events + 1, share))


def events_allowed(share: float, trials: int, confidence: float = 0.95) -> int | None:
    """Return the most events whose upper bound is at most ``share``; None if even 0 is too many."""
    _check(0, trials, confidence)
    from scipy.stats import binom

    chance = 1 - confidence
    most = int(binom.ppf(chance, trials, share)) if trials else 0
    if binom.cdf(most, trials, share) > chance:
        most -= 1
    return most if most >= 0 else None


def bound_text(events: int, trials: int, what: str, confidence: float = 0.95) -> str:
    """Return a sentence on a count and its upper bound; ``what`` names the trials.

    For example "0 of 100 defective strips". Without an event it gives the rule of three as well.
    """
    if not trials:
        return f"There are no {what}, so there is no bound."
    bound = upper_bound(events, trials, confidence)
    most = f"with {100 * confidence:g} % confidence at most {_two_digits(100 * bound)} %"
    text = f"{events} of {trials} {what}: {most}"
    if events or abs(confidence - 0.95) > 1e-9:
        return f"{text}."
    return f"{text} (rule of three: 3 / {trials} = {_two_digits(300 / trials)} %)."


def _two_digits(percent: float) -> str:
    return f"{float(f'{percent:.2g}'):g}"  # the second format prevents 1e+02


def _check(events: int, trials: int, confidence: float) -> None:
    if not 0 <= events <= trials:
        problem = f"are {events} among {trials} trials"
        raise InputError("events", problem, "Count both on the same strips")
    if not 0 < confidence < 1:
        raise InputError("confidence", f"is {confidence}", "Give a share between 0 and 1")
