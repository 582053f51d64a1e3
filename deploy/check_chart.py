"""Lints the Helm chart, renders it and holds what comes out against Kubernetes' schemas.

    check_chart.py DIR      writes the config files that the chart makes to DIR
"""

import pathlib
import sys

import helm_python as helm
import kubernetes_validate
import yaml

CHART = pathlib.Path(__file__).parent / "helm/tidecast"
# The oldest Kubernetes that the chart is for (Chart.yaml), and a recent one.
KUBERNETES = ("1.27", "1.35")
# Kinds of operators, whose schemas Kubernetes does not ship.
FOREIGN = {"ServiceMonitor"}
FULL = helm.values_from_yaml((CHART / "ci/full-values.yaml").read_text())
# What the values' schema must refuse.
WRONG = (
    {"replicas": "many"},
    {"replica": 2},
    {"config": {"kafka": {"brokers": ""}}},
    {"config": {"kafka": {"instance": "mine"}}},
    {"config": {"http": {"listen": "127.0.0.1:1"}}},
    {"config": {"store": {"url": "s3://bucket"}}},
    {"store": {"url": "/var/lib/tidecast"}},
    {"store": {"secret": ["s3"]}},
    {"persistence": {"size": "large"}},
    {"livenessProbe": {"path": "/"}},
)
# What the templates must refuse.
WRONG_TOGETHER = (
    {"terminationGracePeriodSeconds": 20},
    {"terminationGracePeriodSeconds": 90, "config": {"daemon": {"stop_timeout": "2m"}}},
    {"store": {"properties": {"aws_region": "eu-west-3"}}},
)
SEVERITY_WARNING = 2

faults = []


def check(name, values, out):
    report = helm.lint(CHART, values, strict=True)
    for message in report["messages"]:
        if message["severity"] >= SEVERITY_WARNING:
            faults.append(f"{name}: lint: {message['path']}: {message['error']}")
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        rendered = chart.render(values, name="lint", namespace="default")
    kinds = []
    for path, text in rendered.items():
        if path.endswith("NOTES.txt"):
            continue
        for manifest in filter(None, yaml.safe_load_all(text)):
            kinds.append(manifest["kind"])
            if manifest["kind"] == "ConfigMap":
                (out / f"{name}.yaml").write_text(manifest["data"]["tidecast.yaml"])
            if manifest["kind"] == "StatefulSet":
                check_volumes(name, manifest["spec"])
            if manifest["kind"] in FOREIGN:
                continue
            for version in KUBERNETES:
                try:
                    kubernetes_validate.validate(manifest, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    where = ".".join(str(part) for part in error.path)
                    faults.append(f"{name}: {path} in Kubernetes {version}: {where}: {error.message}")
    print(f"{name}: {', '.join(sorted(kinds))}")


def check_volumes(name, spec):
    """What is mounted must be there: no schema sees that."""
    pod = spec["template"]["spec"]
    there = {volume["name"] for volume in pod["volumes"]}
    there |= {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
    mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
    if there != mounted:
        faults.append(f"{name}: volumes {sorted(there)}, but mounts {sorted(mounted)}")


def refuse(values):
    with helm.Chart.load(CHART) as chart:
        try:
            chart.validate_schema(values)
        except helm.HelmValuesError:
            return
    faults.append(f"values.schema.json lets {values} pass")


def refuse_together(values):
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        try:
            chart.render(values, name="lint", namespace="default")
        except helm.HelmRenderError:
            return
    faults.append(f"the templates let {values} pass")


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    check("default", {}, out)
    check("no-volume", {"persistence": {"enabled": False}, "podDisruptionBudget": {"enabled": False}}, out)
    check("one-claim", {"replicas": 3, "persistence": {"existingClaim": "shared"}}, out)
    check("full", FULL, out)
    for values in WRONG:
        refuse(values)
    for values in WRONG_TOGETHER:
        refuse_together(values)
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
