"""Packs built functions into a release that is deployed without Rust:

    python .ci/release.py FOLDER ARCHITECTURE=BUILDS… [--sbom FOLDER]
    python .ci/release.py --application FOLDER ARCHITECTURE OUTPUT

BUILDS has the executable of each function as NAME/bootstrap: what `cargo lambda build` writes to target/lambda, or `sam build` to
.aws-sam/build. Writes to FOLDER:

    template.yaml           template.yaml of the repository, whose functions are zips in a bucket (parameter CodeBucket)
    ARCHITECTURE/NAME.zip   a function for arm64 or x86_64
    sbom/NAME.cdx.json      what is built into a function
    provenance.json         what was built from what: an in-toto statement with SLSA's predicate, to be signed by whoever publishes
    SHA256SUMS              the checksums of all of these
    ../FOLDER.tar.gz        all of it

The same builds of the same commit give the same bytes: no file has a time, an owner or a path of this machine. With --application,
writes a template for the Serverless Application Repository from such a folder, beside the zips of one architecture.

Runs with the Python of the SAM CLI, whose reader knows CloudFormation's YAML.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from samcli.yamlhelper import yaml_dump, yaml_parse

ROOT = Path(__file__).resolve().parent.parent
BUILD_TYPE = "urn:annals:release" # CONTRIBUTING.md, "Release"
MACHINES = {"x86_64": 0x3E, "arm64": 0xB7}  # e_machine of an ELF file
FUNCTION = "AWS::Serverless::Function"
MATERIALS = ["Cargo.lock", "rust-toolchain.toml", ".ci/requirements-build.txt", "template.yaml"]
CODE_BUCKET = {
    "Type": "String",
    "AllowedPattern": "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
    "ConstraintDescription": "must be the name of a bucket",
    "Description": "Bucket with the zips of the functions, in the region of the stack, below the name of the release.",
}


def fail(why):
    sys.exit(f"release: {why}")


def read_template():
    return yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))


def version(template):
    return template["Metadata"]["AWS::ServerlessRepo::Application"]["SemanticVersion"]


def binaries(template):
    """The executable of each function of the template."""
    functions = {name: one for name, one in template["Resources"].items() if one["Type"] == FUNCTION}
    return {name: one["Metadata"]["BuildProperties"]["Binary"] for name, one in functions.items()}


def executable(builds, binary, functions):
    """The executable in the folder of cargo-lambda or of SAM, which names a folder after one of the functions."""
    names = [binary, *(name for function in functions for name in (function, f"{function}-Shared"))]
    found = [builds / name / "bootstrap" for name in names if (builds / name / "bootstrap").is_file()]
    if len(found) != 1:
        fail(f"{len(found)} executables of {binary} in {builds}")
    return found[0].read_bytes()


def zipped(content):
    """A zip with the executable, without a time."""
    entry = zipfile.ZipInfo("bootstrap", date_time=(1980, 1, 1, 0, 0, 0))
    entry.create_system = 3  # Unix, so that the mode counts
    entry.external_attr = 0o100755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, content, compresslevel=9)
    return buffer.getvalue()


def release_template(template, name, architectures):
    """The template of a release."""
    built = binaries(template)
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    groups.insert(0, {"Label": {"default": "Code"}, "Parameters": ["CodeBucket"]})
    del template["Metadata"]["AWS::ServerlessRepo::Application"]  # names files that are not beside it
    template["Parameters"] = {"CodeBucket": CODE_BUCKET, **template["Parameters"]}
    restrict(template, architectures)
    for logical, binary in built.items():
        function = template["Resources"][logical]
        del function["Metadata"]
        # The name has the version: a function is updated only if its key changes.
        key = {"Fn::Sub": f"{name}/${{Architecture}}/{binary}.zip"}
        function["Properties"]["CodeUri"] = {"Bucket": {"Ref": "CodeBucket"}, "Key": key}
    return yaml_dump(template)


def restrict(template, architectures):
    """Leaves the architectures that are packed."""
    parameter = template["Parameters"]["Architecture"]
    allowed = [one for one in parameter["AllowedValues"] if one in architectures]
    default = parameter["Default"] if parameter["Default"] in allowed else allowed[0]
    parameter.update(AllowedValues=allowed, Default=default, Description="Processor architecture of the functions.")


def application_template(template, architecture):
    """The template for the Serverless Application Repository: `sam package` uploads the zips that it names."""
    built = binaries(template)
    restrict(template, [architecture])
    about = template["Metadata"]["AWS::ServerlessRepo::Application"]
    about["LicenseUrl"], about["ReadmeUrl"] = (os.fspath(ROOT / name) for name in ("LICENSE", "README.md"))
    if architecture != "arm64":
        about["Name"] += f"-{architecture.replace('_', '-')}"
    for name, binary in built.items():
        function = template["Resources"][name]
        del function["Metadata"]
        function["Properties"]["CodeUri"] = f"{architecture}/{binary}.zip"
    return yaml_dump(template)


def commit():
    if "ANNALS_COMMIT" in os.environ:
        return os.environ["ANNALS_COMMIT"]
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, text=True, capture_output=True).stdout.strip()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def provenance(files, architectures, name):
    """What was built from what: an in-toto statement (v1) with SLSA's provenance (v1)."""
    materials = [{"uri": path, "digest": {"sha256": sha256((ROOT / path).read_bytes())}} for path in MATERIALS]
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": path, "digest": {"sha256": sha256(content)}} for path, content in sorted(files.items())],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"release": name, "commit": commit(), "architectures": sorted(architectures)},
                "resolvedDependencies": [{"uri": "git+.", "digest": {"gitCommit": commit()}}, *materials],
            },
            "runDetails": {"builder": {"id": BUILD_TYPE}},
        },
    }
    return json.dumps(statement, indent=1).encode() + b"\n"


def tarred(name, files):
    """A compressed archive without times and owners."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as compressed, \
            tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def pack(folder, builds, sboms):
    template = read_template()
    binary_functions = {}
    for function, binary in binaries(template).items():
        binary_functions.setdefault(binary, []).append(function)
    files = {}
    for architecture, source in builds.items():
        for binary, functions in binary_functions.items():
            content = executable(source, binary, functions)
            if content[:4] != b"\x7fELF" or int.from_bytes(content[18:20], "little") != MACHINES[architecture]:
                fail(f"{binary} in {source} is not built for {architecture}")
            files[f"{architecture}/{binary}.zip"] = zipped(content)
    if sboms:
        for binary in binary_functions:
            files[f"sbom/{binary}.cdx.json"] = (sboms / f"{binary}.cdx.json").read_bytes()
    files["template.yaml"] = release_template(template, folder.name, builds).encode()
    files["provenance.json"] = provenance(files, builds, folder.name)
    files["SHA256SUMS"] = "".join(f"{sha256(content)}  {path}\n" for path, content in sorted(files.items())).encode()
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    archive = folder.with_name(f"{folder.name}.tar.gz")
    archive.write_bytes(tarred(folder.name, files))
    print(f"{archive}: {sha256(archive.read_bytes())}, {len(files)} files, {archive.stat().st_size >> 10} KiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="store_true", help="print the version of template.yaml")
    parser.add_argument("--application", action="store_true")
    parser.add_argument("--sbom", type=Path)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("rest", nargs="*")
    given = parser.parse_args()
    if given.version:
        print(version(read_template()))
    elif given.application:
        [architecture, output] = given.rest
        if not (given.folder / architecture).is_dir():
            fail(f"{given.folder} has no zips for {architecture}")
        (given.folder / output).write_text(application_template(read_template(), architecture), encoding="utf-8")
    else:
        builds = dict(re.fullmatch(r"(arm64|x86_64)=(.+)", one).groups() for one in given.rest)
        if not builds:
            fail("no builds are named")
        pack(given.folder, {architecture: Path(source) for architecture, source in builds.items()}, given.sbom)


if __name__ == "__main__":
    main()
