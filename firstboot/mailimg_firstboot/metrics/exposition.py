"""Prometheus' text format, version 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).

Written here and not by prometheus_client, whose last version for Python 3.6 is 0.17.1: importing it takes 65 to 90 ms
of processor time, every half minute, where a whole collection takes about 100; and the images would need another
library, for a format of three kinds of lines. Its parser reads what is written here: tests/lint/test_metrics.py.
"""

from typing import Dict, List, NamedTuple, Tuple

from mailimg_firstboot.metrics.catalogue import BY_NAME, METRICS


class Sample(NamedTuple):
    """A figure: a metric of the catalogue, label values in the order of its labels, and the value."""

    name: str
    labels: Tuple[str, ...]
    value: float


class Samples:
    """What a collector found. Whatever the catalogue does not know is a defect of the collector, and its alone."""

    def __init__(self) -> None:
        self.found: List[Sample] = []

    def add(self, name: str, value: float, **labels: str) -> None:
        """One figure; `name` without the prefix.

        Raises:
            KeyError: the catalogue has no such metric, or it has other labels.
        """
        metric = BY_NAME["mailimg_" + name]
        if set(labels) != set(metric.labels):
            raise KeyError("{} has the labels {}".format(metric.name, ", ".join(metric.labels)))
        self.found.append(Sample(metric.name, tuple(labels[label] for label in metric.labels), float(value)))


def render(samples: List[Sample]) -> str:
    """All samples as text, in the order of the catalogue; of two for the same labels the last counts."""
    lines = []
    for metric in METRICS:
        mine: Dict[Tuple[str, ...], float] = {one.labels: one.value for one in samples if one.name == metric.name}
        if not mine:
            continue
        lines.append("# HELP {} {}".format(metric.name, metric.help.replace("\\", "\\\\").replace("\n", "\\n")))
        lines.append("# TYPE {} {}".format(metric.name, metric.kind))
        for labels in sorted(mine):
            pairs = ",".join('{}="{}"'.format(label, _escaped(labels[index]))
                             for index, label in enumerate(metric.labels))
            lines.append("{}{} {}".format(metric.name, "{" + pairs + "}" if pairs else "", _number(mine[labels])))
    return "".join(line + "\n" for line in lines)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    # The shortest text that reads as the same number; whole ones without a fraction, for people.
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
