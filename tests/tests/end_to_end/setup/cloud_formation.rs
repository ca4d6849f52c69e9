//! The part of CloudFormation that the customer's template uses: parameters, conditions and some functions. Anything
//! else fails.

use std::collections::BTreeMap;

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value, json};

use super::{Choices, Made, MadeBucket};

/// The resources of a stack of `template` in the account and partition of `choices`.
pub(crate) fn make(template: &str, choices: &Choices<'_>) -> Made {
    let template = parse(template);
    let mut parameters: BTreeMap<&str, Value> = BTreeMap::new();
    for (name, parameter) in members(&template["Parameters"]) {
        if let Some(value) = parameter.get("Default") {
            parameters.insert(name, value.clone());
        }
    }
    parameters.insert("CreateBucket", choices.create_bucket.to_string().into());
    parameters.insert("KmsKeyArn", choices.kms_key.into());
    if let Some((mode, days)) = choices.object_lock {
        parameters.insert("ObjectLockMode", mode.into());
        parameters.insert("ObjectLockDays", days.into());
    }
    let missing: Vec<&String> =
        members(&template["Parameters"]).keys().filter(|name| !parameters.contains_key(name.as_str())).collect();
    assert!(missing.is_empty(), "without a value: {missing:?}");
    let stack = Stack { template: &template, parameters, choices };

    for (name, rule) in members(&template["Rules"]) {
        assert_eq!(members(rule).len(), 2, "{name}: {rule}");
        if stack.resolve(&rule["RuleCondition"]) == Some(json!(true)) {
            for assertion in rule["Assertions"].as_array().unwrap() {
                assert_eq!(
                    stack.resolve(&assertion["Assert"]),
                    Some(json!(true)),
                    "{}",
                    assertion["AssertDescription"]
                );
            }
        }
    }

    let mut bucket = None;
    let mut bucket_policy = None;
    let mut role = None;
    for (name, resource) in members(&template["Resources"]) {
        let known = ["Type", "Condition", "DeletionPolicy", "UpdateReplacePolicy", "Properties"];
        assert!(members(resource).keys().all(|key| known.contains(&key.as_str())), "{name}: {resource}");
        if resource.get("Condition").is_some_and(|condition| !stack.condition(condition)) {
            continue;
        }
        let properties = stack.resolve(&resource["Properties"]).unwrap();
        let one = match resource["Type"].as_str().unwrap() {
            "AWS::S3::Bucket" => &mut bucket,
            "AWS::S3::BucketPolicy" => &mut bucket_policy,
            "AWS::IAM::Role" => &mut role,
            other => panic!("{other} is none that the template should make"),
        };
        assert!(one.replace(properties).is_none(), "only one {}", resource["Type"]);
    }

    let mut role = role.unwrap();
    let role = role.as_object_mut().unwrap();
    let mut text = |name| role.remove(name).unwrap().as_str().unwrap().to_owned();
    let (name, path, _) = (text("RoleName"), text("Path"), text("Description"));
    let trust_policy = role.remove("AssumeRolePolicyDocument").unwrap();
    let policies = role.remove("Policies").unwrap();
    let policies = policies.as_array().unwrap().iter().map(|policy| {
        assert_eq!(members(policy).len(), 2, "{policy}");
        (policy["PolicyName"].as_str().unwrap().to_owned(), policy["PolicyDocument"].clone())
    });
    let policies = policies.collect();
    assert!(role.is_empty(), "what else the role has: {role:?}");

    let bucket = bucket.map(|bucket| {
        let known = [
            "BucketName",
            "PublicAccessBlockConfiguration",
            "BucketEncryption",
            "VersioningConfiguration",
            "ObjectLockEnabled",
            "ObjectLockConfiguration",
        ];
        assert!(members(&bucket).keys().all(|key| known.contains(&key.as_str())), "{bucket}");
        assert_eq!(bucket["VersioningConfiguration"], json!({"Status": "Enabled"}));
        let lock = bucket.get("ObjectLockConfiguration");
        assert_eq!(bucket.get("ObjectLockEnabled"), lock.map(|_| &json!(true)));
        let object_lock = lock.map(|lock| {
            assert_eq!(lock["ObjectLockEnabled"], "Enabled");
            let retention = &lock["Rule"]["DefaultRetention"];
            let days = retention["Days"].as_u64().unwrap();
            (retention["Mode"].as_str().unwrap().to_owned(), u32::try_from(days).unwrap())
        });
        let policy = bucket_policy.take().map(|policy| {
            assert_eq!((members(&policy).len(), &policy["Bucket"]), (2, &bucket["BucketName"]));
            policy["PolicyDocument"].clone()
        });
        let blocked = &bucket["PublicAccessBlockConfiguration"];
        assert!(members(blocked).len() == 4 && members(blocked).values().all(|value| *value == json!(true)));
        let rules =
            bucket.pointer("/BucketEncryption/ServerSideEncryptionConfiguration/0/ServerSideEncryptionByDefault");
        let kms_key = rules.map(|rule| rule["KMSMasterKeyID"].as_str().unwrap().to_owned());
        MadeBucket { name: bucket["BucketName"].as_str().unwrap().to_owned(), kms_key, policy, object_lock }
    });
    assert_eq!(bucket_policy, None, "a policy, where no bucket is made");
    let role_arn = format!("arn:{}:iam::{}:role{path}{name}", choices.partition, choices.account);
    Made { bucket, role_arn, trust_policy, policies }
}

/// The default of a parameter.
pub(crate) fn default(template: &str, parameter: &str) -> Value {
    parse(template)["Parameters"][parameter]["Default"].clone()
}

struct Stack<'a> {
    template: &'a Value,
    parameters: BTreeMap<&'a str, Value>,
    choices: &'a Choices<'a>,
}

impl Stack<'_> {
    /// Evaluates `value`. `None` is `AWS::NoValue`.
    fn resolve(&self, value: &Value) -> Option<Value> {
        match value {
            Value::Array(elements) => Some(elements.iter().filter_map(|element| self.resolve(element)).collect()),
            Value::Object(all) => match all.iter().next() {
                Some((function, arguments)) if function.starts_with('!') => self.call(function, arguments),
                _ => {
                    let all = all.iter().filter_map(|(name, member)| Some((name.clone(), self.resolve(member)?)));
                    Some(Value::Object(all.collect()))
                }
            },
            plain => Some(plain.clone()),
        }
    }

    fn call(&self, function: &str, arguments: &Value) -> Option<Value> {
        match function {
            "!Ref" if arguments == "AWS::NoValue" => None,
            "!Ref" => Some(self.reference(arguments.as_str().unwrap())),
            "!Sub" => {
                let mut parts = arguments.as_str().unwrap().split("${");
                let mut text = parts.next().unwrap().to_owned();
                for part in parts {
                    let (name, rest) = part.split_once('}').unwrap();
                    text.push_str(self.reference(name).as_str().unwrap());
                    text.push_str(rest);
                }
                Some(text.into())
            }
            "!If" => self.resolve(&arguments[if self.condition(&arguments[0]) { 1 } else { 2 }]),
            "!Equals" => Some((self.resolve(&arguments[0]) == self.resolve(&arguments[1])).into()),
            "!And" => {
                let all = arguments.as_array().unwrap();
                Some(all.iter().all(|argument| self.resolve(argument) == Some(json!(true))).into())
            }
            "!Condition" => Some(self.condition(arguments).into()),
            "!Not" => Some((self.resolve(&arguments[0]) == Some(json!(false))).into()),
            other => panic!("{other} is not known here"),
        }
    }

    fn condition(&self, name: &Value) -> bool {
        let name = name.as_str().unwrap();
        self.resolve(&self.template["Conditions"][name]).unwrap().as_bool().unwrap()
    }

    fn reference(&self, name: &str) -> Value {
        match name {
            "AWS::AccountId" => self.choices.account.into(),
            "AWS::Partition" => self.choices.partition.into(),
            "AWS::URLSuffix" => self.choices.dns_suffix().into(),
            "Bucket" => self.parameters["BucketName"].clone(),
            name => self.parameters[name].clone(),
        }
    }
}

/// YAML as JSON. A tagged node becomes an object whose only key is the tag.
fn parse(text: &str) -> Value {
    let documents = Yaml::load_from_str(text).unwrap();
    assert_eq!(documents.len(), 1);
    json(&documents[0])
}

fn json(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(truth)) => (*truth).into(),
        Yaml::Value(Scalar::Integer(number)) => (*number).into(),
        Yaml::Value(Scalar::String(text)) => text.as_ref().into(),
        Yaml::Sequence(elements) => elements.iter().map(json).collect(),
        Yaml::Mapping(all) => {
            let mut object = Map::new();
            for (name, value) in all {
                let before = object.insert(name.as_str().unwrap().to_owned(), json(value));
                assert!(before.is_none(), "{name:?} is there twice");
            }
            Value::Object(object)
        }
        Yaml::Tagged(tag, value) => json!({format!("{}{}", tag.handle, tag.suffix): json(value)}),
        other => panic!("{other:?} is not known here"),
    }
}

fn members(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap()
}
