"""Prints the SBOM of one function, made from the output of cargo-cyclonedx.

    cargo tree --package FUNCTION … | python3 .ci/supply-chain-sbom.py FUNCTION SBOM Cargo.lock >FUNCTION.cdx.json
    python3 .ci/supply-chain-sbom.py --self-test

cargo-cyclonedx uses `cargo metadata`, which enables every feature that any workspace member needs, tests included. Its SBOM lists
crates that are not in the function, and scanners would report them. This keeps only the crates that `cargo tree` lists for the
function. It fails unless those are complete, have the versions and checksums of Cargo.lock, and each have a licence.
"""

import json
import sys
import tomllib

Package = tuple[str, str]


def built(tree: str) -> set[Package]:
    """Parses lines such as `serde v1.0.0` and `annals-core v0.1.0 (/path)`."""
    return {(name, version.removeprefix("v")) for name, version, *_ in (line.split() for line in tree.splitlines() if line)}


def locked(lock: str) -> dict[Package, str | None]:
    """The checksum of each package; `None` for members of the workspace."""
    return {(one["name"], one["version"]): one.get("checksum") for one in tomllib.loads(lock)["package"]}


def reduced(sbom: dict, function: str, packages: set[Package]) -> dict:
    """The SBOM with only these packages, and without paths of the machine that built it."""
    own = sbom["metadata"]["component"]
    names = {own["bom-ref"]: function}
    components = []
    for component in sbom["components"]:
        if (component["name"], component["version"]) not in packages:
            continue
        reference = component["bom-ref"]
        if reference.startswith("path+"):
            component["purl"] = f"pkg:cargo/{component['name']}@{component['version']}"
        names[reference] = component["purl"]
        components.append({**component, "bom-ref": component["purl"]})
    metadata = {
        "tools": sbom["metadata"]["tools"],
        "component": {
            "type": "application",
            "bom-ref": function,
            "name": function,
            "version": own["version"],
            "licenses": own["licenses"],
        },
        "properties": sbom["metadata"]["properties"],
    }
    dependencies = [
        {"ref": names[one["ref"]], "dependsOn": sorted(names[on] for on in one.get("dependsOn", []) if on in names)}
        for one in sbom["dependencies"]
        if one["ref"] in names
    ]
    return {**sbom, "metadata": metadata, "components": components, "dependencies": dependencies}


def faults(sbom: dict, packages: set[Package], checksums: dict[Package, str | None]) -> list[str]:
    found = []
    listed = {(one["name"], one["version"]): one for one in sbom["components"]}
    own = sbom["metadata"]["component"]
    expected = packages - {(own["name"], own["version"])}
    found += [f"{name} {version} is built in but not listed" for name, version in sorted(expected - listed.keys())]
    found += [f"{name} {version} is listed but not built in" for name, version in sorted(listed.keys() - expected)]
    for package, component in sorted(listed.items()):
        if package not in checksums:
            found.append(f"{' '.join(package)} is not in Cargo.lock")
        hashes = [one["content"] for one in component.get("hashes", []) if one["alg"] == "SHA-256"]
        if hashes != [checksum for checksum in [checksums.get(package)] if checksum]:
            found.append(f"{' '.join(package)} has a different checksum in Cargo.lock")
        if not component.get("licenses"):
            found.append(f"{' '.join(package)} has no licence")
    if "path+" in (text := json.dumps(sbom)) or "file:" in text:
        found.append("it contains a path of this machine")
    return found


def self_test() -> None:
    def component(name: str, **more: object) -> dict:
        return {"name": name, "version": "1.0.0", "bom-ref": name, "purl": name, "licenses": ["MIT"], **more}

    hashed = [{"alg": "SHA-256", "content": "ab"}]
    whole = {
        "metadata": {
            "component": component("f", **{"bom-ref": "path+file:///x#f"}),
            "tools": [],
            "properties": [],
        },
        "components": [component("a", hashes=hashed), component("b", **{"bom-ref": "path+file:///x#b"}), component("c")],
        "dependencies": [{"ref": "path+file:///x#f", "dependsOn": ["c", "a"]}, {"ref": "c"}],
    }
    packages = built("f v1.0.0 (/x)\na v1.0.0\nb v1.0.0 (/x)\na v1.0.0 (*)\n")
    checksums: dict[Package, str | None] = {("a", "1.0.0"): "ab", ("b", "1.0.0"): None}
    sbom = reduced(whole, "f", packages)
    assert [one["name"] for one in sbom["components"]] == ["a", "b"], sbom
    assert sbom["dependencies"] == [{"ref": "f", "dependsOn": ["a"]}], sbom
    assert faults(sbom, packages, checksums) == []
    assert faults(sbom, packages | {("d", "1.0.0")}, checksums) == ["d 1.0.0 is built in but not listed"]
    assert faults(sbom, packages - {("a", "1.0.0")}, checksums) == ["a 1.0.0 is listed but not built in"]
    assert faults(sbom, packages, {**checksums, ("a", "1.0.0"): "cd"}) == ["a 1.0.0 has a different checksum in Cargo.lock"]
    assert "b 1.0.0 is not in Cargo.lock" in faults(sbom, packages, {("a", "1.0.0"): "ab"})


def main() -> None:
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    function, sbom, lock = sys.argv[1:]
    packages = built(sys.stdin.read())
    with open(sbom, encoding="utf-8") as file:
        result = reduced(json.load(file), function, packages)
    with open(lock, encoding="utf-8") as file:
        found = faults(result, packages, locked(file.read()))
    if found:
        sys.exit("\n".join([f"the SBOM of {function}:", *found]))
    json.dump(result, sys.stdout, indent=1, sort_keys=True)
    print(f"{function}: {len(result['components'])} components", file=sys.stderr)


main()
