//! The script for the AWS CLI, run with an `aws` that only writes down its arguments. Unknown calls fail.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output},
};

use serde_json::Value;

use super::{Choices, Made, MadeBucket};

const AWS: &str = r#"#!/usr/bin/env bash
printf '%s\0' "$@" >"$RECORD/$(printf %03d "$(ls "$RECORD" | wc -l)")"
case "$1 $2" in
  "sts get-caller-identity") echo "$IDENTITY" ;;
  "s3api head-bucket") [[ $EXISTING == *bucket* ]] || exit 254 ;;
  "s3api get-object-lock-configuration") [[ $EXISTING == *locked* ]] || exit 254 ;;
  "s3api get-bucket-policy")
    [[ -n $EXISTING_POLICY ]] || { echo "An error occurred (NoSuchBucketPolicy)" >&2; exit 254; }
    echo "$EXISTING_POLICY"
    ;;
  "iam get-role") [[ $EXISTING == *role* ]] && echo "$EXISTING_ROLE" || exit 254 ;;
esac
"#;

/// A run of the script.
pub(crate) struct Run {
    pub(crate) output: Output,
    /// The arguments of each call of `aws`.
    pub(crate) calls: Vec<Vec<String>>,
    /// The files that it wrote.
    pub(crate) files: Vec<String>,
}

/// What an existing bucket has.
#[derive(Default)]
pub(crate) struct ExistingBucket<'a> {
    /// Empty: no policy.
    pub(crate) policy: &'a str,
    /// Whether it has Object Lock.
    pub(crate) is_locked: bool,
}

/// Runs `script` in the account and partition of `choices`. `existing` is the ARN of the role if role and bucket exist
/// already.
pub(crate) fn run(script: &str, choices: &Choices<'_>, existing: Option<&str>) -> Run {
    run_with(script, choices, existing, ExistingBucket::default(), &[])
}

/// Like [`run`], with what the bucket has, and environment variables.
pub(crate) fn run_with(
    script: &str,
    choices: &Choices<'_>,
    existing: Option<&str>,
    bucket: ExistingBucket<'_>,
    variables: &[(&str, &str)],
) -> Run {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for name in ["bin", "record", "work"] {
        fs::create_dir(path(name)).unwrap();
    }
    fs::write(path("bin/aws"), AWS).unwrap();
    fs::set_permissions(path("bin/aws"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(path("setup.sh"), script).unwrap();
    let object_lock: Vec<_> = choices
        .object_lock
        .iter()
        .flat_map(|(mode, days)| [("OBJECT_LOCK_MODE", (*mode).to_owned()), ("OBJECT_LOCK_DAYS", days.to_string())])
        .collect();
    let output = Command::new("bash")
        .arg(path("setup.sh"))
        .current_dir(path("work"))
        .env_clear()
        .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", path("bin").display()))
        .env("RECORD", path("record"))
        .env("IDENTITY", format!("arn:{}:sts::{}:assumed-role/Admin/me", choices.partition, choices.account))
        .env(
            "EXISTING",
            match (existing, bucket.is_locked) {
                (None, _) => "",
                (Some(_), false) => "bucket role",
                (Some(_), true) => "locked bucket role",
            },
        )
        .env("EXISTING_POLICY", bucket.policy)
        .env("EXISTING_ROLE", existing.unwrap_or_default())
        .env("CREATE_BUCKET", choices.create_bucket.to_string())
        .env("KMS_KEY_ARN", choices.kms_key)
        .envs(object_lock.iter().map(|(name, value)| (*name, value)))
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let list = |name: &str| {
        let mut names: Vec<_> = fs::read_dir(path(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    };
    let calls = list("record").into_iter().map(|call| {
        let arguments = fs::read_to_string(call).unwrap();
        arguments.split_terminator('\0').map(str::to_owned).collect()
    });
    let files = list("work").iter().map(|file| file.display().to_string()).collect();
    Run { output, calls: calls.collect(), files }
}

/// The resources that the script creates if nothing exists yet.
pub(crate) fn make(script: &str, choices: &Choices<'_>) -> Made {
    let run = run(script, choices, None);
    assert!(run.output.status.success(), "{}", String::from_utf8_lossy(&run.output.stderr));
    made(&run, choices)
}

/// The resources that the calls of a run create.
pub(crate) fn made(run: &Run, choices: &Choices<'_>) -> Made {
    let mut bucket: Option<String> = None;
    let mut blocked = None;
    let mut versioned = None;
    let mut policy = None;
    let mut object_lock = None;
    let mut key = None;
    let mut role = None;
    let mut policies = BTreeMap::new();
    for call in &run.calls {
        let command = call[..2].join(" ");
        let mut options = options(&call[2..]);
        let mut take = |name: &str| options.remove(name).unwrap_or_else(|| panic!("{command} has no {name}"));
        match command.as_str() {
            "sts get-caller-identity" | "iam get-role" | "s3api head-bucket" => continue,
            "s3api create-bucket" => {
                bucket = Some(take("--bucket"));
                let region = take("--region");
                if region != "us-east-1" {
                    assert_eq!(take("--create-bucket-configuration"), format!("LocationConstraint={region}"));
                }
            }
            "s3api put-public-access-block" => {
                blocked = Some(take("--bucket"));
                let _ = take("--region");
                let all =
                    "BlockPublicAcls=true,BlockPublicPolicy=true,IgnorePublicAcls=true,RestrictPublicBuckets=true";
                assert_eq!(take("--public-access-block-configuration"), all);
            }
            "s3api put-bucket-versioning" => {
                versioned = Some(take("--bucket"));
                let _ = take("--region");
                assert_eq!(take("--versioning-configuration"), "Status=Enabled");
            }
            "s3api put-bucket-policy" => {
                assert_eq!(Some(take("--bucket")), bucket);
                let _ = take("--region");
                policy = Some(document(&take("--policy")));
            }
            "s3api put-object-lock-configuration" => {
                assert_eq!(Some(take("--bucket")), bucket);
                let _ = take("--region");
                let lock = take("--object-lock-configuration");
                let retention = lock.strip_prefix("ObjectLockEnabled=Enabled,Rule={DefaultRetention={Mode=").unwrap();
                let (mode, days) = retention.strip_suffix("}}").unwrap().split_once(",Days=").unwrap();
                object_lock = Some((mode.to_owned(), days.parse().unwrap()));
            }
            "s3api put-bucket-encryption" => {
                assert_eq!(Some(take("--bucket")), bucket);
                let _ = take("--region");
                let rules = take("--server-side-encryption-configuration");
                let (_, rest) = rules.split_once("KMSMasterKeyID=").unwrap();
                key = Some(rest.split_once('}').unwrap().0.to_owned());
            }
            "iam create-role" => {
                let (name, path, _) = (take("--role-name"), take("--path"), take("--description"));
                let arn = format!("arn:{}:iam::{}:role{path}{name}", choices.partition, choices.account);
                role = Some((arn, name, document(&take("--assume-role-policy-document"))));
            }
            "iam update-assume-role-policy" => {
                let name = take("--role-name");
                role = Some((String::new(), name, document(&take("--policy-document"))));
            }
            "iam put-role-policy" => {
                assert_eq!(role.as_ref().map(|(_, name, _)| name), Some(&take("--role-name")));
                let policy = document(&take("--policy-document"));
                assert!(policies.insert(take("--policy-name"), policy).is_none());
            }
            other => panic!("{other} is none that the script should call"),
        }
        assert!(options.is_empty(), "what else {command} has: {options:?}");
    }
    assert_eq!(blocked, bucket, "no public access, where the bucket is made");
    assert_eq!(versioned, bucket, "versioning, where the bucket is made");
    let bucket = bucket.map(|name| MadeBucket { name, kms_key: key, policy, object_lock });
    let (role_arn, _, trust_policy) = role.unwrap();
    Made { bucket, role_arn, trust_policy, policies }
}

fn options(arguments: &[String]) -> BTreeMap<&str, String> {
    arguments.chunks(2).map(|option| (option[0].as_str(), option[1].clone())).collect()
}

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
