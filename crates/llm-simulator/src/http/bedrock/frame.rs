//! AWS's event stream: how an event becomes a frame. Pure.
//!
//! A frame is a prelude (its length, the length of its headers, and their CRC), headers, a payload,
//! and the CRC of all of it; see
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html>. The library
//! writes it; what is owned here is which headers Bedrock sends.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};

use crate::http::serving::encoded;

/// An event with its payload in JSON.
pub(super) fn event(name: &'static str, payload: &impl serde::Serialize) -> Vec<u8> {
    frame([(":event-type", name), (":content-type", "application/json"), (":message-type", "event")], payload)
}

/// An exception in a stream, its name as the stream's model writes it: the first letter small.
pub(super) fn exception(name: &str, payload: &impl serde::Serialize) -> Vec<u8> {
    let mut name = name.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    let headers = [
        (":exception-type", name.as_str()),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    frame(headers, payload)
}

/// The same frame with a message CRC that is wrong, its lengths and prelude intact.
pub(super) fn with_wrong_checksum(mut frame: Vec<u8>) -> Vec<u8> {
    if let Some(last) = frame.last_mut() {
        *last ^= 0xff;
    }
    frame
}

fn frame(headers: [(&'static str, &str); 3], payload: &impl serde::Serialize) -> Vec<u8> {
    let headers =
        headers.map(|(name, value)| Header::new(name, HeaderValue::String(value.to_owned().into())));
    let message = Message::new_from_parts(headers.into(), encoded(payload));
    let mut bytes = Vec::new();
    match write_message_to(&message, &mut bytes) {
        Ok(()) => bytes,
        // A payload over 16 MiB; no answer is that long.
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::read_message_from;
    use proptest::prelude::*;
    use serde_json::json;

    use super::{event, with_wrong_checksum};

    /// Computed by hand, byte by byte, with zlib's CRC-32 and none of the library's code.
    #[test]
    fn a_frame_is_laid_out_as_documented() {
        let bytes = event("messageStart", &json!({"role": "assistant"}));
        let headers = b"\x0b:event-type\x07\x00\x0cmessageStart\x0d:content-type\x07\x00\x10application/json\x0d:message-type\x07\x00\x05event";
        let payload = br#"{"role":"assistant"}"#;
        assert_eq!(bytes[..4], u32::try_from(12 + headers.len() + payload.len() + 4).unwrap().to_be_bytes());
        assert_eq!(bytes[4..8], u32::try_from(headers.len()).unwrap().to_be_bytes());
        assert_eq!(bytes[8..12], crc32(&bytes[..8]).to_be_bytes());
        assert_eq!(bytes[12..12 + headers.len()], headers[..]);
        assert_eq!(&bytes[12 + headers.len()..bytes.len() - 4], payload);
        assert_eq!(bytes[bytes.len() - 4..], crc32(&bytes[..bytes.len() - 4]).to_be_bytes());
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8)
                .fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        })
    }

    proptest! {
        #[test]
        fn a_frame_is_read_back_and_a_wrong_checksum_is_noticed(text in ".{0,200}") {
            let payload = json!({"delta": {"text": text}});
            let bytes = event("contentBlockDelta", &payload);
            let message = read_message_from(&bytes[..]).unwrap();
            let sent = payload.to_string();
            prop_assert_eq!(message.payload().as_ref(), sent.as_bytes());
            let broken = with_wrong_checksum(bytes.clone());
            prop_assert_eq!(broken.len(), bytes.len());
            prop_assert!(read_message_from(&broken[..]).unwrap_err().to_string().contains("checksum"));
        }
    }
}
