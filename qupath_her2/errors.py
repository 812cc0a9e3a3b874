"""Errors raised by qupath_her2.

Her2Error
├── ImageReadError (OSError)        an image file that cannot be opened or read
│   └── PatchReadError              a single patch that cannot be read; the rest of the image can
├── RegionFileError (ValueError)    a region file that cannot be read at all (single bad features are quarantined)
├── CasesFileError (ValueError)     cases.csv with invalid rows, all of them listed
├── PatchError (ValueError)         patches that cannot be cut, labelled, split or read back
├── TrainingError (ValueError)      training cannot start, continue or resume
├── ModelError (ValueError)         weights or a checkpoint that are missing, damaged or of another network
├── SettingsError (ValueError)      an unknown key, a value out of range, an unknown name
├── ExchangeError (ValueError)      an exchange folder or a run that is damaged or of another format
├── BatchError (RuntimeError)       an engine for many images that is not there or refuses a job
├── ServiceError (RuntimeError)      a service that is not there, or refuses a call
├── OutputError (OSError)           a result that cannot be written: read-only folder, full disk
├── RegistrationError (ValueError)  two slides that cannot be registered
├── ReviewError (ValueError)        readings, rounds, labels or profiles of a review that cannot be used
├── ScoringError (ValueError)       a scoring request that no guideline answers
├── QuPathError (RuntimeError)      no QuPath installation, or QuPath failed
└── MissingExtraError (ImportError) an optional dependency that is not installed; names the pip command

An image that must not be scored is not an error but a result: see `records.Refusal`.
Every message says what is wrong, the value found, where, and the way out.
"""

from __future__ import annotations

__all__ = [
    "BatchError",
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
    "ReviewError",
    "ScoringError",
    "ServiceError",
    "SettingsError",
    "TrainingError",
]


class Her2Error(Exception):
    """Base class of all errors this package raises deliberately; the command line prints only the message."""


class ImageReadError(Her2Error, OSError):
    """An image file cannot be opened or read."""


class PatchReadError(ImageReadError):
    """A single patch cannot be read.

    Parameters
    ----------
    message
        The sentence for the user.
    row
        Row of the patch in the manifest, from 0; -1 if unknown.
    """

    def __init__(self, message: str, row: int = -1) -> None:
        super().__init__(message)
        self.row = row


class RegionFileError(Her2Error, ValueError):
    """A region file cannot be read at all."""


class CasesFileError(Her2Error, ValueError):
    """``cases.csv`` has invalid rows; the message lists all of them."""


class PatchError(Her2Error, ValueError):
    """Patches cannot be cut, labelled or split as asked, or a manifest is damaged."""


class TrainingError(Her2Error, ValueError):
    """Training cannot start, continue or resume."""


class ModelError(Her2Error, ValueError):
    """Weights or a checkpoint are missing, damaged, or belong to another network."""


class SettingsError(Her2Error, ValueError):
    """A setting is unknown or out of range."""


class ExchangeError(Her2Error, ValueError):
    """The exchange folder or a run in it is damaged, or of a format that this version does not read."""


class BatchError(Her2Error, RuntimeError):
    """An engine for many images is not there, or refuses a job."""


class ServiceError(Her2Error, RuntimeError):
    """A service does not run, does not answer, or refuses a call."""


class OutputError(Her2Error, OSError):
    """A result cannot be written to the requested place."""

    def __str__(self) -> str:
        # OSError would prefix the message with "[Errno 28]".
        return self.strerror or super().__str__()


class RegistrationError(Her2Error, ValueError):
    """Two slides cannot be registered, or not accurately enough to transfer regions."""


class ReviewError(Her2Error, ValueError):
    """Readings, rounds, labels or profiles of a review cannot be used."""


class ScoringError(Her2Error, ValueError):
    """The requested score is undefined: no guideline covers it, or its input is inconsistent."""


class QuPathError(Her2Error, RuntimeError):
    """No QuPath installation was found, or QuPath failed."""


class MissingExtraError(Her2Error, ImportError):
    """An optional dependency is not installed."""
