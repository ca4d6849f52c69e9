//! The part of Terraform that the customer's module uses: variables, a data source and resources. Anything else fails.

use std::collections::BTreeMap;

use hcl::{
    Block, Body, Expression, Structure,
    eval::{Context, Evaluate as _, FuncArgs, FuncDef, ParamType},
};
use serde_json::{Value, json};

use super::{Choices, Made, MadeBucket};

/// The resources of the module with these files in the account and partition of `choices`.
pub(crate) fn make(files: &BTreeMap<String, String>, choices: &Choices<'_>) -> Made {
    let blocks: Vec<Block> = files
        .iter()
        .filter(|(name, _)| name.ends_with(".tf"))
        .flat_map(|(_, text)| hcl::parse(text).unwrap().into_blocks())
        .collect();
    let mut given = values(&files["terraform.tfvars"]);
    given.insert("create_bucket".into(), choices.create_bucket.into());
    given.insert("kms_key_arn".into(), choices.kms_key.into());
    if let Some((mode, days)) = choices.object_lock {
        given.insert("object_lock_mode".into(), mode.into());
        given.insert("object_lock_days".into(), days.into());
    }
    let mut variables = BTreeMap::new();
    for variable in blocks.iter().filter(|block| block.identifier() == "variable") {
        let name = variable.labels()[0].as_str().to_owned();
        let default = variable.body.attributes().find(|attribute| attribute.key() == "default");
        let value = given.remove(&name).or_else(|| default.map(|default| evaluate(default.expr(), &Context::new())));
        variables.insert(name.clone(), value.unwrap_or_else(|| panic!("{name} has no value")));
    }
    assert!(given.is_empty(), "values without a variable: {given:?}");

    let role_name = variables["role_name"].as_str().unwrap().to_owned();
    let bucket_name = variables["bucket"].as_str().unwrap().to_owned();
    let mut context = Context::new();
    let mut declare = |name: &str, value: Value| context.declare_var(name, hcl::to_value(value).unwrap());
    declare("var", json!(variables));
    let partition = json!({"partition": choices.partition, "dns_suffix": choices.dns_suffix()});
    declare("data", json!({"aws_partition": {"current": partition}}));
    declare("aws_s3_bucket", json!({"audit_events": [{"id": bucket_name}]}));
    declare("aws_s3_bucket_versioning", json!({"audit_events": [{"id": bucket_name}]}));
    let path = variables["role_path"].as_str().unwrap();
    let role_arn = format!("arn:{}:iam::{}:role{path}{role_name}", choices.partition, choices.account);
    declare("aws_iam_role", json!({"annals": {"id": role_name, "arn": role_arn}}));
    context.declare_func("jsonencode", FuncDef::builder().param(ParamType::Any).build(jsonencode));

    // Locals may use those above them.
    let mut locals = BTreeMap::new();
    for block in blocks.iter().filter(|block| block.identifier() == "locals") {
        for local in block.body.attributes() {
            locals.insert(local.key().to_owned(), evaluate(local.expr(), &context));
            context.declare_var("local", hcl::to_value(&locals).unwrap());
        }
    }

    let mut bucket = None;
    let mut blocked = None;
    let mut versioned = None;
    let mut bucket_policy = None;
    let mut object_lock = None;
    let mut key = None;
    let mut role = None;
    let mut policies = BTreeMap::new();
    for block in &blocks {
        match (block.identifier(), block.labels().first().map_or("", |label| label.as_str())) {
            ("terraform" | "variable" | "locals" | "output", _) | ("data", "aws_partition") => {}
            ("resource", kind) => {
                let mut resource = attributes(&block.body, &context);
                if resource.remove("count").is_some_and(|count| count == 0) {
                    continue;
                }
                let mut take = |name: &str| resource.remove(name).unwrap_or_else(|| panic!("{kind} has no {name}"));
                match kind {
                    "aws_s3_bucket" => bucket = Some(text(take("bucket"))),
                    "aws_s3_bucket_public_access_block" => {
                        blocked = Some(text(take("bucket")));
                        let all = [
                            "block_public_acls",
                            "block_public_policy",
                            "ignore_public_acls",
                            "restrict_public_buckets",
                        ];
                        assert!(all.iter().all(|name| take(name) == json!(true)));
                    }
                    "aws_s3_bucket_server_side_encryption_configuration" => {
                        let rule = take("rule");
                        assert_eq!(text(take("bucket")), bucket_name);
                        let default = &rule["apply_server_side_encryption_by_default"];
                        key = Some(text(default["kms_master_key_id"].clone()));
                    }
                    "aws_s3_bucket_versioning" => {
                        versioned = Some(text(take("bucket")));
                        assert_eq!(take("versioning_configuration"), json!({"status": "Enabled"}));
                    }
                    "aws_s3_bucket_object_lock_configuration" => {
                        assert_eq!(text(take("bucket")), bucket_name);
                        let rule = take("rule");
                        let retention = &rule["default_retention"];
                        let days = u32::try_from(retention["days"].as_u64().unwrap()).unwrap();
                        object_lock = Some((text(retention["mode"].clone()), days));
                    }
                    "aws_s3_bucket_policy" => {
                        assert_eq!(text(take("bucket")), bucket_name);
                        bucket_policy = Some(serde_json::from_str(&text(take("policy"))).unwrap());
                    }
                    "aws_iam_role" => {
                        let _ = take("description");
                        let trust: Value = serde_json::from_str(&text(take("assume_role_policy"))).unwrap();
                        let arn = format!(
                            "arn:{}:iam::{}:role{}{}",
                            choices.partition,
                            choices.account,
                            text(take("path")),
                            text(take("name"))
                        );
                        assert!(role.replace((arn, trust)).is_none(), "only one role");
                    }
                    "aws_iam_role_policy" => {
                        assert_eq!(text(take("role")), role_name);
                        let policy = serde_json::from_str(&text(take("policy"))).unwrap();
                        assert!(policies.insert(text(take("name")), policy).is_none());
                    }
                    other => panic!("{other} is none that the module should make"),
                }
                assert!(resource.is_empty(), "what else {kind} has: {resource:?}");
            }
            other => panic!("{other:?} is not known here"),
        }
    }
    assert_eq!(blocked, bucket, "no public access, where the bucket is made");
    assert_eq!(versioned, bucket, "versioning, where the bucket is made");
    let bucket = bucket.map(|name| MadeBucket { name, kms_key: key, policy: bucket_policy, object_lock });
    let (role_arn, trust_policy) = role.unwrap();
    Made { bucket, role_arn, trust_policy, policies }
}

/// The values in a `.tfvars` file.
pub(crate) fn values(text: &str) -> BTreeMap<String, Value> {
    let body = hcl::parse(text).unwrap();
    assert_eq!(body.blocks().count(), 0);
    attributes(&body, &Context::new())
}

/// Attributes, and blocks without labels as objects.
fn attributes(body: &Body, context: &Context<'_>) -> BTreeMap<String, Value> {
    let structures = body.iter().map(|structure| match structure {
        Structure::Attribute(attribute) => (attribute.key().to_owned(), evaluate(attribute.expr(), context)),
        Structure::Block(block) => {
            assert!(block.labels().is_empty());
            (block.identifier().to_owned(), json!(attributes(&block.body, context)))
        }
    });
    structures.collect()
}

fn evaluate(expression: &Expression, context: &Context<'_>) -> Value {
    serde_json::to_value(expression.evaluate(context).unwrap()).unwrap()
}

fn jsonencode(arguments: FuncArgs) -> Result<hcl::Value, String> {
    serde_json::to_string(&arguments[0]).map(hcl::Value::from).map_err(|error| error.to_string())
}

fn text(value: Value) -> String {
    value.as_str().unwrap().to_owned()
}
