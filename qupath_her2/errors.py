"""Errors raised by qupath_her2.

Her2Error
├── ImageReadError (OSError)        an image file that cannot be opened or read
│   └── PatchReadError              one patch of it that cannot be read; the others can
├── RegionFileError (ValueError)    a region file that cannot be read at all (single bad features are quarantined)
├── CasesFileError (ValueError)     cases.csv with bad rows, all of them listed
├── PatchError (ValueError)         patches that cannot be cut, labelled, split or read back
├── TrainingError (ValueError)      a training that cannot begin, go on or be taken up again
├── ModelError (ValueError)          weights or a checkpoint that are not what they should be, or cannot be had
├── SettingsError (ValueError)      an unknown key, a value out of range, an unknown name
├── ExchangeError (ValueError)      a result folder that is not what its own record says
├── OutputError (OSError)           a result that cannot be written: read-only folder, full disk
├── RegistrationError (ValueError)  two slides that cannot be laid on each other
├── ScoringError (ValueError)       a score asked for in a way that has no answer
├── QuPathError (RuntimeError)      no QuPath was found, or what was asked of it failed
└── MissingExtraError (ImportError) an optional part that is not installed; says the pip line

A picture that must not be scored is not an error but a result: see `records.Refusal`.
Every message says what, the value met, where, and the way out.
"""

from __future__ import annotations

__all__ = [
    "CasesFileError",
    "ExchangeError",
    "Her2Error",
    "ImageReadError",
    "MissingExtraError",
    "ModelError",
    "OutputError",
    "PatchError",
    "PatchReadError",
    "QuPathError",
    "RegionFileError",
    "RegistrationError",
    "ScoringError",
    "SettingsError",
    "TrainingError",
]


class Her2Error(Exception):
    """Base of every error this package raises on purpose; the command line prints its message alone."""


class ImageReadError(Her2Error, OSError):
    """An image file cannot be opened or read."""


class PatchReadError(ImageReadError):
    """One patch cannot be read; `row` is its row in the manifest."""

    def __init__(self, message: str, row: int = -1) -> None:
        super().__init__(message)
        self.row = row


class RegionFileError(Her2Error, ValueError):
    """A region file cannot be read at all."""


class CasesFileError(Her2Error, ValueError):
    """`cases.csv` holds rows that cannot be used; the message lists all of them."""


class PatchError(Her2Error, ValueError):
    """Patches cannot be cut, labelled or split as asked, or a manifest is damaged."""


class TrainingError(Her2Error, ValueError):
    """A training cannot begin, go on or be taken up again."""


class ModelError(Her2Error, ValueError):
    """Weights or a checkpoint cannot be had, are damaged, or belong to another network."""


class SettingsError(Her2Error, ValueError):
    """A setting is unknown or out of range."""


class ExchangeError(Her2Error, ValueError):
    """A result in the exchange folder is damaged or not of a format this version reads."""


class OutputError(Her2Error, OSError):
    """A result cannot be written where it was asked for."""

    def __str__(self) -> str:
        # OSError puts "[Errno 28]" before the sentence that people are to read.
        return self.strerror or super().__str__()


class RegistrationError(Her2Error, ValueError):
    """Two slides cannot be laid on each other, or not well enough to bring regions over."""


class ScoringError(Her2Error, ValueError):
    """A score was asked for in a way that has no answer."""


class QuPathError(Her2Error, RuntimeError):
    """No QuPath was found, or what was asked of it failed."""


class MissingExtraError(Her2Error, ImportError):
    """An optional dependency is not installed."""
