"""Renders deploy/kubernetes and deploy/helm with the real kustomize and helm, and checks the objects: the two agree,
Kubernetes' own types accept them, and what they name exists."""
import copy
import json
import os
import re
import subprocess

import yaml

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOLS = os.path.join(TOP, "third_party", "kubernetes-tools")
KUSTOMIZE = os.path.join(TOP, "deploy", "kubernetes")
CHART = os.path.join(TOP, "deploy", "helm", "weft")
# name: (folder of kustomize, namespace, arguments of helm)
VARIANTS = {
    "base": ("base", None, []),
    "dev": ("overlays/dev", "weft-dev", ["-f", "values-dev.yaml", "--set-file",
                                         f"config={KUSTOMIZE}/overlays/dev/weft.yaml"]),
    "production": ("overlays/production", "weft", ["-f", "values-production.yaml", "--set-file",
                                                   f"config={KUSTOMIZE}/overlays/production/weft.yaml"]),
    "spot": ("overlays/spot", "weft", ["-f", "values-production.yaml", "-f", "values-spot.yaml", "--set-file",
                                       f"config={KUSTOMIZE}/overlays/production/weft.yaml"]),
}
TYPES = {"ServiceAccount": "core/v1", "Service": "core/v1", "ConfigMap": "core/v1", "PersistentVolumeClaim": "core/v1",
         "NetworkPolicy": "networking.k8s.io/v1", "StatefulSet": "apps/v1", "Deployment": "apps/v1", "Job": "batch/v1",
         "HorizontalPodAutoscaler": "autoscaling/v2", "PodDisruptionBudget": "policy/v1"}


class Failed(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failed(text)


def run(words, **options):
    done = subprocess.run(words, capture_output=True, text=True, **options)
    check(done.returncode == 0, f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def by_name(text):
    objects = [o for o in yaml.safe_load_all(text) if o]
    out = {(o["kind"], o["metadata"]["name"]): o for o in objects}
    check(len(out) == len(objects), "two objects have one name")
    return out


def render_kustomize(variant):
    return by_name(run([f"{TOOLS}/kubectl/kubectl", "kustomize", os.path.join(KUSTOMIZE, VARIANTS[variant][0])]))


def render_helm(variant):
    _, namespace, options = VARIANTS[variant]
    return by_name(run([f"{TOOLS}/helm/helm", "template", "weft", ".", "--namespace", namespace or "weft"] + options,
                       cwd=CHART))


def normal(objects, keep_namespace):
    """What both tools add on their own is left out: the hash in a ConfigMap's name (kustomize), the checksum in an
    annotation (helm), a readOnly that is false, and the order of volumes."""
    text = json.dumps([o for _, o in sorted(copy.deepcopy(objects).items())])
    text = re.sub(r'"weft-config-[a-z0-9]{10}"', '"weft-config"', text)
    out = json.loads(text)
    for o in out:
        if not keep_namespace:
            o["metadata"].pop("namespace", None)
        template = o.get("spec", {}).get("template", {})
        template.get("metadata", {}).get("annotations", {}).pop("checksum/config", None)
        template.get("spec", {}).get("volumes", []).sort(key=lambda v: v["name"])
        for volume in template.get("spec", {}).get("volumes", []):
            claim = volume.get("persistentVolumeClaim", {})
            if claim.get("readOnly") is False:
                del claim["readOnly"]
    return {(o["kind"], o["metadata"]["name"]): o for o in out}


def differences(a, b, path=""):
    if isinstance(a, dict) and isinstance(b, dict):
        for k in sorted(set(a) | set(b)):
            yield from differences(a.get(k), b.get(k), f"{path}.{k}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b)):
            yield from differences(x, y, f"{path}[{i}]")
    elif a != b:
        yield f"{path}: {json.dumps(a)} and {json.dumps(b)}"


def check_same(variant):
    has_namespace = VARIANTS[variant][1] is not None
    a, b = (normal(x, has_namespace) for x in (render_kustomize(variant), render_helm(variant)))
    check(set(a) == set(b), f"{variant}: kustomize and helm have other objects: {set(a) ^ set(b)}")
    found = [f"{k[0]} {k[1]}{d}" for k in sorted(a) for d in differences(a[k], b[k])]
    check(not found, f"{variant}: kustomize and helm differ:\n" + "\n".join(found))


def typescript(objects):
    lines, imported = [], set()
    for i, ((kind, _), o) in enumerate(sorted(objects.items())):
        check(kind in TYPES, f"{kind}: which type is it?")
        if kind not in imported:
            module = "core/v1" if TYPES[kind] == "core/v1" else TYPES[kind].replace(".k8s.io", "")
            lines.insert(0, f"import {{ {kind} }} from 'kubernetes-types/{module}';")
            imported.add(kind)
        lines.append(f"export const o{i}: {kind} = {json.dumps(o, indent=1)};")
    return "\n".join(lines)


def check_types(files, folder):
    """The compiler knows every field of every object: a misspelt one is an error, as is a wrong type.
    files: name -> objects."""
    for name, objects in files.items():
        with open(os.path.join(folder, name + ".ts"), "w", encoding="utf-8") as f:
            f.write(typescript(objects))
    link = os.path.join(folder, "node_modules")
    if not os.path.islink(link):
        os.symlink(os.path.join(TOOLS, "node_modules"), link)
    return subprocess.run(["node", f"{TOOLS}/node_modules/typescript/lib/tsc.js", "--noEmit", "--strict",
                           "--skipLibCheck", "--moduleResolution", "node"] + [name + ".ts" for name in files],
                          cwd=folder, capture_output=True, text=True)


def pods(objects):
    for (kind, name), o in sorted(objects.items()):
        if kind in ("StatefulSet", "Deployment", "Job"):
            yield kind, name, o, o["spec"]["template"]["spec"]


def containers(spec):
    return spec.get("initContainers", []) + spec["containers"]


def check_pod(objects, name, spec):
    sec = spec["securityContext"]
    check(sec["runAsNonRoot"] and sec["runAsUser"] and sec["seccompProfile"]["type"] == "RuntimeDefault",
          f"{name}: it may be root")
    check(spec["automountServiceAccountToken"] is False, f"{name}: it has a token of the API server")
    volumes = {v["name"]: v for v in spec.get("volumes", [])}
    for c in containers(spec):
        s = c["securityContext"]
        check(s["readOnlyRootFilesystem"] and not s["allowPrivilegeEscalation"] and s["capabilities"]["drop"] == ["ALL"],
              f"{name}/{c['name']}: not read-only, or with capabilities")
        check(c["resources"]["requests"]["memory"] == c["resources"]["limits"]["memory"],
              f"{name}/{c['name']}: its memory may be taken away")
        claimed = set(volumes) | {t["metadata"]["name"] for o in objects.values()
                                  for t in o.get("spec", {}).get("volumeClaimTemplates", [])}
        for m in c.get("volumeMounts", []):
            check(m["name"] in claimed, f"{name}/{c['name']}: no volume {m['name']}")
    for v in volumes.values():
        claim = v.get("persistentVolumeClaim")
        check(not claim or ("PersistentVolumeClaim", claim["claimName"]) in objects, f"{name}: no claim for {v['name']}")
        check("configMap" not in v or ("ConfigMap", v["configMap"]["name"]) in objects, f"{name}: no ConfigMap")


def check_probes(name, spec, config):
    for c in spec["containers"]:
        ports = {p["name"]: p["containerPort"] for p in c.get("ports", [])}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            check(probe in c, f"{name}: no {probe}")
            check(c[probe]["httpGet"]["path"] in ("/healthz", "/readyz"), f"{name}: {probe} asks something else")
        check(ports[c["livenessProbe"]["httpGet"]["port"]] == port_of(config["http"]["process_bind"]),
              f"{name}: its probes are at another port")


def port_of(address):
    return int(address.rsplit(":", 1)[1])


def argument(spec, option):
    values = [a.split("=", 1)[1] for c in spec["containers"] for a in c["args"] if a.startswith(option + "=")]
    check(len(values) == 1, f"{option} is given {len(values)} times")
    return values[0]


def check_config(objects, weft, folder):
    maps = [o for (kind, _), o in objects.items() if kind == "ConfigMap"]
    check(len(maps) == 1, "one ConfigMap")
    path = os.path.join(folder, "weft.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(maps[0]["data"]["weft.yaml"])
    run([weft, "config", "-c", path])
    return yaml.safe_load(maps[0]["data"]["weft.yaml"])


def check_numbers(objects, config):
    """What is said twice is the same: replicas, ports."""
    scheduler = objects["StatefulSet", "weft-scheduler"]["spec"]["template"]["spec"]
    for role, option in (("weft-ps", "--servers"), ("weft-sampler", "--samplers")):
        replicas = objects["StatefulSet", role]["spec"]["replicas"]
        check(str(replicas) == argument(scheduler, option), f"{role}: {replicas} replicas, {option} says otherwise")
        ports = {p["name"]: p["port"] for p in objects["Service", role]["spec"]["ports"]}
        check(ports["weft"] == config["cluster"]["port"], f"{role}: another port than cluster.port")
    host, port = config["cluster"]["scheduler"].removeprefix("tcp://").split(":")
    service = objects["Service", host]
    check({p["name"]: p["port"] for p in service["spec"]["ports"]} ==
          {"weft": int(port), "http": port_of(config["http"]["bind"])}, "the scheduler's ports")
    policy = objects["NetworkPolicy", "weft"]["spec"]["ingress"][0]["ports"]
    check({p["port"] for p in policy} == {int(port), port_of(config["http"]["bind"]), config["cluster"]["port"]},
          "the network policy lets other ports in")
    worker = objects["Deployment", "weft-worker"]["spec"]["template"]["spec"]
    check(argument(worker, "--scheduler") == config["cluster"]["scheduler"], "workers call another scheduler")
    check(argument(worker, "--http") == config["http"]["process_bind"], "workers have their probes elsewhere")


def check_variant(variant, bin_dir, folder):
    objects = render_kustomize(variant)
    config = check_config(objects, os.path.join(bin_dir, "weft"), folder)
    check_numbers(objects, config)
    for kind, name, _, spec in pods(objects):
        check_pod(objects, name, spec)
        if kind != "Job":
            check_probes(name, spec, config)
        for c in containers(spec):
            check(os.access(os.path.join(bin_dir, c["command"][0]), os.X_OK), f"{name}: no program {c['command'][0]}")
    check_same(variant)
    return objects


def check_all(bin_dir, folder):
    """All variants: name -> objects.  A field that Kubernetes does not know is seen, too."""
    rendered = {v: check_variant(v, bin_dir, folder) for v in VARIANTS}
    done = check_types(rendered, folder)
    check(done.returncode == 0, f"not Kubernetes' types:\n{done.stdout}")
    broken = copy.deepcopy(rendered["base"])
    broken["Deployment", "weft-worker"]["spec"]["template"]["spec"]["containers"][0]["porz"] = []
    done = check_types({"broken": broken}, folder)
    check(done.returncode != 0 and "porz" in done.stdout, "a field that Kubernetes does not know was accepted")
    return rendered
