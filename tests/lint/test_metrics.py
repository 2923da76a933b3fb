"""What nodes tell Prometheus: names as it wants them, a text that its own client reads, a table in docs/metrics.md."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import yaml
from project import ROOT, below, shown
from prometheus_client.parser import text_string_to_metric_families

from mailimg_firstboot.metrics import collecting
from mailimg_firstboot.metrics.catalogue import COUNTER, GAUGE, METRICS, Metric
from mailimg_firstboot.metrics.exposition import Sample, render

PAGE = ROOT / "docs" / "metrics.md"
# Base units of prometheus.io/docs/practices/naming, and what counts things.
MULTIPLES = re.compile(r"_(milliseconds|minutes|hours|days|ms|kilobytes|kib|mib|megabytes|percent|celsius_f)(_|$)")
ROLES = {path.parent.name for path in below("roles", "role.yaml")}
LABEL = r'(?:\{[a-z_]+=(?:"[^"]*"|~"[^"]*")(?:,[a-z_]+=~?"[^"]*")*\})?'


def row(metric: Metric) -> str:
    """A metric's line of the table."""
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.roles} | {metric.help} |"


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_name(metric: Metric) -> None:
    assert re.fullmatch(r"mailimg(_[a-z0-9]+)+", metric.name)
    assert metric.kind in (GAUGE, COUNTER)
    assert metric.name.endswith("_total") == (metric.kind == COUNTER)
    assert not MULTIPLES.search(metric.name)
    assert not re.search(r"_(counter|gauge|metric)", metric.name)
    if "timestamp" in metric.name:
        assert metric.name.endswith("_timestamp_seconds")
    if re.search(r"_(duration|age|wait)(_|$)", metric.name):
        assert metric.name.endswith("_seconds")
    assert metric.help
    assert not metric.help.endswith(".")
    assert "|" not in metric.help
    assert all(re.fullmatch(r"[a-z]+", label) for label in metric.labels)
    # `le`, `quantile`: Prometheus' own. `job`, `instance`: given by whoever asks the node.
    assert not {"le", "quantile", "job", "instance"} & set(metric.labels)
    assert metric.roles == "every" or set(metric.roles.split(", ")) <= ROLES


def test_each_name_is_there_once() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS) > 50


def test_prometheus_own_client_reads_it() -> None:
    nasty = 'a "quoted" \\ backslash,\nanother line, {braces}="x" # and ümlauts'
    values = [0.0, 1.0, -3.5, 1e-7, 1795378654.481, 6319017984.0, 123456789012345680.0]
    samples = [Sample(metric.name, tuple(f"{nasty}{index}" for _ in metric.labels), values[index % len(values)])
               for index, metric in enumerate(METRICS)]
    read = [(sample, family) for family in text_string_to_metric_families(render(samples)) for sample in family.samples]
    assert len(read) == len(METRICS)
    for (found, family), metric, sample in zip(read, METRICS, samples, strict=True):
        assert (found.name, family.type, family.documentation) == (metric.name, metric.kind, metric.help)
        assert tuple(found.labels[label] for label in metric.labels) == sample.labels
        assert math.isclose(found.value, sample.value, rel_tol=1e-15)


def test_the_page_has_them_all() -> None:
    table = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `mailimg_")]
    wanted = [row(metric) for metric in METRICS]
    assert table == wanted, "the table of docs/metrics.md must read:\n" + "\n".join(wanted)


def test_alerts_name_what_there_is() -> None:
    """Metrics and labels in the documents' alert rules and queries."""
    known = {metric.name: set(metric.labels) for metric in METRICS}
    # Properties of images in Glance, whose names may hold no dot.
    properties = {name for path in below("builder/mailimg/cloud", "*.py")
                  for name in re.findall(r'"(mailimg_[a-z_]+)[0-9]*"', path.read_text(encoding="utf-8"))}
    used = []
    for path in [*below("docs", "*.md"), ROOT / "README.md"]:
        for name, labels in re.findall(rf"\b(mailimg_[a-z_]+)({LABEL})", path.read_text(encoding="utf-8")):
            if "_firstboot" in name or name.startswith(tuple(properties)):
                continue
            used.append(name)
            assert name in known, f"{shown(path)}: there is no {name}"
            assert set(re.findall(r"([a-z]+)=", labels)) <= known[name], f"{shown(path)}: {name}{labels}"
    assert len(used) > len(METRICS)


def test_the_rules_are_rules() -> None:
    (text,) = re.findall(r"```yaml\n(groups:.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (group,) = yaml.safe_load(text)["groups"]
    for rule in group["rules"]:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
    assert len({rule["alert"] for rule in group["rules"]}) == len(group["rules"]) > 10


def test_collectors_are_of_services_that_there_are() -> None:
    """One of a name that no role has would never look at anything."""
    services = {name for path in below("roles", "role.yaml") for name in yaml.safe_load(path.read_text())["services"]}
    assert set(collecting.BY_SERVICE) <= services


def test_the_unit_writes_where_the_page_says() -> None:
    unit = Path(ROOT / "firstboot/systemd/mailimg-metrics.service").read_text(encoding="utf-8")
    (place,) = re.findall(r"^ExecStart=.* --output (\S+)$", unit, re.MULTILINE)
    assert f"`{place}`" in PAGE.read_text(encoding="utf-8")
    hook = (ROOT / "elements/mailimg-agent/install.d/60-mailimg-agent").read_text(encoding="utf-8")
    assert f" {Path(place).parent}\n" in hook
