"""`python -m tests.fuzz TARGET [libFuzzer's options]`: guided by coverage, until it is stopped; needs atheris.

Without a target, the targets are listed. What is found is written beside as `crash-…`.
"""

import sys

from tests.fuzz.targets import FINE, scratch, targets


def main() -> int:
    """Fuzzes one reader."""
    known = targets(scratch())
    if len(sys.argv) < 2 or sys.argv[1] not in known:
        sys.stdout.write("targets: " + ", ".join(sorted(known)) + "\n")
        return 2
    import atheris  # noqa: PLC0415  not among the tests' packages

    target = known[sys.argv.pop(1)]

    def one(data: bytes) -> None:
        try:
            target.read(data)
        except FINE:
            return

    corpus = scratch()
    for number, seed in enumerate(target.seeds):
        (corpus / str(number)).write_bytes(seed)
    atheris.instrument_all()
    atheris.Setup([*sys.argv, str(corpus)], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
