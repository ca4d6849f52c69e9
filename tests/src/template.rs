//! `template.yaml` as JSON. A tagged node becomes an object whose only key is the tag. Merge keys (`<<`) are resolved.

use std::{collections::BTreeMap, path::Path};

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// The resources by their logical IDs.
#[must_use]
pub fn resources() -> BTreeMap<String, Value> {
    let template = template();
    let resources = template["Resources"].as_object().unwrap();
    resources.iter().map(|(name, resource)| (name.clone(), resource.clone())).collect()
}

/// The default of a parameter.
#[must_use]
pub fn default(parameter: &str) -> Value {
    template()["Parameters"][parameter]["Default"].clone()
}

/// The value of a reference: the logical ID with the attribute.
#[must_use]
pub fn resolved(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(tagged) => match tagged.iter().next().unwrap() {
            (tag, Value::String(name)) if tag == "!Ref" || tag == "!GetAtt" => name.clone(),
            // As without optional parameters.
            (tag, Value::Array(choice)) if tag == "!If" => resolved(&choice[2]),
            other => panic!("{other:?} is not known here"),
        },
        other => panic!("{other} is not known here"),
    }
}

fn template() -> Value {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml")).unwrap();
    json(&Yaml::load_from_str(&text).unwrap()[0])
}

fn json(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(truth)) => (*truth).into(),
        Yaml::Value(Scalar::Integer(number)) => (*number).into(),
        Yaml::Value(Scalar::String(text)) => text.as_ref().into(),
        Yaml::Sequence(elements) => elements.iter().map(json).collect(),
        Yaml::Mapping(all) => {
            let (mut members, mut merged) = (Map::new(), Map::new());
            for (name, value) in all {
                match (name.as_str().unwrap(), json(value)) {
                    ("<<", Value::Object(shared)) => merged = shared,
                    (name, value) => drop(members.insert(name.to_owned(), value)),
                }
            }
            merged.extend(members);
            Value::Object(merged)
        }
        Yaml::Tagged(tag, value) => json!({format!("{}{}", tag.handle, tag.suffix): json(value)}),
        other => panic!("{other:?} is not known here"),
    }
}
