//! A number and nothing else: `{"value": "21.5"}`.

use super::ElementSink;
use super::text::ObjectText;

pub fn read(payload: &str, element: &mut String, elements: &mut impl ElementSink) {
    let mut object = ObjectText::begin(element);
    object.text("value", payload.trim());
    elements.element(object.end());
}
