//! Our templates, rendered: a name that is not filled in is an error.

use minijinja::{Environment, UndefinedBehavior, Value};

use super::wire::{Flaw, Kind};

/// An environment in which nothing is escaped by itself: what goes in was checked or quoted before.
pub(crate) fn room<'a>() -> Environment<'a> {
    let mut room = Environment::new();
    room.set_undefined_behavior(UndefinedBehavior::Strict);
    room
}

/// A template with its values in it.
pub(crate) fn render(room: &Environment, template: &str, values: Value) -> Result<String, Flaw> {
    let wrong = |e: minijinja::Error| Flaw::new(Kind::Template, format!("a template: {e}"));
    let text = room.render_str(template, values).map_err(wrong)?;
    // The renderer drops the last line end.
    Ok(text + "\n")
}
