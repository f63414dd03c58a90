//! Input schemas that every host accepts: flat objects of described scalars. No `$ref`, no
//! `anyOf`, no unions with null, no integer formats; a test holds every tool to it.

use serde_json::{Map, Value, json};

/// The type of one argument.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Text.
    Text,
    /// One of a few words.
    OneOf(&'static [&'static str]),
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// An object whose keys the tool explains.
    Object,
}

/// One argument of a tool.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
    /// What it is, for a model.
    pub about: &'static str,
}

/// The JSON Schema of a tool's arguments.
pub fn of(fields: &[Field]) -> Map<String, Value> {
    let mut properties = Map::new();
    for field in fields {
        let mut property = match field.kind {
            Kind::Text => json!({"type": "string"}),
            Kind::OneOf(words) => json!({"type": "string", "enum": words}),
            Kind::Integer => json!({"type": "integer"}),
            Kind::Number => json!({"type": "number"}),
            Kind::Object => json!({"type": "object"}),
        };
        property["description"] = field.about.into();
        properties.insert(field.name.to_owned(), property);
    }
    let required: Vec<_> = fields
        .iter()
        .filter(|f| f.required)
        .map(|f| f.name)
        .collect();
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), Value::Object(properties));
    schema.insert("required".into(), required.into());
    schema
}
