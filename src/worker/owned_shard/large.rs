//! Forecasts that their topic does not take, because they are too large: sent with fewer leads, or as dead letters.

use crate::codec::{Encoder, headers};
use crate::config::{Stream, WhenTooLarge};
use crate::engine::Emitted;
use crate::kafka::Error;
use crate::telemetry::TooLarge;
use crate::worker::ports::{Outgoing, Outlet};

/// The reason in the headers of a dead letter, and in its metric.
pub(super) const REASON: &str = "forecast_too_large";

/// Sends what a topic takes of a forecast. `record` is what it did not take; `model` is the name of the model.
///
/// With fewer leads a forecast keeps what matters most: the next leads, with all of their quantiles. It says how many leads
/// are left out. Where not even one lead fits, or where the config wants it so, a dead letter says which reading has no
/// forecast.
pub(super) fn send_less<O: Outlet>(
    outlet: &mut O,
    encoder: &mut Encoder,
    (stream, when): (&Stream, WhenTooLarge),
    emitted: &Emitted<'_>,
    model: Option<&str>,
    record: Outgoing<'_>,
) -> Result<TooLarge, Error> {
    let bytes = record.payload.map_or(0, <[u8]>::len);
    if when == WhenTooLarge::Shorten {
        let mut payload = Vec::with_capacity(bytes);
        let all = encoder.leads();
        let mut encode = |leads: usize, payload: &mut Vec<u8>| {
            encoder.encode_leads(emitted.series, emitted.forecast, model, leads, payload);
        };
        let mut leads = match outlet.payload_room(&record) {
            Some(room) => {
                let (mut fits, mut not) = (0, all);
                while fits + 1 < not {
                    let middle = usize::midpoint(fits, not);
                    encode(middle, &mut payload);
                    *(if payload.len() <= room { &mut fits } else { &mut not }) = middle;
                }
                fits
            }
            None => all / 2,
        };
        while leads > 0 {
            encode(leads, &mut payload);
            match outlet.send_forecast(Outgoing { payload: Some(&payload), ..record }, emitted) {
                Err(Error::TooLarge { .. }) => leads /= 2,
                sent => return sent.map(|()| TooLarge::Shortened),
            }
        }
    }
    let mut digits = itoa::Buffer::new();
    let length = digits.format(bytes);
    let detail = format!("the forecast is larger than {} takes", record.topic);
    let more: [(&str, &[u8]); 3] = [
        (headers::REASON, REASON.as_bytes()),
        (headers::DETAIL, detail.as_bytes()),
        (headers::LENGTH, length.as_bytes()),
    ];
    let headers = [record.headers, &more].concat();
    let mut sent = Ok(());
    for key in [record.key, None] {
        let topic = &stream.dead_letter_topic;
        sent = outlet.send(Outgoing { topic, key, payload: Some(b""), headers: &headers });
        if !matches!(sent, Err(Error::TooLarge { .. })) {
            break;
        }
    }
    sent.map(|()| TooLarge::DeadLetter)
}
