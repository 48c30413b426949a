"""The verbs of the command line: what to read and where to write; other rooms do the work."""

try:
    # Each of these adds its verbs; `app.PANELS` holds their order in the help.
    from steelscan.cli import (  # noqa: F401
        agreement,
        audit,
        bench,
        check,
        coil,
        compare,
        data,
        ensemble,
        escapes,
        explore,
        export,
        folds,
        line,
        predict,
        quantize,
        recipes,
        runs,
        scan,
        score,
        shift,
        submit,
        train,
        tune,
        verify,
        weights,
    )
    from steelscan.cli.app import app, main
except KeyboardInterrupt:  # before any verb has begun
    raise SystemExit(130) from None

__all__ = ["app", "main"]
