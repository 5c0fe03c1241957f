"""Scores runs against what was injected, and prints the confusion matrix."""
import collections
import json

import contract


class Matrix:
    def __init__(self, faults):
        self.faults, self.runs = faults, collections.defaultdict(list)

    def add(self, fault, run, reports=None):
        score = Score(fault, run)
        self.runs[fault.name].append(score)
        print(score, flush=True)
        if reports:
            reports.mkdir(parents=True, exist_ok=True)
            (reports / f'{fault.name.replace("/", "_").replace(" ", "")}.json').write_text(run.stdout)

    @property
    def failed(self):
        return int(any(score.wrong for scores in self.runs.values() for score in scores))

    def totals(self):
        scores = [score for scores in self.runs.values() for score in scores]
        wrong = [score for score in scores if score.wrong]
        return f'{len(scores)} runs, {len(wrong)} not as they should be'


class Score:
    """One run: what was reported, and everything that is wrong with it."""

    def __init__(self, fault, run):
        self.fault, self.run, self.wrong, self.findings = fault, run, [], []
        try:
            report = run.report
        except ValueError:
            self.wrong.append(f'no report: {run.stderr[-300:]}')
            return
        self.findings = [(finding['cause'], finding['confidence']) for finding in report['findings']]
        self.causes = [cause for cause, _ in self.findings]
        excluded = [ruled_out['cause'] for ruled_out in report['ruled_out']]
        self.wrong += contract.departures(run.stdout)
        injected = fault.causes
        if not injected:
            if self.findings or run.exit_code:
                self.wrong.append(f'ALARM: exit {run.exit_code}')
            return
        self.wrong += [f'RULED OUT: {cause}' for cause in injected if cause in excluded]
        self.wrong += [f'WRONGLY CERTAIN: {cause}' for cause, confidence in self.findings
                       if confidence == 'certain' and cause not in injected]
        self.wrong += [f'NOT LISTED: {cause}' for cause in injected if cause not in self.causes]
        if not fault.last and self.causes and self.causes[0] not in injected:
            self.wrong.append(f'first is {self.causes[0]}')

    @property
    def first(self):
        return self.findings[0][0] if self.findings else 'none'

    def __str__(self):
        said = ', '.join(f'{cause} ({confidence})' for cause, confidence in self.findings) or 'no finding'
        mark = '✗' if self.wrong else '✓'
        return f'{mark} {self.fault.name}: exit {self.run.exit_code} {self.run.seconds:.1f} s: {said}' + ''.join(f'\n      {wrong}' for wrong in self.wrong)
