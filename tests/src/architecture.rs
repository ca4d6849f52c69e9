//! Checks the structure of the workspace: which crates and modules use which, and how many test executables there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

type Uses = BTreeMap<String, BTreeSet<String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The manifests of the workspace's members, by their folders.
fn members() -> Vec<(PathBuf, toml::Table)> {
    let workspace = manifest(root());
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let folders = members.iter().map(|member| root().join(member.as_str().unwrap()));
    folders.map(|folder| (folder.clone(), manifest(&folder))).collect()
}

fn manifest(folder: &Path) -> toml::Table {
    fs::read_to_string(folder.join("Cargo.toml")).unwrap().parse().unwrap()
}

/// The nodes from which a way leads back to themselves.
fn in_circles(uses: &Uses) -> Vec<&str> {
    let reaches_itself = |start: &String| {
        let mut reached: BTreeSet<&String> = BTreeSet::new();
        let mut open: Vec<&String> = uses[start].iter().collect();
        while let Some(node) = open.pop() {
            if reached.insert(node) {
                open.extend(&uses[node]);
            }
        }
        reached.contains(start)
    };
    uses.keys().filter(|node| reaches_itself(node)).map(String::as_str).collect()
}

#[test]
fn crates_do_not_depend_on_each_other_in_a_circle_not_even_for_tests() {
    let members = members();
    let name = |manifest: &toml::Table| manifest["package"]["name"].as_str().unwrap().to_owned();
    let names: BTreeSet<String> = members.iter().map(|(_, manifest)| name(manifest)).collect();
    let dependencies = |manifest: &toml::Table| -> BTreeSet<String> {
        let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
        let tables = kinds.iter().filter_map(|kind| manifest.get(*kind)?.as_table());
        tables.flat_map(toml::Table::keys).filter(|name| names.contains(*name)).cloned().collect()
    };
    let uses: Uses = members.iter().map(|(_, manifest)| (name(manifest), dependencies(manifest))).collect();
    assert_eq!(in_circles(&uses), Vec::<&str>::new());
}

#[test]
fn modules_of_a_crate_do_not_use_each_other_in_a_circle() {
    for (folder, _) in members() {
        let source = folder.join("src");
        let mut uses = Uses::new();
        for entry in fs::read_dir(&source).unwrap() {
            let path = entry.unwrap().path();
            let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() || (path.extension().is_some_and(|ending| ending == "rs") && module != "lib") {
                uses.entry(module).or_default().extend(used_modules(&path));
            }
        }
        let modules: BTreeSet<String> = uses.keys().cloned().collect();
        for (module, used) in &mut uses {
            used.retain(|name| modules.contains(name) && name != module);
        }
        assert_eq!(in_circles(&uses), Vec::<&str>::new(), "{}: {uses:#?}", folder.display());
    }
}

/// The top-level modules of its crate that a source file, or a folder of them, names in `crate::…` outside tests.
fn used_modules(path: &Path) -> BTreeSet<String> {
    if path.is_dir() {
        let paths = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        return paths.filter(|path| !path.ends_with("tests.rs")).flat_map(|path| used_modules(&path)).collect();
    }
    if path.extension().is_none_or(|ending| ending != "rs") {
        return BTreeSet::new();
    }
    let text = fs::read_to_string(path).unwrap();
    let code = without_comments_and_tests(&text);
    let mut used = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => used.extend(first_word(rest)),
            Some(list) => {
                // A part ends where a brace or a comma does; `crate::{` itself is at depth 0.
                let mut depth = 0;
                for part in list.split_inclusive([',', '{', '}']) {
                    if depth == 0 {
                        used.extend(first_word(part.trim_start()));
                    }
                    depth += i32::from(part.ends_with('{')) - i32::from(part.ends_with('}'));
                    if depth < 0 {
                        break;
                    }
                }
            }
        }
    }
    used
}

fn first_word(text: &str) -> Option<String> {
    let word = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
    (!word.is_empty()).then(|| word.to_owned())
}

/// Leaves out line comments and the items behind `#[cfg(test)]`, as rustfmt lays them out.
fn without_comments_and_tests(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            code.push_str(line.split("//").next().unwrap());
            code.push('\n');
            continue;
        }
        let margin = &line[..line.len() - line.trim_start().len()];
        let end = format!("{margin}}}");
        let item = lines.by_ref().find(|line| !line.trim().starts_with("#[")).unwrap();
        if item.ends_with('{') {
            lines.by_ref().find(|line| *line == end).unwrap();
        }
    }
    code
}

#[test]
fn there_are_at_most_14_test_executables_and_each_crate_without_one_has_no_tests() {
    let mut executables = Vec::new();
    for (folder, manifest) in members() {
        let is_tested =
            |target: Option<&toml::Value>| target.and_then(|target| target.get("test")?.as_bool()) != Some(false);
        if is_tested(manifest.get("lib")) {
            executables.push(folder.join("src/lib.rs"));
        } else {
            assert!(!has_tests(&folder.join("src")), "{}: its tests do not run", folder.display());
        }
        let programs = manifest.get("bin").and_then(toml::Value::as_array).into_iter().flatten();
        executables
            .extend(programs.filter(|bin| is_tested(Some(bin))).map(|bin| folder.join(bin["path"].as_str().unwrap())));
        let tests = fs::read_dir(folder.join("tests")).into_iter().flatten().map(|entry| entry.unwrap().path());
        executables.extend(
            tests.filter(|path| path.join("main.rs").exists() || path.extension().is_some_and(|ending| ending == "rs")),
        );
    }
    assert!(executables.len() <= 14, "{executables:#?}");
}

fn has_tests(path: &Path) -> bool {
    if path.is_dir() {
        return fs::read_dir(path).unwrap().any(|entry| has_tests(&entry.unwrap().path()));
    }
    path.extension().is_some_and(|ending| ending == "rs")
        && fs::read_to_string(path)
            .unwrap()
            .lines()
            .any(|line| line.trim_start().starts_with("#[test]") || line.trim_start().starts_with("#[tokio::test"))
}
