//! The documents keep to the code: each promise names tests that exist, each path and link leads to something, each command
//! is one that CI runs. Whether a test holds what the sentence says is for who reviews it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The documents whose list items are promises: each ends with its tests in parentheses. And how many there are at least, so
/// that none is passed over.
const PROMISING: [(&str, usize); 4] =
    [("reading.md", 25), ("semantics.md", 25), ("security.md", 20), ("upgrading.md", 5)];
/// Where tests are.
const TESTED: [&str; 4] = ["shared", "functions", "infra", "tests"];
/// The documents whose commands `.ci/deploy.py` runs one by one.
const RUN: [&str; 3] = ["infra/docs/deploying.md", "infra/docs/operations.md", "infra/docs/upgrading.md"];
/// The documents whose commands are CI's steps and scripts. The others' are run one by one, by what their own pages say.
const PLAIN: [&str; 3] = ["infra/docs/architecture.md", "infra/docs/security.md", "infra/docs/semantics.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files below `folder` whose names end like this.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().unwrap() != "target" {
                found.extend(files(&path, ending));
            }
        } else if path.to_str().unwrap().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The decision records, in order.
fn decisions() -> Vec<PathBuf> {
    files(&root().join("infra/docs/decisions"), ".md")
}

/// What Annals itself writes about, as against what it delivers to customers.
fn documents() -> Vec<PathBuf> {
    let mut documents = decisions();
    documents.extend(
        PLAIN.iter().chain(&RUN).chain(&["README.md", "CHANGELOG.md", "CONTRIBUTING.md"]).map(|path| root().join(path)),
    );
    documents
}

#[test]
fn every_promise_is_held_by_tests_that_exist() {
    let mut tests = BTreeSet::new();
    for folder in TESTED {
        files(&root().join(folder), ".rs").iter().for_each(|path| collect_tests(&read(path), &mut tests));
    }
    for (document, at_least) in PROMISING {
        let text = read(Path::new("infra/docs").join(document));
        let items: Vec<String> = text
            .split("\n- ")
            .skip(1)
            .map(|item| item.split("\n\n").next().unwrap().split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert!(items.len() >= at_least, "{document}: {}", items.len());
        for item in items {
            let (_, named) = item.rsplit_once(" (`").unwrap_or_else(|| panic!("{document}: no test is named: {item}"));
            let named = named.strip_suffix(").").unwrap_or_else(|| panic!("{document}: its end is no test: {item}"));
            for name in named.split(", ") {
                let name = name.trim_matches('`');
                assert!(tests.contains(name), "{document}: no test is called {name}");
            }
        }
    }
}

/// The names of the functions behind a test's attribute, and of those that a list of a macro makes tests of.
fn collect_tests(source: &str, tests: &mut BTreeSet<String>) {
    let (mut is_test, mut is_list) = (false, false);
    for line in source.lines() {
        let trimmed = line.trim();
        if line.ends_with("! {") && !line.starts_with(' ') {
            is_list = true;
        } else if line == "}" {
            is_list = false;
        } else if is_list && !trimmed.is_empty() && trimmed.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            tests.insert(trimmed.to_owned());
        }
        let name = trimmed.strip_prefix("async fn ").or_else(|| trimmed.strip_prefix("fn "));
        if let Some(name) = name
            .filter(|_| is_test || (is_list && line.starts_with("    async fn ")))
            .and_then(|rest| rest.split('(').next())
        {
            tests.insert(name.to_owned());
        }
        is_test = trimmed.starts_with("#[") && (trimmed.contains("test") || is_test);
    }
}

#[test]
fn every_path_and_every_link_leads_to_something() {
    let mut checked = 0;
    for document in documents() {
        let text = read(&document);
        let within = document.parent().unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = within.join(path);
            assert!(target.exists(), "{}: {link} leads nowhere", document.display());
            let anchors = if anchor.is_empty() { Vec::new() } else { anchors(&read(&target)) };
            assert!(anchor.is_empty() || anchors.iter().any(|one| one == anchor), "{}: {link}", document.display());
            checked += 1;
        }
        for named in text.split('`').skip(1).step_by(2) {
            let path = named.split("::").next().unwrap();
            let is_path = !path.contains([' ', '{', '*', '<']) && path.contains('/');
            if is_path && TESTED.iter().chain(&[".ci"]).any(|folder| path.starts_with(&format!("{folder}/"))) {
                assert!(root().join(path).exists(), "{}: there is no {path}", document.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 50, "{checked}");
}

/// What headings are linked by.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || ['-', '_', ' '].contains(c);
    headings.map(|heading| heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn every_command_is_a_script_or_a_step_of_ci() {
    let run = read(".ci/run");
    for document in PLAIN.iter().map(|path| root().join(path)).chain(decisions()) {
        let text = read(&document);
        let name = document.display();
        assert!(!text.contains("\n\n    "), "{name}: a command stands in a fence");
        for fence in text.split("```").skip(1).step_by(2) {
            let (language, commands) = fence.split_once('\n').unwrap();
            assert!(["sh", "text"].contains(&language), "{name}: a fence is sh or text, not {language:?}");
            for command in commands.lines().filter(|_| language == "sh") {
                let words: Vec<&str> = command.split('#').next().unwrap().split_whitespace().collect();
                match words[..] {
                    ["bash", ".ci/run", ref steps @ ..] => {
                        for step in steps {
                            assert!(run.contains(&format!("step_{}()", step)), "{name}: CI has no step {step}");
                        }
                    }
                    ["bash", script] => {
                        assert!(root().join(script).exists() && script.starts_with(".ci/"), "{name}: {script}");
                        assert!(run.contains(&format!("bash {script}")), "{name}: CI does not run {script}");
                    }
                    _ => panic!("{name}: nothing runs {command:?}"),
                }
            }
        }
    }
}

#[test]
fn decisions_are_numbered_without_gaps_and_each_says_why() {
    let decisions = decisions();
    assert!(decisions.len() >= 9);
    for (number, path) in (1..).zip(&decisions) {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(&format!("{number:04}-")), "{name} is not number {number}");
        let text = read(path);
        assert!(text.starts_with(&format!("# {number}. ")), "{name}");
        for part in ["\n## Decision\n", "\n## Why\n", "\n## What it costs\n"] {
            assert!(text.contains(part), "{name} has no {part:?}");
        }
    }
}

/// The names that stand at the margin of a section of `template.yaml`.
fn named(section: &str) -> BTreeSet<String> {
    let template = read("template.yaml");
    let whole = template.split(&format!("\n{section}:\n")).nth(1).unwrap();
    let lines = whole.lines().take_while(|line| line.is_empty() || line.starts_with(' '));
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
    names.filter(|name| !name.starts_with(' ')).map(str::to_owned).collect()
}

#[test]
fn every_parameter_is_in_a_group_of_the_form_and_in_the_document_and_so_is_every_output() {
    let template = read("template.yaml");
    let groups = template.split("        Parameters: [").skip(1).map(|rest| rest.split(']').next().unwrap());
    let grouped: Vec<&str> = groups.flat_map(|group| group.split(", ")).collect();
    let deploying = read("infra/docs/deploying.md");
    let told = |heading: &str| -> BTreeSet<String> {
        let section = deploying.split(&format!("\n## {heading}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
        let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches('`').to_owned()).collect()
    };
    let parameters = named("Parameters");
    assert!(parameters.len() > 15, "{parameters:?}");
    assert_eq!(grouped.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), parameters);
    assert_eq!(grouped.len(), parameters.len(), "one is in two groups");
    assert_eq!(told("Parameters"), parameters);
    assert_eq!(told("Outputs"), named("Outputs"));
}

#[test]
fn the_template_has_the_version_of_the_workspace() {
    let template = read("template.yaml");
    assert!(template.contains(concat!("\n    SemanticVersion: ", env!("CARGO_PKG_VERSION"), " ")));
}
