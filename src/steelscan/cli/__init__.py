"""The verbs of the command line: they say where, never what; the work is done elsewhere."""

try:
    # Each of these adds its verbs; the help lists them in this order.
    from steelscan.cli import (  # noqa: F401
        agree,
        answer,
        audit,
        bundle,
        check,
        data,
        ensemble,
        explore,
        folds,
        judge,
        line,
        plant,
        quantize,
        recipes,
        score,
        shift,
        train,
        tune,
    )
    from steelscan.cli.app import app, main
except KeyboardInterrupt:  # before any verb has begun
    raise SystemExit(130) from None

__all__ = ["app", "main"]
