"""What is found of a claim of the paper: paired differences with their intervals, and the verdict that they come to.

A difference is signed so that more is in the claim's favour. A claim about every task holds in a comparison where it holds
on each of them.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

HOLDS, FAILS, OPEN, MIXED = "holds", "does not hold", "cannot be told at this size", "holds in part"
SEVERAL = {HOLDS: "hold", FAILS: "do not hold", OPEN: OPEN}  # of several comparisons
NOT_RUN = "not run"
ALPHA = 0.05  # of the corrected verdicts, as of intervals that cover 95 %
MOST_TIMES = 25  # as much evidence: more nobody gathers for one claim


@dataclass(frozen=True)
class Finding:
    """One comparison under a claim; its fields are the columns of claims.csv.

    `low` to `high` is the interval, `images_low` to `images_high` that of the choice of images alone, with the seeds as they
    are. All of them and `difference` are None where it was not run. `pooled_sd` is the deviation over seeds that the interval was
    widened by for each side with a single seed.

    `paper` is what the paper prints of the same difference on the benchmark `paper_on`, `power` how probable an interval as wide
    would have shown that; `p` is of no difference at all, `p_holm` the same corrected for how many findings there are.
    """

    claim: str
    setting: str
    a: str
    b: str
    task: str
    metric: str
    unit: str
    difference: float | None
    low: float | None
    high: float | None
    images_low: float | None
    images_high: float | None
    seeds_a: int
    seeds_b: int
    images: int
    pooled_sd: float | None = None
    paper: float | None = None
    paper_on: str = ""
    power: float | None = None
    p: float | None = None
    p_holm: float | None = None

    @property
    def verdict(self) -> str:
        """What the interval says."""
        if self.difference is None or self.low is None or self.high is None:
            return NOT_RUN
        return HOLDS if self.low > 0 else FAILS if self.high < 0 else OPEN

    @property
    def corrected(self) -> str:
        """The verdict that is left where it is one of many."""
        told = self.p_holm is not None and self.p_holm < ALPHA
        return self.verdict if told or self.verdict == NOT_RUN else OPEN

    @property
    def comparison(self) -> tuple[str, str, str]:
        """What it is a part of where a claim is about every task."""
        return self.setting, self.a, self.b

    @property
    def seeds(self) -> int:
        """Of the side that has fewer."""
        return min(self.seeds_a, self.seeds_b)

    @property
    def covers(self) -> str:
        """What the interval covers."""
        if self.seeds > 1:
            return "images and seeds"
        if self.pooled_sd is not None:
            return f"images and seeds, a single seed's by the others' deviation of {self.pooled_sd:.2f}"
        return "images alone: one seed" if max(self.seeds_a, self.seeds_b) == 1 else "images, and seeds of one side alone"

    @property
    def settles(self) -> str:
        """What would settle an open one if its difference stays.

        The squared half-width of an interval is the sum of what images and what seeds add; more seeds make the latter fall as one
        over their number. A bootstrap over n seeds shows (n - 1) / n of it (Efron and Tibshirani, 5.3).
        """
        if self.verdict != OPEN or self.difference is None or self.images_low is None or self.images_high is None:
            return ""
        images, wanted = ((self.images_high - self.images_low) / 2) ** 2, self.difference**2
        if images >= wanted:
            return _more_images(images, wanted, self.images)
        if self.seeds < 2:
            return "more than one seed of both sides: with one, the spread is not known"
        assert self.high is not None
        assert self.low is not None
        shown = max(((self.high - self.low) / 2) ** 2 - images, 0.0)
        needed = max(math.ceil(shown * self.seeds**2 / (self.seeds - 1) / (wanted - images)), self.seeds + 1)
        if needed > MOST_TIMES * self.seeds:
            return f"more than {MOST_TIMES * self.seeds} seeds of both sides: as good as no difference"
        return f"about {needed} seeds of both sides, if difference and spread stay"


def _more_images(images: float, wanted: float, count: int) -> str:
    """No number of seeds settles what the images leave open; their part falls as one over their number."""
    times = images / wanted if wanted else math.inf
    if times > MOST_TIMES:
        return f"not more seeds, but more than {MOST_TIMES} times the {count} test images: as good as no difference"
    return f"not more seeds alone: more than {math.ceil(times * count)} test images, where there are {count}"


@dataclass(frozen=True)
class Claim:
    """A claim of the paper and what was found of it."""

    key: str
    text: str
    findings: tuple[Finding, ...]

    @property
    def comparisons(self) -> dict[tuple[str, str, str], str]:
        """The verdict of each comparison: it fails where one of its tasks does, and holds where all do."""
        return _of_comparisons((finding.comparison, finding.verdict) for finding in self.findings)

    @property
    def verdict(self) -> str:
        """All comparisons together."""
        return _together(self.comparisons.values())

    @property
    def corrected(self) -> str:
        """The same with each finding's verdict corrected for how many findings there are."""
        return _together(_of_comparisons((finding.comparison, finding.corrected) for finding in self.findings).values())

    @property
    def powers(self) -> list[float]:
        """How probable each finding that was run would have shown the paper's effect, where the paper prints it."""
        return [finding.power for finding in self.findings if finding.power is not None]

    @property
    def basis(self) -> str:
        """How many comparisons the verdict rests on, and on how many seeds."""
        verdicts = self.comparisons
        run = {finding.comparison: finding.seeds for finding in self.findings if finding.verdict != NOT_RUN}
        if not run:
            return "none of its comparisons was run"
        single = sum(seeds < 2 for seeds in run.values())
        counts = {verdict: list(verdicts.values()).count(verdict) for verdict in (HOLDS, FAILS, OPEN)}
        told = ", ".join(f"{count} {verdict if count == 1 else SEVERAL[verdict]}" for verdict, count in counts.items() if count)
        text = f"{len(run)} of {len(verdicts)} comparison{'s' if len(verdicts) > 1 else ''} run: {told}"
        return f"{text}; {single} with a single seed on a side" if single else text


def _of_comparisons(found: Iterable[tuple[tuple[str, str, str], str]]) -> dict[tuple[str, str, str], str]:
    verdicts: dict[tuple[str, str, str], set[str]] = {}
    for comparison, verdict in found:
        verdicts.setdefault(comparison, set()).add(verdict)
    return {key: next(v for v in (NOT_RUN, FAILS, OPEN, HOLDS) if v in several) for key, several in verdicts.items()}


def _together(verdicts: Iterable[str]) -> str:
    judged = set(verdicts) - {NOT_RUN}
    if not judged:
        return NOT_RUN
    if len(judged) == 1:
        return judged.pop()
    return FAILS if HOLDS not in judged else MIXED
