"""The user's own regular expressions, and all that they match taken out of files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from istio_mc.domain.bundle import begun
from istio_mc.domain.problem import InputError
from istio_mc.domain.redaction.own import OWN, compiled, too_slow, trials, without
from istio_mc.domain.redaction.redactor import mark
from istio_mc.gateways.host.alarm import alarm

if TYPE_CHECKING:
    import re
    from collections.abc import Sequence

    from istio_mc.domain.bundle import File

_TRIAL_S = 2.0
_FILE_S = 20.0


@dataclass(frozen=True, slots=True)
class OwnPatterns:
    """Takes out what patterns match. Only for the main thread, where a pattern without end can be stopped."""

    patterns: tuple[re.Pattern[str], ...] = field(default=(), repr=False)
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, texts: Sequence[str]) -> OwnPatterns:
        """The patterns, tried before anything is read.

        Raises:
            InputError: Some are no regular expressions, or take too long.
        """
        patterns, faults = compiled(texts)
        for number, pattern in enumerate(patterns if not faults else (), 1):
            try:
                with alarm(_TRIAL_S):
                    for trial in trials(pattern):
                        without([pattern], trial, "")
            except TimeoutError:
                faults.append(too_slow(f"pattern {number}: more than {_TRIAL_S:g} s for 65 letters"))
        if faults:
            raise InputError(*faults)
        return cls(tuple(patterns))

    def text(self, text: str, instead: str = mark(OWN), where: str = "a text") -> str:
        """A text without what the patterns match.

        Raises:
            InputError: That takes too long.
        """
        if not self.patterns:
            return text
        try:
            with alarm(_FILE_S):
                kept, count = without(self.patterns, text, instead)
        except TimeoutError:
            raise InputError(too_slow(f"more than {_FILE_S:g} s for {where}")) from None
        if count:
            self.counts[OWN] += count
        return kept

    def path(self, path: str) -> str:
        """A file's path without what the patterns match: pods and contexts are named in it."""
        return self.text(path, "redacted", "the name of a file")

    def files(self, files: Sequence[File]) -> tuple[File, ...]:
        """Files, their names and contents, each still of bounded size, and no two of one name."""
        if not self.patterns:
            return tuple(files)
        found: dict[str, File] = {}
        for file in files:
            text = self.text(file.text, where=file.path)
            hidden = self.path(file.path)
            names = (hidden, *(f"{hidden}-{number}" for number in range(2, len(files) + 2)))
            path = next(name for name in names if name not in found)
            cut = begun(path, text)
            found[path] = replace(cut, note="; ".join(filter(None, (file.note, cut.note))))
        return tuple(found.values())
