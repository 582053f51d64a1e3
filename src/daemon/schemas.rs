//! The schemas of forecasts, which the registry has before the first forecast is written.

use super::Error;
use crate::codec::output_schema;
use crate::config::Config;
use crate::registry::RegistryClient;
use crate::schemas::SchemaId;
use crate::telemetry::events;
use std::sync::Arc;

/// The config with the ids of all schemas that it wants registered.
///
/// # Errors
/// When the registry is away, or refuses a schema because it does not go with those before it.
pub(super) fn register(config: &Config) -> Result<Config, Error> {
    let mut config = config.clone();
    let Some(registry) = config.registry.as_ref().filter(|_| {
        config
            .streams
            .iter()
            .any(|stream| stream.output.register.is_some() && stream.output.schema_id.is_none())
    }) else {
        return Ok(config);
    };
    let client = RegistryClient::new(registry)?;
    for stream in &mut config.streams {
        let (Some(subject), Some(schema)) = (&stream.output.register, output_schema(stream.output.format))
        else {
            continue;
        };
        let id = client.register(subject, &schema)?;
        events::schema_registered(subject, &id);
        if let SchemaId::Number(number) = id {
            Arc::make_mut(stream).output.schema_id = Some(number);
        }
    }
    Ok(config)
}
