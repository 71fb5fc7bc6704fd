"""The project's exceptions: which one for which situation.

======================  ====  =====================================================================================
exception               exit  raise it when
======================  ====  =====================================================================================
``RecipeError``         2     a recipe, option or argument is wrong; ``faults`` lists every fault with its dotted key
``SourceError``         2     an input file or folder cannot be used (missing, corrupt, wrong size, no target)
``NoListsError``        2     that, because a split was asked of a folder without lists
``LeakageError``        2     a frame of a protected split would become a source
``RefusalError``        2     the action would damage or mix something: foreign recipe, locked range, unsafe metadata
``StoreError``          1     a store could not be written or read (full disk, read-only target, missing shard)
``RenderError``         1     one sample could not be rendered; carries its shard and index
``TrainingError``       1     a training run cannot go on: its loss or gradient is not finite; state and diagnosis are saved
``VerificationError``   3     a store does not hold what its commit records promise
======================  ====  =====================================================================================

Every message is one line, "<what> <where>: <why>; <what to do>". ``exit_code`` is what a command returns.
"""

from __future__ import annotations

from collections.abc import Sequence


class FoundryError(Exception):
    """Base of every error a user can meet; anything else that escapes is a bug of ours."""

    exit_code = 1


class RecipeError(FoundryError):
    """A recipe or argument is wrong.

    Args:
        faults: One line per fault, each starting with the dotted key it is about.
    """

    exit_code = 2

    def __init__(self, *faults: str) -> None:
        self.faults: Sequence[str] = tuple(" ".join(fault.splitlines()) for fault in faults)
        super().__init__("; ".join(self.faults))


class SourceError(FoundryError):
    """An input file or folder cannot be used."""

    exit_code = 2


class NoListsError(SourceError):
    """A split was asked of a folder without lists; a command that can do without a split says how."""


class LeakageError(FoundryError):
    """A frame of a protected split would become a source or training frame."""

    exit_code = 2


class RefusalError(FoundryError):
    """The action was refused before any work, to protect what is there."""

    exit_code = 2


class StoreError(FoundryError):
    """A store could not be written or read."""


class RenderError(FoundryError):
    """One sample could not be rendered."""


class TrainingError(FoundryError):
    """A training run cannot go on."""


class VerificationError(FoundryError):
    """A store does not hold what its commit records promise."""

    exit_code = 3
