//! Checks documents and comments against the repository: each promise names tests that exist, each path and link leads
//! to something, each command is one that CI runs. Whether a test proves the sentence that names it is the reviewer's
//! question.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Documents in `infra/docs` whose list items are promises, and the least number of items, so that a change of layout
/// does not hide them. Each item ends with its tests in parentheses.
const PROMISES: [(&str, usize); 4] =
    [("reading.md", 25), ("semantics.md", 25), ("security.md", 20), ("upgrading.md", 5)];
const SOURCE_FOLDERS: [&str; 4] = ["shared", "functions", "infra", "tests"];
/// Documents whose commands `.ci/deploy.py` runs.
const RUN_BY_DEPLOY: [&str; 3] = ["infra/docs/deploying.md", "infra/docs/operations.md", "infra/docs/upgrading.md"];
/// Documents whose commands are steps and scripts of CI.
const RUN_BY_CI: [&str; 3] = ["infra/docs/architecture.md", "infra/docs/security.md", "infra/docs/semantics.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files below `folder`, without those of `target`, whose names end with `ending`.
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

fn decisions() -> Vec<PathBuf> {
    files(&root().join("infra/docs/decisions"), ".md")
}

/// The documents about Annals itself, without those for its customers.
fn documents() -> Vec<PathBuf> {
    let mut documents = decisions();
    documents.extend(
        RUN_BY_CI
            .iter()
            .chain(&RUN_BY_DEPLOY)
            .chain(&["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "infra/docs/operator-failures.md"])
            .map(|path| root().join(path)),
    );
    documents
}

#[test]
fn every_promise_names_tests_that_exist() {
    let mut tests = BTreeSet::new();
    for folder in SOURCE_FOLDERS {
        files(&root().join(folder), ".rs").iter().for_each(|path| collect_tests(&read(path), &mut tests));
    }
    for (document, at_least) in PROMISES {
        let text = read(Path::new("infra/docs").join(document));
        let items: Vec<String> = text
            .split("\n- ")
            .skip(1)
            .map(|item| item.split("\n\n").next().unwrap().split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert!(items.len() >= at_least, "{document}: {}", items.len());
        for item in items {
            let (_, named) =
                item.rsplit_once(" (`").unwrap_or_else(|| panic!("{document}: no test is named in {item}"));
            let named =
                named.strip_suffix(").").unwrap_or_else(|| panic!("{document}: does not end with a test: {item}"));
            for name in named.split(", ") {
                let name = name.trim_matches('`');
                assert!(tests.contains(name), "{document}: no test has the name {name}");
            }
        }
    }
}

/// Adds the names of functions with a test attribute, and of functions that a macro at the margin makes tests of.
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
        let folder = document.parent().unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = folder.join(path);
            assert!(target.exists(), "{}: {link} leads nowhere", document.display());
            let anchors = if anchor.is_empty() { Vec::new() } else { anchors(&read(&target)) };
            assert!(anchor.is_empty() || anchors.iter().any(|one| one == anchor), "{}: {link}", document.display());
            checked += 1;
        }
        for named in text.split('`').skip(1).step_by(2) {
            let path = named.split("::").next().unwrap();
            let is_path = !path.contains([' ', '{', '*', '<']) && path.contains('/');
            if is_path && SOURCE_FOLDERS.iter().chain(&[".ci"]).any(|folder| path.starts_with(&format!("{folder}/"))) {
                assert!(root().join(path).exists(), "{}: there is no {path}", document.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 50, "{checked}");
}

/// The anchors that GitHub gives to headings.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || ['-', '_', ' '].contains(c);
    headings.map(|heading| heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn every_command_is_a_script_or_a_step_of_ci() {
    let run = read(".ci/run");
    for document in RUN_BY_CI.iter().map(|path| root().join(path)).chain(decisions()) {
        let text = read(&document);
        let name = document.display();
        assert!(!text.contains("\n\n    "), "{name}: a command must be in a fence");
        for fence in text.split("```").skip(1).step_by(2) {
            let (language, commands) = fence.split_once('\n').unwrap();
            if language.starts_with("bash ") {
                let path = document.strip_prefix(root()).unwrap().to_str().unwrap();
                assert!(read(".ci/detection.py").contains(path), "{name}: CI does not run {language:?}");
                continue;
            }
            assert!(
                ["sh", "text"].contains(&language),
                "{name}: the language of a fence is sh or text, not {language:?}"
            );
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
                    _ => panic!("{name}: CI does not run {command:?}"),
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

/// The names of the entries in a section of `template.yaml`.
fn entries(section: &str) -> BTreeSet<String> {
    let template = read("template.yaml");
    let whole = template.split(&format!("\n{section}:\n")).nth(1).unwrap();
    let lines = whole.lines().take_while(|line| line.is_empty() || line.starts_with(' '));
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
    names.filter(|name| !name.starts_with(' ')).map(str::to_owned).collect()
}

#[test]
fn every_parameter_is_in_one_group_of_the_form_and_documented_and_every_output_is_documented() {
    let template = read("template.yaml");
    let groups = template.split("        Parameters: [").skip(1).map(|rest| rest.split(']').next().unwrap());
    let grouped: Vec<&str> = groups.flat_map(|group| group.split(", ")).collect();
    let deploying = read("infra/docs/deploying.md");
    let documented = |heading: &str| -> BTreeSet<String> {
        let section = deploying.split(&format!("\n## {heading}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
        let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches('`').to_owned()).collect()
    };
    let parameters = entries("Parameters");
    assert!(parameters.len() > 15, "{parameters:?}");
    assert_eq!(grouped.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), parameters);
    assert_eq!(grouped.len(), parameters.len(), "a parameter is in two groups");
    assert_eq!(documented("Parameters"), parameters);
    assert_eq!(documented("Outputs"), entries("Outputs"));
}

/// What the text `path` in a comment may name: a file or folder by its path from the root or by the end of that path.
fn paths_of_the_repository() -> BTreeSet<String> {
    fn collect(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_built = ["target", "node_modules", ".git"].contains(&name) || name.starts_with(".venv");
            if is_built {
                continue;
            }
            found.insert(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            if path.is_dir() {
                collect(&path, found);
            }
        }
    }
    let mut found = BTreeSet::new();
    collect(root(), &mut found);
    found
}

/// The text of a line's comment, if it has one.
fn comment(line: &str) -> Option<&str> {
    let at = line.find("//").filter(|at| line[..*at].chars().next_back().is_none_or(char::is_whitespace))?;
    Some(line[at..].trim_start_matches(['/', '!']))
}

#[test]
fn every_file_that_a_comment_names_exists() {
    /// Files that programs write.
    const WRITTEN: [&str; 3] = ["annals.json", "aws.json", "/.json"];
    const ENDINGS: [&str; 8] = [".css", ".js", ".json", ".md", ".py", ".rs", ".toml", ".yaml"];
    let paths = paths_of_the_repository();
    let exists = |named: &str| paths.iter().any(|path| path == named || path.ends_with(&format!("/{named}")));
    let mut checked = 0;
    let sources = SOURCE_FOLDERS.iter().chain(&["fuzz"]).flat_map(|folder| files(&root().join(folder), ".rs"));
    for source in sources {
        let text = read(&source);
        for (number, line) in (1..).zip(text.lines()) {
            let is_of_a_path = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
            let words = comment(line).into_iter().flat_map(|comment| comment.split(|c| !is_of_a_path(c)));
            for word in words.map(|word| word.trim_end_matches(['.', '/'])) {
                let in_a_folder = SOURCE_FOLDERS.iter().any(|folder| word.starts_with(&format!("{folder}/")));
                let is_a_file = ENDINGS.iter().any(|ending| word.ends_with(ending) && word != *ending);
                let is_a_key = word.contains("YYYY") || WRITTEN.iter().any(|written| word.ends_with(written));
                if (in_a_folder || is_a_file) && !is_a_key && !word.starts_with('/') {
                    assert!(exists(word), "{}:{number}: there is no {word}", source.display());
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 20, "{checked}");
}

#[test]
fn the_template_has_the_version_of_the_workspace() {
    let template = read("template.yaml");
    assert!(template.contains(concat!("\n    SemanticVersion: ", env!("CARGO_PKG_VERSION"), " ")));
}
