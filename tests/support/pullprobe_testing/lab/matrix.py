"""Compares runs with the faults that were injected, and prints the confusion matrix."""

import collections
import dataclasses

from pullprobe_testing import report_contract

NO_FINDING = "no finding"
WARNING, INCONCLUSIVE = 4, 3  # exit codes
# Bytes of a report that passes. The usual subnet has interface endpoints in three Availability
# Zones, and an observation for each address.
MAX_PASSING_REPORT = {"healthy/one-zone": 12_000, "healthy/endpoints": 13_000}
COLUMNS = "| fault | injected | first reported | also reported | only in some runs |"
# Further runs of a fault that did not report what the document says: which ports the kernel picks
# and which packets are lost is a matter of luck, and three runs show what is usual.
FURTHER_RUNS = 2


class Matrix:
    """The scores of all runs, by fault."""

    def __init__(self, faults, busy=False):
        self.faults, self.runs = faults, collections.defaultdict(list)
        self.busy = busy  # other processes starve the probe, which may say so

    def add(self, fault, run, reports=None):
        """Scores a run, prints its line, and saves its report in the directory `reports`."""
        score = Score(fault, run, self.busy)
        self.runs[fault.name].append(score)
        print(score, flush=True)
        if reports:
            reports.mkdir(parents=True, exist_ok=True)
            name = fault.name.replace("/", "_").replace(" ", "")
            (reports / f"{name}.json").write_text(run.stdout)

    @property
    def failed(self):
        return int(any(score.errors for scores in self.runs.values() for score in scores))

    def totals(self):
        scores = [score for scores in self.runs.values() for score in scores]
        return f"{len(scores)} runs, {sum(bool(score.errors) for score in scores)} failed"

    def rows(self):
        """Returns the row of each fault that ran."""
        return {
            fault.name: Row.of(fault, self.runs[fault.name])
            for fault in self.faults
            if fault.name in self.runs and not fault.kind
        }

    def write(self, file):
        file.parent.mkdir(exist_ok=True)
        known = read(file) if file.exists() else {}
        rows = {name: row.merged_with(known.get(name)) for name, row in self.rows().items()}
        file.write_text(document(self.faults, rows))

    def odd(self, file):
        """Returns the faults whose runs mostly differ from the document, to be run again."""
        known = read(file) if file.exists() else {}
        return [
            fault
            for fault in self.faults
            if fault.name in known and self.stale_in(fault, known[fault.name])
        ]

    def stale_in(self, fault, known):
        """Returns how most runs of a fault differ from its row: one run alone may be luck."""
        scores = self.runs.get(fault.name, ())
        seen = collections.defaultdict(list)
        for score in scores:
            for difference, text in Row.of(fault, [score]).differences(known).items():
                seen[difference].append(text)
        return [
            " or ".join(dict.fromkeys(texts))
            for texts in seen.values()
            if len(texts) * 2 > len(scores)
        ]

    def check(self, file):
        """Prints the differences between these runs and the document; returns 1 if any."""
        known, new = read(file) if file.exists() else {}, self.rows()
        stale = [f"{name}: not in the document" for name in new if name not in known]
        stale += [f"{name}: no longer a fault" for name in known if name not in new]
        for fault in self.faults:
            if fault.name in known and fault.name in new:
                lines = self.stale_in(fault, known[fault.name])
                stale += [f"{fault.name}: {line}" for line in lines]
        for line in stale:
            print(f"STALE {line}")
        if stale:
            print(f"{file.name} is stale: run tests/lab/run to write it")
        return int(bool(stale))


@dataclasses.dataclass
class Row:
    """One fault of the matrix."""

    injected: list
    firsts: list  # usually one
    always: list  # the other causes, in the order of the report
    sometimes: list

    @classmethod
    def of(cls, fault, scores):
        """Returns the row of a fault: what all of its runs report, and what some of them do."""
        common = set.intersection(*(set(score.causes) for score in scores))
        firsts = sorted({score.first for score in scores})
        order = list(dict.fromkeys(cause for score in scores for cause in score.causes))
        others = [cause for cause in order if firsts != [cause]]
        return cls(
            list(fault.causes),
            firsts,
            [cause for cause in others if cause in common],
            [cause for cause in others if cause not in common],
        )

    def merged_with(self, known):
        """Returns the known row if it already covers this one, so that rare causes stay in it."""
        if known and known.sometimes and not self.differences(known):
            return known
        return self

    def differences(self, known):
        """Returns every way in which these runs contradict the known row, by what it is about."""
        reported = {*self.firsts, *self.always, *self.sometimes} - {NO_FINDING}
        required = {*known.always, *(known.firsts if len(known.firsts) == 1 else ())}
        allowed = {*known.firsts, *known.always, *known.sometimes}
        missing, extra = required - {NO_FINDING} - reported, reported - allowed
        found = {}
        if not set(self.firsts) <= set(known.firsts):
            found["first"] = f"first is {', '.join(self.firsts)}, was {', '.join(known.firsts)}"
        found |= {("missing", cause): f"no longer reports {cause}" for cause in sorted(missing)}
        found |= {("extra", cause): f"also reports {cause}" for cause in sorted(extra)}
        return found

    @property
    def causes(self):
        return {*self.firsts, *self.always, *self.sometimes}

    @property
    def reports_injected(self):
        return set(self.injected) <= {*self.firsts, *self.always}


def document(faults, rows):
    """Returns docs/confusion-matrix.md."""
    by_name = {fault.name: fault for fault in faults}
    single = {name: row for name, row in rows.items() if len(row.injected) == 1}
    pairs = {name: row for name, row in rows.items() if len(row.injected) > 1}
    healthy = {name: row for name, row in rows.items() if not row.injected}
    unique = [name for name in single if not by_name[name].ambiguous]
    first = sum(rows[name].firsts == rows[name].injected for name in unique)
    causes = {row.injected[0] for row in single.values()}
    listed = sum(row.reports_injected for row in single.values())
    alarms = sum(row.firsts != [NO_FINDING] for row in healthy.values())
    lines = [
        "# What is injected, and what is reported",
        "",
        "<!-- Generated by tests/lab/run, checked by tests/lab/run --check. -->",
        "",
        "Every row is one subnet of the lab (`tests/lab/run`): real packets, real servers, one",
        "fault (or two independent ones), and the static binary run inside. nft filters model",
        "security groups and network ACLs; they are not AWS's.",
        "",
        f"- {len(single)} single faults of {len(causes)} causes. "
        f"Packets or responses distinguish {len(unique)} of them from every other fault; the "
        f"injected cause is reported first in **{first}** of these. "
        f"It is among the findings in **{listed} of {len(single)}**.",
        f"- {len(pairs)} pairs of independent faults; both are reported in "
        f"**{sum(row.reports_injected for row in pairs.values())}**.",
        f"- {len(healthy)} healthy variants; **{alarms}** have a finding.",
        "- A run fails the lab if a wrong cause is `certain` or the injected cause is in "
        "`ruled_out`, so this page has no such run.",
        "",
        "## Injected cause × first reported cause",
        "",
        '"Remaining" is the number of causes that the report does not exclude, the true one '
        "included: smallest and largest over the faults.",
        "",
        "| injected | faults | first reported | remaining |",
        "| --- | ---: | --- | ---: |",
    ]
    grid = collections.defaultdict(list)
    for row in single.values():
        grid[row.injected[0]].append(row)
    for injected, group in sorted(grid.items()):
        firsts = collections.Counter(first for row in group for first in row.firsts)
        reported = ", ".join(
            f"{'**' + first + '**' if first == injected else first} {count}"
            for first, count in firsts.most_common()
        )
        sizes = [len(row.causes) for row in group]
        size = str(min(sizes)) if min(sizes) == max(sizes) else f"{min(sizes)}–{max(sizes)}"
        lines.append(f"| {injected} | {len(group)} | {reported} | {size} |")
    reasons = collections.defaultdict(list)
    for name in single:
        if by_name[name].ambiguous:
            reasons[by_name[name].ambiguous].append(f"`{name}`")
    lines += [
        "",
        "## What packets cannot distinguish",
        "",
        "For these faults the injected cause must be reported, not necessarily first.",
        "",
        *(f"- {reason}: {', '.join(names)}" for reason, names in reasons.items()),
    ]
    for title, part in (("Single faults", single), ("Pairs", pairs), ("Healthy variants", healthy)):
        lines += ["", f"## {title}", "", COLUMNS, "| --- | --- | --- | --- | --- |"]
        for name, row in part.items():
            cells = (
                f"`{name}`",
                " + ".join(row.injected),
                " or ".join(row.firsts),
                ", ".join(row.always),
                ", ".join(row.sometimes),
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def saw_failure(report):
    """Whether a phase failed, or passed only when it was tried again."""
    return any(
        observation["outcome"] == "failed"
        or observation.get("attempts", 1) > 1
        or observation.get("tries")
        for observation in report["observations"]
        if observation["dependency"] != "clock"  # its attempts are samples
    )


def read(file):
    """Returns the rows of a document."""
    rows, inside = {}, False
    for line in file.read_text().splitlines():
        inside = line == COLUMNS or inside and line.startswith("|")
        if inside and line.startswith("| `"):
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            separators = (" + ", " or ", ", ", ", ")
            pairs = zip(cells, separators, strict=True)
            rows[name.strip("`")] = Row(*(cell.split(sep) if cell else [] for cell, sep in pairs))
    return rows


class Score:
    """One run: its findings, and everything that is wrong with them."""

    def __init__(self, fault, run, busy=False):
        self.fault, self.run, self.errors, self.findings, self.causes = fault, run, [], [], []
        try:
            report = run.report
        except ValueError:
            self.errors.append(f"no report: {run.stderr[-300:]}")
            return
        self.findings = [
            (finding["cause"], finding["confidence"]) for finding in report["findings"]
        ]
        self.causes = [cause for cause, _ in self.findings]
        self.errors += report_contract.violations(run.stdout)
        # What failed by time while the probe was starved is no evidence of the network.
        starved = any("starvation" in seen for seen in report["observations"])
        if busy and (starved or run.exit_code == INCONCLUSIVE):
            self._check_rules(report)
        elif fault.kind:
            self._check_rules(report)
            self._check_verdict(report)
        elif fault.causes:
            self._check_fault(report)
        elif self.findings or run.exit_code:
            self.errors.append(f"ALARM: exit {run.exit_code}")
        # The report of a starved run keeps what it saw late.
        elif not starved and len(run.stdout) >= MAX_PASSING_REPORT.get(fault.name, 10**6):
            self.errors.append(f"the report has {len(run.stdout)} bytes")

    def _check_rules(self, report):
        """What holds for every run: no wrong cause is certain, and no true one is ruled out."""
        injected = self.fault.causes
        ruled_out = [excluded["cause"] for excluded in report["ruled_out"]]
        # A fault that comes and goes may not have met this run.
        if self.fault.fails or self._met(report):
            self.errors += [f"RULED OUT: {cause}" for cause in injected if cause in ruled_out]
        self.errors += [
            f"WRONGLY CERTAIN: {cause}"
            for cause, confidence in self.findings
            if confidence == "certain" and cause not in (*injected, *self.fault.also)
        ]

    def _met(self, report):
        """Whether a connection of this run met the fault, by the middlebox or by the report."""
        return getattr(self.run, "faults_met", 0) > 0 or saw_failure(report)

    def _check_verdict(self, report):
        """What a fault of judged.py may end with: a failure names one of its causes."""
        fault, code = self.fault, self.run.exit_code
        failed = code not in (0, WARNING, INCONCLUSIVE)
        true = {*fault.causes, *fault.also}
        # What only a spare connection or the delivery of the report met is not in the report.
        if code == 0 and saw_failure(report):
            self.errors.append("a try failed, but the run passes without a finding")
        if fault.starts and failed:
            self.errors.append(f"the task would start, but the exit code is {code}")
        if fault.fails and not fault.starts and code == 0:
            self.errors.append("the task would not start, but the run passes")
        if (failed or fault.fails) and not fault.starts and true and not true & {*self.causes}:
            self.errors.append(f"NOT REPORTED: {' or '.join(sorted(true))}")

    def _check_fault(self, report):
        injected = self.fault.causes
        self._check_rules(report)
        self.errors += [f"NOT REPORTED: {cause}" for cause in injected if cause not in self.causes]
        if self.fault.starts and self.run.exit_code not in (0, 4):
            self.errors.append(f"the task would start, but the exit code is {self.run.exit_code}")
        if not self.fault.ambiguous and self.causes and self.causes[0] not in injected:
            self.errors.append(f"first is {self.causes[0]}")

    @property
    def first(self):
        return self.causes[0] if self.causes else NO_FINDING

    def __str__(self):
        findings = ", ".join(f"{cause} ({confidence})" for cause, confidence in self.findings)
        mark = "✗" if self.errors else "✓"
        run = f"exit {self.run.exit_code} {self.run.seconds:.1f} s"
        errors = "".join(f"\n      {error}" for error in self.errors)
        return f"{mark} {self.fault.name}: {run}: {findings or NO_FINDING}{errors}"
