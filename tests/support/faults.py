"""How a stand-in API server misbehaves when it is told to, and what it was asked."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.support.refusals import Refused

REFUSED, SILENT = "refused", "silent"
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Request(NamedTuple):
    """One request.

    Attributes:
        method: Such as `PATCH`.
        path: Without its query.
        query: What stood behind the question mark.
        who: Who asked; empty: nobody the server knows.
        status: What it was answered; 0: nothing.
    """

    method: str
    path: str
    query: str
    who: str
    status: int


@dataclass
class Rule:
    """What some requests get instead of their answer.

    Attributes:
        refusal: What they get.
        methods: The methods it is about; empty: all.
        path: A regular expression that is looked for in the path.
        times: How often; None: always.
    """

    refusal: Refused
    methods: frozenset[str] = frozenset()
    path: str = ""
    times: int | None = None

    def takes(self, method: str, path: str) -> bool:
        """Whether it is for a request; counts down where it is."""
        if self.times == 0 or (self.methods and method not in self.methods):
            return False
        if not re.search(self.path, path):
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass
class Faults:
    """What is wrong with one API server.

    Attributes:
        unreachable: `refused`: nobody listens; `silent`: nobody answers; empty: it is there.
        rules: Refusals.
        slow_s: Seconds before each answer.
        breaks_every: Every how many-th port-forward breaks once it is open; 0: none.
        forwards: How many port-forwards were opened so far.
        longest_token_s: The longest lifetime of a token that it grants, in seconds.
        denied: Rights that the administrator lacks, as `verb resource`; a `*` for all verbs or resources.
        requests: Everything asked so far.
        kept: Set once somebody has asked while nobody answers.
    """

    unreachable: str = ""
    rules: list[Rule] = field(default_factory=list)
    slow_s: float = 0.0
    breaks_every: int = 0
    forwards: int = 0
    longest_token_s: int = 10 * 365 * 24 * 3600
    denied: set[str] = field(default_factory=set)
    requests: list[Request] = field(default_factory=list)
    kept: threading.Event = field(default_factory=threading.Event, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def refuse(self, refusal: Refused, *methods: str, path: str = "", times: int | None = None) -> Rule:
        """Has requests of these methods to paths that fit be refused."""
        self.rules.append(Rule(refusal, frozenset(methods), path, times))
        return self.rules[-1]

    def refusal(self, method: str, path: str) -> Refused | None:
        """Why a request is refused; None: it is not."""
        return next((rule.refusal for rule in self.rules if rule.takes(method, path)), None)

    def breaks(self) -> bool:
        """Whether the port-forward that is opened now is one that breaks."""
        with self._lock:
            self.forwards += 1
            return self.breaks_every > 0 and self.forwards % self.breaks_every == 0

    @property
    def writes(self) -> list[Request]:
        """The requests that changed something, or were meant to."""
        return [one for one in self.requests if is_write(one.method, one.path, one.query)]


def is_write(method: str, path: str, query: str) -> bool:
    """Whether a request changes something where it is answered; the Lease of a run is its own affair."""
    is_lease = path.endswith("/leases/istio-mc") or (method == "POST" and path.endswith("/leases"))
    return method in _WRITES and "selfsubject" not in path and "dryRun" not in query and not is_lease
