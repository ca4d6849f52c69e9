"""Checks that the commands people and CI are given exist: python .ci/automation.py

- the justfile parses, and just can expand every recipe
- every command of the justfile, of the workflow and of CONTRIBUTING.md names packages, targets, CI steps and scripts that exist
- the workflows, also those of infra/pipeline, are valid against GitHub's schema, pin every action to a commit, and call files that exist
- shellcheck has no findings in the scripts in .ci and infra/aws-trial, and in the steps of infra/pipeline
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from ruamel.yaml import YAML

TOOLS = Path(sys.executable).parent
WORKFLOW = ".github/workflows/ci.yml"
PIPELINE = ["infra/pipeline/deploy.yml", "infra/pipeline/deploy-stage.yml"]
PROGRAMS = {"bash", "cargo", "curl", "find", "git", "just", "rustup", "sam", "sudo"}
# Options of cargo that name a target of a package, with the target's kind.
TARGETS = {"--test": "test", "--bench": "bench", "--bin": "bin", "--example": "example"}


def run(*command):
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}:\n{done.stdout}")
    return done.stdout


def recipes():
    """The recipes of the justfile, each with the commands that it runs."""
    just = TOOLS / "just"
    dumped = json.loads(run(just, "--dump", "--dump-format", "json"))["recipes"]
    run(just, "--list")
    for name, recipe in dumped.items():
        required = [parameter["name"] for parameter in recipe["parameters"] if parameter["default"] is None]
        yield f"just {name}", run(just, "--dry-run", name, *required)


def fences(path):
    """The shell commands in a Markdown document."""
    for block in re.findall(r"^```sh[^\n]*\n(.*?)^```$", Path(path).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        yield path, block


def steps_of_the_workflow():
    for command in re.findall(r"- run: (.+)$", Path(WORKFLOW).read_text(encoding="utf-8"), re.MULTILINE):
        yield WORKFLOW, command


def commands(script):
    """The commands of a script, as words without variable assignments and comments."""
    for line in script.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\|", line):
            words = shlex.split(part.replace("$(", " ").replace(")", " "), comments=True)
            while words and re.match(r"\w+=", words[0]):
                words.pop(0)
            if words:
                yield words


class Repository:
    def __init__(self):
        members = json.loads(run("cargo", "metadata", "--no-deps", "--format-version", "1"))["packages"]
        self.targets = {member["name"]: {(kind, target["name"]) for target in member["targets"] for kind in target["kind"]}
                        for member in members}
        self.steps = set(re.findall(r"^step_([\w-]+)\(\)", Path(".ci/run").read_text(encoding="utf-8"), re.MULTILINE))
        self.recipes = set(json.loads(run(TOOLS / "just", "--dump", "--dump-format", "json"))["recipes"])

    def faults(self, words):
        """What a command names that does not exist."""
        program, *arguments = words
        if program not in PROGRAMS:
            yield f"unknown program {program}"
        elif program == "bash" and arguments[:1] == [".ci/run"]:
            yield from (f"no CI step {step}" for step in arguments[1:] if step not in self.steps and is_name(step))
        elif program == "bash" and arguments and not os.access(arguments[0], os.R_OK):
            yield f"no script {arguments[0]}"
        elif program == "just" and arguments and is_name(arguments[0]) and arguments[0] not in self.recipes:
            yield f"no recipe {arguments[0]}"
        elif program == "cargo":
            yield from self.faults_of_cargo(arguments)

    def faults_of_cargo(self, arguments):
        arguments = arguments[:arguments.index("--")] if "--" in arguments else arguments
        pairs = list(zip(arguments, arguments[1:]))
        packages = [value for option, value in pairs if option in ("-p", "--package") and is_name(value)]
        yield from (f"no package {package}" for package in packages if package not in self.targets)
        known = set().union(*(self.targets.get(package, set()) for package in packages or self.targets))
        for option, value in pairs:
            if option in TARGETS and (TARGETS[option], value) not in known and is_name(value):
                yield f"no {TARGETS[option]} {value}"
            if option == "--manifest-path" and not Path(value).exists():
                yield f"no file {value}"


def is_name(word):
    """Whether a word is a name, as opposed to a placeholder (`CRATE`, `"$1"`), an option or a redirection."""
    return re.fullmatch(r"[a-z][\w-]*", word) is not None


def faults_of_actions(workflow):
    """Actions that are not pinned to a commit, and called workflows that are not beside this one."""
    for action in re.findall(r"uses: (\S+)", Path(workflow).read_text(encoding="utf-8")):
        if action.startswith("./.github/workflows/"):
            if not (Path(workflow).parent / Path(action).name).exists():
                yield f"{workflow}: there is no {action}"
        elif not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action):
            yield f"{workflow}: {action} is not pinned to a commit"


def check_steps(workflow):
    """Runs shellcheck over the steps of a workflow, as GitHub runs them. Returns their number."""
    scripts = [step["run"] for job in YAML(typ="safe").load(Path(workflow))["jobs"].values() for step in job.get("steps", []) if "run" in step]
    with tempfile.TemporaryDirectory() as folder:
        for number, script in enumerate(scripts):
            path = Path(folder, f"step-{number}")
            path.write_text(f"#!/usr/bin/env bash\nset -eo pipefail\n{script}", encoding="utf-8")
            run(TOOLS / "shellcheck", "--severity", "warning", path)
    return len(scripts)


def main():
    repository = Repository()
    sources = [*recipes(), *steps_of_the_workflow(), *fences("CONTRIBUTING.md")]
    found = [f"{source}: {' '.join(words)}: {fault}"
             for source, script in sources for words in commands(script) for fault in repository.faults(words)]
    for workflow in [WORKFLOW, *PIPELINE]:
        found += faults_of_actions(workflow)
    if found:
        sys.exit("\n".join(found))
    print(f"{len(sources)} sources of commands: everything that they name exists")
    print(run(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", WORKFLOW, *PIPELINE), end="")
    steps = sum(check_steps(workflow) for workflow in PIPELINE)
    scripts = [path for path in [*sorted(Path(".ci").iterdir()), Path("infra/aws-trial/trial")]
               if path.is_file() and path.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash")]
    run(TOOLS / "shellcheck", "--severity", "warning", *scripts)
    print(f"shellcheck: no findings in {len(scripts)} scripts and {steps} steps")


if __name__ == "__main__":
    main()
