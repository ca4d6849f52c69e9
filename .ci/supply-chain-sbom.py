"""The SBOM of one function, out of what cargo-cyclonedx writes for it.

    cargo tree --package FUNCTION … | python3 .ci/supply-chain-sbom.py FUNCTION SBOM Cargo.lock >FUNCTION.cdx.json
    python3 .ci/supply-chain-sbom.py --self-test

cargo-cyclonedx goes by `cargo metadata`, which turns on every feature that any member of the workspace asks for, tests
included. So it lists what is not in the function; a scanner would warn of it. Here that is left out: what stays is what
`cargo tree` says is built for the function. It ends with an error unless what stays is exactly that, in the versions and
with the checksums of Cargo.lock, and each has a licence.
"""

import json
import sys
import tomllib

Package = tuple[str, str]


def built(tree: str) -> set[Package]:
    """Names and versions: `serde v1.0.0`, `annals-core v0.1.0 (/where/it/is)`."""
    return {(name, version.removeprefix("v")) for name, version, *_ in (line.split() for line in tree.splitlines() if line)}


def locked(lock: str) -> dict[Package, str | None]:
    """The checksum of each package; none for the workspace's own."""
    return {(one["name"], one["version"]): one.get("checksum") for one in tomllib.loads(lock)["package"]}


def reduced(sbom: dict, function: str, packages: set[Package]) -> dict:
    """The SBOM with these packages alone, and without the folders of who built it."""
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
    found += [f"{name} {version} is built in and not listed" for name, version in sorted(expected - listed.keys())]
    found += [f"{name} {version} is listed and not built in" for name, version in sorted(listed.keys() - expected)]
    for package, component in sorted(listed.items()):
        if package not in checksums:
            found.append(f"{' '.join(package)} is not in Cargo.lock")
        hashes = [one["content"] for one in component.get("hashes", []) if one["alg"] == "SHA-256"]
        if hashes != [checksum for checksum in [checksums.get(package)] if checksum]:
            found.append(f"{' '.join(package)} has another checksum in Cargo.lock")
        if not component.get("licenses"):
            found.append(f"{' '.join(package)} has no licence")
    if "path+" in (text := json.dumps(sbom)) or "file:" in text:
        found.append("it names a folder")
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
    assert faults(sbom, packages | {("d", "1.0.0")}, checksums) == ["d 1.0.0 is built in and not listed"]
    assert faults(sbom, packages - {("a", "1.0.0")}, checksums) == ["a 1.0.0 is listed and not built in"]
    assert faults(sbom, packages, {**checksums, ("a", "1.0.0"): "cd"}) == ["a 1.0.0 has another checksum in Cargo.lock"]
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
