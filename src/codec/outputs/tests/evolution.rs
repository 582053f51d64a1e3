//! Schemas go on: readers and writers of the first version and of this one understand each other. The files in `first`
//! are the schemas as they were published first, and stay as they are.

use crate::codec::output_schema;
use crate::config::OutputFormat;
use crate::schemas::ProtobufSchema;
use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;
use prost_reflect::MessageDescriptor;

#[test]
fn avro_of_this_version_and_the_first_read_each_other() {
    let now = Schema::parse_str(&output_schema(OutputFormat::Avro).unwrap().text).unwrap();
    let first = Schema::parse_str(include_str!("first/forecast.avsc")).unwrap();
    SchemaCompatibility::mutual_read(&first, &now).unwrap();
    let other = include_str!("first/forecast.avsc").replace(
        "\"name\": \"probability\", \"type\": \"double\"",
        "\"name\": \"odds\", \"type\": \"double\"",
    );
    let other = Schema::parse_str(&other).unwrap();
    assert!(SchemaCompatibility::mutual_read(&other, &now).is_err(), "a field without a default is noticed");
}

#[test]
fn numbers_of_protobuf_keep_their_fields() {
    let of = |text: &str| ProtobufSchema::compile(text, &[]).unwrap();
    let now = of(&output_schema(OutputFormat::Protobuf).unwrap().text);
    let first = of(include_str!("first/forecast.proto"));
    for name in ["Forecast", "Target", "Quantile", "Limit"] {
        let name = format!("tidecast.{name}");
        let (first, now) = (first.message(&name).unwrap(), now.message(&name).unwrap());
        assert_eq!(moved(&first, &now), Vec::<String>::new());
    }
    let swapped =
        include_str!("first/forecast.proto").replace("last = 1", "yhat_ = 9").replace("yhat = 2", "last = 2");
    let swapped = of(&swapped).message("tidecast.Target").unwrap();
    assert_eq!(moved(&first.message("tidecast.Target").unwrap(), &swapped), ["last", "yhat"]);
    assert_eq!(now.message_at(&[0]).unwrap().name(), "Forecast", "the frame says that it is the first");
}

/// The fields of the first version whose number is another field now.
fn moved(first: &MessageDescriptor, now: &MessageDescriptor) -> Vec<String> {
    let is_kept = |field: &prost_reflect::FieldDescriptor| {
        now.get_field(field.number()).is_some_and(|now| {
            let types = |f: &prost_reflect::FieldDescriptor| format!("{:?} {:?}", f.kind(), f.cardinality());
            now.name() == field.name() && types(&now) == types(field)
        })
    };
    first.fields().filter(|field| !is_kept(field)).map(|field| field.name().to_owned()).collect()
}
